package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

func TestProfilesAreForThisMachine(t *testing.T) {
	mux := http.NewServeMux()
	addPprof(mux)
	for _, tt := range []struct {
		name, from, host string
		want             int
	}{
		{"this machine", "127.0.0.1:5000", "127.0.0.1:9153", http.StatusOK},
		{"this machine, by name", "127.0.0.1:5000", "localhost:9153", http.StatusOK},
		{"this machine, IPv6", "[::1]:5000", "[::1]:9153", http.StatusOK},
		{"this machine, IPv4 in IPv6", "[::ffff:127.0.0.1]:5000", "127.0.0.1:9153", http.StatusOK},
		{"this machine, without a port", "127.0.0.1:5000", "127.0.0.1", http.StatusOK},
		{"another of the home", "192.168.1.20:5000", "192.168.1.10:9153", http.StatusForbidden},
		{"another that claims loopback", "192.168.1.20:5000", "127.0.0.1:9153", http.StatusForbidden},
		{"this machine, by an address of the home", "127.0.0.1:5000", "192.168.1.10:9153", http.StatusForbidden},
		{"a page in a browser here", "127.0.0.1:5000", "attacker.example:9153", http.StatusForbidden},
		{"a proxy here", "127.0.0.1:5000", "metrics.example.org", http.StatusForbidden},
		{"no host", "127.0.0.1:5000", "", http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=1", "/debug/pprof/cmdline", "/debug/pprof/symbol"} {
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.RemoteAddr, r.Host = tt.from, tt.host
				w := httptest.NewRecorder()
				mux.ServeHTTP(w, r)
				if w.Code != tt.want {
					t.Errorf("%s: %d, want %d", path, w.Code, tt.want)
				}
			}
		})
	}
}

// TestProgramProfiles: there are none unless they are asked for.
func TestProgramProfiles(t *testing.T) {
	u := startUpstream(t)
	h := startHome(t, u)
	if code, _ := h.get("/debug/pprof/"); code != http.StatusNotFound {
		t.Errorf("without pprof: %d, want %d", code, http.StatusNotFound)
	}
	wantNone(t, "the banner", h.banner, "pprof")
	h.stop(os.Interrupt)
	for _, args := range [][]string{{"--pprof"}, {"--config", writeConfig(t, "pprof: true\n")}} {
		h := startHome(t, u, args...)
		wantAll(t, "the banner", h.banner, h.web+"/debug/pprof/")
		if code, body := h.get("/debug/pprof/goroutine?debug=1"); code != http.StatusOK || !strings.Contains(body, "resolver.(*Server)") {
			t.Errorf("with %v: %d %.80q", args, code, body)
		}
		if code, body := h.get("/debug/pprof/profile?seconds=1"); code != http.StatusOK || !strings.HasPrefix(body, "\x1f\x8b") {
			t.Errorf("a profile of the processor: %d %.80q", code, body)
		}
		h.stop(os.Interrupt)
	}
}
