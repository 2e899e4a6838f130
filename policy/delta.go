package policy

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"kinward/blocklists"
)

// Delta is what a change changed, part by part, in the order of the paths. A
// part is what a guardian sees as one thing, such as a device's profile, a
// choice about a category, or a rule.
type Delta []Part

// Part is a part of a family before and after a change, as JSON; empty where
// there was none.
type Part struct {
	Path   string          `json:"path"` // such as "profile/3/category/social"
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
}

// parts are all of a family by their paths.
type parts map[string]json.RawMessage

// DeltaOf returns how after differs from before. IDs given out do not count.
func DeltaOf(before, after *Family) (Delta, error) {
	a, err := split(before)
	if err != nil {
		return nil, err
	}
	b, err := split(after)
	if err != nil {
		return nil, err
	}
	var d Delta
	for path, was := range a {
		if is, ok := b[path]; !ok || !bytes.Equal(was, is) {
			d = append(d, Part{path, was, is})
		}
	}
	for path, is := range b {
		if _, ok := a[path]; !ok {
			d = append(d, Part{Path: path, After: is})
		}
	}
	slices.SortFunc(d, func(a, b Part) int { return cmp.Compare(a.Path, b.Path) })
	return d, nil
}

// Touches reports whether d changed a part that is asked for, by its path.
func (d Delta) Touches(part func(path string) bool) bool {
	return slices.ContainsFunc(d, func(p Part) bool { return part(p.Path) })
}

// Undo puts back in f what d changed; what others changed since stays. Where
// something of d was changed again, nothing is done and the paths of it are
// returned. What is as it was before d is left alone, and what has ended by now
// is not brought back.
func (d Delta) Undo(f *Family, now time.Time) (undone *Family, changedSince []string, err error) {
	have, err := split(f)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range d {
		switch is := have[p.Path]; {
		case bytes.Equal(is, p.Before):
		case !bytes.Equal(is, p.After):
			changedSince = append(changedSince, p.Path)
		case p.Before == nil:
			delete(have, p.Path)
		default:
			have[p.Path] = p.Before
		}
	}
	for path := range have { // a thing that goes may have been given more since
		if owner := ownerOf(path); owner != "" && have[owner] == nil {
			changedSince = append(changedSince, path)
		}
	}
	if len(changedSince) > 0 {
		slices.Sort(changedSince)
		return nil, changedSince, nil
	}
	if undone, err = have.join(); err != nil {
		return nil, nil, err
	}
	undone.ID, undone.LastID = f.ID, f.LastID
	d.dropEnded(undone, now)
	undone.Settle(now)
	return undone, nil, nil
}

// dropEnded removes the rules and grants that an undo brought back although they
// have ended.
func (d Delta) dropEnded(f *Family, now time.Time) {
	back := map[string]bool{}
	for _, p := range d {
		back[p.Path] = p.After == nil
	}
	ended := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	f.Grants = slices.DeleteFunc(f.Grants, func(g Grant) bool { return ended(g.Until) && back[fmt.Sprintf("grant/%d", g.ID)] })
	for i := range f.Profiles {
		p := &f.Profiles[i]
		p.Rules = slices.DeleteFunc(p.Rules, func(r Rule) bool {
			return ended(r.Until) && back[fmt.Sprintf("profile/%d/rule/%d", p.ID, r.ID)]
		})
	}
}

// ownerOf returns the path of the thing that a part belongs to, "" for one that
// stands alone: "profile/3" for "profile/3/preset".
func ownerOf(path string) string {
	kind, rest, _ := strings.Cut(path, "/")
	if kind != "profile" && kind != "device" {
		return ""
	}
	id, _, more := strings.Cut(rest, "/")
	if !more {
		return ""
	}
	return kind + "/" + id
}

// splitter collects parts.
type splitter struct {
	parts parts
	errs  []error
}

func (s *splitter) put(path string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		s.errs = append(s.errs, fmt.Errorf("writing %s: %w", path, err))
	}
	s.parts[path] = b
}

// putIf puts what is not the zero value.
func putIf[T comparable](s *splitter, path string, v T) {
	var zero T
	if v != zero {
		s.put(path, v)
	}
}

// deviceHas is which profile a device has.
type deviceHas struct {
	Profile ProfileID `json:"profile"`
	Until   time.Time `json:"until,omitzero"`
	Then    ProfileID `json:"then,omitempty"`
}

// deviceClues is what a device is recognised by.
type deviceClues struct {
	Networks []netip.Prefix `json:"networks,omitempty"`
	MACs     []MAC          `json:"macs,omitempty"`
	Tokens   []string       `json:"tokens,omitempty"`
}

func split(f *Family) (parts, error) {
	s := &splitter{parts: parts{}}
	s.put("name", f.Name)
	s.put("zone", f.Zone)
	s.put("default", f.Default)
	putIf(s, "loosening", f.Loosening)
	s.retention(f)
	if len(f.Networks) > 0 {
		s.put("networks", f.Networks)
	}
	if len(f.Tokens) > 0 {
		s.put("tokens", f.Tokens)
	}
	for _, kind := range f.SignalsOff { // each by itself, so that an undo leaves the others
		s.put("signal-off/"+kind, true)
	}
	putIf(s, "night", f.Night)
	for _, h := range f.Holidays {
		s.put(fmt.Sprintf("holiday/%s/%s/%s", h.First, h.Last, h.Name), h)
	}
	for _, g := range f.Guardians {
		s.put(fmt.Sprintf("guardian/%d", g.ID), g)
	}
	for _, g := range f.Grants {
		s.put(fmt.Sprintf("grant/%d", g.ID), g)
	}
	for _, d := range f.Devices {
		at := fmt.Sprintf("device/%d", d.ID)
		s.put(at, d.Name)
		s.put(at+"/profile", deviceHas{d.Profile, d.Until, d.Then})
		s.put(at+"/clues", deviceClues{d.Networks, d.MACs, d.Tokens})
	}
	for i := range f.Profiles {
		s.profile(&f.Profiles[i])
	}
	return s.parts, errors.Join(s.errs...)
}

func (s *splitter) profile(p *Profile) {
	at := fmt.Sprintf("profile/%d", p.ID)
	s.put(at, p.Name)
	s.put(at+"/preset", p.Preset)
	putIf(s, at+"/guests", p.Guests)
	if p.Response != nil {
		s.put(at+"/response", p.Response)
	}
	if p.Bypass != nil {
		s.put(at+"/bypass", p.Bypass)
	}
	if !p.Paused.IsZero() {
		s.put(at+"/paused", p.Paused)
	}
	for _, r := range p.Rules {
		s.put(fmt.Sprintf("%s/rule/%d", at, r.ID), r)
	}
	for _, c := range p.Schedules {
		s.put(fmt.Sprintf("%s/schedule/%d", at, c.ID), c)
	}
	for c, v := range p.Categories {
		s.put(at+"/category/"+c.String(), v)
	}
	for c, v := range p.Log {
		s.put(at+"/log/"+c.String(), v)
	}
	for id, v := range p.Services {
		s.put(at+"/service/"+id, v)
	}
	for id, v := range p.Lists {
		s.put(at+"/list/"+id, v)
	}
	for id, v := range p.Search {
		s.put(at+"/search/"+id, v)
	}
}

// join makes a family of its parts, with everything in the order of IDs.
func (p parts) join() (*Family, error) {
	f := &Family{}
	for _, path := range slices.Sorted(maps.Keys(p)) { // a thing comes before what belongs to it
		if err := f.join(path, p[path]); err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
	}
	f.Normalize()
	return f, nil
}

func (f *Family) join(path string, b json.RawMessage) error {
	kind, rest, _ := strings.Cut(path, "/")
	switch kind {
	case "name":
		return json.Unmarshal(b, &f.Name)
	case "zone":
		return json.Unmarshal(b, &f.Zone)
	case "default":
		return json.Unmarshal(b, &f.Default)
	case "loosening":
		return json.Unmarshal(b, &f.Loosening)
	case "country":
		return json.Unmarshal(b, &f.Country)
	case "retention":
		if rest == "" {
			return json.Unmarshal(b, &f.Retention.Days)
		}
		c, err := blocklists.ParseCategory(rest)
		if err != nil {
			return err
		}
		return setIn(&f.Retention.Categories, c, b)
	case "networks":
		return json.Unmarshal(b, &f.Networks)
	case "tokens":
		return json.Unmarshal(b, &f.Tokens)
	case "signal-off":
		f.SignalsOff = append(f.SignalsOff, rest)
		return nil
	case "night":
		return json.Unmarshal(b, &f.Night)
	case "holiday":
		return appendTo(&f.Holidays, b)
	case "guardian":
		return appendTo(&f.Guardians, b)
	case "grant":
		return appendTo(&f.Grants, b)
	}
	number, part, _ := strings.Cut(rest, "/")
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return err
	}
	switch kind {
	case "device":
		if part == "" {
			f.Devices = append(f.Devices, Device{ID: DeviceID(id)})
			return json.Unmarshal(b, &f.Devices[len(f.Devices)-1].Name)
		}
		i := slices.IndexFunc(f.Devices, func(d Device) bool { return d.ID == DeviceID(id) })
		if i >= 0 {
			return f.Devices[i].join(part, b)
		}
	case "profile":
		if part == "" {
			f.Profiles = append(f.Profiles, Profile{ID: ProfileID(id)})
			return json.Unmarshal(b, &f.Profiles[len(f.Profiles)-1].Name)
		}
		if p := f.ProfileByID(ProfileID(id)); p != nil {
			return p.join(part, b)
		}
	}
	return errors.New("it belongs to nothing")
}

func appendTo[T any](list *[]T, b json.RawMessage) error {
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*list = append(*list, v)
	return nil
}

func (d *Device) join(part string, b json.RawMessage) error {
	switch part {
	case "profile":
		var h deviceHas
		err := json.Unmarshal(b, &h)
		d.Profile, d.Until, d.Then = h.Profile, h.Until, h.Then
		return err
	case "clues":
		var c deviceClues
		err := json.Unmarshal(b, &c)
		d.Networks, d.MACs, d.Tokens = c.Networks, c.MACs, c.Tokens
		return err
	}
	return errors.New("no device has it")
}

func (p *Profile) join(part string, b json.RawMessage) error {
	kind, key, _ := strings.Cut(part, "/")
	switch kind {
	case "preset":
		return json.Unmarshal(b, &p.Preset)
	case "guests":
		return json.Unmarshal(b, &p.Guests)
	case "response":
		return json.Unmarshal(b, &p.Response)
	case "bypass":
		return json.Unmarshal(b, &p.Bypass)
	case "paused":
		return json.Unmarshal(b, &p.Paused)
	case "rule":
		return appendTo(&p.Rules, b)
	case "schedule":
		return appendTo(&p.Schedules, b)
	case "service":
		return setIn(&p.Services, key, b)
	case "list":
		return setIn(&p.Lists, key, b)
	case "search":
		return setIn(&p.Search, key, b)
	}
	c, err := blocklists.ParseCategory(key)
	switch {
	case err != nil:
		return err
	case kind == "category":
		return setIn(&p.Categories, c, b)
	case kind == "log":
		return setIn(&p.Log, c, b)
	}
	return errors.New("no profile has it")
}

func setIn[K comparable, V any](m *map[K]V, key K, b json.RawMessage) error {
	var v V
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[key] = v
	return nil
}

// Normalize brings a family into the one form in which it is stored: in the order
// of IDs, days and networks, with times in UTC to the millisecond. What it stores is
// what is read back, or an undo would take it for changed since.
func (f *Family) Normalize() {
	slices.SortFunc(f.Guardians, func(a, b Guardian) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(f.Profiles, func(a, b Profile) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(f.Devices, func(a, b Device) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(f.Grants, func(a, b Grant) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(f.Holidays, func(a, b Holiday) int {
		return cmp.Or(a.First.compare(b.First), a.Last.compare(b.Last), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(f.Networks, netip.Prefix.Compare)
	slices.Sort(f.Tokens)
	slices.Sort(f.SignalsOff)
	if f.Night == defaultNight {
		f.Night = Hours{}
	}
	for i := range f.Devices {
		slices.SortFunc(f.Devices[i].Networks, netip.Prefix.Compare)
		normalTime(&f.Devices[i].Until)
	}
	for i := range f.Grants {
		normalTime(&f.Grants[i].From)
		normalTime(&f.Grants[i].Until)
	}
	for i := range f.Profiles {
		p := &f.Profiles[i]
		normalTime(&p.Paused)
		for j := range p.Rules {
			normalTime(&p.Rules[j].Until)
		}
		slices.SortFunc(p.Rules, func(a, b Rule) int { return cmp.Compare(a.ID, b.ID) })
		slices.SortFunc(p.Schedules, func(a, b Schedule) int { return cmp.Compare(a.ID, b.ID) })
		for j := range p.Schedules {
			slices.SortFunc(p.Schedules[j].Exceptions, func(a, b Exception) int { return a.Day.compare(b.Day) })
			for _, e := range p.Schedules[j].Exceptions {
				for k := range e.Windows {
					e.Windows[k].Days = 127 // they do not count, and are read back so
				}
			}
		}
	}
}

func normalTime(t *time.Time) {
	if !t.IsZero() {
		*t = t.UTC().Truncate(time.Millisecond)
	}
}

func (d Date) compare(e Date) int {
	switch {
	case d.Before(e):
		return -1
	case e.Before(d):
		return 1
	}
	return 0
}

// Clone returns a copy that shares nothing with f.
func (f *Family) Clone() (*Family, error) {
	b, err := json.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("copying family %q: %w", clip(f.Name), err)
	}
	out := &Family{}
	if err := json.Unmarshal(b, out); err != nil {
		return nil, fmt.Errorf("copying family %q: %w", clip(f.Name), err)
	}
	return out, nil
}
