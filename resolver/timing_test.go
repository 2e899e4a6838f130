package resolver

import (
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// timedServer is one that times every question, with a clock that goes on by a
// millisecond whenever somebody looks at it.
func timedServer(t *testing.T, reg *prometheus.Registry, every uint32) *Server {
	t.Helper()
	c := config(t, newFake(t))
	c.Registerer, c.sampleEvery = reg, every
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	c.Now = func() time.Time { now = now.Add(time.Millisecond); return now }
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// histogramOf returns a histogram, nil where there is none.
func histogramOf(t *testing.T, reg *prometheus.Registry, name string, labels map[string]string) *dto.Histogram {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if want, ok := labels[l.GetName()]; ok && want != l.GetValue() {
					continue series
				}
			}
			return m.GetHistogram()
		}
	}
	return nil
}

func TestStagesAreTimed(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := timedServer(t, reg, 1)
	handle(t, s, &query{}, packed(msgFor("stranger.example.", dns.TypeA)), overUDP)
	near, far := s.stages()
	past := false // the stage that answered
	for _, st := range append(near, far...) {
		h := histogramOf(t, reg, "kinward_stage_duration_seconds", map[string]string{"stage": st.name})
		want := uint64(1)
		if past {
			want = 0
		}
		if h.GetSampleCount() != want {
			t.Errorf("stage %s: timed %d times, want %d", st.name, h.GetSampleCount(), want)
		}
		past = past || st.name == "enforce"
	}
	// Two looks at the clock around a stage that does not look itself.
	h := histogramOf(t, reg, "kinward_stage_duration_seconds", map[string]string{"stage": "decide"})
	if got := h.GetSampleSum(); got != 0.001 {
		t.Errorf("the stage took %v s, want 0.001", got)
	}
	if h.Schema == nil || len(h.GetPositiveSpan()) == 0 || len(h.GetBucket()) == 0 {
		t.Errorf("the histogram is not native and classic: %v", h)
	}
}

func TestAnswersAreTimed(t *testing.T) {
	for _, tt := range []struct {
		name      string
		every     uint32
		question  string
		way, what string
		want      uint64
	}{
		{"blocked, sampled", 1, "stranger.example.", "near", "blocked", 1},
		{"blocked, not sampled", 1 << 31, "stranger.example.", "near", "blocked", 0},
		{"from an upstream, sampled", 1, "fine.example.", "far", "failed", 1},
		{"from an upstream, not sampled", 1 << 31, "fine.example.", "far", "failed", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			s := timedServer(t, reg, tt.every)
			s.settings.Load().peers[0].looping.Store(true) // so it fails at once
			handle(t, s, &query{}, packed(msgFor(tt.question, dns.TypeA)), overUDP)
			h := histogramOf(t, reg, "kinward_answer_duration_seconds", map[string]string{"way": tt.way, "outcome": tt.what})
			if h.GetSampleCount() != tt.want {
				t.Fatalf("timed %d times, want %d", h.GetSampleCount(), tt.want)
			}
			if tt.want > 0 && (h.GetSampleSum() < 0.001 || h.GetSampleSum() > 0.1 || h.Schema == nil) {
				t.Errorf("it took %v s by a clock of milliseconds, native: %v", h.GetSampleSum(), h.Schema != nil)
			}
			if tt.every > 1 {
				if h := histogramOf(t, reg, "kinward_stage_duration_seconds", map[string]string{"stage": "read"}); h.GetSampleCount() != 0 {
					t.Errorf("a stage of a question that was not sampled was timed")
				}
			}
		})
	}
}

// One question in 64 is sampled, in the mean.
func TestSampleRate(t *testing.T) {
	s := still(t)
	const asked = 64 * 4000
	n := 0
	for range asked {
		if s.sample() {
			n++
		}
	}
	if n < 3500 || n > 4500 { // eight standard deviations
		t.Errorf("%d of %d questions were sampled, want about 4000", n, asked)
	}
}

// Timing allocates nothing, neither for those who are sampled nor for the others.
func TestTimingDoesNotAllocate(t *testing.T) {
	for _, every := range []uint32{1, 1 << 31} {
		s := still(t)
		s.sampleEvery = every
		wire := packed(msgFor("www.stranger.example.", dns.TypeA))
		from := netip.MustParseAddrPort(household + ":1053")
		q, ctx := &query{}, t.Context()
		run := func() {
			q.reset(wire, from, overUDP)
			if s.answerNear(ctx, q) != done {
				t.Fatal("no answer")
			}
		}
		for range 1000 { // every native bucket that comes up is made once
			run()
		}
		if n := testing.AllocsPerRun(1000, run); n > 1 {
			t.Errorf("one in %d sampled: %v allocations, want 1, for the name", every, n)
		}
	}
}

func TestUpstreamGauges(t *testing.T) {
	reg := prometheus.NewRegistry()
	s := timedServer(t, reg, 1)
	p := s.settings.Load().peers[0]
	label := "upstream=" + p.name
	read := func(what string) float64 { return metric(t, reg, "kinward_upstream_"+what, label) }
	if read("usable") != 1 || read("looping") != 0 {
		t.Errorf("at first: usable %v, looping %v", read("usable"), read("looping"))
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "kinward_upstream_srtt_seconds" {
			t.Error("there is a time before anything was measured")
		}
	}
	p.latency.observe(20 * time.Millisecond)
	if got := read("srtt_seconds"); got != 0.02 {
		t.Errorf("the smoothed time is %v s, want 0.02", got)
	}
	for range sparedAfter {
		s.fails(p, errLame)
	}
	if read("usable") != 0 || read("looping") != 0 {
		t.Errorf("after failures: usable %v, looping %v", read("usable"), read("looping"))
	}
	p.answered(s.now())
	if read("usable") != 1 {
		t.Error("it answered, and is not usable")
	}
	p.looping.Store(true)
	if read("usable") != 0 || read("looping") != 1 {
		t.Errorf("looping: usable %v, looping %v", read("usable"), read("looping"))
	}
}
