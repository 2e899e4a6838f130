package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"kinward/blocklists"
	"kinward/certs"
	"kinward/console"
	"kinward/journal"
	"kinward/journal/signals"
	"kinward/policy"
	"kinward/resolver"
)

// serving is what a node has while it answers questions.
type serving struct {
	server   *resolver.Server
	journal  *journal.Journal
	registry *prometheus.Registry
	keeper   *certs.Keeper   // nil: no certificate is configured
	console  *console.Server // nil: it is off
	started  time.Time
	page     string // where the block page is served; "": nowhere
}

func (c *cli) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Answer DNS questions",
		Long: `Answers DNS questions for a family, and keeps what was attempted.

Every flag is also a key of the YAML configuration and a variable: --allow-net is
"allow-net" in the file and KINWARD_ALLOW_NET in the environment (lists separated by
commas). A flag wins over a variable, a variable over the file.

SIGHUP reads the configuration and the lists again without dropping a question;
SIGTERM finishes what is under way, writes what was attempted, and ends.`,
		Example: `  kinward serve
  kinward serve --dns 192.168.1.10:53 --data /var/lib/kinward
  kinward serve --config /etc/kinward/kinward.yaml
  kinward serve --upstream 'https://dns.quad9.net/dns-query?ip=9.9.9.9'
  kinward serve --upstream udp://192.168.1.1:53 --allow-net 192.168.0.0/16`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.config(cmd)
			if err != nil {
				return err
			}
			return c.serve(cmd.Context(), cmd, cfg)
		},
	}
	addSettingFlags(cmd)
	return cmd
}

// addSettingFlags gives a command the flags that are also settings.
func addSettingFlags(cmd *cobra.Command) {
	d := defaultConfig()
	f := cmd.Flags()
	f.StringArray("dns", nil, "address to answer on, UDP and TCP; repeatable (default "+strings.Join(d.DNS, ", ")+")")
	f.StringArray("dot", nil, "address to answer on over TLS (DoT), mostly [::]:853; repeatable")
	f.StringArray("doh", nil, "address to answer on over HTTPS (DoH), TCP and UDP, mostly [::]:443; http://ADDRESS behind a reverse proxy; repeatable")
	f.StringArray("doq", nil, "address to answer on over QUIC (DoQ), mostly [::]:853; repeatable")
	f.StringArray("upstream", nil, "server that resolves what is allowed, as tls://NAME?ip=ADDRESS, or https, h3, quic, tcp, udp; repeatable (default "+strings.Join(d.Upstream, ", ")+")")
	f.String("metrics", "", "address for health and metrics over HTTP (default "+d.Metrics+")")
	f.String("console", "", "address of the console, in a browser (default "+d.Console+")")
	f.Bool("pprof", false, "serve Go's profiles beside the metrics, to this machine alone")
	f.String("block-page", "", "address for the page that tells a device why something is blocked, plain HTTP, mostly this machine's in the home (default: none)")
	f.StringArray("allow-net", nil, "network that may ask; repeatable (default: loopback and private networks)")
}

func (c *cli) serve(ctx context.Context, cmd *cobra.Command, cfg *config) (err error) {
	started := time.Now()
	set, err := cfg.resolve()
	if err != nil {
		return usageError(err)
	}
	level := new(slog.LevelVar)
	level.Set(set.level)
	log := newLogger(c.err, cfg.Log.Format, level)
	collect := hurry()
	defer collect()
	n, err := openNode(ctx, cfg, log, lockPatience)
	if err != nil {
		return err
	}
	n.collect = collect
	defer func() { err = errors.Join(err, n.close()) }()
	if err := n.recompile(ctx); err != nil {
		return err
	}
	home, _, err := n.db.Family(ctx, 0)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	kept := ringing{n.db, &n.bells}
	j, err := journal.New(journal.Config{Store: kept, Seen: n.db, Spool: set.spool, Logger: log, Registerer: registry})
	if err != nil {
		return err
	}
	if n.alerts, err = n.openAlerts(set, registry); err != nil {
		return err
	}
	tunnels := signals.NewTunnels(0)
	watcher, err := signals.New(signals.Config{
		Store: kept, Changes: j.Changes(), LastSeen: j.LastSeen, Tunnels: tunnels, Logger: log, Registerer: registry,
	})
	if err != nil {
		return err
	}
	keeper, err := n.openKeeper(ctx, set, registry)
	if err != nil {
		return explainBindError(err)
	}
	if keeper != nil {
		defer func() { err = errors.Join(err, keeper.Close()) }()
	}
	links, err := newLinkServer(n, registry)
	if err != nil {
		return err
	}
	server, err := resolver.New(resolver.Config{
		Listen: cfg.DNS, Upstreams: set.upstreams, Forward: set.forward, AllowNets: set.allowNets, Block: set.block,
		CacheBytes: int64(cfg.Cache.Megabytes) << 20, MinTTL: set.minTTL, MaxTTL: set.maxTTL,
		Home: set.home, Limits: set.limits, Zone: zoneWith(set.zone, keeper), Page: set.page,
		Secure: set.secure, TLS: tlsWith(keeper, set.clientRoots), Name: cfg.TLS.Name, Proxies: set.proxies,
		Forwarders: set.forwarders, Pages: links, PublicAddrs: set.zone.Addrs,
		State: n.current.Load, Log: j, Watch: tunnels, Logger: log, Registerer: registry,
	})
	if err != nil {
		return explainBindError(err)
	}
	n.serving = &serving{server: server, journal: j, registry: registry, keeper: keeper, started: started}
	server.SetDevices(n.hosts.Load())
	leases, err := newLeaseWatcher(&leaseWatcher{
		file: cfg.Leases.File, domain: set.home.Domain, most: cfg.Limits.Leases, log: log, set: server.SetLeases,
	}, registry)
	if err != nil {
		return err
	}
	page, err := n.openBlockPage(set, registry)
	if err != nil {
		return err
	}
	if page != nil {
		n.serving.page = page.Addr()
	}
	web, err := listenHTTP(cfg.Metrics, n, registry)
	if err != nil {
		return err
	}
	control, err := listenControl(n)
	if err != nil {
		return err
	}

	// The journal outlives the resolver, so that what the last answers attempted
	// is written; the sockets for commands and metrics close last.
	running, ended := errgroup.WithContext(ctx)
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	written := make(chan error, 1)
	go func() { written <- j.Run(writing) }()
	running.Go(func() error { return server.Run(ended) })
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // from here on, lest an early one end the process
	defer signal.Stop(hangup)
	log.Debug("ready", "took", time.Since(started))
	collect() // before a list can change: compiling has its own pace, and goes back to this one
	// The first answers do not wait for what is done now and then, nor for the pages
	// and their texts.
	pages, err := n.openConsole(ctx, set, keeper, registry)
	if err != nil {
		running.Go(func() error { return err }) // ends what runs already
		err = running.Wait()
		stopWriting()
		return errors.Join(err, <-written)
	}
	n.serving.console = pages
	if err := c.banner(ctx, n, set, home, server, web.addr(), cmd.Flags()); err != nil {
		log.Error("the link that sets the console up could not be made; see: kinward console link", "error", err)
	}
	running.Go(func() error { return watcher.Run(ended) })
	if keeper != nil {
		running.Go(func() error { return keeper.Run(ended) })
	}
	running.Go(func() error { return n.alerts.Run(ended) })
	if pages != nil {
		running.Go(func() error { return pages.Run(ended) })
	}
	running.Go(control.run)
	running.Go(func() error { return leases.run(ended) })
	if page != nil {
		running.Go(func() error { return page.Run(ended) })
	}
	running.Go(web.run)
	running.Go(func() error { return c.reloadOnHangup(ended, hangup, n, cmd, level) })
	hourly := time.NewTicker(forgetEvery)
	defer hourly.Stop()
	running.Go(func() error { return (&forgetter{n.db, log, time.Now, hourly.C}).run(ended) })
	ripen := time.NewTicker(ripenEvery)
	defer ripen.Stop()
	running.Go(func() error { return (&ripener{n, time.Now, ripen.C}).run(ended) })
	running.Go(func() error {
		return blocklists.NewRefresher(n.lists, blocklists.RefreshOptions{Every: set.refresh, Changed: n.recompile, Logger: log}).Run(ended)
	})
	running.Go(func() error {
		<-ended.Done()
		web.draining.Store(true)
		shut, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		// A command that takes longer is ended; its client is told by the cut.
		for _, stop := range []func(context.Context) error{control.server.Shutdown, web.shutdown} {
			if err := stop(shut); err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
		}
		return control.server.Close()
	})
	err = running.Wait()
	stopWriting()
	return errors.Join(err, <-written)
}

// lockPatience is how long serve waits for a command that has the data folder.
const lockPatience = 5 * time.Second

func newLogger(w io.Writer, format string, level slog.Leveler) *slog.Logger {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// explainBindError says what to do about an address that cannot be had.
func explainBindError(err error) error {
	switch {
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w\nPorts below 1024 need a privilege. Give it to the program once with:\n  sudo setcap cap_net_bind_service=+ep %s", err, program())
	case errors.Is(err, syscall.EADDRINUSE):
		text := fmt.Sprintf("%v\nAnother program has this address already.", err)
		for _, h := range port53Holders("/proc") {
			text += fmt.Sprintf("\n%s holds %s port 53. To let it go: %s", h.who(), h.Address, letGo(h))
		}
		return errors.New(text)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w\nThis machine has no such address; \"ip addr\" shows those that it has", err)
	}
	return err
}

// program returns the path of this program as it was called, for printing.
func program() string {
	if strings.ContainsRune(os.Args[0], os.PathSeparator) {
		return os.Args[0]
	}
	return "kinward"
}

func (h holder) who() string {
	if h.Program == "" {
		return "A program that only root may look at"
	}
	return h.Program
}

// reloadOnHangup reads configuration and lists again at each SIGHUP.
func (c *cli) reloadOnHangup(ctx context.Context, hangup <-chan os.Signal, n *node, cmd *cobra.Command, level *slog.LevelVar) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			if err := c.reload(ctx, n, cmd, level); err != nil {
				n.log.Error("keeping what was in force: the reload failed", "error", err)
				continue
			}
			s := n.current.Load()
			n.log.Info("reloaded configuration and lists", "names", s.Index.Names(), "lists", len(s.Index.Lists()))
		}
	}
}

// reload puts a changed configuration and changed lists in force. What cannot
// change while it runs is said.
func (c *cli) reload(ctx context.Context, n *node, cmd *cobra.Command, level *slog.LevelVar) error {
	cfg, err := c.config(cmd)
	if err != nil {
		return err
	}
	set, err := cfg.resolve()
	if err != nil {
		return err
	}
	for _, fixed := range []struct {
		key     string
		changed bool
	}{
		{"data", cfg.Data != n.cfg.Data},
		{"dns", !slices.Equal(cfg.DNS, n.cfg.DNS)},
		{"dot", !slices.Equal(cfg.DoT, n.cfg.DoT)},
		{"doh", !slices.Equal(cfg.DoH, n.cfg.DoH)},
		{"doq", !slices.Equal(cfg.DoQ, n.cfg.DoQ)},
		{"metrics", cfg.Metrics != n.cfg.Metrics},
		{"block-page", cfg.BlockPage != n.cfg.BlockPage},
		{"pprof", cfg.Pprof != n.cfg.Pprof},
		{"console", cfg.Console != n.cfg.Console},
		{"console-url", cfg.ConsoleURL != n.cfg.ConsoleURL},
		{"cache", cfg.Cache != n.cfg.Cache},
		{"leases", cfg.Leases != n.cfg.Leases},
		{"journal", cfg.Journal != n.cfg.Journal},
		{"limits", !reflect.DeepEqual(cfg.Limits, n.cfg.Limits)},
		{"lists", cfg.Lists != n.cfg.Lists},
		{"catalogue", cfg.Catalogue != n.cfg.Catalogue},
		{"tls", cfg.TLS.Name != n.cfg.TLS.Name || cfg.TLS.Certificate != n.cfg.TLS.Certificate || cfg.TLS.Key != n.cfg.TLS.Key || cfg.TLS.SelfSigned != n.cfg.TLS.SelfSigned},
		{"acme", !reflect.DeepEqual(cfg.ACME, n.cfg.ACME)},
		{"alerts", cfg.Alerts != n.cfg.Alerts},
		{"log format", cfg.Log.Format != n.cfg.Log.Format},
	} {
		if fixed.changed {
			n.log.Warn("a changed setting takes effect at the next start", "key", fixed.key)
		}
	}
	set.home.Domain, _ = blocklists.ParseName(n.cfg.Leases.Domain) // with the leases, at the next start
	// This refuses what cannot be, before anything has changed.
	err = n.serving.server.Reconfigure(resolver.Settings{
		Upstreams: set.upstreams, Forward: set.forward, AllowNets: set.allowNets, Block: set.block, Home: set.home, Forwarders: set.forwarders,
		Zone: zoneWith(set.zone, n.serving.keeper), Proxies: set.proxies, Page: n.pageWith(set),
	})
	if err != nil {
		return err
	}
	if err := n.recompile(ctx); err != nil {
		return fmt.Errorf("the new upstreams, networks and block mode are in force, the lists are as they were: %w", err)
	}
	level.Set(set.level)
	return n.reloadCertificate(ctx)
}

// banner tells a person who started the program what it does and what to do
// next.
func (c *cli) banner(ctx context.Context, n *node, set *settings, home *policy.Family, server *resolver.Server, metrics string, flags *pflag.FlagSet) error {
	s := n.current.Load()
	w := c.out
	var addrs []string
	for _, a := range server.Addrs() {
		addrs = append(addrs, a.String())
	}
	fmt.Fprintf(w, "Kinward %s answers DNS questions on %s (UDP and TCP).\n", version(), strings.Join(addrs, " and "))
	for _, a := range server.SecureAddrs() {
		fmt.Fprintf(w, "Encrypted, by %s: %s\n", schemeWords[a.Scheme], a.Addr)
	}
	if metrics != "" {
		fmt.Fprintf(w, "Health and metrics: http://%s/healthz and http://%s/metrics\n", metrics, metrics)
		if n.cfg.Pprof {
			fmt.Fprintf(w, "Profiles, for this machine alone: http://%s/debug/pprof/\n", metrics)
		}
	}
	if n.serving.page != "" {
		fmt.Fprintf(w, "Why something is blocked: http://%s/, for devices that ask here\n", n.serving.page)
	}
	fmt.Fprintf(w, "What it keeps: %s\n", n.cfg.Data)
	fmt.Fprintf(w, "What is allowed is resolved by %s (another: --upstream tls://NAME?ip=ADDRESS).\n\n", upstreamWords(n.cfg.Upstream))

	if household, ok := s.Directory.Household(); !ok {
		fmt.Fprintln(w, "Whoever is no known device is refused.")
	} else {
		blocked, watched := chosen(s, household.Policy)
		fmt.Fprintf(w, "Every device that asks here has the profile %q (preset %s, %s).\n",
			profileNames(home)[household.Profile], household.Policy.Preset, household.Policy.Preset.Ages())
		fmt.Fprint(w, wrap("  Blocked and recorded:  ", blocked))
		if len(watched) > 0 {
			fmt.Fprint(w, wrap("  Allowed and recorded:  ", watched))
		}
	}
	fmt.Fprintf(w, "  %d services and %d names are listed. Help lines stay open, and are never recorded.\n", s.Index.Services(), s.Index.Names())
	k := commandPrefix(n.cfg)
	fmt.Fprintf(w, `
This applies to adults' devices too. To exempt one, by its address:
  %[1]s devices exempt 192.168.1.20

Try it, in another terminal:
  dig @%[2]s omegle.com%[3]s
  %[1]s explain omegle.com
  %[1]s incidents
  %[1]s lists directory
  %[1]s doctor
`, k, server.Addrs()[0].Addr(), digPort(server.Addrs()[0].Port()))
	if open := everybody(n.cfg.AllowNet); open != "" {
		fmt.Fprintf(w, "\nBE AWARE: allow-net %s is everybody. An open resolver is soon used to attack others; name your own networks.\n", open)
	}
	err := c.consoleBanner(ctx, n, set, n.serving.console)
	c.wholeHome(n, server, flags)
	return err
}

func digPort(port uint16) string {
	if port == 53 {
		return ""
	}
	return fmt.Sprintf(" -p %d", port)
}

// commandPrefix is how to call this program with this data folder.
func commandPrefix(c *config) string {
	if c.Data == defaultDataFolder() {
		return program()
	}
	return shellJoin([]string{program(), "--data", c.Data})
}

// shellJoin writes words as a line that a shell reads back as them.
func shellJoin(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = shellQuote(w)
	}
	return strings.Join(quoted, " ")
}

func shellQuote(word string) string {
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("-_./:=@,+%[]", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// wholeHome says how to serve the whole home, unless that is what runs.
func (c *cli) wholeHome(n *node, server *resolver.Server, flags *pflag.FlagSet) {
	for _, a := range server.Addrs() {
		if a.Port() == 53 && !a.Addr().IsLoopback() {
			fmt.Fprintf(c.out, "\nIn the router, hand out this machine's address as the home's only DNS server (DHCP).\n")
			return
		}
	}
	home := "ADDRESS-OF-THIS-MACHINE"
	if a, ok := homeAddress(); ok {
		home = a.String()
	}
	line := []string{program(), "serve", "--dns", net.JoinHostPort(home, "53"), "--data", n.cfg.Data}
	flags.Visit(func(f *pflag.Flag) { // as it was started, but for these two
		switch list, many := f.Value.(pflag.SliceValue); {
		case f.Name == "dns" || f.Name == "data":
		case many:
			for _, v := range list.GetSlice() {
				line = append(line, "--"+f.Name, v)
			}
		default:
			line = append(line, "--"+f.Name, f.Value.String())
		}
	})
	fmt.Fprintf(c.out, "\nTo serve the whole home, on port 53 (stop this one first, with Ctrl-C):\n"+
		"  sudo setcap cap_net_bind_service=+ep %s && %s\n"+
		"then, in the router, hand out %s as the home's only DNS server (DHCP).\n",
		shellQuote(program()), shellJoin(line), home)
	holders := port53Holders("/proc")
	if len(holders) == 0 {
		fmt.Fprintf(c.out, "Nothing holds port 53 now.\n")
	}
	for _, h := range holders {
		fmt.Fprintf(c.out, "%s holds port 53 on %s now. To let it go:\n     %s\n", h.who(), h.Address, letGo(h))
	}
}

// everybody returns the network among nets that holds all addresses, "" if none
// does.
func everybody(nets []string) string {
	for _, n := range nets {
		if p, err := netip.ParsePrefix(n); err == nil && p.Bits() == 0 {
			return n
		}
	}
	return ""
}

func upstreamWords(upstreams []string) string {
	if slices.Equal(upstreams, defaultConfig().Upstream) {
		return "Quad9, 9.9.9.9 and 149.112.112.112, over TLS"
	}
	return strings.Join(upstreams, " and ")
}

// wrap writes items after a heading, on lines of at most 100 characters that
// begin under the first item.
func wrap(heading string, items []string) string {
	var b strings.Builder
	b.WriteString(heading)
	margin := utf8.RuneCountInString(heading)
	at := margin
	for i, item := range items {
		if i < len(items)-1 {
			item += ";"
		}
		n := utf8.RuneCountInString(item)
		switch {
		case at == margin:
		case at+1+n > 100:
			b.WriteString("\n" + strings.Repeat(" ", margin))
			at = margin
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(item)
		at += n
	}
	return b.String() + "\n"
}

// chosen lists the names of the categories that a policy blocks and watches,
// the most serious first.
func chosen(s *policy.State, p *policy.Policy) (blocked, watched []string) {
	type ranked struct {
		rank int
		name string
	}
	var b, w []ranked
	for c, info := range s.Index.Categories() {
		switch r := (ranked{info.Rank, info.Name}); p.Category(blocklists.Category(c)).Action() {
		case policy.Block:
			b = append(b, r)
		case policy.Watch:
			w = append(w, r)
		}
	}
	names := func(rs []ranked) (out []string) {
		slices.SortFunc(rs, func(a, b ranked) int { return a.rank - b.rank })
		for _, r := range rs {
			out = append(out, r.name)
		}
		return out
	}
	return names(b), names(w)
}
