package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kinward/policy"
)

// linkHouse is a node with the families Home and Miller, and what takes their
// routers' reports.
type linkHouse struct {
	t   *testing.T
	cfg *config
	n   *node
	s   *linkServer
	now time.Time
	log strings.Builder
}

func newLinkHouse(t *testing.T) *linkHouse {
	t.Helper()
	cfg := defaultConfig()
	cfg.Data = t.TempDir()
	h := &linkHouse{t: t, cfg: &cfg, now: time.Now()}
	h.open()
	if _, err := opFamilyAdd.run(t.Context(), h.n, change[familyRequest]{Do: familyRequest{Name: "Miller", Preset: "C"}}, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.n.close() })
	return h
}

func (h *linkHouse) open() {
	h.t.Helper()
	var err error
	if h.n, err = openNode(h.t.Context(), h.cfg, slog.New(slog.NewTextHandler(&h.log, nil)), 0); err != nil {
		h.t.Fatal(err)
	}
	if h.s, err = newLinkServer(h.n, prometheus.NewRegistry()); err != nil {
		h.t.Fatal(err)
	}
	h.s.now = func() time.Time { return h.now }
	if err := h.n.recompile(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
}

func (h *linkHouse) make(family string) linkReply {
	h.t.Helper()
	r, err := opLinkMake.run(h.t.Context(), h.n, about{Family: family}, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// report is what a router sends; it returns the word that answers.
func (h *linkHouse) report(from, user, password, query string) string {
	h.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "https://dns.example"+linkPath+"?"+query, nil)
	r.RemoteAddr = from
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	w := httptest.NewRecorder()
	h.s.ServeHTTP(w, r)
	word := strings.TrimSpace(w.Body.String())
	if (w.Code == http.StatusUnauthorized) != (word == "badauth") || w.Code == http.StatusUnauthorized && w.Header().Get("WWW-Authenticate") == "" {
		h.t.Errorf("%q with status %d", word, w.Code)
	}
	return word
}

// at returns the family that an address leads to, 0 for the home's or none.
func (h *linkHouse) at(addr string) policy.FamilyID {
	d, err := h.n.current.Load().Directory.WithHome(0)
	if err != nil {
		h.t.Fatal(err)
	}
	a, _ := d.Identify(policy.Clues{Addr: netip.MustParseAddr(addr)}, h.now)
	return a.Family
}

// TestLinkReports is the protocol as routers speak it, and what must not be had by
// speaking it.
func TestLinkReports(t *testing.T) {
	h := newLinkHouse(t)
	home, miller := h.make(""), h.make("Miller")
	if len(home.Password) < 26 || home.Token == miller.Token || home.Password == miller.Password {
		t.Fatalf("%+v and %+v", home, miller)
	}
	own := "hostname=" + home.Token
	for _, tt := range []struct {
		name, from, user, password, query, want string
	}{
		{"no password", "198.51.100.7", "", "", own, "badauth"},
		{"a wrong one", "198.51.100.7", home.Token, "x", own, "badauth"},
		{"an empty one", "198.51.100.7", home.Token, "", own, "badauth"},
		{"another family's", "198.51.100.7", home.Token, miller.Password, own, "badauth"},
		{"nobody's user", "198.51.100.7", "nobody", home.Password, own, "badauth"},
		{"another family's host", "198.51.100.7", home.Token, home.Password, "hostname=" + miller.Token, "nohost"},
		{"no host", "198.51.100.7", home.Token, home.Password, "", "nohost"},
		{"two hosts", "198.51.100.7", home.Token, home.Password, own + "&" + own, "nohost"},
		{"as it should be", "198.51.100.7", home.Token, home.Password, own, "good 198.51.100.7"},
		{"again", "198.51.100.7", home.Token, home.Password, own, "nochg 198.51.100.7"},
		{"a whole host name", "198.51.100.7", strings.ToUpper(home.Token), home.Password, own + ".dns.example", "nochg 198.51.100.7"},
		{"an address that it is not at", "198.51.100.7", home.Token, home.Password, own + "&myip=203.0.113.9", "nochg 198.51.100.7"},
		{"IPv6 beside it", "2001:db8:1:2::9", home.Token, home.Password, own, "good 2001:db8:1:2::9"},
		{"another address of the /64", "2001:db8:1:2:ffff::1", home.Token, home.Password, own, "nochg 2001:db8:1:2:ffff::1"},
		{"another family from there", "198.51.100.7", miller.Token, miller.Password, "hostname=" + miller.Token, "911"},
		{"and from the same /64", "2001:db8:1:2::7", miller.Token, miller.Password, "hostname=" + miller.Token, "911"},
		{"from a private address", "192.168.1.1", miller.Token, miller.Password, "hostname=" + miller.Token, "911"},
		{"from behind a carrier's NAT", "100.64.1.1", miller.Token, miller.Password, "hostname=" + miller.Token, "911"},
		{"from its own address", "203.0.113.9", miller.Token, miller.Password, "hostname=" + miller.Token, "good 203.0.113.9"},
	} {
		if got := h.report(tt.from, tt.user, tt.password, tt.query); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	ids := map[string]policy.FamilyID{}
	for addr, want := range map[string]policy.FamilyID{"198.51.100.7": 1, "2001:db8:1:2:aaaa::1": 1, "203.0.113.9": 2, "192.0.2.1": 0} {
		if ids[addr] = h.at(addr); ids[addr] != want {
			t.Errorf("%s leads to family %d, want %d", addr, ids[addr], want)
		}
	}
	if log := h.log.String(); strings.Contains(log, "198.51.100.7") || !strings.Contains(log, "another family has") {
		t.Errorf("the log tells %s", log)
	}

	// A new address takes the old one's place at once, for others to have.
	if got := h.report("198.51.100.8", home.Token, home.Password, own); got != "good 198.51.100.8" || h.at("198.51.100.7") != 0 || h.at("198.51.100.8") != 1 {
		t.Errorf("moved: %q; the old address leads to %d, the new one to %d", got, h.at("198.51.100.7"), h.at("198.51.100.8"))
	}
	// It is kept over a restart.
	if err := h.n.close(); err != nil {
		t.Fatal(err)
	}
	h.open()
	if h.at("198.51.100.8") != 1 || h.at("203.0.113.9") != 2 {
		t.Error("after a restart the addresses lead nowhere")
	}
	// It ends by itself, and then another family may have it.
	h.now = h.now.Add(linkLife)
	if h.at("198.51.100.8") != 0 {
		t.Error("it does not end")
	}
	if got := h.report("203.0.113.9", miller.Token, miller.Password, "hostname="+miller.Token); got != "good 203.0.113.9" {
		t.Errorf("reported again after its end: %q", got)
	}
	shown, err := opLink.run(t.Context(), h.n, about{Family: "Miller"}, nil)
	if err != nil || shown.Password != "" || len(shown.Addresses) != 1 || shown.Addresses[0].Network != "203.0.113.9" {
		t.Errorf("%+v, %v", shown, err)
	}
	// A new password makes the old one worthless, and forgets the address.
	again := h.make("Miller")
	if got := h.report("203.0.113.9", miller.Token, miller.Password, "hostname="+miller.Token); got != "badauth" || h.at("203.0.113.9") != 0 {
		t.Errorf("the old password: %q", got)
	}
	if got := h.report("203.0.113.9", again.Token, again.Password, "hostname="+again.Token); got != "good 203.0.113.9" {
		t.Errorf("the new one: %q", got)
	}
	if _, err := opLinkRevoke.run(t.Context(), h.n, about{Family: "Miller"}, nil); err != nil || h.at("203.0.113.9") != 0 {
		t.Errorf("revoked: %v", err)
	}
	if got := h.report("203.0.113.9", again.Token, again.Password, "hostname="+again.Token); got != "badauth" {
		t.Errorf("after it is revoked: %q", got)
	}
}

// TestLinkGuessing: who guesses passwords is slowed, and shuts out nobody who was
// there before, nor anybody elsewhere.
func TestLinkGuessing(t *testing.T) {
	h := newLinkHouse(t)
	home := h.make("")
	own := "hostname=" + home.Token
	if got := h.report("198.51.100.7", home.Token, home.Password, own); got != "good 198.51.100.7" {
		t.Fatal(got)
	}
	for i := range maxFailures {
		if got := h.report("198.51.100.7", "guess"+fmt.Sprint(i), "x", own); got != "badauth" {
			t.Fatalf("guess %d: %q", i, got)
		}
	}
	for _, tt := range []struct{ name, from, user, password, want string }{
		{"the next guess", "198.51.100.7", "guess", "x", "911"},
		{"the right password from there", "198.51.100.7", home.Token, home.Password, "nochg 198.51.100.7"},
		{"a guess from elsewhere", "198.51.100.8", "guess", "x", "badauth"},
	} {
		if got := h.report(tt.from, tt.user, tt.password, own); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	h.now = h.now.Add(tallyWindow)
	if got := h.report("198.51.100.7", "guess", "x", own); got != "badauth" {
		t.Errorf("after the window: %q", got)
	}
}

func TestLinkPages(t *testing.T) {
	h := newLinkHouse(t)
	for _, tt := range []struct {
		method, path string
		want         int
	}{
		{http.MethodGet, "/", http.StatusNotFound},
		{http.MethodGet, "/nic/update/", http.StatusNotFound},
		{http.MethodPost, linkPath, http.StatusMethodNotAllowed},
		{http.MethodGet, linkPath, http.StatusUnauthorized},
	} {
		r := httptest.NewRequest(tt.method, "https://dns.example"+tt.path, nil)
		r.RemoteAddr = "198.51.100.7"
		w := httptest.NewRecorder()
		if h.s.ServeHTTP(w, r); w.Code != tt.want {
			t.Errorf("%s %s: %d, want %d", tt.method, tt.path, w.Code, tt.want)
		}
	}
}

// TestTimesTravel: what the server tells a command of times is by the family's clock,
// wherever the command runs.
func TestTimesTravel(t *testing.T) {
	h := newLinkHouse(t)
	zone, err := time.LoadLocation("Asia/Kolkata")
	must(t, err)
	_, err = opFamilyZone.run(t.Context(), h.n, change[familyRequest]{about{Family: "Miller"}, familyRequest{Zone: zone.String()}}, nil)
	must(t, err)
	made := h.make("Miller")
	h.report("203.0.113.9", made.Token, made.Password, "hostname="+made.Token)
	reply, err := opLink.run(t.Context(), h.n, about{Family: "Miller"}, nil)
	must(t, err)
	var link linkReply
	must(t, json.Unmarshal(encode(t, reply), &link))
	var out strings.Builder
	printLink(&out, link)
	if want := shown(h.now.Add(linkLife), zone); !strings.Contains(out.String(), "until "+want) {
		t.Errorf("families link says %q; want until %s", out.String(), want)
	}
	var seen seenReply
	must(t, json.Unmarshal(encode(t, seenReply{Devices: []unknownDevice{{Address: "192.168.1.77", Last: h.now.In(zone)}}}), &seen))
	out.Reset()
	printSeen(&out, seen)
	if want := shown(h.now, zone); !strings.Contains(out.String(), want) {
		t.Errorf("devices seen says %q; want %s", out.String(), want)
	}
}
