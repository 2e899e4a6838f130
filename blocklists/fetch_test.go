package blocklists

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// gzipped returns s compressed.
func gzipped(t testing.TB, s string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// manyNames is a list of n names, two lines of which are never alike.
func manyNames(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "name-%d.site-%d.example\n", i*7919%100_003, i)
	}
	return b.String()
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// textSink keeps the plain text of a fetch.
type textSink struct {
	strings.Builder
	starts, finishes int
	finish           func(text string) error // judges; may be nil
}

func (s *textSink) Start() error {
	s.Reset()
	s.starts++
	return nil
}

func (s *textSink) Finish() error {
	s.finishes++
	if s.finish != nil {
		return s.finish(s.String())
	}
	return nil
}

// noWait takes the place of the waits between tries.
func noWait(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func testFetcher(o FetchOptions) *Fetcher {
	o.AllowPrivate = true
	if o.Sleep == nil {
		o.Sleep = noWait
	}
	return NewFetcher(o)
}

// from asks for a list at one place.
func from(location string) Request { return Request{Locations: []string{location}} }

func TestFetch_undoesGzip(t *testing.T) {
	list := manyNames(500)
	once := gzipped(t, list)
	for _, tt := range []struct {
		name     string
		body     []byte
		encoding string
	}{
		{"plain", []byte(list), ""},
		{"a .gz file", once, ""},
		{"in transport", once, "gzip"},
		{"a .gz file that the server also calls encoded", once, "x-gzip"},
		{"a .gz file compressed again in transport", gzipped(t, string(once)), "gzip"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if got := r.UserAgent(); got != "kinward/1.2" {
					t.Errorf("User-Agent %q", got)
				}
				if tt.encoding != "" {
					w.Header().Set("Content-Encoding", tt.encoding)
				}
				w.Header().Set("ETag", `"7"`)
				w.Header().Set("Content-Length", fmt.Sprint(len(tt.body)))
				w.Write(tt.body)
			})
			var out textSink
			var done, total int64
			q := from(url)
			q.Progress = func(e Event) { done, total = e.Done, e.Total }
			got, err := testFetcher(FetchOptions{Version: "1.2"}).Fetch(t.Context(), q, &out)
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != list || got.Bytes != int64(len(list)) || out.starts != 1 || out.finishes != 1 || got.Validators.ETag != `"7"` || len(got.SHA256) != 64 {
				t.Errorf("got %+v and %d bytes", got, out.Len())
			}
			if done != int64(len(tt.body)) || total != done {
				t.Errorf("progress ended at %d of %d, want %d", done, total, len(tt.body))
			}
		})
	}
}

func TestFetch_refuses(t *testing.T) {
	list := manyNames(5000)
	packed := gzipped(t, list)
	bomb := gzipped(t, strings.Repeat("a.example\n", 400_000))
	damaged := bytes.Clone(packed)
	damaged[len(damaged)-6] ^= 1 // in the checksum
	send := func(b []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.Write(b) }
	}
	for _, tt := range []struct {
		name    string
		want    error
		says    string
		limits  Limits
		handler http.HandlerFunc
	}{
		{"a page by its type", ErrWebPage, "raw or download", Limits{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "Text/HTML; charset=utf-8")
			io.WriteString(w, list)
		}},
		{"a page by its beginning", ErrWebPage, "<!doctype", Limits{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, "<!DOCTYPE html>")
		}},
		{"a bomb by its ratio", ErrBomb, "unpacking", Limits{}, send(bomb)},
		{"a bomb by its size", ErrBomb, "1,000,000", Limits{Inflated: 1_000_000, Ratio: 1 << 30}, send(bomb)},
		{"a bomb in a bomb", ErrBomb, "unpacking", Limits{}, send(gzipped(t, string(bomb)))},
		{"a body that is too large, as told", ErrListTooLarge, "1,000", Limits{Body: 1000}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(list)))
			io.WriteString(w, list)
		}},
		{"a body that is too large, untold", ErrListTooLarge, "1,000", Limits{Body: 1000}, func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			io.WriteString(w, list)
		}},
		{"a body shorter than told", ErrTruncated, "of 99,999 bytes", Limits{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99999")
			io.WriteString(w, list[:5000])
		}},
		{"cut gzip", ErrTruncated, "", Limits{}, send(packed[:len(packed)/2])},
		{"cut gzip at its very end", ErrTruncated, "", Limits{}, send(packed[:len(packed)-1])},
		{"a wrong gzip checksum", ErrTruncated, "", Limits{}, send(damaged)},
		{"rubbish behind gzip", ErrTruncated, "", Limits{}, send(append(bytes.Clone(packed), "rubbish"...))},
		{"an aborted chunked body", ErrTruncated, "", Limits{}, func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, list[:5000])
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}},
		{"not found", ErrBadStatus, "answer 404 Not Found", Limits{}, http.NotFound},
		{"no content", ErrBadStatus, "204", Limits{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }},
		{"not modified, unasked", ErrBadStatus, "304", Limits{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }},
		{"a redirect loop", ErrRedirects, "more than 5", Limits{}, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/again", http.StatusFound)
		}},
		{"a redirect to a file", ErrRedirects, "file:///etc/passwd", Limits{}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "file:///etc/passwd")
			w.WriteHeader(http.StatusFound)
		}},
		{"a zip file", ErrArchive, "zip", Limits{}, send([]byte("PK\x03\x04zip"))},
		{"zero bytes", ErrBinary, "", Limits{}, send([]byte("a.example\n\x00\x01"))},
		{"a cut tar.gz", ErrTruncated, "bytes came", Limits{}, send(gzipped(t, "domains"+strings.Repeat("\x00", 250)+"ustar\x00"))},
		{"an encoding nobody asked for", ErrBadStatus, `"br"`, Limits{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			io.WriteString(w, list)
		}},
		{"silence before the answer", ErrTimeout, "", Limits{Stall: 50 * time.Millisecond}, func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}},
		{"silence within the body", ErrTimeout, "no byte for 50ms", Limits{Stall: 50 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, list)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}},
		{"a drip", ErrTimeout, "not done after 100ms", Limits{Time: 100 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				io.WriteString(w, "a.example\n")
				w.(http.Flusher).Flush()
				time.Sleep(5 * time.Millisecond)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := serve(t, tt.handler)
			_, err := testFetcher(FetchOptions{Limits: tt.limits}).Fetch(t.Context(), from(url), &textSink{})
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v that says %q", err, tt.want, tt.says)
			}
			if err != nil && !strings.Contains(err.Error(), url) {
				t.Errorf("%v does not name %s", err, url)
			}
		})
	}
}

func TestFetch_notModified(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != `"1"` || r.Header.Get("If-Modified-Since") != "yesterday" {
			t.Errorf("headers %v", r.Header)
		}
		w.WriteHeader(http.StatusNotModified)
	})
	q := from(url)
	q.Validators = Validators{ETag: `"1"`, LastModified: "yesterday"}
	got, err := testFetcher(FetchOptions{}).Fetch(t.Context(), q, &textSink{})
	if err != nil || !got.NotModified || got.From != url {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestFetch_refusesPrivateAddresses(t *testing.T) {
	asked := false
	url := serve(t, func(http.ResponseWriter, *http.Request) { asked = true })
	_, err := NewFetcher(FetchOptions{}).Fetch(t.Context(), from(url), &textSink{})
	if !errors.Is(err, ErrPrivateAddress) || asked {
		t.Errorf("got %v, asked %v", err, asked)
	}
	url = strings.Replace(url, "127.0.0.1", "localhost", 1)
	if _, err = NewFetcher(FetchOptions{}).Fetch(t.Context(), from(url), &textSink{}); !errors.Is(err, ErrPrivateAddress) || asked {
		t.Errorf("by name: got %v, asked %v", err, asked)
	}
}

// TestFetch_checksAddressesOfRedirects: 127.0.0.1 stands for the internet here,
// 127.0.0.2 for a device at home.
func TestFetch_checksAddressesOfRedirects(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.2:0")
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Skip("this system has one loopback address only")
	}
	if err != nil {
		t.Fatal(err)
	}
	home := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the device was asked")
	})}}
	home.Start()
	t.Cleanup(home.Close)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, home.URL, http.StatusFound) })
	f := NewFetcher(FetchOptions{})
	f.refuse = func(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.2") }
	if _, err := f.Fetch(t.Context(), from(url), &textSink{}); !errors.Is(err, ErrPrivateAddress) {
		t.Errorf("got %v", err)
	}
}

func TestIsPublic(t *testing.T) {
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "172.15.0.1": true, "::ffff:8.8.8.8": true, "64:ff9b::808:808": true,
		"127.0.0.1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"100.64.0.1": false, "0.0.0.0": false, "0.1.2.3": false, "255.255.255.255": false, "224.0.0.1": false,
		"::": false, "::1": false, "fe80::1%eth0": false, "fd00::1": false, "ff02::1": false,
		"::ffff:192.168.1.1": false, "64:ff9b::c0a8:101": false, "2002:c0a8:101::1": false, "192.0.2.1": false,
		"::192.168.1.1": false,
	} {
		if got := IsPublic(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s: got %v", addr, got)
		}
	}
}

func TestFetch_files(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "list.txt.gz")
	if err := os.WriteFile(file, gzipped(t, "a.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, location := range []string{file, "file://" + file, "file://localhost" + file} {
		var out textSink
		if _, err := NewFetcher(FetchOptions{}).Fetch(t.Context(), from(location), &out); err != nil || out.String() != "a.example\n" {
			t.Errorf("%s: got %q, %v", location, out.String(), err)
		}
	}
	for _, location := range []string{"list.txt", "ftp://a.example/list", "file://host/list", "https://", "", dir, "http://a b/"} {
		if _, err := NewFetcher(FetchOptions{}).Fetch(t.Context(), from(location), &textSink{}); !errors.Is(err, ErrBadLocation) {
			t.Errorf("%q: got %v", location, err)
		}
	}
	if _, err := NewFetcher(FetchOptions{}).Fetch(t.Context(), from(file+"x"), &textSink{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: got %v", err)
	}
}

func TestFetch_hidesPasswords(t *testing.T) {
	url := strings.Replace(serve(t, http.NotFound), "http://", "http://me:secret@", 1)
	_, err := testFetcher(FetchOptions{}).Fetch(t.Context(), from(url), &textSink{})
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestFetch_endsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if _, err := testFetcher(FetchOptions{}).Fetch(ctx, from(url), &textSink{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestIDFromLocation(t *testing.T) {
	for location, want := range map[string]string{
		"https://a.example/Lists/porn.txt":                       "porn",
		"https://a.example/blacklists/dating/domains":            "dating-domains",
		"https://nsfw.a.example":                                 "nsfw-a-example",
		"https://a.example/":                                     "a-example",
		"https://a.example/gambling/hosts.txt.gz?x=1#y":          "gambling-hosts",
		"/var/lists/My Own_List.txt":                             "my-own-list",
		"file:///var/lists/own.hosts":                            "own",
		"https://a.example/pro.plus.txt":                         "pro-plus",
		"https://a.example/" + strings.Repeat("a-", 40) + ".txt": strings.Repeat("a-", 19) + "a",
		"": "",
	} {
		if got := idFromLocation(location); got != want {
			t.Errorf("%q: got %q, want %q", location, got, want)
		}
	}
}

func TestFetch_saysWhatToDoAboutAName(t *testing.T) {
	got := remedy(fmt.Errorf("dial tcp: %w", &net.DNSError{Err: "no such host", Name: "lists.exmaple.com", IsNotFound: true}))
	if !strings.Contains(got, "spelled right") {
		t.Errorf("of a name that is not found: %q", got)
	}
	if got := remedy(io.ErrUnexpectedEOF); got != "" {
		t.Errorf("of a download that was cut: %q", got)
	}
}
