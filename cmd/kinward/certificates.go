package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"kinward/blocklists"
	"kinward/certs"
	"kinward/console"
	"kinward/resolver"
)

// tlsConfig is the server's public name, and a certificate that somebody else
// renews.
type tlsConfig struct {
	Name        string   `mapstructure:"name" yaml:"name"`
	Addresses   []string `mapstructure:"addresses" yaml:"addresses"`
	NameServers []string `mapstructure:"name-servers" yaml:"name-servers"`
	Certificate string   `mapstructure:"certificate" yaml:"certificate"`
	Key         string   `mapstructure:"key" yaml:"key"`
	SelfSigned  bool     `mapstructure:"self-signed" yaml:"self-signed"`
	ClientRoots string   `mapstructure:"client-roots" yaml:"client-roots"`
}

// acmeConfig says which certificate authority is asked. Without a challenge none
// is.
type acmeConfig struct {
	Email      string   `mapstructure:"email" yaml:"email"`
	Directory  string   `mapstructure:"directory" yaml:"directory"`
	Challenge  []string `mapstructure:"challenge" yaml:"challenge"`
	HTTP       string   `mapstructure:"http" yaml:"http"`
	TLSALPN    string   `mapstructure:"tls-alpn" yaml:"tls-alpn"`
	CAA        []string `mapstructure:"caa" yaml:"caa"`
	Roots      string   `mapstructure:"roots" yaml:"roots"`
	AccountID  string   `mapstructure:"account-id" yaml:"account-id"`
	AccountKey string   `mapstructure:"account-key" yaml:"account-key"`
}

// letsEncryptCAA is how Let's Encrypt is named in CAA records
// (letsencrypt.org/docs/caa).
const letsEncryptCAA = "letsencrypt.org"

// certName matches a name of a server, in its ASCII form (RFC 1123 §2.1).
var certName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)

// resolveCertificates checks both as a whole.
func (c *config) resolveCertificates(s *settings) error {
	t, a := c.TLS, c.ACME
	ways := 0
	for _, on := range []bool{t.Certificate != "" || t.Key != "", t.SelfSigned, len(a.Challenge) > 0} {
		if on {
			ways++
		}
	}
	switch {
	case ways > 1:
		return errors.New("tls, acme: give one: tls: certificate and key, or acme: challenge, or tls: self-signed")
	case (t.Certificate == "") != (t.Key == ""):
		return errors.New("tls: certificate and key belong together; give both")
	case t.Name == "" && (ways > 0 || len(t.Addresses) > 0 || len(t.NameServers) > 0 || t.ClientRoots != ""):
		return errors.New("tls: name: give the public name of this server, for example dns.example.org")
	case t.Name == "":
		return nil
	}
	n, err := blocklists.ParseName(t.Name)
	if err != nil {
		return fmt.Errorf("tls: name: %w", err)
	}
	if !certName.MatchString(n.String()) {
		return fmt.Errorf("tls: name: %q is no name that a certificate can have: letters, digits and hyphens with dots between; give one like dns.example.org", t.Name)
	}
	if len(t.Addresses) > 0 {
		if s.zone, err = c.resolveZone(n); err != nil {
			return fmt.Errorf("tls: %w", err)
		}
	}
	s.certs = &certs.Config{Name: n.String(), SelfSigned: t.SelfSigned}
	switch {
	case t.Certificate != "":
		s.certs.Files = &certs.Files{Certificate: t.Certificate, Key: t.Key}
	case len(a.Challenge) > 0:
		if s.certs.ACME, err = a.resolve(len(t.Addresses) > 0); err != nil {
			return fmt.Errorf("acme: %w", err)
		}
	case !t.SelfSigned:
		s.certs = nil // a name alone
	}
	if t.ClientRoots == "" {
		return nil
	}
	if s.clientRoots, err = readRoots(t.ClientRoots); err != nil {
		return fmt.Errorf("tls: client-roots: %w", err)
	}
	return nil
}

// readRoots reads the certificates of authorities.
func readRoots(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return pool, nil
}

// resolveZone reads the zone of the public name.
func (c *config) resolveZone(n blocklists.Name) (z resolver.Zone, err error) {
	z = resolver.Zone{Name: n, Issuers: c.ACME.CAA}
	if len(z.Issuers) == 0 && len(c.ACME.Challenge) > 0 && c.ACME.Directory == certs.LetsEncrypt {
		z.Issuers = []string{letsEncryptCAA}
	}
	for _, text := range c.TLS.Addresses {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return z, fmt.Errorf("addresses: %q is not an address; write it like 203.0.113.7 or 2001:db8::7", text)
		}
		z.Addrs = append(z.Addrs, addr)
	}
	for _, text := range c.TLS.NameServers {
		ns, err := blocklists.ParseName(text)
		if err != nil {
			return z, fmt.Errorf("name-servers: %w", err)
		}
		z.NameServers = append(z.NameServers, ns)
	}
	return z, resolver.CheckZone(z)
}

func (a acmeConfig) resolve(zone bool) (*certs.ACME, error) {
	out := &certs.ACME{Email: a.Email, Directory: a.Directory, AccountID: a.AccountID, AccountKey: a.AccountKey}
	for i, text := range a.Challenge {
		ch := certs.Challenge(text)
		switch {
		case !slices.Contains([]certs.Challenge{certs.DNS01, certs.HTTP01, certs.TLSALPN01}, ch):
			return nil, fmt.Errorf("challenge: %q is not dns-01, http-01 or tls-alpn-01", text)
		case slices.Contains(a.Challenge[:i], text):
			return nil, fmt.Errorf("challenge: %q is given twice", text)
		case ch == certs.DNS01 && len(a.Challenge) > 1:
			return nil, errors.New("challenge: dns-01 stands alone: it proves the names of devices too, which the others cannot")
		case ch == certs.DNS01 && !zone:
			return nil, errors.New("challenge: dns-01 needs tls: addresses, since Kinward then answers for tls: name itself")
		case ch == certs.HTTP01:
			if err := checkListenAddr("http", a.HTTP); err != nil {
				return nil, err
			}
			out.HTTP = a.HTTP
		case ch == certs.TLSALPN01:
			if err := checkListenAddr("tls-alpn", a.TLSALPN); err != nil {
				return nil, err
			}
			out.TLSALPN = a.TLSALPN
		}
		out.Challenges = append(out.Challenges, ch)
	}
	if u, err := url.Parse(a.Directory); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("directory: %q is not a URL like %s", maskURL(a.Directory), certs.LetsEncrypt)
	}
	if a.Email != "" {
		if m, err := mail.ParseAddress(a.Email); err != nil || m.Address != a.Email {
			return nil, fmt.Errorf("email: %q is not an address like owner@example.org", a.Email)
		}
	}
	if (a.AccountID == "") != (a.AccountKey == "") {
		return nil, errors.New("account-id and account-key belong together; give both, as your certificate authority gave them to you")
	}
	if a.Roots != "" {
		var err error
		if out.Roots, err = readRoots(a.Roots); err != nil {
			return nil, fmt.Errorf("roots: %w", err)
		}
	}
	return out, nil
}

// masked returns a copy that may be shown to anybody.
func (a acmeConfig) masked() acmeConfig {
	a.Directory = maskURL(a.Directory)
	if a.AccountKey != "" {
		a.AccountKey = "***"
	}
	return a
}

// openKeeper opens what keeps the certificate; nil where none is configured.
func (n *node) openKeeper(ctx context.Context, s *settings, registry *prometheus.Registry) (*certs.Keeper, error) {
	if s.certs == nil {
		return nil, nil
	}
	c := *s.certs
	c.Secrets, c.Logger, c.Registerer = n.db.Secrets(), n.log, registry
	if c.ACME != nil {
		a := *c.ACME
		a.Other = console.ToSecure(n.consoleURL(s), nil)
		c.ACME = &a
	}
	return certs.New(ctx, c)
}

// zoneWith returns the zone with what answers challenges.
func zoneWith(z resolver.Zone, k *certs.Keeper) resolver.Zone {
	if k != nil {
		z.Challenges = k.Challenges
	}
	return z
}

// reloadCertificate reads files again, or has an order that failed tried again.
func (n *node) reloadCertificate(ctx context.Context) error {
	if n.serving.keeper == nil {
		return nil
	}
	if err := n.serving.keeper.Reload(ctx); err != nil {
		return fmt.Errorf("the certificate from before is still in force, all else is reloaded: %w", err)
	}
	return nil
}

// certificate tells of the certificate in force.
func (e *examination) certificate(s *certs.Status) {
	if s == nil {
		return
	}
	const what = "certificate"
	now := time.Now()
	names, days := strings.Join(s.Names, ", "), int(s.NotAfter.Sub(now).Hours()/24)
	do := "see the server's log; for dns-01, that the parent of tls: name delegates it to this server; then: systemctl reload kinward"
	if s.Source == "files" {
		do = "renew the files that tls: certificate and key name"
	}
	switch {
	case s.NotAfter.IsZero() && s.Problem == "":
		e.note(what, "wait a minute", "none yet; it is being ordered")
	case s.NotAfter.IsZero():
		e.fault(what, do, "none yet: %s", s.Problem)
	case now.After(s.NotAfter):
		e.fault(what, do, "it expired on %s: devices away from home have no DNS; %s", s.NotAfter.Local().Format("2 Jan 2006"), s.Problem)
	case s.Source == "self-signed":
		e.note(what, "set acme, or tls: certificate and key", "it is signed by this server alone; no device accepts it")
	case s.Problem != "":
		e.fault(what, do, "%s, for %d more days; another could not be had: %s", names, days, s.Problem)
	case s.NotAfter.Sub(now) < certificateSoon:
		e.note(what, do, "%s, for %d more days; see why it was not renewed", names, days)
	default:
		e.ok(what, "%s, for %d more days", names, days)
	}
}

// zone looks whether the server answers for its public name, as strangers will
// ask it.
func (e *examination) zone(ctx context.Context, z resolver.Zone, addr string) {
	if z.Name == "" || len(z.Addrs) == 0 {
		return
	}
	what := "zone " + z.Name.String()
	for _, network := range []string{"udp", "tcp"} {
		m := new(dns.Msg).SetQuestion(dns.Fqdn(z.Name.String()), dns.TypeSOA)
		reply, _, err := (&dns.Client{Net: network, Timeout: 2 * time.Second}).ExchangeContext(ctx, m, reachable(addr))
		if err != nil || !reply.Authoritative || len(reply.Answer) == 0 {
			e.fault(what, "restart the server, if the configuration is new", "%s/%s does not answer for it (%v)", addr, network, err)
			return
		}
	}
	e.ok(what, "answered for; its parent has to delegate it to %s", strings.Join(texts(z.Addrs), " and "))
}
