package signals

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"kinward/journal"
	"kinward/policy"
)

// home returns a family with a named phone (device 7) of profile 1.
func home(t testing.TB) *policy.Family {
	t.Helper()
	f := policy.NewFamily("Home", "Europe/Berlin", policy.BandC)
	f.ID = 1
	f.Devices = []policy.Device{{ID: 7, Name: "Phone", Profile: 1}}
	return f
}

// incident is one of a service on the phone of home; edits change it.
func incident(id, service, category string, first time.Time, edits ...func(*journal.Incident)) journal.Incident {
	i := journal.Incident{
		ID: id, Family: 1, Profile: 1, Device: 7, First: first, Last: first, Verdict: "block", Reason: "category",
		Service: service, Category: category, Domain: service + ".com", Tries: 1, Queries: 1,
	}
	for _, e := range edits {
		e(&i)
	}
	return i
}

func attempt(i *journal.Incident) { i.Bypass = journal.Attempt }

func unnamed(addr string) func(*journal.Incident) {
	return func(i *journal.Incident) { i.Device, i.Client = 0, addr }
}

// told applies incidents one after the other to a profile that was made so long
// before noon, and returns kinds and things.
func told(f *policy.Family, age time.Duration, incidents ...journal.Incident) []string {
	m := newMemory(noon.Add(-age))
	out := []string{}
	for _, i := range incidents {
		for _, s := range (rules{f, zoneOf(f)}).apply(m, []journal.Incident{i}) {
			out = append(out, describe(s))
		}
	}
	return out
}

func describe(s journal.Signal) string {
	thing := cmp.Or(s.Service, s.Domain)
	if s.Kind == policy.SignalUnknown {
		thing = s.Details.Client
	}
	for _, o := range s.Details.Others {
		thing += " " + o
	}
	return s.Kind + ": " + thing
}

const month = 30 * 24 * time.Hour

func TestSignals(t *testing.T) {
	day := 24 * time.Hour
	evening := noon.Add(9*time.Hour + 30*time.Minute) // 22:30 in Berlin
	for _, tt := range []struct {
		name      string
		age       time.Duration
		incidents []journal.Incident
		want      []string
	}{
		{"a service that the profile never tried", month, []journal.Incident{incident("a", "tiktok", "social", noon)}, []string{"first-time: tiktok"}},
		{"the same again", month, []journal.Incident{incident("a", "tiktok", "social", noon), incident("b", "tiktok", "social", noon.Add(day))}, []string{"first-time: tiktok"}},
		{"in the first week everything is new", 6 * day, []journal.Incident{incident("a", "tiktok", "social", noon)}, nil},
		{"and stays known after it", 6 * day, []journal.Incident{incident("a", "tiktok", "social", noon), incident("b", "tiktok", "social", noon.Add(month))}, nil},
		{"a domain without a service", month, []journal.Incident{incident("a", "", "adult", noon)}, nil},
		{"a safe search", month, []journal.Incident{incident("a", "google", "", noon, func(i *journal.Incident) { i.Verdict = "rewrite" })}, nil},
		{"something dangerous", month, []journal.Incident{incident("a", "x", "security", noon, func(i *journal.Incident) { i.Reason = "security" })}, nil},
		{"what systems ask for", month, []journal.Incident{incident("a", "relay", "vpn-proxy", noon, func(i *journal.Incident) { i.Bypass = journal.Routine })}, nil},
		{"bedtime, without a name", month, []journal.Incident{incident("a", "", "", noon, func(i *journal.Incident) { i.Domain = "" })}, nil},

		{"three to chat with strangers within a week", month, []journal.Incident{
			incident("a", "ometv", "anonymous-chat", noon), incident("b", "monkey", "anonymous-chat", noon.Add(2*day)),
			incident("c", "", "anonymous-chat", noon.Add(5*day)),
		}, []string{"first-time: ometv", "first-time: monkey", "several-stranger-chats:  .com monkey ometv"}},
		{"two of them", month, []journal.Incident{incident("a", "ometv", "anonymous-chat", noon), incident("b", "monkey", "anonymous-chat", noon)}, []string{"first-time: ometv", "first-time: monkey"}},
		{"three over eight days", month, []journal.Incident{
			incident("a", "ometv", "anonymous-chat", noon), incident("b", "monkey", "anonymous-chat", noon.Add(4*day)),
			incident("c", "holla", "anonymous-chat", noon.Add(8*day)),
		}, []string{"first-time: ometv", "first-time: monkey", "first-time: holla"}},
		{"two of them, and two by a clock that was ahead", month, []journal.Incident{
			incident("a", "ometv", "anonymous-chat", noon.AddDate(1, 0, 0)), incident("b", "monkey", "anonymous-chat", noon.AddDate(1, 0, 0)),
			incident("c", "holla", "anonymous-chat", noon), incident("d", "uhmegle", "anonymous-chat", noon.Add(day)),
		}, []string{"first-time: ometv", "first-time: monkey", "first-time: holla", "first-time: uhmegle"}},
		{"four, told once a week", month, []journal.Incident{
			incident("a", "ometv", "anonymous-chat", noon), incident("b", "monkey", "anonymous-chat", noon),
			incident("c", "holla", "anonymous-chat", noon), incident("d", "uhmegle", "anonymous-chat", noon.Add(day)),
		}, []string{"first-time: ometv", "first-time: monkey", "first-time: holla", "several-stranger-chats:  holla monkey ometv", "first-time: uhmegle"}},

		{"an unknown device", month, []journal.Incident{incident("a", "", "adult", noon, unnamed("192.168.1.50"))}, []string{"unknown-device: 192.168.1.50"}},
		{"the same again, and another", month, []journal.Incident{
			incident("a", "", "adult", noon, unnamed("192.168.1.50")), incident("b", "", "adult", noon.Add(day), unnamed("192.168.1.50")),
			incident("c", "", "adult", noon.Add(day), unnamed("192.168.1.51")),
		}, []string{"unknown-device: 192.168.1.50", "unknown-device: 192.168.1.51"}},
		{"one whose address is public", month, []journal.Incident{incident("a", "", "adult", noon, unnamed(""))}, nil},

		{"dating at night", month, []journal.Incident{incident("a", "", "dating", evening)}, []string{"night: .com"}},
		{"stranger chat that goes on into the night", month, []journal.Incident{incident("a", "", "anonymous-chat", evening.Add(-time.Hour), func(i *journal.Incident) { i.Last = evening })}, []string{"night: .com"}},
		{"twice in one night, and in the next", month, []journal.Incident{
			incident("a", "", "dating", evening), incident("b", "", "dating", evening.Add(3*time.Hour)), incident("c", "", "dating", evening.Add(day)),
		}, []string{"night: .com", "night: .com"}},
		{"dating by day", month, []journal.Incident{incident("a", "", "dating", noon)}, nil},
		{"a game at night", month, []journal.Incident{incident("a", "", "games-chat", evening)}, nil},

		{"a VPN's own site", month, []journal.Incident{incident("a", "", "vpn-proxy", noon, attempt)}, []string{"bypass: .com"}},
		{"again on the same day, and on the next", month, []journal.Incident{
			incident("a", "", "vpn-proxy", noon, attempt), incident("b", "", "vpn-proxy", noon.Add(time.Hour), attempt), incident("c", "", "vpn-proxy", noon.Add(25*time.Hour), attempt),
		}, []string{"bypass: .com", "bypass: .com"}},

		{
			"a new service and then a VPN", month,
			[]journal.Incident{incident("a", "ometv", "anonymous-chat", noon), incident("b", "", "vpn-proxy", noon.Add(20*time.Minute), attempt)},
			[]string{"first-time: ometv", "bypass: .com", "new-then-vpn: .com ometv"},
		},
		{
			"stored the other way round", month,
			[]journal.Incident{incident("b", "", "vpn-proxy", noon.Add(20*time.Minute), attempt), incident("a", "ometv", "anonymous-chat", noon)},
			[]string{"bypass: .com", "first-time: ometv", "new-then-vpn: .com ometv"},
		},
		{
			"a VPN and then a new service", month,
			[]journal.Incident{incident("a", "", "vpn-proxy", noon, attempt), incident("b", "ometv", "anonymous-chat", noon.Add(20*time.Minute))},
			[]string{"bypass: .com", "first-time: ometv"},
		},
		{
			"two hours apart", month,
			[]journal.Incident{incident("a", "ometv", "anonymous-chat", noon), incident("b", "", "vpn-proxy", noon.Add(2*time.Hour), attempt)},
			[]string{"first-time: ometv", "bypass: .com"},
		},
		{"a service that is not new", month, []journal.Incident{
			incident("a", "ometv", "anonymous-chat", noon), incident("b", "ometv", "anonymous-chat", noon.Add(3*time.Hour)), incident("c", "", "vpn-proxy", noon.Add(3*time.Hour+time.Minute), attempt),
		}, []string{"first-time: ometv", "bypass: .com"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.want == nil {
				tt.want = []string{}
			}
			if d := gocmp.Diff(tt.want, told(home(t), tt.age, tt.incidents...)); d != "" {
				t.Errorf("told (-want +got):\n%s", d)
			}
		})
	}
}

// TestSignalsOff: a kind that the family does not want is not told, the others are,
// and what was tried meanwhile is no news when it is switched on again.
func TestSignalsOff(t *testing.T) {
	night := noon.Add(10 * time.Hour)
	everything := []journal.Incident{
		incident("a", "ometv", "anonymous-chat", night), incident("b", "monkey", "anonymous-chat", night),
		incident("c", "holla", "anonymous-chat", night, unnamed("192.168.1.50")), incident("d", "", "vpn-proxy", night.Add(time.Minute), attempt),
	}
	kinds := func(f *policy.Family) []string {
		var out []string
		for _, s := range (rules{f, zoneOf(f)}).apply(newMemory(noon.Add(-month)), everything) {
			out = append(out, s.Kind)
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	all := kinds(home(t))
	if want := []string{"bypass", "first-time", "new-then-vpn", "night", "several-stranger-chats", "unknown-device"}; !slices.Equal(all, want) {
		t.Fatalf("told %q, want %q", all, want)
	}
	for _, off := range all {
		f := home(t)
		f.SignalsOff = []string{off}
		want := slices.DeleteFunc(slices.Clone(all), func(k string) bool { return k == off })
		if got := kinds(f); !slices.Equal(got, want) {
			t.Errorf("without %s: told %q", off, got)
		}
	}
	f, m := home(t), newMemory(noon.Add(-month))
	f.SignalsOff = []string{policy.SignalFirstTime}
	r := rules{f, zoneOf(f)}
	r.apply(m, everything)
	f.SignalsOff = nil
	if got := r.apply(m, []journal.Incident{incident("e", "ometv", "anonymous-chat", noon.Add(month))}); len(got) != 0 {
		t.Errorf("switched on again: %+v", got)
	}
}

// TestNightIsTheFamilys: the hours are a setting, and go by the family's clock.
func TestNightIsTheFamilys(t *testing.T) {
	at := noon.Add(8*time.Hour + 30*time.Minute) // 21:30 in Berlin, 05:30 in Tokyo
	i := incident("a", "", "dating", at)
	f := home(t)
	if got := told(f, month, i); len(got) != 0 {
		t.Errorf("at 21:30: %q", got)
	}
	f.Night = policy.Hours{From: 21 * 60, To: 6 * 60}
	if got := told(f, month, i); len(got) != 1 {
		t.Errorf("at 21:30, night from 21:00: %q", got)
	}
	f.Night, f.Zone = policy.Hours{}, "Asia/Tokyo"
	if got := told(f, month, i); len(got) != 1 {
		t.Errorf("at 05:30 in Tokyo: %q", got)
	}
}

// TestNoDevicesHaveNames: where nothing has a name, nothing is unknown.
func TestNoDevicesHaveNames(t *testing.T) {
	f := home(t)
	f.Devices = nil
	if got := told(f, month, incident("a", "", "adult", noon, unnamed("192.168.1.50"))); len(got) != 0 {
		t.Errorf("told %q", got)
	}
}

// draw draws incidents that begin within a span.
func draw(t *rapid.T, span time.Duration) []journal.Incident {
	n := rapid.IntRange(1, 30).Draw(t, "incidents")
	begin := noon.Add(time.Duration(rapid.IntRange(0, 23).Draw(t, "hour")) * time.Hour)
	out := make([]journal.Incident, n)
	for k := range out {
		service := rapid.SampledFrom([]string{"", "ometv", "monkey", "holla", "tinder", "tiktok", "protonvpn"}).Draw(t, "service")
		category := map[string]string{"ometv": "anonymous-chat", "monkey": "anonymous-chat", "holla": "anonymous-chat", "tinder": "dating", "tiktok": "social", "protonvpn": "vpn-proxy"}[service]
		i := incident(fmt.Sprintf("%02d", k), service, category, begin.Add(time.Duration(rapid.IntRange(0, int(span/time.Minute)).Draw(t, "minute"))*time.Minute))
		i.Last = i.First.Add(time.Duration(rapid.IntRange(0, 90).Draw(t, "lasts")) * time.Minute)
		if service == "protonvpn" {
			attempt(&i)
		}
		if rapid.Bool().Draw(t, "unnamed") {
			unnamed(rapid.SampledFrom([]string{"192.168.1.50", "192.168.1.51"}).Draw(t, "client"))(&i)
		}
		out[k] = i
	}
	slices.SortFunc(out, func(a, b journal.Incident) int { return a.First.Compare(b.First) })
	return out
}

func sorted(list []journal.Signal) []string {
	out := []string{}
	for _, s := range list {
		out = append(out, s.ID+" "+describe(s))
	}
	slices.Sort(out)
	return out
}

// TestOrderDoesNotMatter: the order of incidents within a batch changes nothing,
// nor does it whether a batch comes again, whole or in part, grown or not.
func TestOrderDoesNotMatter(t *testing.T) {
	f := home(t)
	r := rules{f, zoneOf(f)}
	rapid.Check(t, func(t *rapid.T) {
		const night = 12 * time.Hour // told once
		day := draw(t, rapid.SampledFrom([]time.Duration{night - 2*time.Hour, 24 * time.Hour, week, 30 * 24 * time.Hour}).Draw(t, "span"))
		m := newMemory(noon.Add(-10 * 24 * time.Hour))
		first := r.apply(m, day)
		want := sorted(first)

		shuffled := slices.Clone(day)
		seed := rapid.Uint64().Draw(t, "seed")
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(shuffled), func(a, b int) { shuffled[a], shuffled[b] = shuffled[b], shuffled[a] })
		other := newMemory(noon.Add(-10 * 24 * time.Hour))
		if d := gocmp.Diff(want, sorted(r.apply(other, shuffled))); d != "" {
			t.Fatalf("in another order (-want +got):\n%s", d)
		}
		if d := gocmp.Diff(m, other); d != "" {
			t.Fatalf("remembered in another order (-want +got):\n%s", d)
		}

		back, err := decodeMemory(m.encode())
		if d := gocmp.Diff(m, back, cmpopts.EquateEmpty()); err != nil || d != "" {
			t.Fatalf("kept and read (-want +got): %v\n%s", err, d)
		}

		for _, i := range day {
			if i.Last.Sub(day[0].First) >= night { // no incident of yesterday grows, or comes again
				return
			}
		}
		// Each comes first as it opened and then whole, as the journal writes them; what
		// comes again then has the ID that it had, so that the store has it but once.
		ids := map[string]bool{}
		grown := newMemory(noon.Add(-10 * 24 * time.Hour))
		opened := slices.Clone(day)
		for k := range opened {
			opened[k].Last = opened[k].First
		}
		for n, batch := range [][]journal.Incident{opened, day, shuffled[:len(shuffled)/2], day} {
			for _, s := range r.apply(grown, batch) {
				if n > 1 && !ids[s.ID] {
					t.Fatalf("%s is new when batch %d comes again", describe(s), n)
				}
				ids[s.ID] = true
			}
		}
	})
}

// TestMemoryMemory: however many services, domains and addresses come, what is
// remembered stays small.
func TestMemoryMemory(t *testing.T) {
	f := home(t)
	r := rules{f, zoneOf(f)}
	m := newMemory(noon.Add(-month))
	for k := range 200 {
		var batch []journal.Incident
		for n := range 100 {
			id := fmt.Sprintf("%d-%d", k, n)
			batch = append(batch, incident(id, "service"+id, "anonymous-chat", noon.Add(time.Duration(k)*time.Minute), unnamed("10.0."+fmt.Sprint(k)+"."+fmt.Sprint(n)), attempt))
		}
		r.apply(m, batch)
	}
	if n := len(m.encode()); n > 256<<10 {
		t.Errorf("%d bytes are remembered of one profile", n)
	}
}

// FuzzMemory: nothing that is read as a memory breaks it.
func FuzzMemory(f *testing.F) {
	f.Add([]byte(`{"v":1,"since":0,"services":{"a":1},"new":[{"at":1}]}`))
	f.Add([]byte(`{"v":2}`))
	f.Add([]byte(`{"v":1,"told":null,"vpn":[{}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMemory(b)
		if err != nil {
			return
		}
		family := policy.NewFamily("Home", "UTC", policy.BandC)
		(rules{family, time.UTC}).apply(m, []journal.Incident{incident("a", "ometv", "anonymous-chat", noon)})
		if _, err := decodeMemory(m.encode()); err != nil {
			t.Error(err)
		}
	})
}
