package resolver

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"kinward/resolver/upstream"
)

// validates answers with AD, as a resolver that checked signatures does.
func validates(_ string, _, a *dns.Msg) [][]byte {
	a.AuthenticatedData = true
	return [][]byte{packed(a)}
}

func wantsDO(m *dns.Msg) { m.IsEdns0().SetDo() }
func wantsAD(m *dns.Msg) { m.AuthenticatedData = true }
func wantsCD(m *dns.Msg) { m.CheckingDisabled = true }

// RFC 6840 §5.7, §5.8: AD reaches those who set DO or AD, and only from an upstream
// that is trusted for it.
func TestRFC6840_AD(t *testing.T) {
	zone := []string{"ok.example. 60 IN A 192.0.2.1", "leads.example. 60 IN CNAME www.stranger.example.", "www.stranger.example. 60 IN A 192.0.2.3"}
	for _, tt := range []struct {
		name  string
		trust string
		from  string
		asked string
		qtype uint16
		edits []func(*dns.Msg)
		want  bool
	}{
		{"DO", "?dnssec=trust", adult, "ok.example.", dns.TypeA, []func(*dns.Msg){wantsDO}, true},
		{"AD", "?dnssec=trust", adult, "ok.example.", dns.TypeA, []func(*dns.Msg){wantsAD}, true},
		{"AD without EDNS", "?dnssec=trust", adult, "ok.example.", dns.TypeA, []func(*dns.Msg){plainDNS, wantsAD}, true},
		{"neither", "?dnssec=trust", adult, "ok.example.", dns.TypeA, nil, false},
		{"neither, without EDNS", "?dnssec=trust", adult, "ok.example.", dns.TypeA, []func(*dns.Msg){plainDNS}, false},
		{"CD alone", "?dnssec=trust", adult, "ok.example.", dns.TypeA, []func(*dns.Msg){wantsCD}, false},
		{"an upstream that is not trusted", "", adult, "ok.example.", dns.TypeA, []func(*dns.Msg){wantsDO, wantsAD}, false},
		{"a name that does not exist", "?dnssec=trust", adult, "none.example.", dns.TypeA, []func(*dns.Msg){wantsDO}, true},
		{"blocked", "?dnssec=trust", household, "stranger.example.", dns.TypeA, []func(*dns.Msg){wantsDO, wantsAD}, false},
		{"blocked for where it leads", "?dnssec=trust", household, "leads.example.", dns.TypeA, []func(*dns.Msg){wantsDO, wantsAD}, false},
		{"allowed for whom it is", "?dnssec=trust", adult, "leads.example.", dns.TypeA, []func(*dns.Msg){wantsDO, wantsAD}, true},
		{"answered locally", "?dnssec=trust", adult, "localhost.", dns.TypeA, []func(*dns.Msg){wantsDO, wantsAD}, false},
		{"ANY", "?dnssec=trust", adult, "ok.example.", dns.TypeANY, []func(*dns.Msg){wantsDO, wantsAD}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			up := newFake(t, zone...)
			up.does(validates)
			c := config(t)
			c.Upstreams = []upstream.Spec{mustUpstream(t, "udp://"+up.addr.String()+tt.trust)}
			s := start(t, c)
			for _, how := range []string{"from the upstream", "from the cache"} {
				if got := ask(t, s, tt.from, msgFor(tt.asked, tt.qtype, tt.edits...)); got.AuthenticatedData != tt.want {
					t.Errorf("%s AD is %t, want %t: %s", how, got.AuthenticatedData, tt.want, got)
				}
			}
			for _, q := range up.queries() {
				if q.msg.AuthenticatedData != (tt.trust != "") {
					t.Errorf("the upstream was asked with AD %t", q.msg.AuthenticatedData)
				}
			}
		})
	}
}

// What is over was validated at another time.
func TestRFC6840_NoADOnStaleAnswers(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	up.does(validates)
	c := config(t)
	c.Upstreams = []upstream.Spec{mustUpstream(t, "udp://"+up.addr.String()+"?dnssec=trust")}
	quick(&c)
	clk := virtual(&c)
	s := start(t, c)
	if !ask(t, s, adult, msgFor("ok.example.", dns.TypeA, wantsAD)).AuthenticatedData {
		t.Error("no AD at first")
	}
	clk.advance(time.Hour)
	up.does(drops)
	got := ask(t, s, adult, msgFor("ok.example.", dns.TypeA, wantsAD))
	if len(got.Answer) != 1 || got.AuthenticatedData {
		t.Errorf("an old answer: %s", got)
	}
}

// signed is what validation needs, each type as it goes over the wire.
var signed = []string{
	"s.example. 60 IN A 192.0.2.1",
	"s.example. 60 IN RRSIG A 13 2 60 20261223000000 20261123000000 12345 Example. c2lnbmF0dXJlIGJ5dGVz",
	"s.example. 60 IN DNSKEY 257 3 13 a2V5IGJ5dGVzIHRoYXQgYXJlIGxvbmcgZW5vdWdo",
	"s.example. 60 IN DS 12345 13 2 3a2b3a2b3a2b3a2b3a2b3a2b3a2b3a2b3a2b3a2b3a2b3a2b3a2b3a2b3a2b3a2b",
	"s.example. 60 IN NSEC T.example. A RRSIG NSEC DNSKEY TYPE65280",
	"s.example. 60 IN NSEC3PARAM 1 0 0 -",
	"s.example. 60 IN CDS 12345 13 2 3a2b3a2b3a2b3a2b3a2b3a2b3a2b3a2b3a2b3a2b3a2b3a2b3a2b3a2b3a2b3a2b",
	"s.example. 60 IN TYPE65280 \\# 4 0a000001",
}

// RFC 4035 §3.2, §4.6: what signatures are made over arrives byte for byte, for
// those who set DO; and CD goes on to the upstream and comes back.
func TestRFC4035_SignaturesAreUnharmed(t *testing.T) {
	up := newFake(t, signed...)
	var last atomic.Pointer[dns.Msg]
	up.does(func(_ string, req, a *dns.Msg) [][]byte {
		for _, line := range signed {
			rr, err := dns.NewRR(line)
			if err != nil {
				t.Error(err)
				continue
			}
			if sig, ok := rr.(*dns.RRSIG); ok && req.IsEdns0().Do() {
				a.Answer = append(a.Answer, sig)
			} else if rr.Header().Rrtype == dns.TypeNSEC && req.IsEdns0().Do() {
				a.Ns = append(a.Ns, rr)
			}
		}
		if !strings.Contains(req.Question[0].Name, "loop-probe") {
			last.Store(a.Copy())
		}
		return [][]byte{packed(a)}
	})
	c := config(t, up)
	st := grownUps(t)
	c.State = stateOf(st)
	s := start(t, c)
	for _, line := range signed {
		rr, _ := dns.NewRR(line)
		qtype := rr.Header().Rrtype
		for _, cd := range []bool{false, true} {
			m := msgFor("s.example.", qtype, wantsDO)
			m.CheckingDisabled = cd
			got := askBy(t, s, "tcp", adult, m)
			sent := last.Load()
			for what, pair := range map[string][2][]dns.RR{"answer": {sent.Answer, got.Answer}, "authority": {sent.Ns, got.Ns}} {
				if d := cmp.Diff(rdata(t, pair[0]), rdata(t, pair[1])); d != "" {
					t.Errorf("%s of %s (-sent +got):\n%s", what, dns.TypeToString[qtype], d)
				}
			}
			q := up.queries()
			if len(q) != 1 || !q[0].msg.IsEdns0().Do() || q[0].msg.CheckingDisabled != cd || got.CheckingDisabled != cd || !got.IsEdns0().Do() {
				t.Errorf("%s: DO and CD %t: upstream got %v, client %s", dns.TypeToString[qtype], cd, q, got)
			}
		}
	}
}

// rdata returns records packed without compression, owner in the case as it came.
func rdata(t *testing.T, section []dns.RR) (out []string) {
	t.Helper()
	for _, rr := range section {
		if rr.Header().Rrtype == dns.TypeOPT {
			continue
		}
		buf := make([]byte, dns.Len(rr)+16)
		n, err := dns.PackRR(rr, buf, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(buf[:n]))
	}
	return out
}

// RFC 7871: where a client is, is told to nobody, and what an upstream says about
// it goes no further.
func TestRFC7871_ClientSubnetGoesNoFurther(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	subnet := func() *dns.EDNS0_SUBNET {
		return &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, SourceScope: 24, Address: []byte{198, 51, 100, 0}}
	}
	up.does(func(_ string, _, a *dns.Msg) [][]byte {
		a.IsEdns0().Option = append(a.IsEdns0().Option, subnet())
		return [][]byte{packed(a)}
	})
	s := start(t, config(t, up))
	for range 2 {
		got := ask(t, s, adult, msgFor("ok.example.", dns.TypeA, func(m *dns.Msg) {
			o := subnet()
			o.SourceScope = 0
			m.IsEdns0().Option = append(m.IsEdns0().Option, o, &dns.EDNS0_LOCAL{Code: 65001, Data: []byte("mac")})
		}))
		if len(got.Answer) != 1 || len(got.IsEdns0().Option) != 0 {
			t.Errorf("got %s", got)
		}
	}
	q := up.queries()
	if len(q) != 1 {
		t.Fatalf("asked %d times: an answer must not depend on where a client is", len(q))
	}
	for _, o := range q[0].msg.IsEdns0().Option {
		if o.Option() != dns.EDNS0COOKIE {
			t.Errorf("option %d went to the upstream", o.Option())
		}
	}
}
