package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// webServer answers health checks and metrics. With an empty address it does
// nothing.
type webServer struct {
	listener net.Listener
	server   *http.Server
	draining atomic.Bool // set at shutdown: no new questions, please
}

func listenHTTP(addr string, n *node, registry *prometheus.Registry) (*webServer, error) {
	w := &webServer{}
	if addr == "" {
		return w, nil
	}
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&stateCollector{n},
		&listsCollector{n},
	)
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, explainBindError(fmt.Errorf("listening for health and metrics (another address: --metrics ADDR): %w", err))
	}
	w.listener = l
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprintln(rw, "ok") })
	mux.HandleFunc("GET /readyz", func(rw http.ResponseWriter, r *http.Request) { w.ready(n, rw) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	if n.cfg.Pprof {
		addPprof(mux)
	}
	w.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
	return w, nil
}

// ready tells whether questions are welcome. Upstreams that are away do not
// make a node unready: it still blocks, and sending its clients elsewhere would
// not bring the upstreams back.
func (w *webServer) ready(n *node, rw http.ResponseWriter) {
	report := struct {
		Ready    bool   `json:"ready"`
		Why      string `json:"why,omitempty"`
		Names    int    `json:"names"`
		Families int    `json:"families"`
	}{Ready: true}
	if s := n.current.Load(); s != nil {
		report.Names, report.Families = s.Index.Names(), s.Directory.Families()
	}
	if w.draining.Load() {
		report.Ready, report.Why = false, "shutting down"
	}
	rw.Header().Set("Content-Type", "application/json")
	if !report.Ready {
		rw.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(rw).Encode(report) // the client may be gone
}

func (w *webServer) run() error {
	if w.listener == nil {
		return nil
	}
	if err := w.server.Serve(w.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving health and metrics: %w", err)
	}
	return nil
}

func (w *webServer) shutdown(ctx context.Context) error {
	if w.server == nil {
		return nil
	}
	return w.server.Shutdown(ctx)
}

func (w *webServer) addr() string {
	if w.listener == nil {
		return ""
	}
	return w.listener.Addr().String()
}

// stateCollector reports the index and the lists as they are when asked.
type stateCollector struct{ n *node }

var (
	descListEntries = prometheus.NewDesc("kinward_list_entries", "Entries that the index took from a list; 0 means that the list protects nobody.", []string{"list"}, nil)
	descListChecked = prometheus.NewDesc("kinward_list_checked_timestamp_seconds", "When the list was last found unchanged or fetched.", []string{"list"}, nil)
	descListProblem = prometheus.NewDesc("kinward_list_problem", "1 while the last update of a list failed, or its kept copy cannot be read.", []string{"list"}, nil)
	descIndexNames  = prometheus.NewDesc("kinward_index_names", "Names in the index.", nil, nil)
	descIndexBytes  = prometheus.NewDesc("kinward_index_bytes", "Memory of the index.", nil, nil)
	descBuild       = prometheus.NewDesc("kinward_build_info", "The version that runs; always 1.", []string{"version", "go_version"}, nil)
)

func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descListEntries, descListChecked, descListProblem, descIndexNames, descIndexBytes, descBuild} {
		ch <- d
	}
}

func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(descBuild, 1, version(), runtime.Version())
	s := c.n.current.Load()
	if s == nil {
		return
	}
	gauge(descIndexNames, float64(s.Index.Names()))
	gauge(descIndexBytes, float64(s.Index.Bytes()))
	for _, l := range c.n.listViews(s.Index) {
		gauge(descListEntries, float64(l.Entries), l.ID)
		problem := 0.0
		if l.Problem != "" {
			problem = 1
		}
		gauge(descListProblem, problem, l.ID)
		if !l.Checked.IsZero() {
			gauge(descListChecked, float64(l.Checked.Unix()), l.ID)
		}
	}
}
