package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
)

// Version tells one state of what a schedule does, and when, from another: its
// name, what it is about, its effect, windows and holidays, which are set together.
// Days that are otherwise, and whether it is off, are set one by one and do not
// count. Equal schedules have equal versions; nothing else is promised of it.
func (s Schedule) Version() string {
	s.ID, s.Exceptions, s.Off = 0, nil, false
	if len(s.Windows) == 0 {
		s.Windows = nil
	}
	b, err := json.Marshal(s)
	if err != nil {
		return "" // of what no family holds; it is like no version
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}
