package store

import (
	"database/sql"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"

	"kinward/policy"
)

// The clues by which a family is told from all others: public networks and the
// labels of private-DNS names. Hardware addresses and private networks of
// devices are everybody's, and count within a family alone.
const (
	networkClue = "network"
	tokenClue   = "token"
)

// clue is a row of the index that keeps clues unique. A network goes from its
// first to its last address, written so that they sort.
type clue struct{ kind, first, last string }

// cluesOf returns a family's clues. Networks within other networks of the
// family are left out, so that no two rows overlap.
func cluesOf(f *policy.Family) map[clue]string {
	networks := slices.Clone(f.Networks)
	out := map[clue]string{}
	for _, t := range f.Tokens {
		out[clue{tokenClue, t, t}] = t
	}
	for _, d := range f.Devices {
		for _, n := range d.Networks {
			if !policy.IsPrivate(n) {
				networks = append(networks, n)
			}
		}
		for _, t := range d.Tokens {
			out[clue{tokenClue, t, t}] = t
		}
	}
	for _, n := range networks {
		within := func(o netip.Prefix) bool { return o.Bits() < n.Bits() && o.Contains(n.Addr()) }
		if !slices.ContainsFunc(networks, within) {
			first, last := bounds16(n)
			out[clue{networkClue, first, last}] = policy.NetworkText(n)
		}
	}
	return out
}

// bounds16 returns a network's first and last address as sortable text.
func bounds16(p netip.Prefix) (first, last string) {
	a := p.Masked().Addr().As16()
	z := a
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	for i := bits; i < 128; i++ {
		z[i/8] |= 0x80 >> (i % 8)
	}
	return hex.EncodeToString(a[:]), hex.EncodeToString(z[:])
}

// moveClues brings the index from what a family had to what it has, and refuses
// a clue that is another family's, without saying whose.
func (t *Tx) moveClues(before, after *policy.Family) error {
	had, has := cluesOf(before), cluesOf(after)
	for c := range had {
		if _, ok := has[c]; ok {
			continue
		}
		if _, err := t.tx.ExecContext(t.ctx, `DELETE FROM clues WHERE family_id = $1 AND kind = $2 AND first = $3`, int64(after.ID), c.kind, c.first); err != nil {
			return err
		}
	}
	for c, text := range has {
		if _, ok := had[c]; ok {
			continue
		}
		var last string // of the row that begins last among those that could overlap: rows do not overlap
		err := t.tx.QueryRowContext(t.ctx, `SELECT last FROM clues WHERE kind = $1 AND first <= $2 ORDER BY first DESC LIMIT 1`, c.kind, c.last).Scan(&last)
		switch {
		case err == nil && last >= c.first:
			return refuse(ErrConflict, "%s is in use elsewhere, and a clue can lead to one family alone; give another", text)
		case err != nil && !errors.Is(err, sql.ErrNoRows):
			return err
		}
		if _, err := t.tx.ExecContext(t.ctx, `INSERT INTO clues (family_id, kind, first, last) VALUES ($1, $2, $3, $4)`, int64(after.ID), c.kind, c.first, c.last); err != nil {
			return err
		}
	}
	return nil
}
