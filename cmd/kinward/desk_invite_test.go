package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"kinward/console"
	"kinward/policy"
	"kinward/store"
)

// enters gives a guardian of the second family an account.
func (h *deskHouse) enters(name string) {
	h.t.Helper()
	a, secret := h.n.db.Accounts(), console.NewPassSecret()
	_, err := a.Invite(h.t.Context(), store.Pass{Family: 2, Guardian: h.guardian(2, name).Guardian, Until: time.Now().Add(time.Hour)}, secret)
	must(h.t, err)
	_, err = a.Enter(h.t.Context(), secret, store.Newcomer{Name: name, Password: "no hash"})
	must(h.t, err)
}

// invites asks the desk for an invitation, and returns the number of the change
// that waits where it has to.
func (h *deskHouse) invites(by console.Actor, name string) (r inviteReply, waits int64) {
	h.t.Helper()
	err := h.desk.Do(h.t.Context(), by, "guardians-invite", change[inviteRequest]{Do: inviteRequest{Name: name}}, &r)
	var refused *console.Refusal
	if errors.As(err, &refused) && refused.Kind == console.Waits {
		return r, refused.Pending
	}
	must(h.t, err)
	return r, 0
}

// TestInviteWaits: where a family wants a second guardian, no owner becomes that
// second guardian by a link of their own making, or chooses who it is.
func TestInviteWaits(t *testing.T) {
	h := newDeskHouse(t)
	grandpa := guardianRequest{Name: "Grandpa", Role: "guardian"}
	must(t, h.command("guardians-add", change[guardianRequest]{about{Family: "2"}, grandpa}))
	h.enters("Eva")
	h.loosen("0", true)
	eva, karl := h.guardian(2, "Eva"), h.guardian(2, "Karl")
	if r, waits := h.invites(eva, "Karl"); waits != 0 || !strings.HasPrefix(r.Path, "/join/") || r.URL != "" {
		t.Errorf("nobody could agree yet, and the invitation is %+v, waits as %d", r, waits)
	}
	h.enters("Karl")

	if r, waits := h.invites(eva, "Oma"); waits != 0 || r.Path == "" {
		t.Errorf("a viewer's invitation is %+v, waits as %d", r, waits)
	}
	r, waits := h.invites(eva, "Grandpa")
	if waits == 0 || r.Path != "" {
		t.Fatalf("the invitation of another who may agree is %+v", r)
	}
	if err := h.desk.Do(t.Context(), eva, "changes-approve", pendingRequest{ID: waits}, nil); kindOf(err) != console.Invalid {
		t.Errorf("who wants it agrees: %v", err)
	}
	// It is about the person, whatever they are called by then.
	must(t, h.desk.Do(t.Context(), eva, "guardians-rename", change[guardianRequest]{Do: guardianRequest{Name: "Grandpa", To: "Opa"}}, nil))
	must(t, h.command("guardians-add", change[guardianRequest]{about{Family: "2"}, grandpa}))
	var agreed settledReply
	must(t, h.desk.Do(t.Context(), karl, "changes-approve", pendingRequest{ID: waits}, &agreed))
	if c := h.newest(); agreed.Pending.State != store.PendingDone || c.Who != "Eva (Karl agreed)" || !strings.Contains(c.What, "may invite Opa") {
		t.Errorf("agreed: %+v, recorded %+v", agreed, c)
	}
	if _, waits := h.invites(eva, "Grandpa"); waits == 0 {
		t.Error("somebody else of the same name is invited with what was agreed for another")
	}
	if r, waits := h.invites(eva, "Opa"); waits != 0 || r.Path == "" {
		t.Errorf("after Karl agreed: %+v, waits as %d", r, waits)
	}

	// Who was named with another's word is invited with it.
	add := change[guardianRequest]{Do: guardianRequest{Name: "Aunt", Role: "guardian"}}
	err := h.desk.Do(t.Context(), eva, "guardians-add", add, nil)
	var refused *console.Refusal
	if !errors.As(err, &refused) || refused.Kind != console.Waits {
		t.Fatalf("naming one more: %v, want that it waits", err)
	}
	must(t, h.desk.Do(t.Context(), karl, "changes-approve", pendingRequest{ID: refused.Pending}, nil))
	if r, waits := h.invites(eva, "Aunt"); waits != 0 || r.Path == "" {
		t.Errorf("named with Karl's word: %+v, waits as %d", r, waits)
	}

	for name, try := range map[string]struct {
		op string
		do guardianRequest
	}{
		"removed":            {"guardians-remove", guardianRequest{Name: "Karl"}},
		"made to look on":    {"guardians-role", guardianRequest{Name: "Karl", Role: "viewer"}},
		"removed, uninvited": {"guardians-remove", guardianRequest{Name: "Opa"}},
	} {
		if err := h.desk.Do(t.Context(), eva, try.op, change[guardianRequest]{Do: try.do}, nil); kindOf(err) != console.Waits {
			t.Errorf("%s is %s by one alone: %v", try.do.Name, name, err)
		}
	}
	must(t, h.desk.Do(t.Context(), eva, "guardians-remove", change[guardianRequest]{Do: guardianRequest{Name: "Oma"}}, nil))
	// The command line may do all.
	must(t, h.command("guardians-remove", change[guardianRequest]{about{Family: "2"}, guardianRequest{Name: "Karl"}}))
}

// TestInviteDelay: where weakening waits for its time, so does the link of somebody
// who could shorten that, and what has waited does not wait again.
func TestInviteDelay(t *testing.T) {
	h := newDeskHouse(t)
	h.loosen("24h", false)
	eva := h.guardian(2, "Eva")
	_, waits := h.invites(eva, "Karl")
	if waits == 0 {
		t.Fatal("Eva can agree as Karl at once")
	}
	h.ripen(25 * time.Hour)
	if r, waits := h.invites(eva, "Karl"); waits != 0 || r.Path == "" {
		t.Errorf("after its time: %+v, waits as %d", r, waits)
	}
	// The time that somebody waited for is over at some point.
	if ok, err := h.n.invitationAllowed(t.Context(), 2, policy.Guardian{ID: h.guardian(2, "Oma").Guardian}); ok || err != nil {
		t.Errorf("somebody else: %v, %v", ok, err)
	}
}
