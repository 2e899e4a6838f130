package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"sync"
	"time"
)

// staticFile is a file of static/, as it is and compressed.
type staticFile struct {
	plain, packed []byte // packed is nil where that is no smaller
	tag           string // begins the ETag of both
}

// staticFiles are the files of static/, compressed once.
var staticFiles = sync.OnceValues(func() (map[string]staticFile, error) {
	all := map[string]staticFile{}
	entries, err := fs.ReadDir(files, "static")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		b, err := fs.ReadFile(files, "static/"+e.Name())
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(b)
		f := staticFile{plain: b, tag: hex.EncodeToString(sum[:8])}
		var packed bytes.Buffer
		w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(b); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		if packed.Len() < len(b)*9/10 {
			f.packed = packed.Bytes()
		}
		all[e.Name()] = f
	}
	return all, nil
})

// staticRoutes serves the files of static/ under /static/, to whoever asks: they
// hold nothing of any family.
func (s *Server) staticRoutes() []route {
	return []route{
		{"GET /static/{file}", anyone, serveStatic},
		// Browsers ask for it where an answer is no page that names another.
		{"GET /favicon.ico", anyone, func(v *visit) error {
			http.Redirect(v.w, v.request, "/static/icon.svg", http.StatusFound)
			return nil
		}},
	}
}

func serveStatic(v *visit) error {
	name := path.Base(v.request.PathValue("file"))
	all, err := staticFiles()
	if err != nil {
		return err
	}
	f, ok := all[name]
	if !ok {
		return &Refusal{Kind: NotFound}
	}
	h, body, tag := v.w.Header(), f.plain, f.tag
	h.Set("Vary", "Accept-Encoding")
	if f.packed != nil && v.request.Header.Get("Range") == "" && acceptsGzip(v.request) {
		body, tag = f.packed, tag+"-gzip"
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", `"`+tag+`"`)
	h.Set("Cache-Control", "no-cache") // kept, and asked for each time whether it is still so
	http.ServeContent(v.w, v.request, name, time.Time{}, bytes.NewReader(body))
	return nil
}
