package store

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"kinward/policy"
)

// named names a guardian and invites them.
func named(t *testing.T, db *DB, family policy.FamilyID, name string, role policy.Role, until time.Time, secret string) error {
	t.Helper()
	return db.Together(t.Context(), func(tx *Tx) error {
		var id policy.GuardianID
		_, err := tx.Change(Edit{Family: family}, func(f *policy.Family) (what string, err error) {
			id, what, err = f.AddGuardian(name, role)
			return what, err
		})
		if err == nil {
			_, err = tx.Invite(Pass{Family: family, Guardian: id, Who: "test", Until: until}, secret)
		}
		return err
	})
}

// guest has somebody join a family, and gives them one of all that opens the
// console.
func guest(t *testing.T, db *DB, family policy.FamilyID, name string) Account {
	t.Helper()
	a := db.Accounts()
	until := db.now().Add(time.Hour)
	err := named(t, db, family, name, policy.Carer, until, "join "+name)
	var account Account
	if err == nil {
		account, err = a.Enter(t.Context(), "join "+name, Newcomer{Guardian: name, Name: name, Password: "hash"})
	}
	if err == nil {
		_, err = a.AddSession(t.Context(), Session{Account: account.ID, Proved: db.now(), Idle: until, Until: until}, "session "+name)
	}
	if err == nil {
		_, err = a.AddToken(t.Context(), Token{Account: account.ID, Name: "script"}, "token "+name)
	}
	if err == nil {
		err = a.AddPasskey(t.Context(), Passkey{Account: account.ID, Credential: []byte(name), Document: []byte("{}"), Name: "phone"})
	}
	if err == nil {
		err = a.SetTOTP(t.Context(), account.ID, "SECRET", 1)
	}
	if err == nil {
		err = a.SetCodes(t.Context(), account.ID, []string{"code " + name})
	}
	if err == nil {
		err = named(t, db, family, "friend of "+name, policy.Viewer, until, "another "+name)
	}
	if err == nil {
		err = a.Happened(t.Context(), Event{Family: account.Family, Account: account.ID, Who: name, What: DoorIn})
	}
	if err != nil {
		t.Fatal(err)
	}
	return account
}

// left counts the rows of accounts and what opens them, by family.
func left(t *testing.T, db *DB, family policy.FamilyID, tables ...string) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, table := range tables {
		var n int
		if err := db.read.QueryRow(`SELECT count(*) FROM `+table+` WHERE family_id = $1`, int64(family)).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			out[table] = n
		}
	}
	return out
}

var opening = append([]string{"accounts"}, accountTables...)

// A family that is removed takes with it all that opens its console, and what
// happened at its door; a guardian all of theirs, and nobody else's.
func TestAccountsGoWithTheirs(t *testing.T) {
	db := openNew(t)
	other, err := db.AddFamily(t.Context(), policy.NewFamily("Other", "Europe/Berlin", policy.BandC), "")
	if err != nil {
		t.Fatal(err)
	}
	guest(t, db, 1, "Eva")
	guest(t, db, 1, "Karl")
	guest(t, db, other, "Zoe")
	if n := left(t, db, 1, opening...); len(n) != len(opening) {
		t.Fatalf("rows before: %v, want of each of %v", n, opening)
	}
	if _, err := db.Change(t.Context(), Edit{}, func(f *policy.Family) (string, error) { return f.RemoveGuardian("Karl") }); err != nil {
		t.Fatal(err)
	}
	for _, table := range opening {
		want := 1
		if table == "passes" { // invitations are the family's
			want = 2
		}
		if n := left(t, db, 1, table)[table]; n != want {
			t.Errorf("%d rows of %s are left of the family, want %d", n, table, want)
		}
	}
	if _, _, err := db.Accounts().Session(t.Context(), "session Karl"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the session of who was removed: %v", err)
	}
	if _, _, err := db.Accounts().Session(t.Context(), "session Eva"); err != nil {
		t.Errorf("the session of who was not: %v", err)
	}
	if err := db.RemoveFamily(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if n := left(t, db, other, append(opening, "door")...); len(n) > 0 {
		t.Errorf("of the family that was removed are left: %v", n)
	}
}

// A backup lets nobody in without a password: what was revoked since must not come
// back with it.
func TestBackupOpensNothing(t *testing.T) {
	db := openNew(t)
	guest(t, db, 1, "Eva")
	path := filepath.Join(t.TempDir(), "backup.db")
	if err := db.Backup(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	restored := filepath.Join(t.TempDir(), FileName)
	if _, err := Restore(t.Context(), path, restored, noon); err != nil {
		t.Fatal(err)
	}
	again := openAt(t, restored, options())
	if n := left(t, again, 1, "sessions", "api_tokens", "passes"); len(n) > 0 {
		t.Errorf("the backup holds %v", n)
	}
	if n := left(t, again, 1, "accounts", "passkeys", "recovery_codes"); len(n) != 3 {
		t.Errorf("the backup holds %v, want also what is signed in with", n)
	}
}

// A pass is used up with what it does, all or nothing.
func TestEnterIsAllOrNothing(t *testing.T) {
	db := openNew(t)
	guest(t, db, 1, "Eva")
	a := db.Accounts()
	until := noon.Add(time.Hour)
	if err := named(t, db, 1, "Karl", policy.Viewer, until, "secret"); err != nil {
		t.Fatal(err)
	}
	f, before := family(t, db)
	if _, err := a.Enter(t.Context(), "secret", Newcomer{Name: " EVA ", Password: "hash"}); !errors.Is(err, ErrConflict) {
		t.Errorf("a name that is taken: %v", err)
	}
	account, err := a.Enter(t.Context(), "secret", Newcomer{Guardian: "Mallory", Name: "karl", Password: "hash"})
	if err != nil {
		t.Fatal(err)
	}
	if _, g, err := a.Guardian(t.Context(), account); err != nil || g.Name != "Karl" || g.Role != policy.Viewer {
		t.Errorf("guardian %+v, %v", g, err)
	}
	if _, err := a.Enter(t.Context(), "secret", Newcomer{Name: "lea", Password: "hash"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a second time: %v", err)
	}
	if now, after := family(t, db); after != before || len(now.Guardians) != len(f.Guardians) {
		t.Errorf("entering changed the family: revision %d with %v, want %d with %v", after, now.Guardians, before, f.Guardians)
	}
}

// An invitation names nobody, and whoever is invited again has one link.
func TestInvite(t *testing.T) {
	db := openNew(t)
	eva := guest(t, db, 1, "Eva")
	a := db.Accounts()
	until := noon.Add(time.Hour)
	if err := named(t, db, 1, "Karl", policy.Carer, until, "first"); err != nil {
		t.Fatal(err)
	}
	f, _ := family(t, db)
	karl, err := f.Guardian("Karl")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		pass Pass
		want error
	}{
		{"nobody", Pass{Family: 1, Name: "Mallory", Role: policy.Owner, Until: until}, ErrNotFound},
		{"another family's", Pass{Family: 2, Guardian: karl.ID, Until: until}, ErrNotFound},
		{"who has an account", Pass{Family: 1, Guardian: eva.Guardian, Until: until}, ErrConflict},
	} {
		if _, err := a.Invite(t.Context(), tt.pass, "secret of "+tt.name); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := a.Invite(t.Context(), Pass{Family: 1, Guardian: karl.ID, Role: policy.Owner, Until: until}, "second"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Pass(t.Context(), "first"); !errors.Is(err, ErrNotFound) {
		t.Errorf("the link from before: %v", err)
	}
	if p, err := a.Pass(t.Context(), "second"); err != nil || p.Name != "Karl" || p.Role != policy.Carer {
		t.Errorf("the link: %+v, %v", p, err)
	}
	uninvite := func() error {
		return db.Together(t.Context(), func(tx *Tx) error { return tx.Uninvite(1, *karl) })
	}
	if err := uninvite(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Enter(t.Context(), "second", Newcomer{Name: "karl", Password: "hash"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("what was taken back: %v", err)
	}
	if err := uninvite(); !errors.Is(err, ErrNotFound) {
		t.Errorf("taken back again: %v", err)
	}
}

// Who was invited and then set the server up has an account: their invitation makes no
// second one.
func TestInvitedAndFirst(t *testing.T) {
	db := openNew(t)
	a := db.Accounts()
	until := noon.Add(time.Hour)
	if err := named(t, db, 1, "Karl", policy.Owner, until, "invited"); err != nil {
		t.Fatal(err)
	}
	if err := a.First(t.Context(), "first", until); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Enter(t.Context(), "first", Newcomer{Guardian: "Karl", Name: "karl", Password: "hash"}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Enter(t.Context(), "invited", Newcomer{Name: "karl2", Password: "hash"}); !errors.Is(err, ErrConflict) {
		t.Errorf("a second account of one guardian: %v", err)
	}
}

// Who guesses cannot push out what happened before: rows are counted up, and as
// many are kept as there may be.
func TestDoorIsBounded(t *testing.T) {
	now := noon
	o := options()
	o.Now = func() time.Time { return now }
	db := openAt(t, filepath.Join(t.TempDir(), FileName), o)
	a := db.Accounts()
	happen := func(who string) {
		t.Helper()
		if err := a.Happened(t.Context(), Event{Family: 1, Who: who, What: DoorWrong, Network: "203.0.113.0/24"}); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		happen("Eva")
	}
	now = now.Add(sameEvent)
	happen("Eva")
	events, err := a.Events(t.Context(), 1, 10)
	if err != nil || len(events) != 2 || events[0].Times != 1 || events[1].Times != 5 {
		t.Errorf("events %+v, %v", events, err)
	}
	now = now.Add(keptAtTheDoor)
	if err := a.Expire(t.Context()); err != nil {
		t.Fatal(err)
	}
	if events, err = a.Events(t.Context(), 1, 10); err != nil || len(events) != 1 {
		t.Errorf("after a year: %+v, %v", events, err)
	}
}
