package resolver

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"kinward/policy"
)

// TestCheck: the name of a check shows who asked for it and by what; nobody else's
// question does, nothing is asked of an upstream, and nothing is recorded.
func TestCheck(t *testing.T) {
	up, log := newFake(t), &kept{}
	c := config(t, up)
	c.Log = log
	s := start(t, c)
	seen, stop, err := s.Check("k3v7m2q4x5n6p7ra")
	if err != nil {
		t.Fatal(err)
	}
	name := CheckName("k3v7m2q4x5n6p7ra") + "."
	got := ask(t, s, adult, msgFor(strings.ToUpper(name), dns.TypeA))
	if got.Rcode != dns.RcodeSuccess || len(got.Answer) != 0 || len(got.Ns) != 1 || got.Ns[0].Header().Ttl != checkTTL {
		t.Errorf("the answer is\n%s", got)
	}
	other := ask(t, s, adult, msgFor(strings.ToUpper(CheckName("other")+"."), dns.TypeA))
	if d := cmp.Diff(rrs(got.Ns), rrs(other.Ns)); d != "" || other.Rcode != got.Rcode {
		t.Errorf("a name that nobody watches is answered otherwise:\n%s", d)
	}
	askBy(t, s, "tcp", household, msgFor(name, dns.TypeAAAA))
	var saw []string
	for range 2 {
		x := <-seen
		saw = append(saw, x.From.String()+" "+x.Transport)
		if x.Encrypted || x.Asker.Policy == nil || x.Time.IsZero() {
			t.Errorf("it saw %+v", x)
		}
		if known := x.Asker.Device != 0; known != (x.From.String() == adult) {
			t.Errorf("%s is device %d", x.From, x.Asker.Device)
		}
	}
	if d := cmp.Diff([]string{adult + " udp", household + " tcp"}, saw); d != "" {
		t.Errorf("it saw (-want +got):\n%s", d)
	}
	stop()
	for range 100 { // far more than would fit, and nobody waits
		ask(t, s, adult, msgFor(name, dns.TypeA))
	}
	if len(seen) != 0 {
		t.Errorf("after its end %d questions were seen", len(seen))
	}
	if n := len(log.take()); n != 0 {
		t.Errorf("%d attempts are recorded", n)
	}
	for _, x := range up.queries() {
		if strings.Contains(x.msg.Question[0].Name, "kinward") {
			t.Errorf("an upstream was asked for %s", x.msg.Question[0].Name)
		}
	}
	if _, _, err := s.Check(strings.Repeat("x", 64)); err == nil {
		t.Error("a token that is no label is taken")
	}
}

// TestSeen: each answer to a known device is noted, a block and a refusal of what
// it asks alike; whoever is no known device is not.
func TestSeen(t *testing.T) {
	log := &kept{}
	c := config(t, newFake(t))
	c.Log = log
	s := start(t, c)
	for _, from := range []string{adult, household} {
		ask(t, s, from, msgFor("localhost.", dns.TypeA))
		ask(t, s, from, msgFor("stranger.example.", dns.TypeA))
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	asker, _ := c.State().Directory.Identify(policy.Clues{Addr: netip.MustParseAddr(adult)}, s.now())
	if len(log.seen) != 2 {
		t.Fatalf("devices were seen %d times, want twice", len(log.seen))
	}
	for _, got := range log.seen {
		if got.family != asker.Family || got.device != asker.Device || got.device == 0 || got.at.IsZero() {
			t.Errorf("seen: %+v, want device %d of family %d", got, asker.Device, asker.Family)
		}
	}
}
