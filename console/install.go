package console

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"io/fs"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// What lets a phone put the console beside its apps: the manifest (W3C Web App
// Manifest), icons, and a service worker, which shows notes and does nothing else.
// It keeps no page: pages tell of children, and a phone changes hands.

var installRoutes = []route{
	{"GET /manifest.webmanifest", anyone, manifest},
	{"GET /sw.js", anyone, serviceWorker},
	{"GET /icon-192.png", anyone, iconOf(192)},
	{"GET /icon-512.png", anyone, iconOf(512)},
}

type manifestIcon struct {
	Src     string `json:"src"`
	Sizes   string `json:"sizes"`
	Type    string `json:"type"`
	Purpose string `json:"purpose"`
}

func manifest(v *visit) error {
	icon := func(size string, kind string) manifestIcon {
		return manifestIcon{"/icon-" + size + ".png", size + "x" + size, "image/png", kind}
	}
	b, err := json.Marshal(struct {
		ID          string         `json:"id"`
		Name        string         `json:"name"`
		ShortName   string         `json:"short_name"`
		Description string         `json:"description"`
		Lang        string         `json:"lang"`
		Start       string         `json:"start_url"`
		Scope       string         `json:"scope"`
		Display     string         `json:"display"`
		Background  string         `json:"background_color"`
		Theme       string         `json:"theme_color"`
		Icons       []manifestIcon `json:"icons"`
	}{
		"/", "Kinward", "Kinward", v.lang.text("install.description"), v.lang.tag, "/", "/", "standalone", "#ffffff", "#0b6a5c",
		[]manifestIcon{
			icon("192", "any"), icon("512", "any"), icon("512", "maskable"),
			{"/static/icon.svg", "any", "image/svg+xml", "any"},
		},
	})
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "application/manifest+json")
	_, _ = v.w.Write(b) // the browser may be gone
	return nil
}

// serviceWorker stands at the root, so that it is there for all pages.
func serviceWorker(v *visit) error {
	b, err := fs.ReadFile(files, "static/sw.js")
	if err != nil {
		return err
	}
	v.file("sw.js", b)
	return nil
}

// file answers with what is the same for everybody.
func (v *visit) file(name string, b []byte) {
	sum := sha256.Sum256(b)
	v.w.Header().Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
	v.w.Header().Set("Cache-Control", "no-cache") // kept, and asked for each time whether it is still so
	http.ServeContent(v.w, v.request, name, time.Time{}, bytes.NewReader(b))
}

// iconOf serves the icon as a picture, for systems that take no drawing.
func iconOf(size int) func(*visit) error {
	draw := sync.OnceValues(func() ([]byte, error) {
		var b bytes.Buffer
		err := png.Encode(&b, drawIcon(size))
		return b.Bytes(), err
	})
	return func(v *visit) error {
		b, err := draw()
		if err != nil {
			return err
		}
		v.file("icon-"+strconv.Itoa(size)+".png", b)
		return nil
	}
}

// The icon is that of static/icon.svg, in its units: a shield and a tick on a
// ground that fills the square, so that a system may cut it to its own shape.
const iconUnits = 64

type point struct{ x, y float64 }

var (
	iconGround = color.RGBA{0x0b, 0x6a, 0x5c, 0xff}
	iconTick   = []point{{23, 32}, {29.5, 38.5}, {41, 25}}
	iconShield = func() []point {
		all := []point{{32, 11}, {14, 18}, {14, 30}}
		all = bezier(all, point{14, 42}, point{21.6, 50}, point{32, 54})
		all = bezier(all, point{42.4, 50}, point{50, 42}, point{50, 30})
		return append(all, point{50, 18})
	}()
)

// bezier goes on along a cubic curve.
func bezier(path []point, b, c, d point) []point {
	a := path[len(path)-1]
	for i := 1; i <= 16; i++ {
		t := float64(i) / 16
		u := 1 - t
		path = append(path, point{
			u*u*u*a.x + 3*u*u*t*b.x + 3*u*t*t*c.x + t*t*t*d.x,
			u*u*u*a.y + 3*u*u*t*b.y + 3*u*t*t*c.y + t*t*t*d.y,
		})
	}
	return path
}

func drawIcon(size int) image.Image {
	const fine = 3 // samples a side of each pixel
	img := image.NewPaletted(image.Rect(0, 0, size, size), shades())
	for y := range size {
		for x := range size {
			white := 0
			for s := range fine * fine {
				p := point{
					(float64(x) + (float64(s%fine)+.5)/fine) * iconUnits / float64(size),
					(float64(y) + (float64(s/fine)+.5)/fine) * iconUnits / float64(size),
				}
				if inside(iconShield, p) && !near(iconTick, p, 2.5) {
					white++
				}
			}
			img.SetColorIndex(x, y, uint8(white))
		}
	}
	return img
}

// shades are the ground, white, and the eight between.
func shades() (p color.Palette) {
	for i := range 10 {
		mix := func(c uint8) uint8 { return uint8(int(c) + (255-int(c))*i/9) }
		p = append(p, color.RGBA{mix(iconGround.R), mix(iconGround.G), mix(iconGround.B), 0xff})
	}
	return p
}

// inside reports whether p lies within a shape.
func inside(shape []point, p point) (in bool) {
	for i, a := range shape {
		b := shape[(i+1)%len(shape)]
		if (a.y > p.y) != (b.y > p.y) && p.x < (b.x-a.x)*(p.y-a.y)/(b.y-a.y)+a.x {
			in = !in
		}
	}
	return in
}

// near reports whether p lies within a distance of a line.
func near(line []point, p point, distance float64) bool {
	for i := range len(line) - 1 {
		a, b := line[i], line[i+1]
		dx, dy := b.x-a.x, b.y-a.y
		t := min(max(((p.x-a.x)*dx+(p.y-a.y)*dy)/(dx*dx+dy*dy), 0), 1)
		if math.Hypot(p.x-a.x-t*dx, p.y-a.y-t*dy) <= distance {
			return true
		}
	}
	return false
}
