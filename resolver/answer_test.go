package resolver

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"kinward/policy"
)

const soaTail = " nobody.invalid. 1 3600 1200 604800 10"

func TestBlockedAnswers(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1")
	address := policy.BlockMode{V4: netip.MustParseAddr("192.0.2.53"), V6: netip.MustParseAddr("2001:db8::53")}
	onlyV4 := policy.BlockMode{V4: netip.MustParseAddr("192.0.2.53")}
	soa := func(owner string) string { return owner + " 10 IN SOA " + owner + soaTail }
	for _, tt := range []struct {
		name   string
		mode   policy.BlockMode
		from   string
		asked  string
		qtype  uint16
		rcode  int
		answer string
		soa    string
		ede    int
	}{
		{"a listed name", policy.BlockMode{}, household, "stranger.example.", dns.TypeA, dns.RcodeNameError, "", soa("stranger.example."), 17},
		{"a name below: the SOA does not tell the entry", policy.BlockMode{}, household, "www.stranger.example.", dns.TypeAAAA, dns.RcodeNameError, "", soa("www.stranger.example."), 17},
		{"HTTPS", policy.BlockMode{}, household, "stranger.example.", dns.TypeHTTPS, dns.RcodeSuccess, "", soa("stranger.example."), 17},
		{"ANY does not tell that the name exists", policy.BlockMode{}, household, "stranger.example.", dns.TypeANY, dns.RcodeNameError, "", soa("stranger.example."), 17},
		{"an exact entry does not deny what lies below", policy.BlockMode{}, household, "exact.example.", dns.TypeA, dns.RcodeSuccess, "", soa("exact.example."), 17},
		{"a rule", policy.BlockMode{}, ruled, "a.b.ruled-out.example.", dns.TypeA, dns.RcodeNameError, "", soa("a.b.ruled-out.example."), 17},
		{"a canary gets no address, whatever the mode", policy.ZeroAddress, household, "use-application-dns.net.", dns.TypeA, dns.RcodeNameError, "", soa("use-application-dns.net."), 17},
		{"what is dangerous has another code", policy.BlockMode{}, household, "malware.example.", dns.TypeA, dns.RcodeNameError, "", soa("malware.example."), 15},
		{"dangerous for adults too", policy.BlockMode{}, adult, "malware.example.", dns.TypeA, dns.RcodeNameError, "", soa("malware.example."), 15},

		{"zero, A", policy.ZeroAddress, household, "www.stranger.example.", dns.TypeA, dns.RcodeSuccess, "www.stranger.example. 10 IN A 0.0.0.0", "", 17},
		{"zero, AAAA", policy.ZeroAddress, household, "stranger.example.", dns.TypeAAAA, dns.RcodeSuccess, "stranger.example. 10 IN AAAA ::", "", 17},
		{"zero, HTTPS", policy.ZeroAddress, household, "www.stranger.example.", dns.TypeHTTPS, dns.RcodeSuccess, "", soa("www.stranger.example."), 17},
		{"address, A", address, household, "stranger.example.", dns.TypeA, dns.RcodeSuccess, "stranger.example. 10 IN A 192.0.2.53", "", 17},
		{"address, AAAA", address, household, "malware.example.", dns.TypeAAAA, dns.RcodeSuccess, "malware.example. 10 IN AAAA 2001:db8::53", "", 15},
		{"address, TXT", address, household, "stranger.example.", dns.TypeTXT, dns.RcodeSuccess, "", soa("stranger.example."), 17},
		{"address without IPv6, AAAA", onlyV4, household, "stranger.example.", dns.TypeAAAA, dns.RcodeSuccess, "", soa("stranger.example."), 17},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := config(t, up)
			c.Block = tt.mode
			s := start(t, c)
			for _, withEDNS := range []bool{true, false} {
				m := msgFor(tt.asked, tt.qtype)
				if !withEDNS {
					plainDNS(m)
				}
				m.AuthenticatedData = true
				got := ask(t, s, tt.from, m)
				if got.Rcode != tt.rcode {
					t.Errorf("rcode = %s, want %s", dns.RcodeToString[got.Rcode], dns.RcodeToString[tt.rcode])
				}
				if diff := cmp.Diff(list(tt.answer), rrs(got.Answer)); diff != "" {
					t.Errorf("answer (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(list(tt.soa), rrs(got.Ns)); diff != "" {
					t.Errorf("authority (-want +got):\n%s", diff)
				}
				if got.AuthenticatedData || got.Authoritative || !got.RecursionAvailable || got.Id != m.Id {
					t.Errorf("header = %+v", got.MsgHdr)
				}
				code, text := ede(got)
				if !withEDNS {
					if got.IsEdns0() != nil {
						t.Error("an OPT record answers a question without one")
					}
					continue
				}
				want := map[int]string{15: "Blocked as dangerous", 17: "Filtered by the family's settings"}[tt.ede]
				if code != tt.ede || text != want {
					t.Errorf("EDE = %d %q, want %d %q", code, text, tt.ede, want)
				}
			}
		})
	}
	for _, q := range up.queries() {
		t.Errorf("the upstream was asked for the blocked name %s", q.msg.Question[0].Name)
	}
}

// list is a slice of a line, or of none where it is empty.
func list(line string) []string {
	if line == "" {
		return []string{}
	}
	return []string{line}
}

func TestAttempts(t *testing.T) {
	up := newFake(t,
		"watched.example. 60 IN A 192.0.2.1", "fine.example. 60 IN A 192.0.2.2",
		"help.example. 60 IN A 192.0.2.3", "plumbing.example. 60 IN A 192.0.2.4",
		"fronted.example. 60 IN CNAME www.stranger.example.", "www.stranger.example. 60 IN A 192.0.2.5",
	)
	clk, log := newClock(), &kept{}
	c := config(t, up)
	c.Now, c.Log = clk.now, log
	s := start(t, c)
	type seen struct {
		Name, Hidden        string
		Family              policy.FamilyID
		Profile             policy.ProfileID
		Device              policy.DeviceID
		Client              string
		Type                uint16
		Action              policy.Action
		Reason              policy.Reason
		Service, List, From string
	}
	for _, tt := range []struct {
		name  string
		from  string
		asked string
		qtype uint16
		want  *seen
	}{
		{"blocked service", household, "WWW.stranger.example.", dns.TypeHTTPS, &seen{
			"www.stranger.example", ".", 1, 10, 0, household, dns.TypeHTTPS, policy.Block, policy.ByCategory, "stranger", "catalogue", "stranger.example",
		}},
		{"blocked by a list", household, "malware.example.", dns.TypeA, &seen{
			"malware.example", ".", 1, 10, 0, household, dns.TypeA, policy.Block, policy.BySecurity, "", "danger", "malware.example",
		}},
		{"blocked by a rule, for a device", ruled, "www.ruled-out.example.", dns.TypeA, &seen{
			"www.ruled-out.example", ".", 1, 12, 21, ruled, dns.TypeA, policy.Block, policy.ByRule, "", "", "ruled-out.example",
		}},
		{"watched", household, "watched.example.", dns.TypeA, &seen{
			"watched.example", ".", 1, 10, 0, household, dns.TypeA, policy.Watch, policy.ByCategory, "chatty", "catalogue", "watched.example",
		}},
		{"watched, from the cache", household, "watched.example.", dns.TypeA, &seen{
			"watched.example", ".", 1, 10, 0, household, dns.TypeA, policy.Watch, policy.ByCategory, "chatty", "catalogue", "watched.example",
		}},
		{"blocked behind a CNAME", household, "fronted.example.", dns.TypeA, &seen{
			"fronted.example", "www.stranger.example", 1, 10, 0, household, dns.TypeA, policy.Block, policy.ByCategory, "stranger", "catalogue", "stranger.example",
		}},
		{"allowed", household, "fine.example.", dns.TypeA, nil},
		{"an adult's", adult, "watched.example.", dns.TypeA, nil},
		{"help", household, "help.example.", dns.TypeA, nil},
		{"plumbing", household, "plumbing.example.", dns.TypeA, nil},
		{"special", household, "localhost.", dns.TypeA, nil},
		{"refused", household, "stranger.example.", dns.TypeAXFR, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log.take()
			ask(t, s, tt.from, msgFor(tt.asked, tt.qtype))
			var got *seen
			all := log.take()
			if len(all) > 1 {
				t.Fatalf("%d attempts, want one at most: %+v", len(all), all)
			}
			for _, a := range all {
				about := a.Name
				if a.Hidden != "" {
					about = a.Hidden
				}
				got = &seen{
					a.Name.String(), a.Hidden.String(), a.Family, a.Profile, a.Device, a.Client.String(), a.Type,
					a.Verdict.Action, a.Verdict.Reason, a.Service, a.List, a.Verdict.Entry(about).String(),
				}
				if !a.Time.Equal(clk.now()) || a.Revision != 7 {
					t.Errorf("time %v, revision %d", a.Time, a.Revision)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("attempt (-want +got):\n%s", diff)
			}
		})
	}
}

// The names that an answer leads to are decided for the asker, too.
func TestChains(t *testing.T) {
	up := newFake(t,
		"cname.example. 60 IN CNAME Www.Stranger.Example.", "www.stranger.example. 60 IN A 192.0.2.1",
		"twice.example. 60 IN CNAME cname.example.",
		"https.example. 60 IN HTTPS 1 www.stranger.example. alpn=h2",
		"alias.example. 60 IN HTTPS 0 stranger.example.",
		"_dns.svcb.example. 60 IN SVCB 1 www.stranger.example. alpn=dot",
		"own.example. 60 IN HTTPS 1 . alpn=h2",
		"bad.example. 60 IN CNAME malware.example.", "malware.example. 60 IN A 192.0.2.2",
		"help.example. 60 IN CNAME www.stranger.example.", "www.help.example. 60 IN CNAME malware.example.",
		"plumbing.example. 60 IN CNAME www.stranger.example.",
		"ruled-in.example. 60 IN CNAME www.stranger.example.", "www.ruled-in.example. 60 IN CNAME malware.example.",
		"loved.example. 60 IN CNAME www.stranger.example.",
		"good.example. 60 IN CNAME cdn.example.", "cdn.example. 60 IN A 192.0.2.3",
		"toloved.example. 60 IN CNAME loved.example.",
	)
	up.does(func(_ string, req, a *dns.Msg) [][]byte {
		switch req.Question[0].Name {
		case "dname.tree.example.":
			a.Rcode, a.Ns = 0, nil
			for _, line := range []string{"tree.example. 60 IN DNAME stranger.example.", "dname.stranger.example. 60 IN A 192.0.2.9"} {
				rr, _ := dns.NewRR(line)
				a.Answer = append(a.Answer, rr)
			}
		case "stray.example.": // an address under another name, without a CNAME to it
			rr, _ := dns.NewRR("www.stranger.example. 60 IN A 192.0.2.9")
			a.Rcode, a.Ns, a.Answer = 0, nil, []dns.RR{rr}
		}
		return [][]byte{packed(a)}
	})
	log := &kept{}
	c := config(t, up)
	c.Log = log
	s := start(t, c)
	const free = -1
	for _, tt := range []struct {
		name  string
		from  string
		asked string
		qtype uint16
		ede   int
	}{
		{"CNAME", household, "cname.example.", dns.TypeA, 17},
		{"CNAME of a CNAME", household, "twice.example.", dns.TypeA, 17},
		{"CNAME whose target has no such record", household, "cname.example.", dns.TypeAAAA, 17},
		{"HTTPS, service mode", household, "https.example.", dns.TypeHTTPS, 17},
		{"HTTPS, alias mode", household, "alias.example.", dns.TypeHTTPS, 17},
		{"SVCB", household, "_dns.svcb.example.", dns.TypeSVCB, 17},
		{"HTTPS that leads to its owner", household, "own.example.", dns.TypeHTTPS, free},
		{"DNAME", household, "dname.tree.example.", dns.TypeA, 17},
		{"a stray owner", household, "stray.example.", dns.TypeA, 17},
		{"dangerous", household, "bad.example.", dns.TypeA, 15},
		{"dangerous, for an adult", adult, "bad.example.", dns.TypeA, 15},
		{"another asker decides otherwise", adult, "cname.example.", dns.TypeA, free},
		{"nothing bad", household, "good.example.", dns.TypeA, free},
		{"help leads where it likes", household, "help.example.", dns.TypeA, free},
		{"plumbing leads where it likes", household, "plumbing.example.", dns.TypeA, free},
		{"so does what a rule allows", ruled, "ruled-in.example.", dns.TypeA, free},
		{"but not for those without the rule", household, "ruled-in.example.", dns.TypeA, 17},
		{"so does a service that the family allowed", ruled, "loved.example.", dns.TypeA, free},
		{"a target of an allowed service", ruled, "toloved.example.", dns.TypeA, 17}, // loved leads on to stranger
		{"help leads where it likes, whatever a list says of that", household, "www.help.example.", dns.TypeA, free},
		{"nor does a rule", ruled, "www.ruled-in.example.", dns.TypeA, 15},
	} {
		for _, round := range []string{"from upstream", "from the cache"} {
			t.Run(tt.name+" "+round, func(t *testing.T) {
				if round == "from upstream" {
					s.FlushName("", true)
				}
				log.take()
				got := ask(t, s, tt.from, msgFor(tt.asked, tt.qtype))
				code, _ := ede(got)
				if code != tt.ede {
					t.Fatalf("EDE = %d, want %d\n%s", code, tt.ede, got)
				}
				if tt.ede == free {
					if len(got.Answer) == 0 {
						t.Errorf("no answer:\n%s", got)
					}
					return
				}
				// The asked name exists: what is denied is this type of it, no more.
				want := []string{tt.asked + " 10 IN SOA " + tt.asked + soaTail}
				if diff := cmp.Diff(want, rrs(got.Ns)); diff != "" || got.Rcode != dns.RcodeSuccess || len(got.Answer) > 0 {
					t.Errorf("want NODATA, got:\n%s", got)
				}
				all := log.take()
				if tt.from == adult { // nothing of theirs is kept
					if len(all) > 0 {
						t.Errorf("attempts = %+v, want none", all)
					}
				} else if len(all) != 1 || all[0].Hidden == "" {
					t.Errorf("attempts = %+v, want one with what was hidden", all)
				}
			})
		}
	}
}

// A new index labels what is in the cache anew: what was asked and what that leads
// to.
func TestCacheFollowsTheIndex(t *testing.T) {
	up := newFake(t, "front.example. 600 IN CNAME back.example.", "back.example. 600 IN A 192.0.2.1")
	c := config(t, up)
	before, after := state(t), state(t, "back.example")
	now := before
	mu := make(chan struct{}, 1)
	mu <- struct{}{}
	c.State = func() *policy.State { <-mu; defer func() { mu <- struct{}{} }(); return now }
	s := start(t, c)
	for i, tt := range []struct {
		state *policy.State
		ede   int
	}{{before, -1}, {before, -1}, {after, 15}, {after, 15}, {before, -1}} {
		<-mu
		now = tt.state
		mu <- struct{}{}
		for range 8 { // each is heard by one loop or another
			for _, name := range []string{"front.example.", "back.example."} {
				got := ask(t, s, household, msgFor(name, dns.TypeA))
				if code, _ := ede(got); code != tt.ede {
					t.Errorf("question %d for %s: EDE = %d, want %d", i, name, code, tt.ede)
				}
			}
		}
	}
	asked := map[string]int{}
	for _, q := range up.queries() {
		asked[q.msg.Question[0].Name]++
	}
	if asked["front.example."] != 1 || asked["back.example."] != 1 {
		t.Errorf("the upstream was asked %v, want each name once: the rest must come from the cache", asked)
	}
}

// countFor returns how often a fake was asked for a name.
func countFor(f *fake, name string) int {
	n := 0
	for _, q := range f.queries() {
		if q.msg.Question[0].Name == name {
			n++
		}
	}
	return n
}

func TestAllowedTTLs(t *testing.T) {
	up := newFake(t,
		"long.example. 100000 IN A 192.0.2.1", "short.example. 30 IN A 192.0.2.2",
		"absurd.example. 2147483648 IN A 192.0.2.3",
	)
	clk := newClock()
	c := config(t, up)
	c.Now = clk.now
	s := start(t, c)
	for _, tt := range []struct {
		name    string
		from    string
		asked   string
		after   time.Duration
		want    uint32
		fetched int
	}{
		{"a restricted profile keeps answers for a minute", household, "long.example.", 0, 60, 1},
		{"so does everybody in a family with children", adult, "long.example.", 0, 60, 0},
		{"and the minute stays", household, "long.example.", 400 * time.Second, 60, 0},
		{"a short one stays short", household, "short.example.", 0, 30, 1},
		{"and counts down", household, "short.example.", 12500 * time.Millisecond, 18, 0},
		{"until it ends", household, "short.example.", 17500 * time.Millisecond, 30, 1},
		{"RFC 2181 §8: the top bit means 0", adult, "absurd.example.", 0, 0, 1},
		{"and 0 is not kept", adult, "absurd.example.", 0, 0, 1},
	} {
		clk.advance(tt.after)
		up.queries()
		got := ask(t, s, tt.from, msgFor(tt.asked, dns.TypeA))
		if len(got.Answer) != 1 || got.Answer[0].Header().Ttl != tt.want {
			t.Errorf("%s: %v, want a TTL of %d", tt.name, rrs(got.Answer), tt.want)
		}
		if n := countFor(up, tt.asked); n != tt.fetched {
			t.Errorf("%s: asked upstream %d times, want %d", tt.name, n, tt.fetched)
		}
	}
}

func TestBlockModes(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want string // what it prints, or part of the error after "!"
	}{
		{"nxdomain", "nxdomain"},
		{"zero", "zero"},
		{"0.0.0.0,::", "zero"},
		{"192.0.2.1", "192.0.2.1"},
		{"2001:db8::1", "2001:db8::1"},
		{"2001:db8::1, 192.0.2.1", "192.0.2.1,2001:db8::1"},
		{"", `!reading block mode ""`},
		{"refuse", `!want "nxdomain", "zero", or addresses`},
		{"192.0.2.1,192.0.2.2", "!one IPv4 and one IPv6"},
		{"fe80::1%eth0", "!cannot be given"},
		{"::ffff:192.0.2.1", "!cannot be given"},
	} {
		m, err := policy.ParseBlockMode(tt.in)
		checkParsed(t, tt.in, m, err, tt.want)
	}
}

// TestUncappedTTLs: where nobody is restricted, answers live a day at most.
func TestUncappedTTLs(t *testing.T) {
	up := newFake(t, "long.example. 200000 IN A 192.0.2.1")
	clk := newClock()
	c := config(t, up)
	c.Now = clk.now
	st := grownUps(t)
	c.State = func() *policy.State { return st }
	s := start(t, c)
	for _, tt := range []struct {
		after time.Duration
		want  uint32
	}{{0, 86400}, {400 * time.Second, 86000}} {
		clk.advance(tt.after)
		got := ask(t, s, adult, msgFor("long.example.", dns.TypeA))
		if len(got.Answer) != 1 || got.Answer[0].Header().Ttl != tt.want {
			t.Errorf("after %s: %v, want a TTL of %d", tt.after, rrs(got.Answer), tt.want)
		}
	}
}

// checkParsed compares what was read with what it should print, or with part of
// the error, after "!".
func checkParsed(t *testing.T, in string, got fmt.Stringer, err error, want string) {
	t.Helper()
	if part, isErr := strings.CutPrefix(want, "!"); isErr {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: error %v, want one with %q", in, err, part)
		}
		return
	}
	if err != nil || got.String() != want {
		t.Errorf("%q: %v, %v, want %s", in, got, err, want)
	}
}
