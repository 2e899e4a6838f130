//go:build unix

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lockFolder makes this process the owner of the data folder until the file it
// returns is closed, also by a crash.
//
// It waits for a command that has the folder, up to the given time.
func lockFolder(data string, wait time.Duration) (*os.File, error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, fmt.Errorf("making the data folder (give another with --data): %w", err)
	}
	if err := os.Chmod(data, 0o700); err != nil { // what it holds is for its owner alone
		return nil, fmt.Errorf("guarding the data folder %s (does it belong to another user?): %w", data, err)
	}
	f, err := os.OpenFile(filepath.Join(data, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the data folder %s (does it belong to another user?): %w", data, err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for began := time.Now(); errors.Is(err, unix.EWOULDBLOCK) && time.Since(began) < wait; {
		time.Sleep(50 * time.Millisecond)
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("the data folder %s is in use by another kinward; stop it, or give another folder with --data", data)
		}
		return nil, fmt.Errorf("locking the data folder %s: %w", data, err)
	}
	return f, nil
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

// giveBack makes what root wrote into a data folder of another user that user's
// own, so that a command run with sudo does not keep the service from starting.
func giveBack(data string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(data)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	real, err := filepath.EvalSymlinks(data)
	if err != nil {
		return err
	}
	return filepath.WalkDir(real, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(owner.Uid), int(owner.Gid))
	})
}
