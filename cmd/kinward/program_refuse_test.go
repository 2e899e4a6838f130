package main

import (
	"slices"
	"strings"
	"testing"
)

// TestProgramFamilyRefuses: bad input is refused with what, where and what to
// do, with the right exit code, and changes nothing.
func TestProgramFamilyRefuses(t *testing.T) {
	h := &home{t: t, data: t.TempDir()} // without serve: the same operations
	h.must("profiles", "add", "Lea", "D")
	h.must("devices", "add", "192.168.1.31", "--name", "Phone", "--profile", "Lea")
	h.must("schedules", "bedtime", "Lea", "20:30-06:30")
	h.must("guardians", "add", "Eva")
	h.must("rules", "deny", "example.com", "--profile", "Lea")
	before := h.must("families", "export")
	for _, tt := range []struct {
		name string
		args []string
		code int
		want []string // in what is printed
	}{
		{"a family that is not", []string{"profiles", "--family", "Hom"}, exitNothing, []string{`"Hom"`, `did you mean "Home"`}},
		{"a family of a name that is taken", []string{"families", "add", "HOME"}, exitUsage, []string{"already"}},
		{"a family without a name", []string{"families", "add", " "}, exitUsage, []string{"empty"}},
		{"a family of no preset", []string{"families", "add", "Miller", "--preset", "F"}, exitUsage, []string{"--preset", `"F"`, "A (0–7)"}},
		{"removing the home family", []string{"families", "remove", "Home", "--yes"}, exitUsage, []string{"home family"}},
		{"a time zone that is not", []string{"families", "zone", "Europe/Berlln"}, exitUsage, []string{`"Europe/Berlln"`, "Europe/Berlin"}},
		{"an unknown profile for unknown devices", []string{"families", "unknown", "Nobody"}, exitNothing, []string{`"Nobody"`, "Everyone"}},
		{"a network of everybody", []string{"families", "network", "add", "0.0.0.0/0"}, exitUsage, []string{"everybody"}},
		{"a network that is not the family's", []string{"families", "network", "remove", "203.0.113.7"}, exitNothing, []string{"203.0.113.7"}},
		{"a loosening of nothing", []string{"families", "loosening"}, exitUsage, []string{"--delay", "--second"}},
		{"a delay that is none", []string{"families", "loosening", "--delay", "soon"}, exitUsage, []string{`"soon"`, "24h"}},
		{"a second guardian where there is one", []string{"families", "loosening", "--second"}, exitUsage, []string{"another owner or guardian"}},
		{"a file that is not", []string{"families", "apply", "/nonexistent/family.yaml"}, exitNothing, []string{"/nonexistent/family.yaml"}},
		{"a role that is not", []string{"guardians", "role", "Eva", "boss"}, exitUsage, []string{`"boss"`, "owner"}},
		{"the only owner", []string{"guardians", "role", "Eva", "viewer"}, exitUsage, []string{"only owner"}},
		{"a guardian that is not", []string{"guardians", "remove", "Tom"}, exitNothing, []string{`"Tom"`, "Eva"}},
		{"a profile of a name that is taken", []string{"profiles", "add", "lea", "C"}, exitUsage, []string{`"Lea"`, "another name"}},
		{"a profile that a device has", []string{"profiles", "remove", "Lea"}, exitUsage, []string{`"Phone"`}},
		{"a profile that is not", []string{"profiles", "show", "Leo"}, exitNothing, []string{`"Leo"`, "Lea"}},
		{"a category that is not", []string{"profiles", "log", "Lea", "datting", "count"}, exitNothing, []string{`"dating"`}},
		{"a record of a service", []string{"profiles", "log", "Lea", "tinder", "count"}, exitUsage, []string{"category"}},
		{"a record of no kind", []string{"profiles", "log", "Lea", "dating", "all"}, exitUsage, []string{`"all"`, "preset"}},
		{"a choice that is not", []string{"profiles", "choose", "Lea", "social", "forbid"}, exitUsage, []string{`"forbid"`, "preset"}},
		{"a list that is not", []string{"profiles", "list", "Lea", "catalog", "block"}, exitNothing, []string{`"catalogue"`}},
		{"a response that is none", []string{"profiles", "response", "Lea", "page"}, exitUsage, []string{`"page"`, "nxdomain"}},
		{"a bypass of neither kind", []string{"profiles", "bypass", "Lea", "maybe"}, exitUsage, []string{`"maybe"`}},
		{"an engine that is not", []string{"search", "set", "Lea", "gogle", "safe"}, exitNothing, []string{`"google"`}},
		{"a mode that an engine lacks", []string{"search", "set", "Lea", "bing", "moderate"}, exitUsage, []string{"moderate", "safe"}},
		{"a clue that another device has", []string{"devices", "add", "192.168.1.31", "--name", "TV"}, exitUsage, []string{"192.168.1.31", `"Phone"`}},
		{"a clue of no kind", []string{"devices", "clue", "add", "Phone", "phone"}, exitUsage, []string{`"phone"`, "dns:"}},
		{"a label that is none", []string{"devices", "clue", "add", "Phone", "dns:a_b"}, exitUsage, []string{"letters a to z"}},
		{"the last clue", []string{"devices", "clue", "remove", "Phone", "192.168.1.31"}, exitUsage, []string{"recognised by"}},
		{"a clue that it has not", []string{"devices", "clue", "remove", "Phone", "192.168.1.32"}, exitNothing, []string{"192.168.1.32"}},
		{"a device that is not", []string{"devices", "rename", "Phon", "TV"}, exitNothing, []string{`"Phon"`, "Phone"}},
		{"a guest without a profile for guests", []string{"devices", "guest", "192.168.1.77"}, exitUsage, []string{"profiles guests"}},
		{"a time that is none", []string{"incidents", "--since", "3x"}, exitUsage, []string{`"3x"`, "2026-11-23 21:30", "24h or 7d"}},
		{"a guest until now", []string{"devices", "guest", "192.168.1.77", "--profile", "Lea", "--for", "0s"}, exitUsage, []string{"--for"}},
		{"a rule for all names", []string{"rules", "deny", "*"}, exitUsage, []string{"nothing but stars", "ads*.example.com"}},
		{"a rule that is exact and a pattern", []string{"rules", "deny", "=ads*.example.com"}, exitUsage, []string{"="}},
		{"a rule twice", []string{"rules", "allow", "example.com", "--profile", "Lea"}, exitUsage, []string{"already", "remove it first"}},
		{"a rule against help", []string{"rules", "deny", "*.childline.org.uk"}, exitUsage, []string{"help line"}},
		{"a schedule of a name that is taken", []string{"schedules", "add", "Lea", "bedtime", "block", "social", "20:00-21:00"}, exitUsage, []string{`"Bedtime"`}},
		{"a schedule that overlaps itself", []string{"schedules", "add", "Lea", "Twice", "block", "social", "20:00-22:00", "21:00-23:00"}, exitUsage, []string{"Twice", "overlap"}},
		{"a window that is none", []string{"schedules", "bedtime", "Lea", "evening"}, exitUsage, []string{`"evening"`, "Mon-Fri 21:30-06:30"}},
		{"a schedule of no effect", []string{"schedules", "add", "Lea", "X", "stop", "social", "20:00-21:00"}, exitUsage, []string{`"stop"`, "block"}},
		{"a schedule for no rule", []string{"schedules", "add", "Lea", "X", "block", "rule:example.org", "20:00-21:00"}, exitUsage, []string{"rule:example.com"}},
		{"a schedule for what is not", []string{"schedules", "add", "Lea", "X", "block", "tikttok", "20:00-21:00"}, exitNothing, []string{`"tiktok"`}},
		{"a schedule that is not", []string{"schedules", "off", "Lea", "Bed"}, exitNothing, []string{`"Bed"`, "Bedtime"}},
		{"a day that is none", []string{"schedules", "except", "Lea", "Bedtime", "tomorrow"}, exitUsage, []string{`"tomorrow"`, "2026-12-24"}},
		{"a day with week days", []string{"schedules", "except", "Lea", "Bedtime", "2026-12-24", "Mon 20:00-21:00"}, exitUsage, []string{"single day"}},
		{"a holiday mode that is none", []string{"schedules", "holidays", "Lea", "Bedtime", "free"}, exitUsage, []string{`"free"`, "saturday"}},
		{"holidays that end before they begin", []string{"holidays", "add", "X", "2027-01-06", "2026-12-21"}, exitUsage, []string{"2026-12-21"}},
		{"holidays that are not", []string{"holidays", "remove", "X"}, exitNothing, []string{`"X"`}},
		{"a grant without an end", []string{"grants", "add", "social", "--profile", "Lea"}, exitUsage, []string{"--for 15m"}},
		{"a grant with two ends", []string{"grants", "add", "social", "--profile", "Lea", "--for", "15m", "--until", "23:59"}, exitUsage, []string{"either"}},
		{"a grant that is over", []string{"grants", "add", "social", "--profile", "Lea", "--until", "2020-01-01"}, exitUsage, []string{"over already"}},
		{"a grant for a rule", []string{"grants", "add", "rule:1", "--profile", "Lea", "--for", "15m"}, exitUsage, []string{"rule"}},
		{"a grant for what is not", []string{"grants", "add", "sociall", "--profile", "Lea", "--for", "15m"}, exitNothing, []string{`"social"`}},
		{"a grant that is not", []string{"grants", "revoke", "77"}, exitNothing, []string{"77"}},
		{"a number that is none", []string{"grants", "revoke", "first"}, exitUsage, []string{`"first"`}},
		{"a pause of nobody", []string{"pause", "Leo"}, exitNothing, []string{`"Leo"`}},
		{"a pause until yesterday", []string{"pause", "Lea", "--until", "2020-01-01"}, exitUsage, []string{"over already"}},
		{"a change that is not", []string{"changes", "undo", "77"}, exitNothing, []string{"77"}},
		{"the change that made the family", []string{"changes", "undo", "1"}, exitUsage, []string{"cannot be undone"}},
		{"a change that another has changed since", []string{"changes", "undo", "2"}, exitUsage, []string{"change "}},
		{"too many changes", []string{"changes", "--limit", "0"}, exitUsage, []string{"--limit"}},
		{"too many arguments", []string{"holidays", "add", "X", "2027-01-06", "2027-01-07", "2027-01-08"}, exitUsage, []string{"2027-01-08"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out, errs, code := h.run(tt.args...)
			missing := slices.DeleteFunc(slices.Clone(tt.want), func(w string) bool { return strings.Contains(errs, w) })
			if code != tt.code || len(missing) > 0 {
				t.Errorf("exit code %d, want %d; without %q:\n%s%s", code, tt.code, missing, out, errs)
			}
		})
	}
	if after := h.must("families", "export"); after != before {
		t.Errorf("what was refused changed the family from\n%s\nto\n%s", before, after)
	}
}
