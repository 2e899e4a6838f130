package blocklists

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/net/idna"
)

// Name is a domain name in its one canonical form: the wire format of RFC 1035
// §3.1 with ASCII letters in lower case and without the closing root label.
// "www.example.com" is "\x03www\x07example\x03com"; the root is "".
//
// Every comparison of names in Kinward is a comparison of Names, so two
// spellings of one name cannot take two ways through the filter. A label may
// hold any byte, dots included, and is never confused with a separator.
//
// A suffix of labels is a plain slice of the string (see [Name.Suffix]), so
// walking a name's parents needs no memory.
type Name string

// MaxNameLen is the longest a Name can be: 255 bytes on the wire (RFC 1035
// §2.3.4) less the root label.
const MaxNameLen = 254

// MaxLabels is the largest number of labels a Name can have.
const MaxLabels = MaxNameLen / 2

// What can be wrong with a name. Errors from ParseName wrap one of these.
var (
	ErrNameTooLong  = errors.New("name is longer than 255 bytes")
	ErrLabelTooLong = errors.New("label is longer than 63 bytes")
	ErrEmptyLabel   = errors.New("empty label")
	ErrBadEscape    = errors.New("bad escape")
	ErrBadIDN       = errors.New("not a valid internationalised name")
)

// ParseName reads a name in presentation form (RFC 1035 §5.1): labels between
// unescaped dots, \. and \DDD escapes, an optional closing dot. ASCII letters
// are lowered. A label with bytes outside ASCII is taken as UTF-8 and becomes
// its A-label (RFC 5891). "" and "." are the root. The error wraps one of the
// Err values above and quotes the input.
func ParseName(s string) (Name, error) {
	n, err := parseName(s)
	if err != nil {
		return "", fmt.Errorf("reading name %q: %w", clip(s), err)
	}
	return n, nil
}

// clip keeps an error readable when the input is a page of text.
func clip(s string) string {
	if len(s) > 120 {
		return s[:120] + "…"
	}
	return s
}

func parseName(s string) (Name, error) {
	if s == "" || s == "." {
		return "", nil
	}
	if !isASCII(s) {
		a, err := idna.Punycode.ToASCII(mapIDN(s))
		if err != nil || !isASCII(a) {
			return "", ErrBadIDN
		}
		s = a
	}
	var buf [MaxNameLen + 1]byte
	out := 1   // buf[start] is reserved for the label's length
	start := 0 // where the current label's length byte goes
	flush := func() error {
		n := out - start - 1
		switch {
		case n == 0:
			return ErrEmptyLabel
		case n > 63:
			return ErrLabelTooLong
		}
		buf[start] = byte(n)
		start = out
		out++
		return nil
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '.':
			if err := flush(); err != nil {
				return "", err
			}
			if i == len(s)-1 { // a closing dot
				return ended(buf[:start])
			}
			continue
		case c == '\\':
			b, n, ok := unescape(s[i+1:])
			if !ok {
				return "", ErrBadEscape
			}
			c = b
			i += n
		}
		if out >= len(buf) {
			return "", ErrNameTooLong
		}
		buf[out] = lower(c)
		out++
	}
	if err := flush(); err != nil {
		return "", err
	}
	return ended(buf[:start])
}

func ended(name []byte) (Name, error) {
	if len(name) > MaxNameLen {
		return "", ErrNameTooLong
	}
	return Name(name), nil
}

// unescape reads what follows a backslash: DDD or any other single character.
func unescape(s string) (b byte, n int, ok bool) {
	if s == "" {
		return 0, 0, false
	}
	if s[0] < '0' || s[0] > '9' {
		return s[0], 1, true
	}
	if len(s) < 3 || s[1] < '0' || s[1] > '9' || s[2] < '0' || s[2] > '9' {
		return 0, 0, false
	}
	v := int(s[0]-'0')*100 + int(s[1]-'0')*10 + int(s[2]-'0')
	return byte(v), 3, v <= 255
}

// mapIDN prepares a name with characters outside ASCII for Punycode: lower
// case, NFC-composed by UTS 46's map where it accepts the name, and typographic
// hyphens that people paste made plain.
func mapIDN(s string) string {
	s = strings.Map(func(r rune) rune {
		switch r {
		case '\u2010', '\u2011', '\u2012', '\u2013', '\u2212':
			return '-'
		case '\u3002', '\uff0e', '\uff61': // IDNA's other full stops (RFC 3490 §3.1)
			return '.'
		}
		return r
	}, s)
	if u, err := idnaMap.ToUnicode(s); err == nil {
		return u
	}
	return strings.ToLower(s)
}

var idnaMap = idna.New(idna.MapForLookup(), idna.StrictDomainName(false), idna.Transitional(false))

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// MustName is ParseName for names written in the program itself. It panics on
// an error.
func MustName(s string) Name {
	n, err := ParseName(s)
	if err != nil {
		panic(err)
	}
	return n
}

// String returns the presentation form without a closing dot; the root is ".".
// Bytes that would not read back are escaped, so ParseName(n.String()) == n.
func (n Name) String() string {
	if n == "" {
		return "."
	}
	var b strings.Builder
	b.Grow(len(n))
	for off := 0; off < len(n); {
		l := int(n[off])
		if off > 0 {
			b.WriteByte('.')
		}
		for i := off + 1; i <= off+l; i++ {
			c := n[i]
			switch {
			case c == '.' || c == '\\' || c == '"' || c == '(' || c == ')' || c == ';' || c == '@' || c == '$':
				b.WriteByte('\\')
				b.WriteByte(c)
			case c < '!' || c > '~':
				fmt.Fprintf(&b, "\\%03d", c)
			default:
				b.WriteByte(c)
			}
		}
		off += l + 1
	}
	return b.String()
}

// Labels returns the number of labels; the root has none.
func (n Name) Labels() int {
	k := 0
	for off := 0; off < len(n); off += int(n[off]) + 1 {
		k++
	}
	return k
}

// Parent returns the name without its first label. The root's parent is the
// root.
func (n Name) Parent() Name {
	if n == "" {
		return ""
	}
	return n[int(n[0])+1:]
}

// Suffix returns the last k labels, or n itself where it has no more than k.
func (n Name) Suffix(k int) Name {
	for extra := n.Labels() - k; extra > 0; extra-- {
		n = n.Parent()
	}
	return n
}

// IsBelow reports whether n is p or a name below p.
func (n Name) IsBelow(p Name) bool {
	if len(n) < len(p) {
		return false
	}
	for len(n) > len(p) {
		n = n.Parent()
	}
	return n == p
}

// MarshalText writes what String returns.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads what [ParseName] reads.
func (n *Name) UnmarshalText(text []byte) (err error) {
	*n, err = ParseName(string(text))
	return err
}
