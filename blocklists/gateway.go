package blocklists

import (
	"bytes"
	"slices"
	"strings"

	"golang.org/x/net/idna"
)

// Gateway is a proxy that shows the pages of other sites under names of its
// own, such as www-example-com.translate.goog.
type Gateway struct {
	Suffix   Name
	What     string
	Encoding Encoding
	Source   string
	Date     string // YYYY-MM-DD or YYYY-MM
}

// Encoding is how a gateway writes the name it hides into one label.
type Encoding uint8

const (
	// EncodingTranslate is Google Translate's: "-" is a dot and "--" a hyphen.
	// A "1-" in front may belong to the encoding, and a "0-" may stand for the
	// "xn--" of the first label. Which is meant stands in the address of the
	// page, which DNS does not see.
	EncodingTranslate Encoding = iota
	// EncodingAMP is that of caches of AMP pages: the name in Unicode, with "-"
	// for a dot and "--" for a hyphen, between "0-" and "-0" where its third and
	// fourth characters would be hyphens, and then in Punycode.
	EncodingAMP
)

// Unwrap returns the names that n may hide behind a gateway, nil where n is not
// below one, or hides nothing that could be a host. It allocates only for names
// below a gateway.
//
// Whoever decides about n decides about each of them too, as if it had been
// asked for, and the strictest of all verdicts holds: block before watch before
// allow. There are several where the label can be read in several ways, and a
// name may hide another below a gateway again; all are in the result, at most
// [MaxHidden]. The record speaks of the hidden name. Where one of the hidden
// names is help, nothing is recorded at all: a child who reads a help line's
// page in translation asks for help.
//
// Labels in front of the one that hides the name are passed over. What a gateway
// puts elsewhere stays hidden: Google Translate cuts names that are too long for
// a label and sends the front in the page's address, so only the end of such a
// name is seen, and AMP caches write a hash for them.
func (c *Catalogue) Unwrap(n Name) []Name {
	for i := range c.Gateways {
		if g := &c.Gateways[i]; strings.HasSuffix(string(n), string(g.Suffix)) {
			return c.unwrap(nil, n)
		}
	}
	return nil
}

// MaxHidden bounds the names that Unwrap returns. Real labels have one reading
// or two.
const MaxHidden = 8

// unwrap adds what n hides to found.
func (c *Catalogue) unwrap(found []Name, n Name) []Name {
	for i := range c.Gateways {
		g := &c.Gateways[i]
		if !n.IsBelow(g.Suffix) || n == g.Suffix {
			continue
		}
		label := n.Suffix(g.Suffix.Labels() + 1)
		for _, text := range readings(g.Encoding, string(label[1:1+label[0]])) {
			h, ok := hostOf(text)
			if !ok || slices.Contains(found, h) || len(found) == MaxHidden {
				continue
			}
			found = c.unwrap(append(found, h), h)
		}
	}
	return found
}

// readings returns what the label of a gateway may stand for, each with zero
// bytes between its labels.
func readings(e Encoding, label string) []string {
	all := []string{undash(label)}
	switch e {
	case EncodingTranslate:
		if rest, ok := strings.CutPrefix(label, "1-"); ok {
			all = append(all, undash(rest))
		}
		if rest, ok := strings.CutPrefix(label, "0-"); ok {
			all = append(all, "xn--"+undash(rest))
		}
	case EncodingAMP:
		plain := label
		if strings.HasPrefix(label, "xn--") {
			u, err := idna.Punycode.ToUnicode(label)
			if err != nil {
				return nil
			}
			plain, all = u, nil
			all = append(all, undash(u))
		}
		if inner, ok := strings.CutPrefix(plain, "0-"); ok {
			if inner, ok := strings.CutSuffix(inner, "-0"); ok {
				all = append(all, undash(inner))
			}
		}
	}
	return all
}

// undash turns "--" into a hyphen and "-" into the end of a label, from the
// left. An odd run of hyphens ends in the label's end, since what follows would
// otherwise begin with a hyphen, and nobody can register such a name.
func undash(label string) string {
	out := make([]byte, 0, len(label))
	for i := 0; i < len(label); i++ {
		switch {
		case label[i] != '-':
			out = append(out, label[i])
		case i+1 < len(label) && label[i+1] == '-':
			out = append(out, '-')
			i++
		default:
			out = append(out, 0)
		}
	}
	return string(out)
}

// hostOf makes a name of labels with zero bytes between them. A host has two
// labels or more.
func hostOf(text string) (Name, bool) {
	labels := bytes.Split([]byte(text), []byte{0})
	if len(labels) < 2 {
		return "", false
	}
	wire := make([]byte, 0, len(text)+1)
	for _, l := range labels {
		if !isASCII(string(l)) {
			a, err := idna.Punycode.ToASCII(mapIDN(string(l)))
			if err != nil || !isASCII(a) {
				return "", false
			}
			l = []byte(a)
		}
		if len(l) == 0 || len(l) > 63 {
			return "", false
		}
		wire = append(wire, byte(len(l)))
		for _, b := range l {
			wire = append(wire, lower(b))
		}
	}
	return Name(wire), len(wire) <= MaxNameLen
}
