package main

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"
)

// Two guardians look at the same family, each in a window of their own. What a
// device tries appears in both, and what one of them decides in the other's,
// without a page being loaded again.
func TestBrowserLiveTwoWindows(t *testing.T) {
	h := startHome(t, startUpstream(t))
	owner := h.signIn()
	lea := owner.addLea()
	h.must("devices", "add", "127.0.0.1", "--name", "Lea's phone", "--profile", "Lea")
	second := owner.joins("Karl", "guardian")
	eva, karl := h.signedIn(owner), h.signedIn(second)
	eva.open("/")
	karl.open("/incidents")
	eva.stays()
	karl.stays()
	eva.seesNot("Omegle")
	karl.seesNot("Omegle")
	h.asksFrom("127.0.0.1", "omegle.com.")
	eva.sees("Omegle")
	karl.sees("Omegle")

	karl.open("/")
	karl.stays()
	eva.open(lea)
	eva.click("Pause everything")
	eva.click("30 minutes")
	eva.sees("End the pause")
	karl.sees("Paused")

	h.must("resume", "Lea")
	karl.until("no pause", `!document.body.innerText.includes("Paused")`)
	h.must("families", "loosening", "--second")
	karl.open("/history/waiting")
	karl.stays()
	karl.sees("Nothing waits")
	owner.post(lea, http.StatusOK, "do", "grant", "what", "everything", "name", "omegle.com", "for", "15m")
	karl.sees("Eva wants a change")
	karl.stayed()
}

// A server that starts again finds its pages by itself: they connect anew, show
// what happened while they heard nothing, and show it once.
func TestBrowserLiveRestart(t *testing.T) {
	at := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	h := startHome(t, startUpstream(t), "--console", at)
	owner := h.signIn()
	owner.addLea()
	h.must("devices", "add", "127.0.0.1", "--name", "Lea's phone", "--profile", "Lea")
	b := h.signedIn(owner)
	b.expect(`ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED_ENCODING`)
	b.open("/incidents")
	b.stays()
	h.asksFrom("127.0.0.1", "omegle.com.")
	b.sees("Omegle")
	if err := h.stop(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	h.start()
	h.asksFrom("127.0.0.1", "tinder.com.") // before the page has found the server again
	b.sees("Tinder")
	h.stop(syscall.SIGKILL)
	h.start()
	h.asksFrom("127.0.0.1", "bumble.com.")
	b.sees("Bumble")
	for _, service := range []string{"Omegle", "Tinder", "Bumble"} {
		if n := evaluate[int](b, `[...document.querySelectorAll("#incidents a")].filter((a) => a.innerText.includes(`+quoteJS(service)+`)).length`); n != 1 {
			t.Errorf("%s is shown %d times:\n%s", service, n, b.shown())
		}
	}
	b.stayed()
}

// stays marks the page that is open; stayed fails where it has been left or loaded
// again.
func (b *chrome) stays() {
	b.t.Helper()
	evaluate[bool](b, `window.kinwardStays = true`)
}

func (b *chrome) stayed() {
	b.t.Helper()
	if !evaluate[bool](b, `window.kinwardStays === true`) {
		b.t.Errorf("the page was loaded again:\n%s", b.shown())
	}
}
