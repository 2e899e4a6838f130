package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestProgramSaysWhatHolds: what a change does, and what it does not, is said in
// words that cannot be read another way.
func TestProgramSaysWhatHolds(t *testing.T) {
	h := child(t)
	h.must("schedules", "bedtime", "Lea", "20:30-06:30")
	const lagging = "a device may go by an answer that it has already"

	granted := h.must("grants", "add", "everything", "--profile", "Lea", "--for", "15m")
	wantAll(t, "a grant of everything", granted, "lifts bedtime and pause alone", "stays blocked", lagging)
	wantNone(t, "a grant of one service", h.must("grants", "add", "roblox", "--profile", "Lea", "--for", "15m"), "lifts bedtime")

	// Whether a device may go by an old answer is said where answers change.
	for _, args := range [][]string{
		{"retention", "set", "30"},
		{"families", "country", "DE"},
		{"families", "rename", "Berg"},
		{"guardians", "add", "Eva"},
		{"profiles", "rename", "Lea", "Lena"},
		{"profiles", "log", "Lena", "dating", "count"},
		{"signals", "off", "night"},
		{"devices", "rename", "Phone", "PHONE"},
	} {
		out := h.must(args...)
		wantAll(t, strings.Join(args, " "), out, "It is in force now.")
		wantNone(t, strings.Join(args, " "), out, lagging)
	}
	wantAll(t, "another name under home.arpa", h.must("devices", "rename", "Phone", "Tablet"), lagging)
	zone := h.must("families", "zone", "Asia/Tokyo") // Lena's bedtime is at another time now
	wantAll(t, "a zone that a schedule goes by", zone, lagging, "schedules go by another clock: Asia/Tokyo, not ")
	h.must("schedules", "remove", "Lena", "Bedtime")
	wantNone(t, "a zone that no schedule goes by", h.must("families", "zone", "Europe/Berlin"), lagging)

	// What an undo leads to.
	h.must("pause", "Lena", "--for", "1h")
	ended := revisionIn(t, h.must("resume", "Lena"))
	wantAll(t, "an undo of the end of a pause", h.must("changes", "undo", ended),
		"Took back change "+ended+" (ended the pause of profile Lena); what it changed is as it was before.", "Profile Lena is paused now, until ")
	paused := revisionIn(t, h.must("pause", "Everyone"))
	wantAll(t, "an undo of a pause", h.must("changes", "undo", paused), "Profile Everyone is not paused now.")
	none := h.must("changes", "undo", revisionIn(t, h.must("rules", "deny", "example.org", "--profile", "Lena")))
	wantNone(t, "an undo of a rule", none, "paused")

	// A country, and whether a help line is known for it.
	wantNone(t, "a country with help lines", h.must("families", "country", "GB"), "knows no help line")
	wantAll(t, "a country without", h.must("families", "country", "TV"), "knows no help line of TV", " help-lines")
	if _, errs, code := h.run("families", "country", "XX"); code != exitUsage || !strings.Contains(errs, `"XX" is no country's code`) {
		t.Errorf("a country that is none: exit code %d, %s", code, errs)
	}

	// What can be muted, for how long, and what that does not do.
	if _, errs, code := h.run("incidents", "mute"); code != exitUsage || !strings.Contains(errs, "the ID of an incident, as "+binary+" --data "+h.data+" incidents shows it") {
		t.Errorf("mute without an incident: exit code %d, %s", code, errs)
	}
	wantAll(t, "help of mute", h.must("incidents", "mute", "--help"), "nothing of what is blocked", "nothing of what is recorded", "--for", "for good")
	h.tool("kdig", "omegle.com")
	muted := h.must("incidents", "mute", h.only().ID, "--for", "7d")
	wantAll(t, "mute", muted, "goes on being blocked and recorded", " incidents mutes end ")
	h.must(strings.Fields(muted[strings.Index(muted, " incidents mutes end "):])...)

	head, _, _ := strings.Cut(h.must("incidents", "export"), "\r\n")
	if !strings.Contains(head, ",sentence_utc,") {
		t.Errorf("the columns do not say whose clock the sentences go by: %s", head)
	}

	made := h.must("devices", "setup", "--for", "openwrt")
	wantAll(t, "a secret for the router", made, "recognised by a secret of its router", "behind add-cpe-id", "undo")
	wantNone(t, "a secret that is there", h.must("devices", "setup", "--for", "openwrt"), "undo")
	wantAll(t, "lists", h.must("lists"), "An entry is what a list says of one name")
}

// revisionIn is the change that an output says how to undo.
func revisionIn(t *testing.T, out string) string {
	t.Helper()
	_, after, ok := strings.Cut(out, "changes undo ")
	if !ok {
		t.Fatalf("no change is made:\n%s", out)
	}
	return strings.Fields(after)[0]
}

// TestProgramRestoreSecrets: restore says what no backup holds, and which ways to
// guardians have to be added again.
func TestProgramRestoreSecrets(t *testing.T) {
	h := &home{t: t, data: t.TempDir()} // without serve: the same operations
	h.must("guardians", "add", "Eva")
	added := h.must("alerts", "add", "email", "eva@example.org", "--guardian", "Eva")
	wantAll(t, "a channel that no mail server serves", added, "It cannot be used yet")
	wantNone(t, "a channel that no mail server serves", added, "To try it out")
	plain, whole := filepath.Join(t.TempDir(), "plain"), filepath.Join(t.TempDir(), "whole")
	h.must("backup", plain)
	h.must("alerts", "add", "webhook", "https://hooks.example.org/kinward", "--guardian", "Eva")
	h.must("backup", whole)
	said := h.must("restore", whole)
	wantAll(t, "restore", said, "sign in anew", "webhook of Eva, family Home: "+binary+" --data "+h.data+" alerts remove 2 --family Home", " alerts add webhook --help")
	wantNone(t, "restore", said, "email of Eva")
	h.must("families", "add", "Miller")
	h.must("families", "rename", "Home", "--family", "Miller") // only its number tells which of two is meant
	two := filepath.Join(t.TempDir(), "two")
	h.must("backup", two)
	wantAll(t, "restore of two families of one name", h.must("restore", two), " alerts remove 2 --family 1;")
	h.must("families", "remove", "2", "--yes")
	wantAll(t, "alerts after it", h.must("alerts"), "CANNOT SEND")
	h.must("alerts", "remove", "2", "--family", "Home")
	wantNone(t, "restore without such", h.must("restore", plain), "added again")
}

// TestProgramOtherFamily: what a command says to run next is about the family that the
// command was about; and where nothing tells that a device is of that family it says so.
func TestProgramOtherFamily(t *testing.T) {
	h := startHome(t, startUpstream(t))
	h.must("families", "add", "Miller", "--preset", "C")
	wantAll(t, "a name that a shell would take apart", h.must("families", "add", `The "Smiths'"`),
		`families network add ADDRESS --family 'The "Smiths'\''"'`)
	h.must("rules", "deny", "example.net")
	const elsewhere = "Nothing tells that questions from"
	exempted := h.must("devices", "exempt", "192.168.1.20", "--family", "Miller")
	wantAll(t, "an address of the home", exempted, elsewhere+" 192.168.1.20 are of family Miller", "no effect", "devices --family Miller unexempt", "families network add ADDRESS --family Miller")
	home := h.must("changes")
	_, undo, ok := strings.Cut(exempted, "To undo it: ")
	if !ok {
		t.Fatalf("no way back:\n%s", exempted)
	}
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", undo).CombinedOutput(); err != nil || !strings.Contains(string(out), "Took back change") {
		t.Errorf("what was to be run says %s (%v)", out, err)
	}
	if now := h.must("changes"); now != home {
		t.Errorf("it was the home's change that was taken back:\n%s", now)
	}
	wantAll(t, "a hardware address", h.must("devices", "add", "02:00:5e:10:00:31", "--name", "Phone", "--family", "Miller"), elsewhere+" 02:00:5e:10:00:31 are")
	wantAll(t, "one more", h.must("devices", "clue", "add", "Phone", "192.168.1.21", "--family", "Miller"), elsewhere+" 02:00:5e:10:00:31, 192.168.1.21 are")
	wantNone(t, "the home's own", h.must("devices", "exempt", "192.168.1.20"), elsewhere)
	wantNone(t, "a device's secret", h.must("devices", "add", "dns:their-laptop", "--name", "Laptop", "--family", "Miller"), elsewhere)
	wantNone(t, "a public address", h.must("devices", "add", "203.0.113.7", "--name", "Desk", "--family", "Miller"), elsewhere)
	h.must("families", "network", "add", "203.0.113.8/29", "--family", "Miller")
	wantNone(t, "a family with a network", h.must("devices", "exempt", "192.168.1.30", "--family", "Miller"), elsewhere)
}

// TestNumbersInWords: numbers are said as people say them where there is one, or none.
func TestNumbersInWords(t *testing.T) {
	for got, want := range map[string]string{
		incidentsWords(1, 1):               "1 incident, blocked",
		incidentsWords(1, 0):               "1 incident, allowed and recorded",
		incidentsWords(4, 4):               "4 incidents, all blocked",
		incidentsWords(4, 0):               "4 incidents, all allowed and recorded",
		incidentsWords(4, 1):               "4 incidents, 1 of them blocked",
		tookWords(300 * time.Microsecond):  "less than 1ms",
		tookWords(2600 * time.Microsecond): "3ms",
		alertsStatus{Waiting: 1}.waits():   "1 message waits",
		alertsStatus{}.waits():             "0 messages wait",
	} {
		if got != want {
			t.Errorf("it says %q; want %q", got, want)
		}
	}
	h := child(t)
	if out := h.must("backup", filepath.Join(t.TempDir(), "small.tar.gz")); strings.Contains(out, "0.0 MB") {
		t.Errorf("a small backup is %q", out)
	}
}
