package blocklists

import (
	"errors"
	"maps"
	"sync"
)

// Stats counts what a [Library] did since it was opened.
type Stats struct {
	Outcomes [NumOutcomes]uint64 // of Update, by outcome, and of Add, where a list was taken
	// Failures counts what did not come, and what a guard held, by reason; the
	// keys are those of FailureReasons.
	Failures map[string]uint64
}

// Stats returns the counts so far. The caller owns the result.
func (l *Library) Stats() Stats {
	l.stats.mu.Lock()
	defer l.stats.mu.Unlock()
	s := l.stats.Stats
	s.Failures = maps.Clone(s.Failures)
	return s
}

type libraryStats struct {
	mu sync.Mutex
	Stats
}

func (s *libraryStats) count(o Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Outcomes[o]++
}

func (s *libraryStats) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Failures == nil {
		s.Failures = map[string]uint64{}
	}
	s.Failures[failureReason(err)]++
}

// failureReasons tells errors apart for counting, the most telling first.
var failureReasons = []struct {
	err    error
	reason string
}{
	{ErrNoRoom, "disk"},
	{ErrCollapsed, "collapse"},
	{ErrExploded, "explosion"},
	{ErrWebPage, "web-page"},
	{ErrNoNames, "empty"},
	{ErrBlocksTLD, "top-level-domain"},
	{ErrBlocksAll, "blocks-all"},
	{ErrAllowList, "allow-list"},
	{ErrMember, "archive"},
	{ErrArchive, "archive"},
	{ErrBomb, "too-large"},
	{ErrListTooLarge, "too-large"},
	{ErrNotAList, "not-a-list"},
	{ErrBinary, "not-a-list"},
	{ErrTruncated, "incomplete"},
	{errChanged, "incomplete"},
	{ErrTimeout, "timeout"},
	{ErrBadStatus, "status"},
	{ErrRedirects, "redirect"},
	{ErrPrivateAddress, "private-address"},
	{ErrBadLocation, "location"},
}

// otherFailure is the reason of all errors that none of the above fits:
// connections refused or cut, names without an address, missing files.
const otherFailure = "unreachable"

// FailureReasons returns the keys of [Stats.Failures], each once.
func FailureReasons() []string {
	var all []string
	seen := map[string]bool{}
	for _, f := range failureReasons {
		if !seen[f.reason] {
			seen[f.reason] = true
			all = append(all, f.reason)
		}
	}
	return append(all, otherFailure)
}

func failureReason(err error) string {
	for _, f := range failureReasons {
		if errors.Is(err, f.err) {
			return f.reason
		}
	}
	return otherFailure
}
