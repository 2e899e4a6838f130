package main

import (
	"errors"
	"fmt"
	"time"

	"kinward/blocklists"
	"kinward/resolver"
	"kinward/resolver/upstream"
)

// forwardConfig sends a domain and all below it to servers of its own.
type forwardConfig struct {
	Domain   string   `mapstructure:"domain" yaml:"domain"`
	Upstream []string `mapstructure:"upstream" yaml:"upstream"`
}

type cacheConfig struct {
	Megabytes int    `mapstructure:"megabytes" yaml:"megabytes"`
	MinTTL    string `mapstructure:"min-ttl" yaml:"min-ttl"`
	MaxTTL    string `mapstructure:"max-ttl" yaml:"max-ttl"`
}

// defaultUpstreams are Quad9 over TLS: it validates signatures, and keeps out what
// is known for malware (quad9.net). Two entries, so that one that fails is noticed
// and spared.
var defaultUpstreams = []string{
	"tls://dns.quad9.net?ip=9.9.9.9",
	"tls://dns.quad9.net?ip=149.112.112.112",
}

// parseUpstreams reads the upstreams that stand under a key.
func parseUpstreams(key string, urls []string) (out []upstream.Spec, err error) {
	for _, u := range urls {
		parsed, err := upstream.Parse(u)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		out = append(out, parsed)
	}
	return out, nil
}

// parseRoutes reads which domains have upstreams of their own.
func parseRoutes(entries []forwardConfig) (out []resolver.Route, err error) {
	for _, f := range entries {
		if f.Domain == "" {
			return nil, errors.New("forward: an entry has no domain; write for example {domain: lan, upstream: [udp://192.168.1.1]}")
		}
		n, err := blocklists.ParseName(f.Domain)
		if err != nil {
			return nil, fmt.Errorf("forward: domain: %w", err)
		}
		r := resolver.Route{Domain: n}
		if r.Upstreams, err = parseUpstreams("forward: domain "+f.Domain, f.Upstream); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	if err := resolver.CheckRoutes(out); err != nil {
		return nil, fmt.Errorf("forward: %w", err)
	}
	return out, nil
}

// check reads the cache's bounds.
func (c cacheConfig) check() (least, most time.Duration, err error) {
	if c.Megabytes < 1 || c.Megabytes > 65536 {
		return 0, 0, fmt.Errorf("megabytes: %d is not between 1 and 65536", c.Megabytes)
	}
	if least, err = parseTTL(c.MinTTL, 0, resolver.MaxLeastTTL); err != nil {
		return 0, 0, fmt.Errorf("min-ttl: %w", err)
	}
	if most, err = parseTTL(c.MaxTTL, time.Second, 24*time.Hour); err != nil {
		return 0, 0, fmt.Errorf("max-ttl: %w", err)
	}
	if least > most {
		return 0, 0, fmt.Errorf("min-ttl: %s is more than max-ttl, %s", c.MinTTL, c.MaxTTL)
	}
	return least, most, nil
}

// parseTTL reads a span of whole seconds.
func parseTTL(s string, least, most time.Duration) (time.Duration, error) {
	d, err := parseSpan(s)
	if err != nil {
		return 0, err
	}
	if d < least || d > most || d%time.Second != 0 {
		return 0, fmt.Errorf("%q is not a number of seconds between %v and %v; write it like 30s, 5m or 1h", s, least, most)
	}
	return d, nil
}
