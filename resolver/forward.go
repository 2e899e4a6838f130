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
	r := &race{s: s, k: k, left: left, firsts: len(left), replies: make(chan reply, 2*len(left))}
	r.slow = time.NewTimer(s.limits.QueryDeadline) // next sets it
	defer r.slow.Stop()
	r.explore(ctx)
	only := r.left[0]
	r.next(ctx)
	for r.running > 0 {
		select {
		case <-r.slow.C:
			r.late(ctx, only)
			continue
		case got := <-r.replies:
			r.running--
			if r.won(got) {
				return got.e, nil
			}
		}
		if ctx.Err() != nil {
			break
		}
		if len(r.left) > 0 && !r.judged {
			r.next(ctx)
		}
	}
	return r.poor, orNil(r.first, r.poor)
}

// race is a question on its way to one upstream after the other, or beside it.
type race struct {
	s    *Server
	k    question
	left []*peer // to be asked still, in this order

	firsts           int // peers, each of which may be asked twice
	started, running int
	replies          chan reply  // with room for all
	slow             *time.Timer // when who was asked last takes longer than it usually does

	first  error  // of who failed first
	poor   *entry // an answer that is none, for where there is no better one
	judged bool   // it says that the question is at fault
}

// start asks p beside.
func (r *race) start(ctx context.Context, p *peer) {
	again := r.started >= r.firsts
	last := again && len(r.left) == 0
	r.started++
	r.running++
	s, k, replies := r.s, r.k, r.replies
	s.flights.Go(func() {
		if !last { // another can still be asked; the last one gets all the time that there is
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, s.limits.AttemptTimeout)
			defer cancel()
		}
		replies <- s.try(ctx, p, k, again)
	})
}

// next asks the next one.
func (r *race) next(ctx context.Context) {
	p := r.left[0]
	r.left = r.left[1:]
	r.start(ctx, p)
	r.slow.Reset(max(p.latency.patience(), r.s.limits.patience))
}

// explore asks another than the first, now and then and to its end, whoever answers
// first: it is asked in order to be measured.
func (r *race) explore(ctx context.Context) {
	explore, nth := r.s.hedge.earn()
	if !explore || r.firsts < 2 {
		return
	}
	r.s.metrics.explored.Inc()
	i := 1 + int(nth%uint64(r.firsts-1))
	p := r.left[i]
	r.left = append(r.left[:i], r.left[i+1:]...)
	r.start(context.WithoutCancel(ctx), p)
}

// late asks the next one beside those that take longer than they usually do. only is
// the first, which where there is no other is asked again.
func (r *race) late(ctx context.Context, only *peer) {
	if r.firsts == 1 && r.started == 1 && only.client.Spec().Scheme() == upstream.UDP {
		r.left = append(r.left, only) // a packet is lost sooner than a server
	}
	if len(r.left) > 0 && r.poor == nil && r.s.hedge.spend() {
		r.s.metrics.hedged.Inc()
		r.next(ctx)
	}
}

// won reports whether a reply is the answer, and otherwise notes what it says.
func (r *race) won(got reply) bool {
	switch {
	case got.err != nil:
		if r.first == nil {
			r.first = got.err
		}
		if failure(got.err) == errUnreachable && !got.again && r.started+len(r.left) < 2*r.firsts { // a packet may have been lost
			r.left = append(r.left, got.from)
		}
	case got.refused:
		if r.poor == nil {
			r.poor = got.e
		}
	case !got.e.isFailure() || r.running == 0:
		return true
	default: // those who are asked already may know better, but nobody else is asked: see DESIGN.md
		r.poor, r.left, r.judged = got.e, nil, true
	}
	return false
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
