package blocklists

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestDirectory(t *testing.T) {
	all, err := Directory()
	if err != nil || len(all) < 30 {
		t.Fatalf("%d lists, %v", len(all), err)
	}
	first := map[Category]int{}
	for _, o := range all {
		if o.Category < AnonymousChat || o.Category == KnownRiskCategory {
			t.Errorf("%s: category %v is no subject", o.ID, o.Category)
		}
		if o.Category == AnonymousChat || o.Category == Messaging {
			t.Errorf("%s: every public list of chats that was measured does harm", o.ID)
		}
		if o.First {
			first[o.Category]++
		}
		if strings.Contains(o.Location, "dsi.ut-capitole.fr") == (o.Member == "") {
			t.Errorf("%s: UT1's archives, and no others, need a member", o.ID)
		}
		for _, place := range o.locations() {
			// Names are traps (customers' support chats), or the list is
			// contaminated, frozen, or may not be passed on.
			for _, bad := range []string{"shallalist", "/Chat", "Wild_Chat", "/chat", "chatapps", "social_networks", "porn-domains", "dating-services-extended", "Top_Level", "Junk", "liste_b", "/child", "sexual_education", "/press", "/bank"} {
				if strings.Contains(place, bad) {
					t.Errorf("%s offers %s", o.ID, place)
				}
			}
		}
	}
	for _, c := range []Category{Dating, Adult, Gambling, VPNProxy, Security} {
		if first[c] != 1 {
			t.Errorf("%d lists of %v are recommended for the first run; want one", first[c], c)
		}
	}
}

func TestParseDirectory_refuses(t *testing.T) {
	good := "a\tA\tdating\tdomains\tauto\t-\t-\tMIT\t5\tdaily\thttps://a.example/list\tFine."
	if all, err := parseDirectory("# c\n" + good + "\n"); err != nil || len(all) != 1 {
		t.Fatalf("%v, %v", all, err)
	}
	for name, text := range map[string]string{
		"a column less":      strings.TrimSuffix(good, "\tFine."),
		"an empty column":    strings.Replace(good, "MIT", "", 1),
		"a bad ID":           "A" + good[1:],
		"a category":         strings.Replace(good, "dating", "dateing", 1),
		"a format":           strings.Replace(good, "domains", "zone", 1),
		"a match mode":       strings.Replace(good, "auto", "some", 1),
		"first":              strings.Replace(good, "auto\t-", "auto\tmaybe", 1),
		"plain http":         strings.Replace(good, "https:", "http:", 1),
		"too many places":    strings.Replace(good, "https://a.example/list", strings.Repeat("https://a.example/list ", 8)+"https://a.example/list", 1),
		"the same ID twice":  good + "\n" + good,
		"IDs out of order":   "b" + good[1:] + "\n" + good,
		"blanks around text": strings.Replace(good, "\tA\t", "\t A\t", 1),
	} {
		if _, err := parseDirectory(text); err == nil || !strings.Contains(err.Error(), "line ") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestFindOffer(t *testing.T) {
	o, err := FindOffer("ut1-dating")
	if err != nil || o.Category != Dating || o.Member != "dating" || !slices.Contains(o.Mirrors, "https://raw.githubusercontent.com/olbat/ut1-blacklists/master/blacklists/dating/domains") {
		t.Errorf("got %+v, %v", o, err)
	}
	if _, err := FindOffer("ut1-datin"); !errors.Is(err, ErrNoSuchList) || !strings.Contains(err.Error(), `"ut1-dating"`) {
		t.Errorf("got %v", err)
	}
	if _, err := FindOffer("foo"); !errors.Is(err, ErrNoSuchList) || strings.Contains(err.Error(), "did you mean") {
		t.Errorf("nothing is near: got %v", err)
	}
}
