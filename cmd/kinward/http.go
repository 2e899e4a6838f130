package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
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
