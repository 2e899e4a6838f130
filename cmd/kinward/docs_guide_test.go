package main

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// guide is a running server, with what is around it, on which lines are run.
type guide struct {
	*home
	dir   string // where commands run
	lists *httptest.Server
	owner *visitor
	token *apiClient // of the owner
	n     int        // counts what is made up

	shrunk atomic.Bool
}

// familyOfGuides is what the lines of --help speak of.
const familyOfGuides = `
family: Home
zone: Europe/Berlin
country: DE
unknown: Everyone
guardians:
  - {name: Eva, role: owner}
profiles:
  - {name: Everyone, preset: C}
  - {name: Adults, preset: adult}
  - {name: Guests, preset: C, guests: true}
  - name: Lea
    preset: D
    schedules:
      - {name: Bedtime, block: everything, windows: ["Sun-Thu 20:30-06:30"]}
      - {name: Games, free: "category:games-chat", windows: ["Mon-Fri 16:00-17:30"]}
devices:
  - {name: "Lea's phone", profile: Lea, networks: [192.168.1.32]}
  - {name: Phone, profile: Lea, networks: [127.0.0.1]}
  - {name: Tablet, profile: Everyone, networks: [192.168.1.31]}
  - {name: "Mum's laptop", profile: Adults, networks: [192.168.1.20]}
holidays:
  - {name: Christmas holidays, first: 2026-12-21, last: 2027-01-06}
`

func startGuide(t *testing.T) *guide {
	t.Helper()
	g := &guide{home: &home{t: t}, dir: t.TempDir()}
	g.serveLists()
	box := startLetterbox(t, false)
	config := filepath.Join(g.dir, "kinward.yaml")
	must(t, os.Symlink(mustAbs(t, filepath.Join(top, "blocklists")), filepath.Join(g.dir, "blocklists")))
	g.write("kinward.yaml", g.publish()+"tls: {name: dns.example.org, self-signed: true}\nlists: {allow-private: true}\nalerts:\n  allow-private: true\n  link: https://kinward.example.org\n  push: {contact: owner@example.org}\n"+box.config())
	g.home = pageHomeOf(t, config)
	g.write("our-school.txt", "chat.example\nmore.example\n")
	g.write("token.txt", "tk_secret\n")
	g.write("zone.txt", "$TTL 60\n@ SOA localhost. root.localhost. 1 60 60 60 60\n  NS localhost.\nlisted.example CNAME .\n")
	g.write("ours.txt", "ours.example\n")
	g.write("subscription.json", "{}")
	must(t, os.Rename(newBrowser(t).subscription(t, g.lists.URL), filepath.Join(g.dir, "subscription.json")))
	return g
}

// serveLists serves lists in the place of those of the internet. While they are
// shrunk a version has lost most of its names, and is held.
func (g *guide) serveLists() {
	g.lists = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/kinward/catalogue.txt" {
			http.ServeFile(w, q, filepath.Join(g.dir, "catalogue-9.txt"))
			return
		}
		n := 300
		if g.shrunk.Load() {
			n = 3
		}
		var hosts strings.Builder
		for i := range n {
			fmt.Fprintf(&hosts, "listed%d.example\n", i)
		}
		if !strings.HasSuffix(q.URL.Path, ".tar.gz") {
			io.WriteString(w, hosts.String())
			return
		}
		z := gzip.NewWriter(w)
		a := tar.NewWriter(z)
		a.WriteHeader(&tar.Header{Name: "gambling/domains", Mode: 0o600, Size: int64(hosts.Len())})
		io.WriteString(a, hosts.String())
		a.Close()
		z.Close()
	}))
	g.t.Cleanup(g.lists.Close)
}

// publish signs editions of the catalogue, and returns the configuration by which
// they are taken. It is for those who speak of them alone.
func (g *guide) publish() string {
	if !regexp.MustCompile(`/(lists|CONTRIBUTING.md)$`).MatchString(g.t.Name()) {
		return ""
	}
	run := func(args ...string) string {
		cmd := exec.Command(binary, append([]string{"lists", "catalogue"}, args...)...)
		cmd.Dir = g.dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			g.t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	key := regexp.MustCompile(`[A-Za-z0-9+/]{43}=`).FindString(run("keygen", "catalogue.pem"))
	for _, v := range []string{"6", "9"} {
		run("pack", "catalogue-"+v+".txt", "--key", "catalogue.pem", "--version", v, "--from", "blocklists/data")
	}
	return fmt.Sprintf("catalogue: {source: %s, key: %q}\n", filepath.Join(g.dir, "catalogue-6.txt"), key)
}

// pageHomeOf starts a server with a block page and a configuration.
func pageHomeOf(t *testing.T, config string) *home {
	t.Helper()
	h := startHome(t, startUpstream(t), "--config", config, "--block-page", "127.0.0.1:0")
	m := regexp.MustCompile(`blocked: http://(\S+)/,`).FindStringSubmatch(h.banner)
	if m == nil {
		t.Fatalf("the banner tells no block page:\n%s", h.banner)
	}
	h.page = m[1]
	return h
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	must(t, err)
	return abs
}

func (g *guide) write(name, text string) {
	if err := os.WriteFile(filepath.Join(g.dir, name), []byte(text), 0o600); err != nil {
		panic(err)
	}
}

// settle makes the family that the lines of --help speak of.
func (g *guide) settle() {
	g.write("settled.yaml", familyOfGuides)
	g.must("families", "apply", filepath.Join(g.dir, "settled.yaml"))
	g.write("family.yaml", g.must("families", "export"))
}

// incident returns the newest incident, and makes one where there is none.
func (g *guide) incident() string {
	g.t.Helper()
	g.tool("dig", "+tries=1", "omegle.com")
	var r incidentsReply
	for range 100 {
		if g.into(&r, "incidents", "--since", "1h"); len(r.Incidents) > 0 {
			return r.Incidents[0].ID
		}
	}
	g.t.Fatal("no incident is told of")
	return ""
}

// pending has a guardian make a change that waits, and returns its number.
func (g *guide) pending() string {
	g.t.Helper()
	g.must("families", "loosening", "--delay", "24h")
	g.signed()
	a := g.token.ask("POST", "/profiles/Everyone/rules", object{"allow": true, "name": g.name()})
	if a.status != http.StatusAccepted {
		g.t.Fatalf("a change that has to wait: %d %s", a.status, a.body)
	}
	return fmt.Sprint(int64(a.object(g.t)["pending"].(float64)))
}

// name makes up a name that no rule has.
func (g *guide) name() string {
	g.n++
	return fmt.Sprintf("made-up-%d.example", g.n)
}

// signed has the owner in the console.
func (g *guide) signed() {
	g.t.Helper()
	if g.owner == nil {
		g.owner = g.signIn()
		g.token = g.owner.token("script", "write")
	}
}

// number fills a number that a document makes up: of a change, a request and the like.
func (g *guide) number(args []string) string {
	g.t.Helper()
	switch strings.Join(args[:2], " ") {
	case "changes undo", "changes show":
		g.must("rules", "deny", g.name())
		var r changesReply
		g.into(&r, "changes")
		return fmt.Sprint(r.Changes[0].Revision)
	case "changes approve", "changes reject":
		return g.pending()
	case "requests answer":
		g.must("resume", "all")
		g.n++
		return fmt.Sprint(g.asksFor([]string{"omegle.com", "chatroulette.com", "bumble.com", "grindr.com", "skout.com"}[g.n%5], "for school"))
	case "grants revoke":
		var f familyView
		g.must("grants", "add", "roblox", "--for", "15m")
		g.into(&f, "grants")
		return fmt.Sprint(f.Grants[len(f.Grants)-1].ID)
	case "rules remove":
		name := g.name()
		g.must("rules", "deny", name)
		return regexp.MustCompile(`(?m)^(\d+) .*` + regexp.QuoteMeta(name)).FindStringSubmatch(g.must("rules"))[1]
	case "incidents mutes":
		g.must("incidents", "mute", g.incident())
		return regexp.MustCompile(`(?m)^\s*(\d+)`).FindStringSubmatch(g.must("incidents", "mutes"))[1]
	case "alerts test", "alerts remove":
		added := g.must("alerts", "add", "email", "eva@example.org", "--json")
		return regexp.MustCompile(`"channel": (\d+)`).FindStringSubmatch(added)[1]
	}
	return ""
}

// fill puts what this server has in the place of what a document makes up.
func (g *guide) fill(args []string) []string {
	out := slices.Clone(args)
	for i, a := range out {
		switch {
		case regexp.MustCompile(`^0199aa9[cd][0-9a-f]+$`).MatchString(a):
			out[i] = g.incident()
		case regexp.MustCompile(`^\d+$`).MatchString(a) && i >= 2 && g.counted(args):
			if n := g.number(args); n != "" {
				out[i] = n
			}
		case strings.HasPrefix(a, "https://example.org/"), strings.HasPrefix(a, "https://example.net/"):
			out[i] = g.lists.URL + a[len("https://example.org"):]
		case a == "/var/lib/kinward":
			out[i] = g.data
		case strings.HasPrefix(a, "/etc/kinward/"):
			out[i] = filepath.Join(g.dir, filepath.Base(a))
		case strings.HasPrefix(a, "/srv/lists/"):
			out[i] = filepath.Join(g.dir, "our-school.txt")
		case strings.ToLower(a) == "eva" || a == "eva@example.org" && args[0] == "console":
			if args[0] == "console" {
				out[i] = "eva" // as the account is called
			}
		case a == "catalogue.pem" && args[2] == "keygen":
			out[i] = "another.pem"
		case i > 0 && (args[i-1] == "--out" && strings.Contains(a, ".") || args[0] == "backup"):
			os.Remove(filepath.Join(g.dir, a)) // of another line that writes it, too
		}
	}
	return out
}

// counted reports whether a number among the arguments is one that a server gave.
func (g *guide) counted(args []string) bool {
	return slices.Contains([]string{"changes", "requests", "grants", "rules", "incidents", "alerts"}, args[0]) && !strings.HasPrefix(args[1], "-")
}
