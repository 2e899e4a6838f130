package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"kinward/certs"
	"kinward/resolver"
)

// proxyConfig says who may say who the client is.
type proxyConfig struct {
	Trust []string `mapstructure:"trust" yaml:"trust"`
	Web   []string `mapstructure:"web" yaml:"web"`
}

// clearHTTP stands before a DoH address that is served without encryption.
const clearHTTP = "http://"

// schemeWords are the encrypted transports as people know them.
var schemeWords = map[resolver.Scheme]string{
	resolver.DoT:      "DoT",
	resolver.DoH:      "DoH, HTTP/3 included",
	resolver.DoQ:      "DoQ",
	resolver.DoHClear: "DoH behind a reverse proxy",
}

// resolveSecure checks the encrypted listeners.
func (c *config) resolveSecure(s *settings) (err error) {
	for _, l := range []struct {
		key    string
		addrs  []string
		scheme resolver.Scheme
	}{{"dot", c.DoT, resolver.DoT}, {"doh", c.DoH, resolver.DoH}, {"doq", c.DoQ, resolver.DoQ}} {
		for _, text := range l.addrs {
			addr, clear := strings.CutPrefix(text, clearHTTP)
			scheme := l.scheme
			if clear && l.key == "doh" {
				scheme = resolver.DoHClear
			}
			if err := checkListenAddr(l.key, addr); err != nil || clear && l.key != "doh" {
				return errors.Join(err, fmt.Errorf("%s: %q is not an address to listen on", l.key, text))
			}
			switch {
			case scheme == resolver.DoHClear && len(c.Proxy.Web) == 0:
				return fmt.Errorf("doh: %s is in clear, for reverse proxies alone; name yours under proxy: web", text)
			case scheme != resolver.DoHClear && s.certs == nil:
				return fmt.Errorf("%s: %s needs a certificate; give tls: name, and tls: certificate and key, or acme: challenge", l.key, text)
			}
			s.secure = append(s.secure, resolver.SecureListen{Scheme: scheme, Addr: addr})
		}
	}
	for _, l := range []struct {
		key  string
		nets []string
		to   *[]netip.Prefix
	}{{"trust", c.Proxy.Trust, &s.proxies.V2}, {"web", c.Proxy.Web, &s.proxies.Web}} {
		for _, text := range l.nets {
			n, err := parseNetwork(text)
			if err == nil && n.Bits() == 0 {
				err = fmt.Errorf("%s is everybody, who could then ask in anybody's name", text)
			}
			if err != nil {
				return fmt.Errorf("proxy: %s: %w", l.key, err)
			}
			*l.to = append(*l.to, n)
		}
	}
	return nil
}

// tlsWith returns what encrypted listeners begin with; nil where there is no
// certificate. A client that shows a certificate of clients' authorities is known
// by it; one that shows another's is turned away, and none is asked for elsewhere.
func tlsWith(k *certs.Keeper, clients *x509.CertPool) *tls.Config {
	if k == nil {
		return nil
	}
	c := k.TLSConfig()
	if clients != nil {
		c.ClientCAs, c.ClientAuth = clients, tls.VerifyClientCertIfGiven
	}
	return c
}
