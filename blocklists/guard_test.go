package blocklists

import "testing"

func TestGuard(t *testing.T) {
	c, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, in string
		want     SkipReason
	}{
		{"nothing speaks against it", "omegle.com", SkipNone},
		{"a shared host", "akamaiedge.net", SkipSharedHost},
		{"a name above a shared host, which the catalogue takes along on purpose", "facebook.com", SkipNone},
		{"a host of it that thousands of apps need", "graph.facebook.com", SkipSharedHost},
		{"a customer of a shared host", "e1.akamaiedge.net", SkipNone},
		{"a help line", "childline.org.uk", SkipReachable},
		{"a page of a help line", "www.childline.org.uk", SkipReachable},
		{"what devices need, by exactly its name", "captive.apple.com", SkipReachable},
		{"a name below that", "x.captive.apple.com", SkipNone},
		{"what devices need, and all below", "0.debian.pool.ntp.org", SkipReachable},
		{"a parent of what must stay reachable", "apple.com", SkipNone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := c.Guard(MustName(tt.in)); got != tt.want {
				t.Errorf("Guard(%s) = %s; want %s", tt.in, got, tt.want)
			}
		})
	}
}

// A list's entry covers what lies below it, so it may not stand above a shared
// host either; the catalogue may say that it takes the host along.
func TestGuard_aboveASharedHost(t *testing.T) {
	files := tree(t)
	files["shared-hosts.tsv"].Data = []byte("cdn.brand.com\ta CDN\tnever\tShared.\ta ranking\t2026-11\ncdn.a.com\ta CDN\tnever\tShared.\ta ranking\t2026-11\n")
	files["catalogue/dating.txt"].Data = []byte("checked 2026-11\n" + goodService + "  domain a.com suffix high ut1\n    above-shared\n    note All of it.\n")
	c, err := readCatalogue(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		in   string
		want SkipReason
	}{
		{"cdn.brand.com", SkipSharedHost},
		{"brand.com", SkipSharedHost},
		{"www.brand.com", SkipNone},
		{"cdn.a.com", SkipSharedHost},
		{"a.com", SkipNone},
		{"com", SkipNone},
	} {
		if got := c.Guard(MustName(tt.in)); got != tt.want {
			t.Errorf("Guard(%s) = %s, want %s", tt.in, got, tt.want)
		}
	}
}

func TestSharedHosts(t *testing.T) {
	c := mustEmbedded(t)
	for _, tt := range []struct {
		name, in string
		exact    bool
		want     int
	}{
		{"a shared host", "akamaiedge.net", true, 1},
		{"a customer of one", "e1.akamaiedge.net", false, 0},
		{"a name above two", "facebook.com", false, 2},
		{"the name above alone", "facebook.com", true, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := c.SharedHosts(MustName(tt.in), tt.exact); len(got) != tt.want {
				t.Errorf("SharedHosts(%s, %t) = %v, want %d", tt.in, tt.exact, got, tt.want)
			}
		})
	}
}

// A subscription can block nothing of what is shared or must stay reachable:
// neither by the name itself nor by one above a shared host.
func TestGuard_noSubscriptionBlocksWhatIsProtected(t *testing.T) {
	c := mustEmbedded(t)
	for _, h := range c.Shared {
		if got := c.Guard(h.Name); got != SkipSharedHost {
			t.Errorf("Guard(%s) = %s", h.Name, got)
		}
	}
	for _, r := range c.Reachable {
		if got := c.Guard(r.Name); got != SkipReachable {
			t.Errorf("Guard(%s) = %s", r.Name, got)
		}
	}
}
