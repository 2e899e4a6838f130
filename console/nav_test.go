package console

import (
	"slices"
	"testing"
)

// The frame leads to each place once, tells the family's places from the server's,
// and says where the visitor is, on a phone too.
func TestNav(t *testing.T) {
	both := mother
	both.Operator = true
	alone := Actor{Operator: true, Name: "Otto"}
	for _, c := range []struct {
		name string
		by   Actor
		path string
		here []string // what is marked
	}{
		{"the first page", both, "/", []string{"/ page"}},
		{"below a place in the bar", both, "/children/3/times", []string{"/children page"}},
		{"a place that a phone has behind more", both, "/family", []string{"/more true", "/family page"}},
		{"the list of them", both, "/more", []string{"/more page"}},
		{"a page below another's address", both, "/operator/lists", []string{"/more true", "/operator/lists page"}},
		{"a page that belongs to another", both, "/router/fritzbox", []string{"/devices page"}},
		{"a page that belongs nowhere", both, "/welcome", nil},
		{"who has no family", alone, "/operator/health", []string{"/operator/health page"}},
	} {
		v, _ := testVisit(t, c.by, "GET", c.path, nil)
		var here, keys []string
		groups, bar := map[string]bool{}, 0
		for _, item := range v.Nav() {
			if item.Group != "" {
				groups[item.Group] = true
				continue
			}
			if len(groups) == 0 {
				bar++
			}
			if item.Here != "" {
				here = append(here, item.Path+" "+item.Here)
			}
			if said := v.lang.text(item.Key); slices.Contains(keys, said) {
				t.Errorf("%s: %q stands twice", c.name, said)
			} else {
				keys = append(keys, said)
			}
		}
		if !slices.Equal(here, c.here) {
			t.Errorf("%s: marked are %q, want %q", c.name, here, c.here)
		}
		if bar != 5 || !groups["nav.rest"] || !groups["nav.server"] {
			t.Errorf("%s: %d places in the bar, groups %v", c.name, bar, groups)
		}
	}
}

// Who did something at the server is named so that a child understands it.
func TestWho(t *testing.T) {
	v, _ := testVisit(t, mother, "GET", "/", nil)
	for recorded, want := range map[string]string{
		"Eva":                   "Eva",
		"command line":          "Somebody at the server",
		"command line as root":  "Somebody at the server",
		"command line's friend": "command line's friend",
	} {
		if got := v.lang.who(recorded); got != want {
			t.Errorf("%q is said as %q, want %q", recorded, got, want)
		}
	}
}
