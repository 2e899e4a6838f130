package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"kinward/policy"
	"kinward/store"
)

// A linked address is one from which a home asks in plain, that its provider
// changes now and then, and that its router reports by itself.

// linkLife is how long an address is a family's after its router last reported it.
// Routers report at once when it changes, and else every day to every month,
// depending on their maker; what does not report for a week is told to.
const linkLife = 7 * 24 * time.Hour

// linkRenew: an address that is reported again is kept for longer once it has been
// so long, so that a router that reports every minute does not write every minute.
const linkRenew = time.Hour

type linkReply struct {
	Family    string        `json:"family"`
	Token     string        `json:"token"`
	Password  string        `json:"password,omitempty"` // told once, when it is made
	URL       string        `json:"url"`
	Made      time.Time     `json:"made"`
	Addresses []linkedReply `json:"addresses"`
}

type linkedReply struct {
	Network string    `json:"network"`
	Until   time.Time `json:"until"`
	Over    bool      `json:"over"`
}

var (
	opLink       = operation[about, linkReply]{"families-link", linkShow}
	opLinkMake   = operation[about, linkReply]{"families-link-make", linkMake}
	opLinkRevoke = operation[about, done]{"families-link-revoke", linkRevoke}
)

func (c *cli) linkCommand() *cobra.Command {
	group := showCommand(c, opLink, &cobra.Command{
		Use:   "link",
		Short: "Recognise a home whose public address changes, by what its router reports",
		Long: `Plain DNS has no name or password: a family is recognised by the address that it asks
from. Where the provider changes that address, the home's router reports the new one to
Kinward, as to any dynamic DNS service (the protocol is "dyndns2"). Kinward links the
address that the report comes from, whatever address stands in it: a password must not
be enough to have another home's questions answered and recorded as one's own. It is
linked for 7 days from each report, to one family at a time.

It does not work behind a carrier's NAT, where many homes share an address. Encrypted
DNS needs none of this: see kinward devices.`,
		Example: `  kinward families link --family Miller
  kinward families link make --family Miller
  kinward families link revoke --family Miller`,
	}, printLink)
	make := showCommand(c, opLinkMake, &cobra.Command{
		Use:     "make",
		Short:   "Make the router's user and password; the ones before are worth nothing then",
		Example: `  kinward families link make --family Miller`,
	}, printLink)
	revoke := showCommand(c, opLinkRevoke, &cobra.Command{
		Use:     "revoke",
		Short:   "Take the router's password away, and forget the address",
		Example: `  kinward families link revoke --family Miller`,
	}, printDone)
	group.AddCommand(make, revoke)
	return group
}

func linkShow(ctx context.Context, n *node, who about, _ progress) (linkReply, error) {
	f, _, err := n.family(ctx, who.Family)
	if err != nil {
		return linkReply{}, err
	}
	l, err := n.db.LinkOf(ctx, f.ID)
	if err != nil {
		return linkReply{}, coded(err)
	}
	return n.linkReply(f, l), nil
}

func (n *node) linkReply(f *policy.Family, l *store.Link) linkReply {
	r := linkReply{Family: f.Name, Token: l.Token, URL: n.linkURL(l.Token), Made: l.Made, Addresses: []linkedReply{}}
	for _, a := range l.Addresses {
		r.Addresses = append(r.Addresses, linkedReply{networkText(a.Network), a.Until.In(zoneOf(f)), !time.Now().Before(a.Until)})
	}
	return r
}

// linkURL is what a router calls.
func (n *node) linkURL(token string) string {
	return "https://" + n.publicName() + linkPath + "?hostname=" + token
}

// publicName returns the server's public name, or what stands for it where none
// is set.
func (n *node) publicName() string { return cmp.Or(n.cfg.TLS.Name, "NAME-OF-THIS-SERVER") }

func linkMake(ctx context.Context, n *node, who about, _ progress) (linkReply, error) {
	f, _, err := n.family(ctx, who.Family)
	if err != nil {
		return linkReply{}, err
	}
	var secret [16]byte
	rand.Read(secret[:])
	token := policy.NewToken()
	password := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret[:]))
	before, err := n.db.MakeLink(ctx, f.ID, token, password)
	if err != nil {
		return linkReply{}, coded(err)
	}
	if err := n.unlink(ctx, f.ID, before); err != nil {
		return linkReply{}, err
	}
	l, err := n.db.LinkOf(ctx, f.ID)
	if err != nil {
		return linkReply{}, coded(err)
	}
	r := n.linkReply(f, l)
	r.Password = password
	return r, nil
}

func linkRevoke(ctx context.Context, n *node, who about, _ progress) (done, error) {
	f, _, err := n.family(ctx, who.Family)
	if err != nil {
		return done{}, err
	}
	before, err := n.db.RevokeLink(ctx, f.ID)
	if err != nil {
		return done{}, coded(err)
	}
	if err := n.unlink(ctx, f.ID, before); err != nil {
		return done{}, err
	}
	return done{fmt.Sprintf("The router of family %s can report its address no longer, and is recognised by it no longer.", f.Name)}, nil
}

// unlink puts it in force that addresses are a family's no longer.
func (n *node) unlink(ctx context.Context, family policy.FamilyID, gone []store.Linked) error {
	return n.redirect(ctx, func(_ context.Context, d *policy.Directory) (*policy.Directory, error) {
		for _, g := range gone {
			d = d.WithoutLink(g.Network, family)
		}
		return d, nil
	})
}

// link links the address from which a family's router reports. It returns false
// where it was linked before and is for as long as it needs to be. The error wraps
// [policy.ErrTaken] or [policy.ErrNotPublic].
func (n *node) link(ctx context.Context, l *store.Link, from netip.Addr, now time.Time) (changed bool, err error) {
	network, ok := policy.LinkedNetwork(from)
	if !ok {
		return false, policy.ErrNotPublic
	}
	until := now.Add(linkLife).Truncate(time.Millisecond)
	i := slices.IndexFunc(l.Addresses, func(a store.Linked) bool { return a.Network == network })
	live := i >= 0 && now.Before(l.Addresses[i].Until)
	if live && until.Sub(l.Addresses[i].Until) < linkRenew {
		return false, nil
	}
	if _, err := n.state(ctx); err != nil {
		return false, err
	}
	err = n.redirect(ctx, func(ctx context.Context, d *policy.Directory) (*policy.Directory, error) {
		next, err := d.WithLink(from, policy.Link{Family: l.Family, Until: until}, now)
		if err != nil {
			return nil, err
		}
		before, err := n.db.SetLinked(ctx, l.Token, store.Linked{Network: network, Until: until})
		if err != nil {
			return nil, err
		}
		if before.Network.IsValid() && before.Network != network {
			next = next.WithoutLink(before.Network, l.Family)
		}
		return next, nil
	})
	return !live, err
}

// withLinks returns a directory with the addresses that are linked now.
func (n *node) withLinks(ctx context.Context, d *policy.Directory, now time.Time) (*policy.Directory, error) {
	all, err := n.db.Links(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range all {
		for _, a := range l.Addresses {
			if !now.Before(a.Until) {
				continue
			}
			next, err := d.WithLink(a.Network.Addr(), policy.Link{Family: l.Family, Until: a.Until}, now)
			switch {
			case errors.Is(err, policy.ErrTaken): // by a network that a family was given since
				n.log.Warn("a linked address leads elsewhere by now, and is left out", "family", int64(l.Family))
			case err != nil:
				return nil, fmt.Errorf("reading linked addresses: %w", err)
			default:
				d = next
			}
		}
	}
	return d, nil
}

func printLink(w io.Writer, r linkReply) {
	if r.Password != "" {
		fmt.Fprintf(w, `The router of family %s reports its address with (service "custom" or "dyndns2"):
  update URL   %s
  host name    %s
  user         %s
  password     %s   (it is shown this once)
`, r.Family, r.URL, r.Token, r.Token, r.Password)
		return
	}
	fmt.Fprintf(w, "The router of family %s reports its address to %s\n", r.Family, r.URL)
	if len(r.Addresses) == 0 {
		fmt.Fprintln(w, "It has not reported yet.")
	}
	for _, a := range r.Addresses {
		if a.Over {
			fmt.Fprintf(w, "%s was linked until %s. Let the router report again.\n", a.Network, shown(a.Until, a.Until.Location()))
			continue
		}
		fmt.Fprintf(w, "%s is linked until %s.\n", a.Network, shown(a.Until, a.Until.Location()))
	}
}
