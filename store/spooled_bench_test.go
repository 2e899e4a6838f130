package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"kinward/blocklists"
	"kinward/journal"
	"kinward/journal/spool"
	"kinward/policy"
)

// BenchmarkRecordToStore is the whole way of an attempt: recorded, spooled to the
// disk, merged, and in the database. Run it with -cpu 1: all of it then shares
// one core. A family has five attempts at each of its services in a batch.
func BenchmarkRecordToStore(b *testing.B) {
	for _, bb := range []struct {
		name               string
		families, services int
	}{
		{"one family, 20 services", 1, 20},
		{"200 families, 20 services", 200, 20},
	} {
		b.Run(bb.name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), FileName)
			db := openAt(b, path, Options{})
			for f := 2; f <= bb.families; f++ {
				if _, err := db.write.Exec(`INSERT INTO families (family_id, name, name_key, revision, document) SELECT $1, 'f' || $1, 'f' || $1, revision, document FROM families WHERE family_id = 1`, f); err != nil {
					b.Fatal(err)
				}
			}
			j, err := journal.New(journal.Config{Store: db, Spool: spool.Config{Folder: filepath.Join(filepath.Dir(path), "journal"), RingBytes: 64 << 20}})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- j.Run(ctx) }()
			var in []policy.Attempt
			for i := range 5 * bb.families * bb.services {
				a := crashAttempt(fmt.Sprintf("www.s%d.com", i%bb.services))
				a.Family, a.Service = policy.FamilyID(1+i/bb.services%bb.families), fmt.Sprintf("service-%d", i%bb.services)
				a.Verdict.Label = blocklists.Label{Category: blocklists.AnonymousChat, Depth: 2}
				in = append(in, a)
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				a := in[n%len(in)]
				a.Time = time.Now()
				j.Record(a)
				if n++; n%100_000 == 0 {
					if err := j.Flush(ctx); err != nil {
						b.Fatal(err)
					}
				}
			}
			if err := j.Flush(ctx); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "attempts/s")
			cancel()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
			if lost, err := db.Losses(b.Context(), time.Time{}); err != nil || len(lost) > 0 {
				b.Fatalf("lost: %v %v", lost, err)
			}
		})
	}
}

// BenchmarkWeekOfFiveMillion reads one family's seven days among five million
// incidents. Making them takes minutes, so it wants KINWARD_BENCH_INCIDENTS=5000000.
func BenchmarkWeekOfFiveMillion(b *testing.B) {
	total, _ := strconv.Atoi(os.Getenv("KINWARD_BENCH_INCIDENTS"))
	if total == 0 {
		total = 50_000
	}
	db := openNew(b)
	const families = 10_000
	if _, err := db.write.Exec(`
		WITH RECURSIVE n(x) AS (SELECT 2 UNION ALL SELECT x + 1 FROM n WHERE x < $1)
		INSERT INTO families (family_id, name, name_key, revision, document) SELECT x, 'f' || x, 'f' || x, revision, document FROM n, families WHERE family_id = 1`, families); err != nil {
		b.Fatal(err)
	}
	// As they come in a life: by time, each of another family, so that a family's
	// rows lie scattered over the file.
	for _, sql := range []string{`PRAGMA cache_size = -2000000`, `PRAGMA synchronous = OFF`} {
		if _, err := db.write.Exec(sql); err != nil {
			b.Fatal(err)
		}
	}
	const kept = 90 * 24 * time.Hour
	first, step := noon.Add(-kept).UnixMilli(), kept.Milliseconds()/int64(total)
	if _, err := db.write.Exec(`
		WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < $1)
		INSERT INTO incidents (family_id, incident_id, profile_id, device_id, first_at, last_at, open_key, details)
		SELECT 1 + abs(random()) % $2, printf('%012x%020x', $3 + x * $4, x), 1, 0, $3 + x * $4, $3 + x * $4, '', $5 FROM n`,
		total, families, first, step, row("", noon).Details); err != nil {
		b.Fatal(err)
	}
	if _, err := db.write.Exec(`PRAGMA cache_size = -2000`); err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var took []time.Duration
	rows := 0
	for b.Loop() {
		begun := time.Now()
		list, err := db.Incidents(b.Context(), journal.Filter{Family: policy.FamilyID(1 + random.IntN(families)), Since: noon.Add(-7 * 24 * time.Hour), Until: noon.Add(time.Hour)})
		if err != nil {
			b.Fatal(err)
		}
		took, rows = append(took, time.Since(begun)), rows+len(list)
	}
	slices.Sort(took)
	b.ReportMetric(float64(rows)/float64(len(took)), "incidents/page")
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms-p50")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "ms-p99")
}
