package main

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kinward/console"
	"kinward/journal"
)

// apiStory is every route of the API, in an order in which their own examples can
// be asked one after the other. set is what an example cannot know. want is 0 for
// 200.
var apiStory = []struct {
	id   string
	set  map[string]any
	want int
}{
	{id: "getDocument"},
	{id: "getToken"},
	{id: "getFamily"},
	{id: "renameFamily"},
	{id: "setZone"},
	{id: "setCountry"},
	{id: "setUnknown"},
	{id: "setLoosening"},
	{id: "getDeclaration"},
	{id: "applyDeclaration", want: http.StatusUnprocessableEntity},
	{id: "listGuardians"},
	{id: "addGuardian"},
	{id: "setGuardianRole"},
	{id: "renameGuardian"},
	{id: "revokeInvitation", want: http.StatusNotFound},
	{id: "removeGuardian"},
	{id: "listHolidays"},
	{id: "addHoliday"},
	{id: "removeHoliday"},
	{id: "getRetention"},
	{id: "setRetention"},
	{id: "listHelpLines"},

	{id: "getToday"},
	{id: "listIncidents"},
	{id: "getIncident"},
	{id: "reviewIncident"},
	{id: "unreviewIncident"},
	{id: "muteIncident"},
	{id: "listMutes"},
	{id: "endMute"},
	{id: "listViews"},
	{id: "exportIncidents"},
	{id: "listSignals"},
	{id: "switchSignal"},
	{id: "setNight"},
	{id: "explain"},

	{id: "listProfiles"},
	{id: "addProfile"},
	{id: "getProfile"},
	{id: "getMyPage"},
	{id: "listProfileServices"},
	{id: "renameProfile"},
	{id: "setPreset"},
	{id: "removeProfile"},
	{id: "choose"},
	{id: "setLog"},
	{id: "setResponse"},
	{id: "setBypass"},
	{id: "setGuests"},
	{id: "listSearch"},
	{id: "setSearch"},
	{id: "pause"},
	{id: "resume"},
	{id: "addRule"},
	{id: "listRules"},
	{id: "removeRule"},
	{id: "addSchedule"},
	{id: "setBedtime"},
	{id: "listSchedules"},
	{id: "setSchedule"},
	{id: "setDay"},
	{id: "resetDay"},
	{id: "setScheduleHolidays"},
	{id: "switchSchedule"},
	{id: "removeSchedule"},
	{id: "addGrant"},
	{id: "listGrants"},
	{id: "revokeGrant"},

	{id: "listDevices"},
	{id: "listUnknownDevices"},
	{id: "addDevice"},
	{id: "addGuest"},
	{id: "setDeviceProfile"},
	{id: "renameDevice"},
	{id: "exemptDevice"},
	{id: "unexemptDevice"},
	{id: "addClue"},
	{id: "removeClue"},
	{id: "setUpDevice", want: http.StatusUnprocessableEntity},
	{id: "getAppleProfile", want: http.StatusUnprocessableEntity},
	{id: "watchDevice"},
	{id: "getWatch"},
	{id: "removeDevice"},

	{id: "addChannel"},
	{id: "getAlerts"},
	{id: "testChannel"},
	{id: "setAlerts"},
	{id: "getDigest"},
	{id: "removeChannel"},
	{id: "listChanges"},
	{id: "getChange"},
	{id: "undoChange"},
	{id: "listRequests"},
	{id: "answerRequest", want: http.StatusNotFound},
	{id: "listPending"},
	{id: "agreeToPending", want: http.StatusNotFound},
	{id: "rejectPending", want: http.StatusNotFound},
	{id: "listCategories"},
	{id: "listServices"},
	{id: "getService"},
	{id: "getCatalogue"},

	{id: "addList"},
	{id: "listLists"},
	{id: "chooseList"},
	{id: "updateList"},
	{id: "acceptList", want: http.StatusNotFound},
	{id: "rollBackList", want: http.StatusNotFound},
	{id: "removeList"},
	{id: "updateCatalogue", want: http.StatusUnprocessableEntity},
	{id: "rollBackCatalogue", want: http.StatusNotFound},
	{id: "getServer"},
	{id: "getHealth"},
	{id: "getCache"},
	{id: "flushCache"},
	{id: "backUp"},
	{id: "listFamilies"},
	{id: "addFamily"},
	{id: "addNetwork"},
	{id: "removeNetwork"},
	{id: "removeFamily"},
	{id: "makeLink"},
	{id: "getLink"},
	{id: "revokeLink"},
}

// TestAPIRoutes asks a running server for every route of its own document, by the
// document's own example, and holds each answer against the document.
func TestAPIRoutes(t *testing.T) {
	u := startUpstream(t)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer hook.Close()
	h := startHome(t, u, "--config", writeFile(t, "kinward.yaml", "alerts:\n  allow-private: true\n"))
	eva := h.signIn()
	h.must("profiles", "add", "Lea", "D")
	h.must("devices", "add", "127.0.0.1", "--name", "Tablet", "--profile", "Lea")
	h.asks("omegle.com")
	var r struct{ Incidents []journal.Incident }
	h.eventually("an incident", func() bool { h.into(&r, "incidents"); return len(r.Incidents) > 0 })
	set := map[string]map[string]any{
		"addChannel": {"to": hook.URL},
		"addList":    {"location": h.write("ours.txt", "listed.example\nother.example\n")},
		"endMute":    {}, "removeRule": {}, "revokeGrant": {}, "testChannel": {}, "removeChannel": {},
	}
	for _, id := range []string{"getIncident", "reviewIncident", "unreviewIncident", "muteIncident"} {
		set[id] = map[string]any{"id": r.Incidents[0].ID}
	}
	d := fetchDocument(t, eva.base)
	d.explains()
	told := map[string]bool{"listen": true} // of its own test
	var p *apiClient
	for n, step := range apiStory {
		if n%40 == 0 { // a token has its pace
			p = eva.token(fmt.Sprintf("story %d", n), "read", "write", "requests", "operator")
		}
		route, ok := d.routes[step.id]
		if !ok {
			t.Errorf("the document knows no %s", step.id)
			continue
		}
		told[step.id] = true
		path, body := route.example(set[step.id])
		var sent any
		if len(body) > 0 {
			sent = body
		}
		a := p.ask(route.Method, path, sent)
		want := step.want
		if want == 0 {
			want = http.StatusOK
		}
		if a.status != want {
			t.Errorf("%s: %s %s: %d, want %d\n%s", step.id, route.Method, path, a.status, want, a.body)
		}
		d.hold(route, a)
		learn(t, set, step.id, a)
	}
	for _, id := range slices.Sorted(maps.Keys(d.routes)) {
		if !told[id] {
			t.Errorf("nothing asks %s", id)
		}
	}
}

// explains holds that the document says of each field that is answered what it
// means, and that nothing is written down of a field that there is not.
func (d *apiDocument) explains() {
	d.t.Helper()
	texts := console.FieldTexts()
	used := map[string]bool{}
	look := func(name string, schema map[string]any) {
		for field, v := range d.properties(schema) {
			said, _ := v.(map[string]any)["description"].(string)
			if said == "" {
				d.t.Errorf("the document does not say what %s.%s is; write it in console/api_fields.txt", name, field)
			}
			if own := name + "." + field; texts[own] != "" {
				used[own] = true
			} else {
				used[field] = true
			}
		}
	}
	schemas := d.find("api.json#/components/schemas")
	for name := range schemas {
		look(name, schemas[name].(map[string]any))
	}
	for _, r := range d.routes {
		for status := range r.Responses {
			content := d.find("api.json#/paths/" + escape(r.Path) + "/" + strings.ToLower(r.Method) + "/responses/" + status + "/content/application~1json")
			if schema, ok := content["schema"].(map[string]any); ok { // a named one has no properties here
				look(r.OperationID, schema)
			}
		}
	}
	for field := range texts {
		if !used[field] {
			d.t.Errorf("console/api_fields.txt explains %s, which is answered nowhere", field)
		}
	}
}

// learn keeps the numbers of what was made, for the routes that name them.
func learn(t *testing.T, set map[string]map[string]any, id string, a answer) {
	t.Helper()
	last := func(field string) any {
		items, _ := a.object(t)["items"].([]any)
		if len(items) == 0 {
			return nil
		}
		return items[len(items)-1].(map[string]any)[field]
	}
	switch id {
	case "listMutes":
		set["endMute"]["id"] = last("id")
	case "listRules":
		set["removeRule"]["id"] = last("id")
	case "listGrants":
		set["revokeGrant"]["id"] = last("id")
	case "addChannel":
		set["testChannel"]["channel"], set["removeChannel"]["channel"] = a.object(t)["channel"], a.object(t)["channel"]
	case "watchDevice":
		set["getWatch"] = map[string]any{"token": a.object(t)["token"]}
	case "listChanges":
		items, _ := a.object(t)["items"].([]any)
		set["getChange"] = map[string]any{"revision": items[0].(map[string]any)["revision"]}
		set["undoChange"] = set["getChange"]
	}
}

// notOverAPI is what the API leaves out, and why.
var notOverAPI = map[string]string{
	"erase":            "it cannot be taken back: a person does it, who has just proven who they are",
	"incidents-export": "incidents-file has the same as a file",
	"guardians-invite": "it brings somebody in: a person does it, who has just proven who they are",
	"devices-check":    "it waits for a person who stands before the device",
	"portal-mine":      "it is about the device that asks",
	"ping":             "status says more",
}

// TestAPICovers holds that what can be done on the pages can be done by a program,
// or that it is said why not.
func TestAPICovers(t *testing.T) {
	over := console.APIOperations()
	for name, who := range roles {
		if who&(viewers|carers|owners|operators) == 0 {
			continue
		}
		_, left := notOverAPI[name]
		if have := slices.Contains(over, name); have == left {
			t.Errorf("operation %s: in the API %v, left out %v", name, have, left)
		}
	}
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}
