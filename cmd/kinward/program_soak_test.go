package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kinward/journal"
	"kinward/store"
)

// A soak is long, steady load on the whole program, with what happens in a home's life
// beside it: reloads, lists that are fetched, good ones and broken ones, choices and
// grants, an upstream that does not answer, clocks that are set, and kill -9. What leaks,
// shows; each answer is looked at; and at the end the incidents' counts are held against
// the answers. "make soak" takes ten minutes; the tests take soakShort.
const (
	soakShort = 28 * time.Second

	// Bounds. Memory and descriptors are read every second. Of the last life of the
	// program, the longest, the first third is for warming up, and the last third is
	// compared with the second. Earlier lives are compared with each other, up to the
	// age that all of them reached.
	// Of memory the highest readings are compared, since that is what must be there.
	// Of descriptors those in the middle: a machine that stands still for a moment
	// has a crowd of questions that wait, each with a socket, and that is no leak.
	soakMemoryMB    = 16
	soakDescriptors = 16
	soakLeft        = 10 // descriptors above those of the start, when the load is over: readers of the database opened since have two each
)

// soakReading is what the program takes at a moment.
type soakReading struct{ kb, descriptors int }

func (h *home) reading() soakReading {
	h.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", h.cmd.Process.Pid))
	if err != nil {
		h.t.Fatal(err)
	}
	kb, err := strconv.Atoi(string(regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)[1]))
	if err != nil {
		h.t.Fatal(err)
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.cmd.Process.Pid))
	if err != nil {
		h.t.Fatal(err)
	}
	return soakReading{kb, len(open)}
}

func (r soakReading) String() string {
	if r.descriptors == crowded {
		return fmt.Sprintf("VmRSS %.1f MB, descriptors while the upstream was away", float64(r.kb)/1024)
	}
	return fmt.Sprintf("VmRSS %.1f MB, %d descriptors", float64(r.kb)/1024, r.descriptors)
}

// crowded stands for the descriptors while an upstream is away: as many as questions wait.
const crowded = -1

// sum returns the highest memory of some readings, and the descriptors of the one
// in the middle.
func sum(rs []soakReading) (m soakReading) {
	var open []int
	for _, r := range rs {
		m.kb = max(m.kb, r.kb)
		if r.descriptors != crowded {
			open = append(open, r.descriptors)
		}
	}
	if len(open) == 0 {
		return soakReading{m.kb, crowded}
	}
	slices.Sort(open)
	m.descriptors = open[len(open)/2]
	return m
}

// grown says what grows in readings taken over a soak, and what was compared.
func grown(rs []soakReading) (compared string, problems []string) {
	third := len(rs) / 3
	if third == 0 {
		return "too short to say", nil
	}
	before, after := sum(rs[third:2*third]), sum(rs[2*third:])
	if after.kb > before.kb+soakMemoryMB<<10 {
		problems = append(problems, fmt.Sprintf("memory grows by more than %d MB", soakMemoryMB))
	}
	if before.descriptors != crowded && after.descriptors > before.descriptors+soakDescriptors {
		problems = append(problems, fmt.Sprintf("descriptors grow by more than %d", soakDescriptors))
	}
	return fmt.Sprintf("the second third: %v; the last: %v (of memory the most, of descriptors the median)", before, after), problems
}

func TestSoakSeesLeaks(t *testing.T) {
	for _, tt := range []struct {
		name string
		at   func(second int) soakReading
		want string
	}{
		{"flat", func(int) soakReading { return soakReading{50 << 10, 20} }, ""},
		{"up and down", func(s int) soakReading { return soakReading{(40 + s%20) << 10, 20 + s%15} }, ""},
		{"warming up", func(s int) soakReading { return soakReading{min(30+s, 80) << 10, 20} }, ""},
		{"a crowd for a moment", func(s int) soakReading {
			if s == 500 {
				return soakReading{50 << 10, 400}
			}
			return soakReading{50 << 10, 20}
		}, ""},
		{"an upstream that is away for long", func(s int) soakReading {
			if s > 300 {
				return soakReading{50 << 10, crowded}
			}
			return soakReading{50 << 10, 20}
		}, ""},
		{"descriptors that leak, and an upstream that is away now and then", func(s int) soakReading {
			if s%3 > 0 {
				return soakReading{50 << 10, crowded}
			}
			return soakReading{50 << 10, 20 + s/10}
		}, "descriptors grow"},
		{"memory that leaks", func(s int) soakReading { return soakReading{(50 << 10) + s*100, 20} }, "memory grows"},
		{"descriptors that leak", func(s int) soakReading { return soakReading{50 << 10, 20 + s/10} }, "descriptors grow"},
	} {
		var rs []soakReading
		for s := range 600 {
			rs = append(rs, tt.at(s))
		}
		compared, problems := grown(rs)
		if got := strings.Join(problems, ", "); (got == "") != (tt.want == "") || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %q, want %q; %s", tt.name, got, tt.want, compared)
		}
	}
}

// shortLife is how many seconds say nothing of what a life takes.
const shortLife = 5

// olderLives says whether what the program takes grows from life to life: it is compared
// at like ages, the first half of the lives with the second. The first life of many is
// left out, since it has a family and lists to set up, and so are short ones.
func olderLives(lives [][]soakReading) (compared string, problems []string) {
	if len(lives) > 3 {
		lives = lives[1:]
	}
	lives = slices.DeleteFunc(slices.Clone(lives), func(l []soakReading) bool { return len(l) < shortLife })
	if len(lives) < 2 {
		return "no two lives to compare", nil
	}
	age := len(slices.MinFunc(lives, func(a, b []soakReading) int { return cmp.Compare(len(a), len(b)) }))
	most := func(some [][]soakReading) (kb int) {
		for _, l := range some {
			kb = max(kb, sum(l[:age]).kb)
		}
		return kb
	}
	before, after := most(lives[:len(lives)/2]), most(lives[len(lives)/2:])
	if after > before+soakMemoryMB<<10 {
		problems = append(problems, fmt.Sprintf("memory grows from life to life by more than %d MB", soakMemoryMB))
	}
	return fmt.Sprintf("%d lives up to their second %d: the first half %.1f MB, the second %.1f MB", len(lives), age, float64(before)/1024, float64(after)/1024), problems
}

func TestSoakComparesLives(t *testing.T) {
	life := func(seconds, kb int) (rs []soakReading) {
		for s := range seconds {
			rs = append(rs, soakReading{kb + 1024*s, 20})
		}
		return rs
	}
	for _, tt := range []struct {
		name  string
		lives [][]soakReading
		want  int
	}{
		{"alike", [][]soakReading{life(20, 50<<10), life(30, 50<<10), life(25, 50<<10)}, 0},
		{"an older one is larger", [][]soakReading{life(20, 50<<10), life(500, 50<<10)}, 0},
		{"each is larger at the same age", [][]soakReading{life(20, 50<<10), life(20, 60<<10), life(20, 70<<10), life(20, 80<<10)}, 1},
		{"one", [][]soakReading{life(20, 50<<10)}, 0},
		{"a short one says nothing", [][]soakReading{life(20, 50<<10), life(20, 50<<10), life(20, 50<<10), life(2, 90<<10)}, 0},
		{"the first does not excuse others", [][]soakReading{life(20, 90<<10), life(20, 50<<10), life(20, 50<<10), life(20, 80<<10)}, 1},
	} {
		if compared, problems := olderLives(tt.lives); len(problems) != tt.want {
			t.Errorf("%s: %q, want %d; %s", tt.name, problems, tt.want, compared)
		}
	}
}

// TestProgramSoak is the soak. SOAK is how long it takes, as a Go duration, SEED repeats
// what happened in another, and SOAKRACE=1 looks for races in the program.
func TestProgramSoak(t *testing.T) {
	length := soakShort
	if text := os.Getenv("SOAK"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d < soakShort {
			t.Fatalf("SOAK=%q is not a time of %v at least; write it like 10m", text, soakShort)
		}
		length = d
	}
	race := os.Getenv("SOAKRACE") != ""
	seed := soakSeed(t)
	evening := soakEvenings[seed%uint64(len(soakEvenings))]
	t.Logf("SEED=%d: by its clock it begins at %v", seed, evening.begin)

	program := buildStepped(t, race)
	up := startSoakUpstream(t)
	clock := newSteppedClock(t, evening.begin)
	lists := startSoakLists(t)
	h := &home{t: t, data: t.TempDir(), program: program, env: []string{clock.environment()}, args: []string{
		"--upstream", "udp://" + up.addr, "--config", writeConfig(t, "cache:\n  megabytes: 8\nlists:\n  allow-private: true\n  refresh: 1h\n"),
	}}
	h.start()
	h.must("families", "zone", soakZone.String())
	h.must("lists", "add", lists.url, "--id", "soak", "--category", "dating")
	h.must("profiles", "add", "Lea", "C")
	h.must("schedules", "bedtime", "Lea", "Sun-Thu 20:30-06:30", "Fri,Sat 22:00-08:00")
	for _, d := range soakDevices {
		if d.name != "" {
			profile := "Everyone"
			if d.bedtime {
				profile = "Lea"
			}
			h.must("devices", "add", d.addr, "--name", d.name, "--profile", profile)
		}
	}

	ledger := newSoakLedger(clock, up)
	lives, first := [][]soakReading{nil}, h.reading()
	t.Logf("at the start: %v", first)
	load := startSoakLoad(t, ledger, h.dns, seed)
	looked := func() { // at a life that ends
		if n := h.metric("kinward_panics_total"); n != 0 {
			t.Errorf("%v questions met a fault in the program\n%s", n, h.log)
		}
	}
	life := &soakLife{h: h, clock: clock, ledger: ledger, up: up, lists: lists, random: rand.New(rand.NewPCG(seed, 1)), begin: evening.begin, change: evening.change}
	life.kill = func() {
		looked()
		load.dying()
		h.stop(syscall.SIGKILL)
		load.end(true)
		wantNone(t, "the log", h.log.String(), "DATA RACE")
		h.start()
		lives, first = append(lives, nil), h.reading()
		load = startSoakLoad(t, ledger, h.dns, seed+uint64(len(lives)))
	}
	life.see()

	begun := time.Now()
	second, minute := time.NewTicker(time.Second), time.NewTicker(time.Minute)
	next := time.NewTicker(min(max(length/300, length/time.Duration(len(soakFirst)+1)*9/10), 6*time.Second))
	defer second.Stop()
	defer minute.Stop()
	defer next.Stop()
	end := time.After(length)
	deck := slices.Clone(soakFirst)
	for running := true; running; {
		select {
		case <-second.C:
			l := &lives[len(lives)-1]
			r := h.reading()
			if up.waited(time.Now()) {
				r.descriptors = crowded
			}
			*l = append(*l, r)
		case <-minute.C:
			t.Logf("after %v: %v; %v", time.Since(begun).Round(time.Second), h.reading(), ledger)
		case <-next.C:
			if time.Now().Before(life.calm) {
				continue
			}
			if len(deck) == 0 {
				deck = slices.Clone(soakLater)
				life.random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
			}
			what := deck[0]
			deck = deck[1:]
			if what == "kill" && life.kills > 0 && time.Since(begun) > length*6/10 {
				continue
			}
			life.happen(what)
		case <-end:
			if running = life.kills == 0; running { // a machine that is too busy for what comes first has more time
				end = time.After(10 * time.Second)
			}
		}
	}
	life.see()
	load.end(false)
	looked()
	t.Logf("%v; %d kills, %d steps of the clock, %d times without upstream, %d changes, %d answers 304 for the list", ledger, life.kills, life.steps, life.losses, life.changes, lists.times304())
	for _, w := range ledger.wrong {
		t.Error(w)
	}
	if ledger.wrongs > len(ledger.wrong) {
		t.Errorf("and %d more", ledger.wrongs-len(ledger.wrong))
	}
	if n := ledger.lost.Load(); n > 0 {
		t.Errorf("%d questions had no answer within %v, and no kill is why", n, soakPatience)
	}
	if n := ledger.waited.Load(); n > ledger.open.Load()/1000 {
		t.Errorf("%d of %d answers were old ones while the upstream answers, though only after a wait", n, ledger.open.Load())
	}
	for what, n := range map[string]int64{
		"kills": int64(life.kills), "steps": int64(life.steps), "losses": int64(life.losses), "304s": int64(lists.times304()), "open answers": ledger.open.Load(),
		"answers at bedtime": ledger.night.Load(), "answers by a grant": ledger.lifted.Load(), "stale answers": ledger.stale.Load(), "failures": ledger.failed.Load(),
	} {
		if n == 0 {
			t.Errorf("there were no %s, so nothing is known of them", what)
		}
	}

	// What it takes.
	last := lives[len(lives)-1]
	for _, f := range []func() (string, []string){
		func() (string, []string) { return grown(last) },
		func() (string, []string) { return olderLives(lives) },
	} {
		compared, problems := f()
		t.Log(compared)
		for _, p := range problems {
			if !race { // its detector takes memory of its own, for all that was ever touched
				t.Errorf("%s; %s", p, compared)
			}
		}
	}
	left := h.reading()
	for deadline := time.Now().Add(15 * time.Second); left.descriptors > first.descriptors+soakLeft && time.Now().Before(deadline); left = h.reading() {
		time.Sleep(100 * time.Millisecond) // idle connections end by themselves
	}
	t.Logf("when the last life began: %v; at the end: %v", first, left)
	if left.descriptors > first.descriptors+soakLeft {
		t.Errorf("%d descriptors are left, %d were there at the start; want at most %d more", left.descriptors, first.descriptors, soakLeft)
	}

	// What is kept.
	clock.set(life.latest) // so that nothing lies ahead
	var shown incidentsReply
	h.into(&shown, "incidents", "--limit", "9000", "--since", "6d")
	if !slices.IsSortedFunc(shown.Incidents, func(a, b incidentView) int { return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(b.ID, a.ID)) }) {
		t.Error("incidents are not shown in their order")
	}
	lost := 0
	for _, l := range shown.Lost {
		t.Logf("the journal says that it lost: %+v", l)
		lost += int(l.Count)
	}
	if err := h.stop(syscall.SIGTERM); err != nil {
		t.Errorf("serve ended with %v\n%s", err, h.log)
	}
	wantNone(t, "the log", h.log.String(), "DATA RACE")
	kept, incidents := life.kept(t)
	total := 0
	for _, n := range kept {
		total += n
	}
	answered, unanswered := 0, 0
	for _, n := range ledger.blocked {
		answered += n
	}
	for _, n := range ledger.unanswered {
		unanswered += n
	}
	t.Logf("%d answers said that something is blocked, %d questions that could be had no answer (kills), %d are kept in %d incidents, %d are said to be lost", answered, unanswered, total, incidents, lost)
	for _, d := range ledger.differences(kept, lost) {
		t.Error(d)
	}
}

func (l *soakLedger) String() string {
	return fmt.Sprintf("%d questions, %d answers: %d open, %d of them by a grant, %d stale (%d after a wait), %d failures, %d blocked at bedtime",
		l.asked.Load(), l.answers.Load(), l.open.Load(), l.lifted.Load(), l.stale.Load(), l.waited.Load(), l.failed.Load(), l.night.Load())
}

// kept returns what the store counts, and in how many incidents, all of which must be
// of a time that the clock showed.
func (s *soakLife) kept(t *testing.T) (kept map[soakCase]int, incidents int) {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(s.h.data, store.FileName), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	f, _, err := db.Family(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	kept = map[soakCase]int{}
	const late = time.Second
	_, err = db.EachIncident(t.Context(), journal.Filter{Family: f.ID, Routine: true}, func(i journal.Incident) bool {
		k := soakCase{i.Client, cmp.Or(i.Domain, offlineName)}
		for _, d := range f.Devices {
			if d.ID == i.Device {
				n := slices.IndexFunc(soakDevices, func(x soakDevice) bool { return x.name == d.Name })
				k.device = soakDevices[n].addr
			}
		}
		if k.device == "127.0.0.1" { // see soakLife.blocks
			return true
		}
		incidents++
		kept[k] += int(i.Queries)
		if i.Last.Before(i.First) || i.First.Before(s.earliest.Add(-late)) || i.Last.After(s.latest.Add(late)) {
			t.Errorf("an incident is from %v to %v; the clock showed %v to %v", i.First, i.Last, s.earliest.UTC(), s.latest.UTC())
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return kept, incidents
}
