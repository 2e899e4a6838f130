// Package certs keeps the certificate of the encrypted listeners: from files that
// somebody else renews, from a certificate authority by ACME, or, for trying
// things out, signed by itself. It renews in time, keeps what is good until there
// is better, and says early when there will not be.
//
// Why it is made as it is stands in DESIGN.md.
package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kinward/store"
)

// Config says where the certificate comes from: exactly one of Files, ACME and
// SelfSigned.
type Config struct {
	Name       string // the server's public name, in ASCII, without a closing dot
	Files      *Files
	ACME       *ACME
	SelfSigned bool

	Secrets    *store.Secrets        // where ACME keeps keys and certificates
	Logger     *slog.Logger          // nil logs nothing; it is never told a secret
	Registerer prometheus.Registerer // nil exports nothing
}

// Files are a certificate with its chain and its private key, in PEM.
type Files struct{ Certificate, Key string }

// ErrNone: there is no certificate yet.
var ErrNone = errors.New("there is no certificate yet")

// Keeper has the certificate in force. Make it with New. All methods are safe for
// concurrent use.
type Keeper struct {
	source  source
	name    string
	log     *slog.Logger
	metrics *metrics

	current atomic.Pointer[tls.Certificate] // with its Leaf; nil: none yet
	wake    chan struct{}                   // asks Run to look at once
	ran     atomic.Bool

	looking sync.Mutex // held for a look at the source, which may take minutes
	mu      sync.Mutex // of what follows
	status  Status
	fails   int       // in a row
	next    time.Time // the earliest that the source is asked again
	warned  int       // the days of the last warning about current; see warnings
}

// source is where certificates come from. Its methods are called by one goroutine
// at a time.
type source interface {
	kind() string
	// refresh returns the certificate to use from now on, which is old where that
	// is still the one, and when to look again. On an error old stays.
	refresh(ctx context.Context, old *tls.Certificate) (c *tls.Certificate, again time.Time, err error)
	// answers serves what the source needs to be asked for, until ctx ends.
	answers(ctx context.Context) error
	close() error
}

// Status is what there is to know about the certificate.
type Status struct {
	Source    string    `json:"source"` // "files", "acme" or "self-signed"
	Names     []string  `json:"names,omitempty"`
	Issuer    string    `json:"issuer,omitempty"`
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
	Next      time.Time `json:"next,omitzero"`     // when it is looked at or renewed
	Problem   string    `json:"problem,omitempty"` // why the last look or renewal failed
}

// New makes a keeper. What is there already, in files or in the database, is in
// force when it returns; nobody else is asked before Run. Files that cannot be
// used are no error, but told and tried again: a home is not to lose its names
// over a certificate. Where Run is not called, call Close.
func New(ctx context.Context, c Config) (*Keeper, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	k := &Keeper{name: c.Name, log: c.Logger, wake: make(chan struct{}, 1)}
	var err error
	switch {
	case c.Name == "":
		err = errors.New("no name is given")
	case c.Files != nil && c.ACME == nil && !c.SelfSigned:
		k.source = &files{Files: *c.Files, name: c.Name, log: c.Logger}
	case c.ACME != nil && c.Files == nil && !c.SelfSigned:
		k.source, err = newOrders(c)
	case c.SelfSigned && c.Files == nil && c.ACME == nil:
		k.source = &selfSigned{c.Name}
	default:
		err = errors.New("give files, or a certificate authority, or self-signed")
	}
	if err != nil {
		return nil, fmt.Errorf("keeping certificates: %w", err)
	}
	k.status.Source = k.source.kind()
	if k.metrics, err = newMetrics(c.Registerer, k); err != nil {
		return nil, errors.Join(err, k.source.close())
	}
	if o, ok := k.source.(*orders); ok { // an order may take minutes, and is Run's
		if cert := o.stored(ctx); cert != nil {
			k.use(cert)
		}
		return k, nil
	}
	_ = k.look(ctx) // it is logged, counted and in the status
	if c.SelfSigned {
		k.log.Warn("THE CERTIFICATE IS SIGNED BY NOBODY BUT THIS SERVER: for trying things out only. No phone accepts it, and no phone should be made to",
			"name", c.Name, "do", "set acme, or tls: certificate and key")
	}
	return k, nil
}

// Run renews the certificate, reads files again, and warns, until ctx ends. It can
// be called once. When it returns, every goroutine that it started has ended.
func (k *Keeper) Run(ctx context.Context) error {
	if k.ran.Swap(true) {
		return errors.New("keeping certificates: Run was called already")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var answering sync.WaitGroup
	var broken error
	answering.Go(func() {
		if broken = k.source.answers(ctx); broken != nil {
			cancel()
		}
	})
	for ctx.Err() == nil {
		k.mu.Lock()
		due := !time.Now().Before(k.next)
		k.mu.Unlock()
		if due {
			_ = k.look(ctx) // it is logged, counted and in the status
		}
		k.warn()
		k.mu.Lock()
		wait := min(time.Until(k.next), warnEvery)
		k.mu.Unlock()
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-k.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
	answering.Wait()
	return errors.Join(broken, k.source.close())
}

// Close lets go of a keeper that was never run. After Run it does nothing.
func (k *Keeper) Close() error {
	if k.ran.Swap(true) {
		return nil
	}
	return k.source.close()
}

// Reload looks at the source at once, also where an earlier failure would have it
// wait. Files are read before it returns, and the error is about them; an order
// is only begun.
func (k *Keeper) Reload(ctx context.Context) error {
	if _, ok := k.source.(*files); ok {
		return k.look(ctx)
	}
	k.mu.Lock()
	if k.fails > 0 {
		k.next = time.Time{}
	}
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default: // it is about to look
	}
	return nil
}

// look asks the source, and puts what it has in force.
func (k *Keeper) look(ctx context.Context) error {
	k.looking.Lock()
	defer k.looking.Unlock()
	old := k.current.Load()
	c, again, err := k.source.refresh(ctx, old)
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err != nil && ctx.Err() != nil: // stopped on the way: nobody's failure
		return err
	case err != nil:
		k.fails++
		again = time.Now().Add(k.pause())
		k.failed(err, again)
	default:
		k.fails, k.status.Problem = 0, ""
		if c != old {
			k.use(c)
			if old != nil {
				k.metrics.renewals.Inc()
			}
			k.log.Info("a certificate is in force", "names", c.Leaf.DNSNames, "issuer", c.Leaf.Issuer.String(),
				"until", c.Leaf.NotAfter, "source", k.source.kind())
		}
	}
	k.next, k.status.Next = again, again
	return err
}

// use puts c in force. The caller holds k.mu, or has k alone.
func (k *Keeper) use(c *tls.Certificate) {
	k.current.Store(c)
	k.warned = 0
	k.status.Names, k.status.Issuer = c.Leaf.DNSNames, c.Leaf.Issuer.String()
	k.status.NotBefore, k.status.NotAfter = c.Leaf.NotBefore, c.Leaf.NotAfter
}

func (k *Keeper) failed(err error, again time.Time) {
	k.metrics.failures.Inc()
	text := err.Error()
	level, what := slog.LevelError, "no certificate could be had, and encrypted listeners cannot answer"
	if c := k.current.Load(); c != nil {
		what = "keeping the certificate that is in force: another could not be had"
		if time.Now().After(c.Leaf.NotAfter) {
			what = "the certificate has expired, and another could not be had"
		}
	}
	if text == k.status.Problem && k.source.kind() == "files" {
		level = slog.LevelDebug // said already; files are looked at every few seconds
	}
	k.status.Problem = text
	k.log.Log(context.Background(), level, what, "error", err, "attempt", k.fails, "next", again)
}

// The pause after failures: certificate authorities limit how many an hour
// (letsencrypt.org/docs/rate-limits), and what is broken, such
// as a delegation, takes a person to mend.
const (
	firstPause = 5 * time.Minute
	mostPause  = 6 * time.Hour
)

// pause returns how long to wait after k.fails failures in a row.
func (k *Keeper) pause() time.Duration {
	if f, ok := k.source.(*files); ok {
		return f.every()
	}
	return min(firstPause<<min(k.fails-1, 10), mostPause)
}

// GetCertificate returns the certificate in force, for [tls.Config]. The error
// is ErrNone where there is none.
func (k *Keeper) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := k.current.Load(); c != nil {
		return c, nil
	}
	return nil, ErrNone
}

// TLSConfig returns what listeners begin with: TLS 1.2 at least and the
// certificate in force, which changes without a restart. A certificate
// authority that looks for a TLS-ALPN-01 challenge is answered, whatever
// protocols the listener adds to its copy.
func (k *Keeper) TLSConfig() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: k.GetCertificate}
	if o, ok := k.source.(*orders); ok {
		c.GetConfigForClient = o.challenged
	}
	return c
}

// Status returns what there is to know now.
func (k *Keeper) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status
}

// Challenges returns the values that the TXT records of _acme-challenge must have
// now, from the database: another node may have ordered.
func (k *Keeper) Challenges(ctx context.Context) ([]string, error) {
	if o, ok := k.source.(*orders); ok {
		return o.txt.values(ctx)
	}
	return nil, nil
}

// pair makes a certificate of PEM texts and checks that it can be used for name:
// key and certificate belong together, it is for this name, and its time has come
// and is not over.
func pair(chain, key []byte, name string, now time.Time) (*tls.Certificate, error) {
	c, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("reading a certificate and its key: %w", err)
	}
	if c.Leaf == nil { // as GODEBUG may have it
		if c.Leaf, err = x509.ParseCertificate(c.Certificate[0]); err != nil {
			return nil, fmt.Errorf("reading a certificate: %w", err)
		}
	}
	if err := c.Leaf.VerifyHostname(name); err != nil {
		return nil, fmt.Errorf("checking a certificate: %w", err)
	}
	if now.After(c.Leaf.NotAfter) {
		return nil, fmt.Errorf("checking a certificate: it expired on %s; renew it", c.Leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	if now.Before(c.Leaf.NotBefore) {
		return nil, fmt.Errorf("checking a certificate: it holds from %s on only; is the clock right?", c.Leaf.NotBefore.UTC().Format(time.DateTime))
	}
	return &c, nil
}
