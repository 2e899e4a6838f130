package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"kinward/console"
	"kinward/journal/alerts"
	"kinward/store"
)

// soonEnough is how soon an alert must be there.
const soonEnough = 5 * time.Second

// browser is one that subscribed to push messages, and can read them (RFC 8291).
type browser struct {
	key  *ecdh.PrivateKey
	auth []byte
}

func newBrowser(t *testing.T) browser {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b := browser{key, make([]byte, 16)}
	rand.Read(b.auth)
	return b
}

func (b browser) subscription(t *testing.T, endpoint string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "subscription.json")
	text := fmt.Sprintf(`{"endpoint":%q,"expirationTime":null,"keys":{"p256dh":%q,"auth":%q}}`, endpoint,
		base64.RawURLEncoding.EncodeToString(b.key.PublicKey().Bytes()), base64.RawURLEncoding.EncodeToString(b.auth))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// read decrypts a message of one record (RFC 8188, RFC 8291 §3.4).
func (b browser) read(t *testing.T, body []byte) string {
	t.Helper()
	salt, idlen := body[:16], int(body[20])
	theirs, text := body[21:21+idlen], body[21+idlen:]
	public, err := ecdh.P256().NewPublicKey(theirs)
	if err != nil {
		t.Fatal(err)
	}
	shared, err := b.key.ECDH(public)
	if err != nil {
		t.Fatal(err)
	}
	derive := func(secret, salt []byte, info string, n int) []byte {
		out, err := hkdf.Key(sha256.New, secret, salt, info, n)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	ikm := derive(shared, b.auth, "WebPush: info\x00"+string(b.key.PublicKey().Bytes())+string(theirs), 32)
	block, err := aes.NewCipher(derive(ikm, salt, "Content-Encoding: aes128gcm\x00", 16))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := gcm.Open(nil, derive(ikm, salt, "Content-Encoding: nonce\x00", 12), text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimRight(strings.TrimRight(string(plain), "\x00"), "\x02")
}

// TestProgramAlertsArrive: an attempt reaches every kind of channel in under five
// seconds, without the domain where others could read it.
func TestProgramAlertsArrive(t *testing.T) {
	box, hook, topic, push, who := startLetterbox(t, false), startReceiver(t), startReceiver(t), startReceiver(t), newBrowser(t)
	h := startHome(t, startUpstream(t), "--config", writeConfig(t, "alerts:\n  allow-private: true\n  link: https://kinward.example.org\n  push: {contact: owner@example.org}\n"+box.config()))
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("tk_verysecret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.must("guardians", "add", "Eva", "--role", "owner")
	h.must("devices", "add", "127.0.0.1", "--name", "Tablet")
	h.must("alerts", "add", "email", "eva@example.org")
	added := h.must("alerts", "add", "webhook", hook.url+"/in?verysecret=1")
	key := regexp.MustCompile(`(?m)^  ([0-9a-f]{64})$`).FindStringSubmatch(added)
	if key == nil {
		t.Fatalf("no key is shown:\n%s", added)
	}
	h.must("alerts", "add", "ntfy", topic.url+"/verysecrettopic", "--token-file", token, "--priority", "4")
	h.must("alerts", "add", "push", who.subscription(t, push.url+"/verysecret"))
	h.must("alerts", "set", "--quiet", "none")
	h.must("signals", "off", "night") // whenever the test runs

	// What is configured and kept can be shown without its secrets.
	for _, args := range [][]string{{"alerts"}, {"alerts", "--json"}, {"families", "export"}} {
		if out := h.must(args...); strings.Contains(out, "verysecret") || strings.Contains(out, key[1]) {
			t.Errorf("%v shows a secret:\n%s", args, out)
		}
	}

	asked := time.Now()
	h.tool("kdig", "omegle.com", "A")
	l, w, n, p := box.next(t), hook.next(t), topic.next(t), push.next(t)
	for what, at := range map[string]time.Time{"e-mail": l.at, "webhook": w.at, "ntfy": n.at, "push": p.at} {
		took := at.Sub(asked)
		t.Logf("%s after %s", what, took.Round(time.Millisecond))
		if took > soonEnough {
			t.Errorf("the %s came after %s, want under %s", what, took, soonEnough)
		}
	}

	const subject = `Kinward: profile Everyone, "Chat with strangers"`
	if l.subject != subject || l.unencrypted || l.authenticate != "|kinward|verysecret" || !strings.Contains(l.to, "<eva@example.org>") {
		t.Errorf("subject %q, unencrypted %v, signed in as %q, to %s", l.subject, l.unencrypted, l.authenticate, l.to)
	}
	for _, want := range []string{"Tablet (profile Everyone) tried Omegle, \"Chat with strangers\", once; it was blocked.", "A look-up is not a visit", "https://kinward.example.org"} {
		if !strings.Contains(l.plain, want) {
			t.Errorf("the plain text lacks %q:\n%s", want, l.plain)
		}
	}
	if !strings.Contains(l.html, `<html lang="en">`) || !strings.Contains(l.html, "tried Omegle") {
		t.Errorf("HTML:\n%s", l.html)
	}
	if got := l.header.Get("Auto-Submitted"); got != "auto-generated" {
		t.Errorf("Auto-Submitted: %s", got)
	}

	if got, want := w.header.Get(alerts.HeaderSignature), alerts.Sign(key[1], w.header.Get(alerts.HeaderTimestamp), w.body); got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
	if len(w.header.Get(alerts.HeaderKey)) != 32 || strings.Contains(string(w.body), "omegle.com") || !strings.Contains(string(w.body), `"category":"anonymous-chat"`) {
		t.Errorf("webhook %v:\n%s", w.header, w.body)
	}

	var note struct {
		Topic, Title, Message, Click string
		Priority                     int
	}
	if err := json.Unmarshal(n.body, &note); err != nil || note.Topic != "verysecrettopic" || note.Title != subject || note.Priority != 4 || note.Click != "https://kinward.example.org" {
		t.Errorf("ntfy was sent %s (%v)", n.body, err)
	}
	if n.header.Get("Authorization") != "Bearer tk_verysecret" {
		t.Errorf("ntfy was shown %q", n.header.Get("Authorization"))
	}

	shown := who.read(t, p.body)
	if !strings.Contains(shown, `Tablet: \"Chat with strangers\" was looked up; it was blocked`) {
		t.Errorf("the browser shows %s", shown)
	}
	if v := p.header.Get("Authorization"); !strings.HasPrefix(v, "vapid t=") || p.header.Get("Content-Encoding") != "aes128gcm" || p.header.Get("Urgency") != "high" || p.header.Get("TTL") != "259200" {
		t.Errorf("push headers: %v", p.header)
	}
	for what, text := range map[string]string{"subject": l.subject, "ntfy": string(n.body), "push": shown} {
		if strings.Contains(strings.ToLower(text), "omegle") {
			t.Errorf("the %s names what was asked for: %s", what, text)
		}
	}

	// The same incident is told once, also after kill -9.
	h.tool("kdig", "www.omegle.com", "AAAA")
	h.stop(syscall.SIGKILL)
	h.start()
	if out := h.must("alerts", "test", "1"); !strings.Contains(out, "delivered in") || !strings.Contains(out, "2.0.0 kept as 42") {
		t.Errorf("alerts test says\n%s", out)
	}
	if l := box.next(t); l.subject != "Kinward: a test" {
		t.Errorf("the incident was told twice: %s", l.raw)
	}
	if log := h.log.String(); strings.Contains(log, "verysecret") || strings.Contains(log, "eva@example.org") {
		t.Errorf("the log holds a secret:\n%s", log)
	}
}

// TestProgramAlertsRetry: what cannot be delivered is kept, seen, and delivered
// after a restart with the key that it had.
func TestProgramAlertsRetry(t *testing.T) {
	hook := startReceiver(t)
	hook.answer(http.StatusServiceUnavailable)
	h := startHome(t, startUpstream(t), "--config", writeConfig(t, "alerts: {allow-private: true}\n"))
	h.must("alerts", "add", "webhook", hook.url)
	h.must("alerts", "set", "--quiet", "none")
	h.tool("kdig", "omegle.com", "A")
	first := hook.next(t)
	h.eventually("the failure is seen", func() bool {
		return strings.Contains(h.must("alerts"), "the server answered 503 Service Unavailable")
	})
	if out := h.must("alerts"); !strings.Contains(out, "FAILED") || !strings.Contains(out, "tried again") {
		t.Errorf("alerts says\n%s", out)
	}
	if out, _, _ := h.run("doctor"); !strings.Contains(out, "1 of 1 channels to guardians failed") {
		t.Errorf("doctor says\n%s", out)
	}
	hook.answer(http.StatusNoContent)
	h.stop(syscall.SIGKILL)
	h.start()
	second := hook.next(t)
	if a, b := first.header.Get(alerts.HeaderKey), second.header.Get(alerts.HeaderKey); a != b || a == "" {
		t.Errorf("keys %q and %q", a, b)
	}
	h.eventually("the delivery is seen", func() bool { return strings.Contains(h.must("alerts"), "last delivered") })
	if out := h.must("alerts"); strings.Contains(out, "FAILED") || strings.Contains(out, "Not delivered") {
		t.Errorf("alerts still says\n%s", out)
	}
}

// TestProgramAlertsTest: what a mail server says is printed, whatever it says, but
// for what is secret; digests go the same way.
func TestProgramAlertsTest(t *testing.T) {
	box := startLetterbox(t, true) // TLS from the beginning
	h := startHome(t, startUpstream(t), "--config", writeConfig(t, "alerts:\n"+box.config()))
	h.must("alerts", "add", "email", "eva@example.org")
	box.answer("451 4.3.0 not now, verysecret")
	out, _, code := h.run("alerts", "test")
	if code != exitFailed || !strings.Contains(out, "NOT delivered") || !strings.Contains(out, "451") || strings.Contains(out, "verysecret") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if out := h.must("alerts"); !strings.Contains(out, "FAILED") || strings.Contains(out, "verysecret") {
		t.Errorf("alerts says\n%s", out)
	}
	box.answer("")
	h.must("alerts", "test", "1")
	if l := box.next(t); l.subject != "Kinward: a test" || l.unencrypted {
		t.Errorf("%q, unencrypted %v", l.subject, l.unencrypted)
	}
	if out := h.must("digest", "preview"); !strings.Contains(out, "all calm") {
		t.Errorf("the digest says\n%s", out)
	}
	h.tool("kdig", "omegle.com", "A")
	for _, args := range [][]string{{"digest", "preview"}, {"digest", "preview", "--period", "week", "--html"}, {"digest", "preview", "--period", "hour", "--json"}} {
		if out := h.must(args...); !strings.Contains(out, "Chat with strangers") || strings.Contains(out, "omegle.com") {
			t.Errorf("%v says\n%s", args, out)
		}
	}
	for _, args := range [][]string{
		{"alerts", "add", "webhook", "https://127.0.0.1/x"},
		{"alerts", "add", "webhook", "http://example.org/x"},
		{"alerts", "add", "email", "eva"},
		{"alerts", "set", "--category", "datting", "--when", "daily"},
		{"alerts", "set", "--category", "dating"},
		{"alerts", "set", "--quiet", "late"},
		{"alerts", "set", "--per-hour", "0"},
		{"digest", "preview", "--period", "year"},
		{"alerts", "remove", "x"},
	} {
		if _, errs, code := h.run(args...); code != exitUsage || errs == "" {
			t.Errorf("%v: exit code %d, %s", args, code, errs)
		}
	}
	if _, _, code := h.run("alerts", "remove", "99"); code != exitNothing {
		t.Errorf("removing no channel: exit code %d", code)
	}
	h.must("alerts", "remove", "1")
	if _, _, code := h.run("alerts", "test"); code != exitNothing {
		t.Errorf("testing no channel: exit code %d", code)
	}
}

// TestAlertTestLanguage: a test is in the language in which messages will come, the
// account's, and not in that of the page from which it is sent.
func TestAlertTestLanguage(t *testing.T) {
	h := newDeskHouse(t)
	h.cfg.Alerts.AllowPrivate = true
	phone := startReceiver(t)
	eva := h.guardian(1, "Eva")
	accounts := h.n.db.Accounts()
	_, err := accounts.Invite(t.Context(), store.Pass{Family: 1, Guardian: eva.Guardian, Until: time.Now().Add(time.Hour)}, "a link")
	must(t, err)
	account, err := accounts.Enter(t.Context(), "a link", store.Newcomer{Name: "eva", Password: "hash"})
	must(t, err)
	must(t, accounts.SetLanguage(t.Context(), account.ID, "de"))
	eva.Lang = "en"
	must(t, h.desk.Do(t.Context(), eva, "alerts-add", alertAddRequest{Guardian: "Eva", Kind: alerts.Ntfy, To: phone.url + "/eva"}, nil))
	must(t, h.desk.Do(t.Context(), eva, "alerts-test", alertRequest{}, nil))
	if got := string(phone.next(t).body); !strings.Contains(got, "eine Probe") {
		t.Errorf("to an account in German: %s", got)
	}
}

// TestAlertsBounds: who may add ways for messages cannot have this server write to
// any number of addresses, or to one any number of times.
func TestAlertsBounds(t *testing.T) {
	h := newDeskHouse(t)
	h.cfg.Alerts.AllowPrivate = true
	phone := startReceiver(t)
	eva, karl := h.guardian(1, "Eva"), h.guardian(1, "Karl")
	add := func(by console.Actor, i int) error {
		return h.desk.Do(t.Context(), by, "alerts-add", alertAddRequest{Guardian: by.Name, Kind: alerts.Ntfy, To: fmt.Sprintf("%s/t%d", phone.url, i)}, nil)
	}
	for i := range 20 {
		must(t, add(eva, i))
	}
	err := add(eva, 20)
	if kindOf(err) != console.Conflict || !strings.Contains(err.Error(), "messages go 20 ways already") {
		t.Errorf("one way too many: %v", err)
	}
	must(t, add(karl, 21))
	test := func(by console.Actor, channel alerts.ChannelID) error {
		err := h.desk.Do(t.Context(), by, "alerts-test", alertRequest{Channel: channel}, nil)
		if err == nil {
			phone.next(t)
		}
		return err
	}
	for range maxTests {
		must(t, test(eva, 1))
	}
	if err := test(eva, 1); kindOf(err) != console.TooMany {
		t.Errorf("one test too many: %v", err)
	}
	must(t, test(karl, 21))
}
