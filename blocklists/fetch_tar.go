package blocklists

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Archives of lists hold a folder a category, with the file "domains" in it,
// beside "urls" and "expressions", which no DNS filter can use, and "usage",
// which says whether the names are meant to be blocked or allowed (UT1, the
// lists of the University of Toulouse). Nothing of an archive is written to
// disk under its own name.

const (
	tarBlock    = 512
	listMember  = "domains"
	usageMember = "usage"
	namesShown  = 40 // members that an error lists
)

// isTar tells a tar archive by its mark or by the checksum of its first header,
// which archives without the mark have too.
func isTar(head []byte) bool {
	if len(head) > 262 && string(head[257:262]) == "ustar" {
		return true
	}
	if len(head) < tarBlock || head[0] == 0 {
		return false
	}
	want, err := strconv.ParseUint(strings.Trim(string(head[148:156]), " \x00"), 8, 32)
	if err != nil {
		return false
	}
	var sum uint64
	for i, c := range head[:tarBlock] {
		if 148 <= i && i < 156 {
			c = ' ' // the checksum counts as blanks
		}
		sum += uint64(c)
	}
	return sum == want
}

// tarScan is one reading of an archive.
type tarScan struct {
	want  string // the member wanted; "" for the only list there is
	sink  Sink
	most  int64
	found string // the member that went to the sink
	also  string // another one that fits as well
	got   Fetched
	names []string          // of the files
	links map[string]string // name → where it leads
	allow map[string]bool   // folders whose names are to be allowed
}

// fromTar gives the member wanted to sink, and reads the rest to the end, so
// that the whole is known to be undamaged.
func (f *Fetcher) fromTar(in io.Reader, m *meter, member string, sink Sink) (Fetched, error) {
	s := &tarScan{sink: sink, most: f.limits.Inflated, links: map[string]string{}, allow: map[string]bool{}}
	if member != "" {
		var err error
		if s.want, err = memberName(member); err != nil {
			return Fetched{}, err
		}
	}
	tr := tar.NewReader(in)
	for count := 0; ; count++ {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return Fetched{}, broken(m, err)
		}
		if count == f.limits.Members {
			return Fetched{}, fmt.Errorf("unpacking: more than %s files: %w", thousands(f.limits.Members), ErrArchive)
		}
		if err := s.member(h, tr); err != nil {
			return Fetched{}, broken(m, err)
		}
	}
	if _, err := io.Copy(io.Discard, in); err != nil { // to gzip's checksum
		return Fetched{}, broken(m, err)
	}
	if err := s.judge(); err != nil {
		return Fetched{}, err
	}
	if err := sink.Finish(); err != nil {
		return Fetched{}, &sinkError{err}
	}
	return s.got, nil
}

// memberName cleans the name of an archive's member, and refuses one that leads
// out of it.
func memberName(name string) (string, error) {
	clean := path.Clean(name)
	if name == "" || path.IsAbs(name) || strings.ContainsAny(name, "\\\x00") || clean == ".." || strings.HasPrefix(clean, "../") ||
		slices.Contains(strings.Split(name, "/"), "..") {
		return "", fmt.Errorf("unpacking: the name %s leads out of the archive: %w", strconv.Quote(clip(name)), ErrArchive)
	}
	return clean, nil
}

func (s *tarScan) member(h *tar.Header, r io.Reader) error {
	name, err := memberName(h.Name)
	if err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeReg:
	case tar.TypeSymlink, tar.TypeLink: // never followed
		s.links[name] = h.Linkname
		return nil
	default:
		return nil
	}
	s.names = append(s.names, name)
	if path.Base(name) == usageMember {
		text, err := io.ReadAll(io.LimitReader(r, 4096))
		if err != nil {
			return err
		}
		s.allow[path.Dir(name)] = isAllowUsage(text)
		return nil
	}
	if !s.wanted(name) {
		return nil
	}
	if s.found != "" {
		s.also = name
		return nil
	}
	s.found = name
	// A sparse member has more bytes than the archive: count them again.
	s.got, err = deliver(&capped{r: r, left: s.most}, s.sink)
	return err
}

func (s *tarScan) wanted(name string) bool {
	if s.want == "" {
		return path.Base(name) == listMember
	}
	return name == s.want || name == s.want+"/"+listMember || strings.HasSuffix(name, "/"+s.want+"/"+listMember) // below a top folder
}

// isAllowUsage reads a usage file: comments, and "white" or "black" on lines of
// their own. A list that may serve as both is one to block.
func isAllowUsage(text []byte) bool {
	white, black := false, false
	for line := range bytes.Lines(text) {
		switch string(bytes.ToLower(trimBlank(line))) {
		case "white":
			white = true
		case "black":
			black = true
		}
	}
	return white && !black
}

func (s *tarScan) judge() error {
	switch {
	case s.found == "":
		return s.missing()
	case s.also != "":
		return fmt.Errorf("unpacking: both %s and %s could be meant: name one (--member); inside are %s: %w",
			exampleText([]byte(s.found)), exampleText([]byte(s.also)), s.inside(), ErrMember)
	case s.allow[path.Dir(s.found)]:
		return fmt.Errorf("unpacking %s: %w", exampleText([]byte(s.found)), ErrAllowList)
	}
	return nil
}

func (s *tarScan) missing() error {
	if s.want == "" {
		return fmt.Errorf("unpacking: no file is called %q: name the one wanted (--member); inside are %s: %w", listMember, s.inside(), ErrMember)
	}
	for _, name := range []string{s.want, path.Dir(s.want)} {
		if to, ok := s.links[name]; ok {
			return fmt.Errorf("unpacking: %s is another name for %s: name that one (--member): %w",
				exampleText([]byte(name)), exampleText([]byte(path.Join(path.Dir(name), to))), ErrMember)
		}
	}
	return fmt.Errorf("unpacking: there is no %s: inside are %s: %w", exampleText([]byte(s.want)), s.inside(), ErrMember)
}

// inside lists the files that could be a list, for a person to choose from.
func (s *tarScan) inside() string {
	var names []string
	for _, n := range s.names {
		if path.Base(n) == listMember && !s.allow[path.Dir(n)] {
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		for _, n := range s.names {
			if path.Base(n) != usageMember {
				names = append(names, n)
			}
		}
	}
	if len(names) == 0 {
		return "no files"
	}
	slices.Sort(names)
	more := ""
	if n := len(names) - namesShown; n > 0 {
		names, more = names[:namesShown], fmt.Sprintf(" and %s more", thousands(n))
	}
	for i, n := range names {
		names[i] = exampleText([]byte(n))
	}
	return strings.Join(names, ", ") + more
}

// capped is an io.LimitedReader that calls it a bomb when there is more.
type capped struct {
	r    io.Reader
	left int64
}

func (c *capped) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if c.left -= int64(n); c.left < 0 {
		return 0, fmt.Errorf("unpacking: a file of the archive is too large: %w", ErrBomb)
	}
	return n, err
}
