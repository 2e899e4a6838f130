package resolver

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/resolver/upstream"
)

func mustRecords(t testing.TB, lines ...string) *Records {
	t.Helper()
	r, err := ParseRecords(lines)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// homeServer knows some records, and its upstream others.
func homeServer(t *testing.T, edit func(*Config)) (*Server, *fake) {
	t.Helper()
	up := newFake(t, "www.example.com. 60 IN A 192.0.2.1", "other.example. 60 IN A 192.0.2.2", "inside.example. 60 IN A 192.168.1.77",
		"chat.stranger.example. 60 IN A 192.0.2.3", "led.example. 60 IN CNAME chat.stranger.example.")
	c := config(t, up)
	c.Home.Domain = blocklists.MustName("home.arpa")
	c.Home.Records = mustRecords(t,
		"nas.home.arpa. 120 IN A 192.168.1.5", "nas.home.arpa. 120 IN AAAA fd00::5", "printer.home.arpa A 192.168.1.6", "also.home.arpa A 192.168.1.5",
		"box.deep.er.home.arpa A 192.168.1.7", "_ipp._tcp.home.arpa. SRV 0 0 631 printer.home.arpa.", `nas.home.arpa TXT "a b" c`,
		"short.home.arpa CNAME nas.home.arpa.", "twice.home.arpa CNAME short.home.arpa", "out.home.arpa 90 CNAME www.example.com.",
		"gone.home.arpa CNAME gone.example.com", "bad.home.arpa CNAME chat.stranger.example", "led.home.arpa CNAME led.example.", "in.home.arpa CNAME inside.example.",
		"*.dev.home.arpa A 192.168.1.8", "known.dev.home.arpa TXT here", "*.alias.home.arpa CNAME nas.home.arpa",
		"intra.example.com A 10.0.0.9", "9.1.168.192.in-addr.arpa PTR given.home.arpa", "given.home.arpa A 192.168.1.9",
		"stranger.example A 10.0.0.10", "deep.blue.example.net A 10.0.0.11")
	if edit != nil {
		edit(&c)
	}
	return start(t, c), up
}

func TestLocalRecords(t *testing.T) {
	s, up := homeServer(t, nil)
	const soa = "home.arpa. 300 IN SOA home.arpa. nobody.invalid. 1 3600 1200 604800 300"
	for _, tt := range []struct {
		what, name string
		qtype      uint16
		rcode      int
		want       []string // answer, or the SOA record of a negative one
	}{
		{"an address, in the case that was asked", "NAS.home.arpa.", dns.TypeA, 0, []string{"NAS.home.arpa. 120 IN A 192.168.1.5"}},
		{"IPv6", "nas.home.arpa.", dns.TypeAAAA, 0, []string{"nas.home.arpa. 120 IN AAAA fd00::5"}},
		{"a TTL where none is given", "printer.home.arpa.", dns.TypeA, 0, []string{"printer.home.arpa. 300 IN A 192.168.1.6"}},
		{"SRV", "_ipp._tcp.home.arpa.", dns.TypeSRV, 0, []string{"_ipp._tcp.home.arpa. 300 IN SRV 0 0 631 printer.home.arpa."}},
		{"TXT", "nas.home.arpa.", dns.TypeTXT, 0, []string{`nas.home.arpa. 300 IN TXT "a b" "c"`}},
		{"another type", "printer.home.arpa.", dns.TypeAAAA, 0, []string{soa}},
		{"a name between", "er.home.arpa.", dns.TypeA, 0, []string{soa}},
		{"no name", "nothing.home.arpa.", dns.TypeA, 3, []string{soa}},
		{"below a name", "x.nas.home.arpa.", dns.TypeA, 3, []string{soa}},
		{"CNAMEs in the home", "twice.home.arpa.", dns.TypeA, 0, []string{"twice.home.arpa. 300 IN CNAME short.home.arpa.", "short.home.arpa. 300 IN CNAME nas.home.arpa.", "nas.home.arpa. 120 IN A 192.168.1.5"}},
		{"a CNAME itself", "twice.home.arpa.", dns.TypeCNAME, 0, []string{"twice.home.arpa. 300 IN CNAME short.home.arpa."}},
		{"a CNAME to a name without the type", "short.home.arpa.", dns.TypeSRV, 0, []string{"short.home.arpa. 300 IN CNAME nas.home.arpa."}},
		{"reverse, of the first", "5.1.168.192.in-addr.arpa.", dns.TypePTR, 0, []string{"5.1.168.192.in-addr.arpa. 120 IN PTR nas.home.arpa."}},
		{"reverse, as given", "9.1.168.192.in-addr.arpa.", dns.TypePTR, 0, []string{"9.1.168.192.in-addr.arpa. 300 IN PTR given.home.arpa."}},
		{"reverse IPv6", "5" + strings.Repeat(".0", 29) + ".d.f.ip6.arpa.", dns.TypePTR, 0, []string{"5" + strings.Repeat(".0", 29) + ".d.f.ip6.arpa. 120 IN PTR nas.home.arpa."}},
		{"reverse of a name between", "1.168.192.in-addr.arpa.", dns.TypePTR, 0, []string{"168.192.in-addr.arpa. 300 IN SOA 168.192.in-addr.arpa. nobody.invalid. 1 3600 1200 604800 300"}},
		{"reverse of nobody", "4.1.168.192.in-addr.arpa.", dns.TypePTR, 3, []string{"168.192.in-addr.arpa. 300 IN SOA 168.192.in-addr.arpa. nobody.invalid. 1 3600 1200 604800 300"}},
		{"RFC 4592: a wildcard", "a.b.dev.home.arpa.", dns.TypeA, 0, []string{"a.b.dev.home.arpa. 300 IN A 192.168.1.8"}},
		{"a wildcard's other type", "a.dev.home.arpa.", dns.TypeAAAA, 0, []string{soa}},
		{"a name that exists beside a wildcard", "known.dev.home.arpa.", dns.TypeA, 0, []string{soa}},
		{"below a name that exists beside a wildcard", "x.known.dev.home.arpa.", dns.TypeA, 3, []string{soa}},
		{"a wildcard CNAME", "x.alias.home.arpa.", dns.TypeA, 0, []string{"x.alias.home.arpa. 300 IN CNAME nas.home.arpa.", "nas.home.arpa. 120 IN A 192.168.1.5"}},
		{"in a public domain", "intra.example.com.", dns.TypeA, 0, []string{"intra.example.com. 300 IN A 10.0.0.9"}},
		{"its other type", "intra.example.com.", dns.TypeAAAA, 0, []string{"intra.example.com. 300 IN SOA intra.example.com. nobody.invalid. 1 3600 1200 604800 300"}},
	} {
		up.queries()
		got := ask(t, s, adult, msgFor(tt.name, tt.qtype))
		all := append(rrs(got.Answer), rrs(got.Ns)...)
		for i := range all { // the household has children, whose TTLs are capped
			all[i] = strings.ReplaceAll(all[i], " 60 IN ", " * IN ")
		}
		want := append([]string{}, tt.want...)
		for i := range want {
			if !strings.Contains(want[i], " SOA ") {
				want[i] = strings.NewReplacer(" 120 IN ", " * IN ", " 300 IN ", " * IN ").Replace(want[i])
			}
		}
		if diff := cmp.Diff(want, all); diff != "" || got.Rcode != tt.rcode {
			t.Errorf("%s: %s (-want +got):\n%s", tt.what, dns.RcodeToString[got.Rcode], diff)
		}
		if n := len(up.queries()); n != 0 {
			t.Errorf("%s: the upstream was asked %d times", tt.what, n)
		}
	}
	// Names beside those with records are nobody's but the upstream's.
	if got := ask(t, s, adult, msgFor("www.example.com.", dns.TypeA)); len(got.Answer) != 1 {
		t.Errorf("a name beside: %s", got)
	}
	ask(t, s, adult, msgFor("blue.example.net.", dns.TypeA))
	if countFor(up, "blue.example.net.") == 0 {
		t.Error("a name above a record was not asked of the upstream")
	}
	if got := ask(t, s, adult, msgFor("nas.home.arpa.", dns.TypeANY)); len(got.Answer) != 1 || got.Answer[0].Header().Rrtype != dns.TypeHINFO {
		t.Errorf("ANY: %s", got)
	}
}

// A local CNAME that leads out of the home is resolved, and no way past the
// policy or the guard against rebinding.
func TestLocalRecordsThatLeadOut(t *testing.T) {
	s, _ := homeServer(t, nil)
	for _, tt := range []struct {
		name, from string
		rcode      int
		ede        int
		want       []string
	}{
		{"out.home.arpa.", household, 0, -1, []string{"out.home.arpa. 60 IN CNAME www.example.com.", "www.example.com. 60 IN A 192.0.2.1"}},
		{"gone.home.arpa.", household, 3, -1, []string{"gone.home.arpa. 60 IN CNAME gone.example.com."}},
		{"bad.home.arpa.", household, 0, edeFiltered, []string{}},
		{"led.home.arpa.", household, 0, edeFiltered, []string{}},
		{"in.home.arpa.", household, 0, edeBlocked, []string{}},
		{"stranger.example.", household, 3, edeFiltered, []string{}}, // blocked, record or not
	} {
		for range 2 {
			got := ask(t, s, tt.from, msgFor(tt.name, dns.TypeA))
			code, _ := ede(got)
			if diff := cmp.Diff(tt.want, rrs(got.Answer)); diff != "" || got.Rcode != tt.rcode || code != tt.ede {
				t.Errorf("%s: %s EDE %d (-want +got):\n%s", tt.name, dns.RcodeToString[got.Rcode], code, diff)
			}
		}
	}
}

// Where a local CNAME leads, an old answer is better than a failure, and upstreams
// that failed a moment ago are not asked again.
func TestRFC8767_LocalRecordsThatLeadOut(t *testing.T) {
	var clk *clock
	s, up := homeServer(t, func(c *Config) {
		quick(c)
		clk = virtual(c)
	})
	out := func() *dns.Msg { return ask(t, s, adult, msgFor("out.home.arpa.", dns.TypeA)) }
	out()
	clk.advance(time.Hour)
	up.does(says(dns.RcodeServerFailure))
	want := []string{"out.home.arpa. 60 IN CNAME www.example.com.", "www.example.com. 30 IN A 192.0.2.1"}
	for i := range 3 {
		up.queries()
		got := out()
		if code, _ := ede(got); got.Rcode != 0 || !cmp.Equal(want, rrs(got.Answer)) || code != edeStale {
			t.Errorf("answer %d, EDE %d: %s", i, code, got)
		}
		if n := asksFor(up, "www.example.com."); i > 0 && n > 0 {
			t.Errorf("asked %d times right after a failure", n)
		}
	}
	up.does(nil)
	clk.advance(staleRetry)
	got := out()
	if code, _ := ede(got); len(got.Answer) != 2 || got.Answer[1].Header().Ttl != 60 || code != -1 {
		t.Errorf("after the upstream came back, EDE %d: %s", code, got)
	}
}

func TestParseRecordsRefuses(t *testing.T) {
	for _, tt := range []struct {
		want  string
		lines []string
	}{
		{"it is empty", []string{""}},
		{"no record", []string{"nas.home.arpa A 192.168.1"}},
		{"no record", []string{"nas.home.arpa A fd00::1"}},
		{"directives", []string{"$ORIGIN home.arpa."}},
		{"directives", []string{"a.home.arpa A 192.0.2.1\nb.home.arpa A 192.0.2.1"}},
		{"type MX", []string{"home.arpa MX 10 mail.home.arpa"}},
		{"class CH", []string{"a.home.arpa CH TXT x"}},
		{"more than a day", []string{"a.home.arpa 86401 A 192.0.2.1"}},
		{"no name", []string{". A 192.0.2.1"}},
		{"by Kinward itself", []string{"a.localhost A 192.0.2.1"}},
		{"first label", []string{"a.*.home.arpa A 192.0.2.1"}},
		{"twice", []string{"a.home.arpa A 192.0.2.1", "A.home.arpa. 300 IN A 192.0.2.1"}},
		{"has a CNAME already", []string{"a.home.arpa CNAME b.home.arpa", "a.home.arpa CNAME c.home.arpa"}},
		{"stands alone", []string{"a.home.arpa CNAME b.home.arpa", "a.home.arpa A 192.0.2.1"}},
		{"RFC 2181", []string{"a.home.arpa 60 A 192.0.2.1", "a.home.arpa 61 A 192.0.2.2"}},
		{"circles", []string{"a.home.arpa CNAME b.home.arpa", "b.home.arpa CNAME a.home.arpa"}},
		{"circles", []string{"*.a.home.arpa CNAME b.a.home.arpa"}},
	} {
		_, err := ParseRecords(tt.lines)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.lines, err, tt.want)
		}
	}
	many := make([]string, 3000)
	for i := range many {
		many[i] = fmt.Sprintf("big.home.arpa A 10.0.%d.%d", i/256, i%256)
	}
	if _, err := ParseRecords(many); err == nil || !strings.Contains(err.Error(), "more than an answer holds") {
		t.Errorf("a set of 3,000: %v", err)
	}
}

func FuzzParseRecords(f *testing.F) {
	for _, s := range []string{"nas.home.arpa A 192.168.1.5", "*.a CNAME b", `x TXT "\000" (`, "a SRV 0 0 1 b", "1.in-addr.arpa PTR x", "\\.. A 1.2.3.4"} {
		f.Add(s, "x.a", uint16(1))
	}
	f.Fuzz(func(t *testing.T, line, name string, qtype uint16) {
		r, err := ParseRecords([]string{line})
		if err != nil {
			return
		}
		if n, err := blocklists.ParseName(name); err == nil && r.has(n) {
			r.find(n, qtype)
		}
	})
}

// Devices have names in their own family alone, and guardians' win over their own.
func TestNamesOfDevices(t *testing.T) {
	st := state(t)
	s, _ := homeServer(t, func(c *Config) { c.State = func() *policy.State { return st } })
	host := func(name, addr string) Host {
		return Host{blocklists.MustName(name), netip.MustParseAddr(addr)}
	}
	s.SetDevices(NewHosts([]Host{host("tablet.home.arpa", "192.168.1.20"), host("nas.home.arpa", "192.168.1.66")}))
	s.SetLeases(NewHosts([]Host{
		host("tablet.home.arpa", "192.168.1.99"), host("tablet.home.arpa", "fd00::99"),
		host("tv.home.arpa", "192.168.1.30"), host("tv.home.arpa", "fd00::30"), host("also.home.arpa", "192.168.1.20"),
	}))
	const soa = "home.arpa. 60 IN SOA home.arpa. nobody.invalid. 1 3600 1200 604800 60"
	for _, tt := range []struct {
		name  string
		qtype uint16
		want  string
	}{
		{"tablet.home.arpa.", dns.TypeA, "tablet.home.arpa. 60 IN A 192.168.1.20"},
		{"tablet.home.arpa.", dns.TypeAAAA, soa}, // not the one that calls itself so
		{"20.1.168.192.in-addr.arpa.", dns.TypePTR, "20.1.168.192.in-addr.arpa. 60 IN PTR tablet.home.arpa."},
		{"nas.home.arpa.", dns.TypeA, "nas.home.arpa. 60 IN A 192.168.1.5"}, // the operator's record
		{"tv.home.arpa.", dns.TypeA, "tv.home.arpa. 60 IN A 192.168.1.30"},
		{"TV.home.arpa.", dns.TypeAAAA, "TV.home.arpa. 60 IN AAAA fd00::30"},
		{"30.1.168.192.in-addr.arpa.", dns.TypePTR, "30.1.168.192.in-addr.arpa. 60 IN PTR tv.home.arpa."},
		{"30.1.168.192.in-addr.arpa.", dns.TypeA, "168.192.in-addr.arpa. 60 IN SOA 168.192.in-addr.arpa. nobody.invalid. 1 3600 1200 604800 60"},
	} {
		got := ask(t, s, household, msgFor(tt.name, tt.qtype))
		if diff := cmp.Diff([]string{tt.want}, append(rrs(got.Answer), rrs(got.Ns)...)); diff != "" || got.Rcode != 0 {
			t.Errorf("%s %s: %s (-want +got):\n%s", tt.name, dns.Type(tt.qtype), dns.RcodeToString[got.Rcode], diff)
		}
	}
	// For an asker of another family they do not exist.
	q := &query{now: s.now(), set: s.settings.Load(), state: st, question: question{name: blocklists.MustName("tv.home.arpa"), qtype: typeA, class: classIN}}
	q.asker, _ = st.Directory.Identify(policy.Clues{Addr: netip.MustParseAddr(household)}, q.now)
	q.asker.Family++
	for _, n := range []string{"tv.home.arpa", "tablet.home.arpa", "30.1.168.192.in-addr.arpa"} {
		q.name = blocklists.MustName(n)
		q.asked = q.question.header()[headerLen:]
		if s.home(t.Context(), q); q.out[3]&maskRcode != rcodeNXDomain {
			t.Errorf("%s for another family: rcode %d", n, q.out[3]&maskRcode)
		}
	}
}

// A domain with upstreams of its own is theirs, and may lead into the home.
func TestRoutedDomainsOfTheHome(t *testing.T) {
	router := newFake(t, "tv.home.arpa. 60 IN A 192.168.1.30", "30.1.168.192.in-addr.arpa. 60 IN PTR tv.home.arpa.")
	s, up := homeServer(t, func(c *Config) {
		for _, d := range []string{"home.arpa", "168.192.in-addr.arpa"} {
			c.Forward = append(c.Forward, Route{blocklists.MustName(d), []upstream.Spec{mustUpstream(t, "udp://"+router.addr.String())}})
		}
	})
	up.queries()
	for name, want := range map[string]string{
		"tv.home.arpa.": "tv.home.arpa. 60 IN A 192.168.1.30", "nas.home.arpa.": "nas.home.arpa. 60 IN A 192.168.1.5",
	} {
		if diff := cmp.Diff([]string{want}, rrs(ask(t, s, household, msgFor(name, dns.TypeA)).Answer)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if got := ask(t, s, household, msgFor("30.1.168.192.in-addr.arpa.", dns.TypePTR)); len(got.Answer) != 1 {
		t.Errorf("reverse: %s", got)
	}
	if n := len(up.queries()); n != 0 {
		t.Errorf("the upstream of everything else was asked %d times", n)
	}
}
