package journal

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/go-cmp/cmp"

	"kinward/policy"
)

func TestSentence(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) time.Time {
		x, err := time.ParseInLocation("2006-01-02 15:04", s, berlin)
		if err != nil {
			t.Fatal(err)
		}
		return x.UTC()
	}
	names := Names{
		Profile:  func(id policy.ProfileID) string { return map[policy.ProfileID]string{1: "Everyone", 2: "Emma"}[id] },
		Device:   func(id policy.DeviceID) string { return map[policy.DeviceID]string{7: "Tablet"}[id] },
		Service:  func(id string) string { return map[string]string{"omegle": "Omegle"}[id] },
		Category: func(id string) string { return map[string]string{"anonymous-chat": "Chat with strangers"}[id] },
		Schedule: func(id policy.ScheduleID) string { return map[policy.ScheduleID]string{4: "Bedtime"}[id] },
		Now:      at("2026-11-24 09:00"),
	}
	base := Incident{
		Profile: 1, Device: 7, First: at("2026-11-23 21:30"), Last: at("2026-11-23 21:44"),
		Verdict: "block", Reason: "category", Service: "omegle", Category: "anonymous-chat",
		Domain: "omegle.com", TopName: "www.omegle.com", Tries: 4, Queries: 31,
	}
	tests := []struct {
		name   string
		change func(*Incident)
		want   string
	}{
		{"a service", func(*Incident) {}, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) tried Omegle, "Chat with strangers", 4 times; it was blocked.`},
		{"once, within a minute", func(i *Incident) { i.Last, i.Tries = i.First.Add(59*time.Second), 1 }, `Mon 23 Nov 21:30  Tablet (profile Everyone) tried Omegle, "Chat with strangers", once; it was blocked.`},
		{"across midnight", func(i *Incident) { i.First, i.Last = at("2026-11-23 23:50"), at("2026-11-24 00:05") }, `Mon 23 Nov 23:50 – Tue 24 Nov 00:05  Tablet (profile Everyone) tried Omegle, "Chat with strangers", 4 times; it was blocked.`},
		{"another year", func(i *Incident) { i.First, i.Last = at("2025-06-02 08:00"), at("2025-06-02 08:01") }, `Mon 2 Jun 2025 08:00–08:01  Tablet (profile Everyone) tried Omegle, "Chat with strangers", 4 times; it was blocked.`},
		{"across the new year", func(i *Incident) { i.First, i.Last = at("2026-12-31 23:58"), at("2027-01-01 00:04") }, `Thu 31 Dec 2026 23:58 – Fri 1 Jan 2027 00:04  Tablet (profile Everyone) tried Omegle, "Chat with strangers", 4 times; it was blocked.`},
		{"while the clock is set back", func(i *Incident) {
			i.First = time.Date(2026, 10, 25, 0, 50, 0, 0, time.UTC)
			i.Last = i.First.Add(20 * time.Minute)
		}, `Sun 25 Oct 02:50 CEST–02:10 CET  Tablet (profile Everyone) tried Omegle, "Chat with strangers", 4 times; it was blocked.`},
		{"the day is the family's", func(i *Incident) {
			i.First = time.Date(2026, 11, 22, 23, 30, 0, 0, time.UTC)
			i.Last = i.First
		}, `Mon 23 Nov 00:30  Tablet (profile Everyone) tried Omegle, "Chat with strangers", 4 times; it was blocked.`},
		{"watched", func(i *Incident) { i.Verdict = "watch" }, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) looked up Omegle, "Chat with strangers", 4 times; it was allowed and recorded.`},
		{"harmful: nobody tries that", func(i *Incident) { i.Reason, i.Service, i.Category = "security", "", "security" }, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) looked up omegle.com, "security", 4 times; it was blocked.`},
		{"no service: the registrable domain", func(i *Incident) { i.Service = "" }, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) tried omegle.com, "Chat with strangers", 4 times; it was blocked.`},
		{"only a site of a host of many", func(i *Incident) {
			i.Service, i.Domain, i.Entry, i.TopName = "", "page.link", "chat.page.link", "www.chat.page.link"
		}, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) tried www.chat.page.link, "Chat with strangers", 4 times; it was blocked.`},
		{"a whole domain, by one of its names", func(i *Incident) { i.Service, i.Entry = "", "omegle.com" }, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) tried omegle.com, "Chat with strangers", 4 times; it was blocked.`},
		{"a rule", func(i *Incident) { i.Service, i.Category, i.Reason = "", "", "rule" }, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) tried omegle.com, 4 times; it was blocked by the family's own rule.`},
		{"a hidden name", func(i *Incident) { i.Service, i.Hidden = "", "ads.evil.example" }, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) tried omegle.com, "Chat with strangers", 4 times; it led to ads.evil.example, which was blocked.`},
		{"an unknown device of the home", func(i *Incident) { i.Device, i.Client = 0, "192.168.1.23" }, `Mon 23 Nov 21:30–21:44  the device at 192.168.1.23 (profile Everyone) tried Omegle, "Chat with strangers", 4 times; it was blocked.`},
		{"an unknown device", func(i *Incident) { i.Device = 0 }, `Mon 23 Nov 21:30–21:44  an unknown device (profile Everyone) tried Omegle, "Chat with strangers", 4 times; it was blocked.`},
		{"device and profile are gone", func(i *Incident) { i.Device, i.Profile = 8, 8 }, `Mon 23 Nov 21:30–21:44  a removed device (a removed profile) tried Omegle, "Chat with strangers", 4 times; it was blocked.`},
		{"canaries", func(i *Incident) { i.Reason, i.Bypass, i.Service, i.Domain = "canary", Routine, "", "icloud.com" }, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) looked up names by which browsers and systems ask whether a filter is there, 4 times. This is routine.`},
		{"what systems ask for", func(i *Incident) { i.Bypass, i.Service, i.Category, i.Domain = Routine, "", "", "dns.google" }, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) looked up dns.google, 4 times; it was blocked. Browsers and systems do so by themselves: this is routine.`},
		{"a VPN", func(i *Incident) { i.Bypass, i.Service, i.Category, i.Tries = Attempt, "nordvpn", "vpn-proxy", 1 }, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) looked up nordvpn, "vpn-proxy", once; it was blocked. VPNs and proxies have many everyday uses.`},
		{"bedtime", func(i *Incident) { *i = offlineIncident(*i, "schedule", 4) }, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) looked up names during "Bedtime", 4 times; they were blocked. Devices also do so by themselves.`},
		{"bedtime that is gone", func(i *Incident) { *i = offlineIncident(*i, "schedule", 5) }, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) looked up names at a time when everything is blocked, 4 times; they were blocked. Devices also do so by themselves.`},
		{"pause", func(i *Incident) { *i = offlineIncident(*i, "pause", 0) }, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) looked up names while everything was paused, 4 times; they were blocked. Devices also do so by themselves.`},
		{"a service at bedtime", func(i *Incident) { i.Reason, i.Schedule = "schedule", 4 }, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) tried Omegle, "Chat with strangers", 4 times; it was blocked during "Bedtime".`},
		{"hours that are gone", func(i *Incident) { i.Reason, i.Schedule = "schedule", 5 }, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) tried Omegle, "Chat with strangers", 4 times; it was blocked at these hours.`},
		{"a rule's name at bedtime", func(i *Incident) { i.Reason, i.Schedule, i.Rule = "schedule", 4, 7 }, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) tried Omegle, "Chat with strangers", 4 times; it was blocked during "Bedtime", and is at other times by the family's own rule.`},
		{"a service in a pause", func(i *Incident) { i.Reason = "pause" }, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) tried Omegle, "Chat with strangers", 4 times; it was blocked while everything was paused.`},
		{"a search engine", func(i *Incident) {
			i.Verdict, i.Reason, i.Service, i.Category, i.Domain = "rewrite", "safe-search", "", "", "bing.com"
		}, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) looked up bing.com, 4 times; it was answered with its safe mode.`},
		{"service and category are gone", func(i *Incident) { i.Service, i.Category = "kik", "old" }, `Mon 23 Nov 21:30–21:44  Tablet (profile Everyone) tried kik, "old", 4 times; it was blocked.`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i := base
			tt.change(&i)
			got := Sentence(i, names, berlin)
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			for _, word := range []string{"visit", "you ", "your ", "access", "bypass", "circumvent", "evade", "caught"} {
				if strings.Contains(got, word) {
					t.Errorf("%q claims or accuses: %q", got, word)
				}
			}
		})
	}
	if got, want := Sentence(base, Names{}, nil), `Mon 23 Nov 20:30–20:44  a removed device (a removed profile) tried omegle, "anonymous-chat", 4 times; it was blocked.`; got != want {
		t.Errorf("without names and zone:\ngot  %s\nwant %s", got, want)
	}
}

// offlineIncident is base without what is not kept while everything is blocked.
func offlineIncident(i Incident, reason string, schedule policy.ScheduleID) Incident {
	i.Reason, i.Schedule = reason, schedule
	i.Service, i.Category, i.Domain, i.TopName = "", "", "", ""
	return i
}

func TestIncidentJSONKeysAreStable(t *testing.T) {
	b, err := json.Marshal(Incident{
		ID: "0a", Family: 1, Profile: 2, Device: 3, Client: "192.168.1.23", First: noon, Last: noon.Add(1500 * time.Millisecond),
		Open: true, Verdict: "block", Reason: "category", Service: "omegle", Category: "anonymous-chat", List: "catalogue",
		Entry: "omegle.com", Rule: 4, Schedule: 5, Grant: 6, Bypass: Attempt, Domain: "omegle.com", TopName: "www.omegle.com", Hidden: "x.example", Types: []string{"A"},
		Tries: 1, Queries: 2, Revision: 3,
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"id":"0a","family":1,"profile":2,"device":3,"client":"192.168.1.23","first":"2026-11-23T12:00:00Z","last":"2026-11-23T12:00:01.5Z",` +
		`"open":true,"verdict":"block","reason":"category","service":"omegle","category":"anonymous-chat","list":"catalogue",` +
		`"entry":"omegle.com","rule":4,"schedule":5,"grant":6,"bypass":"attempt","domain":"omegle.com","top_name":"www.omegle.com","hidden":"x.example","types":["A"],` +
		`"tries":1,"queries":2,"revision":3}`
	if d := cmp.Diff(want, string(b)); d != "" {
		t.Errorf("JSON (-want +got):\n%s", d)
	}
}

func TestDetailsOfAnotherVersionAreRefused(t *testing.T) {
	for _, details := range []string{"", "{", "{}", `{"v":2}`, `{"v":-1}`, "\x00"} {
		if i, err := (Row{ID: "x", Details: []byte(details)}).Incident(); err == nil {
			t.Errorf("details %q were read as %+v", details, i)
		}
	}
	// As written by version 1: this must be readable for ever.
	const first = `{"v":1,"verdict":"block","reason":"category","domain":"a.com","revision":1,"names":[{"name":"a.com","n":1}],"types":[1,65,64000],"tries":1,"queries":1,"window":0}`
	i, err := Row{ID: "x", Details: []byte(first)}.Incident()
	if err != nil || i.TopName != "a.com" || !cmp.Equal(i.Types, []string{"A", "HTTPS", "TYPE64000"}) {
		t.Errorf("version 1: %+v %v", i, err)
	}
}

func TestFilterLimit(t *testing.T) {
	for _, tt := range []struct{ limit, want int }{{0, 100}, {-1, 100}, {5, 5}, {1 << 30, MaxLimit}} {
		if got := (Filter{Limit: tt.limit}).Max(); got != tt.want {
			t.Errorf("limit %d: got %d, want %d", tt.limit, got, tt.want)
		}
	}
}

// TestDeviceAt: a name that a device gives itself is told as what it is now.
func TestDeviceAt(t *testing.T) {
	n := Names{Client: func(addr string) string { return map[string]string{"192.168.1.20": "tablet"}[addr] }}
	for addr, want := range map[string]string{
		"192.168.1.20": `the device at 192.168.1.20 (where "tablet" is now)`,
		"192.168.1.21": "the device at 192.168.1.21",
	} {
		if got := n.DeviceAt(addr); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := (Names{}).DeviceAt("192.168.1.20"); got != "the device at 192.168.1.20" {
		t.Errorf("without leases: %q", got)
	}
}
