package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"kinward/blocklists"
)

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
			"do", shellJoin([]string{program(), "--data", n.cfg.Data, "lists", "update", bad.ID}))
	}
}

func without(inputs []blocklists.ListInput, broken map[string]string) []blocklists.ListInput {
	return slices.DeleteFunc(slices.Clone(inputs), func(in blocklists.ListInput) bool { return broken[in.ID] != "" })
}
