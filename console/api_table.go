package console

import (
	"slices"

	"kinward/store"
)

// apiRoutes is the table of the API, by topic.
var apiRoutes = slices.Concat(apiFamily, apiHappened, apiRequests, apiProfiles, apiDevices, apiAlerts, apiHistory, apiCatalogue, apiServer)

// wholeList has an operation answer all that is kept, of which the API cuts pages by
// itself.
var wholeList = object{"limit": store.KeptChanges}

// What many inputs are.
const (
	spanBack  = "How far back: a span (2h, 7d) or a time of the family's clock (2026-11-23 18:00)."
	spanOn    = "For how long: a span (15m, 2h, 7d), or today."
	untilTime = "Until this time of the family's clock: 21:30, which is the next one, or 2026-11-23 21:30."
)

var (
	presetWords = []string{"A", "B", "C", "D", "E", "adult"} // the age bands, youngest first
	choiceWords = []string{"allow", "watch", "tally", "block", "digest", "count", "hide", "preset"}
	onOffWords  = []string{"on", "off", "preset"}
	roleWords   = []string{"owner", "guardian", "viewer"}
	whenWords   = []string{"immediate", "hourly", "daily", "weekly", "never"} // how soon somebody can hear of something
)

var apiFamily = []apiRoute{
	{
		method: "GET", path: "/family", id: "getFamily", topic: "Family", operation: "family", scopes: scopeRead, revision: true,
		says: "The family: its profiles with their rules and schedules, devices, holidays and grants.",
	},
	{
		method: "PUT", path: "/family/name", id: "renameFamily", topic: "Family", operation: "families-rename", scopes: scopeWrite,
		says: "Gives the family another name.", inputs: []input{bodyInput("name", "do.name", "Miller").required()},
	},
	{
		method: "PUT", path: "/family/zone", id: "setZone", topic: "Family", operation: "families-zone", scopes: scopeWrite,
		says:   "Sets the clock that schedules go by.",
		inputs: []input{bodyInput("zone", "do.zone", "Europe/London").required().means("A name of the IANA time zone database.")},
	},
	{
		method: "PUT", path: "/family/country", id: "setCountry", topic: "Family", operation: "families-country", scopes: scopeWrite,
		says:   "Says where the family lives, for its help lines.",
		inputs: []input{bodyInput("country", "do.country", "GB").required().means("Two letters of ISO 3166-1, or nothing where it is not to be kept.")},
	},
	{
		method: "PUT", path: "/family/unknown", id: "setUnknown", topic: "Family", operation: "families-unknown", scopes: scopeWrite,
		says:   "Says what becomes of a device that is not listed.",
		inputs: []input{bodyInput("profile", "do.profile", "Everyone").required().means("The profile that it gets, or refuse.")},
	},
	{
		method: "PUT", path: "/family/loosening", id: "setLoosening", topic: "Family", operation: "families-loosening", scopes: scopeWrite,
		says: "Says what a change that weakens protection has to wait for.",
		inputs: []input{
			bodyInput("delay", "do.delay", "0").means("For how long such a change waits, for example 24h; 0 is not at all."),
			bodyInput("second", "do.second", false).means("Another guardian has to agree."),
		},
	},
	{
		method: "GET", path: "/family/declaration", id: "getDeclaration", topic: "Family", operation: "families-export", scopes: scopeWrite,
		says: "The family's choices as a file (YAML) that declares them. It holds the secrets of devices.",
	},
	{
		method: "PUT", path: "/family/declaration", id: "applyDeclaration", topic: "Family", operation: "families-apply", scopes: scopeWrite,
		says: "Makes the family what a file declares, all of it or nothing.", fixed: object{"file": "the request"},
		inputs: []input{
			bodyInput("yaml", "text", "profiles: []\n").required().means("The file."),
			bodyInput("dry_run", "dryRun", true).means("Say what would change, and change nothing."),
		},
	},
	{
		method: "GET", path: "/family/link", id: "getLink", topic: "Family", operation: "families-link", scopes: scopeRead,
		says: "How the home's router reports its public address.",
	},
	{
		method: "POST", path: "/family/link", id: "makeLink", topic: "Family", operation: "families-link-make", scopes: scopeWrite,
		says: "Makes a link by which a router reports the home's public address, in the place of one before. Its password is told once.",
	},
	{
		method: "DELETE", path: "/family/link", id: "revokeLink", topic: "Family", operation: "families-link-revoke", scopes: scopeWrite,
		says: "Takes the router's link back.",
	},
	{
		method: "GET", path: "/guardians", id: "listGuardians", topic: "Family", operation: "guardians", scopes: scopeRead, list: "guardians", key: "name",
		says: "The adults who decide for the family.",
	},
	{
		method: "POST", path: "/guardians", id: "addGuardian", topic: "Family", operation: "guardians-add", scopes: scopeWrite,
		says: "Names a guardian. To sign in they need an invitation, which a person makes on the page of the family.",
		inputs: []input{
			bodyInput("name", "do.name", "Grandpa").required(),
			bodyInput("role", "do.role", "viewer").required().one(roleWords...),
		},
	},
	{
		method: "PUT", path: "/guardians/{name}/role", id: "setGuardianRole", topic: "Family", operation: "guardians-role", scopes: scopeWrite,
		says:   "Gives a guardian another role.",
		inputs: []input{pathInput("name", "do.name", "Grandpa"), bodyInput("role", "do.role", "guardian").required().one(roleWords...)},
	},
	{
		method: "PUT", path: "/guardians/{name}/name", id: "renameGuardian", topic: "Family", operation: "guardians-rename", scopes: scopeWrite,
		says:   "Gives a guardian another name.",
		inputs: []input{pathInput("name", "do.name", "Grandpa"), bodyInput("name", "do.to", "Karl-Heinz").required()},
	},
	{
		method: "DELETE", path: "/guardians/{name}", id: "removeGuardian", topic: "Family", operation: "guardians-remove", scopes: scopeWrite,
		says: "Removes a guardian, with their account.", inputs: []input{pathInput("name", "do.name", "Karl-Heinz")},
	},
	{
		method: "DELETE", path: "/guardians/{name}/invitation", id: "revokeInvitation", topic: "Family", operation: "guardians-uninvite", scopes: scopeWrite,
		says: "Takes an invitation back that was not used yet.", inputs: []input{pathInput("name", "do.name", "Karl-Heinz")},
	},
	{
		method: "GET", path: "/holidays", id: "listHolidays", topic: "Family", operation: "family", scopes: scopeRead, only: "holidays", list: "holidays", key: "name",
		says: "The family's holidays.",
	},
	{
		method: "POST", path: "/holidays", id: "addHoliday", topic: "Family", operation: "holidays-add", scopes: scopeWrite,
		says: "Adds a holiday, or a span of them.",
		inputs: []input{
			bodyInput("name", "do.name", "Christmas").required(), bodyInput("first", "do.first", "2026-12-21").required().means("The first day."),
			bodyInput("last", "do.last", "2027-01-06").means("The last day; the first where it is missing."),
		},
	},
	{
		method: "DELETE", path: "/holidays/{name}", id: "removeHoliday", topic: "Family", operation: "holidays-remove", scopes: scopeWrite,
		says: "Removes holidays.",
		inputs: []input{
			pathInput("name", "do.name", "Christmas"), queryInput("first", "do.first", "2026-12-21").means("Which, where a name stands more than once."),
		},
	},
	{
		method: "GET", path: "/retention", id: "getRetention", topic: "Family", operation: "retention", scopes: scopeRead,
		says: "For how long incidents are kept.",
	},
	{
		method: "PUT", path: "/retention", id: "setRetention", topic: "Family", operation: "retention-set", scopes: scopeWrite,
		says: "Sets for how long incidents are kept, all or those of a category.",
		inputs: []input{
			bodyInput("days", "do.days", "60").required().means("A number of days, or default."), bodyInput("category", "do.category", "dating"),
		},
	},
	{
		method: "GET", path: "/help-lines", id: "listHelpLines", topic: "Family", operation: "help-lines", scopes: scopeRead,
		says:   "Where to report something or get help.",
		inputs: []input{queryInput("country", "country", "GB").means("Two letters; the family's country where it is missing.")},
	},
}

var apiHappened = []apiRoute{
	{
		method: "GET", path: "/today", id: "getToday", topic: "What happened", operation: "today", scopes: scopeRead,
		says: "What a parent wants to know first, by profile.", inputs: []input{queryInput("since", "since", "24h").means(spanBack)},
	},
	{
		method: "GET", path: "/incidents", id: "listIncidents", topic: "What happened", operation: "incidents", scopes: scopeRead,
		list: "incidents", paged: true,
		says: "What was attempted, the newest first. That somebody looked is kept, as on the pages.",
		inputs: []input{
			queryInput("since", "since", "7d").means(spanBack), queryInput("until", "until", "").means("Only what began before: a span back, or a time."),
			queryInput("profile", "profile", "Lea"), queryInput("device", "device", "").means("Its name, or the address of one without a name."),
			queryInput("category", "category", ""), queryInput("service", "service", "").means("A service, or a domain where it belongs to none."),
			queryInput("verdict", "verdict", "").one("block", "watch", "rewrite"),
			queryInput("routine", "routine", false).means("Also what browsers and systems ask for by themselves."),
			queryInput("unreviewed", "unreviewed", false).means("Only what you have neither reviewed nor muted."),
		}, fixed: object{"since": "7d"},
	},
	{
		method: "GET", path: "/incidents/{id}", id: "getIncident", topic: "What happened", operation: "incidents-show", scopes: scopeRead,
		says: "All about an incident: what it is, why it was blocked, what to do.", inputs: []input{incidentID},
	},
	{
		method: "PUT", path: "/incidents/{id}/review", id: "reviewIncident", topic: "What happened", operation: "incidents-review", scopes: scopeWrite,
		says: "Says that you have dealt with an incident.", inputs: []input{incidentID, bodyInput("note", "note", "We talked about it.")},
	},
	{
		method: "DELETE", path: "/incidents/{id}/review", id: "unreviewIncident", topic: "What happened", operation: "incidents-unreview", scopes: scopeWrite,
		says: "Takes your review back, with its note.", inputs: []input{incidentID},
	},
	{
		method: "POST", path: "/incidents/{id}/mute", id: "muteIncident", topic: "What happened", operation: "incidents-mute", scopes: scopeWrite,
		says: "Has you hear no more of this profile's attempts at this service: for good, where no end is given.",
		inputs: []input{
			incidentID, bodyInput("for", "for", "7d").means(spanOn), bodyInput("until", "until", nil).means(untilTime),
		},
	},
	{
		method: "GET", path: "/mutes", id: "listMutes", topic: "What happened", operation: "incidents-mutes", scopes: scopeRead, list: "mutes", key: "id",
		says: "What you have muted.",
	},
	{
		method: "DELETE", path: "/mutes/{id}", id: "endMute", topic: "What happened", operation: "incidents-unmute", scopes: scopeWrite,
		says: "Has you hear of it again.", inputs: []input{pathInput("id", "mute", 1)},
	},
	{
		method: "GET", path: "/views", id: "listViews", topic: "What happened", operation: "incidents-views", scopes: scopeRead,
		says: "Who looked at incidents, and when.", inputs: []input{queryInput("since", "since", "30d").means(spanBack)},
		fixed: object{"since": "30d"},
	},
	{
		method: "GET", path: "/export", id: "exportIncidents", topic: "What happened", operation: "incidents-file", scopes: scopeRead,
		says: "Incidents as a file, with its SHA-256: evidence for whoever has to see it.",
		inputs: []input{
			queryInput("format", "format", "csv").required().one("csv", "json", "bundle"),
			queryInput("since", "since", "30d").means(spanBack), queryInput("until", "until", "").means("Only what began before."),
			queryInput("profile", "profile", "Lea"), queryInput("category", "category", ""),
		}, fixed: object{"since": "7d"},
	},
	{
		method: "GET", path: "/signals", id: "listSignals", topic: "What happened", operation: "signals", scopes: scopeRead, list: "signals", paged: true,
		says: "What the record shows as a whole: hints for a talk, never findings. The newest first.",
		inputs: []input{
			queryInput("since", "since", "7d").means(spanBack), queryInput("profile", "profile", "Lea"), queryInput("kind", "kind", ""),
		}, fixed: object{"since": "7d"},
	},
	{
		method: "PUT", path: "/signals/kinds/{kind}", id: "switchSignal", topic: "What happened", operation: "signals-switch", scopes: scopeWrite,
		says: "Switches a kind of signal on or off.", inputs: []input{pathInput("kind", "do.kind", "silent"), bodyInput("on", "do.on", false).required()},
	},
	{
		method: "PUT", path: "/signals/night", id: "setNight", topic: "What happened", operation: "signals-night", scopes: scopeWrite,
		says:   "Says which hours are night to the signal of that kind.",
		inputs: []input{bodyInput("hours", "do.hours", "21:00-06:30").required().means("For example 21:00-06:30, or default.")},
	},
	{
		method: "GET", path: "/explain", id: "explain", topic: "What happened", operation: "explain", scopes: scopeRead,
		says: "What happens to a name, and why, exactly as the resolver decides.",
		inputs: []input{
			queryInput("name", "name", "omegle.com").required(), queryInput("device", "device", "Tablet").means("A name or an address."),
			queryInput("type", "type", "A").means("Of the question: A, AAAA, HTTPS …"),
			queryInput("at", "at", "2026-11-23 21:30").means("A time of the family's clock; now where it is missing."),
		}, fixed: object{"type": "A"},
	},
}

var incidentID = pathInput("id", "ids", "0199aa9c7f01").means("An incident's ID, or enough of its beginning.")

var apiRequests = []apiRoute{
	{
		method: "GET", path: "/requests", id: "listRequests", topic: "Requests", operation: "requests", scopes: scopeRead | scopeRequests,
		list: "requests", key: "id", fixed: wholeList,
		says:   "What children ask for, the newest first; waiting is how many of them wait for an answer.",
		inputs: []input{queryInput("open", "open", false).means("Only those that wait for an answer.")},
	},
	{
		method: "POST", path: "/requests/{id}/answer", id: "answerRequest", topic: "Requests", operation: "requests-answer", scopes: scopeRequests,
		says: "Answers what a child asks for. What is allowed for a while ends by itself.",
		inputs: []input{
			pathInput("id", "do.id", 1), bodyInput("answer", "do.answer", "15m").required().one("15m", "60m", "today", "always", "no"),
		},
	},
}

var apiHistory = []apiRoute{
	{
		method: "GET", path: "/changes/pending", id: "listPending", topic: "History", operation: "changes-pending", scopes: scopeRead,
		list: "pending", key: "id", fixed: wholeList,
		says: "Changes that weaken protection and wait, or waited, for their time or for another guardian.",
	},
	{
		method: "POST", path: "/changes/pending/{id}/agree", id: "agreeToPending", topic: "History", operation: "changes-approve", scopes: scopeWrite,
		says: "Agrees to a change that another guardian wants.", inputs: []input{pathInput("id", "id", 1)},
	},
	{
		method: "POST", path: "/changes/pending/{id}/reject", id: "rejectPending", topic: "History", operation: "changes-reject", scopes: scopeWrite,
		says: "Rejects a change that waits, or takes one's own back.", inputs: []input{pathInput("id", "id", 1)},
	},
	{
		method: "GET", path: "/changes", id: "listChanges", topic: "History", operation: "changes", scopes: scopeRead,
		list: "changes", key: "revision", fixed: wholeList,
		says: "Who changed what, when and why, the newest first.",
	},
	{
		method: "GET", path: "/changes/{revision}", id: "getChange", topic: "History", operation: "changes-show", scopes: scopeRead,
		says: "All that is known of a change.", inputs: []input{pathInput("revision", "revision", 2)},
	},
	{
		method: "POST", path: "/changes/{revision}/undo", id: "undoChange", topic: "History", operation: "changes-undo", scopes: scopeWrite,
		says: "Takes a change back; later changes stay.", inputs: []input{pathInput("revision", "revision", 2)},
	},
}

var apiAlerts = []apiRoute{
	{
		method: "GET", path: "/alerts", id: "getAlerts", topic: "Alerts", operation: "alerts", scopes: scopeRead,
		says: "Where your messages go, how soon, and what waits or failed.",
	},
	{
		method: "POST", path: "/alerts/channels", id: "addChannel", topic: "Alerts", operation: "alerts-add", scopes: scopeWrite,
		says: "Adds a place that your messages go to.",
		inputs: []input{
			bodyInput("kind", "kind", "webhook").required().one("email", "webhook", "ntfy", "push"),
			bodyInput("to", "to", "https://hooks.example.org/kinward").required().means("An e-mail address, the URL of a webhook or of an ntfy topic, or a browser's subscription."),
			bodyInput("token", "token", nil).means("Of an ntfy server."), bodyInput("priority", "priority", nil).means("Of an ntfy message."),
			bodyInput("only", "only", nil).one("alerts", "digests"), bodyInput("brief", "brief", true).means("Leave names of children and services out."),
		},
	},
	{
		method: "POST", path: "/alerts/channels/{channel}/test", id: "testChannel", topic: "Alerts", operation: "alerts-test", scopes: scopeWrite,
		says: "Sends a message, to try it out.", inputs: []input{pathInput("channel", "channel", 1)},
	},
	{
		method: "DELETE", path: "/alerts/channels/{channel}", id: "removeChannel", topic: "Alerts", operation: "alerts-remove", scopes: scopeWrite,
		says: "Has messages go there no longer.", inputs: []input{pathInput("channel", "channel", 1)},
	},
	{
		method: "PATCH", path: "/alerts/preferences", id: "setAlerts", topic: "Alerts", operation: "alerts-set", scopes: scopeWrite,
		says: "Says how soon you hear of what. What is not named stays.",
		inputs: []input{
			bodyInput("profile", "profile", "Lea").means("Of this profile alone."), bodyInput("category", "category", "dating").means("Of this category, or kind of signal, alone."),
			bodyInput("when", "when", "hourly").one(whenWords...), bodyInput("quiet", "quiet", "22:00-07:00").means("Hours in which nothing is sent, or none."),
			bodyInput("urgent", "urgent", true).means("What is urgent is sent in the quiet hours, too."),
			bodyInput("digest_at", "digest_at", "18:00"), bodyInput("digest_day", "digest_day", "Sunday"), bodyInput("per_hour", "per_hour", 6),
		},
	},
	{
		method: "GET", path: "/digest", id: "getDigest", topic: "Alerts", operation: "digest", scopes: scopeRead,
		says: "What your digest would say that ended now.", fixed: object{"period": "day"},
		inputs: []input{queryInput("period", "period", "week").one("hour", "day", "week")},
	},
}

var apiCatalogue = []apiRoute{
	{
		method: "GET", path: "/services", id: "listServices", topic: "Catalogue", operation: "services", scopes: scopeRead | scopeOperator, list: "services", key: "id",
		says: "The services that Kinward knows by name.",
		inputs: []input{
			queryInput("search", "search", "omegle").means("In id, name and domains."), queryInput("category", "category", ""),
			queryInput("known_risk", "knownRisk", false).means("Only those that child-protection sources name."),
		},
	},
	{
		method: "GET", path: "/categories", id: "listCategories", topic: "Catalogue", operation: "categories", scopes: scopeRead, list: "categories", key: "id",
		says: "The categories that choices, incidents and messages can be about.",
	},
	{
		method: "GET", path: "/services/{id}", id: "getService", topic: "Catalogue", operation: "service", scopes: scopeRead | scopeOperator,
		says: "All that the catalogue says of a service, with its sources.", inputs: []input{pathInput("id", "id", "omegle")},
	},
	{
		method: "GET", path: "/catalogue", id: "getCatalogue", topic: "Catalogue", operation: "catalogue", scopes: scopeRead | scopeOperator,
		says: "The catalogue in force.",
	},
	{
		method: "GET", path: "/lists", id: "listLists", topic: "Catalogue", operation: "lists", scopes: scopeRead | scopeOperator, list: "lists", key: "id",
		says: "The lists in force.",
	},
}
