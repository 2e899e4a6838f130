package main

import (
	"slices"
	"testing"

	"kinward/blocklists"
	"kinward/policy"
)

// TestChildIsToldWhatHolds: what a child is told of what is closed and kept is what
// the resolver does, whatever the family chose besides its categories.
func TestChildIsToldWhatHolds(t *testing.T) {
	h := newDeskHouse(t)
	family := about{Family: "1"}
	open := blocklists.NoCategory // one that is open to the band and not kept
	for c := blocklists.AnonymousChat; c < blocklists.NumCategories; c++ {
		if h.n.presets.Choice(policy.BandC, c) == policy.ChooseAllow && c != blocklists.VPNProxy && c != blocklists.EncryptedDNS {
			open = c
		}
	}
	must(t, h.command("profiles-bypass", change[profileRequest]{family, profileRequest{Profile: "Everyone", Choice: "off"}}))
	must(t, h.command("profiles-log", change[profileRequest]{family, profileRequest{Profile: "Everyone", Thing: open.String(), Choice: "item"}}))
	for _, guests := range []string{"off", "on"} {
		if guests == "on" {
			must(t, h.command("profiles-guests", change[profileRequest]{family, profileRequest{Profile: "Everyone", Choice: guests}}))
		}
		var page portalMine
		must(t, h.desk.Do(t.Context(), ofChild(0), "portal-mine", struct{}{}, &page))
		var told mine
		must(t, h.desk.Do(t.Context(), h.guardian(2, "Eva"), "profiles-my", profileShowRequest{Profile: "Everyone"}, &told))
		if slices.Contains(page.Blocked, "vpn-proxy") {
			t.Errorf("guests %s: what leads past the filter is open, and the child is told that it is closed: %q", guests, page.Blocked)
		}
		kept, name := page.Named, h.n.catalogue.Load().Categories[open].Name
		if guests == "on" {
			kept = page.Counted
		}
		if !slices.Contains(kept, open.String()) {
			t.Errorf("guests %s: %s is kept, and the child is told %q and %q", guests, open, page.Named, page.Counted)
		}
		if named := slices.Contains(told.Named, name); named != (guests == "off") || slices.Contains(told.Counted, name) == named {
			t.Errorf("guests %s: profiles my says of %s: %q and %q", guests, name, told.Named, told.Counted)
		}
		if len(page.Blocked) != len(told.Blocked) {
			t.Errorf("guests %s: the page says %q, profiles my %q", guests, page.Blocked, told.Blocked)
		}
	}
}

// TestChildAsksWhoCanAnswer: a child is not told to ask a guardian who may only look,
// but is told that they see what was tried.
func TestChildAsksWhoCanAnswer(t *testing.T) {
	h := newDeskHouse(t)
	must(t, h.desk.Do(t.Context(), h.guardian(2, "Eva"), "devices-add", change[deviceRequest]{Do: deviceRequest{Device: "192.168.1.40", Name: "Phone", Profile: "Everyone"}}, nil))
	f, _, err := h.n.db.Family(t.Context(), 2)
	must(t, err)
	child := ofChild(f.Devices[0].ID)
	var name portalReply
	must(t, h.desk.Do(t.Context(), child, "portal-name", portalRequest{"omegle.com"}, &name))
	if want := []string{"Eva", "Karl"}; !slices.Equal(name.Who, want) {
		t.Errorf("%q can open it, want %q", name.Who, want)
	}
	var page portalMine
	must(t, h.desk.Do(t.Context(), child, "portal-mine", struct{}{}, &page))
	if want := []string{"Eva", "Karl", "Oma"}; !slices.Equal(page.Who, want) {
		t.Errorf("%q see what was tried, want %q", page.Who, want)
	}
}
