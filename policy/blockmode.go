package policy

import (
	"fmt"
	"net/netip"
	"strings"
)

// BlockMode says how a blocked question is answered. The zero value answers
// NXDOMAIN or NODATA, as the verdict says. Otherwise A and AAAA are answered
// with the addresses, and everything else, and a family without an address,
// with NODATA: the name then exists.
type BlockMode struct {
	V4, V6 netip.Addr
}

// ZeroAddress answers 0.0.0.0 and ::, which programs give up on at once.
var ZeroAddress = BlockMode{V4: netip.IPv4Unspecified(), V6: netip.IPv6Unspecified()}

// ParseBlockMode reads "nxdomain", "zero", an address, or an IPv4 and an IPv6
// address with a comma between them.
func ParseBlockMode(s string) (BlockMode, error) {
	switch s {
	case "nxdomain":
		return BlockMode{}, nil
	case "zero":
		return ZeroAddress, nil
	}
	var m BlockMode
	for part := range strings.SplitSeq(s, ",") {
		a, err := netip.ParseAddr(strings.TrimSpace(part))
		switch {
		case err != nil:
			return BlockMode{}, fmt.Errorf(`reading block mode %q: want "nxdomain", "zero", or addresses`, s)
		case a.Zone() != "" || a.Is4In6():
			return BlockMode{}, fmt.Errorf("reading block mode %q: %s cannot be given to others", s, a)
		case a.Is4() && !m.V4.IsValid():
			m.V4 = a
		case a.Is6() && !m.V6.IsValid():
			m.V6 = a
		default:
			return BlockMode{}, fmt.Errorf("reading block mode %q: want one IPv4 and one IPv6 address at most", s)
		}
	}
	return m, nil
}

// Valid reports whether each address is of the family that it is for.
func (m BlockMode) Valid() bool {
	return (!m.V4.IsValid() || m.V4.Is4()) && (!m.V6.IsValid() || m.V6.Is6() && m.V6.Zone() == "")
}

// String returns the form that ParseBlockMode reads.
func (m BlockMode) String() string {
	switch {
	case m == BlockMode{}:
		return "nxdomain"
	case m == ZeroAddress:
		return "zero"
	case !m.V6.IsValid():
		return m.V4.String()
	case !m.V4.IsValid():
		return m.V6.String()
	}
	return m.V4.String() + "," + m.V6.String()
}

// MarshalText writes what String returns.
func (m BlockMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads what ParseBlockMode reads.
func (m *BlockMode) UnmarshalText(text []byte) (err error) {
	*m, err = ParseBlockMode(string(text))
	return err
}
