package blocklists

import "errors"

// patternSide is what an index holds beside its table where lists have patterns.
// It keeps label sets before their exceptions are settled, since a pattern may
// be, or meet, an exception of its list.
type patternSide struct {
	set    *patternSet
	labels []Label // of each rule of the set: what it says of a name it matches

	nodes   []node // as Index.nodes, of raw sets
	raw     []Label
	setEnd  []uint32
	guard   func(Name) SkipReason
	entries []Entry // the rules, for the index file
}

// ByPattern marks a label that a pattern gave: its entry is the name itself, and
// other names and types beside it may be free.
const ByPattern Marks = 1 << 5

// addPatterns gives the index the patterns of its lists.
func (b *builder) addPatterns(lists []ListInput) error {
	if len(b.patterns) == 0 {
		return nil
	}
	p := &patternSide{nodes: b.raw, raw: b.f.raw.labels, setEnd: b.f.raw.end, entries: b.patterns}
	for i, e := range b.patterns {
		list := b.listOf[i]
		p.labels = append(p.labels, e.label(lists[list-1].Category, list))
	}
	var err error
	if p.set, err = compilePatterns(b.patterns); err != nil {
		var limit *patternLimitError
		if errors.As(err, &limit) && limit.rule < len(b.listOf) {
			return &ListError{lists[b.listOf[limit.rule]-1].ID, err}
		}
		return err
	}
	b.x.patterns = p
	return nil
}

// Known returns the labels of n for a question of a type: those of its set, and
// what patterns say of it. Without patterns it allocates nothing, with patterns
// only where one matches. The slice must not be changed.
func (x *Index) Known(n Name, qtype uint16) []Label {
	return x.Refine(x.Lookup(n), n, qtype)
}

// Refine is [Index.Known] for a name whose set is known already.
func (x *Index) Refine(s SetID, n Name, qtype uint16) []Label {
	if x.patterns == nil {
		return x.Labels(s)
	}
	return x.patterns.refine(x, s, n, qtype)
}

func (p *patternSide) refine(x *Index, s SetID, n Name, qtype uint16) []Label {
	// Rules of one list and one kind say the same of a name, so one of them is
	// enough. None may go unheard: it could be the exception.
	var buf [16]int32
	hits := buf[:0]
	p.set.match(n, qtype, func(rule int) {
		l := &p.labels[rule]
		for _, hit := range hits {
			if o := &p.labels[hit]; o.List == l.List && (o.Marks^l.Marks)&(exception|important) == 0 {
				return
			}
		}
		hits = append(hits, int32(rule))
	})
	if len(hits) == 0 {
		return x.Labels(s)
	}
	v, self := x.lookup(n)
	raw := p.nodes[v].below
	if self {
		raw = p.nodes[v].self
	}
	var all []Label
	if raw != 0 {
		all = append(all, p.raw[p.setEnd[raw-1]:p.setEnd[raw]]...)
	}
	depth := uint8(n.Labels())
	guarded := p.guard != nil && p.guard(n) != SkipNone
	for _, rule := range hits {
		l := p.labels[rule]
		if guarded && l.Marks&exception == 0 {
			continue
		}
		l.Depth = depth
		l.Marks |= ByPattern | Exact
		all = append(all, l)
	}
	return heed(nil, all)
}

// Rule returns the text of the pattern of a list that matches n, "" where none
// does.
func (x *Index) Rule(list ListID, n Name, qtype uint16) (text string) {
	if x.patterns == nil {
		return ""
	}
	x.patterns.set.match(n, qtype, func(rule int) {
		if l := x.patterns.labels[rule]; text == "" && l.List == list && l.Marks&exception == 0 {
			text = x.patterns.entries[rule].Pattern.String()
		}
	})
	return text
}
