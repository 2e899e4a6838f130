package resolver

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"net/netip"
	"strings"

	"github.com/gaissmai/bart"

	"kinward/policy"
)

// All that the wire can tell about who asks is read here, and nowhere else: what
// the listeners see (server name, path, user, certificate) becomes a token; what a
// forwarder sends along becomes a token, a hardware address or a device's address.
// Which family and device that is, the directory alone decides.

// nobodysToken is the token of whoever named one that cannot be: nobody has it, so
// that the question is refused and never answered for somebody else.
const nobodysToken = "."

// maxLabel is the length of a label, and so of a token (RFC 1035 §2.3.4).
const maxLabel = 63

// asToken returns s where it can be a token: nobody's otherwise. "" is none.
func asToken(s string) string {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
		default:
			return nobodysToken
		}
	}
	if len(s) > maxLabel {
		return nobodysToken
	}
	return s
}

// tokenOfName returns the token in the name by which this server was asked (SNI,
// or a certificate's): the label below name. The server's own name, or one that
// has nothing to do with it, has none.
func tokenOfName(asked, name string) string {
	asked = strings.TrimSuffix(asked, ".")
	at := len(asked) - len(name)
	if name == "" || at < 0 || !strings.EqualFold(asked[at:], name) || at > 0 && asked[at-1] != '.' {
		return ""
	}
	if at == 0 {
		return ""
	}
	if at == 1 {
		return nobodysToken
	}
	return asToken(asked[:at-1]) // two labels hold a dot: nobody's
}

// dohPath is where DoH is served (RFC 8484 leaves it to us).
const dohPath = "/dns-query"

// tokenOfPath returns the token in a DoH path, "/dns-query/TOKEN".
func tokenOfPath(path string) string {
	rest, ok := strings.CutPrefix(path, dohPath)
	if !ok || rest != "" && rest[0] != '/' {
		return nobodysToken // a path that is not served
	}
	return asToken(strings.TrimSuffix(strings.TrimPrefix(rest, "/"), "/"))
}

// tokenOfUser returns the token in HTTP's basic authentication: the user, or where
// there is none the password. Where both are given the user is the token, and the
// password does not count: the token is the secret.
func tokenOfUser(user, password string) string {
	if user == "" {
		user = password
	}
	return asToken(user)
}

// tokenOfCertificate returns the token in a client's certificate, which the
// caller has verified: the label below name of its only DNS name there, or its
// common name where that has no dots.
func tokenOfCertificate(c *x509.Certificate, name string) string {
	token := ""
	for _, n := range c.DNSNames {
		token = oneToken(token, tokenOfName(n, name))
	}
	if cn := c.Subject.CommonName; token == "" && cn != "" {
		if token = tokenOfName(cn, name); token == "" && !strings.Contains(cn, ".") {
			token = asToken(cn)
		}
	}
	return token
}

// oneToken returns the token that several clues agree on. Where they differ it is
// nobody's: one of them is forged, and nothing says which.
func oneToken(tokens ...string) (one string) {
	for _, t := range tokens {
		switch {
		case t == "" || strings.EqualFold(t, one):
		case one == "":
			one = t
		default:
			return nobodysToken
		}
	}
	return one
}

// EDNS options by which forwarders tell who asks.
const (
	optECS      = 8     // RFC 7871; with the whole address it is the device's
	optUmbrella = 20292 // Cisco Umbrella's identity
	optMAC      = 65001 // dnsmasq --add-mac: 6 bytes
	optDeviceID = 65073 // NOMDEVICEID, dnsmasq --add-mac=text|base64
	optCPEID    = 65074 // NOMCPEID, dnsmasq --add-cpe-id: free text
)

// told is what a forwarder sent along. An option that comes twice and differs, or
// that cannot be read, makes what it tells unknown: the forwarder passed on what
// a client of its own had sent.
type told struct {
	token string
	mac   policy.MAC
	host  netip.Addr
	any   bool // something of it was there, readable or not

	badMAC, badHost bool
}

// readTold reads the options of an OPT record, which are whole (see parseOPT).
func readTold(options []byte) (t told) {
	for len(options) >= 4 {
		code, n := word(options, 0), int(word(options, 2))
		if len(options) < 4+n {
			return t
		}
		data := options[4 : 4+n]
		options = options[4+n:]
		switch code {
		case optMAC:
			t.setMAC(macOf(data))
		case optDeviceID:
			t.setMAC(macOfText(data))
		case optCPEID:
			t.any = true
			t.token = oneToken(t.token, tokenOfCPE(data))
		case optECS:
			if a, ok := hostOfECS(data); ok {
				t.setHost(a)
			}
		case optUmbrella:
			t.umbrella(data)
		}
	}
	return t
}

func (t *told) setMAC(m policy.MAC, ok bool) {
	t.any = true
	t.badMAC = t.badMAC || !ok || t.mac != (policy.MAC{}) && t.mac != m
	if t.mac = m; t.badMAC {
		t.mac = policy.MAC{}
	}
}

func (t *told) setHost(a netip.Addr) {
	t.any = true
	t.badHost = t.badHost || t.host.IsValid() && t.host != a
	if t.host = a; t.badHost {
		t.host = netip.Addr{}
	}
}

// macOf reads the 6 bytes of a hardware address. Zeros, and groups, are no
// device's.
func macOf(b []byte) (m policy.MAC, ok bool) {
	if len(b) != len(m) {
		return m, false
	}
	copy(m[:], b)
	return m, m != policy.MAC{} && m[0]&1 == 0
}

// macOfText reads a hardware address as 02:00:5e:10:00:31, or its 6 bytes in
// base64.
func macOfText(b []byte) (m policy.MAC, ok bool) {
	var raw [6]byte
	switch len(b) {
	case 17:
		for i := range raw {
			if i > 0 && b[3*i-1] != ':' && b[3*i-1] != '-' {
				return m, false
			}
			if _, err := hex.Decode(raw[i:i+1], b[3*i:3*i+2]); err != nil {
				return m, false
			}
		}
	case 8:
		if n, err := base64.StdEncoding.Decode(raw[:], b); err != nil || n != len(raw) {
			return m, false
		}
	default:
		return m, false
	}
	return macOf(raw[:])
}

// tokenOfCPE reads the text that a router sends for itself.
func tokenOfCPE(b []byte) string {
	if len(b) == 0 || len(b) > maxLabel {
		return nobodysToken
	}
	return asToken(string(b))
}

// hostOfECS reads a client subnet (RFC 7871 §6) that is a whole address. A shorter
// one tells of a region and no device, and is passed over.
func hostOfECS(b []byte) (a netip.Addr, ok bool) {
	if len(b) < 4 {
		return a, false
	}
	switch family, bits := word(b, 0), b[2]; {
	case family == 1 && bits == 32 && len(b) == 8:
		a = netip.AddrFrom4([4]byte(b[4:]))
	case family == 2 && bits == 128 && len(b) == 20:
		a = netip.AddrFrom16([16]byte(b[4:])).Unmap()
	default:
		return a, false
	}
	return a, !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast()
}

// umbrella reads Umbrella's identity: "ODNS", version 1, flags, then a type of two
// bytes and a value for each thing that is told. The device's 8 bytes are a token
// in hexadecimal digits, as they are written where they are configured.
func (t *told) umbrella(b []byte) {
	t.any = true
	if len(b) < 6 || string(b[:4]) != "ODNS" || b[4] != 1 {
		return
	}
	for b = b[6:]; len(b) >= 2; {
		kind := word(b, 0)
		size := map[uint16]int{0x0004: 4, 0x0008: 4, 0x0010: 4, 0x0020: 16, 0x0040: 8}[kind]
		b = b[2:]
		if size == 0 || len(b) < size { // its length is not known: nothing behind it can be read
			return
		}
		switch value := b[:size]; kind {
		case 0x0010, 0x0020:
			a, _ := netip.AddrFromSlice(value)
			t.setHost(a.Unmap())
		case 0x0040:
			t.token = oneToken(t.token, hex.EncodeToString(value))
		}
		b = b[size:]
	}
}

// gather completes what the listener knows of the asker. Clues in the message
// count only where a trusted forwarder sent it: anybody can write them.
func (s *Server) gather(q *query) {
	if !q.clues.Addr.IsValid() {
		q.clues.Addr = q.from.Addr()
	}
	if q.set.forwards(q.clues.Addr) {
		q.forwarder = true
		if q.options == nil {
			return
		}
		t := readTold(q.options)
		if !t.any {
			return
		}
		q.clues.Token = oneToken(q.clues.Token, t.token)
		q.clues.MAC, q.clues.Host, q.clues.Relayed = t.mac, t.host, true
		return
	}
	if q.clues.Token == "" {
		q.clues.MAC = s.neighbours.mac(q.clues.Addr, q.now)
	}
}

// client returns the address of the device that asks, as far as it is known.
func (q *query) client() netip.Addr {
	a := q.clues.Addr
	if q.clues.Host.IsValid() {
		a = q.clues.Host
	}
	return a.Unmap()
}

// admitted reports whether an asker may be looked at: who is on the allow-list, a
// trusted forwarder, whoever brings a token (only encrypted listeners and
// forwarders let one in), and the addresses that are linked to a family.
func (q *query) admitted() bool {
	return q.set.admits(q.clues.Addr) || q.forwarder || q.clues.Token != "" || q.state.Directory.Linked(q.clues.Addr, q.now)
}

// welcomes is admitted for who has only connected.
func (s *Server) welcomes(a netip.Addr) bool {
	set := s.settings.Load()
	return set.admits(a) || set.forwards(a) || s.state().Directory.Linked(a, s.now())
}

// forwarders are those whose clues are believed.
type forwarders struct {
	bart.Lite
	some bool
}

func (s *settings) forwards(a netip.Addr) bool {
	return s.forwarders.some && s.forwarders.Lookup(a.Unmap().WithZone(""))
}
