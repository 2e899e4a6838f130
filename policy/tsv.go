package policy

import (
	"fmt"
	"strings"

	"kinward/blocklists"
)

// readTSV calls row with the columns of every line of an embedded table that is
// neither empty nor a comment, and says where an error arose. No column is
// empty.
func readTSV(file, tsv string, columns int, row func(cols []string) error) error {
	line := 0
	for text := range strings.SplitSeq(tsv, "\n") {
		line++
		if text == "" || text[0] == '#' {
			continue
		}
		cols := strings.Split(text, "\t")
		if len(cols) != columns {
			return fmt.Errorf("reading %s line %d: want %d columns, have %d", file, line, columns, len(cols))
		}
		for i, c := range cols {
			if c == "" || c != strings.TrimSpace(c) {
				return fmt.Errorf("reading %s line %d: column %d is empty or has blanks around it", file, line, i+1)
			}
		}
		if err := row(cols); err != nil {
			return fmt.Errorf("reading %s line %d: %w", file, line, err)
		}
	}
	return nil
}

// dash reads a column in which "-" stands for nothing.
func dash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

// rowName reads a name and insists on its one spelling, so that a search through
// the file finds it.
func rowName(s string) (blocklists.Name, error) {
	n, err := blocklists.ParseName(s)
	if err != nil {
		return "", err
	}
	if n == "" || n.String() != s {
		return "", fmt.Errorf("name %q has to be written %q", s, n)
	}
	return n, nil
}
