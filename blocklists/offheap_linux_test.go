package blocklists

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

// mapped reports whether an address belongs to the process's memory.
func mapped(t *testing.T, at uintptr) bool {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		if _, err := fmt.Sscanf(line, "%x-%x ", &from, &to); err == nil && from <= at && at < to {
			return true
		}
	}
	return false
}

// TestTableMemory: a large table begins where a large page does, is zeroed to its
// last word, and its memory goes back when its index is garbage.
func TestTableMemory(t *testing.T) {
	const words = 64<<20/8 + 24 // large enough that nothing else takes its place
	x := new(Index)
	table := offHeap(x, words)
	at := uintptr(unsafe.Pointer(unsafe.SliceData(table)))
	if len(table) != words || table[0] != 0 || table[words-1] != 0 {
		t.Errorf("a table of %d words, %d and %d at its ends; want %d, zeroed", len(table), table[0], table[words-1], words)
	}
	if at%hugePage != 0 {
		t.Errorf("the table begins at %#x, in the middle of a large page", at)
	}
	if !mapped(t, at) {
		t.Fatal("a table in use is not mapped")
	}
	runtime.KeepAlive(x)
	for range 1000 { // cleanups run on a goroutine of their own, after a collection
		runtime.GC()
		if !mapped(t, at) {
			return
		}
		runtime.Gosched()
	}
	t.Error("the table of an index that is garbage is still mapped")
}
