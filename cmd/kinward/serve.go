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
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"kinward/blocklists"
	"kinward/certs"
	"kinward/console"
	"kinward/journal"
	"kinward/journal/signals"
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
	page     string                            // where the block page is served; "": nowhere
	inForce  atomic.Pointer[resolver.Settings] // what a reload can change, as it is now
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
	tunnels := signals.NewTunnels()
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
	inForce := set.reloaded(keeper, set.page)
	n.serving.inForce.Store(&inForce)
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
	running.Go(func() error { return server.Run(ended) })
	select {
	case <-server.Reading(): // the first answers need not wait for what comes now
	case <-ended.Done():
	}
	go func() { written <- j.Run(writing) }()
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
		log.Error("the link that sets the console up could not be made", "error", err, "do", c.prefix+" console link")
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
func explainBindError(err error) error { return explainBind(err, "/proc") }

func explainBind(err error, proc string) error {
	switch {
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w\nPorts below 1024 need a privilege. Give it to the program once with:\n  sudo setcap cap_net_bind_service=+ep %s", err, shellQuote(programFile(program())))
	case errors.Is(err, syscall.EADDRINUSE):
		text := fmt.Sprintf("%v\nAnother program has this address already.", err)
		if port := boundPort(err); port != 53 {
			return fmt.Errorf("%s To see which: sudo ss -lnptu 'sport = :%d'", text, port)
		}
		for _, h := range port53Holders(proc) {
			text += fmt.Sprintf("\n%s holds %s port 53. To let it go: %s", h.who(), h.Address, letGo(h))
		}
		return errors.New(text)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w\nThis machine has no such address; \"ip addr\" shows those that it has", err)
	}
	return err
}

// boundPort is the port that could not be had, 53 where the error does not say.
func boundPort(err error) uint16 {
	var op *net.OpError
	if errors.As(err, &op) {
		if at, ok := op.Addr.(interface{ AddrPort() netip.AddrPort }); ok {
			return at.AddrPort().Port()
		}
	}
	return 53
}

// program returns the path of this program as it was called, for printing.
func program() string {
	if strings.ContainsRune(os.Args[0], os.PathSeparator) {
		return os.Args[0]
	}
	return "kinward"
}

// programFile is where this program lies, as commands want it that look for no
// program by its name alone: setcap is one. called is what program returns.
func programFile(called string) string {
	if strings.ContainsRune(called, os.PathSeparator) {
		return called
	}
	if path, err := os.Executable(); err == nil {
		return path
	}
	return called
}
