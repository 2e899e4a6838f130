#!/bin/sh
# What a script can do with Kinward's API, with curl and jq:
#
#   kinward-api.sh today                 in sentences, what happened since yesterday
#   kinward-api.sh incidents [SINCE]     all of them as lines of JSON, page by page
#   kinward-api.sh pause PROFILE [SPAN]  close everything, for 30m or until resumed
#   kinward-api.sh resume PROFILE
#   kinward-api.sh allow WHAT PROFILE SPAN
#   kinward-api.sh listen                a line whenever something changes
#
# KINWARD_URL is where the console is (http://127.0.0.1:8053), KINWARD_TOKEN_FILE the
# file with the token: it stands in no command line, which others on the machine see.
set -eu
url=${KINWARD_URL:-http://127.0.0.1:8053}/api/v1
token=${KINWARD_TOKEN_FILE:-$HOME/.config/kinward/token}

# ask METHOD PATH [JSON] prints the answer; what went wrong is said on standard error.
ask() {
	body=$(printf 'header = "Authorization: Bearer %s"\n' "$(cat "$token")" |
		curl --silent --show-error --config - --request "$1" --header 'Content-Type: application/json' \
			${3+--data "$3"} --write-out '\n%{http_code}' "$url$2")
	status=${body##*
}
	body=${body%
*}
	case $status in
	2*) printf '%s\n' "$body" ;;
	*)
		printf '%s\n' "$body" | jq -r '"\(.title): \(.detail // "")", (.errors // [] | .[] | "  \(.field): \(.detail)")' >&2
		return 1
		;;
	esac
}

word() { jq -rn --arg word "$1" '$word | @uri'; }

case ${1:-} in
today)
	ask GET /today | jq -r '.profiles[] | "\(.name): " + (if .fresh == 0 then "all calm" else "\(.fresh) to read, \(.urgent) urgent" end), (.worth[] | "  \(.sentence)")'
	;;
incidents)
	next=
	while :; do
		page=$(ask GET "/incidents?limit=200&since=$(word "${2:-24h}")${next:+&cursor=$next}")
		printf '%s\n' "$page" | jq -c '.items[]'
		next=$(printf '%s\n' "$page" | jq -r '.next // ""')
		[ -n "$next" ] || break
	done
	;;
pause)
	if [ -n "${3:-}" ]; then span=$(jq -cn --arg span "$3" '{"for": $span}'); else span='{}'; fi
	ask PUT "/profiles/$(word "$2")/pause" "$span" | jq -r .done
	;;
resume)
	ask DELETE "/profiles/$(word "$2")/pause" | jq -r .done
	;;
allow)
	ask POST /grants "$(jq -cn --arg what "$2" --arg profile "$3" --arg span "$4" '{what: $what, profile: $profile, "for": $span}')" | jq -r .done
	;;
listen)
	printf 'header = "Authorization: Bearer %s"\n' "$(cat "$token")" | curl --silent --no-buffer --config - "$url/events" |
		while read -r line; do
			case $line in "event: change"*) echo change ;; esac
		done
	;;
*)
	sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
	exit 2
	;;
esac
