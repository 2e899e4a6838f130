package blocklists

import (
	"bytes"
	"iter"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

// expression is a regular expression of RE2, which takes time linear in the text
// whatever it says. It sees a name without the outer dots of its text.
type expression struct {
	re   *regexp.Regexp
	size int // instructions
	// needs are what every name that matches holds: of each element at least
	// one text. Empty if the expression does not say.
	needs [][]string
}

// regexpRule takes a rule that is a regular expression.
func (p *listParser) regexpRule(src []byte, m modifiers) error {
	if !p.opts.Patterns {
		return p.skip(SkipRegexp)
	}
	if len(src) > maxRegexpLen {
		return p.skip(SkipPatternLimit)
	}
	x, words := newExpression(string(src))
	switch {
	case x == nil:
		return p.skip(SkipRegexp) // look-ahead and back references are not RE2's
	case x.size > maxRegexpSize:
		return p.skip(SkipPatternLimit)
	case matchesProbe(words, x.match):
		return p.skip(SkipTooWide)
	}
	e := Entry{Except: m.flags&ruleExcept != 0, Important: m.flags&ruleImportant != 0}
	e.Pattern = &Pattern{text: ruleText(e, "/"+string(src)+"/", &m.conditions), re: x, conditions: m.conditions}
	return p.givePattern(e, m.flags&ruleCancel != 0)
}

// newExpression compiles an expression that ignores case, as all do in AdGuard's
// syntax. It returns nil for what RE2 does not know. words are those that occur
// in the source.
func newExpression(src string) (x *expression, words []string) {
	tree, err := syntax.Parse(src, syntax.Perl|syntax.FoldCase)
	if err != nil {
		return nil, nil
	}
	unfold(tree) // texts are in lower case: comparing them so is faster, and gives plain literals
	re, err := regexp.Compile(tree.String())
	if err != nil {
		return nil, nil
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, nil
	}
	words = strings.FieldsFunc(strings.ToLower(src), func(r rune) bool {
		return r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
	return &expression{re: re, size: len(prog.Inst), needs: required(tree)}, words
}

func (x *expression) match(text []byte) bool { return x.re.Match(text[1 : len(text)-1]) }

// mayMatch asks for what is needed only.
func (x *expression) mayMatch(text []byte) bool {
	for _, texts := range x.needs {
		if !slices.ContainsFunc(texts, func(s string) bool { return containsString(text, s) }) {
			return false
		}
	}
	return true
}

// containsString is bytes.Contains for a string.
func containsString(b []byte, s string) bool {
	for i := 0; i+len(s) <= len(b); i++ {
		j := bytes.IndexByte(b[i:len(b)-len(s)+1], s[0])
		if j < 0 {
			return false
		}
		if i += j; string(b[i:i+len(s)]) == s {
			return true
		}
	}
	return false
}

// unfold makes literals that ignore case ones in lower case.
func unfold(re *syntax.Regexp) {
	if re.Op == syntax.OpLiteral && re.Flags&syntax.FoldCase != 0 {
		for i, r := range re.Rune {
			re.Rune[i] = unicode.ToLower(r)
		}
		re.Flags &^= syntax.FoldCase
	}
	for _, sub := range re.Sub {
		unfold(sub)
	}
}

const (
	minLiteral  = 3  // shorter ones occur in most names
	maxLiterals = 32 // alternatives
)

// required returns what must occur in whatever re matches: one string at least
// of each element. The strings have at least minLiteral bytes.
func required(re *syntax.Regexp) (needs [][]string) {
	for re.Op == syntax.OpCapture || re.Op == syntax.OpPlus {
		re = re.Sub[0]
	}
	need := func(texts []string) {
		if shortest(texts) >= minLiteral {
			needs = append(needs, texts)
		}
	}
	if re.Op != syntax.OpConcat {
		need(anyOf(re))
		return needs
	}
	for run := range runs(re.Sub) {
		need(run)
	}
	return needs
}

// anyOf returns strings of which at least one must occur in whatever re matches;
// nil if it finds none.
func anyOf(re *syntax.Regexp) []string {
	if all := exactly(re); all != nil {
		return all
	}
	switch re.Op {
	case syntax.OpCapture, syntax.OpPlus:
		return anyOf(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return anyOf(re.Sub[0])
		}
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			one := anyOf(sub)
			if one == nil || len(all)+len(one) > maxLiterals {
				return nil
			}
			all = append(all, one...)
		}
		return all
	case syntax.OpConcat:
		var best []string
		for run := range runs(re.Sub) {
			if shortest(run) > shortest(best) {
				best = run
			}
		}
		return best
	}
	return nil
}

// runs yields what the parts of a concatenation need, neighbours that are known
// whole joined.
func runs(subs []*syntax.Regexp) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		var run []string
		for _, sub := range subs {
			if isEmptyMatch(sub) {
				continue
			}
			all := exactly(sub)
			if joined := product(run, all); joined != nil {
				run = joined
				continue
			}
			if run != nil && !yield(run) {
				return
			}
			if run = all; all != nil {
				continue
			}
			if some := anyOf(sub); some != nil && !yield(some) {
				return
			}
		}
		if run != nil {
			yield(run)
		}
	}
}

// isEmptyMatch reports whether re says where, not what.
func isEmptyMatch(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return true
	}
	return false
}

// exactly returns all that re can match, if that is little.
func exactly(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		return []string{string(re.Rune)}
	case syntax.OpCapture:
		return exactly(re.Sub[0])
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			one := exactly(sub)
			if one == nil || len(all)+len(one) > maxLiterals {
				return nil
			}
			all = append(all, one...)
		}
		return all
	case syntax.OpConcat:
		all := []string{""}
		for _, sub := range re.Sub {
			if isEmptyMatch(sub) {
				continue
			}
			if all = product(all, exactly(sub)); all == nil {
				return nil
			}
		}
		return all
	}
	return nil
}

// product returns every a followed by every b, nil if either is nil or it would
// be too many.
func product(a, b []string) []string {
	if a == nil || b == nil || len(a)*len(b) > maxLiterals {
		return nil
	}
	var all []string
	for _, x := range a {
		for _, y := range b {
			all = append(all, x+y)
		}
	}
	return all
}

func shortest(list []string) int {
	if len(list) == 0 {
		return 0
	}
	n := len(list[0])
	for _, s := range list {
		n = min(n, len(s))
	}
	return n
}
