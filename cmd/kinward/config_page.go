package main

import (
	"fmt"
	"net/netip"

	"kinward/resolver"
)

// resolvePage reads where the block page is served, and where devices find it.
func (c *config) resolvePage(s *settings) error {
	for _, text := range c.Portal {
		a, err := netip.ParseAddr(text)
		to := &s.page.V4
		if err == nil && a.Is6() {
			to = &s.page.V6
		}
		switch {
		case err != nil:
			return fmt.Errorf("portal: %q is not an address; write it like 192.168.1.10", text)
		case a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsLinkLocalUnicast():
			return fmt.Errorf("portal: %s cannot be given to devices; give an address of this server that they reach", text)
		case to.IsValid():
			return fmt.Errorf("portal: %s and %s: give one IPv4 and one IPv6 address at most", *to, text)
		}
		*to = a
	}
	if c.BlockPage == "" {
		return nil
	}
	at, err := netip.ParseAddrPort(c.BlockPage)
	if a, alone := netip.ParseAddr(c.BlockPage); alone == nil {
		at, err = netip.AddrPortFrom(a, 80), nil // a browser asks no other port
	}
	if err != nil {
		return fmt.Errorf("block-page: %q is not an address; write it like 192.168.1.10, or [::]:80 for all", c.BlockPage)
	}
	s.blockPage, s.page.Served = at.String(), true
	// Where it answers at one address, that is where devices are sent.
	if a := at.Addr().Unmap(); !a.IsUnspecified() && len(c.Portal) == 0 {
		if s.page = (resolver.Page{Served: true, V4: a}); a.Is6() {
			s.page = resolver.Page{Served: true, V6: a}
		}
	}
	return nil
}

// pageWith is where devices find the page after a reload: its listener is what it
// was at the start.
func (n *node) pageWith(s *settings) resolver.Page {
	old, err := n.cfg.resolve()
	if err != nil || s.blockPage == old.blockPage {
		return s.page
	}
	return old.page
}
