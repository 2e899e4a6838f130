package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// soakTrouble is the upstream of a soak, and when it did not answer.
type soakTrouble struct {
	addr  string
	begun time.Time

	mu     sync.Mutex
	spells [][2]time.Time
	drop   float64 // the part of questions that get no answer in the last spell
}

// afterTrouble is how long one feels that the upstream was away: a question waits for
// four seconds, a failure is kept for five, and nobody waits again for ten.
const afterTrouble = 15 * time.Second

// startSoakUpstream answers every question for an address with one that says when, in
// seconds from the beginning, so that one sees how old an answer is.
func startSoakUpstream(t *testing.T) *soakTrouble {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &soakTrouble{addr: pc.LocalAddr().String(), begun: time.Now()}
	s := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		if u.drops() {
			return
		}
		m := new(dns.Msg).SetReply(r)
		q, ttl := r.Question[0], uint32(3600)
		if strings.HasSuffix(strings.ToLower(q.Name), ".often.example.") {
			ttl = soakTTL
		}
		if q.Qtype == dns.TypeA {
			n := uint32(time.Since(u.begun) / time.Second)
			m.Answer = []dns.RR{&dns.A{
				Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: ttl},
				A:   net.IPv4(20, byte(n>>16), byte(n>>8), byte(n)),
			}}
		}
		w.WriteMsg(m)
	})}
	go s.ActivateAndServe()
	t.Cleanup(func() { s.Shutdown() })
	return u
}

func (u *soakTrouble) drops() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := len(u.spells)
	return n > 0 && time.Now().Before(u.spells[n-1][1]) && rand.Float64() < u.drop
}

// away has the upstream drop a part of the questions for some time.
func (u *soakTrouble) away(d time.Duration, part float64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	u.spells, u.drop = append(u.spells, [2]time.Time{now, now.Add(d)}), part
}

// near reports whether the upstream was away between two times, or shortly before.
func (u *soakTrouble) near(from, to time.Time) bool { return u.between(from, to, afterTrouble) }

// waited reports whether questions that the upstream did not answer may still wait, or
// did a moment ago.
func (u *soakTrouble) waited(now time.Time) bool { return u.between(now, now, 5*time.Second) }

func (u *soakTrouble) between(from, to time.Time, after time.Duration) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.ContainsFunc(u.spells, func(s [2]time.Time) bool { return !to.Before(s[0]) && !from.After(s[1].Add(after)) })
}

// soakLists serves the list, and what is no list.
type soakLists struct {
	url string

	mu        sync.Mutex
	round     int
	as        string // "": as it should be; "few": nearly nothing; "page": a web page
	unchanged int    // how often 304 was the answer
}

func startSoakLists(t *testing.T) *soakLists {
	l := &soakLists{}
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		defer l.mu.Unlock()
		tag := fmt.Sprintf(`"%s%d"`, l.as, l.round)
		if r.Header.Get("If-None-Match") == tag {
			l.unchanged++
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("ETag", tag)
		switch l.as {
		case "few":
			io.WriteString(w, "one.example\ntwo.example\nthree.example\n")
		case "page":
			io.WriteString(w, "<!doctype html><html><body>Sign in to the hotel's Wi-Fi</body></html>")
		default:
			io.WriteString(w, soakList(l.round))
		}
	}))
	t.Cleanup(web.Close)
	l.url = web.URL + "/soak.txt"
	return l
}

func (l *soakLists) serve(as string, next bool) (round int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.as = as; next {
		l.round++
	}
	return l.round
}

// times304 returns how often the list had not changed.
func (l *soakLists) times304() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.unchanged
}

// soakList is a list whose last name differs each time, so that it is read and compiled
// anew.
func soakList(round int) string {
	var b strings.Builder
	for i := range soakListed {
		fmt.Fprintf(&b, "listed%d.example\n", i)
	}
	fmt.Fprintln(&b, soakGranted)
	for i := range 20_000 {
		fmt.Fprintf(&b, "site-%x.filler%d.example\n", i*2654435761, i%977)
	}
	fmt.Fprintf(&b, "round%d.example\n", round)
	return b.String()
}

// soakZone is where the family lives: its clocks are changed in the night in which a
// soak begins.
var soakZone = func() *time.Location {
	z, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return z
}()

// soakEvenings are where a soak begins by the program's clock: the evening before the
// hour that comes twice, and before the one that is left out.
var soakEvenings = []struct{ begin, change time.Time }{
	{time.Date(2026, 10, 24, 19, 50, 0, 0, soakZone), time.Date(2026, 10, 25, 1, 0, 0, 0, time.UTC)},
	{time.Date(2027, 3, 27, 19, 50, 0, 0, soakZone), time.Date(2027, 3, 28, 1, 0, 0, 0, time.UTC)},
}

// soakFirst is what happens first, in this order, and soakLater what happens again and
// again after it, in any order. Once it is late the program is not killed any more, so
// that a last life is long.
var (
	soakFirst = strings.Fields("changed loss bedtime grant over same reload kill begin page few part change choose rule")
	soakLater = strings.Fields("changed same page few reload choose rule loss part lossback kill grant over grant over kill " +
		"bedtime morning change begin forward back minutes minutesback")
)

// soakLife does to a running program what happens in its life.
type soakLife struct {
	h      *home
	clock  *steppedClock
	ledger *soakLedger
	up     *soakTrouble
	lists  *soakLists
	random *rand.Rand
	begin  time.Time // see soakEvenings
	change time.Time
	kill   func()
	calm   time.Time // until when nothing else is to happen

	n, kills, steps, losses, changes int
	earliest, latest                 time.Time // that the clock showed
}

func (s *soakLife) do(args ...string) (out string, ok bool) {
	out, errs, code := s.h.run(args...)
	if code != 0 {
		s.h.t.Errorf("kinward %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out, code == 0
}

// happen is one of soakFirst or soakLater.
func (s *soakLife) happen(what string) {
	s.n++
	now, _ := s.clock.now()
	s.h.t.Logf("%.1f s, %s by its clock: %s", time.Since(s.up.begun).Seconds(), now.In(soakZone).Format("Mon 15:04:05.0"), what)
	switch what {
	case "kill":
		s.kills++
		s.kill()
	case "loss":
		s.losses++
		s.up.away(time.Duration(5000+s.random.IntN(4000))*time.Millisecond, 1)
	case "part":
		s.losses++
		s.up.away(time.Duration(2000+s.random.IntN(4000))*time.Millisecond, 0.5)
	case "lossback": // what failed a moment ago lies ahead then; nothing may wait until the clock is there again
		s.losses++
		s.up.away(7*time.Second, 1)
		time.Sleep(5 * time.Second)
		now, _ = s.clock.now()
		s.set(now.Add(-3 * time.Hour))
		s.calm = time.Now().Add(afterTrouble + 8*time.Second)
	case "reload":
		s.changes++
		if err := s.h.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			s.h.t.Error(err)
		}
	case "choose":
		s.changes++
		s.do("profiles", "choose", "Everyone", "roblox", []string{"block", "allow"}[s.random.IntN(2)])
	case "rule":
		s.changes++
		s.do("rules", "deny", fmt.Sprintf("rule%d.example", s.n), "--for", "1m")
	case "changed", "same", "few", "page":
		s.changes++
		s.refresh(what)
	case "grant":
		s.changes++
		s.grant()
	case "over":
		if end, _ := s.ledger.lifts(now); !end.IsZero() {
			s.set(end.Add(-2 * time.Second))
		}
	case "bedtime": // half past eight or ten, a moment before
		s.set(s.next(now, false).Add(-2 * time.Second))
	case "morning":
		s.set(s.next(now, true).Add(-2 * time.Second))
	case "change":
		s.set(s.change.Add(-2 * time.Second))
	case "begin":
		s.set(s.begin)
	case "forward":
		s.set(now.Add(time.Duration(60+s.random.IntN(300)) * time.Minute))
	case "back":
		s.set(now.Add(-time.Duration(60+s.random.IntN(300)) * time.Minute))
	case "minutes":
		s.set(now.Add(time.Duration(1+s.random.IntN(15)) * time.Minute))
	case "minutesback":
		s.set(now.Add(-time.Duration(1+s.random.IntN(15)) * time.Minute))
	default:
		s.h.t.Fatalf("nothing is called %q", what)
	}
}

// next returns the minute after t at which bedtime begins or ends.
func (s *soakLife) next(t time.Time, ends bool) time.Time {
	for t = t.Truncate(time.Minute).Add(time.Minute); !(sleeping(t) != ends && sleeping(t.Add(-time.Minute)) == ends); {
		t = t.Add(time.Minute)
	}
	return t
}

// set steps the clock, to the begin where it would be two days from there.
func (s *soakLife) set(t time.Time) {
	if d := t.Sub(s.begin); d.Abs() > 48*time.Hour {
		t = s.begin
	}
	s.see()
	s.steps++
	s.clock.set(t)
	s.see()
}

// see notes what the clock shows.
func (s *soakLife) see() {
	now, _ := s.clock.now()
	if s.earliest.IsZero() || now.Before(s.earliest) {
		s.earliest = now
	}
	if now.After(s.latest) {
		s.latest = now
	}
}

// refresh has the list fetched, and looks at what came of it.
func (s *soakLife) refresh(as string) {
	round, served := s.lists.serve("", false), as
	switch as {
	case "changed":
		round, served = s.lists.serve("", true), ""
	case "same":
		served = ""
	}
	s.lists.serve(served, false)
	out, errs, code := s.h.run("lists", "update", "soak", "--json")
	s.lists.serve("", false)
	var r listsReply
	if err := json.Unmarshal([]byte(out), &r); err != nil || len(r.Lists) != 1 {
		s.h.t.Errorf("lists update of a list that is %s: exit code %d, %v\n%s%s", as, code, err, out, errs)
		return
	}
	v := r.Lists[0]
	switch good := v.Entries > 20_000; {
	case !good, as == "few" && v.Held == nil, as == "page" && v.Problem == "":
		s.h.t.Errorf("a list that is %s: %+v", as, v)
	case served == "":
		if err := s.blocks(fmt.Sprintf("round%d.example.", round)); err != nil {
			s.h.t.Errorf("after an update of a list that is %s: %v", as, err)
		}
	}
}

// blocks asks for a name that must be blocked by now, as a device that is not counted.
func (s *soakLife) blocks(name string) error {
	m, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), s.h.dns)
	if err != nil {
		return err
	}
	if len(m.Answer) > 0 {
		return fmt.Errorf("%s is not blocked: %v", name, m)
	}
	return nil
}

// grant opens granted.example to Lea for an hour.
func (s *soakLife) grant() {
	known := s.ledger.granting()
	if _, ok := s.do("grants", "add", soakGranted, "--profile", "Lea", "--for", "1h"); !ok {
		return
	}
	out, ok := s.do("grants", "--json")
	if !ok {
		return
	}
	var f familyView
	if err := json.Unmarshal([]byte(out), &f); err != nil || len(f.Grants) == 0 {
		s.h.t.Errorf("the grants are %s, %v", out, err)
		return
	}
	newest := f.Grants[0]
	for _, g := range f.Grants {
		if g.ID > newest.ID {
			newest = g
		}
	}
	known(newest.Until)
}

// soakSeed is SEED, or a new one.
func soakSeed(t *testing.T) (seed uint64) {
	t.Helper()
	text := os.Getenv("SEED")
	if text == "" {
		return rand.Uint64N(1_000_000)
	}
	if _, err := fmt.Sscan(text, &seed); err != nil {
		t.Fatalf("SEED=%q is not a number", text)
	}
	return seed
}
