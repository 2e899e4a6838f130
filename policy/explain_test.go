package policy

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"kinward/blocklists"
)

// TestExplainSaysWhy: a sentence for each kind of reason, in a guardian's words.
func TestExplainSaysWhy(t *testing.T) {
	x := decisionIndex(t)
	presets, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	f := readFamily(t)
	for i := range f.Profiles {
		f.Devices = append(f.Devices, Device{ID: DeviceID(1000 + f.Profiles[i].ID), Name: f.Profiles[i].Name + "'s phone", Profile: f.Profiles[i].ID})
	}
	d, err := NewDirectory(f, presets, x, 1)
	if err != nil {
		t.Fatal(err)
	}
	s := &State{Index: x, Directory: d}
	zone, err := time.LoadLocation(f.Zone)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[Reason]bool{}
	for _, tt := range []struct {
		profile, when, name, want string
	}{
		{"ada", "15:00", "wikipedia.org", "wikipedia.org is allowed for ada's phone (profile ada): nothing that the profile minds is known of it."},
		{"ada", "15:00", "www.childline.org.uk", "is a help line or the like (childline.org.uk): open to everybody, and never recorded."},
		{"cleo", "15:00", "phish.example", "a list calls it dangerous (entry phish.example of list danger)."},
		{"ada", "15:00", "captive.apple.com", "devices need it in order to work (captive.apple.com)."},
		{"ada", "15:00", "kinward.home.arpa", "it is the family's own Kinward, which stays open."},
		{"ruled", "15:00", "news.example", "a rule of the family denies news.example alone (rule 1501)."},
		{"ruled", "15:00", "ads7.example.net", "a rule of the family denies what matches ads*.example.net (rule 1504)."},
		{"ruled", "15:00", "week.example", "a rule of the family denies week.example and all below it until Mon 23 Nov 18:00 (rule 1511)."},
		{"pupil", "12:00", "game.example", `a rule of the family denies game.example and all below it, by the hours of "lessons" (Mon-Fri 08:00-13:00) (rule 1011).`},
		{"searcher", "15:00", "redd.it", `the profile chose "block" for this service`},
		{"cleo", "15:00", "omegle.com", `it belongs to Omegle, in the category "Chat with strangers", for which the profile says "block"`},
		{"cleo", "15:00", "www.tiktok.com", "is marked as an app with a record of harm"},
		{"listed", "15:00", "quake.example", `list games names it (entry quake.example), and the profile chose "block" for this list.`},
		{"granted", "15:30", "omegle.com", "omegle.com is allowed for granted's phone (profile granted): Dad opened omegle.com until Mon 23 Nov 16:00 (grant 602)."},
		{"granted", "20:45", "www.tiktok.com", "Mum opened TikTok until Mon 23 Nov 21:30 (grant 601): a good day."},
		{"lifted", "20:45", "wikipedia.org", "Mum opened everything until Mon 23 Nov 21:00 (grant 611): the film is not over."},
		{"grounded", "15:00", "wikipedia.org", "everything is paused until a guardian ends the pause."},
		{"stopped", "15:00", "wikipedia.org", "everything is paused until Mon 23 Nov 18:00."},
		{"sleeper", "22:00", "wikipedia.org", `"school nights" (Sun-Thu 21:00-06:30; Fri,Sat 22:30-08:00) closes everything.`},
		{"freetimer", "12:00", "wikipedia.org", `everything is closed outside "free time" (Mon-Fri 15:00-16:00; Mon-Fri 17:00-18:30; Sat,Sun 09:00-20:00).`},
		{"pupil", "12:00", "www.facebook.com", `"school" (Mon-Fri 08:00-13:00) closes the category "Social`},
		{"pupil", "12:00", "www.tiktok.com", `TikTok is closed outside "tiktok time" (daily 17:00-18:00).`},
		{"pupil", "17:30", "www.tiktok.com", `"tiktok time" (daily 17:00-18:00) opens TikTok.`},
		{"cleo", "15:00", "www.google.de", "www.google.de is answered with forcesafesearch.google.com for cleo's phone (profile cleo): the profile wants Google Search in its safe mode, which is at forcesafesearch.google.com."},
		{"cleo", "15:00", "www.youtube.com", "the profile wants YouTube in its moderate mode"},
		{"cleo", "15:00", "use-application-dns.net", "Firefox: this name is how they ask whether the network filters, and the answer says that it does."},
	} {
		at, err := time.ParseInLocation("2006-01-02 15:04", "2026-11-23 "+tt.when, zone)
		if err != nil {
			t.Fatal(err)
		}
		var a Asker
		for _, dev := range f.Devices {
			if dev.Name == tt.profile+"'s phone" {
				a, _ = d.Device(f.ID, dev.ID, at)
			}
		}
		n := blocklists.MustName(tt.name)
		e := Explain(s, a, f, n, TypeA, at)
		if !strings.Contains(e.Sentence, tt.want) {
			t.Errorf("%s for %s: %s\nwant: %s", tt.name, tt.profile, e.Sentence, tt.want)
		}
		seen[Decide(a.Policy, Ask(x, n, TypeA, at)).Reason] = true
		if without := Explain(s, a, nil, n, TypeA, at); without.Verdict != e.Verdict || without.Sentence == "" {
			t.Errorf("%s for %s, without the family: %s", tt.name, tt.profile, without.Sentence)
		}
	}
	for r := range NumReasons {
		if !seen[r] {
			t.Errorf("no sentence for %s", r)
		}
	}
}

// TestExplainAsData: what a program reads of a verdict that time made.
func TestExplainAsData(t *testing.T) {
	x := decisionIndex(t)
	presets, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	f := readFamily(t)
	f.Default = 8
	d, err := NewDirectory(f, presets, x, 1)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := d.Household()
	at := time.Date(2026, 11, 23, 21, 30, 0, 0, time.UTC)
	out, err := json.Marshal(Explain(&State{Index: x, Directory: d}, a, f, blocklists.MustName("wikipedia.org"), TypeA, at))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"verdict":"block"`, `"reason":"schedule"`, `"schedule":"school nights"`, `"changes":"2026-11-24T05:30:00Z"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%s\nwant: %s", out, want)
		}
	}
}
