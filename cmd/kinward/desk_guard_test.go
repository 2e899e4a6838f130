package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"kinward/console"
	"kinward/policy"
	"kinward/store"
)

// loosen says what the family "1" wants of changes that weaken protection.
func (h *deskHouse) loosen(delay string, second bool) {
	h.t.Helper()
	must(h.t, h.command("families-loosening", change[familyRequest]{about{Family: "2"}, familyRequest{Delay: delay, Second: &second}}))
}

// choice is what is chosen about a thing in the family "1".
func (h *deskHouse) choice(thing string) string {
	h.t.Helper()
	f, _, err := h.n.db.Family(h.t.Context(), 2)
	must(h.t, err)
	return viewProfile(f, &f.Profiles[0]).Choices[thing]
}

func choose(thing, choice string) change[profileRequest] {
	return change[profileRequest]{about{Why: "because"}, profileRequest{Profile: "Everyone", Thing: thing, Choice: choice}}
}

func (h *deskHouse) pending(by console.Actor) []pendingView {
	h.t.Helper()
	var r pendingReply
	must(h.t, h.desk.Do(h.t.Context(), by, "changes-pending", pendingRequest{Limit: 50}, &r))
	return r.Pending
}

func (h *deskHouse) ripen(after time.Duration) {
	h.t.Helper()
	must(h.t, (&ripener{n: h.n, now: func() time.Time { return time.Now().Add(after) }}).ripen(h.t.Context()))
}

// newest returns the newest change of the family "1".
func (h *deskHouse) newest() store.Change {
	h.t.Helper()
	list, err := h.n.db.Changes(h.t.Context(), 2, 1)
	must(h.t, err)
	return list[0]
}

// TestLooseningWaits holds that what weakens protection changes nothing until its
// time, whoever asks and by whatever way, and that what tightens is at once.
func TestLooseningWaits(t *testing.T) {
	h := newDeskHouse(t)
	h.loosen("24h", false)
	eva, karl := h.guardian(2, "Eva"), h.guardian(2, "Karl")
	err := h.desk.Do(t.Context(), eva, "profiles-choose", choose("dating", "allow"), nil)
	var r *console.Refusal
	if !errors.As(err, &r) || r.Kind != console.Waits || r.Pending == 0 || !strings.Contains(r.Text, "waits until") {
		t.Fatalf("got %v, want that it waits", err)
	}
	if got := h.choice("dating"); got != "" {
		t.Fatalf("it is %q already", got)
	}
	must(t, h.desk.Do(t.Context(), eva, "profiles-choose", choose("messaging", "block"), nil)) // tightens
	must(t, h.command("profiles-choose", change[profileRequest]{about{Family: "2"}, profileRequest{Profile: "Everyone", Thing: "social", Choice: "allow"}}))
	if got := h.choice("social"); got != "allow" {
		t.Errorf("the command line may do all, but social is %q", got)
	}
	if err := h.desk.Do(t.Context(), eva, "changes-undo", changesRequest{Revision: h.newest().Revision - 1}, nil); kindOf(err) != console.Waits {
		t.Errorf("undoing what tightened: %v, want that it waits", err)
	}
	if err := h.desk.Do(t.Context(), eva, "profiles-choose", choose("dating", "allow"), nil); kindOf(err) != console.Waits {
		t.Errorf("asked again: %v", err)
	}
	list := h.pending(karl)
	if len(list) != 2 || list[1].Who != "Eva" || list[1].Why != "because" || len(list[1].Weakens) == 0 || list[1].Mine || !list[1].MayAgree {
		t.Fatalf("waiting: %+v", list)
	}

	h.n.close() // and it survives a restart
	h.open()
	h.ripen(23 * time.Hour)
	if got := h.choice("dating"); got != "" {
		t.Fatalf("after 23 hours it is %q", got)
	}
	h.ripen(25 * time.Hour)
	if got := h.choice("dating"); got != "allow" {
		t.Errorf("after 25 hours it is %q", got)
	}
	for _, p := range h.pending(karl) {
		if p.State != store.PendingDone || p.Revision == 0 {
			t.Errorf("%q is %s: %s", p.What, p.State, p.Note)
		}
	}
	if c := h.newest(); c.Who != "Eva (its time had come)" {
		t.Errorf("recorded as by %q", c.Who)
	}
}

// TestSecondGuardian holds that who wants something cannot agree to it.
func TestSecondGuardian(t *testing.T) {
	h := newDeskHouse(t)
	h.loosen("0", true)
	eva, karl, oma := h.guardian(2, "Eva"), h.guardian(2, "Karl"), h.guardian(2, "Oma")
	wants := func(thing string) pendingRequest {
		t.Helper()
		err := h.desk.Do(t.Context(), eva, "profiles-choose", choose(thing, "allow"), nil)
		var r *console.Refusal
		if !errors.As(err, &r) || r.Kind != console.Waits {
			t.Fatalf("%s: %v, want that it waits", thing, err)
		}
		return pendingRequest{ID: r.Pending}
	}
	one := wants("dating")
	h.ripen(24 * time.Hour)
	for _, tt := range []struct {
		name string
		by   console.Actor
		want console.RefusalKind
	}{
		{"who wants it", eva, console.Invalid},
		{"a viewer", oma, console.Forbidden},
		{"another family's guardian", h.guardian(1, "Eva"), console.NotFound},
		{"an operator", console.Actor{Operator: true}, console.Forbidden},
		{"a child", console.Actor{Family: 2, Child: &console.Child{Profile: 1}}, console.Forbidden},
	} {
		if err := h.desk.Do(t.Context(), tt.by, "changes-approve", one, nil); kindOf(err) != tt.want {
			t.Errorf("%s agrees: %v, want %s", tt.name, err, tt.want)
		}
	}
	if h.choice("dating") != "" {
		t.Fatal("it was made though nobody agreed")
	}
	var r settledReply
	must(t, h.desk.Do(t.Context(), karl, "changes-approve", one, &r))
	if h.choice("dating") != "allow" || h.newest().Who != "Eva (Karl agreed)" || r.Pending.State != store.PendingDone {
		t.Errorf("after Karl agreed: %q, by %q, %+v", h.choice("dating"), h.newest().Who, r)
	}
	if err := h.desk.Do(t.Context(), karl, "changes-approve", one, nil); kindOf(err) != console.Conflict {
		t.Errorf("agreed again: %v, want a conflict", err)
	}

	must(t, h.desk.Do(t.Context(), karl, "changes-reject", wants("gambling"), &r))
	if c := h.newest(); r.Pending.State != store.PendingRejected || c.Who != "Karl" || !strings.Contains(c.What, "rejected what Eva wanted") {
		t.Errorf("rejected: %+v, recorded %+v", r.Pending, c)
	}
	must(t, h.desk.Do(t.Context(), eva, "changes-reject", wants("gambling"), &r))
	if r.Pending.State != store.PendingWithdrawn || !strings.Contains(h.newest().What, "withdrew") {
		t.Errorf("taken back: %+v", r.Pending)
	}
	old := wants("gambling")
	h.ripen(15 * 24 * time.Hour)
	if p, err := h.n.db.Pending(t.Context(), 2, old.ID); err != nil || p.State != store.PendingExpired {
		t.Errorf("after 15 days: %+v, %v", p, err)
	}
}

// TestLooseningBoth: where a family wants both, either alone brings nothing.
func TestLooseningBoth(t *testing.T) {
	h := newDeskHouse(t)
	h.loosen("24h", true)
	err := h.desk.Do(t.Context(), h.guardian(2, "Eva"), "profiles-choose", choose("dating", "allow"), nil)
	var r *console.Refusal
	if !errors.As(err, &r) {
		t.Fatal(err)
	}
	h.ripen(48 * time.Hour)
	if h.choice("dating") != "" {
		t.Error("time alone brought it")
	}
	must(t, h.desk.Do(t.Context(), h.guardian(2, "Karl"), "changes-approve", pendingRequest{ID: r.Pending}, nil))
	h.ripen(time.Hour)
	if h.choice("dating") != "" {
		t.Error("another guardian's word alone brought it")
	}
	h.ripen(48 * time.Hour)
	if h.choice("dating") != "allow" {
		t.Error("both did not bring it")
	}
}

// TestLooseningFails: what cannot be made any more when its time has come is told
// with its reason, and is not tried again.
func TestLooseningFails(t *testing.T) {
	h := newDeskHouse(t)
	h.loosen("24h", false)
	eva, karl := h.guardian(2, "Eva"), h.guardian(2, "Karl")
	for _, tt := range []struct {
		name, note string
		op         string
		req        any
		meanwhile  func()
	}{
		{
			"what it is about is gone", "there is no profile", "profiles-choose",
			change[profileRequest]{Do: profileRequest{Profile: "Lea", Thing: "dating", Choice: "allow"}},
			func() {
				must(t, h.command("profiles-remove", change[profileRequest]{about{Family: "2"}, profileRequest{Profile: "Lea"}}))
			},
		},
		{
			"it would weaken more by now", "weaken more", "profiles-preset",
			change[profileRequest]{Do: profileRequest{Profile: "Everyone", Preset: "D"}},
			func() { // another guardian has tightened since
				must(t, h.desk.Do(t.Context(), karl, "profiles-preset", change[profileRequest]{Do: profileRequest{Profile: "Everyone", Preset: "A"}}, nil))
			},
		},
		{
			"who wanted it may not any more", "may not do so any more", "profiles-choose", choose("gambling", "allow"),
			func() {
				must(t, h.command("guardians-role", change[guardianRequest]{about{Family: "2"}, guardianRequest{Name: "Karl", Role: "owner"}}))
				must(t, h.command("guardians-role", change[guardianRequest]{about{Family: "2"}, guardianRequest{Name: "Eva", Role: "viewer"}}))
			},
		},
	} {
		must(t, h.command("profiles-add", change[profileRequest]{about{Family: "2"}, profileRequest{Profile: "Lea", Preset: "B"}}))
		if err := h.desk.Do(t.Context(), eva, tt.op, tt.req, nil); kindOf(err) != console.Waits {
			t.Fatalf("%s: %v, want that it waits", tt.name, err)
		}
		tt.meanwhile()
		before, _, err := h.n.db.Family(t.Context(), 2)
		must(t, err)
		h.ripen(25 * time.Hour)
		p := h.pending(karl)[0]
		if p.State != store.PendingFailed || !strings.Contains(p.Note, tt.note) {
			t.Errorf("%s: %s, %q; want failed with %q", tt.name, p.State, p.Note, tt.note)
		}
		if c := h.newest(); c.Who != "Kinward" || !strings.Contains(c.What, "could not make what Eva wanted") {
			t.Errorf("%s: recorded %+v", tt.name, c)
		}
		after, _, err := h.n.db.Family(t.Context(), 2)
		must(t, err)
		if d, err := policy.DeltaOf(before, after); err != nil || len(d) > 0 {
			t.Errorf("%s: it changed %v", tt.name, d)
		}
		_ = h.command("profiles-remove", change[profileRequest]{about{Family: "2"}, profileRequest{Profile: "Lea"}})
	}
}

// TestGuard is what no guardian may do whatever operation would do it.
func TestGuard(t *testing.T) {
	h := newDeskHouse(t)
	eva, karl := h.guardian(2, "Eva"), h.guardian(2, "Karl")
	must(t, h.desk.Do(t.Context(), eva, "families-rename", change[familyRequest]{Do: familyRequest{Name: "Miller"}}, nil))
	rename := h.newest().Revision
	var file exportReply
	must(t, h.desk.Do(t.Context(), eva, "families-export", about{}, &file))
	apply := func(old, new string) applyRequest {
		if !strings.Contains(file.YAML, old) {
			t.Fatalf("%q does not stand in %s", old, file.YAML)
		}
		return applyRequest{File: "file", Text: strings.Replace(file.YAML, old, new, 1)}
	}
	yes := true
	must(t, h.command("guardians-role", change[guardianRequest]{about{Family: "2"}, guardianRequest{Name: "Karl", Role: "viewer"}}))
	if err := h.desk.Do(t.Context(), eva, "families-loosening", change[familyRequest]{Do: familyRequest{Second: &yes}}, nil); kindOf(err) != console.Conflict {
		t.Errorf("a second guardian where there is one: %v", err)
	}
	must(t, h.command("guardians-role", change[guardianRequest]{about{Family: "2"}, guardianRequest{Name: "Karl", Role: "guardian"}}))
	must(t, h.desk.Do(t.Context(), eva, "families-loosening", change[familyRequest]{Do: familyRequest{Second: &yes}}, nil))
	for _, tt := range []struct {
		name string
		by   console.Actor
		op   string
		req  any
		want console.RefusalKind
	}{
		{"a carer undoes what owners decide", karl, "changes-undo", changesRequest{Revision: rename}, console.Forbidden},
		{"a carer applies a file", karl, "families-apply", apply("Miller", "Other"), console.Forbidden},
		{"the second guardian is removed", eva, "guardians-remove", change[guardianRequest]{Do: guardianRequest{Name: "Karl"}}, console.Conflict},
		{"the second guardian only looks on", eva, "guardians-role", change[guardianRequest]{Do: guardianRequest{Name: "Karl", Role: "viewer"}}, console.Conflict},
		{"the wish itself", eva, "families-loosening", change[familyRequest]{Do: familyRequest{Second: new(bool)}}, console.Waits},
		{"one more who decides", eva, "guardians-add", change[guardianRequest]{Do: guardianRequest{Name: "Puppet", Role: "guardian"}}, console.Waits},
		{"a file that weakens", eva, "families-apply", apply("preset: C", "preset: E"), console.Waits},
		{"a public address of a device", eva, "devices-add", change[deviceRequest]{Do: deviceRequest{Device: "198.51.100.7", Name: "Laptop", Profile: "Everyone"}}, console.Invalid},
	} {
		if err := h.desk.Do(t.Context(), tt.by, tt.op, tt.req, nil); kindOf(err) != tt.want {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	var tried applyReply
	dry := apply("preset: C", "preset: E")
	dry.DryRun = true
	if must(t, h.desk.Do(t.Context(), eva, "families-apply", dry, &tried)); len(tried.Differences) == 0 {
		t.Error("a dry run tells no difference")
	}
}

// TestWatch: who watches hears of their own family's changes, and of no other's.
func TestWatch(t *testing.T) {
	h := newDeskHouse(t)
	mine, stop := h.desk.Watch(h.guardian(2, "Oma"))
	other, stopOther := h.desk.Watch(h.guardian(1, "Eva"))
	must(t, h.desk.Do(t.Context(), h.guardian(2, "Eva"), "families-rename", change[familyRequest]{Do: familyRequest{Name: "Miller"}}, nil))
	select {
	case <-mine:
	default:
		t.Error("the own family's change was not told")
	}
	select {
	case <-other:
		t.Error("another family's change was told")
	default:
	}
	stop()
	stopOther()
	if n := len(h.n.bells.of); n != 0 {
		t.Errorf("%d families are still watched", n)
	}
	for range maxWatchers {
		h.desk.Watch(h.guardian(2, "Oma"))
	}
	if c, _ := h.desk.Watch(h.guardian(2, "Oma")); c != nil {
		t.Error("a family has more watchers than it may have")
	}
	if c, _ := h.desk.Watch(console.Actor{Operator: true}); c != nil {
		t.Error("an operator watches a family")
	}
}

// ofChild is a device of the family "1" before the desk.
func ofChild(device policy.DeviceID) console.Actor {
	return console.Actor{Family: 2, Child: &console.Child{Profile: 1, Device: device}}
}

func (h *deskHouse) ask(by console.Actor, what, message string) (r askReply, err error) {
	err = h.desk.Do(h.t.Context(), by, "requests-add", askRequest{what, message}, &r)
	return r, err
}

// decide says what happens to a name in the family "1" now.
func (h *deskHouse) decide(name string) string {
	h.t.Helper()
	var r explainReply
	must(h.t, h.desk.Do(h.t.Context(), h.guardian(2, "Eva"), "explain", explainRequest{Name: name, Type: "A"}, &r))
	return r.Verdict
}

// TestRequests is a child's ask from its device to its end.
func TestRequests(t *testing.T) {
	h := newDeskHouse(t)
	_, err := h.n.state(t.Context())
	must(t, err)
	eva := h.guardian(2, "Eva")
	if got := h.decide("omegle.com"); got != "block" {
		t.Fatalf("omegle.com: %s", got)
	}
	r, err := h.ask(ofChild(0), "https://www.omegle.com/chat", "  please\x00,\n it is for\u202e school \n"+strings.Repeat("x", 300))
	if err != nil || r.Request.What != "omegle" || r.Request.State != "open" || r.Remember != 10 {
		t.Fatalf("%+v, %v", r, err)
	}
	if m := r.Request.Message; !strings.HasPrefix(m, "please, it is for school xxx") || len([]rune(m)) != maxMessage {
		t.Errorf("message %q", m)
	}
	again, err := h.ask(ofChild(0), "omegle.com", "")
	if err != nil || !again.Merged || again.Request.ID != r.Request.ID || again.Request.Times != 2 || again.Request.Message == "" {
		t.Errorf("asked again: %+v, %v", again, err)
	}
	var done changed
	must(t, h.desk.Do(t.Context(), eva, "requests-answer", change[answerRequest]{Do: answerRequest{r.Request.ID, "15m"}}, &done))
	if got := h.decide("omegle.com"); got != "allow" {
		t.Errorf("after the answer omegle.com is %s", got)
	}
	if c := h.newest(); c.Who != "Eva" || c.Why != "Everyone asked" {
		t.Errorf("recorded %+v", c)
	}
	var list requestsReply
	must(t, h.desk.Do(t.Context(), ofChild(0), "requests-my", requestsRequest{Limit: 10}, &list))
	if len(list.Requests) != 1 || list.Requests[0].State != "allowed" || list.Requests[0].Who != "Eva" || list.Requests[0].Until == nil || list.Waiting != 0 {
		t.Errorf("the child sees %+v", list)
	}
	if err := h.desk.Do(t.Context(), eva, "requests-answer", change[answerRequest]{Do: answerRequest{r.Request.ID, "no"}}, nil); kindOf(err) != console.Conflict {
		t.Errorf("answered again: %v", err)
	}

	for _, tt := range []struct {
		what, answer, state string
		want                console.RefusalKind
	}{
		{"forum.example.org", "always", "allowed", ""},
		{"everything", "today", "allowed", ""},
		{"everything", "always", "open", console.Invalid},
		{"roblox", "no", "refused", ""},
		{"tiktok", "always", "allowed", ""},
		{"instagram", "forever", "open", console.Invalid},
	} {
		r, err := h.ask(ofChild(0), tt.what, "")
		must(t, err)
		err = h.desk.Do(t.Context(), eva, "requests-answer", change[answerRequest]{Do: answerRequest{r.Request.ID, tt.answer}}, nil)
		must(t, h.desk.Do(t.Context(), eva, "requests", requestsRequest{Limit: 10}, &list))
		if kindOf(err) != tt.want || list.Requests[0].State != tt.state {
			t.Errorf("%s %s: %v, %s; want %s", tt.what, tt.answer, err, list.Requests[0].State, tt.state)
		}
	}
	if got := h.decide("www.forum.example.org"); got != "allow" {
		t.Errorf("for always: %s", got)
	}
}

// TestRequestsBounds: a device that leans on the button fills nothing.
func TestRequestsBounds(t *testing.T) {
	h := newDeskHouse(t)
	for i := range 30 {
		_, err := h.ask(ofChild(1), string(rune('a'+i%26))+".example.org", "")
		if refused := err != nil; refused != (i >= 10) || refused && kindOf(err) != console.Conflict {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	if _, err := h.ask(ofChild(2), "a.example.org", ""); err != nil {
		t.Errorf("another device: %v", err)
	}
	for _, tt := range []struct {
		name string
		by   console.Actor
		what string
	}{
		{"no name", ofChild(3), "not a name"},
		{"nothing", ofChild(3), ""},
		{"no such profile", console.Actor{Family: 2, Child: &console.Child{Profile: 99}}, "a.example.org"},
		{"no family", console.Actor{Child: &console.Child{Profile: 1}}, "a.example.org"},
		{"a guardian", h.guardian(2, "Eva"), "a.example.org"},
	} {
		if _, err := h.ask(tt.by, tt.what, ""); kindOf(err) == "" {
			t.Errorf("%s: %v, want a refusal", tt.name, err)
		}
	}
}

// TestRequestsWait holds how answers and the family's wish for slow loosening go
// together: up to an hour is daily business unless two guardians are wanted.
func TestRequestsWait(t *testing.T) {
	for _, tt := range []struct {
		delay  string
		second bool
		answer string
		want   console.RefusalKind
	}{
		{"24h", false, "15m", ""},
		{"24h", false, "60m", ""},
		{"24h", false, "today", console.Waits},
		{"24h", false, "always", console.Waits},
		{"24h", false, "no", ""},
		{"0", true, "15m", console.Waits},
		{"0", true, "no", ""},
	} {
		h := newDeskHouse(t)
		h.loosen(tt.delay, tt.second)
		r, err := h.ask(ofChild(0), "omegle", "")
		must(t, err)
		eva, karl := h.guardian(2, "Eva"), h.guardian(2, "Karl")
		err = h.desk.Do(t.Context(), eva, "requests-answer", change[answerRequest]{Do: answerRequest{r.Request.ID, tt.answer}}, nil)
		if kindOf(err) != tt.want {
			t.Errorf("%s/%t: %s: %v, want %q", tt.delay, tt.second, tt.answer, err, tt.want)
		}
		if tt.want == "" {
			continue
		}
		var list requestsReply
		must(t, h.desk.Do(t.Context(), karl, "requests", requestsRequest{Limit: 10}, &list))
		if q := list.Requests[0]; q.State != "open" || q.Waits == "" || q.Pending == 0 {
			t.Errorf("while the answer waits: %+v", q)
		}
		for _, answer := range []string{"15m", "no"} { // from a page that was opened before
			if err := h.desk.Do(t.Context(), karl, "requests-answer", change[answerRequest]{Do: answerRequest{r.Request.ID, answer}}, nil); kindOf(err) != console.Conflict {
				t.Errorf("%s beside an answer that waits: %v", answer, err)
			}
		}
		if p := h.pending(karl); len(p) != 1 || p[0].Why != "Everyone asked" {
			t.Errorf("what waits: %+v", p)
		}
		must(t, h.desk.Do(t.Context(), karl, "changes-approve", pendingRequest{ID: list.Requests[0].Pending}, nil))
		must(t, h.desk.Do(t.Context(), karl, "requests", requestsRequest{Limit: 10}, &list))
		if q := list.Requests[0]; q.State != "allowed" || q.Who != "Eva" {
			t.Errorf("after Karl agreed: %+v", q)
		}
	}
}

// TestRequestsWaitBehindOthers: an answer that waits is found also where many changes
// were wanted, and withdrawn, since.
func TestRequestsWaitBehindOthers(t *testing.T) {
	h := newDeskHouse(t)
	h.loosen("24h", false)
	r, err := h.ask(ofChild(0), "omegle", "")
	must(t, err)
	eva, karl := h.guardian(2, "Eva"), h.guardian(2, "Karl")
	if err := h.desk.Do(t.Context(), eva, "requests-answer", change[answerRequest]{Do: answerRequest{r.Request.ID, "always"}}, nil); kindOf(err) != console.Waits {
		t.Fatal(err)
	}
	for range store.MaxPending + 1 {
		err := h.desk.Do(t.Context(), eva, "profiles-choose", choose("dating", "allow"), nil)
		var waits *console.Refusal
		if !errors.As(err, &waits) || waits.Kind != console.Waits {
			t.Fatal(err)
		}
		must(t, h.desk.Do(t.Context(), eva, "changes-reject", pendingRequest{ID: waits.Pending}, nil))
	}
	var list requestsReply
	must(t, h.desk.Do(t.Context(), karl, "requests", requestsRequest{Limit: 10}, &list))
	if q := list.Requests[0]; q.Waits == "" || q.Pending == 0 {
		t.Errorf("while the answer waits: %+v", q)
	}
	if err := h.desk.Do(t.Context(), karl, "requests-answer", change[answerRequest]{Do: answerRequest{r.Request.ID, "15m"}}, nil); kindOf(err) != console.Conflict {
		t.Errorf("beside an answer that waits: %v", err)
	}
}

// TestRequestsOfUnnamed: a device that nobody named, a visitor's perhaps, is told what
// such devices asked for, and never what one with a name did, though it was removed.
func TestRequestsOfUnnamed(t *testing.T) {
	h := newDeskHouse(t)
	_, err := h.n.state(t.Context())
	must(t, err)
	family := about{Family: "2"}
	must(t, h.command("devices-add", change[deviceRequest]{family, deviceRequest{Device: "192.168.1.41", Name: "Phone", Profile: "Everyone"}}))
	f, _, err := h.n.db.Family(t.Context(), 2)
	must(t, err)
	phone, err := f.Device("Phone")
	must(t, err)
	named, err := h.ask(ofChild(phone.ID), "omegle.com", "please")
	must(t, err)
	own, err := h.ask(ofChild(0), "roblox.com", "")
	must(t, err)
	told := func(device policy.DeviceID, want ...int64) {
		t.Helper()
		var list requestsReply
		must(t, h.desk.Do(t.Context(), ofChild(device), "requests-my", requestsRequest{Limit: 10}, &list))
		var got []int64
		for _, r := range list.Requests {
			got = append(got, r.ID)
		}
		if !slices.Equal(got, want) || list.Waiting != len(want) {
			t.Errorf("device %d is told of %d, %d of them waiting; want %d", device, got, list.Waiting, want)
		}
	}
	told(0, own.Request.ID)
	told(phone.ID, own.Request.ID, named.Request.ID)
	must(t, h.command("devices-remove", change[deviceRequest]{family, deviceRequest{Device: "Phone"}}))
	told(0, own.Request.ID)
}

// TestRequestWordsAreErased: what a child wrote is nowhere in the data folder once it
// is erased, whatever was answered: choices and their history stay.
func TestRequestWordsAreErased(t *testing.T) {
	h := newDeskHouse(t)
	_, err := h.n.state(t.Context())
	must(t, err)
	const words = "canary, as I wrote it"
	for what, answer := range map[string]string{"omegle.com": "15m", "forum.example.org": "always", "roblox.com": "no", "tiktok.com": ""} {
		r, err := h.ask(ofChild(0), what, words)
		must(t, err)
		if answer != "" {
			must(t, h.desk.Do(t.Context(), h.guardian(2, "Eva"), "requests-answer", change[answerRequest]{Do: answerRequest{r.Request.ID, answer}}, nil))
		}
	}
	must(t, h.command("erase", eraseRequest{about: about{Family: "2"}, Profile: "Everyone"}))
	files, err := filepath.Glob(filepath.Join(h.cfg.Data, store.FileName+"*"))
	must(t, err)
	for _, file := range files {
		b, err := os.ReadFile(file)
		must(t, err)
		if bytes.Contains(b, []byte(words)) {
			t.Errorf("%s still has what the child wrote", filepath.Base(file))
		}
	}
}
