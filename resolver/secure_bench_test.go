package resolver

import (
	"crypto/tls"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// BenchmarkResumedHandshake connects by DoT, resumes a session, asks and leaves.
// The client's part is in the time and in the CPU, so that a server alone does more.
func BenchmarkResumedHandshake(b *testing.B) {
	s := startSecure(b)
	c := s.client(serverName)
	c.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	m := msgFor("ok.example.", dns.TypeA)
	before := cpu()
	for b.Loop() {
		conn, err := tls.Dial("tcp", s.addr(DoT), c)
		if err != nil {
			b.Fatal(err)
		}
		exchange(b, conn, m)
		conn.NetConn().(*net.TCPConn).SetLinger(0) // no port is kept waiting
		conn.NetConn().Close()
	}
	b.ReportMetric(float64((cpu()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

// BenchmarkBesideSlowloris asks over UDP while 5,000 clients hold connections of
// DoT of which each has begun a handshake and does not go on.
func BenchmarkBesideSlowloris(b *testing.B) {
	const clients = 5000
	s := startSecure(b, func(c *Config) {
		c.Limits.TLSConnsPerClient, c.Limits.TLSHandshake = clients, time.Minute
	})
	var hold []net.Conn
	defer func() {
		for _, c := range hold {
			c.Close()
		}
	}()
	for range clients {
		c, err := net.Dial("tcp", s.addr(DoT))
		if err != nil {
			b.Fatal(err)
		}
		c.Write([]byte{22, 3, 1, 2, 0, 1}) // the head of a ClientHello
		hold = append(hold, c)
	}
	u := dial(b, s.Server, "udp", household)
	defer u.Close()
	u.SetDeadline(time.Now().Add(time.Minute))
	wire, buf := packed(msgFor("ok.example.", dns.TypeA)), make([]byte, 4096)
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		hold[i%clients].Write([]byte{0}) // a byte now and then
		began := time.Now()
		u.Write(wire)
		if _, err := u.Read(buf); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(float64(s.secure.open()), "connections")
}

// cpu returns what the process has used.
func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
