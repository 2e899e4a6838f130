package main

import (
	"context"
	"strings"
	"testing"

	"kinward/resolver"
)

// A database that cannot be written is no reason to go back to a backup.
func TestDoctorOnASealedDatabase(t *testing.T) {
	e := &examination{}
	e.status(context.Background(), &config{Data: t.TempDir()}, resolver.Zone{}, statusReply{Database: "it cannot be written", Sealed: true})
	for _, f := range e.findings {
		if f.What == "database" {
			if f.State != "fault" || !strings.Contains(f.Do, "chown") || strings.Contains(f.Do, "restore") {
				t.Errorf("doctor says %+v", f)
			}
			return
		}
	}
	t.Errorf("doctor says nothing of it: %+v", e.findings)
}
