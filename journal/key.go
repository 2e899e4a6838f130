package journal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"golang.org/x/net/publicsuffix"

	"kinward/blocklists"
	"kinward/policy"
)

// key tells attempts apart that belong to different incidents: a hash, so that
// the map of open incidents holds no pointers and a stored row can be found
// again without opening its details. It is taken from the row once the incident
// has ended, since anybody could hash all services and compare.
type key [16]byte

func (k key) String() string { return hex.EncodeToString(k[:]) }

func parseKey(s string) (k key, ok bool) {
	b, err := hex.DecodeString(s)
	return key(append(b, make([]byte, len(k))...)[:len(k)]), err == nil && len(b) == len(k)
}

// keyOf returns the key of an attempt. domain and client are its registrable
// domain and clientText. buf is memory to work in.
func keyOf(a *policy.Attempt, domain blocklists.Name, client string, buf []byte) (key, []byte) {
	buf = binary.BigEndian.AppendUint64(buf[:0], uint64(a.Family))
	buf = binary.BigEndian.AppendUint64(buf, uint64(a.Profile))
	buf = binary.BigEndian.AppendUint64(buf, uint64(a.Device))
	buf = append(buf, byte(a.Verdict.Action), byte(len(client)))
	buf = append(buf, client...)
	kind := kindOf(a)
	if kind == routine {
		buf = append(buf, 'r')
	}
	switch {
	case kind == offline:
		buf = append(buf, 'o', byte(a.Verdict.Reason))
		buf = binary.BigEndian.AppendUint64(buf, uint64(a.Verdict.Schedule))
	case kind == probe:
		buf = append(buf, 'p')
	case a.Service != "":
		buf = append(append(buf, 's'), a.Service...)
	default:
		// A host of many sites can hold several kinds of them.
		buf = append(append(buf, 'd', byte(a.Verdict.Label.Category)), domain...)
	}
	sum := sha256.Sum256(buf)
	return key(sum[:len(key{})]), buf
}

// kind is what an incident is of, where that is more than its service or domain.
type kind uint8

const (
	ordinary kind = iota
	routine       // names that could lead past the filter, asked for by systems and apps: apart from what somebody wants
	probe         // the canaries, all together: no more than a question whether a filter is there
	offline       // any name while everything is blocked: see DESIGN.md
)

// kindOf returns what an attempt is of. What would be kept in any case, of a
// category or service, is that at bedtime, too.
func kindOf(a *policy.Attempt) kind {
	v := &a.Verdict
	switch {
	case v.Reason == policy.ByCanary:
		return probe
	case v.Bypass == policy.BypassRoutine:
		return routine
	case (v.Reason == policy.ByPause || v.Reason == policy.BySchedule) && v.Label.Depth == 0 && v.Rule == 0:
		return offline
	}
	return ordinary
}

// clientText returns what tells one unknown device of a home from another, "" for
// others; see [policy.KeptClient].
func clientText(a *policy.Attempt) string {
	if addr := policy.KeptClient(a.Device, a.Client); addr.IsValid() {
		return addr.String()
	}
	return ""
}

// about returns the name that an attempt's verdict is about.
func about(a *policy.Attempt) blocklists.Name {
	if a.Hidden != "" {
		return a.Hidden
	}
	return a.Name
}

// registrable returns the registrable domain of n, one label below its public
// suffix, or n itself where it has none. It works on labels: a dot within a
// label separates nothing.
func registrable(n blocklists.Name) blocklists.Name {
	var b strings.Builder
	b.Grow(len(n))
	for off := 0; off < len(n); {
		l := int(n[off])
		if off > 0 {
			b.WriteByte('.')
		}
		for i := off + 1; i <= off+l; i++ {
			if c := n[i]; c > ' ' && c < 0x7f && c != '.' {
				b.WriteByte(c)
			} else {
				b.WriteByte('?') // no public suffix holds one
			}
		}
		off += l + 1
	}
	suffix, _ := publicsuffix.PublicSuffix(b.String())
	return n.Suffix(strings.Count(suffix, ".") + 2)
}

// newID returns the ID of an incident: 48 bits of time and 80 of chance, as in
// a ULID, in hexadecimal.
func newID(ms int64) string {
	var b [16]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	binary.BigEndian.PutUint32(b[0:], uint32(ms>>16))
	binary.BigEndian.PutUint16(b[4:], uint16(ms))
	return hex.EncodeToString(b[:])
}
