package upstream

import (
	"context"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

var allSchemes = []Scheme{UDP, TCP, TLS, HTTPS, HTTP3, QUIC}

func TestEveryTransport(t *testing.T) {
	s := serve(t, allSchemes...)
	for _, scheme := range allSchemes {
		t.Run(scheme.String(), func(t *testing.T) {
			c := s.client(scheme, "")
			for range 3 {
				if m := ask(t, c); !strings.EqualFold(m.Question[0].Name, "www.example.") {
					t.Errorf("question is %v", m.Question)
				}
			}
			asked := s.asked()
			last := asked[len(asked)-1]
			if last.network != scheme.String() {
				t.Errorf("asked over %s, want %s", last.network, scheme)
			}
			if scheme.Encrypted() && last.size%128 != 0 {
				t.Errorf("the query has %d bytes, want it padded to a multiple of 128 (RFC 8467)", last.size)
			}
			if !scheme.Encrypted() && last.size%128 == 0 {
				t.Error("a plain query is padded, which only makes it larger")
			}
			if scheme >= HTTPS && last.msg.Id != 0 {
				t.Errorf("ID is %d, want 0 (RFC 8484 §4.1, RFC 9250 §4.2.1)", last.msg.Id)
			}
			if scheme != UDP && c.Stats().Dials > 1 {
				t.Errorf("%d connections for three questions, want one", c.Stats().Dials)
			}
		})
	}
}

func TestConcurrentQuestionsShareAConnection(t *testing.T) {
	for _, scheme := range []Scheme{TCP, TLS, HTTPS, HTTP3, QUIC} {
		t.Run(scheme.String(), func(t *testing.T) {
			s := serve(t, scheme)
			var mu sync.Mutex
			var held []chan struct{}
			all := make(chan struct{})
			s.does(func(_ string, _, a *dns.Msg) []*dns.Msg { // nobody is answered before all have asked; the last first
				wait := make(chan struct{})
				mu.Lock()
				held = append(held, wait)
				if len(held) == 20 {
					close(all)
				}
				mu.Unlock()
				<-wait
				return []*dns.Msg{a}
			})
			c := s.client(scheme, "", func(o *Options) { o.Timeout = 20 * time.Second })
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if _, err := c.Ask(t.Context(), wwwExample); err != nil {
						t.Error(err)
					}
				})
			}
			<-all
			mu.Lock()
			slices.Reverse(held)
			for _, w := range held {
				close(w)
			}
			mu.Unlock()
			wg.Wait()
			if scheme == TCP || scheme == TLS || scheme == QUIC {
				if n := s.accepted(); n != 1 {
					t.Errorf("%d connections, want 1", n)
				}
			}
		})
	}
}

func TestBrokenConnectionIsReplaced(t *testing.T) {
	for _, scheme := range []Scheme{TCP, TLS} {
		t.Run(scheme.String(), func(t *testing.T) {
			s := serve(t, scheme)
			c := s.client(scheme, "")
			for range 5 {
				ask(t, c)
				s.cut()
			}
			if scheme == TLS && c.Stats().Resumed == 0 {
				t.Error("no TLS session was resumed")
			}
		})
	}
}

func TestRFC7858_CertificateMustBeRight(t *testing.T) {
	s := serve(t, TLS, HTTPS, HTTP3, QUIC)
	other := serve(t, TLS) // another key, another authority
	for _, scheme := range []Scheme{TLS, HTTPS, HTTP3, QUIC} {
		for _, tt := range []struct {
			name, params string
			edit         func(*Options)
			want         string // in the error; "" for an answer
		}{
			{"an unknown authority", "", func(o *Options) { o.Roots = other.auth.pool }, "authority"},
			{"the key that is pinned, whoever signed it", "&pin=" + s.pin, func(o *Options) { o.Roots = other.auth.pool }, ""},
			{"another key than the pinned one, though it is signed", "&pin=" + other.pin, func(*Options) {}, "pinned"},
		} {
			t.Run(scheme.String()+", "+tt.name, func(t *testing.T) {
				c := s.client(scheme, tt.params, tt.edit)
				_, err := c.Ask(t.Context(), wwwExample)
				if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
					t.Errorf("error is %v, want %q in it", err, tt.want)
				}
			})
		}
	}
	spec, err := Parse(strings.Replace(s.client(TLS, "").spec.String(), "dns.example", "elsewhere.example", 1))
	if err != nil {
		t.Fatal(err)
	}
	c := New(spec, Options{Roots: s.auth.pool})
	defer c.Close()
	if _, err := c.Ask(t.Context(), wwwExample); err == nil || !strings.Contains(err.Error(), "elsewhere.example") {
		t.Errorf("a certificate for another name: error is %v", err)
	}
}

func TestSilentConnectionIsGivenUp(t *testing.T) {
	for _, scheme := range []Scheme{TCP, TLS} {
		t.Run(scheme.String(), func(t *testing.T) {
			s := serve(t, scheme)
			c := s.client(scheme, "", func(o *Options) { o.Timeout = 500 * time.Millisecond })
			s.does(func(string, *dns.Msg, *dns.Msg) []*dns.Msg { return nil })
			if _, err := c.Ask(t.Context(), wwwExample); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("error is %v, want the deadline", err)
			}
			s.does(nil)
			ask(t, c)
			if n := s.accepted(); n != 2 {
				t.Errorf("%d connections, want a second one after the first fell silent", n)
			}
		})
	}
}

// The two bytes of a length may come apart, with the idle time's end between them.
func TestRFC7766_LengthComesApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		spec, err := Parse("tcp://192.0.2.1")
		if err != nil {
			t.Fatal(err)
		}
		c := New(spec, Options{
			Timeout: time.Minute, idle: time.Second,
			Dial: func(context.Context, string, string) (net.Conn, error) { return near, nil },
		})
		go func() {
			buf := make([]byte, 512)
			if _, err := io.ReadFull(far, buf[:2]); err != nil {
				t.Error(err)
				return
			}
			n := binary.BigEndian.Uint16(buf)
			if _, err := io.ReadFull(far, buf[:n]); err != nil {
				t.Error(err)
				return
			}
			m := new(dns.Msg)
			if err := m.Unpack(buf[:n]); err != nil {
				t.Error(err)
				return
			}
			a, err := new(dns.Msg).SetReply(m).Pack()
			if err != nil {
				t.Error(err)
				return
			}
			framed := append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...)
			far.Write(framed[:1])
			time.Sleep(3 * time.Second)
			far.Write(framed[1:])
		}()
		if _, err := c.Ask(t.Context(), wwwExample); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A connection that breaks is one line in the log, with the reason in it.
func TestLostIsOneLine(t *testing.T) {
	s := serve(t, TCP)
	c := s.client(TCP, "")
	s.does(func(string, *dns.Msg, *dns.Msg) []*dns.Msg { s.cut(); return nil })
	if _, err := c.Ask(t.Context(), wwwExample); !errors.Is(err, errLost) || strings.Contains(err.Error(), "\n") {
		t.Errorf("error is %q", err)
	}
}

// Who waits on a connection that another question gave up is told that it was
// silent too, not that the network failed.
func TestSilentConnectionIsSilentForAll(t *testing.T) {
	s := serve(t, TCP)
	heard := make(chan struct{}, 8)
	s.does(func(string, *dns.Msg, *dns.Msg) []*dns.Msg { heard <- struct{}{}; return nil })
	c := s.client(TCP, "", func(o *Options) { o.Timeout = time.Minute })
	patient := make(chan error, 1)
	go func() { _, err := c.Ask(t.Context(), wwwExample); patient <- err }()
	<-heard
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Ask(ctx, wwwExample); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v, want the deadline", err)
	}
	if err := <-patient; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the error of who waited longer is %v, want one that says it was silent", err)
	}
}

func TestCallerMayLeave(t *testing.T) {
	for _, scheme := range allSchemes {
		t.Run(scheme.String(), func(t *testing.T) {
			s := serve(t, scheme)
			heard := make(chan struct{}, 8)
			s.does(func(string, *dns.Msg, *dns.Msg) []*dns.Msg { heard <- struct{}{}; return nil })
			c := s.client(scheme, "", func(o *Options) { o.Timeout = time.Minute })
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { _, err := c.Ask(ctx, wwwExample); ended <- err }()
			<-heard
			cancel()
			if err := <-ended; err == nil {
				t.Error("no error though nothing was answered")
			}
		})
	}
}

func TestNextAddressIsTried(t *testing.T) {
	for _, scheme := range []Scheme{TCP, TLS, HTTPS} {
		t.Run(scheme.String(), func(t *testing.T) {
			s := serve(t, scheme)
			c := s.client(scheme, "")
			c.spec.addrs = append([]netip.Addr{netip.MustParseAddr("127.0.0.9")}, c.spec.addrs...) // nothing listens there
			c.spec.name = "dns.example"
			ask(t, c)
		})
	}
}

func TestRFC8484_WhatIsNoAnswer(t *testing.T) {
	s := serve(t, HTTPS)
	c := s.client(HTTPS, "")
	s.does(func(_ string, _, a *dns.Msg) []*dns.Msg { a.Question[0].Name = "other.example."; return []*dns.Msg{a} })
	if _, err := c.Ask(t.Context(), wwwExample); !errors.Is(err, ErrUnreadable) || strings.Contains(err.Error(), "\n") {
		t.Errorf("another question's answer: error is %q", err)
	}
	s.does(func(_ string, _, a *dns.Msg) []*dns.Msg { return nil })
	if _, err := c.Ask(t.Context(), wwwExample); !errors.Is(err, ErrUnreadable) {
		t.Errorf("an empty body: error is %v", err)
	}
}

// A path may hold a token, and errors go to the log: none quotes it.
func TestErrorsQuoteNoPath(t *testing.T) {
	for _, scheme := range []Scheme{HTTPS, HTTP3} {
		s := serve(t, scheme)
		s.mu.Lock()
		s.http = func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/dns-query/s3cret" {
				t.Errorf("%s: asked at %s", scheme, r.URL.Path)
			}
			panic(http.ErrAbortHandler)
		}
		s.mu.Unlock()
		_, port, _ := net.SplitHostPort(s.addr[scheme].String())
		for _, tt := range []struct {
			name, port string
			roots      *x509.CertPool
		}{
			{"it breaks off", port, s.auth.pool},
			{"nobody knows its authority", port, x509.NewCertPool()},
			{"nobody is there", "9", s.auth.pool},
		} {
			spec, err := Parse(scheme.String() + "://dns.example:" + tt.port + "/dns-query/s3cret?ip=127.0.0.1")
			if err != nil {
				t.Fatal(err)
			}
			c := New(spec, Options{Roots: tt.roots})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err = c.Ask(ctx, wwwExample)
			cancel()
			if err == nil || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s, %s: error is %v, want one without the path", scheme, tt.name, err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestRFC8484_StatusAndMediaType(t *testing.T) {
	for _, tt := range []struct {
		name, want string
		answer     http.HandlerFunc
	}{
		{"an error", "HTTP status 503", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }},
		{"a redirect, which is not followed", "HTTP status 307", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://dns.example/elsewhere", http.StatusTemporaryRedirect)
		}},
		{"a page", `media type "text/html"`, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Write([]byte("<html>sign in</html>"))
		}},
		{"no end of bytes", "longer than 65535", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", mediaType)
			w.Write(make([]byte, 1<<17))
		}},
	} {
		for _, scheme := range []Scheme{HTTPS, HTTP3} {
			t.Run(scheme.String()+", "+tt.name, func(t *testing.T) {
				s := serve(t, scheme)
				s.mu.Lock()
				s.http = tt.answer
				s.mu.Unlock()
				_, err := s.client(scheme, "").Ask(t.Context(), wwwExample)
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("error is %v, want %q in it", err, tt.want)
				}
			})
		}
	}
}
