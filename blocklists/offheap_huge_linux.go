package blocklists

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is what most processors can map as one page.
const hugePage = 2 << 20

// hugeSlack is how much more than a table's size is mapped, so that it can begin
// where a large page does. What is not used takes no memory.
func hugeSlack(size int) int {
	if size < 2*hugePage {
		return 0
	}
	return hugePage
}

// huge returns the part of a mapping that a table of some size is to take, on
// large pages if the kernel will: a look-up goes to a few places anywhere in it,
// each of which would need a page of its own found first. All of it is made
// present at once, since a start would wait for thousands of page faults.
func huge(mem []byte, size int) []byte {
	if len(mem) == size {
		return mem
	}
	skip := -uintptr(unsafe.Pointer(unsafe.SliceData(mem))) % hugePage
	mem = mem[skip : int(skip)+size]
	_ = unix.Madvise(mem, unix.MADV_HUGEPAGE)
	_ = unix.Madvise(mem, unix.MADV_POPULATE_WRITE)
	return mem
}
