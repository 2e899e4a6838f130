package main

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"

	"kinward/blocklists"
)

// stateCollector reports the index and the lists as they are when asked.
type stateCollector struct{ n *node }

var (
	descListEntries = prometheus.NewDesc("kinward_list_entries", "Entries that the index took from a list; 0 means that the list protects nobody.", []string{"list"}, nil)
	descListChecked = prometheus.NewDesc("kinward_list_checked_timestamp_seconds", "When the list was last found unchanged or fetched.", []string{"list"}, nil)
	descListProblem = prometheus.NewDesc("kinward_list_problem", "1 while the last update of a list failed, or its kept copy cannot be read.", []string{"list"}, nil)
	descIndexNames  = prometheus.NewDesc("kinward_index_names", "Names in the index.", nil, nil)
	descIndexBytes  = prometheus.NewDesc("kinward_index_bytes", "Memory of the index.", nil, nil)
	descBuild       = prometheus.NewDesc("kinward_build_info", "The version that runs; always 1.", []string{"version", "go_version"}, nil)
)

func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descListEntries, descListChecked, descListProblem, descIndexNames, descIndexBytes, descBuild} {
		ch <- d
	}
}

func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(descBuild, 1, version(), runtime.Version())
	s := c.n.current.Load()
	if s == nil {
		return
	}
	gauge(descIndexNames, float64(s.Index.Names()))
	gauge(descIndexBytes, float64(s.Index.Bytes()))
	for _, l := range c.n.listViews(s.Index) {
		gauge(descListEntries, float64(l.Entries), l.ID)
		problem := 0.0
		if l.Problem != "" {
			problem = 1
		}
		gauge(descListProblem, problem, l.ID)
		if !l.Checked.IsZero() {
			gauge(descListChecked, float64(l.Checked.Unix()), l.ID)
		}
	}
}

// listsCollector reports what became of fetching lists.
type listsCollector struct{ n *node }

var (
	descListUpdates  = prometheus.NewDesc("kinward_list_updates_total", "Times a list was looked for, by outcome: taken, unchanged, held (a guard stopped it), rolled-back (not taken again), failed.", []string{"outcome"}, nil)
	descListFailures = prometheus.NewDesc("kinward_list_failures_total", "New versions of lists that did not come or that a guard stopped, by reason.", []string{"reason"}, nil)
	descListHeld     = prometheus.NewDesc("kinward_list_held", "1 while a version of a list is held for a person to decide about.", []string{"list"}, nil)
	descListFetched  = prometheus.NewDesc("kinward_list_fetched_timestamp_seconds", "When the version of a list that is in force came.", []string{"list"}, nil)
	descListGuarded  = prometheus.NewDesc("kinward_list_guarded_entries", "Entries of a list that a guard keeps out of the index, by reason.", []string{"list", "reason"}, nil)
)

// guardReasons are what a guard says about single entries, as metrics say it.
var guardReasons = []struct {
	why   blocklists.SkipReason
	label string
}{
	{blocklists.SkipPublicSuffix, "public-suffix"},
	{blocklists.SkipSharedHost, "shared-host"},
	{blocklists.SkipReachable, "reachable"},
	{blocklists.SkipTLD, "top-level-domain"},
	{blocklists.SkipTooWide, "too-wide"},
}

func (c *listsCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descListUpdates, descListFailures, descListHeld, descListFetched, descListGuarded} {
		ch <- d
	}
}

func (c *listsCollector) Collect(ch chan<- prometheus.Metric) {
	stats := c.n.lists.Stats()
	for o, count := range stats.Outcomes {
		ch <- prometheus.MustNewConstMetric(descListUpdates, prometheus.CounterValue, float64(count), blocklists.Outcome(o).String())
	}
	for _, reason := range blocklists.FailureReasons() {
		ch <- prometheus.MustNewConstMetric(descListFailures, prometheus.CounterValue, float64(stats.Failures[reason]), reason)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, l := range c.n.lists.Lists() {
		held := 0.0
		if l.Held != nil {
			held = 1
		}
		gauge(descListHeld, held, l.ID)
		gauge(descListFetched, float64(l.FetchedAt.Unix()), l.ID)
		for _, g := range guardReasons {
			gauge(descListGuarded, float64(l.Report.Skipped[g.why]), l.ID, g.label)
		}
	}
}
