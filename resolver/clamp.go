package resolver

import (
	"time"

	"github.com/miekg/dns"
)

// ttlBounds bound how long answers are kept, and so the TTLs that clients see.
type ttlBounds struct{ least, most time.Duration }

// MaxLeastTTL is the highest floor that may be set: an answer that is kept for
// longer than its owner wants is wrong after every move of theirs.
const MaxLeastTTL = time.Hour

// apply bounds the TTLs of an upstream's answer to k. The floor is for positive
// answers alone, never for TTL 0, which means that the answer is good for once,
// and not where signatures were asked for: whoever checks them sees that a TTL was
// raised (RFC 4035 §5.3.3).
func (b ttlBounds) apply(k question, m *dns.Msg) {
	most := uint32(b.most / time.Second)
	least := uint32(b.least / time.Second)
	if m.Rcode != dns.RcodeSuccess || len(m.Answer) == 0 || k.do {
		least = 0
	}
	for _, section := range [...][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			if h := rr.Header(); h.Rrtype != dns.TypeOPT { // whose TTL is something else
				h.Ttl = boundTTL(h.Ttl, least, most)
			}
		}
	}
}

// boundTTL bounds a TTL, in seconds. 0 stays, and so does most below least.
func boundTTL(ttl, least, most uint32) uint32 {
	switch {
	case ttl > 1<<31-1: // RFC 2181 §8
		return 0
	case ttl > 0:
		ttl = max(ttl, least)
	}
	return min(ttl, most)
}
