package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"kinward/policy"
	"kinward/setup"
)

// setupRequest asks for what a device or a router is to be set up with.
type setupRequest struct {
	Device   string `json:"device,omitempty"` // its name or a clue; "" where a router is meant
	Platform string `json:"platform,omitempty"`
	Renew    bool   `json:"renew,omitempty"` // make another token, and take the old ones away
	Look     bool   `json:"look,omitempty"`  // make nothing: say what is there
}

// setupReply is what the owner of the data folder knows for a set-up.
type setupReply struct {
	Values  setup.Values `json:"values"`
	Changed *changed     `json:"changed,omitempty"` // a token was made
	// Missing: something has to be made first, and was not, since it was only to be
	// looked at.
	Missing bool `json:"missing"`
}

var opDeviceSetup = operation[change[setupRequest], setupReply]{"devices-setup", deviceSetup}

// needsSecret lists the platforms whose guide tells the family by a secret.
var needsSecret = []string{"openwrt", "router"}

func deviceSetup(ctx context.Context, n *node, req change[setupRequest], _ progress) (setupReply, error) {
	r := setupReply{Values: setup.Values{Server: n.cfg.TLS.Name, Home: homeAddresses(n.cfg)}}
	do := req.Do
	// Before anything is made: what cannot work is said first.
	if r.Values.Server == "" && do.Platform == "" {
		return r, usageError(errors.New(noPublicName("a device away from home")))
	}
	if do.Platform != "" {
		try := r.Values
		try.Token = "token"
		if _, err := setup.For(do.Platform, try); errors.Is(err, setup.ErrNoPublicName) {
			return r, usageError(errors.New(noPublicName(do.Platform)))
		} else if err != nil {
			return r, usageError(err)
		}
	}
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return r, err
	}
	var tokens []string
	if do.Device != "" {
		d, err := f.Device(do.Device)
		if err != nil {
			return r, coded(about1("setting up device", do.Device, err))
		}
		tokens = d.Tokens
		r.Values.Device, r.Values.Name = strconv.FormatInt(int64(d.ID), 10), d.Name
	}
	secrets := f.Tokens
	var edits []func(*edit) (string, error)
	if do.Device != "" && (do.Renew || len(tokens) == 0) {
		tokens = []string{policy.NewToken()}
		edits = append(edits, func(e *edit) (string, error) {
			return e.update(do.Device, policy.DeviceChange{Tokens: tokens})
		})
	}
	if slices.Contains(needsSecret, do.Platform) && (len(secrets) == 0 || do.Renew && do.Device == "") {
		secrets = []string{policy.NewToken()}
		edits = append(edits, func(e *edit) (string, error) { return e.f.SetTokens(secrets) })
	}
	if len(edits) > 0 && do.Look {
		r.Missing = true
		return r, nil
	}
	if len(edits) > 0 {
		made, err := n.change(ctx, req.about, func(e *edit) (string, error) {
			if do.Device == "" {
				e.note("It is the word behind add-cpe-id in the steps, for a router that asks for everybody. If yours only hands out Kinward's address, take this change back.")
			}
			var all []string
			for _, f := range edits {
				what, err := f(e)
				if err != nil {
					return "", err
				}
				all = append(all, what)
			}
			return strings.Join(all, "; "), nil
		})
		if err != nil {
			return r, err
		}
		r.Changed = &made
	}
	r.Values.Family = strconv.FormatInt(int64(f.ID), 10)
	if len(tokens) > 0 {
		r.Values.Token = tokens[0]
	}
	if len(secrets) > 0 {
		r.Values.Secret = secrets[0]
	}
	return r, nil
}

// noPublicName says what has to be there before a platform can be set up.
func noPublicName(platform string) string {
	return fmt.Sprintf(`this server has no public name, and without one nothing away from home can ask it; %s needs one. Before the set-up:
  1. a name of your own that leads to this home, such as dns.example.org, and *.dns.example.org, too
  2. a certificate for both
  3. in the configuration: "tls: {name: dns.example.org}"
  4. in the router: the ports 853 and 443 (TCP) forwarded to this machine
See what is missing with: {kinward} doctor. At home, devices need none of this: {kinward} devices setup --for router`, platform)
}

// homeAddresses are the addresses at which devices of the home ask: those that are
// listened on, or where that is all, this machine's own in private networks.
func homeAddresses(cfg *config) (out []netip.Addr) {
	all := false
	for _, s := range cfg.DNS {
		switch a := netip.MustParseAddrPort(s).Addr().Unmap(); { // checked in resolve
		case a.IsUnspecified():
			all = true
		case !a.IsLoopback() && a.Zone() == "":
			out = append(out, a)
		}
	}
	if !all {
		return out
	}
	for _, a := range machineAddrs() {
		if a.IsPrivate() {
			out = append(out, a)
		}
	}
	return out
}

// setupView is what the command shows.
type setupView struct {
	Device  string       `json:"device,omitempty"`
	Host    string       `json:"host,omitempty"`
	URL     string       `json:"url,omitempty"`
	Guide   *setup.Guide `json:"guide,omitempty"`
	Changed *changed     `json:"changed,omitempty"`
	Files   []string     `json:"files"`
	Signed  bool         `json:"signed"`
	text    string
}

// setupFlags are the flags of "devices setup".
type setupFlags struct {
	platform, out, alias, certificate, key string
	addresses                              []string
	renew                                  bool
	profile                                setup.Profile
}

func (c *cli) deviceSetupCommand() *cobra.Command {
	var o setupFlags
	cmd := &cobra.Command{
		Use:   "setup [NAME]",
		Short: "Show how to make a device or a router ask here, with your own values",
		Long: `Makes the device's private-DNS name, if it has none, and shows the steps for one kind
of device: ` + strings.Join(setup.Platforms(), ", ") + `.
For a router no NAME is needed. For openwrt and router a secret is made for the family,
if it has none: what the router sends with each question, so that the family is known
by it from anywhere. Where the router only hands out Kinward's address it is not used;
the output says when it was made, and how to take it back.

The private-DNS name is a secret: whoever knows it is taken for the device. --renew
makes another and takes the old one away; the device then has to be set up again.

--out writes the steps, the QR code (SVG and PNG) and the Apple profile to a folder.
A profile is signed with the server's certificate, or the one that is given, and works
without. --locked keeps whoever holds an Apple device from switching it off; Apple heeds
that on supervised devices alone.`,
		Example: `  kinward devices setup Phone --for android
  kinward devices setup "Lea's phone" --for iphone --out for-lea
  kinward devices setup Phone --for android --alias lea --renew
  kinward devices setup --for openwrt`,
		Args: rangeArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.deviceSetup(cmd, args, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.platform, "for", "", "what to set up: "+strings.Join(setup.Platforms(), ", "))
	f.StringVar(&o.out, "out", "", "folder to write files to (an Apple profile is written in any case, here if nothing else is said)")
	f.StringVar(&o.alias, "alias", "", "a word before the label, to tell names apart: letters and digits, seen on the way")
	f.BoolVar(&o.renew, "renew", false, "make another private-DNS name; the old one ends at once")
	f.StringArrayVar(&o.addresses, "address", nil, "public address of this server, for devices that want one (Windows, Linux); repeatable")
	f.BoolVar(&o.profile.DoT, "over-tls", false, "Apple: DNS over TLS instead of HTTPS")
	f.BoolVar(&o.profile.Locked, "locked", false, "Apple, supervised devices: whoever holds it cannot switch it off")
	f.StringVar(&o.certificate, "certificate", "", "Apple: sign with this certificate (default: the one that the server has)")
	f.StringVar(&o.key, "key", "", "Apple: the certificate's key")
	return c.addJSON(cmd)
}

func (c *cli) deviceSetup(cmd *cobra.Command, args []string, o setupFlags) error {
	if o.platform != "" && !slices.Contains(setup.Platforms(), o.platform) {
		return usageError(fmt.Errorf("--for: there is no guide for %q; there are: %s", o.platform, strings.Join(setup.Platforms(), ", ")))
	}
	req := setupRequest{Platform: o.platform, Renew: o.renew}
	if len(args) > 0 {
		req.Device = args[0]
	} else if g, err := setup.For(o.platform, setup.Values{}); err != nil || g.Away {
		return usageError(errors.New("kinward devices setup needs the NAME of a device, unless it is --for a router; see: kinward devices"))
	}
	var public []netip.Addr
	for _, s := range o.addresses {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return usageError(fmt.Errorf("--address: %q is not an address", s))
		}
		public = append(public, a)
	}
	cfg, err := c.config(cmd)
	if err != nil {
		return err
	}
	rep, err := opDeviceSetup.call(cmd.Context(), cfg, change[setupRequest]{c.about, req}, nil)
	if err != nil {
		return c.calledError(err)
	}
	v := rep.Values
	v.Public = public
	if o.alias != "" && v.Token != "" {
		v.Token = strings.ToLower(o.alias) + "-" + v.Token
	}
	view, err := c.makeSetup(cmd.Context(), cfg, v, o)
	if err != nil {
		return c.calledError(err)
	}
	view.Changed = rep.Changed
	return c.print(view, func(w io.Writer) { printSetup(w, view) })
}

// makeSetup makes the texts and files of a set-up.
func (c *cli) makeSetup(ctx context.Context, cfg *config, v setup.Values, o setupFlags) (*setupView, error) {
	view := &setupView{Device: v.Name, Host: v.Host(), URL: v.URL(), Files: []string{}}
	files := map[string][]byte{}
	slug := fileName(v.Name)
	if o.platform == "" {
		view.text = overview(v)
	} else {
		g, err := setup.For(o.platform, v)
		if err != nil {
			return nil, usageError(err)
		}
		view.Guide, view.text = &g, g.Text()
		files[slug+"-"+o.platform+".txt"] = []byte(g.Text())
		if g.Profile {
			profile, err := setup.MobileConfig(v, o.profile)
			if err != nil {
				return nil, err
			}
			if profile, view.Signed, err = sign(ctx, cfg, profile, o); err != nil {
				return nil, err
			}
			files[slug+".mobileconfig"] = profile
		}
	}
	if o.platform == "android" || o.platform == "" && v.Host() != "" {
		q, err := setup.NewQR(v.Host())
		if err != nil {
			return nil, err
		}
		files[slug+".svg"], files[slug+".png"] = []byte(q.SVG("Private DNS name of "+v.Name)), q.PNG()
		if isTerminal(c.out) {
			view.text += "\n" + q.Text()
		} else if o.out == "" {
			view.text += "\nThe QR code is shown on a terminal, or written with --out.\n"
		}
	}
	return view, view.write(files, o.out)
}

// write writes files, which hold secrets, for their owner alone.
func (view *setupView) write(files map[string][]byte, out string) error {
	for _, name := range sortedKeys(files) {
		if out == "" && !strings.HasSuffix(name, ".mobileconfig") {
			continue
		}
		if out != "" {
			if err := os.MkdirAll(out, 0o700); err != nil {
				return fmt.Errorf("making the folder for the set-up: %w", err)
			}
		}
		path := filepath.Join(out, name)
		// Anew, so that nobody who has the old file open reads along.
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("writing the set-up: %w", err)
		}
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return fmt.Errorf("writing the set-up: %w", err)
		}
		_, err = file.Write(files[name])
		if err = errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("writing the set-up: %w", err)
		}
		view.Files = append(view.Files, path)
	}
	return nil
}

// sign signs a profile with the certificate that is given or configured in files, or
// else with the one that serve holds, if any.
func sign(ctx context.Context, cfg *config, profile []byte, o setupFlags) ([]byte, bool, error) {
	certificate, key := cfg.TLS.Certificate, cfg.TLS.Key
	if o.certificate != "" || o.key != "" {
		certificate, key = o.certificate, o.key
	}
	if certificate == "" && key == "" {
		rep, err := opDeviceSign.call(ctx, cfg, signing{Profile: profile}, nil)
		return rep.Profile, rep.Signed, err
	}
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, false, fmt.Errorf("reading the certificate to sign with (%s, %s): %w", certificate, key, err)
	}
	signed, err := signWith(profile, &pair)
	return signed, err == nil, err
}

func signWith(profile []byte, pair *tls.Certificate) ([]byte, error) {
	var chain []*x509.Certificate
	for _, der := range pair.Certificate {
		one, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("reading the certificate to sign with: %w", err)
		}
		chain = append(chain, one)
	}
	return setup.Sign(profile, chain, pair.PrivateKey)
}

// fileName makes a file's name of a device's.
func fileName(device string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r == ' ' || r == '-' || r == '_':
			return '-'
		}
		return -1
	}, device)
	if name = strings.Trim(name, "-"); name == "" {
		return "kinward"
	}
	return "kinward-" + name
}

// overview is what is shown where no platform was named.
func overview(v setup.Values) string {
	return fmt.Sprintf("Private DNS (Android, DoT):  %s\nDNS over HTTPS:              %s\n\nFor the steps: {kinward} devices setup %s --for %s\n",
		v.Host(), v.URL(), shellQuote(v.Name), strings.Join(setup.Platforms(), "|"))
}

func printSetup(w io.Writer, v *setupView) {
	if v.Changed != nil {
		printChanged(w, *v.Changed)
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, v.text)
	for i, f := range v.Files {
		if i == 0 {
			fmt.Fprintln(w)
		}
		note := ""
		if strings.HasSuffix(f, ".mobileconfig") && !v.Signed {
			note = " (not signed: the device says so, and takes it all the same)"
		}
		fmt.Fprintf(w, "Written: %s%s\n", f, note)
	}
	if v.Host != "" {
		fmt.Fprintln(w, "\nThe device's name and these files are its key: give them to nobody else.")
		fmt.Fprintf(w, "Then see that it works: {kinward} devices check %s\n", shellQuote(v.Device))
	}
}
