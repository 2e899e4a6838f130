package store

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"kinward/policy"
)

// TestLinks: a link has one secret, of which only a hash is kept; an address is
// one family's at a time; and all of it goes with its family.
func TestLinks(t *testing.T) {
	now := noon
	o := options()
	o.Now = func() time.Time { return now }
	path := t.TempDir() + "/" + FileName
	db := openAt(t, path, o)
	ctx := t.Context()
	other, err := db.AddFamily(ctx, policy.NewFamily("Miller", "UTC", policy.BandC), "")
	if err != nil {
		t.Fatal(err)
	}
	home, _ := db.Home(ctx)
	make := func(f policy.FamilyID, token, password string) []Linked {
		t.Helper()
		before, err := db.MakeLink(ctx, f, token, password)
		if err != nil {
			t.Fatal(err)
		}
		return before
	}
	make(home, "hometoken", "secret of home")
	make(other, "othertoken", "secret of others")
	if _, err := db.MakeLink(ctx, 99, "x", "y"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a link for no family: %v", err)
	}

	l, err := db.LinkByToken(ctx, "hometoken")
	if err != nil || l.Family != home || !l.Made.Equal(noon) {
		t.Fatalf("%+v, %v", l, err)
	}
	var nobody *Link
	for _, tt := range []struct {
		name, password string
		of             *Link
		want           bool
	}{
		{"the password", "secret of home", l, true},
		{"another family's", "secret of others", l, false},
		{"none", "", l, false},
		{"the hash itself", hashSecret("secret of home"), l, false},
		{"any for nobody", "", nobody, false},
	} {
		if got := tt.of.Is(tt.password); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if strings.Contains(l.secret, "secret") {
		t.Error("the password is kept as it is")
	}
	if _, err := db.LinkByToken(ctx, "nobody's"); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody's token: %v", err)
	}

	p4, p4b, p6 := netip.MustParsePrefix("198.51.100.7/32"), netip.MustParsePrefix("198.51.100.8/32"), netip.MustParsePrefix("2001:db8:1:2::/64")
	until := now.Add(time.Hour)
	set := func(token string, p netip.Prefix, want error) Linked {
		t.Helper()
		before, err := db.SetLinked(ctx, token, Linked{p, until})
		if !errors.Is(err, want) {
			t.Errorf("SetLinked(%s, %s) = %v, want %v", token, p, err, want)
		}
		return before
	}
	set("hometoken", p4, nil)
	set("hometoken", p6, nil)
	set("othertoken", p4, policy.ErrTaken)
	set("othertoken", p6, policy.ErrTaken)
	set("nobody's", p4, ErrNotFound)
	if before := set("hometoken", p4b, nil); before.Network != p4 {
		t.Errorf("before it was %v", before)
	}
	set("othertoken", p4, nil) // the home has moved
	now = until
	set("othertoken", p4b, nil) // it is over
	if _, err := db.SetLinked(ctx, "hometoken", Linked{netip.MustParsePrefix("198.51.100.0/24"), until}); err == nil {
		t.Error("a network is linked")
	}

	closeDB(t, db)
	db = openAt(t, path, o)
	all, err := db.Links(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sameTime := cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })
	want := []*Link{
		{Family: home, Token: "hometoken", Made: noon, Addresses: []Linked{{p4b, until}, {p6, until}}},
		{Family: other, Token: "othertoken", Made: noon, Addresses: []Linked{{p4b, until}}},
	}
	if diff := cmp.Diff(want, all, cmpopts.IgnoreUnexported(Link{}), cmpopts.EquateComparable(netip.Prefix{}), sameTime); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if before := make(home, "new", "another secret"); len(before) != 2 {
		t.Errorf("a new secret took back %v", before)
	}
	if _, err := db.LinkByToken(ctx, "hometoken"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the old token: %v", err)
	}
	if before, err := db.RevokeLink(ctx, home); err != nil || len(before) != 0 {
		t.Errorf("%v, %v", before, err)
	}
	if _, err := db.RevokeLink(ctx, home); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoked twice: %v", err)
	}
	if err := db.RemoveFamily(ctx, other); err != nil {
		t.Fatal(err)
	}
	if all, err := db.Links(ctx); len(all) != 0 || err != nil {
		t.Errorf("%v, %v after the family is gone", all, err)
	}
}
