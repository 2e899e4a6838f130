package blocklists

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed data/directory.tsv
var directoryTSV string

// Offer is a list of the built-in directory, which anybody may subscribe to.
type Offer struct {
	ListSource
	First   bool   `json:"first,omitempty"` // recommended for the first run
	Licence string `json:"licence"`         // as the list's makers state it
	Size    string `json:"size"`            // entries, in words: "6,503", "67,928 (doc)", "not measured"
	Cadence string `json:"cadence"`         // how often it changes
	Verdict string `json:"verdict"`         // what is good and bad about it
}

// Directory returns the built-in directory, by ID. The caller owns the result.
// An error is a fault of this program.
func Directory() ([]Offer, error) { return parseDirectory(directoryTSV) }

// FindOffer returns the offer with an ID. The error names one that is near.
func FindOffer(id string) (Offer, error) {
	all, err := Directory()
	if err != nil {
		return Offer{}, err
	}
	var ids []string
	for _, o := range all {
		if o.ID == id {
			return o, nil
		}
		ids = append(ids, o.ID)
	}
	err = fmt.Errorf("looking for list %q in the directory: %w", clip(id), ErrNoSuchList)
	if near := Near(id, ids); near != "" {
		err = fmt.Errorf("%w; did you mean %q?", err, near)
	}
	return Offer{}, err
}

const directoryColumns = 12

func parseDirectory(text string) ([]Offer, error) {
	var all []Offer
	number := 0
	for line := range strings.SplitSeq(text, "\n") {
		number++
		if line == "" || line[0] == '#' {
			continue
		}
		o, err := parseOffer(line)
		if err == nil && len(all) > 0 && o.ID <= all[len(all)-1].ID {
			err = fmt.Errorf("list %q stands after %q: keep the IDs in order, each once", o.ID, all[len(all)-1].ID)
		}
		if err != nil {
			return nil, fmt.Errorf("reading directory.tsv line %d: %w", number, err)
		}
		all = append(all, o)
	}
	return all, nil
}

func parseOffer(line string) (o Offer, err error) {
	f, err := splitColumns(line, directoryColumns)
	if err != nil {
		return o, err
	}
	o.ID, o.Name = f[0], f[1]
	if !isListID(o.ID) {
		return o, fmt.Errorf("list %q: %w", clip(o.ID), ErrBadListID)
	}
	if o.Category, err = ParseCategory(f[2]); err != nil {
		return o, err
	}
	if o.Format, err = ParseFormat(f[3]); err != nil {
		return o, err
	}
	if o.Match, err = ParseMatchMode(f[4]); err != nil {
		return o, err
	}
	if !slices.Contains([]string{"yes", "-"}, f[5]) {
		return o, fmt.Errorf("first is %q: want yes or -", f[5])
	}
	o.First = f[5] == "yes"
	if f[6] != "-" {
		o.Member = f[6]
	}
	o.Licence, o.Size, o.Cadence, o.Verdict = f[7], f[8], f[9], f[11]
	places := strings.Split(f[10], " ")
	if len(places) > maxMirrors+1 {
		return o, fmt.Errorf("list %s has %d places, more than %d", o.ID, len(places), maxMirrors+1)
	}
	for _, p := range places {
		if !strings.HasPrefix(p, "https://") {
			return o, fmt.Errorf("list %s: place %q: want https", o.ID, p)
		}
	}
	o.Location = places[0]
	if len(places) > 1 {
		o.Mirrors = places[1:]
	}
	return o, nil
}
