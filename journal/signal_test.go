package journal

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kinward/policy"
)

// aSignal is one of each kind, on Emma's phone.
func aSignal(kind string) Signal {
	s := Signal{ID: "0a", Family: 1, Profile: 2, Device: 7, Kind: kind, At: time.Date(2026, 11, 23, 20, 30, 0, 0, time.UTC)}
	switch kind {
	case policy.SignalSeveral:
		s.Device, s.Category, s.Details.Others = 0, "anonymous-chat", []string{"ometv", "monkey", "chat.example"}
	case policy.SignalUnknown:
		s.Device, s.Details.Client = 0, "192.168.1.50"
	case policy.SignalTunnel:
		s.Domain, s.Details.Names = "example.com", 412
	case policy.SignalNewVPN:
		s.Service, s.Category, s.Details.Others, s.Details.Since = "vpn", "vpn-proxy", []string{"ometv"}, s.At.Add(-12*time.Minute)
	case policy.SignalBypass:
		s.Service, s.Category = "vpn", "vpn-proxy"
	case policy.SignalSilent:
		s.Details.Since = s.At.Add(-4 * time.Hour)
	default:
		s.Service, s.Category = "ometv", "anonymous-chat"
	}
	return s
}

var signalNames = Names{
	Profile: func(policy.ProfileID) string { return "Emma" },
	Device:  func(policy.DeviceID) string { return "Phone" },
	Service: func(id string) string {
		return map[string]string{"ometv": "OmeTV", "monkey": "Monkey", "vpn": "A VPN"}[id]
	},
	Category: func(id string) string {
		return map[string]string{"anonymous-chat": "Chat with strangers", "vpn-proxy": "VPNs and proxies"}[id]
	},
	Now: time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC),
}

func TestSignalSentence(t *testing.T) {
	want := map[string]string{
		policy.SignalFirstTime: `Mon 23 Nov 21:30  Phone (profile Emma) looked up OmeTV, "Chat with strangers", for the first time on record.`,
		policy.SignalSeveral:   `Mon 23 Nov 21:30  Profile Emma: 3 services to chat with strangers were looked up within a week: OmeTV, Monkey and chat.example. One page or advertisement can lead to several.`,
		policy.SignalUnknown:   `Mon 23 Nov 21:30  A device without a name here asked: the device at 192.168.1.50 (profile Emma). It may be a visitor's, or a new one of yours.`,
		policy.SignalTunnel:    `Mon 23 Nov 21:30  Phone (profile Emma) asked for about 412 different long names below example.com within an hour. Some VPN apps send their data that way; other programs do, too.`,
		policy.SignalNight:     `Mon 23 Nov 21:30  Phone (profile Emma) looked up OmeTV, "Chat with strangers", in the hours that the family calls night. Apps also ask while nobody uses them.`,
		policy.SignalNewVPN:    `Mon 23 Nov 21:30  Phone (profile Emma) looked up A VPN, "VPNs and proxies", 12 minutes after OmeTV was looked up for the first time on record. The two need not belong together.`,
		policy.SignalBypass:    `Mon 23 Nov 21:30  Phone (profile Emma) looked up A VPN, "VPNs and proxies". VPNs and proxies have many everyday uses.`,
		policy.SignalSilent:    `Mon 23 Nov 21:30  Phone (profile Emma) has not asked since 17:30, and usually does by now. Is it switched off, out of reach, or set to another DNS server?`,
	}
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range policy.SignalKinds() {
		if d := cmp.Diff(want[kind], aSignal(kind).Sentence(signalNames, zone)); d != "" {
			t.Errorf("%s (-want +got):\n%s", kind, d)
		}
	}
	again := aSignal(policy.SignalSilent)
	again.Details.Again = again.At.Add(8 * time.Hour)
	if got := again.Sentence(signalNames, zone); !strings.HasSuffix(got, "server? It asked again: Tue 24 Nov 05:30.") {
		t.Errorf("after it asked again: %s", got)
	}
	if got := aSignal("later").Sentence(signalNames, nil); !strings.Contains(got, `"later"`) {
		t.Errorf("of a newer Kinward: %s", got)
	}
}

// TestSignalsAreCalm: no sentence accuses, alarms or calls a look-up a visit; one
// about silence asks.
func TestSignalsAreCalm(t *testing.T) {
	for _, kind := range policy.SignalKinds() {
		got := strings.ToLower(aSignal(kind).Sentence(signalNames, nil))
		for _, word := range []string{"visit ", "visited", "tried", "caught", "suspicious", "danger", "warning", "alert", "violat", "attack", "bypass", "hiding", "!", "your child"} {
			if strings.Contains(got, word) {
				t.Errorf("%s says %q: %s", kind, word, got)
			}
		}
		if asks := strings.Contains(got, "?"); asks != (kind == policy.SignalSilent) {
			t.Errorf("%s asks: %t", kind, asks)
		}
	}
}

func TestSignalRow(t *testing.T) {
	for _, kind := range policy.SignalKinds() {
		s := aSignal(kind)
		s.Incident = "0b"
		r := s.Row()
		back, err := r.Signal()
		if d := cmp.Diff(s, back); err != nil || d != "" {
			t.Errorf("%s kept and read (-want +got): %v\n%s", kind, err, d)
		}
		for _, name := range slices.Concat([]string{s.Service, s.Domain, s.Details.Client}, s.Details.Others) {
			if name != "" && !strings.Contains(string(r.Details), name) {
				t.Errorf("%s: %q stands elsewhere than in the details", kind, name)
			}
		}
	}
	for _, details := range []string{"", "{", "{}", `{"v":2}`} {
		if s, err := (SignalRow{ID: "x", Details: []byte(details)}).Signal(); err == nil {
			t.Errorf("details %q were read as %+v", details, s)
		}
	}
}

func TestSignalJSONKeysAreStable(t *testing.T) {
	s := aSignal(policy.SignalNewVPN)
	s.Incident, s.Domain, s.Details.Client, s.Details.Names, s.Details.Again = "0b", "vpn.example", "192.168.1.5", 3, s.At
	b, err := json.Marshal(s)
	const want = `{"id":"0a","family":1,"profile":2,"device":7,"kind":"new-then-vpn","at":"2026-11-23T20:30:00Z","incident":"0b",` +
		`"service":"vpn","category":"vpn-proxy","domain":"vpn.example","details":{"client":"192.168.1.5","others":["ometv"],` +
		`"since":"2026-11-23T20:18:00Z","names":3,"again":"2026-11-23T20:30:00Z"}}`
	if d := cmp.Diff(want, string(b)); err != nil || d != "" {
		t.Errorf("JSON (-want +got): %v\n%s", err, d)
	}
}
