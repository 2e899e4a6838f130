package store

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Why a change is refused. The errors that wrap these say what is wrong, where,
// and what to do; nothing was changed.
var (
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("in conflict with what is there")
	ErrInvalid  = errors.New("not valid")
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

// cleanName returns a name as it is stored: composed (NFC) and trimmed.
func cleanName(name string) (string, error) {
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

func clip(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}

// nameKey is what names are compared by.
func nameKey(name string) string { return strings.ToLower(name) }

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

// networkText writes a network of one address as that address.
func networkText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

func networksText(list []netip.Prefix) string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = networkText(p)
	}
	return strings.Join(out, ", ")
}
