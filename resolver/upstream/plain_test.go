package upstream

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// spelling is a name with enough letters to be never sent in one case by chance.
var spelling = Question{Name: "\x20" + strings.Repeat("abcd", 8) + "\x07example", Type: dns.TypeA, Class: dns.ClassINET}

func mustAsk(t *testing.T, c *Client, q Question) *dns.Msg {
	t.Helper()
	m, err := c.Ask(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPlain_caseIsMixed(t *testing.T) {
	s := serve(t, UDP)
	c := s.client(UDP, "")
	for range 4 {
		if m := mustAsk(t, c, spelling); m.Question[0].Name != strings.ToLower(m.Question[0].Name) || m.Answer[0].Header().Name != m.Question[0].Name {
			t.Errorf("the case that was mixed in came back: %s", m)
		}
	}
	spelled := map[string]bool{}
	for _, a := range s.asked() {
		name := a.msg.Question[0].Name
		spelled[name] = true
		if name == strings.ToLower(name) || name == strings.ToUpper(name) {
			t.Errorf("asked for %s, want mixed case", name)
		}
	}
	if len(spelled) != 4 {
		t.Errorf("four questions were spelled in %d ways", len(spelled))
	}
}

func TestPlain_otherSpellingIsNotBelieved(t *testing.T) {
	s := serve(t, UDP)
	now := time.Now()
	c := s.client(UDP, "", func(o *Options) { o.now = func() time.Time { return now } })
	s.does(func(network string, _, a *dns.Msg) []*dns.Msg {
		a.Question[0].Name = strings.ToLower(a.Question[0].Name)
		return []*dns.Msg{a}
	})
	for range 4 {
		mustAsk(t, c, spelling)
	}
	// Three times over TCP; then it is known for a server that does not keep the
	// case, and asked in lower case.
	want := []string{"udp", "tcp", "udp", "tcp", "udp", "tcp", "udp"}
	if got := s.networks(); !slices.Equal(got, want) {
		t.Errorf("asked over %v, want %v", got, want)
	}
	now = now.Add(plainFor)
	mustAsk(t, c, spelling)
	if got := s.networks()[len(want):]; !slices.Equal(got, []string{"udp", "tcp"}) {
		t.Errorf("an hour later asked over %v, want the case mixed again", got)
	}
	for range 2 {
		mustAsk(t, c, spelling)
	}
	before := len(s.networks())
	mustAsk(t, c, spelling)
	if got := s.networks()[before:]; !slices.Equal(got, []string{"udp"}) {
		t.Fatalf("after three more asked over %v, want the case left alone", got)
	}
	before++
	now = now.Add(-plainFor)
	mustAsk(t, c, spelling)
	if got := s.networks()[before:]; !slices.Equal(got, []string{"udp", "tcp"}) {
		t.Errorf("after the clock was set back asked over %v, want the case mixed again", got)
	}
}

func TestPlain_forgedAnswersAreNotHeard(t *testing.T) {
	s := serve(t, UDP)
	c := s.client(UDP, "")
	s.does(func(_ string, _, a *dns.Msg) []*dns.Msg {
		id, name, typ, notAnswer := a.Copy(), a.Copy(), a.Copy(), a.Copy()
		id.Id++
		name.Question[0].Name = "other.example."
		typ.Question[0].Qtype = dns.TypeAAAA
		notAnswer.Response = false
		for _, m := range []*dns.Msg{id, name, typ, notAnswer} {
			m.Answer = nil
		}
		return []*dns.Msg{id, name, typ, notAnswer, a}
	})
	ask(t, c)
	if got := c.Stats().Mismatches; got != 4 {
		t.Errorf("%d mismatches counted, want 4", got)
	}
}

func TestRFC7766_CutOffAnswersAreAskedOverTCP(t *testing.T) {
	s := serve(t, UDP)
	c := s.client(UDP, "")
	s.does(func(network string, _, a *dns.Msg) []*dns.Msg {
		if network == "udp" {
			a.Truncated, a.Answer = true, nil
		}
		return []*dns.Msg{a}
	})
	ask(t, c)
	if got := s.networks(); !slices.Equal(got, []string{"udp", "tcp"}) {
		t.Errorf("asked over %v", got)
	}
}

func TestRFC6891_ServersWithoutEDNS(t *testing.T) {
	s := serve(t, UDP)
	c := s.client(UDP, "")
	s.does(func(_ string, req, a *dns.Msg) []*dns.Msg {
		if req.IsEdns0() != nil {
			a.Rcode, a.Answer, a.Extra = dns.RcodeFormatError, nil, nil
		}
		return []*dns.Msg{a}
	})
	ask(t, c)
}

// withCookie answers with the client's part of the cookie and a server's part.
func withCookie(server string) func(string, *dns.Msg, *dns.Msg) []*dns.Msg {
	return func(_ string, req, a *dns.Msg) []*dns.Msg {
		a.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: sentCookie(req)[:16] + server}}
		return []*dns.Msg{a}
	}
}

func sentCookie(m *dns.Msg) string {
	for _, o := range m.IsEdns0().Option {
		if c, ok := o.(*dns.EDNS0_COOKIE); ok {
			return c.Cookie
		}
	}
	return ""
}

func TestRFC7873_Cookies(t *testing.T) {
	s := serve(t, UDP)
	c := s.client(UDP, "")
	server := hex.EncodeToString([]byte("sixteen bytes ok"))

	s.does(withCookie(server))
	ask(t, c)
	ask(t, c)
	asked := s.asked()
	if first, second := sentCookie(asked[0].msg), sentCookie(asked[1].msg); len(first) != 16 || second != first+server {
		t.Errorf("cookies sent: %q, then %q; want the client's part, then both", first, second)
	}

	s.does(nil) // an answer without the cookie, as somebody who forges one would send
	ask(t, c)
	ask(t, c)
	if got := s.networks()[2:]; !slices.Equal(got, []string{"udp", "tcp", "udp"}) {
		t.Errorf("asked over %v; want the doubtful answer asked for over TCP, and then no cookie expected", got)
	}
	if got := c.Stats().Cookieless; got != 1 {
		t.Errorf("%d answers without cookie counted, want 1", got)
	}
}

func TestRFC7873_BadCookieIsTriedAgain(t *testing.T) {
	s := serve(t, UDP)
	c := s.client(UDP, "")
	fresh := hex.EncodeToString([]byte("eight ok"))
	s.does(func(n string, req, a *dns.Msg) []*dns.Msg {
		out := withCookie(fresh)(n, req, a)
		if !strings.HasSuffix(sentCookie(req), fresh) {
			a.Rcode, a.Answer = dns.RcodeBadCookie, nil
		}
		return out
	})
	ask(t, c)
	if got := s.networks(); !slices.Equal(got, []string{"udp", "udp"}) {
		t.Errorf("asked over %v", got)
	}
}

func FuzzMatches(f *testing.F) {
	q := wwwExample
	m := q.message(shape{edns: true, mix: true})
	f.Add(m.wire())
	answer := append([]byte(nil), m.wire()...)
	answer[2] |= 0x80
	f.Add(answer)
	f.Fuzz(func(t *testing.T, got []byte) {
		if m.matches(got) == noMatch {
			return
		}
		if r, err := unpack(got); err == nil && len(r.Question) == 1 && !strings.EqualFold(r.Question[0].Name, "www.example.") {
			t.Errorf("took an answer for %v", r.Question)
		}
	})
}
