package resolver

import (
	"bytes"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"kinward/blocklists"
	"kinward/policy"
)

// home returns a state with one profile, which everybody has, and its grants.
func home(t testing.TB, p policy.Profile, grants ...policy.Grant) *policy.State {
	t.Helper()
	st := state(t)
	presets, err := policy.EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	p.ID, p.Name = 10, "Everyone"
	d, err := policy.NewDirectory(&policy.Family{ID: 1, Name: "Home", Zone: "UTC", Default: 10, Profiles: []policy.Profile{p}, Grants: grants}, presets, st.Index, 7)
	if err != nil {
		t.Fatal(err)
	}
	return &policy.State{Index: st.Index, Directory: d}
}

// TestTTLsEndWithTheVerdict: what a device may keep ends when the verdict does,
// from upstream and from the cache, for the names that an answer leads to, too.
func TestTTLsEndWithTheVerdict(t *testing.T) {
	clk := newClock()
	in := func(d time.Duration) time.Time { return clk.now().Add(d) }
	up := newFake(t,
		"opened.example. 600 IN A 192.0.2.1", "ok.example. 600 IN A 192.0.2.2",
		"front.example. 600 IN CNAME stranger.example.", "stranger.example. 600 IN A 192.0.2.3",
	)
	c := config(t, up)
	c.Now = clk.now
	st := home(t, policy.Profile{Preset: policy.BandC, Rules: []policy.Rule{
		{ID: 1, Name: blocklists.MustName("stranger.example"), Allow: true, Until: in(25 * time.Second)},
		{ID: 2, Name: blocklists.MustName("closed.example"), Until: in(4 * time.Second)},
		{ID: 3, Name: blocklists.MustName("later.example"), Until: in(40 * time.Second)},
		// It ends, but changes nothing.
		{ID: 4, Name: blocklists.MustName("ok.example"), Allow: true, Until: in(20 * time.Second)},
	}})
	c.State = func() *policy.State { return st }
	s := start(t, c)
	for _, tt := range []struct {
		name  string
		after time.Duration
		asked string
		rcode int
		want  uint32
	}{
		{"an allowed name that will be blocked", 0, "stranger.example.", 0, 25},
		{"from the cache", 10500 * time.Millisecond, "stranger.example.", 0, 14},
		{"a name that leads to it", 0, "front.example.", 0, 14},
		{"and from the cache", 4 * time.Second, "front.example.", 0, 10},
		{"in the last second", 10 * time.Second, "front.example.", 0, 0},
		{"and then it is blocked", 500 * time.Millisecond, "stranger.example.", dns.RcodeNameError, 10},
		{"what leads to it as well", 0, "front.example.", 0, 10},
		{"a name about which nothing changes", -15 * time.Second, "ok.example.", 0, 60},
		{"a block is kept 10 s", 0, "later.example.", dns.RcodeNameError, 10},
		{"but not past its end", -7 * time.Second, "closed.example.", dns.RcodeNameError, 1},
		{"nor less than 1 s", 900 * time.Millisecond, "closed.example.", dns.RcodeNameError, 1},
		{"from its beginning", -3900 * time.Millisecond, "closed.example.", dns.RcodeNameError, 4},
	} {
		clk.advance(tt.after)
		got := ask(t, s, household, msgFor(tt.asked, dns.TypeA))
		all := append(got.Answer, got.Ns...)
		if got.Rcode != tt.rcode || len(all) == 0 {
			t.Fatalf("%s: %s", tt.name, got)
		}
		for _, rr := range all {
			if ttl := rr.Header().Ttl; ttl != tt.want {
				t.Errorf("%s: %s, want a TTL of %d", tt.name, rr, tt.want)
			}
		}
	}
}

// What a device with another profile for a while may keep ends with that while.
func TestTTLsEndWithAnExemption(t *testing.T) {
	clk := newClock()
	c := config(t, newFake(t, "ok.example. 600 IN A 192.0.2.1", "stranger.example. 600 IN A 192.0.2.2"))
	c.Now = clk.now
	presets, err := policy.EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	st := state(t)
	d, err := policy.NewDirectory(&policy.Family{
		ID: 1, Name: "Home", Default: 10,
		Profiles: []policy.Profile{{ID: 10, Name: "Everyone", Preset: policy.BandC}, {ID: 11, Name: "Grown-ups", Preset: policy.Adult}},
		Devices: []policy.Device{
			{ID: 20, Name: "Freed", Profile: 11, Networks: []netip.Prefix{netip.MustParsePrefix(household + "/32")}, Until: clk.now().Add(20 * time.Second)},
			{ID: 21, Name: "Held", Profile: 10, Networks: []netip.Prefix{netip.MustParsePrefix(ruled + "/32")}, Until: clk.now().Add(4 * time.Second), Then: 11},
		},
	}, presets, st.Index, 7)
	if err != nil {
		t.Fatal(err)
	}
	st = &policy.State{Index: st.Index, Directory: d}
	c.State = func() *policy.State { return st }
	s := start(t, c)
	for from, want := range map[string]uint32{household: 20, ruled: 4} {
		got := ask(t, s, from, msgFor("stranger.example.", dns.TypeA))
		if all := append(got.Answer, got.Ns...); len(all) != 1 || all[0].Header().Ttl != want {
			t.Errorf("%s: %s, want a TTL of %d", from, got, want)
		}
	}
}

// TestBedtime: answers end with the day, blocks with the night.
func TestBedtime(t *testing.T) {
	clk := newClock() // Monday 21:30
	up := newFake(t, "ok.example. 600 IN A 192.0.2.1", "help.example. 600 IN A 192.0.2.2", "www.google.com. 600 IN A 192.0.2.3",
		"forcesafesearch.google.com. 600 IN A 192.0.2.4", "front.example. 600 IN CNAME ok.example.", "granted.example. 600 IN CNAME ok.example.",
		"cloaked.example. 600 IN CNAME stranger.example.", "stranger.example. 600 IN A 192.0.2.5")
	c := config(t, up)
	c.Now = clk.now
	st := home(t, policy.Profile{Preset: policy.BandC, Schedules: []policy.Schedule{{
		ID: 4, Name: "Bedtime", Windows: []policy.Window{{Days: 1 << time.Monday, From: 21*60 + 40, To: 6 * 60}},
	}}},
		policy.Grant{
			ID: 5, Profile: 10, What: policy.Target{Kind: policy.ForName, Name: blocklists.MustName("granted.example")},
			From: clk.now(), Until: clk.now().Add(20*time.Minute + 5*time.Second),
		},
		policy.Grant{ID: 6, Profile: 10, From: clk.now().Add(time.Hour), Until: clk.now().Add(2 * time.Hour)}, // for everything
	)
	c.State = func() *policy.State { return st }
	s := start(t, c)
	for _, tt := range []struct {
		name  string
		at    time.Duration // since 21:30
		asked string
		rcode int
		count int // of answers
		want  uint32
	}{
		{"in the evening", 0, "ok.example.", 0, 1, 60},
		{"shortly before, from the cache", 9*time.Minute + 35*time.Second, "ok.example.", 0, 1, 25},
		{"a safe search", 9*time.Minute + 35*time.Second, "www.google.com.", 0, 2, 25},
		{"a help line knows no bedtime", 9*time.Minute + 35*time.Second, "help.example.", 0, 1, 60},
		{"bedtime", 10 * time.Minute, "ok.example.", 0, 0, 10},
		{"its searches", 10 * time.Minute, "www.google.com.", 0, 0, 10},
		{"its help line", 10 * time.Minute, "help.example.", 0, 1, 60},
		{"what a grant opens, and where that leads", 10 * time.Minute, "granted.example.", 0, 2, 60},
		{"until the grant ends", 20 * time.Minute, "granted.example.", 0, 2, 5},
		{"and then not", 20*time.Minute + 5*time.Second, "granted.example.", 0, 0, 10},
		{"a grant for everything", time.Hour, "front.example.", 0, 2, 60},
		{"opens nothing that is closed by day", time.Hour, "cloaked.example.", 0, 0, 10},
		{"the end of the night", 8*time.Hour + 29*time.Minute + 57*time.Second, "ok.example.", 0, 0, 3},
		{"the morning", 8*time.Hour + 30*time.Minute, "ok.example.", 0, 1, 60},
	} {
		clk.ns.Store(newClock().ns.Load() + int64(tt.at))
		got := ask(t, s, household, msgFor(tt.asked, dns.TypeA))
		all := append(got.Answer, got.Ns...)
		if got.Rcode != tt.rcode || len(got.Answer) != tt.count || len(all) == 0 {
			t.Errorf("%s: %s", tt.name, got)
		}
		for _, rr := range all {
			if ttl := rr.Header().Ttl; ttl != tt.want {
				t.Errorf("%s: %s, want a TTL of %d", tt.name, rr, tt.want)
			}
		}
	}
}

// A profile's own way to answer blocks wins over the server's, and no way gives
// the names by which programs look for a filter an address.
func TestProfilesAnswerBlocksTheirWay(t *testing.T) {
	mine := policy.BlockMode{V4: netip.MustParseAddr("192.0.2.53")}
	c := config(t, newFake(t))
	c.Block = policy.ZeroAddress
	canaries := []string{
		"use-application-dns.net", "mask.icloud.com", "mask-h2.icloud.com", "mask-canary.icloud.com", "mask-api.icloud.com",
		"dns-tunnel-check.googlezip.net",
	}
	var now atomic.Pointer[policy.State]
	now.Store(home(t, policy.Profile{Preset: policy.BandC}))
	c.State = now.Load
	s := start(t, c)
	for _, tt := range []struct {
		name string
		mode *policy.BlockMode
		want string
	}{
		{"none of its own", nil, "0.0.0.0"},
		{"an address", &mine, "192.0.2.53"},
		{"an address, in a pause", &mine, "192.0.2.53"}, // which otherwise denies no name
		{"NXDOMAIN", &policy.BlockMode{}, ""},
	} {
		p := policy.Profile{Preset: policy.BandC, Response: tt.mode}
		if strings.HasSuffix(tt.name, "pause") {
			p.Paused = policy.Forever
		}
		now.Store(home(t, p))
		got := ask(t, s, household, msgFor("stranger.example.", dns.TypeA))
		switch {
		case tt.want == "":
			if got.Rcode != dns.RcodeNameError {
				t.Errorf("%s: %s", tt.name, got)
			}
		case len(got.Answer) != 1 || got.Answer[0].(*dns.A).A.String() != tt.want:
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		for _, n := range canaries {
			for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
				if got := ask(t, s, household, msgFor(n+".", qtype)); got.Rcode != dns.RcodeNameError || len(got.Answer) > 0 || len(got.Ns) != 1 {
					t.Errorf("%s: %s", tt.name, got)
				}
			}
		}
		if got := ask(t, s, household, msgFor("stranger.example.", dns.TypeHTTPS)); got.Rcode != dns.RcodeSuccess || len(got.Answer) > 0 || len(got.Ns) != 1 {
			t.Errorf("%s, HTTPS: %s", tt.name, got)
		}
	}
}

// The data of HTTPS and SVCB records of allowed names arrive as they were sent:
// keys for ECH, hints, and what nobody knows yet.
func TestHTTPSRecordsAreUntouched(t *testing.T) {
	data := bytes.Join([][]byte{
		{0, 1},
		[]byte("\x03cdn\x07example\x00"),
		{0, 0, 0, 2, 0, 1}, // mandatory: alpn
		{0, 1, 0, 6},
		[]byte("\x02h3\x02h2"),
		{0, 4, 0, 4, 192, 0, 2, 7},
		{0, 5, 0, 12, 0, 10, 0xfe, 0x0d, 0, 6, 1, 2, 3, 4, 0xff, 0}, // ech
		{0xff, 0x00, 0, 3, 0, 0x80, 0xff},                           // a key for private use
	}, nil)
	for _, qtype := range []uint16{dns.TypeHTTPS, dns.TypeSVCB} {
		up := newFake(t)
		up.does(func(_ string, req, a *dns.Msg) [][]byte {
			a.Rcode, a.Ns, a.Extra = 0, nil, nil
			wire := packed(a)
			wire[7] = 1
			wire = append(wire, 0xC0, headerLen, 0, byte(qtype), 0, 1, 0, 0, 0, 30, 0, byte(len(data)))
			return [][]byte{append(wire, data...)}
		})
		s := start(t, config(t, up))
		for _, round := range []string{"from upstream", "from the cache"} {
			m, err := msgFor("site.example.", qtype, plainDNS).Pack()
			if err != nil {
				t.Fatal(err)
			}
			got := askRaw(t, s, "udp", household, m)
			if word(got, atAN) != 1 || !bytes.HasSuffix(got, data) {
				t.Errorf("type %d %s:\ngot  %x\nwant %x at its end", qtype, round, got, data)
			}
		}
	}
}

// An attempt tells what could lead past the filter, and at which hours it was
// blocked; what was only closed by the hour is one for children, none for
// adults and guests.
func TestAttemptsOfHoursAndWaysAround(t *testing.T) {
	bedtime := []policy.Schedule{{ID: 4, Name: "Bedtime", Windows: []policy.Window{{Days: 127, From: 21 * 60, To: 6 * 60}}}}
	for _, tt := range []struct {
		name    string
		profile policy.Profile
		asked   string
		want    *policy.Verdict
	}{
		{"a canary", policy.Profile{Preset: policy.BandC}, "use-application-dns.net.", &policy.Verdict{Reason: policy.ByCanary, Keep: policy.KeepItem, Bypass: policy.BypassRoutine}},
		{"a VPN", policy.Profile{Preset: policy.BandC}, "vpn.example.", &policy.Verdict{Reason: policy.ByCategory, Keep: policy.KeepItem, Bypass: policy.BypassAttempt}},
		{"any other", policy.Profile{Preset: policy.BandC}, "stranger.example.", &policy.Verdict{Reason: policy.ByCategory, Keep: policy.KeepItem}},
		{"bedtime", policy.Profile{Preset: policy.BandC, Schedules: bedtime}, "ok.example.", &policy.Verdict{Reason: policy.BySchedule, Schedule: 4, Keep: policy.KeepItem}},
		{"a search at bedtime", policy.Profile{Preset: policy.BandC, Schedules: bedtime}, "www.google.com.", &policy.Verdict{Reason: policy.BySchedule, Schedule: 4, Keep: policy.KeepItem}},
		{"a VPN at bedtime", policy.Profile{Preset: policy.BandC, Schedules: bedtime}, "vpn.example.", &policy.Verdict{Reason: policy.BySchedule, Schedule: 4, Keep: policy.KeepItem, Bypass: policy.BypassAttempt}},
		{"a pause", policy.Profile{Preset: policy.BandC, Paused: policy.Forever}, "ok.example.", &policy.Verdict{Reason: policy.ByPause, Keep: policy.KeepItem}},
		{"an adult's pause", policy.Profile{Preset: policy.Adult, Paused: policy.Forever}, "ok.example.", nil},
		{"guests' bedtime", policy.Profile{Preset: policy.BandC, Guests: true, Schedules: bedtime}, "ok.example.", nil},
		{"a safe search", policy.Profile{Preset: policy.BandC}, "www.google.com.", nil},
	} {
		log := &kept{}
		c := config(t, newFake(t, engines...))
		c.Now, c.Log = newClock().now, log
		st := home(t, tt.profile)
		c.State = func() *policy.State { return st }
		ask(t, start(t, c), household, msgFor(tt.asked, dns.TypeA))
		var got *policy.Verdict
		for _, a := range log.take() {
			v := a.Verdict
			got = &policy.Verdict{Reason: v.Reason, Schedule: v.Schedule, Keep: v.Keep, Bypass: v.Bypass}
		}
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}
