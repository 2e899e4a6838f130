package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "kinward-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "kinward")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, ".") // as it is shipped
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
		os.Exit(1)
	}
	memoryFolder = dir
	if shared, err := os.MkdirTemp("/dev/shm", "kinward-test-"); err == nil {
		memoryFolder = shared
	}
	code := m.Run()
	stopChromium()
	os.RemoveAll(memoryFolder)
	os.RemoveAll(dir)
	os.Exit(code)
}

// dnsServer is a real DNS server for names that the tests make up.
type dnsServer struct {
	addr  string
	asked atomic.Int64
	down  atomic.Bool
}

func startUpstream(t *testing.T, more ...string) *dnsServer {
	t.Helper()
	u := &dnsServer{}
	answers := map[dns.Question][]dns.RR{}
	names := map[string]bool{}
	for _, text := range append(slices.Clone(zone), more...) {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		h := rr.Header()
		names[h.Name] = true
		types := []uint16{h.Rrtype}
		if h.Rrtype == dns.TypeCNAME {
			types = []uint16{dns.TypeA, dns.TypeAAAA}
		}
		for _, qtype := range types {
			q := dns.Question{Name: h.Name, Qtype: qtype, Qclass: dns.ClassINET}
			answers[q] = append(answers[q], rr)
		}
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		u.asked.Add(1)
		if u.down.Load() {
			return
		}
		m := new(dns.Msg).SetReply(r)
		q := r.Question[0]
		q.Name = strings.ToLower(q.Name)
		m.Answer = answers[q]
		for i := 0; i < len(m.Answer) && i < 5; i++ {
			if c, ok := m.Answer[i].(*dns.CNAME); ok {
				m.Answer = append(m.Answer[:i+1:i+1], answers[dns.Question{Name: c.Target, Qtype: q.Qtype, Qclass: q.Qclass}]...)
			}
		}
		if !names[q.Name] {
			m.Rcode = dns.RcodeNameError
		}
		w.WriteMsg(m)
	})
	pc, l := bothPorts(t)
	u.addr = pc.LocalAddr().String()
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: handler}, {Listener: l, Handler: handler}} {
		go s.ActivateAndServe()
		t.Cleanup(func() { s.Shutdown() })
	}
	return u
}

// home is a running kinward with its data folder.
type home struct {
	t      *testing.T
	data   string
	args   []string
	cmd    *exec.Cmd
	dns    string // host:port
	port   string
	web    string
	page   string // host:port of the block page
	banner string
	log    *logBuffer
	ended  chan error

	descriptors int      // how many it may have; 0: as many as the system lets it
	program     string   // what is started and run; "": binary
	under       []string // what starts it, for example taskset
	env         []string // more of its environment
}

// logBuffer is read by the test while the program writes to it.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// startHome starts the program on ports of its own choosing.
func startHome(t *testing.T, u *dnsServer, args ...string) *home {
	t.Helper()
	h := &home{t: t, data: t.TempDir(), args: append([]string{"--upstream", "udp://" + u.addr}, args...)}
	h.start()
	return h
}

func (h *home) start() {
	h.t.Helper()
	args := append([]string{cmp.Or(h.program, binary), "serve", "--data", h.data, "--dns", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--console", "127.0.0.1:0"}, h.args...)
	args = slices.Concat(h.under, args)
	if h.descriptors > 0 {
		args = append([]string{"sh", "-c", fmt.Sprintf(`ulimit -n %d; exec "$@"`, h.descriptors), "sh"}, args...)
	}
	h.cmd = exec.Command(args[0], args[1:]...)
	h.cmd.Env = append(append(os.Environ(), "KINWARD_JOURNAL_MEMORY="+memoryFolder), h.env...)
	h.log = &logBuffer{}
	h.cmd.Stderr = h.log
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.ended = make(chan error, 1)
	ready := make(chan string, 1)
	go func() {
		var text strings.Builder
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			text.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), "port 53") && strings.Contains(lines.Text(), "now") {
				ready <- text.String() // near the end of the banner
				break
			}
		}
		io.Copy(io.Discard, out)
		h.ended <- h.cmd.Wait()
	}()
	select {
	case h.banner = <-ready:
	case err := <-h.ended:
		h.t.Fatalf("serve ended at its start: %v\n%s", err, h.log)
	case <-time.After(time.Minute):
		h.cmd.Process.Kill()
		h.t.Fatalf("serve printed no banner\n%s", h.log)
	}
	h.dns = regexp.MustCompile(`answers DNS questions on (\S+:\d+) `).FindStringSubmatch(h.banner)[1]
	_, h.port, _ = net.SplitHostPort(h.dns)
	h.web = regexp.MustCompile(`(http://\S+)/healthz`).FindStringSubmatch(h.banner)[1]
	h.t.Cleanup(func() { h.cmd.Process.Kill() })
}

// stop ends serve by a signal and returns how it ended.
func (h *home) stop(s os.Signal) error {
	h.t.Helper()
	if err := h.cmd.Process.Signal(s); err != nil {
		h.t.Fatal(err)
	}
	select {
	case err := <-h.ended:
		return err
	case <-time.After(15 * time.Second):
		h.t.Fatalf("serve does not end after %v\n%s", s, h.log)
		return nil
	}
}

// run executes one of kinward's own commands on the home's data folder.
func (h *home) run(args ...string) (stdout, stderr string, code int) {
	h.t.Helper()
	cmd := exec.Command(cmp.Or(h.program, binary), append(args, "--data", h.data)...)
	cmd.Env = append(os.Environ(), h.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		h.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must runs a command that must succeed.
func (h *home) must(args ...string) string {
	h.t.Helper()
	out, errs, code := h.run(args...)
	if code != 0 {
		h.t.Fatalf("kinward %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// into runs a command with --json and reads its output.
func (h *home) into(v any, args ...string) {
	h.t.Helper()
	if err := json.Unmarshal([]byte(h.must(append(args, "--json")...)), v); err != nil {
		h.t.Fatalf("kinward %s --json: %v", strings.Join(args, " "), err)
	}
}

// tool runs a real DNS client against the home.
func (h *home) tool(name string, args ...string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 15*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, append([]string{"@127.0.0.1", "-p", h.port}, args...)...).CombinedOutput()
	if err != nil {
		h.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (h *home) get(path string) (int, string) {
	h.t.Helper()
	resp, err := http.Get(h.web + path)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func wantAll(t *testing.T, what, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("%s lacks %q:\n%s", what, w, got)
		}
	}
}

func wantNone(t *testing.T, what, got string, not ...string) {
	t.Helper()
	for _, w := range not {
		if strings.Contains(got, w) {
			t.Errorf("%s holds %q:\n%s", what, w, got)
		}
	}
}
