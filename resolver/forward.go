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

// forward asks the upstreams, keeps the answer, and gives it to the asker. It
// takes no longer than the query's deadline: what has no answer by then is
// SERVFAIL, with the reason in the EDE.
func (s *Server) forward(ctx context.Context, q *query) step {
	ctx, cancel := context.WithTimeout(ctx, s.limits.QueryDeadline)
	defer cancel()
	select { // a question holds one socket at most
	case s.sockets <- struct{}{}:
		defer func() { <-s.sockets }()
	case <-ctx.Done():
		return q.plain(rcodeServFail, errBusy, outFailed)
	}
	e, err := s.resolve(ctx, q.set.peers, q.question)
	if err != nil {
		s.log.Debug("a question found no answer", "name", q.name.String(), "type", q.qtype, "err", err)
		return q.plain(rcodeServFail, failure(err), outFailed)
	}
	s.cache.put(q.question, e)
	return s.release(q, e)
}

// failure puts in a word why there is no answer.
func failure(err error) extendedError {
	var ne net.Error
	switch {
	case errors.Is(err, errUnreadable):
		return errInvalid
	case errors.Is(err, errNoUpstream), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled),
		errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return errUnreachable
	}
	return errNetwork
}

// resolve asks one upstream after the other, healthy ones first, each in the
// order of the configuration, and those that did not answer in time a second
// time. The error is the first upstream's.
func (s *Server) resolve(ctx context.Context, peers []*peer, k question) (*entry, error) {
	var order [8]*peer
	left := inOrder(order[:0], peers, s.now())
	if len(left) == 0 {
		return nil, errNoUpstream
	}
	var first error
	var refusal *entry
	for round := 0; round < 2 && len(left) > 0; round++ {
		again := left[:0]
		for _, p := range left {
			m, err := s.ask(ctx, p, k)
			var e *entry
			if err == nil {
				e, err = newEntry(k, m, s.now())
			}
			if err == nil {
				if m.Rcode != dns.RcodeRefused {
					return e, nil
				}
				// It serves others, not us; perhaps the next one does.
				refusal = e
				continue
			}
			if first == nil {
				first = err
			}
			if ctx.Err() != nil {
				return refusal, orNil(first, refusal)
			}
			if failure(err) == errUnreachable { // a packet may have been lost
				again = append(again, p)
			}
		}
		left = again
	}
	return refusal, orNil(first, refusal)
}

// orNil drops an error that a refusal makes up for.
func orNil(err error, refusal *entry) error {
	if refusal != nil {
		return nil
	}
	return err
}

// inOrder appends the peers that may be asked, healthy ones first.
func inOrder(to []*peer, peers []*peer, now time.Time) []*peer {
	var rest [8]*peer
	spared := rest[:0]
	for _, p := range peers {
		switch {
		case p.looping.Load():
		case p.healthy(now):
			to = append(to, p)
		default:
			spared = append(spared, p)
		}
	}
	return append(to, spared...)
}

// ask asks one upstream and keeps account of it.
func (s *Server) ask(ctx context.Context, p *peer, k question) (*dns.Msg, error) {
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
	p.m.seconds.Observe(time.Since(began).Seconds())
	if p.answered(s.now()) {
		s.log.Info("an upstream answers again", "upstream", p.name)
	}
	return m, nil
}
