package resolver

import (
	"time"

	"kinward/blocklists"
	"kinward/policy"
)

// BlockedFor is for how long a device may go by an answer that says that something
// is blocked.
const BlockedFor = blockedTTL * time.Second

// How long what Kinward says by itself may be kept, in seconds.
const (
	blockedTTL = 10   // short, so that a guardian's change of mind is felt
	localTTL   = 300  // special names: long enough to be quiet, short enough for an upgrade that serves them
	anyTTL     = 3600 // RFC 8482 §4.2 asks for a long one

	// restrictedTTL caps allowed answers in families where a profile blocks
	// something: a block made now is felt within a minute.
	restrictedTTL = 60
)

// capTTL bounds the TTL of an allowed or rewritten answer: in a family with
// children a change of mind is felt within a minute by every device, and no
// answer outlives the policy or the hours that allowed it.
func (q *query) capTTL(ttl uint32) uint32 {
	most := uint32(maxTTL)
	if q.asker.Guarded {
		most = restrictedTTL
	}
	return q.until(min(ttl, most), most)
}

// blockTTL returns the TTL of a blocked answer. Where the block ends sooner, so
// does the answer, but for a second that keeps devices from asking in a circle.
func (q *query) blockTTL() uint32 { return max(q.until(blockedTTL, blockedTTL), 1) }

// until shortens a TTL, in seconds, to the moment at which the answer would be
// another. most is the longest TTL of the whole answer.
func (q *query) until(ttl, most uint32) uint32 {
	if !q.timed {
		q.timed = true
		q.ends = q.lasts(q.now.Add(time.Duration(most) * time.Second))
	}
	if q.ends.IsZero() {
		return ttl
	}
	return uint32(min(time.Duration(ttl), max(q.ends.Sub(q.now)/time.Second, 0)))
}

// lasts returns the first moment up to a horizon at which q could be answered
// otherwise: another policy applies to the asker, or the policy's hours change
// what it says of the asked name or of one that the answer leads to. The zero
// time is none.
func (q *query) lasts(horizon time.Time) time.Time {
	first := q.asker.Until
	sooner := func(t time.Time) {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	p, x := q.asker.Policy, q.state.Index
	if next := p.NextChange(q.now); next.IsZero() || next.After(horizon) {
		return first // the usual case, so nothing is looked up for it
	}
	ask := func(n blocklists.Name) {
		sooner(policy.ChangesAt(x, p, policy.Ask(x, n, q.qtype, q.now), q.qtype, horizon))
	}
	ask(q.name)
	if q.hidden != "" {
		ask(q.hidden)
	}
	for _, n := range q.leads {
		ask(n)
	}
	return first
}
