package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"kinward/console"
	"kinward/policy"
	"kinward/store"
)

// briefAnswer is how long a child's wish may be granted where weakening has to
// wait: a quarter of an hour for homework is a guardian's daily business, and one
// that came a day later would be no answer. A family that wants two guardians for
// each weakening gets two for this, too.
const briefAnswer = time.Hour

// waiting is why a change was not made: it weakens protection, and the family
// wants that to be slow.
type waiting struct {
	loosening policy.Loosening
	zone      *time.Location
	what      string
	why       string
	weakens   []policy.Weakening
	request   json.RawMessage // what is run when it is made; nil: what was asked for
}

func (w *waiting) Error() string {
	return "it weakens protection, and the family wants such a change to be one that " + looseningText(w.loosening)
}

// guard is where every change of a family passes that anybody makes from the
// console, whichever operation makes it: see [store.Options]. The command line may
// do all.
func (n *node) guard(ctx context.Context, t *store.Tx, p store.Proposal) error {
	a := actor(ctx)
	switch {
	case a == nil, a.operating:
		return nil
	case a.Guardian == 0:
		return errForbidden
	}
	if err := n.mayClaim(p); err != nil {
		return err
	}
	if err := mayDecide(a.Role, p); err != nil {
		return err
	}
	if w := a.pending; w != nil {
		if more := beyond(p.Weakens, w.Weakens); len(more) > 0 {
			return usageError(fmt.Errorf("by now it would weaken more than it was to: %s", policy.Sentences(more)))
		}
		return t.Settle(w.Family, w.ID, store.PendingDone, a.agreed, "", p.Revision)
	}
	l := p.Before.Loosening
	switch {
	case l == policy.Loosening{}, len(p.Weakens) == 0, a.trying:
		return nil
	case a.brief && !l.Second && isBrief(p):
		return nil
	}
	return &waiting{loosening: l, zone: zoneOf(p.Before), what: p.What, why: p.Why, weakens: p.Weakens}
}

// isBrief reports whether all that is new in a change are grants that are soon over.
func isBrief(p store.Proposal) bool {
	rest := *p.After
	rest.Grants = p.Before.Grants
	if d, err := policy.DeltaOf(p.Before, &rest); err != nil || len(d) > 0 {
		return false
	}
	return !slices.ContainsFunc(p.After.Grants, func(g policy.Grant) bool {
		return !slices.Contains(p.Before.Grants, g) && g.Until.Sub(g.From) > briefAnswer
	})
}

// mayClaim refuses what would bring another household's questions to the family:
// who has a public address is recognised by it, so only whoever runs the server
// gives one away. A device's own is taken where it is seen asking as the family.
func (n *node) mayClaim(p store.Proposal) error {
	claimed := slices.DeleteFunc(slices.Clone(p.After.Networks), func(a netip.Prefix) bool { return slices.Contains(p.Before.Networks, a) })
	had := map[netip.Prefix]bool{}
	for _, d := range p.Before.Devices {
		for _, a := range d.Networks {
			had[a] = true
		}
	}
	for _, d := range p.After.Devices {
		for _, a := range d.Networks {
			if !had[a] && !policy.IsPrivate(a) && !n.asksAs(p.Before.ID, a) {
				claimed = append(claimed, a)
			}
		}
	}
	if len(claimed) > 0 {
		return usageError(fmt.Errorf("%s is a public address, and only whoever runs this server says whose it is; a device that asked from it can be chosen among those that were seen", networkText(claimed[0])))
	}
	return nil
}

// asksAs reports whether an address is one that a family's unknown devices asked
// from.
func (n *node) asksAs(family policy.FamilyID, a netip.Prefix) bool {
	if n.serving == nil || !a.IsSingleIP() {
		return false
	}
	for _, u := range n.serving.server.Unknown(family) {
		if u.Addr.Unmap() == a.Addr().Unmap() {
			return true
		}
	}
	return false
}

// mayDecide refuses what only an owner decides, whatever operation would do it.
func mayDecide(role policy.Role, p store.Proposal) error {
	if role >= policy.Owner {
		return nil
	}
	changes, err := policy.DeltaOf(p.Before, p.After)
	if err == nil && changes.Touches(ownersPart) {
		err = errForbidden
	}
	return err
}

// ownersPart reports whether a part of a family, by its path in a [policy.Delta], is
// one that only an owner decides.
func ownersPart(path string) bool {
	what, _, _ := strings.Cut(path, "/")
	return slices.Contains([]string{"name", "zone", "loosening", "retention", "guardian"}, what)
}

// beyond returns the weakenings that were not announced. When something ends is
// left out: a span of time begins when it is allowed.
func beyond(now, announced []policy.Weakening) (more []policy.Weakening) {
	timeless := func(w policy.Weakening) string { return stamps.ReplaceAllString(w.String(), "") }
	for _, w := range now {
		if !slices.ContainsFunc(announced, func(o policy.Weakening) bool { return timeless(o) == timeless(w) }) {
			more = append(more, w)
		}
	}
	return more
}

// pendingExpires is how long a change waits for another guardian.
const pendingExpires = 14 * 24 * time.Hour

// maxPendingRequest bounds what is kept of a change that waits.
const maxPendingRequest = 64 << 10

// wait keeps a change that has to wait, and returns the refusal that says so.
func (n *node) wait(ctx context.Context, a *acting, operation string, raw json.RawMessage, w *waiting) error {
	if w.request != nil {
		raw = w.request
	}
	if len(raw) > maxPendingRequest {
		return &console.Refusal{Kind: console.Invalid, Text: "It weakens protection, so it has to wait, and it is too large for that; change less at once."}
	}
	now := time.Now().Truncate(time.Millisecond)
	p := store.Pending{
		Family: a.Family, Guardian: a.Guardian, Who: a.Name, At: now, Second: w.loosening.Second, Operation: operation, Request: raw,
		What: w.what, Why: w.why, Weakens: w.weakens,
	}
	if w.loosening.Delay > 0 {
		p.Due = now.Add(time.Duration(w.loosening.Delay) * time.Minute)
	}
	p, err := n.db.AddPending(ctx, p)
	if err != nil {
		return asRefusal(err)
	}
	n.bells.ring(a.Family)
	return &console.Refusal{Kind: console.Waits, Pending: p.ID, Text: "It weakens protection, so it " + waitsFor(p, w.zone) + "."}
}

// waitsFor says what a change waits for.
func waitsFor(p store.Pending, zone *time.Location) string {
	var parts []string
	if p.Second && p.AgreedWho == "" {
		parts = append(parts, "waits for another guardian")
	}
	if !p.Due.IsZero() {
		parts = append(parts, "waits until "+shown(p.Due, zone))
	}
	text := strings.Join(parts, ", and ")
	if !p.Second {
		text += ", or until another guardian agrees"
	}
	return text
}

// carryOut makes a change that waited. What cannot be made any more is settled as
// failed, with the reason; only a fault of the server is returned, and leaves it
// waiting.
func (n *node) carryOut(ctx context.Context, p store.Pending) (store.Pending, error) {
	ctx = context.WithoutCancel(ctx) // agreed is agreed
	defer n.bells.ring(p.Family)
	agreed := "its time had come"
	if p.AgreedWho != "" {
		agreed = p.AgreedWho + " agreed"
	}
	d := &desk{n}
	a, err := d.admit(ctx, console.Actor{Family: p.Family, Guardian: p.Guardian, Role: policy.Owner}, p.Operation)
	if err == nil {
		a.pending, a.agreed = &p, agreed
		_, err = n.operations[p.Operation](as(ctx, a), n, p.Request, func(string) {})
	}
	switch {
	case err == nil:
		now, err := n.db.Pending(ctx, p.Family, p.ID)
		if err != nil || now.State != store.PendingWaits {
			return now, err
		}
		return n.settle(ctx, p, store.PendingDone, agreed, "it was so already")
	case kindOfRefusal(err) == "":
		return p, err
	}
	text := pageText(err.Error())
	if errors.Is(err, errForbidden) {
		text = "who wanted it may not do so any more"
	}
	if now, bad := n.db.Pending(ctx, p.Family, p.ID); bad == nil && now.State != store.PendingWaits {
		return now, nil // somebody else was faster
	}
	return n.settle(ctx, p, store.PendingFailed, agreed, text)
}

// settledWords say in the history what became of a change that waited.
var settledWords = map[store.PendingState]string{
	store.PendingRejected: "rejected", store.PendingWithdrawn: "withdrew", store.PendingFailed: "could not make", store.PendingExpired: "let go, as nobody agreed,",
}

// settle keeps what became of a change that waited, other than that it was made,
// and tells it in the family's history.
func (n *node) settle(ctx context.Context, p store.Pending, s store.PendingState, who, note string) (store.Pending, error) {
	db := n.db
	if actor(ctx) == nil && (s == store.PendingFailed || s == store.PendingExpired) {
		db = db.As("Kinward")
	}
	err := db.Together(ctx, func(t *store.Tx) error {
		var revision uint64
		if word := settledWords[s]; word != "" {
			what := fmt.Sprintf("%s what %s wanted: %s", word, p.Who, p.What)
			if note != "" {
				what += " (" + note + ")"
			}
			var err error
			if revision, err = t.Note(p.Family, policy.Clip(what, 600), p.Why); err != nil {
				return err
			}
		}
		return t.Settle(p.Family, p.ID, s, who, note, revision)
	})
	if err != nil {
		return p, err
	}
	if err := n.refresh(ctx, p.Family); err != nil {
		return p, err
	}
	return n.db.Pending(ctx, p.Family, p.ID)
}

// ripenEvery is how often changes are looked for whose time has come: one question
// that mostly finds nothing.
const ripenEvery = 10 * time.Second

// ripener makes changes whose time has come.
type ripener struct {
	n     *node
	now   func() time.Time
	every <-chan time.Time
}

// run goes on until ctx ends. A failure is logged, and tried again.
func (r *ripener) run(ctx context.Context) error {
	failing := false
	for {
		err := r.ripen(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			r.n.log.Warn("a change whose time has come cannot be made; it is tried again", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-r.every:
		}
	}
}

func (r *ripener) ripen(ctx context.Context) error {
	now := r.now()
	list, err := r.n.db.RipePendings(ctx, now, now.Add(-pendingExpires), store.MaxPending)
	var errs []error
	for _, p := range list {
		if p.Ripe(now) {
			_, err := r.n.carryOut(ctx, p)
			errs = append(errs, err)
			continue
		}
		_, err := r.n.settle(ctx, p, store.PendingExpired, "", "")
		errs = append(errs, err)
	}
	return errors.Join(append(errs, err)...)
}
