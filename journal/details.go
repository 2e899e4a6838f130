package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"kinward/policy"
)

// detailsVersion is raised when an older program would misread new details.
const detailsVersion = 1

// details is what an incident is about. This file is the only place that
// encodes or decodes it. Names are in presentation form: escaped, without NUL.
type details struct {
	Version  int               `json:"v"`
	Verdict  string            `json:"verdict"`
	Reason   string            `json:"reason"`
	Service  string            `json:"service,omitempty"`
	Category string            `json:"category,omitempty"`
	List     string            `json:"list,omitempty"`
	Entry    string            `json:"entry,omitempty"`
	Rule     policy.RuleID     `json:"rule,omitempty"`
	Schedule policy.ScheduleID `json:"schedule,omitempty"`
	Grant    policy.GrantID    `json:"grant,omitempty"`
	Bypass   string            `json:"bypass,omitempty"`
	Domain   string            `json:"domain"`
	Hidden   string            `json:"hidden,omitempty"`
	Client   string            `json:"client,omitempty"`
	Revision uint64            `json:"revision"`
	Names    []nameCount       `json:"names"` // most asked of, at most maxNames
	Types    []uint16          `json:"types"` // in the order they were first seen, at most maxTypes
	Tries    uint64            `json:"tries"`
	Queries  uint64            `json:"queries"`
	Embedded uint64            `json:"embedded,omitempty"`
	Window   int64             `json:"window"` // when the last window opened, Unix ms
}

// nameCount is how often a name was asked. Once an incident has more names than
// it keeps, counts are upper bounds (see incident.addName).
type nameCount struct {
	Name    string `json:"name"`
	Queries uint64 `json:"n"`
	Quiet   bool   `json:"quiet,omitempty"` // pages and apps ask for it by themselves
}

// errNoDetails is what unreadable details wrap.
var errNoDetails = errors.New("not the details of an incident")

func (d *details) encode() []byte {
	d.Version = detailsVersion
	b, _ := json.Marshal(d) // strings and whole numbers always can be
	return b
}

func decodeDetails(b []byte) (*details, error) {
	d := &details{}
	if err := json.Unmarshal(b, d); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoDetails, err)
	}
	if d.Version < 1 || d.Version > detailsVersion {
		return nil, fmt.Errorf("%w: version %d, this Kinward reads up to %d", errNoDetails, d.Version, detailsVersion)
	}
	return d, nil
}

// Incident decodes a stored row.
func (r Row) Incident() (Incident, error) {
	d, err := decodeDetails(r.Details)
	if err != nil {
		return Incident{}, fmt.Errorf("reading incident %s: %w", r.ID, err)
	}
	i := Incident{
		ID: r.ID, Family: r.Family, Profile: r.Profile, Device: r.Device, Client: d.Client,
		First: r.First.UTC(), Last: r.Last.UTC(), Open: r.Key != "",
		Verdict: d.Verdict, Reason: d.Reason,
		Service: d.Service, Category: d.Category, List: d.List, Entry: d.Entry, Rule: d.Rule,
		Schedule: d.Schedule, Grant: d.Grant, Bypass: d.Bypass,
		Domain: d.Domain, Hidden: d.Hidden,
		Types: make([]string, 0, len(d.Types)),
		Tries: d.Tries, Queries: d.Queries, Embedded: d.Embedded, Revision: d.Revision,
	}
	var top nameCount
	for _, n := range d.Names { // what somebody asked for comes before what a page embeds
		if top.Name == "" || top.Quiet && !n.Quiet || top.Quiet == n.Quiet && n.Queries > top.Queries {
			top = n
		}
	}
	i.TopName = top.Name
	for _, t := range d.Types {
		i.Types = append(i.Types, typeName(t))
	}
	return i, nil
}

// typeName returns the mnemonic of a question's type, or RFC 3597's TYPEnnn.
func typeName(t uint16) string {
	switch t {
	case 1:
		return "A"
	case 5:
		return "CNAME"
	case 12:
		return "PTR"
	case 15:
		return "MX"
	case 16:
		return "TXT"
	case 28:
		return "AAAA"
	case 33:
		return "SRV"
	case 64:
		return "SVCB"
	case 65:
		return "HTTPS"
	case 255:
		return "ANY"
	}
	return "TYPE" + strconv.Itoa(int(t))
}

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
