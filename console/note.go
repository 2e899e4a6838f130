package console

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"
)

const noteCookie = "note"

// note has the next page say a text, once: v.note("children.saved", "Name",
// name). It travels in a cookie that holds the text's key and what is put in,
// sealed by this process, so that nobody has the console say something else.
func (v *visit) note(key string, pairs ...any) {
	b, err := json.Marshal(append([]any{key}, pairs...))
	if err != nil || len(b) > 1<<10 {
		return // the change is made all the same, and the page shows it
	}
	sealed := append(v.server.noteSeal(b), b...)
	v.setCookie(noteCookie, base64.RawURLEncoding.EncodeToString(sealed), time.Minute)
}

// Note is what the last change said, once.
func (v *visit) Note() string {
	value := v.cookie(noteCookie)
	if value == "" {
		return ""
	}
	v.setCookie(noteCookie, "", -1)
	b, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || len(b) < sha256.Size || !hmac.Equal(b[:sha256.Size], v.server.noteSeal(b[sha256.Size:])) {
		return ""
	}
	var parts []any
	if json.Unmarshal(b[sha256.Size:], &parts) != nil || len(parts) == 0 {
		return ""
	}
	key, _ := parts[0].(string)
	return v.lang.text(key, parts[1:]...)
}

func (s *Server) noteSeal(b []byte) []byte {
	m := hmac.New(sha256.New, s.noteKey[:])
	m.Write(b)
	return m.Sum(nil)
}
