package blocklists

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A catalogue file carries a whole catalogue: a header, the files of the data
// folder in the order of their paths, and a signature over all before it. It is
// plain text, so that people can read and compare what they are asked to trust:
//
//	kinward-catalogue 1
//	version 7
//	date 2026-12-01
//	key 2f1ce0aa91b3d4f7
//	sha256 (of all from the next line to the signature)
//	files 26
//	file catalogue/adult.txt 3995
//	(3995 bytes)file catalogue/…
//	signature (Ed25519, RFC 8032, in base64)
//
// There is one way to write a catalogue: the same data, version, date and key
// give the same bytes, and a file that is written in any other way is refused.

// What can be wrong with a catalogue file, beside what is wrong with its files.
var (
	ErrNotCatalogue   = errors.New("it is no catalogue file; make one with: kinward lists catalogue pack")
	ErrPackDamaged    = errors.New("the catalogue file is damaged or was changed after it was signed: fetch it again")
	ErrWrongKey       = errors.New("the catalogue file is signed by another key than catalogue: key")
	ErrPackTooLarge   = errors.New("the catalogue file is larger than a catalogue can be")
	ErrBadKey         = errors.New("want an Ed25519 public key in base64, as kinward lists catalogue keygen prints it")
	ErrNewFormat      = errors.New("the catalogue file has a newer form than this program reads: update Kinward")
	errNotOurSpelling = errors.New("it is not written as Kinward writes it")
)

// MaxCatalogueFile is the most bytes that a catalogue file can have. Today's
// has 230,000.
const MaxCatalogueFile = 4 << 20

const (
	packMagic     = "kinward-catalogue "
	packFormat    = 1
	maxPackFiles  = 64
	maxVersion    = 1<<31 - 1
	sigPrefix     = "signature "
	sigLineLength = len(sigPrefix) + 88 + 1 // 64 bytes in base64, and the end of the line
)

// ParseCatalogueKey reads a public key in base64.
func ParseCatalogueKey(text string) (ed25519.PublicKey, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("reading key %q: %w", clip(text), ErrBadKey)
	}
	return ed25519.PublicKey(b), nil
}

// KeyFingerprint returns 16 hex digits that tell one public key from another,
// for people; "" for no key.
func KeyFingerprint(key ed25519.PublicKey) string {
	if len(key) == 0 {
		return ""
	}
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// EmbeddedFiles returns the data folder in the program, as PackCatalogue takes
// it.
func EmbeddedFiles() fs.FS {
	data, err := fs.Sub(embedded, "data")
	if err != nil {
		panic(err) // the folder's name is a constant
	}
	return data
}

// PackCatalogue makes a catalogue file of a data folder. The folder must load;
// files beside those of a catalogue are not taken.
func PackCatalogue(data fs.FS, version int, date string, key ed25519.PrivateKey) ([]byte, error) {
	if version < 1 || version > maxVersion {
		return nil, fmt.Errorf("packing a catalogue: version %d is not between 1 and %d", version, maxVersion)
	}
	if _, err := time.Parse(time.DateOnly, date); err != nil {
		return nil, fmt.Errorf("packing a catalogue: date %q: want YYYY-MM-DD", date)
	}
	files, err := readCatalogueFiles(data)
	if err == nil {
		_, err = loadCatalogue(files)
	}
	if err != nil {
		return nil, fmt.Errorf("packing a catalogue: %w", err)
	}
	body := encodePack(packed{version, date, KeyFingerprint(key.Public().(ed25519.PublicKey)), files})
	file := appendSignature(body, ed25519.Sign(key, body))
	if len(file) > MaxCatalogueFile {
		return nil, fmt.Errorf("packing a catalogue: %s bytes: %w", thousands(len(file)), ErrPackTooLarge)
	}
	return file, nil
}

// OpenCatalogue checks a catalogue file against a public key and loads it as
// strictly as [Embedded]. Nothing of a file with a wrong signature is used.
func OpenCatalogue(file []byte, key ed25519.PublicKey) (*Catalogue, error) {
	p, err := verifyPack(file, key)
	if err != nil {
		return nil, fmt.Errorf("opening the catalogue: %w", err)
	}
	c, err := loadCatalogue(p.files)
	if err != nil {
		return nil, fmt.Errorf("opening the catalogue, version %d: %w", p.version, err)
	}
	sum := sha256.Sum256(file)
	c.Edition = Edition{Version: p.version, Date: p.date, Key: p.key, SHA256: hex.EncodeToString(sum[:])}
	return c, nil
}

// packed is what a catalogue file says, before its files are understood.
type packed struct {
	version int
	date    string
	key     string // KeyFingerprint of the signer, as the file claims
	files   map[string][]byte
}

func verifyPack(file []byte, key ed25519.PublicKey) (packed, error) {
	switch {
	case len(key) != ed25519.PublicKeySize:
		return packed{}, ErrBadKey
	case len(file) > MaxCatalogueFile:
		return packed{}, fmt.Errorf("%s bytes, the most is %s: %w", thousands(len(file)), thousands(MaxCatalogueFile), ErrPackTooLarge)
	case !bytes.HasPrefix(file, []byte(packMagic)):
		return packed{}, ErrNotCatalogue
	}
	if format, _, ok := strings.Cut(string(file[len(packMagic):min(len(file), 64)]), "\n"); ok {
		if n, err := strconv.Atoi(format); err == nil && n > packFormat {
			return packed{}, fmt.Errorf("form %d, this program reads %d: %w", n, packFormat, ErrNewFormat)
		}
	}
	cut := len(file) - sigLineLength
	if cut < 0 {
		return packed{}, ErrPackDamaged
	}
	body := file[:cut]
	line := strings.TrimSuffix(strings.TrimPrefix(string(file[cut:]), sigPrefix), "\n")
	sig, err := base64.StdEncoding.Strict().DecodeString(line)
	if err != nil || !bytes.Equal(appendSignature(nil, sig), file[cut:]) {
		return packed{}, fmt.Errorf("its last line is no signature: %w", ErrPackDamaged)
	}
	if !ed25519.Verify(key, body, sig) {
		// Only to say what is wrong: nothing below is trusted.
		p, err := parsePack(body)
		if err == nil && p.key != KeyFingerprint(key) {
			return packed{}, fmt.Errorf("key %s, catalogue: key is %s: %w", p.key, KeyFingerprint(key), ErrWrongKey)
		}
		if err == nil {
			err = errors.New("its signature is wrong")
		}
		return packed{}, fmt.Errorf("%w: %w", err, ErrPackDamaged)
	}
	p, err := parsePack(body)
	if err == nil && p.key != KeyFingerprint(key) {
		err = fmt.Errorf("it calls its key %q", clip(p.key))
	}
	if err != nil {
		return packed{}, fmt.Errorf("%w: %w", err, ErrPackDamaged)
	}
	return p, nil
}

func appendSignature(body, sig []byte) []byte {
	file := append(slices.Clip(body), sigPrefix...)
	file = base64.StdEncoding.AppendEncode(file, sig)
	return append(file, '\n')
}

// encodePack writes all of a catalogue file but its signature.
func encodePack(p packed) []byte {
	var content bytes.Buffer
	fmt.Fprintf(&content, "files %d\n", len(p.files))
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		fmt.Fprintf(&content, "file %s %d\n", name, len(p.files[name]))
		content.Write(p.files[name])
	}
	head := fmt.Sprintf("%s%d\nversion %d\ndate %s\nkey %s\nsha256 %x\n",
		packMagic, packFormat, p.version, p.date, p.key, sha256.Sum256(content.Bytes()))
	return append([]byte(head), content.Bytes()...)
}

// parsePack reads what encodePack writes, and nothing else. The files share
// their memory with body.
func parsePack(body []byte) (packed, error) {
	r := packReader{rest: body}
	r.field(strings.TrimSuffix(packMagic, " "))
	p := packed{version: r.number("version"), date: r.field("date"), key: r.field("key")}
	r.field("sha256")
	n := r.number("files")
	if r.err == nil && n > maxPackFiles {
		r.err = fmt.Errorf("%d files are too many", n)
	}
	p.files = make(map[string][]byte, min(n, maxPackFiles))
	for i := 0; i < n && r.err == nil; i++ {
		r.file(p.files)
	}
	if r.err != nil {
		return packed{}, r.err
	}
	if _, err := time.Parse(time.DateOnly, p.date); err != nil {
		return packed{}, fmt.Errorf("date %q: want YYYY-MM-DD", clip(p.date))
	}
	if p.version < 1 || p.version > maxVersion {
		return packed{}, fmt.Errorf("version %d is not between 1 and %d", p.version, maxVersion)
	}
	// One spelling: no file twice, none out of order, nothing behind the last, no
	// other hash, no zeros in front of a number.
	if !bytes.Equal(encodePack(p), body) {
		return packed{}, errNotOurSpelling
	}
	return p, nil
}

// packReader takes a catalogue file apart. After the first error it does
// nothing.
type packReader struct {
	rest []byte
	err  error
}

// line takes a line off, without its end.
func (r *packReader) line() string {
	if r.err != nil {
		return ""
	}
	i := bytes.IndexByte(r.rest[:min(len(r.rest), 256)], '\n')
	if i < 0 {
		r.err = errors.New("a line has no end")
		return ""
	}
	line := string(r.rest[:i])
	r.rest = r.rest[i+1:]
	return line
}

func (r *packReader) field(key string) string {
	line := r.line()
	value, ok := strings.CutPrefix(line, key+" ")
	if !ok && r.err == nil {
		r.err = fmt.Errorf("line %q: want %s", clip(line), key)
	}
	return value
}

func (r *packReader) number(key string) int {
	value := r.field(key)
	if r.err != nil {
		return 0
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 {
		r.err = fmt.Errorf("%s %q is no number", key, clip(value))
	}
	return n
}

// file takes a file off and enters it.
func (r *packReader) file(files map[string][]byte) {
	value := r.field("file")
	if r.err != nil {
		return
	}
	name, size, _ := strings.Cut(value, " ")
	n, err := strconv.Atoi(size)
	switch {
	case err != nil || n < 0 || n > len(r.rest):
		r.err = fmt.Errorf("file %q with %q bytes, of which %d are there", clip(name), clip(size), len(r.rest))
		return
	case !slices.Contains(catalogueFiles, name) && !strings.HasPrefix(name, servicesFolder+"/"):
		r.err = fmt.Errorf("file %q is none of a catalogue", clip(name))
		return
	}
	files[name] = r.rest[:n:n]
	r.rest = r.rest[n:]
}
