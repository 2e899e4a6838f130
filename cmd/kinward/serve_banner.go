package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/resolver"
)

// banner tells a person who started the program what it does and what to do
// next.
func (c *cli) banner(ctx context.Context, n *node, set *settings, home *policy.Family, flags *pflag.FlagSet) error {
	s, server := n.current.Load(), n.serving.server
	w := c.out
	var addrs []string
	for _, a := range server.Addrs() {
		addrs = append(addrs, a.String())
	}
	fmt.Fprintf(w, "Kinward %s answers DNS questions on %s (UDP and TCP).\n", version(), strings.Join(addrs, " and "))
	for _, a := range server.SecureAddrs() {
		fmt.Fprintf(w, "Encrypted, by %s: %s\n", schemeWords[a.Scheme], a.Addr)
	}
	if metrics := n.serving.web.addr(); metrics != "" {
		fmt.Fprintf(w, "Health and metrics: http://%s/healthz and http://%s/metrics\n", metrics, metrics)
		if n.cfg.Pprof {
			fmt.Fprintf(w, "Profiles, for this machine alone: http://%s/debug/pprof/\n", metrics)
		}
	}
	if page := n.serving.page; page != nil {
		fmt.Fprintf(w, "Why something is blocked: http://%s/, for devices that ask here\n", page.Addr())
	}
	fmt.Fprintf(w, "What it keeps: %s\n", n.cfg.Data)
	fmt.Fprintf(w, "What is allowed is resolved by %s (another: --upstream tls://NAME?ip=ADDRESS).\n\n", upstreamWords(n.cfg.Upstream))

	if household, ok := s.Directory.Household(); !ok {
		fmt.Fprintln(w, "Whoever is no known device is refused.")
	} else {
		blocked, watched := chosen(s, household.Policy)
		fmt.Fprintf(w, "Every device that asks here has the profile %q (preset %s, %s).\n",
			profileNames(home)[household.Profile], household.Policy.Preset, household.Policy.Preset.Ages())
		fmt.Fprint(w, itemized("  Blocked and recorded:  ", blocked))
		if len(watched) > 0 {
			fmt.Fprint(w, itemized("  Allowed and recorded:  ", watched))
		}
	}
	fmt.Fprintf(w, "  %d services and %d domain names (in the catalogue and your lists) are known. Help lines stay open, and are never recorded.\n", s.Index.Services(), s.Index.Names())
	k := c.prefix
	fmt.Fprintf(w, `
This applies to adults' devices too. To exempt one, by its address:
  %[1]s devices exempt 192.168.1.20

Try it, in another terminal:
  dig @%[2]s omegle.com%[3]s
  %[1]s explain omegle.com
  %[1]s incidents
  %[1]s lists directory
  %[1]s doctor
`, k, server.Addrs()[0].Addr(), digPort(server.Addrs()[0].Port()))
	if open := everybody(n.cfg.AllowNet); open != "" {
		fmt.Fprintf(w, "\nBE AWARE: allow-net %s is everybody. An open resolver is soon used to attack others; name your own networks.\n", open)
	}
	err := c.consoleBanner(ctx, n, set, n.serving.console)
	c.wholeHome(n, server, flags)
	return err
}

func digPort(port uint16) string {
	if port == 53 {
		return ""
	}
	return fmt.Sprintf(" -p %d", port)
}

// commandPrefix is how to call this program again as it was called with flags: with
// the same configuration and data folder.
func commandPrefix(c *config, flags *pflag.FlagSet) string {
	words := []string{program()}
	file := flags.Lookup("config")
	if file.Changed {
		words = append(words, "--config", file.Value.String())
	}
	if c.Data != defaultDataFolder() && (!file.Changed || flags.Changed("data")) {
		words = append(words, "--data", c.Data)
	}
	return shellJoin(words)
}

// shellJoin writes words as a line that a shell reads back as them.
func shellJoin(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = shellQuote(w)
	}
	return strings.Join(quoted, " ")
}

func shellQuote(word string) string {
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("-_./:=@,+%[]", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// wholeHome says how to serve the whole home, unless that is what runs.
func (c *cli) wholeHome(n *node, server *resolver.Server, flags *pflag.FlagSet) {
	var own []string
	for _, a := range server.Addrs() {
		own = append(own, a.String())
		if a.Port() == 53 && !a.Addr().IsLoopback() {
			fmt.Fprintf(c.out, "\nIn the router, hand out this machine's address as the home's only DNS server (DHCP).\n")
			return
		}
	}
	home := "ADDRESS-OF-THIS-MACHINE"
	if a, ok := homeAddress(); ok {
		home = a.String()
	}
	line := []string{program(), "serve", "--dns", net.JoinHostPort(home, "53"), "--data", n.cfg.Data}
	flags.Visit(func(f *pflag.Flag) { // as it was started, but for these two
		switch list, many := f.Value.(pflag.SliceValue); {
		case f.Name == "dns" || f.Name == "data":
		case many:
			for _, v := range list.GetSlice() {
				line = append(line, "--"+f.Name, v)
			}
		default:
			line = append(line, "--"+f.Name, f.Value.String())
		}
	})
	fmt.Fprintf(c.out, "\nTo serve the whole home, on port 53 (stop this one first, with Ctrl-C):\n"+
		"  sudo setcap cap_net_bind_service=+ep %s && %s\n"+
		"then, in the router, hand out %s as the home's only DNS server (DHCP).\n",
		shellQuote(programFile(program())), shellJoin(line), home)
	holders := others(port53Holders("/proc"), own) // this one is to be stopped anyway
	if len(holders) == 0 {
		fmt.Fprintf(c.out, "Nothing else holds port 53 now.\n")
	}
	for _, h := range holders {
		fmt.Fprintf(c.out, "%s holds port 53 on %s now. To let it go:\n     %s\n", h.who(), h.Address, letGo(h))
	}
}

// everybody returns the network among nets that holds all addresses, "" if none
// does.
func everybody(nets []string) string {
	for _, n := range nets {
		if p, err := netip.ParsePrefix(n); err == nil && p.Bits() == 0 {
			return n
		}
	}
	return ""
}

func upstreamWords(upstreams []string) string {
	if slices.Equal(upstreams, defaultConfig().Upstream) {
		return "Quad9, 9.9.9.9 and 149.112.112.112, over TLS"
	}
	return strings.Join(upstreams, " and ")
}

// chosen lists the names of the categories that a policy blocks and watches,
// the most serious first.
func chosen(s *policy.State, p *policy.Policy) (blocked, watched []string) {
	type ranked struct {
		rank int
		name string
	}
	var b, w []ranked
	for c, info := range s.Index.Categories() {
		switch r := (ranked{info.Rank, info.Name}); p.Category(blocklists.Category(c)).Action() {
		case policy.Block:
			b = append(b, r)
		case policy.Watch:
			w = append(w, r)
		}
	}
	names := func(rs []ranked) (out []string) {
		slices.SortFunc(rs, func(a, b ranked) int { return a.rank - b.rank })
		for _, r := range rs {
			out = append(out, r.name)
		}
		return out
	}
	return names(b), names(w)
}
