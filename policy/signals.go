package policy

import (
	"fmt"
	"slices"
	"strings"

	"kinward/blocklists"
)

// The kinds of signals: what the record shows when it is looked at as a whole.
// Their words last: families, stored signals and commands use them.
const (
	SignalFirstTime = "first-time"             // a profile tried a service that it never tried before
	SignalSeveral   = "several-stranger-chats" // several services to chat with strangers within a week
	SignalUnknown   = "unknown-device"         // a device that nobody named
	SignalTunnel    = "tunnel"                 // a device asks as if it sent data inside its questions
	SignalNight     = "night"                  // dating or stranger chat in the family's night
	SignalNewVPN    = "new-then-vpn"           // a new service, and then a VPN or proxy
	SignalBypass    = "bypass"                 // a VPN's or proxy's own names
	SignalSilent    = "silent"                 // a device that usually asks by now does not
)

var signalKinds = []string{
	SignalFirstTime, SignalSeveral, SignalUnknown, SignalTunnel, SignalNight, SignalNewVPN, SignalBypass, SignalSilent,
}

// SignalKinds returns the words of all kinds of signals.
func SignalKinds() []string { return slices.Clone(signalKinds) }

// CheckSignal refuses what is no kind of signal, and names the nearest. The error
// wraps [ErrInvalid].
func CheckSignal(kind string) error {
	if slices.Contains(signalKinds, kind) {
		return nil
	}
	return refuse(ErrInvalid, "there is no signal %q; did you mean %q? There are: %s",
		clip(kind), blocklists.Nearest(kind, signalKinds), strings.Join(signalKinds, ", "))
}

// Hours is a span of every day by the family's clock. One that ends before it
// begins ends on the day after; the zero value is none.
type Hours struct {
	From Minutes // below 1440
	To   Minutes // 1 to 1440; not itself in the span
}

// defaultNight are the hours of [SignalNight] of a family that says nothing else.
var defaultNight = Hours{From: 22 * 60, To: 6 * 60}

// String returns the span as "22:00-06:00".
func (h Hours) String() string { return h.From.String() + "-" + h.To.String() }

// MarshalText writes the span.
func (h Hours) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads a span such as "22:00-06:00".
func (h *Hours) UnmarshalText(text []byte) error {
	var w Window
	if err := w.UnmarshalText(text); err != nil || strings.ContainsAny(strings.TrimSpace(string(text)), " \t") {
		return fmt.Errorf("reading hours %q: write them like 22:00-06:00, without days", clip(string(text)))
	}
	*h = Hours{w.From, w.To}
	return nil
}

// Contains reports whether a time of day, counted from midnight, is in the span.
func (h Hours) Contains(m Minutes) bool {
	switch {
	case h == Hours{}:
		return false
	case h.From < h.To:
		return h.From <= m && m < h.To
	}
	return m >= h.From || m < h.To
}

// NightHours returns the hours that the family calls night.
func (f *Family) NightHours() Hours {
	if f.Night == (Hours{}) {
		return defaultNight
	}
	return f.Night
}

// Signals reports whether the family wants to hear of a kind of signal.
func (f *Family) Signals(kind string) bool { return !slices.Contains(f.SignalsOff, kind) }

// SwitchSignal says whether the family hears of a kind of signal from now on.
func (f *Family) SwitchSignal(kind string, on bool) (string, error) {
	if err := CheckSignal(kind); err != nil {
		return "", err
	}
	if f.Signals(kind) == on {
		return "", ErrSame
	}
	if on {
		f.SignalsOff = slices.DeleteFunc(f.SignalsOff, func(k string) bool { return k == kind })
		return fmt.Sprintf("the signal %s is given from now on", kind), nil
	}
	f.SignalsOff = append(f.SignalsOff, kind)
	return fmt.Sprintf("the signal %s is not given any more", kind), nil
}

// SetNight says which hours are night to the signal of that kind; the zero value
// is 22:00-06:00.
func (f *Family) SetNight(h Hours) (string, error) {
	if h == defaultNight {
		h = Hours{}
	}
	if err := h.check(); err != nil {
		return "", err
	}
	if h == f.Night {
		return "", ErrSame
	}
	f.Night = h
	return fmt.Sprintf("the signal night goes by %s", f.NightHours()), nil
}

func (h Hours) check() error {
	if h != (Hours{}) && (h.From >= 1440 || h.To < 1 || h.To > 1440 || h.From == h.To) {
		return refuse(ErrInvalid, "%s is no span of the day; write it like 22:00-06:00", h)
	}
	return nil
}

func (v *validation) signals() {
	v.in("signals", func() {
		for i, kind := range v.f.SignalsOff {
			if err := CheckSignal(kind); err != nil {
				v.err(err)
			} else if slices.Contains(v.f.SignalsOff[:i], kind) {
				v.fault(ErrConflict, "%s is switched off twice; name it once", kind)
			}
		}
		v.err(v.f.Night.check())
	})
}
