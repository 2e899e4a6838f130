package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// release is the version of a released program; the Makefile sets it.
var release = ""

// version returns the release, or the commit of a program built from a
// checkout.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return "dev-" + s.Value[:12]
			}
		}
	}
	return "dev"
}

func (c *cli) versionCommand() *cobra.Command {
	return c.addJSON(&cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: `  kinward version`,
		Args:    exactArgs(),
		RunE: func(*cobra.Command, []string) error {
			v := struct {
				Version string `json:"version"`
				Go      string `json:"go"`
				System  string `json:"system"`
			}{version(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			return c.print(v, func(w io.Writer) { fmt.Fprintf(w, "kinward %s (%s, %s)\n", v.Version, v.Go, v.System) })
		},
	})
}
