package store

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kinward/journal"
)

// batchesCase is what is read after a number, as "[IDs] NUMBER OF THE LAST".
type batchesCase struct {
	after uint64
	limit int
	want  string
}

func wantBatches(t *testing.T, read func(context.Context, uint64, int) ([]journal.Row, uint64, error), cases []batchesCase) {
	t.Helper()
	for _, tt := range cases {
		rows, last, err := read(t.Context(), tt.after, tt.limit)
		if err != nil {
			t.Fatal(err)
		}
		ids := []string{}
		for _, r := range rows {
			ids = append(ids, r.ID)
		}
		if got := fmt.Sprint(ids, " ", last); got != tt.want {
			t.Errorf("after %d, limit %d: %s, want %s", tt.after, tt.limit, got, tt.want)
		}
	}
}

func TestChangedReturnsWholeBatchesInOrder(t *testing.T) {
	db := openNew(t)
	write(t, db, journal.Batch{Rows: []journal.Row{row("a", noon), row("b", noon)}})
	write(t, db, journal.Batch{Counts: []journal.Count{{Family: 1, Profile: 1, Category: "dating", Day: "2026-11-23", Tries: 1, Queries: 1}}})
	write(t, db, journal.Batch{Rows: []journal.Row{row("c", noon), row("d", noon), row("e", noon)}})
	write(t, db, journal.Batch{Rows: []journal.Row{row("a", noon.Add(time.Minute))}}) // a second hit: it stands here now
	wantBatches(t, db.Changed, []batchesCase{
		{0, 1, "[b] 1"},
		{0, 2, "[b c d e] 2"},
		{1, 1, "[c d e] 2"},
		{0, 100, "[b c d e a] 3"},
		{2, 100, "[a] 3"},
		{3, 100, "[] 3"},
		{9, 100, "[] 9"},
	})
}

// An incident that goes on is told once to who asks for new ones.
func TestOpenedReturnsEachOnce(t *testing.T) {
	db := openNew(t)
	write(t, db, journal.Batch{Rows: []journal.Row{row("a", noon), row("b", noon)}})
	write(t, db, journal.Batch{Rows: []journal.Row{row("a", noon.Add(time.Minute)), row("c", noon)}})
	write(t, db, journal.Batch{Rows: []journal.Row{row("b", noon.Add(time.Minute))}})
	wantBatches(t, db.opened, []batchesCase{
		{0, 1, "[a b] 1"},
		{0, 100, "[a b c] 2"},
		{1, 100, "[c] 2"},
		{2, 100, "[] 2"},
	})
}

// Who follows incidents looks at nothing that is older.
func TestFollowersUseTheIndex(t *testing.T) {
	db := openNew(t)
	for number, index := range map[string]string{"change_no": "incidents_changed", "opened_no": "incidents_opened"} {
		got := planOf(t, db, `SELECT details FROM incidents `+wholeBatches(number), 1, 500)
		if strings.Count(got, "incidents USING INDEX "+index)+strings.Count(got, "incidents USING COVERING INDEX "+index) != 2 || strings.Contains(got, "SCAN incidents") {
			t.Errorf("by %s: %s", number, got)
		}
	}
}

// What alerts had not heard of when the schema came they hear of after it, and
// nothing twice.
func TestSchema13LosesNoAlert(t *testing.T) {
	db := openAt(t, oldDatabase(t, 12, `
		INSERT INTO feeds VALUES ('incidents', 5);
		INSERT INTO incidents (family_id, incident_id, profile_id, device_id, first_at, last_at, open_key, details, change_no) VALUES
			(1, 'told', 1, 0, 1, 1, '', '{}', 5), (1, 'new', 1, 0, 1, 1, '', '{}', 6);
		UPDATE journal_state SET change_no = 6;`), options())
	rows, last, err := db.opened(t.Context(), 5, 100)
	if err != nil || len(rows) != 1 || rows[0].ID != "new" || last != 6 {
		t.Errorf("%v up to %d, %v; want the new one, up to 6", rows, last, err)
	}
}

func TestPositionIsStoredWithTheBatch(t *testing.T) {
	db := openNew(t)
	for _, tt := range []struct{ write, want journal.Position }{
		{journal.Position{}, journal.Position{}},
		{journal.Position{Spool: 7, Seq: 100}, journal.Position{Spool: 7, Seq: 100}},
		{journal.Position{}, journal.Position{Spool: 7, Seq: 100}},
		{journal.Position{Spool: 8, Seq: 3}, journal.Position{Spool: 8, Seq: 3}},
	} {
		write(t, db, journal.Batch{Position: tt.write})
		if got, err := db.Position(t.Context()); err != nil || got != tt.want {
			t.Errorf("after %+v: %+v %v, want %+v", tt.write, got, err, tt.want)
		}
	}
	// A batch that fails leaves it: its rows are not there either.
	if err := db.Write(t.Context(), journal.Batch{
		Rows: []journal.Row{{Family: 1, ID: "x"}}, Position: journal.Position{Spool: 8, Seq: 9},
	}); err == nil {
		t.Fatal("a row without details was taken")
	}
	if got, _ := db.Position(t.Context()); got.Seq != 3 {
		t.Errorf("a batch that failed moved the position to %d", got.Seq)
	}
}

func TestLossesThatLieTogetherAreOne(t *testing.T) {
	db := openNew(t)
	loss := func(from, until time.Duration, lost uint64) journal.Loss {
		return journal.Loss{From: noon.Add(from), Until: noon.Add(until), Count: lost}
	}
	write(t, db, journal.Batch{Losses: []journal.Loss{loss(0, time.Second, 5), loss(30*time.Second, 40*time.Second, 2)}})
	write(t, db, journal.Batch{Losses: []journal.Loss{loss(time.Minute, 2*time.Minute, 1), loss(time.Hour, time.Hour, 9)}})
	got, err := db.Losses(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]journal.Loss{loss(time.Hour, time.Hour, 9), loss(0, 2*time.Minute, 8)}, got); d != "" {
		t.Errorf("losses (-want +got):\n%s", d)
	}
	if got, err := db.Losses(t.Context(), noon.Add(30*time.Minute)); err != nil || len(got) != 1 {
		t.Errorf("since half an hour: %+v %v, want the last one", got, err)
	}
}
