package blocklists

import (
	"bytes"
	"slices"
	"strings"
)

// The adblock syntax is read as AdGuard documents it for DNS
// (adguard-dns.io/kb/general/dns-filtering-syntax).

// adblockLine reads a line of an adblock list, plain host and hosts lines
// included.
func (p *listParser) adblockLine(line []byte) error {
	if line[0] == '!' || line[0] == ';' || (line[0] == '[' && line[len(line)-1] == ']') {
		return nil
	}
	if isCosmetic(line) {
		return p.skip(SkipBrowser)
	}
	if line[0] == '#' {
		return nil
	}
	rule, comment := cutRuleComment(line)
	if bytes.IndexByte(comment, '$') >= 0 && !bytes.Contains(rule, badfilter) {
		// "||x^ # why$third-party": some tool wrote a modifier behind the
		// comment, and without it the rule would mean more than it says.
		return p.skip(SkipModifier)
	}
	var m modifiers
	pattern := rule
	if bytes.HasPrefix(pattern, []byte("@@")) {
		pattern, m.flags = pattern[2:], ruleExcept
	}
	re := isRegexp(pattern)
	if i := modifiersAt(pattern, re); i >= 0 {
		if why := p.readModifiers(pattern[i+1:], &m); why != SkipNone {
			return p.skip(why)
		}
		pattern = pattern[:i]
	}
	switch {
	case re:
		return p.regexpRule(pattern[1:len(pattern)-1], m)
	case len(pattern) == 0:
		return p.skip(SkipBrowser)
	case pattern[0] != '|':
		return p.unanchoredLine(pattern, m)
	}
	return p.anchoredRule(pattern, m)
}

// modifiersAt returns where the $ of a rule's modifiers is. Regular expressions
// hold $ too, so there it is the last that follows a slash.
func modifiersAt(pattern []byte, re bool) int {
	switch {
	case !re:
		return bytes.IndexByte(pattern, '$')
	case pattern[len(pattern)-1] == '/':
		return -1
	}
	return bytes.LastIndex(pattern, []byte("/$")) + 1
}

var badfilter = []byte("badfilter")

// anchoredRule reads ||host^ (the host and all below it) and |host^ (the host
// alone), where | may stand for ^ at the end.
func (p *listParser) anchoredRule(pattern []byte, m modifiers) error {
	host, below := bytes.CutPrefix(pattern, []byte("||"))
	g := glob{start: atLabel}
	if !below {
		host, g.start = pattern[1:], atName
		m.flags |= ruleExact
	}
	end := bytes.IndexAny(host, "^|")
	if g.open = end < 0; !g.open {
		if tail := string(host[end:]); tail != "^" && tail != "|" && tail != "^|" {
			return p.skip(SkipPath)
		}
		host = host[:end]
	}
	bare := host
	if below {
		bare = bytes.TrimPrefix(host, starDot)
	}
	switch why := notPlain(bare); {
	case why == SkipIP, why == SkipPath:
		return p.skip(why)
	case why == SkipWildcard && p.opts.Patterns, g.open && p.opts.Patterns:
		return p.globRule(g, host, m)
	case why == SkipWildcard:
		return p.skip(why)
	case g.open, len(bare) == 0, bare[0] == '.', bare[len(bare)-1] == '.':
		return p.skip(SkipOpen)
	}
	// Real lists hold ||skype^ and ||*.neustar^, which are top-level domains of
	// brands. They are not taken, but say nothing against the other rules, as
	// ||com^ does. Nor does a rule about a part of com only.
	if bytes.IndexByte(bare, '.') < 0 && (!isOldTLD(bare) || m.conditional()) {
		m.flags |= ruleSoftTLD
	}
	return p.conditional(bare, m)
}

// isOldTLD reports whether a label is a country's top-level domain or one from
// before 2001, where everybody's names are.
func isOldTLD(label []byte) bool {
	switch strings.ToLower(string(label)) {
	case "com", "net", "org", "edu", "gov", "mil", "int", "arpa", "info", "biz", "name", "pro":
		return true
	}
	return len(label) == 2
}

// unanchoredLine reads a line that does not begin with |. Plain hosts and hosts
// lines are taken; anything else is a pattern that could match anywhere.
func (p *listParser) unanchoredLine(pattern []byte, m modifiers) error {
	first, rest := nextField(pattern)
	switch {
	case len(rest) > 0 && m.flags == 0 && !m.conditional() && p.isAddr(first):
		return p.hostsNames(first, rest)
	case len(rest) > 0:
		return p.skip(SkipNotAName)
	case m.flags&ruleExcept == 0 && first[0] == '@': // "@||x^": one @ too few
		return p.skip(SkipNotAName)
	}
	host := bytes.TrimPrefix(first, starDot)
	why := notPlain(host)
	open := bytes.ContainsAny(host, "|^") || len(host) == 0 || host[len(host)-1] == '.'
	switch {
	case why == SkipIP, why == SkipPath:
		return p.skip(why)
	case p.opts.Patterns && (open || why == SkipWildcard):
		body, whole := cutEnd(first)
		return p.globRule(glob{open: !whole}, body, m)
	case why != SkipNone:
		return p.skip(why)
	case open:
		return p.skip(SkipOpen)
	}
	if bytes.HasPrefix(first, dot) {
		host = first[1:]
	}
	m.flags |= ruleSoftTLD // a bare word here may be prose
	return p.conditional(host, m)
}

// cutEnd removes the ^ or | that ends a name.
func cutEnd(b []byte) (body []byte, whole bool) {
	body = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("|")), []byte("^"))
	return body, len(body) < len(b)
}

// The modifiers of adblock rules that only a browser can obey. A rule with one
// of them says nothing about the host as a whole.
var browserModifiers = strings.Fields(`
	1p 3p app background beacon beacon-only cname content cookie csp css doc document domain ehide elemhide empty
	extension first-party font for frame from generichide genericblock ghide header hls image inline-font inline-script
	jsinject jsonprune match-case media method mp4 network object object-subrequest other permissions ping popunder
	popup redirect redirect-rule referrerpolicy removeheader removeparam queryprune replace rewrite script shide sitekey
	specifichide stealth strict-first-party strict-third-party strict1p strict3p stylesheet subdocument third-party to
	uritransform urlblock urlskip urltransform webrtc websocket xhr xmlhttprequest xmlprune`)

// modifiers are what a rule's $ says, as far as it is obeyed.
type modifiers struct {
	flags ruleFlags
	conditions
}

// readModifiers reads what follows a rule's $. It returns SkipNone only if every
// modifier is understood and obeyed.
func (p *listParser) readModifiers(b []byte, m *modifiers) (why SkipReason) {
	for word := range bytes.SplitSeq(b, []byte(",")) {
		name, value, _ := bytes.Cut(trimBlank(word), equals)
		ok := false
		switch string(name) {
		case "important":
			m.flags |= ruleImportant
			ok = len(value) == 0
		case "all": // every kind of request, which is what DNS sees anyway
			ok = len(value) == 0
		case "badfilter":
			m.flags |= ruleCancel
			ok = len(value) == 0
		case "dnstype":
			ok = m.readTypes(value)
		case "denyallow":
			ok = p.readDenyAllow(value, m)
		default:
			if slices.Contains(browserModifiers, string(bytes.TrimPrefix(name, []byte("~")))) {
				return SkipBrowser
			}
		}
		if !ok {
			why = SkipModifier // dnsrewrite, client, and what is new
		}
	}
	return why
}

func (p *listParser) readDenyAllow(value []byte, m *modifiers) bool {
	for host := range bytes.SplitSeq(value, []byte("|")) {
		text, why := p.hostText(trimBlank(host))
		n, err := ParseName(text)
		if why != SkipNone || err != nil || len(m.denyAllow) == maxDenyAllow {
			return false
		}
		if m.denyAllow == nil {
			m.denyAllow = make(map[Name]struct{})
		}
		m.denyAllow[n] = struct{}{}
	}
	return true
}

// isCosmetic finds the separators of rules about a page's elements and scripts:
// ##, #@#, #?#, #$#, #%# and their kin. A # after a blank begins a comment, and
// a line of # only is a ruler.
func isCosmetic(line []byte) bool {
	for i := 0; i < len(line); i++ {
		if line[i] != '#' {
			continue
		}
		if i > 0 && isBlank(line[i-1]) {
			return false
		}
		j := i + 1
		for j < len(line) && j < i+4 && strings.IndexByte("@?$%", line[j]) >= 0 {
			j++
		}
		if j < len(line) && line[j] == '#' {
			return len(bytes.TrimLeft(line[i:], "# \t")) > 0 && !(i == 0 && j+1 < len(line) && isBlank(line[j+1]))
		}
		if i == 0 {
			return false
		}
	}
	return bytes.Contains(line, []byte("$$")) // AdGuard's HTML filtering
}

// isRegexp reports whether a pattern is /a regular expression/.
func isRegexp(b []byte) bool {
	return len(b) > 2 && b[0] == '/' && (b[len(b)-1] == '/' || bytes.Contains(b[1:], []byte("/$")))
}

// cutRuleComment parts an adblock rule from a comment behind it.
func cutRuleComment(line []byte) (rule, comment []byte) {
	rule = cutComment(line)
	return rule, line[len(rule):]
}
