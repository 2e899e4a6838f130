package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// signalsUntil returns what the command tells once it is as wanted, or at last.
func (h *home) signalsUntil(want func([]signalView) bool) []signalView {
	h.t.Helper()
	var got signalsReply
	for limit := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		got = signalsReply{}
		h.into(&got, "signals")
		if want(got.Signals) || time.Now().After(limit) {
			return got.Signals
		}
	}
}

func kindsOf(list []signalView) (out []string) {
	for _, s := range list {
		out = append(out, s.Kind)
	}
	slices.Sort(out)
	return out
}

// TestProgramSignals: what a home looks up becomes signals while serve runs, once
// each, also across kill -9; they are told in words and as data, followed, filtered
// and switched off; and a tunnel among allowed names is found with its domain alone.
func TestProgramSignals(t *testing.T) {
	h := startHome(t, startUpstream(t))
	wantAll(t, "a calm home", h.must("signals"), "All calm")

	h.tool("kdig", "www.expressvpn.com", "A")
	got := h.signalsUntil(func(s []signalView) bool { return len(s) > 0 })
	if kinds := kindsOf(got); !slices.Equal(kinds, []string{"bypass"}) { // a new home is still learnt about
		t.Fatalf("told %q", kinds)
	}
	if s := got[0]; s.Service != "expressvpn" || s.ProfileName != "Everyone" || s.Incident == "" {
		t.Errorf("the signal is %+v", s)
	}
	text := h.must("signals")
	wantAll(t, "signals", text, "ExpressVPN", "many everyday uses", "the device at 127.0.0.1", "never a finding")
	wantNone(t, "signals", text, "www.expressvpn.com")
	wantAll(t, "of another kind", h.must("signals", "--kind", "night"), "All calm")

	follow := exec.Command(binary, "signals", "--follow", "--json", "--data", h.data)
	out, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	defer follow.Process.Kill()
	lines := bufio.NewScanner(out)
	next := func() (s signalView) {
		t.Helper()
		if !lines.Scan() {
			t.Fatalf("no more signals are followed: %v", lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		return s
	}
	if s := next(); s.ID != got[0].ID {
		t.Errorf("followed first: %+v", s)
	}

	// 700 names that the upstream does not know, of which no name is kept.
	var batch []string
	for k := range 700 {
		sum := sha256.Sum256(fmt.Append(nil, k))
		batch = append(batch, hex.EncodeToString(sum[:])[:50]+".t.carrier.example", "A")
	}
	h.tool("kdig", batch...)
	if s := next(); s.Kind != "tunnel" || s.Domain != "carrier.example" || s.Details.Names < 300 {
		t.Errorf("followed next: %+v", s)
	}
	if err := follow.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := follow.Wait(); err != nil {
		t.Errorf("following ends with %v", err)
	}

	// Incidents are looked at in their order, so what comes last says that all before
	// it is done.
	count := func(n int) func([]signalView) bool { return func(s []signalView) bool { return len(s) >= n } }
	h.signalsUntil(count(2))
	h.stop(syscall.SIGKILL)
	h.start()
	for _, name := range []string{"www.expressvpn.com", "nordvpn.com"} {
		h.tool("kdig", name, "A")
		h.must("incidents") // what was recorded is stored
	}
	if kinds := kindsOf(h.signalsUntil(count(3))); !slices.Equal(kinds, []string{"bypass", "bypass", "tunnel"}) {
		t.Errorf("after kill -9: %q", kinds)
	}

	wantAll(t, "switched off", h.must("signals", "off", "bypass", "--why", "we use one"), "signal bypass is not given", "weakens protection")
	followed := func() string {
		_, metrics := h.get("/metrics")
		return regexp.MustCompile(`kinward_signals_followed_total \d+`).FindString(metrics)
	}
	before := followed()
	h.tool("kdig", "protonvpn.com", "A")
	h.must("incidents")
	wantAll(t, "a family as a file", h.must("families", "export"), "signals:", "off", "- bypass")
	wantAll(t, "the history", h.must("changes", "show", "2"), "signal bypass is not given any more", "we use one")
	h.signalsUntil(func([]signalView) bool { return followed() != before })
	wantAll(t, "an undo", h.must("changes", "undo", "2"), "Took back change 2 (")
	h.tool("kdig", "mullvad.net", "A")
	h.must("incidents")
	last := h.signalsUntil(count(4))
	if kinds := kindsOf(last); !slices.Equal(kinds, []string{"bypass", "bypass", "bypass", "tunnel"}) || last[0].Service != "mullvad" {
		t.Errorf("switched off and on, told %q, the last about %s", kinds, last[0].Service)
	}
	wantNone(t, "after the undo", h.must("signals"), "Switched off")
	wantAll(t, "the night", h.must("signals", "night", "21:00-06:30"), "21:00-06:30")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"signals", "off", "tunel"}, `did you mean "tunnel"?`},
		{[]string{"signals", "--kind", "nihgt"}, `did you mean "night"?`},
		{[]string{"signals", "night", "late"}, "22:00-06:00"},
		{[]string{"signals", "--limit", "0"}, "--limit"},
	} {
		if _, errs, code := h.run(tt.args...); code != exitUsage || !strings.Contains(errs, tt.want) {
			t.Errorf("kinward %q: exit code %d, %s", tt.args, code, errs)
		}
	}
	_, metrics := h.get("/metrics")
	wantAll(t, "metrics", metrics, `kinward_signals_total{kind="tunnel"}`, "kinward_signals_store_errors_total 0")
	wantNone(t, "metrics", metrics, "carrier", "expressvpn")
}
