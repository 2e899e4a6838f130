package console

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"slices"
	"strings"

	"kinward/store"
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

// recovery reports whether a code is one of the account's recovery codes, and uses
// it up.
func (v *visit) recovery(ctx context.Context, account store.Account, code string) (bool, error) {
	code = plainCode(code)
	if code == "" {
		return false, nil
	}
	return v.server.accounts.UseCode(ctx, account.ID, code)
}

// plainCode returns a recovery code as it was made, however it was typed.
func plainCode(code string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '-' || r == ' ':
			return -1
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return r
	}, code)
}
