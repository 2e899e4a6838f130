package certs

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
	"golang.org/x/net/netutil"

	"kinward/store"
)

// Challenge is how control of the name is proven (RFC 8555 §8, RFC 8737).
type Challenge string

// The challenges. Only DNS01 proves *.name too, which private-DNS names of devices
// need; it stands alone.
const (
	DNS01     Challenge = "dns-01"
	HTTP01    Challenge = "http-01"
	TLSALPN01 Challenge = "tls-alpn-01"
)

// ACME says which certificate authority issues, and how.
type ACME struct {
	Email      string // which the authority may write to; "" is none
	Directory  string // its URL
	Challenges []Challenge
	HTTP       string         // IP:PORT or :PORT to answer HTTP01 on, which must be reached at port 80 of the name
	Other      http.Handler   // answers there who is no authority; nil: 404
	TLSALPN    string         // where a listener has TLSConfig, which must be reached at port 443; "": one is made for it
	Roots      *x509.CertPool // who is believed about the directory; nil: the system's authorities
	AccountID  string         // external account binding (RFC 8555 §7.3.4)
	AccountKey string         // a secret
}

// LetsEncrypt is the directory of Let's Encrypt.
const LetsEncrypt = certmagic.LetsEncryptProductionCA

// orderTime bounds an order: three validations, some polls, a slow authority.
const orderTime = 5 * time.Minute

// ariEvery is how often the authority is asked when it wants a certificate renewed
// (RFC 9773 §4.3: its answer may name another pause, which is not looked at).
const ariEvery = 6 * time.Hour

// authority is what orders need of a certificate authority.
type authority interface {
	// issue proves control of the request's names and returns a chain in PEM.
	issue(ctx context.Context, csr *x509.CertificateRequest) ([]byte, error)
	// window returns when the authority wants leaf renewed. The error is about
	// that alone: not all have an opinion.
	window(ctx context.Context, leaf *x509.Certificate) (from, to time.Time, err error)
}

// orders is a source that orders certificates.
type orders struct {
	name      string
	names     []string // of a certificate
	secrets   *store.Secrets
	at        string // the secret with key and chain
	storage   *magicStorage
	log       *slog.Logger
	authority authority
	txt       *txtSolver
	random    func() float64 // in [0, 1)

	magic *certmagic.Config // knows the challenges; nil in tests
	cache *certmagic.Cache
	http  net.Listener // nil: no HTTP01
	serve http.Handler

	asked   time.Time // when the authority was last asked for its wish
	wish    time.Time // when it wants wishFor renewed; zero: it has none
	wishFor string    // serial number

	ordered    time.Time // when the last order succeeded, here
	orderedFor string    // serial number
}

func newOrders(c Config) (*orders, error) {
	a := c.ACME
	if c.Secrets == nil {
		return nil, errors.New("no place for keys is given")
	}
	u, err := url.Parse(a.Directory)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not the URL of a directory, as in %s", a.Directory, LetsEncrypt)
	}
	o := &orders{
		name: c.Name, names: []string{c.Name}, secrets: c.Secrets, log: c.Logger, random: mathrand.Float64,
		storage: newMagicStorage(c.Secrets, c.Logger),
		txt:     &txtSolver{c.Secrets},
		at:      acmeLevel + "/certificate/" + u.Host + u.EscapedPath() + "/" + c.Name, // another authority is another certificate
	}
	has := func(ch Challenge) bool { return slices.Contains(a.Challenges, ch) }
	switch {
	case len(a.Challenges) == 0:
		return nil, errors.New("no challenge is given")
	case has(DNS01) && len(a.Challenges) > 1:
		return nil, errors.New("dns-01 stands alone: it proves the names below, which the others cannot")
	case has(DNS01):
		o.names = append(o.names, "*."+c.Name)
	}
	logger := zapLogger(c.Logger)
	o.cache = certmagic.NewCache(certmagic.CacheOptions{
		// It holds nothing: renewal is ours. certmagic wants one to answer challenges.
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return o.magic, nil },
		RenewCheckInterval: never, OCSPCheckInterval: never, Logger: logger,
	})
	o.magic = certmagic.New(o.cache, certmagic.Config{Storage: o.storage, Logger: logger, OCSP: certmagic.OCSPConfig{DisableStapling: true}})
	template := certmagic.ACMEIssuer{
		CA: a.Directory, Email: a.Email, Agreed: true, TrustedRoots: a.Roots, Logger: logger,
		DisableHTTPChallenge: !has(HTTP01), DisableTLSALPNChallenge: !has(TLSALPN01),
	}
	if a.AccountID != "" {
		template.ExternalAccount = &acme.EAB{KeyID: a.AccountID, MACKey: a.AccountKey}
	}
	if has(DNS01) {
		template.DNS01Solver = o.txt
	}
	fail := func(err error) (*orders, error) { return nil, errors.Join(err, o.close()) }
	if has(HTTP01) {
		if o.http, err = net.Listen("tcp", a.HTTP); err != nil { // now, not in two months, when it is needed
			return fail(fmt.Errorf("listening for http-01 (port 80 of the name must lead here): %w", err))
		}
		at := o.http.Addr().(*net.TCPAddr)
		template.ListenHost, template.AltHTTPPort = host(a.HTTP), at.Port // so certmagic finds somebody there, and makes no listener
	}
	if a.TLSALPN != "" {
		_, port, err := net.SplitHostPort(a.TLSALPN)
		if err != nil {
			return fail(fmt.Errorf("reading where tls-alpn-01 is answered: %w", err))
		}
		if template.AltTLSALPNPort, err = net.LookupPort("tcp", port); err != nil {
			return fail(fmt.Errorf("reading where tls-alpn-01 is answered: %w", err))
		}
		if template.ListenHost == "" {
			template.ListenHost = host(a.TLSALPN)
		}
	}
	issuer := certmagic.NewACMEIssuer(o.magic, template)
	o.magic.Issuers = []certmagic.Issuer{issuer}
	o.authority = &magicAuthority{issuer}
	other := a.Other
	if other == nil {
		other = http.NotFoundHandler()
	}
	o.serve = issuer.HTTPChallengeHandler(other)
	return o, nil
}

// never is longer than any process lives.
const never = 100 * 365 * day

// host returns the host of an address to listen on.
func host(addr string) string {
	h, _, _ := net.SplitHostPort(addr)
	return h
}

func (o *orders) kind() string { return "acme" }

func (o *orders) close() error {
	if o.cache != nil {
		o.cache.Stop()
		o.cache = nil
	}
	if o.http != nil {
		if err := o.http.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			return err
		}
	}
	return nil
}

// Limits of the listener for HTTP01, which has little for anybody but a
// certificate authority.
const (
	httpConns   = 64
	httpTime    = 10 * time.Second
	httpHeaders = 8 << 10
)

func (o *orders) answers(ctx context.Context) error {
	if o.http == nil {
		<-ctx.Done()
		return nil
	}
	s := &http.Server{
		Handler: o.serve, ReadTimeout: httpTime, WriteTimeout: httpTime, MaxHeaderBytes: httpHeaders,
		ErrorLog: slog.NewLogLogger(o.log.Handler(), slog.LevelDebug),
	}
	s.SetKeepAlivesEnabled(false)
	stopped := context.AfterFunc(ctx, func() { s.Close() })
	defer stopped()
	if err := s.Serve(netutil.LimitListener(o.http, httpConns)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("answering http-01: %w", err)
	}
	return nil
}

// challenged gives a certificate authority that looks for a TLS-ALPN-01 challenge
// what it came for (RFC 8737 §3), and everybody else the listener's own
// configuration.
func (o *orders) challenged(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if len(hello.SupportedProtos) != 1 || hello.SupportedProtos[0] != acmeALPN {
		return nil, nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{acmeALPN}, GetCertificate: o.magic.GetCertificate, SessionTicketsDisabled: true}, nil
}

const acmeALPN = "acme-tls/1"

// stored returns what an earlier order or another node left, nil if nothing that
// can be used.
func (o *orders) stored(ctx context.Context) *tls.Certificate {
	text, err := o.secrets.Get(ctx, o.at)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	var c *tls.Certificate
	if err == nil {
		c, err = pair(text, text, o.name, time.Now())
	}
	if err != nil {
		o.log.Warn("the kept certificate cannot be used; another is ordered", "error", err)
		return nil
	}
	return c
}

// refresh orders a certificate where it is time. Of many nodes one orders, and the
// others find what it got.
func (o *orders) refresh(ctx context.Context, old *tls.Certificate) (*tls.Certificate, time.Time, error) {
	if old != nil {
		if at := o.due(ctx, old.Leaf); time.Now().Before(at) {
			return old, o.next(at), nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	const lock = "order"
	if err := o.storage.Lock(ctx, lock); err != nil {
		return old, time.Time{}, err
	}
	defer o.storage.Unlock(ctx, lock) // it says so itself where it cannot
	if c := o.stored(ctx); c != nil && (old == nil || !c.Leaf.Equal(old.Leaf)) {
		if at := o.due(ctx, c.Leaf); time.Now().Before(at) {
			return c, o.next(at), nil
		}
	}
	c, err := o.order(ctx)
	if err != nil {
		return old, time.Time{}, err
	}
	return c, o.next(o.due(ctx, c.Leaf)), nil
}

// order orders a certificate with a new key and keeps both as one.
func (o *orders) order(ctx context.Context) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: o.names}, key)
	if err != nil {
		return nil, fmt.Errorf("requesting a certificate: %w", err)
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("requesting a certificate: %w", err)
	}
	chain, err := o.authority.issue(ctx, csr)
	if err != nil {
		return nil, fmt.Errorf("ordering a certificate for %q: %w", o.names, err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("keeping a key: %w", err)
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), chain...)
	c, err := pair(text, text, o.name, time.Now())
	if err != nil {
		return nil, err
	}
	if !o.covers(c.Leaf) {
		return nil, fmt.Errorf("ordering a certificate for %q: it came with %q", o.names, c.Leaf.DNSNames)
	}
	o.ordered, o.orderedFor = time.Now(), c.Leaf.SerialNumber.String()
	return c, o.secrets.Put(ctx, o.at, text)
}

func (o *orders) covers(leaf *x509.Certificate) bool {
	return !slices.ContainsFunc(o.names, func(n string) bool { return !slices.Contains(leaf.DNSNames, n) })
}

// due returns when leaf is to be renewed: when the authority wants it, at a moment
// of its window that is drawn once, or when two thirds of its life are over,
// whichever comes first.
func (o *orders) due(ctx context.Context, leaf *x509.Certificate) time.Time {
	if !o.covers(leaf) { // of another configuration
		return time.Time{}
	}
	now, serial := time.Now(), leaf.SerialNumber.String()
	if o.wishFor != serial || !now.Before(o.asked.Add(ariEvery)) {
		if o.wishFor != serial {
			o.wish, o.wishFor = time.Time{}, serial
		}
		o.asked = now
		switch from, to, err := o.authority.window(ctx, leaf); {
		case err != nil:
			o.log.Debug("the certificate authority does not say when it wants a renewal", "error", err)
		case o.wish.Before(from) || o.wish.After(to):
			o.wish = from.Add(time.Duration(o.random() * float64(to.Sub(from)))) // RFC 9773 §4.2
		}
	}
	at := renewalOf(leaf)
	if !o.wish.IsZero() && o.wish.Before(at) {
		at = o.wish
	}
	// An authority whose wishes, or clock, are wrong is not asked without end.
	if least := o.ordered.Add(min(time.Hour, leaf.NotAfter.Sub(leaf.NotBefore)/10)); o.orderedFor == serial && at.Before(least) {
		at = least
	}
	return at
}

// next returns when to look again where renewal is due at at.
func (o *orders) next(at time.Time) time.Time {
	if ask := o.asked.Add(ariEvery); ask.Before(at) {
		return ask
	}
	return at
}

// magicAuthority is a certificate authority by certmagic.
type magicAuthority struct{ *certmagic.ACMEIssuer }

func (a *magicAuthority) issue(ctx context.Context, csr *x509.CertificateRequest) ([]byte, error) {
	c, err := a.Issue(ctx, csr)
	if err != nil {
		return nil, err
	}
	return c.Certificate, nil
}

func (a *magicAuthority) window(ctx context.Context, leaf *x509.Certificate) (from, to time.Time, err error) {
	info, err := a.GetRenewalInfo(ctx, certmagic.Certificate{Certificate: tls.Certificate{Leaf: leaf}})
	return info.SuggestedWindow.Start, info.SuggestedWindow.End, err
}
