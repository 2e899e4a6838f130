package blocklists

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Format is how a block list is written.
type Format uint8

// The formats Parse reads.
const (
	// FormatAuto leaves the choice to the list's first lines.
	FormatAuto Format = iota
	// FormatHosts is hosts(5): an address, then names. Any address means
	// "block".
	FormatHosts
	// FormatDomains is a name a line; ".x" and "*.x" mean x and all below.
	FormatDomains
	// FormatAdblock is the part of the ad blockers' syntax that speaks of whole
	// hosts: ||host^, @@||host^ and the modifiers important, all, badfilter,
	// dnstype and denyallow; with [ParseOptions.Patterns] wildcards and regular
	// expressions too.
	FormatAdblock
	// FormatDnsmasq is a configuration of dnsmasq: address=/x/ and local=/x/.
	FormatDnsmasq
	// FormatUnbound is a configuration of Unbound: local-zone and local-data.
	FormatUnbound
	// FormatRPZ is a response policy zone in a zone file's syntax.
	FormatRPZ
)

var formatKeys = []string{"auto", "hosts", "domains", "adblock", "dnsmasq", "unbound", "rpz"}

// FormatKeys returns the keys of all formats, "auto" first.
func FormatKeys() []string { return slices.Clone(formatKeys) }

// String returns the format's key, such as "hosts" or "rpz".
func (f Format) String() string { return keyOf(formatKeys, int(f)) }

// ParseFormat reads a key of [Format.String]; "" is FormatAuto.
func ParseFormat(s string) (Format, error) {
	i, err := indexOfKey("list format", formatKeys, s)
	return Format(i), err
}

// MarshalText writes the key of the format.
func (f Format) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (f *Format) UnmarshalText(b []byte) (err error) {
	*f, err = ParseFormat(string(b))
	return err
}

// MatchMode says which names the entries of a list cover.
type MatchMode uint8

// The match modes. They concern what a list blocks; a list's own exceptions
// always reach as far as the list says.
const (
	// AutoMatch goes by the format. Lines of domain, adblock and dnsmasq lists
	// and Unbound's local zones cover a name and all below it; so does *.x
	// everywhere, which covers x too: lists leave it out, and nobody who blocks
	// everything below a site wants its front page. x alone in a response policy
	// zone, and Unbound's local data, cover that name only, since these could
	// have said more. A line of a hosts list, which could not, covers its name
	// only, unless it is a whole site (a registrable domain, or www. and one).
	AutoMatch MatchMode = iota
	// ExactMatch covers each name as written and nothing below it.
	ExactMatch
	// SuffixMatch covers each name as written and all below it.
	SuffixMatch
)

var matchKeys = []string{"auto", "exact", "suffix"}

// String returns the mode's key: "auto", "exact" or "suffix".
func (m MatchMode) String() string { return keyOf(matchKeys, int(m)) }

// ParseMatchMode reads a key of [MatchMode.String]; "" is AutoMatch.
func ParseMatchMode(s string) (MatchMode, error) {
	i, err := indexOfKey("match mode", matchKeys, s)
	return MatchMode(i), err
}

// MarshalText writes the key of the mode.
func (m MatchMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (m *MatchMode) UnmarshalText(b []byte) (err error) {
	*m, err = ParseMatchMode(string(b))
	return err
}

func keyOf(keys []string, i int) string {
	if i < len(keys) {
		return keys[i]
	}
	return fmt.Sprintf("unknown (%d)", i)
}

func indexOfKey(what string, keys []string, s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	if i := slices.Index(keys, s); i >= 0 {
		return i, nil
	}
	return 0, fmt.Errorf("reading %s %q: want one of %s", what, clip(s), strings.Join(keys, ", "))
}

// archiveMagics are the first bytes of files that pack lists up. Tar is found
// by its own mark, and gzip is undone before a list gets here.
var archiveMagics = []struct{ magic, kind string }{
	{"\x1f\x8b", "gzip"},
	{"PK\x03\x04", "zip"},
	{"\xfd7zXZ\x00", "xz"},
	{"BZh", "bzip2"},
	{"\x28\xb5\x2f\xfd", "zstd"},
	{"7z\xbc\xaf\x27\x1c", "7z"},
	{"Rar!", "rar"},
}

// sniff refuses what begins like a web page, an archive or other data. head is
// the beginning of the list, at least its first KiB if it has that much.
func sniff(head []byte) error {
	for _, a := range archiveMagics {
		if bytes.HasPrefix(head, []byte(a.magic)) {
			return fmt.Errorf("looking at the first bytes: %s: unpack it and add the list inside: %w", a.kind, ErrArchive)
		}
	}
	if len(head) > 262 && string(head[257:262]) == "ustar" {
		return fmt.Errorf("looking at the first bytes: tar: unpack it and add the list inside: %w", ErrArchive)
	}
	head = head[:min(len(head), 1024)]
	if i := bytes.IndexByte(head, 0); i >= 0 {
		return fmt.Errorf("looking at the first bytes: a zero byte at %d: %w", i, ErrBinary)
	}
	lowered := bytes.ToLower(head)
	for _, tag := range []string{"<!doctype", "<html"} {
		if bytes.Contains(lowered, []byte(tag)) {
			return fmt.Errorf("looking at the first bytes: found %q: use the address of the list itself, often called raw or download: %w", tag, ErrWebPage)
		}
	}
	return nil
}

// detectLines is how many lines other than comments decide about a format.
const detectLines = 400

// detectFormat tells the format from the first lines of a list. whole says that
// head is all of it; if not, the last, cut line does not count.
func detectFormat(head []byte, whole bool) Format {
	if !whole {
		head = head[:bytes.LastIndexByte(head, '\n')+1]
	}
	var count [FormatRPZ + 1]int
	total := 0
	for line := range bytes.Lines(head) {
		indented := isBlank(line[0])
		line = trimBlank(line)
		if len(line) == 0 || line[0] == '!' || line[0] == ';' {
			continue
		}
		if line[0] == '[' && line[len(line)-1] == ']' && total == 0 {
			return FormatAdblock // [Adblock Plus 2.0] and its kin
		}
		if line[0] == '#' && !isCosmetic(line) {
			continue
		}
		total++
		switch {
		case isZoneDirective(line):
			return FormatRPZ // no other format has them
		case isDnsmasqLine(line):
			count[FormatDnsmasq]++
		case isUnboundLine(line):
			count[FormatUnbound]++
		case isAdblockRule(line):
			count[FormatAdblock]++
		case isHostsLine(line):
			count[FormatHosts]++
		case isRecordLine(line, indented):
			count[FormatRPZ]++
		}
		if total == detectLines {
			break
		}
	}
	for _, f := range []Format{FormatDnsmasq, FormatUnbound, FormatRPZ} {
		if count[f]*2 >= total && count[f] > 0 {
			return f
		}
	}
	switch {
	// Adblock lists hold plain lines too, the others hold no adblock rules.
	case count[FormatAdblock] > 0 && count[FormatAdblock]*20 >= total:
		return FormatAdblock
	case count[FormatHosts] > 0 && count[FormatHosts]*2 >= total:
		return FormatHosts
	}
	return FormatDomains
}

func isAdblockRule(line []byte) bool {
	return bytes.HasPrefix(line, []byte("||")) || bytes.HasPrefix(line, []byte("@@")) ||
		bytes.HasPrefix(line, []byte("*$")) || isRegexp(line) || isCosmetic(line)
}

func isHostsLine(line []byte) bool {
	first, rest := nextField(line)
	if len(rest) == 0 || !mayBeAddr(first) {
		return false
	}
	_, err := netip.ParseAddr(string(first))
	return err == nil
}
