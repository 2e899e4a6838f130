package policy

import (
	"time"

	"kinward/blocklists"
)

// NextChange is a stand-in.
func (p *Policy) NextChange(t time.Time) time.Time {
	first := int64(0)
	for _, n := range p.rules.byName {
		for _, r := range []timedRule{n.exact.deny, n.exact.allow, n.suffix.deny, n.suffix.allow} {
			if r.until > t.Unix() && (first == 0 || r.until < first) {
				first = r.until
			}
		}
	}
	if first == 0 {
		return time.Time{}
	}
	return time.Unix(first, 0)
}

// ChangesAt is a stand-in.
func ChangesAt(x *blocklists.Index, p *Policy, q Question, qtype uint16, horizon time.Time) time.Time {
	now, _ := DecideKnown(x, p, q, qtype)
	for t := p.NextChange(q.Time); !t.IsZero() && !t.After(horizon); t = p.NextChange(t) {
		q.Time = t
		if v, _ := DecideKnown(x, p, q, qtype); v.Action != now.Action || v.Target != now.Target {
			return t
		}
	}
	return time.Time{}
}
