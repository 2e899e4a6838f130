package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"

	"github.com/spf13/cobra"

	"kinward/blocklists"
	"kinward/certs"
	"kinward/resolver"
)

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
	for _, key := range untilRestart(n.cfg, cfg) {
		n.log.Warn("a changed setting takes effect at the next start", "key", key)
	}
	set.home.Domain, _ = blocklists.ParseName(n.cfg.Leases.Domain) // with the leases, at the next start
	// This refuses what cannot be, before anything has changed.
	next := set.reloaded(n.serving.keeper, n.pageWith(set))
	if err := n.serving.server.Reconfigure(next); err != nil {
		return err
	}
	n.serving.inForce.Store(&next)
	if err := n.recompile(ctx); err != nil {
		return fmt.Errorf("the new upstreams, networks and block mode are in force, the lists are as they were: %w", err)
	}
	level.Set(set.level)
	return n.reloadCertificate(ctx)
}

// reloaded is what a reload takes of s.
func (s *settings) reloaded(k *certs.Keeper, page resolver.Page) resolver.Settings {
	return resolver.Settings{
		Upstreams: s.upstreams, Forward: s.forward, AllowNets: s.allowNets, Block: s.block, Home: s.home, Forwarders: s.forwarders,
		Zone: zoneWith(s.zone, k), Proxies: s.proxies, Page: page,
	}
}

// inForce is what a reload can change, as it is now: as the server goes by, or as it
// is configured where nothing serves. Nobody may change it.
func (n *node) inForce() (*resolver.Settings, error) {
	if n.serving != nil {
		if now := n.serving.inForce.Load(); now != nil {
			return now, nil
		}
	}
	set, err := n.cfg.resolve()
	if err != nil {
		return nil, err
	}
	now := set.reloaded(nil, set.page)
	return &now, nil
}

// untilRestart names the settings in which next differs from what the server was
// started with, and that it takes at its next start alone.
func untilRestart(was, next *config) (keys []string) {
	for _, fixed := range []struct {
		key     string
		changed bool
	}{
		{"data", next.Data != was.Data},
		{"dns", !slices.Equal(next.DNS, was.DNS)},
		{"dot", !slices.Equal(next.DoT, was.DoT)},
		{"doh", !slices.Equal(next.DoH, was.DoH)},
		{"doq", !slices.Equal(next.DoQ, was.DoQ)},
		{"proxy: web, for the console", was.Console != "" && !slices.Equal(next.Proxy.Web, was.Proxy.Web)},
		{"metrics", next.Metrics != was.Metrics},
		{"block-page", next.BlockPage != was.BlockPage},
		{"pprof", next.Pprof != was.Pprof},
		{"console", next.Console != was.Console},
		{"console-url", next.ConsoleURL != was.ConsoleURL},
		{"cache", next.Cache != was.Cache},
		{"leases", next.Leases != was.Leases},
		{"journal", next.Journal != was.Journal},
		{"limits", !reflect.DeepEqual(next.Limits, was.Limits)},
		{"lists", next.Lists != was.Lists},
		{"catalogue", next.Catalogue != was.Catalogue},
		{"tls: addresses, for discovery (DDR)", !slices.Equal(next.TLS.Addresses, was.TLS.Addresses)},
		{"tls", !reflect.DeepEqual(untilRestartTLS(next.TLS), untilRestartTLS(was.TLS))},
		{"acme", !reflect.DeepEqual(next.ACME, was.ACME)},
		{"alerts", next.Alerts != was.Alerts},
		{"log format", next.Log.Format != was.Log.Format},
	} {
		if fixed.changed {
			keys = append(keys, fixed.key)
		}
	}
	return keys
}

// untilRestartTLS is all of tls but the zone, which a reload takes.
func untilRestartTLS(t tlsConfig) tlsConfig {
	t.Addresses, t.NameServers = nil, nil
	return t
}
