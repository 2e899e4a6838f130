package main

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"kinward/console"
	"kinward/journal"
	"kinward/journal/alerts"
	"kinward/journal/signals"
	"kinward/policy"
	"kinward/store"
)

// plantedID is the ID of the planted incident and signal.
const plantedID = "0199aa9c7f0100000000000000001a2b"

// plant gives the home family one of everything. What a stranger is to know is
// called "planted", and what nobody ever says to the desk "hush".
func (h *deskHouse) plant() {
	h.t.Helper()
	t, ctx := h.t, h.t.Context()
	do := func(name string, req any) {
		t.Helper()
		if err := h.command(name, req); err != nil {
			t.Fatalf("planting by %s: %v", name, err)
		}
	}
	do("profiles-add", change[profileRequest]{Do: profileRequest{Profile: "planted-profile", Preset: "B"}})
	do("devices-add", change[deviceRequest]{Do: deviceRequest{Device: "10.7.7.7", Name: "planted-device", Profile: "planted-profile"}})
	do("devices-clue-add", change[deviceRequest]{Do: deviceRequest{Device: "planted-device", Clue: "dns:plantedtoken"}})
	do("rules-add", change[ruleRequest]{Do: ruleRequest{Profile: "planted-profile", Name: "hush-rule.example"}})
	do("grants-add", change[grantRequest]{about{Why: "hush-why"}, grantRequest{What: "hush-grant.example", Profile: "planted-profile", For: "60m", By: "hush-giver"}})
	do("schedules-bedtime", change[scheduleRequest]{Do: scheduleRequest{Profile: "planted-profile", Windows: []string{"20:00-06:00"}}})
	do("guardians-add", change[guardianRequest]{Do: guardianRequest{Name: "Planted-guardian", Role: "guardian"}})
	do("profiles-add", change[profileRequest]{Do: profileRequest{Profile: "hush-profile", Preset: "B"}})
	do("devices-add", change[deviceRequest]{Do: deviceRequest{Device: "10.7.7.8", Name: "hush-device", Profile: "hush-profile"}})
	do("guardians-add", change[guardianRequest]{Do: guardianRequest{Name: "Hush-guardian", Role: "guardian"}})
	do("alerts-add", alertAddRequest{Guardian: "Planted-guardian", Kind: alerts.Email, To: "hush-mail@example.org"})
	do("families-link-make", about{})
	now := time.Now().Truncate(time.Millisecond)
	details, _ := json.Marshal(map[string]any{
		"v": 1, "verdict": "block", "reason": "category", "category": "dating", "domain": "hush-incident.example", "revision": 1,
		"names": []any{map[string]any{"name": "hush-incident.example", "n": 1}}, "types": []int{1}, "tries": 1, "queries": 1,
	})
	must(t, h.n.db.Write(ctx, journal.Batch{Rows: []journal.Row{{Family: 1, ID: plantedID, Profile: 1, First: now, Last: now, Key: plantedID, Details: details}}}))
	must(t, h.n.db.WriteSignals(ctx, signals.Batch{Signals: []journal.SignalRow{
		journal.Signal{Family: 1, ID: plantedID, Profile: 1, Kind: policy.SignalBypass, At: now, Domain: "hush-signal.example"}.Row(),
	}}))
	do("incidents-review", incidentRequest{IDs: []string{plantedID}, Note: "hush-note", asking: asking{As: "Planted-guardian"}})
	do("incidents-mute", incidentRequest{IDs: []string{plantedID}, asking: asking{As: "Planted-guardian"}})
	for _, child := range []policy.DeviceID{1, 2} {
		_, _, err := h.n.db.AddRequest(ctx, store.Request{Family: 1, Profile: 1, Device: child, What: "hush-ask.example", Message: "hush-message"})
		must(t, err)
	}
	_, err := h.n.db.AddPending(ctx, store.Pending{
		Family: 1, Guardian: 1, Who: "Planted-guardian", At: now, Second: true, Operation: "pause", Request: json.RawMessage(`{"do":{}}`), What: "hush-pending",
	})
	must(t, err)
}

// rows returns all that is kept of the home family, table by table.
func (h *deskHouse) rows() map[string]string {
	h.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(h.cfg.Data, store.FileName)+"?mode=ro")
	must(h.t, err)
	defer db.Close()
	var tables []string
	list, err := db.Query(`SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND c.name = 'family_id'`)
	must(h.t, err)
	for list.Next() {
		var name string
		must(h.t, list.Scan(&name))
		tables = append(tables, name)
	}
	must(h.t, list.Err())
	out := map[string]string{}
	for _, table := range tables {
		rows, err := db.Query(`SELECT * FROM ` + table + ` WHERE family_id = 1 ORDER BY 1, 2, 3`)
		must(h.t, err)
		columns, err := rows.Columns()
		must(h.t, err)
		for rows.Next() {
			row := make([]any, len(columns))
			into := make([]any, len(columns))
			for i := range row {
				into[i] = &row[i]
			}
			must(h.t, rows.Scan(into...))
			out[table] += fmt.Sprintln(row...)
		}
		must(h.t, rows.Err())
	}
	return out
}

// stranger fills a request with what is the home family's, by the names of its
// fields. The round chooses between several.
func stranger(v reflect.Value, field string, round int) {
	words := map[string][]string{
		"family": {"Home", "1", "", "0"}, "profile": {"planted-profile", "Everyone", ""}, "device": {"planted-device", "10.7.7.7", ""},
		"name": {"planted-device", "Planted-guardian", "planted-rule.example", "planted-schedule"}, "guardian": {"Planted-guardian"}, "as": {"Planted-guardian", ""},
		"ids": {plantedID}, "incident": {plantedID}, "since": {"30d"}, "until": {""}, "type": {"A"}, "period": {"day"}, "format": {"csv", "json"},
		"schedule": {"planted-schedule"}, "what": {"planted-grant.example", "planted-ask.example"}, "for": {"60m"}, "thing": {"dating"}, "choice": {"block", "allow"},
		"clue": {"dns:plantedtoken", "10.7.7.7"}, "answer": {"15m", "no"}, "role": {"owner"}, "zone": {"Europe/Berlin"}, "text": {"family: Home\nprofiles:\n  Everyone:\n    preset: C\n"},
		"kind": {"", "bypass"}, "verdict": {""}, "category": {"", "dating"}, "service": {""}, "token": {"plantedtoken"}, "platform": {"android"}, "days": {"30"}, "country": {"DE"},
	}
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() && !f.Anonymous {
				continue
			}
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			stranger(v.Field(i), strings.ToLower(name), round)
		}
	case reflect.Pointer:
		if v.CanSet() && v.Type().Elem().Kind() == reflect.Bool {
			v.Set(reflect.New(v.Type().Elem()))
		}
	case reflect.Slice:
		if v.CanSet() && v.Type().Elem().Kind() == reflect.String {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			stranger(v.Index(0), field, round)
		}
	case reflect.String:
		if list := words[field]; v.CanSet() && len(list) > 0 {
			v.SetString(list[round%len(list)])
		}
	case reflect.Int, reflect.Int64:
		switch {
		case !v.CanSet(), v.Type() == reflect.TypeFor[time.Duration]():
		case field == "limit":
			v.SetInt(50)
		default:
			v.SetInt(int64(1 + round%12)) // the home family's things have such numbers
		}
	case reflect.Uint64:
		if v.CanSet() && field != "if" { // whatever its revision is
			v.SetUint(uint64(1 + round%12))
		}
	case reflect.Bool:
		if v.CanSet() {
			v.SetBool(round%2 == 0)
		}
	}
}

// TestDeskStrangers walks all operations as an owner of one family, who names all
// that is another family's: by its names, its numbers, its incidents. Nothing of
// that other family comes back, and nothing of it is changed.
func TestDeskStrangers(t *testing.T) {
	h := newDeskHouse(t)
	h.plant()
	before := h.rows()
	for _, table := range []string{"incidents", "signals", "reviews", "mutes", "changes", "channels", "links", "requests", "pending", "clues"} {
		if before[table] == "" {
			t.Fatalf("nothing is planted in %s", table)
		}
	}
	eva := h.guardian(2, "Eva")
	who := map[string]console.Actor{
		"an owner": eva, "who says to be an operator": {Family: 2, Guardian: eva.Guardian, Role: policy.Owner},
		"a child": {Family: 2, Child: &console.Child{Profile: 1}}, "nobody": {}, "a guardian of no family": {Guardian: eva.Guardian, Role: policy.Owner},
		"a child of no family": {Child: &console.Child{Profile: 1}},
	}
	ran := map[string]bool{}
	// What may take away the owner's role, or what the others are about, comes last: a
	// desk that refuses all would tell nothing either.
	names := slices.SortedFunc(maps.Keys(operationTypes()), func(a, b string) int {
		last := func(name string) int {
			if name == opFamilyApply.name || name == opProfileRemove.name || name == opProfileRename.name || strings.HasPrefix(name, "guardians-") {
				return 1
			}
			return 0
		}
		return cmp.Or(last(a)-last(b), strings.Compare(a, b))
	})
	for _, name := range names {
		o := operationTypes()[name]
		if name == opErase.name { // of one's own family: it writes the whole file anew, each time
			continue
		}
		for round := range 12 {
			req := reflect.New(o.Request).Elem()
			stranger(req, "", round)
			for whoever, by := range who {
				var rep json.RawMessage
				err := h.desk.Do(t.Context(), by, name, req.Interface(), &rep)
				if err == nil {
					ran[name] = true
				}
				said := strings.ToLower(fmt.Sprint(string(rep), err))
				if at := strings.Index(said, "hush"); at >= 0 {
					t.Errorf("%s by %s with %+v tells another family's: …%s…", name, whoever, req.Interface(), said[max(0, at-60):min(len(said), at+60)])
				}
			}
		}
	}
	for table, was := range before {
		if is := h.rows()[table]; is != was {
			t.Errorf("another family's %s was\n%s\nand is\n%s", table, was, is)
		}
	}
	for _, name := range []string{
		"incidents", "incidents-views", "incidents-mutes", "incidents-export", "signals", "alerts", "changes", "changes-pending", "requests", "family", "families-export",
		"guardians", "retention", "families-link-make", "profiles-my", "profiles-show", "explain", "today", "help-lines", "search",
	} {
		if !ran[name] {
			t.Errorf("operation %s never answered", name)
		}
	}
}

// TestDeskOperator: what runs the server tells of families that they are there,
// and nothing of what they chose or tried.
func TestDeskOperator(t *testing.T) {
	h := newDeskHouse(t)
	h.plant()
	ran := 0
	for name, o := range operationTypes() {
		if name == opFamilyRemove.name || name == opBackup.name || strings.HasPrefix(name, "catalogue-") {
			continue
		}
		for round := range 4 {
			req := reflect.New(o.Request).Elem()
			stranger(req, "", round)
			var rep json.RawMessage
			err := h.desk.Do(t.Context(), console.Actor{Operator: true}, name, req.Interface(), &rep)
			if err == nil {
				ran++
			}
			if said := strings.ToLower(fmt.Sprint(string(rep), err)); strings.Contains(said, "hush") {
				t.Errorf("%s tells an operator what is a family's: %s", name, said)
			}
		}
	}
	if ran == 0 {
		t.Error("nothing was run")
	}
}

// TestConsoleShapes holds that each thing which a page of the console sends or
// reads is there in the operation's own request and reply.
func TestConsoleShapes(t *testing.T) {
	own := operationTypes()
	shapes := console.Shapes()
	if len(shapes) == 0 {
		t.Fatal("the console runs no operation")
	}
	for _, s := range shapes {
		types, ok := own[s.Operation]
		if !ok {
			t.Errorf("there is no operation %q", s.Operation)
			continue
		}
		for _, fault := range append(misfits(s.Request, types.Request, "request"), misfits(s.Reply, types.Reply, "reply")...) {
			t.Errorf("%s: %s", s.Operation, fault)
		}
	}
}

// misfits says what of a view's JSON is not in the type's, or is something else.
func misfits(view, own reflect.Type, path string) (faults []string) {
	for view.Kind() == reflect.Pointer {
		view = view.Elem()
	}
	for own.Kind() == reflect.Pointer {
		own = own.Elem()
	}
	kind := func(t reflect.Type) string {
		switch {
		case t.Implements(reflect.TypeFor[interface{ MarshalText() ([]byte, error) }]()), t.Kind() == reflect.String:
			return "string"
		case t.Implements(reflect.TypeFor[json.Marshaler]()), t.Kind() == reflect.Interface:
			return "any"
		}
		switch t.Kind() {
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float64:
			return "number"
		case reflect.Slice, reflect.Array:
			if t.Elem().Kind() == reflect.Uint8 {
				return "string"
			}
			return "list"
		}
		return t.Kind().String()
	}
	a, b := kind(view), kind(own)
	if a != b && a != "any" && b != "any" {
		return []string{fmt.Sprintf("%s is a %s, and the operation's a %s", path, a, b)}
	}
	switch a {
	case "list":
		return misfits(view.Elem(), own.Elem(), path+"[]")
	case "map":
		return misfits(view.Elem(), own.Elem(), path+"[key]")
	case "struct":
		there := jsonFields(own)
		for name, f := range jsonFields(view) {
			o, ok := there[name]
			if !ok {
				faults = append(faults, fmt.Sprintf("%s has no %q", path, name))
				continue
			}
			faults = append(faults, misfits(f, o, path+"."+name)...)
		}
	}
	return faults
}

// jsonFields are a struct's fields as JSON has them.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			inner := f.Type
			for inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			for n, t := range jsonFields(inner) {
				if _, ok := out[n]; !ok {
					out[n] = t
				}
			}
		case !f.IsExported(), name == "-":
		case name == "":
			out[f.Name] = f.Type
		default:
			out[name] = f.Type
		}
	}
	return out
}
