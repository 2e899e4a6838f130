//go:build perf

package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestPerfSecure measures the whole program with 10,000 connections of DoT that are
// idle, each by a handshake and a question: memory, the kernel's for its sockets,
// CPU, and how soon plain DNS is answered beside them. Then it measures resumed
// handshakes, each with a question, by the CPU that the server spends.
func TestPerfSecure(t *testing.T) {
	const (
		conns     = 10_000
		megabytes = 300
		idle      = 5 * time.Second
		resuming  = 5 * time.Second
	)
	var most syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &most); err != nil || most.Max < conns+200 {
		t.Fatalf("%d descriptors are allowed (%v), want %d: ulimit -Hn", most.Max, err, conns+200)
	}
	most.Cur = most.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &most); err != nil {
		t.Fatal(err)
	}
	cert, key := certificateFiles(t, "dns.example")
	h := startHome(t, startUpstream(t), "--config", writeConfig(t, fmt.Sprintf(
		"tls: {name: dns.example, certificate: %s, key: %s}\nlimits: {tls-idle: 1h}\n", cert, key)), "--dot", "127.0.0.1:0")
	_, port := h.secureAt("DoT")
	pool := x509.NewCertPool()
	text, err := os.ReadFile(cert)
	if err != nil || !pool.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	question, err := new(dns.Msg).SetQuestion("allowed.example.", dns.TypeA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	question = append([]byte{0, byte(len(question))}, question...)
	// connect asks by a new connection, from one of some hundred addresses.
	connect := func(i int, c *tls.Config) (net.Conn, error) {
		from := netip.AddrFrom4([4]byte{127, 0, 3, byte(i%100 + 1)})
		d := net.Dialer{Timeout: 10 * time.Second, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
		raw, err := d.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			return nil, err
		}
		raw.SetDeadline(time.Now().Add(10 * time.Second))
		secure, head := tls.Client(raw, c), make([]byte, 2)
		if _, err = secure.Write(question); err == nil {
			if _, err = io.ReadFull(secure, head); err == nil {
				_, err = io.ReadFull(secure, make([]byte, int(head[0])<<8|int(head[1])))
			}
		}
		return raw, err
	}
	pid, config := h.cmd.Process.Pid, &tls.Config{ServerName: "dns.example", RootCAs: pool}
	before, kernelBefore := residentKB(t, pid)>>10, socketMemoryKB(t)
	began, spent := time.Now(), cpuSeconds(t, pid)
	hold := make([]net.Conn, conns)
	defer func() {
		for _, c := range hold {
			if c != nil {
				c.Close()
			}
		}
	}()
	var next atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < conns; i = int(next.Add(1)) - 1 {
				if hold[i], err = connect(i, config); err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
			}
		})
	}
	all.Wait()
	spent = cpuSeconds(t, pid) - spent
	t.Logf("%d whole handshakes in %.1f s, %.0f µs of the server's CPU each", conns, time.Since(began).Seconds(), spent*1e6/conns)
	if n := h.metric("kinward_tls_connections"); n != conns {
		t.Errorf("%v connections are open, want %d", n, conns)
	}
	spent = cpuSeconds(t, pid)
	var took []time.Duration
	c := dns.Client{Timeout: time.Second}
	for tick := time.Now(); time.Since(tick) < idle; time.Sleep(5 * time.Millisecond) {
		_, rtt, err := c.Exchange(new(dns.Msg).SetQuestion("allowed.example.", dns.TypeA), h.dns)
		if err != nil {
			t.Fatal(err)
		}
		took = append(took, rtt)
	}
	slices.Sort(took)
	after := residentKB(t, pid) >> 10
	t.Logf("resident memory: %d MB before, %d MB with %d idle connections; the kernel's sockets, both ends: %d MB; CPU meanwhile: %.1f %% of a core; plain DNS beside them: p99 %v",
		before, after, conns, max(socketMemoryKB(t)-kernelBefore, 0)>>10, (cpuSeconds(t, pid)-spent)/idle.Seconds()*100, took[len(took)*99/100])
	if after > megabytes {
		t.Errorf("%d MB, want %d at most", after, megabytes)
	}

	for _, c := range hold {
		c.Close()
	}
	h.eventually("the idle connections to be gone", func() bool { return h.metric("kinward_tls_connections") == 0 })
	pin(t, pid, 0)
	resumed := h.metric(`kinward_tls_handshakes_total{outcome="resumed",transport="dot"}`)
	spent, began = cpuSeconds(t, pid), time.Now()
	for i := range 8 {
		all.Go(func() {
			mine := config.Clone()
			mine.ClientSessionCache = tls.NewLRUClientSessionCache(2)
			for time.Since(began) < resuming {
				c, err := connect(i, mine)
				if err != nil {
					t.Error(err)
					return
				}
				c.(*net.TCPConn).SetLinger(0) // no port is kept waiting
				c.Close()
			}
		})
	}
	all.Wait()
	resumed = h.metric(`kinward_tls_handshakes_total{outcome="resumed",transport="dot"}`) - resumed
	spent = cpuSeconds(t, pid) - spent
	t.Logf("%.0f resumed handshakes in %.1f s; each took %.0f µs of the server's CPU: %.0f a second a core", resumed, time.Since(began).Seconds(), spent*1e6/resumed, resumed/spent)
}

// socketMemoryKB returns what the kernel holds for TCP sockets (proc(5), sockstat).
func socketMemoryKB(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		t.Fatal(err)
	}
	pages, _ := strconv.Atoi(string(regexp.MustCompile(`TCP:.* mem (\d+)`).FindSubmatch(text)[1]))
	return pages * os.Getpagesize() >> 10
}
