package main

import (
	"errors"
	"fmt"
	"strings"

	"kinward/blocklists"
	"kinward/policy"
)

// The names of rules as people write them:
//
//	example.com        the name and all below it
//	=www.example.com   the name alone
//	*.example.com      what lies below the name
//	ads*.example.com   a pattern

// parsePattern reads the name of a rule.
func parsePattern(s string) (blocklists.Name, policy.Match, error) {
	match, text := policy.MatchSuffix, strings.TrimSpace(s)
	if rest, ok := strings.CutPrefix(text, "="); ok {
		match, text = policy.MatchExact, rest
	} else if rest, ok := strings.CutPrefix(text, "*."); ok {
		match, text = policy.MatchBelow, rest
	}
	if strings.Contains(text, "*") {
		if match == policy.MatchExact {
			return "", 0, errors.New("= means one name, and * stands for many; write one of the two")
		}
		match, text = policy.MatchGlob, strings.TrimSpace(s)
	}
	name, err := blocklists.ParseName(text)
	if err == nil && name == "" {
		err = fmt.Errorf("%q would decide about every name; write one like example.com", s)
	}
	return name, match, err
}

// patternText is the reverse of parsePattern.
func patternText(n blocklists.Name, m policy.Match) string {
	switch m {
	case policy.MatchExact:
		return "=" + n.String()
	case policy.MatchBelow:
		return "*." + n.String()
	}
	return n.String()
}

// patternWords says which names a rule is about.
func patternWords(n blocklists.Name, m policy.Match) string {
	switch m {
	case policy.MatchExact:
		return n.String() + " alone"
	case policy.MatchBelow:
		return "every name below " + n.String()
	case policy.MatchGlob:
		return "every name like " + n.String()
	}
	return n.String() + " and every name below it"
}
