package setup

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// QR is a text as a square of dark and light modules (ISO/IEC 18004).
type QR struct{ code *qr.Code }

// quiet is the light margin, in modules, without which scanners do not find a
// code (ISO/IEC 18004 §5.3.8).
const quiet = 4

// NewQR makes the code of a text. Its error correction (M, 15 %) bears a scratched
// print or a reflecting screen.
func NewQR(text string) (*QR, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return nil, fmt.Errorf("making a QR code of %d characters: %w", len(text), err)
	}
	return &QR{code}, nil
}

// PNG returns the code as an image.
func (q *QR) PNG() []byte { return q.code.PNG() }

// SVG returns the code as a drawing of one path, which prints at any size. alt
// says in words what it is.
func (q *QR) SVG(alt string) string {
	side := q.code.Size + 2*quiet
	var path strings.Builder
	for y := range q.code.Size {
		for x := 0; x < q.code.Size; x++ {
			run := 0
			for x+run < q.code.Size && q.code.Black(x+run, y) {
				run++
			}
			if run > 0 {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", x+quiet, y+quiet, run, run)
				x += run
			}
		}
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[1]d" role="img" aria-label="%[2]s" shape-rendering="crispEdges">`+
		"<title>%[2]s</title><rect width=\"%[1]d\" height=\"%[1]d\" fill=\"#fff\"/><path d=\"%[3]s\" fill=\"#000\"/></svg>\n", side, escapeXML(alt), path.String())
}

// Text returns the code for a terminal, two modules to a character. Colours are
// set outright, since a code that is light on dark is not read by all scanners.
func (q *QR) Text() string {
	const (
		begin = "\x1b[38;2;0;0;0;48;2;255;255;255m" // black on white
		end   = "\x1b[0m\n"
	)
	dark := func(x, y int) bool { return q.code.Black(x-quiet, y-quiet) } // false outside
	side := q.code.Size + 2*quiet
	var b strings.Builder
	for y := 0; y < side; y += 2 {
		b.WriteString(begin)
		for x := range side {
			switch top, bottom := dark(x, y), dark(x, y+1); {
			case top && bottom:
				b.WriteString("█")
			case top:
				b.WriteString("▀")
			case bottom:
				b.WriteString("▄")
			default:
				b.WriteString(" ")
			}
		}
		b.WriteString(end)
	}
	return b.String()
}

var xmlEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;")

func escapeXML(s string) string { return xmlEscapes.Replace(s) }
