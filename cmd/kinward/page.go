package main

import (
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"

	"kinward/console"
)

// openBlockPage opens the page that says why something is blocked; nil where the
// operator wants none.
func (n *node) openBlockPage(set *settings, r prometheus.Registerer) (*console.BlockPage, error) {
	if set.blockPage == "" {
		return nil, nil
	}
	b, err := console.NewBlockPage(console.Config{Listen: set.blockPage, URL: n.consoleURL(set), Desk: newDesk(n), Device: n.deviceAt, Logger: n.log, Registerer: r})
	if err != nil {
		return nil, explainBindError(err)
	}
	return b, nil
}

// deviceAt returns the child that asks from an address, by the rules of DNS in
// plain.
func (n *node) deviceAt(from netip.Addr) (console.Actor, bool) {
	if n.serving == nil {
		return console.Actor{}, false
	}
	who, ok := n.serving.server.WhoAt(from)
	if !ok {
		return console.Actor{}, false
	}
	return console.Actor{Family: who.Family, Child: &console.Child{Profile: who.Profile, Device: who.Device}}, true
}
