package main

import "testing"

// TestProgramWaysAroundTheFilter: programs that ask for a filter are told that
// there is one, search engines answer in their safe mode, and a parent reads
// what matters first.
func TestProgramWaysAroundTheFilter(t *testing.T) {
	h := startHome(t, startUpstream(t))
	wantAll(t, "Firefox's canary", h.tool("kdig", "+edns", "use-application-dns.net"), "NXDOMAIN", "EDE: 17")
	wantAll(t, "its HTTPS", h.tool("kdig", "use-application-dns.net", "HTTPS"), "NOERROR", "SOA")
	wantAll(t, "Apple's canary", h.tool("kdig", "mask.icloud.com", "AAAA"), "NXDOMAIN")
	wantAll(t, "DDR", h.tool("kdig", "_dns.resolver.arpa", "SVCB"), "NOERROR", "SOA")
	wantAll(t, "a VPN", h.tool("kdig", "+edns", "nordvpn.com"), "NXDOMAIN", "EDE: 17")
	wantAll(t, "a search engine", h.tool("kdig", "+edns", "www.bing.com", "CNAME"), "www.bing.com.", "strict.bing.com.", "EDE: 4")
	wantAll(t, "its HTTPS", h.tool("kdig", "+edns", "www.bing.com", "HTTPS"), "NOERROR", "SOA", "EDE: 17")

	text := h.must("incidents")
	wantAll(t, "incidents", text, "looked up NordVPN", "once; it was blocked. VPNs and proxies have many everyday uses.")
	wantNone(t, "incidents", text, "use-application-dns", "icloud", "routine", "tried", "bing")
	wantAll(t, "incidents --routine", h.must("incidents", "--routine"), "NordVPN",
		"looked up names by which browsers and systems ask whether a filter is there", "This is routine.")

	var got incidentsReply
	h.into(&got, "incidents", "--routine")
	kinds := map[string]int{}
	for _, i := range got.Incidents {
		kinds[i.Bypass]++
	}
	if kinds["routine"] != 1 || kinds["attempt"] != 1 {
		t.Errorf("kinds are %v: %+v", kinds, got.Incidents)
	}
}
