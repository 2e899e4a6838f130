package policy

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kinward/blocklists"
)

var (
	//go:embed testdata/decisions.txt
	decisionsTXT string
	//go:embed testdata/family.json
	familyJSON []byte
)

// decisionRow is a row of decisions.txt.
type decisionRow struct {
	line                          int
	zone                          string
	at                            time.Time
	profile, name                 string
	verdict, reason, kept, extras string
}

func readFamily(t testing.TB) *Family {
	t.Helper()
	f := &Family{}
	if err := json.Unmarshal(familyJSON, f); err != nil {
		t.Fatal(err)
	}
	return f
}

func decisionIndex(t testing.TB) *blocklists.Index {
	t.Helper()
	c, err := blocklists.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	x, err := blocklists.Compile(c, []blocklists.ListInput{
		list("danger", blocklists.Security, "phish.example", "grindr.com", "telefonseelsorge.de"),
		list("careless", blocklists.Adult, "childline.org.uk", "gstatic.com", "adult.example", "both.example", "=single.example", "reddit.com", "art.reddit.com"),
		list("dating", blocklists.Dating, "both.example", "date.example"),
		list("games", blocklists.GamesChat, "quake.example"),
		list("shows", blocklists.Piracy, "series.example", "stream.example"),
		list("bets", blocklists.Gambling, "bet.example"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func readDecisions(t testing.TB) (rows []decisionRow) {
	t.Helper()
	zone, day := time.UTC, ""
	for i, line := range strings.Split(decisionsTXT, "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
			continue
		case f[0] == "zone" && len(f) == 2:
			z, err := time.LoadLocation(f[1])
			if err != nil {
				t.Fatal(err)
			}
			zone = z
			continue
		case f[0] == "day" && len(f) == 2:
			day = f[1]
			continue
		case len(f) < 6:
			t.Fatalf("decisions.txt line %d: %q has too few columns", i+1, line)
		}
		var at time.Time
		var err error
		if len(f[0]) > len("15:04") {
			at, err = time.Parse("2006-01-02T15:04Z07:00", day+"T"+f[0])
		} else {
			at, err = time.ParseInLocation("2006-01-02T15:04", day+"T"+f[0], zone)
		}
		if at = at.In(zone); err != nil || at.Format("2006-01-02T15:04") != day+"T"+f[0][:5] {
			t.Fatalf("decisions.txt line %d: the clock in %s never shows %s on %s (%v)", i+1, zone, f[0], day, err)
		}
		rows = append(rows, decisionRow{i + 1, zone.String(), at, f[1], f[2], f[3], f[4], f[5], strings.Join(f[6:], " ")})
	}
	return rows
}

// TestDecisions holds Decide against its specification, and Explain against
// Decide.
func TestDecisions(t *testing.T) {
	x := decisionIndex(t)
	presets, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	rows := readDecisions(t)
	if len(rows) < 300 {
		t.Errorf("decisions.txt has %d rows", len(rows))
	}
	states := map[string]*State{}
	f := readFamily(t)
	used := map[string]bool{}
	reasons := map[string]bool{}
	for _, r := range rows {
		s := states[r.zone]
		if s == nil {
			f.Zone = r.zone
			f.Devices = f.Devices[:2]
			for _, p := range f.Profiles { // each profile by a device of its own
				f.Devices = append(f.Devices, Device{ID: DeviceID(1000 + p.ID), Name: p.Name, Profile: p.ID})
			}
			d, err := NewDirectory(f, presets, x, 1)
			if err != nil {
				t.Fatal(err)
			}
			s = &State{Index: x, Directory: d}
			states[r.zone] = s
		}
		device := strings.TrimPrefix(r.profile, "dev:")
		i := slices.IndexFunc(f.Devices, func(d Device) bool { return d.Name == device })
		if i < 0 {
			t.Fatalf("line %d: no profile or device is called %q", r.line, r.profile)
		}
		used[device] = true
		a, ok := s.Directory.Device(f.ID, f.Devices[i].ID, r.at)
		if !ok {
			t.Fatalf("line %d: the device is refused", r.line)
		}
		n := blocklists.MustName(r.name)
		v := Decide(a.Policy, Ask(x, n, TypeA, r.at))
		kept := [...]string{"nothing", "count", "item"}[v.Keep]
		reasons[r.reason] = true
		if v.Action.String() != r.verdict || v.Reason.String() != r.reason || kept != r.kept {
			t.Errorf("line %d: %s for %s: %s by %s, kept: %s (schedule %d, rule %d, grant %d); want %s by %s, kept: %s",
				r.line, r.name, r.profile, v.Action, v.Reason, kept, v.Schedule, v.Rule, v.Grant, r.verdict, r.reason, r.kept)
		}
		for _, extra := range strings.Fields(r.extras) {
			if got := extraOf(x, v, extra); got != extra {
				t.Errorf("line %d: %s for %s: %s; want %s", r.line, r.name, r.profile, got, extra)
			}
		}
		checkExplained(t, r.line, Explain(s, a, f, n, TypeA, r.at), v)
	}
	for _, p := range f.Profiles {
		if !used[p.Name] {
			t.Errorf("profile %s has no row", p.Name)
		}
	}
	for _, r := range reasonNames {
		if !reasons[r] {
			t.Errorf("reason %s has no row", r)
		}
	}
}

// extraOf returns what the row's column would have to say.
func extraOf(x *blocklists.Index, v Verdict, extra string) string {
	key, _, _ := strings.Cut(extra, "=")
	switch key {
	case "schedule":
		return fmt.Sprint("schedule=", v.Schedule)
	case "grant":
		return fmt.Sprint("grant=", v.Grant)
	case "rule":
		return fmt.Sprint("rule=", v.Rule)
	case "list":
		return "list=" + x.List(v.Label.List).ID
	case "category":
		return "category=" + v.Label.Category.String()
	case "target":
		return "target=" + v.Target.String()
	case "bypass":
		return "bypass=" + [...]string{"no", "routine", "attempt"}[v.Bypass]
	case "nodata", "nxdomain":
		if v.NoData {
			return "nodata"
		}
		return "nxdomain"
	case "quiet":
		if v.Quiet {
			return "quiet"
		}
		return "not quiet"
	}
	return "no such column"
}

func checkExplained(t *testing.T, line int, e Explanation, v Verdict) {
	t.Helper()
	if e.Verdict != v.Action.String() || e.Reason != v.Reason.String() {
		t.Errorf("line %d: Explain says %s by %s; Decide says %s by %s", line, e.Verdict, e.Reason, v.Action, v.Reason)
	}
	settled := 0
	for _, s := range e.Steps {
		if s.Settled {
			settled++
		}
		if s.Step == "" || s.Found == "" {
			t.Errorf("line %d: a step of the explanation is empty: %+v", line, e.Steps)
		}
	}
	if last := e.Steps[len(e.Steps)-1]; settled != 1 || !last.Settled || !strings.Contains(e.Sentence, last.Found) {
		t.Errorf("line %d: the explanation does not end with the step that settled: %+v", line, e.Steps)
	}
}
