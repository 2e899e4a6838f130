package alerts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// deliver begins to send what is due, some at a time: a receiver that hangs keeps
// its own channel waiting and no other.
func (e *Engine) deliver(ctx context.Context, now time.Time) error {
	e.mu.Lock()
	before := maps.Clone(e.busy) // what is settled while the outbox is read may still stand in it
	e.mu.Unlock()
	due, err := e.c.Store.Outbox(ctx, now, batch)
	if err != nil {
		return err
	}
	for _, o := range due {
		e.mu.Lock()
		free := !before[o.Channel] && !e.busy[o.Channel] && len(e.busy) < atOnce
		if free {
			e.busy[o.Channel] = true
		}
		e.mu.Unlock()
		if !free {
			continue
		}
		e.sending.Go(func() {
			defer func() {
				e.mu.Lock()
				delete(e.busy, o.Channel)
				e.mu.Unlock()
				select {
				case e.wake <- struct{}{}: // another may wait for the place
				default:
				}
			}()
			e.try(ctx, o)
		})
	}
	return nil
}

// try sends a message and keeps what became of it.
func (e *Engine) try(ctx context.Context, o Outgoing) {
	kind, err := e.send(ctx, &o)
	if ctx.Err() != nil && err != nil {
		return // it is tried again at the next start, and this was no fault of anybody
	}
	now := e.c.Now()
	gone := errors.Is(err, ErrGone)
	o.Tries++
	switch {
	case err == nil:
		o.Error = ""
		if o.State == Waiting {
			o.State = Sent
			e.metrics.sent.WithLabelValues(string(kind)).Inc()
		}
	default:
		o.Error = oneLine(err.Error())
		e.metrics.failed.WithLabelValues(string(kind)).Inc()
		o.Next = now.Add(backoff(o.Tries))
		if gone || o.Next.Sub(o.Made) > expireAfter {
			o.State = Expired
			e.metrics.expired.Inc()
		}
		e.log.Warn("a message to a guardian could not be delivered", "channel", string(kind), "try", o.Tries, "given_up", o.State == Expired, "see", "kinward alerts")
	}
	// What was sent must be known even if the program ends now.
	kept, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	if err := e.c.Store.Settle(kept, o, now, gone); err != nil {
		e.log.Warn("it could not be kept what became of a message, which may come twice", "error", err)
	}
}

// backoff returns how long a message waits after so many tries.
func backoff(tries int) time.Duration {
	return min(firstBackoff<<min(tries-1, 20), maxBackoff)
}

func (e *Engine) send(ctx context.Context, o *Outgoing) (Kind, error) {
	f, err := e.family(ctx, o.Family)
	if err != nil {
		return "", err
	}
	c, ok := f.channel(o.Channel)
	if !ok {
		o.State = Dropped
		return "", nil
	}
	if f.home, err = e.c.Home(ctx, o.Family, c.Guardian); err != nil { // in the words of whoever reads it
		return c.Kind, err
	}
	l, worth, err := e.letter(ctx, f, c, *o)
	if err != nil || !worth {
		if !worth && err == nil {
			o.State = Dropped
		}
		return c.Kind, err
	}
	_, err = e.hand(ctx, f.home, c, Message{ID: o.ID, Made: o.Made, Urgent: o.Urgent, Letter: l})
	return c.Kind, err
}

// hand gives a message to the sender of its channel's kind.
func (e *Engine) hand(ctx context.Context, h Home, c Channel, m Message) (string, error) {
	s := e.c.Senders[c.Kind]
	if s == nil {
		return "", fmt.Errorf("sending by %s: %w", c.Kind, ErrNotSet)
	}
	if c.Settings.Brief {
		m.Letter = m.Letter.brief(h)
	}
	limited, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	return s.Send(limited, c, m)
}

// letter writes what a message says now; false where that is nothing any more.
func (e *Engine) letter(ctx context.Context, f family, c Channel, o Outgoing) (Letter, bool, error) {
	if o.Period != Immediate {
		d, err := e.digest(ctx, f, o.Family, c.Guardian, o.Period, o.From, o.Until)
		return d.letter(f.home, e.c.Link), true, err
	}
	told, total, err := e.c.Store.Tells(ctx, o.Family, o.ID, batch)
	if err != nil {
		return Letter{}, false, err
	}
	muted, err := e.muted(ctx, o.Family, c.Guardian)
	if err != nil {
		return Letter{}, false, err
	}
	var events []Event
	for _, t := range told {
		ev, err := e.c.Event(ctx, t.Family, t.Feed, t.Event)
		switch {
		case errors.Is(err, ErrForgotten):
			total--
		case err != nil:
			return Letter{}, false, err
		case muted(ev):
			total--
		case len(events) < mostTold:
			events = append(events, ev)
		}
	}
	slices.SortStableFunc(events, func(a, b Event) int { return a.At.Compare(b.At) })
	return alertLetter(f.home, events, total, e.c.Link), len(events) > 0, nil
}

// Test sends a test to a channel at once and returns what the other side said.
func (e *Engine) Test(ctx context.Context, c Channel) (string, error) {
	home, err := e.c.Home(ctx, c.Family, c.Guardian)
	if err != nil {
		return "", err
	}
	now := e.c.Now()
	return e.hand(ctx, home, c, Message{
		ID: messageID("test", c.Family, c.ID, fmt.Sprint(now.UnixNano())), Made: now,
		Letter: testLetter(home, now, e.c.Link),
	})
}

type metrics struct {
	sent, failed     *prometheus.CounterVec
	expired, delayed prometheus.Counter
	waiting          prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		sent:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kinward_alerts_sent_total", Help: "Messages to guardians that were delivered, by kind of channel."}, []string{"channel"}),
		failed:  prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kinward_alerts_failed_total", Help: "Tries to deliver a message that failed, by kind of channel."}, []string{"channel"}),
		expired: prometheus.NewCounter(prometheus.CounterOpts{Name: "kinward_alerts_expired_total", Help: "Messages to guardians that were given up."}),
		delayed: prometheus.NewCounter(prometheus.CounterOpts{Name: "kinward_alerts_delayed_total", Help: "Times that alerts had to wait because a guardian was told enough in an hour."}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "kinward_alerts_waiting", Help: "Messages to guardians that wait to be delivered."}),
	}
	for _, k := range Kinds { // so that a rate exists before the first
		m.sent.WithLabelValues(string(k))
		m.failed.WithLabelValues(string(k))
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.sent, m.failed, m.expired, m.delayed, m.waiting} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
