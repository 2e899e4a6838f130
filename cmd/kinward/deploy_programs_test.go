package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestHomeAssistantSample asks a running server for what the sample for Home
// Assistant asks for, and holds that what its templates read is there.
func TestHomeAssistantSample(t *testing.T) {
	h := startHome(t, startUpstream(t))
	p := h.signIn().token("Home Assistant", "read", "write")
	h.must("profiles", "add", "Lea", "D")
	type asks struct {
		Resource, URL, Method, Payload string
		Headers                        map[string]string
	}
	var sample struct {
		Rest        []asks
		RestCommand map[string]asks `yaml:"rest_command"`
	}
	must(t, yaml.Unmarshal([]byte(readFile(t, "deploy/programs/home-assistant.yaml")), &sample))
	const home = "http://kinward.home.arpa:8053/api/v1"
	path := func(at string, a asks) string {
		if a.Headers["Authorization"] != "kinward_token" { // a secret, by its name
			t.Errorf("%s has the headers %v", at, a.Headers)
		}
		if !strings.HasPrefix(at, home) {
			t.Errorf("%q is not below %s", at, home)
		}
		return strings.TrimPrefix(at, home)
	}
	paused := func() bool {
		for _, x := range p.must("GET", "/today", nil)["profiles"].([]any) {
			if profile := x.(object); profile["name"] == "Lea" {
				_, there := profile["paused"]
				return there
			}
		}
		t.Error("today tells nothing of Lea")
		return false
	}
	fields := [][]string{{"profiles", "unknown"}, {"waiting"}}
	for i, r := range sample.Rest {
		got := p.must("GET", path(r.Resource, r), nil)
		for _, field := range fields[i] {
			if _, ok := got[field]; !ok {
				t.Errorf("%s has no %q: %v", r.Resource, field, got)
			}
		}
	}
	first := p.must("GET", "/today", nil)["profiles"].([]any)[0].(object)
	for _, field := range []string{"name", "fresh", "urgent"} {
		if _, ok := first[field]; !ok {
			t.Errorf("a profile of today has no %q: %v", field, first)
		}
	}
	for _, step := range []struct {
		command string
		want    bool
	}{{"kinward_pause_lea", true}, {"kinward_resume_lea", false}} {
		c := sample.RestCommand[step.command]
		var body any
		if c.Payload != "" {
			must(t, yaml.Unmarshal([]byte(c.Payload), &body)) // JSON is YAML
		}
		if a := p.ask(c.Method, path(c.URL, c), body); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", step.command, a.status, a.body)
		}
		if got := paused(); got != step.want {
			t.Errorf("after %s Lea is paused: %v", step.command, got)
		}
	}
}

// TestScriptSample runs the sample script against a running server.
func TestScriptSample(t *testing.T) {
	h := startHome(t, startUpstream(t))
	p := h.signIn().token("script", "read", "write")
	h.must("profiles", "add", "Lea", "D")
	h.must("devices", "add", "127.0.0.1", "--name", "Tablet", "--profile", "Lea")
	token := filepath.Join(t.TempDir(), "token")
	must(t, os.WriteFile(token, []byte(p.token), 0o600))
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", append([]string{filepath.Join(top, "deploy/programs/kinward-api.sh")}, args...)...)
		cmd.Env = append(os.Environ(), "KINWARD_URL="+p.base, "KINWARD_TOKEN_FILE="+token)
		out, _ := cmd.CombinedOutput() // what it says is held against what it has to
		return string(out)
	}
	h.asks("omegle.com")
	h.eventually("an incident", func() bool { return strings.Contains(run("incidents"), `"service":"omegle"`) })
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"today"}, "Lea: 1 to read"},
		{[]string{"pause", "Lea", "30m"}, "Lea"},
		{[]string{"resume", "Lea"}, "Lea"},
		{[]string{"allow", "roblox", "Lea", "15m"}, "roblox"},
		{[]string{"pause", "Nobody"}, "Not found: "},
		{[]string{"pause", "Lea", "soon"}, "Invalid: "},
		{nil, "kinward-api.sh today"},
	} {
		if got := run(tt.args...); !strings.Contains(strings.ToLower(got), strings.ToLower(tt.want)) {
			t.Errorf("%v prints %q, want %q in it", tt.args, got, tt.want)
		}
	}
}
