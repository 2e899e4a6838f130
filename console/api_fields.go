package console

import (
	_ "embed"
	"strings"
)

//go:embed api_fields.txt
var apiFields string

// FieldTexts says what the fields of the API's answers mean, by their name, and by
// schema (or operation) and name where one means something of its own.
func FieldTexts() map[string]string {
	texts := map[string]string{}
	for line := range strings.Lines(apiFields) {
		if field, says, ok := strings.Cut(strings.TrimSpace(line), " "); ok && field != "#" {
			texts[field] = says
		}
	}
	return texts
}
