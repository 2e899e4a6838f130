package upstream

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// ports counts the sockets that a client makes, and those that are open.
type ports struct{ made, open atomic.Int64 }

type port struct {
	*net.UDPConn
	of   *ports
	once sync.Once
}

func (p *port) Close() error {
	p.once.Do(func() { p.of.open.Add(-1) })
	return p.UDPConn.Close()
}

func (p *ports) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil || network != "udp" {
		return c, err
	}
	p.made.Add(1)
	p.open.Add(1)
	return &port{UDPConn: c.(*net.UDPConn), of: p}, nil
}

// A socket has one question at a time, few in all, and is not open for long.
func TestRFC5452_Sockets(t *testing.T) {
	s := serve(t, UDP)
	var p ports
	var now atomic.Int64
	c := s.client(UDP, "", func(o *Options) {
		o.Dial, o.now = p.dial, func() time.Time { return time.Unix(now.Load(), 0) }
	})
	made := func(what string, want int64, do func()) {
		t.Helper()
		before := p.made.Load()
		do()
		if got := p.made.Load() - before; got != want {
			t.Errorf("%s: %d sockets were made, want %d", what, got, want)
		}
	}
	made("one after the other", 3, func() {
		for range 3 * socketUses {
			ask(t, c)
		}
	})
	hold := make(chan bool)
	s.does(func(_ string, _, a *dns.Msg) []*dns.Msg {
		<-hold
		return []*dns.Msg{a}
	})
	made("five at once", 5, func() {
		var all sync.WaitGroup
		for range 5 {
			all.Go(func() { ask(t, c) })
		}
		for p.open.Load() < 5 { // the server answers one after the other
			time.Sleep(time.Millisecond)
		}
		close(hold)
		all.Wait()
	})
	s.does(nil)
	made("when those are too old", 1, func() {
		now.Add(1)
		ask(t, c)
	})
	s.does(func(_ string, _, a *dns.Msg) []*dns.Msg {
		forged := a.Copy()
		forged.Id++
		return []*dns.Msg{forged, a}
	})
	made("when each has heard a guess", 2, func() {
		now.Add(1)
		ask(t, c)
		ask(t, c)
	})
	s.does(func(_ string, _, a *dns.Msg) []*dns.Msg {
		late := a.Copy()
		late.Id++
		return []*dns.Msg{a, late}
	})
	made("when each hears a guess while it waits", 2, func() {
		now.Add(1)
		ask(t, c)
		time.Sleep(50 * time.Millisecond) // for the guess to arrive
		ask(t, c)
	})
	s.does(func(network string, _, a *dns.Msg) []*dns.Msg {
		if network == "udp" {
			a.Question[0].Name = strings.ToUpper(a.Question[0].Name)
		}
		return []*dns.Msg{a}
	})
	made("when each is answered in another spelling", 2, func() {
		now.Add(1)
		ask(t, c)
		ask(t, c)
	})
	s.does(func(_ string, req, a *dns.Msg) []*dns.Msg {
		a.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: "0123456789abcdef"}}
		return []*dns.Msg{a}
	})
	made("when each is answered with another's cookie", 2, func() {
		now.Add(1)
		ask(t, c)
		ask(t, c)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	s.does(func(string, *dns.Msg, *dns.Msg) []*dns.Msg { return nil })
	if _, err := c.Ask(ctx, wwwExample); err == nil {
		t.Error("there was an answer")
	}
	s.does(nil)
	made("when an answer may come late", 1, func() { ask(t, c) })
	for began := time.Now(); p.open.Load() > 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%d sockets stay open though nobody asks", p.open.Load())
		}
	}
	ask(t, c)
	if err := c.Close(); err != nil || p.open.Load() != 0 {
		t.Errorf("after the client's end %d sockets are open; %v", p.open.Load(), err)
	}
}

// slowToClose is a socket whose end takes until it is let go.
type slowToClose struct {
	net.Conn
	closing, let chan struct{}
}

func (c slowToClose) Close() error {
	close(c.closing)
	<-c.let
	return nil
}

// TestNobodyWaitsForSocketsToClose: who asks waits for the list of sockets, so it is
// not held while the system closes one.
func TestNobodyWaitsForSocketsToClose(t *testing.T) {
	c := slowToClose{closing: make(chan struct{}), let: make(chan struct{})}
	s := &sockets{now: time.Now, idle: []*socket{{Conn: c}}}
	var tidied sync.WaitGroup
	tidied.Go(s.tidy)
	<-c.closing
	if s.mu.TryLock() {
		s.mu.Unlock()
	} else {
		t.Error("the list is held while a socket is closed")
	}
	close(c.let)
	tidied.Wait()
	if len(s.idle) != 0 {
		t.Errorf("%d sockets wait after they were closed", len(s.idle))
	}
}
