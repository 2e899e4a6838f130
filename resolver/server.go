// Package resolver takes a question in and gives an answer out: it listens on
// UDP, TCP and the encrypted transports, finds out who asks, lets policy decide,
// answers what is blocked on the spot, and what is allowed from a shared cache or
// an upstream.
//
// The story of one query, and why it goes that way, is in DESIGN.md.
package resolver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/resolver/upstream"
)

// Config is what a server needs. Listen, Upstreams and State are required.
type Config struct {
	Listen    []string // IP:PORT or :PORT, UDP and TCP each; port 0 picks one
	Upstreams []upstream.Spec
	Forward   []Route        // domains with upstreams of their own
	AllowNets []netip.Prefix // who may ask; nobody else is served
	Block     policy.BlockMode
	Home      Home
	// Secure are the addresses of encrypted transports. TLS has the certificates for
	// them (GetCertificate or Certificates); what the transports need besides is set
	// here. Name is the name below which devices have theirs: TOKEN.NAME.
	Secure  []SecureListen
	TLS     *tls.Config
	Name    string
	Proxies Proxies
	// Pages answers what the addresses of DoH are asked besides, nil nothing. It gets
	// the client's address, without a port, as the request's RemoteAddr; what came in
	// clear, or by a reverse proxy that is not on the list, it does not get.
	Pages http.Handler
	// Forwarders are as in Settings.
	Forwarders []netip.Prefix
	// PublicAddrs are the addresses of Name in the world, for discovery; none where
	// they are not known.
	PublicAddrs []netip.Addr
	Zone        Zone
	Page        Page
	// State returns what decides. It is called once a query, by many goroutines
	// at once, and never returns nil.
	State func() *policy.State
	Log   Log // nil keeps nothing
	// Watch looks at questions as they are decided; nil: nobody does.
	Watch Watch

	CacheBytes int64                 // 0: 64 MB
	MinTTL     time.Duration         // positive answers are kept for so long at least; MaxLeastTTL at most
	MaxTTL     time.Duration         // answers are kept for so long at most; 0: a day, which is the most
	Logger     *slog.Logger          // nil logs nothing
	Registerer prometheus.Registerer // nil exports nothing
	Now        func() time.Time      // nil: time.Now
	Limits     Limits
	Roots      *x509.CertPool // who is believed about upstreams' certificates; nil: the system's authorities

	plainPackets bool // for tests: see Server

	dial        func(ctx context.Context, network, addr string) (net.Conn, error) // for tests: how upstreams are reached
	sampleEvery uint32                                                            // for tests: see the constant
}

// defaultCacheBytes holds the names of a busy household many times over.
const defaultCacheBytes = 64 << 20

// Log keeps attempts.
type Log interface {
	// Record keeps an attempt. It is called on the way of a query, by many goroutines
	// at once, and must return at once. The attempt's names are good until it
	// returns.
	Record(policy.Attempt)
	// Seen takes note that a device, never 0, got an answer at a time. It is called
	// as Record is.
	Seen(policy.FamilyID, policy.DeviceID, time.Time)
}

// Watch looks at questions for what shows only in many of them together.
type Watch interface {
	// Asked is called once for each question that a family asked, whatever becomes of
	// it, but for help lines and what devices need. It is called as Log.Record is, and
	// must keep neither name nor time of a question that says nothing. The name is good
	// until it returns.
	Asked(who policy.Asker, client netip.Addr, name blocklists.Name, qtype uint16, now time.Time)
}

// Server answers questions. Make it with New.
type Server struct {
	near, far *way
	settings  atomic.Pointer[settings]
	changing  sync.Mutex // held by Reconfigure, never on the way of a query

	state      func() *policy.State
	sink       Log
	watch      Watch // nil: none
	log        *slog.Logger
	now        func() time.Time
	limits     Limits
	cache      *cache
	metrics    *metrics
	fetching   *flights
	hedge      hedger
	roots      *x509.CertPool
	dial       func(ctx context.Context, network, addr string) (net.Conn, error)
	ttl        ttlBounds
	retired    []retiredPeer // guarded by changing
	limiter    *limiter      // nil: no limit
	guesses    *guesses
	unknown    *unknowns
	pages      http.Handler
	designated designated
	neighbours *neighbours
	cookies    *cookies
	devices    atomic.Pointer[Hosts]
	leases     atomic.Pointer[Hosts]
	checks     checks
	sockets    chan struct{} // one is held for each question that is put to an upstream

	addrs         []netip.AddrPort
	udp           []*udpSocket
	plain, secure *crowd
	strangers     *crowd // over TCP, for the zone
	streams       []*streamListener
	quic          []*quicListener
	secureAddrs   []SecureAddr
	bodies        *places // of what is waited for
	scratch       sync.Pool
	tls           *tls.Config
	name          string        // without a dot at its end
	zoneLimiter   *limiter      // of who is on no allow-list
	challenges    chan struct{} // one is held for each question for challenges

	probing     sync.Mutex    // held while the upstreams are probed for loops
	probeNow    chan struct{} // asks for a probe before its time
	sampleEvery uint32

	plainPackets bool // one datagram a call, as where the system has nothing better
	inFlight     atomic.Int64
	flights      sync.WaitGroup // of the goroutines that answer and fetch
	closing      atomic.Bool
	ran          atomic.Bool

	starting atomic.Int32  // UDP sockets that are not read yet
	reading  chan struct{} // closed when all are
}

// New makes a server and binds all its sockets, so that an address that is
// taken, or an upstream that is the server itself, is known here. It answers
// nothing before Run. Where Run is not called, call Close.
func New(c Config) (*Server, error) {
	if len(c.Listen) == 0 {
		return nil, errors.New("starting the resolver: no address to listen on")
	}
	s, err := newServer(c)
	if err != nil {
		return nil, err
	}
	for _, addr := range c.Listen {
		if err := s.listen(addr); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	for _, l := range c.Secure {
		if err := s.listenSecure(l); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	s.designated = s.offers(c.PublicAddrs)
	if err := s.Reconfigure(Settings{c.Upstreams, c.Forward, c.AllowNets, c.Block, c.Home, c.Proxies, c.Forwarders, c.Zone, c.Page}); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// newServer makes a server without sockets and settings.
func newServer(c Config) (*Server, error) {
	if c.State == nil {
		return nil, errors.New("starting the resolver: no state to decide with")
	}
	s := &Server{
		state: c.State, sink: c.Log, watch: c.Watch, log: c.Logger, now: c.Now, limits: c.Limits.withDefaults(),
		roots: c.Roots, dial: c.dial, ttl: ttlBounds{c.MinTTL, c.MaxTTL},
		plainPackets: c.plainPackets,
		reading:      make(chan struct{}),
	}
	if s.sink == nil {
		s.sink = noLog{}
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if c.CacheBytes <= 0 {
		c.CacheBytes = defaultCacheBytes
	}
	if s.ttl.most <= 0 || s.ttl.most > maxTTL*time.Second {
		s.ttl.most = maxTTL * time.Second
	}
	if s.ttl.least < 0 || s.ttl.least > min(MaxLeastTTL, s.ttl.most) {
		return nil, fmt.Errorf("starting the resolver: the least TTL %v is not between 0 and %v", s.ttl.least, min(MaxLeastTTL, s.ttl.most))
	}
	s.cache = newCache(c.CacheBytes)
	s.fetching = newFlights(s.limits.InFlight)
	s.hedge.saved.Store(hedgeSaved)
	s.bodies, s.limiter = newBodies(), newLimiter(s.limits.Rate)
	s.pages = c.Pages
	s.guesses, s.unknown, s.neighbours = newGuesses(), newUnknowns(), newNeighbours(readNeighbours)
	s.zoneLimiter = newLimiter(zoneRate)
	s.challenges = make(chan struct{}, challengeReads)
	s.cookies = newCookies(s.now())
	s.sockets = make(chan struct{}, s.limits.UpstreamSockets)
	s.probeNow = make(chan struct{}, 1)
	s.plain = newCrowd(s.limits.TCPConns, s.limits.TCPConnsPerClient, s.now)
	s.strangers = newCrowd(zoneConns, zoneConnsPerClient, s.now)
	s.secure = newCrowd(s.limits.TLSConns, s.limits.TLSConnsPerClient, s.now)
	s.tls, s.name = c.TLS, strings.TrimSuffix(c.Name, ".")
	s.scratch.New = func() any { return &scratch{buf: make([]byte, max(s.limits.Message, 2))} }
	var err error
	if s.metrics, err = newMetrics(c.Registerer, s); err != nil {
		return nil, err
	}
	if s.sampleEvery = c.sampleEvery; s.sampleEvery == 0 {
		s.sampleEvery = sampleEvery
	}
	near, far := s.stages()
	s.near, s.far = s.newWay("near", false, near), s.newWay("far", true, far)
	return s, nil
}

type noLog struct{}

func (noLog) Record(policy.Attempt) {}

func (noLog) Seen(policy.FamilyID, policy.DeviceID, time.Time) {}

// Addrs returns the addresses that the server listens on, in the order of
// Config.Listen, each for UDP and TCP alike.
func (s *Server) Addrs() []netip.AddrPort { return append([]netip.AddrPort(nil), s.addrs...) }

// Health returns what is known of the upstreams, in their order.
func (s *Server) Health() []UpstreamHealth {
	var out []UpstreamHealth
	for _, p := range s.settings.Load().all {
		out = append(out, p.health())
	}
	return out
}

// Close lets go of the sockets of a server that was never run. After Run it
// does nothing.
func (s *Server) Close() error {
	if s.ran.Swap(true) {
		return nil
	}
	return s.closeSockets()
}

func (s *Server) closeSockets() error {
	errs := []error{s.closeListeners(), s.closeClients()}
	for _, u := range s.udp {
		errs = append(errs, u.conn.Close())
	}
	for _, l := range s.quic {
		errs = append(errs, l.close())
	}
	return errors.Join(errs...)
}

// closeListeners takes no more connections over TCP.
func (s *Server) closeListeners() error {
	var errs []error
	for _, l := range s.streams {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// Reading is closed once Run reads questions over UDP, so that a program can do first
// what the first answers need. It stays open where Run ends before.
func (s *Server) Reading() <-chan struct{} { return s.reading }

// Run serves until ctx ends. It then reads no more, gives questions in flight
// up to Limits.Drain to be answered, and closes everything. When it returns,
// every goroutine that it started has ended. The error is nil after an orderly
// stop, otherwise what broke a listener. Run can be called once.
func (s *Server) Run(ctx context.Context) error {
	if s.ran.Swap(true) {
		return errors.New("running the resolver: it ran already")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()

	var loops, servers, probes sync.WaitGroup
	broken := s.startLoops(work, cancel, &loops, &servers)
	probes.Go(func() { s.probeLoops(ctx) })
	probes.Go(func() {
		s.neighbours.run(ctx, s.now, func(err error) { s.log.Debug("no hardware addresses", "error", err) })
	})

	<-ctx.Done()
	s.closing.Store(true)
	for _, u := range s.udp {
		u.conn.SetReadDeadline(time.Unix(1, 0)) // wakes the loop; answers still go out
	}
	err := s.closeListeners()
	for _, l := range s.quic {
		l.stop()
	}
	loops.Wait()
	s.drain(stopWork, &servers)
	probes.Wait()
	for _, u := range s.udp {
		err = errors.Join(err, u.conn.Close())
	}
	for _, l := range s.quic {
		err = errors.Join(err, l.close())
	}
	err = errors.Join(err, s.closeClients())
	close(broken)
	for cause := range broken {
		err = errors.Join(err, cause)
	}
	return err
}

// startLoops starts what reads and accepts, and the HTTP servers. What breaks one of
// them is sent on the channel that it returns, which has room for all, and cancels.
func (s *Server) startLoops(work context.Context, cancel func(), loops, servers *sync.WaitGroup) (broken chan error) {
	broken = make(chan error, len(s.udp)+2*len(s.streams)+len(s.quic))
	start := func(wg *sync.WaitGroup, serve func() error) {
		wg.Go(func() {
			if err := serve(); err != nil {
				broken <- err
				cancel()
			}
		})
	}
	if s.starting.Store(int32(len(s.udp))); len(s.udp) == 0 {
		close(s.reading)
	}
	for i, u := range s.udp {
		start(loops, func() error { return u.serve(work, s, s.metrics.lanes.of(i)) })
	}
	for _, l := range s.streams {
		start(loops, func() error { return s.accept(work, l) })
		if l.http != nil {
			start(servers, func() error { return l.http.serve(work) })
		}
	}
	for _, l := range s.quic {
		start(loops, func() error { return l.serve(work) })
	}
	return broken
}

// drain waits for the questions in flight, up to Limits.Drain, and for all connections
// to end. No loop runs any more.
func (s *Server) drain(stopWork func(), servers *sync.WaitGroup) {
	late := time.AfterFunc(s.limits.Drain, func() {
		stopWork() // what still waits for an upstream is answered SERVFAIL
		for _, c := range s.crowds() {
			c.each(func(m *member) { m.end() })
		}
	})
	defer late.Stop()
	for _, l := range s.streams {
		if l.http != nil {
			l.http.drain()
		}
	}
	for _, c := range s.crowds() {
		c.each(func(m *member) { m.hurry(m.busy.Load() > 0) })
	}
	for _, c := range s.crowds() {
		c.wait.Wait()
	}
	servers.Wait()
	s.flights.Wait()
}

func (s *Server) crowds() []*crowd { return []*crowd{s.plain, s.strangers, s.secure} }

// answerNear runs the stages that never wait. pass means that the query has to
// go the far way; otherwise the query is finished.
func (s *Server) answerNear(ctx context.Context, q *query) step {
	return s.run(ctx, s.near, q)
}

// answerFar runs the stages that may wait. It always ends with an answer.
func (s *Server) answerFar(ctx context.Context, q *query) {
	s.run(ctx, s.far, q)
}

// run takes q through the stages of w. A panic becomes SERVFAIL: a bad packet must not
// end the process.
func (s *Server) run(ctx context.Context, w *way, q *query) (st step) {
	defer func() {
		if r := recover(); r != nil {
			s.metrics.panics.Inc()
			// The stack names functions, never what was asked.
			s.log.Error("a question met a fault in the program; please report this", "stack", string(debug.Stack()))
			s.log.Debug("the fault", "panic", fmt.Sprint(r), "name", q.name.String())
			q.edns = false // it may not have been read whole
			st = q.plain(rcodeServFail, noError, outFailed)
			s.laneOf(q).count(q)
		}
	}()
	stages, sampled := w.stages, s.sample()
	if sampled {
		stages = w.timed
	}
	for _, f := range stages {
		switch st = f(ctx, q); st {
		case pass:
		case away:
			return pass
		default:
			s.finish(q, st)
			if sampled || w.always {
				w.took.observe(q.outcome, s.now().Sub(q.now))
			}
			return st
		}
	}
	return pass
}

// finish counts a query that has its answer, and keeps the attempt if the
// verdict says so.
func (s *Server) finish(q *query, st step) {
	if st == quiet {
		q.outcome = outDropped
	}
	if q.verdict.Keep != policy.KeepNothing {
		s.sink.Record(q.attempt())
	}
	if q.asker.Device != 0 {
		s.sink.Seen(q.asker.Family, q.asker.Device, q.now)
	}
	s.laneOf(q).count(q)
}

// laneOf returns what counts q.
func (s *Server) laneOf(q *query) *lane {
	if q.lane == nil {
		return &s.metrics.lanes[0]
	}
	return q.lane
}

// goFar answers q in a goroutine of its own and then calls send. Where too many
// are under way it answers at once that it is so, and returns false: the caller
// sends that.
func (s *Server) goFar(ctx context.Context, q *query, send func()) (away bool) {
	if s.inFlight.Add(1) > int64(s.limits.InFlight) {
		s.inFlight.Add(-1)
		s.metrics.overload.Inc()
		s.finish(q, q.plain(rcodeServFail, errBusy, outFailed))
		return false
	}
	s.flights.Go(func() {
		s.answerFar(ctx, q)
		s.inFlight.Add(-1)
		send()
	})
	return true
}

// recoverFlight makes an error of a panic while an answer was fetched: a bad
// packet must not end the process.
func (s *Server) recoverFlight(k question, err *error) {
	if r := recover(); r != nil {
		s.metrics.panics.Inc()
		s.log.Error("an answer met a fault in the program; please report this", "stack", string(debug.Stack()))
		s.log.Debug("the fault", "panic", fmt.Sprint(r), "name", k.name.String())
		*err = errUnreadable
	}
}
