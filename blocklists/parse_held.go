package blocklists

import (
	"fmt"
	"hash/maphash"
)

// holds reports whether the format lets a later line change what an earlier one
// means.
func (p *listParser) holds() bool { return p.format > FormatDomains }

// give emits an entry that was not seen before, or holds it where a later line
// may cancel it.
func (p *listParser) give(e Entry) error {
	p.readable++
	if p.opts.Repeats && !p.holds() {
		return p.send(e)
	}
	h := p.hash(e)
	if again, weight := p.seen.add(h); again {
		p.report.Duplicates += weight
		return nil
	}
	if p.holds() {
		p.excepts = p.excepts || e.Except
		p.held.add(e)
		return nil
	}
	return p.send(e)
}

func (p *listParser) hash(e Entry) uint64 {
	return maphash.String(p.seed, string(e.Name)) + uint64(e.flags())*0x9e3779b97f4a7c15
}

// givePattern holds an entry with a pattern.
func (p *listParser) givePattern(e Entry, cancel bool) error {
	p.readable++
	text := e.Pattern.String()
	if cancel {
		if p.unrules == nil {
			p.unrules = make(map[string]struct{})
		}
		p.unrules[text] = struct{}{}
		return p.cancelsBounded()
	}
	if _, dup := p.byText[text]; dup {
		p.report.Duplicates++
		return nil
	}
	if len(p.patterns) == maxPatterns {
		p.readable--
		return p.skip(SkipPatternLimit)
	}
	if p.byText == nil {
		p.byText = make(map[string]struct{})
	}
	p.byText[text] = struct{}{}
	p.patterns = append(p.patterns, e)
	return nil
}

func (p *listParser) send(e Entry) error {
	if e.Except {
		p.report.TakenBack++
	} else {
		p.report.Taken++
	}
	if e.Pattern != nil {
		p.report.Patterns++
	}
	return p.emit(e)
}

// cancel notes that an entry is to be dropped, wherever it stands.
func (p *listParser) cancel(e Entry) error {
	p.readable++
	if p.cancels == nil {
		p.cancels = make(map[Entry]struct{})
	}
	p.cancels[e] = struct{}{}
	return p.cancelsBounded()
}

func (p *listParser) cancelsBounded() error {
	if len(p.cancels)+len(p.unrules) > maxCancels {
		return fmt.Errorf("reading line %d: more than %s rules that cancel others: %w", p.report.Lines, thousands(maxCancels), ErrListTooLarge)
	}
	return nil
}

// release emits what was held and not cancelled.
func (p *listParser) release() error {
	var o *outranked
	if p.excepts && p.format != FormatAdblock { // there the most specific rule wins, and here an exception does
		o = p.outranked()
	}
	err := p.held.each(true, func(e Entry) error {
		if _, gone := p.cancels[e]; gone {
			p.skipped[SkipCancelled]++
			return nil
		}
		if e.Exact && p.format != FormatAdblock {
			whole := e
			whole.Exact = false
			if p.seen.has(p.hash(whole)) { // RPZ writes x and *.x
				p.report.Duplicates++
				return nil
			}
		}
		if o != nil {
			var ok bool
			if e.Important, ok = o.important(e); !ok {
				p.skipped[SkipNested]++
				return nil
			}
		}
		return p.send(e)
	})
	if err != nil {
		return err
	}
	for _, e := range p.patterns {
		if _, gone := p.unrules[e.Pattern.String()]; gone {
			p.skipped[SkipCancelled]++
			continue
		}
		if err := p.send(e); err != nil {
			return err
		}
	}
	return nil
}

// outranked translates between two orders. In dnsmasq, Unbound and zone files
// the most specific rule wins, so a block below an exception stands. Here an
// exception takes back every block of its list that is not important. So a
// block below an exception becomes important, and an exception below such a
// block too. What lies deeper still has no place in two ranks and is skipped.
//
// It holds, per rank, the names of the entries that cover names below theirs:
// [0] exceptions, [1] blocks below those, [2] exceptions below those blocks.
type outranked [3]map[Name]struct{}

func (p *listParser) outranked() *outranked {
	o := &outranked{}
	for rank := range o {
		o[rank] = make(map[Name]struct{})
		p.held.each(false, func(e Entry) error {
			_, gone := p.cancels[e]
			if !gone && !e.Exact && e.Except == (rank != 1) && (rank == 0 || o.covers(rank-1, e)) {
				o[rank][e.Name] = struct{}{}
			}
			return nil
		})
	}
	return o
}

// covers reports whether an entry of a rank, less specific than e, covers it.
func (o *outranked) covers(rank int, e Entry) bool {
	n := e.Name
	if !e.Exact {
		n = n.Parent()
	}
	for ; n != ""; n = n.Parent() {
		if _, ok := o[rank][n]; ok {
			return true
		}
	}
	return false
}

// important says whether e must be, and whether it can be expressed at all.
func (o *outranked) important(e Entry) (important, ok bool) {
	if e.Except {
		return o.covers(1, e), true
	}
	return o.covers(0, e), !o.covers(2, e)
}

// heldEntries keeps entries in a few large blocks: a flags byte, a length byte
// and the name each, which is less than half of what a []Entry takes.
type heldEntries struct{ blocks [][]byte }

const heldBlock = 256 << 10

func (h *heldEntries) add(e Entry) {
	last := len(h.blocks) - 1
	if last < 0 || len(h.blocks[last])+2+len(e.Name) > heldBlock {
		h.blocks = append(h.blocks, make([]byte, 0, heldBlock))
		last++
	}
	b := append(h.blocks[last], byte(e.flags()), byte(len(e.Name)))
	h.blocks[last] = append(b, e.Name...)
}

// each calls f for every entry; freeing lets go of each block once it is done.
func (h *heldEntries) each(freeing bool, f func(Entry) error) error {
	for i, b := range h.blocks {
		for len(b) > 0 {
			flags, n := ruleFlags(b[0]), int(b[1])
			e := Entry{
				Name:      Name(b[2 : 2+n]),
				Exact:     flags&ruleExact != 0,
				Except:    flags&ruleExcept != 0,
				Important: flags&ruleImportant != 0,
			}
			if err := f(e); err != nil {
				return err
			}
			b = b[2+n:]
		}
		if freeing {
			h.blocks[i] = nil
		}
	}
	return nil
}

func (e Entry) flags() (f ruleFlags) {
	if e.Exact {
		f |= ruleExact
	}
	if e.Except {
		f |= ruleExcept
	}
	if e.Important {
		f |= ruleImportant
	}
	return f
}
