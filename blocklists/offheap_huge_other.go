//go:build unix && !linux

package blocklists

func adviseHuge([]byte) {}
