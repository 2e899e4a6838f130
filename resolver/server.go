// Package resolver takes a question in and gives an answer out: it listens on
// UDP and TCP, finds out who asks, lets policy decide, answers what is blocked
// on the spot, and what is allowed from a shared cache or an upstream.
//
// The story of one query, and why it goes that way, is in DESIGN.md.
package resolver

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

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
	// State returns what decides. It is called once a query, by many goroutines
	// at once, and never returns nil.
	State func() *policy.State
	Log   Log // nil keeps nothing

	CacheBytes int64                 // 0: DefaultCacheBytes
	MinTTL     time.Duration         // positive answers are kept for so long at least; MaxLeastTTL at most
	MaxTTL     time.Duration         // answers are kept for so long at most; 0: a day, which is the most
	Logger     *slog.Logger          // nil logs nothing
	Registerer prometheus.Registerer // nil exports nothing
	Now        func() time.Time      // nil: time.Now
	Limits     Limits
	Roots      *x509.CertPool // who is believed about upstreams' certificates; nil: the system's authorities

	dial        func(ctx context.Context, network, addr string) (net.Conn, error) // for tests: how upstreams are reached
	sampleEvery uint32                                                            // for tests: see the constant
}

// DefaultCacheBytes holds the names of a busy household many times over.
const DefaultCacheBytes = 64 << 20

// Log keeps attempts.
type Log interface {
	// Record takes an attempt over. It is called on the way of a query, by many
	// goroutines at once, and must return at once.
	Record(policy.Attempt)
}

// Server answers questions. Make it with New.
type Server struct {
	near, far *way
	settings  atomic.Pointer[settings]
	changing  sync.Mutex // held by Reconfigure, never on the way of a query

	state    func() *policy.State
	sink     Log
	log      *slog.Logger
	now      func() time.Time
	limits   Limits
	cache    *cache
	metrics  *metrics
	fetching *flights
	hedge    hedger
	roots    *x509.CertPool
	dial     func(ctx context.Context, network, addr string) (net.Conn, error)
	ttl      ttlBounds
	retired  []retiredPeer // guarded by changing
	limiter  *limiter      // nil: no limit
	cookies  *cookies
	devices  atomic.Pointer[Hosts]
	leases   atomic.Pointer[Hosts]
	sockets  chan struct{} // one is held for each socket to an upstream

	addrs []netip.AddrPort
	udp   []*udpSocket
	tcp   *tcpListeners

	probing     sync.Mutex    // held while the upstreams are probed for loops
	probeNow    chan struct{} // asks for a probe before its time
	sampleEvery uint32
	inFlight    atomic.Int64
	flights     sync.WaitGroup // of the goroutines that answer and fetch
	closing     atomic.Bool
	ran         atomic.Bool
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
	if err := s.Reconfigure(Settings{c.Upstreams, c.Forward, c.AllowNets, c.Block, c.Home}); err != nil {
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
		state: c.State, sink: c.Log, log: c.Logger, now: c.Now, limits: c.Limits.withDefaults(),
		roots: c.Roots, dial: c.dial, ttl: ttlBounds{c.MinTTL, c.MaxTTL},
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
		c.CacheBytes = DefaultCacheBytes
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
	s.limiter = newLimiter(s.limits.Rate)
	s.cookies = newCookies(s.now())
	s.sockets = make(chan struct{}, s.limits.UpstreamSockets)
	s.probeNow = make(chan struct{}, 1)
	s.tcp = newTCPListeners(s)
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

// Addrs returns the addresses that the server listens on, in the order of
// Config.Listen, each for UDP and TCP alike.
func (s *Server) Addrs() []netip.AddrPort { return append([]netip.AddrPort(nil), s.addrs...) }

// FlushCache forgets every answer. Answers on their way are kept when they come.
func (s *Server) FlushCache() { s.cache.flush() }

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
	errs := []error{s.tcp.closeListeners(), s.closeClients()}
	for _, u := range s.udp {
		errs = append(errs, u.conn.Close())
	}
	return errors.Join(errs...)
}

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
	broken := make(chan error, len(s.udp)+len(s.tcp.listeners))
	work, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()

	var loops, probes sync.WaitGroup
	for _, u := range s.udp {
		loops.Go(func() {
			if err := u.serve(work, s); err != nil {
				broken <- err
				cancel()
			}
		})
	}
	for _, l := range s.tcp.listeners {
		loops.Go(func() {
			if err := s.tcp.serve(work, l); err != nil {
				broken <- err
				cancel()
			}
		})
	}
	probes.Go(func() { s.probeLoops(ctx) })

	<-ctx.Done()
	s.closing.Store(true)
	for _, u := range s.udp {
		u.conn.SetReadDeadline(time.Unix(1, 0)) // wakes the loop; answers still go out
	}
	err := s.tcp.closeListeners()
	s.tcp.stopReading()
	loops.Wait()
	drained := time.AfterFunc(s.limits.Drain, func() {
		stopWork() // what still waits for an upstream is answered SERVFAIL
		s.tcp.closeConns()
	})
	s.tcp.conns.Wait()
	s.flights.Wait()
	drained.Stop()
	probes.Wait()
	for _, u := range s.udp {
		err = errors.Join(err, u.conn.Close())
	}
	err = errors.Join(err, s.closeClients())
	close(broken)
	for cause := range broken {
		err = errors.Join(err, cause)
	}
	return err
}

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
			s.metrics.count(q)
		}
	}()
	stages, sampled := w.stages, s.sample()
	if sampled {
		stages = w.timed
	}
	for _, f := range stages {
		if st = f(ctx, q); st != pass {
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
	s.metrics.count(q)
}

// goFar answers q in a goroutine of its own and then calls send. Where too many
// are under way it says so to the asker instead, and calls send at once.
func (s *Server) goFar(ctx context.Context, q *query, send func()) {
	if s.inFlight.Add(1) > int64(s.limits.InFlight) {
		s.inFlight.Add(-1)
		s.metrics.overload.Inc()
		s.finish(q, q.plain(rcodeServFail, errBusy, outFailed))
		send()
		return
	}
	s.flights.Go(func() {
		s.answerFar(ctx, q)
		s.inFlight.Add(-1)
		send()
	})
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
