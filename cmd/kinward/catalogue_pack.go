package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"kinward/blocklists"
)

// What who signs catalogues does: make a key once, then pack. Neither needs a
// data folder.

type keyReply struct {
	Path        string `json:"path"`
	Key         string `json:"key"` // public, base64
	Fingerprint string `json:"fingerprint"`
}

func (c *cli) keygenCommand() *cobra.Command {
	return c.addJSON(&cobra.Command{
		Use:   "keygen FILE",
		Short: "Make a key to sign catalogues with",
		Long: `Writes a new private key (Ed25519, PKCS #8 in PEM) that only you may read, and prints
its public key for catalogue: key. Keep the file off the machine that serves.`,
		Example: `  kinward lists catalogue keygen catalogue.pem`,
		Args:    exactArgs("the FILE to write"),
		RunE: func(_ *cobra.Command, args []string) error {
			public, private, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				return fmt.Errorf("making a key: %w", err)
			}
			der, err := x509.MarshalPKCS8PrivateKey(private)
			if err != nil {
				return fmt.Errorf("making a key: %w", err)
			}
			if err := writeNew(args[0], pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
				return err
			}
			rep := keyReply{args[0], base64.StdEncoding.EncodeToString(public), blocklists.KeyFingerprint(public)}
			return c.print(rep, func(w io.Writer) {
				fmt.Fprintf(w, "%s holds the private key %s. In the configuration of those who trust it:\ncatalogue:\n  key: %s\n", rep.Path, rep.Fingerprint, rep.Key)
			})
		},
	})
}

// writeNew writes a file that must not be there yet.
func writeNew(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return usageError(fmt.Errorf("%s exists already; name another file", path))
	} else if err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(path)
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// readPrivateKey reads what keygen writes.
func readPrivateKey(path string) (ed25519.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, namedFile(fmt.Errorf("reading the key: %w", err))
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("reading the key: others may read %s; close it with: chmod 600 %s", path, path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	if block, _ := pem.Decode(text); block != nil {
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if private, ok := key.(ed25519.PrivateKey); ok && err == nil {
			return private, nil
		}
	}
	return nil, fmt.Errorf("reading the key: %s holds no private Ed25519 key; make one with: kinward lists catalogue keygen FILE", path)
}

type packReply struct {
	blocklists.Edition
	Path  string `json:"path"`
	Bytes int    `json:"bytes"`
}

func (c *cli) packCommand() *cobra.Command {
	var keyFile, from, date string
	var number int
	cmd := c.addJSON(&cobra.Command{
		Use:   "pack OUT --key FILE --version N",
		Short: "Make a signed catalogue file of a data folder, or of the program's own catalogue",
		Long: `Checks a data folder (as blocklists/data of Kinward's sources) as strictly as the
program checks its own, and signs it. The same input gives the same bytes. The version
has to be above that of the program and of every update before.`,
		Example: `  kinward lists catalogue pack catalogue-7.txt --key catalogue.pem --version 7
  kinward lists catalogue pack catalogue-8.txt --key catalogue.pem --version 8 --from blocklists/data --date 2026-12-01`,
		Args: exactArgs("the file to write, OUT"),
		RunE: func(_ *cobra.Command, args []string) error {
			if keyFile == "" || number < 1 {
				return usageError(errors.New("give the private key with --key, and a --version of 1 or more; see: kinward lists catalogue pack --help"))
			}
			key, err := readPrivateKey(keyFile)
			if err != nil {
				return err
			}
			data := blocklists.EmbeddedFiles()
			if from != "" {
				if _, err := os.Stat(from); err != nil {
					return namedFile(fmt.Errorf("reading the data folder: %w", err))
				}
				data = os.DirFS(from)
			}
			if date == "" {
				date = time.Now().UTC().Format(time.DateOnly)
			}
			file, err := blocklists.PackCatalogue(data, number, date, key)
			if err != nil {
				return err
			}
			packed, err := blocklists.OpenCatalogue(file, key.Public().(ed25519.PublicKey)) // as those who take it will
			if err != nil {
				return err
			}
			if err := writeNew(args[0], file, 0o644); err != nil {
				return err
			}
			rep := packReply{packed.Edition, args[0], len(file)}
			return c.print(rep, func(w io.Writer) {
				fmt.Fprintf(w, "%s: version %d of %s, %d bytes, signed by key %s.\n", rep.Path, rep.Version, rep.Date, rep.Bytes, rep.Key)
				if rep.Version <= blocklists.EmbeddedVersion {
					fmt.Fprintf(w, "Nobody will take it: the catalogue in this program has version %d.\n", blocklists.EmbeddedVersion)
				}
			})
		},
	})
	cmd.Flags().StringVar(&keyFile, "key", "", "file with the private key (required)")
	cmd.Flags().IntVar(&number, "version", 0, "version of the catalogue (required)")
	cmd.Flags().StringVar(&from, "from", "", "data folder to pack (default: the program's own catalogue)")
	cmd.Flags().StringVar(&date, "date", "", "date of the catalogue, YYYY-MM-DD (default today)")
	return cmd
}
