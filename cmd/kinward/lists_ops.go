package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"kinward/blocklists"
)

// listView is a list as commands print it.
type listView struct {
	ID       string              `json:"id"`
	Name     string              `json:"name"`
	Location string              `json:"location,omitempty"` // without credentials; "" for the catalogue
	Mirrors  []string            `json:"mirrors,omitempty"`  // the same
	Member   string              `json:"member,omitempty"`
	Category string              `json:"category,omitempty"`
	Format   string              `json:"format,omitempty"`
	Entries  int                 `json:"entries"` // in force now
	Fetched  time.Time           `json:"fetched,omitzero"`
	From     string              `json:"from,omitempty"` // the place that the version in force came from
	Checked  time.Time           `json:"checked,omitzero"`
	SHA256   string              `json:"sha256,omitempty"`
	Report   *blocklists.Report  `json:"report,omitempty"`
	Problem  string              `json:"problem,omitempty"`
	Held     *blocklists.Held    `json:"held,omitempty"`
	Previous *blocklists.Version `json:"previous,omitempty"`
	Outcome  string              `json:"outcome,omitempty"` // of an update
}

type listsReply struct {
	Lists []listView `json:"lists"`
}

type listsAddRequest struct {
	Location string   `json:"location"`
	Mirrors  []string `json:"mirrors,omitempty"`
	Member   string   `json:"member,omitempty"`
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Category string   `json:"category"`
	Format   string   `json:"format"`
	Match    string   `json:"match"`
	Patterns bool     `json:"patterns,omitempty"`
}

type listsIDs struct {
	IDs []string `json:"ids"` // none: all
}

var (
	opLists         = operation[struct{}, listsReply]{"lists", listsShow}
	opListsAdd      = operation[listsAddRequest, listsReply]{"lists-add", listsAdd}
	opListsUpdate   = operation[listsIDs, listsReply]{"lists-update", listsUpdate}
	opListsAccept   = operation[listsIDs, swapReply]{"lists-accept", listsAccept}
	opListsRollback = operation[listsIDs, swapReply]{"lists-rollback", listsRollback}
	opListsRemove   = operation[listsIDs, done]{"lists-remove", listsRemove}
)

// listViews returns the catalogue and every list, with what the index x took
// from each.
func (n *node) listViews(x *blocklists.Index) []listView {
	taken := map[string]int{}
	for _, l := range x.Lists() {
		taken[l.ID] = l.Entries
	}
	first := x.List(0)
	views := []listView{{ID: first.ID, Name: first.Name, Entries: first.Entries, Problem: n.catalogueProblem()}}
	broken := map[string]string{}
	if b := n.broken.Load(); b != nil {
		broken = *b
	}
	for _, l := range n.lists.Lists() {
		v := listView{
			ID: l.ID, Name: l.Name, Location: maskURL(l.Location), Category: l.Category.String(), Format: l.Report.Format.String(),
			Entries: taken[l.ID], Fetched: l.FetchedAt, Checked: l.CheckedAt, SHA256: l.SHA256, Report: &l.Report, Problem: l.Problem,
			From: l.From, Member: l.Member, Held: l.Held, Previous: l.Previous,
		}
		for _, m := range l.Mirrors {
			v.Mirrors = append(v.Mirrors, maskURL(m))
		}
		if why := broken[l.ID]; why != "" {
			v.Problem = why
		}
		views = append(views, v)
	}
	return views
}

func listsShow(ctx context.Context, n *node, _ struct{}, _ progress) (listsReply, error) {
	s, err := n.state(ctx)
	if err != nil {
		return listsReply{}, err
	}
	return listsReply{n.listViews(s.Index)}, nil
}

// fetchProgress turns the events of a fetch into lines: what happens at once,
// bytes once a second.
func fetchProgress(p progress) blocklists.Progress {
	var last time.Time
	return func(e blocklists.Event) {
		switch {
		case p == nil:
		case e.Note != "":
			p(e.List + ": " + e.Note)
		case time.Since(last) >= time.Second:
			last = time.Now()
			text := fmt.Sprintf("fetching %s: %s", e.List, sizeWords(e.Done))
			if e.Total > 0 {
				text += " of " + sizeWords(e.Total)
			}
			p(text)
		}
	}
}

// sizeWords says a number of bytes as people do: a small list is not "0.0 MB".
func sizeWords(bytes int64) string {
	if bytes < 1e5 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	return fmt.Sprintf("%.1f MB", float64(bytes)/1e6)
}

func listsAdd(ctx context.Context, n *node, req listsAddRequest, p progress) (listsReply, error) {
	src := blocklists.ListSource{ID: req.ID, Name: req.Name, Location: req.Location, Mirrors: req.Mirrors, Member: req.Member, Patterns: req.Patterns}
	var err error
	if src.Category, err = readCategory(n.catalogue.Load(), req.Category); err != nil {
		return listsReply{}, unknownThing(err.Error())
	}
	if src.Category == blocklists.KnownRiskCategory {
		return listsReply{}, usageError(fmt.Errorf("known-risk marks services of the catalogue; a list needs a subject, one of: %s", strings.Join(categoryIDs(), ", ")))
	}
	if src.Format, err = blocklists.ParseFormat(req.Format); err != nil {
		return listsReply{}, usageError(err)
	}
	if src.Match, err = blocklists.ParseMatchMode(req.Match); err != nil {
		return listsReply{}, usageError(err)
	}
	added, err := n.lists.Add(ctx, src, fetchProgress(p))
	switch {
	case errors.Is(err, blocklists.ErrListExists):
		return listsReply{}, usageError(err)
	case err != nil && filepath.IsAbs(src.Location):
		return listsReply{}, namedFile(err)
	case err != nil:
		return listsReply{}, err
	}
	return n.listsInForce(ctx, p, added.ID)
}

// listsInForce compiles the lists as they are now and returns the named ones.
func (n *node) listsInForce(ctx context.Context, p progress, ids ...string) (listsReply, error) {
	if p != nil {
		p("compiling")
	}
	if err := n.recompile(ctx); err != nil {
		return listsReply{}, err
	}
	rep := listsReply{Lists: []listView{}}
	for _, v := range n.listViews(n.current.Load().Index) {
		for _, id := range ids {
			if v.ID == id {
				rep.Lists = append(rep.Lists, v)
			}
		}
	}
	return rep, nil
}

func listsUpdate(ctx context.Context, n *node, req listsIDs, p progress) (listsReply, error) {
	if len(req.IDs) == 0 {
		req.IDs = nil // all of them
	}
	updated, err := n.lists.Update(ctx, req.IDs, fetchProgress(p))
	if err := noSuchList(err); err != nil {
		return listsReply{}, err
	}
	var ids []string
	outcomes := map[string]string{}
	for _, l := range updated {
		ids = append(ids, l.ID)
		outcomes[l.ID] = l.Outcome.String()
		if l.Problem != "" {
			n.log.Warn("keeping the last good copy of a list", "list", l.ID, "problem", l.Problem)
		}
	}
	rep, err := n.listsInForce(ctx, p, ids...)
	for i := range rep.Lists {
		rep.Lists[i].Outcome = outcomes[rep.Lists[i].ID]
	}
	return rep, err
}

// swapReply is a list after another of its versions was put in force.
type swapReply struct {
	List    listView           `json:"list"`
	Changes blocklists.Changes `json:"changes"`
}

func listsAccept(ctx context.Context, n *node, req listsIDs, p progress) (swapReply, error) {
	return n.swapVersion(ctx, req, p, n.lists.Accept)
}

func listsRollback(ctx context.Context, n *node, req listsIDs, p progress) (swapReply, error) {
	return n.swapVersion(ctx, req, p, n.lists.Rollback)
}

func (n *node) swapVersion(ctx context.Context, req listsIDs, p progress, swap func(string) (blocklists.ListStatus, blocklists.Changes, error)) (swapReply, error) {
	if len(req.IDs) != 1 {
		return swapReply{}, usageError(errors.New("name one list"))
	}
	_, changes, err := swap(req.IDs[0])
	if err != nil {
		return swapReply{}, noSuchList(err)
	}
	rep, err := n.listsInForce(ctx, p, req.IDs[0])
	if err != nil || len(rep.Lists) != 1 {
		return swapReply{}, err
	}
	return swapReply{rep.Lists[0], changes}, nil
}

func noSuchList(err error) error {
	if errors.Is(err, blocklists.ErrNoSuchList) || errors.Is(err, blocklists.ErrNothingHeld) || errors.Is(err, blocklists.ErrNoPrevious) {
		return &codedError{exitNothing, err}
	}
	return err
}

func listsRemove(ctx context.Context, n *node, req listsIDs, p progress) (done, error) {
	if len(req.IDs) != 1 {
		return done{}, usageError(errors.New("name one list"))
	}
	id := req.IDs[0]
	if id == blocklists.CatalogueID {
		return done{}, usageError(errors.New("the catalogue is part of Kinward and cannot be removed; a profile may choose otherwise about its categories and services"))
	}
	if err := noSuchList(n.lists.Remove(id)); err != nil {
		return done{}, err
	}
	if _, err := n.listsInForce(ctx, p); err != nil {
		return done{}, err
	}
	return done{fmt.Sprintf("List %s is out of force, and its copy is deleted. %s", id, lag)}, nil
}
