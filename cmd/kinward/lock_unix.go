//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// lockFolder makes this process the owner of the data folder until the file it
// returns is closed, also by a crash.
func lockFolder(data string) (*os.File, error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("making the data folder (give another with --data): %w", err)
	}
	f, err := os.OpenFile(filepath.Join(data, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the data folder %s (does it belong to another user?): %w", data, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("the data folder %s is in use by another kinward; stop it, or give another folder with --data", data)
		}
		return nil, fmt.Errorf("locking the data folder %s: %w", data, err)
	}
	return f, nil
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }
