package blocklists

import (
	"slices"
	"strings"
	"testing"
)

func TestCategory_idsReadBack(t *testing.T) {
	seen := map[string]Category{}
	for c := NoCategory; c < NumCategories; c++ {
		id := c.String()
		if other, ok := seen[id]; ok || id == "" {
			t.Errorf("categories %d and %d share the id %q", other, c, id)
		}
		seen[id] = c
		got, err := ParseCategory(id)
		if c < AnonymousChat {
			if err == nil {
				t.Errorf("ParseCategory(%q) = %d, want an error: it is no choice", id, got)
			}
			continue
		}
		if err != nil || got != c {
			t.Errorf("ParseCategory(%q) = %d, %v, want %d", id, got, err, c)
		}
	}
	if got := NumCategories.String(); got != "unknown" {
		t.Errorf("NumCategories.String() = %q, want unknown", got)
	}
}

func TestParseCategory_errorNamesTheNearest(t *testing.T) {
	for _, tt := range []struct{ id, want string }{
		{"datng", `"dating"`},
		{"anonymouschat", `"anonymous-chat"`},
		{"Gambling", `"gambling"`},
		{"vpn", `"vpn-proxy"`},
		{"helpp", `nearest is`},
		{strings.Repeat("x", 500), `xxx…"`},
	} {
		got, err := ParseCategory(tt.id)
		if err == nil || got != NoCategory || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseCategory(%q) = %v, %v, want an error with %s", tt.id, got, err, tt.want)
		}
	}
}

func TestCategory_StringDoesNotAllocate(t *testing.T) {
	n := testing.AllocsPerRun(1000, func() {
		for c := NoCategory; c <= NumCategories; c++ {
			_ = c.String()
		}
	})
	if n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// The constants and categories.tsv say the same, in the order of seriousness
// that records are shown in.
func TestCategories_fileAndCodeAgree(t *testing.T) {
	c := mustEmbedded(t)
	want := strings.Fields(`self-harm sex-ads anonymous-chat known-risk dating adult-creators adult violence gambling
		drugs vpn-proxy anonymous-messages ai-companions live-streaming forums social messaging games-chat
		file-sharing ai-chat encrypted-dns security piracy search-unsafe own`)
	got := make([]string, len(want)+1)
	for cat := AnonymousChat; cat < NumCategories; cat++ {
		info := c.Categories[cat]
		if info.ID != cat.String() || info.Name == "" || !strings.HasSuffix(info.Reason, ".") {
			t.Errorf("Categories[%s] = %+v, want that id, a name and a sentence", cat, info)
		}
		if info.Rank < 1 || info.Rank >= len(got) || got[info.Rank] != "" {
			t.Errorf("rank %d of %s is outside 1 to %d, or taken", info.Rank, cat, len(want))
			continue
		}
		got[info.Rank] = info.ID
	}
	if !slices.Equal(got[1:], want) {
		t.Errorf("order of seriousness\n got %v\nwant %v", got[1:], want)
	}
	for cat := NoCategory; cat < AnonymousChat; cat++ {
		if c.Categories[cat] != (CategoryInfo{}) {
			t.Errorf("Categories[%s] = %+v, want none: it is no choice", cat, c.Categories[cat])
		}
	}
}
