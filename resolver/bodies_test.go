package resolver

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Who sends the heads of requests alone is refused more of them, and keeps nobody
// else from asking; once the bodies come all are answered.
func TestBodiesThatDoNotCome(t *testing.T) {
	s := startSecure(t)
	from := func(addr string) *http.Client {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
		tr := &http.Transport{TLSClientConfig: s.client(serverName), ForceAttemptHTTP2: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return d.DialContext(ctx, network, s.addr(DoH))
		}}
		t.Cleanup(tr.CloseIdleConnections)
		return &http.Client{Transport: tr, Timeout: 30 * time.Second}
	}
	wire := packed(msgFor("ok.example.", dns.TypeA, zeroID))
	ask := func(c *http.Client, method string) (status int, err error) {
		url, body := "https://"+serverName+"/dns-query", io.Reader(nil)
		if method == http.MethodGet {
			url += "?dns=" + base64.RawURLEncoding.EncodeToString(wire)
		} else {
			body = bytes.NewReader(wire)
		}
		r, err := http.NewRequest(method, url, body)
		if err != nil {
			return 0, err
		}
		r.Header.Set("Content-Type", dnsMessage)
		a, err := c.Do(r)
		if err != nil {
			return 0, err
		}
		a.Body.Close()
		return a.StatusCode, nil
	}
	want := func(what string, c *http.Client, method string, status int) {
		t.Helper()
		if got, err := ask(c, method); got != status || err != nil {
			t.Errorf("%s: %d, %v; want %d", what, got, err, status)
		}
	}

	slow, other := from("127.0.0.1"), from("127.0.0.2")
	want("the first", slow, http.MethodGet, http.StatusOK)
	const onOne = 64 // connection, which has room for more
	var waiting sync.WaitGroup
	bodies := make([]*io.PipeWriter, maxBodiesPerClient)
	answers := make(chan string, len(bodies))
	clients := make([]*http.Client, len(bodies)/onOne)
	for i := range bodies {
		c := clients[i/onOne]
		if c == nil {
			c = from("127.0.0.1")
			clients[i/onOne] = c
			want("the first of a connection", c, http.MethodGet, http.StatusOK)
		}
		var body *io.PipeReader
		body, bodies[i] = io.Pipe()
		waiting.Go(func() {
			r, err := c.Post("https://"+serverName+"/dns-query", dnsMessage, body)
			if err != nil {
				answers <- err.Error()
				return
			}
			r.Body.Close()
			answers <- r.Status
		})
	}
	waits := func() int { s.bodies.mu.Lock(); defer s.bodies.mu.Unlock(); return s.bodies.all }
	for end := time.Now().Add(20 * time.Second); waits() < maxBodiesPerClient; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bodies are waited for, want %d", waits(), maxBodiesPerClient)
		}
	}
	want("one more", slow, http.MethodPost, http.StatusTooManyRequests)
	want("one without a body", slow, http.MethodGet, http.StatusOK)
	want("another client's", other, http.MethodPost, http.StatusOK)
	for _, b := range bodies {
		go func() { b.Write(wire); b.Close() }()
	}
	waiting.Wait()
	close(answers)
	for a := range answers {
		if a != "200 OK" {
			t.Fatalf("one that was waited for: %s", a)
		}
	}
	if n := waits(); n != 0 || len(s.bodies.of) != 0 {
		t.Errorf("%d bodies of %d clients are waited for at the end", n, len(s.bodies.of))
	}
}

// A connection whose request's body does not come makes room, as one does that is idle.
func TestWhoIsWaitedForMakesRoom(t *testing.T) {
	s := startSecure(t, func(c *Config) { c.Limits.TLSConnsPerClient = 2 })
	head := fmt.Sprintf("POST /dns-query HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: 40\r\n\r\n", serverName, dnsMessage)
	for range 2 {
		c, err := tls.Dial("tcp", s.addr(DoH), s.client(serverName, "http/1.1"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, head); err != nil {
			t.Fatal(err)
		}
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		s.bodies.mu.Lock()
		n := s.bodies.all
		s.bodies.mu.Unlock()
		if n == 2 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d bodies are waited for, want 2", n)
		}
	}
	post(t, s.httpClients(serverName)["HTTP/2.0"], "https://"+serverName+"/dns-query", msgFor("ok.example.", dns.TypeA, zeroID))
}
