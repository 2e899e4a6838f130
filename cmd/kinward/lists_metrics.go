package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"kinward/blocklists"
)

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
