package blocklists

import (
	"bytes"
	"fmt"
	"strings"
)

// Response policy zones, as in the chapter on response-policy of the BIND 9.18
// reference manual, in zone file syntax (RFC 1035 §5.1).

// rpzZone is what a zone file's lines leave behind for the lines after them.
type rpzZone struct {
	owner  []byte // of the last record, for lines that begin with a blank
	depth  int    // of parentheses that are still open
	origin string // what relative names are relative to, without a closing dot
	apex   string // the zone's own name
	// The zone's name and origin may never be told: then they are the same, and
	// relative names are what the policy is about.
	hasOrigin, hasApex bool
}

func isZoneDirective(line []byte) bool {
	if line[0] != '$' {
		return false
	}
	word, _ := nextField(line)
	return bytes.EqualFold(word, []byte("$TTL")) || bytes.EqualFold(word, []byte("$ORIGIN"))
}

// isRecordLine recognises the records that policies are made of, and SOA.
func isRecordLine(line []byte, indented bool) bool {
	if !indented {
		_, line = nextField(line)
	}
	if len(line) == 0 {
		return false
	}
	typ, data := recordType(line)
	return len(data) > 0 && (typ == "CNAME" || typ == "A" || typ == "AAAA" || typ == "SOA" || typ == "NS")
}

// rpzLine reads a line of a response policy zone. NXDOMAIN (CNAME .), NODATA
// (CNAME *.), rpz-drop and addresses that lead nowhere block; rpz-passthru
// excepts. What sends the asker elsewhere is not a block: with the same records
// zones enforce safe search.
func (p *listParser) rpzLine(line []byte) error {
	z := &p.zone
	line = cutZoneComment(line)
	if len(line) == 0 {
		return nil
	}
	if z.depth > 0 { // inside the parentheses of a record that is done with
		z.depth = max(z.depth+parens(line), 0)
		return nil
	}
	if line[0] == '$' {
		return p.rpzDirective(line)
	}
	if bytes.IndexByte(line, '(') >= 0 {
		z.depth = max(parens(line), 0)
		line = bytes.ReplaceAll(bytes.ReplaceAll(line, []byte("("), []byte(" ")), []byte(")"), []byte(" "))
	}
	rest := line
	if !p.indented {
		var owner []byte
		owner, rest = nextField(line)
		z.owner = append(z.owner[:0], owner...)
	}
	typ, data := recordType(rest)
	if typ == "SOA" {
		z.setApex()
		return nil
	}
	if typ == "" || len(z.owner) == 0 {
		return p.skip(SkipNotAName)
	}
	host, why := z.trigger(z.owner)
	switch {
	case why != SkipNone:
		return p.skip(why)
	case len(host) == 0, typ == "NS", typ == "DNSSEC", typ == "DNAME": // the apex, and what is never a policy
		return nil
	}
	flags, why := rpzAction(typ, data, host)
	if why != SkipNone {
		return p.skip(why)
	}
	if string(host) == "*" {
		if flags&ruleExcept != 0 {
			return p.skip(SkipTooWide)
		}
		return p.blocksAll()
	}
	if !bytes.HasPrefix(host, starDot) {
		flags |= ruleExact
	}
	return p.plainHost(host, flags)
}

func rpzAction(typ string, data, host []byte) (ruleFlags, SkipReason) {
	target, _ := nextField(data)
	switch {
	case typ == "A" || typ == "AAAA":
		if isNowhere(target) {
			return 0, SkipNone
		}
	case typ != "CNAME":
	case string(target) == ".", string(target) == "*.":
		return 0, SkipNone
	case len(target) > 4 && bytes.EqualFold(target[:4], []byte("rpz-")):
		switch strings.ToLower(string(bytes.TrimSuffix(target, dot))) {
		case "rpz-drop":
			return 0, SkipNone
		case "rpz-passthru":
			return ruleExcept, SkipNone
		}
	case bytes.EqualFold(bytes.TrimSuffix(target, dot), host): // the old way to write passthru
		return ruleExcept, SkipNone
	}
	return 0, SkipRewrite // rpz-tcp-only changes no answer, and the rest are answers
}

var dot = []byte(".")

func (p *listParser) rpzDirective(line []byte) error {
	z := &p.zone
	word, rest := nextField(line)
	switch strings.ToUpper(string(word)) {
	case "$TTL":
		return nil
	case "$ORIGIN":
		name, _ := nextField(rest)
		if len(name) == 0 {
			return p.skip(SkipNotAName)
		}
		full, ok := z.absolute(name)
		if !ok { // relative to an origin that was never told
			return fmt.Errorf("reading line %d: %q: the origin of the zone is not known: %w", p.report.Lines, exampleText(p.line), ErrNotAList)
		}
		z.origin, z.hasOrigin = full, true
		if !z.hasApex && full != "" {
			z.apex, z.hasApex = full, true
		}
		return nil
	}
	return p.skip(SkipOption) // $INCLUDE, $GENERATE
}

// setApex takes the owner of the SOA record, which alone names the zone.
func (z *rpzZone) setApex() {
	if full, ok := z.absolute(z.owner); ok {
		z.apex, z.hasApex = full, true
	}
}

// absolute returns a name in lower case without its closing dot; ok says
// whether it could be told from the root.
func (z *rpzZone) absolute(name []byte) (full string, ok bool) {
	s := strings.ToLower(string(name))
	switch {
	case strings.HasSuffix(s, "."):
		return s[:len(s)-1], true
	case s == "@":
		return z.origin, z.hasOrigin
	case z.origin != "":
		return s + "." + z.origin, true
	}
	return s, z.hasOrigin
}

// trigger returns the owner of a record relative to the zone, which is the name
// that the policy is about; it is empty for the zone's own name.
func (z *rpzZone) trigger(owner []byte) ([]byte, SkipReason) {
	inside := !z.hasOrigin || z.hasApex && z.origin == z.apex
	switch {
	case inside && owner[len(owner)-1] != '.':
		if string(owner) == "@" {
			return nil, SkipNone
		}
	case !z.hasApex: // a closing dot where the zone has no name: it can only be meant as it is
		owner = bytes.TrimSuffix(owner, dot)
	default:
		full, _ := z.absolute(owner)
		if full == z.apex {
			return nil, SkipNone
		}
		below, ok := strings.CutSuffix(full, "."+z.apex)
		if !ok && z.apex != "" {
			return nil, SkipNotAName
		}
		owner = []byte(below)
	}
	if isOtherTrigger(owner) {
		return nil, SkipTrigger
	}
	return owner, SkipNone
}

// isOtherTrigger finds names that encode addresses and name servers, which are
// not what a child's device asks for, and rpz.ip, which some tool writes for
// rpz-ip.
func isOtherTrigger(name []byte) bool {
	i := len(name)
	for dots := 0; i > 0; i-- { // the last two labels
		if name[i-1] == '.' {
			if dots++; dots == 2 {
				break
			}
		}
	}
	last := name[i:]
	if len(last) < 6 || lower(last[len(last)-1]) != 'p' && lower(last[len(last)-1]) != 'e' { // most names
		return false
	}
	s := strings.ToLower(string(last))
	switch s[strings.LastIndexByte(s, '.')+1:] {
	case "rpz-ip", "rpz-client-ip", "rpz-nsip", "rpz-nsdname":
		return true
	}
	return s == "rpz.ip"
}

// cutZoneComment removes a comment: everything behind a ; outside of quotes.
func cutZoneComment(line []byte) []byte {
	quoted := false
	for i, c := range line {
		switch {
		case c == '"' && (i == 0 || line[i-1] != '\\'):
			quoted = !quoted
		case c == ';' && !quoted && (i == 0 || line[i-1] != '\\'):
			return trimBlank(line[:i])
		}
	}
	return line
}

// parens counts the parentheses that a line opens, less those it closes.
func parens(line []byte) (open int) {
	if bytes.IndexByte(line, '(') < 0 && bytes.IndexByte(line, ')') < 0 {
		return 0
	}
	quoted := false
	for _, c := range line {
		switch {
		case c == '"':
			quoted = !quoted
		case c == '(' && !quoted:
			open++
		case c == ')' && !quoted:
			open--
		}
	}
	return open
}
