package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/metrics"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"kinward/blocklists"
	"kinward/certs"
	"kinward/policy"
	"kinward/resolver"
	"kinward/resolver/upstream"
	"kinward/store"
)

// finding is what doctor found about one thing.
type finding struct {
	What   string `json:"what"`
	State  string `json:"state"` // ok, note or fault
	Detail string `json:"detail"`
	Do     string `json:"do,omitempty"`
}

// statusReply is what the owner of the data folder knows of itself.
type statusReply struct {
	Serving     bool                      `json:"serving"`
	Version     string                    `json:"version"`
	Started     time.Time                 `json:"started,omitzero"`
	Addresses   []string                  `json:"addresses,omitempty"`
	Name        string                    `json:"name,omitempty"` // its public name
	Encrypted   bool                      `json:"encrypted"`      // it answers over TLS, HTTPS or QUIC
	Upstreams   []resolver.UpstreamHealth `json:"upstreams,omitempty"`
	Database    string                    `json:"database"`       // "" is well
	Sealed      bool                      `json:"sealed"`         // it cannot be written; Database says so
	Lost        float64                   `json:"lost"`           // attempts that could not be kept since the start
	Ring        string                    `json:"ring,omitempty"` // the file of the newest attempts, "" where they end with the program
	RingMemory  bool                      `json:"ring_memory"`    // recording never waits for a disk
	Lists       []listView                `json:"lists"`
	Certificate *certs.Status             `json:"certificate,omitempty"`
	Alerts      alertsStatus              `json:"alerts"`
	Blocks      bool                      `json:"blocks"` // the household's profile blocks a name that it must
	Profile     string                    `json:"profile"`
	Load        loadFigures               `json:"load"`
}

// loadFigures is what the server did since it began.
type loadFigures struct {
	Memory    uint64 `json:"memory"`    // bytes that the program has from the system
	Questions uint64 `json:"questions"` // that devices asked
	Forwarded uint64 `json:"forwarded"` // that upstreams were asked
	Failures  uint64 `json:"failures"`  // of upstreams
	Recorded  uint64 `json:"recorded"`  // attempts, of all families
}

var opStatus = operation[struct{}, statusReply]{"status", status}

// pingReply is what a health check needs to know.
type pingReply struct {
	Addresses []string `json:"addresses"`
}

var opPing = operation[struct{}, pingReply]{"ping", func(_ context.Context, n *node, _ struct{}, _ progress) (pingReply, error) {
	r := pingReply{}
	if n.serving != nil {
		for _, a := range n.serving.server.Addrs() {
			r.Addresses = append(r.Addresses, a.String())
		}
	}
	return r, nil
}}

// mustBlock is a name that every preset for children blocks.
const mustBlock = "omegle.com"

func status(ctx context.Context, n *node, _ struct{}, _ progress) (statusReply, error) {
	s, err := n.state(ctx)
	if err != nil {
		return statusReply{}, err
	}
	f, _, err := n.db.Family(ctx, 0)
	if err != nil {
		return statusReply{}, err
	}
	r := statusReply{Version: version(), Lists: n.listViews(s.Index), Blocks: true} // whoever is refused gets no name
	if household, ok := s.Directory.Household(); ok {
		v := policy.Decide(household.Policy, policy.Ask(s.Index, blocklists.MustName(mustBlock), policy.TypeA, time.Now()))
		if r.Blocks = v.Action == policy.Block; actor(ctx) == nil { // a family's words are not the operator's
			r.Profile = profileNames(f)[household.Profile]
		}
	}
	if _, err := n.db.Health(ctx, true); err != nil {
		r.Database, r.Sealed = err.Error(), errors.Is(err, store.ErrSealed)
	}
	if r.Alerts, err = n.alertsStatus(ctx); err != nil {
		return statusReply{}, err
	}
	if sv := n.serving; sv != nil {
		r.Serving, r.Started = true, sv.started
		r.Ring, r.RingMemory = sv.journal.RingPlace()
		for _, a := range sv.server.Addrs() {
			r.Addresses = append(r.Addresses, a.String())
		}
		r.Name, r.Encrypted = n.cfg.TLS.Name, len(sv.server.SecureAddrs()) > 0
		r.Upstreams = sv.server.Health()
		if sv.keeper != nil {
			st := sv.keeper.Status()
			r.Certificate = &st
		}
		sums, err := sumsOf(sv.registry, "kinward_journal_lost_total", "kinward_queries_total", "kinward_upstream_queries_total",
			"kinward_upstream_failures_total", "kinward_journal_attempts_total")
		if err != nil {
			return statusReply{}, err
		}
		r.Lost = sums[0]
		r.Load = loadFigures{memoryUsed(), uint64(sums[1]), uint64(sums[2]), uint64(sums[3]), uint64(sums[4])}
	}
	return r, nil
}

// sumsOf adds up counters, each over its labels.
func sumsOf(g prometheus.Gatherer, names ...string) ([]float64, error) {
	sums := make([]float64, len(names))
	families, err := g.Gather()
	for _, f := range families {
		if i := slices.Index(names, f.GetName()); i >= 0 {
			for _, m := range f.GetMetric() {
				sums[i] += m.GetCounter().GetValue()
			}
		}
	}
	return sums, err
}

// memoryUsed is what the program has from the system and not given back.
func memoryUsed() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64()
}

// opDoctor is what the doctor finds, for who runs the server and sees no family.
var opDoctor = operation[struct{}, doctorReply]{"doctor", func(ctx context.Context, n *node, _ struct{}, _ progress) (doctorReply, error) {
	r := doctorReply{Findings: []finding{}}
	now, err := n.inForce()
	if err != nil {
		return r, err
	}
	for _, f := range examine(ctx, n.cfg, now) {
		if f.What != "filter" { // it names a profile, and so maybe a child
			f.Detail, f.Do = strings.ReplaceAll(f.Detail, "{kinward}", "kinward"), strings.ReplaceAll(f.Do, "{kinward}", "kinward")
			r.Findings = append(r.Findings, f)
		}
	}
	return r, nil
}}

// doctorReply is what the doctor found.
type doctorReply struct {
	Findings []finding `json:"findings"`
}

func (c *cli) doctorCommand() *cobra.Command {
	serverOnly := false
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what works, what does not, and what to do",
		Long: `Looks at the configuration, the data folder, the running server, the upstreams, the
lists, port 53, and what a phone away from home needs: the public name's records, the
certificate and the ports 853 and 443. Exits with 1 if something is at fault. It asks the server for
example.com; nothing that it does is recorded as an attempt.`,
		Example: `  kinward doctor
  kinward doctor --json
  kinward doctor --server`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.config(cmd)
			if err != nil {
				return err
			}
			diagnose := examineAll
			if serverOnly {
				diagnose = examineServer
			}
			findings := diagnose(cmd.Context(), cfg)
			for i, f := range findings {
				findings[i].Detail = c.calledInError(cmd.Root(), f.Detail)
			}
			if err := c.print(findings, func(w io.Writer) { printFindings(w, findings) }); err != nil {
				return err
			}
			for _, f := range findings {
				if f.State == "fault" {
					return &codedError{exitFailed, nil}
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&serverOnly, "server", false, "look only whether the server runs and answers, for health checks")
	return c.addJSON(cmd)
}

// examination gathers findings.
type examination struct{ findings []finding }

func (e *examination) ok(what, detail string, args ...any) {
	e.findings = append(e.findings, finding{what, "ok", fmt.Sprintf(detail, args...), ""})
}

func (e *examination) note(what, do, detail string, args ...any) {
	e.findings = append(e.findings, finding{what, "note", fmt.Sprintf(detail, args...), do})
}

func (e *examination) fault(what, do, detail string, args ...any) {
	e.findings = append(e.findings, finding{what, "fault", fmt.Sprintf(detail, args...), do})
}

// examineServer looks whether the server runs and answers by itself; what lies
// beyond it does not matter.
func examineServer(ctx context.Context, cfg *config) []finding {
	e := &examination{}
	conn, err := dialControl(ctx, cfg.Data)
	if err != nil { // without serve this must not open the folder, and so keep serve from it
		e.fault("server", "start it with: {kinward} serve", "%v", err)
		return e.findings
	}
	st, err := opPing.remote(ctx, conn, struct{}{}, nil)
	if err != nil {
		e.fault("server", "see the server's log", "%v", err)
	}
	for _, a := range st.Addresses {
		for _, network := range []string{"udp", "tcp"} {
			e.answers(ctx, network, a)
		}
	}
	return e.findings
}

// answers asks the server a name that it knows by itself.
func (e *examination) answers(ctx context.Context, network, addr string) bool {
	what := "DNS on " + addr + "/" + network
	if _, _, err := ask(ctx, network, reachable(addr), "localhost."); err != nil {
		e.fault(what, "see the server's log", "%v", err)
		return false
	}
	e.ok(what, "answers")
	return true
}

// reachable returns an address to ask a listener at: one on all addresses is
// asked on loopback.
func reachable(addr string) string {
	ap, err := netip.ParseAddrPort(addr)
	if err != nil || !ap.Addr().IsUnspecified() {
		return addr
	}
	loopback := netip.IPv6Loopback()
	if ap.Addr().Is4() {
		loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.AddrPortFrom(loopback, ap.Port()).String()
}

// examineAll looks at everything, as it is configured.
func examineAll(ctx context.Context, cfg *config) []finding {
	set, err := cfg.resolve()
	if err != nil { // loadConfig has checked it
		e := &examination{}
		e.fault("configuration", "mend it; see: {kinward} check", "%v", err)
		return e.findings
	}
	now := set.reloaded(nil, set.page)
	return examine(ctx, cfg, &now)
}

// examine looks at everything. now is what a reload may have changed since the
// server was started with cfg.
func examine(ctx context.Context, cfg *config, now *resolver.Settings) []finding {
	e := &examination{}
	e.ok("configuration", "it is valid")
	e.networks(now.AllowNets)
	st, err := opStatus.call(ctx, cfg, struct{}{}, nil)
	if err != nil {
		e.fault("data folder", "see the message", "%v", err)
	} else {
		e.status(ctx, cfg, now.Zone, st)
	}
	asked := st.Upstreams // it may have been started with others than the configuration's
	if !st.Serving {
		asked = configuredUpstreams(cfg)
	}
	for _, u := range asked {
		e.upstream(ctx, u)
		if u.Looping {
			e.fault(upstreamWhat(u), "give the address of another resolver, or make that one answer the domain by itself", "it leads back to Kinward, so questions would go round in circles; it is not used")
		}
	}
	e.examineAway(ctx, cfg, now.Upstreams)
	for _, h := range others(port53Holders("/proc"), st.Addresses) {
		if !strings.HasPrefix(h.Program, "kinward") {
			e.note("port 53", letGo(h), "%s holds it on %s", h.who(), h.Address)
		}
	}
	return e.findings
}

// networks warns of a configuration that makes an open resolver.
func (e *examination) networks(nets []netip.Prefix) {
	for _, n := range nets {
		if n.Bits() == 0 {
			e.fault("who may ask", "name your own networks with allow-net", "%s is everybody: an open resolver is soon used to attack others", n)
			return
		}
	}
	e.ok("who may ask", "%s", plural(len(nets), "network"))
}

func (e *examination) status(ctx context.Context, cfg *config, zone resolver.Zone, st statusReply) {
	if st.Sealed {
		e.fault("database", "give kinward.db, kinward.db-wal and kinward.db-shm back to the user that runs serve, with chown and chmod u+w, and restart serve; it then takes up what waits", "%s", st.Database)
	} else if st.Database != "" {
		e.fault("database", "stop serve, and go back to a backup with: {kinward} restore FILE", "%s", st.Database)
	} else {
		e.ok("database", "whole, in %s", cfg.Data)
	}
	if free, ok := freeSpace(cfg.Data); ok && free < 256<<20 {
		e.fault("disk", "make room", "only %d MB are free where the data folder lies", free>>20)
	}
	if st.Blocks {
		e.ok("filter", "profile %s blocks %s", st.Profile, mustBlock)
	} else {
		e.note("filter", "if that is not meant, see: {kinward} profiles", "profile %s, which every unlisted device has, does not block %s", st.Profile, mustBlock)
	}
	if aside, _ := filepath.Glob(filepath.Join(cfg.Data, listsFolder+damagedLists+"*")); len(aside) > 0 {
		e.fault("lists", "add them again, or go back to a backup; then delete that folder", "the record of the lists was damaged and is put aside in %s", aside[0])
	}
	for _, l := range st.Lists {
		switch {
		case l.Held != nil && !l.Held.RolledBack:
			e.note("list "+l.ID, "see what changed with: "+callMe+" lists; then: "+callMe+" lists accept "+l.ID, "a new version is held back; the last good one is in force (%d entries)", l.Entries)
		case l.Problem != "" && l.ID == blocklists.CatalogueID:
			e.fault("list "+l.ID, callMe+" lists catalogue", "%s", l.Problem)
		case l.Problem != "":
			e.fault("list "+l.ID, callMe+" lists update "+l.ID, "%s", l.Problem)
		case l.Entries == 0:
			e.fault("list "+l.ID, callMe+" lists update "+l.ID, "it is empty and protects nobody")
		default:
			e.ok("list "+l.ID, "%d entries", l.Entries)
		}
	}
	e.alerts(st.Alerts)
	if !st.Serving {
		e.fault("server", "start it with: {kinward} serve", "it does not run on the data folder %s", cfg.Data)
		return
	}
	e.ok("server", "version %s runs since %s", st.Version, st.Started.Local().Format("2 Jan 15:04"))
	if st.Lost > 0 {
		e.fault("record", "see the server's log for why", "%.0f attempts could not be kept since the start", st.Lost)
	}
	e.examineJournal(st)
	for _, a := range st.Addresses {
		e.listener(ctx, a)
		e.zone(ctx, zone, a)
	}
	e.reach(st)
	e.certificate(st.Certificate)
}

// reach warns of a server that nobody but this machine, or no phone, can ask.
func (e *examination) reach(st statusReply) {
	if !slices.ContainsFunc(st.Addresses, func(a string) bool {
		ap, err := netip.ParseAddrPort(a)
		return err != nil || !ap.Addr().IsLoopback()
	}) {
		e.note("at home", "stop it, and start it with --dns ADDRESS-OF-THIS-MACHINE:53, as {kinward} serve says when it starts", "it answers this machine alone, so no other device can ask it")
	}
	if st.Name != "" && !st.Encrypted {
		e.note(awayWhat, "start it with --dot [::]:853 and --doh [::]:443, or set dot and doh", "%s is its public name, but it answers no encrypted questions, so no phone can ask it there", st.Name)
	}
}

// listener asks the server a name that it knows by itself and one that it must
// ask others for, over UDP and TCP.
func (e *examination) listener(ctx context.Context, addr string) {
	for _, network := range []string{"udp", "tcp"} {
		if !e.answers(ctx, network, addr) {
			continue
		}
		what := "resolving through " + addr + "/" + network
		reply, took, err := ask(ctx, network, reachable(addr), "example.com.")
		switch {
		case err != nil:
			e.fault(what, "see upstream below", "%v", err)
		case reply.Rcode != dns.RcodeSuccess:
			e.fault(what, "see upstream below", "example.com is answered with %s", dns.RcodeToString[reply.Rcode])
		default:
			e.ok(what, "example.com took %s", tookWords(took))
		}
	}
}

// tookWords says a time in milliseconds; nothing takes none.
func tookWords(d time.Duration) string {
	if d < time.Millisecond {
		return "less than 1ms"
	}
	return d.Round(time.Millisecond).String()
}

// configuredUpstreams lists the upstreams of a configuration, those of domains
// included.
func configuredUpstreams(cfg *config) (out []resolver.UpstreamHealth) {
	for _, u := range cfg.Upstream {
		out = append(out, resolver.UpstreamHealth{Upstream: u})
	}
	for _, f := range cfg.Forward {
		for _, u := range f.Upstream {
			out = append(out, resolver.UpstreamHealth{Upstream: u, Domain: f.Domain})
		}
	}
	return out
}

func upstreamWhat(u resolver.UpstreamHealth) string {
	if u.Domain != "" {
		return "upstream " + u.Upstream + " for " + u.Domain
	}
	return "upstream " + u.Upstream
}

func (e *examination) upstream(ctx context.Context, u resolver.UpstreamHealth) {
	what, name := upstreamWhat(u), exampleCom
	if u.Domain != "" { // all that it need know
		var err error
		if name, err = blocklists.ParseName(u.Domain); err != nil {
			e.fault(what, "give another domain", "%v", err)
			return
		}
	}
	parsed, err := upstream.Parse(u.Upstream)
	if err != nil {
		e.fault(what, "give serve another with --upstream", "%v", err)
		return
	}
	c := upstream.New(parsed, upstream.Options{Timeout: 2 * time.Second})
	defer c.Close()
	began := time.Now()
	reply, err := c.Ask(ctx, upstream.Question{Name: string(name), Type: dns.TypeA, Class: dns.ClassINET})
	switch took := time.Since(began); {
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded):
		e.fault(what, "check the line to the internet and the router's firewall, or give serve another with --upstream", "no answer within 2 seconds")
	case err != nil:
		e.fault(what, "check the line to the internet and the router's firewall, or give serve another with --upstream", "%v", errors.Unwrap(err)) // without the upstream, which stands before
	case u.Domain != "" && (reply.Rcode == dns.RcodeSuccess || reply.Rcode == dns.RcodeNameError):
		e.ok(what, "answers in %s", tookWords(took))
	case u.Domain != "":
		e.fault(what, "make it answer that domain, or give another under forward", "%s is answered with %s", u.Domain, dns.RcodeToString[reply.Rcode])
	case reply.Rcode != dns.RcodeSuccess:
		e.fault(what, "give serve another with --upstream", "example.com is answered with %s", dns.RcodeToString[reply.Rcode])
	default:
		e.ok(what, "answers in %s", tookWords(took))
	}
}

var exampleCom = blocklists.MustName("example.com")

// ask sends one question for an address, with two seconds to answer.
func ask(ctx context.Context, network, addr, name string) (*dns.Msg, time.Duration, error) {
	m := new(dns.Msg)
	m.SetQuestion(name, dns.TypeA)
	reply, took, err := (&dns.Client{Net: network, Timeout: 2 * time.Second}).ExchangeContext(ctx, m, addr)
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return nil, took, errors.New("no answer within 2 seconds")
	}
	return reply, took, err
}

func printFindings(w io.Writer, findings []finding) {
	marks := map[string]string{"ok": "ok   ", "note": "note ", "fault": "FAULT"}
	for _, f := range findings {
		fmt.Fprintf(w, "%s  %s: %s\n", marks[f.State], f.What, f.Detail)
		if f.Do != "" {
			fmt.Fprintf(w, "       what to do: %s\n", f.Do)
		}
	}
}
