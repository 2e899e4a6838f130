package main

import (
	"context"
	"sync"

	"kinward/console"
	"kinward/journal"
	"kinward/journal/signals"
	"kinward/policy"
	"kinward/store"
)

// maxWatchers is how many pages of one family may watch at a time; further ones
// are told nothing, and show what is new when they are loaded again.
const maxWatchers = 64

// bells tell who watches a family that something of it may have changed. The zero
// value is ready, and safe for concurrent use.
type bells struct {
	mu sync.Mutex
	of map[policy.FamilyID]map[chan struct{}]bool
}

// watch returns a channel that holds a ring until it is taken. It is nil, which
// never rings, where the family has as many watchers as it may have.
func (b *bells) watch(family policy.FamilyID) (rings <-chan struct{}, stop func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.of[family]) >= maxWatchers {
		return nil, func() {}
	}
	c := make(chan struct{}, 1)
	if b.of == nil {
		b.of = map[policy.FamilyID]map[chan struct{}]bool{}
	}
	if b.of[family] == nil {
		b.of[family] = map[chan struct{}]bool{}
	}
	b.of[family][c] = true
	return c, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.of[family], c)
		if len(b.of[family]) == 0 {
			delete(b.of, family)
		}
	}
}

// ring never waits: who has not taken the last ring will see this change with it.
func (b *bells) ring(family policy.FamilyID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.of[family] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Watch tells guardians of their family's changes, and a child of what becomes of
// its requests. An operator is told nothing. See [console.Desk].
func (d *desk) Watch(by console.Actor) (<-chan struct{}, func()) {
	if by.Family == 0 || by.Guardian == 0 && by.Child == nil {
		return nil, func() {}
	}
	return d.n.bells.watch(by.Family)
}

// ringing is a database that rings for what the journal and the signals write.
type ringing struct {
	*store.DB
	bells *bells
}

var (
	_ journal.Store = ringing{}
	_ signals.Store = ringing{}
)

// Write is [store.DB.Write], and rings for the families in b.
func (r ringing) Write(ctx context.Context, b journal.Batch) error {
	if err := r.DB.Write(ctx, b); err != nil {
		return err
	}
	families := map[policy.FamilyID]bool{}
	for _, row := range b.Rows {
		families[row.Family] = true
	}
	for _, c := range b.Counts {
		families[c.Family] = true
	}
	for f := range families {
		r.bells.ring(f)
	}
	return nil
}

// WriteSignals is [store.DB.WriteSignals], and rings for the families in b.
func (r ringing) WriteSignals(ctx context.Context, b signals.Batch) error {
	if err := r.DB.WriteSignals(ctx, b); err != nil {
		return err
	}
	for _, s := range b.Signals {
		r.bells.ring(s.Family)
	}
	return nil
}
