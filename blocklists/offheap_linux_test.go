package blocklists

import (
	"encoding/binary"
	"os"
	"runtime"
	"testing"
	"time"
	"unsafe"
)

const mark = 0x6b696e77617264 // what nothing else would have at its start

// marked reports whether the memory at an address is there and begins with mark:
// something else may be mapped in its place as soon as it went back.
func marked(t *testing.T, at uintptr) bool {
	t.Helper()
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	var b [8]byte
	_, err = mem.ReadAt(b[:], int64(at))
	return err == nil && binary.NativeEndian.Uint64(b[:]) == mark
}

// TestTableMemory: a large table begins where a large page does, is zeroed to its
// last word, and its memory goes back when its index is garbage.
func TestTableMemory(t *testing.T) {
	const words = 64<<20/8 + 24
	x := new(Index)
	table := offHeap(x, words)
	at := uintptr(unsafe.Pointer(unsafe.SliceData(table)))
	if len(table) != words || table[0] != 0 || table[words-1] != 0 {
		t.Errorf("a table of %d words, %d and %d at its ends; want %d, zeroed", len(table), table[0], table[words-1], words)
	}
	if at%hugePage != 0 {
		t.Errorf("the table begins at %#x, in the middle of a large page", at)
	}
	table[0] = mark
	if !marked(t, at) {
		t.Fatal("a table in use is not mapped")
	}
	runtime.KeepAlive(x)
	for range 1000 { // cleanups run on a goroutine of their own, after a collection
		runtime.GC()
		if !marked(t, at) {
			return
		}
		runtime.Gosched()
	}
	t.Error("the table of an index that is garbage is still mapped")
}

// TestIndexMemoryIsGivenBack: indexes that nobody holds any more do not pile up.
func TestIndexMemoryIsGivenBack(t *testing.T) {
	names := benchmarkNames(50_000)
	before := offHeapBytes.Load()
	for range 40 {
		x := benchmarkIndex(t, names)
		if offHeapBytes.Load() < before+50_000*8 {
			t.Fatal("an index of 50,000 names takes nothing outside the heap")
		}
		runtime.KeepAlive(x)
	}
	grown := func() int64 { return offHeapBytes.Load() - before }
	for end := time.Now().Add(time.Minute); grown() > 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		runtime.GC() // cleanups run after a collection, in their own goroutine
	}
	if n := grown(); n > 0 {
		t.Errorf("after 40 indexes %d bytes more are held", n)
	}
}
