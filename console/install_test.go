package console

import (
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"strings"
	"testing"
)

// TestInstall: what the manifest names is there, and as it says.
func TestInstall(t *testing.T) {
	s := pagesOf(t, noDesk{}, nil)
	for _, lang := range []string{"en", "de"} {
		w := s.call(Actor{}, lang, "GET", "/manifest.webmanifest", nil, installRoutes)
		var m struct {
			Name, Lang, Description string
			Icons                   []manifestIcon
		}
		if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil || m.Name != "Kinward" || m.Lang != lang || noText.MatchString(m.Description) || w.Header().Get("Content-Type") != "application/manifest+json" {
			t.Fatalf("%v, %+v, %v", err, m, w.Header())
		}
		for _, i := range m.Icons {
			if strings.HasSuffix(i.Src, ".svg") {
				if _, err := files.ReadFile(strings.TrimPrefix(i.Src, "/")); err != nil {
					t.Error(err)
				}
				continue
			}
			got := s.call(Actor{}, lang, "GET", i.Src, nil, installRoutes)
			img, err := png.Decode(got.Body)
			if err != nil {
				t.Errorf("%s: %v", i.Src, err)
				continue
			}
			c := img.Bounds().Dx()
			if want := fmt.Sprintf("%dx%d", c, img.Bounds().Dy()); i.Sizes != want {
				t.Errorf("%s is %s, the manifest says %s", i.Src, want, i.Sizes)
			}
			if at(img, c/8, c/8) || !at(img, c/2, c/4) || at(img, c*29/64, c*38/64) || !at(img, c/2, c*50/64) || got.Code != http.StatusOK {
				t.Errorf("%s does not show the shield and its tick", i.Src)
			}
		}
	}
}

// at reports whether a pixel is white.
func at(img image.Image, x, y int) bool {
	r, g, b, _ := img.At(x, y).RGBA()
	return r == 0xffff && g == 0xffff && b == 0xffff
}

// TestServiceWorker: it is there for all pages, keeps none of them, and is read anew
// each time.
func TestServiceWorker(t *testing.T) {
	w := pagesOf(t, noDesk{}, nil).call(Actor{}, "en", "GET", "/sw.js", nil, installRoutes)
	text := w.Body.String()
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/javascript") || w.Header().Get("Cache-Control") != "no-cache" {
		t.Errorf("%d, %v", w.Code, w.Header())
	}
	for _, word := range []string{"caches", "'fetch'", "importScripts", "indexedDB"} {
		if strings.Contains(text, word) {
			t.Errorf("the service worker has %s", word)
		}
	}
}
