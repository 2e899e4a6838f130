package resolver

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/resolver/upstream"
)

// TestMain looks for goroutines that are left. QUIC keeps a connection that was
// closed for some round trips (RFC 9000 §10.2), so they get a while to end.
func TestMain(m *testing.M) {
	spoilNames = true
	code := m.Run()
	err := goleak.Find()
	for end := time.Now().Add(20 * time.Second); code == 0 && err != nil && time.Now().Before(end); err = goleak.Find() {
		time.Sleep(100 * time.Millisecond)
	}
	if code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// The people of the tests: the household (band C) asks from 127.0.0.1, an adult
// from 127.0.0.2, a child with rules of its own from 127.0.0.3.
const (
	household = "127.0.0.1"
	adult     = "127.0.0.2"
	ruled     = "127.0.0.3"
)

// state returns what the tests decide with. danger are the names that the
// security list holds.
func state(t testing.TB, danger ...string) *policy.State {
	t.Helper()
	suffix := func(names ...string) (out []blocklists.Domain) {
		for _, n := range names {
			out = append(out, blocklists.Domain{Name: blocklists.MustName(n)})
		}
		return out
	}
	c := &blocklists.Catalogue{
		Services: []blocklists.Service{
			{ID: "betting", Name: "Betting", Category: blocklists.Gambling, Domains: suffix("betting.example")},
			{ID: "canary", Name: "Canary", Category: blocklists.EncryptedDNS, Domains: suffix("use-application-dns.net")},
			{ID: "chatty", Name: "Chatty", Category: blocklists.Messaging, Domains: suffix("watched.example")},
			{ID: "countable", Name: "Countable", Category: blocklists.Drugs, Domains: suffix("counted.example")},
			{ID: "loved", Name: "Loved", Category: blocklists.Dating, Domains: suffix("loved.example")},
			{ID: "stranger", Name: "Stranger", Category: blocklists.AnonymousChat, KnownRisk: "a source", Domains: append(
				suffix("stranger.example"),
				blocklists.Domain{Name: blocklists.MustName("exact.example"), Match: blocklists.MatchExact})},
			{ID: "tunnel", Name: "Tunnel", Category: blocklists.VPNProxy, Domains: suffix("vpn.example")},
		},
		Reachable: []blocklists.Reachable{
			{Section: blocklists.SectionHelp, Name: blocklists.MustName("help.example")},
			{Section: blocklists.SectionTechnical, Name: blocklists.MustName("plumbing.example")},
		},
	}
	list := blocklists.ListInput{
		ID: "danger", Name: "Danger", Category: blocklists.Security,
		Entries: func(emit func(blocklists.Entry) error) error {
			for _, n := range append(danger, "malware.example") {
				if err := emit(blocklists.Entry{Name: blocklists.MustName(n)}); err != nil {
					return err
				}
			}
			return nil
		},
	}
	x, err := blocklists.Compile(c, []blocklists.ListInput{list})
	if err != nil {
		t.Fatal(err)
	}
	presets, err := policy.EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	f := &policy.Family{
		ID: 1, Name: "Home", Default: 10,
		Profiles: []policy.Profile{
			{ID: 10, Name: "Everyone", Preset: policy.BandC, Categories: map[blocklists.Category]policy.Choice{
				blocklists.Drugs: policy.ChooseCount,
			}},
			{ID: 11, Name: "Grown-ups", Preset: policy.Adult},
			{
				ID: 12, Name: "Child", Preset: policy.BandC,
				Rules: []policy.Rule{
					{ID: 1, Name: blocklists.MustName("ruled-out.example")},
					{ID: 2, Name: blocklists.MustName("ruled-in.example"), Allow: true},
				},
				Services: map[string]policy.Choice{"loved": policy.ChooseAllow},
			},
		},
		Devices: []policy.Device{
			{ID: 20, Name: "Laptop", Profile: 11, Networks: []netip.Prefix{netip.MustParsePrefix(adult + "/32")}},
			{ID: 21, Name: "Phone", Profile: 12, Networks: []netip.Prefix{netip.MustParsePrefix(ruled + "/32")}},
		},
	}
	d, err := policy.NewDirectory(f, presets, x, 7)
	if err != nil {
		t.Fatal(err)
	}
	return &policy.State{Index: x, Directory: d}
}

// kept is a Log that remembers.
type kept struct {
	mu   sync.Mutex
	all  []policy.Attempt
	seen []sighting
}

type sighting struct {
	family policy.FamilyID
	device policy.DeviceID
	at     time.Time
}

func (k *kept) Seen(f policy.FamilyID, d policy.DeviceID, at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen = append(k.seen, sighting{f, d, at})
}

func (k *kept) Record(a policy.Attempt) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, n := range [...]*blocklists.Name{&a.Name, &a.Hidden, &a.Verdict.RuleName} {
		*n = blocklists.Name(strings.Clone(string(*n)))
	}
	k.all = append(k.all, a)
}

// take returns what was recorded since it was last called.
func (k *kept) take() []policy.Attempt {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := k.all
	k.all = nil
	return out
}

// clock is a time that tests move.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(time.Date(2026, 11, 23, 21, 30, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// loopbackNets lets the tests ask.
var loopbackNets = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// grownUps returns a state without children, in which no TTL is capped.
func grownUps(t testing.TB) *policy.State {
	t.Helper()
	st := state(t)
	presets, err := policy.EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	d, err := policy.NewDirectory(&policy.Family{
		ID: 1, Name: "Flat", Default: 11, Profiles: []policy.Profile{{ID: 11, Name: "Grown-ups", Preset: policy.Adult}},
	}, presets, st.Index, 7)
	if err != nil {
		t.Fatal(err)
	}
	return &policy.State{Index: st.Index, Directory: d}
}

// config returns a configuration that asks the upstreams.
func config(t testing.TB, ups ...*fake) Config {
	t.Helper()
	st := state(t)
	c := Config{
		Listen:    []string{"127.0.0.1:0"},
		AllowNets: loopbackNets,
		State:     func() *policy.State { return st },
		Limits:    Limits{ProbeInterval: time.Hour, patience: time.Hour},
		// The whole of the tests runs once more with the way of other systems.
		plainPackets: os.Getenv("ONE_PACKET_A_CALL") != "",
	}
	for _, u := range ups {
		c.Upstreams = append(c.Upstreams, mustUpstream(t, "udp://"+u.addr.String()))
	}
	return c
}

func mustUpstream(t testing.TB, s string) upstream.Spec {
	t.Helper()
	u, err := upstream.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// start runs a server until the test ends.
func start(t testing.TB, c Config) *Server {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, s)
}

func run(t testing.TB, s *Server) *Server {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// settle waits until nothing is asked of upstreams any more. Waiting for
// s.flights beside a server that runs would be a race with what it starts.
func settle(t testing.TB, s *Server) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); s.fetching.count.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("what goes on beside does not end")
		}
	}
}

// msgFor returns a question with EDNS; edits change it.
func msgFor(name string, qtype uint16, edits ...func(*dns.Msg)) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.SetEdns0(1232, false)
	for _, f := range edits {
		f(m)
	}
	return m
}

// padded makes a question longer than any refusal.
func padded(m *dns.Msg) {
	m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_PADDING{Padding: make([]byte, 32)})
}

func plainDNS(m *dns.Msg) { m.Extra = nil }

// ask sends m to s by UDP from an address and returns the answer.
func ask(t testing.TB, s *Server, from string, m *dns.Msg) *dns.Msg {
	t.Helper()
	return askBy(t, s, "udp", from, m)
}

func askBy(t testing.TB, s *Server, network, from string, m *dns.Msg) *dns.Msg {
	t.Helper()
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	a := new(dns.Msg)
	if err := a.Unpack(askRaw(t, s, network, from, wire)); err != nil {
		t.Fatalf("answer to %s: %v", m.Question[0].String(), err)
	}
	return a
}

// askRaw sends bytes and returns the bytes of the answer.
func askRaw(t testing.TB, s *Server, network, from string, wire []byte) []byte {
	t.Helper()
	c := dial(t, s, network, from)
	defer c.Close()
	if network == "tcp" {
		writeFrame(t, c, wire)
		return readFrameT(t, c)
	}
	if _, err := c.Write(wire); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 65536)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	return buf[:n]
}

// dial connects to s. Reads give up after some seconds.
func dial(t testing.TB, s *Server, network, from string) net.Conn {
	t.Helper()
	d := net.Dialer{Timeout: 5 * time.Second}
	local := netip.AddrPortFrom(netip.MustParseAddr(from), 0)
	if network == "tcp" {
		d.LocalAddr = net.TCPAddrFromAddrPort(local)
	} else {
		d.LocalAddr = net.UDPAddrFromAddrPort(local)
	}
	c, err := d.Dial(network, s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(8 * time.Second))
	return c
}

func writeFrame(t testing.TB, c net.Conn, wire []byte) {
	t.Helper()
	if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)); err != nil {
		t.Fatal(err)
	}
}

func readFrameT(t testing.TB, c net.Conn) []byte {
	t.Helper()
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		t.Fatalf("reading an answer's length: %v", err)
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, buf); err != nil {
		t.Fatalf("reading an answer: %v", err)
	}
	return buf
}

// ede returns the answer's EDE code and text; -1 is none.
func ede(m *dns.Msg) (int, string) {
	if o := m.IsEdns0(); o != nil {
		for _, opt := range o.Option {
			if e, ok := opt.(*dns.EDNS0_EDE); ok {
				return int(e.InfoCode), e.ExtraText
			}
		}
	}
	return -1, ""
}

// rrs returns records as words with single spaces, OPT left out.
func rrs(section []dns.RR) []string {
	out := []string{}
	for _, rr := range section {
		if rr.Header().Rrtype != dns.TypeOPT {
			out = append(out, strings.Join(strings.Fields(rr.String()), " "))
		}
	}
	return out
}

// logTo returns a logger that writes to w at a level.
func logTo(w io.Writer, level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
}
