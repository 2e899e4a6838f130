package certs

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"kinward/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const name = "dns.example.org"

// sign returns a certificate for names that holds from now on, in PEM.
func sign(t testing.TB, public crypto.PublicKey, life time.Duration, names ...string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	c := &x509.Certificate{SerialNumber: serial, DNSNames: names, NotBefore: time.Now(), NotAfter: time.Now().Add(life)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, public, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// fakeAuthority issues at once, or errs.
type fakeAuthority struct {
	t    *testing.T
	life time.Duration

	mu       sync.Mutex
	err      error
	orders   []time.Time
	from, to time.Time // the window for every certificate; zero: no opinion
}

func (a *fakeAuthority) issue(_ context.Context, csr *x509.CertificateRequest) ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.orders = append(a.orders, time.Now())
	if a.err != nil {
		return nil, a.err
	}
	return sign(a.t, csr.PublicKey, a.life, csr.DNSNames...), nil
}

func (a *fakeAuthority) window(context.Context, *x509.Certificate) (from, to time.Time, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.from.IsZero() {
		return from, to, errors.New("no opinion")
	}
	return a.from, a.to, nil
}

func (a *fakeAuthority) set(f func()) { a.mu.Lock(); defer a.mu.Unlock(); f() }

// ordered returns when it was asked, since start, and forgets it.
func (a *fakeAuthority) ordered(start time.Time) (out []time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, at := range a.orders {
		out = append(out, at.Sub(start))
	}
	a.orders = nil
	return out
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) { b.mu.Lock(); defer b.mu.Unlock(); return b.b.Write(p) }

// take returns what was logged since the last call.
func (b *buffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.b.Reset()
	return b.b.String()
}

// bench is a keeper that orders from a fake authority, in virtual time.
type bench struct {
	*Keeper
	a   *fakeAuthority
	log *buffer
	db  *store.DB
}

func newBench(t *testing.T, a *fakeAuthority) *bench {
	t.Helper()
	b := &bench{a: a, log: &buffer{}}
	var err error
	if b.db, err = store.Open(t.Context(), filepath.Join(t.TempDir(), store.FileName), store.Options{}); err != nil {
		t.Fatal(err)
	}
	b.keeper(t)
	return b
}

func (b *bench) keeper(t *testing.T) {
	t.Helper()
	logger := slog.New(slog.NewTextHandler(b.log, nil))
	k := &Keeper{name: name, log: logger, wake: make(chan struct{}, 1)}
	o := &orders{
		name: name, names: []string{name, "*." + name}, secrets: b.db.Secrets(), at: "acme/certificate/x", log: logger,
		storage: newMagicStorage(b.db.Secrets(), logger), txt: &txtSolver{b.db.Secrets()}, authority: b.a, random: func() float64 { return 0.5 },
	}
	k.source = o
	var err error
	if k.metrics, err = newMetrics(prometheus.NewRegistry(), k); err != nil {
		t.Fatal(err)
	}
	if c := o.stored(t.Context()); c != nil {
		k.use(c)
	}
	b.Keeper = k
}

// run runs the keeper while f runs.
func (b *bench) run(t *testing.T, f func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	synctest.Wait()
	f()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func (b *bench) serial() string {
	if c := b.current.Load(); c != nil {
		return c.Leaf.SerialNumber.String()
	}
	return ""
}

// later moves the clock.
func later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestRenewalInTime: after two thirds of its life, once, and in force at once.
func TestRenewalInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &fakeAuthority{t: t, life: 90 * day}
		b := newBench(t, a)
		defer b.db.Close()
		start := time.Now()
		b.run(t, func() {
			first := b.serial()
			if first == "" {
				t.Fatal("no certificate at the start")
			}
			later(60*day - time.Minute)
			if b.serial() != first {
				t.Error("renewed before its time")
			}
			later(2 * time.Minute)
			if b.serial() == first {
				t.Error("not renewed after 60 days of 90")
			}
		})
		if d := cmp.Diff([]time.Duration{0, 60 * day}, a.ordered(start)); d != "" {
			t.Errorf("orders (-want +got):\n%s", d)
		}
		if n := testutil.ToFloat64(b.metrics.renewals); n != 1 {
			t.Errorf("%v renewals are counted; want 1", n)
		}
		if text := b.log.take(); strings.Contains(text, "level=WARN") {
			t.Errorf("somebody is warned without need:\n%s", text)
		}
	})
}

// TestFailuresBackOff: the pause doubles from five minutes to six hours, the
// certificate from before stays, Reload asks at once, and a person is warned 14,
// 7, 3 days and one day before the end, once each.
func TestFailuresBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &fakeAuthority{t: t, life: 90 * day}
		b := newBench(t, a)
		defer b.db.Close()
		b.run(t, func() {
			first, start := b.serial(), time.Now()
			a.ordered(start)
			a.set(func() { a.err = errors.New("the authority is away") })
			later(60*day + 24*time.Hour)
			var want []time.Duration
			at, pause := 60*day, 5*time.Minute
			for at <= 61*day {
				want = append(want, at)
				at, pause = at+pause, min(2*pause, 6*time.Hour)
				if pause == 0 {
					break
				}
			}
			if d := cmp.Diff(want, a.ordered(start)); d != "" {
				t.Errorf("attempts (-want +got):\n%s", d)
			}
			if b.serial() != first {
				t.Error("the old certificate is gone")
			}
			if st := b.Status(); !strings.Contains(st.Problem, "away") || !st.Next.After(time.Now()) {
				t.Errorf("status %+v; want the problem and the next attempt", st)
			}
			if n := testutil.ToFloat64(b.metrics.failures); n != float64(len(want)) {
				t.Errorf("%v failures are counted; want %d", n, len(want))
			}
			if err := b.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if got := a.ordered(start); len(got) != 1 {
				t.Errorf("Reload asked %d times; want once", len(got))
			}
			b.log.take()
			var days []string
			for range 30 {
				later(day)
				for line := range strings.SplitSeq(b.log.take(), "\n") {
					if strings.Contains(line, "ends soon") {
						_, rest, _ := strings.Cut(line, "days=")
						d, _, _ := strings.Cut(rest, " ")
						days = append(days, d)
					}
					if strings.Contains(line, "has expired: devices") {
						days = append(days, "expired")
					}
				}
			}
			if d := cmp.Diff([]string{"14", "7", "3", "1", "expired"}, days); d != "" {
				t.Errorf("warnings (-want +got):\n%s", d)
			}
			a.set(func() { a.err = nil })
			later(7 * time.Hour)
			if b.serial() == first || b.Status().Problem != "" {
				t.Errorf("the authority is back, and the status is %+v", b.Status())
			}
		})
	})
}

// TestRenewalWhenAsked: within the window that the authority names (RFC 9773 §4.2),
// which it may change.
func TestRenewalWhenAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		a := &fakeAuthority{t: t, life: 90 * day, from: start.Add(50 * day), to: start.Add(52 * day)}
		b := newBench(t, a)
		defer b.db.Close()
		b.run(t, func() {
			first := b.serial()
			later(10 * day)
			a.set(func() { a.from, a.to = time.Now().Add(-2*day), time.Now().Add(-day) }) // it is to be revoked
			later(ariEvery + time.Minute)
			if b.serial() == first {
				t.Error("not renewed when the authority wanted it at once")
			}
			a.ordered(start)
			later(6 * time.Hour) // it goes on wanting that, of each
			if n := len(a.ordered(start)); n > 6 {
				t.Errorf("%d orders in 6 hours; want one an hour at most", n)
			}
		})
		b.log.take()
	})
}

// TestRestart: a stored certificate is in force before anybody is asked, and
// another configuration's is replaced.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &fakeAuthority{t: t, life: 90 * day}
		b := newBench(t, a)
		defer b.db.Close()
		b.run(t, func() {})
		first := b.serial()
		b.keeper(t)
		if b.serial() != first {
			t.Error("the stored certificate is not in force")
		}
		b.run(t, func() { later(day) })
		if n := len(a.ordered(time.Now())); n != 1 {
			t.Errorf("%d orders; want 1", n)
		}
		b.keeper(t)
		b.source.(*orders).names = []string{name, "*." + name, "other.example.org"}
		b.run(t, func() {})
		if b.serial() == first {
			t.Error("a certificate that lacks a name is kept")
		}
	})
}

// TestLock: one of two orders at a time, also when the first takes longer than a
// lease; one that died is over within a minute.
func TestLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, &fakeAuthority{t: t, life: day})
		defer b.db.Close()
		one, two := newMagicStorage(b.db.Secrets(), b.Keeper.log), newMagicStorage(b.db.Secrets(), b.Keeper.log)
		if err := one.Lock(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		got := make(chan error, 1)
		go func() { got <- two.Lock(t.Context(), "x") }()
		later(10 * leaseFor)
		select {
		case err := <-got:
			t.Fatalf("the lock is two nodes' (%v)", err)
		default:
		}
		if err := one.Unlock(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		later(leasePoll)
		if err := <-got; err != nil {
			t.Fatal(err)
		}
		if err := two.Unlock(t.Context(), "x"); err != nil {
			t.Fatal(err)
		}
		if err := two.Unlock(t.Context(), "x"); err == nil {
			t.Error("a lock that nobody holds was given back")
		}
		if ok, err := b.db.Secrets().Lease(t.Context(), "acme/dead", "a node that died", leaseFor); !ok || err != nil {
			t.Fatal(ok, err)
		}
		limited, cancel := context.WithTimeout(t.Context(), leaseFor/2)
		defer cancel()
		if err := one.Lock(limited, "dead"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Lock: %v; want it to give up", err)
		}
		if err := one.Lock(t.Context(), "dead"); err != nil {
			t.Error(err)
		}
		one.Unlock(t.Context(), "dead")
	})
}

// TestFiles: a change is taken within ten seconds; what cannot be used is refused
// by name, and the pair from before stays.
func TestFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := t.TempDir()
		chain, keyFile := filepath.Join(folder, "chain.pem"), filepath.Join(folder, "key.pem")
		write := func(life time.Duration, names ...string) {
			t.Helper()
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			der, _ := x509.MarshalPKCS8PrivateKey(key)
			if err := os.WriteFile(chain, sign(t, key.Public(), life, names...), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(90*day, name)
		log := &buffer{}
		k, err := New(t.Context(), Config{Name: name, Files: &Files{chain, keyFile}, Logger: slog.New(slog.NewTextHandler(log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{Keeper: k, log: log}
		b.run(t, func() {
			first := b.serial()
			for _, tt := range []struct {
				what  string
				spoil func()
				want  string
			}{
				{"another's key", func() { good, _ := os.ReadFile(chain); write(day, name); os.WriteFile(chain, good, 0o600) }, "private key does not match"},
				{"another name", func() { write(day, "dns.example.net") }, "dns.example.net"},
				{"expired", func() { write(-day, name) }, "expired"},
				{"half a file", func() { os.WriteFile(keyFile, []byte("-----BEGIN PRIV"), 0o600) }, "key"},
				{"no file", func() { os.Remove(keyFile) }, "no such file"},
			} {
				tt.spoil()
				if err := k.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: Reload: %v; want an error with %q", tt.what, err, tt.want)
				}
				log.take()
				later(time.Minute)
				if text := log.take(); strings.Contains(text, "level=ERROR") {
					t.Errorf("%s: told again and again:\n%s", tt.what, text)
				}
				if b.serial() != first || k.Status().Problem == "" {
					t.Errorf("%s: in force is %s with status %+v; want the pair from before", tt.what, b.serial(), k.Status())
				}
			}
			write(60*day, name)
			later(filesEvery + time.Second)
			if b.serial() == first || k.Status().Problem != "" {
				t.Errorf("a good pair is not in force: %+v", k.Status())
			}
		})
	})
}

// TestSelfSigned: it says what it is, can sign nothing, and is made anew in time.
func TestSelfSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := &buffer{}
		k, err := New(t.Context(), Config{Name: name, SelfSigned: true, Logger: slog.New(slog.NewTextHandler(log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if text := log.take(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "SIGNED BY NOBODY") {
			t.Errorf("nobody is warned:\n%s", text)
		}
		c, err := k.GetCertificate(nil)
		if err != nil || c.Leaf.IsCA || c.Leaf.VerifyHostname("k5q7."+name) != nil {
			t.Errorf("the certificate: %v, an authority: %t", err, c.Leaf.IsCA)
		}
		b := &bench{Keeper: k}
		b.run(t, func() {
			first := b.serial()
			later(selfSignedLife)
			if b.serial() == first {
				t.Error("it was not made anew before its end")
			}
		})
	})
}

func TestNone(t *testing.T) {
	k := &Keeper{source: &selfSigned{}}
	if _, err := k.TLSConfig().GetCertificate(&tls.ClientHelloInfo{}); !errors.Is(err, ErrNone) {
		t.Errorf("GetCertificate: %v; want ErrNone", err)
	}
	for _, c := range []Config{{}, {Name: name}, {Name: name, SelfSigned: true, Files: &Files{}}} {
		if _, err := New(t.Context(), c); err == nil {
			t.Errorf("New takes %+v", c)
		}
	}
}

// TestStorage holds the storage against what certmagic expects of one.
func TestStorage(t *testing.T) {
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), store.FileName), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, ctx := newMagicStorage(db.Secrets(), slog.New(slog.DiscardHandler)), t.Context()
	for _, key := range []string{"a/b/c.key", "a/b/d.key", "a/e", "../../f"} {
		if err := s.Store(ctx, key, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		level     string
		recursive bool
		want      []string
	}{
		{"a", false, []string{"a/b", "a/e"}},
		{"a", true, []string{"a/b/c.key", "a/b/d.key", "a/e"}},
		{"", false, []string{"a", "f"}},
	} {
		if got, err := s.List(ctx, tt.level, tt.recursive); err != nil || !cmp.Equal(got, tt.want) {
			t.Errorf("List(%q, %t) = %q, %v; want %q", tt.level, tt.recursive, got, err, tt.want)
		}
	}
	if info, err := s.Stat(ctx, "a/b"); err != nil || info.IsTerminal {
		t.Errorf("Stat of a level: %+v, %v", info, err)
	}
	if info, err := s.Stat(ctx, "a/e"); err != nil || !info.IsTerminal || info.Size != 3 {
		t.Errorf("Stat of a key: %+v, %v", info, err)
	}
	for what, err := range map[string]error{
		"Load": second(s.Load(ctx, "a/b")), "Stat": second(s.Stat(ctx, "none")), "List": second(s.List(ctx, "none", true)),
	} {
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s of what is not there: %v; want fs.ErrNotExist", what, err)
		}
	}
	if err := s.Delete(ctx, "a"); err != nil || s.Exists(ctx, "a/e") || !s.Exists(ctx, "f") {
		t.Errorf("Delete of a level: %v; want all below it gone, and no more", err)
	}
}

func second[T any](_ T, err error) error { return err }
