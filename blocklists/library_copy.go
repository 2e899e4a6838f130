package blocklists

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Copy writes the library as it is now into a new folder, from which
// [OpenLibrary] opens the same lists. Lists are not changed meanwhile; reading
// and fetching go on.
func (l *Library) Copy(dir string) error {
	l.commit.Lock()
	defer l.commit.Unlock()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("copying the lists: %w", err)
	}
	to := &Library{dir: dir, opts: l.opts, fetch: l.fetch, step: func(string) {}}
	records := *l.state.Load()
	for _, r := range records {
		for _, v := range r.versions() {
			name := copyName(r.ID, v.SHA256)
			if err := copyFileTo(filepath.Join(l.dir, name), filepath.Join(dir, name)); err != nil {
				return fmt.Errorf("copying list %q: %w", r.ID, err)
			}
		}
	}
	return to.writeState(records)
}

func copyFileTo(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Sync()
}
