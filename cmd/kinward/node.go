package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kinward/blocklists"
	"kinward/console"
	"kinward/journal"
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
	n.db, err = store.Open(ctx, filepath.Join(n.cfg.Data, store.FileName), store.Options{Logger: n.log, Who: "command line", Acting: whoActs, Guard: n.guard, Known: n.known})
	if err != nil {
		return err
	}
	if n.presets, err = policy.EmbeddedPresets(); err != nil {
		return err
	}
	n.safe, err = policy.EmbeddedSafeSearch()
	return err
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

// recompile puts an index of the catalogue and all lists in force, with the
// directory that goes with it. It is read from the data folder where it was kept
// by an earlier start, and otherwise compiled and kept.
//
// A list whose kept copy cannot be read is left out, loudly: a home without that
// list is better off than a home without names, and than one without any filter.
func (n *node) recompile(ctx context.Context) error {
	// What led here is stored already: it must come into force, also when the
	// command that asked for it has gone away.
	ctx = context.WithoutCancel(ctx)
	n.mu.Lock()
	defer n.mu.Unlock()
	catalogue := n.catalogue.Load()
	inputs := n.inputs(catalogue)
	if s := n.current.Load(); s != nil && catalogue == n.compiledFrom && sameInputs(inputs, n.compiled) {
		return n.publish(ctx, s.Index)
	}
	start := time.Now()
	file := filepath.Join(n.cfg.Data, indexFile)
	broken := map[string]string{}
	x, err := n.keptIndex(file, catalogue, inputs)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			n.log.Info("making the index anew", "why", err)
		}
		// What reading lists leaves behind is collected early, so that a refresh does
		// not need half again the memory that the process has. A start that finds its
		// index has better things to do.
		defer debug.SetGCPercent(debug.SetGCPercent(10))
		debug.FreeOSMemory()
		defer debug.FreeOSMemory() // the index before is garbage, and so is what compiling left
		if x, inputs, err = n.compile(catalogue, inputs, broken); err != nil {
			return err
		}
		if err := x.WriteFile(file, catalogue, without(inputs, broken)); err != nil {
			n.log.Warn("the index could not be kept, so the next start takes longer", "error", err)
		}
	}
	if err := n.publish(ctx, x); err != nil {
		return err
	}
	n.broken.Store(&broken)
	n.compiled, n.compiledFrom = without(inputs, broken), catalogue // a list that was left out is tried again
	n.log.Debug("an index is in force", "names", x.Names(), "lists", len(x.Lists()), "bytes", x.Bytes(), "took", time.Since(start))
	return nil
}

// keptIndex returns the index of the data folder, if it is of these.
func (n *node) keptIndex(file string, c *blocklists.Catalogue, inputs []blocklists.ListInput) (*blocklists.Index, error) {
	if n.kept == nil {
		return blocklists.OpenIndex(file, c, inputs)
	}
	k, err := n.kept()
	n.kept = nil
	if err != nil {
		return nil, err
	}
	return k.For(c, inputs)
}

// indexFile holds the compiled index in the data folder. It can be deleted at
// any time.
const indexFile = "index"

// inputs describes the lists for compiling. The program is part of a version,
// since another one may read a list otherwise.
func (n *node) inputs(c *blocklists.Catalogue) []blocklists.ListInput {
	program := programStamp()
	var inputs []blocklists.ListInput
	for _, l := range n.lists.Lists() {
		inputs = append(inputs, blocklists.ListInput{
			ID: l.ID, Name: l.Name, Category: l.Category, Count: l.Entries,
			Version: fmt.Sprintf("%s %s %s %t %s", l.SHA256, l.Format, l.Match, l.Patterns, program),
			Entries: func(emit func(blocklists.Entry) error) error {
				return n.lists.EntriesOf(l.ID, l.SHA256, c.Guard, emit)
			},
		})
	}
	return inputs
}

// programStamp tells this program from any other build of it.
func programStamp() string {
	stamp := version()
	if path, err := os.Executable(); err == nil {
		if info, err := os.Stat(path); err == nil {
			stamp = fmt.Sprintf("%s %d %d", stamp, info.Size(), info.ModTime().UnixNano())
		}
	}
	return stamp
}

func sameInputs(a, b []blocklists.ListInput) bool {
	return slices.EqualFunc(a, b, func(a, b blocklists.ListInput) bool {
		return a.ID == b.ID && a.Name == b.Name && a.Category == b.Category && a.Version == b.Version
	})
}

// compile makes an index of the lists that can be read, and notes the others in
// broken. It begins anew where a list was replaced meanwhile, and returns the
// inputs that the index is made of, those left out included.
func (n *node) compile(c *blocklists.Catalogue, inputs []blocklists.ListInput, broken map[string]string) (*blocklists.Index, []blocklists.ListInput, error) {
	for {
		x, err := blocklists.Compile(c, without(inputs, broken))
		var bad *blocklists.ListError
		switch {
		case !errors.As(err, &bad):
			return x, inputs, err
		case errors.Is(err, blocklists.ErrListChanged):
			inputs = n.inputs(c)
			continue
		}
		broken[bad.ID] = bad.Err.Error()
		n.log.Error("leaving a list out: its kept copy cannot be read", "list", bad.ID, "error", bad.Err,
			"do", "kinward lists update "+bad.ID)
	}
}

func without(inputs []blocklists.ListInput, broken map[string]string) []blocklists.ListInput {
	return slices.DeleteFunc(slices.Clone(inputs), func(in blocklists.ListInput) bool { return broken[in.ID] != "" })
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

// zoneOf returns a family's time zone, the server's where it names none.
func zoneOf(f *policy.Family) *time.Location {
	if z, err := time.LoadLocation(f.Zone); err == nil && f.Zone != "" {
		return z
	}
	return time.Local
}

// names tells the journal's sentences what guardians call things. What is no
// longer there has no name.
func (n *node) names(ctx context.Context, x *blocklists.Index, f *policy.Family) journal.Names {
	return n.namesIn(ctx, language(ctx), x, f)
}

// namesIn is names in a language (BCP 47; "" is English).
func (n *node) namesIn(ctx context.Context, lang string, x *blocklists.Index, f *policy.Family) journal.Names {
	leases, profiles := n.leasesOf(ctx, f.ID), profileNames(f)
	say := console.Says(lang)
	return journal.Names{
		Now: time.Now(), Say: say,
		Client: func(addr string) string {
			a, _ := netip.ParseAddr(addr)
			return leases[a].name
		},
		Profile: func(id policy.ProfileID) string { return profiles[id] },
		Device:  func(id policy.DeviceID) string { return deviceName(f, id) },
		Service: func(id string) string {
			if svc := x.Service(x.ServiceNumber(id)); svc != nil {
				return svc.Name
			}
			return id
		},
		Category: func(id string) string {
			c, err := blocklists.ParseCategory(id)
			if err != nil {
				return id
			}
			name := x.Categories()[c].Name
			if say != nil {
				name = cmp.Or(say(name), name)
			}
			return name
		},
		Schedule: func(id policy.ScheduleID) string {
			for i := range f.Profiles {
				for _, s := range f.Profiles[i].Schedules {
					if s.ID == id {
						return s.Name
					}
				}
			}
			return ""
		},
	}
}

// sinceText reads how far back to look: "24h", "7d", or a date with or without
// a time in zone.
func sinceText(s string, now time.Time, zone *time.Location) (time.Time, error) {
	if d, err := parseSpan(s); err == nil {
		return now.Add(-d), nil
	}
	return parseTime(s, zone)
}

// parseSpan reads a span of time: "15m", "2h", "7d".
func parseSpan(s string) (time.Duration, error) {
	var days int
	if k, err := fmt.Sscanf(s, "%dd", &days); err == nil && k == 1 && s == fmt.Sprintf("%dd", days) && days < 36500 {
		return time.Duration(days) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a span of time; write it like 15m, 2h or 7d", s)
	}
	return d, nil
}

// parseTime reads a wall-clock time in zone.
func parseTime(s string, zone *time.Location) (time.Time, error) {
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t, nil
		}
	}
	if t, err := time.ParseInLocation("15:04", s, zone); err == nil { // today
		now := time.Now().In(zone)
		return time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), 0, 0, zone), nil
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.In(zone), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time; write it like \"2026-11-23 21:30\", or 21:30 for today", s)
}
