package console

import (
	"context"
	"crypto/subtle"
	"strings"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"kinward/store"
)

// totpPeriod is what authenticator apps go by (RFC 6238 §5.2), and totpSkew how many
// steps a clock may be wrong.
const (
	totpPeriod = 30
	totpSkew   = 1
)

// totp reports whether a code is one of the account's second factor, and uses it
// up: a code that somebody has read over a shoulder is worth nothing any more.
func (v *visit) totp(ctx context.Context, account store.Account, code string) (bool, error) {
	step, ok := totpStep(account.TOTP, code, v.now)
	if !ok {
		return false, nil
	}
	return v.server.accounts.UseTOTP(ctx, account.ID, step)
}

// totpStep returns the step whose code it is.
func totpStep(secret, code string, now time.Time) (step int64, ok bool) {
	if secret == "" {
		return 0, false
	}
	code = strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, code)
	for skew := int64(-totpSkew); skew <= totpSkew; skew++ {
		at := now.Unix()/totpPeriod + skew
		want, err := totp.GenerateCodeCustom(secret, time.Unix(at*totpPeriod, 0), totp.ValidateOpts{
			Period: totpPeriod, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1, // what apps know
		})
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 {
			step, ok = at, true
		}
	}
	return step, ok
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
