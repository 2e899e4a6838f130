package resolver

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"kinward/policy"
)

// searching asks an upstream that has engines, safe and unsafe. The safe one of
// Brave is on the list of what is dangerous.
func searching(t testing.TB, c Config) *Server {
	t.Helper()
	st := state(t, "forcesafe.search.brave.com")
	c.State = func() *policy.State { return st }
	return start(t, c)
}

var engines = []string{
	"www.google.com. 300 IN A 192.0.2.66", "www.google.com. 300 IN AAAA 2001:db8::66",
	"www.google.com. 300 IN HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.66", "www.google.com. 300 IN TXT own",
	"forcesafesearch.google.com. 300 IN A 192.0.2.38", "forcesafesearch.google.com. 40 IN AAAA 2001:db8::38",
	"www.bing.com. 300 IN CNAME unsafe.bing.example.", "unsafe.bing.example. 300 IN A 192.0.2.67", "unsafe.bing.example. 300 IN TXT alias",
	"Strict.bing.com. 300 IN CNAME Safe.cdn.example.", "safe.cdn.example. 300 IN A 192.0.2.39", "safe.cdn.example. 20 IN A 192.0.2.40",
	"www.ecosia.org. 300 IN A 192.0.2.68", "www.ecosia.org. 300 IN AAAA 2001:db8::68",
	"strict-safe-search.ecosia.org. 300 IN A 192.0.2.41", "ecosia.org. 900 IN SOA ns.ecosia.org. a.ecosia.org. 1 2 3 4 600",
	"qwant.com. 900 IN SOA ns.qwant.com. a.qwant.com. 1 2 3 4 30", "api.qwant.com. 300 IN A 192.0.2.69",
	"www.startpage.com. 300 IN A 192.0.2.72", "safe.startpage.com. 300 IN CNAME www.stranger.example.", "www.stranger.example. 300 IN A 192.0.2.43",
	"yandex.ru. 300 IN A 192.0.2.70", "yandex.ru. 300 IN MX 10 mx.yandex.ru.", "yandex.ru. 300 IN AAAA 2001:db8::70",
	"familysearch.yandex.ru. 300 IN CNAME fs.yandex.ru.", "fs.yandex.ru. 300 IN A 192.0.2.42",
	"forcesafe.search.brave.com. 300 IN A 192.0.2.99", "search.brave.com. 300 IN A 192.0.2.71",
}

// TestRewrites is the specification of how a search engine's name is answered
// where the family wants its safe mode.
func TestRewrites(t *testing.T) {
	up := newFake(t, engines...)
	c := config(t, up)
	c.Now = newClock().now
	s := searching(t, c)
	type is = []string
	const soa = " nobody.invalid. 1 3600 1200 604800 "
	for _, tt := range []struct {
		name   string
		from   string
		asked  string
		qtype  uint16
		rcode  int
		ede    int
		answer is
		soa    is
	}{
		{"A: the CNAME is shown", household, "www.google.com.", dns.TypeA, 0, 4, is{"www.google.com. 60 IN CNAME forcesafesearch.google.com.", "forcesafesearch.google.com. 60 IN A 192.0.2.38"}, is{}},
		{"AAAA", household, "www.google.com.", dns.TypeAAAA, 0, 4, is{"www.google.com. 60 IN CNAME forcesafesearch.google.com.", "forcesafesearch.google.com. 40 IN AAAA 2001:db8::38"}, is{}},
		{"the spelling that was asked", household, "wWw.gOOgle.com.", dns.TypeA, 0, 4, is{"wWw.gOOgle.com. 60 IN CNAME forcesafesearch.google.com.", "forcesafesearch.google.com. 60 IN A 192.0.2.38"}, is{}},
		{"HTTPS would lead past it", household, "www.google.com.", dns.TypeHTTPS, 0, 17, is{}, is{"www.google.com. 60 IN SOA www.google.com." + soa + "60"}},
		{"so would SVCB", household, "www.google.com.", dns.TypeSVCB, 0, 17, is{}, is{"www.google.com. 60 IN SOA www.google.com." + soa + "60"}},
		{"the CNAME alone", household, "www.bing.com.", dns.TypeCNAME, 0, 4, is{"www.bing.com. 60 IN CNAME strict.bing.com."}, is{}},
		{"ANY tells nothing", household, "www.google.com.", dns.TypeANY, 0, -1, is{`www.google.com. 60 IN HINFO "RFC8482" ""`}, is{}},
		{"other types are the name's own", household, "www.google.com.", dns.TypeTXT, 0, -1, is{`www.google.com. 60 IN TXT "own"`}, is{}},
		{"unless they lead elsewhere", household, "www.bing.com.", dns.TypeTXT, 0, 17, is{}, is{"www.bing.com. 60 IN SOA www.bing.com." + soa + "60"}},
		{"a target that leads on", household, "www.bing.com.", dns.TypeA, 0, 4, is{"www.bing.com. 60 IN CNAME strict.bing.com.", "strict.bing.com. 60 IN CNAME safe.cdn.example.", "safe.cdn.example. 60 IN A 192.0.2.39", "safe.cdn.example. 20 IN A 192.0.2.40"}, is{}},
		{"a target without such an address", household, "www.ecosia.org.", dns.TypeAAAA, 0, 4, is{"www.ecosia.org. 60 IN CNAME strict-safe-search.ecosia.org."}, is{"strict-safe-search.ecosia.org. 60 IN SOA strict-safe-search.ecosia.org." + soa + "60"}},
		{"a target that is gone: the asked name is not", household, "api.qwant.com.", dns.TypeA, 0, 4, is{"api.qwant.com. 60 IN CNAME safeapi.qwant.com."}, is{"safeapi.qwant.com. 30 IN SOA safeapi.qwant.com." + soa + "30"}},
		{"an apex: addresses of its own", household, "Yandex.ru.", dns.TypeA, 0, 4, is{"Yandex.ru. 60 IN A 192.0.2.42"}, is{}},
		{"an apex without such an address", household, "yandex.ru.", dns.TypeAAAA, 0, 4, is{}, is{"yandex.ru. 0 IN SOA yandex.ru." + soa + "0"}},
		{"an apex has no CNAME", household, "yandex.ru.", dns.TypeCNAME, 0, 17, is{}, is{"yandex.ru. 60 IN SOA yandex.ru." + soa + "60"}},
		{"but mail", household, "yandex.ru.", dns.TypeMX, 0, -1, is{"yandex.ru. 60 IN MX 10 mx.yandex.ru."}, is{}},
		{"a target is not decided again", household, "www.startpage.com.", dns.TypeA, 0, 4, is{"www.startpage.com. 60 IN CNAME safe.startpage.com.", "safe.startpage.com. 60 IN CNAME www.stranger.example.", "www.stranger.example. 60 IN A 192.0.2.43"}, is{}},
		{"a dangerous target", household, "search.brave.com.", dns.TypeA, 0, 15, is{}, is{"search.brave.com. 10 IN SOA search.brave.com." + soa + "10"}},
		{"who has no safe mode", adult, "www.google.com.", dns.TypeA, 0, -1, is{"www.google.com. 60 IN A 192.0.2.66"}, is{}},
	} {
		for _, round := range []string{"from upstream", "from the cache"} {
			t.Run(tt.name+" "+round, func(t *testing.T) {
				if round == "from upstream" {
					s.FlushName("", true)
				}
				got := ask(t, s, tt.from, msgFor(tt.asked, tt.qtype))
				code, _ := ede(got)
				if got.Rcode != tt.rcode || code != tt.ede || got.AuthenticatedData || got.Authoritative || got.Truncated {
					t.Errorf("rcode %d, EDE %d, want %d, %d; %+v", got.Rcode, code, tt.rcode, tt.ede, got.MsgHdr)
				}
				if d := cmp.Diff(tt.answer, rrs(got.Answer)); d != "" {
					t.Errorf("answer (-want +got):\n%s", d)
				}
				if d := cmp.Diff(tt.soa, rrs(got.Ns)); d != "" {
					t.Errorf("authority (-want +got):\n%s", d)
				}
				if more := rrs(got.Extra); len(more) > 0 {
					t.Errorf("additional: %v", more)
				}
			})
		}
	}
	for _, q := range up.queries() {
		if a := q.msg.Question[0]; a.Name == "www.google.com." && a.Qtype == dns.TypeHTTPS {
			t.Error("the upstream was asked for what is denied")
		}
	}
}

func withDO(m *dns.Msg) { m.IsEdns0().SetDo() }

// However long the names are that the target leads to, an answer over UDP is no longer
// than the asker takes: what has no room is asked for over TCP.
func TestRewritesFit(t *testing.T) {
	up := newFake(t)
	s := searching(t, config(t, up))
	m := msgFor("www.google.com.", dns.TypeAAAA, plainDNS)
	cut := 0
	for n := range 63 {
		label := strings.Repeat("x", n+1) + "."
		long := strings.Repeat(label, 3) + "example."
		up.set(t, "forcesafesearch.google.com. 300 IN CNAME "+long, long+" 300 IN CNAME end."+label, "example. 900 IN SOA ns.example. a.example. 1 2 3 4 600")
		s.FlushName("", true)
		wire := askRaw(t, s, "udp", household, packed(m))
		if len(wire) > maxPlainUDP {
			t.Errorf("labels of %d: %d bytes over UDP", n+1, len(wire))
		}
		if got := unpacked(t, wire); !got.Truncated {
			continue
		}
		cut++
		if got := askBy(t, s, "tcp", household, m); got.Truncated || len(got.Answer) != 3 || len(got.Ns) != 1 {
			t.Errorf("labels of %d, over TCP: %v", n+1, got)
		}
	}
	if cut == 0 {
		t.Error("none was too long")
	}
}

// Neither flags nor classes lead past a rewrite.
func TestRewritesHaveNoWayRound(t *testing.T) {
	up := newFake(t, append(slices.Clone(engines), "www.google.com. 300 CH A 192.0.2.66", "www.google.com. 300 HS A 192.0.2.66")...)
	s := searching(t, config(t, up))
	for _, round := range []string{"from upstream", "from the cache"} {
		for name, edit := range map[string]func(*dns.Msg){
			"DO":     withDO,
			"CD":     func(m *dns.Msg) { m.CheckingDisabled = true },
			"DO, CD": func(m *dns.Msg) { withDO(m); m.CheckingDisabled = true },
			"AD":     func(m *dns.Msg) { m.AuthenticatedData = true },
			"plain":  plainDNS,
			"HESIOD": func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassHESIOD },
			"CHAOS":  func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS },
			"no RD":  func(m *dns.Msg) { m.RecursionDesired = false },
		} {
			for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeSVCB, dns.TypeANY, dns.TypeCNAME} {
				got := ask(t, s, household, msgFor("www.google.com.", qtype, edit))
				for _, rr := range append(got.Answer, got.Extra...) {
					switch r := rr.(type) {
					case *dns.A:
						if r.A.String() != "192.0.2.38" {
							t.Errorf("%s, %s, %s: %s", round, name, dns.TypeToString[qtype], r)
						}
					case *dns.AAAA:
						if r.AAAA.String() != "2001:db8::38" {
							t.Errorf("%s, %s, %s: %s", round, name, dns.TypeToString[qtype], r)
						}
					case *dns.HTTPS, *dns.SVCB:
						t.Errorf("%s, %s: %s", round, name, r)
					}
				}
				if got.AuthenticatedData {
					t.Errorf("%s, %s: AD", round, name)
				}
				if name == "HESIOD" && len(got.Answer) > 0 {
					t.Errorf("%s, %s: %s", round, name, got)
				}
				if served := name != "HESIOD" && name != "CHAOS" && name != "no RD"; served && qtype == dns.TypeA && len(got.Answer) != 2 {
					t.Errorf("%s, %s: %s", round, name, got)
				}
			}
		}
	}
	for _, q := range up.queries() {
		if a := q.msg.Question[0]; a.Name == "www.google.com." {
			t.Errorf("the upstream was asked for the unsafe name: %s", a.String())
		}
	}
}

// Signatures of the target's records pass to who asks for them, and the answer
// stays within what the asker can take.
func TestRewritesWithSignatures(t *testing.T) {
	sig := "forcesafesearch.google.com. 300 IN RRSIG A 13 3 300 20270101000000 20260101000000 1 google.com. " +
		"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="
	up := newFake(t, engines...)
	up.does(func(_ string, req, a *dns.Msg) [][]byte {
		if req.Question[0].Name == "forcesafesearch.google.com." && req.IsEdns0().Do() {
			rr, err := dns.NewRR(sig)
			if err != nil {
				panic(err)
			}
			a.Answer = append(a.Answer, rr)
			for i := range byte(60) {
				rr := dns.Copy(a.Answer[0]).(*dns.A)
				rr.A = []byte{198, 51, 100, i}
				a.Answer = append(a.Answer, rr)
			}
		}
		return [][]byte{packed(a)}
	})
	s := searching(t, config(t, up))
	do := func(m *dns.Msg) { withDO(m); m.IsEdns0().SetUDPSize(512) }
	whole := askBy(t, s, "tcp", household, msgFor("www.google.com.", dns.TypeA, do))
	if len(whole.Answer) != 63 || whole.Truncated {
		t.Fatalf("over TCP: %d records: %s", len(whole.Answer), whole)
	}
	if _, ok := whole.Answer[2].(*dns.RRSIG); !ok {
		t.Errorf("no signature: %v", rrs(whole.Answer[:3]))
	}
	m := msgFor("www.google.com.", dns.TypeA, do)
	wire, _ := m.Pack()
	raw := askRaw(t, s, "udp", household, wire)
	cut := new(dns.Msg)
	if err := cut.Unpack(raw); err != nil || !cut.Truncated || len(raw) > 512 || len(cut.Answer) < 5 {
		t.Errorf("over UDP: %d bytes, %d records, truncated %v, %v", len(raw), len(cut.Answer), cut.Truncated, err)
	}
	if code, _ := ede(cut); code != 4 {
		t.Errorf("EDE %d", code)
	}
}

// A target that is not found is an error, never the unsafe answer.
func TestRewritesFail(t *testing.T) {
	for _, tt := range []struct {
		name string
		does behaviour
		ede  int
	}{
		{"no answer", drops, edeNoReachable},
		{"SERVFAIL", says(dns.RcodeServerFailure), edeOther},
		{"REFUSED", says(dns.RcodeRefused), edeOther},
	} {
		up := newFake(t, engines...)
		c := config(t, up)
		c.Limits.AttemptTimeout, c.Limits.QueryDeadline = 50*time.Millisecond, 200*time.Millisecond
		s := searching(t, c)
		if got := ask(t, s, adult, msgFor("www.google.com.", dns.TypeA)); len(got.Answer) != 1 { // the unsafe one is in the cache
			t.Fatal(got)
		}
		up.does(tt.does)
		for _, asked := range []string{"www.google.com.", "yandex.ru."} {
			got := ask(t, s, household, msgFor(asked, dns.TypeA))
			if code, _ := ede(got); got.Rcode != dns.RcodeServerFailure || code != tt.ede || len(got.Answer) > 0 {
				t.Errorf("%s: want SERVFAIL with EDE %d, got %s", tt.name, tt.ede, got)
			}
		}
	}
}

// All names of an engine share the target's entry, with those who ask for it.
func TestRewritesShareTheTarget(t *testing.T) {
	up := newFake(t, engines...)
	clk := newClock()
	c := config(t, up)
	c.Now = clk.now
	reg := newRegistry(&c)
	s := searching(t, c)
	ask(t, s, adult, msgFor("forcesafesearch.google.com.", dns.TypeA))
	for _, asked := range []string{"www.google.com.", "www.google.de."} {
		clk.advance(120 * time.Second)
		got := ask(t, s, household, msgFor(asked, dns.TypeA))
		if len(got.Answer) != 2 || got.Answer[1].Header().Ttl != 60 {
			t.Errorf("%s: %s", asked, got)
		}
	}
	clk.advance(30 * time.Second)
	if got := ask(t, s, household, msgFor("www.google.com.", dns.TypeA)); got.Answer[1].Header().Ttl != 30 {
		t.Errorf("the target's TTL does not count down: %v", rrs(got.Answer))
	}
	if n := len(up.queries()); n != 1 {
		t.Errorf("the upstream was asked %d times, want once", n)
	}
	if n := metric(t, reg, "kinward_queries_total", "outcome=rewritten"); n != 3 {
		t.Errorf("outcome=rewritten: %v, want 3", n)
	}
}
