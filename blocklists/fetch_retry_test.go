package blocklists

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// waits records the pauses of a fetch and does not wait.
type waits []time.Duration

func (w *waits) sleep(ctx context.Context, d time.Duration) error {
	*w = append(*w, d)
	return ctx.Err()
}

func TestFetch_triesAgain(t *testing.T) {
	list := manyNames(100)
	for _, tt := range []struct {
		name  string
		fail  http.HandlerFunc // answers the first two times
		asked int32
		want  error
	}{
		{"a server in trouble", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }, 3, nil},
		{"a cut connection", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 3, nil},
		{"a cut body without an ETag", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99999")
			io.WriteString(w, list[:500])
		}, 3, nil},
		{"too many questions", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) }, 3, nil},
		{"a list that is gone is not asked for again", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, 1, ErrBadStatus},
		{"nor a page", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, 1, ErrWebPage},
		{"nor a bomb", func(w http.ResponseWriter, _ *http.Request) {
			w.Write(gzipped(t, strings.Repeat("a.example\n", 400_000)))
		}, 1, ErrBomb},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var asked atomic.Int32
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if asked.Add(1) <= 2 {
					tt.fail(w, r)
					return
				}
				io.WriteString(w, list)
			})
			var out textSink
			_, err := testFetcher(FetchOptions{}).Fetch(t.Context(), from(url), &out)
			if !errors.Is(err, tt.want) || asked.Load() != tt.asked || err == nil && out.String() != list {
				t.Errorf("got %v after %d questions", err, asked.Load())
			}
		})
	}
}

func TestFetch_waitsLongerEachTime(t *testing.T) {
	for _, tt := range []struct {
		name   string
		random float64
		after  string
		want   waits
	}{
		{"the shortest", 0, "", waits{1500 * time.Millisecond, 3 * time.Second, 6 * time.Second}},
		{"the longest", 0.9999999999, "", waits{2500 * time.Millisecond, 5 * time.Second, 10 * time.Second}},
		{"as the server asks", 0, "20", waits{20 * time.Second, 20 * time.Second, 20 * time.Second}},
		{"but not for ever", 0, "86400", waits{time.Minute, time.Minute, time.Minute}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", tt.after)
				w.WriteHeader(503)
			})
			var got waits
			var notes []string
			q := from(url)
			q.Progress = func(e Event) { notes = append(notes, e.Note) }
			_, err := testFetcher(FetchOptions{
				Limits: Limits{Tries: 4}, Sleep: got.sleep, Random: func() float64 { return tt.random },
			}).Fetch(t.Context(), q, &textSink{})
			for i := range got {
				got[i] = got[i].Round(time.Millisecond)
			}
			if !errors.Is(err, ErrBadStatus) || !slices.Equal(got, tt.want) {
				t.Errorf("waited %v, want %v; %v", got, tt.want, err)
			}
			if len(notes) != 3 || !strings.Contains(notes[0], "retrying in "+tt.want[0].String()) || !strings.Contains(notes[0], "503") {
				t.Errorf("notes %q", notes)
			}
		})
	}
}

func TestFetch_triesTheMirrors(t *testing.T) {
	list := manyNames(100)
	good := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != "" {
			t.Error("the mirror is told another server's ETag")
		}
		io.WriteString(w, list)
	})
	file := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(file, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, first := range map[string]http.HandlerFunc{
		"gone":      http.NotFound,
		"trouble":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"page":      sendText("<!doctype html>"),
		"judged":    sendText("a.example\ncom\n"),
		"unchanged": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
	} {
		for _, last := range []string{good, file} {
			t.Run(name, func(t *testing.T) {
				bad := serve(t, first)
				out := textSink{finish: func(text string) error {
					if strings.Contains(text, "\ncom\n") {
						return fmt.Errorf("reading: %w", ErrBlocksTLD)
					}
					return nil
				}}
				var notes []string
				q := Request{
					Locations: []string{strings.Replace(bad, "//", "//me:secret@", 1) + "/l?key=hidden", last},
					Progress:  func(e Event) { notes = append(notes, e.Note) },
				}
				q.Validators = Validators{ETag: `"1"`, From: q.Locations[0]}
				got, err := testFetcher(FetchOptions{}).Fetch(t.Context(), q, &out)
				if err != nil || out.String() != list || got.From != last {
					t.Fatalf("got %+v, %v", got, err)
				}
				told := strings.Join(notes, "\n")
				if !strings.Contains(told, "(place 2 of 2)") || strings.Contains(told, "secret") || strings.Contains(told, "hidden") {
					t.Errorf("notes %q", told)
				}
			})
		}
	}
	t.Run("all fail", func(t *testing.T) {
		q := Request{Locations: []string{serve(t, http.NotFound), serve(t, sendText("<html>"))}}
		_, err := testFetcher(FetchOptions{}).Fetch(t.Context(), q, &textSink{})
		if !errors.Is(err, ErrBadStatus) || !errors.Is(err, ErrWebPage) || !strings.Contains(err.Error(), q.Locations[0]) || !strings.Contains(err.Error(), q.Locations[1]) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a sink in trouble of its own ends it", func(t *testing.T) {
		full := errors.New("disk full")
		out := textSink{finish: func(string) error { return full }}
		asked := false
		q := Request{Locations: []string{good, serve(t, func(http.ResponseWriter, *http.Request) { asked = true })}}
		if _, err := testFetcher(FetchOptions{}).Fetch(t.Context(), q, &out); !errors.Is(err, full) || asked {
			t.Errorf("got %v, asked the mirror: %v", err, asked)
		}
	})
}

// cutServer sends a list in pieces: each answer ends after so many bytes.
type cutServer struct {
	list  string
	piece int
	etag  func(answer int) string
	rest  func(w http.ResponseWriter, r *http.Request, at int) // answers a Range; nil: as it should be
	asked int
	seen  []string // Range headers
}

func (s *cutServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked++
	if tag := s.etag(s.asked); tag != "" {
		w.Header().Set("ETag", tag)
	}
	at := 0
	if v := r.Header.Get("Range"); v != "" {
		s.seen = append(s.seen, v)
		fmt.Sscanf(v, "bytes=%d-", &at)
		if s.rest != nil {
			s.rest(w, r, at)
			return
		}
		if r.Header.Get("If-Range") != s.etag(s.asked) {
			at = 0
		}
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(s.list)-at))
	if at > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, len(s.list)-1, len(s.list)))
		w.WriteHeader(http.StatusPartialContent)
	}
	io.WriteString(w, s.list[at:min(at+s.piece, len(s.list))])
}

func always(tag string) func(int) string { return func(int) string { return tag } }

func TestFetch_goesOnAfterACut(t *testing.T) {
	list := manyNames(2000)
	third := len(list)/3 + 1
	for _, tt := range []struct {
		name   string
		server cutServer
		starts int
		want   error
	}{
		{"a server that can", cutServer{piece: third, etag: always(`"1"`)}, 1, nil},
		{"many cuts", cutServer{piece: len(list)/15 + 1, etag: always(`"1"`)}, 1, nil},
		{"more cuts than that", cutServer{piece: len(list) / 100, etag: always(`"1"`)}, 3, ErrTruncated},
		{"a weak ETag proves nothing", cutServer{piece: third, etag: always(`W/"1"`)}, 3, ErrTruncated},
		{"no ETag", cutServer{piece: third, etag: always("")}, 3, ErrTruncated},
		{"a server that sends all of it again", cutServer{
			piece: third, etag: always(`"1"`),
			rest: func(w http.ResponseWriter, _ *http.Request, _ int) { io.WriteString(w, list) },
		}, 3, errChanged},
		{"another version each time", cutServer{piece: third, etag: func(n int) string { return fmt.Sprintf(`"%d"`, n) }}, 3, errChanged},
		{"another version in its place, in spite of If-Range", cutServer{
			piece: third, etag: always(`"1"`),
			rest: func(w http.ResponseWriter, _ *http.Request, at int) {
				w.Header().Set("ETag", `"2"`)
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, len(list)-1, len(list)))
				w.WriteHeader(206)
				io.WriteString(w, list[at:])
			},
		}, 3, errChanged},
		{"another part than asked for", cutServer{
			piece: third, etag: always(`"1"`),
			rest: func(w http.ResponseWriter, _ *http.Request, at int) {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at+1, len(list)-1, len(list)))
				w.WriteHeader(206)
				io.WriteString(w, list[at+1:])
			},
		}, 3, errChanged},
		{"another size", cutServer{
			piece: third, etag: always(`"1"`),
			rest: func(w http.ResponseWriter, _ *http.Request, at int) {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, len(list), len(list)+1))
				w.WriteHeader(206)
				io.WriteString(w, list[at:]+"x")
			},
		}, 3, errChanged},
		{"no such part", cutServer{
			piece: third, etag: always(`"1"`),
			rest: func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(416) },
		}, 3, errChanged},
		{"trouble for ever after", cutServer{
			piece: third, etag: always(`"1"`),
			rest: func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(503) },
		}, 3, ErrBadStatus},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &tt.server
			s.list = list
			var out textSink
			got, err := testFetcher(FetchOptions{}).Fetch(t.Context(), from(serve(t, s.ServeHTTP)), &out)
			if !errors.Is(err, tt.want) || out.starts != tt.starts {
				t.Fatalf("got %v, %d starts; want %v, %d; ranges %q", err, out.starts, tt.want, tt.starts, s.seen)
			}
			if err == nil && (out.String() != list || got.Bytes != int64(len(list)) || len(s.seen) == 0) {
				t.Errorf("%d bytes of %d came, ranges %q", out.Len(), len(list), s.seen)
			}
		})
	}
}

func TestFetch_goesOnWithinGzip(t *testing.T) {
	list := manyNames(2000)
	packed := string(gzipped(t, list))
	s := &cutServer{list: packed, piece: len(packed)/3 + 1, etag: always(`"1"`)}
	var out textSink
	if _, err := testFetcher(FetchOptions{}).Fetch(t.Context(), from(serve(t, s.ServeHTTP)), &out); err != nil || out.String() != list || len(s.seen) != 2 {
		t.Errorf("got %v, %d bytes of %d, ranges %q", err, out.Len(), len(list), s.seen)
	}
	// The rest of something else is found by gzip's checksum.
	other := gzipped(t, manyNames(2001))
	s = &cutServer{list: packed, piece: len(packed)/3 + 1, etag: always(`"1"`)}
	s.rest = func(w http.ResponseWriter, _ *http.Request, at int) {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", at, len(packed)-1, len(packed)))
		w.WriteHeader(206)
		w.Write(other[at:][:len(packed)-at])
	}
	if _, err := testFetcher(FetchOptions{}).Fetch(t.Context(), from(serve(t, s.ServeHTTP)), &out); !errors.Is(err, ErrTruncated) {
		t.Errorf("got %v", err)
	}
}

// TestFetch_endlessBody: neither a body without an end nor one that drips for
// ever keeps an update.
func TestFetch_endlessBody(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		for r.Context().Err() == nil {
			io.WriteString(w, manyNames(100))
		}
	})
	start := time.Now()
	if _, err := testFetcher(FetchOptions{Limits: Limits{Body: 1 << 20}}).Fetch(t.Context(), from(url), &textSink{}); !errors.Is(err, ErrListTooLarge) {
		t.Errorf("endless: got %v", err)
	}
	url = serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Content-Length", "100000")
		for r.Context().Err() == nil {
			io.WriteString(w, "a")
			w.(http.Flusher).Flush()
			time.Sleep(time.Millisecond)
		}
	})
	if _, err := testFetcher(FetchOptions{Limits: Limits{Time: 100 * time.Millisecond}}).Fetch(t.Context(), from(url), &textSink{}); !errors.Is(err, ErrTimeout) {
		t.Errorf("a drip: got %v", err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestRedacted(t *testing.T) {
	for in, want := range map[string]string{
		"https://a.example/list":            "https://a.example/list",
		"https://token@a.example/list":      "https://***@a.example/list",
		"https://me:pw@a.example/l?k=v#x":   "https://***@a.example/l?***",
		"https://a.example/list?key=secret": "https://a.example/list?***",
		"/srv/list":                         "/srv/list",
		"https://me:p%ZZ@a.example/":        "an address that cannot be read",
	} {
		if got := redacted(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

func FuzzHeaders(f *testing.F) {
	for _, s := range []string{"bytes 7-9/10", "bytes 7-9/*", "bytes */10", "! Expires: 4 days", "# expires : 12h", "bytes -1-2/3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if first, total, err := contentRange(s); err == nil && (first < 0 || total < -1) {
			t.Errorf("%q: %d of %d", s, first, total)
		}
		if d := expires([]byte(s)); d < 0 {
			t.Errorf("%q: %v", s, d)
		}
	})
}

func TestExpires(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"! Title: x\n! Expires: 4 days (update frequency)\n": 96 * time.Hour,
		"# Expires: 1 day\r\n":                               24 * time.Hour,
		"\xef\xbb\xbf! Expires: 12 hours\n":                  12 * time.Hour,
		"; expires: 2\n":                                     48 * time.Hour,
		"# Expires: 6h\n":                                    6 * time.Hour,
		"# Expires: Updated regularly\n":                     0,
		"expires: 5 days\n":                                  0,
		"a.example # Expires: 5 days\n":                      0,
		"":                                                   0,
	} {
		if got := expires([]byte(text)); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}
