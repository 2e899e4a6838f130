package blocklists

import (
	"bytes"
	"net/netip"
)

// Configurations of other resolvers. What each line means is taken from
// dnsmasq(8) of version 2.90 and unbound.conf(5) of version 1.17.

// isDnsmasqLine finds the lines of a dnsmasq configuration that name domains.
func isDnsmasqLine(line []byte) bool {
	key, value, ok := bytes.Cut(line, equals)
	value = trimBlank(value)
	return ok && isDnsmasqKey(trimBlank(key)) && len(value) > 0 && value[0] == '/'
}

var equals = []byte("=")

func isDnsmasqKey(key []byte) bool {
	return string(key) == "address" || string(key) == "server" || string(key) == "local"
}

// dnsmasqLine reads address=/x/…, server=/x/… and its synonym local=/x/…, which
// all speak of x and the names below it. Without a target they deny the names;
// address with # or the machine's own address leads nowhere. Other addresses
// are answers of the list's own (safe search is enforced so), other servers are
// forwarding, and server=/x/# excepts x from what the list says of its parents.
func (p *listParser) dnsmasqLine(line []byte) error {
	if line[0] == '#' {
		return nil
	}
	line = cutComment(line)
	key, value, _ := bytes.Cut(line, equals)
	key, value = trimBlank(key), trimBlank(value)
	switch {
	case !isOptionWord(key):
		return p.skip(SkipNotAName)
	case !isDnsmasqKey(key), len(value) == 0, value[0] != '/':
		return p.skip(SkipOption)
	}
	slash := bytes.LastIndexByte(value, '/')
	if slash == 0 {
		return p.skip(SkipNotAName)
	}
	flags, why := dnsmasqTarget(string(key) == "address", value[slash+1:])
	if why != SkipNone {
		return p.skip(why)
	}
	for rest, more := value[1:slash], true; more; {
		var name []byte
		name, rest, more = bytes.Cut(rest, slashSep)
		switch {
		case string(name) != "#":
			if err := p.plainHost(name, flags); err != nil {
				return err
			}
		case flags&ruleExcept != 0:
			return p.skip(SkipTooWide)
		default:
			return p.blocksAll()
		}
	}
	return nil
}

var slashSep = []byte("/")

func dnsmasqTarget(address bool, target []byte) (ruleFlags, SkipReason) {
	switch {
	case len(target) == 0, address && string(target) == "#", address && isNowhere(target):
		return 0, SkipNone
	case string(target) == "#": // the standard servers
		return ruleExcept, SkipNone
	}
	return 0, SkipRewrite
}

// isNowhere reports whether an address leads to nobody: it is unspecified or
// the asking machine itself.
func isNowhere(b []byte) bool {
	if string(b) == "0.0.0.0" || string(b) == "127.0.0.1" { // nearly always
		return true
	}
	if !mayBeAddr(b) {
		return false
	}
	a, err := netip.ParseAddr(string(b))
	return err == nil && (a.IsUnspecified() || a.IsLoopback())
}

// isOptionWord reports whether a word can be the name of a setting.
func isOptionWord(b []byte) bool {
	for _, c := range b {
		if c = lower(c); (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return len(b) > 0 && len(b) <= 40
}

var (
	localZone = []byte("local-zone:")
	localData = []byte("local-data:")
)

func isUnboundLine(line []byte) bool {
	return bytes.HasPrefix(line, localZone) || bytes.HasPrefix(line, localData) || string(line) == "server:"
}

// unboundLine reads local-zone: "x" TYPE, which speaks of x and the names below
// it, and local-data: "x A 0.0.0.0", which blocks x alone. Types that resolve
// normally except the zone from what the list says of its parents. A zone for
// which the list has an answer of its own is no block.
func (p *listParser) unboundLine(line []byte) error {
	if line[0] == '#' {
		return nil
	}
	line = cutComment(line)
	if zone, ok := bytes.CutPrefix(line, localZone); ok {
		name, rest := unquote(trimBlank(zone))
		flags, why := unboundZone(rest)
		switch {
		case why != SkipNone:
			return p.skip(why)
		case string(name) != ".":
			return p.plainHost(name, flags)
		case flags&ruleExcept != 0:
			return p.skip(SkipTooWide)
		}
		return p.blocksAll()
	}
	if data, ok := bytes.CutPrefix(line, localData); ok {
		record, _ := unquote(trimBlank(data))
		return p.unboundData(record)
	}
	key, rest, ok := bytes.Cut(line, []byte(":"))
	switch {
	case !ok || !isOptionWord(key):
		return p.skip(SkipNotAName)
	case len(rest) == 0: // the beginning of a clause, such as server:
		return nil
	}
	return p.skip(SkipOption)
}

func unboundZone(kind []byte) (ruleFlags, SkipReason) {
	kind, _ = unquote(kind)
	switch string(kind) {
	case "always_nxdomain", "always_null", "always_nodata", "always_refuse", "always_deny",
		"deny", "refuse", "static", "redirect", "inform_deny", "inform_redirect":
		return 0, SkipNone
	case "transparent", "typetransparent", "always_transparent", "inform":
		return ruleExcept, SkipNone
	case "nodefault", "noview", "block_a", "truncate", "ipset":
		return 0, SkipOption
	}
	return 0, SkipNotAName
}

func (p *listParser) unboundData(record []byte) error {
	name, rest := nextField(record)
	typ, value := recordType(rest)
	switch typ {
	case "A", "AAAA":
		if isNowhere(value) {
			return p.plainHost(name, ruleExact)
		}
	case "NS", "SOA": // what a zone consists of
		return nil
	case "":
		return p.skip(SkipNotAName)
	}
	if text, why := p.hostText(name); why == SkipNone && typ != "TXT" {
		if n, err := ParseName(text); err == nil {
			p.readable-- // the line is counted as skipped
			if err := p.cancel(p.entry(n, 0)); err != nil {
				return err
			}
		}
	}
	return p.skip(SkipRewrite)
}

// unquote returns a word that may stand in quotes, and what follows it.
func unquote(b []byte) (word, rest []byte) {
	if len(b) > 0 && (b[0] == '"' || b[0] == '\'') {
		if end := bytes.IndexByte(b[1:], b[0]); end >= 0 {
			return trimBlank(b[1 : end+1]), trimBlank(b[end+2:])
		}
	}
	return nextField(b)
}

// recordType reads the part of a resource record behind its owner: an optional
// time to live and class in either order, the type and the data. Types that
// have no meaning here come back as "OTHER", what is no record as "".
func recordType(b []byte) (typ string, data []byte) {
	for range 3 {
		var word []byte
		if word, b = nextField(b); len(word) == 0 {
			return "", nil
		}
		if !isTTL(word) && !isClass(word) {
			return knownType(word), b
		}
	}
	return "", nil
}

// knownType avoids a new string for what nearly every line holds.
func knownType(word []byte) string {
	switch string(word) {
	case "CNAME":
		return "CNAME"
	case "A":
		return "A"
	case "AAAA":
		return "AAAA"
	}
	upper := string(bytes.ToUpper(word))
	switch upper {
	case "CNAME", "A", "AAAA", "NS", "SOA", "TXT", "DNAME":
		return upper
	case "RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "DNSKEY", "DS", "CDS", "CDNSKEY", "ZONEMD":
		return "DNSSEC"
	}
	if _, ok := typeNumber(upper); ok {
		return "OTHER"
	}
	return ""
}

// isTTL reports whether a word is a time to live: seconds, or BIND's 1h30m.
func isTTL(b []byte) bool {
	if b[0] < '0' || b[0] > '9' {
		return false
	}
	for _, c := range b {
		if c = lower(c); (c < '0' || c > '9') && bytes.IndexByte([]byte("smhdw"), c) < 0 {
			return false
		}
	}
	return true
}

func isClass(b []byte) bool {
	return bytes.EqualFold(b, []byte("IN")) || bytes.EqualFold(b, []byte("CH")) || bytes.EqualFold(b, []byte("HS"))
}
