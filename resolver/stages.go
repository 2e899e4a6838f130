package resolver

import (
	"context"

	"kinward/blocklists"
	"kinward/policy"
)

// step is what a stage says when it has looked at a query.
type step uint8

const (
	pass  step = iota // the next stage's turn
	done              // q.out is the answer
	quiet             // no answer is due
	away              // the far stages' turn: no other near one has a say
)

// stage is one part of the way of a query.
type stage func(context.Context, *query) step

// stages lists the way of every query. The near ones never wait and run in the
// listener's own loop; what passes them all goes to the far ones, in one of a
// bounded number of goroutines. run stands around both, so that a bad packet
// cannot end the process.
func (s *Server) stages() (near, far []namedStage) {
	near = []namedStage{
		{"read", s.read},         // nothing else looks at bytes that a stranger chose
		{"limit", s.limit},       // keyed on the address received from; refusals are counted, too
		{"own", s.own},           // the zone that others are sent here for: strangers ask, no family's policy has a say
		{"admit", s.admit},       // before everything that costs or tells something
		{"check", s.check},       // what cannot be served is not worth a look-up
		{"identify", s.identify}, // everything below may ask who it is
		{"local", s.local},       // special names: never asked of others, the same for all
		{"decide", s.decide},     // before the cache: families differ, answers do not
		{"enforce", s.enforce},   // what is blocked is asked of nobody, what is rewritten only under the safe name
		{"portal", s.portal},     // after enforce, since a guardian may deny it
		{"home", s.home},         // after enforce, which a family's own names do not pass by; before anybody else is asked
		{"minimise", s.minimise}, // after enforce, or ANY would tell that a blocked name exists
		{"recall", s.recall},     // the cache
	}
	far = []namedStage{
		{"challenge", s.challenge}, // first: who asks it went past all that follows
		{"follow", s.follow},       // where a local CNAME leads out of the home
		{"forward", s.forward},     // the upstreams
	}
	return near, far
}

// read takes the message apart and stamps it with the time and the settings
// that hold for it.
func (s *Server) read(_ context.Context, q *query) step {
	if q.now.IsZero() {
		q.now = s.now()
	}
	q.set, q.state = s.settings.Load(), s.state()
	if !q.parse() {
		return quiet
	}
	s.gather(q)
	return pass
}

// admit refuses whoever is not on the allow-list, so that Kinward is never an
// open resolver. The list does not govern who brings a token, which identify
// looks at, or asks from an address that is linked to a family.
func (s *Server) admit(_ context.Context, q *query) step {
	if !q.admitted() {
		return q.refuseStranger()
	}
	return pass
}

// refuseStranger refuses, over UDP in no more bytes than the question has:
// whoever writes another's address into a packet would have them sent there.
func (q *query) refuseStranger() step {
	e := errProhibited
	q.cookieLen = 0
	if q.via == overUDP && headerLen+len(q.asked)+q.optLen(e) > len(q.msg) {
		e = noError
	}
	return q.plain(rcodeRefused, e, outRefused)
}

// check answers questions that are malformed or of a kind that is not served.
func (s *Server) check(_ context.Context, q *query) step {
	switch {
	case q.fault != 0:
		return q.plain(q.fault, noError, outMalformed)
	case q.vers != 0:
		return q.plain(rcodeBadVers, noError, outMalformed) // RFC 6891 §6.1.3
	}
	switch q.class {
	case classCH, classNONE, classANY:
		// CHAOS asks about the server itself, and the upstream's version is not
		// ours to tell; NONE and ANY are no classes of data (RFC 6895 §3.2).
		return q.plain(rcodeRefused, errNotSupported, outRefused)
	}
	switch q.qtype {
	case 0, typeOPT: // reserved, or a pseudo record that nobody can own (RFC 6895 §3.1)
		return q.plain(rcodeFormErr, noError, outMalformed)
	case typeTKEY, typeTSIG: // hop by hop, and no keys are kept here
		return q.plain(rcodeNotImp, errNotSupported, outMalformed)
	case typeAXFR, typeIXFR: // a zone's, not a resolver's
		return q.plain(rcodeRefused, errNotSupported, outRefused)
	}
	return pass
}

// identify finds out who asks and which policy applies. Whoever belongs to no
// family is refused: without a policy there is no filter. So is a token that
// nobody has, whatever else is known of who brings it.
func (s *Server) identify(_ context.Context, q *query) step {
	var try guess
	if q.clues.Token != "" {
		if try = s.guesses.of(q.clues); !s.guesses.mayTry(try, q.now) {
			s.metrics.tokens[tokenLimited].Inc()
			return q.plain(rcodeRefused, errProhibited, outRefused)
		}
	}
	asker, ok := q.state.Directory.Identify(q.clues, q.now)
	if q.clues.Token != "" {
		s.guesses.note(try, ok, q.now)
		if !ok {
			s.metrics.tokens[tokenUnknown].Inc()
		}
	}
	if !ok { // not even counted for a family: there is none to count it for
		return q.refuseStranger()
	}
	q.asker = asker
	if asker.Device == 0 {
		s.unknown.note(q)
	}
	return pass
}

// decide asks the policy. What the index knows of a name that was asked for lately
// lies beside its answer, or in front.
func (s *Server) decide(_ context.Context, q *query) step {
	x, ask := q.state.Index, policy.Question{Name: q.name, Time: q.now}
	var set blocklists.SetID
	q.recent, set = q.front.know(x, q.question, q.now)
	ask.Labels = x.Refine(set, q.name, q.qtype)
	var about blocklists.Name
	if q.verdict, about = policy.DecideKnown(x, q.asker.Policy, ask, q.qtype); about != q.name {
		q.hidden = about
	}
	if s.watch != nil && q.verdict.Reason != policy.ByHelp && q.verdict.Reason != policy.ByPlumbing {
		s.watch.Asked(q.asker, q.client(), q.name, q.qtype, q.now)
	}
	return pass
}

// enforce answers what the verdict blocks, and says what is to be fetched.
func (s *Server) enforce(_ context.Context, q *query) step {
	q.fetch = q.question
	switch q.verdict.Action {
	case policy.Block:
		return q.block()
	case policy.Rewrite:
		return q.rewrite()
	}
	return pass
}

// minimise answers what is allowed but not worth asking an upstream for.
func (s *Server) minimise(_ context.Context, q *query) step {
	switch {
	case q.qtype == typeANY:
		return q.hinfo()
	case !q.hasRec:
		// Without recursion the answer could only tell what others asked for
		// lately (cache snooping): nobody's business, least of all in a family.
		return q.plain(rcodeRefused, errSnooping, outRefused)
	}
	return pass
}

// recall answers from the cache. An answer that is over is kept for forward.
func (s *Server) recall(ctx context.Context, q *query) step {
	if q.alias != nil {
		return pass // follow's
	}
	e := q.recent
	if q.fetch != q.question { // rewritten
		e = q.front.get(q.fetch, q.now)
	}
	if e == nil {
		if e = s.cache.get(q.fetch, q.now); e != nil {
			q.front.put(e)
		}
	}
	switch {
	case e == nil:
	case e.alive(q.now):
		s.laneOf(q).hits.Add(1)
		if e.use(q.now) {
			s.prefetch(ctx, q.set, q.fetch)
		}
		return s.release(q, e)
	case e.recently(q.now): // the upstreams failed a moment ago: nobody waits for them now
		return s.releaseStale(q, e)
	default:
		q.stale = e
	}
	s.laneOf(q).misses.Add(1)
	return pass
}

// release answers with e, unless the asker's policy blocks a name that e leads
// to: the target of a CNAME, DNAME, SVCB or HTTPS record, or another owner.
func (s *Server) release(q *query, e *entry) step {
	if v, n, blocked := inspect(q, e); blocked {
		q.verdict, q.hidden = v, n
		return q.block()
	}
	if e.home && !q.mayLeadHome() {
		// NODATA, whole: an attack's answer mixes its own address with the home's.
		s.metrics.rebinds.Inc()
		return q.negative(rcodeNoError, q.name, blockedTTL, errRebinding, outBlocked)
	}
	switch {
	case q.fetch.name != q.name:
		return q.addRewritten(e)
	case q.verdict.Action == policy.Rewrite && len(e.leads) > 0:
		// A stub resolver that keeps a CNAME uses it for every type of the name, so
		// a TXT record behind one would be a way round.
		return q.negative(rcodeNoError, q.name, q.capTTL(rewrittenTTL), errFiltered, outRewritten)
	}
	q.addEntry(e)
	return done
}

// inspect decides about the names that e leads to, each as if it had been
// asked. Behind a help line nothing is; behind a name that was allowed by its own
// right (what devices need, the family's own rule or choice of service, a grant)
// or is a search engine's safe one only what is dangerous.
func inspect(q *query, e *entry) (v policy.Verdict, n blocklists.Name, blocked bool) {
	if len(e.leads) == 0 {
		return v, "", false
	}
	own := false
	switch q.verdict.Reason {
	case policy.ByHelp: // a list must not close the way to help by naming where it is hosted
		return v, "", false
	case policy.ByPlumbing, policy.ByRule, policy.BySafeSearch:
		own = true
	case policy.ByGrant:
		own = !q.asker.Policy.Lifts(q.verdict.Grant)
	case policy.ByService:
		own = q.verdict.Action == policy.Allow
	}
	if !own {
		q.leads = e.leads // time changes what is said of them, too
	}
	x := q.state.Index
	private := false
	for i, set := range e.labels(x) {
		lead := policy.Question{Name: e.leads[i], Labels: x.Refine(set, e.leads[i], q.qtype), Time: q.now}
		lv, about := policy.DecideKnown(x, q.asker.Policy, lead, q.qtype)
		private = private || lv.Reason == policy.ByHelp
		if lv.Action != policy.Block || own && lv.Reason != policy.BySecurity {
			continue
		}
		if !blocked || lv.Keep == policy.KeepCount { // what must not be named stays unnamed
			v, n, blocked = lv, about, true
		}
	}
	if private { // the way to a help line is nobody's business
		v.Keep = policy.KeepNothing
	}
	return v, n, blocked
}
