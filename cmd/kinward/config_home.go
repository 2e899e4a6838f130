package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"kinward/blocklists"
	"kinward/resolver"
)

// leasesConfig says where the router or this machine keeps its DHCP leases, and
// in which domain devices have their names.
type leasesConfig struct {
	File   string `mapstructure:"file" yaml:"file"`
	Domain string `mapstructure:"domain" yaml:"domain"`
}

// limitsConfig bounds what strangers, broken devices and broken networks can
// make the program do or hold. The table "Limits" of docs/operators.md has a
// line for each.
type limitsConfig struct {
	Rate         int      `mapstructure:"rate" yaml:"rate"`
	RateBurst    int      `mapstructure:"rate-burst" yaml:"rate-burst"`
	RateSlip     int      `mapstructure:"rate-slip" yaml:"rate-slip"`
	RateIPv4     int      `mapstructure:"rate-ipv4" yaml:"rate-ipv4"`
	RateIPv6     int      `mapstructure:"rate-ipv6" yaml:"rate-ipv6"`
	RateNetworks int      `mapstructure:"rate-networks" yaml:"rate-networks"`
	RateExempt   []string `mapstructure:"rate-exempt" yaml:"rate-exempt"`

	Questions       int    `mapstructure:"questions" yaml:"questions"`
	UpstreamSockets int    `mapstructure:"upstream-sockets" yaml:"upstream-sockets"`
	QuestionTime    string `mapstructure:"question-time" yaml:"question-time"`
	UpstreamTime    string `mapstructure:"upstream-time" yaml:"upstream-time"`
	MessageBytes    int    `mapstructure:"message-bytes" yaml:"message-bytes"`

	TCPConnections          int    `mapstructure:"tcp-connections" yaml:"tcp-connections"`
	TCPConnectionsPerClient int    `mapstructure:"tcp-connections-per-client" yaml:"tcp-connections-per-client"`
	TCPQuestions            int    `mapstructure:"tcp-questions" yaml:"tcp-questions"`
	TCPIdle                 string `mapstructure:"tcp-idle" yaml:"tcp-idle"`
	TCPRead                 string `mapstructure:"tcp-read" yaml:"tcp-read"`
	TCPWrite                string `mapstructure:"tcp-write" yaml:"tcp-write"`

	TLSConnections          int    `mapstructure:"tls-connections" yaml:"tls-connections"`
	TLSConnectionsPerClient int    `mapstructure:"tls-connections-per-client" yaml:"tls-connections-per-client"`
	TLSIdle                 string `mapstructure:"tls-idle" yaml:"tls-idle"`
	TLSHandshake            string `mapstructure:"tls-handshake" yaml:"tls-handshake"`

	Leases int `mapstructure:"leases" yaml:"leases"`
}

// defaultLimits are the resolver's own. Whoever asks from this machine is not
// limited: nobody else can use its address, and a forwarder on it asks for all.
func defaultLimits() limitsConfig {
	d := resolver.DefaultLimits()
	return limitsConfig{
		Rate: d.Rate.PerSecond, RateBurst: d.Rate.Burst, RateSlip: d.Rate.Slip,
		RateIPv4: d.Rate.IPv4Bits, RateIPv6: d.Rate.IPv6Bits, RateNetworks: d.Rate.Networks,
		RateExempt: []string{"127.0.0.0/8", "::1/128"},

		Questions: d.InFlight, UpstreamSockets: d.UpstreamSockets, MessageBytes: d.Message,
		QuestionTime: d.QueryDeadline.String(), UpstreamTime: d.AttemptTimeout.String(),

		TCPConnections: d.TCPConns, TCPConnectionsPerClient: d.TCPConnsPerClient, TCPQuestions: d.TCPInFlight,
		TCPIdle: d.TCPIdle.String(), TCPRead: d.TCPRead.String(), TCPWrite: d.TCPWrite.String(),

		TLSConnections: d.TLSConns, TLSConnectionsPerClient: d.TLSConnsPerClient,
		TLSIdle: d.TLSIdle.String(), TLSHandshake: d.TLSHandshake.String(),

		Leases: 4096,
	}
}

// resolve checks the limits. Their ends are what a machine can hold, and what a
// home can still work with.
func (c limitsConfig) resolve() (l resolver.Limits, err error) {
	l.Rate.PerSecond, l.Rate.Slip = c.Rate, c.RateSlip
	if c.Rate == 0 {
		l.Rate.PerSecond = -1
	}
	if c.RateSlip == 0 {
		l.Rate.Slip = -1
	}
	for _, n := range []struct {
		key         string
		value       int
		to          *int
		least, most int
	}{
		{"rate", c.Rate, nil, 0, 1_000_000},
		{"rate-burst", c.RateBurst, &l.Rate.Burst, 1, 1_000_000},
		{"rate-slip", c.RateSlip, nil, 0, 100},
		{"rate-ipv4", c.RateIPv4, &l.Rate.IPv4Bits, 8, 32},
		{"rate-ipv6", c.RateIPv6, &l.Rate.IPv6Bits, 32, 128},
		{"rate-networks", c.RateNetworks, &l.Rate.Networks, 1024, 1 << 24},
		{"questions", c.Questions, &l.InFlight, 16, 1 << 20},
		{"upstream-sockets", c.UpstreamSockets, &l.UpstreamSockets, 4, 60_000},
		{"message-bytes", c.MessageBytes, &l.Message, 512, 65535},
		{"tcp-connections", c.TCPConnections, &l.TCPConns, 1, 1 << 20},
		{"tcp-connections-per-client", c.TCPConnectionsPerClient, &l.TCPConnsPerClient, 1, 1 << 20},
		{"tcp-questions", c.TCPQuestions, &l.TCPInFlight, 1, 1024},
		{"tls-connections", c.TLSConnections, &l.TLSConns, 1, 1 << 20},
		{"tls-connections-per-client", c.TLSConnectionsPerClient, &l.TLSConnsPerClient, 1, 1 << 20},
		{"leases", c.Leases, nil, 1, 1 << 20},
	} {
		if n.value < n.least || n.value > n.most {
			return l, fmt.Errorf("%s: %d is not between %d and %d", n.key, n.value, n.least, n.most)
		}
		if n.to != nil {
			*n.to = n.value
		}
	}
	for _, d := range []struct {
		key, value  string
		to          *time.Duration
		least, most time.Duration
	}{
		{"question-time", c.QuestionTime, &l.QueryDeadline, 500 * time.Millisecond, time.Minute},
		{"upstream-time", c.UpstreamTime, &l.AttemptTimeout, 100 * time.Millisecond, time.Minute},
		{"tcp-idle", c.TCPIdle, &l.TCPIdle, time.Second, time.Hour},
		{"tcp-read", c.TCPRead, &l.TCPRead, 100 * time.Millisecond, time.Minute},
		{"tcp-write", c.TCPWrite, &l.TCPWrite, 100 * time.Millisecond, time.Minute},
		{"tls-idle", c.TLSIdle, &l.TLSIdle, time.Second, time.Hour},
		{"tls-handshake", c.TLSHandshake, &l.TLSHandshake, 500 * time.Millisecond, time.Minute},
	} {
		if *d.to, err = parseSpan(d.value); err != nil {
			return l, fmt.Errorf("%s: %w", d.key, err)
		}
		if *d.to < d.least || *d.to > d.most {
			return l, fmt.Errorf("%s: %s is not between %v and %v", d.key, d.value, d.least, d.most)
		}
	}
	for _, n := range c.RateExempt {
		p, err := parseNetwork(n)
		if err != nil {
			return l, fmt.Errorf("rate-exempt: %w", err)
		}
		l.Rate.Exempt = append(l.Rate.Exempt, p)
	}
	return l, nil
}

// resolveHome reads what Kinward is to know of the home by itself.
func (c *config) resolveHome() (h resolver.Home, err error) {
	if h.Records, err = resolver.ParseRecords(c.Records); err != nil {
		return h, fmt.Errorf("records: %w", err)
	}
	for _, text := range c.RebindAllow {
		n, err := blocklists.ParseName(text)
		if err == nil && n == "" {
			err = errors.New("the root is every name; name the domains that may have addresses of the home")
		}
		if err != nil {
			return h, fmt.Errorf("rebind-allow: %w", err)
		}
		h.RebindAllow = append(h.RebindAllow, n)
	}
	if h.Domain, err = blocklists.ParseName(c.Leases.Domain); err != nil {
		return h, fmt.Errorf("leases: domain: %w", err)
	}
	switch {
	case h.Domain == "":
		return h, errors.New("leases: domain: devices need one for their names, for example home.arpa")
	case resolver.AnswersItself(h.Domain):
		return h, fmt.Errorf("leases: domain: %s is a special name; take home.arpa (RFC 8375)", h.Domain)
	case c.Leases.File != "" && !filepath.IsAbs(c.Leases.File):
		return h, fmt.Errorf("leases: file: %q is not an absolute path; write it like /var/lib/misc/dnsmasq.leases", c.Leases.File)
	}
	return h, nil
}
