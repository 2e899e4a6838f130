package resolver

import (
	"context"
	"errors"
	"net"
	"os"
	"time"

	"github.com/miekg/dns"

	"kinward/resolver/upstream"
)

// errNoUpstream: every upstream leads back to Kinward.
var errNoUpstream = errors.New("no upstream may be used")

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
	ended, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	f := s.fetch(ctx, q.set, q.question)
	var err error
	select {
	case <-f.done:
		failed := f.err != nil || q.stale != nil && f.e.isFailure()
		if !failed {
			return s.release(q, f.e)
		}
		err = f.err
	case <-ended.Done():
		err = ended.Err()
		s.metrics.deadlines.Inc()
	}
	if q.stale != nil {
		q.stale.failed.Store(q.now.UnixNano())
		return s.releaseStale(q, q.stale)
	}
	s.log.Debug("a question found no answer", "name", q.name.String(), "type", q.qtype, "err", err)
	return q.plain(rcodeServFail, failure(err), outFailed)
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
	case errors.Is(err, errNoSocket):
		return errBusy
	case errors.Is(err, errUnreadable):
		return errInvalid
	case errors.Is(err, errNoUpstream), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return errUnreachable
	}
	return errNetwork
}

// reply is what became of asking one upstream.
type reply struct {
	e       *entry
	refused bool // it serves others, not us; perhaps the next one does
	err     error
	from    *peer
}

// resolve asks the upstreams until one answers: the first of inOrder, the next
// where one fails or takes longer than it usually does, and those that did not
// answer in time a second time. The error is the first upstream's.
func (s *Server) resolve(ctx context.Context, peers []*peer, k question) (*entry, error) {
	var order [16]*peer
	left := inOrder(order[:0], peers, s.now())
	if len(left) == 0 {
		return nil, errNoUpstream
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // what is still asked then is not waited for
	replies := make(chan reply, 2*len(left)+1)
	running := 0
	start := func(ctx context.Context, p *peer) {
		running++
		s.flights.Go(func() { replies <- s.try(ctx, p, k) })
	}
	explore, nth := s.hedge.asked()
	if others := left[1:]; explore && len(others) > 0 {
		// To its end, whoever answers first: it is asked in order to be measured.
		s.metrics.explored.Inc()
		start(context.WithoutCancel(ctx), others[nth%uint64(len(others))])
	}
	tries := 2 * len(left)
	var first error
	var refusal *entry
	slow := time.NewTimer(0)
	defer slow.Stop()
	next := func() {
		p := left[0]
		left = left[1:]
		tries--
		start(ctx, p)
		slow.Reset(p.latency.patience())
	}
	next()
	for running > 0 {
		select {
		case <-slow.C:
			if len(left) > 0 && s.hedge.spend() {
				s.metrics.hedged.Inc()
				next()
			}
			continue
		case r := <-replies:
			running--
			switch {
			case r.err == nil && !r.refused:
				return r.e, nil
			case r.refused:
				refusal = r.e
			default:
				if first == nil {
					first = r.err
				}
				if failure(r.err) == errUnreachable && tries > len(left) { // a packet may have been lost
					left = append(left, r.from)
				}
			}
		}
		if ctx.Err() != nil {
			break
		}
		if len(left) > 0 {
			next()
		}
	}
	return refusal, orNil(first, refusal)
}

// try asks one upstream and reads what it answers.
func (s *Server) try(ctx context.Context, p *peer, k question) (r reply) {
	r.from = p
	defer s.recoverFlight(k, &r.err)
	m, err := s.ask(ctx, p, k)
	if err != nil {
		r.err = err
		return r
	}
	r.e, r.err = newEntry(k, m, s.now())
	r.refused = r.err == nil && m.Rcode == dns.RcodeRefused
	return r
}

// orNil drops an error that a refusal makes up for.
func orNil(err error, refusal *entry) error {
	if refusal != nil {
		return nil
	}
	return err
}

// ask asks one upstream and keeps account of it.
func (s *Server) ask(ctx context.Context, p *peer, k question) (*dns.Msg, error) {
	if err := s.socket(ctx); err != nil {
		return nil, err
	}
	defer func() { <-s.sockets }()
	began := time.Now()
	m, err := p.client.Ask(ctx, upstream.Question{Name: string(k.name), Type: k.qtype, Class: k.class, DO: k.do, CD: k.cd})
	p.m.queries.Inc()
	if err != nil {
		p.m.failures.Inc()
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, err // we are stopping: not the upstream's fault
		}
		if p.failed(s.now(), err) {
			s.log.Warn("an upstream does not answer, so others are asked first", "upstream", p.name, "err", err)
		}
		return nil, err
	}
	took := time.Since(began)
	p.latency.observe(took)
	p.m.seconds.Observe(took.Seconds())
	if p.answered(s.now()) {
		s.log.Info("an upstream answers again", "upstream", p.name)
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
