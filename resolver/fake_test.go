package resolver

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/dns"
)

// sentTo is a query that a fake upstream received.
type sentTo struct {
	network string
	from    netip.AddrPort
	wire    []byte
	msg     *dns.Msg
}

// behaviour turns the right answer into what a fake upstream sends: any number
// of messages.
type behaviour func(network string, req, answer *dns.Msg) [][]byte

// fake is an upstream that answers from a table of records, over UDP and TCP on
// one port.
type fake struct {
	addr netip.AddrPort
	udp  net.PacketConn
	tcp  net.Listener
	wg   sync.WaitGroup

	mu     sync.Mutex
	zone   []dns.RR
	behave behaviour
	seen   []sentTo
	conns  map[net.Conn]struct{}
}

// newFake starts a fake upstream with records in zone-file syntax. A negative
// answer carries the zone's SOA record whose owner is above the asked name.
func newFake(t testing.TB, zone ...string) *fake {
	t.Helper()
	f := &fake{conns: map[net.Conn]struct{}{}}
	f.set(t, zone...)
	var err error
	for range 20 { // the port of one may be taken for the other
		if f.udp, err = net.ListenPacket("udp4", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if f.tcp, err = net.Listen("tcp4", f.udp.LocalAddr().String()); err == nil {
			break
		}
		f.udp.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	f.addr = f.udp.LocalAddr().(*net.UDPAddr).AddrPort()
	f.wg.Go(f.serveUDP)
	f.wg.Go(f.serveTCP)
	t.Cleanup(f.stop)
	return f
}

func (f *fake) stop() {
	f.udp.Close()
	f.tcp.Close()
	f.mu.Lock()
	for c := range f.conns {
		c.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

// set replaces the records.
func (f *fake) set(t testing.TB, zone ...string) {
	t.Helper()
	var rrs []dns.RR
	for _, line := range zone {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		rrs = append(rrs, rr)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.zone = rrs
}

// does changes how f behaves; nil is well.
func (f *fake) does(b behaviour) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.behave = b
}

// queries returns what was received since it was last called, loop probes left
// out: those come when they like.
func (f *fake) queries() []sentTo {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := slices.DeleteFunc(f.seen, func(s sentTo) bool {
		return strings.Contains(s.msg.Question[0].Name, ".loop-probe.kinward.")
	})
	f.seen = nil
	return out
}

func (f *fake) serveUDP() {
	buf := make([]byte, 65536)
	for {
		n, from, err := f.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		wire := append([]byte(nil), buf[:n]...)
		f.wg.Go(func() {
			for _, b := range f.reply("udp", from.(*net.UDPAddr).AddrPort(), wire) {
				f.udp.WriteTo(b, from)
			}
		})
	}
}

func (f *fake) serveTCP() {
	for {
		c, err := f.tcp.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns[c] = struct{}{}
		f.mu.Unlock()
		f.wg.Go(func() {
			defer func() {
				c.Close()
				f.mu.Lock()
				delete(f.conns, c)
				f.mu.Unlock()
			}()
			for {
				var size [2]byte
				if _, err := io.ReadFull(c, size[:]); err != nil {
					return
				}
				wire := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(c, wire); err != nil {
					return
				}
				for _, b := range f.reply("tcp", c.RemoteAddr().(*net.TCPAddr).AddrPort(), wire) {
					c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
				}
			}
		})
	}
}

func (f *fake) reply(network string, from netip.AddrPort, wire []byte) [][]byte {
	req := new(dns.Msg)
	if err := req.Unpack(wire); err != nil {
		return nil
	}
	f.mu.Lock()
	ans, b := f.answer(req), f.behave // which echoes the name as it came
	req = req.Copy()
	req.Question[0].Name = strings.ToLower(req.Question[0].Name)
	f.seen = append(f.seen, sentTo{network, from, wire, req})
	f.mu.Unlock()
	if b != nil {
		return b(network, req, ans)
	}
	return [][]byte{packed(ans)}
}

// answer looks the question up in the table and follows CNAMEs.
func (f *fake) answer(req *dns.Msg) *dns.Msg {
	ans := new(dns.Msg).SetReply(req)
	ans.RecursionAvailable = true
	ans.Compress = true
	if req.IsEdns0() != nil {
		ans.SetEdns0(1232, req.IsEdns0().Do())
	}
	name, q := strings.ToLower(req.Question[0].Name), req.Question[0]
	exists := false
	for hop := 0; hop < 10; hop++ {
		next := ""
		for _, rr := range f.zone {
			if strings.ToLower(rr.Header().Name) != name || rr.Header().Rrtype == dns.TypeSOA && q.Qtype != dns.TypeSOA {
				continue
			}
			exists = true
			switch c, isCNAME := rr.(*dns.CNAME); {
			case rr.Header().Rrtype == q.Qtype && rr.Header().Class == q.Qclass:
				ans.Answer = append(ans.Answer, dns.Copy(rr))
			case isCNAME:
				ans.Answer = append(ans.Answer, dns.Copy(rr))
				next = strings.ToLower(c.Target)
			}
		}
		if next == "" {
			break
		}
		name, exists = next, false
	}
	if !exists {
		ans.Rcode = dns.RcodeNameError
	}
	if n := len(ans.Answer); n == 0 || ans.Answer[n-1].Header().Rrtype != q.Qtype {
		for _, rr := range f.zone {
			if rr.Header().Rrtype == dns.TypeSOA && dns.IsSubDomain(rr.Header().Name, name) {
				ans.Ns = append(ans.Ns, dns.Copy(rr))
			}
		}
	}
	return ans
}

func packed(m *dns.Msg) []byte {
	b, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

// Behaviours.

func drops(string, *dns.Msg, *dns.Msg) [][]byte { return nil }

func says(rcode int) behaviour {
	return func(_ string, _, a *dns.Msg) [][]byte {
		a.Rcode, a.Answer, a.Ns = rcode, nil, nil
		return [][]byte{packed(a)}
	}
}

// truncates cuts answers over UDP off.
func truncates(network string, _, a *dns.Msg) [][]byte {
	if network == "udp" {
		a.Truncated, a.Answer = true, nil
	}
	return [][]byte{packed(a)}
}

// forges sends wrong answers before the right one.
func forges(_ string, _, a *dns.Msg) [][]byte {
	wrongID := a.Copy()
	wrongID.Id++
	wrongName := a.Copy()
	wrongName.Question[0].Name = "forged.example."
	wrongType := a.Copy()
	wrongType.Question[0].Qtype = dns.TypeMX
	query := a.Copy()
	query.Response = false
	empty := a.Copy()
	empty.Question = nil
	out := [][]byte{{}, {1, 2, 3}}
	for _, m := range []*dns.Msg{wrongID, wrongName, wrongType, query, empty} {
		m.Answer = []dns.RR{&dns.A{
			Hdr: dns.RR_Header{Name: "forged.example.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 60},
			A:   net.IPv4(6, 6, 6, 6),
		}}
		out = append(out, packed(m))
	}
	return append(out, packed(a))
}
