// Package router tests the recipes for routers that lie beside it: in network
// namespaces that play a home, its router and the internet.
package router

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

// The home: a device and Kinward behind a bridge of the router's, as Wi-Fi and LAN
// are, and the internet behind its other side.
const (
	kinward4, kinward6 = "192.168.1.10", "fd00:1234::10"
	kinwardMAC         = "02:00:5e:10:00:0a"
	router4, router6   = "192.168.1.1", "fd00:1234::1"
	other4, other6     = "203.0.113.53", "2001:db8:e::53" // somebody's DNS, DoT and DoH; all of it plays the internet
	doh4, doh6         = "192.0.2.8", "2001:db8:53::8"    // in doh-addresses.nft
)

// TestMain runs the tests as root: namespaces and firewall rules are root's to make.
// Whoever is not becomes it in a user namespace, where the system lets them.
func TestMain(m *testing.M) {
	if os.Getuid() == 0 {
		os.Exit(m.Run())
	}
	inside := append([]string{"--user", "--map-root-user", "--net", "--mount", "sh", "-c", `mount -t tmpfs none /run && exec "$@"`, "sh"}, os.Args...)
	cmd := exec.Command("unshare", inside...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		fmt.Fprintf(os.Stderr, "running as root of a user namespace: %v\nThese tests make network namespaces. Where they fail because this system lets nobody but root do that, run them as root (CI does): sudo go test ./deploy/router\n", err)
		os.Exit(1)
	}
}

// network is a set of namespaces.
type network struct {
	t      *testing.T
	prefix string
}

// newNetwork makes the namespaces, which the end of the test takes away.
func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{t, fmt.Sprintf("kw%d-", os.Getpid())}
	for _, name := range []string{"device", "kinward", "router", "world"} {
		n.run("ip", "netns", "add", n.prefix+name)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", n.prefix+name).Run() })
		n.in(name, "ip", "link", "set", "lo", "up")
		// Addresses are used at once, without a look whether somebody else has them.
		n.in(name, "sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.default.dad_transmits=0")
	}
	// Refusals are errors of ICMP, of which a kernel sends only so many a second.
	n.in("router", "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
	// Where the kernel lets the firewall see what a bridge passes on, it would mend
	// answers that go past the router; routers do not count on that.
	n.in("router", "sh", "-c", "for f in /proc/sys/net/bridge/bridge-nf-call-ip*tables; do [ ! -e $f ] || echo 0 > $f; done")
	n.in("router", "ip", "link", "add", "br-lan", "type", "bridge")
	n.join("device", "eth0", "lan1", "", "192.168.1.31/24", "fd00:1234::31/64")
	n.join("kinward", "eth0", "lan2", kinwardMAC, kinward4+"/24", kinward6+"/64")
	n.join("world", "eth0", "wan", "", "203.0.113.1/24", "2001:db8:f::1/64")
	for _, port := range []string{"lan1", "lan2"} {
		n.in("router", "ip", "link", "set", port, "master", "br-lan")
	}
	n.address("router", "br-lan", router4+"/24", router6+"/64")
	n.address("router", "wan", "203.0.113.2/24", "2001:db8:f::2/64")
	for _, home := range []string{"device", "kinward"} {
		n.in(home, "ip", "route", "add", "default", "via", router4)
		n.in(home, "ip", "-6", "route", "add", "default", "via", router6)
	}
	n.in("router", "ip", "route", "add", "default", "via", "203.0.113.1")
	n.in("router", "ip", "-6", "route", "add", "default", "via", "2001:db8:f::1")
	n.address("world", "lo", other4+"/32", other6+"/128", doh4+"/32", doh6+"/128")
	n.in("world", "ip", "route", "add", "192.168.1.0/24", "via", "203.0.113.2")
	n.in("world", "ip", "-6", "route", "add", "fd00:1234::/64", "via", "2001:db8:f::2")
	return n
}

func (n *network) run(name string, args ...string) string {
	n.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// in runs a command in a namespace.
func (n *network) in(space string, args ...string) string {
	n.t.Helper()
	return n.run("ip", append([]string{"netns", "exec", n.prefix + space}, args...)...)
}

// join lays a cable from a namespace to a port of the router.
func (n *network) join(space, dev, port, mac string, addrs ...string) {
	n.t.Helper()
	n.run("ip", "link", "add", dev, "netns", n.prefix+space, "type", "veth", "peer", "name", port, "netns", n.prefix+"router")
	if mac != "" {
		n.in(space, "ip", "link", "set", dev, "address", mac)
	}
	n.in("router", "ip", "link", "set", port, "up")
	n.address(space, dev, addrs...)
}

func (n *network) address(space, dev string, addrs ...string) {
	n.t.Helper()
	n.in(space, "ip", "link", "set", dev, "up")
	for _, a := range addrs {
		if strings.Contains(a, ":") {
			n.in(space, "ip", "addr", "add", a, "dev", dev, "nodad")
		} else {
			n.in(space, "ip", "addr", "add", a, "dev", dev)
		}
	}
}

// within runs f on a thread that is in a namespace; sockets that it makes stay
// there.
func (n *network) within(space string, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		ns, err := os.Open(filepath.Join("/run/netns", n.prefix+space))
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			ns.Close()
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// serve answers everything that comes to a port with a word.
func (n *network) serve(space, word string, port int) {
	n.t.Helper()
	at := fmt.Sprintf("[::]:%d", port) // IPv4, too
	err := n.within(space, func() error {
		l, err := net.Listen("tcp", at)
		if err != nil {
			return err
		}
		n.t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				io.WriteString(c, word)
				c.Close()
			}
		}()
		for _, udp := range []struct{ network, at string }{{"udp4", "0.0.0.0"}, {"udp6", "[::]"}} {
			// An answer must leave from the address that was asked, so one socket an address.
			for _, a := range n.addresses(space, udp.network) {
				c, err := net.ListenPacket(udp.network, net.JoinHostPort(a, fmt.Sprint(port)))
				if err != nil {
					return err
				}
				n.t.Cleanup(func() { c.Close() })
				go func() {
					var b [64]byte
					for {
						_, from, err := c.ReadFrom(b[:])
						if err != nil {
							return
						}
						c.WriteTo([]byte(word), from)
					}
				}()
			}
		}
		return nil
	})
	if err != nil {
		n.t.Fatalf("serving port %d in %s: %v", port, space, err)
	}
}

func (n *network) addresses(space, network string) []string {
	all := map[string][]string{
		"kinward": {kinward4, kinward6}, "world": {other4, other6, doh4, doh6}, "router": {router4, router6},
	}[space]
	var out []string
	for _, a := range all {
		if strings.Contains(a, ":") == (network == "udp6") {
			out = append(out, a)
		}
	}
	return out
}

// ask asks an address from a namespace, and returns the word of who answers, or
// "refused".
func (n *network) ask(space, network, addr string, port int) string {
	word := ""
	err := n.within(space, func() error {
		c, err := net.DialTimeout(network, net.JoinHostPort(addr, fmt.Sprint(port)), 5*time.Second)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		if network == "udp" {
			if _, err := io.WriteString(c, "?"); err != nil {
				return err
			}
		}
		b := make([]byte, 64)
		read, err := c.Read(b)
		word = string(b[:read])
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return err
	})
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case err != nil:
		return err.Error()
	}
	return word
}

// TestRecipe: other DNS does not leave the home, whatever a device asks and by
// which family of addresses; Kinward, and all that is no DNS, do.
func TestRecipe(t *testing.T) {
	n := newNetwork(t)
	for _, port := range []int{53, 443, 853} {
		n.serve("kinward", "kinward", port)
		n.serve("world", "other", port)
	}
	n.serve("router", "router", 53)
	type row struct {
		from, network, to string
		port              int
		before, want      string
	}
	var rows []row
	for _, tt := range []struct{ kinward, router, other, doh string }{{kinward4, router4, other4, doh4}, {kinward6, router6, other6, doh6}} {
		for _, network := range []string{"udp", "tcp"} {
			rows = append(rows,
				row{"device", network, tt.other, 53, "other", "kinward"},
				row{"device", network, tt.doh, 53, "other", "kinward"},
				row{"device", network, tt.kinward, 53, "kinward", "kinward"},
				row{"device", network, tt.router, 53, "router", "router"}, // a dnsmasq that forwards to Kinward
				row{"device", network, tt.other, 853, "other", "refused"},
				row{"device", network, tt.kinward, 853, "kinward", "kinward"},
				row{"device", network, tt.doh, 443, "other", "refused"},
				row{"device", network, tt.kinward, 443, "kinward", "kinward"},
				row{"device", network, tt.other, 443, "other", "other"}, // everything else on the web
				row{"kinward", network, tt.other, 53, "other", "other"}, // its upstreams
				row{"kinward", network, tt.other, 853, "other", "other"},
				row{"kinward", network, tt.doh, 443, "other", "other"},
				row{"router", network, tt.other, 53, "other", "other"}, // the router's own
			)
		}
	}
	look := func(when string, want func(row) string) {
		t.Helper()
		for _, r := range rows {
			if got := n.ask(r.from, r.network, r.to, r.port); got != want(r) {
				t.Errorf("%s: %s asks %s %s port %d: %s, want %s", when, r.from, r.network, r.to, r.port, got, want(r))
			}
		}
	}
	look("before", func(r row) string { return r.before }) // the network itself works
	if t.Failed() {
		t.FailNow()
	}
	load := func() {
		t.Helper()
		n.in("router", "nft", "-f", "kinward.nft")
		n.in("router", "nft", "-f", "doh-addresses.nft")
	}
	load()
	look("with the recipe", func(r row) string { return r.want })
	load() // again, as after an edit: it replaces itself
	look("loaded again", func(r row) string { return r.want })
	if got := n.in("router", "nft", "list", "ruleset"); strings.Count(got, "table ") != 1 || !strings.Contains(got, "198.51.100.0/28") {
		t.Errorf("loaded twice, the rules are\n%s", got)
	}
	n.in("router", "nft", "delete", "table", "inet", "kinward")
	look("taken out", func(r row) string { return r.before })
}

// TestDnsmasq: dnsmasq reads the sample, and does what it promises: it forwards
// with the device's hardware address and the home's secret, every time.
func TestDnsmasq(t *testing.T) {
	out, err := exec.Command("dnsmasq", "--test", "--conf-file=dnsmasq.conf").CombinedOutput()
	if err != nil {
		t.Fatalf("dnsmasq --test: %v\n%s", err, out)
	}
	n := newNetwork(t)
	asked := make(chan *dns.Msg, 16)
	err = n.within("kinward", func() error {
		c, err := net.ListenPacket("udp4", kinward4+":53")
		if err != nil {
			return err
		}
		t.Cleanup(func() { c.Close() })
		go func() {
			for {
				b := make([]byte, 1500)
				size, from, err := c.ReadFrom(b)
				if err != nil {
					return
				}
				q := new(dns.Msg)
				if q.Unpack(b[:size]) != nil {
					continue
				}
				asked <- q
				reply := new(dns.Msg).SetReply(q)
				rr, err := dns.NewRR("cached.example. 3600 IN A 192.0.2.1")
				if err != nil {
					continue
				}
				reply.Answer = []dns.RR{rr}
				if wire, err := reply.Pack(); err == nil {
					c.WriteTo(wire, from)
				}
			}
		}()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", n.prefix+"router", "dnsmasq", "--no-daemon", "--conf-file=dnsmasq.conf",
		"--no-hosts", "--pid-file=", "--bind-interfaces", "--listen-address="+router4)
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	log, ready := "", false
	for lines := bufio.NewScanner(said); !ready && lines.Scan(); {
		log += lines.Text() + "\n"
		ready = strings.Contains(lines.Text(), ": started,")
	}
	if !ready {
		t.Fatalf("dnsmasq does not start:\n%s", log)
	}
	go io.Copy(io.Discard, said)
	mac := n.in("device", "cat", "/sys/class/net/eth0/address")
	hardware, err := net.ParseMAC(strings.TrimSpace(mac))
	if err != nil {
		t.Fatal(err)
	}
	for round := range 2 { // the second would come from a cache
		n.in("device", "dig", "+tries=5", "+timeout=1", "@"+router4, "cached.example", "A")
		select {
		case q := <-asked:
			got := map[uint16]string{}
			if opt := q.IsEdns0(); opt != nil {
				for _, o := range opt.Option {
					if local, ok := o.(*dns.EDNS0_LOCAL); ok {
						got[local.Code] = string(local.Data)
					}
				}
			}
			if got[65001] != string(hardware) || got[65074] != "CHANGE-ME" {
				t.Errorf("question %d tells the device %q and the home %q, want %q and CHANGE-ME", round+1, got[65001], got[65074], string(hardware))
			}
		default:
			t.Errorf("question %d did not reach Kinward", round+1)
		}
		for len(asked) > 0 {
			<-asked
		}
	}
}
