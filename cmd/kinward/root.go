package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"kinward/blocklists"
)

// cli is what every command shares: where it writes, and how it reads its
// configuration.
type cli struct {
	out, err   *os.File
	configPath string
	json       bool
	about      about // whose family, and why
	query      incidentsQuery
	families   []string // the commands that take --family
	prefix     string   // how this program is called with this data folder, for hints
}

// callMe stands in texts for how to call this program; what prints a text puts
// the real thing there, since the owner of the data folder does not know it.
const callMe = "{kinward}"

func (c *cli) called(text string) string {
	if c.prefix == "" {
		c.prefix = program()
	}
	if c.about.Family != "" { // what is run next is about the same family
		text = calledCommand.ReplaceAllStringFunc(text, func(found string) string {
			m := calledCommand.FindStringSubmatch(found)
			if !slices.Contains(c.families, m[1]) || m[2] == "" && m[1] == "families" || strings.Contains(m[2], "--family") {
				return found
			}
			return callMe + " " + m[1] + " --family " + shellQuote(c.about.Family) + m[2]
		})
	}
	return strings.ReplaceAll(text, callMe, c.prefix)
}

// calledCommand matches a command in a text, to the end of its line or clause.
var calledCommand = regexp.MustCompile(`\{kinward\} ([a-z-]+)([^;\n]*)`)

// hint finds a command of this program that an error names, as the packages
// that know no data folder write it.
var hint = regexp.MustCompile(`(: |with )kinward ([a-z-]+)`)

// calledInError is called for an error, whose hints become commands that work
// when they are pasted.
func (c *cli) calledInError(root *cobra.Command, text string) string {
	return c.called(hint.ReplaceAllStringFunc(text, func(found string) string {
		m := hint.FindStringSubmatch(found)
		if !slices.ContainsFunc(root.Commands(), func(sub *cobra.Command) bool { return sub.Name() == m[2] }) {
			return found
		}
		return m[1] + callMe + " " + m[2]
	}))
}

// root returns the program's command, with all that are below it.
func (c *cli) root() *cobra.Command {
	stdout, stderr := c.out, c.err
	root := &cobra.Command{
		Use:   "kinward",
		Short: "A DNS resolver for families",
		Long: `Kinward answers a family's DNS questions. It blocks stranger chat, dating and
other known-risk services, and tells guardians, in plain words, what was attempted.

Start it with "kinward serve"; the other commands work while it runs, and without it.

All that is kept is in the data folder (--data). What only looks makes no such folder:
where nothing is kept it says so, and exits with 3. "serve" and "restore" make one, and
so does what adds or chooses something, where --data names the folder.

Exit codes: 0 done; 1 it failed, or a check found a fault; 2 the command line or the
configuration is wrong, or what is to be made is there already; 3 what was named does
not exist.`,
		Example: `  kinward serve
  kinward explain omegle.com
  kinward incidents
  kinward devices exempt 192.168.1.20`,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.Args = func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		var names []string
		for _, sub := range root.Commands() {
			names = append(names, sub.Name())
		}
		return usageError(fmt.Errorf("there is no command %q%s; see: {kinward} --help", args[0], didYouMean(blocklists.Near(args[0], names))))
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if unknown := (*pflag.NotExistError)(nil); errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
			var names []string
			cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
			near := blocklists.Near(unknown.GetSpecifiedName(), names)
			if near != "" {
				near = " (did you mean --" + near + "?)"
			}
			err = fmt.Errorf("there is no flag --%s%s", unknown.GetSpecifiedName(), near)
		}
		return usageError(fmt.Errorf("%w; see: %s --help", err, calledPath(cmd)))
	})
	root.PersistentFlags().StringVar(&c.configPath, "config", os.Getenv("KINWARD_CONFIG"), "YAML file with the configuration (or KINWARD_CONFIG)")
	root.PersistentFlags().String("data", "", "folder that holds everything kept (default "+defaultDataFolder()+")")
	root.AddCommand(
		c.serveCommand(), c.checkCommand(), c.explainCommand(), c.listsCommand(), c.todayCommand(), c.incidentsCommand(), c.signalsCommand(), c.alertsCommand(), c.digestCommand(),
		c.consoleCommand(), c.familiesCommand(), c.guardiansCommand(), c.profilesCommand(), c.devicesCommand(), c.rulesCommand(),
		c.searchCommand(), c.schedulesCommand(), c.holidaysCommand(), c.grantsCommand(), c.requestsCommand(), c.pauseCommand(), c.resumeCommand(), c.changesCommand(), c.cacheCommand(),
		c.retentionCommand(), c.eraseCommand(), c.helpLinesCommand(), c.backupCommand(), c.restoreCommand(), c.doctorCommand(), c.versionCommand(),
	)
	root.InitDefaultCompletionCmd()
	addCompletionExamples(root)
	root.InitDefaultHelpCmd()
	mendHelp(root)
	return root
}

// mendHelp makes cobra's help command refuse a command that is not, as every
// other does, and gives it an example.
func mendHelp(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		if cmd.Name() != "help" {
			continue
		}
		cmd.Example = "  kinward help devices add"
		cmd.Run = nil
		cmd.RunE = func(_ *cobra.Command, args []string) error {
			about, rest, err := root.Find(args)
			if err == nil && len(rest) > 0 { // a group of commands, and none of it
				err = fmt.Errorf("there is no command %q; see: %s --help", strings.Join(args, " "), calledPath(about))
			}
			if err != nil {
				return usageError(err)
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		}
	}
}

// addCompletionExamples gives cobra's own command what every command has.
func addCompletionExamples(root *cobra.Command) {
	files := map[string]string{
		"bash":       "  kinward completion bash > /etc/bash_completion.d/kinward",
		"zsh":        "  kinward completion zsh > /usr/local/share/zsh/site-functions/_kinward",
		"fish":       "  kinward completion fish > ~/.config/fish/completions/kinward.fish",
		"powershell": "  kinward completion powershell > kinward.ps1",
	}
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.Example = files["bash"]
		cmd.Args = exactArgs()
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		for _, shell := range cmd.Commands() {
			shell.Example = files[shell.Name()]
		}
	}
}

// config reads the configuration for a command.
func (c *cli) config(cmd *cobra.Command) (*config, error) {
	cfg, err := loadConfig(c.configPath, cmd.Flags(), os.Environ())
	var own *codedError
	switch {
	case errors.As(err, &own):
		return nil, own
	case err != nil:
		return nil, usageError(err)
	}
	c.prefix = commandPrefix(cfg, cmd.Flags())
	return cfg, nil
}

// addJSON gives a command the --json flag.
func (c *cli) addJSON(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&c.json, "json", false, "print data as JSON")
	return cmd
}

// print writes v as JSON where --json was given, otherwise as text does.
func (c *cli) print(v any, text func(io.Writer)) error {
	var b strings.Builder
	call := c.called
	if c.json {
		call = c.calledInJSON
		e := json.NewEncoder(&b)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			return err
		}
	} else {
		text(&b)
	}
	_, err := io.WriteString(c.out, call(b.String()))
	return err
}

// calledInJSON is called for JSON, where quotes and backslashes of a family's name
// or of the data folder's are escaped once more.
func (c *cli) calledInJSON(text string) string {
	return jsonString.ReplaceAllStringFunc(text, func(found string) string {
		var s string
		if !strings.Contains(found, callMe) || json.Unmarshal([]byte(found), &s) != nil {
			return found
		}
		var b strings.Builder
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if e.Encode(c.called(s)) != nil {
			return found
		}
		return strings.TrimSuffix(b.String(), "\n")
	})
}

// jsonString matches a string of JSON.
var jsonString = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// progress shows how far a long operation is on the error stream, so that
// redirected output stays clean. On a terminal a line replaces the last.
func (c *cli) progress() (p progress, done func()) {
	if !isTerminal(c.err) {
		return func(text string) { fmt.Fprintln(c.err, text) }, func() {}
	}
	shown := false
	return func(text string) { fmt.Fprintf(c.err, "\r\033[K%s", text); shown = true },
		func() {
			if shown {
				fmt.Fprint(c.err, "\r\033[K")
			}
		}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// do runs an operation for a command: configuration, call, print.
func do[Req, Rep any](ctx context.Context, c *cli, cmd *cobra.Command, op operation[Req, Rep], req Req, text func(io.Writer, Rep)) error {
	cfg, err := c.config(cmd)
	if err != nil {
		return err
	}
	p, done := c.progress()
	rep, err := op.call(ctx, cfg, req, p)
	done()
	if err != nil {
		return c.calledError(err)
	}
	if r, is := any(rep).(interface{ of() string }); is && c.about.Family != "" {
		if _, number := strconv.ParseUint(c.about.Family, 10, 63); number != nil {
			c.about.Family = r.of()
		}
	}
	return c.print(rep, func(w io.Writer) { text(w, rep) })
}

// doServing is do for what only a running serve can do: it never opens the data
// folder itself.
func doServing[Req, Rep any](ctx context.Context, c *cli, cmd *cobra.Command, op operation[Req, Rep], req Req, text func(io.Writer, Rep)) error {
	cfg, err := c.config(cmd)
	if err != nil {
		return err
	}
	conn, err := dialControl(ctx, cfg.Data)
	if errors.Is(err, errNotServing) {
		if _, err := op.mayOpen(cfg, req); err != nil {
			return c.calledError(err)
		}
		return errNoCache
	} else if err != nil {
		return err
	}
	rep, err := op.remote(ctx, conn, req, nil)
	if err != nil {
		return c.calledError(err)
	}
	return c.print(rep, func(w io.Writer) { text(w, rep) })
}

// calledError is an error with its hints made exact.
func (c *cli) calledError(err error) error {
	code := exitFailed
	var coded *codedError
	if errors.As(err, &coded) {
		code = coded.code
	}
	return &codedError{code, errors.New(c.called(err.Error()))}
}

// calledPath is how to call cmd, for a hint.
func calledPath(cmd *cobra.Command) string {
	return callMe + strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name())
}

// exactArgs is cobra.ExactArgs with an error that says what is missing, and the
// exit code for a wrong command line.
func exactArgs(what ...string) cobra.PositionalArgs { return rangeArgs(len(what), what...) }

// atLeastArgs wants one argument for each of what, and takes more.
func atLeastArgs(what ...string) cobra.PositionalArgs { return rangeArgs(math.MaxInt, what...) }

// rangeArgs wants one argument for each of what, and takes up to most.
func rangeArgs(most int, what ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(what):
			return usageError(fmt.Errorf("%s needs %s; see: %s --help", cmd.CommandPath(), what[len(args)], calledPath(cmd)))
		case len(args) > most:
			return usageError(fmt.Errorf("%s does not understand %q; see: %s --help", cmd.CommandPath(), args[most], calledPath(cmd)))
		}
		return nil
	}
}
