package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kinward/policy"
	"kinward/resolver"
)

// limitRow matches a line of the operator's table.
var limitRow = regexp.MustCompile("(?m)^\\| [^|]+ \\| `([a-z]+: [a-z0-9-]+)` \\| ([^|]+) \\| ([^|]+) \\| [^|]+ \\|$")

// TestLimitsTable holds the operator's table, the configuration and the metrics
// together: a limit has a line, a default and a metric, or is none.
func TestLimitsTable(t *testing.T) {
	text, err := os.ReadFile("../../docs/operators.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][2]string{}
	for _, m := range limitRow.FindAllStringSubmatch(string(text), -1) {
		if _, twice := rows[m[1]]; twice {
			t.Errorf("%s has two lines", m[1])
		}
		rows[m[1]] = [2]string{m[2], m[3]}
	}
	metrics := exported(t)
	for _, k := range configKeys() {
		group, _, _ := strings.Cut(k.name, keySep)
		if !slices.Contains([]string{"limits", "cache", "journal"}, group) || k.name == "journal"+keySep+"memory" {
			continue // the others bound nothing
		}
		key := strings.Replace(k.name, keySep, ": ", 1)
		row, ok := rows[key]
		if !ok {
			t.Errorf("%s has no line in the table", key)
			continue
		}
		delete(rows, key)
		want := fmt.Sprint(k.value)
		if list, ok := k.value.([]string); ok {
			want = strings.Join(list, ", ")
		}
		if row[0] != want {
			t.Errorf("%s: the table says %q, the default is %q", key, row[0], want)
		}
		names := regexp.MustCompile("`(kinward_[a-z_]+)`").FindAllStringSubmatch(row[1], -1)
		if len(names) == 0 && row[1] != "–" || len(names) == 0 && group == "limits" {
			t.Errorf("%s has no metric", key)
		}
		for _, n := range names { // TestProgramDashboard looks for those of the journal
			if group != "journal" && !strings.Contains(metrics, "# HELP "+n[1]+" ") {
				t.Errorf("%s: there is no metric %s", key, n[1])
			}
		}
	}
	for key := range rows {
		t.Errorf("%s has a line in the table, and is no setting", key)
	}
}

// exported returns what a server exports.
func exported(t *testing.T) string {
	t.Helper()
	set, err := validConfig(t).resolve()
	if err != nil {
		t.Fatal(err)
	}
	r := prometheus.NewRegistry()
	s, err := resolver.New(resolver.Config{
		Listen: []string{"127.0.0.1:0"}, Upstreams: set.upstreams, AllowNets: set.allowNets, Limits: set.limits,
		State: func() *policy.State { return nil }, Registerer: r,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := newLeaseWatcher(&leaseWatcher{}, r); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func validConfig(t *testing.T) *config {
	c := defaultConfig()
	c.Data = t.TempDir()
	return &c
}

// What the resolver is told is what it takes by itself, and nothing is left to it.
func TestLimitsAreAllConfigured(t *testing.T) {
	got, err := defaultLimits().resolve()
	if err != nil {
		t.Fatal(err)
	}
	want := resolver.DefaultLimits()
	want.ProbeInterval, want.Drain = 0, 0 // no limits of what others can do
	want.Rate.Exempt = got.Rate.Exempt
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the limits are %+v, want %+v", got, want)
	}
	off := defaultLimits()
	off.Rate, off.RateSlip = 0, 0
	if got, err := off.resolve(); err != nil || got.Rate.PerSecond >= 0 || got.Rate.Slip >= 0 {
		t.Errorf("without rate and slip: %+v, %v", got.Rate, err)
	}
}
