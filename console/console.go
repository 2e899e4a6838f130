// Package console is what guardians, children and operators see: the pages, the
// JSON API beside them, sign-in, the set-up of devices and the page that a
// blocked child meets.
//
// It keeps nothing that matters to a decision. Everything about a family is read
// and changed through a [Desk], which knows who stands before it and decides
// what they may do; this package never names a family to it.
package console

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kinward/policy"
	"kinward/store"
)

// Config is what a console needs.
type Config struct {
	Listen   string          // address and port; port 0 takes a free one
	TLS      *tls.Config     // nil: plain HTTP
	URL      *url.URL        // what the console is called from outside; nil: nothing
	Hosts    []string        // further names of this server, in lower case
	Proxies  []netip.Prefix  // whose X-Forwarded-For is believed
	Reach    Reach           // how phones come here, for the page that says it
	Accounts *store.Accounts // who signs in
	Key      [32]byte        // seals what browsers keep, see [store.Accounts.Key]
	Desk     Desk
	// Device returns the child that asks from an address, which a connection has
	// proven, by the rules of DNS in plain; nil: no device is known.
	Device func(netip.Addr) (Actor, bool)
	// Operations says what the desk's operations take and reply. nil: there is no API.
	Operations map[string]OperationTypes
	// Changed is called when the console itself has changed a family's guardians: it
	// puts that in force. nil does nothing.
	Changed    func(context.Context, policy.FamilyID) error
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time // nil: time.Now
}

// Server serves the console. It is safe for concurrent use.
type Server struct {
	desk       Desk
	device     func(netip.Addr) (Actor, bool) // nil: none is known
	asks       asks                           // of devices
	tickets    tickets                        // of devices that are set up
	accounts   *store.Accounts
	changed    func(context.Context, policy.FamilyID) error
	url        *url.URL
	hosts      []string
	proxies    []netip.Prefix
	reach      Reach
	hasher     *hasher
	door       *throttle
	sealer     *sealer
	challenges *challenges
	log        *slog.Logger
	now        func() time.Time
	texts      *texts
	pages      *pages
	listener   net.Listener
	http       *http.Server
	noteKey    [32]byte // seals what notes say, see note.go
	api        *api
	streams    streams
}

// New opens the console's address; nobody is answered before [Server.Run].
func New(c Config) (*Server, error) {
	s, err := newServer(c)
	if err != nil {
		return nil, err
	}
	if s.api, err = newAPI(c.Operations); err != nil {
		return nil, err
	}
	if s.listener, err = net.Listen("tcp", c.Listen); err != nil {
		return nil, fmt.Errorf("listening for the console (another address: --console ADDR): %w", err)
	}
	if c.TLS != nil {
		t := c.TLS.Clone()
		t.NextProtos = append([]string{"h2", "http/1.1"}, t.NextProtos...)
		s.listener = tls.NewListener(s.listener, t)
	}
	s.http = &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.http.RegisterOnShutdown(s.streams.close)
	return s, nil
}

// newServer makes a server that listens nowhere.
func newServer(c Config) (*Server, error) {
	s := &Server{
		desk: c.Desk, device: c.Device, accounts: c.Accounts, changed: c.Changed, url: c.URL, hosts: c.Hosts, proxies: c.Proxies, reach: c.Reach,
		hasher: newHasher(passwordCost), log: c.Logger, now: c.Now,
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.changed == nil {
		s.changed = func(context.Context, policy.FamilyID) error { return nil }
	}
	if s.url != nil {
		s.hosts = append(slices.Clone(s.hosts), strings.ToLower(s.url.Hostname()))
	}
	s.door, s.challenges = newThrottle(s.now), newChallenges(s.now)
	var err error
	if s.sealer, err = newSealer(c.Key, s.now); err != nil {
		return nil, err
	}
	_, _ = rand.Read(s.noteKey[:]) // never fails
	if s.texts, err = loadTexts(); err != nil {
		return nil, err
	}
	if s.pages, err = loadPages(s.texts); err != nil {
		return nil, err
	}
	return s, nil
}

// Addr is where the console answers.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Run serves until ctx ends, then lets what is under way finish for two seconds.
func (s *Server) Run(ctx context.Context) error { return run(ctx, s.http, s.listener, "the console") }

// run serves until ctx ends, then lets what is under way finish for two seconds.
// Live pages never end by themselves, so they are cut then.
func run(ctx context.Context, server *http.Server, l net.Listener, what string) error {
	ended := make(chan error, 1)
	go func() {
		<-ctx.Done()
		shut, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		err := server.Shutdown(shut)
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
		ended <- err
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving %s: %w", what, err)
	}
	return <-ended
}
