package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"kinward/blocklists"
	"kinward/journal/alerts"
	"kinward/policy"
	"kinward/resolver"
	"kinward/store"
)

// node is the owner of a data folder: what serve runs on, and what a command
// opens for itself when no serve runs.
type node struct {
	cfg       *config
	log       *slog.Logger
	lock      *os.File
	updates   *blocklists.CatalogueStore
	catalogue atomic.Pointer[blocklists.Catalogue] // in force, or tried out by an update
	presets   *policy.Presets
	safe      *policy.SafeSearch
	lists     *blocklists.Library
	db        *store.DB

	updating sync.Mutex // one change of the catalogue at a time; taken before mu

	mu      sync.Mutex                        // one change of the state at a time
	current atomic.Pointer[policy.State]      // nil until the first compile
	broken  atomic.Pointer[map[string]string] // lists that could not be compiled, with the reason

	kept         func() (*blocklists.KeptIndex, error) // read while the rest opens; nil once it is used; guarded by mu
	compiled     []blocklists.ListInput                // what current's index was made of, guarded by mu
	compiledFrom *blocklists.Catalogue

	hosts atomic.Pointer[resolver.Hosts] // names of the family's devices

	collect func()         // ends what hurry began; nil where no serve runs
	serving *serving       // nil where no serve runs
	alerts  *alerts.Engine // that serve runs; nil without
	watches watches        // devices that pages wait for
	bells   bells          // for who watches a family
	tests   tally[tester]  // of ways to guardians

	operations map[string]handler // all there are
}

// openNode takes the data folder and opens what lies in it. Nothing is compiled
// yet.
func openNode(ctx context.Context, c *config, log *slog.Logger, wait time.Duration) (_ *node, err error) {
	lock, err := lockFolder(c.Data, wait)
	if err != nil {
		return nil, err
	}
	n := &node{cfg: c, log: log, lock: lock, operations: operations()}
	defer func() {
		if err != nil {
			n.close()
		}
	}()
	if err := sweep(c.Data); err != nil {
		return nil, err
	}
	kept := sync.OnceValues(func() (*blocklists.KeptIndex, error) {
		return blocklists.ReadIndex(filepath.Join(c.Data, indexFile))
	})
	go func() { _, _ = kept() }()
	n.kept = kept
	catalogue := make(chan error, 1) // parsed while the rest opens
	go func() {
		catalogue <- n.openCatalogue()
	}()
	err = n.openRest(ctx)
	if err := errors.Join(err, <-catalogue); err != nil {
		return nil, err
	}
	n.lists, err = n.openLists() // may put the folder aside that the catalogue lies in too
	return n, err
}

// openRest opens what needs neither the catalogue nor the lists.
func (n *node) openRest(ctx context.Context) (err error) {
	file := filepath.Join(n.cfg.Data, store.FileName)
	if err := emptied(file, filepath.Join(n.cfg.Data, journalFolder)); err != nil {
		return err
	}
	n.db, err = store.Open(ctx, file, store.Options{Logger: n.log, Who: "command line", Acting: whoActs, Guard: n.guard, Known: n.known})
	if err != nil {
		return err
	}
	if n.presets, err = policy.EmbeddedPresets(); err != nil {
		return err
	}
	n.safe, err = policy.EmbeddedSafeSearch()
	return err
}

// emptied refuses a database without a byte beside a journal, which is made later:
// something cut it, and a new family would take the place of the one that was in it
// without a word.
func emptied(file, journal string) error {
	info, err := os.Stat(file)
	if err != nil || info.Size() > 0 {
		return nil // what it is then the store says
	}
	if _, err := os.Stat(journal); err != nil {
		return nil // a first start that was ended in its first moment
	}
	return fmt.Errorf("%s is empty, though this folder was in use (%w): restore the last backup with {kinward} restore, or move the file away to start anew", file, store.ErrDamaged)
}

// openLists opens the lists. A record of them that is damaged is put aside with
// all that belongs to it, and the home goes on with the catalogue, loudly: that
// is better than no names at all.
func (n *node) openLists() (*blocklists.Library, error) {
	folder := filepath.Join(n.cfg.Data, listsFolder)
	options := blocklists.LibraryOptions{
		FetchOptions: blocklists.FetchOptions{AllowPrivate: n.cfg.Lists.AllowPrivate, Version: version()},
		Guard:        func(name blocklists.Name) blocklists.SkipReason { return n.catalogue.Load().Guard(name) },
	}
	l, err := blocklists.OpenLibrary(folder, options)
	if !errors.Is(err, blocklists.ErrDamagedLibrary) {
		return l, err
	}
	aside := folder + damagedLists + time.Now().UTC().Format("20060102T150405.000Z")
	if failed := os.Rename(folder, aside); failed != nil {
		return nil, errors.Join(err, failed)
	}
	n.log.Error("going on without the added lists: the record of them is damaged", "error", err, "put_aside", aside,
		"do", "add the lists again, or go back to a backup")
	return blocklists.OpenLibrary(folder, options)
}

// damagedLists is in the name of what openLists put aside.
const damagedLists = ".damaged-"

// sweep removes what a process that was killed left half-made in the data folder.
func sweep(data string) error {
	for _, pattern := range []string{".index-*", ".backup-*", ".restore-*"} {
		left, err := filepath.Glob(filepath.Join(data, pattern))
		if err != nil {
			return err
		}
		for _, path := range left {
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("removing what was left half-made: %w", err)
			}
		}
	}
	return nil
}

// close gives the data folder back.
func (n *node) close() error {
	var errs []error
	if n.db != nil {
		errs = append(errs, n.db.Close())
	}
	errs = append(errs, giveBack(n.cfg.Data))
	return errors.Join(append(errs, n.lock.Close())...)
}

// state returns the index and the directory in force, compiled at the first
// call.
func (n *node) state(ctx context.Context) (*policy.State, error) {
	if s := n.current.Load(); s != nil {
		return s, nil
	}
	if err := n.recompile(ctx); err != nil {
		return nil, err
	}
	return n.current.Load(), nil
}

// refresh puts a family's change in force: the others are not looked at.
func (n *node) refresh(ctx context.Context, id policy.FamilyID) error {
	defer n.bells.ring(id)
	return n.redirect(ctx, func(ctx context.Context, d *policy.Directory) (*policy.Directory, error) {
		f, revision, err := n.db.Family(ctx, id)
		if err != nil {
			return nil, err
		}
		f.Retire(time.Now())
		return d.With(f, revision)
	})
}

// withdraw takes a family that was removed out of force.
func (n *node) withdraw(ctx context.Context, id policy.FamilyID) error {
	return n.redirect(ctx, func(_ context.Context, d *policy.Directory) (*policy.Directory, error) {
		return d.Without(id), nil
	})
}

// redirect puts a directory that f derives from the one in force in its place.
func (n *node) redirect(ctx context.Context, f func(context.Context, *policy.Directory) (*policy.Directory, error)) error {
	ctx = context.WithoutCancel(ctx) // the change is stored; see recompile
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.current.Load()
	if s == nil {
		return nil // the first compile will read the change
	}
	d, err := f(ctx, s.Directory)
	if err != nil {
		return err
	}
	n.current.Store(&policy.State{Index: s.Index, Directory: d})
	return n.nameDevices(ctx)
}

// publish puts an index in force, with the directory compiled against it.
func (n *node) publish(ctx context.Context, x *blocklists.Index) error {
	var d *policy.Directory
	var err error
	if s := n.current.Load(); s != nil {
		d, err = s.Directory.Rebase(x)
	} else {
		d, err = n.loadDirectory(ctx, x)
	}
	if err != nil {
		return err
	}
	n.current.Store(&policy.State{Index: x, Directory: d})
	return n.nameDevices(ctx)
}

// nameDevices gives the home family's devices their names.
func (n *node) nameDevices(ctx context.Context) error {
	home, err := n.db.Home(ctx)
	if err != nil {
		return err
	}
	family, _, err := n.db.Family(ctx, home)
	if err != nil {
		return err
	}
	domain, _ := blocklists.ParseName(n.cfg.Leases.Domain) // checked when it was read
	n.hosts.Store(resolver.NewHosts(deviceHosts(family, domain)))
	if n.serving != nil {
		n.serving.server.SetDevices(n.hosts.Load())
	}
	return nil
}

// hurry lets the heap grow to 32 MB before the garbage collector walks it, until
// collect is called: a start reads much, keeps little, and would be walked four
// times. That is for as many families as cannot fill the heap, see fewFamilies.
func hurry() (collect func()) {
	const percent = 800 // of the least heap of 4 MB
	usual := debug.SetGCPercent(percent)
	return sync.OnceFunc(func() { debug.SetGCPercent(usual) })
}

const fewFamilies = 100

// loadDirectory compiles all families, the first of which is the home's.
func (n *node) loadDirectory(ctx context.Context, x *blocklists.Index) (*policy.Directory, error) {
	home, err := n.db.Home(ctx)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	families := 0
	d, err := policy.LoadDirectory(func(yield func(policy.Versioned, error) bool) {
		for f, err := range n.db.Families(ctx) {
			if families++; families == fewFamilies && n.collect != nil {
				n.collect()
			}
			if err == nil {
				f.Retire(now)
			}
			if !yield(f, err) {
				return
			}
		}
	}, n.presets, x)
	if err != nil {
		return nil, err
	}
	if d, err = d.WithHome(home); err != nil {
		return nil, err
	}
	return n.withLinks(ctx, d, time.Now())
}

// known tells what choices can be about.
func (n *node) known() policy.Known {
	c := n.catalogue.Load()
	if c == nil || n.lists == nil { // the first family is made before they are open
		return policy.Known{}
	}
	k := policy.KnownBy(c)
	for _, l := range n.lists.Lists() {
		k.Lists = append(k.Lists, l.ID)
	}
	k.Lists = append(k.Lists, blocklists.CatalogueID)
	for _, e := range n.safe.Engines() {
		k.Engines = append(k.Engines, e.ID)
	}
	return k
}
