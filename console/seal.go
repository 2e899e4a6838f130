package console

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"time"
)

// sealer gives browsers things to keep that they can neither read nor change:
// half-way through signing in, so that whoever begins and goes away leaves nothing
// behind here.
type sealer struct {
	aead cipher.AEAD
	now  func() time.Time
}

func newSealer(key [32]byte, now func() time.Time) (*sealer, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &sealer{aead, now}, nil
}

// sealed is what stands in a seal.
type sealed struct {
	Until time.Time       `json:"until"`
	Value json.RawMessage `json:"value"`
}

// seal returns a value for a purpose, worth something for a while.
func (s *sealer) seal(purpose string, value any, life time.Duration) (string, error) {
	raw, err := json.Marshal(value)
	if err != nil {
		return "", err
	}
	plain, err := json.Marshal(sealed{s.now().Add(life), raw})
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, plain, []byte(purpose))), nil
}

// open reads what was sealed for a purpose. It returns false where it is not, or
// its time is over.
func (s *sealer) open(purpose, text string, value any) bool {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return false
	}
	plain, err := s.aead.Open(nil, nil, b, []byte(purpose))
	if err != nil {
		return false
	}
	var x sealed
	if json.Unmarshal(plain, &x) != nil || !s.now().Before(x.Until) {
		return false
	}
	return json.Unmarshal(x.Value, value) == nil
}

// newNonce names something once.
func newNonce() string {
	var b [12]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
