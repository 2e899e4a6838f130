package blocklists

import "golang.org/x/sys/unix"

// adviseHuge asks for large pages under a table of some size: a look-up goes to
// a few places anywhere in it, each of which would need a page of its own found
// first, and a start would wait for thousands of page faults. The kernel may
// decline.
func adviseHuge(mem []byte) {
	const page = 2 << 20
	if len(mem) >= 2*page {
		_ = unix.Madvise(mem, unix.MADV_HUGEPAGE)
	}
}
