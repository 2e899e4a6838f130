package policy

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"iter"
	"net/netip"

	"github.com/gaissmai/bart"

	"kinward/blocklists"
)

// State is what a question is decided with: an index, and a directory that was
// compiled against it. The two are swapped together, so that the numbers of
// services in a policy always mean the services of the index.
type State struct {
	Index     *blocklists.Index
	Directory *Directory
}

// Directory is the immutable snapshot of who is who and which policy applies,
// for all families. It holds what the wire can tell and policies, and nobody's
// name.
//
// A changed directory is derived from the one before with [Directory.With],
// [Directory.Without], [Directory.WithHome] or [Directory.Rebase]. That leaves the
// old one as it is and shares all but a few pages with it, so a family's change
// costs the same however many families there are. Deriving may run beside
// readers, and an error leaves nothing behind.
type Directory struct {
	basis *basis
	seeds [numHashes]maphash.Seed

	home     uint32 // the slot of the home family +1, 0 for none
	families int
	slabs    slabs
	policies policies
	index    table               // families, tokens, single addresses and policies
	networks *bart.Table[uint32] // wider networks that a whole family asks from → slot
	links    *bart.Table[Link]   // addresses that are a family's for a while
}

// The kinds of keys in the index have seeds of their own, so that a token's
// bytes are never taken for an address's.
const (
	hashFamily = iota
	hashToken
	hashAddr
	hashPolicy
	numHashes
)

// isPolicy marks numbers of policies in the index; the others are slots.
const isPolicy = 1 << 31

// nobody is no slot.
const nobody = isPolicy - 1

func emptyDirectory(presets *Presets, x *blocklists.Index) *Directory {
	d := &Directory{basis: newBasis(presets, x), index: newTable(), networks: new(bart.Table[uint32]), links: new(bart.Table[Link])}
	for i := range d.seeds {
		d.seeds[i] = maphash.MakeSeed()
	}
	return d
}

// NewDirectory compiles one family, which is the home family, against an index.
// The error says which profile or device is wrong and what would be right.
func NewDirectory(f *Family, presets *Presets, x *blocklists.Index, revision uint64) (*Directory, error) {
	d, err := emptyDirectory(presets, x).With(f, revision)
	if err != nil {
		return nil, err
	}
	return d.WithHome(f.ID)
}

// Versioned is a family with the number of its latest change.
type Versioned struct {
	*Family
	Revision uint64
}

// LoadDirectory compiles all families. None is the home family; see
// [Directory.WithHome]. It stops at the first error.
func LoadDirectory(families iter.Seq2[Versioned, error], presets *Presets, x *blocklists.Index) (*Directory, error) {
	e := emptyDirectory(presets, x).edit()
	e.loading = true
	for f, err := range families {
		if err != nil {
			return nil, err
		}
		if _, ok := e.slot(f.ID); ok {
			return nil, fmt.Errorf("compiling family %q: there are two families with the ID %d", f.Name, f.ID)
		}
		if err := e.put(f.Family, f.Revision); err != nil {
			return nil, err
		}
	}
	e.index.trim(e.owner)
	return &e.Directory, nil
}

// With returns the directory with a family as it is now, new or changed; revision
// numbers that state of its choices. The error says which profile or device is wrong and what would be right; it never
// tells anything of another family.
func (d *Directory) With(f *Family, revision uint64) (*Directory, error) {
	e := d.edit()
	if err := e.put(f, revision); err != nil {
		return nil, err
	}
	return &e.Directory, nil
}

// Without returns the directory without a family. Where that was the home
// family there is none.
func (d *Directory) Without(id FamilyID) *Directory {
	e := d.edit()
	slot, ok := e.slot(id)
	if !ok {
		return &e.Directory
	}
	e.forget(slot)
	e.slabs.drop(e.owner, slot)
	e.index.remove(e.owner, e.hashFamily(id), slot)
	e.families--
	if e.home == slot+1 {
		e.home = 0
	}
	return &e.Directory
}

// WithHome returns the directory with another home family, to which whoever
// comes from no other family's network belongs; 0 is none.
func (d *Directory) WithHome(id FamilyID) (*Directory, error) {
	e := *d
	e.home = 0
	if slot, ok := d.slot(id); ok {
		e.home = slot + 1
	} else if id != 0 {
		return nil, fmt.Errorf("naming the home family: there is no family with the ID %d", id)
	}
	return &e, nil
}

// Rebase returns the directory compiled against another index. Each distinct
// policy is compiled once, and families are not looked at.
func (d *Directory) Rebase(x *blocklists.Index) (*Directory, error) {
	basis := newBasis(d.basis.presets, x)
	policies, changed, err := d.policies.rebased(basis)
	if err != nil {
		return nil, err
	}
	e := d.edit()
	e.basis, e.policies = basis, policies
	if !changed {
		return &e.Directory, nil
	}
	for slot, b := range d.slabs.all { // what a family's policies restrict can have changed
		r := openRecord(b)
		if guarded := e.guarded(&r); guarded != r.guarded {
			b = append([]byte(nil), b...)
			b[0] ^= flagGuarded
			e.slabs.set(e.owner, slot, b)
		}
	}
	return &e.Directory, nil
}

// Families returns how many families there are.
func (d *Directory) Families() int { return d.families }

func (d *Directory) hash(kind int, key []byte) uint64 { return maphash.Bytes(d.seeds[kind], key) }

func (d *Directory) hashFamily(id FamilyID) uint64 {
	var key [8]byte
	binary.LittleEndian.PutUint64(key[:], uint64(id))
	return d.hash(hashFamily, key[:])
}

func (d *Directory) hashAddr(a netip.Addr) uint64 {
	key := a.As16()
	return d.hash(hashAddr, key[:])
}

// slot returns where a family's record is.
func (d *Directory) slot(id FamilyID) (uint32, bool) {
	return d.index.find(d.hashFamily(id), func(n uint32) bool {
		if n&isPolicy != 0 {
			return false
		}
		r := openRecord(d.slabs.record(n))
		return r.family == id
	})
}

// guarded reports whether somebody in the family is restricted.
func (d *Directory) guarded(r *record) bool {
	for i := range r.n[atProfiles] {
		if _, n := r.profile(i); d.policies.policy(n).Restricted {
			return true
		}
	}
	return false
}

// edit is a directory in the making. It may change in place what it owns.
type edit struct {
	Directory
	owner   *owner
	loading bool // nobody else has seen the networks either
}

func (d *Directory) edit() *edit {
	e := &edit{Directory: *d, owner: new(owner)}
	e.slabs, e.policies, e.index = d.slabs.edit(), d.policies.edit(), d.index.edit()
	return e
}

// put adds a family or replaces it.
func (e *edit) put(f *Family, revision uint64) error {
	numbers := make([]uint32, len(f.Profiles))
	guarded := false
	for i := range f.Profiles {
		n, err := e.intern(f, &f.Profiles[i])
		if err != nil {
			return err
		}
		numbers[i] = n
		guarded = guarded || e.policies.policy(n).Restricted
	}
	b, err := makeRecord(f, revision, numbers, guarded)
	if err != nil {
		return err
	}
	slot, exists := e.slot(f.ID)
	if !exists {
		slot = nobody
	}
	r := openRecord(b)
	if err := e.taken(&r, slot); err != nil {
		return fmt.Errorf("compiling family %q: %w", f.Name, err)
	}
	if exists {
		e.forget(slot)
		if now := e.slabs.set(e.owner, slot, b); now != slot {
			e.index.remove(e.owner, e.hashFamily(f.ID), slot)
			e.index.insert(e.owner, e.hashFamily(f.ID), now)
			if e.home == slot+1 {
				e.home = now + 1
			}
			slot = now
		}
	} else {
		slot = e.slabs.add(e.owner, b)
		e.index.insert(e.owner, e.hashFamily(f.ID), slot)
		e.families++
	}
	e.remember(slot, &r)
	return nil
}

// taken returns an error where a clue belongs to a family that is not in slot
// self. It says no more: whose it is is nobody else's business.
func (e *edit) taken(r *record, self uint32) (err error) {
	refuse := func(taken bool, what string, clue any) {
		if taken && err == nil {
			err = fmt.Errorf("another family has the %s %s already; it can lead to one family only", what, clue)
		}
	}
	var other record
	r.tokens(func(token []byte) {
		_, _, taken := e.byToken(&other, token, self)
		refuse(taken, "token", token)
	})
	r.addrs(func(a netip.Addr) {
		_, _, taken := e.byAddr(&other, a, self)
		refuse(taken, "address", a)
	})
	r.networks(func(p netip.Prefix) {
		slot, ok := e.networks.Get(p)
		refuse(ok && slot != self, "network", p)
	})
	return err
}

// remember makes a family's clues lead to its slot.
func (e *edit) remember(slot uint32, r *record) {
	r.tokens(func(token []byte) { e.index.insert(e.owner, e.hash(hashToken, token), slot) })
	r.addrs(func(a netip.Addr) { e.index.insert(e.owner, e.hashAddr(a), slot) })
	r.networks(func(p netip.Prefix) {
		switch {
		case p.IsSingleIP():
		case e.loading:
			e.networks.Insert(p, slot)
		default:
			e.networks = e.networks.InsertPersist(p, slot)
		}
	})
}

// forget undoes remember and gives up the family's policies.
func (e *edit) forget(slot uint32) {
	r := openRecord(e.slabs.record(slot))
	r.tokens(func(token []byte) { e.index.remove(e.owner, e.hash(hashToken, token), slot) })
	r.addrs(func(a netip.Addr) { e.index.remove(e.owner, e.hashAddr(a), slot) })
	r.networks(func(p netip.Prefix) {
		if !p.IsSingleIP() {
			e.networks = e.networks.DeletePersist(p)
		}
	})
	for i := range r.n[atProfiles] {
		_, n := r.profile(i)
		e.release(n)
	}
}
