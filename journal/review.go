package journal

import (
	"encoding/json"
	"fmt"
	"time"

	"kinward/policy"
)

// Reader is an adult who looks at incidents or says something about them.
type Reader struct {
	Guardian policy.GuardianID `json:"guardian"` // 0: the command line
	Who      string            `json:"who"`      // the guardian's name, or "command line as anna"
}

// Review says that an adult has dealt with an incident. The JSON keys are stable.
type Review struct {
	Family   policy.FamilyID `json:"family"`
	Incident string          `json:"incident"`
	Reader
	At   time.Time `json:"at"`
	Note string    `json:"note,omitempty"` // what the adult wrote down
}

// Mute says that an adult does not want to hear of a profile's attempts at a
// service, or at a domain where there is no service. They are kept all the same.
type Mute struct {
	ID     int64           `json:"id"`
	Family policy.FamilyID `json:"family"`
	Reader
	Profile policy.ProfileID `json:"profile"`
	At      time.Time        `json:"at"`
	Until   time.Time        `json:"until,omitzero"` // zero: for good
	Service string           `json:"service,omitempty"`
	Domain  string           `json:"domain,omitempty"` // where Service is ""
}

// MuteOf returns a mute of all that is like i.
func MuteOf(i Incident, by Reader, at, until time.Time) Mute {
	m := Mute{Family: i.Family, Reader: by, Profile: i.Profile, At: at, Until: until, Service: i.Service}
	if m.Service == "" {
		m.Domain = i.Domain
	}
	return m
}

// Mutes reports whether m keeps i from its adult at a time.
func (m Mute) Mutes(i Incident, at time.Time) bool {
	if m.Family != i.Family || m.Profile != i.Profile || !m.Until.IsZero() && !at.Before(m.Until) {
		return false
	}
	if m.Service != "" || i.Service != "" {
		return m.Service == i.Service
	}
	return m.Domain == i.Domain
}

// View says that an adult looked at incidents. Looks of the same kind with less
// than [ViewGap] between them are one.
type View struct {
	Family policy.FamilyID `json:"family"`
	Reader
	Action    string           `json:"action"`             // "list", "show", "follow" or "export"
	Profile   policy.ProfileID `json:"profile"`            // 0: of all
	Incident  string           `json:"incident,omitempty"` // the one that was shown
	First     time.Time        `json:"first"`
	Last      time.Time        `json:"last"`
	Times     int              `json:"times"`
	Incidents int              `json:"incidents"` // how many were shown, at most
}

// ViewGap is how long after a look another one of the same kind is still the same.
const ViewGap = 10 * time.Minute

// reviewDetails is what a review or a mute is about. Only this file makes and
// reads it, as details.go does for incidents.
type reviewDetails struct {
	Note    string `json:"note,omitempty"`
	Service string `json:"service,omitempty"`
	Domain  string `json:"domain,omitempty"`
}

func (d reviewDetails) encode() []byte {
	if d == (reviewDetails{}) {
		return []byte{}
	}
	b, _ := json.Marshal(d) // strings always can be
	return b
}

// Sealed returns what is stored of a note.
func (r Review) Sealed() []byte { return reviewDetails{Note: r.Note}.encode() }

// Unseal reads it back.
func (r *Review) Unseal(b []byte) error {
	d, err := decodeReview(b)
	r.Note = d.Note
	return err
}

// Sealed returns what is stored of what is muted.
func (m Mute) Sealed() []byte { return reviewDetails{Service: m.Service, Domain: m.Domain}.encode() }

// Unseal reads it back.
func (m *Mute) Unseal(b []byte) error {
	d, err := decodeReview(b)
	m.Service, m.Domain = d.Service, d.Domain
	return err
}

func decodeReview(b []byte) (d reviewDetails, err error) {
	if len(b) == 0 {
		return d, nil
	}
	if err := json.Unmarshal(b, &d); err != nil {
		return d, fmt.Errorf("reading what a guardian said of an incident: %w", err)
	}
	return d, nil
}
