package journal

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics never carry a family, a profile, a device or a name.
type metrics struct {
	merged, quiet, counted, unkept    prometheus.Counter
	lostQueue, lostStore, lostStopped prometheus.Counter

	incidents, closedEarly, storeErrors prometheus.Counter
	openNow, unwritten                  prometheus.Gauge
}

// outcomes and reasons are label values, resolved once: the hot path must not
// look them up.
func newMetrics(r prometheus.Registerer) (*metrics, error) {
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kinward_journal_attempts_total",
		Help: "Attempts taken from the queue, by what became of them.",
	}, []string{"outcome"})
	lost := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kinward_journal_lost_total",
		Help: "Attempts that could not be kept, by reason.",
	}, []string{"reason"})
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	m := &metrics{
		merged:      attempts.WithLabelValues("merged"),
		quiet:       attempts.WithLabelValues("quiet"),
		counted:     attempts.WithLabelValues("counted"),
		unkept:      attempts.WithLabelValues("not kept"),
		lostQueue:   lost.WithLabelValues("queue full"),
		lostStore:   lost.WithLabelValues("store away"),
		lostStopped: lost.WithLabelValues("stopped"),

		incidents:   counter("kinward_journal_incidents_total", "Incidents opened."),
		closedEarly: counter("kinward_journal_closed_early_total", "Incidents ended before their time because too many were open."),
		storeErrors: counter("kinward_journal_store_errors_total", "Batches that the store did not take."),
		openNow:     gauge("kinward_journal_open_incidents", "Incidents that can still grow."),
		unwritten:   gauge("kinward_journal_unwritten_incidents", "Incidents with changes that are not in the store yet."),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{attempts, lost, m.incidents, m.closedEarly, m.storeErrors, m.openNow, m.unwritten} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return m, nil
}
