package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/store"
)

// about says whose family a command is about, and why it changes something.
type about struct {
	Family string `json:"family,omitempty"` // its name or number; "" is the home family
	Why    string `json:"why,omitempty"`
	If     uint64 `json:"if,omitempty"` // change only what is at this revision
}

// change asks for a change of a family: what to do, and about whom.
type change[Req any] struct {
	about
	Do Req `json:"do"`
}

func (change[Req]) changes() {}

// changed is the reply of every change.
type changed struct {
	Done      string             `json:"done"` // a sentence
	Family    string             `json:"family"`
	Revision  uint64             `json:"revision"`  // of the family, afterwards
	Unchanged bool               `json:"unchanged"` // it was so already
	InForce   string             `json:"inForce"`   // when it is
	Weakens   []policy.Weakening `json:"weakens"`   // how it lowers protection
	Notes     []string           `json:"notes"`
}

// of is what the family is called now, for the commands that are named next: the
// change may have given it another name.
func (r changed) of() string { return r.Family }

// edit is one change of a family on its way.
type edit struct {
	ctx context.Context
	n   *node
	f   *policy.Family
	// before is the family as it was; nil where it is new.
	before *policy.Family
	now    time.Time
	zone   *time.Location
	// say is what is answered, where that is more than what is recorded.
	say   string
	notes []string
}

func (e *edit) note(format string, args ...any) {
	e.notes = append(e.notes, fmt.Sprintf(format, args...))
}

// changing returns the operation that changes a family by f, which says in a
// sentence what it did. Where f fails, nothing is changed.
func changing[Req any](name string, f func(*edit, Req) (what string, err error)) operation[change[Req], changed] {
	return operation[change[Req], changed]{name, func(ctx context.Context, n *node, req change[Req], _ progress) (changed, error) {
		return n.change(ctx, req.about, func(e *edit) (string, error) { return f(e, req.Do) })
	}}
}

// change changes a family and puts it in force.
func (n *node) change(ctx context.Context, who about, f func(*edit) (string, error)) (changed, error) {
	return n.changeWith(ctx, who, f, func(*store.Tx) error { return nil })
}

// changeWith is change with something that is to be done with it, or not at all.
func (n *node) changeWith(ctx context.Context, who about, f func(*edit) (string, error), also func(*store.Tx) error) (changed, error) {
	before, revision, err := n.family(ctx, who.Family)
	if err != nil {
		return changed{}, err
	}
	if _, err := n.state(ctx); err != nil {
		return changed{}, err
	}
	var e *edit
	var now uint64
	err = n.db.Together(ctx, func(t *store.Tx) (err error) {
		now, err = t.Change(store.Edit{Family: before.ID, Why: who.Why, If: who.onlyIf(ctx)}, func(after *policy.Family) (what string, err error) {
			e = &edit{ctx: ctx, n: n, f: after, before: before, now: time.Now(), zone: zoneOf(after)}
			what, err = f(e)
			if e.say == "" {
				e.say = what
			}
			if err != nil {
				return "", err
			}
			return what, n.compiles(after)
		})
		if err != nil {
			return err
		}
		return also(t)
	})
	if err != nil {
		return changed{}, coded(err)
	}
	return n.enforce(ctx, e, revision, now)
}

// onlyIf is the revision that a change was decided on; 0 where any will do. What
// waited is made later by itself, and held against what has become of the family
// then.
func (a about) onlyIf(ctx context.Context) uint64 {
	if by := actor(ctx); by != nil && by.pending != nil {
		return 0
	}
	return a.If
}

// compiles refuses a family that could be stored and then not be put in force.
func (n *node) compiles(f *policy.Family) error {
	s := n.current.Load()
	if s == nil {
		return nil
	}
	_, err := s.Directory.With(f, 0)
	if faults := policy.Faults(f, n.known()); err != nil && len(faults) > 0 {
		err = policy.Join(faults) // says it better
	}
	if err != nil {
		return usageError(err)
	}
	return nil
}

// enforce puts the revision of a family that e led to in force, and says so.
func (n *node) enforce(ctx context.Context, e *edit, before, now uint64) (changed, error) {
	r := changed{
		Done: sentenceCase(inZone(e.say, e.zone)), Family: e.f.Name, Revision: now, Unchanged: now == before,
		Notes: append([]string{}, e.notes...), Weakens: []policy.Weakening{},
	}
	if r.Unchanged {
		r.Done, r.InForce = "Nothing to change: it is so already.", "It is in force already."
		return r, nil
	}
	if err := n.refresh(ctx, e.f.ID); err != nil {
		return r, err
	}
	switch {
	case e.before != nil && reflect.DeepEqual(answering(e.before), answering(e.f)):
		r.InForce = "It is in force now."
	case n.serving == nil:
		r.InForce = "It is in force as soon as kinward serve runs."
	default:
		r.InForce = lag
	}
	newest, err := n.db.Changes(ctx, e.f.ID, 1)
	if err != nil {
		return r, err
	}
	for _, c := range newest {
		if c.Revision == now {
			r.Weakens = append(r.Weakens, weakensIn(c.Weakens, e.zone)...)
		}
	}
	r.Notes = append(r.Notes, waits(ctx, e.f, r.Weakens)...)
	return r, nil
}

// answering is a family with that alone by which questions are answered: not what
// is kept, who decides, how things are called, nor a clock that no schedule goes
// by.
func answering(f *policy.Family) policy.Family {
	a := *f
	a.Name, a.Country, a.Retention, a.Loosening, a.Guardians, a.SignalsOff, a.Night, a.LastID = "", "", policy.Retention{}, policy.Loosening{}, nil, nil, policy.Hours{}, 0
	scheduled := false
	a.Profiles, a.Devices = slices.Clone(f.Profiles), slices.Clone(f.Devices)
	for i := range a.Profiles {
		p := &a.Profiles[i]
		p.Name, p.Guests, p.Log = "", false, nil
		scheduled = scheduled || len(p.Schedules) > 0
	}
	for i := range a.Devices { // of a name what is answered under leases: domain
		a.Devices[i].Name = deviceLabel(a.Devices[i].Name)
	}
	if !scheduled {
		a.Zone = ""
	}
	return a
}

// waits says what becomes of the family's wish that loosening be slow.
func waits(ctx context.Context, f *policy.Family, weakens []policy.Weakening) []string {
	l := looseningText(f.Loosening)
	switch {
	case l == "" || len(weakens) == 0:
		return nil
	case actor(ctx) != nil:
		return []string{"In this family a change that weakens protection " + l + "."}
	}
	return []string{"In this family a change that weakens protection " + l +
		". That is not enforced here: who may run this command may do all. It is where people sign in."}
}

// coded gives an error of the store or of an edit its exit code.
func coded(err error) error {
	var own *codedError
	switch {
	case err == nil, errors.As(err, &own):
		return err
	case errors.Is(err, store.ErrNotFound):
		return &codedError{exitNothing, err}
	case errors.Is(err, store.ErrInvalid), errors.Is(err, store.ErrConflict):
		return usageError(err)
	}
	return err
}

// lag is said with every change of answers: what was asked before the change lives on at
// the device for as long as the answer may be kept there.
const lag = "In force within a second here; a device may go by an answer that it has already for up to a minute."

func printChanged(w io.Writer, r changed) {
	fmt.Fprintln(w, r.Done)
	if !r.Unchanged {
		fmt.Fprintln(w, r.InForce)
	}
	printWeakens(w, r.Weakens)
	for _, n := range r.Notes {
		fmt.Fprintln(w, n)
	}
	if !r.Unchanged && r.Revision > 1 {
		fmt.Fprintf(w, "To undo it: {kinward} changes undo %d\n", r.Revision)
	}
}

func printWeakens(w io.Writer, weakens []policy.Weakening) {
	if len(weakens) == 0 {
		return
	}
	fmt.Fprintln(w, "This weakens protection:")
	for _, x := range weakens {
		fmt.Fprintf(w, "  %s: %s\n", x.Where, x.What)
	}
}

// family finds a family by its name or number; "" is the home family. Where a
// guardian or a child acts it is theirs, and the name does not count: a family may
// be called what another one's number is.
func (n *node) family(ctx context.Context, name string) (*policy.Family, uint64, error) {
	if a := actor(ctx); a != nil && !a.operating {
		if a.Family == 0 { // 0 would be the home family
			return nil, 0, errForbidden
		}
		return n.db.Family(ctx, a.Family)
	}
	if name == "" {
		return n.db.Family(ctx, 0)
	}
	id, err := n.db.FindFamily(ctx, name)
	if number, bad := strconv.ParseInt(name, 10, 64); bad == nil && number > 0 && errors.Is(err, store.ErrNotFound) {
		id, err = policy.FamilyID(number), nil
	}
	if err == nil {
		var f *policy.Family
		var revision uint64
		if f, revision, err = n.db.Family(ctx, id); err == nil {
			return f, revision, nil
		}
	}
	if !errors.Is(err, store.ErrNotFound) {
		return nil, 0, coded(err)
	}
	some, failed := n.db.FamilyList(ctx, 0, 1000)
	if failed != nil {
		return nil, 0, failed
	}
	var names []string
	for _, f := range some {
		names = append(names, f.Name)
	}
	return nil, 0, &codedError{exitNothing, fmt.Errorf("there is no family %q%s; see: {kinward} families", name, didYouMean(blocklists.Near(name, names)))}
}

// aboutFamily gives a group of commands the flags that say whose family they
// are about.
func (c *cli) aboutFamily(group *cobra.Command, subs ...*cobra.Command) *cobra.Command {
	group.PersistentFlags().StringVar(&c.about.Family, "family", "", "name of the family (default: the home's own)")
	group.PersistentFlags().StringVar(&c.about.Why, "why", "", "why something is changed, for the record")
	group.AddCommand(subs...)
	c.families = append(c.families, group.Name())
	return group
}

// changeCommand makes a command of an operation that changes a family. read
// makes the request of the command's arguments.
func changeCommand[Req any](c *cli, op operation[change[Req], changed], cmd *cobra.Command, read func(args []string) Req) *cobra.Command {
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return do(cmd.Context(), c, cmd, op, change[Req]{c.about, read(args)}, printChanged)
	}
	return c.addJSON(cmd)
}

// showCommand makes a command of an operation that shows something of a family.
func showCommand[Rep any](c *cli, op operation[about, Rep], cmd *cobra.Command, text func(io.Writer, Rep)) *cobra.Command {
	cmd.Args = exactArgs()
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return do(cmd.Context(), c, cmd, op, c.about, text)
	}
	return c.addJSON(cmd)
}

// sentenceCase makes a sentence of a record of a change.
func sentenceCase(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	if size == 0 {
		return s
	}
	s = string(unicode.ToUpper(r)) + s[size:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

var stamps = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// inZone writes the times of a record, which are exact, by the family's clock.
func inZone(s string, zone *time.Location) string {
	return stamps.ReplaceAllStringFunc(s, func(stamp string) string {
		t, err := time.Parse(time.RFC3339, stamp)
		if err != nil {
			return stamp
		}
		return shown(t, zone)
	})
}

// weakensIn is inZone for how a change lowers protection.
func weakensIn(list []policy.Weakening, zone *time.Location) []policy.Weakening {
	out := slices.Clone(list)
	for i := range out {
		out[i].What = inZone(out[i].What, zone)
	}
	return out
}

// timeLayout is a time as people read it.
const timeLayout = "Mon 2 Jan 2006 15:04"

// shown writes a time by [timeLayout].
func shown(t time.Time, zone *time.Location) string {
	return t.In(zone).Format(timeLayout)
}

// ending reads how long something lasts: --for a span, "today", or --until a
// time. The zero time is for good.
func (e *edit) ending(span, until string) (time.Time, error) {
	switch {
	case span != "" && until != "":
		return time.Time{}, usageError(errors.New("give either --for or --until"))
	case until != "":
		t, err := parseEnd(until, e.zone, e.now)
		if err != nil {
			return t, usageError(fmt.Errorf("--until: %w", err))
		}
		return t.UTC(), nil
	case span == "today":
		local := e.now.In(e.zone)
		return time.Date(local.Year(), local.Month(), local.Day()+1, 0, 0, 0, 0, e.zone).UTC(), nil
	case span == "":
		return time.Time{}, nil
	}
	d, err := parseSpan(span)
	if err != nil {
		return time.Time{}, usageError(fmt.Errorf("--for: %w", err))
	}
	if d == 0 {
		return time.Time{}, usageError(errors.New("--for: it would end at once; give a span like 15m, 2h or 7d"))
	}
	return e.now.Add(d).UTC().Truncate(time.Second), nil
}

// orDefault returns the name of a profile, that of unknown devices for "".
func (e *edit) orDefault(profile string) (string, error) {
	if profile != "" {
		p, err := e.f.Profile(profile)
		if err != nil {
			return "", err
		}
		return p.Name, nil
	}
	p := e.f.ProfileByID(e.f.Default)
	if p == nil {
		return "", usageError(errors.New("unknown devices are refused, so name a profile with --profile"))
	}
	return p.Name, nil
}
