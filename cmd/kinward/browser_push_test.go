package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	cdbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	cdpage "github.com/chromedp/cdproto/page"
	cdserviceworker "github.com/chromedp/cdproto/serviceworker"
	cdtarget "github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// pushService stands in a page in the place of the browser's own way to its push
// service, which no test can reach. Everything else is real: the console's script
// and form, the messages and their encryption, the push service that gets them, and
// the service worker that shows them. A subscription outlives a page.
const pushService = `(() => {
	const of = (s) => s && ({ endpoint: s.endpoint, toJSON: () => s, options: { applicationServerKey: Uint8Array.from(atob(s.key.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0)).buffer },
		unsubscribe: async () => { sessionStorage.removeItem("pushed"); return true; } });
	const now = () => new Promise((r) => setTimeout(() => r(of(JSON.parse(sessionStorage.getItem("pushed")))))); // another process answers
	PushManager.prototype.getSubscription = now;
	PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey }) => {
		if (!userVisibleOnly) throw new DOMException("notes must be visible", "NotAllowedError");
		const key = btoa(String.fromCharCode(...new Uint8Array(applicationServerKey))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
		sessionStorage.setItem("pushed", JSON.stringify({ ...SUBSCRIPTION, key }));
		return now();
	};
})()`

// mayNote lets the console show notes in this window, as a person does when asked.
func (b *chrome) mayNote() {
	b.t.Helper()
	info, err := chromedp.Call(b.ctx, cdtarget.GetTargetInfo, cdtarget.GetTargetInfoParams{})
	must(b.t, err)
	_, err = chromedp.CallBrowser(b.ctx, cdbrowser.SetPermission, cdbrowser.SetPermissionParams{
		Permission: &cdbrowser.PermissionDescriptor{Name: "notifications"}, Setting: cdbrowser.PermissionSettingGranted,
		Origin: b.base, BrowserContextID: info.TargetInfo.BrowserContextID,
	})
	must(b.t, err)
}

// worker waits for the service worker of the console.
func (b *chrome) worker() cdserviceworker.RegistrationID {
	b.t.Helper()
	found := make(chan cdserviceworker.RegistrationID, 100)
	must(b.t, chromedp.Listen(b.ctx, func(event any) {
		if e, ok := event.(*cdserviceworker.EventWorkerRegistrationUpdated); ok {
			for _, r := range e.Registrations {
				if !r.IsDeleted && strings.HasPrefix(r.ScopeURL, b.base) {
					found <- r.RegistrationID
				}
			}
		}
	}))
	_, err := chromedp.Call(b.ctx, cdserviceworker.Enable, cdp.Empty{})
	must(b.t, err)
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	select {
	case id := <-found:
		return id
	case <-ctx.Done():
		b.t.Fatal("there is no service worker")
		return ""
	}
}

// A guardian has this browser show notes. What the server sends to the push service
// only this browser can read, the service worker shows it, and it names neither a
// site nor what was tried. The browser ends it; a push service that no longer knows
// it has it given up.
func TestBrowserPush(t *testing.T) {
	push, who := startReceiver(t), newBrowser(t)
	push.answer(http.StatusCreated)
	h := startHome(t, startUpstream(t), "--config", writeConfig(t, "alerts:\n  allow-private: true\n  push: {contact: owner@example.org}\n"))
	owner := h.signIn()
	h.must("alerts", "set", "--quiet", "none")
	b := h.signedIn(owner)
	b.mayNote()
	subscription, err := json.Marshal(map[string]any{"endpoint": push.url + "/verysecret", "expirationTime": nil, "keys": map[string]string{
		"p256dh": base64.RawURLEncoding.EncodeToString(who.key.PublicKey().Bytes()), "auth": base64.RawURLEncoding.EncodeToString(who.auth),
	}})
	must(t, err)
	_, err = chromedp.Call(b.ctx, cdpage.AddScriptToEvaluateOnNewDocument, cdpage.AddScriptToEvaluateOnNewDocumentParams{
		Source: strings.Replace(pushService, "SUBSCRIPTION", string(subscription), 1),
	})
	must(t, err)
	b.open("/alerts")
	b.click("This browser (web push)")
	b.seesNot("End it in this browser")
	b.click("Show notes in this browser")
	b.sees("Added. Send a test")
	b.seesNot("verysecret")
	id := b.worker()

	// delivered hands the worker what the push service got, and returns what is shown.
	delivered := func() string {
		t.Helper()
		got := push.next(t)
		if got.header.Get("Content-Encoding") != "aes128gcm" || got.header.Get("TTL") == "" || !strings.HasPrefix(got.header.Get("Authorization"), "vapid ") {
			t.Errorf("the push service is sent the headers %v", got.header)
		}
		before := evaluate[int](b, `navigator.serviceWorker.ready.then(async (r) => (await r.getNotifications()).length)`)
		message := cdserviceworker.DeliverPushMessageParams{Origin: b.base, RegistrationID: id, Data: who.read(t, got.body)}
		_, err := chromedp.Call(b.ctx, cdserviceworker.DeliverPushMessage, message)
		must(t, err)
		again := time.Now().Add(10 * time.Second) // a browser that is too busy to begin the worker lets it fall
		var notes []string
		h.eventually("a note is shown", func() bool {
			if time.Now().After(again) {
				t.Log("the browser is handed the message again")
				_, err := chromedp.Call(b.ctx, cdserviceworker.DeliverPushMessage, message)
				must(t, err)
				again = time.Now().Add(time.Hour)
			}
			notes = evaluate[[]string](b, `navigator.serviceWorker.ready.then(async (r) => (await r.getNotifications()).map((n) => n.title + "\n" + n.body))`)
			return len(notes) > before
		})
		return notes[len(notes)-1]
	}
	b.click("Send a test")
	b.sees("A test was sent to")
	wantAll(t, "the test's note", delivered(), "Kinward: a test")
	h.asksFrom("127.0.0.1", "omegle.com.")
	note := delivered()
	wantNone(t, "the note", note, "omegle", "Omegle", "127.0.0.1")
	if title, body, _ := strings.Cut(note, "\n"); title == "" || body == "" {
		t.Errorf("the note says %q", note)
	}
	b.open("/alerts")
	b.sees("Arrives")

	// Another key pair, as after a restore: the browser subscribes for that one.
	evaluate[bool](b, `(() => { const s = JSON.parse(sessionStorage.getItem("pushed")); s.key = "AAAA"; sessionStorage.setItem("pushed", JSON.stringify(s)); return true; })()`)
	b.click("This browser (web push)")
	b.click("Show notes in this browser")
	b.until("a subscription for the server's key", `JSON.parse(sessionStorage.getItem("pushed"))?.key.length > 80`)
	b.sees("Added. Send a test")

	b.click("This browser (web push)")
	b.click("End it in this browser")
	b.until("no subscription", `sessionStorage.getItem("pushed") === null`)
	b.seesNot("End it in this browser")
	push.answer(http.StatusGone)
	h.asksFrom("127.0.0.1", "tinder.com.")
	push.next(t)
	push.next(t) // one for each time that the browser was added
	h.eventually("both are given up", func() bool {
		var r alertsReply
		h.into(&r, "alerts")
		return len(r.Channels) == 2 && !slices.ContainsFunc(r.Channels, func(c channelView) bool { return c.State != "gone" })
	})
	b.open("/alerts")
	b.sees("Has been given up there")
}
