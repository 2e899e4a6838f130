package resolver

import (
	"bytes"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"kinward/blocklists"
	"kinward/policy"
)

// only returns a state with one profile, which everybody has.
func only(t testing.TB, p policy.Profile) *policy.State {
	t.Helper()
	st := state(t)
	presets, err := policy.EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	p.ID, p.Name = 10, "Everyone"
	d, err := policy.NewDirectory(&policy.Family{ID: 1, Name: "Home", Default: 10, Profiles: []policy.Profile{p}}, presets, st.Index, 7)
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
	st := only(t, policy.Profile{Preset: policy.BandC, Rules: []policy.Rule{
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

// A profile's own way to answer blocks wins over the server's, and no way gives
// the names by which programs look for a filter an address.
func TestProfilesAnswerBlocksTheirWay(t *testing.T) {
	mine := policy.BlockMode{V4: netip.MustParseAddr("192.0.2.53")}
	c := config(t, newFake(t))
	c.Block = policy.ZeroAddress
	canaries := map[string]policy.Verdict{}
	for _, n := range []string{"use-application-dns.net", "mask.icloud.com", "mask-h2.icloud.com", "dns-tunnel-check.googlezip.net"} {
		canaries[n] = policy.Verdict{Action: policy.Block, Reason: policy.ByCanary, Bypass: policy.BypassRoutine}
	}
	// Whatever else blocks one: at bedtime a block may not deny what lies below.
	canaries["mask-api.icloud.com"] = policy.Verdict{Action: policy.Block, Reason: policy.BySchedule, NoData: true}
	var now atomic.Pointer[policy.State]
	now.Store(only(t, policy.Profile{Preset: policy.BandC}))
	c.State = now.Load
	s := deciding(t, c, canaries)
	for _, tt := range []struct {
		name string
		mode *policy.BlockMode
		want string
	}{
		{"none of its own", nil, "0.0.0.0"},
		{"an address", &mine, "192.0.2.53"},
		{"NXDOMAIN", &policy.BlockMode{}, ""},
	} {
		now.Store(only(t, policy.Profile{Preset: policy.BandC, Response: tt.mode}))
		got := ask(t, s, household, msgFor("stranger.example.", dns.TypeA))
		switch {
		case tt.want == "":
			if got.Rcode != dns.RcodeNameError {
				t.Errorf("%s: %s", tt.name, got)
			}
		case len(got.Answer) != 1 || got.Answer[0].(*dns.A).A.String() != tt.want:
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		for n := range canaries {
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
		{0, 1}, []byte("\x03cdn\x07example\x00"),
		{0, 0, 0, 2, 0, 1}, // mandatory: alpn
		{0, 1, 0, 6}, []byte("\x02h3\x02h2"),
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
