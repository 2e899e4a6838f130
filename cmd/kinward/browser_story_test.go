package main

import (
	"net"
	"regexp"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/miekg/dns"
)

// The main story, as a parent and a child live it: the link of the first start,
// an account, a child, the child's phone; what the phone asks is closed and shows
// up without a reload; the child asks, the parent allows it, it opens, the time
// ends, it is closed again. The phone is a real DNS client, and a browser of its
// own for the child.
func TestBrowserStory(t *testing.T) {
	h := startHome(t, startUpstream(t))
	base, link := h.consoleLink()
	eva := openChrome(t, base)
	eva.as(phone, "light")

	eva.open(link)
	eva.sees("Set up Kinward")
	eva.click("For my family")
	eva.fill("What does the family call you?", "Eva")
	eva.fill("Name or e-mail address to sign in with", "eva")
	eva.fill("Password", goodPassword)
	eva.fill("Password, once more", goodPassword)
	eva.click("Make my account")
	eva.sees("Welcome")

	eva.open("/children")
	eva.fill("Name", "Lea")
	eva.click("11–12 years")
	eva.click("Add")
	eva.sees("Lea")

	eva.open("/devices")
	eva.fill("Name of the device", "Lea's phone")
	eva.pick("Rules of", "Lea")
	eva.fill("Recognised by (may be left empty)", "127.0.0.1")
	eva.click("Add")
	eva.sees("Lea's phone", "Android phone or tablet")

	// "Does it work?": the phone opens the address of the check.
	eva.click("Check it")
	eva.sees("Waiting for it")
	name := mustURL(t, evaluate[string](eva, `document.querySelector("#checked .code").textContent.trim()`)).Hostname()
	h.asksFrom("127.0.0.1", dns.Fqdn(name))
	eva.sees("Lea's phone works")

	// What is closed shows up without a reload.
	eva.open("/")
	eva.seesNot("Omegle")
	if got := h.asksFrom("127.0.0.1", "omegle.com."); closed(got) == false {
		t.Fatalf("the phone's question is answered: %v", got)
	}
	eva.sees("Omegle")

	// The child asks, on its own page.
	_, port, _ := net.SplitHostPort(mustURL(t, base).Host)
	lea := openChrome(t, "http://kinward.home.arpa:"+port)
	lea.expect(`Cross-Origin-Opener-Policy header has been ignored`) // by plain HTTP under a name
	lea.as(phone, "light")
	lea.open("/my")
	lea.sees("Hello Lea")
	lea.accessible("the child's page")
	lea.open("/ask?name=omegle.com")
	lea.fill("What do you need it for?", "Only to see what it is")
	lea.accessible("the child's asking")
	lea.click("Send")
	lea.sees("Your question is on its way")

	// The parent allows it for a quarter of an hour: it opens within a second.
	eva.open("/requests")
	eva.sees("Lea asks for Omegle", "Only to see what it is")
	eva.accessible("requests with an ask")
	eva.click("15 minutes")
	eva.sees("answered by Eva") // a click comes back before the browser has sent the form
	h.opens("after the grant", "omegle.com.")
	lea.open("/my")
	lea.sees("Open for a while")

	// The grant ends, here by hand: it is closed again.
	h.must("grants", "revoke", h.onlyGrant())
	h.closes("after the grant", "omegle.com.")
}

// closed reports whether an answer is that of a blocked name.
func closed(m *dns.Msg) bool { return m.Rcode == dns.RcodeNameError }

// onlyGrant is the number of the one grant there is.
func (h *home) onlyGrant() string {
	h.t.Helper()
	list := h.must("grants")
	m := regexp.MustCompile(`(?m)^(\d+) `).FindAllStringSubmatch(list, -1)
	if len(m) != 1 {
		h.t.Fatalf("there are %d grants, want one:\n%s", len(m), list)
	}
	return m[0][1]
}

// A guardian signs in and comes to the children by keyboard alone; the focus is
// always to be seen, and the first key leads to the content.
func TestBrowserKeyboard(t *testing.T) {
	h := startHome(t, startUpstream(t))
	h.must("profiles", "add", "Lea", "C")
	owner := h.signIn()
	b := openChrome(t, owner.base)
	b.as(desktop, "light")
	b.open("/sign-in")
	b.press(kb.Tab)
	b.until("the way to the content, focused", `document.activeElement.classList.contains("skip") && document.activeElement.getBoundingClientRect().top >= 0`)
	b.tabTo(`document.activeElement.name === "name"`)
	b.press("e", "v", "a", kb.Tab)
	for _, r := range goodPassword {
		b.press(string(r))
	}
	b.press(kb.Enter)
	b.sees("Today")
	b.tabTo(`document.activeElement.textContent.trim() === "Children"`)
	b.press(kb.Enter)
	b.tabTo(`document.activeElement.textContent.trim() === "Lea"`)
	b.press(kb.Enter)
	b.until("Lea's page", `document.querySelector("h1").innerText.includes("Lea")`)
}

// tabTo presses the key that goes on until the focus is where a condition says. On
// the way, each element that has the focus shows it.
func (b *chrome) tabTo(condition string) {
	b.t.Helper()
	b.until("a page", `document.readyState === "complete"`)
	for range 80 {
		b.press(kb.Tab)
		if !evaluate[bool](b, `(() => { const e = document.activeElement; const s = getComputedStyle(e);
			return e === document.body || e.matches("main") || (s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2) || s.outlineStyle === "auto"; })()`) {
			b.t.Errorf("the focus cannot be seen on %s", evaluate[string](b, `document.activeElement.outerHTML.slice(0, 150)`))
		}
		if evaluate[bool](b, condition) {
			return
		}
	}
	b.t.Fatalf("the keyboard does not lead to %s in\n%s", condition, b.shown())
}
