package policy

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"kinward/blocklists"
)

// naive is what a directory should be, written as its contract reads.
type naive struct {
	families  map[FamilyID]*Family
	revisions map[FamilyID]uint64
	home      FamilyID
}

func (m *naive) clone() *naive {
	return &naive{maps.Clone(m.families), maps.Clone(m.revisions), m.home}
}

// taken reports whether a clue of f is used twice, by two devices of f or by
// another family too.
func (m *naive) taken(f *Family) bool {
	clues := func(f *Family) (within []string, across map[string]bool) {
		across = map[string]bool{}
		for _, d := range f.Devices {
			mine := map[string]bool{}
			for _, p := range d.Networks {
				p = canonical(p)
				mine["network "+p.String()] = true
				if a := p.Addr(); p.IsSingleIP() && public(a) {
					across["network "+p.String()] = true
				}
			}
			for _, mac := range d.MACs {
				mine[mac.String()] = true
			}
			for _, t := range d.Tokens {
				mine["token "+strings.ToLower(t)] = true
				across["token "+strings.ToLower(t)] = true
			}
			within = append(within, slices.Collect(maps.Keys(mine))...)
		}
		for _, p := range f.Networks {
			across["network "+canonical(p).String()] = true
		}
		return within, across
	}
	within, across := clues(f)
	slices.Sort(within)
	if len(slices.Compact(slices.Clone(within))) != len(within) {
		return true
	}
	for id, other := range m.families {
		if _, theirs := clues(other); id != f.ID {
			for c := range across {
				if theirs[c] {
					return true
				}
			}
		}
	}
	return false
}

// identify is Directory.Identify, slowly.
func (m *naive) identify(c Clues, now time.Time) (family FamilyID, device DeviceID, profile *Profile, until time.Time, ok bool) {
	var f *Family
	var dev *Device
	if c.Token != "" {
		for _, g := range m.families {
			for i, d := range g.Devices {
				for _, t := range d.Tokens {
					if strings.EqualFold(t, c.Token) {
						f, dev = g, &g.Devices[i]
					}
				}
			}
		}
	} else {
		bits := -1
		for _, g := range m.families {
			for _, p := range g.Networks {
				if p = canonical(p); p.Contains(c.Addr) && p.Bits() > bits {
					f, bits = g, p.Bits()
				}
			}
		}
		for _, g := range m.families {
			for _, d := range g.Devices {
				for _, p := range d.Networks {
					if p = canonical(p); bits < 0 && p.IsSingleIP() && p.Addr() == c.Addr && public(c.Addr) {
						f = g
					}
				}
			}
		}
		if f == nil {
			f = m.families[m.home]
		}
	}
	if f == nil {
		return 0, 0, nil, until, false
	}
	if dev == nil {
		bits := -1
		for i, d := range f.Devices {
			for _, p := range d.Networks {
				if p = canonical(p); p.Contains(c.Addr) && p.Bits() > bits {
					dev, bits = &f.Devices[i], p.Bits()
				}
			}
		}
		for i, d := range f.Devices {
			if c.MAC != (MAC{}) && slices.Contains(d.MACs, c.MAC) {
				dev = &f.Devices[i]
			}
		}
	}
	want := f.Default
	if dev != nil {
		device, want = dev.ID, dev.Profile
		switch {
		case dev.Until.IsZero():
		case now.Before(dev.Until):
			until = dev.Until
		case dev.Then != 0:
			want = dev.Then
		default:
			want = f.Default
		}
	}
	for i := range f.Profiles {
		if f.Profiles[i].ID == want {
			return f.ID, device, &f.Profiles[i], until, true
		}
	}
	return 0, 0, nil, until, false
}

// The clues of the property test: few, so that they meet.
var (
	someTokens = []string{"anna", "ANNA", "ben", "cleo", "dora"}
	someMACs   = []MAC{{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}, {2, 0, 0, 0, 0, 3}}
	someAddrs  = []string{
		"192.168.1.20", "192.168.1.21", "10.0.0.7", "fd00::20", "198.51.100.7", "198.51.100.8", "203.0.113.9",
		"2001:db8:1::20", "2001:db8:2::1", "100.64.0.5", "127.0.0.1", "::ffff:198.51.100.7",
	}
	someNetworks = []string{
		"192.168.1.20/32", "192.168.1.0/24", "192.168.0.0/16", "10.0.0.7/32", "fd00::20/128", "fd00::/64", "198.51.100.7/32",
		"198.51.100.0/24", "203.0.113.9/32", "203.0.113.0/28", "2001:db8:1::20/128", "2001:db8:1::/64", "2001:db8:1::/48",
		"2001:db8:2::/56", "100.64.0.5/32", "100.64.0.0/10", "0.0.0.0/0", "::/0", "::ffff:198.51.100.8/128",
	}
)

func prefixesOf(all ...string) (out []netip.Prefix) {
	for _, s := range all {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func drawFamily(t *rapid.T) *Family {
	some := func(of []string, most int, what string) []string {
		return rapid.SliceOfN(rapid.SampledFrom(of), 0, most).Draw(t, what)
	}
	large := rapid.SampledFrom([]int64{0, 0, 0, 300, 70_000, 1 << 40}).Draw(t, "IDs from")
	f := &Family{
		ID: FamilyID(rapid.SampledFrom([]int64{1, 2, 3, 4, 1 << 50}).Draw(t, "family")), Name: "family",
		Networks: prefixesOf(some(someNetworks, 2, "asks from")...),
	}
	profiles := rapid.IntRange(1, 3).Draw(t, "profiles")
	if rapid.IntRange(0, 20).Draw(t, "many") == 0 {
		profiles = 300
	}
	for i := range profiles {
		p := Profile{ID: ProfileID(large + int64(i) + 1), Name: fmt.Sprint("profile ", i), Preset: Preset(rapid.IntRange(int(BandA), int(Adult)).Draw(t, "preset"))}
		if rapid.Bool().Draw(t, "own choices") {
			p.Rules = []Rule{{ID: RuleID(rapid.IntRange(1, 2).Draw(t, "rule")), Name: blocklists.MustName("ruled.example"), Allow: rapid.Bool().Draw(t, "allow")}}
			p.Services = map[string]Choice{"tiktok": ChooseAllow}
		}
		if rapid.Bool().Draw(t, "list of another index") {
			p.Lists = map[string]Choice{"more": ChooseBlock}
		}
		f.Profiles = append(f.Profiles, p)
	}
	profile := func(what string) ProfileID {
		return f.Profiles[rapid.IntRange(0, len(f.Profiles)-1).Draw(t, what)].ID
	}
	if rapid.IntRange(0, 3).Draw(t, "has a default") > 0 {
		f.Default = profile("default")
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "devices") {
		d := Device{
			ID: DeviceID(large + int64(i) + 1000), Name: fmt.Sprint("device ", i), Profile: profile("device's"),
			Networks: prefixesOf(some(someNetworks, 2, "networks")...), Tokens: some(someTokens, 1, "tokens"),
			MACs: rapid.SliceOfN(rapid.SampledFrom(someMACs), 0, 1).Draw(t, "MACs"),
		}
		if rapid.Bool().Draw(t, "ends") {
			d.Until = at
			if rapid.Bool().Draw(t, "then") {
				d.Then = profile("then")
			}
		}
		f.Devices = append(f.Devices, d)
	}
	return f
}

// TestDirectoryIsWhatItsContractSays compares a directory with a naive one after
// any changes, and looks whether changes left older directories alone.
func TestDirectoryIsWhatItsContractSays(t *testing.T) {
	w := newWorld(t)
	presets, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	c, err := blocklists.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	other, err := blocklists.Compile(c, []blocklists.ListInput{list("more", blocklists.Gambling, "adult.example", "ruled.example")})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		type snapshot struct {
			d *Directory
			x *blocklists.Index
			m *naive
		}
		now := snapshot{emptyDirectory(presets, w.Index), w.Index, &naive{families: map[FamilyID]*Family{}, revisions: map[FamilyID]uint64{}}}
		all := []snapshot{now}
		for n := range rapid.IntRange(1, 12).Draw(t, "changes") {
			next := snapshot{now.d, now.x, now.m.clone()}
			switch rapid.IntRange(0, 9).Draw(t, "change") {
			case 0:
				id := FamilyID(rapid.IntRange(1, 5).Draw(t, "removed"))
				next.d = now.d.Without(id)
				delete(next.m.families, id)
				if next.m.home == id {
					next.m.home = 0
				}
			case 1:
				if next.x = other; now.x == other {
					next.x = w.Index
				}
				next.d, err = now.d.Rebase(next.x)
				if err != nil {
					t.Fatal(err)
				}
			case 2:
				id := FamilyID(rapid.IntRange(0, 5).Draw(t, "home"))
				d, err := now.d.WithHome(id)
				if _, ok := now.m.families[id]; (err == nil) != (ok || id == 0) {
					t.Fatalf("WithHome(%d): %v", id, err)
				}
				if err == nil {
					next.d, next.m.home = d, id
				}
			default:
				f := drawFamily(t)
				revision := uint64(100 * n)
				d, err := now.d.With(f, revision)
				if taken := now.m.taken(f); (err != nil) != taken {
					t.Fatalf("With = %v, but a clue used twice is %t", err, taken)
				}
				if err == nil {
					next.d, next.m.families[f.ID], next.m.revisions[f.ID] = d, f, revision
				}
			}
			now = next
			all = append(all, now)
		}
		loaded, err := LoadDirectory(func(yield func(Versioned, error) bool) {
			for id, f := range now.m.families {
				if !yield(Versioned{f, now.m.revisions[id]}, nil) {
					return
				}
			}
		}, presets, now.x)
		if err != nil {
			t.Fatal(err)
		}
		if loaded, err = loaded.WithHome(now.m.home); err != nil {
			t.Fatal(err)
		}
		all = append(all, snapshot{loaded, now.x, now.m})
		for _, s := range all {
			compare(t, s.d, s.x, s.m, presets)
		}
	})
}

func each(families ...*Family) iter.Seq2[Versioned, error] {
	return func(yield func(Versioned, error) bool) {
		for _, f := range families {
			if !yield(Versioned{f, uint64(f.ID)}, nil) {
				return
			}
		}
	}
}

// compare asks d and m for every clue and looks whether d holds anything that it
// should not.
func compare(t *rapid.T, d *Directory, x *blocklists.Index, m *naive, presets *Presets) {
	guarded, basis := map[FamilyID]bool{}, newBasis(presets, x)
	for id, f := range m.families {
		for i := range f.Profiles {
			src := sourceOf(f, &f.Profiles[i], presets)
			p, err := compilePolicy(basis, &src)
			if err != nil {
				t.Fatal(err)
			}
			guarded[id] = guarded[id] || p.Restricted
		}
	}
	ask := func(c Clues, when time.Time) {
		a, ok := d.Identify(c, when)
		family, device, p, until, want := m.identify(c, when)
		if ok != want {
			t.Fatalf("Identify(%v) = %v, want %v", c, ok, want)
		}
		if !ok {
			if a != (Asker{}) {
				t.Fatalf("Identify(%v) refuses and tells %+v", c, a)
			}
			return
		}
		if a.Family != family || a.Device != device || a.Profile != p.ID || !a.Until.Equal(until) {
			t.Fatalf("Identify(%v) = family %d, device %d, profile %d until %v; want %d, %d, %d until %v",
				c, a.Family, a.Device, a.Profile, a.Until, family, device, p.ID, until)
		}
		if a.Revision != m.revisions[family] {
			t.Fatalf("Identify(%v) = revision %d, want %d", c, a.Revision, m.revisions[family])
		}
		f := m.families[family]
		alone, err := NewDirectory(&Family{Default: p.ID, Profiles: []Profile{*p}, Grants: f.Grants, Zone: f.Zone, Holidays: f.Holidays}, presets, x, 1)
		if err != nil {
			t.Fatal(err)
		}
		fresh, _ := alone.Household()
		for _, name := range []string{"ruled.example", "tiktok.com", "adult.example", "omegle.com"} {
			q := Ask(x, blocklists.MustName(name), TypeA, when)
			if got, want := Decide(a.Policy, q), Decide(fresh.Policy, q); got != want {
				t.Fatalf("%s: %+v, want %+v", name, got, want)
			}
		}
		if a.Guarded != guarded[f.ID] {
			t.Fatalf("family %d is guarded: %t, want %t", f.ID, a.Guarded, guarded[f.ID])
		}
	}
	for _, addr := range someAddrs {
		a := netip.MustParseAddr(addr).Unmap()
		for _, mac := range append(someMACs, MAC{}) {
			ask(Clues{Addr: a, MAC: mac}, at)
		}
		ask(Clues{Addr: a}, at.Add(-time.Second))
	}
	for _, token := range append(someTokens, "nobody", strings.Repeat("x", 64)) {
		ask(Clues{Token: token, Addr: netip.MustParseAddr(someAddrs[0]), MAC: someMACs[0]}, at)
	}

	entries := 0
	for i := 0; i < d.index.pages.n; i += 1 << (d.index.depth - d.index.pages.at(i).depth) {
		entries += len(d.index.pages.at(i).entries)
	}
	want, wider, keys := len(m.families), 0, map[string]uint32{}
	for _, b := range d.slabs.all {
		r := openRecord(b)
		r.tokens(func([]byte) { want++ })
		r.addrs(func(netip.Addr) { want++ })
		r.networks(func(p netip.Prefix) {
			if !p.IsSingleIP() {
				wider++
			}
		})
		for i := range r.n[atProfiles] {
			_, n := r.profile(i)
			keys[d.policies.at(n).key]++
		}
	}
	live := 0
	for n := range d.policies.made {
		if p := d.policies.at(n); d.policies.policy(n).choices != nil {
			live++
			if keys[p.key] != p.refs {
				t.Fatalf("policy %d is counted %d times and used %d times", n, p.refs, keys[p.key])
			}
		}
	}
	if entries != want+live || live != len(keys) || d.networks.Size() != wider || d.Families() != len(m.families) {
		t.Fatalf("%d entries for %d clues and families, %d policies for %d choices, %d networks for %d, %d families for %d",
			entries, want, live, len(keys), d.networks.Size(), wider, d.Families(), len(m.families))
	}
}

// TestDirectoryBesideReaders: under the race detector, who asks while families
// change sees one state or the next.
func TestDirectoryBesideReaders(t *testing.T) {
	w := newWorld(t)
	presets, _ := EmbeddedPresets()
	family := func(id FamilyID, n int) *Family {
		return &Family{
			ID: id, Name: "family", Default: 1, Networks: prefixesOf(fmt.Sprintf("198.51.%d.0/24", id), fmt.Sprintf("203.0.113.%d/32", id)),
			Profiles: []Profile{{ID: 1, Name: "all", Preset: BandC, Rules: []Rule{{ID: RuleID(n + 1), Name: blocklists.MustName("ruled.example")}}}},
			Devices:  []Device{{ID: 2, Name: "phone", Profile: 1, Tokens: []string{fmt.Sprint("token-", id)}}},
		}
	}
	var families []*Family
	for id := range FamilyID(20) {
		families = append(families, family(id+1, 0))
	}
	d, err := LoadDirectory(each(families...), presets, w.Index)
	if err != nil {
		t.Fatal(err)
	}
	var current atomic.Pointer[Directory]
	current.Store(d)
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				id := FamilyID(i%20 + 1)
				d := current.Load()
				for _, c := range []Clues{
					{Token: fmt.Sprint("token-", id)},
					{Addr: netip.MustParseAddr(fmt.Sprintf("198.51.%d.9", id))},
					{Addr: netip.MustParseAddr(fmt.Sprintf("203.0.113.%d", id))},
				} {
					a, ok := d.Identify(c, at)
					if id == 20 && !ok {
						continue // it comes and goes
					}
					if !ok || a.Family != id {
						t.Errorf("%v is family %d, %t", c, a.Family, ok)
						return
					}
					if v := Decide(a.Policy, Ask(w.Index, blocklists.MustName("ruled.example"), TypeA, at)); v.Action != Block {
						t.Errorf("family %d: %+v", id, v)
						return
					}
				}
			}
		})
	}
	for n := range 300 {
		d := current.Load()
		switch {
		case n%50 == 49:
			d, err = d.Rebase(w.Index)
		case n%10 == 4:
			d = d.Without(20)
		case n%10 == 5:
			d, err = d.With(family(20, n), uint64(n))
		default:
			d, err = d.With(family(FamilyID(n%19+1), n%7), uint64(n))
		}
		if err != nil {
			t.Error(err)
			break
		}
		current.Store(d)
	}
	close(stop)
	readers.Wait()
}

// What is over keeps no policy alive that nobody shares.
func TestRetiredFamiliesShareAgain(t *testing.T) {
	w := newWorld(t)
	presets, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	f := &Family{ID: 1, Name: "A", Default: 1, LastID: 5, Profiles: []Profile{{ID: 1, Name: "Everyone", Preset: BandC, Rules: []Rule{
		{ID: 3, Name: blocklists.MustName("over.example"), Until: at.Add(-time.Hour)},
	}}}}
	f.Grants = []Grant{{ID: 2, Profile: 1, What: Target{Kind: ForName, Name: blocklists.MustName("omegle.com")}, From: at.Add(-2 * time.Hour), Until: at.Add(-time.Hour)}}
	d, err := NewDirectory(f, presets, w.Index, 1)
	if err != nil {
		t.Fatal(err)
	}
	if d, err = d.With(&Family{ID: 2, Name: "B", Default: 1, Profiles: []Profile{{ID: 1, Name: "All", Preset: BandC}}}, 1); err != nil {
		t.Fatal(err)
	}
	policyOf := func(id FamilyID) *Policy {
		a, _ := d.Device(id, 0, at)
		return a.Policy
	}
	if policyOf(1) == policyOf(2) {
		t.Fatal("the grant has no effect")
	}
	f.Settle(at)
	if len(f.Grants) != 1 || len(f.Profiles[0].Rules) != 1 {
		t.Error("what was over an hour ago is not to be seen any more")
	}
	f.Retire(at)
	if d, err = d.With(f, 2); err != nil {
		t.Fatal(err)
	}
	if policyOf(1) != policyOf(2) {
		t.Error("families that chose alike do not share a policy once a grant and a rule are over")
	}
}
