package policy

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"kinward/blocklists"
)

// benchFamily is a family as a provider may have them: asked from an IPv4 address
// and half of them from an IPv6 network too, with a phone that is known by token
// and hardware address, a tablet by hardware address and address, and a
// television by address. Nine in ten have what the presets say. The tenth has a
// bedtime, such as others have too, and blocks a service; one in three of those
// has three rules besides, like nobody else's.
func benchFamily(id int) *Family {
	mac := func(n int) []MAC { return []MAC{{2, byte(n), byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)}} }
	home := func(n byte) []netip.Prefix {
		return []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 1, n}), 32)}
	}
	f := &Family{
		ID: FamilyID(id), Name: "family", Zone: "Europe/Berlin", Default: 1,
		Networks: []netip.Prefix{benchAddr(id)},
		Profiles: []Profile{
			{ID: 1, Name: "Everyone", Preset: Preset(int(BandA) + id%5)},
			{ID: 2, Name: "Adults", Preset: Adult},
			{ID: 3, Name: "Child", Preset: Preset(int(BandA) + id/5%5)},
		},
		Devices: []Device{
			{ID: 4, Name: "phone", Profile: 3, Tokens: []string{benchToken(id)}, MACs: mac(1)},
			{ID: 5, Name: "tablet", Profile: 3, MACs: mac(2), Networks: home(20)},
			{ID: 6, Name: "television", Profile: 1, Networks: home(30)},
		},
	}
	if id%2 == 0 {
		f.Networks = append(f.Networks, netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(id >> 16), byte(id >> 8), byte(id)}), 56))
	}
	if id%10 == 0 {
		child := &f.Profiles[2]
		child.Services = map[string]Choice{"tiktok": ChooseBlock}
		child.Schedules = []Schedule{{ID: 10, Name: "bedtime", Windows: []Window{{Days: 0x7F, From: Minutes(19*60 + id/10%7*30), To: 7 * 60}}}}
		if id%30 == 0 {
			for i, n := range []string{"school-%d.example", "friend-%d.example", "game-%d.example"} {
				child.Rules = append(child.Rules, Rule{ID: RuleID(7 + i), Name: blocklists.MustName(fmt.Sprintf(n, id)), Allow: i < 2})
			}
		}
	}
	return f
}

func benchAddr(id int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{80, byte(id >> 16), byte(id >> 8), byte(id)}), 32)
}

func benchToken(id int) string { return fmt.Sprintf("%012x", uint64(id)*0x9E3779B97F4A7C15>>16) }

func benchFamilies(n int) iter.Seq2[Versioned, error] {
	return func(yield func(Versioned, error) bool) {
		for id := 1; id <= n && yield(Versioned{benchFamily(id), uint64(id % 200)}, nil); id++ {
		}
	}
}

// clueBytes returns the size of what tells a family and its devices, as it is.
func clueBytes(f *Family) (n int) {
	prefixes := func(all []netip.Prefix) {
		for _, p := range all {
			n += (p.Bits() + 7) / 8
		}
	}
	prefixes(f.Networks)
	for _, d := range f.Devices {
		prefixes(d.Networks)
		n += 6 * len(d.MACs)
		for _, t := range d.Tokens {
			n += len(t)
		}
	}
	return n
}

// heap returns the bytes in use after everything unused was collected, and how
// long the last full collection took.
func heap() (bytes int64, took time.Duration) {
	runtime.GC()
	start := time.Now()
	runtime.GC()
	took = time.Since(start)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), took
}

// policyBytes returns what the policies of a directory take, measured on copies.
func policyBytes(d *Directory, x *blocklists.Index) int64 {
	before, _ := heap()
	copied, err := d.Rebase(x)
	after, _ := heap()
	if err != nil {
		panic(err)
	}
	for _, c := range copied.policies.chunks { // the keys are shared
		for i := range c.entries {
			after += int64(len(c.entries[i].key))
		}
	}
	return after - before
}

// BenchmarkFamilies measures a directory of many families (make bench-families):
// FAMILIES of them, by default few, so that make bench stays quick.
func BenchmarkFamilies(b *testing.B) {
	n := 10_000
	if s := os.Getenv("FAMILIES"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			b.Fatal(err)
		}
	}
	presets, err := EmbeddedPresets()
	if err != nil {
		b.Fatal(err)
	}
	w := newWorld(b)
	clues := 0
	for f := range benchFamilies(n) {
		clues += clueBytes(f.Family)
	}
	var d *Directory
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			d = nil
			before, without := heap()
			if d, err = LoadDirectory(benchFamilies(n), presets, w.Index); err != nil {
				b.Fatal(err)
			}
			after, with := heap()
			b.ReportMetric(float64(after-before-int64(clues))/float64(n), "B/family")
			b.ReportMetric(float64(clues)/float64(n), "clue-B/family")
			b.ReportMetric(float64(policyBytes(d, w.Index))/float64(d.policies.made), "B/policy")
			b.ReportMetric(float64(with.Microseconds())/1000, "GC-ms")
			b.ReportMetric(float64(without.Microseconds())/1000, "GC-ms-without")
		}
	})
	if d == nil { // load was not asked for
		if d, err = LoadDirectory(benchFamilies(n), presets, w.Index); err != nil {
			b.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	names := []string{"www.tiktok.com", "www.example.org", "game-30.example", "omegle.com"}
	questions := make([]Question, len(names))
	for i, name := range names {
		questions[i] = Ask(w.Index, blocklists.MustName(name), TypeA, at)
	}
	// Each time is of one call, between two looks at the clock and with them: nothing
	// is subtracted. ns/op is of the whole loop.
	timed := func(b *testing.B, do func(i int)) {
		took := make([]time.Duration, 0, 1<<20)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			start := time.Now()
			do(i)
			if len(took) < cap(took) {
				took = append(took, time.Since(start))
			}
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
		b.ReportMetric(float64(took[len(took)*99/100]), "p99-ns")
		b.ReportMetric(float64(took[len(took)*999/1000]), "p99.9-ns")
	}
	// What the machine gives at this moment: the clock alone, and reads that each
	// wait for the one before, from as much as the records of a million families take.
	b.Run("memory", func(b *testing.B) {
		words := make([]uint32, 1<<25)
		for i := range words {
			words[i] = rng.Uint32N(uint32(len(words)))
		}
		for reads := range 4 {
			b.Run(fmt.Sprintf("%d-reads", reads), func(b *testing.B) {
				at := uint32(0)
				timed(b, func(i int) {
					for range reads {
						at = words[(at+uint32(i))%uint32(len(words))]
					}
				})
			})
		}
	})
	for _, by := range []struct {
		name string
		clue func(id int) Clues
	}{
		{"token", func(id int) Clues { return Clues{Token: benchToken(id)} }},
		{"address+MAC", func(id int) Clues { return Clues{Addr: benchAddr(id).Addr(), MAC: benchFamily(id).Devices[1].MACs[0]} }},
		{"network", func(id int) Clues { return Clues{Addr: benchFamily(id &^ 1).Networks[1].Addr().Next()} }},
	} {
		// From any of all families, so that nothing of one is in the processor's
		// caches: of all kinds, of those that have what the presets say, and of those
		// with rules of their own; from all, but from a few far more often than from
		// most (Zipf's law with exponent 1.1, a guess at traffic and no measurement of
		// it); and from the few that are busy at a time.
		any := func() int { return 2 + rng.IntN(n-2) }
		popular := rand.NewZipf(rng, 1.1, 1, uint64(n-3))
		const spread = 0x9E3779B1 // a prime, so that those asked most do not lie side by side
		for _, of := range []struct {
			name  string
			asked []Clues
			id    func() int
		}{
			{"any", make([]Clues, 1<<16), any},
			{"presets", make([]Clues, 1<<16), func() int { return any()/10*10 + 2 + 2*rng.IntN(4) }},
			{"own-rules", make([]Clues, 1<<16), func() int { return max(any()/30, 1) * 30 }},
			{"zipf", make([]Clues, 1<<16), func() int { return 2 + int(popular.Uint64()*spread%uint64(n-2)) }},
			{"busy", make([]Clues, min(1<<12, n)), any},
		} {
			for i := range of.asked {
				of.asked[i] = by.clue(min(of.id(), n))
			}
			b.Run("identify+Decide/"+by.name+"/"+of.name, func(b *testing.B) {
				timed(b, func(i int) {
					a, ok := d.Identify(of.asked[i%len(of.asked)], at)
					if !ok {
						b.Fatalf("%v is refused", of.asked[i%len(of.asked)])
					}
					Decide(a.Policy, questions[i%len(questions)])
				})
			})
		}
	}
	b.Run("change", func(b *testing.B) {
		var took []time.Duration
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			f := benchFamily(1 + rng.IntN(n))
			f.Profiles[2].Rules = append(f.Profiles[2].Rules, Rule{ID: RuleID(100 + i), Name: blocklists.MustName("new.example")})
			start := time.Now()
			if _, err := d.With(f, 2); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		b.ReportMetric(float64(took[len(took)-1].Microseconds())/1000, "max-ms")
	})
	b.Run("rebase", func(b *testing.B) {
		for b.Loop() {
			if _, err := d.Rebase(w.Index); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(d.policies.made), "policies")
	})
}
