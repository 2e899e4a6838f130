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
