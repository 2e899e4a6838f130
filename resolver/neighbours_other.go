//go:build !linux

package resolver

import (
	"net/netip"

	"kinward/policy"
)

// readNeighbours is nil: elsewhere than on Linux devices are known by addresses,
// tokens and what forwarders tell.
var readNeighbours func() (map[netip.Addr]policy.MAC, error)
