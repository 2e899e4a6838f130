package console

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"time"
)

// staticRoutes serves the files of static/ under /static/, to whoever asks: they
// hold nothing of any family.
func (s *Server) staticRoutes() []route {
	return []route{{"GET /static/{file}", anyone, serveStatic}}
}

func serveStatic(v *visit) error {
	name := path.Base(v.request.PathValue("file"))
	b, err := fs.ReadFile(files, "static/"+name)
	if err != nil {
		return &Refusal{Kind: NotFound}
	}
	v.file(name, b)
	return nil
}

// file answers with what is the same for everybody.
func (v *visit) file(name string, b []byte) {
	sum := sha256.Sum256(b)
	v.w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
	v.w.Header().Set("Cache-Control", "no-cache") // kept, and asked for each time whether it is still so
	http.ServeContent(v.w, v.request, name, time.Time{}, bytes.NewReader(b))
}
