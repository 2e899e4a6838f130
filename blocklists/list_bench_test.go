package blocklists

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"testing"
)

// BenchmarkList measures the index on a real list: make bench LIST=FILE
// [POPULAR=FILE]. Without LIST it uses made-up names. POPULAR is a file of names
// that homes ask for, one a line or as "rank,name", the most asked first: the
// misses are drawn from it as people ask (Zipf's law), otherwise made up.
func BenchmarkList(b *testing.B) {
	names := readNames(b, os.Getenv("LIST"), 0)
	if names == nil {
		names = benchmarkNames(200_000)
	}
	popular := readNames(b, os.Getenv("POPULAR"), 100_000)
	if popular == nil {
		for i := range 10_000 {
			popular = append(popular, MustName(fmt.Sprintf("www.host%x.example.net", i*40503)))
		}
	}
	list := []ListInput{{ID: "list", Category: Adult, Count: len(names), Entries: func(emit func(Entry) error) error {
		for _, n := range names {
			if err := emit(Entry{Name: n}); err != nil {
				return err
			}
		}
		return nil
	}}}
	c, err := Embedded()
	if err != nil {
		b.Fatal(err)
	}
	var x *Index
	b.Run("compile", func(b *testing.B) {
		for b.Loop() {
			if x, err = Compile(c, list); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(names))*float64(b.N)/b.Elapsed().Seconds(), "names/s")
	})
	x, err = Compile(c, list)
	if err != nil {
		b.Fatal(err)
	}
	perName := float64(x.Bytes()) / float64(x.Names())
	// The least that a set of 64-bit fingerprints can take: log2 of the number of
	// such sets, n·(64 − log2 n + log2 e) bits.
	limit := (64 - math.Log2(float64(x.Names())) + math.Log2E) / 8
	b.Run("memory", func(b *testing.B) {
		for b.Loop() { // nothing to time: the figures are of the index as it is
			x.Bytes()
		}
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(x.Names()), "names")
		b.ReportMetric(perName, "B/name")
		b.ReportMetric(limit, "limit-B/name")
		b.ReportMetric(x.FalseMatch(5)*1e12, "false-matches/10¹²")
	})

	r := rand.New(rand.NewPCG(1, 2))
	hits := make([]Name, 1<<16)
	for i := range hits {
		// A copy, as for misses: a name that is asked for was just read from a packet,
		// and does not have to be fetched from far away in memory as those of names do.
		hits[i] = Name(strings.Clone(string(names[r.IntN(len(names))])))
	}
	misses := make([]Name, 1<<16)
	z := rand.NewZipf(r, 1.1, 8, uint64(len(popular)-1))
	for i := range misses {
		misses[i] = Name(strings.Clone(string(popular[z.Uint64()])))
	}
	for kind, set := range map[string][]Name{"hit": hits, "miss": misses} {
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				x.Lookup(set[i&(len(set)-1)])
				i++
			}
		})
	}
	b.Run("open", func(b *testing.B) {
		path := b.TempDir() + "/index"
		list[0].Version = "v"
		if err := x.WriteFile(path, c, list); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if _, err := OpenIndex(path, c, list); err != nil {
				b.Fatal(err)
			}
		}
	})
	runtime.KeepAlive(x)
}

// readNames reads the names of a file, at most max of them; nil without a file.
func readNames(b *testing.B, file string, most int) []Name {
	if file == "" {
		return nil
	}
	f, err := os.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	var in io.Reader = f
	if strings.HasSuffix(file, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			b.Fatal(err)
		}
	}
	var names []Name
	for lines := bufio.NewScanner(in); lines.Scan() && (most == 0 || len(names) < most); {
		text := lines.Text()
		if _, after, ok := strings.Cut(text, ","); ok {
			text = after
		}
		if n, err := ParseName(text); err == nil && n.Labels() > 1 {
			names = append(names, n)
		}
	}
	return names
}
