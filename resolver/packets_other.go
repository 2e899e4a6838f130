//go:build !linux

package resolver

import "net"

// newPackets returns what reads and sends on conn, and how many datagrams at a
// time.
func newPackets(conn *net.UDPConn) (packets, int, error) { return &onePacket{conn: conn}, 1, nil }
