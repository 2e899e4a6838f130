package resolver

import (
	"net/netip"
	"strings"
	"sync"
	"time"

	"kinward/blocklists"
	"kinward/policy"
)

// Below the portal's name stand those by which a device shows that it asks here.
// It is no name of the internet (RFC 8375): a device that asks somebody else is
// not seen.
const checkPrefix = "check-"

// isCheck reports whether n is such a name.
func isCheck(n blocklists.Name) bool {
	return n.Parent() == policy.Portal && len(n) > 0 && strings.HasPrefix(string(n[1:]), checkPrefix)
}

// Checked is one question for a name that was watched.
type Checked struct {
	Asker     policy.Asker
	From      netip.Addr
	Transport string // "udp", "tcp", "dot" and so on
	Encrypted bool
	Time      time.Time
}

// checks are the names that are watched now: none, almost always.
type checks struct {
	mu      sync.Mutex
	watched map[blocklists.Name]chan Checked
}

// CheckName returns the name that stands for a token in checks, without a dot at
// its end. A token is a label of a host name that nobody can guess.
func CheckName(token string) string { return checkPrefix + token + "." + policy.Portal.String() }

// Check sends every question for the name of a token on the channel that it
// returns, until stop is called. Who reads slowly misses some; nobody waits.
// Questions that are refused, since nobody knows the asker, are not among them.
func (s *Server) Check(token string) (seen <-chan Checked, stop func(), err error) {
	name, err := blocklists.ParseName(CheckName(token))
	if err != nil {
		return nil, nil, err
	}
	c := make(chan Checked, 16)
	s.checks.mu.Lock()
	defer s.checks.mu.Unlock()
	if s.checks.watched == nil {
		s.checks.watched = map[blocklists.Name]chan Checked{}
	}
	s.checks.watched[name] = c
	return c, func() {
		s.checks.mu.Lock()
		defer s.checks.mu.Unlock()
		delete(s.checks.watched, name)
	}, nil
}

// checked answers a name of checks, always alike: with the address of the page that
// says so to whoever holds the device, or where none is served that the name
// exists. Whether it was watched is nobody's business at the asker's end.
func (s *Server) checked(q *query) step {
	s.checks.mu.Lock()
	if c := s.checks.watched[q.name]; c != nil {
		select {
		case c <- Checked{
			Asker: q.asker, From: q.from.Addr().Unmap(), Transport: transportNames[q.via],
			Encrypted: q.via.encrypted(), Time: q.now,
		}:
		default:
		}
	}
	s.checks.mu.Unlock()
	if q.set.page.Served {
		return q.toPages(checkTTL)
	}
	return q.negative(rcodeNoError, policy.Portal, checkTTL, noError, outLocal)
}

// checkTTL lets a device ask again at once: seconds.
const checkTTL = 1
