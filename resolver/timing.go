package resolver

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// sampleEvery is of how many questions, in the mean, one has its stages timed.
// A clock costs about as much as the cheaper stages, so the others have none.
const sampleEvery = 64

// namedStage is a stage with the name that its time is exported under.
type namedStage struct {
	name string
	do   stage
}

// way is one half of the way of a query, with what is measured on it.
type way struct {
	stages []stage
	timed  []stage // the same, for a question whose stages are timed
	always bool    // every answer is timed: it had to wait, so a clock costs nothing beside
	took   answerTimes
}

// newWay makes a way of stages. name is its label in metrics.
func (s *Server) newWay(name string, always bool, stages []namedStage) *way {
	w := &way{always: always, took: answerTimes{vec: s.metrics.answerSeconds, way: name}}
	for _, st := range stages {
		w.stages = append(w.stages, st.do)
		w.timed = append(w.timed, s.timed(st))
	}
	return w
}

// timed returns the stage with a clock around it.
func (s *Server) timed(st namedStage) stage {
	seconds := s.metrics.stageSeconds.WithLabelValues(st.name)
	return func(ctx context.Context, q *query) step {
		began := s.now()
		next := st.do(ctx, q)
		seconds.Observe(s.now().Sub(began).Seconds())
		return next
	}
}

// sample decides whether a question's stages are timed: at random, so that no
// rhythm of the questions hides some of them, and without anything shared.
func (s *Server) sample() bool { return rand.Uint32N(s.sampleEvery) == 0 }

// answerTimes measures how long answers took on a way. A series begins with its
// first answer, since most outcomes belong to one of the ways.
type answerTimes struct {
	vec      *prometheus.HistogramVec
	way      string
	children [numOutcomes]atomic.Pointer[prometheus.Observer]
}

func (a *answerTimes) observe(o outcome, d time.Duration) {
	child := a.children[o].Load()
	if child == nil { // two that meet here get the same child
		c := a.vec.WithLabelValues(outcomeNames[o], a.way)
		child = &c
		a.children[o].Store(child)
	}
	(*child).Observe(d.Seconds())
}

// histogramVec makes a histogram that is exported twice: with exact, native
// buckets, for scrapers that ask for them (in the protobuf format), and with a
// few classic ones for the others.
func histogramVec(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1, // a bucket is at most a tenth wider than the one before
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}, labels)
}
