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
