package policy

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"slices"
	"strings"
)

// madeToken is the length of a token that NewToken makes: 80 bits. It stands in
// the server name of TLS, which the path can see, so that it must not be guessed
// (64 bits at least), and short enough to be typed.
const madeToken = 16

// NewToken makes a token that nobody can guess: 16 characters a to z and 2 to 7.
func NewToken() string {
	var b [madeToken * 5 / 8]byte
	rand.Read(b[:])
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

// made reports whether a token has the form that NewToken gives it.
func made(token []byte) bool {
	for _, c := range token {
		if (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return len(token) == madeToken
}

// withoutAlias returns the token that stands behind a name for people and a
// hyphen, as in "tablet-k3v5zq7w2mxa4b6c". Only a token that was made has one: a
// short word behind a hyphen would be found in labels that do not mean it.
func withoutAlias(label []byte) (token []byte, ok bool) {
	at := len(label) - madeToken
	if at < 2 || label[at-1] != '-' || bytes.HasPrefix(label, []byte("-")) || !made(label[at:]) {
		return nil, false
	}
	return label[at:], true
}

// SetTokens says by which secrets the family as a whole is recognised; nil is
// none. Only one that [NewToken] made is taken.
func (f *Family) SetTokens(tokens []string) (string, error) {
	clean := slices.Clone(tokens)
	slices.Sort(clean)
	if slices.Equal(clean, f.Tokens) {
		return "", ErrSame
	}
	if err := f.checkTokens(clean); err != nil {
		return "", err
	}
	if f.Tokens = clean; len(clean) == 0 {
		f.Tokens = nil
		return "the family is not recognised by a secret of its router any more", nil
	}
	if len(clean) == 1 {
		return "the family is also recognised by a secret of its router from now on", nil
	}
	return "the family is recognised by other secrets of its router from now on", nil
}

// checkTokens checks what the family is to be recognised by.
func (f *Family) checkTokens(tokens []string) error {
	if len(tokens) > MaxClues {
		return refuse(ErrInvalid, "the family would have %d tokens; at most %d are allowed", len(tokens), MaxClues)
	}
	for i, t := range tokens {
		switch {
		case !made([]byte(t)):
			return refuse(ErrInvalid, "%q is no token of a family; it has %d characters, a to z and 2 to 7, and is made by Kinward", clip(t), madeToken)
		case slices.Contains(tokens[:i], t):
			return refuse(ErrInvalid, "a token of the family stands twice; give it once")
		}
		for _, d := range f.Devices {
			if slices.Contains(d.Tokens, t) {
				return refuse(ErrConflict, "the token %q is device %q's; a token is one device's or the family's", t, d.Name)
			}
		}
	}
	return nil
}

// TokenOf returns a token of the device that asks, for its private-DNS name: one
// that nobody can guess, "" where it has none or is no device we know.
func (d *Directory) TokenOf(a Asker) string {
	slot, ok := d.slot(a.Family)
	if !ok || a.Device == 0 {
		return ""
	}
	r := openRecord(d.slabs.record(slot))
	for place := range r.n[atDevices] {
		if id, _ := r.device(place); id == a.Device {
			return r.tokenOf(place)
		}
	}
	return ""
}
