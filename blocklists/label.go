package blocklists

// Label says one thing about a name: that an entry of a list (or of Kinward's
// own data) covers it, and what that entry means. It is eight bytes without a
// pointer, so millions of names can share interned sets of them.
type Label struct {
	Category Category  // what the entry's names are about
	Marks    Marks     // what else is known of the entry
	Depth    uint8     // how many labels of the name the entry covers, from the root
	Group    GroupID   // 0, or the services that must all be blocked first
	Service  ServiceID // 0 where the entry belongs to no catalogued service
	List     ListID    // where the entry stands
}

// Marks is a set of one-bit facts about an entry or a label set.
type Marks uint8

const (
	// Exact: the entry covers its own name only, not the names below it.
	Exact Marks = 1 << iota
	// KnownRisk: child-protection sources name the service as a place where
	// predators reached children.
	KnownRisk
	// Quiet: pages, apps or systems ask for the name without the person's
	// doing; it never opens an incident alone.
	Quiet
	// Optional: the service owns the name, but blocking it harms other apps; it
	// is blocked only when a guardian chose that service by itself.
	Optional
	// Above: an always-reachable or catalogued name lies below this one, so a
	// block must not deny the subtree (RFC 8020).
	Above
)

// ServiceID numbers the services of one index, from 1. Numbers hold within one
// [Index] only; keys ("tiktok") are what lasts.
type ServiceID uint16

// MaxGroups bounds the groups of an index; group numbers are smaller.
const MaxGroups = 256

// GroupID numbers the groups of services that share a domain, from 1.
type GroupID uint8

// ListID numbers the lists of one index, from 0, which is the embedded
// catalogue with the project's own data.
type ListID uint16

// SetID names an interned label set of one index. 0 is the empty set.
type SetID uint32

// Entry returns the name of the entry that covers n, given that l is a label
// of n.
func (l Label) Entry(n Name) Name { return n.Suffix(int(l.Depth)) }
