package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"kinward/console"
	"kinward/policy"
)

// deskHouse is a node with the families Home and "1", which is called what the
// home family's number is, each with guardians, and the desk before it.
type deskHouse struct {
	t    testing.TB
	cfg  *config
	n    *node
	desk console.Desk
}

func newDeskHouse(t testing.TB) *deskHouse {
	t.Helper()
	cfg := defaultConfig()
	cfg.Data = t.TempDir()
	h := &deskHouse{t: t, cfg: &cfg}
	h.open()
	t.Cleanup(func() { h.n.close() })
	must(t, h.command("families-add", change[familyRequest]{Do: familyRequest{Name: "1", Preset: "C"}}))
	for _, family := range []string{"Home", "1"} {
		for _, g := range []guardianRequest{{Name: "Eva", Role: "owner"}, {Name: "Karl", Role: "guardian"}, {Name: "Oma", Role: "viewer"}} {
			must(t, h.command("guardians-add", change[guardianRequest]{about{Family: family}, g}))
		}
	}
	return h
}

func (h *deskHouse) open() {
	h.t.Helper()
	var err error
	if h.n, err = openNode(h.t.Context(), h.cfg, slog.New(slog.DiscardHandler), 0); err != nil {
		h.t.Fatal(err)
	}
	h.desk = newDesk(h.n)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// command runs an operation as the command line does.
func (h *deskHouse) command(name string, req any) error {
	_, err := operations()[name](h.t.Context(), h.n, encode(h.t, req), func(string) {})
	return err
}

// guardian returns a guardian of a family as the console's sessions have them.
func (h *deskHouse) guardian(family policy.FamilyID, name string) console.Actor {
	h.t.Helper()
	f, _, err := h.n.db.Family(h.t.Context(), family)
	must(h.t, err)
	for _, g := range f.Guardians {
		if g.Name == name {
			return console.Actor{Family: family, Guardian: g.ID, Name: g.Name, Role: g.Role}
		}
	}
	h.t.Fatalf("family %d has no guardian %q", family, name)
	return console.Actor{}
}

func kindOf(err error) console.RefusalKind {
	var r *console.Refusal
	if errors.As(err, &r) {
		return r.Kind
	}
	return ""
}

// TestDeskFamily holds that the actor alone says whose family it is about.
func TestDeskFamily(t *testing.T) {
	h := newDeskHouse(t)
	eva := h.guardian(2, "Eva")
	for _, named := range []string{"", "1", "2", "Home", "nobody"} {
		var f familyView
		if err := h.desk.Do(t.Context(), eva, "family", about{Family: named}, &f); err != nil || f.Name != "1" {
			t.Errorf("family %q: got %q, %v; want the family of the guardian", named, f.Name, err)
		}
	}
	var c changed
	must(t, h.desk.Do(t.Context(), eva, "families-rename", change[familyRequest]{about{Family: "Home"}, familyRequest{Name: "Miller"}}, &c))
	var r changesReply
	must(t, h.desk.Do(t.Context(), eva, "changes", changesRequest{Limit: 1}, &r))
	if r.Family != "Miller" || r.Changes[0].Who != "Eva" {
		t.Errorf("got %+v; want the rename in the own family, by Eva", r)
	}
}

// TestDeskUndo holds that a carer is offered to take back what a carer may, which is
// what the guard lets pass.
func TestDeskUndo(t *testing.T) {
	h := newDeskHouse(t)
	eva, karl := h.guardian(2, "Eva"), h.guardian(2, "Karl")
	for _, step := range []struct {
		do  string
		req any
	}{
		{"families-rename", change[familyRequest]{Do: familyRequest{Name: "Miller"}}},
		{"retention-set", change[retentionRequest]{Do: retentionRequest{Days: "20"}}},
		{"guardians-rename", change[guardianRequest]{Do: guardianRequest{Name: "Oma", To: "Granny"}}},
		{"families-loosening", change[familyRequest]{Do: familyRequest{Delay: "2h"}}},
		{"profiles-add", change[profileRequest]{Do: profileRequest{Profile: "Lea", Preset: "C"}}},
	} {
		must(t, h.desk.Do(t.Context(), eva, step.do, step.req, nil))
	}
	var all, hers changesReply
	must(t, h.desk.Do(t.Context(), karl, "changes", changesRequest{Limit: 5}, &all))
	must(t, h.desk.Do(t.Context(), eva, "changes", changesRequest{Limit: 5}, &hers))
	for i, c := range all.Changes {
		err := h.desk.Do(t.Context(), karl, "changes-undo", changesRequest{Revision: c.Revision}, nil)
		if may := kindOf(err) != console.Forbidden; c.CanUndo != may || may != (i == 0) || !hers.Changes[i].CanUndo {
			t.Errorf("%s: a carer is offered it: %t, and has it done: %v", c.What, c.CanUndo, err)
		}
	}
}

// TestDeskRoles holds who may do what, and that it is asked for each time.
func TestDeskRoles(t *testing.T) {
	h := newDeskHouse(t)
	rename := change[familyRequest]{Do: familyRequest{Name: "Miller"}}
	bedtime := change[scheduleRequest]{Do: scheduleRequest{}}
	for _, tt := range []struct {
		name string
		by   console.Actor
		do   string
		req  any
		want console.RefusalKind
	}{
		{"nobody reads", console.Actor{}, "family", about{}, console.Forbidden},
		{"a viewer reads", h.guardian(2, "Oma"), "family", about{}, ""},
		{"a viewer changes nothing", h.guardian(2, "Oma"), "pause", change[pauseRequest]{}, console.Forbidden},
		{"a carer changes choices", h.guardian(2, "Karl"), "schedules-bedtime", bedtime, console.NotFound},
		{"a carer is no owner", h.guardian(2, "Karl"), "families-rename", rename, console.Forbidden},
		{"an owner is no operator", h.guardian(2, "Eva"), "families", familiesRequest{Limit: 10}, console.Forbidden},
		{"an operator sees families", console.Actor{Operator: true}, "families", familiesRequest{Limit: 10}, ""},
		{"an operator sees no family", console.Actor{Operator: true}, "family", about{Family: "Home"}, console.Forbidden},
		{"an operator sees no incidents", console.Actor{Operator: true}, "incidents", incidentsRequest{Limit: 1}, console.Forbidden},
		{"no operation", h.guardian(2, "Eva"), "nothing", nil, console.NotFound},
		{"a role that is claimed", console.Actor{Family: 2, Guardian: h.guardian(2, "Oma").Guardian, Role: policy.Owner}, "families-rename", rename, console.Forbidden},
		{"a guardian of elsewhere", console.Actor{Family: 1, Guardian: 99, Role: policy.Owner}, "family", about{}, console.Forbidden},
		{"a session that was given less", console.Actor{Family: 2, Guardian: h.guardian(2, "Eva").Guardian, Role: policy.Viewer}, "families-rename", rename, console.Forbidden},
		{"a child reads no incidents", console.Actor{Family: 2, Child: &console.Child{Profile: 1}}, "incidents", incidentsRequest{Limit: 1}, console.Forbidden},
		{"a child reads my page", console.Actor{Family: 2, Child: &console.Child{Profile: 1}}, "portal-mine", struct{}{}, ""},
		{"a guardian has no page of a device's", h.guardian(2, "Eva"), "portal-mine", struct{}{}, console.Forbidden},
		{"a guardian is told what a child is", h.guardian(2, "Oma"), "profiles-my", profileShowRequest{Profile: "Everyone"}, ""},
		{"a child names no profile", console.Actor{Family: 2, Child: &console.Child{Profile: 1}}, "profiles-my", profileShowRequest{Profile: "Everyone"}, console.Forbidden},
	} {
		if got := h.desk.Do(t.Context(), tt.by, tt.do, tt.req, nil); kindOf(got) != tt.want || tt.want == "" && got != nil {
			t.Errorf("%s: got %v (%s), want %q", tt.name, got, kindOf(got), tt.want)
		}
	}
	must(t, h.command("guardians-role", change[guardianRequest]{about{Family: "2"}, guardianRequest{Name: "Karl", Role: "viewer"}}))
	karl := console.Actor{Family: 2, Guardian: h.guardian(2, "Karl").Guardian, Role: policy.Carer}
	if err := h.desk.Do(t.Context(), karl, "pause", change[pauseRequest]{}, nil); kindOf(err) != console.Forbidden {
		t.Errorf("who was given less since signing in: %v, want a refusal", err)
	}
}

// TestDeskOperations holds that whoever adds an operation says who may run it.
func TestDeskOperations(t *testing.T) {
	all := operations()
	for name := range all {
		if _, ok := roles[name]; !ok {
			t.Errorf("operation %s stands in no row of roles", name)
		}
	}
	for name := range roles {
		if all[name] == nil {
			t.Errorf("the row %s of roles is of no operation", name)
		}
	}
}

func encode(t testing.TB, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return b
}

// TestLongRequest: what is too long for the server is said before it is sent, with
// what to do. The server would end the connection in the middle of it.
func TestLongRequest(t *testing.T) {
	h := newDeskHouse(t)
	s, err := listenControl(h.n)
	must(t, err)
	ended := make(chan error, 1)
	go func() { ended <- s.run() }()
	defer func() {
		must(t, s.server.Close())
		must(t, <-ended)
	}()
	conn, err := dialControl(t.Context(), h.cfg.Data)
	must(t, err)
	_, err = opIncidentReview.remote(t.Context(), conn, incidentRequest{IDs: []string{strings.Repeat("0", maxRequest)}}, nil)
	conn.Close()
	var coded *codedError
	if !errors.As(err, &coded) || coded.code != exitUsage || !strings.Contains(err.Error(), "name less at once") {
		t.Errorf("got %v", err)
	}
}
