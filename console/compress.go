package console

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// minCompressed is the size from which compressing saves a packet.
const minCompressed = 1400

var gzipWriters = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed) // a page takes a fraction of a millisecond, and a third of its size
	if err != nil {
		panic(err) // the level is one of the package's own
	}
	return w
}}

// acceptsGzip reports whether a request takes compressed answers (RFC 9110
// §12.5.3).
func acceptsGzip(q *http.Request) bool {
	for _, part := range strings.Split(q.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name = strings.ToLower(strings.TrimSpace(name)); name == "gzip" || name == "x-gzip" {
			q, err := strconv.ParseFloat(strings.TrimPrefix(strings.TrimSpace(weight), "q="), 64)
			return weight == "" || err == nil && q > 0
		}
	}
	return false
}

// mayCompress reports whether an answer may be compressed. The size of a compressed
// page tells whether what was put into its address stands in it elsewhere, too
// (BREACH): who can have a browser open addresses of their making, and sees how
// much comes back, could guess at the page letter by letter. So what another site
// leads to comes as it is; so does what an old browser does not tell the origin of.
// A program's token comes along with nobody else's requests.
func (v *visit) mayCompress() bool {
	from := v.request.Header.Get("Sec-Fetch-Site")
	return v.token != nil || from == "same-origin" || from == "none" || strings.HasPrefix(v.request.URL.Path, apiPage)
}

// send answers with a body whose type is set, compressed where that is good.
func (v *visit) send(status int, body []byte) {
	h := v.w.Header()
	h.Add("Vary", "Accept-Encoding, Sec-Fetch-Site")
	if len(body) >= minCompressed && v.mayCompress() && acceptsGzip(v.request) {
		var b bytes.Buffer
		w := gzipWriters.Get().(*gzip.Writer)
		w.Reset(&b)
		_, err := w.Write(body)
		if end := w.Close(); err == nil && end == nil {
			h.Set("Content-Encoding", "gzip")
			body = b.Bytes()
		}
		gzipWriters.Put(w)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	v.w.WriteHeader(status)
	if v.request.Method != http.MethodHead {
		_, _ = v.w.Write(body) // whoever asked may be gone
	}
}
