package certs

import (
	"errors"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// warnings are the days before a certificate's end on which a person is warned,
// once each. Those that lie in the part of its life in which it is not even to be
// renewed yet are passed over: certificates of a week exist.
var warnings = []int{14, 7, 3, 1}

// warnEvery is how often the end is looked at.
const warnEvery = time.Hour

const day = 24 * time.Hour

// warn says that the certificate is about to end.
func (k *Keeper) warn() {
	c := k.current.Load()
	if c == nil {
		return
	}
	now := time.Now()
	left := c.Leaf.NotAfter.Sub(now)
	k.mu.Lock()
	defer k.mu.Unlock()
	if left <= 0 {
		if k.warned != -1 {
			k.warned = -1
			k.log.Error("the certificate has expired: devices away from home have no DNS", "names", c.Leaf.DNSNames,
				"expired", c.Leaf.NotAfter, "problem", k.status.Problem, "do", "kinward doctor")
		}
		return
	}
	if now.Before(renewalOf(c.Leaf)) {
		return
	}
	due := 0
	for _, d := range warnings {
		if left <= time.Duration(d)*day {
			due = d
		}
	}
	if due == 0 || k.warned != 0 && k.warned <= due {
		return
	}
	k.warned = due
	k.log.Warn("the certificate ends soon and was not renewed: devices away from home will have no DNS", "names", c.Leaf.DNSNames,
		"days", int(math.Ceil(left.Hours()/24)), "until", c.Leaf.NotAfter, "problem", k.status.Problem, "do", "kinward doctor")
}

type metrics struct{ renewals, failures prometheus.Counter }

func newMetrics(r prometheus.Registerer, k *Keeper) (*metrics, error) {
	m := &metrics{
		renewals: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kinward_certificate_renewals_total", Help: "Times that another certificate took the place of the one in force.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kinward_certificate_renewal_failures_total", Help: "Times that a certificate could not be had or read; the one in force was kept.",
		}),
	}
	if r == nil {
		return m, nil
	}
	left := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "kinward_certificate_remaining_seconds",
		Help: "How long the certificate in force still holds: divided by 86400, the days to its end. Below 0 it has expired; without a certificate it is NaN.",
	}, func() float64 {
		c := k.current.Load()
		if c == nil {
			return math.NaN()
		}
		return time.Until(c.Leaf.NotAfter).Seconds()
	})
	return m, errors.Join(r.Register(m.renewals), r.Register(m.failures), r.Register(left))
}
