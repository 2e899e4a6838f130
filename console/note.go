package console

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
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

const languageCookie = "lang"

var languageRoutes = []route{
	{"POST /language", anyone, setLanguage},
}

// language is what the visitor chose, else what the browser asks for.
func (v *visit) language() *textLanguage {
	if l := v.server.languageOf(v.cookie(languageCookie)); l != nil {
		return l
	}
	return v.server.texts.choose(v.request.Header.Get("Accept-Language"))
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
	v.setCookie(languageCookie, l.tag, 365*24*time.Hour)
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
