package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestProgramPatterns: rules that are no names block, are explained and are
// recorded as the rules that they are.
func TestProgramPatterns(t *testing.T) {
	h := startHome(t, startUpstream(t))
	list := filepath.Join(t.TempDir(), "rules.txt")
	rules := "||ads.*.shop.example^\n||allowed.example^$dnstype=AAAA\n||later.example^$denyallow=free.later.example\n"
	if err := os.WriteFile(list, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	wantAll(t, "lists add", h.must("lists", "add", list, "--id", "own", "--category", "adult", "--patterns", "--format", "adblock"), "3 name")
	wantAll(t, "a wildcard", h.tool("kdig", "+edns", "ads.x.shop.example"), "NOERROR", "EDE: 17")
	wantAll(t, "a type that the rule is about", h.tool("kdig", "+edns", "allowed.example", "AAAA"), "EDE: 17")
	wantAll(t, "a type that it is not", h.tool("kdig", "allowed.example", "A"), "192.0.2.1")
	wantAll(t, "a name with exceptions", h.tool("kdig", "+edns", "later.example"), "EDE: 17")
	wantAll(t, "explain", h.must("explain", "ads.x.shop.example"), "||ads.*.shop.example^", "what the rule matches")
	wantAll(t, "explain of the other type", h.must("explain", "allowed.example"), "is allowed", "type AAAA", "is blocked")
	wantAll(t, "explain of the type", h.must("explain", "allowed.example", "--type", "aaaa"), "is blocked", "dnstype")
	wantAll(t, "incidents", h.must("incidents"), "entry ||ads.*.shop.example^ of list own")
	wantAll(t, "a translated page", h.tool("kdig", "+edns", "www-omegle-com.translate.goog"), "EDE: 17")
	wantAll(t, "explain of a translated page", h.must("explain", "www-omegle-com.translate.goog"), "which shows www.omegle.com")
}
