package policy

import (
	"fmt"
	"strings"

	"golang.org/x/net/publicsuffix"

	"kinward/blocklists"
)

// RuleWarnings returns what a rule may do beyond what is meant, a sentence each;
// it may be kept all the same.
func RuleWarnings(c *blocklists.Catalogue, x *blocklists.Index, r Rule) (out []string) {
	if r.Match == MatchGlob {
		return nil
	}
	if suffix, _ := publicsuffix.PublicSuffix(r.Name.String()); suffix == r.Name.String() && r.Match != MatchExact {
		out = append(out, fmt.Sprintf("this decides about every site whose name ends in .%s; they belong to many owners", r.Name))
	}
	if r.Allow {
		if find(x.Known(r.Name, TypeA), blocklists.Security) >= 0 {
			out = append(out, fmt.Sprintf("a list calls %s dangerous; it stays blocked for everybody", r.Name))
		}
		return out
	}
	var below []string // help lines
	for _, h := range c.Reachable {
		switch {
		case h.Section == blocklists.SectionHelp && r.Match != MatchExact && h.Name.IsBelow(r.Name):
			below = append(below, h.Name.String())
		case h.Section != blocklists.SectionHelp && (r.Name == h.Name || !h.Exact && r.Name.IsBelow(h.Name)):
			out = append(out, fmt.Sprintf("devices need %s in order to work: %s", r.Name, strings.TrimSuffix(h.Reason, ".")))
		}
	}
	if len(below) > 0 {
		out = append(out, fmt.Sprintf("%d help lines and the like lie below %s and stay open whatever this says, for example %s", len(below), r.Name, below[0]))
	}
	if hosts := c.SharedHosts(r.Name, r.Match == MatchExact); len(hosts) > 0 {
		out = append(out, fmt.Sprintf("unrelated apps and sites share %s (%s), and may stop working: %s", hosts[0].Name, hosts[0].What, strings.TrimSuffix(hosts[0].Reason, ".")))
	}
	return out
}
