package blocklists

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// unpack gives a list to sink, undoing gzip as often as transport and file were
// compressed, and taking the member wanted of a tar archive; and measures it.
// What it is goes by its first bytes, never by a name or a header.
func (f *Fetcher) unpack(m *meter, member string, sink Sink) (Fetched, error) {
	in := bufio.NewReaderSize(m, 32<<10)
	for depth := 0; ; depth++ {
		head, err := in.Peek(2)
		if err != nil && err != io.EOF {
			return Fetched{}, broken(m, err)
		}
		if !bytes.Equal(head, []byte{0x1f, 0x8b}) {
			break
		}
		if depth == 2 {
			return Fetched{}, fmt.Errorf("unpacking: compressed more than twice: %w", ErrArchive)
		}
		zr, err := gzip.NewReader(in)
		if err != nil {
			return Fetched{}, broken(m, err)
		}
		in = bufio.NewReaderSize(&inflated{r: zr, meter: m, most: f.limits.Inflated, ratio: f.limits.Ratio}, 32<<10)
	}
	head, err := in.Peek(tarBlock)
	if err != nil && err != io.EOF {
		return Fetched{}, broken(m, err)
	}
	if isTar(head) {
		return f.fromTar(in, m, member, sink)
	}
	got, err := deliver(in, sink)
	if err != nil {
		return Fetched{}, broken(m, err)
	}
	if err := sink.Finish(); err != nil {
		return Fetched{}, &sinkError{err}
	}
	return got, nil
}

// deliver copies the plain text of a list to sink, which it starts.
func deliver(r io.Reader, sink Sink) (Fetched, error) {
	in := bufio.NewReaderSize(r, 32<<10)
	head, err := in.Peek(1024)
	if err != nil && err != io.EOF {
		return Fetched{}, err
	}
	if err := sniff(bytes.TrimPrefix(head, utf8BOM)); err != nil {
		return Fetched{}, err
	}
	if err := sink.Start(); err != nil {
		return Fetched{}, &sinkError{err}
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(sinkWriter{sink}, sum), in)
	if err != nil {
		return Fetched{}, err
	}
	return Fetched{SHA256: hex.EncodeToString(sum.Sum(nil)), Bytes: n}, nil
}

// sinkWriter marks the errors of a sink.
type sinkWriter struct{ sink Sink }

func (w sinkWriter) Write(b []byte) (int, error) {
	n, err := w.sink.Write(b)
	if err != nil {
		return n, &sinkError{err}
	}
	return n, nil
}

// broken tells a download that was cut or damaged from other errors.
func broken(m *meter, err error) error {
	corrupt := flate.CorruptInputError(0)
	switch {
	case errors.As(err, new(*sinkError)):
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader),
		errors.Is(err, tar.ErrHeader), errors.As(err, &corrupt):
		if m.total >= 0 {
			return fmt.Errorf("reading the list: %s of %s bytes came: %w: %w", thousands(int(m.done)), thousands(int(m.total)), ErrTruncated, err)
		}
		return fmt.Errorf("reading the list: %s bytes came: %w: %w", thousands(int(m.done)), ErrTruncated, err)
	}
	return err
}

// meter counts and limits the bytes downloaded.
type meter struct {
	r        io.Reader
	done     int64
	most     int64
	total    int64 // -1: not known
	progress Progress
}

func (m *meter) Read(b []byte) (int, error) {
	n, err := m.r.Read(b)
	m.done += int64(n)
	if m.done > m.most {
		return 0, fmt.Errorf("more than %s bytes to download: %w", thousands(int(m.most)), ErrListTooLarge)
	}
	if n > 0 && m.progress != nil {
		m.progress(Event{Done: m.done, Total: m.total})
	}
	return n, err
}

// inflated limits what a compressed list may become.
type inflated struct {
	r     io.Reader
	meter *meter
	done  int64
	most  int64
	ratio int64
}

// ratioFrom is the size from which the ratio counts: small lists may be very
// regular.
const ratioFrom = 1 << 20

func (z *inflated) Read(b []byte) (int, error) {
	n, err := z.r.Read(b)
	z.done += int64(n)
	switch {
	case z.done > z.most:
		return 0, fmt.Errorf("unpacking: more than %s bytes: %w", thousands(int(z.most)), ErrBomb)
	case z.done > ratioFrom && z.done > z.ratio*z.meter.done:
		return 0, fmt.Errorf("unpacking: %s bytes out of %s: %w", thousands(int(z.done)), thousands(int(z.meter.done)), ErrBomb)
	}
	return n, err
}
