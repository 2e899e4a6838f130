package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"kinward/blocklists"
	"kinward/certs"
	"kinward/console"
	"kinward/setup"
	"kinward/store"
)

// passLife is how long a link that works once waits for its use, which is at once;
// an invitation's is inviteLife.
const passLife = 24 * time.Hour

// resolveConsole checks where the console answers.
func (c *config) resolveConsole(s *settings) error {
	if c.Console == "" {
		if c.ConsoleURL != "" {
			return errors.New("console-url: the console is off; set console to an address, for example 127.0.0.1:8053")
		}
		return nil
	}
	if err := checkListenAddr("console", c.Console); err != nil {
		return err
	}
	if c.ConsoleURL == "" {
		return nil
	}
	u, err := url.Parse(c.ConsoleURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("console-url: %q is not a URL like https://kinward.example.org", maskURL(c.ConsoleURL))
	}
	if _, err := netip.ParseAddr(u.Hostname()); err != nil {
		if _, err := blocklists.ParseName(u.Hostname()); err != nil {
			return fmt.Errorf("console-url: %w", err)
		}
	}
	s.consoleURL = &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}
	return nil
}

// openConsole opens the console; nil where it is off. Away from loopback it is
// encrypted where there is a certificate: what comes to loopback comes from this
// machine, or from a reverse proxy on it.
func (n *node) openConsole(ctx context.Context, s *settings, keeper *certs.Keeper, registry *prometheus.Registry) (*console.Server, error) {
	if n.cfg.Console == "" {
		return nil, nil
	}
	accounts := n.db.Accounts()
	key, err := accounts.Key(ctx)
	if err != nil {
		return nil, err
	}
	c := console.Config{
		Listen: n.cfg.Console, URL: n.consoleURL(s), Proxies: s.proxies.Web, Reach: n.consoleReach(s), Accounts: accounts, Key: key,
		Desk: newDesk(n), Operations: operationTypes(), Device: n.deviceAt, Changed: n.refresh, Logger: n.log, Registerer: registry,
	}
	if n.cfg.TLS.Name != "" {
		c.Hosts = append(c.Hosts, strings.ToLower(n.cfg.TLS.Name))
	}
	if n.consoleTLS(s) {
		c.TLS = tlsWith(keeper, nil)
	}
	server, err := console.New(c)
	if err != nil {
		return nil, explainBindError(err)
	}
	return server, nil
}

// consoleTLS reports whether the console itself encrypts.
func (n *node) consoleTLS(s *settings) bool {
	return s.certs != nil && !netip.MustParseAddrPort(n.cfg.Console).Addr().IsLoopback()
}

// consoleURL is what the console is called from elsewhere; nil where it has no
// public name.
func (n *node) consoleURL(s *settings) *url.URL {
	switch {
	case s.consoleURL != nil:
		return s.consoleURL
	case n.cfg.Console == "" || !n.consoleTLS(s):
		return nil
	}
	host := strings.ToLower(n.cfg.TLS.Name)
	if port := netip.MustParseAddrPort(n.cfg.Console).Port(); port != 443 {
		host = net.JoinHostPort(host, fmt.Sprint(port))
	}
	return &url.URL{Scheme: "https", Host: host}
}

// consoleBase returns the URL that links to the console begin with. running is
// where it answers; "" where it is not known to.
func (n *node) consoleBase(s *settings, running string) string {
	if u := n.consoleURL(s); u != nil {
		return u.String()
	}
	if running == "" {
		running = n.cfg.Console
	}
	at := netip.MustParseAddrPort(running)
	if at.Addr().IsUnspecified() {
		if home, ok := homeAddress(); ok {
			at = netip.AddrPortFrom(home, at.Port())
		} else {
			at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
		}
	}
	return "http://" + at.String()
}

// consoleReach says how phones come to the console, and what has to be done where
// they cannot.
func (n *node) consoleReach(s *settings) (r console.Reach) {
	base := n.consoleBase(s, "")
	u, err := url.Parse(base)
	if err != nil {
		return r
	}
	r.Secure = u.Scheme == "https"
	if a, err := netip.ParseAddr(u.Hostname()); err != nil || !a.IsLoopback() {
		r.Here = base
	}
	if home, ok := homeAddress(); ok && r.Here == "" {
		_, port, _ := net.SplitHostPort(n.cfg.Console) // checked in resolve
		r.Home = net.JoinHostPort(home.String(), port)
	}
	return r
}

// openFirst makes the link that sets the console up, "" where that is done.
func (n *node) openFirst(ctx context.Context) (secret string, until time.Time, err error) {
	secret, until = console.NewPassSecret(), time.Now().Add(passLife)
	err = n.db.Accounts().First(ctx, secret, until)
	if errors.Is(err, store.ErrConflict) {
		return "", until, nil
	}
	return secret, until, err
}

// consoleBanner tells where the console is, and how it is set up where nobody has
// an account yet.
func (c *cli) consoleBanner(ctx context.Context, n *node, s *settings, server *console.Server) error {
	if server == nil {
		return nil
	}
	base := n.consoleBase(s, server.Addr())
	fmt.Fprintf(c.out, "\nThe console, for guardians: %s\n", base)
	secret, until, err := n.openFirst(ctx)
	if err != nil || secret == "" {
		return err
	}
	link := base + console.PassPath(store.PassFirst, secret)
	fmt.Fprintf(c.out, "Set it up by this link, which works once, until %s:\n  %s\n", shown(until, time.Local), link)
	c.linkCode(c.out, link)
	fmt.Fprint(c.out, reachText(n.consoleReach(s), n.cfg))
	return nil
}

// linkCode draws a link for a phone's camera, where a person sees it and a phone
// can come there.
func (c *cli) linkCode(w io.Writer, link string) {
	u, err := url.Parse(link)
	if err != nil || !isTerminal(c.out) {
		return
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && a.IsLoopback() {
		return
	}
	if code, err := setup.NewQR(link); err == nil {
		fmt.Fprint(w, code.Text())
	}
}

// reachText says how a phone comes to the console, and what that is worth.
func reachText(r console.Reach, cfg *config) string {
	switch {
	case r.Secure:
		return "Phones reach it there, encrypted, at home and away.\n"
	case r.Here != "":
		return "Phones at home reach it there with a password. It is plain HTTP: whoever listens in the same network can\n" +
			"read along. With a public name and a certificate (tls: name) it is encrypted, and passkeys work.\n"
	case r.Home != "":
		return fmt.Sprintf("It answers this machine alone. For phones at home, start with:  --console %s\n"+
			"(plain HTTP with a password: whoever listens in the same network can read along), or give the server a public\n"+
			"name and a certificate (tls: name, in deploy/kinward.yaml), and a --console address that is not loopback.\n", r.Home)
	}
	return ""
}
