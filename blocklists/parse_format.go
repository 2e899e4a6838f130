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
	// hosts: ||host^, @@||host^ and the modifiers important, all and badfilter.
	FormatAdblock
)

var formatKeys = []string{"auto", "hosts", "domains", "adblock"}

// String returns the format's key: "auto", "hosts", "domains" or "adblock".
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
	// AutoMatch goes by the format. Lines of domain and adblock lists cover a
	// name and all below it. A line of a hosts list covers its name only,
	// unless it is a whole site (a registrable domain, or www. and one), which
	// then is covered with all below it.
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
func detectFormat(head []byte, whole bool) (Format, error) {
	if !whole {
		head = head[:bytes.LastIndexByte(head, '\n')+1]
	}
	var hosts, adblock, total int
	others := make(map[string]int)
	for line := range bytes.Lines(head) {
		line = trimBlank(line)
		if len(line) == 0 || line[0] == '!' || line[0] == ';' {
			continue
		}
		if line[0] == '[' && line[len(line)-1] == ']' && total == 0 {
			return FormatAdblock, nil // [Adblock Plus 2.0] and its kin
		}
		if line[0] == '#' && !isCosmetic(line) {
			continue
		}
		total++
		switch kind := otherFormat(line); {
		case kind != "":
			others[kind]++
		case isAdblockRule(line):
			adblock++
		case isHostsLine(line):
			hosts++
		}
		if total == detectLines {
			break
		}
	}
	for kind, n := range others {
		if n*2 > total {
			return FormatAuto, fmt.Errorf("detecting the format: it is %s: use the list's hosts, domains or adblock version: %w", kind, ErrOtherFormat)
		}
	}
	switch {
	// Adblock lists hold plain lines too, the others hold no adblock rules.
	case adblock > 0 && adblock*20 >= total:
		return FormatAdblock, nil
	case hosts > 0 && hosts*2 >= total:
		return FormatHosts, nil
	}
	return FormatDomains, nil
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

// otherFormat names the format of a line that belongs to another program.
func otherFormat(line []byte) string {
	for _, s := range []string{"address=/", "server=/", "local=/"} {
		if bytes.HasPrefix(line, []byte(s)) {
			return "a dnsmasq configuration"
		}
	}
	if bytes.HasPrefix(line, []byte("local-zone:")) || bytes.HasPrefix(line, []byte("local-data:")) {
		return "an Unbound configuration"
	}
	if bytes.HasPrefix(line, []byte("$TTL")) || bytes.HasPrefix(line, []byte("$ORIGIN")) ||
		bytes.Contains(line, []byte(" CNAME ")) || bytes.Contains(line, []byte("\tCNAME\t")) {
		return "a response policy zone"
	}
	return ""
}
