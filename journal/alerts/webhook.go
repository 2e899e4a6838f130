package alerts

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Headers of a webhook. The signature is "v1=" and the HMAC-SHA256, in
// hexadecimal digits, of the timestamp (Unix seconds), a dot and the body. Whoever
// receives it compares that, refuses timestamps that are old, and keeps the keys
// of the last days: a message that was tried again has the key that it had.
const (
	HeaderSignature = "Kinward-Signature"
	HeaderTimestamp = "Kinward-Timestamp"
	HeaderKey       = "Idempotency-Key"
)

type webhook struct {
	client *http.Client
	now    func() time.Time
	agent  string
}

// NewWebhooks returns what sends webhooks. agent is this program and its version.
func NewWebhooks(allowPrivate bool, agent string, now func() time.Time) Sender {
	return webhook{newHTTP(allowPrivate), now, agent}
}

// NewWebhook makes a channel to a URL, and the key that signs what goes there.
func NewWebhook(to string, allowPrivate bool) (c Channel, key string, err error) {
	u, err := checkURL(to, allowPrivate)
	if err != nil {
		return Channel{}, "", fmt.Errorf("reading the webhook's address: %w", err)
	}
	var b [32]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	key = hex.EncodeToString(b[:])
	return Channel{Kind: Webhook, Settings: Settings{To: u.Host}, Secret: Secret{url: u.String(), key: key}}, key, nil
}

// Sign returns the signature of a body.
func Sign(key, timestamp string, body []byte) string {
	h := hmac.New(sha256.New, []byte(key))
	fmt.Fprintf(h, "%s.%s", timestamp, body)
	return "v1=" + hex.EncodeToString(h.Sum(nil))
}

func (w webhook) Send(ctx context.Context, c Channel, m Message) (string, error) {
	body, err := json.Marshal(struct {
		ID   string    `json:"id"`
		Made time.Time `json:"made"`
		Data any       `json:"data"`
	}{m.ID, m.Made.UTC(), m.Letter.Fields})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Secret.url, bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("sending a webhook: its address cannot be read")
	}
	timestamp := strconv.FormatInt(w.now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", w.agent)
	req.Header.Set(HeaderKey, m.ID)
	req.Header.Set(HeaderTimestamp, timestamp)
	req.Header.Set(HeaderSignature, Sign(c.Secret.key, timestamp, body))
	said, err := answered(w.client.Do(req))
	if err != nil {
		return said, fmt.Errorf("sending a webhook to %s: %w", c.Settings.To, err)
	}
	return said, nil
}
