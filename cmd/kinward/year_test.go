package main

import (
	"encoding/json"
	"fmt"
	"syscall"
	"testing"
	"time"

	"kinward/journal"
	"kinward/policy"
)

// someYear makes a year of incidents of a family's profile that ends at until: so
// many a day, of several services, every hundredth of a rare category.
func someYear(t testing.TB, family policy.FamilyID, profile policy.ProfileID, until time.Time, perDay int) (b journal.Batch) {
	t.Helper()
	things := [][3]string{
		{"omegle", "anonymous-chat", "omegle.com"},
		{"tiktok", "social", "tiktok.com"},
		{"", "adult", "some-site.example"},
		{"roblox", "games-chat", "roblox.com"},
		{"", "gambling", "casino.example"},
		{"discord", "messaging", "discord.com"},
		{"", "proxy", "tunnel.example"},
		{"reddit", "social", "reddit.com"},
	}
	n := 365 * perDay
	for i := range n {
		at := until.Add(-time.Duration(i) * 24 * time.Hour / time.Duration(perDay)).Truncate(time.Millisecond)
		thing := things[i%len(things)]
		if i%100 == 99 {
			thing = [3]string{"tinder", "dating", "tinder.com"}
		}
		details, err := json.Marshal(map[string]any{
			"v": 1, "verdict": "block", "reason": "category", "service": thing[0], "category": thing[1], "domain": thing[2], "list": "catalogue", "entry": thing[2],
			"revision": 1, "names": []any{map[string]any{"name": "www." + thing[2], "n": 3}, map[string]any{"name": thing[2], "n": 2}}, "types": []int{1, 28, 65}, "tries": 2, "queries": 5,
		})
		if err != nil {
			t.Fatal(err)
		}
		b.Rows = append(b.Rows, journal.Row{
			Family: family, ID: fmt.Sprintf("%012x%020x", at.UnixMilli(), i), Profile: profile, First: at.Add(-time.Minute), Last: at, Details: details,
		})
	}
	return b
}

func toJSON(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// BenchmarkYear: what the pages ask of the desk, in a family with a year of 36,500
// incidents, each of them reviewed.
//
//	go test ./cmd/kinward -run '^$' -bench Year
func BenchmarkYear(b *testing.B) {
	h := newDeskHouse(b)
	now := time.Now()
	year := someYear(b, 1, 1, now, 100)
	must(b, h.n.db.Write(b.Context(), year))
	must(b, h.command("profiles-add", change[profileRequest]{Do: profileRequest{Profile: "Tom", Preset: "C"}}))
	must(b, h.command("devices-add", change[deviceRequest]{Do: deviceRequest{Device: "02:00:5e:10:00:31", Name: "Tablet", Profile: "Tom"}}))
	eva := h.guardian(1, "Eva")
	var reviews []journal.Review
	for _, r := range year.Rows[40:] {
		reviews = append(reviews, journal.Review{Family: 1, Incident: r.ID, Reader: journal.Reader{Guardian: eva.Guardian, Who: "Eva"}, At: now})
	}
	must(b, h.n.db.Review(b.Context(), reviews...))
	list := func(q incidentsQuery, after string) incidentsRequest { return incidentsRequest{q, 40, after, 2000} }
	half := journal.Cursor{At: year.Rows[18_000].Last, ID: year.Rows[18_000].ID}.String()
	for _, c := range []struct {
		name, operation string
		req             any
	}{
		{"today", "today", todayRequest{Since: "24h"}},
		{"a week", "today", todayRequest{Since: "7d"}},
		{"the newest", "incidents", list(incidentsQuery{Since: "400d"}, "")},
		{"half a year back", "incidents", list(incidentsQuery{Since: "400d"}, half)},
		{"a rare category", "incidents", list(incidentsQuery{Since: "400d", Category: "dating"}, "")},
		{"what there is none of", "incidents", list(incidentsQuery{Since: "400d", Service: "nothing.example"}, "")},
		{"not reviewed", "incidents", list(incidentsQuery{Since: "400d", Unreviewed: true}, "")},
		{"a profile without any", "incidents", list(incidentsQuery{Since: "400d", Profile: "Tom"}, "")},
		{"a device without any", "incidents", list(incidentsQuery{Since: "400d", Device: "Tablet"}, "")},
		{"one", "incidents-show", incidentRequest{IDs: []string{year.Rows[20_000].ID}}},
		{"signals", "signals", signalsRequest{Since: "400d", Limit: 40}},
		{"who looked", "incidents-views", incidentRequest{Since: "30d"}},
		{"alerts", "alerts", about{}},
		{"a digest of a week", "digest", digestRequest{Guardian: "Eva", Period: "week"}},
		{"family", "family", about{}},
	} {
		b.Run(c.name, func(b *testing.B) {
			began := cpuTime()
			defer func() { b.ReportMetric(float64((cpuTime()-began).Microseconds())/float64(b.N)/1000, "cpu-ms/op") }()
			for b.Loop() {
				if err := h.desk.Do(b.Context(), eva, c.operation, c.req, &map[string]any{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// cpuTime is what this process has used: other work on the machine does not count.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
