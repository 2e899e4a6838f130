// Package alerts tells guardians what the journal found: at once or as a digest,
// by e-mail, web push, webhook or ntfy.
//
// An [Engine] follows four feeds (incidents, signals, what children ask for, and
// changes that wait for another guardian), each with a position that is stored
// together with what was made of it: so that nothing is told twice or not at all,
// whatever ends the process. What a message says is read from the store when it is
// sent, so that what was erased or muted meanwhile is not told. A subject, a push
// and a note to ntfy never hold a domain. DESIGN.md tells why it is made so.
package alerts

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"time"

	"kinward/journal"
	"kinward/policy"
)

// Kind is how a channel delivers. The words last: they are stored.
type Kind string

const (
	Email   Kind = "email"
	Push    Kind = "push"
	Webhook Kind = "webhook"
	Ntfy    Kind = "ntfy"
)

// Kinds are all there are.
var Kinds = []Kind{Email, Push, Webhook, Ntfy}

// ChannelID identifies a channel in its family; it is never used again.
type ChannelID int64

// Household is the guardian of a family that names none.
const Household policy.GuardianID = 0

// Channel is one way to a guardian.
type Channel struct {
	Family   policy.FamilyID   `json:"family"`
	Guardian policy.GuardianID `json:"guardian"`
	ID       ChannelID         `json:"id"`
	Kind     Kind              `json:"kind"`
	Settings Settings          `json:"settings"`
	Secret   Secret            `json:"-"`
	Made     time.Time         `json:"made"`

	// What became of the newest messages. LastError is "" where the last try was
	// well; it holds no secret.
	LastSent   time.Time `json:"last_sent,omitzero"`
	LastFailed time.Time `json:"last_failed,omitzero"`
	LastError  string    `json:"last_error,omitempty"`
	// Gone is set once whoever is behind the channel gave it up (a browser that
	// unsubscribed): nothing is sent any more.
	Gone bool `json:"gone,omitempty"`
}

// Settings are what may be shown of a channel.
type Settings struct {
	// To is an e-mail address, or the host that a message goes to.
	To string `json:"to"`
	// Only is "alerts" or "digests"; "" is both.
	Only string `json:"only,omitempty"`
	// Brief messages say that there is something, not what: for lock screens and
	// for servers that are not one's own.
	Brief    bool `json:"brief,omitempty"`
	Priority int  `json:"priority,omitempty"` // of ntfy, 1 to 5; 0 is its default
}

// Values of [Settings.Only].
const (
	OnlyAlerts  = "alerts"
	OnlyDigests = "digests"
)

// Secret is what must not be shown of a channel. It prints as "***" however it is
// printed, and is no JSON: only [Secret.Encode] tells it.
type Secret struct {
	url    string // of the webhook, the ntfy server or the browser's push service
	key    string // that signs a webhook's messages
	topic  string // of ntfy: who knows it may read
	token  string // of ntfy's access control
	p256dh string // of the browser (RFC 8291)
	auth   string
}

type secretFields struct {
	URL    string `json:"url,omitempty"`
	Key    string `json:"key,omitempty"`
	Topic  string `json:"topic,omitempty"`
	Token  string `json:"token,omitempty"`
	P256dh string `json:"p256dh,omitempty"`
	Auth   string `json:"auth,omitempty"`
}

// Encode returns the secret as a store keeps it, apart from all that is shown.
func (s Secret) Encode() []byte {
	b, _ := json.Marshal(secretFields{s.url, s.key, s.topic, s.token, s.p256dh, s.auth})
	return b
}

// DecodeSecret reads what Encode wrote. Its errors do not hold the input.
func DecodeSecret(b []byte) (Secret, error) {
	var f secretFields
	if json.Unmarshal(b, &f) != nil {
		return Secret{}, fmt.Errorf("reading a channel's secret: %d bytes are not one; add the channel again", len(b))
	}
	return Secret{f.URL, f.Key, f.Topic, f.Token, f.P256dh, f.Auth}, nil
}

// Format, LogValue and MarshalJSON hide it.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, "***") }

// LogValue is described at Format.
func (Secret) LogValue() slog.Value { return slog.StringValue("***") }

// MarshalJSON is described at Format.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"***"`), nil }

// Event is something that a guardian may be told of: an incident or a signal.
type Event struct {
	Family   policy.FamilyID
	ID       string // of the incident or signal
	Feed     Feed
	Profile  policy.ProfileID
	Device   policy.DeviceID // 0: not a device we know
	Kind     string          // of a signal, [AskedKind] or [WaitsKind]; "" for an incident
	Category string          // "" is none
	Service  string          // "" is none
	Risk     bool            // of a service with a record of harm, whatever its category
	Routine  bool            // what devices do by themselves: never told
	At       time.Time       // when it began

	Incident journal.Incident // the zero value of a signal
	Signal   journal.Signal   // the zero value of an incident
	Who      string           // who wants a change that waits
}

// Feed is where events come from.
type Feed string

const (
	Incidents Feed = "incidents"
	Signals   Feed = "signals"
	Requests  Feed = "requests" // what children ask for
	Waits     Feed = "waits"    // changes that wait for another guardian
)

// Kinds of events that are neither incidents nor signals. Preferences name them.
const (
	AskedKind = "request"
	WaitsKind = "waiting-change"
)

// feeds are all there are.
var feeds = []Feed{Incidents, Signals, Requests, Waits}

// FromIncident makes an event of an incident.
func FromIncident(i journal.Incident) Event {
	return Event{
		Family: i.Family, ID: i.ID, Feed: Incidents, Profile: i.Profile, Device: i.Device,
		Category: i.Category, Service: i.Service, At: i.First, Incident: i,
		Risk: i.Reason == policy.ByKnownRisk.String(),
		// A question whether there is a filter, and what is blocked because
		// everything is, tell nothing that anybody has to know at once.
		Routine: i.Bypass == journal.Routine || i.Reason == policy.ByCanary.String() || i.Domain == "",
	}
}

// FromSignal makes an event of a signal.
func FromSignal(s journal.Signal) Event {
	return Event{
		Family: s.Family, ID: s.ID, Feed: Signals, Profile: s.Profile, Device: s.Device,
		Kind: s.Kind, Category: s.Category, Service: s.Service, At: s.At, Signal: s,
	}
}

// urgent are the categories and signals of which a guardian hears at once unless
// they choose otherwise: where an adult could reach a child, or a child harm
// itself.
var urgent = map[string]bool{
	"self-harm": true, "sex-ads": true, "anonymous-chat": true, "known-risk": true, "dating": true,
	policy.SignalSeveral: true, policy.SignalNight: true,
}

// Urgent reports whether e may pass quiet hours, where its guardian wants that.
func (e Event) Urgent() bool {
	return urgent[e.Kind] || e.Kind == "" && (urgent[e.Category] || e.Risk)
}
