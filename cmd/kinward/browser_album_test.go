//go:build screenshots

package main

import (
	"bytes"
	"html/template"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	cdnetwork "github.com/chromedp/cdproto/network"
	cdpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// album is a folder of pictures. They are taken as they come; index.html, which
// shows them all, is written at the end.
type album struct {
	t     *testing.T
	dir   string
	pages []string // in the order they were taken
}

// albumLooks are the pictures of each page.
var albumLooks = []struct {
	name   string
	lang   string
	size   size
	scheme string
}{
	{"phone-light", "en", phone, "light"},
	{"phone-dark", "en", phone, "dark"},
	{"desktop-light", "en", desktop, "light"},
	{"desktop-dark", "en", desktop, "dark"},
	{"phone-light-de", "de", phone, "light"},
	{"desktop-light-de", "de", desktop, "light"},
}

// speak has the window ask for pages in a language.
func (b *chrome) speak(lang string) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, cdnetwork.SetExtraHTTPHeaders, cdnetwork.SetExtraHTTPHeadersParams{Headers: cdnetwork.Headers{"Accept-Language": lang}}); err != nil {
		b.t.Fatal(err)
	}
}

// take pictures the page at a path, in each language.
func (a *album) take(b *chrome, name, path string) {
	a.t.Helper()
	began, lang := time.Now(), ""
	b.hasTime(path)
	for _, look := range albumLooks {
		if look.lang != lang {
			lang = look.lang
			b.speak(lang)
			b.as(look.size, look.scheme) // as the page finds it when it is opened
			b.open(path)
		}
		a.write(name+"-"+look.name, b.picture(look.size, look.scheme, 6000))
	}
	b.speak("en")
	a.pages = append(a.pages, name)
	a.t.Logf("%2d  %-40s %.1f s", len(a.pages), name, time.Since(began).Seconds())
}

func (a *album) write(name string, picture []byte) {
	a.t.Helper()
	must(a.t, os.WriteFile(filepath.Join(a.dir, name+".png"), picture, 0o644))
}

// unfolded is the page with everything open that can be opened, as a phone shows it.
func (a *album) unfolded(b *chrome, name, path string) {
	a.t.Helper()
	for _, lang := range []string{"en", "de"} {
		b.speak(lang)
		b.as(phone, "light")
		b.open(path)
		if evaluate[int](b, `(() => { const all = [...document.querySelectorAll("details")]; all.forEach((d) => { d.open = true; }); return all.length; })()`) == 0 {
			break
		}
		a.write(name+"-unfolded-"+lang, b.picture(phone, "light", 8000))
	}
	b.speak("en")
}

// portrait is what README.md shows of a page: the first screen of it, as sharp as
// phones are, in few colours, so that it is small.
func (a *album) portrait(b *chrome, name, path string, s size, scheme string) {
	a.t.Helper()
	b.as(s, scheme)
	b.open(path)
	evaluate[bool](b, `new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(() => r(true))))`)
	shot, err := chromedp.Call(b.ctx, cdpage.CaptureScreenshot, cdpage.CaptureScreenshotParams{Format: cdpage.CaptureScreenshotFormatPng})
	must(a.t, err)
	full, err := png.Decode(bytes.NewReader(shot.Data))
	must(a.t, err)
	var small bytes.Buffer
	must(a.t, (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, inFewColours(full)))
	a.write("readme-"+name, small.Bytes())
}

// inFewColours is a picture in its 256 most frequent colours.
func inFewColours(full image.Image) *image.Paletted {
	count, box := map[color.RGBA]int{}, full.Bounds()
	at := func(x, y int) color.RGBA {
		c := color.RGBAModel.Convert(full.At(x, y)).(color.RGBA)
		return color.RGBA{c.R | 3, c.G | 3, c.B | 3, 255} // what no eye tells apart; white stays white
	}
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			count[at(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int { return count[b] - count[a] })
	var palette color.Palette
	for _, c := range colours[:min(256, len(colours))] {
		palette = append(palette, c)
	}
	few, index := image.NewPaletted(box, palette), map[color.RGBA]uint8{}
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for x := box.Min.X; x < box.Max.X; x++ {
			c := at(x, y)
			i, known := index[c]
			if !known {
				i = uint8(palette.Index(c))
				index[c] = i
			}
			few.SetColorIndex(x, y, i)
		}
	}
	return few
}

// index shows all pictures on a page.
func (a *album) index() {
	a.t.Helper()
	var page bytes.Buffer
	must(a.t, template.Must(template.New("").Parse(`<!doctype html><html lang="en"><meta charset="utf-8"><title>Kinward, page by page</title>
<style>body{font:1rem system-ui;margin:1rem}div{display:flex;gap:1rem;align-items:start;overflow-x:auto}img{border:1px solid #999;height:30rem}</style>
{{range $p := .Pages}}<h2>{{$p}}</h2><div>{{range $.Looks}}<a href="{{$p}}-{{.}}.png"><img loading="lazy" src="{{$p}}-{{.}}.png" alt="{{$p}}, {{.}}"></a>{{end}}</div>
{{end}}`)).Execute(&page, map[string]any{"Pages": a.pages, "Looks": func() (names []string) {
		for _, l := range albumLooks {
			names = append(names, l.name)
		}
		return names
	}()}))
	must(a.t, os.WriteFile(filepath.Join(a.dir, "index.html"), page.Bytes(), 0o644))
}
