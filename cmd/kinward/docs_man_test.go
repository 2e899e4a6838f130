package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestManPages: docs/man has a page for the program and one for each of its
// commands, with what stands below a command as sections of its page. They are
// what --help says, and carry no date.
func TestManPages(t *testing.T) {
	t.Setenv("KINWARD_CONFIG", "") // what stands there as a default must not be this machine's
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", manHome)
	root := (&cli{}).root()
	pages := map[string]string{"kinward.1": manPage(root, root.Commands())}
	for _, c := range root.Commands() {
		if c.Name() != "help" {
			pages["kinward-"+c.Name()+".1"] = manPage(c, nil)
		}
	}
	for name, page := range pages {
		holdDocument(t, filepath.Join("docs/man", name), page)
	}
	there, err := filepath.Glob(filepath.Join(top, "docs/man/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range there {
		if _, ok := pages[filepath.Base(path)]; !ok {
			t.Errorf("%s is no page of a command; remove it", path)
		}
	}
}

// TestManPagesAreReadable: groff, which man uses, has nothing to say against them,
// and shows what they hold.
func TestManPagesAreReadable(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(top, "docs/man/*.1"))
	if err != nil || len(pages) < 25 {
		t.Fatalf("there are %d pages, %v", len(pages), err)
	}
	var out, faults bytes.Buffer
	cmd := exec.Command("groff", append([]string{"-man", "-Tutf8", "-ww", "-K", "utf8", "-P-cbou"}, pages...)...)
	cmd.Stdout, cmd.Stderr = &out, &faults
	if err := cmd.Run(); err != nil || faults.Len() > 0 {
		t.Errorf("groff: %v\n%s", err, faults.String())
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range []string{
		"kinward explain omegle.com --device 192.168.1.20", "kinward lists catalogue pack", "EXIT STATUS", `"Lea's phone"`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the pages do not show %q", want)
		}
	}
}

// manHome is the home directory while pages are made.
const manHome = "/home/you"

// manPage is the page of a command, in the macros of man(7). Of the program's own
// page the commands are a list; of another they are sections.
func manPage(c *cobra.Command, list []*cobra.Command) string {
	var b strings.Builder
	name := strings.ReplaceAll(c.CommandPath(), " ", "-")
	fmt.Fprintf(&b, ".\\\" Made by make docs of what --help says.\n.TH %s 1 \"\" Kinward \"Kinward's commands\"\n.ad l\n.nh\n", strings.ToUpper(roff(name)))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(name), roff(c.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n%s", manSynopsis(c))
	b.WriteString(".SH DESCRIPTION\n" + manText(described(c)))
	switch {
	case list != nil:
		b.WriteString(".SH COMMANDS\n")
		for _, sub := range list {
			if sub.Name() != "help" {
				fmt.Fprintf(&b, ".TP\n.BR %s (1)\n%s\n", roff("kinward-"+sub.Name()), roff(sub.Short))
			}
		}
	default:
		for _, sub := range below(c) {
			fmt.Fprintf(&b, ".SH \"%s\"\n%s", roff(strings.ToUpper(sub.CommandPath())), manSynopsis(sub))
			b.WriteString(".PP\n" + manText(described(sub)) + manFlags(".SS Options", sub.NonInheritedFlags()) + manExamples(".SS Examples", sub.Example))
		}
	}
	b.WriteString(manFlags(".SH OPTIONS", c.LocalFlags()))
	if c.HasParent() {
		b.WriteString(manFlags(".SH \"OPTIONS OF EVERY COMMAND\"", c.Root().PersistentFlags()))
	}
	b.WriteString(manExamples(".SH EXAMPLES", c.Example))
	fmt.Fprintf(&b, `.SH "EXIT STATUS"
.TP
%d
Done.
.TP
%d
It failed, or a check found a fault.
.TP
%d
The command line or the configuration is wrong, or what is to be made is there already.
.TP
%d
What was named does not exist.
.SH "SEE ALSO"
`, 0, exitFailed, exitUsage, exitNothing)
	var see []string
	if c.HasParent() {
		see = []string{".BR kinward (1)"}
	} else {
		see = []string{".BR kinward-serve (1)", ".BR kinward-doctor (1)"}
	}
	b.WriteString(strings.Join(see, ",\n") + "\n")
	return b.String()
}

// below returns all commands below one, in the order of --help.
func below(c *cobra.Command) (all []*cobra.Command) {
	for _, sub := range c.Commands() {
		if sub.Name() != "help" {
			all = append(append(all, sub), below(sub)...)
		}
	}
	return all
}

func described(c *cobra.Command) string {
	if c.Long != "" {
		return c.Long
	}
	return c.Short + "."
}

func manSynopsis(c *cobra.Command) string {
	command, rest, _ := strings.Cut(c.UseLine(), " ")
	path := strings.Fields(c.CommandPath())
	words := append([]string{command}, strings.Fields(rest)...)
	n := 0
	for n < len(path) && n < len(words) && words[n] == path[n] {
		n++
	}
	text := ".B " + roff(strings.Join(words[:n], " ")) + "\n"
	if n < len(words) {
		text += roff(strings.Join(words[n:], " ")) + "\n"
	}
	return text
}

// manText makes paragraphs of a help text; lines that are indented stay as they are.
func manText(text string) string {
	var b strings.Builder
	verbatim, begun := false, false
	for line := range strings.SplitSeq(strings.Trim(text, "\n"), "\n") {
		switch in := strings.HasPrefix(line, " "); {
		case line == "":
			if !verbatim {
				begun = false
			}
			continue
		case in != verbatim:
			b.WriteString(map[bool]string{true: ".PP\n.nf\n", false: ".fi\n"}[in])
			verbatim, begun = in, in
		}
		if !begun && b.Len() > 0 {
			b.WriteString(".PP\n")
		}
		begun = true
		b.WriteString(roff(line) + "\n")
	}
	if verbatim {
		b.WriteString(".fi\n")
	}
	return b.String()
}

func manFlags(heading string, flags *pflag.FlagSet) string {
	var b strings.Builder
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		if b.Len() == 0 {
			b.WriteString(heading + "\n")
		}
		kind, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		usage = strings.ReplaceAll(usage, manHome, "~") // of whoever reads it
		fmt.Fprintf(&b, ".TP\n\\fB%s\\fR%s\n%s", roff(name), prefixed(" ", roff(kind), ""), roff(usage))
		if !slices.Contains([]string{"", "false", "[]", "0", "0s"}, f.DefValue) {
			fmt.Fprintf(&b, " (default %s)", roff(f.DefValue))
		}
		b.WriteString("\n")
	})
	return b.String()
}

func manExamples(heading, examples string) string {
	if examples == "" {
		return ""
	}
	var lines []string
	for line := range strings.SplitSeq(examples, "\n") {
		lines = append(lines, roff(strings.TrimPrefix(line, "  ")))
	}
	return heading + "\n.nf\n" + strings.Join(lines, "\n") + "\n.fi\n"
}

// roff writes text so that the formatter takes none of it for a request or an
// escape, and leaves hyphens, quotes and the like as they are, to be copied.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, `"`, `\(dq`).Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}

func TestRoff(t *testing.T) {
	for in, want := range map[string]string{
		".dot":             `\&.dot`,
		`a\b`:              `a\eb`,
		"--for 15m":        `\-\-for 15m`,
		`"Lea's phone"`:    `\(dqLea\(aqs phone\(dq`,
		"~/.config, `a` ^": `\(ti/.config, \(gaa\(ga \(ha`,
	} {
		if got := roff(in); got != want {
			t.Errorf("roff(%q) = %q, want %q", in, got, want)
		}
	}
	if got, want := manText("One\ntwo.\n\nThree:\n  a b\n  c\nFour."), "One\ntwo.\n.PP\nThree:\n.PP\n.nf\n  a b\n  c\n.fi\n.PP\nFour.\n"; got != want {
		t.Errorf("manText = %q, want %q", got, want)
	}
}
