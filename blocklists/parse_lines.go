package blocklists

import (
	"bytes"
	"net/netip"
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
	switch why := notPlain(host); {
	case why == SkipWildcard && p.opts.Patterns && flags&ruleHosts == 0:
		return p.globRule(glob{start: atLabel}, host, modifiers{flags: flags})
	case why != SkipNone:
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
