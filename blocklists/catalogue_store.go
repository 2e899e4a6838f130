package blocklists

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// What can go wrong with the catalogue's updates, beside the file itself.
var (
	ErrNotNewer       = errors.New("the update is not newer than what was in force already")
	ErrNothingToUndo  = errors.New("the catalogue of the program is in force, and there is nothing to go back to")
	ErrNoCatalogueKey = errors.New("catalogue: key is not set, so nothing can be checked: set it to the public key of who signs the catalogue")
	ErrLostCatalogue  = errors.New("the update of the catalogue that was taken cannot be read, so the program's own is in force: take it again with kinward lists catalogue update, or give it up with kinward lists catalogue rollback")
)

// CatalogueStore keeps updates of the catalogue in a folder, beside the lists:
// catalogue.json says which edition is in force and which was before it, and
// each has a file of its own, named for its version and content. Files are
// written beside and renamed, the edition before catalogue.json, so a crash at
// any moment leaves the old edition or the new one.
//
// An edition is in force only while its file is whole, its signature fits the
// key, and its version is above the program's own. A CatalogueStore is safe for
// concurrent use; the folder must belong to one at a time.
type CatalogueStore struct {
	dir string
	key ed25519.PublicKey

	mu      sync.Mutex
	state   catalogueState
	current *Catalogue
	problem error
}

// catalogueState is what catalogue.json holds.
type catalogueState struct {
	Format   int      `json:"format"`
	Current  *Edition `json:"current,omitempty"`  // nil: the program's own
	Previous *Edition `json:"previous,omitempty"` // nil: the program's own
	Refused  int      `json:"refused,omitempty"`  // rolled back: this version and those below are not taken again
}

const (
	catalogueStateFile   = "catalogue.json"
	catalogueStateFormat = 1
)

// fileName is the name of an edition's file.
func (e *Edition) fileName() string {
	return fmt.Sprintf("catalogue-%d.%s.signed", e.Version, e.SHA256[:16])
}

// isCatalogueFile reports whether a file is called as editions are; see isCopyFile.
func isCatalogueFile(name string) bool {
	parts := strings.Split(name, ".")
	version, ok := strings.CutPrefix(parts[0], "catalogue-")
	return ok && version != "" && len(version) <= 10 && strings.Trim(version, "0123456789") == "" &&
		len(parts) == 3 && isHex(parts[1], 16) && parts[2] == "signed"
}

// OpenCatalogueStore finds the edition in force. key may be nil: then only the
// program's own is. An update that cannot be used is no error: Problem says why
// the program's own catalogue is in force instead.
func OpenCatalogueStore(dir string, key ed25519.PublicKey) (*CatalogueStore, error) {
	s := &CatalogueStore{dir: dir, key: key}
	if err := s.readState(); err != nil {
		s.problem = fmt.Errorf("%w: %w", ErrLostCatalogue, err)
	} else if s.state.Current != nil && s.state.Current.Version > EmbeddedVersion {
		c, err := s.load(s.state.Current)
		if err != nil {
			s.problem = fmt.Errorf("%w: %w", ErrLostCatalogue, err)
		}
		s.current = c
	}
	if s.current == nil {
		c, err := Embedded()
		if err != nil {
			return nil, err
		}
		s.current = c
	}
	return s, nil
}

// Current returns the edition in force.
func (s *CatalogueStore) Current() *Catalogue {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// Previous returns the edition that Rollback goes back to, and whether there is
// one to go back from.
func (s *CatalogueStore) Previous() (Edition, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch p := s.state.Previous; {
	case s.state.Current == nil && s.problem == nil:
		return Edition{}, false
	case p != nil && p.Version > EmbeddedVersion:
		return *p, true
	}
	return Edition{Version: EmbeddedVersion, Date: EmbeddedDate}, true
}

// Refused returns the highest version that was rolled back, 0 for none.
func (s *CatalogueStore) Refused() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.Refused
}

// Problem says why an update that was taken is not in force; nil if all is well.
func (s *CatalogueStore) Problem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.problem
}

// CatalogueUpdate is a catalogue file that may take the place of the edition in
// force.
type CatalogueUpdate struct {
	Catalogue *Catalogue
	Diff      CatalogueDiff // against the edition in force
	Same      bool          // it is the edition in force, byte by byte

	file []byte
}

// Check reads a catalogue file and compares it with the edition in force: its
// signature, its version, how much it changes, and that it blocks nothing that
// was kept open. accept lets it change the sizes as it likes. Nothing is kept.
func (s *CatalogueStore) Check(file []byte, accept bool) (*CatalogueUpdate, error) {
	if len(s.key) == 0 {
		return nil, ErrNoCatalogueKey
	}
	next, err := OpenCatalogue(file, s.key)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := &CatalogueUpdate{Catalogue: next, file: file, Diff: DiffCatalogues(s.current, next)}
	if next.Edition.SHA256 == s.current.Edition.SHA256 {
		u.Same = true
		return u, nil
	}
	if err := s.newer(next.Edition); err != nil {
		return nil, err
	}
	if !accept {
		if err := s.current.plausible(next); err != nil {
			return nil, err
		}
	}
	if err := s.current.protects(next); err != nil {
		return nil, err
	}
	return u, nil
}

// newer refuses what an attacker, or a server that lags behind, could replay.
func (s *CatalogueStore) newer(e Edition) error {
	floor, why := EmbeddedVersion, "the program's own"
	if c := s.state.Current; c != nil && c.Version > floor {
		floor, why = c.Version, "in force"
		if s.problem != nil && c.SHA256 == e.SHA256 {
			return nil // the very file that was lost
		}
	}
	if s.state.Refused > floor {
		floor, why = s.state.Refused, "rolled back"
	}
	if e.Version <= floor {
		return fmt.Errorf("version %d, and %d is %s: %w", e.Version, floor, why, ErrNotNewer)
	}
	return nil
}

// Take keeps an update and makes it the edition in force; the one before is kept
// for Rollback. The update must come from Check.
func (s *CatalogueStore) Take(u *CatalogueUpdate) error {
	if u.Same {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.newer(u.Catalogue.Edition); err != nil { // another update was faster
		return err
	}
	e := u.Catalogue.Edition
	if err := replaceFile(filepath.Join(s.dir, e.fileName()), tempPrefix, writing(u.file)); err != nil {
		return fmt.Errorf("keeping the catalogue: %w", err)
	}
	next := catalogueState{Current: &e, Previous: s.state.Previous, Refused: s.state.Refused}
	if s.problem == nil {
		next.Previous = s.state.Current // one that is damaged is nothing to go back to
	}
	return s.commit(next, u.Catalogue)
}

// Undo returns the edition that Rollback would put in force.
func (s *CatalogueStore) Undo() (*Catalogue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, _, err := s.undo()
	return c, err
}

func (s *CatalogueStore) undo() (*Catalogue, catalogueState, error) {
	if s.state.Current == nil && s.problem == nil {
		return nil, catalogueState{}, ErrNothingToUndo
	}
	next := catalogueState{Refused: s.state.Refused}
	if s.state.Current != nil {
		next.Refused = max(next.Refused, s.state.Current.Version)
	}
	if p := s.state.Previous; p != nil && p.Version > EmbeddedVersion {
		if c, err := s.load(p); err == nil {
			next.Current = p
			return c, next, nil
		} // a damaged one is passed over: the program's own is always whole
	}
	c, err := Embedded()
	return c, next, err
}

// Rollback puts the edition before the last update in force, or the program's
// own. The version that was in force is not taken again.
func (s *CatalogueStore) Rollback() (*Catalogue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, next, err := s.undo()
	if err != nil {
		return nil, err
	}
	return c, s.commit(next, c)
}

// commit writes the state, puts it in force, and removes files that it does not
// speak of. s.mu is held.
func (s *CatalogueStore) commit(next catalogueState, c *Catalogue) error {
	next.Format = catalogueStateFormat
	text, err := json.MarshalIndent(next, "", "\t")
	if err != nil {
		return fmt.Errorf("writing %s: %w", catalogueStateFile, err)
	}
	if err := replaceFile(filepath.Join(s.dir, catalogueStateFile), tempPrefix, writing(append(text, '\n'))); err != nil {
		return fmt.Errorf("keeping the catalogue: %w", err)
	}
	s.state, s.current, s.problem = next, c, nil
	s.sweep()
	return nil
}

// sweep removes editions that nothing refers to. What cannot be removed does no
// harm, and is tried again next time.
func (s *CatalogueStore) sweep() {
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return
	}
	for _, f := range files {
		if isCatalogueFile(f.Name()) && !s.wants(f.Name()) {
			os.Remove(filepath.Join(s.dir, f.Name()))
		}
	}
}

func (s *CatalogueStore) wants(file string) bool {
	for _, e := range []*Edition{s.state.Current, s.state.Previous} {
		if e != nil && e.fileName() == file {
			return true
		}
	}
	return false
}

// Copy writes the updates as they are now into a folder that is there, from
// which OpenCatalogueStore reads the same.
func (s *CatalogueStore) Copy(dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := []string{catalogueStateFile}
	for _, e := range []*Edition{s.state.Current, s.state.Previous} {
		if e != nil {
			names = append(names, e.fileName())
		}
	}
	for _, name := range names {
		err := copyFileTo(filepath.Join(s.dir, name), filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // never written, or lost: a Problem already
			return fmt.Errorf("copying the catalogue: %w", err)
		}
	}
	return nil
}

// load reads an edition's file.
func (s *CatalogueStore) load(e *Edition) (*Catalogue, error) {
	if len(s.key) == 0 {
		return nil, ErrNoCatalogueKey
	}
	file, err := readBounded(filepath.Join(s.dir, e.fileName()))
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue, version %d: %w", e.Version, err)
	}
	if sum := sha256.Sum256(file); hex.EncodeToString(sum[:]) != e.SHA256 {
		return nil, fmt.Errorf("reading the catalogue, version %d: it is not what was kept: %w", e.Version, ErrPackDamaged)
	}
	return OpenCatalogue(file, s.key)
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxCatalogueFile+1))
	if err == nil && len(b) > MaxCatalogueFile {
		err = ErrPackTooLarge
	}
	return b, err
}

// readState reads catalogue.json; none is the program's own catalogue. It is
// strict, as lists.json is.
func (s *CatalogueStore) readState() error {
	b, err := readBounded(filepath.Join(s.dir, catalogueStateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", catalogueStateFile, err)
	}
	var st catalogueState
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&st); err != nil {
		return fmt.Errorf("reading %s: %w", catalogueStateFile, err)
	}
	if _, err := dec.Token(); err != io.EOF || st.Format != catalogueStateFormat {
		return fmt.Errorf("reading %s: form %d, or something behind its end; this program reads %d", catalogueStateFile, st.Format, catalogueStateFormat)
	}
	for _, e := range []*Edition{st.Current, st.Previous} {
		// Version and hash name files, so they must be what they seem.
		if e != nil && (e.Version < 1 || !isHex(e.SHA256, 64)) {
			return fmt.Errorf("reading %s: version %d with sha256 %q", catalogueStateFile, e.Version, clip(e.SHA256))
		}
	}
	s.state = st
	return nil
}
