package blocklists

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"
)

// hostsLine reads a line of a hosts list: an address and names. A line with a
// lone name is taken for one without its address.
func (p *listParser) hostsLine(line []byte) error {
	if isComment(line) {
		return nil
	}
	line = cutComment(line)
	first, rest := nextField(line)
	switch {
	case p.isAddr(first):
		return p.hostsNames(first, rest)
	case len(rest) > 0:
		return p.skip(SkipNotAName)
	default:
		return p.plainHost(first, ruleHosts)
	}
}

// hostsNames takes the names that follow an address.
func (p *listParser) hostsNames(addr, rest []byte) error {
	if len(rest) == 0 {
		return p.skip(SkipIP)
	}
	for len(rest) > 0 {
		var name []byte
		name, rest = nextField(rest)
		if bytes.Equal(name, addr) && len(rest) == 0 { // "0.0.0.0 0.0.0.0"
			return p.skip(SkipLocal)
		}
		if err := p.plainHost(name, ruleHosts); err != nil {
			return err
		}
	}
	return nil
}

// domainsLine reads a line of a domain list. A hosts line among them keeps its
// meaning.
func (p *listParser) domainsLine(line []byte) error {
	if isComment(line) {
		return nil
	}
	first, rest := nextField(cutComment(line))
	if len(rest) > 0 {
		if p.isAddr(first) {
			return p.hostsNames(first, rest)
		}
		return p.skip(SkipNotAName)
	}
	return p.plainHost(first, 0)
}

// plainHost takes a host as domain and hosts lists write it: x, .x or *.x.
func (p *listParser) plainHost(host []byte, flags ruleFlags) error {
	switch {
	case bytes.HasPrefix(host, starDot):
		host, flags = host[2:], flags&^ruleHosts
	case len(host) > 1 && host[0] == '.':
		host, flags = host[1:], flags&^ruleHosts
	}
	if why := notPlain(host); why != SkipNone {
		return p.skip(why)
	}
	return p.take(host, flags)
}

var starDot = []byte("*.")

// notPlain finds what makes a host more, or other, than a name.
func notPlain(host []byte) SkipReason {
	switch {
	case looksLikeAddr(host):
		return SkipIP
	case bytes.IndexByte(host, '/') >= 0:
		return SkipPath
	case bytes.IndexByte(host, '*') >= 0:
		return SkipWildcard
	}
	return SkipNone
}

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
	var flags ruleFlags
	pattern := rule
	if bytes.HasPrefix(pattern, []byte("@@")) {
		pattern, flags = pattern[2:], ruleExcept
	}
	if isRegexp(pattern) {
		return p.skip(SkipRegexp)
	}
	if i := bytes.IndexByte(pattern, '$'); i >= 0 {
		m, why := readModifiers(pattern[i+1:])
		if why != SkipNone {
			return p.skip(why)
		}
		pattern, flags = pattern[:i], flags|m
	}
	if len(pattern) == 0 {
		return p.skip(SkipBrowser)
	}
	if pattern[0] != '|' {
		return p.unanchoredLine(pattern, flags)
	}
	return p.anchoredRule(pattern, flags)
}

var badfilter = []byte("badfilter")

// anchoredRule reads ||host^ (the host and all below it) and |host^ (the host
// alone), where | may stand for ^ at the end.
func (p *listParser) anchoredRule(pattern []byte, flags ruleFlags) error {
	host, below := bytes.CutPrefix(pattern, []byte("||"))
	if !below {
		host = pattern[1:]
		flags |= ruleExact
	}
	if why := notPlain(bytes.TrimPrefix(host, starDot)); why != SkipNone && why != SkipIP {
		return p.skip(why)
	}
	end := bytes.IndexAny(host, "^|")
	if end < 0 {
		return p.skip(SkipOpen)
	}
	if tail := string(host[end:]); tail != "^" && tail != "|" && tail != "^|" {
		return p.skip(SkipPath)
	}
	host = host[:end]
	if len(host) == 0 || host[0] == '.' || host[len(host)-1] == '.' {
		return p.skip(SkipOpen)
	}
	if star := bytes.HasPrefix(host, starDot); star && below {
		host = host[2:]
	} else if star {
		return p.skip(SkipWildcard)
	}
	if looksLikeAddr(host) {
		return p.skip(SkipIP)
	}
	// Real lists hold ||skype^ and ||*.neustar^, which are top-level domains of
	// brands. They are not taken, but say nothing against the other rules, as
	// ||com^ does.
	if bytes.IndexByte(host, '.') < 0 && !isOldTLD(host) {
		flags |= ruleSoftTLD
	}
	return p.take(host, flags)
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
func (p *listParser) unanchoredLine(pattern []byte, flags ruleFlags) error {
	first, rest := nextField(pattern)
	switch {
	case len(rest) > 0 && flags == 0 && p.isAddr(first):
		return p.hostsNames(first, rest)
	case len(rest) > 0:
		return p.skip(SkipNotAName)
	case flags&ruleExcept == 0 && first[0] == '@': // "@||x^": one @ too few
		return p.skip(SkipNotAName)
	}
	host := bytes.TrimPrefix(first, starDot)
	switch why := notPlain(host); {
	case why != SkipNone:
		return p.skip(why)
	case bytes.ContainsAny(host, "|^"), len(host) == 0, host[len(host)-1] == '.':
		return p.skip(SkipOpen)
	}
	return p.plainHost(first, flags|ruleSoftTLD) // a bare word here may be prose
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

// readModifiers reads what follows a rule's $. It returns SkipNone only if every
// modifier is understood and obeyed.
func readModifiers(b []byte) (flags ruleFlags, why SkipReason) {
	for m := range bytes.SplitSeq(b, []byte(",")) {
		switch m = trimBlank(m); string(m) {
		case "important":
			flags |= ruleImportant
		case "all": // every kind of request, which is what DNS sees anyway
		case "badfilter":
			flags |= ruleCancel
		default:
			name, _, _ := bytes.Cut(bytes.TrimPrefix(m, []byte("~")), []byte("="))
			if slices.Contains(browserModifiers, string(name)) {
				return 0, SkipBrowser
			}
			why = SkipModifier // dnstype, denyallow, dnsrewrite, client, and what is new
		}
	}
	return flags, why
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

// hostText returns the host in lower-case ASCII without a closing dot, or why
// it is none. The result's labels hold letters, digits, hyphens and underscores
// only; hyphens at a label's edge are taken, because such names do resolve.
func (p *listParser) hostText(host []byte) (string, SkipReason) {
	if len(host) > 4*MaxNameLen {
		return "", SkipNotAName
	}
	p.text = p.text[:0]
	for _, c := range host {
		if c >= utf8.RuneSelf {
			return unicodeHost(host)
		}
		if c = lower(c); !isHostByte(c) {
			return "", SkipNotAName
		}
		p.text = append(p.text, c)
	}
	text := strings.TrimSuffix(string(p.text), ".")
	return text, checkHost(text)
}

// unicodeHost is hostText for names outside ASCII.
func unicodeHost(host []byte) (string, SkipReason) {
	if !utf8.Valid(host) || bytes.IndexByte(host, '\\') >= 0 {
		return "", SkipNotAName
	}
	n, err := ParseName(string(host))
	if err != nil {
		return "", SkipNotAName
	}
	text := n.String()
	for i := range len(text) {
		if !isHostByte(text[i]) {
			return "", SkipNotAName
		}
	}
	return text, checkHost(text)
}

func isHostByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}

// checkHost refuses what the root zone can never hold: an empty name, one that
// still ends in a dot ("com.." must not pass for two labels), or one whose last
// label is a number (RFC 1123 §2.1 keeps those for addresses).
func checkHost(text string) SkipReason {
	if text == "" || text[len(text)-1] == '.' {
		return SkipNotAName
	}
	last := text[strings.LastIndexByte(text, '.')+1:]
	if strings.Trim(last, "0123456789") != "" {
		return SkipNone
	}
	if strings.Trim(text, "0123456789.") == "" {
		return SkipIP // 127.000.000.001 and the like
	}
	return SkipNotAName
}

// isAddr reports whether column 1 of a hosts line is an address, of any kind.
func (p *listParser) isAddr(b []byte) bool {
	if len(b) > 0 && bytes.Equal(b, p.lastAddr) {
		return true
	}
	if !mayBeAddr(b) {
		return false
	}
	if _, err := netip.ParseAddr(string(b)); err != nil {
		return false
	}
	p.lastAddr = append(p.lastAddr[:0], b...)
	return true
}

// looksLikeAddr reports whether b is an address, a network, or an address with
// a port.
func looksLikeAddr(b []byte) bool {
	if !mayBeAddr(b) {
		return false
	}
	s := string(b)
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	if _, err := netip.ParsePrefix(s); err == nil {
		return true
	}
	_, err := netip.ParseAddrPort(s)
	return err == nil
}

// mayBeAddr keeps most names away from the real parsers: an address ends in a
// digit or holds a colon.
func mayBeAddr(b []byte) bool {
	if len(b) == 0 || len(b) > 64 {
		return false
	}
	last := b[len(b)-1]
	return '0' <= last && last <= '9' || bytes.IndexByte(b, ':') >= 0
}

// isComment reports whether a whole line of a hosts or domain list is one.
func isComment(line []byte) bool {
	return line[0] == '#' || line[0] == '!' || line[0] == ';'
}

// cutComment removes a comment that follows a blank. A # inside a word is left
// for the name check to refuse.
func cutComment(line []byte) []byte {
	for i := 1; i < len(line); i++ {
		if line[i] == '#' && isBlank(line[i-1]) {
			return trimBlank(line[:i])
		}
	}
	return line
}

// nextField returns the first word and what follows it, trimmed.
func nextField(b []byte) (field, rest []byte) {
	for i, c := range b {
		if isBlank(c) {
			return b[:i], trimBlank(b[i:])
		}
	}
	return b, nil
}

func trimBlank(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isBlank(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }
