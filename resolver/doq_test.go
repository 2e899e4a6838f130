package resolver

import (
	"errors"
	"testing"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go"
)

// RFC 9250 §4.2, §4.2.1, §4.3.3, §5.5.2.
func TestRFC9250(t *testing.T) {
	s := startSecure(t)
	wire := packed(msgFor("ok.example.", dns.TypeA, zeroID))
	keepalive := packed(msgFor("ok.example.", dns.TypeA, zeroID, func(m *dns.Msg) {
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: dns.EDNS0TCPKEEPALIVE})
	}))
	for _, tt := range []struct {
		name string
		wire []byte
		ends bool // the connection, with DOQ_PROTOCOL_ERROR
	}{
		{"a question", frame(wire), false},
		{"an ID", frame(packed(msgFor("ok.example.", dns.TypeA, func(m *dns.Msg) { m.Id = 7 }))), true},
		{"two questions on one stream", append(frame(wire), frame(wire)...), true},
		{"half a question", frame(wire)[:20], true},
		{"nothing", nil, true},
		{"the option edns-tcp-keepalive", frame(keepalive), true},
	} {
		conn := s.dialQUIC(DoQ, s.client(serverName, "doq"))
		got, err := askStream(t, conn, tt.wire, true)
		var app *quic.ApplicationError
		if errors.As(err, &app) != tt.ends || tt.ends && app.ErrorCode != doqProtocolError {
			t.Errorf("%s: %v, want the connection's end: %v", tt.name, err, tt.ends)
		}
		if !tt.ends && len(unpacked(t, got[2:]).Answer) != 2 {
			t.Errorf("%s: %x", tt.name, got)
		}
	}
	conn := s.dialQUIC(DoQ, s.client(serverName, "doq"))
	if _, err := askStream(t, conn, frame(make([]byte, 5000)), true); err == nil {
		t.Error("a question longer than any was answered")
	}
	for range 300 { // more than streams at once
		if _, err := askStream(t, conn, frame(wire), true); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.SendDatagram([]byte("x")); err == nil {
		t.Error("datagrams are taken")
	}
	if _, err := conn.OpenUniStream(); err == nil {
		t.Error("a client may open a stream that has no answer")
	}
}
