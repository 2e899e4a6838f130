package main

import (
	"context"
	"slices"

	"kinward/journal/guidance"
)

// language returns the language (BCP 47) of whoever acts in ctx; "" is English,
// which the command line speaks.
func language(ctx context.Context) string {
	if a := actor(ctx); a != nil {
		return a.Lang
	}
	return ""
}

// guidanceLanguage returns the language that guidance is given in: English where
// it is not written in theirs.
func guidanceLanguage(ctx context.Context) string {
	if l := language(ctx); slices.Contains(guidance.Languages(), l) {
		return l
	}
	return guidance.English
}
