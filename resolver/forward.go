package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/miekg/dns"

	"kinward/resolver/upstream"
)

// errNoUpstream: every upstream leads back to Kinward.
var errNoUpstream = errors.New("no upstream may be used")

// errManyFlights: more questions are under way to upstreams than may be.
var errManyFlights = errors.New("too many questions are under way")

// errLame: an upstream refers to others in place of resolving.
var errLame = errors.New("it refers to other servers instead of resolving: is recursion switched off there?")

// isLame reports whether m is a referral (RFC 1034 §4.3.1), which is no answer.
func isLame(m *dns.Msg) bool {
	if m.RecursionAvailable || m.Authoritative || m.Rcode != dns.RcodeSuccess || len(m.Answer) > 0 || len(m.Ns) == 0 {
		return false
	}
	for _, rr := range m.Ns {
		if rr.Header().Rrtype == dns.TypeSOA {
			return false
		}
	}
	return true
}

// errNoSocket: all sockets to upstreams were taken for too long.
var errNoSocket = errors.New("too many questions wait for upstreams")

// forward asks the upstreams and gives the answer to the asker. Where that fails,
// or takes longer than people wait, an answer that is over is better than none
// (RFC 8767). It takes no longer than the query's deadline: what has no answer by
// then is SERVFAIL, with the reason in the EDE.
func (s *Server) forward(ctx context.Context, q *query) step {
	wait := s.limits.QueryDeadline
	if q.stale != nil {
		wait = min(wait, staleAfter)
	}
	e, err := s.await(ctx, q.set, q.fetch, wait)
	if err == nil && !(q.stale != nil && e.isFailure()) {
		return s.release(q, e)
	}
	if q.stale != nil {
		q.stale.fail(q.now)
		return s.releaseStale(q, q.stale)
	}
	s.log.Debug("a question found no answer", "name", q.name.String(), "type", q.qtype, "err", err)
	return q.plain(rcodeServFail, failure(err), outFailed)
}

// await fetches the answer to k and waits for it, no longer than it may take.
func (s *Server) await(ctx context.Context, set *settings, k question, wait time.Duration) (*entry, error) {
	f := s.fetch(ctx, set, k, false)
	if f == nil {
		return nil, errManyFlights
	}
	late := time.NewTimer(wait)
	defer late.Stop()
	err := context.DeadlineExceeded
	select {
	case <-f.done:
		return f.e, f.err
	case <-late.C:
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.metrics.deadlines.Inc()
	return nil, err
}

// releaseStale answers with e, which is over, and says so (RFC 8914 §4.4).
func (s *Server) releaseStale(q *query, e *entry) step {
	s.metrics.stale.Inc()
	return s.release(q, e)
}

// failure puts in a word why there is no answer.
func failure(err error) extendedError {
	var ne net.Error
	switch {
	case errors.Is(err, errNoSocket), errors.Is(err, errManyFlights), errors.Is(err, upstream.ErrCrowded):
		return errBusy
	case errors.Is(err, errUnreadable):
		return errInvalid
	case errors.Is(err, errLame):
		return errReferral
	case errors.Is(err, errNoUpstream), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return errUnreachable
	}
	return errNetwork
}

// reply is what became of asking one upstream.
type reply struct {
	e       *entry
	refused bool // it serves others, not us, or nobody; perhaps the next one does
	err     error
	from    *peer
	again   bool // it was its second try
}

// resolve asks the upstreams until one answers: the first of inOrder, the next
// where one fails or takes longer than it usually does, and those that did not
// answer in time a second time, for as long as ctx lasts. The error is the first
// upstream's. What is still asked when it returns is not waited for: the caller
// ends ctx.
func (s *Server) resolve(ctx context.Context, peers []*peer, k question) (*entry, error) {
	var order [16]*peer
	left := inOrder(order[:0], peers, s.now())
	if len(left) == 0 {
		return nil, errNoUpstream
	}
	firsts := len(left)
	replies := make(chan reply, 2*firsts)
	started, running := 0, 0
	start := func(ctx context.Context, p *peer) {
		again := started >= firsts
		last := again && len(left) == 0
		started++
		running++
		s.flights.Go(func() {
			if !last { // another can still be asked; the last one gets all the time that there is
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, s.limits.AttemptTimeout)
				defer cancel()
			}
			replies <- s.try(ctx, p, k, again)
		})
	}
	if explore, nth := s.hedge.earn(); explore && firsts > 1 {
		// To its end, whoever answers first: it is asked in order to be measured.
		s.metrics.explored.Inc()
		i := 1 + int(nth%uint64(firsts-1))
		p := left[i]
		left = append(left[:i], left[i+1:]...)
		start(context.WithoutCancel(ctx), p)
	}
	slow := time.NewTimer(s.limits.QueryDeadline) // next sets it
	defer slow.Stop()
	next := func() {
		p := left[0]
		left = left[1:]
		start(ctx, p)
		slow.Reset(max(p.latency.patience(), s.limits.patience))
	}
	only := left[0]
	next()
	var first error
	var poor *entry // an answer that is none, for where there is no better one
	judged := false // it says that the question is at fault
	for running > 0 {
		select {
		case <-slow.C:
			if firsts == 1 && started == 1 && only.client.Spec().Scheme() == upstream.UDP {
				left = append(left, only) // a packet is lost sooner than a server
			}
			if len(left) > 0 && poor == nil && s.hedge.spend() {
				s.metrics.hedged.Inc()
				next()
			}
			continue
		case r := <-replies:
			running--
			switch {
			case r.err != nil:
				if first == nil {
					first = r.err
				}
				if failure(r.err) == errUnreachable && !r.again && started+len(left) < 2*firsts { // a packet may have been lost
					left = append(left, r.from)
				}
			case r.refused:
				if poor == nil {
					poor = r.e
				}
			case !r.e.isFailure() || running == 0:
				return r.e, nil
			default: // those who are asked already may know better, but nobody else is asked: see DESIGN.md
				poor, left, judged = r.e, nil, true
			}
		}
		if ctx.Err() != nil {
			break
		}
		if len(left) > 0 && !judged {
			next()
		}
	}
	return poor, orNil(first, poor)
}

// try asks one upstream and reads what it answers.
func (s *Server) try(ctx context.Context, p *peer, k question, again bool) (r reply) {
	r.from, r.again = p, again
	defer s.recoverFlight(k, &r.err)
	m, err := s.ask(ctx, p, k)
	if err != nil {
		r.err = err
		return r
	}
	if isLame(m) {
		r.err = errLame
		return r
	}
	s.ttl.apply(k, m)
	r.e, r.err = newEntry(k, m, s.now())
	r.refused = r.err == nil && (m.Rcode == dns.RcodeRefused || m.Rcode == dns.RcodeServerFailure && p.poor.Load() >= poorInARow)
	return r
}

// orNil drops an error that a refusal makes up for.
func orNil(err error, refusal *entry) error {
	if refusal != nil {
		return nil
	}
	return err
}

// ask asks one upstream and keeps account of it. Without a deadline of ctx it
// takes an attempt's time at most.
func (s *Server) ask(ctx context.Context, p *peer, k question) (*dns.Msg, error) {
	if err := s.socket(ctx); err != nil {
		return nil, err
	}
	defer func() { <-s.sockets }()
	began := time.Now()
	m, err := p.client.Ask(ctx, upstream.Question{Name: string(k.name), Type: k.qtype, Class: k.class, DO: k.do, CD: k.cd})
	took := time.Since(began)
	p.m.queries.Inc()
	switch {
	case err == nil:
	case errors.Is(ctx.Err(), context.Canceled):
		// Another answered first, or the server stops: not p's fault. But it takes
		// that long at least, and one that is gone must not stay the first for ever.
		if int64(took) > p.latency.srtt.Load() {
			p.latency.observe(took)
		}
		return nil, err
	case errors.Is(err, upstream.ErrCrowded): // our own bound
		return nil, err
	default:
		p.m.failures.Inc()
		s.fails(p, err)
		return nil, err
	}
	p.m.seconds.Observe(took.Seconds())
	if m.Rcode == dns.RcodeServerFailure || m.Rcode == dns.RcodeRefused || isLame(m) {
		// Saying no is quickly done, so it counts for nothing; who says nothing else
		// for a while is no help.
		if p.poor.Add(1) >= poorInARow {
			s.fails(p, fmt.Errorf("it answers %s without content, whatever it is asked", dns.RcodeToString[m.Rcode]))
		}
		return m, nil
	}
	if p.poor.Load() != 0 {
		p.poor.Store(0)
	}
	p.latency.observe(took)
	if p.answered(s.now()) {
		s.log.Info("an upstream answers again", "upstream", p.label)
	}
	return m, nil
}

// socket takes the right to one more socket, and waits for it where all are
// taken.
func (s *Server) socket(ctx context.Context) error {
	select {
	case s.sockets <- struct{}{}:
		return nil
	default:
	}
	s.metrics.sockets.Inc()
	select {
	case s.sockets <- struct{}{}:
		return nil
	case <-ctx.Done():
		return errNoSocket
	}
}

func (s *Server) fails(p *peer, err error) {
	if p.failed(s.now(), err) {
		s.log.Warn("an upstream does not answer, so others are asked first", "upstream", p.label, "err", err)
	}
}
