package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kinward/blocklists"
	"kinward/policy"
)

// Signal is something that the record shows when it is looked at as a whole: see
// [policy.SignalKinds]. It is a hint and never a finding. The JSON keys are stable.
type Signal struct {
	ID       string           `json:"id"` // 32 hexadecimal digits that begin with the time; the same for the same event
	Family   policy.FamilyID  `json:"family"`
	Profile  policy.ProfileID `json:"profile"`
	Device   policy.DeviceID  `json:"device"` // 0: not a device we know
	Kind     string           `json:"kind"`
	At       time.Time        `json:"at"`                 // UTC, in milliseconds
	Incident string           `json:"incident,omitempty"` // the ID of the one that showed it
	Service  string           `json:"service,omitempty"`
	Category string           `json:"category,omitempty"`
	Domain   string           `json:"domain,omitempty"` // registrable, where no service is known
	Details  SignalDetails    `json:"details"`
}

// SignalDetails is what some kinds tell besides.
type SignalDetails struct {
	Client string `json:"client,omitempty"` // an unknown device's address, if it is one of a home
	// Others are further services, or domains, in order: all of "several-stranger-chats",
	// the new one of "new-then-vpn".
	Others []string  `json:"others,omitempty"`
	Since  time.Time `json:"since,omitzero"`  // "new-then-vpn": of the new one; "silent": the last question before
	Names  uint64    `json:"names,omitempty"` // "tunnel": about so many different names within an hour
	Again  time.Time `json:"again,omitzero"`  // "silent": when it asked again
}

// SignalRow is a signal as it is stored. What it is about stands in Details alone,
// so that it can be sealed; the store neither reads nor makes it.
type SignalRow struct {
	Family   policy.FamilyID
	ID       string
	Profile  policy.ProfileID
	Device   policy.DeviceID
	Kind     string
	At       time.Time // whole milliseconds
	Incident string
	Again    time.Time // see SignalDetails.Again; the zero time is not yet
	Details  []byte
}

// signalVersion is raised when an older program would misread new details.
const signalVersion = 1

type signalDetails struct {
	Version  int       `json:"v"`
	Service  string    `json:"service,omitempty"`
	Category string    `json:"category,omitempty"`
	Domain   string    `json:"domain,omitempty"`
	Client   string    `json:"client,omitempty"`
	Others   []string  `json:"others,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Names    uint64    `json:"names,omitempty"`
}

// Row encodes a signal.
func (s Signal) Row() SignalRow {
	b, _ := json.Marshal(signalDetails{ // strings, numbers and times of this millennium always can be
		signalVersion, s.Service, s.Category, s.Domain, s.Details.Client, s.Details.Others, s.Details.Since, s.Details.Names,
	})
	return SignalRow{s.Family, s.ID, s.Profile, s.Device, s.Kind, s.At, s.Incident, s.Details.Again, b}
}

// errNoSignal is what unreadable details of a signal wrap.
var errNoSignal = errors.New("not the details of a signal")

// Signal decodes a stored row.
func (r SignalRow) Signal() (Signal, error) {
	var d signalDetails
	if err := json.Unmarshal(r.Details, &d); err != nil {
		return Signal{}, fmt.Errorf("reading signal %s: %w: %w", r.ID, errNoSignal, err)
	}
	if d.Version < 1 || d.Version > signalVersion {
		return Signal{}, fmt.Errorf("reading signal %s: %w: version %d, this Kinward reads up to %d", r.ID, errNoSignal, d.Version, signalVersion)
	}
	return Signal{
		ID: r.ID, Family: r.Family, Profile: r.Profile, Device: r.Device, Kind: r.Kind, At: r.At.UTC(), Incident: r.Incident,
		Service: d.Service, Category: d.Category, Domain: d.Domain,
		Details: SignalDetails{d.Client, d.Others, d.Since, d.Names, r.Again},
	}, nil
}

// Registrable returns the registrable domain of a name, one label below its public
// suffix, or the name itself where it has none.
func Registrable(n blocklists.Name) blocklists.Name { return registrable(n) }

// SignalFilter says which signals to read. The zero value of a field, Family
// excepted, does not filter.
type SignalFilter struct {
	Family  policy.FamilyID // required: no reader sees another family's signals
	Since   time.Time       // at or after
	Profile policy.ProfileID
	Kind    string
	After   Cursor // as in [Filter]
	Limit   int    // newest first; as in [Filter]
}

// Max returns the limit that holds.
func (f SignalFilter) Max() int { return Filter{Limit: f.Limit}.Max() }

// Sentence tells a signal in one plain line, with times in zone (nil is UTC). Like
// an incident's it says that a device looked something up, and leaves open why;
// about a device that went silent it asks.
func (s Signal) Sentence(names Names, zone *time.Location) string {
	if zone == nil {
		zone = time.UTC
	}
	when := names.span(s.At.In(zone), s.At.In(zone), names.Now.In(zone))
	return fmt.Sprintf("%s  %s", when, s.says(names, zone))
}

func (s Signal) says(names Names, zone *time.Location) string {
	device := who(Incident{Device: s.Device, Client: s.Details.Client, Profile: s.Profile}, names)
	switch s.Kind {
	case policy.SignalFirstTime:
		return names.Textf("%s looked up %s, for the first time on record.", device, s.thing(names))
	case policy.SignalSeveral:
		return names.Textf("Profile %s: %d services to chat with strangers were looked up within a week: %s. One page or advertisement can lead to several.",
			call(names.Profile, s.Profile, names.Text("that was removed")), len(s.Details.Others), names.list(calls(names.Service, s.Details.Others)))
	case policy.SignalUnknown:
		return names.Textf("A device without a name here asked: %s. It may be a visitor's, or a new one of yours.", device)
	case policy.SignalTunnel:
		return names.Textf("%s asked for about %d different long names below %s within an hour. Some VPN apps send their data that way; other programs do, too.",
			device, s.Details.Names, s.Domain)
	case policy.SignalNight:
		return names.Textf("%s looked up %s, in the hours that the family calls night. Apps also ask while nobody uses them.", device, s.thing(names))
	case policy.SignalNewVPN:
		return names.Textf("%s looked up %s, %s after %s was looked up for the first time on record. The two need not belong together.",
			device, s.thing(names), names.after(s.At.Sub(s.Details.Since)), names.list(calls(names.Service, s.Details.Others)))
	case policy.SignalBypass:
		return names.Textf("%s looked up %s. VPNs and proxies have many everyday uses.", device, s.thing(names))
	case policy.SignalSilent:
		text := names.Textf("%s has not asked since %s, and usually does by now. Is it switched off, out of reach, or set to another DNS server?",
			device, names.clock(s.Details.Since, s.At, zone))
		if !s.Details.Again.IsZero() {
			text += names.Textf(" It asked again: %s.", names.clock(s.Details.Again, s.At, zone))
		}
		return text
	}
	return names.Textf("%s: a signal of the kind %q, which this Kinward does not know.", device, s.Kind)
}

// thing names what a signal is about.
func (s Signal) thing(names Names) string {
	thing := s.Domain
	if s.Service != "" {
		thing = call(names.Service, s.Service, s.Service)
	}
	if s.Category != "" {
		thing = names.Textf("%s, %q", thing, call(names.Category, s.Category, s.Category))
	}
	return thing
}

// calls names services; what is none stays as it is.
func calls(name func(string) string, ids []string) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = call(name, id, id)
	}
	return out
}

// list joins words as people do: "a, b and c".
func (n Names) list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	words = slices.Clone(words)
	last := len(words) - 1
	return n.Textf("%s and %s", strings.Join(words[:last], ", "), words[last])
}

func (n Names) after(d time.Duration) string {
	if minutes := int(d.Round(time.Minute).Minutes()); minutes > 1 {
		return n.Textf("%d minutes", minutes)
	}
	return n.Text("a minute")
}

// clock writes a time, with its day where that is not the one of other.
func (n Names) clock(t, other time.Time, zone *time.Location) string {
	t, other = t.In(zone), other.In(zone)
	if t.Format(time.DateOnly) == other.Format(time.DateOnly) {
		return t.Format("15:04")
	}
	return n.Time(t, "Mon 2 Jan 15:04")
}
