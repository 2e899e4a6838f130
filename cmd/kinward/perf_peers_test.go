//go:build perf

package main

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"kinward/policy"
	"kinward/store"
)

// contender is a server under measurement. All of them run at once, on one core;
// those that are not asked cost nothing.
type contender struct {
	name string
	port string
	pid  int
	only string // the loads it is asked, "" for all

	micros map[string][]float64 // by load
}

// hot is how many names are asked again and again, blocked or not.
const hot = 10_000

// peerLoads are the questions, of a list of that many names.
var peerLoads = []struct {
	name  string
	query func(i, names int) string
}{
	{"cached", func(i, _ int) string { return hotName(i) }},
	{"blocked", hotListed},
	{"mix", func(i, names int) string { // 10 % blocked, 80 % cached, 10 % missed
		switch i % 10 {
		case 0:
			return hotListed(i/10, names)
		case 5:
			return fmt.Sprintf("miss%d.nothing.example", i)
		}
		return hotName(i)
	}},
}

func hotName(i int) string { return fmt.Sprintf("host%d.allowed.example", i%hot) }

func hotListed(i, names int) string { return listedName(i % hot * (names / hot)) }

func listedName(i int) string {
	return fmt.Sprintf("site-%x.listed%d.com", uint32(i)*2654435761, i%977)
}

// TestPerfPeers measures the CPU that a question costs Kinward, with a family, a
// schedule and the record on, beside an answerer in C that decides nothing and
// the resolvers that the machine has, in one run: a round asks each in turn, so
// that what else the machine does meets all alike. Everything is on loopback.
func TestPerfPeers(t *testing.T) {
	names, families := envNumber(t, "NAMES", 1_000_000), envNumber(t, "FAMILIES", 1)
	rounds, seconds := envNumber(t, "COUNT", 5), envNumber(t, "SECONDS", 2)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { // some give up their rights
		t.Fatal(err)
	}
	describeMachine(t)
	pin(t, os.Getpid(), 1) // what asks, away from what answers

	answerer := filepath.Join(dir, "answerer")
	if out, err := exec.Command("cc", "-O2", "-o", answerer, "testdata/answerer.c").CombinedOutput(); err != nil {
		t.Fatalf("building the answerer: %v\n%s", err, out)
	}
	upstream := &contender{name: "upstream", port: bothFree(t)}
	upstream.start(t, dir, 1, answerer, upstream.port)

	list := filepath.Join(dir, "names.txt")
	writeLines(t, list, names, listedName)
	var parts []string // of a size that is fetched
	const most = 2_500_000
	for from := 0; from < names; from += most {
		part := filepath.Join(dir, fmt.Sprintf("names-%d.txt", from))
		writeLines(t, part, min(most, names-from), func(i int) string { return listedName(from + i) })
		parts = append(parts, part)
	}
	queries := map[string]string{}
	for _, l := range peerLoads {
		queries[l.name] = filepath.Join(dir, l.name)
		writeLines(t, queries[l.name], 5*hot, func(i int) string { return l.query(i, names) + " A" })
	}

	c := &contender{name: "answerer in C", port: bothFree(t)}
	c.start(t, dir, 0, answerer, c.port)
	all := []*contender{c}
	all = append(all, kinwardContender(t, "kinward", parts, upstream.port, families, ""))
	all = append(all, kinwardContender(t, "kinward, no record", parts, upstream.port, 1, "blocked mix"))
	if families != 1 {
		all = append(all, kinwardContender(t, "kinward, 1 family", parts, upstream.port, 1, ""))
	}
	if os.Getenv("ALONE") == "" {
		all = append(all, peerContenders(t, dir, list, names, upstream.port)...)
	}

	for _, p := range all {
		p.micros = map[string][]float64{}
		for _, l := range peerLoads {
			askAt(t, p.port, queries[l.name], 1) // warm
		}
		t.Logf("%-22s resident memory %d MB", p.name, residentKB(t, p.pid)/1024)
	}
	for round := range rounds {
		each := seconds * 200_000 // more than anybody answers, and other names each time: what is missed is missed
		writeLines(t, queries["mix"], each, func(i int) string { return peerLoads[2].query(i+(round+1)*10*each, names) + " A" })
		for _, l := range peerLoads {
			for _, p := range all {
				if p.only != "" && !strings.Contains(p.only, l.name) {
					continue
				}
				before := cpuSeconds(t, p.pid)
				done := askAt(t, p.port, queries[l.name], seconds)
				p.micros[l.name] = append(p.micros[l.name], (cpuSeconds(t, p.pid)-before)*1e6/done)
			}
		}
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, rounds)
	}
	for _, l := range peerLoads {
		t.Logf("%s: CPU µs a question, median (from, to), and how many times the answerer's", l.name)
		floor := median(all[0].micros[l.name])
		for _, p := range all {
			if m := p.micros[l.name]; len(m) > 0 {
				t.Logf("  %-22s %5.1f (%.1f to %.1f)  %.2f", p.name, median(m), slices.Min(m), slices.Max(m), median(m)/floor)
			}
		}
	}
	compareTails(t, slices.DeleteFunc(all, func(p *contender) bool { return p.only != "" }), 8*rounds)
}

func envNumber(t *testing.T, key string, otherwise int) int {
	t.Helper()
	text := os.Getenv(key)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is no number", key, text)
	}
	return n
}

func describeMachine(t *testing.T) {
	t.Helper()
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`model name\s*:\s*(.*)`).FindSubmatch(text); m != nil {
			model = string(m[1])
		}
	}
	kernel, _ := exec.Command("uname", "-sr").Output()
	load, _ := os.ReadFile("/proc/loadavg")
	t.Logf("%d × %s, %s, %s, load %s", runtime.NumCPU(), model, strings.TrimSpace(string(kernel)), runtime.Version(), strings.Fields(string(load))[0])
}

func median(m []float64) float64 {
	m = slices.Sorted(slices.Values(m))
	return m[len(m)/2]
}

func bothFree(t *testing.T) string {
	t.Helper()
	pc, l := bothPorts(t)
	pc.Close()
	l.Close()
	_, port, _ := net.SplitHostPort(pc.LocalAddr().String())
	return port
}

// start starts a server on a core and waits until it answers.
func (c *contender) start(t *testing.T, dir string, core int, args ...string) {
	t.Helper()
	cmd := exec.Command("taskset", append([]string{"-c", strconv.Itoa(core)}, args...)...)
	log, err := os.Create(filepath.Join(dir, strings.ReplaceAll(c.name, " ", "-")+".log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	c.pid = cmd.Process.Pid
	client := &dns.Client{Timeout: time.Second}
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		m := new(dns.Msg).SetQuestion("ready.allowed.example.", dns.TypeA)
		if a, _, err := client.Exchange(m, "127.0.0.1:"+c.port); err == nil && a.Rcode == dns.RcodeSuccess {
			return
		}
	}
	text, _ := os.ReadFile(log.Name())
	t.Fatalf("%s does not answer\n%s", c.name, text)
}

// kinwardContender starts Kinward with the lists, a child whose device asks, with a
// schedule, among that many families.
func kinwardContender(t *testing.T, name string, lists []string, upstream string, families int, only string) *contender {
	t.Helper()
	h := startHome(t, &dnsServer{addr: "127.0.0.1:" + upstream})
	for _, list := range lists {
		h.must("lists", "add", list, "--category", "dating")
	}
	h.must("profiles", "add", "Lea", "D")
	h.must("profiles", "add", "Tom", "B")
	h.must("schedules", "add", "Lea", "Games", "block", "games-chat", "Mon-Fri 16:00-17:30")
	h.must("devices", "add", "127.0.0.1", "--name", "Tablet", "--profile", "Lea")
	if only != "" { // nothing of what is blocked is kept
		h.must("profiles", "choose", "Lea", "dating", "hide")
	}
	h.stop(os.Interrupt)
	if families > 1 {
		addNeighbourFamilies(t, h.data, families-1)
	}
	h.under = onOneCore // as the others
	h.start()
	return &contender{name: name, port: h.port, pid: h.cmd.Process.Pid, only: only}
}

// addNeighbourFamilies adds families with three devices each, one in ten with
// rules of its own.
func addNeighbourFamilies(t *testing.T, data string, n int) {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(data, store.FileName), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for from := 0; from < n; from += 5000 {
		err := db.Together(t.Context(), func(tx *store.Tx) error {
			for i := from; i < min(from+5000, n); i++ {
				if _, err := tx.AddFamily(neighbourFamily(i), "measured"); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func neighbourFamily(i int) *policy.Family {
	f := &policy.Family{
		Name: fmt.Sprintf("Family %d", i), Zone: "Europe/Berlin", Default: 1, LastID: 20,
		Networks: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64 + byte(i>>16), byte(i >> 8), byte(i)}), 32)},
		Profiles: []policy.Profile{{ID: 1, Name: "Everyone", Preset: policy.BandC}, {ID: 2, Name: "Child", Preset: policy.BandB}},
	}
	for d := range 3 {
		f.Devices = append(f.Devices, policy.Device{
			ID: policy.DeviceID(10 + d), Name: fmt.Sprintf("Device %d", d), Profile: policy.ProfileID(1 + d%2),
			Tokens: []string{fmt.Sprintf("%012x", uint64(3*i+d+1)*0x9E3779B97F4A7C15>>16)},
		})
	}
	return f
}

// peerContenders starts the resolvers of Debian that are there, each with the list
// so that it blocks the names and all below them where it can.
func peerContenders(t *testing.T, dir, list string, names int, upstream string) (out []*contender) {
	t.Helper()
	for _, p := range []struct {
		name, binary string
		configure    func(dir, port string) []string
	}{
		{"unbound", "unbound", func(dir, port string) []string {
			zones := filepath.Join(dir, "zones.conf")
			writeLines(t, zones, names, func(i int) string { return "local-zone: \"" + listedName(i) + "\" always_nxdomain" })
			return []string{"-d", "-c", writeIn(t, dir, "unbound.conf", fmt.Sprintf(`server:
  interface: 127.0.0.1
  port: %s
  num-threads: 1
  do-daemonize: no
  do-ip6: no
  chroot: ""
  username: ""
  directory: "%s"
  pidfile: ""
  use-syslog: no
  module-config: "iterator"
  do-not-query-localhost: no
  msg-cache-size: 128m
  rrset-cache-size: 256m
  include: "%s"
remote-control:
  control-enable: no
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@%s
`, port, dir, zones, upstream))}
		}},
		{"dnsdist", "dnsdist", func(dir, port string) []string {
			return []string{"--supervised", "--disable-syslog", "-C", writeIn(t, dir, "dnsdist.conf", fmt.Sprintf(`setSecurityPollSuffix("")
setACL({"127.0.0.0/8"})
addLocal("127.0.0.1:%s")
newServer({address="127.0.0.1:%s", healthCheckMode="up"})
getPool(""):setCache(newPacketCache(200000, {maxTTL=86400}))
listed = newSuffixMatchNode()
for name in io.lines("%s") do listed:add(name) end
addAction(SuffixMatchNodeRule(listed, true), RCodeAction(DNSRCode.NXDOMAIN))
`, port, upstream, list))}
		}},
		{"PowerDNS Recursor", "pdns_recursor", func(dir, port string) []string {
			zone := filepath.Join(dir, "listed.zone")
			writeLines(t, zone, names+2, func(i int) string {
				switch i {
				case 0:
					return "$TTL 3600\n@ IN SOA localhost. root.localhost. 1 3600 600 86400 3600"
				case 1:
					return "@ IN NS localhost."
				}
				return listedName(i-2) + " CNAME .\n*." + listedName(i-2) + " CNAME ."
			})
			lua := writeIn(t, dir, "rpz.lua", fmt.Sprintf("rpzFile(%q, {defpol=Policy.NXDOMAIN})\n", zone))
			writeIn(t, dir, "recursor.conf", fmt.Sprintf(`local-address=127.0.0.1
local-port=%s
socket-dir=%s
forward-zones-recurse=.=127.0.0.1:%s
dnssec=off
threads=1
dont-query=
allow-from=127.0.0.0/8
lua-config-file=%s
security-poll-suffix=
quiet=yes
max-cache-entries=300000
max-packetcache-entries=300000
daemon=no
write-pid=no
disable-syslog=yes
`, port, dir, upstream, lua))
			return []string{"--config-dir=" + dir}
		}},
		{"dnsmasq", "dnsmasq", func(dir, port string) []string {
			zones := filepath.Join(dir, "listed.conf")
			writeLines(t, zones, names, func(i int) string { return "local=/" + listedName(i) + "/" })
			return []string{"-k", "-C", writeIn(t, dir, "dnsmasq.conf", fmt.Sprintf(`port=%s
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
no-poll
server=127.0.0.1#%s
cache-size=100000
dns-forward-max=5000
user=root
pid-file=
conf-file=%s
`, port, upstream, zones))}
		}},
	} {
		path, err := exec.LookPath(p.binary)
		if err != nil {
			if path, err = exec.LookPath("/usr/sbin/" + p.binary); err != nil {
				t.Logf("%s is not there: apt-get install unbound dnsdist pdns-recursor dnsmasq", p.name)
				continue
			}
		}
		own := filepath.Join(dir, p.binary)
		if err := os.Mkdir(own, 0o755); err != nil {
			t.Fatal(err)
		}
		c := &contender{name: p.name, port: bothFree(t)}
		c.start(t, dir, 0, append([]string{path}, p.configure(own, c.port)...)...)
		out = append(out, c)
	}
	return out
}

func writeIn(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// askAt asks the queries of a file for some seconds and returns how many were
// answered.
func askAt(t *testing.T, port, file string, seconds int) (done float64) {
	t.Helper()
	done, _ = dnsperf(t, &home{port: port}, file, seconds)
	return done
}

// tailLatency asks what is cached at a steady rate and returns how long each answer
// took, in ms; one that did not come took for ever. What is asked is made before, so
// that no garbage collection of this process is measured.
func tailLatency(t *testing.T, port string, perSecond, n int) []float64 {
	t.Helper()
	c, err := net.Dial("udp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	questions := make([][]byte, n)
	m := new(dns.Msg)
	for i := range questions {
		m.SetQuestion(hotName(i)+".", dns.TypeA)
		m.Id = uint16(i)
		if questions[i], err = m.Pack(); err != nil {
			t.Fatal(err)
		}
	}
	sent, took := make([]time.Time, n), make([]float64, n)
	for i := range took {
		took[i] = math.Inf(1)
	}
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	runtime.LockOSThread() // the thread is pinned with the others of this process, away from the servers
	defer runtime.UnlockOSThread()
	heard := make(chan struct{})
	c.SetReadDeadline(time.Now().Add(time.Duration(n)*time.Second/time.Duration(perSecond) + 500*time.Millisecond))
	go func() {
		defer close(heard)
		buf := make([]byte, 1500)
		for got := 0; got < n; got++ {
			if _, err := c.Read(buf); err != nil {
				return
			}
			if i := int(buf[0])<<8 | int(buf[1]); i < n {
				took[i] = float64(time.Since(sent[i]).Microseconds()) / 1000
			}
		}
	}()
	begin := time.Now()
	for i, q := range questions {
		for time.Since(begin) < time.Duration(i)*time.Second/time.Duration(perSecond) {
			time.Sleep(50 * time.Microsecond)
		}
		sent[i] = time.Now()
		c.Write(q)
	}
	<-heard
	return took
}

// compareTails asks all by turns, half a second each and in changing order, so that
// where the machine stands still it meets all alike.
func compareTails(t *testing.T, all []*contender, turns int) {
	t.Helper()
	const perSecond = 3000
	time.Sleep(15 * time.Second) // what they still write of the loads before
	took, turn := map[*contender][]float64{}, map[*contender][]float64{}
	for i := range turns {
		for j := range all {
			p := all[(i+j)%len(all)]
			some := tailLatency(t, p.port, perSecond, perSecond/2)
			slices.Sort(some)
			turn[p] = append(turn[p], some[len(some)*99/100])
			took[p] = append(took[p], some...)
		}
	}
	t.Logf("cached, 3,000 questions a second, %d turns of half a second: ms, the 50th, 90th, 99th and 99.9th percentile of all, the quartiles of the turns' 99th, and how many in a thousand took over 0.4 ms", turns)
	for _, p := range all {
		all, each := took[p], turn[p]
		slices.Sort(all)
		slices.Sort(each)
		at := func(of []float64, thousandths int) float64 { return of[len(of)*thousandths/1000] }
		over := 0.0
		for _, ms := range all {
			if ms > 0.4 {
				over++
			}
		}
		t.Logf("  %-22s %.2f  %.2f  %.2f  %.2f   %.2f  %.2f  %.2f   %.1f", p.name, at(all, 500), at(all, 900), at(all, 990), at(all, 999),
			at(each, 250), at(each, 500), at(each, 750), over*1000/float64(len(all)))
	}
}
