//go:build !unix

package blocklists

func offHeap(_ *Index, n int) []uint64 { return make([]uint64, n) }
