package alerts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var message = Message{ID: strings.Repeat("0a", 16), Made: evening, Letter: Letter{Subject: "Kinward: a test", Short: "short", Text: "text", HTML: "<p>text</p>", Fields: struct{}{}}}

func now() time.Time { return evening }

// TestOnlyTheOpenInternet: an address that a guardian gives reaches nothing that
// this machine alone reaches, whatever its name says.
func TestOnlyTheOpenInternet(t *testing.T) {
	hit := false
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hit = true }))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hit = true }))
	defer secure.Close()
	port := secure.URL[strings.LastIndexByte(secure.URL, ':'):]

	for _, to := range []string{
		plain.URL, secure.URL, "https://[::1]" + port, "https://10.0.0.1/x", "https://169.254.169.254/latest", "https://[::ffff:127.0.0.1]/", "https://[64:ff9b::7f00:1]/",
		"ftp://example.org/", "https:///x", "example.org", "file:///etc/passwd", "https://example.org/#x",
	} {
		if _, _, err := NewWebhook(to, false); err == nil {
			t.Errorf("a webhook to %s is taken", to)
		}
	}
	// A name passes, and is looked at where it is dialed.
	for scheme, want := range map[string]error{"https": ErrPrivate, "http": errClear} {
		c := Channel{Kind: Webhook, Settings: Settings{To: "localhost"}, Secret: Secret{url: scheme + "://localhost" + port, key: "k"}}
		if _, err := NewWebhooks(false, "Kinward/test", now).Send(t.Context(), c, message); err == nil || err.Error() != "sending a webhook to localhost: "+want.Error() {
			t.Errorf("%s to localhost: %v, want no more than %v", scheme, err, want)
		}
	}
	if hit {
		t.Error("something was reached")
	}
	// Where the operator allows it, the own network, also in clear.
	c, _, err := NewWebhook(plain.URL, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewWebhooks(true, "Kinward/test", now).Send(t.Context(), c, message); err != nil || !hit {
		t.Errorf("the own network, though it is allowed: %v", err)
	}
	// But never the open internet in clear.
	c.Secret.url = "http://192.88.99.1:1/" // a public address that nobody has
	if _, err := NewWebhooks(true, "Kinward/test", now).Send(t.Context(), c, message); !errors.Is(err, errClear) {
		t.Errorf("the open internet in clear: %v", err)
	}
}

// A guardian is told why nobody was reached, and not which server this one asks for
// names.
func TestLookupsAreNotTold(t *testing.T) {
	_, err := answered(nil, &url.Error{Op: "Post", URL: "https://alerts.example.org/secret", Err: &net.OpError{
		Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "alerts.example.org", Server: "10.0.0.53:53", IsNotFound: true},
	}})
	if want := "looking up alerts.example.org: no such host"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestRedirectsAreNotFollowed: what is redirected could lead anywhere, with the
// body and its signature.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var hits int
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits++
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	c, _, err := NewWebhook(s.URL, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewWebhooks(true, "Kinward/test", now).Send(t.Context(), c, message); err == nil || !strings.Contains(err.Error(), "307") || hits != 1 {
		t.Errorf("%d requests: %v", hits, err)
	}
}

// TestErrorsHoldNoSecret: what failed can be shown, whatever failed.
func TestErrorsHoldNoSecret(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	gone := s.URL
	check := func(what string, err error) {
		t.Helper()
		if err == nil || strings.Contains(err.Error(), "verysecret") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, state := range []string{"refused", "away"} {
		hook, _, err := NewWebhook(gone+"/verysecret?verysecret", true)
		if err != nil {
			t.Fatal(err)
		}
		topic, err := NewTopic(gone+"/verysecret", "verysecret", 0, true)
		if err != nil {
			t.Fatal(err)
		}
		_, err = NewWebhooks(true, "Kinward/test", now).Send(t.Context(), hook, message)
		check("webhook "+state, err)
		_, err = NewNtfy(true, "Kinward/test", "").Send(t.Context(), topic, message)
		check("ntfy "+state, err)
		_, err = NewPusher(func(context.Context) (VAPID, error) { return NewVAPID() }, "a@example.org", true).Send(t.Context(), Channel{Kind: Push, Secret: Secret{url: gone + "/verysecret", p256dh: "BAAA", auth: "verysecret"}}, message)
		check("push "+state, err)
		s.Close()
	}
	for _, bad := range []string{"https://ntfy.example.org/", "https://u:verysecret@ntfy.example.org/t", "https://ntfy.example.org/t?auth=verysecret"} {
		_, err := NewTopic(bad, "", 0, false)
		check(bad, err)
	}
	_, _, err := NewWebhook("https://verysecret:verysecret@[::1", false)
	check("an address that cannot be read", err)
	_, err = NewMailer(SMTP{Host: "127.0.0.1", Port: 1, From: "a@example.org", Username: "a", Password: "verysecret"}).Send(t.Context(), Channel{Settings: Settings{To: "b@example.org"}}, message)
	check("e-mail", err)
	for _, before := range []int{0, 190, 195, 199} { // what is long is cut at 200 bytes
		err := mailer{SMTP{Password: "verysecret"}}.hide(errors.New(strings.Repeat("x", before) + "verysecret"))
		if err == nil || strings.Contains(err.Error(), "v") {
			t.Errorf("a server that repeats the password after %d bytes: %v", before, err)
		}
	}
}

func TestPushGivesUpWhereTheBrowserDid(t *testing.T) {
	status := http.StatusGone
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
	}))
	defer s.Close()
	keys, err := NewVAPID()
	if err != nil {
		t.Fatal(err)
	}
	subscription := fmt.Sprintf(`{"endpoint":%q,"keys":{"p256dh":%q,"auth":"AAAAAAAAAAAAAAAAAAAAAA"}}`, s.URL, keys.Public) // any point of the curve
	c, err := NewPush([]byte(subscription), true)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPusher(func(context.Context) (VAPID, error) { return keys, nil }, "a@example.org", true)
	for code, want := range map[int]bool{http.StatusGone: true, http.StatusNotFound: true, http.StatusTooManyRequests: false, http.StatusBadGateway: false} {
		status = code
		if _, err := p.Send(t.Context(), c, message); err == nil || errors.Is(err, ErrGone) != want {
			t.Errorf("%d: %v, want gone %v", code, err, want)
		}
	}
	status = http.StatusCreated
	if said, err := p.Send(t.Context(), c, message); err != nil || said != "201 Created" {
		t.Errorf("said %q, %v", said, err)
	}
	for _, bad := range []string{"", "{}", `{"endpoint":"https://push.example.org/x","keys":{"p256dh":"AA","auth":"AA"}}`, strings.Replace(subscription, "http:", "ftp:", 1)} {
		if _, err := NewPush([]byte(bad), true); err == nil {
			t.Errorf("the subscription %q is taken", bad)
		}
	}
	if _, err := NewPush([]byte(subscription), false); err == nil {
		t.Error("a push service on loopback is taken")
	}
}

func TestSignatureIsOfTimeAndBody(t *testing.T) {
	// printf '1700000000.{}' | openssl dgst -sha256 -hmac key
	const want = "v1=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae"
	got := Sign("key", "1700000000", []byte("{}"))
	if got != want || got == Sign("key", "1700000001", []byte("{}")) || got == Sign("key", "1700000000", []byte("{} ")) || got == Sign("kez", "1700000000", []byte("{}")) {
		t.Errorf("signature %s does not depend on all that it must", got)
	}
}

func TestAddressesAndTopics(t *testing.T) {
	for _, bad := range []string{"", "eva", "Eva <eva@example.org>", "eva@example.org, mum@example.org", "eva@example.org\r\nBcc: x@example.org"} {
		if _, err := NewEmail(bad); err == nil {
			t.Errorf("the address %q is taken", bad)
		}
	}
	if c, err := NewEmail("eva@example.org"); err != nil || c.Settings.To != "eva@example.org" {
		t.Errorf("%+v, %v", c, err)
	}
	c, err := NewTopic("https://ntfy.example.org/a_topic-1", "tk", 5, false)
	if err != nil || c.Settings.To != "ntfy.example.org" || c.Secret.topic != "a_topic-1" || c.Secret.url != "https://ntfy.example.org/" {
		t.Errorf("%+v, %v", c.Settings, err)
	}
	if _, err := NewTopic("https://ntfy.example.org/t", "a\nb", 0, false); err == nil {
		t.Error("a token of two lines is taken")
	}
}

func TestOneLine(t *testing.T) {
	long := oneLine("a\r\nb\x00c\xff" + strings.Repeat("x", 500))
	if strings.ContainsAny(long, "\r\n\x00") || !utf8.ValidString(long) || len(long) > 210 || !strings.HasPrefix(long, "a  b c?") {
		t.Errorf("%q", long)
	}
	if !bytes.Equal([]byte(oneLine(" ok ")), []byte("ok")) {
		t.Error("it is not trimmed")
	}
}

func TestBackoffGrows(t *testing.T) {
	var all []string
	for _, n := range []int{1, 2, 3, 10, 1000} {
		all = append(all, backoff(n).String())
	}
	if got := strings.Join(all, " "); got != "10s 20s 40s 1h0m0s 1h0m0s" {
		t.Error(got)
	}
}

// What is wrong with an address is told to a parent in the console, too: in words that
// say what is taken, and without keys of a configuration that is another's.
func TestAddressesAreRefusedInWords(t *testing.T) {
	for to, want := range map[string]string{
		"http://ntfy.example.org/family":         "give an https address",
		"https://192.168.1.5/family":             "who runs this server",
		"https://ntfy.example.org/ntfy/family":   "one topic, of up to 64 letters, digits, - and _",
		"https://ntfy.example.org/our%20family":  "one topic",
		"https://ntfy.example.org/topic?auth=me": "after ?",
	} {
		if _, err := NewTopic(to, "", 0, false); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "allow-private") {
			t.Errorf("%s: %v; want it to say %q", to, err, want)
		}
	}
}
