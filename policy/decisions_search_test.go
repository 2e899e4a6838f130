package policy

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"kinward/blocklists"
)

// TestDecisionsSearch holds Decide against decisions-search.txt; each row is decided as it would be
// for a device of that profile.
func TestDecisionsSearch(t *testing.T) {
	c, err := blocklists.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	x, err := blocklists.Compile(c, []blocklists.ListInput{
		list("ours", blocklists.OwnLists, "club.example"),
		list("careless", blocklists.Adult, "=www.bing.com"),
		list("danger", blocklists.Security, "=search.brave.com"),
	})
	if err != nil {
		t.Fatal(err)
	}
	presets, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("testdata/decisions-search.txt")
	if err != nil {
		t.Fatal(err)
	}
	basis, policies, rows := newBasis(presets, x), map[string]*Policy{}, 0
	line := 0
	for text := range strings.Lines(string(data)) {
		line++
		text = strings.TrimSpace(text)
		if text == "" || text[0] == '#' {
			continue
		}
		if rest, ok := strings.CutPrefix(text, "profile "); ok {
			name, doc, _ := strings.Cut(rest, " ")
			p := Profile{ID: 1, Name: name}
			d := json.NewDecoder(strings.NewReader(doc))
			d.DisallowUnknownFields()
			if err := d.Decode(&p); err != nil {
				t.Fatalf("line %d: profile %s: %v", line, name, err)
			}
			src := sourceOf(&Family{Zone: "UTC"}, &p, presets)
			if policies[name], err = compilePolicy(basis, &src); err != nil {
				t.Fatalf("line %d: %v", line, err)
			}
			continue
		}
		f := strings.Fields(text)
		if len(f) != 8 || policies[f[0]] == nil {
			t.Fatalf("line %d: want a known profile and 8 columns: %q", line, text)
		}
		clock, err := time.Parse("2006-01-02 15:04", "2026-11-23 "+f[1])
		if err != nil {
			t.Fatalf("line %d: %v", line, err)
		}
		rows++
		v, _ := DecideName(x, policies[f[0]], blocklists.MustName(f[2]), TypeA, clock)
		if got, want := verdictRow(v), strings.Join(f[3:], " "); got != want {
			t.Errorf("line %d: %s at %s asks for %s\n got %s\nwant %s", line, f[0], f[1], f[2], got, want)
		}
	}
	if rows < 90 {
		t.Errorf("only %d rows were read", rows)
	}
}

// verdictRow writes a verdict as the files of decisions do.
func verdictRow(v Verdict) string {
	target := "-"
	if v.Target != "" {
		target = v.Target.String()
		if v.Flatten {
			target = "flat:" + target
		}
	}
	return fmt.Sprintf("%s %s %s %s %s", v.Action, v.Reason, v.Keep, [...]string{"-", "routine", "attempt"}[v.Bypass], target)
}
