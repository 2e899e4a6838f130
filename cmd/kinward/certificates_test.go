package main

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"kinward/certs"
)

const (
	renewalsMetric = "kinward_certificate_renewals_total"
	failuresMetric = "kinward_certificate_renewal_failures_total"
)

func (s *site) counts(name string) float64 {
	s.t.Helper()
	sums, err := sumsOf(s.registry, name)
	if err != nil {
		s.t.Fatal(err)
	}
	return sums[0]
}

// TestACMEByEachChallenge: a certificate by each of the three, proven against the
// listeners that a server has.
func TestACMEByEachChallenge(t *testing.T) {
	for _, tt := range []struct {
		challenge certs.Challenge
		names     []string
		device    bool // a device's own name is covered
	}{
		{certs.DNS01, []string{publicName, "*." + publicName}, true},
		{certs.HTTP01, []string{publicName}, false},
		{certs.TLSALPN01, []string{publicName}, false},
	} {
		t.Run(string(tt.challenge), func(t *testing.T) {
			s := startSite(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			httpPort := freePort(t)
			p := startPebble(t, s.dns, httpPort, l.Addr().(*net.TCPAddr).Port, 90*24*time.Hour)
			a := certs.ACME{Email: "owner@example.org", Directory: p.directory, Roots: p.roots, Challenges: []certs.Challenge{tt.challenge}}
			switch tt.challenge {
			case certs.HTTP01:
				a.HTTP = fmt.Sprintf("127.0.0.1:%d", httpPort)
			case certs.TLSALPN01:
				a.TLSALPN = l.Addr().String()
			}
			k := s.keep(a)
			s.serve(l, k)
			st := waitFor(t, k, "there is a certificate", obtained)
			slices.Sort(tt.names)
			if got := slices.Sorted(slices.Values(st.Names)); !slices.Equal(got, tt.names) {
				t.Errorf("names %q; want %q", got, tt.names)
			}
			if _, err := leaf(t, l.Addr().String(), publicName, p.issuers); err != nil {
				t.Errorf("a handshake for %s: %v", publicName, err)
			}
			if _, err := leaf(t, l.Addr().String(), "tablet-k5q7."+publicName, p.issuers); (err == nil) != tt.device {
				t.Errorf("a handshake for a device's name: %v; want it to succeed: %t", err, tt.device)
			}
			if left := time.Until(st.NotAfter); st.Next.After(st.NotAfter.Add(-left / 4)) {
				t.Errorf("it ends %v and is looked at %v; want that long before", st.NotAfter, st.Next)
			}
			if left, err := k.Challenges(t.Context()); err != nil || len(left) > 0 {
				t.Errorf("challenges left: %q, %v", left, err)
			}
			s.keepsQuiet()
		})
	}
}

// keepsQuiet: the log, at its most talkative, holds no secret.
func (s *site) keepsQuiet() {
	s.t.Helper()
	text, all := s.log.String(), 0
	secrets, err := s.db.Secrets().List(s.t.Context(), "")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, one := range secrets {
		value, err := s.db.Secrets().Get(s.t.Context(), one.Name)
		if err != nil {
			s.t.Fatal(err)
		}
		if !strings.Contains(string(value), "PRIVATE KEY") {
			continue
		}
		all++
		for line := range strings.SplitSeq(string(value), "\n") {
			if strings.HasPrefix(line, "-----END CERT") || strings.HasPrefix(line, "-----BEGIN CERT") {
				break
			}
			if len(line) > 40 && strings.Contains(text, line) {
				s.t.Errorf("the log holds a line of secret %q", one.Name)
			}
		}
	}
	if all < 2 || len(text) < 1000 {
		s.t.Errorf("%d private keys are kept (want the account's and the certificate's), %d bytes are logged", all, len(text))
	}
}

// TestACMERestart: what was issued is in force at once at the next start, also
// where the authority is away, and is not ordered again.
func TestACMERestart(t *testing.T) {
	s := startSite(t)
	p := startPebble(t, s.dns, 0, 0, 90*24*time.Hour)
	a := certs.ACME{Directory: p.directory, Roots: p.roots, Challenges: []certs.Challenge{certs.DNS01}}
	k := s.keep(a)
	waitFor(t, k, "there is a certificate", obtained)
	first, err := k.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.stopRun()
	p.away.Store(true)
	again := s.keep(a)
	second, err := again.GetCertificate(nil)
	if err != nil || !second.Leaf.Equal(first.Leaf) {
		t.Fatalf("after a restart: %v; want the certificate from before", err)
	}
	waitFor(t, again, "it was looked at", obtained)
	if n := p.orders.Load(); n != 1 {
		t.Errorf("%d orders; want 1", n)
	}
}

// TestACMERenewal: renewed when the authority wants it (RFC 9773), with another
// key, without a moment in which there is none.
func TestACMERenewal(t *testing.T) {
	s := startSite(t)
	p := startPebble(t, s.dns, 0, 0, 90*24*time.Hour)
	a := certs.ACME{Directory: p.directory, Roots: p.roots, Challenges: []certs.Challenge{certs.DNS01}}
	k := s.keep(a)
	waitFor(t, k, "there is a certificate", obtained)
	first, _ := k.GetCertificate(nil)
	s.stopRun()
	p.wantsRenewed(first.Leaf)
	k = s.keep(a)
	waitFor(t, k, "there is another", func(certs.Status) bool {
		c, err := k.GetCertificate(nil)
		return err == nil && !c.Leaf.Equal(first.Leaf)
	})
	second, _ := k.GetCertificate(nil)
	if string(second.Leaf.RawSubjectPublicKeyInfo) == string(first.Leaf.RawSubjectPublicKeyInfo) {
		t.Error("the renewed certificate has the old key")
	}
	waitFor(t, k, "the next look is known", obtained)
	if got := s.counts(renewalsMetric); got != 1 {
		t.Errorf("%s is %v; want 1", renewalsMetric, got)
	}
}

// TestACMERenewalOfShortLife: certificates of seconds are renewed, again and again,
// by the clock alone.
func TestACMERenewalOfShortLife(t *testing.T) {
	s := startSite(t)
	p := startPebble(t, s.dns, 0, 0, 5*time.Second)
	k := s.keep(certs.ACME{Directory: p.directory, Roots: p.roots, Challenges: []certs.Challenge{certs.DNS01}})
	seen := map[string]bool{}
	waitFor(t, k, "three certificates were in force", func(certs.Status) bool {
		if c, err := k.GetCertificate(nil); err == nil {
			seen[c.Leaf.SerialNumber.String()] = true
		}
		return len(seen) >= 3
	})
}

// TestACMEFailures: while the authority is away, or the challenge is answered
// wrongly, the old certificate is served, the failure is counted and told, and the
// authority is left in peace for a while; afterwards all is well.
func TestACMEFailures(t *testing.T) {
	s := startSite(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := startPebble(t, s.dns, 0, 0, 90*24*time.Hour)
	a := certs.ACME{Directory: p.directory, Roots: p.roots, Challenges: []certs.Challenge{certs.DNS01}}

	p.away.Store(true)
	k := s.keep(a)
	st := waitFor(t, k, "the order failed", func(s certs.Status) bool { return s.Problem != "" })
	if wait := time.Until(st.Next); wait < 3*time.Minute || wait > 10*time.Minute {
		t.Errorf("the next attempt is in %v; want some minutes", wait)
	}
	if got := s.counts(failuresMetric); got != 1 {
		t.Errorf("%s is %v; want 1", failuresMetric, got)
	}
	if _, err := k.GetCertificate(nil); err == nil {
		t.Error("there is a certificate that nobody issued")
	}
	p.away.Store(false)
	if err := k.Reload(t.Context()); err != nil { // as SIGHUP does
		t.Fatal(err)
	}
	waitFor(t, k, "the authority is back", func(s certs.Status) bool { return obtained(s) && s.Problem == "" })
	first, _ := k.GetCertificate(nil)
	s.stopRun()

	p.wantsRenewed(first.Leaf)
	s.wrong.Store(true)
	k = s.keep(a)
	s.serve(l, k)
	st = waitFor(t, k, "the renewal failed", func(s certs.Status) bool { return s.Problem != "" })
	if !strings.Contains(st.Problem, "TXT") && !strings.Contains(st.Problem, "unauthorized") && !strings.Contains(st.Problem, "orrect") {
		t.Errorf("the problem is %q; want it to say that the challenge was wrong", st.Problem)
	}
	served, err := leaf(t, l.Addr().String(), "k5q7."+publicName, p.issuers)
	if err != nil || !served.Equal(first.Leaf) {
		t.Errorf("while renewal fails: %v; want the old certificate", err)
	}
	wantAll(t, "the log", s.log.String(), "keeping the certificate that is in force", "attempt=1")
	s.wrong.Store(false)
	if err := k.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, k, "the renewal succeeds", func(s certs.Status) bool { return s.Problem == "" && !s.NotAfter.Equal(first.Leaf.NotAfter) })
	if served, err := leaf(t, l.Addr().String(), publicName, p.issuers); err != nil || served.Equal(first.Leaf) {
		t.Errorf("after the renewal: %v; want the new certificate", err)
	}
}

// TestACMETwoNodes: two nodes of one database order one certificate, and both have
// it.
func TestACMETwoNodes(t *testing.T) {
	s := startSite(t)
	p := startPebble(t, s.dns, 0, 0, 90*24*time.Hour)
	a := certs.ACME{Directory: p.directory, Roots: p.roots, Challenges: []certs.Challenge{certs.DNS01}}
	one, two := s.keep(a), s.keep(a)
	waitFor(t, one, "the first has it", obtained)
	waitFor(t, two, "the second has it", obtained)
	x, _ := one.GetCertificate(nil)
	y, _ := two.GetCertificate(nil)
	if !x.Leaf.Equal(y.Leaf) || p.orders.Load() != 1 {
		t.Errorf("%d orders, the same certificate: %t; want one order for both", p.orders.Load(), x.Leaf.Equal(y.Leaf))
	}
}
