package main

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"kinward/blocklists"
	"kinward/resolver"
)

// TestExplainGoesByReload: who may ask is what a reload made of it.
func TestExplainGoesByReload(t *testing.T) {
	h := newDeskHouse(t)
	h.n.serving = &serving{}
	for device, nets := range map[string][]netip.Prefix{
		"192.168.1.5": {netip.MustParsePrefix("10.9.0.0/16")},
		"203.0.113.5": {netip.MustParsePrefix("203.0.113.0/24")},
	} {
		h.n.serving.inForce.Store(&resolver.Settings{AllowNets: nets})
		notes := strings.Join(h.n.notes(explainReply{}, blocklists.MustName("example.com"), device), " ")
		if said, want := strings.Contains(notes, "is in no network of allow-net"), device == "192.168.1.5"; said != want {
			t.Errorf("%s with %v: it is said to be refused: %t, want %t", device, nets, said, want)
		}
	}
}

// TestDoctorGoesByReload: what the console's doctor says is of what a reload made of it.
func TestDoctorGoesByReload(t *testing.T) {
	h := newDeskHouse(t)
	h.n.cfg.Upstream = []string{"udp://127.0.0.1:9"} // the doctor asks it
	h.n.serving = &serving{}
	for net, want := range map[string]string{"10.9.0.0/16": "ok", "0.0.0.0/0": "fault"} {
		h.n.serving.inForce.Store(&resolver.Settings{AllowNets: []netip.Prefix{netip.MustParsePrefix(net)}})
		r, err := opDoctor.run(t.Context(), h.n, struct{}{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(r.Findings, func(f finding) bool { return f.What == "who may ask" })
		if i < 0 || r.Findings[i].State != want {
			t.Errorf("with %s: %+v; want who may ask to be %s", net, r.Findings, want)
		}
	}
}

// TestReloadNamesWhatWaits: each setting is taken by a reload, or said to wait for
// the next start.
func TestReloadNamesWhatWaits(t *testing.T) {
	taken := map[string]bool{
		"upstream": true, "forward": true, "allow-net": true, "block": true, "forwarders": true, "records": true, "rebind-allow": true, "portal": true,
		"proxy::trust": true, "tls::name-servers": true, "log::level": true,
	}
	was := defaultConfig()
	var each func(prefix string, at []int, t reflect.Type)
	each = func(prefix string, at []int, of reflect.Type) {
		for i := range of.NumField() {
			f := of.Field(i)
			path, name := append(append([]int{}, at...), i), prefix+f.Tag.Get("yaml")
			if f.Type.Kind() == reflect.Struct {
				each(name+keySep, path, f.Type)
				continue
			}
			next := defaultConfig()
			switch v := reflect.ValueOf(&next).Elem().FieldByIndex(path); v.Kind() {
			case reflect.String:
				v.SetString("another")
			case reflect.Int:
				v.SetInt(v.Int() + 1)
			case reflect.Bool:
				v.SetBool(!v.Bool())
			case reflect.Slice:
				v.Set(reflect.MakeSlice(v.Type(), 7, 7))
			default:
				t.Fatalf("%s: the test cannot change a %s", name, v.Kind())
			}
			if waits := len(untilRestart(&was, &next)) > 0; waits == taken[name] {
				t.Errorf("%s: a reload takes it: %t; it is said to wait: %t", name, taken[name], waits)
			}
		}
	}
	each("", nil, reflect.TypeFor[config]())
	if keys := untilRestart(&was, &was); keys != nil {
		t.Errorf("nothing changed, and %q are said to wait", keys)
	}
}
