package console

import (
	"crypto/rand"
	"encoding/base32"
	"net/url"
	"slices"
	"strings"
)

// recoveryCodes is how many an account is given at a time: for a phone that is lost.
const recoveryCodes = 10

// newRecoveryCodes returns codes of 80 bits, as they are kept and as they are
// shown.
func newRecoveryCodes() (plain, shown []string) {
	for range recoveryCodes {
		var b [10]byte
		rand.Read(b[:])
		code := strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
		plain = append(plain, code)
		shown = append(shown, strings.ReplaceAll(grouped(code), " ", "-"))
	}
	return plain, shown
}

// grouped writes a code in fours, which people can copy.
func grouped(code string) string {
	var parts []string
	for part := range slices.Chunk([]byte(code), 4) {
		parts = append(parts, string(part))
	}
	return strings.Join(parts, " ")
}

// newTOTPSecret returns a secret of 160 bits, as RFC 4226 §4 recommends.
func newTOTPSecret() string {
	var b [20]byte
	rand.Read(b[:])
	return base32.StdEncoding.EncodeToString(b[:])
}

// totpURL is what an authenticator app reads from a QR code.
func totpURL(name, secret string) string {
	u := url.URL{Scheme: "otpauth", Host: "totp", Path: "/Kinward:" + name, RawQuery: "secret=" + secret + "&issuer=Kinward"}
	return u.String()
}

// sortNewest orders what happened at the door, the newest first.
func sortNewest(rows []doorView) {
	slices.SortStableFunc(rows, func(a, b doorView) int { return b.At.Compare(a.At) })
}
