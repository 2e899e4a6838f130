package console

import "time"

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

// Lang is the page's language, for its html element.
func (v *visit) Lang() string { return v.lang.tag }
