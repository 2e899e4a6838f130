package blocklists

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Entry is one rule of a block list. Where several rules of one list cover a
// name, heed says what the list says about it.
type Entry struct {
	Name      Name // what is covered; "" for a Pattern that is more than a condition
	Exact     bool // the name only, not the names below it
	Except    bool // the list takes the name back (adblock's @@)
	Important bool // stands above the list's rules without it (adblock's $important)
	// Pattern, if not nil, is what a table of names cannot hold. Such an entry
	// covers less than its Name, or has none: never enter it into a table.
	Pattern *Pattern
}

// ParseOptions say how a list is to be read. The zero value reads any list with
// the built-in guards only.
type ParseOptions struct {
	Format Format
	Match  MatchMode
	// Guard, if not nil, is asked for every name that is about to be blocked,
	// exact or not; an answer other than SkipNone keeps the name out. It is not
	// asked about exceptions, which block nothing.
	Guard func(Name) SkipReason
	// Patterns takes wildcards inside names, open-ended adblock rules and
	// regular expressions, which one short line can make cover very much; it is
	// for the operator's own lists and those trusted with it. Without it such
	// rules are skipped. Conditions (dnstype, denyallow) are always obeyed.
	Patterns bool
	// Repeats emits entries as often as they come, which spares the memory to
	// know them again. Formats whose lines can cancel others do without it.
	Repeats bool
	// MaxLines is the most lines a list may have; 0 is 20 million.
	MaxLines int
}

// What can be wrong with a whole list. Errors of Parse wrap one of these.
var (
	ErrBlocksAll    = errors.New("the list blocks every name there is")
	ErrBlocksTLD    = errors.New("the list blocks a whole top-level domain")
	ErrWebPage      = errors.New("this is a web page, not a block list")
	ErrBinary       = errors.New("this is not a text file")
	ErrArchive      = errors.New("this is an archive or a compressed file of a kind Kinward does not read")
	ErrNotAList     = errors.New("this does not look like a block list")
	ErrNoNames      = errors.New("the list has no name that can be blocked")
	ErrListTooLarge = errors.New("the list is too large")
)

const (
	headSize        = 64 << 10 // what format detection sees; also the longest line
	defaultMaxLines = 20_000_000
	maxCancels      = 10_000 // $badfilter rules of one list; the largest list seen has 88
	minRatioLines   = 20     // a list shorter than this is not judged by its share of bad lines
)

// Parse reads a block list and calls emit for each of its entries, each once
// (in a list of more than a hundred thousand, some may come again).
// Lines it cannot use whole are skipped and counted; a rule is never cut down
// to a wider one. What is refused as a whole gives an error that wraps one of
// the Err values above; an error of r or emit is returned wrapped or as it is.
//
// With an error, entries already emitted are worthless and must be dropped: a
// list is judged at its end. The Report is filled as far as Parse came. Parse
// reads r to its end (and no further after an error) and holds one line at a
// time; of formats other than hosts and domains it holds the names, because a
// later rule may cancel or outrank an earlier one. A list is plain text here; see [Fetcher] for compressed ones.
func Parse(r io.Reader, o ParseOptions, emit func(Entry) error) (Report, error) {
	p := newListParser(o, emit)
	p.in = bufio.NewReaderSize(r, headSize)
	err := p.run()
	p.report.fill(&p.skipped)
	if err == nil {
		err = p.judge()
	}
	return p.report, err
}

func newListParser(o ParseOptions, emit func(Entry) error) *listParser {
	if o.MaxLines <= 0 {
		o.MaxLines = defaultMaxLines
	}
	return &listParser{opts: o, emit: emit, seed: maphash.MakeSeed()}
}

// listParser is one run of Parse.
type listParser struct {
	opts   ParseOptions
	emit   func(Entry) error
	in     *bufio.Reader
	format Format
	report Report

	skipped    [NumSkipReasons]int
	unreadable int // lines or names that make no sense in the list's format
	readable   int // the others, taken or not

	seed maphash.Seed
	seen seenSet // hashes of the entries emitted or held

	held     heldEntries         // entries that a later line may cancel or outrank
	excepts  bool                // some of held are exceptions
	cancels  map[Entry]struct{}  // what later lines cancel, $badfilter above all
	patterns []Entry             // held like the others
	byText   map[string]struct{} // the patterns' rules
	unrules  map[string]struct{} // rules of patterns that $badfilter cancels
	tried    int                 // the size of the regular expressions looked at
	zone     rpzZone

	indented bool // the current line begins with a blank, which zone files heed

	lastAddr []byte // the last address seen in column 1: hosts lists repeat it
	line     []byte // the current line, for the report's examples
	text     []byte // scratch: the current host in lower case
}

func (p *listParser) run() error {
	head, err := p.in.Peek(headSize)
	if err != nil && err != io.EOF {
		return fmt.Errorf("reading the list: %w", err)
	}
	if bytes.HasPrefix(head, utf8BOM) {
		head = head[len(utf8BOM):]
		p.in.Discard(len(utf8BOM))
	}
	if err := sniff(head); err != nil {
		return err
	}
	if p.format = p.opts.Format; p.format == FormatAuto {
		p.format = detectFormat(head, err == io.EOF)
	}
	p.report.Format = p.format
	if err := p.lines(); err != nil {
		return err
	}
	if p.zone.depth > 0 {
		return fmt.Errorf("reading the zone: a parenthesis is opened and never closed: %w", ErrNotAList)
	}
	return p.release()
}

var utf8BOM = []byte("\xef\xbb\xbf")

// lines reads the list line by line.
func (p *listParser) lines() error {
	for {
		line, err := p.in.ReadSlice('\n')
		long := false
		for err == bufio.ErrBufferFull {
			long = true
			_, err = p.in.ReadSlice('\n')
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("reading the list after line %d: %w", p.report.Lines, err)
		}
		if len(line) > 0 || long {
			if lerr := p.oneLine(line, long); lerr != nil {
				return lerr
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

func (p *listParser) oneLine(line []byte, long bool) error {
	p.report.Lines++
	if p.report.Lines > p.opts.MaxLines {
		return fmt.Errorf("reading the list: more than %s lines: %w", thousands(p.opts.MaxLines), ErrListTooLarge)
	}
	if long {
		p.line = nil // its bytes are gone by now
		p.skip(SkipLongLine)
		return nil
	}
	if bytes.IndexByte(line, 0) >= 0 {
		return fmt.Errorf("reading line %d: a zero byte: %w", p.report.Lines, ErrBinary)
	}
	p.indented = len(line) > 0 && isBlank(line[0])
	line = trimBlank(line)
	if len(line) == 0 {
		return nil
	}
	p.line = line
	switch p.format {
	case FormatHosts:
		return p.hostsLine(line)
	case FormatAdblock:
		return p.adblockLine(line)
	case FormatDnsmasq:
		return p.dnsmasqLine(line)
	case FormatUnbound:
		return p.unboundLine(line)
	case FormatRPZ:
		return p.rpzLine(line)
	default:
		return p.domainsLine(line)
	}
}

// judge decides at the end whether the whole made sense.
func (p *listParser) judge() error {
	total := p.readable + p.unreadable
	if total > minRatioLines && p.unreadable*2 > total {
		return fmt.Errorf("reading it as a %s list: %s of %s entries make no sense (%s): check the address, or the format chosen for it: %w",
			p.format, thousands(p.unreadable), thousands(total), p.report, ErrNotAList)
	}
	if p.report.Taken == 0 {
		return fmt.Errorf("reading it as a %s list: %s: check the address, or the format chosen for it: %w", p.format, p.report, ErrNoNames)
	}
	return nil
}

// skip counts one line, or one name of a line, that is not taken.
func (p *listParser) skip(why SkipReason) error {
	p.skipped[why]++
	if p.skipped[why] <= examplesPerReason {
		p.report.Examples = append(p.report.Examples, Skipped{
			Line: p.report.Lines, Text: exampleText(p.line), Reason: why,
		})
	}
	switch why {
	case SkipNotAName, SkipSingleLabel, SkipLongLine:
		p.unreadable++
	case SkipPath:
		// Rules about paths belong in an adblock list; a list of addresses of
		// pages is no list of names.
		if p.format == FormatAdblock {
			p.readable++
		} else {
			p.unreadable++
		}
	default:
		p.readable++
	}
	return nil
}

// ruleFlags say what a line claims about its host.
type ruleFlags uint8

const (
	ruleExact ruleFlags = 1 << iota
	ruleExcept
	ruleImportant
	ruleCancel  // $badfilter
	ruleHosts   // from a hosts line: exact, unless it is a whole site
	ruleSoftTLD // a top-level domain is skipped and does not condemn the list
)

// blocksAll refuses a list for a rule that means every name.
func (p *listParser) blocksAll() error {
	return fmt.Errorf("reading line %d: %q would block every name: remove the line, or choose another list: %w",
		p.report.Lines, exampleText(p.line), ErrBlocksAll)
}

// take brings one host of the list to emit, past the guards.
func (p *listParser) take(host []byte, flags ruleFlags) error {
	return p.takeIf(host, flags, nil)
}

// takeIf is take for a rule that holds under conditions; nil is always.
func (p *listParser) takeIf(host []byte, flags ruleFlags, c *conditions) error {
	text, why := p.hostText(host)
	if why != SkipNone {
		return p.skip(why)
	}
	if isLocalName(text) {
		return p.skip(SkipLocal)
	}
	n, err := ParseName(text)
	if err != nil {
		return p.skip(SkipNotAName)
	}
	switch {
	case flags&ruleCancel != 0 && c == nil:
		return p.cancel(p.entry(n, flags))
	case flags&ruleCancel != 0:
		return p.givePattern(conditionalEntry(p.entry(n, flags), c), true)
	case strings.IndexByte(text, '.') < 0:
		switch {
		case !isTLD(text):
			return p.skip(SkipSingleLabel)
		case flags&(ruleExcept|ruleHosts|ruleSoftTLD) != 0:
			return p.skip(SkipTLD)
		default:
			return fmt.Errorf("reading line %d: %q would block every name under .%s: remove the line, or choose another list: %w",
				p.report.Lines, exampleText(p.line), text, ErrBlocksTLD)
		}
	case flags&ruleExcept != 0 && c == nil:
		return p.give(p.entry(n, flags))
	case flags&ruleExcept != 0:
		return p.givePattern(conditionalEntry(p.entry(n, flags), c), false)
	}
	suffix, _ := publicsuffix.PublicSuffix(text)
	if len(suffix) == len(text) {
		return p.skip(SkipPublicSuffix)
	}
	if flags&ruleHosts != 0 && p.opts.Match == AutoMatch {
		// Offsets in the text are offsets in the Name: a length byte stands
		// where the text has the label's first letter.
		site := strings.LastIndexByte(text[:len(text)-len(suffix)-1], '.') + 1
		if site == 0 || text[:site] == "www." {
			if p.guard(n[site:]) == SkipNone {
				return p.give(Entry{Name: n[site:]})
			}
			// The site is shared by many; its name alone may still be listed.
		}
	}
	if why := p.guard(n); why != SkipNone {
		return p.skip(why)
	}
	if c != nil {
		return p.givePattern(conditionalEntry(p.entry(n, flags), c), false)
	}
	return p.give(p.entry(n, flags))
}

func (p *listParser) guard(n Name) SkipReason {
	if p.opts.Guard == nil {
		return SkipNone
	}
	return p.opts.Guard(n)
}

// entry applies the match mode.
func (p *listParser) entry(n Name, flags ruleFlags) Entry {
	e := Entry{
		Name:      n,
		Exact:     flags&(ruleExact|ruleHosts) != 0,
		Except:    flags&ruleExcept != 0,
		Important: flags&ruleImportant != 0,
	}
	if !e.Except {
		switch p.opts.Match {
		case ExactMatch:
			e.Exact = true
		case SuffixMatch:
			e.Exact = false
		}
	}
	return e
}

// isTLD reports whether a single label is a top-level domain of the root zone,
// by the public suffix list's ICANN section. Some top-level domains (.ck, .mm)
// stand there only as "*.ck".
func isTLD(label string) bool {
	if _, icann := publicsuffix.PublicSuffix(label); icann {
		return true
	}
	s, icann := publicsuffix.PublicSuffix("a." + label)
	return icann && s == "a."+label
}

// isLocalName reports whether a name is one that hosts files use for the
// machine itself, or lies where no name is for the public DNS to answer (RFC
// 6761, 6762, 7686, 8375).
func isLocalName(text string) bool {
	if text == "home.arpa" || strings.HasSuffix(text, ".home.arpa") {
		return true
	}
	dot := strings.LastIndexByte(text, '.')
	switch text[dot+1:] {
	case "localhost", "local", "localdomain", "broadcasthost", "internal", "onion":
		return true
	}
	return dot < 0 && strings.HasPrefix(text, "ip6-")
}
