package console

import (
	"flag"
	"html"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden pages to testdata")

// sentences is what a page says: its title, its texts and the addresses of its
// links and forms, without the look and the frame of all pages, so that a change of
// the look alone changes no golden file.
func sentences(page string) string {
	page = strings.Join(regexp.MustCompile(`(?s)<title>.*?</title>|<main.*</main>`).FindAllString(page, -1), "\n")
	page = regexp.MustCompile(`(?s)<(style|script|svg)\b.*?</(style|script|svg)>`).ReplaceAllString(page, "")
	page = regexp.MustCompile(`<(?:a|form)\b[^>]*?\s(?:href|action)="([^"]*)"[^>]*>`).ReplaceAllString(page, "\n($1) ")
	page = regexp.MustCompile(`</?(title|h[1-6]|p|div|section|article|ul|ol|li|dl|dt|dd|form|table|tr|nav|main|header|footer|body|html|head|fieldset|legend|details|summary|button|label|option|br)\b[^>]*>`).ReplaceAllString(page, "\n")
	page = html.UnescapeString(regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, " "))
	var lines []string
	for line := range strings.Lines(page) {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// TestGoldenPages: what the main pages say, word by word, in each language. Read
// what `go test ./console -run GoldenPages -update` changes as a parent and a child.
func TestGoldenPages(t *testing.T) {
	blockPage := func(lang string) string {
		s := pagesOf(t, ofHome(), lea)
		q := httptest.NewRequest(http.MethodGet, "http://omegle.com/", nil)
		q.RemoteAddr = "192.168.1.31:5000"
		q.Header.Set("Accept-Language", lang)
		w := httptest.NewRecorder()
		(&BlockPage{server: s}).handler().ServeHTTP(w, q)
		return w.Body.String()
	}
	for name, page := range map[string]func(lang string) string{
		"today": func(lang string) string {
			return answer(t, aHome(), mother, lang, http.MethodGet, "/", nil).Body.String()
		},
		"incident": func(lang string) string {
			return answer(t, aHome(), mother, lang, http.MethodGet, "/incidents/"+someID, nil).Body.String()
		},
		"block": blockPage,
	} {
		for _, lang := range []string{"en", "de"} {
			t.Run(name+"-"+lang, func(t *testing.T) {
				got, path := sentences(page(lang)), filepath.Join("testdata", "pages", name+"-"+lang+".txt")
				if *update {
					if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(string(want), got); d != "" {
					t.Errorf("%s differs (-want +got; -update writes it):\n%s", path, d)
				}
			})
		}
	}
}
