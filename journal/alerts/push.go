package alerts

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/SherClockHolmes/webpush-go"

	"kinward/policy"
)

// VAPID is the key pair by which push services know this server (RFC 8292). The
// private one is a secret. Browsers subscribe with the public one, so that
// another pair makes every subscription worthless.
type VAPID struct {
	Public  string `json:"public"`
	Private string `json:"private"`
}

// NewVAPID makes a pair.
func NewVAPID() (VAPID, error) {
	private, public, err := webpush.GenerateVAPIDKeys()
	if err != nil {
		return VAPID{}, fmt.Errorf("making the key pair for web push: %w", err)
	}
	return VAPID{public, private}, nil
}

type pusher struct {
	keys    func(context.Context) (VAPID, error)
	contact string
	client  *http.Client
}

// NewPusher returns what sends web push messages. contact is where push services
// can reach the operator: an e-mail address or an https URL.
func NewPusher(keys func(context.Context) (VAPID, error), contact string, allowPrivate bool) Sender {
	return pusher{keys, contact, newHTTP(allowPrivate)}
}

// NewPush makes a channel of a browser's subscription: the JSON of its
// PushSubscription.
func NewPush(subscription []byte, allowPrivate bool) (Channel, error) {
	var s webpush.Subscription
	if err := json.Unmarshal(subscription, &s); err != nil || s.Endpoint == "" {
		return Channel{}, errors.New("it is not a push subscription: JSON with an endpoint and keys, as a browser gives it")
	}
	u, err := checkURL(s.Endpoint, allowPrivate)
	if err != nil {
		return Channel{}, fmt.Errorf("reading a push subscription's endpoint: %w", err)
	}
	if !isKey(s.Keys.P256dh, 65) || !isKey(s.Keys.Auth, 16) {
		return Channel{}, errors.New("reading a push subscription: its keys are not those of RFC 8291")
	}
	return Channel{Kind: Push, Settings: Settings{To: u.Host}, Secret: Secret{url: s.Endpoint, p256dh: s.Keys.P256dh, auth: s.Keys.Auth}}, nil
}

func isKey(s string, length int) bool {
	for _, e := range []*base64.Encoding{base64.RawURLEncoding, base64.URLEncoding, base64.StdEncoding, base64.RawStdEncoding} {
		if b, err := e.DecodeString(s); err == nil && len(b) == length {
			return true
		}
	}
	return false
}

// pushPayload is what a browser's service worker shows.
type pushPayload struct {
	Title string `json:"title"`
	Body  string `json:"body"`
	Tag   string `json:"tag"` // a message that comes twice is shown once
}

func (p pusher) Send(ctx context.Context, c Channel, m Message) (string, error) {
	if p.contact == "" {
		return "", fmt.Errorf("sending a push message: %w: the operator has to give a contact under alerts: push", ErrNotSet)
	}
	keys, err := p.keys(ctx)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(pushPayload{m.Letter.Subject, policy.Clip(m.Letter.Short, 1000), m.ID})
	if err != nil {
		return "", err
	}
	urgency := webpush.UrgencyNormal
	if m.Urgent {
		urgency = webpush.UrgencyHigh
	}
	resp, err := webpush.SendNotificationWithContext(ctx, body,
		&webpush.Subscription{Endpoint: c.Secret.url, Keys: webpush.Keys{Auth: c.Secret.auth, P256dh: c.Secret.p256dh}},
		&webpush.Options{
			HTTPClient: p.client, Subscriber: p.contact, TTL: int(expireAfter.Seconds()), Urgency: urgency,
			Topic:          m.ID[:min(len(m.ID), 32)], // RFC 8030 §5.4: a message takes its own earlier try's place
			VAPIDPublicKey: keys.Public, VAPIDPrivateKey: keys.Private,
		})
	if err == nil && (resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusGone) { // RFC 8030 §7.3
		resp.Body.Close()
		return "", fmt.Errorf("sending a push message: the browser has unsubscribed (%s): %w", oneLine(resp.Status), ErrGone)
	}
	said, err := answered(resp, err)
	if err != nil {
		return said, fmt.Errorf("sending a push message through %s: %w", c.Settings.To, err)
	}
	return said, nil
}
