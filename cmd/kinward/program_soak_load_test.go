package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// soakDevice is one of those that ask: by its address, since all are on this machine.
type soakDevice struct {
	name    string // as the family calls it, "" where it does not
	addr    string
	bedtime bool // it has one
}

var soakDevices = []soakDevice{
	{name: "Lea's phone", addr: "127.0.1.2", bedtime: true},
	{name: "Tablet", addr: "127.0.1.3"},
	{addr: "127.0.1.4"},
}

// Names, by what must become of them.
const (
	soakListed   = 24                // listedN.example stand in the list in each of its versions: blocked at all times
	soakGranted  = "granted.example" // so does this, but Lea gets it for a while now and then
	soakOften    = 300               // hostN.often.example are open but for Lea's bedtime, and asked again and again
	soakTTL      = 4                 // seconds that the answers to those live
	offlineName  = "(at bedtime)"    // what is open by day is kept together at night
	soakRate     = 600               // questions a second over UDP, of all devices
	soakTCP      = 45                // and over TCP
	soakPatience = 10 * time.Second  // then a question has no answer

	// How long the program waits for an upstream before it gives out what is over. Who
	// asked and waited that long may get it though the upstream answers: the machine
	// was too busy for it. Of a thousand answers one may be like that.
	soakStale = 1800 * time.Millisecond
)

// soakCase is what is counted by: a device and what is kept of it.
type soakCase struct{ device, domain string }

// soakLedger counts what was answered, and what of it was not right.
type soakLedger struct {
	clock   *steppedClock
	trouble *soakTrouble
	begun   time.Time

	mu         sync.Mutex
	blocked    map[soakCase]int // answers received that say so
	unanswered map[soakCase]int // questions sent whose answer was not received
	wrong      []string
	wrongs     int
	grants     []time.Time // when those of granted.example end, by the stepped clock; zero: not known yet

	asked, answers, open, night, lifted, stale, waited, failed, lost atomic.Int64
}

func newSoakLedger(clock *steppedClock, trouble *soakTrouble) *soakLedger {
	return &soakLedger{clock: clock, trouble: trouble, begun: trouble.begun, blocked: map[soakCase]int{}, unanswered: map[soakCase]int{}}
}

func (l *soakLedger) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wrongs++; len(l.wrong) < 20 {
		l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
	}
}

// granting notes that a grant is being made, and returns what to call when it is known
// until when it is.
func (l *soakLedger) granting() (known func(until time.Time)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := len(l.grants)
	l.grants = append(l.grants, time.Time{})
	return func(until time.Time) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.grants[i] = until
	}
}

// lifts returns the latest end of a grant, and whether there may be one at t.
func (l *soakLedger) lifts(t time.Time) (end time.Time, may bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.grants {
		if g.IsZero() {
			return t.AddDate(1, 0, 0), true
		}
		if g.After(end) {
			end = g
		}
	}
	return end, t.Unix() < end.Unix()
}

// soakQuestion is one that was sent.
type soakQuestion struct {
	device     *soakDevice
	domain     string // its registrable domain: what an incident is about
	always     bool   // blocked whatever time it is
	name       string
	sent       time.Time // by the system's clock
	at         time.Time // by the program's
	generation int64     // of the program's clock
}

// keptAs is where q is counted if it is blocked.
func (q *soakQuestion) keptAs() soakCase {
	if q.always || q.domain == soakGranted {
		return soakCase{q.device.addr, q.domain}
	}
	return soakCase{q.device.addr, offlineName}
}

// sleeping reports whether it is Lea's bedtime: Sunday to Thursday from 20:30 to 06:30,
// Friday and Saturday from 22:00 to 08:00, by the clock on the wall.
func sleeping(t time.Time) bool {
	t = t.In(soakZone)
	span := func(day time.Weekday) (from, to int) {
		if day == time.Friday || day == time.Saturday {
			return 22 * 60, 8 * 60
		}
		return 20*60 + 30, 6*60 + 30
	}
	minute := t.Hour()*60 + t.Minute()
	from, _ := span(t.Weekday())
	_, to := span((t.Weekday() + 6) % 7) // that of yesterday evening
	return minute >= from || minute < to
}

// answered looks at an answer.
func (l *soakLedger) answered(q *soakQuestion, m *dns.Msg) {
	l.answers.Add(1)
	at, generation := l.clock.now()
	stepped := generation != q.generation || generation%2 != 0
	received := time.Now()
	ede := uint16(dns.ExtendedErrorCodeOther)
	if o := m.IsEdns0(); o != nil {
		for _, option := range o.Option {
			if e, ok := option.(*dns.EDNS0_EDE); ok {
				ede = e.InfoCode
			}
		}
	}
	told := fmt.Sprintf("%.1f s: %s asked for %s at %s (answered at %s): %s, EDE %d, %v", q.sent.Sub(l.begun).Seconds(), q.device.addr, q.name, q.at.In(soakZone), at.In(soakZone), dns.RcodeToString[m.Rcode], ede, m.Answer)
	blocked := ede == dns.ExtendedErrorCodeFiltered && len(m.Answer) == 0
	if blocked {
		if !q.always && q.domain != soakGranted {
			l.night.Add(1)
		}
		l.mu.Lock()
		l.blocked[q.keptAs()]++
		l.mu.Unlock()
	}
	switch {
	case q.always && !blocked:
		l.fault("UNFILTERED: %s", told)
		return
	case q.domain == soakGranted:
		end, may := l.lifts(q.at)
		switch {
		case blocked:
		case !q.device.bedtime: // it is not granted to the others
			l.fault("UNFILTERED: %s", told)
			return
		case !may && !stepped:
			l.fault("a grant outlives its end, %s: %s", end.In(soakZone), told)
			return
		default:
			l.lifted.Add(1)
			if !stepped && len(m.Answer) > 0 && q.at.Add(time.Duration(m.Answer[0].Header().Ttl)*time.Second).After(end) {
				l.fault("an answer outlives the grant's end, %s: %s", end.In(soakZone), told)
			}
		}
	case !q.always && !stepped && sleeping(q.at) == sleeping(at) && blocked != (q.device.bedtime && sleeping(at)):
		l.fault("not as the hour wants it: %s", told)
		return
	}
	if blocked {
		return
	}
	inTrouble := l.trouble.near(q.sent, received)
	switch {
	case m.Rcode == dns.RcodeServerFailure:
		if l.failed.Add(1); !inTrouble {
			l.fault("no answer while the upstream answers: %s", told)
		}
		return
	case m.Rcode != dns.RcodeSuccess || len(m.Answer) != 1:
		l.fault("an answer that nobody gave: %s", told)
		return
	}
	l.open.Add(1)
	a, ok := m.Answer[0].(*dns.A)
	if !ok {
		l.fault("another type: %s", told)
		return
	}
	seconds := a.A.To4()[1:]
	made := l.begun.Add(time.Duration(int(seconds[0])<<16|int(seconds[1])<<8|int(seconds[2])) * time.Second)
	age := q.sent.Sub(made)
	stale := ede == dns.ExtendedErrorCodeStaleAnswer
	if stale {
		l.stale.Add(1)
	}
	switch {
	case strings.HasSuffix(q.name, ".often.example.") && !stale && age > (soakTTL+4)*time.Second: // an answer has its upstream's second, and is read when the machine comes to it
		l.fault("the cache gives out what is over, %v old: %s", age, told)
	case stale && !inTrouble && received.Sub(q.sent) >= soakStale:
		l.waited.Add(1)
	case stale && !inTrouble:
		l.fault("stale, %v old, while the upstream answers: %s", age, told)
	}
	if q.device.bedtime && !stepped && q.domain != soakGranted {
		if until := q.at.Add(time.Duration(a.Hdr.Ttl) * time.Second); sleeping(until.Add(-time.Second)) && a.Hdr.Ttl > 0 {
			l.fault("an answer of %d s reaches into bedtime: %s", a.Hdr.Ttl, told)
		}
	}
}

// forgotten notes questions that get no answer any more.
func (l *soakLedger) forgotten(q *soakQuestion, killed bool) {
	if !killed {
		l.lost.Add(1)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unanswered[q.keptAs()]++
}

// soakAsker is a device's socket.
type soakAsker struct {
	l       *soakLedger
	device  *soakDevice
	network string
	server  string
	random  *rand.Rand // of the sender alone

	mu      sync.Mutex
	conn    *dns.Conn // nil: there is none
	pending map[uint16]*soakQuestion
	killed  bool
}

// soakLoad is all askers, from the start of the program to its end.
type soakLoad struct {
	askers  []*soakAsker
	stop    chan struct{}
	senders sync.WaitGroup
	readers sync.WaitGroup
}

func startSoakLoad(t *testing.T, l *soakLedger, server string, seed uint64) *soakLoad {
	t.Helper()
	load := &soakLoad{stop: make(chan struct{})}
	for i := range soakDevices {
		for _, way := range []struct {
			network string
			rate    int
		}{{"udp", soakRate / len(soakDevices)}, {"tcp", soakTCP / len(soakDevices)}} {
			a := &soakAsker{
				l: l, device: &soakDevices[i], network: way.network, server: server,
				random: rand.New(rand.NewPCG(seed, uint64(2*i+len(load.askers)))), pending: map[uint16]*soakQuestion{},
			}
			load.askers = append(load.askers, a)
			load.senders.Go(func() { a.send(load, time.Second/time.Duration(way.rate)) })
		}
	}
	return load
}

// dying notes that the program is about to be killed: what has no answer then is not lost
// without a reason.
func (load *soakLoad) dying() {
	for _, a := range load.askers {
		a.mu.Lock()
		a.killed = true
		a.mu.Unlock()
	}
}

// end stops asking, waits for answers that are on their way, and notes the others as
// unanswered. killed says that no answer can come any more.
func (load *soakLoad) end(killed bool) {
	close(load.stop)
	load.senders.Wait()
	for _, a := range load.askers {
		for begun := time.Now(); !killed && time.Since(begun) < soakPatience; time.Sleep(10 * time.Millisecond) {
			a.mu.Lock()
			left := len(a.pending)
			a.mu.Unlock()
			if left == 0 {
				break
			}
		}
		a.hangUp()
	}
	load.readers.Wait() // what the program had sent has been read
	for _, a := range load.askers {
		a.forget(func(*soakQuestion) bool { return true })
	}
}

// hangUp lets the reader take what has come, and ends it.
func (a *soakAsker) hangUp() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.conn != nil {
		a.conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	}
}

func (a *soakAsker) forget(which func(*soakQuestion) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.DeleteFunc(a.pending, func(_ uint16, q *soakQuestion) bool {
		gone := which(q)
		if gone {
			a.l.forgotten(q, a.killed)
		}
		return gone
	})
}

// send asks at a steady pace. A TCP connection that was closed is opened anew.
func (a *soakAsker) send(load *soakLoad, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	sweep := time.NewTicker(time.Second)
	defer sweep.Stop()
	for {
		select {
		case <-load.stop:
			return
		case <-sweep.C:
			a.forget(func(q *soakQuestion) bool { return time.Since(q.sent) > soakPatience })
			continue
		case <-tick.C:
		}
		a.mu.Lock()
		conn := a.conn
		a.mu.Unlock()
		if conn == nil {
			if conn = a.dial(load); conn == nil {
				continue
			}
		}
		q, m := a.question()
		q.at, q.generation = a.l.clock.now()
		q.sent = time.Now()
		a.mu.Lock()
		for a.pending[m.Id] != nil {
			m.Id++
		}
		a.pending[m.Id] = q
		a.mu.Unlock()
		a.l.asked.Add(1)
		conn.SetWriteDeadline(time.Now().Add(2 * time.Second))
		conn.WriteMsg(m) // what was not sent has no answer
	}
}

// dial opens a socket from the device's address and starts to read from it.
func (a *soakAsker) dial(load *soakLoad) *dns.Conn {
	var local net.Addr = &net.UDPAddr{IP: net.ParseIP(a.device.addr)}
	if a.network == "tcp" {
		local = &net.TCPAddr{IP: net.ParseIP(a.device.addr)}
	}
	c, err := (&net.Dialer{LocalAddr: local, Timeout: time.Second}).Dial(a.network, a.server)
	if err != nil {
		return nil // it was killed a moment ago
	}
	if u, ok := c.(*net.UDPConn); ok {
		u.SetReadBuffer(1 << 20)
	}
	conn := &dns.Conn{Conn: c, UDPSize: 4096}
	a.mu.Lock()
	a.conn = conn
	a.mu.Unlock()
	load.readers.Go(func() { a.read(conn) })
	return conn
}

// read takes answers until the socket is closed or hung up.
func (a *soakAsker) read(conn *dns.Conn) {
	defer conn.Close()
	for {
		m, err := conn.ReadMsg()
		if err != nil {
			if e, ok := err.(net.Error); a.network == "udp" && !(ok && e.Timeout()) { // nobody listens there: it may still have sent something before
				continue
			}
			a.mu.Lock()
			a.conn = nil
			a.mu.Unlock()
			if a.network == "tcp" { // its questions have no answer
				a.forget(func(*soakQuestion) bool { return true })
			}
			return
		}
		a.mu.Lock()
		q := a.pending[m.Id]
		if q != nil && len(m.Question) == 1 && strings.EqualFold(m.Question[0].Name, q.name) {
			delete(a.pending, m.Id)
		} else {
			q = nil
		}
		a.mu.Unlock()
		if q != nil {
			a.l.answered(q, m)
		}
	}
}

// question makes the next one: a third of what is blocked at all times, a half of what
// is asked often, a sixth of new names, and now and then what is granted.
func (a *soakAsker) question() (*soakQuestion, *dns.Msg) {
	q := &soakQuestion{device: a.device}
	r, qtype := a.random, dns.TypeA
	if r.IntN(4) == 0 {
		qtype = dns.TypeAAAA
	}
	switch n := r.IntN(60); {
	case n < 4:
		q.always, q.domain, q.name = true, "omegle.com", "www.omegle.com."
	case n < 6:
		q.always, q.domain, q.name = true, "tinder.com", "tinder.com."
	case n < 19:
		q.always, q.domain = true, fmt.Sprintf("listed%d.example", r.IntN(soakListed))
		q.name = q.domain + "."
	case n < 21:
		q.domain, q.name = soakGranted, soakGranted+"."
	case n < 51:
		qtype = dns.TypeA
		q.domain, q.name = "often.example", fmt.Sprintf("host%d.often.example.", r.IntN(soakOften))
	default:
		qtype = dns.TypeA
		q.domain, q.name = "soak.example", fmt.Sprintf("new%x.soak.example.", r.Uint64())
	}
	if q.domain == soakGranted {
		qtype = dns.TypeA
	}
	m := new(dns.Msg).SetQuestion(q.name, qtype)
	m.SetEdns0(1232, false)
	return q, m
}

// differences holds the incidents' counts against what was answered. Each blocked answer
// that was received is counted once. A question whose answer was not received (the
// program was killed, or a packet was lost) may have been counted, once, and no other.
// What the journal itself says that it lost may be missing.
func (l *soakLedger) differences(kept map[soakCase]int, saidLost int) (out []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[soakCase]bool{}
	for _, m := range []map[soakCase]int{l.blocked, kept} {
		for k := range m {
			all[k] = true
		}
	}
	missing := 0
	for k := range all {
		if kept[k] > l.blocked[k]+l.unanswered[k] {
			out = append(out, fmt.Sprintf("%v: %d answers say that it is blocked, %d questions have no answer, and %d are kept", k, l.blocked[k], l.unanswered[k], kept[k]))
		}
		missing += max(l.blocked[k]-kept[k], 0)
		if kept[k] < l.blocked[k] && saidLost == 0 {
			out = append(out, fmt.Sprintf("%v: %d answers say that it is blocked, and %d are kept", k, l.blocked[k], kept[k]))
		}
	}
	if missing > saidLost {
		out = append(out, fmt.Sprintf("%d attempts are missing, and %d are said to be lost", missing, saidLost))
	}
	slices.Sort(out)
	return out
}

func TestSoakSeesDifferences(t *testing.T) {
	k := soakCase{"127.0.1.2", "omegle.com"}
	for _, tt := range []struct {
		name                                string
		blocked, unanswered, kept, saidLost int
		want                                bool
	}{
		{"as many", 5, 0, 5, 0, false},
		{"one lost", 5, 0, 4, 0, true},
		{"one lost, another without an answer", 5, 1, 4, 0, true},
		{"one twice", 5, 0, 6, 0, true},
		{"one without an answer was kept", 5, 1, 6, 0, false},
		{"and one twice", 5, 1, 7, 0, true},
		{"one lost that is told", 5, 0, 4, 1, false},
		{"two lost, one told", 5, 0, 3, 1, true},
		{"none kept", 1, 0, 0, 0, true},
		{"kept, and never asked", 0, 0, 1, 0, true},
	} {
		l := &soakLedger{blocked: map[soakCase]int{k: tt.blocked}, unanswered: map[soakCase]int{k: tt.unanswered}}
		if got := l.differences(map[soakCase]int{k: tt.kept}, tt.saidLost); len(got) > 0 != tt.want {
			t.Errorf("%s: %q, want some: %v", tt.name, got, tt.want)
		}
	}
}
