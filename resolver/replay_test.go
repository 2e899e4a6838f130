package resolver

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"kinward/policy"
)

// TestReplay plays the scenarios of testdata/replay, one file a case: virtual
// upstreams, virtual time, and what a client must see. A bug becomes one more
// file. Times are exact: nothing runs by the clock of the machine.
//
//	upstream NAME URL      an upstream, in the order of the configuration
//	route DOMAIN NAME URL  an upstream of a domain
//	record NAME RECORD     what it knows, in zone-file syntax
//	does NAME WORD...      how it behaves from now on; see [virtualUpstream]
//	ask NAME TYPE [do] [ad] [cd] [child]
//	asks N SUFFIX TYPE     N questions for n1.SUFFIX, n2.SUFFIX ...; on with the numbers the next time
//	want RCODE [ede N] [ttl N] [ad] [tc] [none | RDATA...]   of the latest answer
//	took DURATION          how long the latest answer took
//	sent NAME [udp N] [tcp N]   what it was asked since the latest "sent"
//	wait DURATION
func TestReplay(t *testing.T) {
	files, err := filepath.Glob("testdata/replay/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	child, grown := state(t), grownUps(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				r := &replay{t: t, child: child, grown: grown, ups: map[string]*virtualUpstream{}}
				lines := bufio.NewScanner(strings.NewReader(string(text)))
				for n := 1; lines.Scan(); n++ {
					line, _, _ := strings.Cut(lines.Text(), " #")
					if words := strings.Fields(line); len(words) > 0 && words[0][0] != '#' {
						r.at = fmt.Sprintf("%s:%d", file, n)
						r.step(words)
					}
				}
				if !r.asked {
					t.Errorf("%s asks nothing", file)
				}
				if r.s != nil {
					r.s.flights.Wait()
					if err := r.s.closeClients(); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Minute) // answers that nobody waits for end too
				}
			})
		})
	}
}

type replay struct {
	t            *testing.T
	at           string // file:line
	child, grown *policy.State
	state        *policy.State // of who asks
	c            Config
	ups          map[string]*virtualUpstream
	s            *Server
	asked        bool
	number       int // of the latest question of "asks"
	got          *dns.Msg
	took         time.Duration
}

func (r *replay) fail(format string, args ...any) {
	r.t.Helper()
	r.t.Errorf("%s: "+format, append([]any{r.at}, args...)...)
}

func (r *replay) step(w []string) {
	t := r.t
	up := func(name string) *virtualUpstream {
		u := r.ups[name]
		if u == nil {
			t.Fatalf("%s: there is no upstream %q", r.at, name)
		}
		return u
	}
	span := func(s string) time.Duration {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatalf("%s: %v", r.at, err)
		}
		return d
	}
	switch w[0] {
	case "upstream":
		r.c.Upstreams = append(r.c.Upstreams, mustUpstream(t, w[2]))
		r.ups[w[1]] = &virtualUpstream{addr: r.c.Upstreams[len(r.c.Upstreams)-1].Addrs()[0]}
	case "route":
		route := Route{Domain: keyFor(w[1]).name, Upstreams: nil}
		route.Upstreams = append(route.Upstreams, mustUpstream(t, w[3]))
		r.c.Forward = append(r.c.Forward, route)
		r.ups[w[2]] = &virtualUpstream{addr: route.Upstreams[0].Addrs()[0]}
	case "record":
		u := up(w[1])
		rr, err := dns.NewRR(strings.Join(w[2:], " "))
		if err != nil {
			t.Fatalf("%s: %v", r.at, err)
		}
		u.mu.Lock()
		u.fake.zone = append(u.fake.zone, rr)
		u.mu.Unlock()
	case "does":
		u := up(w[1])
		u.mu.Lock()
		defer u.mu.Unlock()
		u.words, u.delay = map[string]bool{}, 10*time.Millisecond
		for i := 2; i < len(w); i++ {
			if w[i] == "delay" {
				i++
				u.delay = span(w[i])
			} else if u.words[w[i]] = true; !slices.Contains(virtualWords, w[i]) {
				t.Fatalf("%s: %q is nothing that an upstream does", r.at, w[i])
			}
		}
	case "ask":
		r.ask(w[1], w[2], w[3:])
	case "asks":
		n, err := strconv.Atoi(w[1])
		if err != nil {
			t.Fatalf("%s: %v", r.at, err)
		}
		for range n {
			r.number++
			r.ask(fmt.Sprintf("n%d.%s", r.number, w[2]), w[3], nil)
		}
	case "want":
		r.want(w[1:])
	case "took":
		if r.took != span(w[1]) {
			r.fail("it took %v, want %s", r.took, w[1])
		}
	case "sent":
		want := map[string]int{}
		for i := 2; i+1 < len(w); i += 2 {
			want[w[i]], _ = strconv.Atoi(w[i+1])
		}
		if got := up(w[1]).taken(); !maps.Equal(got, want) {
			r.fail("%s was asked %v, want %v", w[1], got, want)
		}
	case "wait":
		time.Sleep(span(w[1]))
		synctest.Wait()
	default:
		t.Fatalf("%s: what is %q?", r.at, w[0])
	}
}

// server makes the server at the first question.
func (r *replay) server() *Server {
	if r.s != nil {
		return r.s
	}
	r.c.AllowNets = loopbackNets
	r.c.State = func() *policy.State { return r.state }
	r.c.dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		for _, u := range r.ups {
			if u.addr.String() == addr {
				return u.dial(ctx, network)
			}
		}
		return nil, syscall.ENETUNREACH
	}
	s, err := newServer(r.c)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := s.Reconfigure(Settings{Upstreams: r.c.Upstreams, Forward: r.c.Forward, AllowNets: r.c.AllowNets}); err != nil {
		r.t.Fatal(err)
	}
	r.s = s
	return s
}

func (r *replay) ask(name, qtype string, how []string) {
	s := r.server()
	r.state = r.grown
	m := msgFor(name+".", dns.StringToType[qtype])
	for _, h := range how {
		switch h {
		case "do":
			wantsDO(m)
		case "ad":
			wantsAD(m)
		case "cd":
			wantsCD(m)
		case "child":
			r.state = r.child
		default:
			r.t.Fatalf("%s: what is %q?", r.at, h)
		}
	}
	q := &query{}
	q.reset(packed(m), netip.MustParseAddrPort(household+":5353"), overUDP)
	synctest.Wait() // what the question before left behind is noted
	began := time.Now()
	if s.answerNear(r.t.Context(), q) == pass {
		q = q.detach()
		s.answerFar(r.t.Context(), q)
	}
	r.took = time.Since(began)
	r.asked = true
	r.got = new(dns.Msg)
	if err := r.got.Unpack(q.out); err != nil {
		r.t.Fatalf("%s: the answer cannot be read: %v", r.at, err)
	}
}

func (r *replay) want(w []string) {
	if got := dns.RcodeToString[r.got.Rcode]; got != w[0] {
		r.fail("it is %s, want %s", got, w[0])
	}
	wantEDE, ad, tc := -1, false, false
	var data []string
	for i := 1; i < len(w); i++ {
		switch w[i] {
		case "ede":
			i++
			wantEDE, _ = strconv.Atoi(w[i])
		case "ttl":
			i++
			for _, rr := range append(r.got.Answer, r.got.Ns...) {
				if got := fmt.Sprint(rr.Header().Ttl); got != w[i] {
					r.fail("TTL of %s, want %s", rr, w[i])
				}
			}
		case "ad":
			ad = true
		case "tc":
			tc = true
		case "none":
		default:
			data = append(data, w[i])
		}
	}
	if code, _ := ede(r.got); code != wantEDE {
		r.fail("EDE is %d, want %d", code, wantEDE)
	}
	if r.got.AuthenticatedData != ad || r.got.Truncated != tc {
		r.fail("AD is %t, TC is %t; want %t and %t", r.got.AuthenticatedData, r.got.Truncated, ad, tc)
	}
	var got []string
	for _, rr := range r.got.Answer {
		got = append(got, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
	if !slices.Equal(got, data) {
		r.fail("the answer holds %q, want %q", got, data)
	}
}

// virtualWords are what an upstream can do, besides "delay DURATION" (10 ms unless
// given).
var virtualWords = []string{
	"well",      // as it should
	"silent",    // over UDP and TCP, like a host that is gone
	"loses-one", // the next packet over UDP alone is lost
	"closed",    // its ports are
	"hangs-up",  // takes connections, and closes them at the first question
	"servfail",
	"refused",
	"nxdomain",
	"lame",      // refers to somebody else, and does not recurse
	"truncates", // over UDP
	"truncates-all",
	"wrong-id", // a forged answer before the right one
	"wrong-name",
	"only-wrong-id", // and nothing else
	"folds",         // answers in lower case
	"badcookie",     // until its cookie comes back
	"cookies",       // gives one
	"no-edns",       // FORMERR to EDNS
	"garbage",       // over UDP
	"validates",     // sets AD
}

// virtualUpstream answers over connections within the process.
type virtualUpstream struct {
	addr netip.AddrPort

	mu    sync.Mutex
	fake  fake // its zone
	words map[string]bool
	delay time.Duration
	count map[string]int
}

func (u *virtualUpstream) taken() map[string]int {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := u.count
	u.count = nil
	if out == nil {
		out = map[string]int{}
	}
	return out
}

func (u *virtualUpstream) does(word string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.words[word]
}

func (u *virtualUpstream) dial(ctx context.Context, network string) (net.Conn, error) {
	if u.does("closed") {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	if network == "tcp" && u.does("silent") {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ours, theirs := net.Pipe() // a write is a packet
	go u.serve(network, theirs)
	return ours, nil
}

func (u *virtualUpstream) serve(network string, c net.Conn) {
	defer c.Close()
	var wg sync.WaitGroup
	defer wg.Wait()
	var writing sync.Mutex
	for {
		wire := make([]byte, 4096)
		if network == "tcp" {
			var size [2]byte
			if _, err := io.ReadFull(c, size[:]); err != nil {
				return
			}
			wire = wire[:binary.BigEndian.Uint16(size[:])]
			if _, err := io.ReadFull(c, wire); err != nil {
				return
			}
		} else {
			n, err := c.Read(wire)
			if err != nil {
				return
			}
			wire = wire[:n]
		}
		answers, delay := u.reply(network, wire)
		if network == "tcp" && u.does("hangs-up") {
			return
		}
		wg.Go(func() {
			time.Sleep(delay)
			for _, b := range answers {
				if network == "tcp" {
					b = append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
				}
				writing.Lock()
				c.Write(b)
				writing.Unlock()
			}
		})
	}
}

// virtualCookie is the server's part of the cookies.
const virtualCookie = "0123456789abcdef"

func (u *virtualUpstream) reply(network string, wire []byte) ([][]byte, time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	req := new(dns.Msg)
	if err := req.Unpack(wire); err != nil {
		panic(err)
	}
	if u.count == nil {
		u.count = map[string]int{}
	}
	u.count[network]++
	delay := u.delay
	if u.words == nil {
		delay = 10 * time.Millisecond
	}
	a := u.fake.answer(req)
	fails := func(rcode int) { a.Rcode, a.Answer, a.Ns = rcode, nil, nil }
	cookie := ""
	if o := req.IsEdns0(); o != nil {
		for _, o := range o.Option {
			if c, ok := o.(*dns.EDNS0_COOKIE); ok {
				cookie = c.Cookie
			}
		}
	}
	gives := func() {
		a.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: cookie[:16] + virtualCookie}}
	}
	out := [][]byte(nil)
	does := u.words
	udp := network == "udp"
	switch {
	case does["silent"]:
		return nil, 0
	case does["loses-one"] && udp:
		delete(does, "loses-one")
		return nil, 0
	case does["servfail"]:
		fails(dns.RcodeServerFailure)
	case does["refused"]:
		fails(dns.RcodeRefused)
	case does["nxdomain"]:
		fails(dns.RcodeNameError)
		for _, rr := range u.fake.zone {
			if rr.Header().Rrtype == dns.TypeSOA {
				a.Ns = append(a.Ns, dns.Copy(rr))
			}
		}
	case does["lame"]:
		fails(dns.RcodeSuccess)
		a.RecursionAvailable = false
		a.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeNS, Class: 1, Ttl: 3600}, Ns: "a.root-servers.net."}}
	case does["truncates-all"], does["truncates"] && udp:
		a.Truncated, a.Answer = true, nil
	case does["folds"]:
		a.Question[0].Name = strings.ToLower(a.Question[0].Name)
	case does["badcookie"] && udp:
		if gives(); !strings.HasSuffix(cookie, virtualCookie) {
			fails(dns.RcodeBadCookie)
		}
	case does["cookies"] && udp:
		gives()
	case does["no-edns"] && req.IsEdns0() != nil:
		fails(dns.RcodeFormatError)
		a.Extra = nil
	case does["garbage"] && udp:
		b := packed(a)
		return [][]byte{append(b[:len(b)-8], "\xff\xff\xff\xff\xff\xff\xff\xff"...)}, delay
	case does["wrong-id"], does["only-wrong-id"], does["wrong-name"]:
		forged := a.Copy()
		if does["wrong-name"] {
			forged.Question[0].Name = "forged.example."
		} else {
			forged.Id++
		}
		forged.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: req.Question[0].Name, Rrtype: dns.TypeA, Class: 1, Ttl: 60}, A: net.IPv4(6, 6, 6, 6)}}
		out = append(out, packed(forged))
		if does["only-wrong-id"] {
			return out, delay
		}
	}
	a.AuthenticatedData = does["validates"]
	return append(out, packed(a)), delay
}
