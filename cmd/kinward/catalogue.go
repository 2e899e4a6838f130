package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kinward/blocklists"
)

// catalogueView is the catalogue in force as commands print it.
type catalogueView struct {
	blocklists.Edition
	FromProgram bool                `json:"fromProgram"` // not an update
	Services    int                 `json:"services"`
	Domains     int                 `json:"domains"`
	Help        int                 `json:"help"`
	Source      string              `json:"source,omitempty"`     // where updates come from, without credentials
	TrustedKey  string              `json:"trustedKey,omitempty"` // fingerprint of catalogue: key
	Previous    *blocklists.Edition `json:"previous,omitempty"`   // what a rollback goes back to
	Refused     int                 `json:"refused,omitempty"`    // highest version that was rolled back
	Problem     string              `json:"problem,omitempty"`
}

type catalogueUpdateRequest struct {
	Location string `json:"location"` // "": catalogue: source
	Accept   bool   `json:"accept"`
}

type catalogueUpdateReply struct {
	Catalogue catalogueView            `json:"catalogue"`
	Same      bool                     `json:"same"` // nothing changed
	Diff      blocklists.CatalogueDiff `json:"diff"`
}

var (
	opCatalogue         = operation[struct{}, catalogueView]{"catalogue", catalogueShow}
	opCatalogueUpdate   = operation[catalogueUpdateRequest, catalogueUpdateReply]{"catalogue-update", catalogueUpdate}
	opCatalogueRollback = operation[struct{}, catalogueUpdateReply]{"catalogue-rollback", catalogueRollback}
)

// check looks at the settings without reaching for the source.
func (c catalogueConfig) check() error {
	if _, err := c.publicKey(); err != nil {
		return fmt.Errorf("key: %w", err)
	}
	if c.Source == "" {
		return nil
	}
	if c.Key == "" {
		return errors.New("source: there is no key; without one nothing from there could be trusted")
	}
	if _, local := blocklists.LocalPath(c.Source); local {
		return nil
	}
	if u, err := url.Parse(c.Source); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("source: %q is neither an http or https address nor the absolute path of a file", c.Source)
	}
	return nil
}

// publicKey returns nil where none is set.
func (c catalogueConfig) publicKey() (ed25519.PublicKey, error) {
	if c.Key == "" {
		return nil, nil
	}
	return blocklists.ParseCatalogueKey(c.Key)
}

// openCatalogue puts the newest edition that can be trusted in force.
func (n *node) openCatalogue() error {
	key, err := n.cfg.Catalogue.publicKey()
	if err != nil {
		return err
	}
	if n.updates, err = blocklists.OpenCatalogueStore(filepath.Join(n.cfg.Data, listsFolder), key); err != nil {
		return err
	}
	n.catalogue.Store(n.updates.Current())
	if p := n.updates.Problem(); p != nil {
		n.log.Error("the program's own catalogue is in force in the place of an update", "error", p)
	}
	return nil
}

func (n *node) catalogueProblem() string {
	if err := n.updates.Problem(); err != nil {
		return err.Error()
	}
	return ""
}

func (c *cli) catalogueCommand() *cobra.Command {
	cmd := c.addJSON(&cobra.Command{
		Use:   "catalogue",
		Short: "Show which edition of Kinward's own catalogue is in force",
		Long: `The catalogue (services, help lines, shared hosts) comes with the program. Between
releases it can be updated from a signed file: set catalogue: key to the public key of
who signs it, and catalogue: source to where it is. Whoever has the private key decides
what your home blocks and which help lines stay open; trust nobody with it whom you
would not trust with that.`,
		Example: `  kinward lists catalogue
  kinward lists catalogue update
  kinward lists catalogue rollback`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return do(cmd.Context(), c, cmd, opCatalogue, struct{}{}, printCatalogue)
		},
	})

	var req catalogueUpdateRequest
	update := c.addJSON(&cobra.Command{
		Use:   "update [FILE|URL]",
		Short: "Check a signed catalogue file, show what it changes, and put it in force",
		Long: `Takes the file from catalogue: source unless another place is given. It is refused if
its signature does not fit catalogue: key, if its version is not above what was in force,
rolled back or comes with the program, if it lost more than half or has more than three
times of what was there, or if it blocks a name that was kept open until now.`,
		Example: `  kinward lists catalogue update
  kinward lists catalogue update ./catalogue-7.txt
  kinward lists catalogue update https://example.org/kinward/catalogue.txt --accept`,
		Args: rangeArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req.Location = ""
			if len(args) == 1 {
				req.Location = args[0]
				if !strings.Contains(args[0], "://") { // the owner of the data folder may run elsewhere
					abs, err := filepath.Abs(args[0])
					if err != nil {
						return err
					}
					req.Location = abs
				}
			}
			return do(cmd.Context(), c, cmd, opCatalogueUpdate, req, printCatalogueUpdate)
		},
	})
	update.Flags().BoolVar(&req.Accept, "accept", false, "take it even if it has far fewer or far more entries than before")

	rollback := c.addJSON(&cobra.Command{
		Use:   "rollback",
		Short: "Go back to the edition before, or to the program's own",
		Long: `Puts the edition before the last update in force again, or the program's own. The
version that was in force is not taken again; a higher one is.`,
		Example: `  kinward lists catalogue rollback`,
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return do(cmd.Context(), c, cmd, opCatalogueRollback, struct{}{}, printCatalogueUpdate)
		},
	})
	cmd.AddCommand(update, rollback, c.packCommand(), c.keygenCommand())
	return cmd
}

func catalogueShow(_ context.Context, n *node, _ struct{}, _ progress) (catalogueView, error) {
	return n.catalogueView(), nil
}

func (n *node) catalogueView() catalogueView {
	c := n.updates.Current()
	v := catalogueView{
		Edition: c.Edition, FromProgram: c.Edition.Key == "", Services: len(c.Services),
		Refused: n.updates.Refused(), Problem: n.catalogueProblem(),
	}
	for _, s := range c.Services {
		v.Domains += len(s.Domains)
	}
	for _, r := range c.Reachable {
		if r.Section == blocklists.SectionHelp {
			v.Help++
		}
	}
	if u, err := url.Parse(n.cfg.Catalogue.Source); err == nil {
		v.Source = u.Redacted()
	}
	key, _ := n.cfg.Catalogue.publicKey() // checked with the configuration
	v.TrustedKey = blocklists.KeyFingerprint(key)
	if e, ok := n.updates.Previous(); ok {
		v.Previous = &e
	}
	return v
}

func catalogueUpdate(ctx context.Context, n *node, req catalogueUpdateRequest, p progress) (catalogueUpdateReply, error) {
	if n.cfg.Catalogue.Key == "" {
		return catalogueUpdateReply{}, usageError(blocklists.ErrNoCatalogueKey)
	}
	if req.Location == "" {
		req.Location = n.cfg.Catalogue.Source
	}
	if req.Location == "" {
		return catalogueUpdateReply{}, usageError(errors.New("name a FILE or a URL, or set catalogue: source"))
	}
	file, err := n.fetchCatalogue(ctx, req.Location, p)
	switch {
	case err != nil && filepath.IsAbs(req.Location):
		return catalogueUpdateReply{}, namedFile(err)
	case err != nil:
		return catalogueUpdateReply{}, err
	}
	n.updating.Lock()
	defer n.updating.Unlock()
	u, err := n.updates.Check(file, req.Accept)
	if err != nil {
		return catalogueUpdateReply{}, err
	}
	if u.Same {
		return catalogueUpdateReply{Catalogue: n.catalogueView(), Same: true}, nil
	}
	if p != nil {
		p("compiling")
	}
	err = n.replaceCatalogue(ctx, u.Catalogue, func() error { return n.updates.Take(u) })
	if err != nil {
		return catalogueUpdateReply{}, err
	}
	return catalogueUpdateReply{Catalogue: n.catalogueView(), Diff: u.Diff}, nil
}

// wholeFile takes a fetched file into memory.
type wholeFile struct{ bytes.Buffer }

// Start drops what came before.
func (w *wholeFile) Start() error { w.Reset(); return nil }

// Finish has nothing to do.
func (w *wholeFile) Finish() error { return nil }

// fetchCatalogue reads a catalogue file from a URL or a path.
func (n *node) fetchCatalogue(ctx context.Context, location string, p progress) ([]byte, error) {
	fetcher := blocklists.NewFetcher(blocklists.FetchOptions{
		AllowPrivate: n.cfg.Lists.AllowPrivate, Version: version(),
		Limits: blocklists.Limits{Body: blocklists.MaxCatalogueFile, Inflated: blocklists.MaxCatalogueFile, Time: 2 * time.Minute},
	})
	var file wholeFile
	told := fetchProgress(p)
	_, err := fetcher.Fetch(ctx, blocklists.Request{
		Locations: []string{location},
		Progress:  func(e blocklists.Event) { e.List = "the catalogue"; told(e) },
	}, &file)
	if err != nil {
		return nil, err
	}
	return file.Bytes(), nil
}

// replaceCatalogue puts another edition in force and then keeps it; what cannot
// be compiled is never kept, and what cannot be kept does not stay in force.
// n.updating is held.
func (n *node) replaceCatalogue(ctx context.Context, next *blocklists.Catalogue, keep func() error) error {
	n.catalogue.Store(next)
	err := n.recompile(ctx)
	if err == nil {
		err = keep()
	}
	if err != nil {
		n.catalogue.Store(n.updates.Current())
		return errors.Join(err, n.recompile(context.WithoutCancel(ctx)))
	}
	n.log.Info("another edition of the catalogue is in force", "version", next.Edition.Version, "date", next.Edition.Date, "key", next.Edition.Key)
	return nil
}

func catalogueRollback(ctx context.Context, n *node, _ struct{}, _ progress) (catalogueUpdateReply, error) {
	n.updating.Lock()
	defer n.updating.Unlock()
	was := n.updates.Current()
	c, err := n.updates.Undo()
	if errors.Is(err, blocklists.ErrNothingToUndo) {
		return catalogueUpdateReply{}, &codedError{exitNothing, err}
	} else if err != nil {
		return catalogueUpdateReply{}, err
	}
	err = n.replaceCatalogue(ctx, c, func() error {
		_, err := n.updates.Rollback()
		return err
	})
	if err != nil {
		return catalogueUpdateReply{}, err
	}
	return catalogueUpdateReply{Catalogue: n.catalogueView(), Diff: blocklists.DiffCatalogues(was, c)}, nil
}

func printCatalogue(w io.Writer, v catalogueView) {
	from := "it came with the program"
	if !v.FromProgram {
		from = "an update, signed by key " + v.Key
	}
	fmt.Fprintf(w, "Kinward's catalogue, version %d of %s: %s.\n", v.Version, v.Date, from)
	fmt.Fprintf(w, "It holds %d services, which have %d domains, and %d names of help lines and the like. It knows other names,\ntoo, such as what devices need: {kinward} lists counts all as entries.\n", v.Services, v.Domains, v.Help)
	switch {
	case v.TrustedKey == "":
		fmt.Fprintln(w, "Updates are off, since catalogue: key is not set.")
	case v.Source == "":
		fmt.Fprintf(w, "Updates are taken from files signed by key %s: {kinward} lists catalogue update FILE\n", v.TrustedKey)
	default:
		fmt.Fprintf(w, "Updates are taken from %s, signed by key %s: {kinward} lists catalogue update\n", v.Source, v.TrustedKey)
	}
	if v.Refused > 0 {
		fmt.Fprintf(w, "Version %d was rolled back; only a higher one is taken.\n", v.Refused)
	}
	if v.Previous != nil {
		fmt.Fprintf(w, "To go back to version %d: {kinward} lists catalogue rollback\n", v.Previous.Version)
	}
	if v.Problem != "" {
		fmt.Fprintf(w, "\n%s\n", v.Problem)
	}
}

func printCatalogueUpdate(w io.Writer, r catalogueUpdateReply) {
	if r.Same {
		fmt.Fprintf(w, "Version %d of %s is in force already.\n", r.Catalogue.Version, r.Catalogue.Date)
		return
	}
	fmt.Fprintf(w, "Version %d of %s is in force. %s\n", r.Catalogue.Version, r.Catalogue.Date, lag)
	if r.Diff.Empty() {
		fmt.Fprintln(w, "Its content is the same as before.")
	}
	for _, kind := range []struct {
		name    string
		changes blocklists.EditionChanges
	}{
		{"services", r.Diff.Services},
		{"domains", r.Diff.Domains},
		{"help", r.Diff.Help},
		{"other reachable names", r.Diff.Reachable},
		{"shared hosts", r.Diff.Shared},
		{"quiet names", r.Diff.Quiet},
		{"gateways", r.Diff.Gateways},
		{"groups", r.Diff.Groups},
		{"categories", r.Diff.Categories},
	} {
		for _, change := range []struct {
			verb string
			keys []string
		}{{"added", kind.changes.Added}, {"removed", kind.changes.Removed}, {"changed", kind.changes.Changed}} {
			if len(change.keys) > 0 {
				fmt.Fprintf(w, "  %s %s: %s\n", kind.name, change.verb, someOf(change.keys))
			}
		}
	}
}

// someOf names the first of many; --json names all.
func someOf(keys []string) string {
	const most = 20
	if len(keys) <= most {
		return strings.Join(keys, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(keys[:most], ", "), len(keys)-most)
}
