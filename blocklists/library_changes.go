package blocklists

import (
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
)

// Changes is what one version of a list has and another has not.
type Changes struct {
	Added   int `json:"added"`
	Removed int `json:"removed"`
	// The first few of each, in the order of the list.
	AddedNames   []string `json:"addedNames,omitempty"`
	RemovedNames []string `json:"removedNames,omitempty"`
}

const changesShown = 5

func (c Changes) none() bool { return c.Added == 0 && c.Removed == 0 }

func (c Changes) clone() Changes {
	c.AddedNames, c.RemovedNames = slices.Clone(c.AddedNames), slices.Clone(c.RemovedNames)
	return c
}

// reverse is what changes on the way back.
func (c Changes) reverse() Changes {
	return Changes{c.Removed, c.Added, c.RemovedNames, c.AddedNames}
}

// copyOnDisk is a kept copy and how to read it.
type copyOnDisk struct {
	path    string
	version Version
	parse   ParseOptions
}

func (c copyOnDisk) each(emit func(Entry) error) error {
	return readCopy(c.path, c.version.SHA256, func(r io.Reader) error {
		_, err := Parse(r, c.parse, emit)
		return err
	})
}

// compareShare is about how many entries are held in memory at a time while two
// copies are compared, 8 bytes each. More are compared in several passes.
const compareShare = 3 << 20

// compareCopies counts what is new in a copy and what is gone. Beside what Parse
// takes, it holds 25 MB at most; what grows with the lists is the number of
// times that they are read.
func compareCopies(from, to copyOnDisk) (Changes, error) {
	return compareInShares(from, to, compareShare)
}

func compareInShares(from, to copyOnDisk, share int) (Changes, error) {
	c := comparer{
		seed: maphash.MakeSeed(), from: from, to: to,
		passes: uint64(from.version.Entries/share) + 1,
	}
	for pass := range c.passes {
		if err := c.share(pass); err != nil {
			return Changes{}, fmt.Errorf("comparing two copies: %w", err)
		}
	}
	return c.changes, nil
}

type comparer struct {
	seed     maphash.Seed
	from, to copyOnDisk
	passes   uint64
	hashes   []uint64 // of the entries of this pass in from, sorted
	met      []bool   // which of them are in to
	changes  Changes
}

func (c *comparer) hash(e Entry) uint64 {
	if e.Pattern != nil {
		return maphash.String(c.seed, e.Pattern.String()) + 1
	}
	return maphash.String(c.seed, string(e.Name)) + uint64(e.flags())*0x9e3779b97f4a7c15
}

// share compares the entries of one pass.
func (c *comparer) share(pass uint64) error {
	c.hashes = c.hashes[:0]
	err := c.from.each(func(e Entry) error {
		if h := c.hash(e); h%c.passes == pass {
			c.hashes = append(c.hashes, h)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.Sort(c.hashes)
	c.met = append(c.met[:0], make([]bool, len(c.hashes))...)
	err = c.to.each(func(e Entry) error {
		h := c.hash(e)
		if h%c.passes != pass {
			return nil
		}
		if i, found := slices.BinarySearch(c.hashes, h); found {
			c.met[i] = true
			return nil
		}
		c.changes.Added++
		if len(c.changes.AddedNames) < changesShown {
			c.changes.AddedNames = append(c.changes.AddedNames, entryText(e))
		}
		return nil
	})
	if err != nil {
		return err
	}
	gone := 0
	for _, met := range c.met {
		if !met {
			gone++
		}
	}
	c.changes.Removed += gone
	return c.showGone(min(gone, changesShown-len(c.changes.RemovedNames)))
}

var errEnough = errors.New("enough examples")

// showGone reads the old copy again for n names that are gone.
func (c *comparer) showGone(n int) error {
	if n <= 0 {
		return nil
	}
	err := c.from.each(func(e Entry) error {
		i, found := slices.BinarySearch(c.hashes, c.hash(e))
		if !found || c.met[i] {
			return nil
		}
		c.changes.RemovedNames = append(c.changes.RemovedNames, entryText(e))
		if n--; n == 0 {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// entryText shows an entry to people.
func entryText(e Entry) string {
	if e.Pattern != nil {
		return e.Pattern.String()
	}
	if e.Except {
		return "not " + e.Name.String()
	}
	return e.Name.String()
}
