package policy

import "slices"

// vector is a list in chunks, which lists that were derived from one another
// share: changing an element copies a chunk and the list of chunks.
type vector[T any] struct {
	chunks []*vectorChunk[T]
	n      int
}

type vectorChunk[T any] struct {
	owner *owner
	items [vectorItems]T
}

const vectorItems = 64

// edit returns a vector that can be changed without v seeing it.
func (v *vector[T]) edit() vector[T] { return vector[T]{slices.Clone(v.chunks), v.n} }

// at returns an element, which must not be changed.
func (v *vector[T]) at(i int) *T { return &v.chunks[i/vectorItems].items[i%vectorItems] }

// own returns an element that o may change. The one after the last is added.
func (v *vector[T]) own(o *owner, i int) *T {
	c := i / vectorItems
	if c == len(v.chunks) {
		v.chunks = append(v.chunks, &vectorChunk[T]{owner: o})
	} else if from := v.chunks[c]; from.owner != o {
		v.chunks[c] = &vectorChunk[T]{owner: o, items: from.items}
	}
	v.n = max(v.n, i+1)
	return v.at(i)
}
