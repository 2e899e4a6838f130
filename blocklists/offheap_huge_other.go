//go:build unix && !linux

package blocklists

func hugeSlack(int) int { return 0 }

func huge(mem []byte, _ int) []byte { return mem }
