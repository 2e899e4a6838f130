package console

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
)

const noteCookie = "kinward-note"

// note has the next page say a text, once: v.note("children.saved", "Name",
// name). It travels in a cookie that holds the text's key and what is put in,
// sealed by this process, so that nobody has the console say something else.
func (v *visit) note(key string, pairs ...any) {
	b, err := json.Marshal(append([]any{key}, pairs...))
	if err != nil || len(b) > 1<<10 {
		return // the change is made all the same, and the page shows it
	}
	sealed := append(v.server.noteSeal(b), b...)
	v.setNote(base64.RawURLEncoding.EncodeToString(sealed), 60)
}

// Note is what the last change said, once.
func (v *visit) Note() string {
	c, err := v.request.Cookie(noteCookie)
	if err != nil {
		return ""
	}
	v.setNote("", -1)
	b, err := base64.RawURLEncoding.DecodeString(c.Value)
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

func (v *visit) setNote(value string, age int) {
	http.SetCookie(v.w, &http.Cookie{
		Name: noteCookie, Value: value, Path: "/", MaxAge: age, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: v.request.TLS != nil,
	})
}

func (s *Server) noteSeal(b []byte) []byte {
	m := hmac.New(sha256.New, s.noteKey[:])
	m.Write(b)
	return m.Sum(nil)
}

const languageCookie = "kinward-lang"

var languageRoutes = []route{
	{"POST /language", anyone, setLanguage},
}

// language is what the visitor chose, else what the browser asks for.
func (s *Server) language(q *http.Request) *textLanguage {
	if c, err := q.Cookie(languageCookie); err == nil {
		if l := s.languageOf(c.Value); l != nil {
			return l
		}
	}
	return s.texts.choose(q.Header.Get("Accept-Language"))
}

// languageOf returns the language of a tag; nil where the console has none such.
func (s *Server) languageOf(tag string) *textLanguage {
	for _, l := range s.texts.languages {
		if l.tag == tag {
			return l
		}
	}
	return nil
}

// keepLanguage has the browser ask for a language from now on.
func (v *visit) keepLanguage(l *textLanguage) {
	http.SetCookie(v.w, &http.Cookie{
		Name: languageCookie, Value: l.tag, Path: "/", MaxAge: 365 * 24 * 60 * 60, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: v.request.TLS != nil,
	})
}

// setLanguage keeps the language in this browser and goes back to the page.
func setLanguage(v *visit) error {
	if l := v.server.languageOf(v.request.PostFormValue("lang")); l != nil {
		v.keepLanguage(l)
	}
	return v.see(localPath(v.request.PostFormValue("back")))
}

// localPath returns p where it is an address of this server, "/" otherwise:
// neither another scheme nor //host, which browsers take for another server's.
func localPath(p string) string {
	if !strings.HasPrefix(p, "/") || strings.HasPrefix(p, "//") || strings.ContainsAny(p, "\\\r\n\t") {
		return "/"
	}
	return p
}

// LanguageName is a language in its own words.
type LanguageName struct{ Tag, Name string }

// Languages are those of the console.
func (v *visit) Languages() []LanguageName {
	var all []LanguageName
	for _, l := range v.server.texts.languages {
		all = append(all, LanguageName{l.tag, l.text("language.name")})
	}
	return all
}
