package blocklists

import (
	"fmt"
	"slices"
	"strings"
)

// Category is what a service or a domain is about, in the words parents are
// shown (categories.tsv). The values are fixed in the program, because presets
// and policies are arrays over them; their texts are data.
type Category uint8

// The categories. Help and Plumbing are not choices: names that must stay
// reachable carry them. All from AnonymousChat up are choices.
const (
	NoCategory Category = iota
	Help                // help lines and the like: always allowed, never recorded
	Plumbing            // what devices need to work at all: always allowed
	AnonymousChat
	AnonymousMessages
	Dating
	Adult
	AdultCreators
	SexAds
	LiveStreaming
	Social
	Messaging
	GamesChat
	Forums
	AICompanions
	AIChat
	FileSharing
	VPNProxy
	EncryptedDNS
	Gambling
	Drugs
	Violence
	SelfHarm
	Security
	KnownRiskCategory // the mark KnownRisk, as a choice of its own
	Piracy
	SearchUnsafe // search engines whose safe mode a filter cannot switch on
	OwnLists     // what an operator's lists are about that say no more: for profiles that choose them
	NumCategories
)

// categoryIDs are the words that configuration, stored policies and file names
// use. They last: a renamed constant keeps its id.
var categoryIDs = [NumCategories]string{
	NoCategory:        "none",
	Help:              "help",
	Plumbing:          "plumbing",
	AnonymousChat:     "anonymous-chat",
	AnonymousMessages: "anonymous-messages",
	Dating:            "dating",
	Adult:             "adult",
	AdultCreators:     "adult-creators",
	SexAds:            "sex-ads",
	LiveStreaming:     "live-streaming",
	Social:            "social",
	Messaging:         "messaging",
	GamesChat:         "games-chat",
	Forums:            "forums",
	AICompanions:      "ai-companions",
	AIChat:            "ai-chat",
	FileSharing:       "file-sharing",
	VPNProxy:          "vpn-proxy",
	EncryptedDNS:      "encrypted-dns",
	Gambling:          "gambling",
	Drugs:             "drugs",
	Violence:          "violence",
	SelfHarm:          "self-harm",
	Security:          "security",
	KnownRiskCategory: "known-risk",
	Piracy:            "piracy",
	SearchUnsafe:      "search-unsafe",
	OwnLists:          "own",
}

// String returns the id of the category, "unknown" for a value that is none. It
// does not allocate.
func (c Category) String() string {
	if c < NumCategories {
		return categoryIDs[c]
	}
	return "unknown"
}

// ParseCategory returns the category with that id. Only choices have ids to
// read: "none", "help" and "plumbing" are errors. The error names the nearest
// id.
func ParseCategory(id string) (Category, error) {
	choices := categoryIDs[AnonymousChat:]
	if i := slices.Index(choices, id); i >= 0 {
		return AnonymousChat + Category(i), nil
	}
	return NoCategory, fmt.Errorf("no category is called %q; the nearest is %q", clip(id), Nearest(id, choices))
}

// Near is [Nearest] where that is near: an id that begins with s, or one that is
// a slip or two away, one for every three letters of s. Otherwise, and for a single
// letter, "".
func Near(s string, ids []string) string {
	if near := Nearest(s, ids); len(s) > 1 && (strings.HasPrefix(near, s) || edits(s, near) <= max(1, len(s)/3)) {
		return near
	}
	return ""
}

// Nearest returns the first element of ids that begins with s, or else the one
// that the fewest edits of single bytes turn into s; "" if there are no ids.
func Nearest(s string, ids []string) string {
	s = s[:min(len(s), 64)]
	for _, id := range ids {
		if s != "" && strings.HasPrefix(id, s) {
			return id
		}
	}
	best, least := "", -1
	for _, id := range ids {
		if d := edits(s, id); least < 0 || d < least {
			best, least = id, d
		}
	}
	return best
}

// edits is how many edits of single bytes turn s into id.
func edits(s, id string) int {
	row := make([]int, len(id)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(s) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(id) {
			cost := 1
			if s[i] == id[j] {
				cost = 0
			}
			diag, row[j+1] = row[j+1], min(diag+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(id)]
}

// MarshalText writes the id.
func (c Category) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads the id of a choice.
func (c *Category) UnmarshalText(text []byte) (err error) {
	*c, err = ParseCategory(string(text))
	return err
}
