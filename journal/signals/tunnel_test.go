package signals

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"kinward/blocklists"
	"kinward/policy"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// asker is a device of a child.
func asker(t testing.TB, device policy.DeviceID, preset policy.Preset) policy.Asker {
	t.Helper()
	f := policy.NewFamily("Home", "UTC", preset)
	f.ID = 1
	x, err := blocklists.Compile(&blocklists.Catalogue{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	presets, err := policy.EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	d, err := policy.NewDirectory(f, presets, x, 1)
	if err != nil {
		t.Fatal(err)
	}
	a, ok := d.Household()
	if !ok {
		t.Fatal("the family has no profile for its devices")
	}
	a.Device = device
	return a
}

// data is the nth label that a tunnel makes of what it carries.
func data(n int) string {
	sum := sha256.Sum256(fmt.Append(nil, n))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))
}

// asks sends n questions over a span and returns what was found.
func asks(t testing.TB, d *Tunnels, who policy.Asker, client string, n int, over time.Duration, qtype uint16, name func(int) string) []Found {
	t.Helper()
	a := netip.MustParseAddr(client)
	for k := range n {
		d.Asked(who, a, blocklists.MustName(name(k)), qtype, noon.Add(over*time.Duration(k)/time.Duration(n)))
	}
	return found(d)
}

func found(d *Tunnels) (out []Found) {
	for {
		select {
		case f := <-d.Found():
			out = append(out, f)
		default:
			return out
		}
	}
}

// TestTunnel: long and ever different names below one domain are one, whichever
// type they ask; so is much TXT or NULL. It is told once, with the domain alone.
func TestTunnel(t *testing.T) {
	child := asker(t, 7, policy.BandC)
	for _, tt := range []struct {
		name  string
		n     int
		over  time.Duration
		qtype uint16
		of    func(int) string
		want  string
	}{
		{"data in A questions", 1000, 20 * time.Minute, 1, func(k int) string { return data(k) + ".t.example.com" }, "example.com"},
		{"below a second-level suffix", 1000, 20 * time.Minute, 1, func(k int) string { return data(k) + ".t.example.co.uk" }, "example.co.uk"},
		{"below a name of dynamic DNS", 1000, 20 * time.Minute, 1, func(k int) string { return data(k) + ".mine.duckdns.org" }, "mine.duckdns.org"},
		{"an idle one that polls every four seconds", 900, time.Hour, 1, func(k int) string { return data(k) + ".t.example.com" }, "example.com"},
		{"across the half hour", 900, 40 * time.Minute, 1, func(k int) string { return data(k) + ".t.example.com" }, "example.com"},
		{"short names that ask NULL", 900, 30 * time.Minute, 10, func(k int) string { return data(k)[:8] + ".t.example.com" }, "example.com"},
		{"short names that ask TXT", 900, 30 * time.Minute, 16, func(k int) string { return data(k)[:8] + ".t.example.com" }, "example.com"},
		{"short names that ask a private type", 900, 30 * time.Minute, 65399, func(k int) string { return data(k)[:8] + ".t.example.com" }, "example.com"},
		{"a label with a dot in it", 1000, 20 * time.Minute, 1, func(k int) string { return data(k) + `\.x.t.example.com` }, "example.com"},

		{"short names that ask A", 5000, 30 * time.Minute, 1, func(k int) string { return data(k)[:8] + ".t.example.com" }, ""},
		{"few", 300, 10 * time.Minute, 1, func(k int) string { return data(k) + ".t.example.com" }, ""},
		{"many over a day", 3000, 24 * time.Hour, 1, func(k int) string { return data(k) + ".t.example.com" }, ""},
		{"the same few, often", 5000, 30 * time.Minute, 1, func(k int) string { return data(k%100) + ".t.example.com" }, ""},
		{"one TXT, often", 5000, 30 * time.Minute, 16, func(int) string { return "status.example.com" }, ""},
		{"each of another site of a host that has names of its own, too", 5000, 30 * time.Minute, 1, func(k int) string {
			if k == 0 {
				return data(k) + ".nabu.casa" // ui.nabu.casa is a public suffix, nabu.casa is none
			}
			return data(k) + "." + data(k + 1)[:20] + ".ui.nabu.casa"
		}, ""},
		{"each of another domain", 5000, 30 * time.Minute, 1, func(k int) string { return data(k) + ".t.example" + fmt.Sprint(k) + ".com" }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := asks(t, NewTunnels(), child, "192.168.1.20", tt.n, tt.over, tt.qtype, tt.of)
			if tt.want == "" {
				if len(got) != 0 {
					t.Fatalf("found %+v", got)
				}
				return
			}
			if len(got) != 1 || got[0].Domain.String() != tt.want || got[0].Device != 7 || got[0].Family != 1 || got[0].Client != "" {
				t.Fatalf("found %+v, want one below %s of device 7", got, tt.want)
			}
		})
	}
}

// TestTunnelOfWhom: devices without a name are told apart by their private
// address, a public address is not kept, and nothing of adults is looked at.
func TestTunnelOfWhom(t *testing.T) {
	child := asker(t, 0, policy.BandC)
	name := func(k int) string { return data(k) + ".t.example.com" }
	d := NewTunnels()
	for _, client := range []string{"192.168.1.20", "::ffff:192.168.1.21", "203.0.113.7"} {
		got := asks(t, d, child, client, 1000, 20*time.Minute, 1, name)
		want := strings.TrimPrefix(client, "::ffff:")
		if client == "203.0.113.7" {
			want = ""
		}
		if len(got) != 1 || got[0].Client != want {
			t.Errorf("%s: found %+v", client, got)
		}
	}
	// Half of it each is a tunnel of neither.
	d = NewTunnels()
	a, b := netip.MustParseAddr("192.168.1.30"), netip.MustParseAddr("192.168.1.31")
	for k := range 600 {
		d.Asked(child, []netip.Addr{a, b}[k%2], blocklists.MustName(name(k)), 1, noon)
	}
	if got := found(d); len(got) != 0 {
		t.Errorf("of two devices together: %+v", got)
	}
	if got := asks(t, NewTunnels(), asker(t, 3, policy.Adult), "192.168.1.20", 5000, time.Hour, 16, name); len(got) != 0 {
		t.Errorf("of an adult: %+v", got)
	}
}

// TestTunnelIsToldOnceADay: it goes on, and is told again only after a day.
func TestTunnelIsToldOnceADay(t *testing.T) {
	d := NewTunnels()
	child, a := asker(t, 7, policy.BandC), netip.MustParseAddr("192.168.1.20")
	var at []time.Time
	for k := range 30 * 1000 {
		now := noon.Add(time.Duration(k) * 30 * time.Hour / 30000)
		d.Asked(child, a, blocklists.MustName(data(k)+".t.example.com"), 1, now)
		for _, f := range found(d) {
			at = append(at, f.At)
		}
	}
	if len(at) != 2 || at[1].Sub(at[0]) < 23*time.Hour {
		t.Errorf("told at %s", at)
	}
}

// TestNoTunnel: what antivirus programs, mail filters, content networks and meters
// ask looks like one and is none.
func TestNoTunnel(t *testing.T) {
	child := asker(t, 7, policy.BandC)
	for _, line := range []struct {
		what  string
		qtype uint16
		of    func(int) string
	}{
		{"McAfee's look-ups of files", 1, func(k int) string { return data(k)[:26] + ".avts.mcafee.com" }},
		{"with more in front", 16, func(k int) string { return "0.0.0.0.1.0.0.4e." + data(k)[:26] + ".avqs.mcafee.com" }},
		{"Sophos", 16, func(k int) string { return data(k) + ".s.sophosxl.net" }},
		{"ESET", 16, func(k int) string { return data(k) + ".c.e5.sk" }},
		{"a list of mail senders, IPv6", 1, func(k int) string { return nibbles(k) + ".zen.spamhaus.org" }},
		{"hashes of mail", 16, func(k int) string { return data(k) + "._email.hbl.spamhaus.org" }},
		{"addresses as names", 12, func(k int) string { return nibbles(k) + ".ip6.arpa" }},
		{"Azure's meter", 1, func(k int) string { return data(k)[:32] + ".clo.footprintdns.com" }},
		{"frames of advertisements", 1, func(k int) string { return data(k) + ".safeframe.googlesyndication.com" }},
		{"Android's tests of private DNS", 1, func(k int) string { return data(k)[:32] + "-dnsotls-ds.metric.gstatic.com" }},
		{"buckets", 1, func(k int) string { return data(k) + ".s3.eu-central-1.amazonaws.com" }},
		{"a distribution each", 1, func(k int) string { return data(k)[:14] + ".cloudfront.net" }},
		{"sites of a host of sites", 1, func(k int) string { return data(k) + ".github.io" }},
		{"video caches", 1, func(k int) string { return "rr" + fmt.Sprint(k%9) + "---sn-" + data(k)[:16] + ".googlevideo.com" }},
		{"the router's domain after each name", 1, func(k int) string { return "cdn." + data(k) + ".example.com.fritz.box" }},
		{"another router's", 1, func(k int) string { return "cdn." + data(k) + ".example.com.lan" }},
	} {
		if got := asks(t, NewTunnels(), child, "192.168.1.20", 3000, 30*time.Minute, line.qtype, line.of); len(got) != 0 {
			t.Errorf("%s: found %+v", line.what, got)
		}
	}
}

func nibbles(k int) string {
	sum := sha256.Sum256(fmt.Append(nil, k))
	var out []string
	for _, b := range sum[:16] {
		out = append(out, fmt.Sprintf("%x.%x", b>>4, b&15))
	}
	return strings.Join(out, ".")
}

// TestExemptDomainsHaveReasons: every line of the table says a domain, what kind it
// is, why it is there, and where that is from, and none stands twice.
func TestExemptDomainsHaveReasons(t *testing.T) {
	seen := map[string]bool{}
	kinds := []string{"antivirus", "dnsbl", "telemetry", "ads", "system", "cloud", "cdn", "home", "reverse"}
	for line := range strings.Lines(untunnelled) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 4 || !slices.Contains(kinds, f[1]) || f[2] == "" || f[3] == "" || seen[f[0]] {
			t.Errorf("line %q", line)
		}
		if n, err := blocklists.ParseName(f[0]); err != nil || n.String() != f[0] {
			t.Errorf("%q is no domain as it is written: %v", f[0], err)
		}
		seen[f[0]] = true
	}
}

// TestTunnelMemory: a flood of other domains takes no more memory than there was,
// and a tunnel that is a tenth of it is found all the same.
func TestTunnelMemory(t *testing.T) {
	d := NewTunnels()
	size := func() (n uintptr) {
		n = unsafe.Sizeof(*d)
		for i := range d.shard {
			n += uintptr(cap(d.shard[i].cells)) * unsafe.Sizeof(cell{})
		}
		return n
	}
	before := size()
	if before > 1<<20 {
		t.Errorf("it takes %d bytes", before)
	}
	child, a := asker(t, 7, policy.BandC), netip.MustParseAddr("192.168.1.20")
	r := rand.New(rand.NewPCG(1, 2))
	flood := make([]blocklists.Name, 10_000)
	for k := range flood {
		flood[k] = blocklists.MustName(data(k) + ".x" + fmt.Sprint(r.Uint64()) + ".example")
	}
	for k, n := range flood {
		now := noon.Add(time.Duration(k) * 30 * time.Minute / time.Duration(len(flood)))
		d.Asked(child, a, n, 1, now)
		if k%10 == 0 {
			d.Asked(child, a, blocklists.MustName(data(k)+".t.example.com"), 1, now)
		}
	}
	if after := size(); after != before {
		t.Errorf("a flood made %d bytes of %d", after, before)
	}
	got := found(d)
	if len(got) != 1 || got[0].Domain.String() != "example.com" {
		t.Errorf("within a flood: found %+v", got)
	}
	who := make(chan bool)
	for range 4 { // at once, for the race detector
		go func() {
			for _, n := range flood[:1000] {
				d.Asked(child, a, n, 16, noon)
			}
			who <- true
		}()
	}
	for range 4 {
		<-who
	}
}

// TestTunnelsAllocs: no question costs memory, whether it is a candidate or not, but
// for the first below a domain, which AllocsPerRun leaves out.
func TestTunnelsAllocs(t *testing.T) {
	d := NewTunnels()
	child, a := asker(t, 0, policy.BandC), netip.MustParseAddr("192.168.1.20")
	for _, n := range []string{"www.example.com", data(1) + ".t.example.com", data(1) + "." + data(2) + "." + data(3) + ".t.example.co.uk", data(1) + ".avts.mcafee.com"} {
		name := blocklists.MustName(n)
		for _, qtype := range []uint16{1, 16} {
			if got := testing.AllocsPerRun(1000, func() { d.Asked(child, a, name, qtype, noon) }); got != 0 {
				t.Errorf("%s, type %d: %v allocations", n, qtype, got)
			}
		}
	}
}

// TestSketch: it is right on average, and half or twice at worst.
func TestSketch(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{0, 1, 10, 100, 400, 1000, 10_000} {
		const rounds = 100
		sum := 0
		for range rounds {
			var a, b sketch
			for k := range n {
				h := r.Uint64()
				a.add(h)
				if k%2 == 0 {
					b.add(h)
				}
			}
			got := estimate(&a, &b)
			if got < n/2 || got > 2*n {
				t.Errorf("%d are counted as %d", n, got)
			}
			sum += got
		}
		if mean := sum / rounds; mean < n*95/100 || mean > n*105/100+1 {
			t.Errorf("%d are counted as %d on average", n, mean)
		}
	}
}

func BenchmarkTunnels(b *testing.B) {
	d := NewTunnels()
	child, a := asker(b, 7, policy.BandC), netip.MustParseAddr("192.168.1.20")
	for _, n := range []string{"www.example.com", data(1) + ".t.example.com"} {
		name := blocklists.MustName(n)
		b.Run(fmt.Sprint(len(n)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				d.Asked(child, a, name, 1, noon)
			}
		})
	}
}
