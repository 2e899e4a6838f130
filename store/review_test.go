package store

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kinward/journal"
)

func TestReviews(t *testing.T) {
	db := openNew(t)
	write(t, db, journal.Batch{Rows: []journal.Row{row("a", noon), row("b", noon)}})
	eva, line := journal.Reader{Guardian: 7, Who: "Eva"}, journal.Reader{Who: "command line as anna"}
	for _, r := range []journal.Review{
		{Family: 1, Incident: "a", Reader: eva, At: noon},
		{Family: 1, Incident: "a", Reader: line, At: noon.Add(time.Second), Note: "a first note"},
		{Family: 1, Incident: "b", Reader: eva, At: noon},
		{Family: 1, Incident: "a", Reader: line, At: noon.Add(time.Minute), Note: "we talked; \"fine\""},
	} {
		if err := db.Review(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	got, err := db.Reviews(t.Context(), 1, "a", "b", "c")
	want := map[string][]journal.Review{
		"a": {{Family: 1, Incident: "a", Reader: eva, At: noon}, {Family: 1, Incident: "a", Reader: line, At: noon.Add(time.Minute), Note: "we talked; \"fine\""}},
		"b": {{Family: 1, Incident: "b", Reader: eva, At: noon}},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("reviews (-want +got): %v\n%s", err, diff)
	}
	if got, err := db.Reviews(t.Context(), 1, "b"); err != nil || len(got) != 1 {
		t.Errorf("reviews of b: %v %v", got, err)
	}
	if got, err := db.Reviews(t.Context(), 2, "a", "b"); err != nil || len(got) != 0 {
		t.Errorf("another family sees %v, %v", got, err)
	}
	for want := range 2 { // there is one, then there is none
		if was, err := db.Unreview(t.Context(), 1, "b", 7); err != nil || was != (want == 0) {
			t.Errorf("taking back for the %d. time: %v %v", want+1, was, err)
		}
	}
	for _, r := range []journal.Review{{Family: 1, Incident: "c"}, {Family: 2, Incident: "a"}} {
		if err := db.Review(t.Context(), r); !errors.Is(err, ErrNotFound) {
			t.Errorf("reviewing %s of family %d: %v; want ErrNotFound", r.Incident, r.Family, err)
		}
	}
	if _, err := db.Reviews(t.Context(), 0, "a"); err == nil {
		t.Error("a reader of no family in particular reads reviews")
	}
}

func TestMutes(t *testing.T) {
	db := openNew(t)
	eva := journal.Reader{Guardian: 7, Who: "Eva"}
	mute := func(m journal.Mute) int64 {
		t.Helper()
		id, err := db.AddMute(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	mute(journal.Mute{Family: 1, Reader: eva, Profile: 1, At: noon, Service: "omegle", Until: noon.Add(time.Hour)})
	other := mute(journal.Mute{Family: 1, Profile: 1, At: noon, Service: "omegle"})
	again := mute(journal.Mute{Family: 1, Reader: eva, Profile: 1, At: noon, Service: "omegle"})
	domain := mute(journal.Mute{Family: 1, Reader: eva, Profile: 1, At: noon, Domain: "example.com"})
	got, err := db.Mutes(t.Context(), 1)
	want := []journal.Mute{
		{ID: other, Family: 1, Profile: 1, At: noon, Service: "omegle"},
		{ID: again, Family: 1, Reader: eva, Profile: 1, At: noon, Service: "omegle"},
		{ID: domain, Family: 1, Reader: eva, Profile: 1, At: noon, Domain: "example.com"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("mutes (-want +got): %v\n%s", err, diff)
	}
	if was, err := db.RemoveMute(t.Context(), 2, other); err != nil || was {
		t.Errorf("another family ended a mute: %v %v", was, err)
	}
	if was, err := db.RemoveMute(t.Context(), 1, other); err != nil || !was {
		t.Errorf("ending a mute: %v %v", was, err)
	}
	if _, err := db.AddMute(t.Context(), journal.Mute{Family: 9}); !errors.Is(err, ErrNotFound) {
		t.Errorf("muting for no family: %v", err)
	}
}

// TestViews: who looked is kept, and looking again and again is one look.
func TestViews(t *testing.T) {
	db := openNew(t)
	eva := journal.Reader{Guardian: 7, Who: "Eva"}
	look := func(by journal.Reader, action string, after time.Duration, incidents int) {
		t.Helper()
		if err := db.Viewed(t.Context(), journal.View{Family: 1, Reader: by, Action: action, Last: noon.Add(after), Incidents: incidents}); err != nil {
			t.Fatal(err)
		}
	}
	look(eva, "list", 0, 5)
	look(eva, "list", time.Minute, 3)
	look(journal.Reader{Who: "command line as anna"}, "list", 2*time.Minute, 1)
	look(eva, "export", 3*time.Minute, 1)
	look(eva, "list", journal.ViewGap+time.Minute, 9) // the gap has passed
	got, err := db.Views(t.Context(), 1, 0, "", noon, 10)
	if err != nil || len(got) != 4 {
		t.Fatalf("%d looks, %v; want 4: %+v", len(got), err, got)
	}
	if v := got[3]; v.Times != 2 || v.Incidents != 5 || !v.First.Equal(noon) || !v.Last.Equal(noon.Add(time.Minute)) || v.Who != "Eva" {
		t.Errorf("the first look: %+v", v)
	}
	if v := got[0]; v.Times != 1 || v.Incidents != 9 {
		t.Errorf("the last look: %+v", v)
	}
	if got, err := db.Views(t.Context(), 1, 3, "", noon, 10); err != nil || len(got) != 4 {
		t.Errorf("looks at all are looks at profile 3: %v %v", got, err)
	}
	if got, err := db.Views(t.Context(), 2, 0, "", noon, 10); err != nil || len(got) != 0 {
		t.Errorf("another family sees %v, %v", got, err)
	}
}
