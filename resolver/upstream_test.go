package resolver

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// checkParsed compares what was read with what it should print, or with part of
// the error, after "!".
func checkParsed(t *testing.T, in string, got fmt.Stringer, err error, want string) {
	t.Helper()
	if part, isErr := strings.CutPrefix(want, "!"); isErr {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: error %v, want one with %q", in, err, part)
		}
		return
	}
	if err != nil || got.String() != want {
		t.Errorf("%q: %v, %v, want %s", in, got, err, want)
	}
}

func TestParseUpstream(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want string
		is   error
	}{
		{"udp://9.9.9.9", "udp://9.9.9.9:53", nil},
		{"udp://9.9.9.9:5353", "udp://9.9.9.9:5353", nil},
		{"tcp://[2620:fe::fe]", "tcp://[2620:fe::fe]:53", nil},
		{"tcp://[2620:fe::fe]:5353", "tcp://[2620:fe::fe]:5353", nil},
		{"udp://[::ffff:9.9.9.9]", "udp://9.9.9.9:53", nil},
		{"9.9.9.9", "udp://9.9.9.9:53", nil},
		{"9.9.9.9:54", "udp://9.9.9.9:54", nil},
		{"2620:fe::fe", "udp://[2620:fe::fe]:53", nil},
		{"udp://dns.quad9.net", "!give its IP address", ErrUpstreamHostName},
		{"tls://9.9.9.9", "!later version", ErrEncryptedUpstream},
		{"https://dns.quad9.net/dns-query", "!later version", ErrEncryptedUpstream},
		{"quic://9.9.9.9", "!later version", ErrEncryptedUpstream},
		{"http://9.9.9.9", `!scheme "http" is unknown`, nil},
		{"udp://9.9.9.9:0", "!not between 1 and 65535", nil},
		{"udp://9.9.9.9:70000", "!not between 1 and 65535", nil},
		{"udp://9.9.9.9/path", "!only an address and a port", nil},
		{"udp://user@9.9.9.9", "!only an address and a port", nil},
		{"udp://user:secret@9.9.9.9", `!reading upstream "***@9.9.9.9"`, nil},
		{"udp://user:sec/ret@9.9.9.9", `!reading upstream "***@9.9.9.9": only an address`, nil},
		{"udp://0.0.0.0", "!not the address of a server", nil},
		{"udp://224.0.0.1", "!not the address of a server", nil},
		{"udp://", "!the address is missing", nil},
		{"", `!reading upstream ""`, nil},
		{"udp://9.9.9.9:x", "!reading upstream", nil},
	} {
		u, err := ParseUpstream(tt.in)
		checkParsed(t, tt.in, u, err, tt.want)
		if tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%q: error %v is not %v", tt.in, err, tt.is)
		}
	}
}
