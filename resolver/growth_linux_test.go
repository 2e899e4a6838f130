package resolver

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/resolver/upstream"
)

// growth is a situation in which a question is answered: how much there is of
// everything. BenchmarkGrowth lets one thing grow at a time.
type growth struct{ names, families, rules, devices, cached, clients int }

// usual is a home with a list.
var usual = growth{names: 1_000_000, families: 1, rules: 0, devices: 3, cached: 1000, clients: 3}

// BenchmarkGrowth tells what a question costs (one in two blocked, the others
// cached, without the network) as the things grow that it depends on: the time of
// the processor, and what they take in memory. Nothing is asked twice in a row, so
// memory is read as it is by many clients.
func BenchmarkGrowth(b *testing.B) {
	for _, g := range []struct {
		what  string
		sizes []int
		set   func(*growth, int)
	}{
		{"names", []int{100_000, 1_000_000, 5_000_000}, func(g *growth, n int) { g.names = n }},
		{"families", []int{1, 1000, 100_000, 1_000_000}, func(g *growth, n int) { g.families, g.clients = n, n }},
		{"rules", []int{0, 100, 10_000}, func(g *growth, n int) { g.rules = n }},
		{"devices", []int{1, 10, 100, 1000}, func(g *growth, n int) { g.devices, g.clients = n, n }},
		{"cached", []int{1000, 10_000, 100_000, 1_000_000}, func(g *growth, n int) { g.cached = n }},
		{"clients", []int{1, 1000, 100_000, 1_000_000}, func(g *growth, n int) { g.clients = n }},
	} {
		for _, size := range g.sizes {
			b.Run(fmt.Sprintf("%s=%d", g.what, size), func(b *testing.B) {
				now := usual
				g.set(&now, size)
				now.measure(b)
			})
		}
	}
}

func (g growth) measure(b *testing.B) {
	before := heap()
	st, bytes := g.state(b)
	c := config(b)
	c.Upstreams = []upstream.Spec{mustUpstream(b, "udp://127.0.0.1:1")}
	c.State = func() *policy.State { return st }
	c.AllowNets = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	c.Limits.Rate.PerSecond = 1e8
	c.CacheBytes = 2 << 30
	s, err := New(c)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for i := range g.cached {
		name := allowedName(i)
		k := keyFor(name)
		s.cache.put(k, entryFor(b, k, time.Now().Add(24*time.Hour), name+". 86400 IN A 192.0.2.1"))
		s.cache.get(k, time.Now())
	}
	bytes += int(heap()) - int(before)

	const questions = 1 << 16 // packed ahead
	wires, froms := make([][]byte, questions), make([]netip.AddrPort, questions)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range questions {
		name := allowedName(random.IntN(g.cached))
		if i%2 == 0 {
			name = growthName(random.IntN(g.names))
		}
		wires[i] = packed(msgFor(name+".", dns.TypeA))
		froms[i] = netip.AddrPortFrom(g.client(random.IntN(g.clients)), 1053)
	}
	spoilNames = false
	defer func() { spoilNames = true }()
	q := looped()
	i := 0
	var start, end unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &start)
	for b.Loop() {
		q.reset(wires[i%questions], froms[i%questions], overUDP)
		if st := s.answerNear(b.Context(), q); st != done {
			b.Fatalf("%s from %v: %v, wanted an answer", q.name, q.from, st)
		}
		i++
	}
	unix.Getrusage(unix.RUSAGE_SELF, &end)
	b.ReportMetric(float64(end.Utime.Nano()+end.Stime.Nano()-start.Utime.Nano()-start.Stime.Nano())/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(bytes)/1e6, "MB")
	runtime.KeepAlive(st)
}

func allowedName(i int) string { return fmt.Sprintf("host%d.allowed.example", i) }
func growthName(i int) string {
	return fmt.Sprintf("site-%x.listed%d.com", uint32(i)*2654435761, i%977)
}

// client returns the ith address that asks: a family's or, where there is one, one
// of its home.
func (g growth) client(i int) netip.Addr {
	if g.families > 1 {
		return netip.AddrFrom4([4]byte{80, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

// state returns what there is, and the bytes of it outside the heap.
func (g growth) state(b *testing.B) (*policy.State, int) {
	x, err := blocklists.Compile(&blocklists.Catalogue{}, []blocklists.ListInput{{
		ID: "long", Name: "Long", Category: blocklists.Dating,
		Entries: func(emit func(blocklists.Entry) error) error {
			for i := range g.names {
				if err := emit(blocklists.Entry{Name: blocklists.MustName(growthName(i))}); err != nil {
					return err
				}
			}
			return nil
		},
	}})
	if err != nil {
		b.Fatal(err)
	}
	presets, err := policy.EmbeddedPresets()
	if err != nil {
		b.Fatal(err)
	}
	d, err := policy.LoadDirectory(func(yield func(policy.Versioned, error) bool) {
		for i := range g.families {
			if !yield(policy.Versioned{Family: g.family(i), Revision: 1}, nil) {
				return
			}
		}
	}, presets, x)
	if err == nil {
		d, err = d.WithHome(1)
	}
	if err != nil {
		b.Fatal(err)
	}
	return &policy.State{Index: x, Directory: d}, x.Bytes()
}

// family returns the ith family: three profiles, a schedule, its devices, and the
// child's own rules.
func (g growth) family(i int) *policy.Family {
	child := policy.Profile{
		ID: 3, Name: "Child", Preset: policy.BandC,
		Schedules: []policy.Schedule{{ID: 10, Name: "Night", Windows: []policy.Window{{Days: 0x7F, From: 3 * 60, To: 3*60 + 1}}}},
	}
	for r := range g.rules {
		child.Rules = append(child.Rules, policy.Rule{ID: policy.RuleID(1000 + r), Name: blocklists.MustName(fmt.Sprintf("rule%d.example", r))})
	}
	f := &policy.Family{
		ID: policy.FamilyID(i + 1), Name: "Family", Zone: "Europe/Berlin", Default: 3, LastID: 1_000_000,
		Profiles: []policy.Profile{{ID: 1, Name: "Everyone", Preset: policy.BandC}, {ID: 2, Name: "Adults", Preset: policy.Adult}, child},
	}
	if g.families > 1 {
		f.Networks = []netip.Prefix{netip.PrefixFrom(g.client(i), 32)}
		return f
	}
	for d := range g.devices {
		f.Devices = append(f.Devices, policy.Device{
			ID: policy.DeviceID(100_000 + d), Name: fmt.Sprintf("Device %d", d), Profile: 3,
			Networks: []netip.Prefix{netip.PrefixFrom(g.client(d), 32)},
		})
	}
	return f
}
