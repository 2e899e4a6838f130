package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"kinward/certs"
	"kinward/journal/alerts"
	"kinward/journal/spool"
	"kinward/policy"
	"kinward/resolver"
	"kinward/resolver/upstream"
)

// config is everything an operator can set. Each value comes from the first of
// these that gives it: a flag, a KINWARD_… variable, the YAML file, the default.
type config struct {
	Data        string          `mapstructure:"data" yaml:"data"`
	DNS         []string        `mapstructure:"dns" yaml:"dns"`
	DoT         []string        `mapstructure:"dot" yaml:"dot"`
	DoH         []string        `mapstructure:"doh" yaml:"doh"`
	DoQ         []string        `mapstructure:"doq" yaml:"doq"`
	Proxy       proxyConfig     `mapstructure:"proxy" yaml:"proxy"`
	Upstream    []string        `mapstructure:"upstream" yaml:"upstream"`
	Forward     []forwardConfig `mapstructure:"forward" yaml:"forward"`
	Metrics     string          `mapstructure:"metrics" yaml:"metrics"`
	Pprof       bool            `mapstructure:"pprof" yaml:"pprof"`
	Console     string          `mapstructure:"console" yaml:"console"`
	ConsoleURL  string          `mapstructure:"console-url" yaml:"console-url"`
	AllowNet    []string        `mapstructure:"allow-net" yaml:"allow-net"`
	Block       string          `mapstructure:"block" yaml:"block"`
	BlockPage   string          `mapstructure:"block-page" yaml:"block-page"`
	Portal      []string        `mapstructure:"portal" yaml:"portal"`
	Forwarders  []string        `mapstructure:"forwarders" yaml:"forwarders"`
	Cache       cacheConfig     `mapstructure:"cache" yaml:"cache"`
	Records     []string        `mapstructure:"records" yaml:"records"`
	RebindAllow []string        `mapstructure:"rebind-allow" yaml:"rebind-allow"`
	Leases      leasesConfig    `mapstructure:"leases" yaml:"leases"`
	Limits      limitsConfig    `mapstructure:"limits" yaml:"limits"`
	Journal     journalConfig   `mapstructure:"journal" yaml:"journal"`
	Lists       listsConfig     `mapstructure:"lists" yaml:"lists"`
	Catalogue   catalogueConfig `mapstructure:"catalogue" yaml:"catalogue"`
	TLS         tlsConfig       `mapstructure:"tls" yaml:"tls"`
	ACME        acmeConfig      `mapstructure:"acme" yaml:"acme"`
	Alerts      alertsConfig    `mapstructure:"alerts" yaml:"alerts"`
	Log         logConfig       `mapstructure:"log" yaml:"log"`
}

type listsConfig struct {
	AllowPrivate bool   `mapstructure:"allow-private" yaml:"allow-private"`
	Refresh      string `mapstructure:"refresh" yaml:"refresh"`
}

// catalogueConfig says where updates of the catalogue come from and who signs
// them. Without a key there are none.
type catalogueConfig struct {
	Source string `mapstructure:"source" yaml:"source"`
	Key    string `mapstructure:"key" yaml:"key"`
}

type logConfig struct {
	Level  string `mapstructure:"level" yaml:"level"`
	Format string `mapstructure:"format" yaml:"format"`
}

// check returns the level from which on something is logged.
func (c logConfig) check() (level slog.Level, err error) {
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		return level, fmt.Errorf("level: %q is not debug, info, warn or error", c.Level)
	}
	if !slices.Contains([]string{"text", "json"}, c.Format) {
		return level, fmt.Errorf("format: %q is not text or json", c.Format)
	}
	return level, nil
}

// defaultConfig is the one place of defaults.
func defaultConfig() config {
	return config{
		Data: defaultDataFolder(),
		DNS:  []string{"127.0.0.1:1053"},
		DoT:  []string{}, DoH: []string{}, DoQ: []string{},
		Proxy:    proxyConfig{Trust: []string{}, Web: []string{}},
		Upstream: slices.Clone(defaultUpstreams),
		Forward:  []forwardConfig{},
		Metrics:  "127.0.0.1:9153",
		Console:  "127.0.0.1:8053",
		// Loopback, private, link-local and unique-local ranges: never an open resolver.
		// Not 100.64.0.0/10: who has such an address can be another customer of the carrier.
		AllowNet: []string{
			"127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",
			"169.254.0.0/16", "fe80::/10", "fc00::/7",
		},
		Block:      "nxdomain",
		Portal:     []string{},
		Forwarders: []string{},
		Cache:      cacheConfig{Megabytes: 64, MinTTL: "0s", MaxTTL: "24h"},
		Records:    []string{}, RebindAllow: []string{},
		Leases: leasesConfig{Domain: "home.arpa"},
		Limits: defaultLimits(), Journal: journalConfig{Ring: 8, Spool: 256},
		Lists:  listsConfig{Refresh: "24h"},
		TLS:    tlsConfig{Addresses: []string{}, NameServers: []string{}},
		ACME:   acmeConfig{Directory: certs.LetsEncrypt, Challenge: []string{}, HTTP: "[::]:80", TLSALPN: "[::]:443", CAA: []string{}},
		Alerts: defaultAlerts(),
		Log:    logConfig{Level: "info", Format: "text"},
	}
}

// defaultDataFolder follows the XDG base directory specification's state home.
// Where no home is known it is empty, and --data must be given.
func defaultDataFolder() string {
	if d := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(d) {
		return filepath.Join(d, "kinward")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".local", "state", "kinward")
}

// keySep separates the levels of a key inside viper. It is not the usual dot,
// because names with dots are data here.
const keySep = "::"

// loadConfig reads the configuration. path may be empty: no file. flags holds
// the flags of the command that runs; those that were set win.
func loadConfig(path string, flags *pflag.FlagSet, environ []string) (*config, error) {
	v := viper.NewWithOptions(viper.KeyDelimiter(keySep))
	v.SetConfigType("yaml")
	keys := configKeys()
	for _, k := range keys {
		v.SetDefault(k.name, k.value)
	}
	if path != "" {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, &codedError{exitNothing, fmt.Errorf("reading configuration %s: there is no such file", path)}
		} else if err != nil {
			return nil, fmt.Errorf("reading configuration: %w", err)
		}
		if err := checkYAML(path, text); err != nil {
			return nil, err
		}
		if err := v.ReadConfig(strings.NewReader(string(text))); err != nil {
			return nil, fmt.Errorf("reading configuration %s: %w", path, err)
		}
	}
	if err := bindEnvironment(v, keys, environ); err != nil {
		return nil, err
	}
	for _, k := range keys {
		f := flags.Lookup(k.flag())
		if f == nil || !f.Changed {
			continue
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			v.Set(k.name, list.GetSlice())
		} else {
			v.Set(k.name, f.Value.String())
		}
	}
	c := &config{}
	if err := v.UnmarshalExact(c); err != nil {
		return nil, fmt.Errorf("reading configuration: %w", err)
	}
	if _, err := c.resolve(); err != nil {
		return nil, err
	}
	return c, nil
}

// settings is the configuration in the types that the rooms take.
type settings struct {
	upstreams  []upstream.Spec
	forward    []resolver.Route
	minTTL     time.Duration
	maxTTL     time.Duration
	allowNets  []netip.Prefix
	block      policy.BlockMode
	page       resolver.Page
	blockPage  string // where it is served; "": nowhere
	forwarders []netip.Prefix
	home       resolver.Home
	limits     resolver.Limits
	secure     []resolver.SecureListen
	proxies    resolver.Proxies
	spool      spool.Config
	refresh    time.Duration // how often lists are looked for; 0: never
	zone       resolver.Zone
	certs      *certs.Config // nil: none; without what only serve has
	// clientRoots are the authorities of clients' certificates; nil: none is asked for.
	clientRoots *x509.CertPool
	smtp        alerts.SMTP // without a host: no e-mail
	consoleURL  *url.URL    // as it was set; nil: it was not
	level       slog.Level
}

// resolve checks the configuration as a whole. Every error names the key, the
// value and what would be right.
func (c *config) resolve() (*settings, error) {
	s := &settings{}
	err := c.checkPlaces()
	if err != nil {
		return nil, err
	}
	if err := c.resolveUpstreams(s); err != nil {
		return nil, err
	}
	if err := c.resolveAskers(s); err != nil {
		return nil, err
	}
	if s.block, err = policy.ParseBlockMode(c.Block); err != nil {
		return nil, fmt.Errorf("block: %w", err)
	}
	if err := c.resolvePage(s); err != nil {
		return nil, err
	}
	if s.minTTL, s.maxTTL, err = c.Cache.check(); err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	if s.home, err = c.resolveHome(); err != nil {
		return nil, err
	}
	if s.limits, err = c.Limits.resolve(); err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	if err := c.Catalogue.check(); err != nil {
		return nil, fmt.Errorf("catalogue: %w", err)
	}
	if err := c.resolveCertificates(s); err != nil {
		return nil, err
	}
	if err := c.resolveSecure(s); err != nil {
		return nil, err
	}
	if err := c.resolveConsole(s); err != nil {
		return nil, err
	}
	if err := checkTaken(c.listeners(s)); err != nil {
		return nil, err
	}
	if s.smtp, err = c.Alerts.check(); err != nil {
		return nil, fmt.Errorf("alerts: %w", err)
	}
	if s.spool, err = c.Journal.resolve(c.Data); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	if s.refresh, err = parseRefresh(c.Lists.Refresh); err != nil {
		return nil, fmt.Errorf("lists: refresh: %w", err)
	}
	if s.level, err = c.Log.check(); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return s, nil
}

// checkPlaces checks where Kinward keeps what it has, and where it listens without
// encryption.
func (c *config) checkPlaces() error {
	if c.Data == "" {
		return errors.New("data: no folder is given and no home directory is known; give one with --data")
	}
	if len(c.DNS) == 0 {
		return errors.New("dns: give at least one address to listen on, for example 127.0.0.1:1053")
	}
	for _, a := range c.DNS {
		if err := checkListenAddr("dns", a); err != nil {
			return err
		}
	}
	if c.Metrics != "" {
		if err := checkListenAddr("metrics", c.Metrics); err != nil {
			return err
		}
	}
	if c.Pprof && c.Metrics == "" {
		return errors.New("pprof: profiles are served beside the metrics, which are off; set metrics to an address, for example 127.0.0.1:9153")
	}
	return nil
}

// resolveUpstreams reads who is asked for what is allowed.
func (c *config) resolveUpstreams(s *settings) (err error) {
	if len(c.Upstream) == 0 {
		return fmt.Errorf("upstream: give at least one server that resolves what is allowed, for example %s", defaultUpstreams[0])
	}
	if s.upstreams, err = parseUpstreams("upstream", c.Upstream); err != nil {
		return err
	}
	s.forward, err = parseRoutes(c.Forward)
	return err
}

// resolveAskers reads who may ask, and whose word is taken about who asks.
func (c *config) resolveAskers(s *settings) (err error) {
	if len(c.AllowNet) == 0 {
		return errors.New("allow-net: nobody may ask; give at least one network, for example 192.168.0.0/16")
	}
	for _, n := range c.AllowNet {
		p, err := parseNetwork(n)
		if err != nil {
			return fmt.Errorf("allow-net: %w", err)
		}
		s.allowNets = append(s.allowNets, p)
	}
	if s.forwarders, err = parseForwarders(c.Forwarders); err != nil {
		return fmt.Errorf("forwarders: %w", err)
	}
	return nil
}

// parseForwarders reads whose word is taken about who asks.
func parseForwarders(list []string) (out []netip.Prefix, err error) {
	for _, n := range list {
		p, err := parseNetwork(n)
		if err != nil {
			return nil, err
		}
		if p.Bits() == 0 {
			return nil, fmt.Errorf("%s is everybody; name the routers and relays that say who asks", p)
		}
		out = append(out, p)
	}
	return out, nil
}

// parseRefresh reads how often lists are looked for.
func parseRefresh(s string) (time.Duration, error) {
	if s == "0" {
		return 0, nil
	}
	d, err := parseSpan(s)
	if err != nil {
		return 0, err
	}
	if d < time.Hour || d > 90*24*time.Hour {
		return 0, fmt.Errorf("%q is not between 1h and 90d; \"0\" is never", s)
	}
	return d, nil
}

// parseNetwork reads "192.168.0.0/16", or an address alone as a network of one.
func parseNetwork(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a.Unmap().WithZone(""), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%q is not a network; write it like 192.168.0.0/16 or 192.168.1.20", s)
	}
	if p.Masked() != p {
		return p, fmt.Errorf("%q has bits set beyond its length; did you mean %s?", s, p.Masked())
	}
	return p, nil
}
