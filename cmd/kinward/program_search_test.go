package main

import (
	"fmt"
	"strings"
	"testing"
)

// safeTwins is where the engines have their safe modes, in the tests' upstream.
// What they answer usually (192.0.2.99) must not be seen.
func safeTwins() (zone []string) {
	for i, name := range []string{
		"forcesafesearch.google.com", "restrict.youtube.com", "restrictmoderate.youtube.com", "strict.bing.com",
		"safe.duckduckgo.com", "strict-safe-search.ecosia.org", "safesearch.pixabay.com", "familysearch.yandex.ru",
		"forcesafe.search.brave.com", "safeapi.qwant.com", "safe.startpage.com",
	} {
		zone = append(zone, fmt.Sprintf("%s. 300 IN A 203.0.113.%d", name, i+1), fmt.Sprintf("%s. 300 IN AAAA 2001:db8::%d", name, i+1),
			fmt.Sprintf("%s. 300 IN HTTPS 1 . ipv4hint=203.0.113.%d", name, i+1))
	}
	for _, name := range []string{
		"www.google.com", "www.google.co.uk", "www.youtube.com", "www.bing.com", "duckduckgo.com", "www.ecosia.org", "pixabay.com", "www.yandex.com", "ya.ru",
		"search.brave.com", "api.qwant.com", "startpage.com",
	} {
		zone = append(zone, name+". 300 IN A 192.0.2.99", name+". 300 IN AAAA 2001:db8::99")
	}
	return zone
}

// TestProgramSafeSearch: a real client gets each engine's safe twin, shown as an
// alias where the name may be one, and no HTTPS record past it.
func TestProgramSafeSearch(t *testing.T) {
	h := startHome(t, startUpstream(t, safeTwins()...))
	h.must("profiles", "preset", "Everyone", "B")
	get := func(name, qtype string) []string {
		t.Helper()
		return strings.Fields(h.tool("kdig", "+short", name, qtype))
	}
	check := func(name, twin string, n int, alias bool) {
		t.Helper()
		for qtype, addr := range map[string]string{"A": fmt.Sprintf("203.0.113.%d", n), "AAAA": fmt.Sprintf("2001:db8::%d", n)} {
			want := addr
			if alias {
				want = twin + ". " + addr
			}
			if got := strings.Join(get(name, qtype), " "); got != want {
				t.Errorf("%s %s is %q, want %q", name, qtype, got, want)
			}
		}
		if got := h.tool("kdig", name, "HTTPS"); !strings.Contains(got, "NOERROR") || strings.Contains(got, "ANSWER SECTION") && !alias || strings.Contains(got, "ipv4hint") {
			t.Errorf("%s HTTPS is\n%s", name, got)
		}
	}
	for _, tt := range []struct {
		name, twin string
		n          int
	}{
		{"www.google.com", "forcesafesearch.google.com", 1},
		{"www.google.co.uk", "forcesafesearch.google.com", 1},
		{"www.youtube.com", "restrict.youtube.com", 2},
		{"www.bing.com", "strict.bing.com", 4},
		{"duckduckgo.com", "safe.duckduckgo.com", 5},
		{"www.ecosia.org", "strict-safe-search.ecosia.org", 6},
		{"pixabay.com", "safesearch.pixabay.com", 7},
		{"www.yandex.com", "familysearch.yandex.ru", 8},
		{"search.brave.com", "forcesafe.search.brave.com", 9},
		{"api.qwant.com", "safeapi.qwant.com", 10},
		{"startpage.com", "safe.startpage.com", 11},
	} {
		check(tt.name, tt.twin, tt.n, true)
	}
	check("ya.ru", "familysearch.yandex.ru", 8, false) // an alias would hide its mail

	h.must("search", "set", "Everyone", "youtube", "moderate")
	check("www.youtube.com", "restrictmoderate.youtube.com", 3, true)
	h.must("search", "set", "Everyone", "youtube", "off")
	if got := strings.Join(get("www.youtube.com", "A"), " "); got != "192.0.2.99" {
		t.Errorf("YouTube as it is has %q", got)
	}
	h.must("search", "set", "Everyone", "youtube", "preset")
	check("www.youtube.com", "restrict.youtube.com", 2, true)
}

// TestProgramPortal: the family's own Kinward is found at bedtime, too, and
// nobody else is asked for it.
func TestProgramPortal(t *testing.T) {
	u := startUpstream(t)
	h := startHome(t, u)
	h.must("pause", "Everyone")
	asked := u.asked.Load()
	for _, over := range []string{"+notcp", "+tcp"} {
		if got := strings.TrimSpace(h.tool("kdig", "+short", over, "kinward.home.arpa", "A")); got != "127.0.0.1" {
			t.Errorf("the portal is at %q by %s, want 127.0.0.1", got, over)
		}
	}
	if n := u.asked.Load() - asked; n != 0 {
		t.Errorf("the upstream was asked %d times", n)
	}
	wantAll(t, "explain", h.must("explain", "kinward.home.arpa"), "allow (plumbing)", "its own address")
}
