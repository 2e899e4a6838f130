package blocklists

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// EditionChanges are the keys that a new edition added, removed and changed, each
// sorted.
type EditionChanges struct {
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
	Changed []string `json:"changed,omitempty"`
}

// Empty reports whether nothing changed.
func (c EditionChanges) Empty() bool { return len(c.Added)+len(c.Removed)+len(c.Changed) == 0 }

// CatalogueDiff is what tells one edition of the catalogue from another.
// Domains and hosts are keyed by their names, all else by its ID.
type CatalogueDiff struct {
	Services   EditionChanges `json:"services,omitzero"` // their domains aside
	Domains    EditionChanges `json:"domains,omitzero"`
	Help       EditionChanges `json:"help,omitzero"`
	Reachable  EditionChanges `json:"reachable,omitzero"` // the other sections
	Shared     EditionChanges `json:"shared,omitzero"`
	Quiet      EditionChanges `json:"quiet,omitzero"`
	Gateways   EditionChanges `json:"gateways,omitzero"`
	Groups     EditionChanges `json:"groups,omitzero"`
	Categories EditionChanges `json:"categories,omitzero"`
}

// Empty reports whether nothing changed.
func (d CatalogueDiff) Empty() bool { return reflect.ValueOf(d).IsZero() }

// DiffCatalogues compares two editions.
func DiffCatalogues(old, next *Catalogue) CatalogueDiff {
	return CatalogueDiff{
		Services:   diffMaps(old.serviceRows(), next.serviceRows()),
		Domains:    diffMaps(old.domainRows(), next.domainRows()),
		Help:       diffMaps(old.reachableRows(true), next.reachableRows(true)),
		Reachable:  diffMaps(old.reachableRows(false), next.reachableRows(false)),
		Shared:     diffMaps(keyed(old.Shared, func(h SharedHost) string { return h.Name.String() }), keyed(next.Shared, func(h SharedHost) string { return h.Name.String() })),
		Quiet:      diffMaps(keyed(old.Quiet, func(q QuietName) string { return q.Name.String() }), keyed(next.Quiet, func(q QuietName) string { return q.Name.String() })),
		Gateways:   diffMaps(keyed(old.Gateways, func(g Gateway) string { return g.Suffix.String() }), keyed(next.Gateways, func(g Gateway) string { return g.Suffix.String() })),
		Groups:     diffMaps(keyed(old.Groups, func(g Group) string { return g.ID }), keyed(next.Groups, func(g Group) string { return g.ID })),
		Categories: diffMaps(keyed(old.Categories[AnonymousChat:], func(c CategoryInfo) string { return c.ID }), keyed(next.Categories[AnonymousChat:], func(c CategoryInfo) string { return c.ID })),
	}
}

// ownedDomain is a domain with the service it belongs to.
type ownedDomain struct {
	Domain
	service string
}

func (c *Catalogue) serviceRows() map[string]Service {
	rows := make(map[string]Service, len(c.Services))
	for _, s := range c.Services {
		s.Domains = nil
		rows[s.ID] = s
	}
	return rows
}

func (c *Catalogue) domainRows() map[string]ownedDomain {
	rows := make(map[string]ownedDomain, 2*len(c.Services))
	for _, s := range c.Services {
		for _, d := range s.Domains {
			rows[d.Name.String()] = ownedDomain{d, s.ID}
		}
	}
	return rows
}

func (c *Catalogue) reachableRows(help bool) map[string]Reachable {
	rows := make(map[string]Reachable, len(c.Reachable))
	for _, r := range c.Reachable {
		if (r.Section == SectionHelp) == help {
			rows[r.Name.String()] = r
		}
	}
	return rows
}

func keyed[T any](rows []T, key func(T) string) map[string]T {
	m := make(map[string]T, len(rows))
	for _, r := range rows {
		m[key(r)] = r
	}
	return m
}

func diffMaps[T any](old, next map[string]T) (c EditionChanges) {
	for _, k := range slices.Sorted(maps.Keys(next)) {
		was, ok := old[k]
		switch {
		case !ok:
			c.Added = append(c.Added, k)
		case !reflect.DeepEqual(was, next[k]):
			c.Changed = append(c.Changed, k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(old)) {
		if _, ok := next[k]; !ok {
			c.Removed = append(c.Removed, k)
		}
	}
	return c
}

// What an update of the catalogue may not do. The first two can be accepted.
var (
	ErrCatalogueShrunk = errors.New("the update lost most of what the catalogue holds, so the last one stays in force; if this is right, take it with --accept")
	ErrCatalogueGrown  = errors.New("the update has several times what the catalogue holds, so the last one stays in force; if this is right, take it with --accept")
	// A mistake in one update must not turn a help line into a blocked name: an
	// update withdraws, and a later one may block.
	ErrBlocksProtected = errors.New("the update blocks what the catalogue in force keeps open: withdraw the name in one update, and block it in a later one")
)

// An update is refused if it has less than half of what was there, or more than
// three times as much. Kinds with fewer rows than this change as they like.
const (
	catalogueGuardFrom = 20
	catalogueExplode   = 3
)

// plausible compares the sizes of two editions, kind by kind, so that one
// category cannot vanish behind the others.
func (c *Catalogue) plausible(next *Catalogue) error {
	was, now := c.sizes(), next.sizes()
	for _, kind := range slices.Sorted(maps.Keys(was)) {
		w, n := was[kind], now[kind]
		if w >= catalogueGuardFrom && n*2 < w {
			return fmt.Errorf("%d %s after %d: %w", n, kind, w, ErrCatalogueShrunk)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(now)) {
		w, n := was[kind], now[kind]
		if n > catalogueExplode*max(w, catalogueGuardFrom) {
			return fmt.Errorf("%d %s after %d: %w", n, kind, w, ErrCatalogueGrown)
		}
	}
	return nil
}

// sizes counts the rows of each kind.
func (c *Catalogue) sizes() map[string]int {
	n := map[string]int{
		"services": len(c.Services), "shared hosts": len(c.Shared), "quiet names": len(c.Quiet), "gateways": len(c.Gateways),
	}
	for _, s := range c.Services {
		n["domains"] += len(s.Domains)
		n["services of "+s.Category.String()]++
	}
	for _, r := range c.Reachable {
		n[[...]string{"help names", "broad names", "technical names"}[r.Section]]++
	}
	return n
}

// protects looks for names that c keeps open and next would block.
func (c *Catalogue) protects(next *Catalogue) error {
	domains := make(map[Name]ownedDomain, 2*len(next.Services))
	for _, s := range next.Services {
		for _, d := range s.Domains {
			domains[d.Name] = ownedDomain{d, s.ID}
		}
	}
	old := c.domainRows()
	for _, r := range c.Reachable {
		if r.Section != SectionHelp && next.Guard(r.Name) == SkipReachable {
			continue // it comes before any block
		}
		for p := r.Name; p != ""; p = p.Parent() {
			d, ok := domains[p]
			if !ok || p != r.Name && d.Match == MatchExact {
				continue
			}
			if _, had := old[p.String()]; had && r.Section != SectionHelp {
				continue // it lay below that before, and needs no more protection than then
			}
			return fmt.Errorf("%s of %s blocks %s: %w", p, d.service, r.Name, ErrBlocksProtected)
		}
	}
	for n, d := range domains {
		switch c.Guard(n) {
		case SkipReachable: // below a name that is kept open with all below it
			if next.Guard(n) != SkipReachable {
				return fmt.Errorf("%s of %s: %w", n, d.service, ErrBlocksProtected)
			}
		case SkipSharedHost:
			if was, had := old[n.String()]; (!had || was.Match != d.Match) && d.Match != MatchExact && d.Match != MatchGroup {
				return fmt.Errorf("%s of %s is a shared host, or lies above one: %w", n, d.service, ErrBlocksProtected)
			}
		}
	}
	return nil
}
