package console

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"net/url"
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
