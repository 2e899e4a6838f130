// Package policy decides what happens to a question: who asks, what their
// family chose, and why the answer is what it is.
//
// Everything here is immutable once made and safe for concurrent use. [Decide]
// is the one place that decides; the data plane and [Explain] share it.
package policy

import (
	"fmt"
	"net/netip"
	"time"

	"kinward/blocklists"
)

// Action is what happens to a question.
type Action uint8

const (
	Allow   Action = iota
	Watch          // allow and record
	Rewrite        // answer with what a safer name has: SafeSearch
	Block
)

// String returns "allow", "watch", "rewrite" or "block".
func (a Action) String() string {
	return [...]string{"allow", "watch", "rewrite", "block"}[a]
}

// Keep says what is kept of an attempt.
type Keep uint8

const (
	KeepNothing Keep = iota
	KeepCount        // that it happened, without a name
	KeepItem         // the attempt itself
)

// Bypass says whether a look-up could lead past the filter. It is information,
// never an accusation: systems ask for most such names by themselves.
type Bypass uint8

const (
	NoBypass      Bypass = iota
	BypassRoutine        // canaries and what systems, browsers and apps ask for by themselves
	BypassAttempt        // what somebody has to want: a VPN's or proxy's own site or app
)

// Choice is what a profile does about a category or a service. Its order is its
// strength: of two choices that meet on one name, the larger one holds.
type Choice uint8

const (
	ChooseAllow  Choice = iota
	ChooseWatch         // allow and record
	ChooseTally         // allow and count
	ChooseHide          // block, keep nothing
	ChooseDigest        // block and record, for the digest
	ChooseBlock         // block and record, guardians are told at once
	ChooseCount         // block and count; strongest, because what must not be named stays unnamed
)

var choiceNames = [...]string{"allow", "watch", "tally", "hide", "digest", "block", "count"}

// String returns the word that presets and commands use.
func (c Choice) String() string { return choiceNames[c] }

// choiceOf returns the choice that does and keeps this. Of the two that block
// and keep the attempt it is the one of the digest.
func choiceOf(a Action, k Keep) Choice {
	if a == Block {
		return [...]Choice{KeepNothing: ChooseHide, KeepCount: ChooseCount, KeepItem: ChooseDigest}[k]
	}
	return [...]Choice{KeepNothing: ChooseAllow, KeepCount: ChooseTally, KeepItem: ChooseWatch}[k]
}

// keeping returns the choice that does the same and keeps k.
func (c Choice) keeping(k Keep) Choice {
	if c.Keep() == k {
		return c
	}
	return choiceOf(c.Action(), k)
}

// blocking returns the choice that blocks and keeps what c does.
func (c Choice) blocking() Choice {
	if c.Action() == Block {
		return c
	}
	return choiceOf(Block, c.Keep())
}

// freed returns c, or where c blocks the choice that allows and keeps nothing.
func (c Choice) freed() Choice {
	if c.Action() == Block {
		return ChooseAllow
	}
	return c
}

// ParseChoice reads the word for a choice.
func ParseChoice(s string) (Choice, error) {
	for i, n := range choiceNames {
		if n == s {
			return Choice(i), nil
		}
	}
	return 0, fmt.Errorf("reading choice %q: want one of %q", s, choiceNames)
}

// Action returns what the choice does to a question.
func (c Choice) Action() Action {
	switch c {
	case ChooseAllow:
		return Allow
	case ChooseWatch, ChooseTally:
		return Watch
	}
	return Block
}

// Keep returns what the choice keeps of an attempt.
func (c Choice) Keep() Keep {
	switch c {
	case ChooseAllow, ChooseHide:
		return KeepNothing
	case ChooseCount, ChooseTally:
		return KeepCount
	}
	return KeepItem
}

// Reason says which step of the order of decision settled a question.
type Reason uint8

const (
	ByDefault    Reason = iota // nothing speaks against the name
	ByHelp                     // a help line or the like: open to everybody, always
	BySecurity                 // phishing, malware and the like
	ByPlumbing                 // what devices need in order to work at all
	ByRule                     // a guardian's own rule
	ByService                  // the family's choice about the service
	ByCategory                 // the family's choice about the category
	ByKnownRisk                // the family's choice about apps with a record of harm
	ByGrant                    // a guardian's time-boxed exception
	ByPause                    // everything is paused
	BySchedule                 // a schedule: bedtime, or the hours of a category, service or rule
	ByList                     // the family's choice about a list
	BySafeSearch               // the safe mode of a search engine
	ByCanary                   // a name by which programs ask whether the network filters
	NumReasons
)

var reasonNames = [...]string{"default", "help", "security", "plumbing", "rule", "service", "category", "known-risk", "grant", "pause", "schedule", "list", "safe-search", "canary"}

// String returns the word that logs, metrics and --json use.
func (r Reason) String() string { return reasonNames[r] }

// Verdict is the outcome of a decision, with what is needed to explain it. It
// is a small value without pointers into a family's data.
type Verdict struct {
	Action   Action
	Reason   Reason
	Keep     Keep
	Quiet    bool // the name is asked for without the person's doing: never an incident alone
	NoData   bool // a block must answer NODATA, since a name below this one may be allowed
	Label    blocklists.Label
	Rule     RuleID
	RuleName blocklists.Name // the rule's name, where Rule is set: it settled the verdict, or would without a schedule or pause
	Schedule ScheduleID      // the schedule that settled it, 0 for none
	Grant    GrantID         // the grant that settled it, 0 for none
	Target   blocklists.Name // what a rewrite answers with, "" otherwise
	Engine   EngineID        // the search engine of a rewrite
	Flatten  bool            // a rewrite must not show a CNAME
	Bypass   Bypass          // whether the name leads past the filter
}

// Entry returns the name of the list entry or rule that settled the verdict for
// n, "" where nothing did.
func (v Verdict) Entry(n blocklists.Name) blocklists.Name {
	switch {
	case v.Rule != 0:
		return v.RuleName
	case v.Label.Depth == 0:
		return ""
	}
	return v.Label.Entry(n)
}

// Attempt is one decided question that is worth keeping.
type Attempt struct {
	Time     time.Time
	Family   FamilyID
	Profile  ProfileID
	Device   DeviceID
	Client   netip.Addr // who asked; see [KeptClient]
	Name     blocklists.Name
	Type     uint16 // the question's type
	Verdict  Verdict
	Service  string          // its ID, "" for none
	List     string          // the ID of the list whose entry decided, "" for none
	Pattern  string          // the rule, where it is one that is no name
	Hidden   blocklists.Name // set where Name itself was allowed but led (CNAME, HTTPS) to this blocked name
	Revision uint64          // of the family's choices that decided
}

// KeptClient returns what may be kept of the address that somebody asked from:
// the address without its zone where it means something in a home alone and no
// known device asked, since nothing else tells unknown devices apart; otherwise
// none. A public one could name a household to the world.
func KeptClient(device DeviceID, from netip.Addr) netip.Addr {
	from = from.Unmap().WithZone("")
	if device != 0 || !(from.IsPrivate() || from.IsLoopback() || from.IsLinkLocalUnicast()) {
		return netip.Addr{}
	}
	return from
}
