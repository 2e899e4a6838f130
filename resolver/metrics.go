package resolver

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kinward/resolver/upstream"
)

// metrics are the resolver's counters. None carries a family, a device or a
// name. Children of labels are looked up once, here, and not for each query.
type metrics struct {
	lanes lanes

	panics, overload      prometheus.Counter
	loops                 prometheus.Counter
	hedged, explored      prometheus.Counter
	stale, prefetched     prometheus.Counter
	handshakes            [numTransports][numHandshakes]prometheus.Counter
	httpRefused           *prometheus.CounterVec
	proxyBroken           prometheus.Counter
	acceptErrors, tooLong prometheus.Counter
	rebinds               prometheus.Counter
	deadlines, sockets    prometheus.Counter
	limited               [numLimits]prometheus.Counter
	tokens                [numTokenRefusals]prometheus.Counter

	upstreamQueries, upstreamFailures *prometheus.CounterVec
	upstreamSeconds                   *prometheus.HistogramVec
	answerSeconds, stageSeconds       *prometheus.HistogramVec
}

// peerMetrics are an upstream's.
type peerMetrics struct {
	queries, failures prometheus.Counter
	seconds           prometheus.Observer
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

	m := &metrics{lanes: newLanes()}
	register(m.lanes)
	m.panics = counter("kinward_panics_total", "Questions that met a fault in the program and were answered SERVFAIL.")
	m.overload = counter("kinward_overload_total", "Questions answered SERVFAIL because too many were waiting for upstreams.")
	m.stale = counter("kinward_cache_stale_total", "Questions answered with an answer that was over, because the upstreams failed.")
	m.prefetched = counter("kinward_cache_prefetches_total", "Answers asked for anew before their end, because they are wanted.")
	m.hedged = counter("kinward_upstream_hedges_total", "Questions asked of another upstream, or a second time, because the first took longer than it usually does.")
	m.explored = counter("kinward_upstream_explorations_total", "Questions asked of another upstream too, so that it is measured.")
	m.loops = counter("kinward_loops_total", "Times that an upstream was found to lead back to Kinward.")
	crowdOf := func(c *crowd, prefix, what string) {
		of := func(end, help string) prometheus.Counter { return counter(prefix+end, fmt.Sprintf(help, what)) }
		c.metrics = &crowdMetrics{
			refused:   of("_connections_refused_total", "%s connections closed at once because there were too many."),
			broken:    of("_connections_broken_total", "%s connections closed because of a malformed, half-sent or unread message."),
			idle:      of("_connections_idle_total", "%s connections closed because no question came for too long."),
			unread:    of("_connections_unread_total", "%s connections closed because the client did not take its answers."),
			evicted:   of("_connections_evicted_total", "Idle %s connections closed to make room for another."),
			pipelined: of("_pipeline_waits_total", "Times that one of the %s connections was not read from because too many of its questions had no answer yet."),
		}
		gauge(prefix+"_connections", fmt.Sprintf("Open %s connections of clients.", what), func() float64 { return float64(c.open()) })
	}
	crowdOf(s.plain, "kinward_tcp", "TCP")
	s.strangers.metrics = s.plain.metrics
	crowdOf(s.secure, "kinward_tls", "encrypted")
	handshakes := vec("kinward_tls_handshakes_total", "Handshakes of encrypted connections, by transport and by how they ended.", "transport", "outcome")
	for _, t := range []transport{overTLS, overHTTPS, overQUIC} {
		for o := range numHandshakes {
			m.handshakes[t][o] = handshakes.WithLabelValues(transportNames[t], handshakeNames[o])
		}
	}
	m.httpRefused = vec("kinward_doh_refused_total", "Requests over HTTP that were no question, by the status that answered them.", "status")
	m.httpRefused.WithLabelValues("400") // so that the series are there before somebody does wrong
	m.proxyBroken = counter("kinward_proxy_broken_total", "Connections and packets from allow-listed proxies that did not say for whom they are.")
	m.acceptErrors = counter("kinward_accept_errors_total", "TCP connections that the system could not hand over, for want of file descriptors mostly.")
	m.tooLong = counter("kinward_messages_too_long_total", "Messages not read because they are longer than any question.")
	m.rebinds = counter("kinward_rebindings_total", "Answers kept back because a public name led into the home's own network.")
	m.deadlines = counter("kinward_query_deadlines_total", "Questions that no upstream answered before their deadline.")
	m.sockets = counter("kinward_upstream_socket_waits_total", "Questions that had to wait for a socket to an upstream.")
	limited := vec("kinward_rate_limited_total", "Questions above the rate limit, by what became of them.", "outcome")
	for i := range m.limited {
		m.limited[i] = limited.WithLabelValues(limitNames[i])
	}
	tokens := vec("kinward_tokens_refused_total", "Questions refused because nobody has their token, or because too many such came from one network.", "outcome")
	for i := range m.tokens {
		m.tokens[i] = tokens.WithLabelValues(tokenRefusals[i])
	}
	m.upstreamQueries = vec("kinward_upstream_queries_total", "Questions sent to an upstream.", "upstream")
	m.upstreamFailures = vec("kinward_upstream_failures_total", "Questions that an upstream did not answer.", "upstream")
	register(&connectionCollector{s})
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := histogramVec(name, help, buckets, labels...)
		register(v)
		return v
	}
	m.upstreamSeconds = histogram("kinward_upstream_duration_seconds", "How long an upstream took to answer.",
		[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 1.5}, "upstream")
	m.answerSeconds = histogram("kinward_answer_duration_seconds", fmt.Sprintf("How long answers took, by what became of the question: "+
		"all that waited for an upstream (far), and of those that did not (near) one in %d.", sampleEvery),
		[]float64{1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 1e-4, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2, 4}, "outcome", "way")
	m.stageSeconds = histogram("kinward_stage_duration_seconds", fmt.Sprintf("How long the stages of a question took, of one question in %d.", sampleEvery),
		[]float64{1e-7, 2.5e-7, 5e-7, 1e-6, 2.5e-6, 1e-5, 1e-4, .001, .01, .1, 1, 4}, "stage")

	gauge("kinward_cache_entries", "Answers in the cache.", func() float64 { n, _ := s.cache.usage(); return float64(n) })
	gauge("kinward_cache_bytes", "Memory that the cache's answers take.", func() float64 { _, b := s.cache.usage(); return float64(b) })
	gauge("kinward_cache_max_bytes", "Memory that the cache's answers may take.", func() float64 { return float64(s.cache.most()) })
	register(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "kinward_cache_evictions_total", Help: "Answers let go to make room for newer ones.",
	}, func() float64 { return float64(s.cache.evicted.Load()) }))
	gauge("kinward_queries_in_flight", "Questions that wait for an upstream.", func() float64 { return float64(s.inFlight.Load()) })
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("registering the resolver's metrics: %w", err)
	}
	return m, nil
}

// How a handshake ended, for the counters.
const (
	handshakeFull = iota
	handshakeResumed
	handshakeFailed
	numHandshakes
)

var handshakeNames = [numHandshakes]string{"full", "resumed", "failed"}

// handshake counts one.
func (m *metrics) handshake(t transport, ok, resumed bool) {
	o := handshakeFailed
	switch {
	case ok && resumed:
		o = handshakeResumed
	case ok:
		o = handshakeFull
	}
	m.handshakes[t][o].Inc()
}

// forPeer returns the children for an upstream.
func (m *metrics) forPeer(name string) *peerMetrics {
	return &peerMetrics{
		queries:  m.upstreamQueries.WithLabelValues(name),
		failures: m.upstreamFailures.WithLabelValues(name),
		seconds:  m.upstreamSeconds.WithLabelValues(name),
	}
}

// forget removes the series of an upstream that is no longer used.
func (m *metrics) forget(name string) {
	l := prometheus.Labels{"upstream": name}
	m.upstreamQueries.Delete(l)
	m.upstreamFailures.Delete(l)
	m.upstreamSeconds.Delete(l)
}

// connectionCollector exports what the clients of the upstreams counted.
type connectionCollector struct{ s *Server }

// connectionMetrics lists them.
var connectionMetrics = [...]struct {
	desc  *prometheus.Desc
	value func(upstream.Stats) uint64
}{
	{upstreamDesc("mismatches", "Answers from an upstream's address that answered no question asked: forged, or late."), func(s upstream.Stats) uint64 { return s.Mismatches }},
	{upstreamDesc("respelled", "Answers over UDP that spelled the name otherwise than it was asked, so that they were asked for again over TCP."), func(s upstream.Stats) uint64 { return s.Folded }},
	{upstreamDesc("cookieless", "Answers over UDP without the cookie that the upstream gave before, so that they were asked for again over TCP."), func(s upstream.Stats) uint64 { return s.Cookieless }},
	{upstreamDesc("connections", "Connections made to an upstream."), func(s upstream.Stats) uint64 { return s.Dials }},
	{upstreamDesc("resumptions", "Connections to an upstream that resumed a TLS session."), func(s upstream.Stats) uint64 { return s.Resumed }},
	{upstreamDesc("lost_connections", "Connections to an upstream that broke while an answer was due."), func(s upstream.Stats) uint64 { return s.Lost }},
}

// Gauges of an upstream. One that is asked for several domains is as good as it
// is for the worst of them.
var (
	usableDesc = prometheus.NewDesc("kinward_upstream_usable",
		"1 where an upstream answers, for all domains that it is asked for; 0 while others go first, or it is not used.", []string{"upstream"}, nil)
	loopingDesc = prometheus.NewDesc("kinward_upstream_looping",
		"1 where an upstream leads back to Kinward, for a domain that it is asked for, and is not used for that.", []string{"upstream"}, nil)
	srttDesc = prometheus.NewDesc("kinward_upstream_srtt_seconds",
		"The smoothed time (RFC 6298) that an upstream takes to answer, by which upstreams are chosen; absent before the first answer.", []string{"upstream"}, nil)
)

func upstreamDesc(what, help string) *prometheus.Desc {
	return prometheus.NewDesc("kinward_upstream_"+what+"_total", help, []string{"upstream"}, nil)
}

// Describe implements prometheus.Collector.
func (c *connectionCollector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range connectionMetrics {
		to <- m.desc
	}
	to <- usableDesc
	to <- loopingDesc
	to <- srttDesc
}

// Collect implements prometheus.Collector.
func (c *connectionCollector) Collect(to chan<- prometheus.Metric) {
	set := c.s.settings.Load()
	if set == nil {
		return
	}
	type sum struct {
		stats           upstream.Stats
		usable, looping float64
		srtt            int64
	}
	sums := map[string]*sum{} // a server that is asked for several domains is one series
	for _, p := range set.all {
		of := sums[p.label]
		if of == nil {
			of = &sum{usable: 1}
			sums[p.label] = of
		}
		of.stats = of.stats.Plus(p.client.Stats())
		if h := p.health(); !h.Usable {
			of.usable = 0
			if h.Looping {
				of.looping = 1
			}
		}
		of.srtt = max(of.srtt, p.latency.srtt.Load())
	}
	for name, of := range sums {
		for _, m := range connectionMetrics {
			to <- prometheus.MustNewConstMetric(m.desc, prometheus.CounterValue, float64(m.value(of.stats)), name)
		}
		to <- prometheus.MustNewConstMetric(usableDesc, prometheus.GaugeValue, of.usable, name)
		to <- prometheus.MustNewConstMetric(loopingDesc, prometheus.GaugeValue, of.looping, name)
		if of.srtt > 0 {
			to <- prometheus.MustNewConstMetric(srttDesc, prometheus.GaugeValue, time.Duration(of.srtt).Seconds(), name)
		}
	}
}
