package signals

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"kinward/policy"
)

// metrics never carry a family, a profile, a device or a name.
type metrics struct {
	kinds           map[string]prometheus.Counter
	followed        prometheus.Counter
	errors, dropped prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	written := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kinward_signals_total",
		Help: "Signals told, by kind; those of a repeated look at the same incidents included.",
	}, []string{"kind"})
	m := &metrics{
		kinds:    map[string]prometheus.Counter{},
		followed: prometheus.NewCounter(prometheus.CounterOpts{Name: "kinward_signals_followed_total", Help: "Incidents that were looked at, once for each time that they changed."}),
		errors:   prometheus.NewCounter(prometheus.CounterOpts{Name: "kinward_signals_store_errors_total", Help: "Times that signals could not be read or written."}),
		dropped:  prometheus.NewCounter(prometheus.CounterOpts{Name: "kinward_signals_tunnels_dropped_total", Help: "Tunnels that were found faster than they could be told."}),
	}
	for _, kind := range policy.SignalKinds() {
		m.kinds[kind] = written.WithLabelValues(kind)
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{written, m.followed, m.errors, m.dropped} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("registering metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) told(kind string) {
	if c := m.kinds[kind]; c != nil {
		c.Inc()
	}
}
