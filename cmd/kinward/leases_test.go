package main

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kinward/policy"
)

func TestReadLeases(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	mac := policy.MAC{2, 0, 0x5e, 0x10, 0, 0x31}
	a := netip.MustParseAddr
	for _, tt := range []struct {
		name string
		text []string
		want []lease
		bad  int
	}{
		{"dnsmasq", []string{
			"1700000100 02:00:5e:10:00:31 192.168.1.20 Tablet 01:02:00:5e:10:00:31",
			"0 02:00:5e:10:00:31 192.168.1.21 * *",
			"1699999999 02:00:5e:10:00:31 192.168.1.22 gone *",
			"duid 00:01:00:01", "1700000100 13400000 fd00::20 tablet 00:01", "soon 02:00:5e:10:00:31 192.168.1.23 x *",
		}, []lease{{a("192.168.1.20"), mac, "Tablet"}, {a("192.168.1.21"), mac, ""}, {a("fd00::20"), policy.MAC{}, "tablet"}}, 1},
		{"odhcpd", []string{
			"# br-lan 2:0:5e:10:0:31 ipv4 tablet 1700000100 c0a80114 32 192.168.1.20/32",
			"# br-lan 2:0:5e:10:0:31 ipv4 - -1 c0a80115 32 192.168.1.21/32",
			"# br-lan 2:0:5e:10:0:31 ipv4 gone 1699999999 c0a80116 32 192.168.1.22/32",
			"# br-lan 2:0:5e:10:0:31 ipv4 broken\\x20na_me 1700000100 c0a80117 32 192.168.1.23/32",
			"# br-lan 000100012c 1 tablet 1700000100 20 128 fd00::20/128 2001:db8::20/128",
			"# br-lan 000100012c 2 router 1700000100 20 56 2001:db8:0:100::/56",
			"# br-lan short", "# br-lan 2:0:5e:10:0:31 ipv4 x soon c0a80117 32 192.168.1.24/32",
		}, []lease{
			{a("192.168.1.20"), mac, "tablet"},
			{a("192.168.1.21"), mac, ""},
			{a("192.168.1.23"), mac, ""},
			{a("fd00::20"), policy.MAC{}, "tablet"},
			{a("2001:db8::20"), policy.MAC{}, "tablet"},
		}, 2},
		{"Kea", []string{
			"address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id",
			"192.168.1.20,02:00:5e:10:00:31,,4000,1700000050,1,0,0,old-name,0,,0",
			"192.168.1.21,02:00:5e:10:00:31,,4000,1700000100,1,0,0,released,0,,0",
			"192.168.1.20,02:00:5e:10:00:31,,4000,1700000100,1,0,0,tablet.home.arpa.,0,,0",
			"192.168.1.21,02:00:5e:10:00:31,,0,1700000100,1,0,0,released,2,,0",
			"192.168.1.22,02:00:5e:10:00:31,,4000,1699999999,1,0,0,gone,0,,0",
			"192.168.1.x,02:00:5e:10:00:31,,4000,1700000100,1,0,0,x,0,,0", "short",
		}, []lease{{a("192.168.1.20"), mac, "tablet"}}, 2},
		{"Kea for IPv6", []string{
			"address,duid,valid_lifetime,expire,subnet_id,pref_lifetime,lease_type,iaid,prefix_len,fqdn_fwd,fqdn_rev,hostname,hwaddr,state,user_context,hwtype,hwaddr_source,pool_id",
			"fd00::20,00:01:00:01,4000,1700000100,1,3000,0,1,128,0,0,tablet,02:00:5e:10:00:31,0,,1,0,0",
			"2001:db8:0:100::,00:01:00:01,4000,1700000100,1,3000,2,1,56,0,0,router,,0,,,,0",
		}, []lease{{a("fd00::20"), mac, "tablet"}}, 0},
		{"nothing", []string{"", "junk"}, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, bad, err := readLeases(strings.NewReader(strings.Join(tt.text, "\n")), now)
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(lease{}), cmpopts.EquateComparable(netip.Addr{})); diff != "" || err != nil || bad != tt.bad {
				t.Errorf("%d bad lines, want %d, %v (-want +got):\n%s", bad, tt.bad, err, diff)
			}
		})
	}
}

func FuzzReadLeases(f *testing.F) {
	f.Add("1700000100 02:00:5e:10:00:31 192.168.1.20 Tablet *")
	f.Add("# br-lan 2:0:5e:10:0:31 ipv4 tablet 1700000100 c0a80114 32 192.168.1.20/32")
	f.Add("address,hwaddr,expire,hostname,state\n192.168.1.20,02:00:5e:10:00:31,1700000100,tablet,0")
	f.Fuzz(func(t *testing.T, s string) {
		leases, _, _ := readLeases(strings.NewReader(s), time.Unix(0, 0))
		for _, l := range leases {
			if !l.addr.IsValid() {
				t.Fatalf("%q gives a lease without an address", s)
			}
		}
	})
}
