//go:build !linux

package spool

import (
	"errors"
	"os"
)

// Where files are not mapped here, the ring lies on the heap: what is younger
// than the spooler's next write does not outlive the process.

func memoryFolders(Config) []string { return nil }

func isMemory(string) bool { return false }

func ringName(spool uint64) string { return idText(spool) + ".ring" }

type mapped struct{ mem []byte }

func (*mapped) populate() {}

func mapFile(string, int) (*mapped, error) { return nil, errors.ErrUnsupported }

func datasync(f *os.File) error { return f.Sync() }
