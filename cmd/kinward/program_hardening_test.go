package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// startAny starts an upstream that knows an address for every name. It works on
// bytes, so that it is quick enough under the race detector too.
func startAny(t *testing.T) *dnsServer {
	t.Helper()
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	pc.SetReadBuffer(1 << 20)
	var loops sync.WaitGroup
	for range 2 {
		loops.Go(func() {
			buf := make([]byte, 4096)
			for {
				n, from, err := pc.ReadFromUDPAddrPort(buf[:512])
				if err != nil {
					return
				}
				end := 12
				for end < n && buf[end] != 0 {
					end += int(buf[end]) + 1
				}
				if end += 5; end > n {
					continue
				}
				// The header and the question, an A record, and nothing else.
				buf[2], buf[3] = 0x81, 0x80
				copy(buf[6:12], []byte{0, 1, 0, 0, 0, 0})
				end += copy(buf[end:], "\xc0\x0c\x00\x01\x00\x01\x00\x00\x0e\x10\x00\x04\xc0\x00\x02\x01")
				pc.WriteToUDPAddrPort(buf[:end], from)
			}
		})
	}
	t.Cleanup(func() { pc.Close(); loops.Wait() })
	return &dnsServer{addr: pc.LocalAddr().String()}
}

// steady asks as a home would, rate times a second, until stop is closed: names
// that are cached, new and blocked in turn. It returns how many were asked and
// how many had their answer, asking a second time after two seconds as stub
// resolvers do.
func steady(h *home, network string, rate int, stop <-chan struct{}) (asked, answered int) {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	var wg sync.WaitGroup
	var good atomic.Int64
	for {
		select {
		case <-stop:
			wg.Wait()
			return asked, int(good.Load())
		case <-tick.C:
		}
		n := asked
		asked++
		wg.Go(func() {
			name, want := "often.example.", dns.RcodeSuccess
			switch n % 3 {
			case 1:
				name = fmt.Sprintf("once%d.%s.example.", n, network)
			case 2:
				name, want = "omegle.com.", dns.RcodeNameError
			}
			c := dns.Client{Net: network, Timeout: 2 * time.Second}
			for range 2 { // resolv.conf(5): attempts
				got, _, err := c.Exchange(new(dns.Msg).SetQuestion(name, dns.TypeA), h.dns)
				if err == nil && got.Rcode == want {
					good.Add(1)
					return
				}
			}
		})
	}
}

func wantSteady(t *testing.T, what string, asked, answered int) {
	t.Helper()
	t.Logf("%s: %d of %d answered", what, answered, asked)
	if asked < 20 || answered*100 < asked*99 {
		t.Errorf("%s: %d of %d answered, want 99 in a hundred", what, answered, asked)
	}
}

// metric reads one series' value.
func (h *home) metric(series string) float64 {
	h.t.Helper()
	_, body := h.get("/metrics")
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(series) + ` (\S+)$`).FindStringSubmatch(body)
	if m == nil {
		h.t.Fatalf("there is no series %s", series)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		h.t.Fatal(err)
	}
	return v
}

// memory returns the megabytes that the program has in use.
func (h *home) memory() int {
	h.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.cmd.Process.Pid))
	if err != nil {
		h.t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindStringSubmatch(string(text))
	kb, _ := strconv.Atoi(m[1])
	return kb >> 10
}

// TestProgramRandomNames floods the program with 5,000 names a second that
// nobody asked before, from addresses that no rate limit holds back, beside a
// client that goes on as before.
func TestProgramRandomNames(t *testing.T) {
	const seconds, rate, most = 4, 5000, 8 << 20
	h := startHome(t, startAny(t), "--config", writeConfig(t, "cache:\n  megabytes: 8\n"))
	before := h.memory()
	stop := make(chan struct{})
	var flood, client sync.WaitGroup
	var sent atomic.Int64
	for c := range 4 {
		flood.Go(func() {
			d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1, byte(c + 1)}), 0))}
			conn, err := d.Dial("udp", h.dns)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			const every = 4 * time.Millisecond // 5 questions each
			tick := time.NewTicker(every)
			defer tick.Stop()
			wire, err := new(dns.Msg).SetQuestion("a000000.victim.example.", dns.TypeA).Pack()
			if err != nil {
				t.Error(err)
				return
			}
			begun := time.Now()
			for n := 0; ; {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				for due := int(time.Since(begun).Seconds() * rate / 4); n < due; n++ {
					wire[0], wire[1] = byte(n>>8), byte(n)
					copy(wire[13:], fmt.Sprintf("%c%06d", 'a'+c, n))
					conn.Write(wire)
					sent.Add(1)
				}
			}
		})
	}
	var asked, answered int
	client.Go(func() { asked, answered = steady(h, "udp", 50, stop) })
	time.AfterFunc(seconds*time.Second, func() { close(stop) })
	flood.Wait()
	client.Wait()
	if n := sent.Load(); n < seconds*rate*9/10 {
		t.Errorf("the flood was %d names in %d s, want %d a second", n, seconds, rate)
	}
	wantSteady(t, "under random names", asked, answered)
	if b := h.metric("kinward_cache_bytes"); b > most {
		t.Errorf("the cache takes %v bytes, want at most %d", b, most)
	}
	after := h.memory()
	t.Logf("%d names; memory %d MB before, %d MB after", sent.Load(), before, after)
	if after > before+80 { // 8 MB of cache, twice that for the collector, and questions in flight
		t.Errorf("memory grew from %d MB to %d MB", before, after)
	}
}

// TestProgramIdleConnections holds 2,000 idle TCP connections, from as many
// clients as it takes to have them all, beside clients that go on over UDP and TCP.
func TestProgramIdleConnections(t *testing.T) {
	h := startHome(t, startAny(t))
	before := h.memory()
	var idle []net.Conn
	defer func() {
		for _, c := range idle {
			c.Close()
		}
	}()
	for i := range 2000 {
		d := net.Dialer{Timeout: 5 * time.Second, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 2, byte(i/100 + 1)}), 0))}
		c, err := d.Dial("tcp", h.dns)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		idle = append(idle, c)
	}
	stop := make(chan struct{})
	time.AfterFunc(3*time.Second, func() { close(stop) })
	var clients sync.WaitGroup
	for _, network := range []string{"udp", "tcp"} {
		clients.Go(func() {
			asked, answered := steady(h, network, 50, stop)
			wantSteady(t, "beside idle connections, over "+network, asked, answered)
		})
	}
	clients.Wait()
	if n := h.metric("kinward_tcp_connections"); n > 1024 || n < 500 {
		t.Errorf("%v connections are open, want up to 1,024", n)
	}
	if n := h.metric("kinward_tcp_connections_evicted_total"); n < 900 {
		t.Errorf("%v idle connections made room, want some 976", n)
	}
	after := h.memory()
	t.Logf("memory %d MB before, %d MB after", before, after)
	if after > before+64 {
		t.Errorf("memory grew from %d MB to %d MB", before, after)
	}
}

// TestProgramOutOfDescriptors: a program that has no descriptor left answers on,
// and takes connections again when it has.
func TestProgramOutOfDescriptors(t *testing.T) {
	u := startUpstream(t)
	h := &home{t: t, data: t.TempDir(), args: []string{"--upstream", "udp://" + u.addr}, descriptors: 40}
	h.start()
	wantAll(t, "before", h.tool("dig", "+tcp", "omegle.com"), "NXDOMAIN")
	var held []net.Conn
	for range 100 { // more than it can take; the others wait in the kernel
		c, err := net.Dial("tcp", h.dns)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		held = append(held, c)
	}
	for range 50 {
		c := dns.Client{Timeout: 2 * time.Second}
		got, _, err := c.Exchange(new(dns.Msg).SetQuestion("omegle.com.", dns.TypeA), h.dns)
		if err != nil || got.Rcode != dns.RcodeNameError {
			t.Fatalf("without a descriptor: %v, %v", got, err)
		}
	}
	for _, c := range held {
		c.Close()
	}
	wantAll(t, "after, over TCP", h.tool("dig", "+tcp", "omegle.com"), "NXDOMAIN")
	wantAll(t, "after, from the upstream", h.tool("dig", "allowed.example"), "192.0.2.1")
	if n := h.metric("kinward_accept_errors_total"); n == 0 {
		t.Error("the program never ran out of descriptors, so this shows nothing")
	}
	if err := h.stop(os.Interrupt); err != nil {
		t.Errorf("serve ended with %v\n%s", err, h.log)
	}
}

// TestProgramRateLimit: above the limit a client is sent to TCP, as real ones
// then do by themselves, and is answered there.
func TestProgramRateLimit(t *testing.T) {
	h := startHome(t, startUpstream(t), "--config", writeConfig(t, "limits: {rate: 1, rate-burst: 10, rate-slip: 1, rate-exempt: []}\n"))
	c := dns.Client{Timeout: 2 * time.Second}
	truncated := 0
	for range 30 {
		got, _, err := c.Exchange(new(dns.Msg).SetQuestion("omegle.com.", dns.TypeA), h.dns)
		if err != nil {
			t.Fatal(err)
		}
		if got.Truncated {
			truncated++
		}
	}
	if truncated < 15 {
		t.Errorf("%d of 30 answers sent the client to TCP, want some 20", truncated)
	}
	wantAll(t, "dig above the limit", h.tool("dig", "+nocookie", "omegle.com"), "Truncated, retrying in TCP mode", "NXDOMAIN")
	if n := h.metric(`kinward_rate_limited_total{outcome="slipped"}`); n < 16 {
		t.Errorf("slipped %v, want those and dig's", n)
	}
}

// TestProgramNamesOfTheHome: records, leases, what guardians call a device, and
// what is kept back.
func TestProgramNamesOfTheHome(t *testing.T) {
	leases := t.TempDir() + "/leases"
	if err := os.WriteFile(leases, []byte("0 aa:bb:cc:dd:ee:ff 192.168.1.30 tv *\n0 aa:bb:cc:dd:ee:fe 192.168.1.31 wpad *\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h := startHome(t, startUpstream(t), "--config", writeConfig(t, strings.Join([]string{
		"records: [nas.home.arpa A 192.168.1.5, www.home.arpa CNAME allowed.example.]",
		"leases: {file: " + leases + "}",
	}, "\n")+"\n"))
	wantAll(t, "a record", h.tool("dig", "nas.home.arpa"), "192.168.1.5")
	wantAll(t, "its reverse", h.tool("dig", "-x", "192.168.1.5"), "nas.home.arpa.")
	wantAll(t, "a CNAME that leads out", h.tool("dig", "www.home.arpa"), "CNAME\tallowed.example.", "192.0.2.1")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) { // the first look is in a goroutine
		if h.metric("kinward_lease_names") == 1 || time.Now().After(deadline) {
			break
		}
	}
	wantAll(t, "a lease", h.tool("dig", "tv.home.arpa"), "192.168.1.30")
	wantAll(t, "a lease that lies", h.tool("dig", "wpad.home.arpa"), "NXDOMAIN")
	h.must("devices", "exempt", "192.168.1.20", "--name", "Emma's Tablet")
	wantAll(t, "a device", h.tool("dig", "emmas-tablet.home.arpa"), "192.168.1.20")
	wantAll(t, "its reverse", h.tool("dig", "-x", "192.168.1.20"), "emmas-tablet.home.arpa.")
	if n := h.metric("kinward_lease_names_refused"); n != 1 {
		t.Errorf("kinward_lease_names_refused = %v, want 1", n)
	}
	wantAll(t, "a cookie", h.tool("dig", "nas.home.arpa"), "COOKIE: ", "(good)")
}
