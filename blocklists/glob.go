package blocklists

import (
	"bytes"
	"errors"
	"fmt"
)

// Glob is a pattern of a family's own: it must match a whole name, and each *
// in it stands for any bytes, of one label or of several, or for none. It is
// immutable.
type Glob struct {
	g    glob
	base Name
}

// ErrWideGlob: a pattern of stars and dots alone says nothing.
var ErrWideGlob = errors.New("pattern has nothing but stars")

// NewGlob makes a matcher of a pattern that was read as a name, since a * is a
// byte of a label like any other. The error wraps [ErrWideGlob] or
// [ErrEmptyLabel] and quotes the pattern.
func NewGlob(pattern Name) (*Glob, error) {
	if pattern == "" {
		return nil, fmt.Errorf("reading pattern %q: %w", ".", ErrEmptyLabel)
	}
	out := &Glob{base: pattern}
	var text [maxText]byte
	stars := byte('*')
	b := text[:0]
	for off := 0; off < len(pattern); off += int(pattern[off]) + 1 {
		b = append(b, '.')
		b = append(b, pattern[off+1:off+1+int(pattern[off])]...)
		if bytes.IndexByte([]byte(pattern[off+1:off+1+int(pattern[off])]), stars) >= 0 {
			out.base = pattern[off:].Parent()
		}
	}
	b = append(b, '.')
	out.g.start = atName
	if b[1] == stars {
		out.g.start, b = anywhere, b[1:]
	}
	if len(b) > 1 && b[len(b)-2] == stars {
		out.g.open, b = true, b[:len(b)-1]
	}
	for piece := range bytes.SplitSeq(b, []byte{stars}) {
		if len(piece) > 0 {
			out.g.pieces = append(out.g.pieces, bytes.Clone(piece))
		}
	}
	if len(bytes.Trim(b, "*.")) == 0 {
		return nil, fmt.Errorf("reading pattern %q: %w", pattern.String(), ErrWideGlob)
	}
	return out, nil
}

// Base returns the labels behind the last one with a star: every name that the
// pattern matches is or lies below it. "" is the root.
func (g *Glob) Base() Name { return g.base }

// Match reports whether the pattern matches n. It does not allocate, and takes
// time linear in the length of n for each piece of the pattern.
func (g *Glob) Match(n Name) bool {
	if !n.IsBelow(g.base) {
		return false
	}
	var text [maxText]byte
	return g.g.match(appendText(text[:0], n))
}
