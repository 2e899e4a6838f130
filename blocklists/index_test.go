package blocklists

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// listOf makes a list of entries: "name" and all below, "=name" alone, "@name"
// taken back, "!name" important.
func listOf(id string, c Category, entries ...string) ListInput {
	return ListInput{ID: id, Name: id, Category: c, Entries: func(emit func(Entry) error) error {
		for _, s := range entries {
			e := Entry{Exact: s[0] == '=', Except: s[0] == '@', Important: s[0] == '!'}
			e.Name = MustName(strings.TrimLeft(s, "=@!"))
			if err := emit(e); err != nil {
				return err
			}
		}
		return nil
	}}
}

func compileLists(t testing.TB, lists ...ListInput) *Index {
	t.Helper()
	x, err := Compile(&Catalogue{}, lists)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// known renders what an index knows of a name: "list:category@entry", sorted.
func known(x *Index, name string) string {
	n := MustName(name)
	var out []string
	for _, l := range x.Labels(x.Lookup(n)) {
		if l.Marks&Above != 0 { // about the names below
			continue
		}
		out = append(out, fmt.Sprintf("%s:%s@%s", x.List(l.List).ID, l.Category, l.Entry(n)))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func TestLookup(t *testing.T) {
	x := compileLists(t,
		listOf("a", Dating, "example.com", "=host.shared.net", "deep.example.com"),
		listOf("b", Adult, "chat.example.com", "@good.chat.example.com", "!bad.good.chat.example.com", "other.org", "@other.org"),
		listOf("c", Gambling, "=example.com", "never.other.org"),
		listOf("e", Violence, "deep.lifted.org", "@lifted.org", "!hard.lifted.org"),
		listOf("f", Violence, "high.lifted.org"),
		listOf("d", Security, "!kept.com", "@kept.com", `a\.b.com`),
	)
	for _, tt := range []struct{ name, in, want string }{
		{"not listed", "example.org", ""},
		{"the entry's own name, exact and suffix", "example.com", "a:dating@example.com c:gambling@example.com"},
		{"a name below", "www.example.com", "a:dating@example.com"},
		{"a name that only ends alike", "notexample.com", ""},
		{"a parent of an entry", "com", ""},
		{"entries of several lists, from several depths", "x.chat.example.com", "a:dating@example.com b:adult@chat.example.com"},
		{"an exact entry", "host.shared.net", "a:dating@host.shared.net"},
		{"below an exact entry", "x.host.shared.net", ""},
		{"beside an exact entry", "shared.net", ""},
		{"an exception takes back its own list's word alone", "good.chat.example.com", "a:dating@example.com"},
		{"and for names below", "x.good.chat.example.com", "a:dating@example.com"},
		{"an important entry below an exception", "bad.good.chat.example.com", "a:dating@example.com b:adult@bad.good.chat.example.com"},
		{"an exception for the entry itself", "other.org", ""},
		{"another list below it", "never.other.org", "c:gambling@never.other.org"},
		{"an exception lifts its list's entries below it too", "x.deep.lifted.org", ""},
		{"but not an important one", "x.hard.lifted.org", "e:violence@hard.lifted.org"},
		{"nor another list's", "high.lifted.org", "f:violence@high.lifted.org"},
		{"an exception yields to an important entry", "kept.com", "d:security@kept.com"},
		{"the more specific of two entries of a list", "x.deep.example.com", "a:dating@deep.example.com"},
		{"a dot inside a label is not a separator", `a\.b.com`, `d:security@a\.b.com`},
		{"and the other way round", "a.b.com", ""},
		{"upper case", "WWW.Example.COM", "a:dating@example.com"},
		{"the root", ".", ""},
		{"as many labels as fit", strings.Repeat("a.", 121) + "example.com", "a:dating@example.com"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := known(x, tt.in); got != tt.want {
				t.Errorf("%s is known as %q; want %q", tt.in, got, tt.want)
			}
		})
	}
}

func TestCompileSaysWhichListFails(t *testing.T) {
	broken := errors.New("broken")
	_, err := Compile(&Catalogue{}, []ListInput{listOf("good", Adult, "a.com"), {ID: "bad", Entries: func(func(Entry) error) error { return broken }}})
	var bad *ListError
	if !errors.As(err, &bad) || bad.ID != "bad" || !errors.Is(err, broken) {
		t.Errorf("Compile = %v; want a ListError for bad that wraps %v", err, broken)
	}
	if _, err := Compile(&Catalogue{}, []ListInput{listOf("root", Adult, ".")}); !errors.As(err, &bad) {
		t.Errorf("Compile with an entry for the root = %v; want a ListError", err)
	}
}

func TestCompileCatalogue(t *testing.T) {
	c, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	x, err := Compile(c, []ListInput{listOf("careless", Adult, "childhelplineinternational.org", "akamaized.net", "tiktok.com")})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range c.Services {
		for _, d := range s.Domains {
			found := slices.ContainsFunc(x.Labels(x.Lookup(d.Name)), func(l Label) bool {
				return x.Service(l.Service) != nil && x.Service(l.Service).ID == s.ID
			})
			if !found {
				t.Errorf("%s of service %s is known as %q", d.Name, s.ID, known(x, d.Name.String()))
			}
		}
	}
	for _, r := range c.Reachable {
		want := Plumbing
		if r.Section == SectionHelp {
			want = Help
		}
		if !slices.ContainsFunc(x.Labels(x.Lookup(r.Name)), func(l Label) bool { return l.Category == want }) {
			t.Errorf("%s is known as %q; want %s", r.Name, known(x, r.Name.String()), want)
		}
	}
	for _, q := range c.Quiet {
		if x.Marks(x.Lookup(q.Name))&Quiet == 0 {
			t.Errorf("%s is not quiet", q.Name)
		}
	}
	exact := MustName("captive.apple.com")
	if x.Marks(x.Lookup(exact.Parent()))&Above == 0 {
		t.Errorf("%s is not marked as standing above %s", exact.Parent(), exact)
	}
}

// longName fills a name up in front to n bytes without the root label, or by as much as
// makes a label.
func longName(suffix Name, n int) Name {
	for len(suffix) < n-1 {
		l := min(63, n-1-len(suffix))
		suffix = Name([]byte{byte(l)}) + Name(strings.Repeat("l", l)) + suffix
	}
	return suffix
}

// TestIndexAgainstMap compares the index with the plainest thing that could be
// right: for each name, walk its parents in a map, collect what kinds of rules
// of a list cover it, and weigh them.
func TestIndexAgainstMap(t *testing.T) {
	label := rapid.OneOf(
		rapid.SampledFrom([]string{"a", "b", "c", "ab", "www", "com", "net"}),
		rapid.StringMatching(`[a-z0-9_-]{1,63}`),
		rapid.StringMatching(`[\x00-\x7f.\\]{1,8}`),
	)
	name := rapid.Custom(func(t *rapid.T) Name {
		var n Name
		for _, l := range rapid.SliceOfN(label, 1, 8).Draw(t, "labels") {
			l = strings.ToLower(l)
			if len(n)+len(l)+1 <= MaxNameLen {
				n += Name([]byte{byte(len(l))}) + Name(l)
			}
		}
		if rapid.IntRange(0, 9).Draw(t, "long") == 0 { // as long as names get, give or take
			n = longName(n, MaxNameLen-rapid.IntRange(0, 3).Draw(t, "short of it"))
		}
		return n
	})
	longest := 0
	rapid.Check(t, func(t *rapid.T) {
		type key struct {
			name Name
			list int
		}
		suffix, exact := map[key]ruleLevels{}, map[key]ruleLevels{}
		lists := make([]ListInput, 3)
		var entries []Name
		for i := range lists {
			var own []Entry
			for _, n := range rapid.SliceOfN(name, 0, 12).Draw(t, "entries") {
				e := Entry{
					Name: n, Exact: rapid.Bool().Draw(t, "exact"),
					Except: rapid.IntRange(0, 3).Draw(t, "except") == 0, Important: rapid.IntRange(0, 3).Draw(t, "important") == 0,
				}
				own = append(own, e)
				entries = append(entries, n)
				longest = max(longest, len(n))
				if e.Exact {
					exact[key{n, i + 1}] |= e.level()
				} else {
					suffix[key{n, i + 1}] |= e.level()
				}
			}
			lists[i] = ListInput{ID: fmt.Sprint(i), Category: Dating, Entries: func(emit func(Entry) error) error {
				for _, e := range own {
					if err := emit(e); err != nil {
						return err
					}
				}
				return nil
			}}
		}
		x, err := Compile(&Catalogue{}, lists)
		if err != nil {
			t.Fatal(err)
		}
		asked := rapid.SliceOfN(name, 1, 20).Draw(t, "asked")
		for _, n := range entries {
			asked = append(asked, n, n.Parent(), "\x01x"+n)
		}
		for _, n := range asked {
			if len(n) > MaxNameLen {
				continue
			}
			for list := 1; list <= len(lists); list++ {
				levels := exact[key{n, list}]
				for p := n; p != ""; p = p.Parent() {
					levels |= suffix[key{p, list}]
				}
				want := levels.blocks()
				got := slices.ContainsFunc(x.Labels(x.Lookup(n)), func(l Label) bool { return int(l.List) == list && l.Marks&Above == 0 })
				if got != want {
					t.Fatalf("name %s, list %d: listed = %v; want %v", n, list, got, want)
				}
			}
		}
	})
	if longest != MaxNameLen {
		t.Errorf("the longest name had %d bytes, want %d", longest, MaxNameLen)
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	x := compileLists(t, listOf("a", Dating, "example.com"))
	hit, miss := MustName("www.example.com"), MustName("a.b.c.example.org")
	if n := testing.AllocsPerRun(1000, func() {
		x.Labels(x.Lookup(hit))
		x.Labels(x.Lookup(miss))
	}); n != 0 {
		t.Errorf("Lookup allocates %v times a call", n)
	}
}

// benchmarkNames makes names that look like a long list's.
func benchmarkNames(n int) []Name {
	names := make([]Name, n)
	for i := range names {
		names[i] = MustName(fmt.Sprintf("site-%x.example%d.com", i*2654435761, i%977))
	}
	return names
}

func benchmarkIndex(b testing.TB, names []Name) *Index {
	x, err := Compile(&Catalogue{}, []ListInput{{ID: "bench", Category: Adult, Entries: func(emit func(Entry) error) error {
		for _, n := range names {
			if err := emit(Entry{Name: n}); err != nil {
				return err
			}
		}
		return nil
	}}})
	if err != nil {
		b.Fatal(err)
	}
	return x
}

func BenchmarkLookup(b *testing.B) {
	for _, size := range []int{10_000, 1_000_000} {
		names := benchmarkNames(size)
		x := benchmarkIndex(b, names)
		misses := make([]Name, 4096)
		for i := range misses {
			misses[i] = MustName(fmt.Sprintf("www.host%x.example.net", i*40503))
		}
		for kind, set := range map[string][]Name{"hit": names, "miss": misses} {
			b.Run(fmt.Sprintf("names=%d/%s", size, kind), func(b *testing.B) {
				i := 0
				for b.Loop() {
					x.Lookup(set[i%len(set)])
					i += 7919 // a prime: walk the set in no order the cache likes
				}
				b.ReportMetric(float64(x.Bytes())/float64(x.Names()), "B/name")
			})
		}
	}
}

func BenchmarkCompile(b *testing.B) {
	names := benchmarkNames(200_000)
	for b.Loop() {
		benchmarkIndex(b, names)
	}
	b.ReportMetric(float64(b.N)*float64(len(names))/b.Elapsed().Seconds(), "names/s")
}

// TestIndexDeepNames: the deepest entry answers, however many labels lie below it
// and above it.
func TestIndexDeepNames(t *testing.T) {
	c, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	name := func(labels int) Name { return MustName(strings.Repeat("a.", labels-2) + "deep.example") }
	depths := []int{2, 7, 8, 9, 16, 17, 40}
	x, err := Compile(c, []ListInput{{ID: "list", Category: Adult, Entries: func(emit func(Entry) error) error {
		for _, d := range depths {
			if err := emit(Entry{Name: name(d)}); err != nil {
				return err
			}
		}
		return nil
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for labels := 2; labels <= 100; labels++ {
		want := 0
		for _, d := range depths {
			if d <= labels {
				want = d
			}
		}
		got := 0
		for _, l := range x.Labels(x.Lookup(name(labels))) {
			got = max(got, int(l.Depth))
		}
		if got != want {
			t.Errorf("a name of %d labels is answered by an entry of %d, want %d", labels, got, want)
		}
	}
}
