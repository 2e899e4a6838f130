package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
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
	"kinward/policy"
	"kinward/resolver"
)

// serving is what a node has while it answers questions.
type serving struct {
	server   *resolver.Server
	journal  *journal.Journal
	watcher  *signals.Watcher
	registry *prometheus.Registry
	keeper   *certs.Keeper      // nil: no certificate is configured
	console  *console.Server    // nil: it is off, or not open yet
	page     *console.BlockPage // nil: it is served nowhere
	leases   *leaseWatcher
	web      *webServer
	control  *controlServer
	started  time.Time
	inForce  atomic.Pointer[resolver.Settings] // what a reload can change, as it is now
}

// openServing makes what serve runs, and takes its addresses; nothing is answered
// yet. The console is not among it: the first answers do not wait for its pages.
func (n *node) openServing(ctx context.Context, set *settings, started time.Time) (err error) {
	s := &serving{registry: prometheus.NewRegistry(), started: started}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	kept := ringing{n.db, &n.bells}
	s.journal, err = journal.New(journal.Config{Store: kept, Seen: n.db, Spool: set.spool, Logger: n.log, Registerer: s.registry})
	if err != nil {
		return err
	}
	if n.alerts, err = n.openAlerts(set, s.registry); err != nil {
		return err
	}
	tunnels := signals.NewTunnels()
	s.watcher, err = signals.New(signals.Config{
		Store: kept, Changes: s.journal.Changes(), LastSeen: s.journal.LastSeen, Tunnels: tunnels, Logger: n.log, Registerer: s.registry,
	})
	if err != nil {
		return err
	}
	if s.keeper, err = n.openKeeper(ctx, set, s.registry); err != nil {
		return explainBindError(err)
	}
	links, err := newLinkServer(n, s.registry)
	if err != nil {
		return err
	}
	s.server, err = resolver.New(resolver.Config{
		Listen: n.cfg.DNS, Upstreams: set.upstreams, Forward: set.forward, AllowNets: set.allowNets, Block: set.block,
		CacheBytes: int64(n.cfg.Cache.Megabytes) << 20, MinTTL: set.minTTL, MaxTTL: set.maxTTL,
		Home: set.home, Limits: set.limits, Zone: zoneWith(set.zone, s.keeper), Page: set.page,
		Secure: set.secure, TLS: tlsWith(s.keeper, set.clientRoots), Name: n.cfg.TLS.Name, Proxies: set.proxies,
		Forwarders: set.forwarders, Pages: links, PublicAddrs: set.zone.Addrs,
		State: n.current.Load, Log: s.journal, Watch: tunnels, Logger: n.log, Registerer: s.registry,
	})
	if err != nil {
		return explainBindError(err)
	}
	n.serving = s
	inForce := set.reloaded(s.keeper, set.page)
	s.inForce.Store(&inForce)
	s.server.SetDevices(n.hosts.Load())
	s.leases, err = newLeaseWatcher(&leaseWatcher{
		file: n.cfg.Leases.File, domain: set.home.Domain, most: n.cfg.Limits.Leases, log: n.log, set: s.server.SetLeases,
	}, s.registry)
	if err != nil {
		return err
	}
	if s.page, err = n.openBlockPage(set, s.registry); err != nil {
		return err
	}
	if s.web, err = listenHTTP(n.cfg.Metrics, n, s.registry); err != nil {
		return err
	}
	s.control, err = listenControl(n)
	return err
}

// close ends what has nothing to run with: all else ends with its Run.
func (s *serving) close() error {
	if s.keeper == nil {
		return nil
	}
	return s.keeper.Close()
}

// run answers questions until ctx ends or a part of what serves fails.
func (c *cli) run(ctx context.Context, n *node, set *settings, home *policy.Family, cmd *cobra.Command, level *slog.LevelVar) error {
	s := n.serving
	// The journal outlives the resolver, so that what the last answers attempted
	// is written; the sockets for commands and metrics close last.
	running, ended := errgroup.WithContext(ctx)
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	written := make(chan error, 1)
	running.Go(func() error { return s.server.Run(ended) })
	select {
	case <-s.server.Reading(): // the first answers need not wait for what comes now
	case <-ended.Done():
	}
	go func() { written <- s.journal.Run(writing) }()
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP) // from here on, lest an early one end the process
	defer signal.Stop(hangup)
	n.log.Debug("ready", "took", time.Since(s.started))
	n.collect() // before a list can change: compiling has its own pace, and goes back to this one
	// The first answers do not wait for what is done now and then, nor for the pages
	// and their texts.
	var err error
	if s.console, err = n.openConsole(ctx, set, s.keeper, s.registry); err != nil {
		running.Go(func() error { return err }) // ends what runs already
	} else {
		if err := c.banner(ctx, n, set, home, cmd.Flags()); err != nil {
			n.log.Error("the link that sets the console up could not be made", "error", err, "do", c.prefix+" console link")
		}
		running.Go(func() error { return c.reloadOnHangup(ended, hangup, n, cmd, level) })
		n.runRest(ended, running, set.refresh)
	}
	err = running.Wait()
	stopWriting()
	return errors.Join(err, <-written)
}

// runRest starts what the first answers did not wait for. refresh is how often
// lists are fetched.
func (n *node) runRest(ctx context.Context, running *errgroup.Group, refresh time.Duration) {
	s := n.serving
	run := func(part func(context.Context) error) { running.Go(func() error { return part(ctx) }) }
	run(s.watcher.Run)
	if s.keeper != nil {
		run(s.keeper.Run)
	}
	run(n.alerts.Run)
	if s.console != nil {
		run(s.console.Run)
	}
	if s.page != nil {
		run(s.page.Run)
	}
	run(s.leases.run)
	running.Go(s.control.run)
	running.Go(s.web.run)
	run(s.shut)
	run(func(ctx context.Context) error {
		hourly := time.NewTicker(forgetEvery)
		defer hourly.Stop()
		return (&forgetter{n.db, n.log, time.Now, hourly.C}).run(ctx)
	})
	run(func(ctx context.Context) error {
		ripen := time.NewTicker(ripenEvery)
		defer ripen.Stop()
		return (&ripener{n, time.Now, ripen.C}).run(ctx)
	})
	run(blocklists.NewRefresher(n.lists, blocklists.RefreshOptions{Every: refresh, Changed: n.recompile, Logger: n.log}).Run)
}

// shut closes the sockets for commands and metrics once ctx has ended.
func (s *serving) shut(ctx context.Context) error {
	<-ctx.Done()
	s.web.draining.Store(true)
	shut, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	// A command that takes longer is ended; its client is told by the cut.
	for _, stop := range []func(context.Context) error{s.control.server.Shutdown, s.web.shutdown} {
		if err := stop(shut); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
	}
	return s.control.server.Close()
}
