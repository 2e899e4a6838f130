package journal

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"kinward/journal/spool"
)

// metrics never carry a family, a profile, a device or a name.
type metrics struct {
	merged, quiet, counted, unkept prometheus.Counter
	lostStopped                    prometheus.Counter

	incidents, closedEarly, storeErrors prometheus.Counter
	openNow, unwritten                  prometheus.Gauge
}

const (
	lostName = "kinward_journal_lost_total"
	lostHelp = "Attempts that could not be kept, by reason."
)

// outcomes and reasons are label values, resolved once: the hot path must not
// look them up.
func newMetrics(r prometheus.Registerer, s *spool.Spool) (*metrics, error) {
	attempts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kinward_journal_attempts_total",
		Help: "Attempts read from the spool, by what became of them.",
	}, []string{"outcome"})
	lost := func(reason string, f func(spool.Stats) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: lostName, Help: lostHelp, ConstLabels: prometheus.Labels{"reason": reason},
		}, func() float64 { return float64(f(s.Stats())) })
	}
	spooled := func(name, help string, f func(spool.Stats) uint64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(f(s.Stats())) })
	}
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
		lostStopped: prometheus.NewCounter(prometheus.CounterOpts{Name: lostName, Help: lostHelp, ConstLabels: prometheus.Labels{"reason": "stopped"}}),

		incidents:   counter("kinward_journal_incidents_total", "Incidents opened."),
		closedEarly: counter("kinward_journal_closed_early_total", "Incidents ended before their time because too many were open."),
		storeErrors: counter("kinward_journal_store_errors_total", "Batches that the store did not take."),
		openNow:     gauge("kinward_journal_open_incidents", "Incidents that can still grow."),
		unwritten:   gauge("kinward_journal_unwritten_incidents", "Incidents with changes that are not in the store yet."),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		lost("ring full", func(s spool.Stats) uint64 { return s.Full }),
		lost("spool full", func(s spool.Stats) uint64 { return s.Shed }),
		lost("torn", func(s spool.Stats) uint64 { return s.Torn }),
		spooled("kinward_journal_ring_bytes", "Size of the ring that takes attempts.", func(s spool.Stats) uint64 { return s.RingBytes }),
		spooled("kinward_journal_ring_used_bytes", "What is in the ring and not in the spool yet.", func(s spool.Stats) uint64 { return s.RingUsed }),
		spooled("kinward_journal_spool_bytes", "What segments hold that the store does not have yet.", func(s spool.Stats) uint64 { return s.DiskBytes }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "kinward_journal_spool_errors_total", Help: "Writes and syncs of the spool that failed."},
			func() float64 { return float64(s.Stats().Errors) }),
		attempts, m.lostStopped, m.incidents, m.closedEarly, m.storeErrors, m.openNow, m.unwritten,
	} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return m, nil
}
