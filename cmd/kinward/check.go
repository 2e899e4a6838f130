package main

import (
	"fmt"
	"io"
	"net/netip"
	"net/url"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"kinward/certs"
	"kinward/resolver"
)

func (c *cli) checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration and print what would be in force",
		Long: `Reads the configuration as serve would (file, KINWARD_… variables, flags), checks it
as a whole, and prints what would be in force. Secrets are masked. Nothing is started
and nothing is written.`,
		Example: `  kinward check
  kinward check --config /etc/kinward/kinward.yaml
  kinward check --dns 192.168.1.10:53 --json`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.config(cmd)
			if err != nil {
				return err
			}
			if err := cfg.checkSelf(); err != nil {
				return usageError(err)
			}
			effective := map[string]any{}
			text, err := yaml.Marshal(cfg.masked())
			if err != nil {
				return err
			}
			if err := yaml.Unmarshal(text, &effective); err != nil { // the keys as in the file, for JSON
				return err
			}
			return c.print(effective, func(w io.Writer) {
				fmt.Fprintf(w, "# The configuration is valid. In force would be:\n%s", text)
				if open := everybody(cfg.AllowNet); open != "" {
					fmt.Fprintf(w, "# Be aware: allow-net %s is everybody. An open resolver is soon used to attack others.\n", open)
				}
				if cfg.TLS.Certificate != "" {
					if err := (certs.Files{Certificate: cfg.TLS.Certificate, Key: cfg.TLS.Key}).Check(cfg.TLS.Name); err != nil {
						fmt.Fprintf(w, "# Be aware: tls: %v. Until that is mended no encrypted question is answered.\n", err)
					}
				}
			})
		},
	}
	addSettingFlags(cmd)
	return c.addJSON(cmd)
}

// checkSelf refuses upstreams that serve would refuse, since it would ask itself. It is
// for check alone: other commands may know the configuration without serve's flags.
func (c *config) checkSelf() error {
	set, err := c.resolve()
	if err != nil {
		return err
	}
	var listen []netip.AddrPort
	for _, a := range c.DNS {
		listen = append(listen, netip.MustParseAddrPort(a))
	}
	for _, u := range set.upstreams {
		if err := resolver.CheckSelf(listen, u); err != nil {
			return err
		}
	}
	for _, r := range set.forward {
		for _, u := range r.Upstreams {
			if err := resolver.CheckSelf(listen, u); err != nil {
				return err
			}
		}
	}
	return nil
}

// masked returns a copy that may be shown to anybody.
func (c *config) masked() *config {
	out := *c
	out.Upstream = maskURLs(c.Upstream)
	out.Forward = make([]forwardConfig, len(c.Forward))
	for i, f := range c.Forward {
		out.Forward[i] = forwardConfig{f.Domain, maskURLs(f.Upstream)}
	}
	out.ACME = c.ACME.masked()
	out.Alerts = c.Alerts.masked()
	return &out
}

func maskURLs(urls []string) []string {
	out := make([]string, len(urls))
	for i, u := range urls {
		out[i] = maskURL(u)
	}
	return out
}

// maskURL hides the credentials of a URL; a text that is none is returned as it
// is.
func maskURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.User == nil {
		return s
	}
	u.User = nil
	return u.Scheme + "://***@" + u.Host + u.RequestURI()
}
