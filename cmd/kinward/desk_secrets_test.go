package main

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// inTurn returns tokens one after the other, for their pace.
func inTurn(b *visitor, scopes ...string) func() *apiClient {
	var all []*apiClient
	for _, n := range []string{"1", "2", "3"} {
		all = append(all, b.token(n, scopes...))
	}
	return func() *apiClient {
		all = append(all[1:], all[0])
		return all[0]
	}
}

// TestDeviceSecrets: with a device's secret name anybody asks as that device, from
// anywhere. It is told to who may give the device another one, and by no way at all
// to a viewer, or to a program that may only see.
func TestDeviceSecrets(t *testing.T) {
	h := startHome(t, startUpstream(t))
	eva := h.signIn()
	h.withLife()
	const tablet, phone, guest, router = "tablet-7f3k2m9q", "k3v7m2q4x5n6p7ra", "y5b4c3d2e7f6a2bb", "q2w7e5r3t6y4u2aa"
	secrets := []string{tablet, phone, guest, router}
	// Each way by which a secret comes into a family, so that each is in its history.
	h.must("devices", "clue", "add", "Tablet", "dns:"+tablet)
	h.must("devices", "add", "dns:"+phone, "--name", "Phone", "--profile", "Lea")
	h.must("devices", "exempt", phone, "--for", "2h")
	h.must("profiles", "add", "Guests", "C")
	h.must("profiles", "guests", "Guests", "on")
	h.refuses(exitUsage, "--name", "devices", "guest", "dns:"+guest)
	h.must("devices", "guest", "dns:"+guest, "--name", "Tom's phone")
	declared := h.must("families", "export")
	file := filepath.Join(t.TempDir(), "family.yaml")
	must(t, os.WriteFile(file, []byte(declared+"tokens: ["+router+"]\n"), 0o600))
	h.must("families", "apply", file)
	must(t, os.WriteFile(file, []byte(declared), 0o600))
	h.must("families", "apply", file)
	must(t, os.WriteFile(file, []byte(declared+"tokens: ["+router+"]\n"), 0o600))
	h.must("families", "apply", file)
	h.must("guardians", "add", "Oma", "--role", "viewer")
	link := regexp.MustCompile(`/join/\S+`).FindString(h.must("guardians", "invite", "Oma"))
	oma := newVisitor(t, eva.base)
	oma.post(link, http.StatusOK, "name", "oma", "password", goodPassword, "again", goodPassword)

	none := func(what, text string) {
		t.Helper()
		for _, s := range secrets {
			if strings.Contains(text, s) {
				t.Errorf("%s tells the secret %s:\n%s", what, s, text)
			}
		}
	}
	none("the history", h.must("changes", "--json", "--limit", "100"))
	pages := oma.crawl("/", "/history", "/devices")
	if len(pages) < 20 {
		t.Errorf("a viewer sees %d pages only", len(pages))
	}
	badge := false
	for _, p := range pages {
		none("the page "+p.path+" of a viewer", p.text)
		badge = badge || p.pattern == "GET /devices" && strings.Contains(p.text, "encrypted DNS")
	}
	if !badge {
		t.Error("a viewer is not told that there are devices with a private-DNS name")
	}
	var family familyView
	h.into(&family, "devices")
	for _, d := range family.Devices {
		for _, way := range []string{"", "/profile", "/setup/iphone", "/setup/android"} {
			path := "/devices/" + strconv.FormatInt(d.ID, 10) + way
			f := oma.fetch(path)
			if forbidden := f.status == http.StatusForbidden; forbidden != (way != "") {
				t.Errorf("%s for a viewer: %d", path, f.status)
			}
			none(path, f.text)
		}
	}

	// A program of the owner that may see, and one of a viewer that may, for what a
	// viewer's token is worth, write.
	d := fetchDocument(t, eva.base)
	readers := map[string]func() *apiClient{
		"an owner's that may read": inTurn(eva, "read", "requests", "operator"),
		"a viewer's for all":       inTurn(oma, "read", "write", "requests"),
	}
	asked := 0
	for name, reader := range readers {
		for _, id := range slices.Sorted(maps.Keys(d.routes)) {
			r := d.routes[id]
			if r.Method != "GET" || len(r.Scopes) == 0 || id == "listen" { // that one never ends
				continue
			}
			for _, device := range []string{"Tablet", "Phone"} {
				path, _ := r.example(map[string]any{"device": device, "revision": 9, "name": "Lea", "profile": "Lea"})
				a := reader().ask(r.Method, path, nil)
				if a.status == http.StatusOK {
					asked++
				}
				none(name+" token at "+path, string(a.body))
			}
		}
	}
	if asked < 40 {
		t.Errorf("%d answers only", asked)
	}
	p := eva.token("both", "read", "write")
	for _, path := range []string{"/family", "/devices", "/family/declaration"} {
		if a := p.ask("GET", path, nil); !strings.Contains(string(a.body), phone) {
			t.Errorf("%s does not tell who may write: %d %s", path, a.status, a.body)
		}
	}
	if a := readers["an owner's that may read"]().ask("GET", "/devices", nil); strings.Contains(string(a.body), `"tokens"`) || !strings.Contains(string(a.body), `"private":true`) {
		t.Errorf("devices without their secrets: %s", a.body)
	}
}
