package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// series is what a server exports: of each metric its type, and the values of
// each label.
type series struct {
	kind   string
	labels map[string]map[string]bool
}

// exportedBy reads /metrics as text.
func exportedBy(t *testing.T, h *home) map[string]*series {
	t.Helper()
	_, body := h.get("/metrics")
	all := map[string]*series{}
	label := regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)
	for line := range strings.SplitSeq(body, "\n") {
		if f := strings.Fields(line); len(f) == 4 && f[1] == "TYPE" {
			all[f[2]] = &series{f[3], map[string]map[string]bool{}}
			continue
		}
		name := line[:max(strings.IndexAny(line, "{ "), 0)]
		if name == "" || name == "#" {
			continue
		}
		s := find(all, name)
		if s == nil {
			t.Fatalf("/metrics has a value without a type: %s", line)
		}
		for _, m := range label.FindAllStringSubmatch(line[:strings.LastIndexByte(line, ' ')], -1) {
			if s.labels[m[1]] == nil {
				s.labels[m[1]] = map[string]bool{}
			}
			s.labels[m[1]][m[2]] = true
		}
	}
	return all
}

// find returns a metric by its name, or by that of a part of a histogram.
func find(all map[string]*series, name string) *series {
	if s := all[name]; s != nil {
		return s
	}
	for _, part := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(name, part); ok && all[base] != nil && (all[base].kind == "histogram" || all[base].kind == "summary") {
			return all[base]
		}
	}
	return nil
}

// observedHome is one that was asked a little of everything.
func observedHome(t *testing.T) *home {
	h := startHome(t, startUpstream(t), "--config", writeConfig(t, "tls: {name: dns.example.org, self-signed: true}\n"))
	file := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(file, []byte("listed.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.must("lists", "add", file, "--id", "own", "--category", "dating")
	h.must("devices", "add", "127.0.0.1", "--name", "Laptop of Lea")
	for _, q := range [][]string{
		{"omegle.com", "A"},
		{"allowed.example", "A"},
		{"allowed.example", "A"},
		{"+tcp", "allowed.example", "AAAA"},
		{"innocent.example", "A"},
		{"nowhere.example", "A"},
		{"localhost", "A"},
		{"CH", "TXT", "version.bind"},
	} {
		h.tool("kdig", append([]string{"+retry=0"}, q...)...)
	}
	c := dns.Client{Timeout: 5 * time.Second}
	for { // until one was timed, which is one in 64
		for range 100 {
			if _, _, err := c.Exchange(new(dns.Msg).SetQuestion("omegle.com.", dns.TypeA), h.dns); err != nil {
				t.Fatal(err)
			}
		}
		if s := exportedBy(t, h)["kinward_answer_duration_seconds"]; s != nil && s.labels["way"]["near"] {
			return h
		}
	}
}

// promWords are the words of the query language that the dashboard uses.
var promWords = strings.Fields("sum by rate increase changes time histogram_quantile or le")

// checkQuery returns what is wrong with a query: metrics, labels and label values
// that are not exported, and words that are none of the language.
func checkQuery(all map[string]*series, expr string) (problems []string) {
	bad := func(what, name string) { problems = append(problems, what+" "+name) }
	used := map[string]bool{"le": true, "instance": true} // the second is given by who scrapes
	selector := regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}`)
	matcher := regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	rest := selector.ReplaceAllStringFunc(expr, func(sel string) string {
		m := selector.FindStringSubmatch(sel)
		s := find(all, m[1])
		if s == nil {
			bad("no metric", m[1])
			return ""
		}
		for l := range s.labels {
			used[l] = true
		}
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			switch values := s.labels[l[1]]; {
			case l[1] == "instance":
			case values == nil:
				bad("no label", m[1]+"."+l[1])
			case l[2] == "=" && !values[l[3]]:
				bad("no value", m[1]+"."+l[1]+"="+l[3])
			}
		}
		return ""
	})
	if !selector.MatchString(expr) {
		bad("no metric in", expr)
	}
	rest = regexp.MustCompile(`by \(([^)]*)\)`).ReplaceAllStringFunc(rest, func(by string) string {
		for l := range strings.SplitSeq(by[len("by ("):len(by)-1], ",") {
			if l = strings.TrimSpace(l); !used[l] {
				bad("no label", l)
			}
		}
		return ""
	})
	rest = regexp.MustCompile(`\[[^\]]*\]`).ReplaceAllString(rest, "")
	for _, w := range regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`).FindAllString(rest, -1) {
		if !slices.Contains(promWords, w) {
			bad("no metric or word", w)
		}
	}
	return problems
}

func TestCheckQuery(t *testing.T) {
	all := map[string]*series{
		"kinward_a_total":   {"counter", map[string]map[string]bool{"way": {"far": true}}},
		"kinward_b_seconds": {"histogram", map[string]map[string]bool{"le": {"1": true}}},
	}
	for expr, want := range map[string]string{
		`sum by (way) (rate(kinward_a_total{way="far", instance=~"$instance"}[5m]))`:  "",
		`histogram_quantile(0.9, sum by (le) (rate(kinward_b_seconds_bucket{}[5m])))`: "",
		`rate(kinward_aa_total{}[5m])`:                                                     "no metric kinward_aa_total",
		`rate(kinward_a_total_count{}[5m])`:                                                "no metric kinward_a_total_count",
		`rate(kinward_a_total[5m])`:                                                        "no metric in rate(kinward_a_total[5m])",
		`rate(kinward_a_total{wey="far"}[5m])`:                                             "no label kinward_a_total.wey",
		`rate(kinward_a_total{way="near"}[5m])`:                                            "no value kinward_a_total.way=near",
		`sum by (outcome) (rate(kinward_a_total{}[5m]))`:                                   "no label outcome",
		`summ(rate(kinward_a_total{}[5m]))`:                                                "no metric or word summ",
		`sum(rate(kinward_a_total{}[5m])) / sum(rate(kinward_b_seconds_total{}[5m]))`:      "no metric kinward_b_seconds_total",
		`sum by (way) (rate(kinward_a_total{}[5m])) / sum by (le) (kinward_b_seconds_sum)`: "no metric or word kinward_b_seconds_sum",
	} {
		got := checkQuery(all, expr)
		if want == "" && len(got) > 0 || want != "" && (len(got) == 0 || got[0] != want) {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}

// TestProgramDashboard holds the dashboard and the operator's guide against what
// a server exports that was asked a few questions.
func TestProgramDashboard(t *testing.T) {
	h := observedHome(t)
	all := exportedBy(t, h)

	var board any
	if err := json.Unmarshal([]byte(readFile(t, "deploy/grafana/kinward.json")), &board); err != nil {
		t.Fatal(err)
	}
	queries := 0
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for k, e := range v {
				if expr, ok := e.(string); ok && k == "expr" {
					queries++
					for _, p := range checkQuery(all, expr) {
						t.Errorf("%s: %s", expr, p)
					}
				}
				walk(e)
			}
		case string:
			if m := regexp.MustCompile(`^label_values\((\w+), instance\)$`).FindStringSubmatch(v); m != nil && all[m[1]] == nil {
				t.Errorf("%s: there is no such metric", v)
			}
		}
	}
	walk(board)
	if queries < 20 {
		t.Errorf("the dashboard has %d queries", queries)
	}

	for _, doc := range []string{"README.md", "docs/operators.md", "docs/parents.md", "docs/developers.md", "docs/configuration.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "deploy/grafana/README.md"} {
		for _, m := range regexp.MustCompile(`kinward_[a-z_]+`).FindAllString(readFile(t, doc), -1) {
			if find(all, m) == nil {
				t.Errorf("%s: there is no metric %s", doc, m)
			}
		}
	}
	told := readFile(t, "docs/operators.md")
	for name := range all {
		if strings.HasPrefix(name, "kinward_") && !strings.Contains(told, "`"+name+"`") {
			t.Errorf("docs/operators.md does not tell of %s", name)
		}
	}
	checkPrivacy(t, h, all)
	checkNative(t, h)
}

// checkPrivacy: no label can hold a family, a device or a name, and no value does.
func checkPrivacy(t *testing.T, h *home, all map[string]*series) {
	t.Helper()
	// list is what the operator called a list; reason, category and the like are
	// words of the program's own.
	labels := strings.Fields("transport outcome status way stage verdict reason category upstream list le version go_version quantile code cause channel kind")
	for name, s := range all {
		for l := range s.labels {
			if !slices.Contains(labels, l) {
				t.Errorf("%s has the label %s, of which nobody has said that it names no family, device or name", name, l)
			}
		}
		if !regexp.MustCompile(`^(kinward|go|process|promhttp)_`).MatchString(name) {
			t.Errorf("%s is none of Kinward's metrics", name)
		}
	}
	_, body := h.get("/metrics")
	wantNone(t, "/metrics", body, "omegle", "allowed.example", "listed.example", "innocent", "nowhere", "Laptop", "Lea", "Everyone")
}

// checkNative: who asks for it gets native histograms, and others classic ones.
func checkNative(t *testing.T, h *home) {
	t.Helper()
	_, text := h.get("/metrics")
	wantAll(t, "the text form", text, `kinward_upstream_duration_seconds_bucket{`, `kinward_answer_duration_seconds_bucket{outcome="allowed",way="far",le="0.25"}`)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.web+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/vnd.google.protobuf") || !strings.Contains(string(body), "kinward_answer_duration_seconds") {
		t.Errorf("who asks for protobuf, the form of native histograms, gets %s", kind)
	}
}
