package policy

import (
	"errors"
	"net/netip"
	"time"
)

// Link is whose an address is for a while.
type Link struct {
	Family FamilyID
	Until  time.Time // it is nobody's from then on
}

// Why an address cannot be linked.
var (
	ErrNotPublic = errors.New("the address is no public one")
	ErrTaken     = errors.New("the address leads to another family")
)

// LinkedNetwork returns what is linked where a family's router is at an address:
// the address alone, or its /64, of which a home's devices take new addresses
// every day (RFC 8981). It is false for an address that is not one home's in the
// whole world, one behind a carrier's NAT among them.
func LinkedNetwork(a netip.Addr) (netip.Prefix, bool) {
	a = plain(a)
	if !public(a) {
		return netip.Prefix{}, false
	}
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, err := a.Prefix(bits)
	return p, err == nil
}

// WithLink returns the directory in which an address leads to a family until the
// link's end. Networks and devices that families have for good come first. The
// error wraps [ErrNotPublic], [ErrTaken] where the address is another family's at
// that time, or [ErrNotFound] where there is no such family.
func (d *Directory) WithLink(a netip.Addr, l Link, now time.Time) (*Directory, error) {
	p, ok := LinkedNetwork(a)
	if !ok {
		return nil, ErrNotPublic
	}
	slot, ok := d.slot(l.Family)
	if !ok {
		return nil, refuse(ErrNotFound, "there is no family %d", l.Family)
	}
	var r record
	if owner, ok := d.ownerAt(&r, plain(a), now); ok && owner != slot {
		return nil, ErrTaken
	}
	e := *d
	e.links = d.links.InsertPersist(p, l)
	return &e, nil
}

// WithoutLink returns the directory in which an address leads to a family by a
// link no longer.
func (d *Directory) WithoutLink(p netip.Prefix, family FamilyID) *Directory {
	if l, ok := d.links.Get(p); !ok || l.Family != family {
		return d
	}
	e := *d
	e.links = d.links.DeletePersist(p)
	return &e
}

// Linked reports whether an address is linked to a family at a time.
func (d *Directory) Linked(a netip.Addr, now time.Time) bool {
	_, ok := d.linkAt(plain(a), now)
	return ok
}

// linkAt returns the slot of the family that an address is linked to.
func (d *Directory) linkAt(a netip.Addr, now time.Time) (uint32, bool) {
	l, ok := d.links.Lookup(a)
	if !ok || !now.Before(l.Until) {
		return 0, false
	}
	return d.slot(l.Family)
}
