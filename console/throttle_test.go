package console

import (
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"
)

// Guesses at once are no more than guesses one after the other: those that are being
// looked at count until it is known what they were.
func TestGuessesAtOnce(t *testing.T) {
	h := newHouse(t)
	eva := h.first()
	eva.post("/sign-out")
	guess := func() int {
		c := h.browser()
		c.from = "198.51.100.7:1000"
		return c.post("/sign-in", "name", "eva", "password", "four wrong words here").Code
	}
	for i := range wrongPerName - 1 {
		if got := guess(); got != 403 {
			t.Fatalf("guess %d: %d", i, got)
		}
	}
	held := make(chan struct{})
	h.server.hasher.derive = func(c cost, password string, salt []byte) []byte {
		<-held
		return c.key(password, salt)
	}
	const atOnce = hashing + waiting // as many as are worked on or wait
	answers := make(chan int, atOnce)
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() { answers <- guess() })
	}
	for end := time.Now().Add(10 * time.Second); len(answers)+len(h.server.hasher.queue) < atOnce; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the guesses did not come as far as they can")
		}
	}
	close(held)
	all.Wait()
	close(answers)
	got := map[int]int{}
	for status := range answers {
		got[status]++
	}
	if got[http.StatusForbidden] != 1 || got[http.StatusServiceUnavailable] != atOnce-1 {
		t.Errorf("with one guess left, %d at once were answered %v; want one 403, and 503 to the others", atOnce, got)
	}
	if status := guess(); status != http.StatusTooManyRequests {
		t.Errorf("then %d", status)
	}
}

// What was under way and is right, or was never found out, leaves nothing behind.
func TestGuessesUnderWay(t *testing.T) {
	h := newHouse(t)
	door, from := h.server.door, netip4(198, 51, 100, 7)
	var ends []func(bool)
	for range wrongPerPlace {
		end, err := door.begin(from, aboutCode(1), "")
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, end)
	}
	for _, tt := range []struct {
		place byte
		about bound
		want  error
	}{
		{9, aboutCode(1), errBusy}, // what it is about is full
		{100, aboutCode(2), errBusy},
		{9, aboutCode(2), nil},
	} {
		end, err := door.begin(netip4(198, 51, tt.place, 7), tt.about, "")
		if !errors.Is(err, tt.want) {
			t.Errorf("one more about %v from 198.51.%d.7: %v, want %v", tt.about, tt.place, err, tt.want)
		}
		if err == nil {
			end(false)
		}
	}
	for _, end := range ends {
		end(false)
	}
	for range wrongPerPlace {
		end, err := door.begin(from, aboutCode(1), "")
		if err != nil {
			t.Fatalf("after none was wrong: %v", err)
		}
		end(true)
	}
	if _, err := door.begin(from, aboutCode(1), ""); !errors.Is(err, errTooMany) {
		t.Errorf("after all were wrong: %v", err)
	}
	if _, err := door.begin(from, aboutName("eva"), "a browser that is known"); err != nil {
		t.Errorf("a browser that is known: %v", err)
	}
}

// Nobody who guesses passwords shuts somebody else out of the second step, whatever
// they write as a name.
func TestCodesHaveAnAccountOfTheirOwn(t *testing.T) {
	h := newHouse(t)
	eva := h.first()
	secret := eva.factor()
	eva.post("/sign-out")
	h.later(time.Minute)
	id := h.account("eva").ID
	for _, name := range []string{"code of eva", "code of Eva", aboutCode(id).key} {
		for i := range wrongPerName {
			c := h.browser()
			c.from = netip4(10, 9, 0, byte(i)).String() + ":1000"
			c.post("/sign-in", "name", name, "password", "four wrong words here")
		}
	}
	want(t, "the password", eva.post("/sign-in", "name", "eva", "password", password), 303, "/sign-in/code")
	want(t, "the code", eva.post("/sign-in/code", "code", digits(t, secret, h.clock())), 303, "/")
}
