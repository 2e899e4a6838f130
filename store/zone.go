package store

import (
	"os"
	"strings"
	"time"
	_ "time/tzdata" // small computers and containers have no zone files
)

// serverZone returns the IANA name of the server's time zone, "" where it
// cannot be told. time.Local knows the rules but not the name.
func serverZone() string {
	link, _ := os.Readlink("/etc/localtime")
	file, _ := os.ReadFile("/etc/timezone")
	_, linked, _ := strings.Cut(link, "zoneinfo/")
	for _, name := range []string{strings.TrimPrefix(os.Getenv("TZ"), ":"), linked, strings.TrimSpace(string(file))} {
		if name == "" || name == "Local" {
			continue
		}
		if _, err := time.LoadLocation(name); err == nil {
			return name
		}
	}
	return ""
}
