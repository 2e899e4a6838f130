package main

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"kinward/blocklists"
)

// parseHost reads the name of a host as people give it: a name, with or without
// "*." in front, or the address of a page, of which the host is taken. What can
// be no host's name is refused, since a rule for it would never match, and an
// explanation of it would reassure for nothing.
func (n *node) parseHost(s string) (blocklists.Name, error) {
	text := strings.TrimSpace(s)
	if strings.Contains(text, "://") {
		u, err := url.Parse(text)
		if err != nil || u.Hostname() == "" {
			return "", fmt.Errorf("%q is no address of a page that holds a name; give the name alone, for example example.com", s)
		}
		text = u.Hostname()
	}
	text = strings.TrimPrefix(text, "*.")
	if _, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return "", fmt.Errorf("%q is an address; DNS rules are about names, for example example.com", s)
	}
	if strings.ContainsAny(text, " /@:*?#\t") {
		return "", fmt.Errorf("%q is no name of a host; give one like example.com", s)
	}
	name, err := blocklists.ParseName(text)
	if err != nil {
		return "", err
	}
	if name == "" {
		return "", errors.New("give the name of a host, for example example.com")
	}
	if name.Labels() == 1 {
		if svc, ok := n.catalogue.Load().Service(strings.ToLower(text)); ok && len(svc.Domains) > 0 {
			return "", fmt.Errorf("%q is a service, not a name; its names are %s … To choose about the service: {kinward} profiles choose PROFILE %s block",
				s, svc.Domains[0].Name, svc.ID)
		}
	}
	return name, nil
}
