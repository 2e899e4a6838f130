package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"kinward/console"
	"kinward/policy"
	"kinward/store"
)

// desk runs the operations for whoever stands before the console. What each may
// do stands in the table of roles, and nowhere else.
type desk struct{ n *node }

func newDesk(n *node) console.Desk { return &desk{n} }

// acting is who runs an operation, where it is not the command line. It travels
// in the context, from the desk down to the record of changes, so that no
// operation can forget it on the way.
type acting struct {
	console.Actor
	// operating: the operation was allowed to them as operator, so the request
	// names the family. Otherwise the family is theirs, whatever the request says.
	operating bool
	// pending is the change that waited and is made now; agreed is who agreed, or
	// that its time had come.
	pending *store.Pending
	agreed  string
	brief   bool // it allows for up to briefAnswer what a child asked for
	trying  bool // it is to be told what would change, and taken back
}

// with returns a context in which whoever acts in ctx does so as f says.
func with(ctx context.Context, f func(*acting)) context.Context {
	a := actor(ctx)
	if a == nil {
		return ctx
	}
	b := *a
	f(&b)
	return as(ctx, &b)
}

type actingKey struct{}

// as returns a context in which a acts.
func as(ctx context.Context, a *acting) context.Context {
	return context.WithValue(ctx, actingKey{}, a)
}

// actor returns who acts in ctx; nil is the command line, which may do all.
func actor(ctx context.Context) *acting {
	a, _ := ctx.Value(actingKey{}).(*acting)
	return a
}

// guardian returns who acts in ctx where that is a guardian, else nil.
func guardian(ctx context.Context) *acting {
	if a := actor(ctx); a != nil && !a.operating && a.Guardian != 0 {
		return a
	}
	return nil
}

// knowsSecrets reports whether who acts in ctx may know by which secret a device is
// recognised: with it anybody asks as that device, from anywhere, and has it said
// of the child. It is for those who may give a device another one.
func knowsSecrets(ctx context.Context) bool {
	a := actor(ctx)
	return a == nil || a.Guardian != 0 && a.Role >= policy.Carer && !a.Reader
}

// whoActs is what the record of changes calls who acts in ctx; "" is the command
// line.
func whoActs(ctx context.Context) string {
	a := actor(ctx)
	switch {
	case a == nil:
		return ""
	case a.agreed != "":
		return a.Name + " (" + a.agreed + ")"
	}
	return a.Name
}

// Do runs an operation. See [console.Desk].
func (d *desk) Do(ctx context.Context, by console.Actor, name string, req, rep any) error {
	a, err := d.admit(ctx, by, name)
	if err != nil {
		return err
	}
	raw, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("encoding the request for %s: %w", name, err)
	}
	if req == nil {
		raw = []byte("{}")
	}
	result, err := d.n.operations[name](as(ctx, a), d.n, raw, func(string) {})
	var w *waiting
	if errors.As(err, &w) {
		return d.n.wait(ctx, a, name, raw, w)
	}
	if err != nil {
		return asRefusal(err)
	}
	encoded, err := json.Marshal(forPage(result))
	if err != nil {
		return fmt.Errorf("encoding the reply of %s: %w", name, err)
	}
	if rep == nil {
		return nil
	}
	if err := json.Unmarshal(encoded, rep); err != nil {
		return fmt.Errorf("reading the reply of %s: %w", name, err)
	}
	return nil
}

var (
	errUnoffered = &console.Refusal{Kind: console.NotFound}
	errForbidden = &console.Refusal{Kind: console.Forbidden}
)

// admit says in which capacity by may run an operation.
func (d *desk) admit(ctx context.Context, by console.Actor, name string) (*acting, error) {
	who, offered := roles[name]
	if d.n.operations[name] == nil || !offered {
		return nil, errUnoffered
	}
	if by.Child != nil {
		if who&children == 0 || by.Family == 0 || by.Guardian != 0 {
			return nil, errForbidden
		}
		return &acting{Actor: by}, nil
	}
	if by.Guardian != 0 && by.Family != 0 {
		role, err := d.role(ctx, &by)
		if err != nil {
			return nil, err
		}
		if who.has(role) {
			return &acting{Actor: by}, nil
		}
	}
	if by.Operator && who&operators != 0 {
		return &acting{Actor: by, operating: true}, nil
	}
	return nil, errForbidden
}

// role returns what a guardian may do now: who was removed or given less since
// the session began may not do what they could. A session that was given less
// than its guardian has, such as a program's, has no more.
func (d *desk) role(ctx context.Context, by *console.Actor) (policy.Role, error) {
	f, _, err := d.n.db.Family(ctx, by.Family)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return 0, errForbidden
	case err != nil:
		return 0, err
	}
	for _, g := range f.Guardians {
		if g.ID == by.Guardian {
			by.Name, by.Role = g.Name, min(by.Role, g.Role)
			return by.Role, nil
		}
	}
	return 0, errForbidden
}

// asRefusal makes a refusal of an error that is about what was asked for. Any
// other is a fault.
func asRefusal(err error) error {
	var refusal *console.Refusal
	if errors.As(err, &refusal) {
		return refusal
	}
	kind := kindOfRefusal(err)
	if kind == "" {
		return err
	}
	return &console.Refusal{Kind: kind, Text: sentenceCase(pageText(err.Error()))}
}

// kindOfRefusal says what is wrong with what was asked for; "" is nothing, so that
// it is a fault.
func kindOfRefusal(err error) console.RefusalKind {
	var refusal *console.Refusal
	var own *codedError
	switch {
	case errors.As(err, &refusal):
		return refusal.Kind
	case errors.Is(err, store.ErrStale):
		return console.Stale
	case errors.Is(err, store.ErrConflict):
		return console.Conflict
	case errors.Is(err, store.ErrNotFound):
		return console.NotFound
	case errors.Is(err, store.ErrInvalid):
		return console.Invalid
	case errors.As(err, &own) && own.code == exitUsage:
		return console.Invalid
	case errors.As(err, &own) && own.code == exitNothing, errors.Is(err, errNoCache), errors.Is(err, errNoneSeen):
		return console.NotFound
	}
	return ""
}

var (
	flagBefore = regexp.MustCompile(`(^|: )--[a-z-]+: `)
	seeCommand = regexp.MustCompile(`; (?:see|make one with): kinward [a-z -]+$`)
	clauses    = regexp.MustCompile(`(; |\. |, or |\()`)
)

// pageText takes out of a text what it says about commands: who reads a page
// runs none.
func pageText(s string) string {
	s = seeCommand.ReplaceAllString(flagBefore.ReplaceAllString(s, "$1"), "")
	for strings.Contains(s, "{kinward}") || strings.Contains(s, " --") {
		at := max(0, min(index(s, "{kinward}"), index(s, " --")))
		cuts := clauses.FindAllStringIndex(s[:at], -1)
		if len(cuts) == 0 {
			break
		}
		s = s[:cuts[len(cuts)-1][0]]
	}
	return s
}

func index(s, part string) int {
	if i := strings.Index(s, part); i >= 0 {
		return i
	}
	return len(s)
}

// forPage takes hints about commands out of what an operation replies.
func forPage(result any) any {
	switch r := result.(type) {
	case done:
		r.Done = pageText(r.Done)
		return r
	case changed:
		r.Notes = pageTexts(r.Notes)
		return r
	case explainReply:
		r.Notes = pageTexts(r.Notes)
		return r
	}
	return result
}

// pageTexts is pageText for several, without those that are about commands only.
func pageTexts(list []string) []string {
	out := []string{}
	for _, s := range list {
		if s = pageText(s); !strings.Contains(s, "{kinward}") {
			out = append(out, s)
		}
	}
	return out
}
