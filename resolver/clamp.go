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
	bound := func(rr dns.RR) {
		h := rr.Header()
		if h.Ttl > 1<<31-1 { // RFC 2181 §8
			h.Ttl = 0
		}
		if h.Ttl > 0 {
			h.Ttl = max(h.Ttl, least)
		}
		h.Ttl = min(h.Ttl, most)
	}
	for _, section := range [...][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			if rr.Header().Rrtype != dns.TypeOPT { // whose TTL is something else
				bound(rr)
			}
		}
	}
}
