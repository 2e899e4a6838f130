//go:build unix

package blocklists

import (
	"runtime"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// offHeapBytes is the memory that offHeap returned and that was not given back yet.
var offHeapBytes atomic.Int64

// offHeap returns n zeroed words outside the garbage collector's heap, which
// are given back once owner is garbage. There the table neither counts towards
// the heap's growth nor is scanned, and its memory returns to the system at
// once. It is anonymous memory, not a mapped file: a file that is cut short
// under a running server then has no way to end the process.
func offHeap(owner *Index, n int) []uint64 {
	if n == 0 {
		return nil
	}
	mem, err := unix.Mmap(-1, 0, n*8+hugeSlack(n*8), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]uint64, n) // the heap does as well
	}
	offHeapBytes.Add(int64(len(mem)))
	runtime.AddCleanup(owner, func(mem []byte) {
		if unix.Munmap(mem) == nil {
			offHeapBytes.Add(-int64(len(mem)))
		}
	}, mem)
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(huge(mem, n*8)))), n)
}
