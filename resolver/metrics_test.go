package resolver

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
)

// newRegistry gives c a registry of its own.
func newRegistry(c *Config) *prometheus.Registry {
	r := prometheus.NewRegistry()
	c.Registerer = r
	return r
}

// metric returns the sum of a metric's series whose labels hold all of the
// given "name=value" pairs.
func metric(t testing.TB, r *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum, found := 0.0, false
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		found = true
	series:
		for _, m := range f.GetMetric() {
			have := map[string]bool{}
			for _, l := range m.GetLabel() {
				have[l.GetName()+"="+l.GetValue()] = true
			}
			for _, l := range labels {
				if !have[l] {
					continue series
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	if !found {
		t.Fatalf("there is no metric %s", name)
	}
	return sum
}

func TestMetrics(t *testing.T) {
	up := newFake(t, "ok.example. 60 IN A 192.0.2.1", "fronted.example. 60 IN CNAME www.stranger.example.")
	c := config(t, up)
	reg := newRegistry(&c)
	s := start(t, c)
	for _, q := range []struct {
		network, name string
		qtype         uint16
	}{
		{"udp", "ok.example.", dns.TypeA},
		{"udp", "ok.example.", dns.TypeA},
		{"tcp", "ok.example.", dns.TypeA},
		{"udp", "stranger.example.", dns.TypeA},
		{"tcp", "malware.example.", dns.TypeA},
		{"udp", "fronted.example.", dns.TypeA},
		{"udp", "localhost.", dns.TypeA},
		{"udp", "help.example.", dns.TypeA},
		{"udp", "counted.example.", dns.TypeA},
		{"udp", "ok.example.", dns.TypeAXFR},
		{"udp", "ok.example.", dns.TypeOPT},
	} {
		askBy(t, s, q.network, household, msgFor(q.name, q.qtype))
	}
	for _, tt := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"kinward_queries_total", []string{"transport=udp", "outcome=allowed"}, 3},
		{"kinward_queries_total", []string{"transport=tcp", "outcome=allowed"}, 1},
		{"kinward_queries_total", []string{"transport=udp", "outcome=blocked"}, 3},
		{"kinward_queries_total", []string{"transport=tcp", "outcome=blocked"}, 1},
		{"kinward_queries_total", []string{"outcome=local"}, 1},
		{"kinward_queries_total", []string{"outcome=refused"}, 1},
		{"kinward_queries_total", []string{"outcome=malformed"}, 1},
		{"kinward_verdicts_total", []string{"verdict=block", "reason=category", "category=anonymous-chat"}, 2},
		{"kinward_verdicts_total", []string{"verdict=block", "reason=security", "category=security"}, 1},
		{"kinward_verdicts_total", []string{"verdict=allow", "reason=default", "category=none"}, 4}, // and who asked for help
		{"kinward_verdicts_total", []string{"category=drugs"}, 0},
		{"kinward_verdicts_total", nil, 8}, // a day's count has no category
		{"kinward_cache_hits_total", nil, 2},
		{"kinward_cache_misses_total", nil, 3},
		{"kinward_cache_entries", nil, 1}, // the NXDOMAIN behind the CNAME has no SOA record
		{"kinward_queries_in_flight", nil, 0},
		{"kinward_panics_total", nil, 0},
		{"kinward_upstream_failures_total", []string{"upstream=udp://" + up.addr.String()}, 0},
	} {
		if got := metric(t, reg, tt.name, tt.labels...); got != tt.want {
			t.Errorf("%s%v = %v, want %v", tt.name, tt.labels, got, tt.want)
		}
	}
	if b := metric(t, reg, "kinward_cache_bytes"); b < entryOverhead {
		t.Errorf("kinward_cache_bytes = %v", b)
	}
	if n := metric(t, reg, "kinward_upstream_duration_seconds"); n < 2 {
		t.Errorf("kinward_upstream_duration_seconds counts %v answers, want 2 and perhaps a probe", n)
	}
	checkMetricNames(t, reg)
}

// checkMetricNames holds the house rules for metrics.
func checkMetricNames(t *testing.T, reg *prometheus.Registry) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("promlint: %s: %s", p.Metric, p.Text)
	}
	allowed := map[string]bool{"transport": true, "outcome": true, "reason": true, "upstream": true, "verdict": true, "category": true, "stage": true, "way": true}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "kinward_") {
			t.Errorf("%s does not begin with kinward_", f.GetName())
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if !allowed[l.GetName()] {
					t.Errorf("%s has the label %s: no family, device or name may stand in a metric", f.GetName(), l.GetName())
				}
			}
		}
	}
}
