package policy

import (
	_ "embed"
	"fmt"
	"maps"

	"kinward/blocklists"
)

//go:embed canaries.tsv
var canariesTSV string

// CanaryAnswer is the answer that tells a program that the network filters.
type CanaryAnswer uint8

const (
	CanaryNXDomain CanaryAnswer = iota // the name does not exist
	CanaryNoData                       // the name has no addresses
)

// Canary is a name by which programs ask whether the network filters.
type Canary struct {
	Name   blocklists.Name
	Suffix bool   // names below it are canaries too
	Who    string // who asks, as parents read it
	Answer CanaryAnswer
	Then   string // what follows from the answer, a sentence
	Source string // who says so
	Date   string // YYYY-MM-DD or YYYY-MM, when that was looked up
}

// Canaries is the table of canaries. It is immutable and safe for concurrent
// use.
type Canaries struct {
	at       map[blocklists.Name]*Canary
	suffixes bool // one of them covers names below it
}

// Lookup returns the canary that n is, nil if it is none. It does not allocate.
func (c *Canaries) Lookup(n blocklists.Name) *Canary {
	if k := c.at[n]; k != nil || !c.suffixes {
		return k
	}
	for n = n.Parent(); n != ""; n = n.Parent() {
		if k := c.at[n]; k != nil && k.Suffix {
			return k
		}
	}
	return nil
}

// All returns the canaries in no order. They belong to c.
func (c *Canaries) All() func(yield func(*Canary) bool) { return maps.Values(c.at) }

// embeddedCanaries returns the table that comes with the program.
func embeddedCanaries() (*Canaries, error) { return parseCanaries(canariesTSV) }

func parseCanaries(tsv string) (*Canaries, error) {
	c := &Canaries{at: map[blocklists.Name]*Canary{}}
	err := readTSV("canaries.tsv", tsv, 7, func(cols []string) error {
		n, err := rowName(cols[0])
		if err != nil {
			return err
		}
		k := &Canary{Name: n, Who: cols[2], Then: cols[4], Source: cols[5], Date: cols[6]}
		switch cols[1] {
		case "exact":
		case "suffix":
			k.Suffix, c.suffixes = true, true
		default:
			return fmt.Errorf("match %q: want exact or suffix", cols[1])
		}
		switch cols[3] {
		case "nxdomain":
		case "nodata":
			k.Answer = CanaryNoData
		default:
			return fmt.Errorf("answer %q: want nxdomain or nodata", cols[3])
		}
		if c.at[n] != nil {
			return fmt.Errorf("%s stands twice", n)
		}
		c.at[n] = k
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}
