package journal

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"kinward/blocklists"
	"kinward/journal/spool"
	"kinward/policy"
)

// stored merges attempts and returns what reaches a store.
func stored(t testing.TB, attempts ...policy.Attempt) *memory {
	t.Helper()
	m, s := newMerger(1000), &memory{}
	for i := range attempts {
		m.add(&attempts[i], spool.Encoded{})
	}
	settle(t, m, s)
	return s
}

func settle(t testing.TB, m *merger, s *memory) {
	t.Helper()
	for m.waits() {
		if err := s.Write(t.Context(), m.take()); err != nil {
			t.Fatal(err)
		}
		m.committed()
	}
}

// TestMerging is the specification of what is one incident. Each is written as
// "domain or service, verdict, tries/queries".
func TestMerging(t *testing.T) {
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	type attempts = []policy.Attempt
	tests := []struct {
		name string
		in   attempts
		want []string
	}{
		{"one look-up", attempts{try("omegle.com", noon)}, []string{"omegle.com block 1/1"}},
		{"A, AAAA and HTTPS are one try", attempts{
			try("omegle.com", noon), try("omegle.com", at(time.Millisecond), typed(typeAAAA)), try("omegle.com", at(2*time.Millisecond), typed(typeHTTPS)),
		}, []string{"omegle.com block 1/3"}},
		{"retries within 5 s are one try", attempts{
			try("omegle.com", noon), try("omegle.com", at(4999*time.Millisecond)),
		}, []string{"omegle.com block 1/2"}},
		{"a retry after 5 s is a second try", attempts{
			try("omegle.com", noon), try("omegle.com", at(5*time.Second)),
		}, []string{"omegle.com block 2/2"}},
		{"a window counts from its opening, not from its last look-up", attempts{
			try("omegle.com", noon), try("omegle.com", at(4*time.Second)), try("omegle.com", at(8*time.Second)),
		}, []string{"omegle.com block 2/3"}},
		{"a little out of order is the same try", attempts{
			try("omegle.com", at(20*time.Millisecond)), try("omegle.com", noon),
		}, []string{"omegle.com block 1/2"}},
		{"a pause just under 10 min goes on", attempts{
			try("omegle.com", noon), try("omegle.com", at(10*time.Minute-time.Millisecond)),
		}, []string{"omegle.com block 2/2"}},
		{"a pause of 10 min ends it", attempts{
			try("omegle.com", noon), try("omegle.com", at(10*time.Minute)),
		}, []string{"omegle.com block 1/1", "omegle.com block 1/1"}},
		{"the pause counts from the last attempt, so an evening can be one", attempts{
			try("omegle.com", noon), try("omegle.com", at(9*time.Minute)), try("omegle.com", at(18*time.Minute)), try("omegle.com", at(27*time.Minute)),
		}, []string{"omegle.com block 4/4"}},
		{"the clock set back by an hour begins anew", attempts{
			try("omegle.com", noon), try("omegle.com", at(-time.Hour)),
		}, []string{"omegle.com block 1/1", "omegle.com block 1/1"}},
		{"subdomains are their registrable domain", attempts{
			try("www.omegle.com", noon), try("chat.a.omegle.com", noon),
		}, []string{"omegle.com block 1/2"}},
		{"a public suffix of two labels", attempts{
			try("a.chat.co.uk", noon), try("b.other.co.uk", noon),
		}, []string{"chat.co.uk block 1/1", "other.co.uk block 1/1"}},
		{"a site of a shared host stands alone", attempts{
			try("a.github.io", noon), try("b.github.io", noon),
		}, []string{"a.github.io block 1/1", "b.github.io block 1/1"}},
		{"a public suffix itself", attempts{try("co.uk", noon)}, []string{"co.uk block 1/1"}},
		{"a name of one label", attempts{try("printer", noon)}, []string{"printer block 1/1"}},
		{"the root", attempts{try(".", noon)}, []string{". block 1/1"}},
		{"a dot within a label separates nothing", attempts{
			try(`attacker\.omegle.com`, noon), try("omegle.com", noon),
		}, []string{`attacker\.omegle.com block 1/1`, "omegle.com block 1/1"}},
		{"a public suffix with a dot within a label is none", attempts{
			try(`x.chat.co\.uk`, noon), try(`y.chat.co\.uk`, noon),
		}, []string{`chat.co\.uk block 1/2`}},
		{"bytes that are no text are escaped", attempts{try(`\000\255.omegle.com`, noon)}, []string{"omegle.com block 1/1"}},
		{"all domains of a service", attempts{
			try("omegle.com", noon, omegle), try("omegle.example", noon, omegle),
		}, []string{"omegle block 1/2"}},
		{"a service and its domain without it differ", attempts{
			try("omegle.com", noon, omegle), try("omegle.com", noon),
		}, []string{"omegle.com block 1/1", "omegle block 1/1"}},
		{"blocked and watched differ", attempts{
			try("omegle.com", noon), try("omegle.com", noon, watched),
		}, []string{"omegle.com block 1/1", "omegle.com watch 1/1"}},
		{"two devices differ", attempts{
			try("omegle.com", noon, device(3)), try("omegle.com", noon, device(4)),
		}, []string{"omegle.com block 1/1", "omegle.com block 1/1"}},
		{"two profiles differ", attempts{
			try("omegle.com", noon), try("omegle.com", noon, func(a *policy.Attempt) { a.Profile = 9 }),
		}, []string{"omegle.com block 1/1", "omegle.com block 1/1"}},
		{"two families differ", attempts{
			try("omegle.com", noon), try("omegle.com", noon, func(a *policy.Attempt) { a.Family = 9 }),
		}, []string{"omegle.com block 1/1", "omegle.com block 1/1"}},
		{"a known device is one from whatever address", attempts{
			try("omegle.com", noon), try("omegle.com", noon, func(a *policy.Attempt) { a.Client = netip.MustParseAddr("192.168.1.99") }),
		}, []string{"omegle.com block 1/2"}},
		{"unknown devices of a home differ by address", attempts{
			try("omegle.com", noon, from("192.168.1.23")), try("omegle.com", noon, from("192.168.1.24")), try("omegle.com", noon, from("::ffff:192.168.1.24")),
		}, []string{"omegle.com block 1/1", "omegle.com block 1/2"}},
		{"unknown devices with public addresses do not", attempts{
			try("omegle.com", noon, from("203.0.113.1")), try("omegle.com", noon, from("2001:db8::1")),
		}, []string{"omegle.com block 1/2"}},
		{"quiet names alone are none", attempts{try("omegle.com", noon, asQuiet)}, nil},
		{"quiet names raise an open one", attempts{
			try("omegle.com", noon), try("pixel.omegle.com", at(time.Minute), asQuiet),
		}, []string{"omegle.com block 2/2"}},
		{"quiet names do not raise one that ended", attempts{
			try("omegle.com", noon), try("pixel.omegle.com", at(10*time.Minute), asQuiet),
		}, []string{"omegle.com block 1/1"}},
		{"quiet names do not raise another service's", attempts{
			try("omegle.com", noon), try("pixel.omegle.com", noon, asQuiet, omegle),
		}, []string{"omegle.com block 1/1"}},
		{"what is only counted is none", attempts{try("tinder.com", noon, count)}, nil},
		{"what is allowed is none", attempts{try("omegle.com", noon, func(a *policy.Attempt) { a.Verdict.Action = policy.Allow })}, nil},
		{"what is not to be kept is none", attempts{try("omegle.com", noon, func(a *policy.Attempt) { a.Verdict.Keep = policy.KeepNothing })}, nil},
		{"a name that led to a blocked one is told by the name asked", attempts{
			try("www.school.example", noon, func(a *policy.Attempt) { a.Hidden = "\x03ads\x04evil\x07example" }),
		}, []string{"school.example block 1/1"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, i := range stored(t, tt.in...).incidents(t) {
				what := i.Service
				if what == "" {
					what = i.Domain
				}
				got = append(got, fmt.Sprintf("%s %s %d/%d", what, i.Verdict, i.Tries, i.Queries))
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("incidents (-want +got):\n%s", d)
			}
		})
	}
}

// What pages embed is told apart from what somebody asked for, however often it
// is looked up.
func TestIncidentFlagsWhatPagesEmbed(t *testing.T) {
	pixel := try("pixel.omegle.com", noon.Add(time.Minute), omegle, asQuiet)
	got := stored(t, try("www.omegle.com", noon, omegle), pixel, pixel, pixel).incidents(t)
	if len(got) != 1 || got[0].Queries != 4 || got[0].Embedded != 3 || got[0].TopName != "www.omegle.com" {
		t.Errorf("incidents: %+v, want one of 4 look-ups, 3 of them embedded, named after the other", got)
	}
}

func TestIncidentKeepsWhatItNeedsAndNoMore(t *testing.T) {
	a := try("www.omegle.com", noon.Add(1234567*time.Nanosecond), omegle)
	b := try("chat.omegle.com", noon.Add(time.Minute), omegle, typed(typeHTTPS))
	got := stored(t, a, b, b).incidents(t)
	got[0].ID = ""
	want := []Incident{{
		Family: 1, Profile: 2, Device: 3, Open: true,
		First: noon.Add(time.Millisecond), Last: noon.Add(time.Minute),
		Verdict: "block", Reason: "category", Service: "omegle", Category: "anonymous-chat",
		List: "catalogue", Entry: "omegle.com", Domain: "omegle.com", TopName: "chat.omegle.com",
		Types: []string{"A", "HTTPS"}, Tries: 2, Queries: 3, Revision: 7,
	}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("incident (-want +got):\n%s", d)
	}
}

func TestIncidentOfARuleAndOfAHiddenName(t *testing.T) {
	rule := func(a *policy.Attempt) {
		a.Verdict.Reason, a.Verdict.Rule, a.Verdict.RuleName = policy.ByRule, 5, blocklists.MustName("example.com")
		a.Verdict.Label = blocklists.Label{Depth: 2}
		a.List = ""
	}
	hidden := func(a *policy.Attempt) { a.Hidden = blocklists.MustName("a.ads.evil.example") }
	got := stored(t, try("a.example.com", noon, rule), try("www.school.example", noon.Add(time.Second), hidden, from("fe80::1%eth0"))).incidents(t)
	if i := got[0]; i.Rule != 5 || i.Entry != "example.com" || i.Category != "" || i.List != "" || i.Client != "" {
		t.Errorf("blocked by a rule: %+v", i)
	}
	if i := got[1]; i.Hidden != "a.ads.evil.example" || i.Entry != "evil.example" || i.TopName != "www.school.example" || i.Client != "fe80::1" {
		t.Errorf("led to a hidden name: %+v", i)
	}
}

// What a stored row shows without its details is what the store needs in order
// to find it, and nothing of what the incident is about.
func TestRowTellsNothingOfTheNameOutsideItsDetails(t *testing.T) {
	for _, r := range stored(t, try("www.omegle.com", noon, omegle, from("192.168.1.23"))).rows {
		r.Details = nil
		if s := fmt.Sprintf("%+v", r); strings.Contains(s, "omegle") || strings.Contains(s, "192.168") {
			t.Errorf("row without details: %s", s)
		}
	}
}

func TestCountsHaveNoNameNoDeviceAndNoTime(t *testing.T) {
	late := time.Date(2026, 11, 23, 23, 59, 59, 0, time.UTC)
	s := stored(
		t,
		try("tinder.com", noon, count), try("www.tinder.com", noon.Add(time.Second), count, device(4)),
		try("tinder.com", noon.Add(time.Hour), count), try("pixel.tinder.com", noon, count, asQuiet),
		try("tinder.com", late, count), try("tinder.com", late.Add(5*time.Second), count),
	)
	if len(s.rows) != 0 {
		t.Errorf("%d incidents of what must not be named", len(s.rows))
	}
	day := func(d string) Count { return Count{Family: 1, Profile: 2, Category: "dating", Day: d} }
	want := map[Count]tally{day("2026-11-23"): {3, 4}, day("2026-11-24"): {1, 1}}
	if d := cmp.Diff(want, s.counts, cmp.AllowUnexported(tally{})); d != "" {
		t.Errorf("counts (-want +got):\n%s", d)
	}
}

func TestIncidentKeepsFewNamesAndTheOneAskedMost(t *testing.T) {
	var in []policy.Attempt
	for i := range 400 {
		in = append(in, try(fmt.Sprintf("r%d.omegle.com", i), noon.Add(time.Duration(i)*time.Second), typed(uint16(i))))
		if i%4 == 0 {
			in = append(in, try("chat.omegle.com", noon.Add(time.Duration(i)*time.Second)))
		}
	}
	s := stored(t, in...)
	i := s.incidents(t)[0]
	if i.TopName != "chat.omegle.com" || i.Queries != 500 || len(i.Types) > maxTypes {
		t.Errorf("top name %s, %d queries, types %s; want chat.omegle.com, 500, at most %d types", i.TopName, i.Queries, i.Types, maxTypes)
	}
	for _, r := range s.rows {
		if len(r.Details) > 1024 {
			t.Errorf("details are %d bytes, want at most 1024", len(r.Details))
		}
	}
}

func TestRestartGoesOnMerging(t *testing.T) {
	s := &memory{}
	first := newMerger(10)
	for _, a := range []policy.Attempt{try("omegle.com", noon, omegle), try("other.com", noon)} {
		first.add(&a, spool.Encoded{})
	}
	settle(t, first, s)

	rows, _ := s.OpenIncidents(t.Context(), noon.Add(-Gap), 10)
	second := newMerger(10)
	if bad := second.load(append(rows, Row{Key: "zz", Details: []byte("{")})); bad != 1 {
		t.Errorf("%d rows could not be read, want 1", bad)
	}
	for _, a := range []policy.Attempt{
		try("omegle.com", noon.Add(4*time.Second), omegle), // within the window that the first run opened
		try("omegle.com", noon.Add(Gap-time.Second), omegle),
		try("other.com", noon.Add(Gap)),
	} {
		second.add(&a, spool.Encoded{})
	}
	settle(t, second, s)
	var got []string
	for _, i := range s.incidents(t) {
		got = append(got, fmt.Sprintf("%s%s %d/%d", i.Service, i.Domain, i.Tries, i.Queries))
	}
	want := []string{"omegleomegle.com 2/3", "other.com 1/1", "other.com 1/1"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("incidents (-want +got):\n%s", d)
	}
}

func TestOpenIncidentsAreBoundedAndTheOldestEndsFirst(t *testing.T) {
	m, s := newMerger(3), &memory{}
	for _, name := range []string{"a.com", "b.com", "c.com", "a.com", "d.com", "a.com", "b.com"} {
		a := try(name, noon)
		m.add(&a, spool.Encoded{})
		if len(m.open) > 3 {
			t.Fatalf("%d incidents are open, want at most 3", len(m.open))
		}
	}
	settle(t, m, s)
	got := map[string]uint64{}
	n := 0
	for _, i := range s.incidents(t) {
		got[i.Domain] += i.Queries
		n++
	}
	want := map[string]uint64{"a.com": 3, "b.com": 2, "c.com": 1, "d.com": 1}
	if d := cmp.Diff(want, got); d != "" || n != 5 || m.closedEarly != 2 {
		t.Errorf("%d incidents, %d ended early, want 5 and 2 (b.com twice); queries (-want +got):\n%s", n, m.closedEarly, d)
	}
}

func TestSweepForgetsWhatCannotGrow(t *testing.T) {
	m := newMerger(10)
	for _, a := range []policy.Attempt{
		try("old.com", noon), try("young.com", noon.Add(5*time.Minute)), try("future.com", noon.Add(24*time.Hour)), try("tinder.com", noon, count),
	} {
		m.add(&a, spool.Encoded{})
	}
	if n := m.sweep(noon.Add(Gap + late).UnixMilli()); n != 2 || len(m.open) != 1 || len(m.windows) != 0 {
		t.Errorf("%d forgotten, %d open, %d windows; want 2, 1 and 0", n, len(m.open), len(m.windows))
	}
	if m.unsaved() != 4 {
		t.Errorf("%d attempts are to be written, want 4: forgetting loses nothing", m.unsaved())
	}
}

// Whatever comes, in whatever order, while the store fails now and then: every
// attempt is in an incident, in a count, or accounted for.
func TestEveryAttemptIsAccountedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		maxOpen := rapid.IntRange(1, 6).Draw(t, "open")
		m, s := newMerger(maxOpen), &memory{}
		names := []string{"a.com", "w.a.com", "b.com", "c.co.uk", "d.com", "e.com", ".", `x\.y.com`}
		var outcomes [unkept + 1]uint64
		recorded, now := uint64(0), noon
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			default:
				now = now.Add(time.Duration(rapid.IntRange(-2, 400).Draw(t, "seconds")) * time.Second)
				a := try(rapid.SampledFrom(names).Draw(t, "name"), now, device(policy.DeviceID(rapid.IntRange(0, 1).Draw(t, "device"))))
				a.Service = rapid.SampledFrom([]string{"", "", "s"}).Draw(t, "service")
				a.Verdict.Quiet = rapid.IntRange(0, 3).Draw(t, "quiet") == 0
				a.Verdict.Keep = policy.Keep(rapid.IntRange(0, 2).Draw(t, "keep"))
				a.Verdict.Action = policy.Action(rapid.IntRange(0, 2).Draw(t, "action"))
				recorded++
				outcomes[m.add(&a, spool.Encoded{})]++
			case 0, 1:
				b := m.take()
				if rapid.Bool().Draw(t, "raced") { // attempts go on while a batch is written
					a := try("a.com", now)
					recorded++
					outcomes[m.add(&a, spool.Encoded{})]++
				}
				if rapid.Bool().Draw(t, "fails") {
					m.failed()
				} else {
					s.Write(t.Context(), b)
					m.committed()
				}
			case 2:
				m.sweep(now.UnixMilli())
			}
			if len(m.open) > maxOpen {
				t.Fatalf("%d open, want at most %d", len(m.open), maxOpen)
			}
			if missing := m.unsaved() > 0; missing != m.waits() {
				t.Fatalf("%d unsaved, but waits says %t", m.unsaved(), !missing)
			}
		}
		for m.waits() {
			s.Write(t.Context(), m.take())
			m.committed()
		}
		var kept, tries, queries uint64
		for _, r := range s.rows {
			i, err := r.Incident()
			if err != nil {
				t.Fatal(err)
			}
			kept += i.Queries
			if i.Tries < 1 || i.Tries > i.Queries || i.Last.Before(i.First) || i.TopName == "" {
				t.Fatalf("incident makes no sense: %+v", i)
			}
		}
		for _, c := range s.counts {
			tries, queries = tries+c.tries, queries+c.queries
		}
		if kept != outcomes[merged]+outcomes[opened] || queries != outcomes[counted] || tries > queries {
			t.Fatalf("stored %d in incidents and %d counted, want %d and %d", kept, queries, outcomes[merged]+outcomes[opened], outcomes[counted])
		}
		if sum := kept + queries + outcomes[quiet] + outcomes[unkept]; sum != recorded {
			t.Fatalf("%d accounted for, want %d", sum, recorded)
		}
		if n := uint64(len(s.rows)); n != outcomes[opened] {
			t.Fatalf("%d incidents stored, want %d", n, outcomes[opened])
		}
	})
}
