package policy

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// used finds clues that two devices of a family have.
type used map[string]*Device

func (u used) by(d *Device, what, clue string) (again bool, err error) {
	other, ok := u[what+clue]
	if ok && other != d {
		return false, fmt.Errorf("compiling device %q: %s %s already belongs to %q; a %s is one device", d.Name, what, clue, other.Name, what)
	}
	u[what+clue] = d
	return ok, nil
}

// canonical returns a network as the directory compares them.
func canonical(p netip.Prefix) netip.Prefix {
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	} else if a.Zone() != "" {
		p = netip.PrefixFrom(a.WithZone(""), p.Bits())
	}
	return p.Masked()
}

type placed[T any] struct {
	clue  T
	place int
}

// makeRecord writes a family's record. policies are the numbers of its
// profiles' policies.
func makeRecord(f *Family, revision uint64, policies []uint32, guarded bool) ([]byte, error) {
	if len(f.Profiles) > maxPlaces || len(f.Devices) > maxPlaces {
		return nil, fmt.Errorf("compiling family %q: it has %d profiles and %d devices; at most %d can be known", f.Name, len(f.Profiles), len(f.Devices), maxPlaces)
	}
	w := recordWriter{f: f, places: make(map[ProfileID]int, len(f.Profiles)), seen: make(used, 4*len(f.Devices))}
	for i, p := range f.Profiles {
		w.places[p.ID] = i
	}
	w.setWidths()
	if guarded {
		w.flags |= flagGuarded
	}
	standard, ok := w.places[f.Default]
	if !ok && f.Default != 0 {
		return nil, fmt.Errorf("compiling family %q: its default profile %d does not exist", f.Name, f.Default)
	}
	if ok {
		w.standard = standard + 1
	}
	for i := range f.Devices {
		if err := w.addDevice(i); err != nil {
			return nil, err
		}
	}
	whole := &Device{Name: "the family as a whole", Tokens: f.Tokens}
	if err := w.addTokens(whole, 1<<(8*w.place)-1); err != nil {
		return nil, err
	}
	if err := w.addNetworks(); err != nil {
		return nil, err
	}
	return w.bytes(revision, policies), nil
}

// recordWriter gathers a family's record.
type recordWriter struct {
	f      *Family
	places map[ProfileID]int
	seen   used

	flags     byte
	place, id int // the bytes of each
	standard  int // the place of the default profile and one, 0 without

	n                               [numSections]int
	devices, ends, tokens, networks []byte
	macs                            []placed[MAC]
	ipv4, ipv6, prefixes            []placed[netip.Prefix]
}

// setWidths chooses the bytes of places and IDs by the largest that there are.
func (w *recordWriter) setWidths() {
	largest := uint64(0)
	for _, p := range w.f.Profiles {
		largest = max(largest, uint64(p.ID))
	}
	for _, d := range w.f.Devices {
		largest = max(largest, uint64(d.ID))
	}
	w.place, w.id = 1, 1
	if max(len(w.f.Profiles), len(w.f.Devices)) >= math.MaxUint8 {
		w.flags, w.place = w.flags|flagWidePlaces, 2
	}
	for i, limit := range []uint64{math.MaxUint8, math.MaxUint16, math.MaxUint32} {
		if largest > limit {
			w.flags, w.id = w.flags&^(3<<shiftIDWidth)|byte(i+1)<<shiftIDWidth, 2<<i
		}
	}
}

// addDevice adds the device at a place, with its end and its clues.
func (w *recordWriter) addDevice(i int) error {
	d := &w.f.Devices[i]
	profile, ok := w.places[d.Profile]
	if !ok {
		return fmt.Errorf("compiling device %q: its profile %d does not exist", d.Name, d.Profile)
	}
	w.devices = appendNumber(appendNumber(w.devices, uint64(d.ID), w.id), uint64(profile), w.place)
	then := w.standard
	if d.Then != 0 {
		p, ok := w.places[d.Then]
		if !ok {
			return fmt.Errorf("compiling device %q: profile %d, which is to follow, does not exist", d.Name, d.Then)
		}
		then = p + 1
	}
	if !d.Until.IsZero() {
		w.ends = appendNumber(w.ends, uint64(i), w.place)
		w.ends = appendNumber(w.ends, uint64(endOf(d.Until)), 8)
		w.ends = appendNumber(w.ends, uint64(then), w.place)
		w.n[atEnds]++
	}
	for _, p := range d.Networks {
		if !p.IsValid() {
			return fmt.Errorf("compiling device %q: its network %s is none", d.Name, p)
		}
		p = canonical(p)
		again, err := w.seen.by(d, "network", p.String())
		if err != nil {
			return err
		}
		switch {
		case again:
		case !p.IsSingleIP():
			w.prefixes = append(w.prefixes, placed[netip.Prefix]{p, i})
		case p.Addr().Is4():
			w.ipv4 = append(w.ipv4, placed[netip.Prefix]{p, i})
		default:
			w.ipv6 = append(w.ipv6, placed[netip.Prefix]{p, i})
		}
	}
	for _, m := range d.MACs {
		again, err := w.seen.by(d, "hardware address", m.String())
		if err != nil {
			return err
		}
		if !again {
			w.macs = append(w.macs, placed[MAC]{m, i})
		}
	}
	return w.addTokens(d, i)
}

// addTokens adds a device's tokens, which lead to a place.
func (w *recordWriter) addTokens(d *Device, at int) error {
	for _, t := range d.Tokens {
		t = strings.ToLower(t)
		if t == "" || len(t) > maxToken {
			return fmt.Errorf("compiling device %q: its token %q is none; it has 1 to %d bytes", d.Name, clip(t), maxToken)
		}
		again, err := w.seen.by(d, "token", t)
		if err != nil {
			return err
		}
		if !again {
			w.tokens = appendNumber(append(append(w.tokens, byte(len(t))), t...), uint64(at), w.place)
			w.n[atTokens]++
		}
	}
	return nil
}

// addNetworks adds the networks that the family as a whole asks from.
func (w *recordWriter) addNetworks() error {
	seen := map[netip.Prefix]bool{}
	for _, p := range w.f.Networks {
		if !p.IsValid() {
			return fmt.Errorf("compiling family %q: its network %s is none", w.f.Name, p)
		}
		if p = canonical(p); !seen[p] {
			seen[p] = true
			w.networks = appendPrefix(w.networks, p)
			w.n[atNetworks]++
		}
	}
	return nil
}

// bytes writes what was gathered, the clues in the order in which they are looked
// for.
func (w *recordWriter) bytes(revision uint64, policies []uint32) []byte {
	byAddr := func(a, b placed[netip.Prefix]) int { return a.clue.Addr().Compare(b.clue.Addr()) }
	slices.SortFunc(w.ipv4, byAddr)
	slices.SortFunc(w.ipv6, byAddr)
	slices.SortFunc(w.macs, func(a, b placed[MAC]) int { return bytes.Compare(a.clue[:], b.clue[:]) })
	slices.SortStableFunc(w.prefixes, func(a, b placed[netip.Prefix]) int { return cmp.Compare(b.clue.Bits(), a.clue.Bits()) })
	w.n[atProfiles], w.n[atDevices] = len(w.f.Profiles), len(w.f.Devices)
	w.n[atMACs], w.n[atIPv4], w.n[atIPv6], w.n[atPrefixes] = len(w.macs), len(w.ipv4), len(w.ipv6), len(w.prefixes)

	b := binary.AppendUvarint([]byte{w.flags}, uint64(w.f.ID))
	b = binary.AppendUvarint(b, revision)
	b = appendNumber(b, uint64(w.standard), w.place)
	for _, n := range w.n {
		b = binary.AppendUvarint(b, uint64(n))
	}
	for i, p := range w.f.Profiles {
		b = appendNumber(appendNumber(b, uint64(p.ID), w.id), uint64(policies[i]), policyWidth)
	}
	b = append(append(b, w.devices...), w.ends...)
	for _, m := range w.macs {
		b = appendNumber(append(b, m.clue[:]...), uint64(m.place), w.place)
	}
	for _, a := range append(w.ipv4, w.ipv6...) {
		b = appendNumber(append(b, a.clue.Addr().AsSlice()...), uint64(a.place), w.place)
	}
	for _, p := range w.prefixes {
		b = appendNumber(appendPrefix(b, p.clue), uint64(p.place), w.place)
	}
	return append(append(b, w.tokens...), w.networks...)
}

// endOf returns the first whole second that is not before a device's end: a clock
// is held against it to the nanosecond (see asker), and no choice of profile ends
// early. Those of rules, grants and pauses are held against whole seconds, and cut
// off; see timed.
func endOf(t time.Time) int64 {
	s := t.Unix()
	if t.Nanosecond() > 0 {
		s++
	}
	return s
}
