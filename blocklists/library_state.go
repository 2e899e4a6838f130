package blocklists

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// sweep removes temporary files and copies that no list refers to.
func (l *Library) sweep(records map[string]listRecord) error {
	wanted := map[string]bool{}
	for _, r := range records {
		for _, v := range r.versions() {
			wanted[copyName(r.ID, v.SHA256)] = true
		}
	}
	files, err := os.ReadDir(l.dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if n := f.Name(); strings.HasPrefix(n, tempPrefix) || isCopyFile(n) && !wanted[n] {
			if err := os.Remove(filepath.Join(l.dir, n)); err != nil {
				return err
			}
		}
	}
	return nil
}

// change replaces the record of id by what decide makes of it, on disk and in
// memory. temp, if not "", becomes the kept copy of the version with this hash.
// The zero record removes the list.
func (l *Library) change(id, temp, sum string, decide func(now listRecord, ok bool) (listRecord, error)) error {
	l.commit.Lock()
	defer l.commit.Unlock()
	records := maps.Clone(*l.state.Load())
	last, ok := records[id]
	next, err := decide(last, ok)
	if err != nil {
		return err
	}
	if next.ID == "" {
		delete(records, id)
	} else {
		records[id] = next
	}
	if temp != "" {
		if err := os.Rename(temp, filepath.Join(l.dir, copyName(id, sum))); err != nil {
			return fmt.Errorf("keeping the new copy: %w", err)
		}
		// The copy must be on disk under its name before lists.json speaks of it.
		if err := syncDir(l.dir); err != nil {
			return err
		}
		l.step("copied")
	}
	if err := l.writeState(records); err != nil {
		if errors.Is(err, ErrNoRoom) { // lists.json still speaks of what was
			l.drop(next, last)
		}
		return err
	}
	l.state.Store(&records)
	l.step("recorded")
	if ok {
		l.drop(last, next)
	}
	return nil
}

// drop removes the copies of which next does not speak any more; what cannot be
// removed the next start sweeps away.
func (l *Library) drop(last, next listRecord) {
	wanted := map[string]bool{}
	for _, v := range next.versions() {
		wanted[v.SHA256] = true
	}
	for _, v := range last.versions() {
		if !wanted[v.SHA256] {
			os.Remove(filepath.Join(l.dir, copyName(last.ID, v.SHA256)))
		}
	}
}

// read parses a kept copy and checks that it is the one with this hash.
func (l *Library) read(path, sum string, s ListSource, guard func(Name) SkipReason, emit func(Entry) error) error {
	return readCopy(path, sum, func(r io.Reader) error {
		o := l.parseOptions(s)
		o.Repeats = true // the index does not mind
		o.Guard = guard
		_, err := Parse(r, o, emit)
		return err
	})
}

// verify reports whether the kept copy with this hash is whole.
func (l *Library) verify(r listRecord, sum string) error {
	if sum == "" {
		return ErrDamagedCopy
	}
	err := readCopy(filepath.Join(l.dir, copyName(r.ID, sum)), sum, func(r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrDamagedCopy, err)
	}
	return err
}

// readCopy gives the plain text of a copy to use, which reads it to its end, and
// then checks its hash.
func readCopy(path, sum string, use func(io.Reader) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	zr, err := gzip.NewReader(bufio.NewReaderSize(f, 64<<10))
	if err != nil {
		return fmt.Errorf("opening %s: %w: %w", filepath.Base(path), ErrDamagedCopy, err)
	}
	h := sha256.New()
	in := &failing{r: zr}
	err = use(io.TeeReader(in, h))
	if in.err != nil {
		return fmt.Errorf("reading %s: %w: %w", filepath.Base(path), ErrDamagedCopy, in.err)
	}
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return fmt.Errorf("reading %s: SHA-256 is %s, not %s: %w", filepath.Base(path), got, sum, ErrDamagedCopy)
	}
	return nil
}

// failing remembers an error of its reader, so that what the file did can be
// told from what its content did.
type failing struct {
	r   io.Reader
	err error
}

func (f *failing) Read(b []byte) (int, error) {
	n, err := f.r.Read(b)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// savedState is what lists.json holds.
type savedState struct {
	Version int          `json:"version"`
	Lists   []listRecord `json:"lists"`
}

// stateVersion is what this program writes. It reads version 1 too, which knew
// one copy a list.
const stateVersion = 2

// readState reads lists.json; none is an empty library. It is strict: a field
// that this program does not know was written by a newer one, or mistyped.
func readState(file string) (map[string]listRecord, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]listRecord{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the lists: %w", err)
	}
	var saved savedState
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&saved); err != nil {
		return nil, fmt.Errorf("reading %s: %w: %w", file, ErrDamagedLibrary, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("reading %s: something follows its end: %w", file, ErrDamagedLibrary)
	}
	if saved.Version < 1 || saved.Version > stateVersion {
		return nil, fmt.Errorf("reading %s: version %d, this program reads up to %d", file, saved.Version, stateVersion)
	}
	records := make(map[string]listRecord, len(saved.Lists))
	for _, r := range saved.Lists {
		// ID and hash name files, so they must be what they seem.
		if !isListID(r.ID) {
			return nil, fmt.Errorf("reading %s: list %q: %w: %w", file, clip(r.ID), ErrDamagedLibrary, ErrBadListID)
		}
		for _, v := range r.versions() {
			if !isHex(v.SHA256, 64) {
				return nil, fmt.Errorf("reading %s: list %q: sha256 %q is not 64 hex digits: %w", file, r.ID, clip(v.SHA256), ErrDamagedLibrary)
			}
		}
		if _, twice := records[r.ID]; twice {
			return nil, fmt.Errorf("reading %s: list %q: %w: %w", file, r.ID, ErrDamagedLibrary, ErrListExists)
		}
		records[r.ID] = r
	}
	return records, nil
}

func (l *Library) writeState(records map[string]listRecord) error {
	saved := savedState{Version: stateVersion, Lists: []listRecord{}}
	for _, id := range slices.Sorted(maps.Keys(records)) {
		saved.Lists = append(saved.Lists, records[id])
	}
	b, err := json.MarshalIndent(saved, "", "\t")
	if err != nil {
		return fmt.Errorf("writing %s: %w", stateFile, err)
	}
	temp, err := writeBeside(l.dir, tempPrefix, writing(append(b, '\n')))
	if err != nil {
		return fmt.Errorf("writing %s: %w: %w", stateFile, ErrNoRoom, err) // what was is in force still
	}
	if err := moveDurably(temp, filepath.Join(l.dir, stateFile)); err != nil {
		return fmt.Errorf("writing %s: %w", stateFile, err)
	}
	return nil
}

// replaceFile writes a file beside path, of a name that begins with prefix, and
// renames it, so that what is written is there whole or not at all, also if power is
// lost. Only its owner may read it.
func replaceFile(path, prefix string, write func(io.Writer) error) error {
	temp, err := writeBeside(filepath.Dir(path), prefix, write)
	if err != nil {
		return err
	}
	return moveDurably(temp, path)
}

// writeBeside writes a temporary file in a folder and syncs it. After an error there
// is no file.
func writeBeside(dir, prefix string, write func(io.Writer) error) (name string, err error) {
	f, err := os.CreateTemp(dir, prefix) // mode 0600
	if err != nil {
		return "", err
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// moveDurably gives a temporary file its place. Where it cannot, the file is gone.
func moveDurably(temp, path string) error {
	if err := os.Rename(temp, path); err != nil {
		os.Remove(temp)
		return err
	}
	return syncDir(filepath.Dir(path))
}

// writing is what replaceFile and writeBeside are given to write bytes.
func writing(b []byte) func(io.Writer) error {
	return func(w io.Writer) error { _, err := w.Write(b); return err }
}

// syncDir makes renames in a folder last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing folder %s: %w", dir, err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing folder %s: %w", dir, err)
	}
	return nil
}
