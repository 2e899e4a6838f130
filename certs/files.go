package certs

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// filesEvery is how often files are read for a change. They are two small files:
// reading them is cheaper than getting notifications right over renames, links
// that are switched, and network file systems.
const filesEvery = 10 * time.Second

// files is a source that somebody else renews.
type files struct {
	Files
	name string
	log  *slog.Logger

	sum   [sha256.Size]byte // of what was last read whole
	loose bool              // it was said that others can read the key
}

func (f *files) kind() string                  { return "files" }
func (f *files) every() time.Duration          { return filesEvery }
func (f *files) close() error                  { return nil }
func (f *files) answers(context.Context) error { return nil }

// Check reports what keeps the files from being a certificate for name now.
func (f Files) Check(name string) error {
	chain, key, err := f.read()
	if err == nil {
		_, err = pair(chain, key, name, time.Now())
	}
	return err
}

func (f Files) read() (chain, key []byte, err error) {
	if chain, err = os.ReadFile(f.Certificate); err != nil {
		return nil, nil, fmt.Errorf("reading the certificate: %w", err)
	}
	if key, err = os.ReadFile(f.Key); err != nil {
		return nil, nil, fmt.Errorf("reading the certificate's key: %w", err)
	}
	return chain, key, nil
}

func (f *files) refresh(_ context.Context, old *tls.Certificate) (*tls.Certificate, time.Time, error) {
	again := time.Now().Add(filesEvery)
	chain, key, err := f.read()
	if err != nil {
		return old, again, err
	}
	sum := sha256.Sum256(append(append([]byte{}, chain...), key...))
	if old != nil && sum == f.sum {
		return old, again, nil
	}
	c, err := pair(chain, key, f.name, time.Now())
	if err != nil {
		return old, again, fmt.Errorf("%s and %s: %w", f.Certificate, f.Key, err)
	}
	f.sum = sum
	if info, err := os.Stat(f.Key); err == nil && info.Mode().Perm()&0o007 != 0 && !f.loose {
		f.loose = true
		f.log.Warn("everybody on this machine can read the certificate's key", "file", f.Key, "do", "chmod o= "+f.Key)
	}
	return c, again, nil
}
