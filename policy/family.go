package policy

import (
	"net/netip"
	"time"

	"kinward/blocklists"
)

// FamilyID identifies a family, the tenant to which everything else belongs.
type FamilyID int64

// The IDs of a family's own things. They are unique within their family and
// never used again, so that an incident of a removed device never becomes
// another one's. 0 is none.
type (
	ProfileID  int64
	DeviceID   int64 // 0 is "no device we know"
	RuleID     int64
	ScheduleID int64
	GrantID    int64
	GuardianID int64
)

// Family is the tenant as it is stored: guardians' choices, not yet compiled.
// Its JSON form is what the store keeps; keys and words in it last.
type Family struct {
	ID   FamilyID `json:"id"`
	Name string   `json:"name"`
	Zone string   `json:"zone"` // IANA time zone, e.g. "Europe/Berlin"; "" is the server's
	// Default applies to whoever is no device we know; 0 refuses them.
	Default   ProfileID  `json:"default"`
	Country   string     `json:"country,omitempty"` // ISO 3166, e.g. "DE": whose help lines are shown; "" is not known
	Retention Retention  `json:"retention,omitzero"`
	Loosening Loosening  `json:"loosening,omitzero"`
	Guardians []Guardian `json:"guardians,omitempty"`
	Profiles  []Profile  `json:"profiles"`
	Devices   []Device   `json:"devices,omitempty"`
	Holidays  []Holiday  `json:"holidays,omitempty"`
	Grants    []Grant    `json:"grants,omitempty"`
	// Networks are the public addresses that the family asks from, by which it is
	// recognised where one server serves many families.
	Networks []netip.Prefix `json:"networks,omitempty"`
	// Tokens are secrets by which the family as a whole is recognised: what its
	// router sends with each question. They tell no device.
	Tokens []string `json:"tokens,omitempty"`
	// SignalsOff are the kinds of signals that the family does not want (see
	// [SignalKinds]); Night are the hours of [SignalNight], zero for 22:00-06:00.
	SignalsOff []string `json:"signals_off,omitempty"`
	Night      Hours    `json:"night,omitzero"`
	// LastID is the largest ID that was ever given to a thing of the family.
	LastID int64 `json:"last_id"`
}

// Role says what a guardian may do.
type Role uint8

const (
	Viewer Role = iota // sees incidents and choices
	Carer              // also changes choices; its word is "guardian"
	Owner              // also names guardians, and may end the family
)

// Guardian is an adult who decides, or looks on.
type Guardian struct {
	ID   GuardianID `json:"id"`
	Name string     `json:"name"`
	Role Role       `json:"role"`
}

// Loosening says what a change that weakens protection has to wait for. The zero
// value lets it happen at once.
type Loosening struct {
	Delay  Minutes `json:"delay,omitempty"`  // how long it waits
	Second bool    `json:"second,omitempty"` // another guardian has to agree
}

// Minutes is a span of time, or a time of day counted from midnight, in whole
// minutes. As a time of day it goes from 0 to 1440, the midnight that ends a day.
type Minutes uint16

// Profile is what applies to a person, or to everyone without a device of their
// own.
type Profile struct {
	ID     ProfileID `json:"id"`
	Name   string    `json:"name"`
	Preset Preset    `json:"preset"`
	// Guests is set for visitors: what they try is counted, never named, since
	// other people's children are not this family's to watch.
	Guests bool   `json:"guests,omitempty"`
	Rules  []Rule `json:"rules,omitempty"`
	// Categories, Services and Lists are choices that differ from the preset.
	// Services and lists are named by their IDs; one that the index does not know
	// has no effect.
	Categories map[blocklists.Category]Choice `json:"categories,omitempty"`
	Services   map[string]Choice              `json:"services,omitempty"`
	Lists      map[string]Choice              `json:"lists,omitempty"`
	// Log says what is kept of a category's attempts, where that differs from what
	// the choice for it says.
	Log map[blocklists.Category]Keep `json:"log,omitempty"`
	// Response is how blocked questions are answered; nil as the server does.
	Response *BlockMode `json:"response,omitempty"`
	// Search says what is done about each search engine, by its ID (safesearch.tsv),
	// where that differs from the preset.
	Search map[string]Search `json:"search,omitempty"`
	// Bypass says whether names that lead past the filter (VPNs, proxies, other
	// DNS services) are blocked and the canaries answered; nil as the preset does.
	Bypass *bool `json:"bypass,omitempty"`
	// Paused is until when everything is paused; the zero time is not at all,
	// [Forever] until somebody ends it.
	Paused    time.Time  `json:"paused,omitzero"`
	Schedules []Schedule `json:"schedules,omitempty"`
}

// Forever is a time that no clock reaches: what lasts until somebody ends it.
var Forever = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// Search is what is done about a search engine.
type Search uint8

const (
	SearchAny      Search = iota // as the engine is
	SearchSafe                   // the engine's safe mode; YouTube's is "strict"
	SearchModerate               // YouTube's milder mode; other engines have none
)

// strength orders modes by how much they leave out. Their numbers, which last,
// do not.
func (s Search) strength() int {
	return [...]int{SearchAny: 0, SearchModerate: 1, SearchSafe: 2}[min(s, SearchModerate)]
}

// Rule is a guardian's own allow or deny rule for names.
type Rule struct {
	ID    RuleID          `json:"id"`
	Name  blocklists.Name `json:"name"`
	Match Match           `json:"match,omitempty"`
	Allow bool            `json:"allow,omitempty"` // otherwise deny
	// Until is when the rule ends; the zero time is never.
	Until time.Time `json:"until,omitzero"`
}

// Match says which names a rule is about.
type Match uint8

const (
	MatchSuffix Match = iota // the name and all below it
	MatchExact               // the name alone
	MatchBelow               // what lies below the name: "*.example.com"
	// MatchGlob: the name is a pattern, in which a * stands for any bytes of a
	// label or of several, e.g. "ads*.example.com".
	MatchGlob
)

// Device is something that asks, recognised by its clues. At home a phone is
// known by its address or hardware address, outside by its private-DNS name.
type Device struct {
	ID      DeviceID  `json:"id"`
	Name    string    `json:"name"`
	Profile ProfileID `json:"profile"`
	// Networks are the addresses that it asks from; a single address is a prefix
	// of full length. Tokens are the labels of its private-DNS names.
	Networks []netip.Prefix `json:"networks,omitempty"`
	MACs     []MAC          `json:"macs,omitempty"`
	Tokens   []string       `json:"tokens,omitempty"`
	// Until is when Profile ends and Then applies; the zero time is never, and Then
	// is where the device goes back to when somebody ends an exemption.
	Until time.Time `json:"until,omitzero"`
	Then  ProfileID `json:"then,omitempty"` // 0 is the family's default
}

// MAC is a device's hardware address (EUI-48).
type MAC [6]byte

// Target is what a schedule or a grant is about.
type Target struct {
	Kind     TargetKind
	Category blocklists.Category // for ForCategory
	Service  string              // for ForService: its ID
	Rule     RuleID              // for ForRule
	Name     blocklists.Name     // for ForName: the name and all below it
}

// TargetKind says which field of a [Target] counts.
type TargetKind uint8

const (
	ForEverything TargetKind = iota // in a grant: pause and bedtime
	ForCategory
	ForService
	ForRule
	ForName
)

// Effect is what a schedule does in its windows.
type Effect uint8

const (
	// Blocks blocks its target in the windows: bedtime, where that is everything.
	// A deny rule holds in the windows only.
	Blocks Effect = iota
	// Frees lets its target be used in the windows and not otherwise: free time.
	// Where the target is everything, all is blocked outside the windows and the
	// usual choices hold within. An allow rule holds in the windows only.
	Frees
)

// Schedule says when something is blocked or free, by the clock on the family's
// wall: a window is what that clock shows, on days when it is changed too.
type Schedule struct {
	ID      ScheduleID `json:"id"`
	Name    string     `json:"name"`
	What    Target     `json:"what"`
	Effect  Effect     `json:"effect"`
	Windows []Window   `json:"windows"`
	// Holidays says which windows hold on the family's holidays.
	Holidays Holidays `json:"holidays,omitempty"`
	// Exceptions are single days with other windows, or with none.
	Exceptions []Exception `json:"exceptions,omitempty"`
	Off        bool        `json:"off,omitempty"` // kept, but not in force
}

// Days is a set of week days: bit 0 is Sunday, as in [time.Weekday].
type Days uint8

// Window is a span of the day, on the days on which it begins. One that ends
// before or when it begins ends on the day after.
type Window struct {
	Days Days    `json:"days"`
	From Minutes `json:"from"` // below 1440
	To   Minutes `json:"to"`   // 1 to 1440; not itself in the window
}

// Date is a day of the calendar.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// Holidays says what a schedule does on a holiday. What counts is the day on
// which a window begins.
type Holidays uint8

const (
	HolidaysAsUsual    Holidays = iota
	HolidaysOff                 // no window begins
	HolidaysAsSaturday          // Saturday's windows
	HolidaysAsSunday            // Sunday's windows
)

// Holiday is a span of days, First and Last included.
type Holiday struct {
	Name  string `json:"name"`
	First Date   `json:"first"`
	Last  Date   `json:"last"`
}

// Exception gives one day other windows: those that begin on it. Their Days do
// not count.
type Exception struct {
	Day     Date     `json:"day"`
	Windows []Window `json:"windows,omitempty"` // none: the schedule rests
}

// Grant is a time-boxed exception that a guardian gave: What is allowed from
// From until Until, at bedtime too. It lifts everything but what is dangerous;
// with ForEverything it lifts pause and schedules for everything alone.
type Grant struct {
	ID      GrantID   `json:"id"`
	Profile ProfileID `json:"profile"`
	What    Target    `json:"what"` // never ForRule
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"` // never zero
	By      string    `json:"by"`    // who gave it
	Why     string    `json:"why,omitempty"`
}
