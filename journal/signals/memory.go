package signals

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"kinward/journal"
)

// How long things are remembered, and how many. A catalogue has some hundred
// services; unlisted domains and addresses could be any number.
const (
	// learning is how long a profile is watched before anything counts as its
	// first: on the first days everything would.
	learning = 7 * 24 * time.Hour

	week        = 7 * 24 * time.Hour
	keepClients = 30 * 24 * time.Hour
	keepTold    = 8 * 24 * time.Hour // longer than any pause between signals of a kind
	vpnWithin   = time.Hour
	maxThings   = 1024
	maxClients  = 256
	maxRecent   = 16
)

// memory is what is remembered of a profile so that its signals can be told. It
// is kept encoded, in one column. Times are Unix milliseconds.
type memory struct {
	Version  int              `json:"v"`
	Since    int64            `json:"since"`              // the profile is watched since then
	Services map[string]int64 `json:"services,omitempty"` // by ID, when looked up last
	Chats    map[string]int64 `json:"chats,omitempty"`    // what one chats with strangers by, the same
	Clients  map[string]int64 `json:"clients,omitempty"`  // addresses of unknown devices, when they asked last
	New      []recent         `json:"new,omitempty"`      // services that were new within the hour
	VPN      []recent         `json:"vpn,omitempty"`      // VPNs and proxies within the hour
	Told     map[string]int64 `json:"told,omitempty"`     // what was told lately, so that it is not told again
}

// recent is something that was looked up a little while ago.
type recent struct {
	At       int64  `json:"at"`
	Incident string `json:"incident"`
	Device   int64  `json:"device,omitempty"`
	Client   string `json:"client,omitempty"`
	Service  string `json:"service,omitempty"`
	Domain   string `json:"domain,omitempty"`
	Category string `json:"category,omitempty"`
}

const memoryVersion = 1

// errNoMemory is what an unreadable memory wraps.
var errNoMemory = errors.New("not what is remembered of a profile")

func newMemory(since time.Time) *memory {
	m := &memory{Since: since.UnixMilli()}
	m.make()
	return m
}

func (m *memory) make() {
	for _, of := range []*map[string]int64{&m.Services, &m.Chats, &m.Clients, &m.Told} {
		if *of == nil {
			*of = map[string]int64{}
		}
	}
}

func (m *memory) encode() []byte {
	m.Version = memoryVersion
	b, _ := json.Marshal(m) // strings and whole numbers always can be
	return b
}

func decodeMemory(b []byte) (*memory, error) {
	m := &memory{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoMemory, err)
	}
	if m.Version != memoryVersion {
		return nil, fmt.Errorf("%w: version %d, this Kinward reads %d", errNoMemory, m.Version, memoryVersion)
	}
	m.make()
	return m, nil
}

// learn takes an incident of before the memory began as known.
func (m *memory) learn(i journal.Incident) {
	if relevant(i) {
		m.Since = min(m.Since, i.First.UnixMilli())
		m.see(i)
	}
}

// see notes what an incident is about.
func (m *memory) see(i journal.Incident) {
	last := i.Last.UnixMilli()
	if i.Service != "" {
		m.Services[i.Service] = max(m.Services[i.Service], last)
	}
	if strangerChat(i) {
		m.Chats[thingOf(i)] = max(m.Chats[thingOf(i)], last)
	}
	if i.Device == 0 && i.Client != "" {
		m.Clients[i.Client] = max(m.Clients[i.Client], last)
	}
}

// untold reports whether something was not told within pause of a time.
func (m *memory) untold(what string, at int64, pause time.Duration) bool {
	was, ok := m.Told[what]
	return !ok || max(at-was, was-at) >= pause.Milliseconds()
}

// tell reports whether something is to be told at a time, and notes that it is.
func (m *memory) tell(what string, at int64, pause time.Duration) bool {
	if !m.untold(what, at, pause) {
		return false
	}
	m.Told[what] = max(m.Told[what], at)
	return true
}

// prune forgets what is of no use any more.
func (m *memory) prune(now int64) {
	older := func(age time.Duration) func(string, int64) bool {
		return func(_ string, at int64) bool { return now-at > age.Milliseconds() }
	}
	maps.DeleteFunc(m.Chats, older(week))
	maps.DeleteFunc(m.Clients, older(keepClients))
	maps.DeleteFunc(m.Told, older(keepTold))
	newest(m.Services, maxThings)
	newest(m.Chats, maxThings)
	newest(m.Clients, maxClients)
	newest(m.Told, maxThings)
	m.New, m.VPN = late(m.New, now), late(m.VPN, now)
}

func late(list []recent, now int64) []recent {
	list = slices.DeleteFunc(list, func(r recent) bool { return now-r.At > 2*vpnWithin.Milliseconds() })
	return list[max(0, len(list)-maxRecent):]
}

// newest keeps the most recent entries of m.
func newest(m map[string]int64, most int) {
	if len(m) <= most {
		return
	}
	keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int { return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b)) })
	for _, k := range keys[most:] {
		delete(m, k)
	}
}
