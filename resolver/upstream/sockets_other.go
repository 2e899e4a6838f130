//go:build !unix

package upstream

import "net"

// hasHeard reports whether something waits on a socket to be read, or may.
func hasHeard(net.Conn) bool { return true }
