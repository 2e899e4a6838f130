package policy

import (
	"errors"

	"kinward/blocklists"
)

// Known is what a family's choices can be about. Where a field is nil, what it
// would tell is not checked.
type Known struct {
	Services []string            // IDs, in order
	Lists    []string            // IDs
	Engines  []string            // IDs of search engines
	Help     func(r Rule) string // the help line that a deny rule names, "" for none
}

// KnownBy returns what a catalogue knows; lists and engines are not checked.
func KnownBy(c *blocklists.Catalogue) Known {
	return Known{}
}

// Fault is one thing that is wrong with a family.
type Fault struct {
	Where string // such as `profile "Lea", schedule "Bedtime"`
	What  string // what is wrong, and what to do
	Kind  error  // ErrInvalid, ErrConflict or ErrNotFound
}

// Faults returns everything that is wrong with a family, nothing where it can be
// kept.
func Faults(f *Family, known Known) []Fault {
	if err := checkZone(f.Zone); err != nil {
		return []Fault{{"time zone", err.Error(), ErrInvalid}}
	}
	return nil
}

// Join returns faults as one error with a line a fault, nil where there are none.
func Join(faults []Fault) error {
	var errs []error
	for _, f := range faults {
		errs = append(errs, f)
	}
	return errors.Join(errs...)
}

// Error says where and what.
func (f Fault) Error() string { return f.Where + ": " + f.What }

// Unwrap returns the kind.
func (f Fault) Unwrap() error { return f.Kind }

// Weakening is one way in which a change lowers protection.
type Weakening struct {
	Where string `json:"where"`
	What  string `json:"what"`
}

// Weakens returns how a change from before to after lowers protection.
func Weakens(before, after *Family, presets *Presets) []Weakening { return nil }
