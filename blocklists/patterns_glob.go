package blocklists

import (
	"bytes"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Globs and expressions are matched against a name's text: the labels in lower
// case, a dot before, between and behind them (".www.example.com."), so that
// the ends of labels are dots everywhere. Bytes that no host name has, a dot
// within a label above all, read as "!".

const maxText = MaxNameLen + 2 // a dot for each length byte, and one behind

// appendText appends a name's text.
func appendText(b []byte, n Name) []byte {
	for off := 0; off < len(n); {
		end := off + 1 + int(n[off])
		b = append(b, '.')
		for off++; off < end; off++ {
			c := n[off]
			if c == '.' || !isHostByte(c) {
				c = '!'
			}
			b = append(b, c)
		}
	}
	return append(b, '.')
}

// anchor says where in a name a glob may begin.
type anchor uint8

const (
	anywhere anchor = iota
	atLabel         // adblock's ||
	atName          // adblock's |
)

// glob is an adblock pattern: pieces that follow each other with anything
// between. Matching takes time linear in the text.
type glob struct {
	start anchor
	open  bool // anything may follow the last piece
	// pieces hold the dots of the anchors: ||ads*.example^ is ".ads" and
	// ".example.".
	pieces [][]byte
}

func (g *glob) match(text []byte) bool {
	inner := len(text) - 1 // pieces but the last must leave the closing dot alone
	pos := 0
	if g.start == anywhere {
		pos = 1
	}
	for i, piece := range g.pieces {
		if i == len(g.pieces)-1 && !g.open {
			at := len(text) - len(piece)
			return at >= pos && bytes.HasSuffix(text, piece) && (i > 0 || g.start != atName || at == 0)
		}
		if i == 0 && g.start == atName {
			if !bytes.HasPrefix(text[:inner], piece) {
				return false
			}
			pos = len(piece)
			continue
		}
		if pos > inner {
			return false
		}
		at := bytes.Index(text[pos:inner], piece)
		if at < 0 {
			return false
		}
		pos += at + len(piece)
	}
	return true
}

// String writes the glob in adblock syntax.
func (g *glob) String() string {
	words := make([]string, len(g.pieces))
	for i, piece := range g.pieces {
		words[i] = string(piece)
	}
	last := len(words) - 1
	if g.start != anywhere {
		words[0] = words[0][1:]
	}
	if !g.open {
		words[last] = words[last][:len(words[last])-1] + "^"
	}
	text := strings.Join(words, "*")
	switch {
	case g.start == atLabel:
		return "||" + text
	case g.start == atName:
		return "|" + text
	case len(words) == 1 && g.open && !strings.HasSuffix(text, "."):
		return "*" + text + "*" // without a star it would be read as a name
	}
	return text
}

// globRule takes a pattern with wildcards, or one that is open at an end.
func (p *listParser) globRule(g glob, body []byte, m modifiers) error {
	body = bytes.ToLower(body)
	for _, c := range body {
		if c != '*' && !isHostByte(c) {
			if c == '/' || c == '^' || c == '|' {
				return p.skip(SkipPath)
			}
			return p.skip(SkipNotAName)
		}
	}
	if bytes.HasPrefix(body, []byte("*")) {
		g.start = anywhere
	}
	if bytes.HasSuffix(body, []byte("*")) {
		g.open = true
	}
	for piece := range bytes.SplitSeq(body, []byte("*")) {
		if len(piece) > 0 {
			g.pieces = append(g.pieces, bytes.Clone(piece))
		}
	}
	last := len(g.pieces) - 1
	switch {
	case last < 0:
		return p.skip(SkipTooWide)
	case len(body) > MaxNameLen, bytes.Contains(body, []byte("..")),
		g.start != anywhere && g.pieces[0][0] == '.', !g.open && bytes.HasSuffix(body, dot):
		return p.skip(SkipNotAName) // no name can match
	}
	if g.start != anywhere {
		g.pieces[0] = append([]byte("."), g.pieces[0]...)
	}
	if !g.open {
		g.pieces[last] = append(g.pieces[last], '.')
	}
	m.flags &^= ruleExact | ruleSoftTLD
	if g.tooWide() {
		return p.skip(SkipTooWide)
	}
	e := Entry{Except: m.flags&ruleExcept != 0, Important: m.flags&ruleImportant != 0}
	e.Pattern = &Pattern{text: ruleText(e, g.String(), &m.conditions), glob: &g, conditions: m.conditions}
	return p.givePattern(e, m.flags&ruleCancel != 0)
}

// tooWide reports whether the glob says too little about what it matches: it
// must hold three letters, digits or hyphens in a row besides a public suffix at
// its end, and match none of the probes.
func (g *glob) tooWide() bool {
	longest := 0
	for i, piece := range g.pieces {
		if i == len(g.pieces)-1 && !g.open {
			piece = piece[:len(piece)-1]
			suffix, _ := publicsuffix.PublicSuffix(string(bytes.TrimPrefix(piece, dot)))
			piece = piece[:len(piece)-len(suffix)]
		}
		for word := range bytes.SplitSeq(piece, dot) {
			longest = max(longest, len(word))
		}
	}
	return longest < 3 || matchesProbe(nil, g.match)
}
