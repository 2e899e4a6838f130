package alerts

import (
	"context"
	"errors"
	"time"

	"kinward/policy"
)

// ErrForgotten is what reading an event returns that is no longer kept.
var ErrForgotten = errors.New("it is no longer kept")

// Told is an event that a channel is told of, once: the store has none twice.
type Told struct {
	Family  policy.FamilyID
	Channel ChannelID
	Feed    Feed
	Event   string
	Profile policy.ProfileID
	Urgent  bool
	At      time.Time // of the event
	Due     time.Time // when it may be told
}

// State is what became of a message. The words last.
type State string

const (
	Waiting State = "waiting"
	Sent    State = "sent"
	Dropped State = "dropped" // all that it would tell is forgotten or muted
	Expired State = "expired" // it could not be delivered in time
)

// Outgoing is a message in the outbox: which one, not what it says.
type Outgoing struct {
	Family  policy.FamilyID
	ID      string // 32 hexadecimal digits: the idempotency key
	Channel ChannelID
	Period  When      // of a digest; [Immediate] for an alert
	From    time.Time // of a digest: what it sums up
	Until   time.Time
	Urgent  bool
	Made    time.Time
	Next    time.Time // when it is tried next
	Tries   int
	State   State
	Error   string // of the last try; "" is none
}

// Due is a digest of a channel that falls due.
type Due struct {
	Family  policy.FamilyID
	Channel ChannelID
	Period  When
	From    time.Time // the end of the one before
	At      time.Time
}

// Store keeps channels, preferences and the outbox. Its methods return soon after
// ctx ends; each that writes is one durable transaction. What is due further ahead
// than it can be, since the clock was set back, counts as due.
type Store interface {
	// Position returns how far a feed was read; 0 at first.
	Position(ctx context.Context, f Feed) (uint64, error)
	// Note keeps events to be told, and how far the feed was read. Events that a
	// channel was told of or will be are passed over.
	Note(ctx context.Context, f Feed, position uint64, told []Told) error

	// Channels returns a family's channels with their secrets, in order of IDs.
	Channels(ctx context.Context, family policy.FamilyID) ([]Channel, error)
	// Preferences returns those of the guardians who chose something.
	Preferences(ctx context.Context, family policy.FamilyID) (map[policy.GuardianID]Preferences, error)

	// DueTold returns what is due and in no message yet, by channel, oldest first.
	DueTold(ctx context.Context, now time.Time, limit int) ([]Told, error)
	// Alerts returns when the alerts of a channel were made that are newer than since.
	Alerts(ctx context.Context, family policy.FamilyID, channel ChannelID, since time.Time) ([]time.Time, error)
	// Delay lets all that a channel waits to be told of wait until a time.
	Delay(ctx context.Context, family policy.FamilyID, channel ChannelID, until time.Time) error
	// Bundle puts a message into the outbox that tells all that is due of its
	// channel up to a time.
	Bundle(ctx context.Context, o Outgoing, upTo time.Time) error
	// Tells returns the events that a message tells, oldest first, and how many
	// there are in all.
	Tells(ctx context.Context, family policy.FamilyID, message string, limit int) ([]Told, int, error)

	// DueDigests returns the digests that are due.
	DueDigests(ctx context.Context, now time.Time, limit int) ([]Due, error)
	// Turn puts a digest's message into the outbox, if it has one, and says when
	// the next is due; zero is never again. The next begins where this one ends, and
	// not after now.
	Turn(ctx context.Context, d Due, now, next time.Time, o *Outgoing) error

	// Outbox returns the messages that wait and are due, oldest first.
	Outbox(ctx context.Context, now time.Time, limit int) ([]Outgoing, error)
	// Settle keeps what became of a try, and of the channel.
	Settle(ctx context.Context, o Outgoing, at time.Time, gone bool) error
	// Prune removes what was settled before a time. What was told stays known for
	// as long as an event of it could come again.
	Prune(ctx context.Context, before time.Time) error
	// Next returns when something falls due, in the past where it did already, and
	// the zero time where nothing waits.
	Next(ctx context.Context) (time.Time, error)
	// Backlog returns how many messages wait.
	Backlog(ctx context.Context) (int, error)
}
