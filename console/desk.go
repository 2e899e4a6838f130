package console

import (
	"context"
	"errors"

	"kinward/policy"
)

// Actor is who stands before the desk. The zero value is nobody, who may do
// nothing. The owner who sets a server up at home is both: a guardian, and its
// operator.
type Actor struct {
	Family   policy.FamilyID   // whose things it is about; 0: an operator
	Guardian policy.GuardianID // 0: an operator, or a child
	Name     string            // for the record of changes
	Role     policy.Role       // in the family; counts only where Guardian is set
	Operator bool              // runs this server: sees no family's incidents
	Reader   bool              // a program that may change nothing: it is told no device's secret
	Lang     string            // BCP 47: the language that replies are worded in; "" is English
	// Child is set where a device asks for itself: its own view, and the asking for
	// access, are all that it may do.
	Child *Child
}

// Child is the device, and with it the profile, that asks for itself.
type Child struct {
	Profile policy.ProfileID
	Device  policy.DeviceID // 0: a device that is not known by name
}

// Desk runs the operations of the program, the same that the command line runs.
// Req and rep travel as JSON: req is encoded for the operation, its reply is
// decoded into rep (nil: not wanted).
//
// It decides what the actor may do, and whose family it is about: the actor's
// own, whatever req says. A refusal is a *[Refusal]. It is safe for concurrent
// use.
type Desk interface {
	Do(ctx context.Context, by Actor, operation string, req, rep any) error
	// Watch returns a channel that is sent to whenever something of the actor's
	// family may have changed: an incident, a signal, a request, a choice. A
	// receiver that is slow misses no change, only repetitions. stop ends it.
	Watch(by Actor) (changes <-chan struct{}, stop func())
}

// Refusal is why the desk did not do what it was asked. Its text is written for
// whoever asked.
type Refusal struct {
	Kind RefusalKind
	Text string
	// Pending is the number of the change that waits for its time or for another
	// guardian; 0 where none does.
	Pending int64
}

// RefusalKind says what kind of refusal it is.
type RefusalKind string

// The kinds of refusals.
const (
	Forbidden RefusalKind = "forbidden" // the role does not allow it
	NotFound  RefusalKind = "not-found"
	Invalid   RefusalKind = "invalid"
	Conflict  RefusalKind = "conflict" // changed by somebody else meanwhile
	Waits     RefusalKind = "waits"    // it weakens protection: it waits, see Pending

	Stale RefusalKind = "stale" // the family's choices are no longer at the revision that it was decided on

	// The console's own.
	SignIn  RefusalKind = "sign-in"  // nobody is signed in
	TooMany RefusalKind = "too-many" // wrong too often, or at it too often
	Gone    RefusalKind = "gone"     // a link that was used, or whose time is over
	// Misdirected is asked for under a name that is not this server's.
	Misdirected RefusalKind = "misdirected"
)

func (r *Refusal) Error() string { return r.Text }

// refused returns the refusal in err; nil where it is none.
func refused(err error) *Refusal {
	var r *Refusal
	if errors.As(err, &r) {
		return r
	}
	return nil
}

// call is an operation of the desk with the console's view of its request and
// reply. A test of the program holds these views against the operations' own.
type call[Req, Rep any] string

// do runs the operation for whoever made the visit.
func (c call[Req, Rep]) do(v *visit, req Req) (rep Rep, err error) {
	by := v.actor
	by.Lang = v.lang.tag
	err = v.server.desk.Do(v.request.Context(), by, string(c), req, &rep)
	if r := refused(err); r != nil && r.Text != "" {
		said := *r
		said.Text = v.lang.refusal(r.Text)
		return rep, &said
	}
	return rep, err
}
