package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kinward/blocklists"
)

// verify runs lists verify as a person would, in an empty home, with text as
// the list or on standard input.
func verify(t *testing.T, text string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "list.txt"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, append([]string{"lists", "verify"}, args...)...)
	cmd.Dir = home
	cmd.Env = []string{"HOME=" + home}
	cmd.Stdin = strings.NewReader(text)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(home); err != nil || len(left) != 1 {
		t.Errorf("verify left %v behind, %v", left, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestListsVerify(t *testing.T) {
	const good = "# list\nb.example\n192.0.2.1\nb.example\nchildline.org.uk\nads.*.example.com\n"
	for _, tt := range []struct {
		name, text string
		args       []string
		code       int
		want       string // lines of the output, or of the errors
	}{
		{
			"a file", good,
			[]string{"list.txt"},
			exitOK,
			"can be added|format +domains|lines +6|taken +1|more than once +1|skipped +3|1  bare IP address|line 3: 192.0.2.1|must stay reachable (a guard|line 5: childline.org.uk|1  wildcard inside",
		},
		{"standard input", good, []string{"-"}, exitOK, "- can be added|taken +1"},
		{"patterns", good, []string{"-", "--patterns"}, exitOK, "taken +2|patterns among these +1"},
		{"a format that is given", "a.example CNAME .\n", []string{"-", "--format", "rpz"}, exitOK, "format +rpz|taken +1"},
		{"a list that is refused", "a.example\ncom\n", []string{"list.txt"}, exitFailed, "would be refused|every name under .com"},
		{"a page", "<!doctype html>", []string{"-"}, exitFailed, "would be refused|web page"},
		{"no such format", good, []string{"-", "--format", "pac"}, exitUsage, `list format "pac": want one of auto, hosts`},
		{"no such match", good, []string{"-", "--match", "some"}, exitUsage, `"some"`},
		{"no such file", good, []string{"other.txt"}, exitNothing, "other.txt"},
		{"nothing given", good, nil, exitUsage, "needs a FILE"},
	} {
		out, errs, code := verify(t, tt.text, tt.args...)
		if code != tt.code {
			t.Errorf("%s: exit code %d, want %d\n%s%s", tt.name, code, tt.code, out, errs)
		}
		squeezed := strings.Join(strings.Fields(out+errs), " ")
		for want := range strings.SplitSeq(tt.want, "|") {
			want = strings.Join(strings.Fields(strings.ReplaceAll(want, " +", " ")), " ")
			if !strings.Contains(squeezed, want) {
				t.Errorf("%s: no %q in\n%s%s", tt.name, want, out, errs)
			}
		}
	}
}

func TestListsVerify_json(t *testing.T) {
	out, _, code := verify(t, "a.example\n192.0.2.1\n", "-", "--json")
	var v listVerdict
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != exitOK {
		t.Fatalf("%v, exit code %d: %s", err, code, out)
	}
	if !v.OK || v.Report.Taken != 1 || v.Report.Skipped[blocklists.SkipIP] != 1 || len(v.Report.Examples) != 1 {
		t.Errorf("got %+v", v)
	}
	out, _, code = verify(t, "", "-", "--json")
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != exitFailed || v.OK || v.Error == "" {
		t.Errorf("an empty list: %v, exit code %d: %s", err, code, out)
	}
}
