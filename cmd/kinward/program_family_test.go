package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Every answer here is asked for when the command has returned, and once: a
// change is in force when the command that made it says so.

const blocked = "EDE: 17"

// asks asks for a name's address as whoever the tests are.
func (h *home) asks(name string) string {
	h.t.Helper()
	return h.tool("kdig", "+edns", name, "A")
}

// opens and closes say what must become of a name.
func (h *home) opens(when, name string) {
	h.t.Helper()
	if got := h.asks(name); strings.Contains(got, blocked) || !strings.Contains(got, "192.0.2.") {
		h.t.Errorf("%s: %s is not open:\n%s", when, name, got)
	}
}

func (h *home) closes(when, name string) {
	h.t.Helper()
	if got := h.asks(name); !strings.Contains(got, blocked) {
		h.t.Errorf("%s: %s is not blocked:\n%s", when, name, got)
	}
}

// child makes a family with Lea, whose device asks in the tests.
func child(t *testing.T) *home {
	t.Helper()
	h := startHome(t, startUpstream(t))
	h.must("profiles", "add", "Lea", "D", "--why", "she is 13 now")
	h.must("devices", "add", "127.0.0.1", "--name", "Phone", "--profile", "Lea")
	return h
}

// around is a window that holds now by the clock of a zone, and not half a day
// away.
func around(t *testing.T, zone string) string {
	t.Helper()
	z, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().In(z)
	return now.Add(-3*time.Hour).Format("15:04") + "-" + now.Add(3*time.Hour).Format("15:04")
}

// TestProgramChild: a child of their own, from the profile to undo.
func TestProgramChild(t *testing.T) {
	h := child(t)
	h.opens("at first", "allowed.example")

	// Bedtime by the family's clock, which is not the server's.
	wantAll(t, "families zone", h.must("families", "zone", "Pacific/Auckland"), "Pacific/Auckland", "in force now", "changes undo")
	wantAll(t, "schedules bedtime", h.must("schedules", "bedtime", "Lea", around(t, "Pacific/Auckland")), "Bedtime", "Lea")
	h.closes("at bedtime", "allowed.example")
	h.opens("at bedtime", "www.childline.org.uk")
	wantAll(t, "explain for a profile", h.must("explain", "allowed.example", "--profile", "Lea"), "is blocked", "(schedule)", "Bedtime")
	h.must("profiles", "choose", "Lea", "roblox", "block")
	wantAll(t, "lists services", h.must("lists", "services", "--profile", "Lea", "--own"), "roblox", "block (own)")
	h.must("profiles", "choose", "Lea", "roblox", "preset")
	wantAll(t, "lists services", h.must("lists", "services", "--profile", "Lea", "--own"), "chose about no such service")
	wantAll(t, "explain at bedtime", h.must("explain", "allowed.example", "--device", "Phone"), "is blocked", "(schedule)", "Bedtime")
	h.must("families", "zone", "Europe/London") // half a day away
	h.opens("by another clock", "allowed.example")
	h.must("families", "zone", "Pacific/Auckland")
	h.closes("by the first clock again", "allowed.example")

	// A grant, and its end.
	wantAll(t, "grants add", h.must("grants", "add", "allowed.example", "--profile", "Lea", "--for", "15m", "--why", "homework"), "grants revoke", "weakens protection")
	h.opens("with a grant", "allowed.example")
	h.closes("with a grant for another name", "later.example")
	wantAll(t, "explain with a grant", h.must("explain", "allowed.example", "--device", "Phone"), "is allowed", "(grant)")
	var f familyView
	h.into(&f, "grants")
	if len(f.Grants) != 1 || f.Grants[0].What != "name:allowed.example" || f.Grants[0].Why != "homework" || f.Grants[0].Over {
		t.Fatalf("the grants are %+v", f.Grants)
	}
	if d := time.Until(f.Grants[0].Until); d > 15*time.Minute || d < 10*time.Minute {
		t.Errorf("the grant ends in %v; want 15 minutes", d)
	}
	wantAll(t, "grants", h.must("grants"), "homework", "  allowed.example  ")
	h.must("grants", "revoke", fmt.Sprint(f.Grants[0].ID))
	h.closes("after the grant", "allowed.example")
	h.must("grants", "add", "everything", "--profile", "Lea", "--for", "today")
	h.opens("with a free day", "allowed.example")
	h.closes("with a free day", "omegle.com")
	h.into(&f, "grants")
	h.must("grants", "revoke", fmt.Sprint(f.Grants[0].ID))

	// A day off, holidays, off and on.
	z, _ := time.LoadLocation("Pacific/Auckland")
	for _, day := range []time.Time{time.Now().In(z).AddDate(0, 0, -1), time.Now().In(z)} {
		h.must("schedules", "except", "Lea", "Bedtime", day.Format(time.DateOnly))
	}
	h.opens("on a day off", "allowed.example")
	h.must("schedules", "except", "Lea", "Bedtime", time.Now().In(z).AddDate(0, 0, -1).Format(time.DateOnly), "--usual")
	h.must("schedules", "except", "Lea", "Bedtime", time.Now().In(z).Format(time.DateOnly), "--usual")
	h.must("holidays", "add", "Break", time.Now().In(z).AddDate(0, 0, -1).Format(time.DateOnly), time.Now().In(z).AddDate(0, 0, 1).Format(time.DateOnly))
	h.closes("on holidays as usual", "allowed.example")
	h.must("schedules", "holidays", "Lea", "Bedtime", "off")
	h.opens("on holidays off", "allowed.example")
	wantAll(t, "holidays", h.must("holidays"), "Break")
	h.must("holidays", "remove", "Break")
	h.closes("after the holidays", "allowed.example")
	wantAll(t, "schedules set", h.must("schedules", "set", "Lea", "Bedtime", around(t, "Europe/Berlin"), "--holidays", "usual", "--to", "Night"), "Night")
	h.opens("with other windows", "allowed.example")
	wantAll(t, "schedules set again", h.must("schedules", "set", "Lea", "Night", "--to", "Night"), "is so already")
	h.must("schedules", "set", "Lea", "Night", around(t, "Pacific/Auckland"), "--to", "Bedtime", "--holidays", "off")
	h.must("schedules", "off", "Lea", "Bedtime")
	h.opens("with bedtime off", "allowed.example")
	wantAll(t, "schedules", h.must("schedules"), "Bedtime", "switched off", "Pacific/Auckland")
	h.must("schedules", "on", "Lea", "Bedtime")
	h.closes("with bedtime on", "allowed.example")
	h.must("schedules", "remove", "Lea", "Bedtime")
	h.opens("without bedtime", "allowed.example")

	// Pause and resume.
	wantAll(t, "pause", h.must("pause", "Lea", "--for", "1h"), "Paused profile Lea")
	h.closes("in a pause", "allowed.example")
	wantAll(t, "explain in a pause", h.must("explain", "allowed.example", "--device", "Phone"), "(pause)")
	wantAll(t, "profiles in a pause", h.must("profiles"), "paused until")
	h.must("resume", "all")
	h.opens("after the pause", "allowed.example")
	h.must("pause", "all")
	h.closes("in a pause of all", "allowed.example")
	h.must("resume", "Lea")

	// Undo, and what stands in its way.
	var r changed
	h.into(&r, "rules", "deny", "allowed.example", "--profile", "Lea")
	h.closes("with a rule", "allowed.example")
	h.must("changes", "undo", fmt.Sprint(r.Revision), "--why", "a mistake")
	h.opens("after the undo", "allowed.example")
	wantAll(t, "changes", h.must("changes", "--limit", "3"), "took back change", "added rule")
	var c changesReply
	h.into(&c, "changes", "show", fmt.Sprint(r.Revision+1))
	if len(c.Changes) != 1 || c.Changes[0].Why != "a mistake" || c.Changes[0].Undoes != r.Revision || c.Changes[0].Who == "" {
		t.Errorf("the undo is recorded as %+v", c.Changes)
	}
	if _, errs, code := h.run("changes", "undo", fmt.Sprint(r.Revision)); code != exitUsage {
		t.Errorf("undoing it twice: exit code %d, %s", code, errs)
	}
}

// TestProgramChangeIsQuick: a change is enforced within one second of the command's
// end; a server that was slower would still be asked until it is.
func TestProgramChangeIsQuick(t *testing.T) {
	h := child(t)
	h.opens("at first", "allowed.example") // and is in the cache
	h.must("rules", "deny", "allowed.example", "--profile", "Lea")
	for start := time.Now(); !strings.Contains(h.asks("allowed.example"), blocked); {
		if took := time.Since(start); took > time.Second {
			t.Fatalf("not enforced after %v", took)
		}
	}
}

// TestProgramSchedules: what a schedule is about, in its windows and outside.
func TestProgramSchedules(t *testing.T) {
	h := child(t)
	h.must("families", "zone", "UTC")
	now := around(t, "UTC")
	from, to, _ := strings.Cut(now, "-")
	later := to + "-" + from // the rest of the day
	h.must("profiles", "choose", "Lea", "omegle", "allow")
	h.must("rules", "deny", "=allowed.example", "--profile", "Lea")
	for _, tt := range []struct{ effect, target, name string }{
		{"block", "omegle", "omegle.com"},
		{"block", "rule:=allowed.example", "allowed.example"},
		{"block", "everything", "later.example"},
	} {
		what := tt.effect + " " + tt.target
		h.must("schedules", "add", "Lea", "Now", tt.effect, tt.target, now)
		h.closes(what+" in its window", tt.name)
		wantAll(t, "explain "+what, h.must("explain", tt.name, "--device", "Phone"), "is blocked")
		h.must("schedules", "remove", "Lea", "Now")
		h.must("schedules", "add", "Lea", "Later", tt.effect, tt.target, later)
		h.opens(what+" outside its window", tt.name)
		h.must("schedules", "remove", "Lea", "Later")
	}
	h.must("schedules", "add", "Lea", "Later", "block", "rule:=allowed.example", later)
	h.opens("outside its hours", "allowed.example")
	wantAll(t, "a rule's schedule off", h.must("schedules", "off", "Lea", "Later"), "deny allowed.example alone, has no hours now and holds at all times", "rules remove")
	h.closes("without hours", "allowed.example")
	h.must("schedules", "on", "Lea", "Later")
	h.opens("outside its hours again", "allowed.example")
	wantAll(t, "a rule's schedule removed", h.must("schedules", "remove", "Lea", "Later"), "holds at all times")
	h.must("profiles", "choose", "Lea", "omegle", "block")
	h.must("schedules", "add", "Lea", "Free time", "free", "omegle", now)
	h.opens("in free time", "omegle.com")
	h.must("schedules", "remove", "Lea", "Free time")
	h.must("schedules", "add", "Lea", "Free time", "free", "omegle", later)
	h.closes("outside free time", "omegle.com")
}

// TestProgramChoices: each thing that can be chosen decides at once.
func TestProgramChoices(t *testing.T) {
	h := child(t)
	h.closes("at first", "omegle.com")
	wantAll(t, "choose", h.must("profiles", "choose", "Lea", "omegle", "allow"), "weakens protection", "changes undo")
	h.opens("with the service allowed", "omegle.com")
	wantAll(t, "explain of a service", h.must("explain", "omegle.com", "--device", "Phone"), "(service)")
	h.must("profiles", "choose", "Lea", "omegle", "preset")
	h.closes("with the preset", "omegle.com")
	h.must("profiles", "choose", "Lea", "anonymous-chat", "allow")
	h.must("profiles", "choose", "Lea", "known-risk", "allow")
	h.opens("with the category allowed", "omegle.com")
	h.must("profiles", "choose", "Lea", "anonymous-chat", "preset")
	wantAll(t, "explain of a category", h.must("explain", "omegle.com", "--device", "Phone"), "(category)")

	list := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(list, []byte("listed.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.must("lists", "add", list, "--id", "own", "--category", "piracy")
	h.opens("with a list whose category is allowed", "listed.example")
	h.must("profiles", "list", "Lea", "own", "block")
	h.closes("with the list blocked", "listed.example")
	wantAll(t, "explain of a list", h.must("explain", "listed.example", "--device", "Phone"), "(list)")

	h.must("profiles", "response", "Lea", "zero")
	wantAll(t, "a response of zero", h.asks("listed.example"), "0.0.0.0")
	h.must("profiles", "response", "Lea", "preset")
	wantNone(t, "the server's response", h.asks("listed.example"), "0.0.0.0")

	wantAll(t, "a canary", h.asks("use-application-dns.net"), "NXDOMAIN")
	wantAll(t, "explain of a canary", h.must("explain", "use-application-dns.net", "--device", "Phone"), "(canary)")
	wantAll(t, "bypass off", h.must("profiles", "bypass", "Lea", "off"), "weakens protection")
	wantNone(t, "explain without bypass protection", h.must("explain", "use-application-dns.net", "--device", "Phone"), "(canary)")

	wantAll(t, "explain of SafeSearch", h.must("explain", "www.google.com", "--device", "Phone"), "rewrite (safe-search)", "forcesafesearch.google.com")
	wantAll(t, "search set", h.must("search", "set", "Lea", "google", "off"), "weakens protection")
	wantNone(t, "explain without SafeSearch", h.must("explain", "www.google.com", "--device", "Phone"), "rewrite")
	var s searchReply
	h.into(&s, "search", "show")
	for _, p := range s.Profiles {
		for _, e := range p.Engines {
			if p.Profile == "Lea" && e.Engine == "google" && (e.Mode != "off" || e.Preset != "safe" || !e.Own) {
				t.Errorf("google is %+v", e)
			}
		}
	}

	h.must("profiles", "log", "Lea", "dating", "count")
	h.must("profiles", "guests", "Lea", "on")
	wantAll(t, "profiles show", h.must("profiles", "show", "Lea"), "for guests", "dating", "count", "known-risk          allow   block ", "bypass protection: off", "list own: block", "youtube")
	var p profileShow
	h.into(&p, "profiles", "show", "Lea")
	for _, c := range p.Categories {
		if c.Why == "" || c.Category == "known-risk" && (c.Choice != "allow" || c.Preset != "block" || !c.Own) {
			t.Errorf("profiles show says %+v", c)
		}
	}
	h.must("profiles", "rename", "Lea", "Lena")
	h.must("devices", "profile", "Phone", "Everyone")
	h.must("profiles", "remove", "Lena")
	wantNone(t, "profiles", h.must("profiles"), "Lena")
}

// TestProgramDevicesAndRules: clues, guests, and rules of every form.
func TestProgramDevicesAndRules(t *testing.T) {
	h := startHome(t, startUpstream(t))
	h.must("devices", "add", "02:00:5e:10:00:31", "--name", "Phone")
	h.must("devices", "clue", "add", "Phone", "192.168.1.31")
	h.must("devices", "clue", "add", "Phone", "dns:phone-7f3k")
	wantAll(t, "devices", h.must("devices"), "02:00:5e:10:00:31", "192.168.1.31", "dns:phone-7f3k")
	h.must("devices", "clue", "remove", "Phone", "02:00:5e:10:00:31")
	h.must("devices", "rename", "Phone", "Lea's phone")
	var f familyView
	h.into(&f, "devices")
	if d := f.Devices[0]; d.Name != "Lea's phone" || len(d.MACs) != 0 || len(d.Networks) != 1 || len(d.Tokens) != 1 {
		t.Errorf("the device is %+v", d)
	}
	h.must("profiles", "add", "Guests", "C")
	h.must("profiles", "guests", "Guests", "on")
	wantAll(t, "devices guest", h.must("devices", "guest", "192.168.1.77", "--for", "3d"), "Guest 192.168.1.77", "until")

	h.must("families", "unknown", "refuse")
	wantAll(t, "an unknown device", h.asks("allowed.example"), "REFUSED")
	h.must("families", "unknown", "Everyone")
	h.opens("known again", "allowed.example")

	for _, tt := range []struct {
		rule, blocks, opens string
	}{
		{"=example.com", "example.com", "allowed.example"},
		{"*.omegle.example", "a.omegle.example", "example.com"},
		{"l*ed.example", "listed.example", "later.example"},
		{"later.example", "later.example", "allowed.example"},
	} {
		var r changed
		h.into(&r, "rules", "deny", tt.rule)
		h.closes("with the rule "+tt.rule, tt.blocks)
		h.opens("with the rule "+tt.rule, tt.opens)
		wantAll(t, "explain", h.must("explain", tt.blocks), "(rule)")
		h.must("changes", "undo", fmt.Sprint(r.Revision))
	}
	wantAll(t, "rules", h.must("rules"), "no rules of its own")
}

// TestProgramFamilies: several families, guardians, and a family as a file.
func TestProgramFamilies(t *testing.T) {
	h := startHome(t, startUpstream(t))
	h.must("families", "add", "Miller", "--zone", "Europe/London", "--preset", "adult")
	h.closes("at home", "omegle.com")
	h.must("families", "network", "add", "127.0.0.1", "--family", "Miller")
	wantAll(t, "rename", h.must("families", "rename", "Smith", "--family", "Miller"), "changes --family Smith undo 3")
	h.must("families", "network", "add", "203.0.113.7", "--family", "Smith")

	// What is to be typed next is about the family that was meant, whatever it is called.
	wantAll(t, "apply to the family that the file names", h.must("families", "apply", h.write("smith.yaml", h.must("families", "export", "--family", "Smith")+"country: GB\n")), "changes --family Smith undo 5")
	wantAll(t, "an undo", h.must("changes", "--family", "Smith", "undo", "5"), "changes --family Smith undo 6")
	var quoted changed
	h.must("families", "add", `The "A" \ B`)
	h.into(&quoted, "profiles", "add", "Kid", "C", "--family", `The "A" \ B`)
	wantAll(t, "a name with quotes as JSON", strings.Join(quoted.Notes, "\n"), `devices --family 'The "A" \ B' add ADDRESS`)
	wantAll(t, "explain for another family", h.must("explain", "omegle.com", "--family", "Smith"), "is allowed")
	var e, other explainReply // each family counts its own changes
	h.into(&e, "explain", "omegle.com")
	h.into(&other, "explain", "omegle.com", "--family", "Smith")
	if e.Revision != 1 || other.Revision != 6 {
		t.Errorf("revisions %d and %d; want 1 and 6", e.Revision, other.Revision)
	}
	wantAll(t, "families", h.must("families"), "Home", "Smith")
	if _, errs, code := h.run("families", "remove", "Smith"); code != exitUsage || !strings.Contains(errs, "--yes") {
		t.Errorf("removing without --yes: exit code %d, %s", code, errs)
	}
	h.must("families", "network", "remove", "203.0.113.7", "--family", "Smith")
	h.must("families", "remove", "Smith", "--yes")
	wantNone(t, "families", h.must("families"), "Smith")

	h.must("guardians", "add", "Eva")
	h.must("guardians", "add", "Karl", "--role", "viewer")
	h.must("guardians", "role", "Karl", "guardian")
	h.must("guardians", "rename", "Karl", "Carl")
	wantAll(t, "guardians", h.must("guardians"), "Eva", "owner", "Carl", "guardian")
	h.must("guardians", "add", "Aunt", "--role", "viewer")
	h.must("guardians", "remove", "Aunt")
	h.must("families", "loosening", "--delay", "24h", "--second")
	wantAll(t, "a change that is to wait", h.must("profiles", "choose", "Everyone", "omegle", "allow"), "waits 24 hours and needs", "second guardian", "not enforced here")

	// Export, change, apply.
	before := h.must("families", "export")
	file := filepath.Join(t.TempDir(), "family.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(before)
	wantAll(t, "apply of the export", h.must("families", "apply", file), "as the file says")
	write(strings.Replace(before, "omegle: allow", "omegle: block", 1))
	h.opens("before the file", "omegle.com")
	wantAll(t, "apply --dry-run", h.must("families", "apply", file, "--dry-run"), "service omegle: block (was allow)", "Nothing was changed")
	h.opens("after a dry run", "omegle.com")
	if got := h.must("families", "export"); got != before {
		t.Errorf("a dry run changed the family to\n%s", got)
	}
	wantAll(t, "apply", h.must("families", "apply", file, "--why", "school"), "service omegle: block (was allow)", "within a second", "changes --family Home undo ")
	h.closes("after the file", "omegle.com")
	wantAll(t, "changes", h.must("changes", "--limit", "1"), "applied a file: changed: profile Everyone, service omegle: block (was allow)")

	// The sample, and then one fault in it: nothing is half-applied.
	sample := strings.Replace(readFile(t, "deploy/family.yaml"), "  - {name: Grandpa, role: viewer}\n", "", 1)
	write(sample)
	wantAll(t, "apply of the sample", h.must("families", "apply", file), "new: profile Lea", "new: device Lea's phone")
	after := h.must("families", "export")
	for _, tt := range []struct{ old, new, want string }{
		{"zone: Europe/Berlin", "zone: Europe/Berlln", "Europe/Berlln"},
		{"roblox: block", "robloks: block", "robloks"},
		{"google: safe", "gogle: safe", "gogle"},
		{"social: watch", "sozial: watch", `"social"`},
		{"networks: [192.168.1.20]", "networks: [192.168.1.31]", "192.168.1.31"},
		{"deny: =www.example.com", "deny: www.childline.org.uk", "childline"},
		{"windows: [Mon-Fri 14:00-16:00]", "windows: []", "never applies"},
	} {
		write(strings.Replace(strings.Replace(sample, "preset: C  ", "preset: B  ", 1), tt.old, tt.new, 1))
		if out, errs, code := h.run("families", "apply", file); code != exitUsage || !strings.Contains(errs, tt.want) {
			t.Errorf("apply with %s: exit code %d, want one with %q\n%s%s", tt.new, code, tt.want, out, errs)
		}
		if got := h.must("families", "export"); got != after {
			t.Errorf("apply with %s changed the family to\n%s", tt.new, got)
		}
	}
}

// TestProgramExplains: every step of the order of decision that the other tests
// do not come to says that it settled the matter.
func TestProgramExplains(t *testing.T) {
	h := &home{t: t, data: t.TempDir()}
	list := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(list, []byte("phishing.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.must("lists", "add", list, "--id", "own", "--category", "security")
	for name, want := range map[string]string{
		"nothing.example":      "allow (default)",
		"www.childline.org.uk": "allow (help)",
		"phishing.example":     "block (security)",
		"captive.apple.com":    "allow (plumbing)",
	} {
		wantAll(t, "explain", h.must("explain", name), want, "→")
	}
	h.must("profiles", "choose", "Everyone", "anonymous-chat", "allow")
	wantAll(t, "explain", h.must("explain", "omegle.com"), "block (known-risk)")
}
