package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kinward/console"
	"kinward/store"
)

type accountRequest struct {
	Name string `json:"name"`
	Bare bool   `json:"bare,omitempty"` // reset: also remove passkeys and the second factor
}

type consoleLinkRequest struct {
	Operator bool `json:"operator,omitempty"`
}

type consoleLinkReply struct {
	URL   string    `json:"url"`
	Until time.Time `json:"until"`
	What  string    `json:"what"` // a sentence
}

type consoleReply struct {
	URL      string        `json:"url"` // "": it is off
	Accounts []accountView `json:"accounts"`
}

type accountView struct {
	Name     string `json:"name"`
	Family   string `json:"family,omitempty"`
	Guardian string `json:"guardian,omitempty"`
	Role     string `json:"role,omitempty"`
	Operator bool   `json:"operator"`
	Password bool   `json:"password"`
	TOTP     bool   `json:"totp"`
	Passkeys int    `json:"passkeys"`
	Sessions int    `json:"sessions"`
}

type sessionsReply struct {
	Sessions []sessionView `json:"sessions"`
}

type sessionView struct {
	Agent string    `json:"agent"`
	Made  time.Time `json:"made"`
	Seen  time.Time `json:"seen"`
	Until time.Time `json:"until"`
}

var (
	opConsole         = operation[about, consoleReply]{"console", consoleShow}
	opConsoleLink     = operation[consoleLinkRequest, consoleLinkReply]{"console-link", consoleLink}
	opConsoleReset    = operation[accountRequest, consoleLinkReply]{"console-reset", consoleReset}
	opConsoleSessions = operation[accountRequest, sessionsReply]{"console-sessions", consoleSessions}
	opConsoleSignOut  = operation[accountRequest, done]{"console-sign-out", consoleSignOut}
)

func (c *cli) consoleCommand() *cobra.Command {
	group := showCommand(c, opConsole, &cobra.Command{
		Use:   "console",
		Short: "Show where the console is and who signs in there; help who cannot",
		Long: `Guardians use the console in a browser. What they forget, whoever may run this command
mends: a link gives another password. That it was done stands in the family's history.`,
		Example: `  kinward console
  kinward console link
  kinward console reset eva@example.org
  kinward console sessions eva@example.org`,
	}, printConsole)
	link := consoleLinkRequest{}
	linkCommand := &cobra.Command{
		Use:   "link",
		Short: "Make the link that sets the console up, or an operator's account",
		Example: `  kinward console link
  kinward console link --operator`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return do(cmd.Context(), c, cmd, opConsoleLink, link, c.printLinkReply)
		},
	}
	linkCommand.Flags().BoolVar(&link.Operator, "operator", false, "for somebody who runs the server and belongs to no family")
	bare := false
	reset := &cobra.Command{
		Use:   "reset NAME",
		Short: "Sign somebody out everywhere, and make a link for a new password",
		Long: `Takes the password of an account back, ends its sessions and its programs' access,
and makes a link that gives it another password. NAME is what is typed to sign in. It
stands in the family's history that it was done.`,
		Example: `  kinward console reset eva@example.org
  kinward console reset eva@example.org --bare`,
		Args: exactArgs("the NAME that is typed to sign in"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return do(cmd.Context(), c, cmd, opConsoleReset, accountRequest{args[0], bare}, c.printLinkReply)
		},
	}
	reset.Flags().BoolVar(&bare, "bare", false, "also remove passkeys, recovery codes and the second factor")
	sessions := &cobra.Command{
		Use: "sessions NAME", Short: "Show the browsers in which somebody is signed in",
		Example: `  kinward console sessions eva@example.org`,
		Args:    exactArgs("the NAME that is typed to sign in"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return do(cmd.Context(), c, cmd, opConsoleSessions, accountRequest{Name: args[0]}, printSessions)
		},
	}
	out := &cobra.Command{
		Use: "sign-out NAME", Short: "Sign somebody out everywhere; the password stays",
		Example: `  kinward console sign-out eva@example.org`,
		Args:    exactArgs("the NAME that is typed to sign in"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return do(cmd.Context(), c, cmd, opConsoleSignOut, accountRequest{Name: args[0]}, printDone)
		},
	}
	group.AddCommand(c.addJSON(linkCommand), c.addJSON(reset), c.addJSON(sessions), c.addJSON(out))
	return group
}

// consoleRunning returns the URL that the console's links begin with.
func (n *node) consoleRunning() (string, error) {
	s, err := n.cfg.resolve()
	if err != nil {
		return "", err
	}
	if n.cfg.Console == "" {
		return "", usageError(errors.New("the console is off; set console to an address, for example 127.0.0.1:8053"))
	}
	at := ""
	if n.serving != nil && n.serving.console != nil {
		at = n.serving.console.Addr()
	}
	return n.consoleBase(s, at), nil
}

func consoleShow(ctx context.Context, n *node, _ about, _ progress) (consoleReply, error) {
	r := consoleReply{Accounts: []accountView{}}
	if n.cfg.Console != "" {
		base, err := n.consoleRunning()
		if err != nil {
			return r, err
		}
		r.URL = base
	}
	accounts := n.db.Accounts()
	all, err := accounts.List(ctx, 10000)
	if err != nil {
		return r, err
	}
	for _, a := range all {
		v := accountView{Name: a.Name, Operator: a.Operator, Password: a.Password != "", TOTP: a.TOTP != ""}
		if f, g, err := accounts.Guardian(ctx, a); err == nil {
			v.Family, v.Guardian, v.Role = f.Name, g.Name, g.Role.String()
		} else if !errors.Is(err, store.ErrNotFound) {
			return r, err
		}
		sessions, err := accounts.Sessions(ctx, a.ID)
		if err != nil {
			return r, err
		}
		passkeys, err := accounts.Passkeys(ctx, a.ID)
		if err != nil {
			return r, err
		}
		v.Sessions, v.Passkeys = len(sessions), len(passkeys)
		r.Accounts = append(r.Accounts, v)
	}
	return r, nil
}

func consoleLink(ctx context.Context, n *node, req consoleLinkRequest, _ progress) (r consoleLinkReply, err error) {
	base, err := n.consoleRunning()
	if err != nil {
		return r, err
	}
	if req.Operator {
		secret, until := console.NewPassSecret(), time.Now().Add(passLife)
		if err := n.db.Accounts().MakeOperator(ctx, "command line", secret, until); err != nil {
			return r, coded(err)
		}
		return consoleLinkReply{base + console.PassPath(store.PassOperator, secret), until, "This link makes an account that runs the server."}, nil
	}
	secret, until := console.NewPassSecret(), time.Now().Add(passLife)
	if err := n.db.Accounts().First(ctx, secret, until); err != nil {
		return r, coded(err)
	}
	return consoleLinkReply{base + console.PassPath(store.PassFirst, secret), until, "This link sets the console up; one that was made before is worth nothing now."}, nil
}

// account finds the account of a name.
func (n *node) account(ctx context.Context, name string) (store.Account, error) {
	a, err := n.db.Accounts().ByName(ctx, name)
	if err != nil {
		return a, coded(fmt.Errorf("looking for the account %q: %w", name, err))
	}
	return a, nil
}

func consoleReset(ctx context.Context, n *node, req accountRequest, _ progress) (r consoleLinkReply, err error) {
	base, err := n.consoleRunning()
	if err != nil {
		return r, err
	}
	a, err := n.account(ctx, req.Name)
	if err != nil {
		return r, err
	}
	secret, until := console.NewPassSecret(), time.Now().Add(passLife)
	if err := n.db.Accounts().Reset(ctx, a.ID, secret, until, req.Bare); err != nil {
		return r, coded(err)
	}
	if a.Family != 0 {
		if err := n.refresh(ctx, a.Family); err != nil {
			return r, err
		}
	}
	return consoleLinkReply{
		base + console.PassPath(store.PassReset, secret), until,
		a.Name + " is signed out everywhere, and the password from before opens nothing any more. This link gives another one.",
	}, nil
}

func consoleSessions(ctx context.Context, n *node, req accountRequest, _ progress) (sessionsReply, error) {
	r := sessionsReply{Sessions: []sessionView{}}
	a, err := n.account(ctx, req.Name)
	if err != nil {
		return r, err
	}
	all, err := n.db.Accounts().Sessions(ctx, a.ID)
	for _, s := range all {
		r.Sessions = append(r.Sessions, sessionView{s.Agent, s.Made, s.Seen, s.Until})
	}
	return r, err
}

func consoleSignOut(ctx context.Context, n *node, req accountRequest, _ progress) (done, error) {
	a, err := n.account(ctx, req.Name)
	if err != nil {
		return done{}, err
	}
	ended, err := n.db.Accounts().EndSessions(ctx, a.ID, 0)
	if err != nil {
		return done{}, err
	}
	err = n.db.Accounts().Happened(ctx, store.Event{Family: a.Family, Account: a.ID, Who: "command line", What: store.DoorEnded, Detail: a.Name})
	return done{fmt.Sprintf("%s was signed in %d times, and is no longer.", a.Name, ended)}, err
}

func printConsole(w io.Writer, r consoleReply) {
	if r.URL == "" {
		fmt.Fprintln(w, "The console is off (console, in the configuration).")
	} else {
		fmt.Fprintf(w, "The console: %s\n", r.URL)
	}
	if len(r.Accounts) == 0 {
		fmt.Fprintln(w, "Nobody has an account yet. Make the link that sets it up with: {kinward} console link")
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, a := range r.Accounts {
		who := ""
		if a.Guardian != "" {
			who = fmt.Sprintf("%s of family %s (%s)", a.Guardian, a.Family, a.Role)
		}
		if a.Operator {
			who = joinNonEmpty(who, "runs this server")
		}
		opens := ""
		if a.Password {
			opens = "password"
		}
		if a.TOTP {
			opens += " and codes"
		}
		if a.Passkeys > 0 {
			opens = joinNonEmpty(opens, fmt.Sprintf("passkeys: %d", a.Passkeys))
		}
		if opens == "" {
			opens = "nothing opens it: waits for a new password"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\tsigned in: %d\n", a.Name, who, opens, a.Sessions)
	}
	t.Flush()
}

func joinNonEmpty(a, b string) string {
	if a == "" {
		return b
	}
	return a + ", " + b
}

func printSessions(w io.Writer, r sessionsReply) {
	if len(r.Sessions) == 0 {
		fmt.Fprintln(w, "Not signed in anywhere.")
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range r.Sessions {
		fmt.Fprintf(t, "%s\tsince %s\tlast seen %s\n", s.Agent, shown(s.Made, time.Local), shown(s.Seen, time.Local))
	}
	t.Flush()
}

func (c *cli) printLinkReply(w io.Writer, r consoleLinkReply) {
	fmt.Fprintf(w, "%s\nIt works once, until %s:\n  %s\n", r.What, shown(r.Until, time.Local), r.URL)
	c.linkCode(w, r.URL)
}
