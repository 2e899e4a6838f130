package resolver

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"kinward/blocklists"
	"kinward/policy"
)

// metrics are the resolver's counters. None carries a family, a device or a
// name. Children of labels are looked up once, here, and not for each query.
type metrics struct {
	queries  [numTransports][numOutcomes]prometheus.Counter
	verdicts verdictCounts

	cacheHits, cacheMisses prometheus.Counter
	panics, overload       prometheus.Counter
	loops                  prometheus.Counter
	tcpRefused, tcpBroken  prometheus.Counter

	upstreamQueries, upstreamFailures, upstreamMismatches *prometheus.CounterVec
	upstreamSeconds                                       *prometheus.HistogramVec
	upstreamLooping                                       *prometheus.GaugeVec
}

// peerMetrics are an upstream's.
type peerMetrics struct {
	queries, failures, mismatches prometheus.Counter
	seconds                       prometheus.Observer
}

// verdictCounts counts verdicts. There are more kinds than ever come up, so a
// series begins with its first verdict.
type verdictCounts struct {
	vec      *prometheus.CounterVec
	children [policy.Block + 1][policy.NumReasons][blocklists.NumCategories]atomic.Pointer[prometheus.Counter]
}

// count adds a verdict. What only a day's count may tell, and who asks for help,
// must not be told to the minute by whoever reads the metrics of one home: the
// first has no category here, the second looks like any allowed name.
func (c *verdictCounts) count(v policy.Verdict) {
	reason, category := v.Reason, v.Label.Category
	if reason == policy.ByHelp {
		reason, category = policy.ByDefault, blocklists.NoCategory
	}
	if v.Keep == policy.KeepCount {
		category = blocklists.NoCategory
	}
	at := &c.children[v.Action][reason][category]
	child := at.Load()
	if child == nil { // two that meet here get the same child
		n := c.vec.WithLabelValues(v.Action.String(), reason.String(), category.String())
		child = &n
		at.Store(child)
	}
	(*child).Inc()
}

// newMetrics registers the resolver's metrics with r, which may be nil.
func newMetrics(r prometheus.Registerer, s *Server) (*metrics, error) {
	if r == nil {
		r = prometheus.NewRegistry()
	}
	var errs []error
	register := func(c prometheus.Collector) {
		if err := r.Register(c); err != nil {
			errs = append(errs, err)
		}
	}
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		register(v)
		return v
	}
	counter := func(name, help string) prometheus.Counter { return vec(name, help).WithLabelValues() }
	gauge := func(name, help string, f func() float64) {
		register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}

	m := &metrics{}
	queries := vec("kinward_queries_total", "Questions received, by transport and by what became of them.", "transport", "outcome")
	for t := range m.queries {
		for o := range m.queries[t] {
			m.queries[t][o] = queries.WithLabelValues(transportNames[t], outcomeNames[o])
		}
	}
	m.verdicts.vec = vec("kinward_verdicts_total", "Questions decided, by what was decided, by the step that settled it, "+
		"and by category, which is none where nothing is known of the name or the family only has it counted.", "verdict", "reason", "category")
	m.cacheHits = counter("kinward_cache_hits_total", "Questions answered from the cache.")
	m.cacheMisses = counter("kinward_cache_misses_total", "Questions that the cache had no answer to.")
	m.panics = counter("kinward_panics_total", "Questions that met a fault in the program and were answered SERVFAIL.")
	m.overload = counter("kinward_overload_total", "Questions answered SERVFAIL because too many were waiting for upstreams.")
	m.loops = counter("kinward_loops_total", "Times that an upstream was found to lead back to Kinward.")
	m.tcpRefused = counter("kinward_tcp_connections_refused_total", "TCP connections closed at once because there were too many.")
	m.tcpBroken = counter("kinward_tcp_connections_broken_total", "TCP connections closed because of a malformed, half-sent or unread message.")
	m.upstreamQueries = vec("kinward_upstream_queries_total", "Questions sent to an upstream.", "upstream")
	m.upstreamFailures = vec("kinward_upstream_failures_total", "Questions that an upstream did not answer.", "upstream")
	m.upstreamMismatches = vec("kinward_upstream_mismatches_total", "Messages from an upstream that answer no question we sent.", "upstream")
	m.upstreamSeconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "kinward_upstream_duration_seconds",
		Help:    "How long an upstream took to answer.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 1.5},
	}, []string{"upstream"})
	register(m.upstreamSeconds)
	m.upstreamLooping = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "kinward_upstream_looping", Help: "1 where an upstream leads back to Kinward and is not used.",
	}, []string{"upstream"})
	register(m.upstreamLooping)

	gauge("kinward_cache_entries", "Answers in the cache.", func() float64 { n, _ := s.cache.usage(); return float64(n) })
	gauge("kinward_cache_bytes", "Memory that the cache's answers take.", func() float64 { _, b := s.cache.usage(); return float64(b) })
	register(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "kinward_cache_evictions_total", Help: "Answers let go to make room for newer ones.",
	}, func() float64 { return float64(s.cache.evicted.Load()) }))
	gauge("kinward_queries_in_flight", "Questions that wait for an upstream.", func() float64 { return float64(s.inFlight.Load()) })
	gauge("kinward_tcp_connections", "Open TCP connections of clients.", func() float64 { return float64(s.tcp.open()) })
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("registering the resolver's metrics: %w", err)
	}
	return m, nil
}

// forPeer returns the children for an upstream.
func (m *metrics) forPeer(u Upstream) *peerMetrics {
	name := u.String()
	m.upstreamLooping.WithLabelValues(name).Set(0)
	return &peerMetrics{
		queries:    m.upstreamQueries.WithLabelValues(name),
		failures:   m.upstreamFailures.WithLabelValues(name),
		mismatches: m.upstreamMismatches.WithLabelValues(name),
		seconds:    m.upstreamSeconds.WithLabelValues(name),
	}
}

// forget removes the series of an upstream that is no longer used.
func (m *metrics) forget(u Upstream) {
	l := prometheus.Labels{"upstream": u.String()}
	m.upstreamQueries.Delete(l)
	m.upstreamFailures.Delete(l)
	m.upstreamMismatches.Delete(l)
	m.upstreamSeconds.Delete(l)
	m.upstreamLooping.Delete(l)
}

// count notes what became of a query.
func (m *metrics) count(q *query) {
	m.queries[q.via][q.outcome].Inc()
	if q.fetch.qtype != 0 { // it came as far as a verdict
		m.verdicts.count(q.verdict)
	}
}
