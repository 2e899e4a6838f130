package resolver

import (
	"runtime"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"kinward/blocklists"
	"kinward/policy"
)

// lane is what one loop counts of every question. It has cache lines of its own,
// so that loops on several cores do not wait for each other to count.
type lane struct {
	_            [64]byte
	queries      [numTransports][numOutcomes]atomic.Uint64
	verdicts     [policy.Block + 1][policy.NumReasons][blocklists.NumCategories]atomic.Uint64
	hits, misses atomic.Uint64 // of the cache
	_            [64]byte
}

// lanes are all of them, exported as their sum. The first is for everybody who
// has none.
type lanes []lane

func newLanes() lanes { return make(lanes, 1+runtime.GOMAXPROCS(0)) }

// of returns the lane of the ith of the loops.
func (l lanes) of(i int) *lane { return &l[1+i%(len(l)-1)] }

// count adds a question that has its answer, or gets none. What only a day's count
// may tell, and who asks for help, must not be told to the minute by whoever reads
// the metrics of one home: the first has no category here, the second looks like
// any allowed name.
func (l *lane) count(q *query) {
	l.queries[q.via][q.outcome].Add(1)
	if q.fetch.qtype == 0 { // it did not come as far as a verdict
		return
	}
	reason, category := q.verdict.Reason, q.verdict.Label.Category
	if reason == policy.ByHelp {
		reason, category = policy.ByDefault, blocklists.NoCategory
	}
	if q.verdict.Keep == policy.KeepCount {
		category = blocklists.NoCategory
	}
	l.verdicts[q.verdict.Action][reason][category].Add(1)
}

func (l lanes) sum(of func(*lane) *atomic.Uint64) (n uint64) {
	for i := range l {
		n += of(&l[i]).Load()
	}
	return n
}

func (l lanes) hits() uint64   { return l.sum(func(l *lane) *atomic.Uint64 { return &l.hits }) }
func (l lanes) misses() uint64 { return l.sum(func(l *lane) *atomic.Uint64 { return &l.misses }) }

var (
	queriesDesc  = prometheus.NewDesc("kinward_queries_total", "Questions received, by transport and by what became of them.", []string{"transport", "outcome"}, nil)
	verdictsDesc = prometheus.NewDesc("kinward_verdicts_total", "Questions decided, by what was decided, by the step that settled it, "+
		"and by category, which is none where nothing is known of the name or the family only has it counted.", []string{"verdict", "reason", "category"}, nil)
	hitsDesc   = prometheus.NewDesc("kinward_cache_hits_total", "Questions answered from the cache.", nil, nil)
	missesDesc = prometheus.NewDesc("kinward_cache_misses_total", "Questions that the cache had no answer to.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (l lanes) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{queriesDesc, verdictsDesc, hitsDesc, missesDesc} {
		to <- d
	}
}

// Collect implements [prometheus.Collector]. There are more kinds of verdicts than
// ever come up, so a series begins with its first one.
func (l lanes) Collect(to chan<- prometheus.Metric) {
	send := func(d *prometheus.Desc, n uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	for t := range numTransports {
		for o := range numOutcomes {
			send(queriesDesc, l.sum(func(l *lane) *atomic.Uint64 { return &l.queries[t][o] }), transportNames[t], outcomeNames[o])
		}
	}
	for a := range policy.Block + 1 {
		for r := range policy.NumReasons {
			for c := range blocklists.NumCategories {
				if n := l.sum(func(l *lane) *atomic.Uint64 { return &l.verdicts[a][r][c] }); n > 0 {
					send(verdictsDesc, n, a.String(), r.String(), c.String())
				}
			}
		}
	}
	send(hitsDesc, l.hits())
	send(missesDesc, l.misses())
}
