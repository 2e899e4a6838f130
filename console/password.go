package console

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"kinward/policy"
)

// cost says how much work a password is (RFC 9106 §3.1).
type cost struct {
	memory uint32 // KiB
	time   uint32
	lanes  uint8
}

// passwordCost is OWASP's first choice for argon2id, which a small board bears too:
// 19 MiB, twice over. A hash of another cost is made anew when its password comes.
var passwordCost = cost{memory: 19 << 10, time: 2, lanes: 1}

const (
	saltLen = 16
	hashLen = 32

	minPassword = 12  // characters
	maxPassword = 256 // bytes

	// hashing is how many passwords are worked on at a time: each takes the memory
	// above, and who signs in must not be able to take it all.
	hashing = 2

	// waiting is how many may wait for that, and hashPatience how long.
	waiting      = 16
	hashPatience = 5 * time.Second
)

// errBusy is told to who would have to wait too long.
var errBusy = errors.New("too many passwords are being checked at this moment")

// hasher makes and checks hashes of passwords, a few at a time.
type hasher struct {
	cost  cost
	turns chan struct{} // one for each that works
	queue chan struct{} // one for each that works or waits
	dummy string        // a hash of nobody's password
	// derive does the work; tests count how often.
	derive func(c cost, password string, salt []byte) []byte
}

func newHasher(c cost) *hasher {
	h := &hasher{cost: c, turns: make(chan struct{}, hashing), queue: make(chan struct{}, hashing+waiting), derive: cost.key}
	var salt [saltLen]byte
	rand.Read(salt[:])
	h.dummy = encodeHash(c, salt[:], make([]byte, hashLen))
	return h
}

// turn waits until a password may be worked on. It returns errBusy where that
// would take too long.
func (h *hasher) turn(ctx context.Context) (done func(), err error) {
	select {
	case h.queue <- struct{}{}:
	default:
		return nil, errBusy
	}
	ctx, cancel := context.WithTimeout(ctx, hashPatience)
	defer cancel()
	select {
	case h.turns <- struct{}{}:
		return func() { <-h.turns; <-h.queue }, nil
	case <-ctx.Done():
		<-h.queue
		return nil, errBusy
	}
}

// hash returns what is kept of a password.
func (h *hasher) hash(ctx context.Context, password string) (string, error) {
	done, err := h.turn(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	var salt [saltLen]byte
	rand.Read(salt[:])
	return encodeHash(h.cost, salt[:], h.derive(h.cost, password, salt[:])), nil
}

// check reports whether a password is the one of a hash, and whether the hash is
// of another cost than today's. Where there is no hash it does the same work for
// nothing, so that the time does not tell who has an account.
func (h *hasher) check(ctx context.Context, hash, password string) (is, old bool, err error) {
	known := hash != ""
	if !known {
		hash = h.dummy
	}
	c, salt, key, err := decodeHash(hash)
	if err != nil {
		return false, false, err
	}
	done, err := h.turn(ctx)
	if err != nil {
		return false, false, err
	}
	defer done()
	same := subtle.ConstantTimeCompare(key, h.derive(c, password, salt)) == 1
	return same && known, c != h.cost, nil
}

func (c cost) key(password string, salt []byte) []byte {
	return argon2.IDKey([]byte(norm.NFC.String(password)), salt, c.time, c.memory, c.lanes, hashLen)
}

// encodeHash writes a hash as argon2's reference implementation does.
func encodeHash(c cost, salt, key []byte) string {
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.memory, c.time, c.lanes, b.EncodeToString(salt), b.EncodeToString(key))
}

func decodeHash(hash string) (c cost, salt, key []byte, err error) {
	parts := strings.Split(hash, "$")
	version := 0
	if len(parts) != 6 || parts[1] != "argon2id" {
		return c, nil, nil, errors.New("reading the hash of a password: it is none of argon2id")
	}
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return c, nil, nil, fmt.Errorf("reading the hash of a password: version %d is not known", version)
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.memory, &c.time, &c.lanes); err != nil || c.time == 0 || c.lanes == 0 {
		return c, nil, nil, errors.New("reading the hash of a password: its cost cannot be read")
	}
	salt, errSalt := base64.RawStdEncoding.DecodeString(parts[4])
	key, errKey := base64.RawStdEncoding.DecodeString(parts[5])
	if err := errors.Join(errSalt, errKey); err != nil || len(key) != hashLen {
		return c, nil, nil, errors.New("reading the hash of a password: it is cut off")
	}
	return c, salt, key, nil
}

// weak returns the key of the text that says why a password is none to choose, ""
// where it is one. Length counts, not signs: three words are better than "P4$$w0rd".
func weak(password string, names ...string) string {
	folded := policy.NameKey(password)
	seen := map[rune]bool{}
	for _, r := range folded {
		seen[r] = true
	}
	switch {
	case !utf8.ValidString(password), len(password) > maxPassword:
		return "password.long"
	case utf8.RuneCountInString(password) < minPassword:
		return "password.short"
	case len(seen) < 5, strings.Contains("0123456789012345678901234567890", folded), strings.Contains("abcdefghijklmnopqrstuvwxyz", folded),
		strings.Contains("qwertyuiopasdfghjklzxcvbnm qwertzuiopasdfghjklyxcvbnm", folded):
		return "password.simple"
	}
	for _, n := range append(names, "kinward", "password", "passwort") {
		if n = policy.NameKey(n); n != "" && strings.Trim(strings.ReplaceAll(folded, n, ""), "0123456789!?.- ") == "" {
			return "password.simple"
		}
	}
	return ""
}
