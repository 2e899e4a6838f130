//go:build !linux

package resolver

import (
	"net"
	"net/netip"
	"syscall"
)

// Elsewhere than on Linux one socket serves an address, and on an unspecified
// one the system chooses where answers leave from: listen on each address by
// itself there.
const (
	canSharePort = false
	msgTruncated = 0
	oobLen       = 0
)

func sharePort(_, _ string, _ syscall.RawConn) error { return nil }
func growReadBuffer(c *net.UDPConn)                  { c.SetReadBuffer(udpReadBuffer) }
func wantDestination(*net.UDPConn) error             { return nil }
func replyFrom([]byte) []byte                        { return nil }
func sentAt([]byte) netip.Addr                       { return netip.Addr{} }
