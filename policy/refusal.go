package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Why a change of a family is refused. The errors that wrap these say what is
// wrong, where, and what to do; the family is then not to be kept.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("in conflict with what is there")
	ErrInvalid  = errors.New("not valid")

	// ErrSame says that a change would change nothing.
	ErrSame = errors.New("nothing to change")
)

// refusal is an error for a person, with its kind for the program.
type refusal struct {
	kind error
	text string
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.kind }

func refuse(kind error, format string, args ...any) error {
	return &refusal{kind, fmt.Sprintf(format, args...)}
}

// MaxName is how long a name that people give may be, in characters.
const MaxName = 100

// CleanName returns a name as it is stored: composed (NFC) and trimmed. The
// error wraps [ErrInvalid].
func CleanName(name string) (string, error) {
	name = strings.TrimSpace(norm.NFC.String(name))
	switch {
	case name == "":
		return "", refuse(ErrInvalid, "the name is empty; give it one of up to %d characters", MaxName)
	case !utf8.ValidString(name):
		return "", refuse(ErrInvalid, "the name %q is not valid UTF-8", clip(name))
	case utf8.RuneCountInString(name) > MaxName:
		return "", refuse(ErrInvalid, "the name %q has %d characters; at most %d are allowed", clip(name), utf8.RuneCountInString(name), MaxName)
	}
	for _, r := range name {
		if !unicode.IsPrint(r) { // also what turns the direction of text around
			return "", refuse(ErrInvalid, "the name %q holds the character %U, which cannot be shown; leave it out", clip(name), r)
		}
	}
	return name, nil
}

// NameKey returns what names that people give are compared by: composed and
// case-folded, so that "Straße" and "STRASSE" are one name.
func NameKey(name string) string {
	return cases.Fold().String(strings.TrimSpace(norm.NFC.String(name)))
}

// ParseNetwork reads an address or a network of a device, "192.168.1.20",
// "fe80::1%eth0" or "192.168.1.0/24", in the one form that is stored.
func ParseNetwork(s string) (netip.Prefix, error) {
	s = strings.TrimSpace(s)
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return netip.Prefix{}, refuse(ErrInvalid, "%q is no address or network; write 192.168.1.20, fd00::20 or 192.168.1.0/24", clip(s))
	}
	return cleanNetwork(p)
}

// cleanNetwork returns a network in the one form that is stored.
func cleanNetwork(p netip.Prefix) (netip.Prefix, error) {
	if !p.IsValid() {
		return p, refuse(ErrInvalid, "a network is missing; write 192.168.1.20 or 192.168.1.0/24")
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	switch {
	case p.Bits() == 0:
		return p, refuse(ErrInvalid, "%s is everybody; change the profile that applies to everyone instead", p)
	case p != p.Masked():
		return p, refuse(ErrInvalid, "%s is an address with the length of a network; write %s for the one device, or %s for the whole network", p, p.Addr(), p.Masked())
	}
	return p, nil
}

// NetworkText writes a network of one address as that address.
func NetworkText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// IsPrivate reports whether every address of a network is one that many
// households use at once (RFC 1918, RFC 4193, RFC 6598, link-local, loopback).
// As a clue of a device such a network counts within its family alone. For one
// address public, which each question asks, says the same.
func IsPrivate(p netip.Prefix) bool {
	for _, whole := range privateSpaces {
		if whole.Bits() <= p.Bits() && whole.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

var privateSpaces = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"), netip.MustParsePrefix("::1/128"),
}

// later checks the end of something that is to begin now.
func later(until, now time.Time) error {
	if !until.IsZero() && !until.After(now) {
		return refuse(ErrInvalid, "that time is over already; give one to come, or none for ever")
	}
	return nil
}

func untilText(until time.Time) string {
	if until.IsZero() || until.Equal(Forever) {
		return ""
	}
	return " until " + until.UTC().Format(time.RFC3339)
}

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }
