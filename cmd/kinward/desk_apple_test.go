package main

import (
	"strings"
	"testing"

	"kinward/console"
)

// TestDeskApple: on the pages and over the API alike a carer gets the profile that
// Kinward makes for a device of the family, and nobody has text of their own signed.
func TestDeskApple(t *testing.T) {
	h := newDeskHouse(t)
	h.cfg.TLS.Name = "dns.example"
	about2 := about{Family: "2"}
	must(t, h.command("devices-add", change[deviceRequest]{about2, deviceRequest{Device: "192.168.1.40", Name: "Phone", Profile: "Everyone"}}))
	karl, oma := h.guardian(2, "Karl"), h.guardian(2, "Oma")
	var r appleReply
	if err := h.desk.Do(t.Context(), karl, "devices-apple", appleRequest{Device: "Phone"}, &r); kindOf(err) != console.NotFound {
		t.Errorf("before it is set up: %v", err)
	}
	must(t, h.desk.Do(t.Context(), karl, "devices-setup", change[setupRequest]{Do: setupRequest{Device: "Phone"}}, nil))
	must(t, h.desk.Do(t.Context(), karl, "devices-apple", appleRequest{Device: "Phone"}, &r))
	f, _, err := h.n.db.Family(t.Context(), 2)
	must(t, err)
	d, err := f.Device("Phone")
	must(t, err)
	if text := string(r.Profile); r.Device != "Phone" || r.Signed || !strings.Contains(text, "dns.example") || !strings.Contains(text, d.Tokens[0]) {
		t.Errorf("the profile of %+v is\n%s", d, text)
	}
	for _, tt := range []struct {
		name string
		by   console.Actor
		op   string
		req  any
		want console.RefusalKind
	}{
		{"a viewer", oma, "devices-apple", appleRequest{Device: "Phone"}, console.Forbidden},
		{"another family's", h.guardian(1, "Eva"), "devices-apple", appleRequest{about2, "Phone"}, console.NotFound},
		{"an operator", console.Actor{Operator: true}, "devices-apple", appleRequest{about2, "Phone"}, console.Forbidden},
		{"no device", karl, "devices-apple", appleRequest{}, console.Invalid},
		{"text of one's own", h.guardian(2, "Eva"), "devices-sign", signing{Profile: []byte("<plist/>")}, console.Forbidden},
		{"text of an operator's own", console.Actor{Operator: true}, "devices-sign", signing{Profile: []byte("<plist/>")}, console.Forbidden},
	} {
		if err := h.desk.Do(t.Context(), tt.by, tt.op, tt.req, nil); kindOf(err) != tt.want {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
