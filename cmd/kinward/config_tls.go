package main

import (
	"errors"
	"fmt"

	"kinward/blocklists"
)

// tlsConfig says how devices away from home reach the server.
type tlsConfig struct {
	Name        string `mapstructure:"name" yaml:"name"` // public; "" is none
	Certificate string `mapstructure:"certificate" yaml:"certificate"`
	Key         string `mapstructure:"key" yaml:"key"`
}

func (c tlsConfig) check() error {
	if c.Name != "" {
		n, err := blocklists.ParseName(c.Name)
		if err != nil || n.String() != c.Name || n.Parent() == "" {
			return fmt.Errorf("name: %q is not a public host name; write it in lower case and without a dot at its end, like dns.example.org", c.Name)
		}
	}
	if (c.Certificate == "") != (c.Key == "") {
		return errors.New("certificate and key belong together: give both, or neither")
	}
	return nil
}
