package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// The rules of the house, as tests: who may import whom, and that what stands
// beside the code (Dockerfile, unit, samples, documents) still fits it.

const top = "../.."

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(top, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestImports keeps the rooms apart: data flows one way, and the hot path
// depends on neither database nor pages.
func TestImports(t *testing.T) {
	allowed := map[string][]string{
		"kinward/blocklists":      {},
		"kinward/policy":          {"kinward/blocklists"},
		"kinward/journal":         {"kinward/blocklists", "kinward/policy", "kinward/journal/spool"},
		"kinward/store":           {"kinward/blocklists", "kinward/policy", "kinward/journal", "kinward/journal/spool", "kinward/journal/alerts", "kinward/journal/signals"},
		"kinward/resolver":        {"kinward/blocklists", "kinward/policy", "kinward/resolver/upstream"},
		"kinward/journal/alerts":  {"kinward/blocklists", "kinward/policy", "kinward/journal"},
		"kinward/journal/signals": {"kinward/blocklists", "kinward/policy", "kinward/journal"},
		// It carries attempts, and knows no incident.
		"kinward/journal/spool": {"kinward/blocklists", "kinward/policy"},
		// Texts alone: it knows no incident.
		"kinward/journal/guidance": {"kinward/blocklists", "kinward/policy"},
		// It asks others, and knows neither names that are listed nor families.
		"kinward/resolver/upstream": {},
		"kinward/certs":             {"kinward/store"},
		"kinward/setup":             {},
		// It keeps accounts and sessions in the database itself; all else it asks of the desk.
		"kinward/console":       {"kinward/blocklists", "kinward/policy", "kinward/setup", "kinward/store"},
		"kinward/deploy/router": {}, // tests alone
	}
	only := map[string]string{ // who alone may import a module
		"github.com/spf13/viper":           "kinward/cmd/kinward",
		"modernc.org/sqlite":               "kinward/store",
		"github.com/caddyserver/certmagic": "kinward/certs",
	}
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "kinward/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		rules, known := allowed[p.ImportPath]
		if !known && p.ImportPath != "kinward/cmd/kinward" {
			t.Errorf("package %s has no import rule; add one here, and to DESIGN.md", p.ImportPath)
		}
		for _, i := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if owner := only[i]; owner != "" && owner != p.ImportPath {
				t.Errorf("%s imports %s, which only %s may", p.ImportPath, i, owner)
			}
			if strings.HasPrefix(i, "github.com/letsencrypt/pebble/") && slices.Contains(p.Imports, i) {
				t.Errorf("%s imports %s outside of tests", p.ImportPath, i)
			}
			if strings.HasPrefix(i, "kinward/") && known && i != p.ImportPath && !slices.Contains(rules, i) {
				t.Errorf("%s imports %s", p.ImportPath, i)
			}
		}
	}
	if seen < len(allowed) {
		t.Errorf("go list shows %d packages; want at least %d", seen, len(allowed))
	}
}

// TestSampleConfiguration: the sample and every YAML block of the documents
// load, and the sample shows every key with its default.
func TestSampleConfiguration(t *testing.T) {
	text := readFile(t, "deploy/kinward.yaml")
	if err := checkYAML("deploy/kinward.yaml", []byte(text)); err != nil {
		t.Error(err)
	}
	got, err := loadConfig(filepath.Join(top, "deploy/kinward.yaml"), (&cobra.Command{}).Flags(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := defaultConfig()
	if g, w := yamlOf(t, got), yamlOf(t, &want); g != w {
		t.Errorf("deploy/kinward.yaml says\n%s\nthe defaults are\n%s", g, w)
	}
	samples, err := filepath.Glob(filepath.Join(top, "deploy/*/*kinward*.y*ml"))
	if err != nil || len(samples) < 3 {
		t.Errorf("deploy has %d samples beside it, %v", len(samples), err)
	}
	for _, path := range samples {
		if _, err := loadConfig(path, (&cobra.Command{}).Flags(), nil); err != nil {
			t.Error(err)
		}
	}
	blocks := 0
	for _, doc := range written(t) {
		if doc == "deploy/grafana/README.md" {
			continue // its block is Prometheus's
		}
		for _, m := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(readFile(t, doc), -1) {
			blocks++
			if err := checkYAML(doc, []byte(m[1])); err != nil {
				t.Errorf("%v\n%s", err, m[1])
			}
		}
	}
	if blocks < 4 {
		t.Errorf("the documents show %d blocks of configuration", blocks)
	}
}

// TestDockerfile checks the image's parts where no engine builds it: what is
// copied exists and is made, nobody is root, settings and commands are real.
func TestDockerfile(t *testing.T) {
	text := readFile(t, "Dockerfile")
	line := func(re string) []string {
		m := regexp.MustCompile("(?m)^" + re).FindStringSubmatch(text)
		if m == nil {
			t.Fatalf("Dockerfile has no line like %s", re)
		}
		return m
	}
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(readFile(t, "go.mod"))[1]
	if got := line(`FROM golang:(\d+\.\d+)\S* AS build`)[1]; got != goVersion {
		t.Errorf("Dockerfile builds with Go %s; go.mod says %s", got, goVersion)
	}
	build := line(`RUN CGO_ENABLED=0 go build .* -o (\S+) (\./\S+)`)
	if _, err := os.Stat(filepath.Join(top, build[2])); err != nil {
		t.Error(err)
	}
	line(`FROM scratch`)
	if user := line(`USER (\d+):(\d+)`); user[1] == "0" || user[2] == "0" {
		t.Error("Dockerfile runs as root")
	}
	line(`COPY --from=build ` + regexp.QuoteMeta(build[1]) + ` /kinward`)
	line(`COPY --from=build \S*ca-certificates.crt`) // lists come over https
	line(`COPY --from=build --chown=\d+:\d+ /data /data`)
	line(`ENTRYPOINT \["/kinward"\]`)
	line(`CMD \["serve"\]`)
	env := regexp.MustCompile(`(KINWARD_[A-Z_]+)=(\S+)`).FindAllString(text, -1)
	cfg, err := loadConfig("", (&cobra.Command{}).Flags(), env)
	if err != nil {
		t.Fatalf("the image's environment %q: %v", env, err)
	}
	if cfg.Data != "/data" {
		t.Errorf("the image keeps its data in %s; want its volume /data", cfg.Data)
	}
	for _, a := range append(slices.Clone(cfg.DNS), cfg.Metrics, cfg.Console) {
		port := a[strings.LastIndexByte(a, ':')+1:]
		line(`EXPOSE .*\b` + port + `/`)
	}
	health := line(`HEALTHCHECK .* CMD (\[.*\])`)[1]
	var argv []string
	if err := json.Unmarshal([]byte(health), &argv); err != nil {
		t.Fatal(err)
	}
	checkCommandLine(t, argv[1:])
}

// TestSystemdUnit: every kinward command line in the unit is one that exists.
func TestSystemdUnit(t *testing.T) {
	text := readFile(t, "deploy/systemd/kinward.service")
	commands := regexp.MustCompile(`(?m)^ExecStart(?:Pre)?=\S*/kinward (.*)$`).FindAllStringSubmatch(text, -1)
	if len(commands) != 2 {
		t.Errorf("the unit starts %d kinward commands; want check and serve", len(commands))
	}
	for _, m := range commands {
		checkCommandLine(t, strings.Fields(m[1]))
	}
	for _, want := range []string{"CAP_NET_BIND_SERVICE", "NoNewPrivileges=yes", "ProtectSystem=strict", "DynamicUser=yes", "StateDirectory=kinward"} {
		if !strings.Contains(text, want) {
			t.Errorf("the unit lacks %s", want)
		}
	}
}

// checkCommandLine parses a command line without running it.
func checkCommandLine(t *testing.T, args []string) {
	t.Helper()
	cmd, rest, err := (&cli{out: os.Stdout, err: os.Stderr}).root().Find(args)
	if err != nil {
		t.Errorf("kinward %s: %v", strings.Join(args, " "), err)
		return
	}
	if err := cmd.ParseFlags(rest); err != nil {
		t.Errorf("kinward %s: %v", strings.Join(args, " "), err)
		return
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil {
		t.Errorf("kinward %s: %v", strings.Join(args, " "), err)
	}
}

// TestHelp: every command has a one-line summary and examples. What they and the
// documents' command lines do, TestExamplesRun and TestDocumentsRun look at; here
// is looked at what a document says of a command within a sentence.
func TestHelp(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Name() == "help" {
			return
		}
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s has no summary or no examples", c.CommandPath())
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Value.String() != f.DefValue { // two flags that share a variable: the later default holds for both
				t.Errorf("%s --%s begins as %q, its help says %q", c.CommandPath(), f.Name, f.Value, f.DefValue)
			}
		})
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&cli{out: os.Stdout, err: os.Stderr}).root())
	shown := 0
	for _, doc := range written(t) {
		for _, m := range regexp.MustCompile("`kinward ([a-z][^`]*)`").FindAllStringSubmatch(readFile(t, doc), -1) {
			shown++
			args := strings.Fields(m[1])
			cmd, rest, err := (&cli{out: os.Stdout, err: os.Stderr}).root().Find(args)
			if err != nil || len(rest) > 0 && !strings.HasPrefix(rest[0], "-") && cmd.HasSubCommands() {
				t.Errorf("%s: there is no command %q: %v", doc, m[0], err)
			}
		}
	}
	if shown < 20 {
		t.Errorf("the documents speak of %d commands; want at least 20", shown)
	}
}

// shellWords splits a command line as a shell does: at blanks outside of quotes.
func shellWords(t *testing.T, line string) (words []string) {
	t.Helper()
	word, begun, quote := "", false, rune(0)
	for _, r := range line {
		switch {
		case r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, begun = r, true
		case quote == 0 && r == ' ':
			if begun {
				words = append(words, word)
			}
			word, begun = "", false
		default:
			word, begun = word+string(r), true
		}
	}
	if quote != 0 {
		t.Errorf("%q has a quote that does not end", line)
	}
	if begun {
		words = append(words, word)
	}
	return words
}

func TestShellWords(t *testing.T) {
	for line, want := range map[string][]string{
		`devices add 192.168.1.32 --name "Lea's phone"`: {"devices", "add", "192.168.1.32", "--name", "Lea's phone"},
		`serve --upstream 'https://a?b=c d'  -x ""`:     {"serve", "--upstream", "https://a?b=c d", "-x", ""},
	} {
		if got := shellWords(t, line); !slices.Equal(got, want) {
			t.Errorf("%s has the words %q, want %q", line, got, want)
		}
	}
}

// TestStandsAlone: nothing in the tree speaks of the place it was written in.
func TestStandsAlone(t *testing.T) {
	bad := regexp.MustCompile(`\.\./shared|/work/|/root/|proxy\.golang\.org`)
	files := 0
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == ".git" || name == "bin" {
				return fs.SkipDir
			}
			return nil
		}
		files++
		text, err := os.ReadFile(path)
		if err != nil || filepath.Base(path) == "house_test.go" {
			return err
		}
		if m := bad.Find(text); m != nil {
			t.Errorf("%s holds %q", path, m)
		}
		return nil
	})
	if err != nil || files < 50 {
		t.Errorf("walking the tree: %d files, %v", files, err)
	}
}
