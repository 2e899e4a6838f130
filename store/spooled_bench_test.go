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
	const families, perBatch = 10_000, 20_000
	if _, err := db.write.Exec(`
		WITH RECURSIVE n(x) AS (SELECT 2 UNION ALL SELECT x + 1 FROM n WHERE x < $1)
		INSERT INTO families (family_id, name, name_key, revision, document) SELECT x, 'f' || x, 'f' || x, revision, document FROM n, families WHERE family_id = 1`, families); err != nil {
		b.Fatal(err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for made := 0; made < total; made += perBatch {
		var batch journal.Batch
		for range perBatch {
			at := noon.Add(-time.Duration(random.IntN(90*24*60)) * time.Minute) // the 90 days that are kept
			r := row(fmt.Sprintf("%012x%020x", at.UnixMilli(), random.Uint64()), at)
			r.Family, r.Key = policy.FamilyID(1+random.IntN(families)), ""
			batch.Rows = append(batch.Rows, r)
		}
		write(b, db, batch)
	}
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
