package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// plural counts things in words.
func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// wrap writes words after a heading, on lines of at most width characters that
// begin under the first word.
func wrap(heading string, words []string, width int) string {
	var b strings.Builder
	b.WriteString(heading)
	margin := utf8.RuneCountInString(heading)
	at := margin
	for _, word := range words {
		n := utf8.RuneCountInString(word)
		switch {
		case at == margin:
		case at+1+n > width:
			b.WriteString("\n" + strings.Repeat(" ", margin))
			at = margin
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String() + "\n"
}

// paragraph writes a text in lines of at most 90 characters, indented by two.
func paragraph(text string) string { return wrap("  ", strings.Fields(text), 90) }

// itemized writes items after a heading, on lines of at most 100 characters, with
// a semicolon between two.
func itemized(heading string, items []string) string {
	words := slices.Clone(items)
	for i := range max(len(words)-1, 0) {
		words[i] += ";"
	}
	return wrap(heading, words, 100)
}
