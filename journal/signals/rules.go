package signals

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"maps"
	"slices"
	"time"

	"kinward/blocklists"
	"kinward/journal"
	"kinward/policy"
)

// several is how many services to chat with strangers within a week are worth a
// word: two may be one curious evening, or a page with two links.
const several = 3

// maxOthers is how many of them are named.
const maxOthers = 20

// relevant reports whether an incident can show anything about a profile. What
// systems ask for by themselves, what was asked at bedtime without a name, what
// nobody looks up on purpose and the safe modes of search engines cannot.
func relevant(i journal.Incident) bool {
	return i.Bypass != journal.Routine && i.Domain != "" && i.Reason != policy.BySecurity.String() &&
		i.Reason != policy.ByCanary.String() && (i.Verdict == policy.Block.String() || i.Verdict == policy.Watch.String())
}

func strangerChat(i journal.Incident) bool {
	return i.Category == blocklists.AnonymousChat.String()
}

// thingOf is what an incident is about: a service, or a domain.
func thingOf(i journal.Incident) string { return cmp.Or(i.Service, i.Domain) }

// rules tells the signals of one family's incidents.
type rules struct {
	family *policy.Family
	zone   *time.Location
}

// apply takes incidents of one profile, in any order, into m and returns what they
// show. An incident that comes again, grown or not, shows nothing twice.
func (r rules) apply(m *memory, incidents []journal.Incident) []journal.Signal {
	incidents = slices.Clone(incidents)
	slices.SortFunc(incidents, func(a, b journal.Incident) int {
		return cmp.Or(a.First.Compare(b.First), a.Last.Compare(b.Last), cmp.Compare(a.ID, b.ID))
	})
	var out []journal.Signal
	newest := int64(-1 << 62)
	for _, i := range incidents {
		if relevant(i) {
			out = append(out, r.one(m, i)...)
			newest = max(newest, i.Last.UnixMilli())
		}
	}
	m.prune(newest)
	return slices.DeleteFunc(out, func(s journal.Signal) bool { return !r.family.Signals(s.Kind) })
}

func (r rules) one(m *memory, i journal.Incident) (out []journal.Signal) {
	first := i.First.UnixMilli()
	m.Since = min(m.Since, first)
	mature := first-m.Since >= learning.Milliseconds()
	_, knownService := m.Services[i.Service]
	_, knownClient := m.Clients[i.Client]
	m.see(i)

	signal := func(kind string, at time.Time) journal.Signal {
		return journal.Signal{
			ID: newID(at, kind, i.ID), Family: i.Family, Profile: i.Profile, Device: i.Device, Kind: kind, At: at, Incident: i.ID,
			Service: i.Service, Category: i.Category, Domain: i.Domain, Details: journal.SignalDetails{Client: i.Client},
		}
	}
	if mature && i.Device == 0 && i.Client != "" && !knownClient && len(r.family.Devices) > 0 {
		// Where nothing has a name, everything is unknown.
		out = append(out, signal(policy.SignalUnknown, i.First))
	}
	fresh := mature && i.Service != "" && !knownService
	if fresh {
		out = append(out, signal(policy.SignalFirstTime, i.First))
	}
	if strangerChat(i) && m.untold(policy.SignalSeveral, first, week) {
		if all := m.chatsAround(i.Last.UnixMilli()); len(all) >= several && m.tell(policy.SignalSeveral, first, week) {
			s := signal(policy.SignalSeveral, i.First)
			s.Device, s.Service, s.Domain, s.Details = 0, "", "", journal.SignalDetails{Others: all[:min(len(all), maxOthers)]}
			out = append(out, s)
		}
	}
	if strangerChat(i) || i.Category == blocklists.Dating.String() {
		if at, ok := r.atNight(i); ok && m.tell(policy.SignalNight, at.UnixMilli(), 12*time.Hour) {
			out = append(out, signal(policy.SignalNight, at))
		}
	}
	attempt := i.Bypass == journal.Attempt
	if attempt && m.tell(policy.SignalBypass+"/"+thingOf(i), first, 24*time.Hour) {
		out = append(out, signal(policy.SignalBypass, i.First))
	}
	return append(out, m.newThenVPN(i, fresh && !attempt, attempt)...)
}

// chatsAround returns what was used to chat with strangers in the week before a
// time, and what came meanwhile; not what a clock saw that was ahead by more.
func (m *memory) chatsAround(at int64) []string {
	var out []string
	for _, thing := range slices.Sorted(maps.Keys(m.Chats)) {
		if then := m.Chats[thing]; max(at-then, then-at) < week.Milliseconds() {
			out = append(out, thing)
		}
	}
	return out
}

// atNight returns when an incident was in the family's night.
func (r rules) atNight(i journal.Incident) (time.Time, bool) {
	for _, at := range []time.Time{i.First, i.Last} {
		local := at.In(r.zone)
		if r.family.NightHours().Contains(policy.Minutes(local.Hour()*60 + local.Minute())) {
			return at, true
		}
	}
	return time.Time{}, false
}

// newThenVPN tells of a service that was new and a VPN within the hour after it,
// whichever of the two incidents was stored first.
func (m *memory) newThenVPN(i journal.Incident, fresh, attempt bool) (out []journal.Signal) {
	if !fresh && !attempt {
		return nil
	}
	this := recent{
		At: i.First.UnixMilli(), Incident: i.ID, Device: int64(i.Device), Client: i.Client,
		Service: i.Service, Domain: i.Domain, Category: i.Category,
	}
	pair := func(service, vpn recent) {
		apart := vpn.At - service.At
		if apart < 0 || apart > vpnWithin.Milliseconds() || !m.tell(policy.SignalNewVPN+"/"+service.Service, service.At, week) {
			return
		}
		at := time.UnixMilli(vpn.At).UTC()
		out = append(out, journal.Signal{
			ID: newID(at, policy.SignalNewVPN, service.Incident), Family: i.Family, Profile: i.Profile,
			Device: policy.DeviceID(vpn.Device), Kind: policy.SignalNewVPN, At: at, Incident: vpn.Incident,
			Service: vpn.Service, Category: vpn.Category, Domain: vpn.Domain,
			Details: journal.SignalDetails{Client: vpn.Client, Others: []string{service.Service}, Since: time.UnixMilli(service.At).UTC()},
		})
	}
	same := func(r recent) bool { return r.Incident == i.ID }
	switch {
	case fresh:
		m.New = append(m.New, this)
		for _, vpn := range m.VPN {
			pair(this, vpn)
		}
	case !slices.ContainsFunc(m.VPN, same):
		m.VPN = append(m.VPN, this)
		for _, service := range m.New {
			pair(service, this)
		}
	}
	return out
}

// newID returns the ID of the signal of a kind that what shows, the same each
// time: 48 bits of time and 80 of a hash.
func newID(at time.Time, kind, what string) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + what))
	var b [16]byte
	copy(b[6:], sum[:])
	ms := at.UnixMilli()
	binary.BigEndian.PutUint32(b[0:], uint32(ms>>16))
	binary.BigEndian.PutUint16(b[4:], uint16(ms))
	return hex.EncodeToString(b[:])
}
