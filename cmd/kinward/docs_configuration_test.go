package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestConfigurationReference: docs/configuration.md is made of the keys, defaults,
// flags and variables of the program, and of the words of deploy/kinward.yaml.
func TestConfigurationReference(t *testing.T) {
	holdDocument(t, "docs/configuration.md", configurationReference(t))
}

// TestSettingsHaveOneForm: a setting is written as in the reference, "lists: refresh",
// in documents, help, messages and the console's texts alike; never with a dot.
func TestSettingsHaveOneForm(t *testing.T) {
	var dotted []string
	for _, k := range configKeys() {
		if strings.Contains(k.name, keySep) {
			dotted = append(dotted, regexp.QuoteMeta(strings.ReplaceAll(k.name, keySep, ".")))
		}
	}
	if len(dotted) < 50 {
		t.Fatalf("%d settings have a level above", len(dotted))
	}
	other := regexp.MustCompile(`(?:^|[^\w.-])(` + strings.Join(dotted, "|") + `)(?:[^\w-]|$)`)
	read := 0
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == ".git" || name == "bin" || name == "testdata" {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, "_test.go") || !slices.Contains([]string{".go", ".md", ".yaml", ".html", ".1", ".js", ".service", ".conf"}, filepath.Ext(path)) {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		read++
		for i, line := range strings.Split(string(b), "\n") {
			if m := other.FindStringSubmatch(line); m != nil {
				t.Errorf("%s:%d: %s; write %q", path, i+1, m[1], strings.ReplaceAll(m[1], ".", ": "))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if read < 200 {
		t.Errorf("%d files were read", read)
	}
}

// setting is a key as the reference shows it.
type setting struct {
	key, value, flag, variable, words string
}

func configurationReference(t *testing.T) string {
	said := sampleWords(t)
	flags := settingFlags(t)
	var b strings.Builder
	b.WriteString(`# Configuration

` + strings.Replace(madeBy, "its source", "deploy/kinward.yaml and cmd/kinward/config*.go", 1) + `

Every setting has a default, so Kinward starts without a file. A value comes from the first of these that gives it:

1. a flag of ` + "`kinward serve`, such as `--dns`" + `;
2. a variable of the environment, such as ` + "`KINWARD_DNS`" + `; a list has commas between its items;
3. the YAML file that ` + "`--config FILE` or `KINWARD_CONFIG`" + ` names;
4. the default.

A key that does not exist, a value of the wrong type or a key given twice is an error that names the line and the nearest
right key; so is a variable ` + "`KINWARD_…`" + ` that sets nothing. ` + "`kinward check`" + ` says what would be in force, and masks secrets.
[deploy/kinward.yaml](../deploy/kinward.yaml) has all keys, ready to be changed. After a change send SIGHUP to the program,
which reads the file again; it says in its log which keys wait for the next start.

`)
	fmt.Fprintf(&b, "## data\n\nThe %s. Default: `$XDG_STATE_HOME/kinward`, or else `~/.local/state/kinward`. Flag: `--data`, of every command. Variable: `KINWARD_DATA`.\n\n",
		strings.TrimSuffix(regexp.MustCompile(` \(default.*`).ReplaceAllString((&cli{}).root().PersistentFlags().Lookup("data").Usage, ""), "."))
	group := ""
	for _, k := range configKeys() {
		if k.name == "data" {
			continue
		}
		path := strings.Split(k.name, keySep)
		s := setting{key: strings.Join(path, ": "), value: asWritten(t, k.value), variable: "`" + k.env() + "`", words: said[k.name]}
		delete(said, k.name)
		if flags.Lookup(k.flag()) != nil {
			s.flag = "`--" + k.flag() + "`"
		}
		if _, structured := k.value.([]forwardConfig); structured {
			s.variable = "– (the file alone)"
		}
		if len(path) == 1 {
			group = ""
			fmt.Fprintf(&b, "## %s\n\n%sDefault: %s. %sVariable: %s.\n\n", s.key, paragraphs(s.words), s.value, prefixed("Flag: ", s.flag, ". "), s.variable)
			continue
		}
		if at := strings.Join(path[:len(path)-1], ": "); at != group {
			group = at
			for i := range len(path) - 1 {
				name := strings.Join(path[:i+1], keySep)
				if words, new := said[name]; new {
					fmt.Fprintf(&b, "%s %s\n\n%s", strings.Repeat("#", i+2), strings.Join(path[:i+1], ": "), paragraphs(words))
					delete(said, name)
				}
			}
			b.WriteString("| key | default | variable | what it is |\n|---|---|---|---|\n")
		}
		if s.words == "" {
			t.Errorf("deploy/kinward.yaml says nothing of %s", s.key)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.key, s.value, s.variable, strings.ReplaceAll(strings.ReplaceAll(s.words, "\n", " "), "|", `\|`))
		if !sameGroup(k.name) {
			b.WriteString("\n")
		}
	}
	for name := range said {
		t.Errorf("deploy/kinward.yaml speaks of %s, which is no key", name)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// sameGroup reports whether the key after this one stands in the same table.
func sameGroup(name string) bool {
	parent := func(s string) string { return s[:max(0, strings.LastIndex(s, keySep))] }
	keys := configKeys()
	for i, k := range keys {
		if k.name == name {
			return i+1 < len(keys) && parent(keys[i+1].name) == parent(name)
		}
	}
	return false
}

func prefixed(before, s, after string) string {
	if s == "" {
		return ""
	}
	return before + s + after
}

// asWritten is a default as it is written in the file.
func asWritten(t *testing.T, value any) string {
	text, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	switch v := value.(type) {
	case []string:
		if len(v) == 0 {
			return "none"
		}
		return "`" + strings.Join(v, "`, `") + "`"
	case []forwardConfig:
		return "none"
	case string:
		if v == "" {
			return "none"
		}
		return "`" + v + "`"
	}
	return "`" + strings.TrimSpace(string(text)) + "`"
}

// sampleWords reads what the comments of the sample say of each key and group. A
// comment above several keys of the top that have none of their own is for all.
func sampleWords(t *testing.T) map[string]string {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(readFile(t, "deploy/kinward.yaml")), &doc); err != nil {
		t.Fatal(err)
	}
	said := map[string]string{}
	var walk func(prefix string, m *yaml.Node)
	walk = func(prefix string, m *yaml.Node) {
		last := ""
		for i := 0; i+1 < len(m.Content); i += 2 {
			key, value := m.Content[i], m.Content[i+1]
			words := key.HeadComment
			if at := strings.LastIndex(words, "\n\n"); at >= 0 {
				words = words[at+2:] // above it: of the file
			}
			words = uncommented(words)
			for _, c := range []string{key.LineComment, value.LineComment} {
				words = strings.TrimPrefix(words+"\n"+uncommented(c), "\n")
				words = strings.TrimSuffix(words, "\n")
			}
			name := prefix + key.Value
			switch {
			case words != "":
				last = key.Value
			case prefix == "" && last != "" && value.Kind != yaml.MappingNode:
				words = "See " + last + "."
			}
			said[name] = words
			if value.Kind == yaml.MappingNode {
				walk(name+keySep, value)
			}
		}
	}
	walk("", doc.Content[0])
	return said
}

func uncommented(comment string) string {
	lines := strings.Split(comment, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(strings.TrimPrefix(l, "#"), " ")
	}
	return strings.Join(lines, "\n")
}

// paragraphs makes Markdown of a comment: what is indented is shown as it is.
func paragraphs(words string) string {
	var b strings.Builder
	shown := false
	for line := range strings.SplitSeq(words, "\n") {
		if in := strings.HasPrefix(line, "  "); in != shown {
			b.WriteString(map[bool]string{true: "\n```text\n", false: "```\n\n"}[in])
			shown = in
		}
		b.WriteString(strings.TrimPrefix(line, "  ") + "\n")
	}
	if shown {
		b.WriteString("```\n")
	}
	if strings.TrimSpace(b.String()) == "" {
		return ""
	}
	return b.String() + "\n"
}

// The words of a group that is a mapping stand above its table, and those of a key
// with a comment behind it in the table.
func TestConfigurationReferenceReads(t *testing.T) {
	said := sampleWords(t)
	for name, want := range map[string]string{
		"dns": "this machine's address", "doh": "See dot.", "cache": "Answers kept in memory", "limits::rate": "questions a second",
		"alerts::smtp::security": "starttls: no message", "tls::key": "a PEM file", "block-page": "192.168.1.10",
	} {
		if !strings.Contains(said[name], want) {
			t.Errorf("of %s the sample says %q, not %q", name, said[name], want)
		}
	}
	if strings.Contains(said["dns"], "Every key is shown") {
		t.Errorf("what is said of the file is said of dns: %q", said["dns"])
	}
	if got, want := paragraphs("one:\n  two\n  three\nfour"), "one:\n\n```text\ntwo\nthree\n```\n\nfour\n\n"; got != want {
		t.Errorf("paragraphs make %q of it, want %q", got, want)
	}
	if got := asWritten(t, []string{"a", "b"}); got != "`a`, `b`" {
		t.Errorf("a list is shown as %s", got)
	}
}
