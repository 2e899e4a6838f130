package blocklists

// seenSet remembers which entries a list had, in bounded memory: all of them up
// to seenLimit, beyond that a sample that thins out as the list grows. So in a
// short list every entry that comes again is found, and in a long one as many
// are found as let their number be estimated.
type seenSet struct {
	table []uint64 // open addressing; 0 is free
	used  int
	thin  uint // only hashes whose low bits, so many, are 0 are kept
}

// seenLimit entries take 2 MB.
const seenLimit = 1 << 17

// add notes a hash and reports whether it was there, and for how many entries
// that one counts.
func (s *seenSet) add(h uint64) (again bool, weight int) {
	if h&(1<<s.thin-1) != 0 {
		return false, 0
	}
	if h == 0 {
		h = 1 << 63 // 0 marks a free place
	}
	if s.used >= len(s.table)/2 {
		s.grow()
		if h&(1<<s.thin-1) != 0 {
			return false, 0
		}
	}
	if !s.insert(h) {
		return true, 1 << s.thin
	}
	return false, 0
}

// has reports whether a hash is known to have been added.
func (s *seenSet) has(h uint64) bool {
	if h == 0 {
		h = 1 << 63
	}
	if len(s.table) == 0 {
		return false
	}
	for mask, i := len(s.table)-1, int(h>>20); ; i++ {
		switch s.table[i&mask] {
		case 0:
			return false
		case h:
			return true
		}
	}
}

// insert puts a hash in the table, and reports false where it stands already.
func (s *seenSet) insert(h uint64) bool {
	mask := len(s.table) - 1
	for i := int(h>>20) & mask; ; i = (i + 1) & mask {
		switch s.table[i] {
		case 0:
			s.table[i] = h
			s.used++
			return true
		case h:
			return false
		}
	}
}

// grow doubles the table, or, at its limit, keeps every other entry.
func (s *seenSet) grow() {
	old := s.table
	size := max(1024, 2*len(old))
	if len(old) >= 2*seenLimit {
		size = len(old)
		s.thin++
	}
	s.table, s.used = make([]uint64, size), 0
	for _, h := range old {
		if h != 0 && h&(1<<s.thin-1) == 0 {
			s.insert(h)
		}
	}
}
