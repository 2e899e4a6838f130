// Package setup writes what makes a device or a router ask Kinward: host names,
// addresses, QR codes, Apple profiles and step-by-step instructions with a
// family's own values in them.
//
// Everything here is a pure function from values to texts and files: it reads no
// clock, no disk and no network, and the same values make the same bytes. Who may
// have a device's name, and where the texts go, is the caller's business.
package setup

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Values are what a family's own instructions are made of.
type Values struct {
	Family string // the number of the family: part of what identifies a profile
	Device string // the number of the device in it
	Name   string // what guardians call the device
	Token  string // the device's label, its secret; "" is none
	Secret string // the family's, for its router; "" is none
	// Server is the server's public name, such as dns.example; "" is none.
	Server string
	// Home are the server's addresses in the home; empty where they are not known.
	Home []netip.Addr
	// Public are the addresses at which the server is reached from outside. They
	// spare an Apple device the look-up of the server's name; empty is right too.
	Public []netip.Addr
}

// Host returns the device's private-DNS name, "" where the server has no public
// name or the device no token.
func (v Values) Host() string {
	if v.Server == "" || v.Token == "" {
		return ""
	}
	return v.Token + "." + v.Server
}

// URL returns the device's DoH address (RFC 8484), "" where [Values.Host] is.
func (v Values) URL() string {
	if v.Host() == "" {
		return ""
	}
	return "https://" + v.Server + "/dns-query/" + v.Token
}

// Home4 returns the server's first IPv4 address in the home, or a text that stands
// for it.
func (v Values) Home4() string { return firstOf(v.Home, netip.Addr.Is4, "ADDRESS-OF-KINWARD") }

// Home6 is the IPv6 twin of [Values.Home4]; "" where there is none.
func (v Values) Home6() string { return firstOf(v.Home, netip.Addr.Is6, "") }

// Outside4 returns the server's first public IPv4 address, or a text that stands for
// it.
func (v Values) Outside4() string {
	return firstOf(v.Public, netip.Addr.Is4, "PUBLIC-ADDRESS-OF-KINWARD")
}

// Outside6 is the IPv6 twin of [Values.Outside4]; "" where there is none.
func (v Values) Outside6() string { return firstOf(v.Public, netip.Addr.Is6, "") }

func firstOf(addrs []netip.Addr, kind func(netip.Addr) bool, otherwise string) string {
	if i := slices.IndexFunc(addrs, kind); i >= 0 {
		return addrs[i].String()
	}
	return otherwise
}

// ErrNoPublicName says that what was asked for works only where the server has a
// public name.
var ErrNoPublicName = errors.New("the server has no public name")

// ErrNoPlatform says that there is no guide for a platform.
var ErrNoPlatform = errors.New("there is no such platform")

// check refuses values that would make wrong instructions, or break out of the
// text that they are put in.
func (v Values) check() error {
	for _, label := range strings.Split(v.Server, ".") {
		if v.Server != "" && !isLabel(label) {
			return fmt.Errorf("making instructions: %q is not a host name", v.Server)
		}
	}
	if v.Token != "" && !isLabel(v.Token) {
		return errors.New("making instructions: the device's label is not one of a host name")
	}
	if v.Secret != "" && !isLabel(v.Secret) {
		return errors.New("making instructions: the family's secret is not made of letters and digits")
	}
	if len(v.Host()) > 253 {
		return fmt.Errorf("making instructions: the name of the device below %q would be longer than 253 characters", v.Server)
	}
	for _, a := range slices.Concat(v.Home, v.Public) {
		if !a.IsValid() || a.Zone() != "" {
			return fmt.Errorf("making instructions: %q is no address that others can use", a)
		}
	}
	return nil
}

// isLabel reports whether s is a label of a host name (RFC 1123 §2.1), in lower
// case.
func isLabel(s string) bool {
	return s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-' &&
		!strings.ContainsFunc(s, func(r rune) bool { return r != '-' && (r < 'a' || r > 'z') && (r < '0' || r > '9') })
}
