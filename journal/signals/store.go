package signals

import (
	"context"
	"time"

	"kinward/journal"
	"kinward/policy"
)

// Store is where incidents come from and signals go. All methods return soon after
// ctx ends.
type Store interface {
	// Changed returns the incidents that changed after a number, whole batches in
	// order, and the last one's number.
	Changed(ctx context.Context, after uint64, limit int) (rows []journal.Row, last uint64, err error)
	// SignalCursor returns up to which number incidents were looked at.
	SignalCursor(ctx context.Context) (uint64, error)
	// SignalMemory returns what is remembered of a profile, nil where nothing is.
	SignalMemory(ctx context.Context, family policy.FamilyID, profile policy.ProfileID) ([]byte, error)
	// SignalHistory returns when a profile was made, zero where that is not known,
	// and its incidents up to a number.
	SignalHistory(ctx context.Context, family policy.FamilyID, profile policy.ProfileID, upTo uint64) (time.Time, []journal.Incident, error)
	// Family returns a family; the error wraps [policy.ErrNotFound] where it is gone.
	Family(ctx context.Context, id policy.FamilyID) (*policy.Family, uint64, error)
	// Seen returns when each device of a family asked last.
	Seen(ctx context.Context, family policy.FamilyID) (map[policy.DeviceID]time.Time, error)
	// Silences returns devices that are due, the longest first, at most limit.
	Silences(ctx context.Context, now time.Time, limit int) ([]Silence, error)
	// WriteSignals applies b in one durable transaction: all of it or, with an error,
	// nothing. A signal that is there already stays as it is.
	WriteSignals(ctx context.Context, b Batch) error
}

// Batch is what is written together.
type Batch struct {
	// Cursor is the new one, After what it must be before; both zero leave it.
	After, Cursor uint64
	Signals       []journal.SignalRow
	Memories      []Remembered
	Settled       []Settled
}

// Remembered is what is remembered of a profile.
type Remembered struct {
	Family  policy.FamilyID
	Profile policy.ProfileID
	Before  []byte // nil: nothing was
	Memory  []byte
}

// Silence is a device that has not asked for longer than it usually does.
type Silence struct {
	Family   policy.FamilyID
	Device   policy.DeviceID
	Last     time.Time // the minute in which it asked last
	Due      time.Time
	Baseline []byte
}

// Settled is what becomes of a silence. Where the device has asked meanwhile,
// nothing does.
type Settled struct {
	Silence
	Next   time.Time          // when to look again; zero: when it has asked
	Signal *journal.SignalRow // what is told
	Forget bool               // the device has no baseline any more
}
