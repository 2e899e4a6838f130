package console

import (
	"html/template"

	"kinward/setup"
)

// code draws a text as a QR code.
func code(text, alt string) template.HTML {
	q, err := setup.NewQR(text)
	if err != nil {
		return ""
	}
	return template.HTML(q.SVG(alt)) // its own drawing, the words escaped
}
