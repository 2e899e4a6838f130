package main

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"kinward/resolver"
)

func yamlOf(t *testing.T, c *config) string {
	t.Helper()
	b, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kinward.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func settingFlags(t *testing.T, args ...string) *pflag.FlagSet {
	t.Helper()
	cmd := &cobra.Command{}
	addSettingFlags(cmd)
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return cmd.Flags()
}

func TestConfigLayers(t *testing.T) {
	path := writeConfig(t, "dns: [127.0.0.1:2053]\nupstream: [udp://192.0.2.1]\nmetrics: 127.0.0.1:2153\ncache:\n  megabytes: 8\n")
	got, err := loadConfig(path, settingFlags(t, "--dns", "127.0.0.1:4053", "--dns", "[::1]:4053"),
		[]string{"KINWARD_DNS=127.0.0.1:3053", "KINWARD_UPSTREAM=udp://192.0.2.2, tcp://192.0.2.3", "KINWARD_DATA=/srv/kinward", "HOME=/"})
	if err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	want.DNS = []string{"127.0.0.1:4053", "[::1]:4053"}            // flag over variable over file
	want.Upstream = []string{"udp://192.0.2.2", "tcp://192.0.2.3"} // variable over file
	want.Metrics, want.Cache.Megabytes = "127.0.0.1:2153", 8       // file over default
	want.Data = "/srv/kinward"
	if d := cmp.Diff(&want, got); d != "" {
		t.Errorf("loadConfig (-want +got):\n%s", d)
	}
}

// TestSharePort: what one port cannot have both.
func TestSharePort(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"127.0.0.1:53", "127.0.0.1:53", true},
		{"127.0.0.1:53", "[::ffff:127.0.0.1]:53", true},
		{"127.0.0.1:53", "127.0.0.2:53", false},
		{"127.0.0.1:53", "127.0.0.1:54", false},
		{"127.0.0.1:0", "127.0.0.1:0", false}, // any that is free
		{"[::]:53", "0.0.0.0:53", true},
		{"[::]:53", "127.0.0.1:53", true},
		{"[::]:53", "[::1]:53", true},
		{"0.0.0.0:53", "127.0.0.1:53", true},
		{"0.0.0.0:53", "[::1]:53", false},
	} {
		a, b := netip.MustParseAddrPort(tt.a), netip.MustParseAddrPort(tt.b)
		if sharePort(a, b) != tt.want || sharePort(b, a) != tt.want {
			t.Errorf("sharePort(%s, %s) is not %v", a, b, tt.want)
		}
	}
}

// TestListenersBesideEachOther: TCP and UDP have ports of their own, and so has each
// address.
func TestListenersBesideEachOther(t *testing.T) {
	const text = "dot: ['[::]:853']\ndoq: ['[::]:853']\ndoh: ['0.0.0.0:443', '[::1]:443']\nconsole: 127.0.0.1:8053\nmetrics: 127.0.0.2:8053\n" +
		"tls: {name: dns.example.org, self-signed: true}\n"
	if _, err := loadConfig(writeConfig(t, text), settingFlags(t), nil); err != nil {
		t.Error(err)
	}
}

func TestConfigRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, yaml string
		want       []string
	}{
		{"an unknown key, with its line and the nearest", "dns: [127.0.0.1:53]\nupstraem: [udp://192.0.2.1]\n", []string{"line 2", `"upstraem"`, `"upstream"`}},
		{"an unknown key further in", "cache:\n  megabyts: 5\n", []string{"line 2", `"megabyts"`, `"megabytes"`}},
		{"a key twice", "metrics: 127.0.0.1:1\nmetrics: 127.0.0.1:2\n", []string{"metrics"}},
		{"a key twice in another case", "metrics: 127.0.0.1:1\nMetrics: 127.0.0.1:2\n", []string{"line 2", `"Metrics"`, "line 1"}},
		{"a key in another case alone", "Metrics: 127.0.0.1:2\n", []string{"line 1", `"Metrics"`, `"metrics"`}},
		{"a fraction for a whole number", "cache:\n  megabytes: 5.9\n", []string{"line 2", "5.9", "whole number"}},
		{"an empty text for a number", "cache:\n  megabytes: ''\n", []string{"line 2", "whole number"}},
		{"a number in quotes", "cache:\n  megabytes: '12'\n", []string{"line 2", "whole number"}},
		{"a text for a list", "dns: 127.0.0.1:53\n", []string{"line 1", "dns", "list"}},
		{"a number for a text", "data: 5\n", []string{"line 1", "data", "text"}},
		{"a text for yes or no", "lists:\n  allow-private: 'yes'\n", []string{"line 2", "true or false"}},
		{"nothing for a list", "dns:\n", []string{"line 1", "dns", "list"}},
		{"nothing for a text", "metrics:\n", []string{"line 1", "metrics has no value"}},
		{"no mapping", "- dns\n", []string{"line 1", "keys"}},
		{"profiles without metrics", "metrics: ''\npprof: true\n", []string{"pprof", "metrics"}},
		{"a second document", "block: nxdomain\n---\nblok: 3\n", []string{"line", "second document"}},
		{"one address twice", "dns: ['[::]:53', '0.0.0.0:53']\n", []string{"dns", "0.0.0.0:53", "[::]:53"}},
		{"the console where DNS answers", "console: 127.0.0.1:1053\n", []string{"console", "127.0.0.1:1053", "taken already, by dns"}},
		{"the metrics where the console answers", "metrics: 127.0.0.1:8053\n", []string{"127.0.0.1:8053", "taken already, by metrics"}},
		{"the console where DoT answers, by another word for all", "dot: ['[::]:853']\nconsole: 0.0.0.0:853\ntls: {name: dns.example.org, self-signed: true}\n", []string{"console: 0.0.0.0:853", "taken already, by dot: [::]:853", "its own port"}},
		{"the console on all where DNS answers over IPv6", "dns: ['[::1]:8053']\nconsole: 0.0.0.0:8053\n", []string{"console: 0.0.0.0:8053", "taken already, by dns: [::1]:8053"}},
		{"DoQ where DNS answers on all", "dns: ['[::]:853']\ndoq: ['192.168.1.10:853']\ntls: {name: dns.example.org, self-signed: true}\n", []string{"doq: 192.168.1.10:853", "taken already, by dns: [::]:853"}},
		{"DoH twice", "doh: ['[::]:443', '127.0.0.1:443']\ntls: {name: dns.example.org, self-signed: true}\n", []string{"doh: 127.0.0.1:443", "taken already, by doh: [::]:443", "[::] alone"}},
		{"the console where certificates are proven", "console: 127.0.0.1:80\ntls: {name: dns.example.org}\nacme: {challenge: [http-01], email: a@example.org}\n", []string{"console: 127.0.0.1:80", "taken already, by acme: http: [::]:80"}},
		{"the block page where DNS answers", "dns: ['127.0.0.1:80']\nblock-page: 127.0.0.1\n", []string{"block-page", "127.0.0.1:80", "taken already, by dns"}},
		{"no YAML", "dns: [\n", []string{"line", "close each ["}},
		{"a tab before the first key", "\tdns: [127.0.0.1:53]\n", []string{"line 1", "spaces and not tabs"}},
		{"a tab before a key", "cache:\n\tmegabytes: 5\n", []string{"line 2", "spaces and not tabs"}},
		{"an address without a port", "dns: [192.168.1.1]\n", []string{"dns", "192.168.1.1", "127.0.0.1:1053"}},
		{"a host name without addresses", "upstream: ['tls://dns.quad9.net']\n", []string{"upstream", "tls://dns.quad9.net", "?ip="}},
		{"a domain without upstreams", "forward:\n  - domain: lan\n", []string{"forward", "lan", "no upstream"}},
		{"upstreams without a domain", "forward:\n  - upstream: [udp://192.168.1.1]\n", []string{"forward", "no domain", "domain: lan"}},
		{"a domain twice, in two spellings", "forward:\n  - {domain: lan, upstream: [192.168.1.1]}\n  - {domain: LAN., upstream: [192.168.1.2]}\n", []string{"forward", "lan", "twice"}},
		{"a domain that nobody is asked for", "forward:\n  - {domain: a.onion, upstream: [192.168.1.1]}\n", []string{"forward", "a.onion", "RFC 7686"}},
		{"the way past the filter", "forward:\n  - {domain: resolver.arpa, upstream: [192.168.1.1]}\n", []string{"forward", "resolver.arpa", "RFC 9462"}},
		{"a domain's upstream without an address", "forward:\n  - {domain: lan, upstream: [router.lan]}\n", []string{"forward", "lan", "router.lan", "?ip="}},
		{"a mistyped key of a domain", "forward:\n  - {domain: lan, upstreams: [192.168.1.1]}\n", []string{"line 2", `"upstreams"`, `"upstream"`}},
		{"a domain that is no text", "forward:\n  - {domain: 5, upstream: [192.168.1.1]}\n", []string{"line 2", "domain", "text"}},
		{"answers kept for longer than their owners could want", "cache:\n  min-ttl: 2h\n", []string{"cache: min-ttl", "2h", "1h"}},
		{"answers not kept at all", "cache:\n  max-ttl: 0s\n", []string{"cache: max-ttl", "0s", "1s"}},
		{"a floor above the cap", "cache:\n  min-ttl: 10m\n  max-ttl: 5m\n", []string{"cache: min-ttl", "10m", "5m"}},
		{"a part of a second", "cache:\n  max-ttl: 1500ms\n", []string{"cache: max-ttl", "1500ms"}},
		{"a network with bits beyond its length", "allow-net: [192.168.1.1/16]\n", []string{"allow-net", "192.168.0.0/16"}},
		{"no network", "allow-net: []\n", []string{"allow-net", "nobody"}},
		{"an unknown block mode", "block: maybe\n", []string{"block", "maybe", "nxdomain"}},
		{"a block page that is nowhere", "block-page: here\n", []string{"block-page", "here", "192.168.1.10"}},
		{"a block page where metrics are", "block-page: 127.0.0.1:9153\n", []string{"block-page", "127.0.0.1:9153", "metrics"}},
		{"a block page where certificates are proven", "block-page: 192.168.1.10\ntls: {name: dns.example.org}\nacme: {challenge: [http-01], email: a@example.org}\n", []string{"block-page", "192.168.1.10:80", "acme: http"}},
		{"a portal without an address", "portal: [kinward]\n", []string{"portal", "kinward", "192.168.1.10"}},
		{"a portal that needs an interface", "portal: ['fe80::1']\n", []string{"portal", "fe80::1"}},
		{"a portal of two addresses of a kind", "portal: [192.168.1.10, 192.168.1.11]\n", []string{"portal", "192.168.1.11", "one IPv4"}},
		{"no cache", "cache:\n  megabytes: 0\n", []string{"megabytes", "0"}},
		{"lists refreshed too often", "lists:\n  refresh: 30m\n", []string{"lists: refresh", "30m", "1h"}},
		{"lists refreshed by no span", "lists:\n  refresh: daily\n", []string{"lists: refresh", "daily", "7d"}},
		{"a number for a span", "lists:\n  refresh: 24\n", []string{"line 2", "refresh", "text"}},
		{"a record that is none", "records: [nas.home.arpa A here]\n", []string{"records", "nas.home.arpa A here", "no record"}},
		{"everything behind the guard", "rebind-allow: [.]\n", []string{"rebind-allow", "root"}},
		{"leases without a whole path", "leases:\n  file: dnsmasq.leases\n", []string{"leases: file", "dnsmasq.leases", "absolute"}},
		{"devices in a special domain", "leases:\n  domain: localhost\n", []string{"leases: domain", "localhost", "home.arpa"}},
		{"a limit below its least", "limits:\n  questions: 0\n", []string{"limits: questions", "16"}},
		{"a limit of time that is none", "limits:\n  tcp-idle: soon\n", []string{"limits: tcp-idle", "soon"}},
		{"a limit of time beyond its most", "limits:\n  question-time: 2h\n", []string{"limits: question-time", "2h", "1m"}},
		{"an exempt network that is none", "limits:\n  rate-exempt: [here]\n", []string{"limits: rate-exempt", "here"}},
		{"an unknown limit", "limits:\n  rates: 5\n", []string{"line 2", "rates", "rate"}},
		{"a certificate without its key", "tls: {name: dns.example.org, certificate: /x}\n", []string{"tls", "certificate and key"}},
		{"a certificate without a name", "tls: {certificate: /x, key: /y}\n", []string{"tls: name", "dns.example.org"}},
		{"a name with a space", "tls: {name: bad name, self-signed: true}\n", []string{"tls: name", "bad name", "dns.example.org"}},
		{"a name with an underscore", "tls: {name: my_dns.example.org, self-signed: true}\n", []string{"tls: name", "my_dns.example.org"}},
		{"the root as a name", "tls: {name: ., self-signed: true}\n", []string{"tls: name", "dns.example.org"}},
		{"a name that nobody delegates", "tls: {name: dns.home.arpa, addresses: [203.0.113.7]}\n", []string{"tls", "dns.home.arpa", "dns.example.org"}},
		{"an address that is none", "tls: {name: dns.example.org, addresses: [myhome]}\n", []string{"tls: addresses", "myhome", "203.0.113.7"}},
		{"two ways to a certificate", "tls: {name: dns.example.org, self-signed: true}\nacme: {challenge: [http-01]}\n", []string{"tls, acme", "one"}},
		{"an unknown challenge", "tls: {name: dns.example.org}\nacme: {challenge: [dns-02]}\n", []string{"acme: challenge", "dns-02", "dns-01"}},
		{"dns-01 without a zone", "tls: {name: dns.example.org}\nacme: {challenge: [dns-01]}\n", []string{"acme: challenge", "tls: addresses"}},
		{"dns-01 with another", "tls: {name: dns.example.org, addresses: [203.0.113.7]}\nacme: {challenge: [dns-01, http-01]}\n", []string{"acme: challenge", "stands alone"}},
		{"a directory in clear", "tls: {name: dns.example.org}\nacme: {challenge: [http-01], directory: 'http://ca.example'}\n", []string{"acme: directory", "http://ca.example", "https://"}},
		{"half an account", "tls: {name: dns.example.org}\nacme: {challenge: [http-01], account-id: x}\n", []string{"acme", "account-key"}},
		{"an email that is none", "tls: {name: dns.example.org}\nacme: {challenge: [http-01], email: me}\n", []string{"acme: email", "me"}},
		{"an unknown key of acme", "acme: {chalenge: [http-01]}\n", []string{"line 1", `"chalenge"`, `"challenge"`}},
		{"a mail server without a sender", "alerts: {smtp: {host: smtp.example.org}}\n", []string{"alerts: smtp: from", "kinward@example.org"}},
		{"a sender without a mail server", "alerts: {smtp: {from: a@example.org}}\n", []string{"alerts: smtp: host"}},
		{"mail in clear to afar", "alerts: {smtp: {host: smtp.example.org, from: a@example.org, security: none}}\n", []string{"alerts: smtp: security", "smtp.example.org"}},
		{"mail by an unknown way", "alerts: {smtp: {security: ssl}}\n", []string{"alerts: smtp: security", "ssl", "starttls"}},
		{"half a sign-in", "alerts: {smtp: {host: smtp.example.org, from: a@example.org, username: a}}\n", []string{"alerts: smtp", "both"}},
		{"a contact that reaches nobody", "alerts: {push: {contact: me}}\n", []string{"alerts: push: contact", "me"}},
		{"a link that is none", "alerts: {link: kinward.example.org}\n", []string{"alerts: link", "https://"}},
		{"an unknown key of alerts", "alerts: {smtp: {hots: x}}\n", []string{"line 1", `"hots"`, `"host"`}},
		{"an unknown level", "log:\n  level: loud\n", []string{"level", "loud"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := loadConfig(writeConfig(t, tt.yaml), settingFlags(t), nil)
			if err == nil {
				t.Fatalf("loadConfig takes\n%s", tt.yaml)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("loadConfig: %v; want it to hold %q", err, want)
				}
			}
		})
	}
}

// TestCheckUpstreamIsSelf: what serve refuses, since it would ask itself, is nothing that
// check finds valid.
func TestCheckUpstreamIsSelf(t *testing.T) {
	for text, self := range map[string]bool{
		"dns: ['127.0.0.1:5300']\nupstream: ['udp://127.0.0.1:5300']\n":                                                        true,
		"dns: ['0.0.0.0:5300']\nupstream: [udp://192.0.2.1, 'udp://127.0.0.1:5300']\n":                                         true,
		"dns: ['127.0.0.1:5300']\nupstream: ['udp://127.0.0.1:5301']\n":                                                        false,
		"dns: ['127.0.0.1:5300']\nupstream: [udp://192.0.2.1]\nforward: [{domain: lan, upstream: ['udp://127.0.0.1:5300']}]\n": true,
	} {
		c, err := loadConfig(writeConfig(t, text), settingFlags(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.checkSelf(); errors.Is(err, resolver.ErrUpstreamIsSelf) != self {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestConfigForward(t *testing.T) {
	path := writeConfig(t, "forward:\n  - domain: Lan.\n    upstream: [192.168.1.1]\n  - {domain: 168.192.in-addr.arpa, upstream: [udp://192.168.1.1, 'tls://[fd00::1]']}\n")
	c, err := loadConfig(path, settingFlags(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.resolve()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range s.forward {
		for _, u := range r.Upstreams {
			got = append(got, r.Domain.String()+" "+u.String())
		}
	}
	want := []string{"lan udp://192.168.1.1:53", "168.192.in-addr.arpa udp://192.168.1.1:53", "168.192.in-addr.arpa tls://[fd00::1]:853"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("forward (-want +got):\n%s", d)
	}
}

func TestConfigEnvironmentRefuses(t *testing.T) {
	for env, want := range map[string]string{
		"KINWARD_UPSTREEM=udp://192.0.2.1":  "KINWARD_UPSTREAM",
		"kinward_upstream=udp://192.0.2.1":  "KINWARD_UPSTREAM",
		"KINWARD_Dns=127.0.0.1:53":          "KINWARD_DNS?",
		"KINWARD_CACHE_MEGABYTES=many":      "whole number",
		"KINWARD_LISTS_ALLOW_PRIVATE=maybe": "true or false",
		"KINWARD_FORWARD=lan":               "only stand in the file",
	} {
		if _, err := loadConfig("", settingFlags(t), []string{env}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want an error with %q", env, err, want)
		}
	}
	// What Kubernetes sets for a service of this name is nobody's mistake.
	if _, err := loadConfig("", settingFlags(t), []string{"KINWARD_SERVICE_HOST=10.0.0.1", "KINWARD_PORT=udp://10.0.0.1:53", "KINWARD_PORT_53_UDP=udp://10.0.0.1:53"}); err != nil {
		t.Error(err)
	}
}

// TestConfigKeysAreFlags: what serve takes as a flag is a key of the same name.
func TestConfigKeysAreFlags(t *testing.T) {
	keys := map[string]bool{}
	for _, k := range configKeys() {
		keys[k.name] = true
	}
	settingFlags(t).VisitAll(func(f *pflag.Flag) {
		if !keys[f.Name] {
			t.Errorf("flag --%s is no key", f.Name)
		}
	})
}

// TestMasked: what check prints tells no secret.
func TestMasked(t *testing.T) {
	c := defaultConfig()
	c.ACME.AccountKey, c.ACME.Directory = "verysecret", "https://me:verysecret@ca.example/dir"
	c.Alerts.SMTP.Password = "verysecret"
	c.Upstream = []string{"https://me:verysecret@dns.example/dns-query?ip=192.0.2.1"}
	if text := yamlOf(t, c.masked()); strings.Contains(text, "verysecret") {
		t.Errorf("check prints a secret:\n%s", text)
	}
}

func TestMaskURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://user:secret@example.org/list?a=b": "https://***@example.org/list?a=b",
		"https://example.org/list":                 "https://example.org/list",
		"/srv/list":                                "/srv/list",
	} {
		if got := maskURL(in); got != want {
			t.Errorf("maskURL(%s) = %s; want %s", in, got, want)
		}
	}
}

func FuzzCheckYAML(f *testing.F) {
	for _, s := range []string{"dns: [127.0.0.1:53]\n", "cache:\n  megabytes: 5\n", "a: &a [*a]\n", "? [a]\n: b\n", "- x", "", "forward:\n  - {domain: lan, upstream: [192.168.1.1]}\n  - 5\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { _ = checkYAML("fuzz", []byte(s)) })
}
