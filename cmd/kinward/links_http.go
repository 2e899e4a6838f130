package main

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kinward/policy"
	"kinward/store"
)

// linkPath is where routers report their address, by the protocol of dynamic DNS
// services that routers know best ("dyndns2"). Its answers are words:
//
//	good ADDRESS   it is linked now
//	nochg ADDRESS  it was before
//	badauth        the user or the password is wrong
//	nohost         the host name is not the user's
//	911            not now: try again later
const linkPath = "/nic/update"

// linkServer takes routers' reports.
type linkServer struct {
	n      *node
	now    func() time.Time
	counts *prometheus.CounterVec
	failed tally[netip.Prefix] // wrong passwords
}

func newLinkServer(n *node, r prometheus.Registerer) (*linkServer, error) {
	s := &linkServer{n: n, now: time.Now, counts: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kinward_link_reports_total", Help: "Reports of routers about their address, by what became of them.",
	}, []string{"outcome"})}
	for _, o := range []string{"good", "nochg", "badauth", "nohost", "taken", "private", "limited", "failed"} {
		s.counts.WithLabelValues(o)
	}
	return s, r.Register(s.counts)
}

// ServeHTTP implements http.Handler. The request's RemoteAddr is the client's
// address, as proven by a connection; it came encrypted.
func (s *linkServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if r.URL.Path != linkPath {
		http.Error(w, "there is nothing here", http.StatusNotFound)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "want GET", http.StatusMethodNotAllowed)
		return
	}
	from, err := netip.ParseAddr(r.RemoteAddr)
	if err != nil {
		http.Error(w, "911", http.StatusInternalServerError)
		return
	}
	status, word, outcome := s.report(r, from.Unmap())
	s.counts.WithLabelValues(outcome).Inc()
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="Kinward", charset="UTF-8"`)
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(word + "\n")) // the router may be gone
}

// report returns the answer to a report, and what became of it.
func (s *linkServer) report(r *http.Request, from netip.Addr) (status int, word, outcome string) {
	now := s.now()
	user, password, given := r.BasicAuth()
	user, host := strings.ToLower(user), hostOf(r.URL.Query()["hostname"])
	var l *store.Link
	if given {
		var err error
		if l, err = s.n.db.LinkByToken(r.Context(), user); err != nil && !errors.Is(err, store.ErrNotFound) {
			return s.fault(err)
		}
	}
	// Who has shown the password from here before is not shut out by who guesses.
	known := l != nil && linkedFrom(l, from)
	if !known && !s.failed.take(failing(from), 0, maxFailures, now) {
		return http.StatusTooManyRequests, "911", "limited"
	}
	switch {
	case !l.Is(password):
		if given {
			s.failed.take(failing(from), 1, maxFailures, now)
		}
		return http.StatusUnauthorized, "badauth", "badauth"
	case host != user:
		return http.StatusOK, "nohost", "nohost"
	}
	// The address in the report (myip) is not looked at. The connection proves where
	// the router is; a word in a URL would let whoever has one family's password
	// have another home's questions answered by its policy and read in its record.
	changed, err := s.n.link(context.WithoutCancel(r.Context()), l, from, now)
	switch {
	case errors.Is(err, policy.ErrTaken):
		s.n.log.Warn("a router reports an address that another family has; its own is not linked", "family", int64(l.Family))
		return http.StatusOK, "911", "taken"
	case errors.Is(err, policy.ErrNotPublic):
		s.n.log.Warn("a router reports from an address that is no public one, which tells no home", "family", int64(l.Family))
		return http.StatusOK, "911", "private"
	case err != nil:
		return s.fault(err)
	case changed:
		return http.StatusOK, "good " + from.String(), "good"
	}
	return http.StatusOK, "nochg " + from.String(), "nochg"
}

func (s *linkServer) fault(err error) (int, string, string) {
	s.n.log.Error("a router's report could not be kept", "error", err)
	return http.StatusInternalServerError, "911", "failed"
}

// hostOf returns the token in the host name of a report: many routers want a
// whole name, of which it is the first label.
func hostOf(values []string) string {
	if len(values) != 1 {
		return ""
	}
	label, _, _ := strings.Cut(values[0], ".")
	return strings.ToLower(label)
}

func linkedFrom(l *store.Link, from netip.Addr) bool {
	for _, a := range l.Addresses {
		if a.Network.Contains(from) {
			return true
		}
	}
	return false
}

// maxFailures is how often a network may be wrong about a password in a window: one is
// 128 bits.
const maxFailures = 10

// failing is the network that is counted for an address.
func failing(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.WithZone("").Prefix(bits) // no error: the bits are
	return p
}
