package main

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"kinward/blocklists"
)

// What documents and --help show is run: every command line, in its order, against
// a server of its own, in a folder of its own.

// written are the documents whose command lines are run.
func written(t *testing.T) []string {
	t.Helper()
	docs := []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "DESIGN.md"}
	for _, pattern := range []string{"docs/*.md", "deploy/*.md", "deploy/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(top, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			if name, _ := filepath.Rel(top, path); !slices.Contains(made, name) {
				docs = append(docs, name)
			}
		}
	}
	return docs
}

// made are documents that are made of the program; what is run of it is run elsewhere.
var made = []string{"docs/api.md", "docs/configuration.md"}

// commandLines are the lines of a document's blocks of commands: those in a fence
// without a language.
func commandLines(text string) (lines []string) {
	in, commands := false, false
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "```"):
			in = !in
			commands = in && line == "```"
		case commands && line != "" && !strings.HasPrefix(line, "#"):
			line, _, _ = strings.Cut(line, "   #")
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// notRun are the lines that this test cannot run, with the reason. A line that no
// document has any more fails the test.
var notRun = map[string]string{
	"make run":                        "builds, and serves until it is stopped; TestNotRunAreThere looks whether there is such a target",
	"make test":                       "this test is part of it",
	"kinward lists add sw-dating":     "fetches from the internet; TestNotRunAreThere looks whether the directory has it",
	"kinward lists accept blp-porn":   "as for sw-dating; the same is run for a list of this test's",
	"kinward lists rollback blp-porn": "as for sw-dating; the same is run for a list of this test's",
	"nft -f kinward.nft":              "needs root; go test ./deploy/router runs it in a network of its own",
	"nft -f doh-addresses.nft":        "needs root; go test ./deploy/router runs it in a network of its own",
	"nft list table inet kinward":     "needs root; go test ./deploy/router runs it in a network of its own",
	"nft delete table inet kinward":   "needs root; go test ./deploy/router runs it in a network of its own",
	"scp kinward.nft doh-addresses.nft root@192.168.1.1:/etc/":                                  "needs a router",
	"uci set firewall.kinward=include":                                                          "needs OpenWrt; its document says that it is not verified",
	"uci set firewall.kinward.type='nftables'":                                                  "needs OpenWrt; its document says that it is not verified",
	"uci set firewall.kinward.path='/etc/kinward.nft'":                                          "needs OpenWrt; its document says that it is not verified",
	"uci set firewall.kinward.position='ruleset-post'":                                          "needs OpenWrt; its document says that it is not verified",
	"uci commit firewall":                                                                       "needs OpenWrt; its document says that it is not verified",
	"service firewall restart":                                                                  "needs OpenWrt; its document says that it is not verified",
	"go tool pprof http://127.0.0.1:9153/debug/pprof/profile?seconds=10":                        "waits for a person; TestProgramProfiles asks there",
	"go tool pprof http://127.0.0.1:9153/debug/pprof/heap":                                      "waits for a person; TestProgramProfiles asks there",
	"kinward incidents follow":                                                                  "goes on until it is stopped; TestProgramFollow runs it",
	"kinward incidents follow --profile Lea --json":                                             "goes on until it is stopped; TestProgramFollow runs it",
	"go test ./policy -run XX -bench Decide -benchtime 100x -cpuprofile cpu.out -o policy.test": "builds a package for some seconds; make bench has the same benchmark",
	"go tool pprof -top policy.test cpu.out":                                                    "reads what the line above writes",
	"kinward signals --follow":                                                                  "goes on until it is stopped; TestProgramSignals runs it",
}

// exits are the lines that end with another code than 0, as they are documented to.
var exits = map[string]int{
	"kinward erase Lea": exitUsage, // at a terminal it asks; without one it wants --yes
}

// line runs a line of a document.
func (g *guide) line(t *testing.T, line string) {
	t.Helper()
	if _, ok := notRun[line]; ok {
		if words, ours := kinwardLine(t, line); ours {
			checkCommandLine(t, words)
		}
		return
	}
	words, ours := kinwardLine(t, line)
	before := len(g.log.String())
	var cmd *exec.Cmd
	var stopped bool
	switch {
	case ours && words[0] == "serve": // as serve would read it; the server of this test is one
		args := g.fill(words[1:])
		cmd = exec.Command(binary, append([]string{"check"}, args...)...)
	case ours && len(words) > 2 && words[0] == "devices" && words[1] == "check":
		g.run("devices", "clue", "add", words[2], "127.0.0.1") // from which this test asks
		out, code := g.check(words[2], "1m", func(name string) { g.asks(name) })
		if code > exitFailed || !strings.Contains(out, "This device:  yes") { // exit code 1 is "not encrypted"
			t.Errorf("%s: exit code %d\n%s", line, code, out)
		}
		return
	case ours:
		if words[0] == "console" && line != "kinward console link" { // which sets it up, before anybody is there
			g.signed()
		}
		args := g.fill(words)
		if args[0] == "restore" {
			g.stop(os.Interrupt)
			stopped = true
		}
		if !slices.Contains(args, "--data") && args[0] != "check" && args[0] != "completion" && args[0] != "version" {
			args = append(args, "--data", g.data)
		}
		cmd = exec.Command(binary, args...)
		cmd.Stdin = strings.NewReader("listed.example\n") // where it reads one; no terminal
	case strings.HasPrefix(line, "dig "):
		cmd = exec.Command("dig", strings.Fields(strings.Replace(line[4:], "1053", g.port, 1))...)
	default:
		t.Errorf("%q is no line that this test can run, and has no reason in notRun", line)
		return
	}
	cmd.Dir = g.dir
	cmd.Env = append(os.Environ(), "KINWARD_JOURNAL_MEMORY="+memoryFolder)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", line, err)
	}
	if got := cmd.ProcessState.ExitCode(); got != exits[line] {
		t.Errorf("%s (%s): exit code %d, want %d\n%s%s", line, strings.Join(cmd.Args[1:], " "), got, exits[line], clipped(out.String()), errs.String())
	}
	if link := regexp.MustCompile(`http\S+/reset/\S+`).FindString(out.String()); link != "" { // who was reset has another password, and no program
		g.owner.post(link[strings.Index(link, "/reset/"):], http.StatusOK, "password", goodPassword+"s", "again", goodPassword+"s")
		g.token = g.owner.token("script", "write")
	}
	if link := regexp.MustCompile(`http\S+/start/\S+`); line == "kinward console link" {
		g.banner = link.ReplaceAllString(g.banner, link.FindString(out.String())) // the one before is worth nothing now
	}
	if _, to, ok := strings.Cut(line, " > "); ok && filepath.Base(to) == to {
		g.write(to, out.String())
	}
	if log := g.log.String()[before:]; strings.Contains(log, "level=ERROR") {
		t.Errorf("%s: the server's log has an error:\n%s", line, log)
	}
	if stopped {
		g.start()
	}
}

func clipped(s string) string { return s[:min(len(s), 600)] }

// kinwardLine returns the arguments of one of the program's own lines.
func kinwardLine(t *testing.T, line string) ([]string, bool) {
	t.Helper()
	m := regexp.MustCompile(`^(?:\$ )?(?:sudo )?(?:bin/)?kinward ([a-z].*)$`).FindStringSubmatch(line)
	if m == nil {
		return nil, false
	}
	words, _, _ := strings.Cut(m[1], " > ")
	return shellWords(t, words), true
}

// before says what has to be there before a line is run that a document does not
// make itself, or that another person made.
var before = map[string][][]string{
	"kinward signals off silent --family Miller":                                                  {{"families", "add", "Miller"}},
	"kinward devices add 192.168.1.31 --name Tablet --profile Everyone":                           {{"devices", "remove", "Tablet"}},
	"kinward devices add 192.168.1.31 --name Tablet":                                              {{"devices", "remove", "Tablet"}},
	"kinward devices add 02:00:5e:10:00:31 --name Phone --profile Lea":                            {{"devices", "remove", "Phone"}},
	"kinward devices clue remove Tablet 192.168.1.31":                                             {{"devices", "clue", "add", "Tablet", "02:00:5e:10:00:31"}},
	"kinward profiles add Lea D":                                                                  {{"devices", "remove", "Phone"}, {"devices", "remove", "Lea's phone"}, {"profiles", "remove", "Lea"}},
	"kinward profiles remove Lea":                                                                 {{"devices", "remove", "Phone"}, {"devices", "remove", "Lea's phone"}},
	"kinward profiles list Lea school block":                                                      {{"lists", "add", "our-school.txt", "--id", "school", "--category", "own"}},
	`kinward schedules add Lea Games free games-chat "Mon-Fri 16:00-17:30"`:                       {{"schedules", "remove", "Lea", "Games"}},
	`kinward schedules add Lea Games free games-chat "Mon-Fri 16:00-17:30" "Sat,Sun 10:00-12:00"`: {{"schedules", "remove", "Lea", "Games"}},
	"kinward restore kinward-2026-11-24.tar.gz":                                                   {{"backup", "kinward-2026-11-24.tar.gz"}},
	"kinward schedules except Lea Bedtime 2026-12-31 --usual":                                     {{"schedules", "except", "Lea", "Bedtime", "2026-12-31"}},
	"kinward lists accept dating":                                                                 {{"lists", "update", "dating"}},
	"kinward families link --family Miller":                                                       {{"families", "link", "make", "--family", "Miller"}},
	"kinward families loosening --second":                                                         {{"guardians", "add", "Tom", "--role", "guardian"}},
	"kinward guardians add Eva --role owner":                                                      {{"guardians", "add", "Maria", "--role", "owner"}, {"guardians", "remove", "Eva"}},
	"kinward guardians invite Grandpa":                                                            {{"guardians", "add", "Grandpa"}},
	"kinward guardians add Grandpa --role viewer":                                                 {{"guardians", "remove", "Grandpa"}},
	"kinward guardians rename Grandpa Karl":                                                       {{"guardians", "add", "Grandpa"}},
	"kinward guardians revoke Grandpa":                                                            {{"guardians", "add", "Grandpa"}, {"guardians", "invite", "Grandpa"}},
	"kinward guardians role Grandpa guardian":                                                     {{"guardians", "add", "Grandpa"}},
	"kinward guardians invite Mia --family Berger --role owner":                                   {{"families", "add", "Berger"}},
}

// alone are the commands each of whose examples begins with the family as it was.
var alone = []string{"devices", "profiles", "rules", "schedules"}

// prepare makes what is before a line, where it is not there.
func (g *guide) prepare(line string) {
	g.shrunk.Store(line == "kinward lists accept dating")
	defer g.shrunk.Store(false)
	for _, args := range before[line] {
		cmd := exec.Command(binary, append(slices.Clone(args), "--data", g.data)...)
		cmd.Dir = g.dir
		cmd.Run() // what is there already is an error, and as good
	}
}

// TestDocumentsRun runs the command lines of each document in its order.
func TestDocumentsRun(t *testing.T) {
	ran := 0
	for _, doc := range written(t) {
		lines := commandLines(readFile(t, doc))
		if len(lines) == 0 {
			continue
		}
		ran += len(lines)
		t.Run(strings.ReplaceAll(doc, "/", "."), func(t *testing.T) {
			t.Parallel()
			g := startGuide(t)
			for _, args := range prepared[doc] {
				g.must(args...)
			}
			for _, line := range lines {
				g.prepare(line)
				g.line(t, line)
			}
		})
	}
	if ran < 100 {
		t.Errorf("the documents have %d lines", ran)
	}
}

// prepared is what a document that does not tell its story from the beginning takes
// for granted.
var prepared = map[string][][]string{
	"docs/operators.md":       {{"devices", "add", "192.168.1.32", "--name", "Lea's phone"}},
	"deploy/second-server.md": {{"devices", "add", "127.0.0.1", "--name", "Phone"}},
}

// together are the commands whose examples share a server.
var together = []string{
	"backup", "cache", "check", "completion", "digest", "doctor", "explain", "help-lines", "holidays", "pause", "resume", "retention", "search", "serve",
	"signals", "today", "version",
}

// TestExamplesRun runs the examples of --help, most commands' on a server of their own.
func TestExamplesRun(t *testing.T) {
	ran := 0
	stories := map[string][]string{}
	for _, top := range (&cli{out: os.Stdout, err: os.Stderr}).root().Commands() {
		name := top.Name()
		if slices.Contains(together, name) {
			name = "together"
		}
		stories[name] = append(stories[name], examplesOf(top)...)
	}
	for name, lines := range stories {
		ran += len(lines)
		if i := slices.Index(lines, "kinward console link"); i > 0 {
			lines = slices.Insert(slices.Delete(lines, i, i+1), 0, "kinward console link")
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := startGuide(t)
			g.settle()
			for i, line := range lines {
				if i > 0 && slices.Contains(alone, name) {
					g.settle()
				}
				g.prepare(line)
				g.line(t, line)
			}
		})
	}
	if ran < 200 {
		t.Errorf("there are %d examples", ran)
	}
}

// examplesOf returns the examples of a command and of those below it, each once.
func examplesOf(c *cobra.Command) (lines []string) {
	for line := range strings.SplitSeq(c.Example, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	for _, sub := range c.Commands() {
		for _, line := range examplesOf(sub) {
			if !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// Every reason not to run a line is about a line that is there.
func TestNotRunAreThere(t *testing.T) {
	var all []string
	for _, doc := range written(t) {
		all = append(all, commandLines(readFile(t, doc))...)
	}
	all = append(all, examplesOf((&cli{out: os.Stdout, err: os.Stderr}).root())...)
	for line := range notRun {
		if !slices.Contains(all, line) {
			t.Errorf("no document has the line %q, which has a reason not to be run", line)
		}
	}
	tests := ""
	sources, err := filepath.Glob("*_test.go")
	must(t, err)
	for _, path := range sources {
		tests += readFile(t, filepath.Join("cmd/kinward", path))
	}
	for line, reason := range notRun {
		for _, name := range regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(reason, -1) {
			if !strings.Contains(tests, "func "+name+"(") {
				t.Errorf("%q: there is no test %s", line, name)
			}
		}
		if target, ok := strings.CutPrefix(line, "make "); ok && !strings.Contains(readFile(t, "Makefile"), "\n"+target+":") {
			t.Errorf("there is no target for %q", line)
		}
		if m := regexp.MustCompile(`^kinward lists (?:add|accept|rollback) ([a-z-]+)$`).FindStringSubmatch(line); m != nil {
			offers, err := blocklists.Directory()
			must(t, err)
			if !slices.ContainsFunc(offers, func(o blocklists.Offer) bool { return o.ID == m[1] }) {
				t.Errorf("%q: the directory has no such list", line)
			}
		}
	}
	for line := range exits {
		if !slices.Contains(all, line) {
			t.Errorf("no document has the line %q, which has an exit code", line)
		}
	}
	for line := range before {
		if !slices.Contains(all, line) {
			t.Errorf("no document has the line %q, which has something before it", line)
		}
	}
}
