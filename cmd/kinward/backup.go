package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kinward/store"
)

// A backup is a .tar.gz of manifest.json, kinward.db and the lists folder. The
// manifest comes first and holds the SHA-256 of every other file, so a damaged
// or cut archive is found before anything is replaced.

const (
	databaseFile = store.FileName
	listsFolder  = "lists"
	manifestFile = "manifest.json"

	maxBackup      = 64 << 30 // unpacked
	maxBackupFiles = 10_000
)

type manifest struct {
	Kinward string            `json:"kinward"` // the version that made it
	Made    time.Time         `json:"made"`
	Files   map[string]string `json:"files"` // path in the archive → SHA-256
}

type backupReply struct {
	Path  string    `json:"path"`
	Bytes int64     `json:"bytes"`
	Made  time.Time `json:"made"`
}

var opBackup = operation[struct{}, backupReply]{"backup", backup}

func (c *cli) backupCommand() *cobra.Command {
	return c.addJSON(&cobra.Command{
		Use:   "backup FILE",
		Short: "Write everything that is kept into one file",
		Long: `Writes the family's choices, the incidents and the lists into one file, also while
serve runs. The file is as confidential as the incidents in it; only you may read it.
An existing file is never overwritten. The configuration file is not part of it, nor
are these secrets: the keys of the server's certificate (after a restore, another is
ordered), sessions, tokens of programs, invitations, and what webhooks, ntfy and push
send with (restore names those that are to be added again). What guardians sign in with,
and what devices and routers are recognised by, is in it.`,
		Example: `  kinward backup kinward-2026-11-24.tar.gz`,
		Args:    exactArgs("the FILE to write"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := c.config(cmd)
			if err != nil {
				return err
			}
			// Claimed before the work is done, and so that nothing is overwritten.
			out, err := os.OpenFile(args[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if errors.Is(err, fs.ErrExist) {
				return usageError(fmt.Errorf("%s exists already; name another file", args[0]))
			} else if err != nil { // not there is its folder
				return namedFile(fmt.Errorf("writing the backup: %w", err))
			}
			p, done := c.progress()
			rep, err := opBackup.call(cmd.Context(), cfg, struct{}{}, p)
			done()
			if err == nil {
				err = moveInto(out, cfg.Data, rep.Path)
			}
			if err = errors.Join(err, out.Close()); err != nil {
				os.Remove(args[0])
				return err
			}
			rep.Path = args[0]
			return c.print(rep, func(w io.Writer) {
				fmt.Fprintf(w, "%s: %s. It holds what was attempted; keep it as you would a diary.\nTo go back to it: {kinward} restore %s\n",
					rep.Path, sizeWords(rep.Bytes), rep.Path)
			})
		},
	})
}

// moveInto copies a file that the data folder's owner made into out and removes
// it. The owner may run in a sandbox that can write nowhere else.
//
// Only a file of the name that backups have, in the data folder itself, is
// touched: whoever answers at the socket must not choose what a command run by
// root reads and deletes.
func moveInto(out *os.File, data, name string) error {
	folder, err := os.OpenRoot(data)
	if err != nil {
		return fmt.Errorf("reading the backup that was made: %w", err)
	}
	defer folder.Close()
	if !strings.HasPrefix(name, ".backup-") || strings.ContainsRune(name, '/') {
		return fmt.Errorf("reading the backup that was made: %q is no backup's name", name)
	}
	info, err := folder.Lstat(name)
	if err != nil {
		return fmt.Errorf("reading the backup that was made: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("reading the backup that was made: %s is no plain file; make the backup again", filepath.Join(data, name))
	}
	in, err := folder.Open(name)
	if err != nil {
		return fmt.Errorf("reading the backup that was made: %w", err)
	}
	defer in.Close()
	defer folder.Remove(name)
	if _, err := io.Copy(out, in); err != nil {
		return fmt.Errorf("writing the backup: %w", err)
	}
	return out.Sync()
}

// backup makes the archive inside the data folder.
func backup(ctx context.Context, n *node, _ struct{}, p progress) (rep backupReply, err error) {
	if n.serving != nil {
		if err := n.serving.journal.Flush(ctx); err != nil {
			return rep, err
		}
	}
	work, err := os.MkdirTemp(n.cfg.Data, ".backup-")
	if err != nil {
		return rep, fmt.Errorf("making room for the backup: %w", err)
	}
	defer os.RemoveAll(work)
	if p != nil {
		p("copying the database")
	}
	if err := n.db.Backup(ctx, filepath.Join(work, databaseFile)); err != nil {
		return rep, err
	}
	if err := n.lists.Copy(filepath.Join(work, listsFolder)); err != nil {
		return rep, err
	}
	if err := n.updates.Copy(filepath.Join(work, listsFolder)); err != nil {
		return rep, err
	}
	m := manifest{Kinward: version(), Made: time.Now().UTC(), Files: map[string]string{}}
	err = filepath.WalkDir(work, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		sum, err := fileSum(file)
		rel, _ := filepath.Rel(work, file)
		m.Files[filepath.ToSlash(rel)] = sum
		return err
	})
	if err != nil {
		return rep, fmt.Errorf("reading what to back up: %w", err)
	}
	out, err := os.CreateTemp(n.cfg.Data, ".backup-*.tar.gz") // mode 0600
	if err != nil {
		return rep, fmt.Errorf("writing the backup: %w", err)
	}
	defer func() {
		if err = errors.Join(err, out.Close()); err != nil {
			os.Remove(out.Name())
		}
	}()
	if p != nil {
		p("packing")
	}
	if err := pack(out, work, m); err != nil {
		return rep, fmt.Errorf("writing the backup: %w", err)
	}
	info, err := out.Stat()
	if err != nil {
		return rep, err
	}
	return backupReply{filepath.Base(out.Name()), info.Size(), m.Made}, nil
}

func fileSum(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

func pack(out io.Writer, folder string, m manifest) error {
	z := gzip.NewWriter(out)
	t := tar.NewWriter(z)
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	add := func(name string, size int64, r io.Reader) error {
		h := &tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: m.Made, Format: tar.FormatPAX}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		_, err := io.Copy(t, r)
		return err
	}
	if err := add(manifestFile, int64(len(text)), bytes.NewReader(text)); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(m.Files)) {
		f, err := os.Open(filepath.Join(folder, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err == nil {
			err = add(name, info.Size(), f)
		}
		f.Close()
		if err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

func (c *cli) restoreCommand() *cobra.Command {
	return c.addJSON(&cobra.Command{
		Use:   "restore FILE",
		Short: "Go back to what a backup holds",
		Long: `Checks a backup and puts it in the place of what the data folder holds. serve must be
stopped. What was there is kept beside it under another name, so nothing is lost.`,
		Example: `  kinward restore kinward-2026-11-24.tar.gz`,
		Args:    exactArgs("the FILE of a backup"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := c.config(cmd)
			if err != nil {
				return err
			}
			d, err := restore(cmd.Context(), cfg.Data, args[0])
			if err != nil {
				return err
			}
			return c.print(d, func(w io.Writer) { printDone(w, d) })
		},
	})
}

// restore replaces what the data folder holds. Until the backup has been read
// and checked as a whole, nothing is touched.
func restore(ctx context.Context, data, file string) (d done, err error) {
	if _, err := os.Stat(file); err != nil { // before a data folder is made for it
		return done{}, namedFile(fmt.Errorf("reading the backup: %w", err))
	}
	lock, err := lockFolder(data, 0)
	if err != nil {
		return done{}, fmt.Errorf("%w (restore needs serve to be stopped)", err)
	}
	defer lock.Close()
	defer func() { err = errors.Join(err, giveBack(data)) }()
	work, err := os.MkdirTemp(data, ".restore-")
	if err != nil {
		return done{}, fmt.Errorf("making room for the backup: %w", err)
	}
	defer os.RemoveAll(work)
	m, err := unpack(file, work)
	if err != nil {
		return done{}, fmt.Errorf("reading the backup %s: %w", file, err)
	}
	if err := store.CheckBackup(ctx, filepath.Join(work, databaseFile)); err != nil {
		return done{}, fmt.Errorf("checking the backup %s: %w", file, err)
	}
	now := time.Now()
	lists := filepath.Join(data, listsFolder)
	keptLists := lists + ".before-restore-" + now.UTC().Format("20060102T150405.000Z")
	if err := os.Rename(lists, keptLists); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return done{}, fmt.Errorf("moving away the lists that are there: %w", err)
	}
	if err := os.Rename(filepath.Join(work, listsFolder), lists); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return done{}, fmt.Errorf("putting the lists in place (the old ones are in %s): %w", keptLists, err)
	}
	kept, err := store.Restore(ctx, filepath.Join(work, databaseFile), filepath.Join(data, databaseFile), now)
	if err != nil { // the lists go back to the database that they belong to
		failed := errors.Join(os.RemoveAll(lists), os.Rename(keptLists, lists))
		return done{}, errors.Join(err, failed)
	}
	text := fmt.Sprintf("Restored what Kinward %s kept on %s.", m.Kinward, m.Made.Local().Format("2 Jan 2006 15:04"))
	if kept != "" {
		text += fmt.Sprintf(" What was there before is in %s and %s; delete both when all is well.", kept, keptLists)
	}
	text += "\nSessions, programs' tokens and invitations are in no backup: guardians sign in anew, and programs and invitations need new tokens and links."
	lost, err := channelsWithoutSecret(ctx, filepath.Join(data, databaseFile))
	if err != nil {
		return done{}, fmt.Errorf("%s\nWhich ways to tell guardians have to be added again is not known: %w", text, err)
	}
	if len(lost) > 0 {
		text += "\nThese ways to tell guardians send nothing until they are added again, since their secrets are in no backup:\n  " + strings.Join(lost, "\n  ")
	}
	return done{text}, nil
}

// channelsWithoutSecret names the channels of all families that cannot send for
// want of their secret, each with the command that removes it.
func channelsWithoutSecret(ctx context.Context, path string) (lost []string, err error) {
	db, err := store.Open(ctx, path, store.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for f, err := range db.Families(ctx) {
		if err != nil {
			return nil, err
		}
		channels, err := db.Alerts().Channels(ctx, f.ID)
		if err != nil {
			return nil, err
		}
		ref := f.Name
		if _, err := db.FindFamily(ctx, f.Name); errors.Is(err, store.ErrConflict) {
			ref = strconv.FormatInt(int64(f.ID), 10)
		}
		for _, c := range channels {
			if !needsItsSecret(c) {
				continue
			}
			lost = append(lost, fmt.Sprintf("%s of %s, family %s: {kinward} alerts remove %d --family %s; then: {kinward} alerts add %s --help",
				c.Kind, guardianName(f.Family, c.Guardian), f.Name, c.ID, shellQuote(ref), c.Kind))
		}
	}
	return lost, nil
}

// unpack reads an archive into a folder and checks it against its manifest.
func unpack(file, folder string) (*manifest, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, namedFile(err)
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, fmt.Errorf("it is not a backup of Kinward: %w", err)
	}
	t := tar.NewReader(io.LimitReader(z, maxBackup))
	h, err := t.Next()
	if err != nil || h.Name != manifestFile {
		return nil, errors.New("it is not a backup of Kinward: it has no manifest")
	}
	m := &manifest{}
	if err := json.NewDecoder(io.LimitReader(t, 16<<20)).Decode(m); err != nil {
		return nil, fmt.Errorf("reading its manifest: %w", err)
	}
	missing := maps.Clone(m.Files)
	_, hasDatabase := missing[databaseFile]
	_, hasLists := missing[listsFolder+"/lists.json"]
	if !hasDatabase || !hasLists || len(missing) > maxBackupFiles {
		return nil, errors.New("its manifest names no database, no lists, or too many files")
	}
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("the file is damaged or cut short: %w", err)
		}
		want, ok := missing[h.Name]
		if !ok || !safeBackupPath(h.Name) || h.Typeflag != tar.TypeReg {
			return nil, fmt.Errorf("it holds %q, which its manifest does not speak of", h.Name)
		}
		delete(missing, h.Name)
		if err := unpackFile(t, filepath.Join(folder, filepath.FromSlash(h.Name)), want); err != nil {
			return nil, fmt.Errorf("unpacking %s: %w", h.Name, err)
		}
	}
	for name := range missing {
		return nil, fmt.Errorf("the file is cut short: %s is missing", name)
	}
	return m, nil
}

// safeBackupPath allows the database and files directly in the lists folder.
func safeBackupPath(name string) bool {
	return name == databaseFile || path.Dir(name) == listsFolder && path.Clean(name) == name && !strings.Contains(name, "\\")
}

func unpackFile(r io.Reader, to, sum string) (err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(f, h), r); err != nil {
		return fmt.Errorf("the file is damaged or cut short: %w", err)
	}
	if hex.EncodeToString(h.Sum(nil)) != sum {
		return errors.New("its content is not what the manifest says; the backup is damaged")
	}
	return f.Sync()
}
