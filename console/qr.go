package console

import (
	"html/template"

	"kinward/setup"
)

// code draws a text as a QR code; alt says in words what it is. What is too long for
// one is "": each page has the text itself, too.
func code(text, alt string) template.HTML {
	q, err := setup.NewQR(text)
	if err != nil {
		return ""
	}
	return template.HTML(q.SVG(alt)) // its own drawing, the words escaped
}
