package main

import (
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
)

// addPprof serves Go's profiles, to programs of this machine alone, wherever mux
// is listened for: a profile costs time and tells how the program runs, and there
// is no password here. From elsewhere, ssh -L leads here.
func addPprof(mux *http.ServeMux) {
	for path, f := range map[string]http.HandlerFunc{
		"/debug/pprof/":        pprof.Index, // and the named ones below: heap, goroutine, …
		"/debug/pprof/cmdline": pprof.Cmdline,
		"/debug/pprof/profile": pprof.Profile,
		"/debug/pprof/symbol":  pprof.Symbol,
		"/debug/pprof/trace":   pprof.Trace,
	} {
		mux.Handle("GET "+path, onlyHere(f))
	}
}

// onlyHere refuses whoever does not come from this machine, or asks for it by
// another name than its own: a page in a browser here can send requests under the
// page's name (DNS rebinding), and a proxy here those of strangers.
func onlyHere(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !from.Addr().Unmap().IsLoopback() || !isLoopbackHost(r.Host) {
			http.Error(w, "profiles are for programs of this machine, at a loopback address", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopbackHost reports whether a request's host, with or without a port, is
// this machine to itself.
func isLoopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}
