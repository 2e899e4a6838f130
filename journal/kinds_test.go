package journal

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kinward/blocklists"
	"kinward/policy"
)

func asCanary(a *policy.Attempt) {
	a.Verdict.Reason, a.Verdict.Bypass = policy.ByCanary, policy.BypassRoutine
	a.Verdict.Quiet = true // browsers ask, not people
}

func asRoutine(a *policy.Attempt) {
	a.Verdict.Label.Category, a.Verdict.Bypass = blocklists.EncryptedDNS, policy.BypassRoutine
}

func asAttempt(a *policy.Attempt) {
	a.Verdict.Label.Category, a.Verdict.Bypass = blocklists.VPNProxy, policy.BypassAttempt
}

func atBedtime(a *policy.Attempt) {
	a.Service, a.List = "", ""
	a.Verdict.Label, a.Verdict.Reason, a.Verdict.Schedule = blocklists.Label{}, policy.BySchedule, 4
}

func paused(a *policy.Attempt) {
	atBedtime(a)
	a.Verdict.Reason, a.Verdict.Schedule = policy.ByPause, 0
}

// TestKinds is the specification of what is an incident of its own kind. Each
// is written as "what, kind, tries/queries names".
func TestKinds(t *testing.T) {
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	type attempts = []policy.Attempt
	for _, tt := range []struct {
		name string
		in   attempts
		want []string
	}{
		{"canaries are one, whoever's they are", attempts{
			try("use-application-dns.net", noon, asCanary), try("mask.icloud.com", at(time.Minute), asCanary), try("mask-h2.icloud.com", at(2*time.Minute), asCanary),
		}, []string{"use-application-dns.net routine 3/3 names 3"}},
		{"of a device", attempts{
			try("mask.icloud.com", noon, asCanary, device(3)), try("mask.icloud.com", noon, asCanary, device(4)),
		}, []string{"icloud.com routine 1/1 names 1", "icloud.com routine 1/1 names 1"}},
		{"what systems ask for, by its service", attempts{
			try("dns.google", noon, asRoutine), try("dns.quad9.net", at(time.Second), asRoutine), try("dns.google", at(time.Second), asRoutine),
		}, []string{"dns.google routine 1/2 names 1", "quad9.net routine 1/1 names 1"}},
		{"even a quiet one opens its own", attempts{try("dns.google", noon, asRoutine, asQuiet)}, []string{"dns.google routine 1/1 names 1"}},
		{"a VPN's site is an attempt", attempts{try("nordvpn.com", noon, asAttempt)}, []string{"nordvpn.com attempt 1/1 names 1"}},
		{"its app's background is not part of it", attempts{
			try("nordvpn.com", noon, asAttempt), try("api.nordvpn.com", at(time.Second), asAttempt, func(a *policy.Attempt) { a.Verdict.Bypass = policy.BypassRoutine }),
		}, []string{"nordvpn.com attempt 1/1 names 1", "nordvpn.com routine 1/1 names 1"}},
		{"everything else is of no such kind", attempts{try("omegle.com", noon)}, []string{"omegle.com - 1/1 names 1"}},
		{"bedtime: all names are one, and none is kept", attempts{
			try("school.example", noon, atBedtime), try("game.example", at(time.Second), atBedtime), try("other.example", at(time.Minute), atBedtime),
		}, []string{" - 2/3 names 0"}},
		{"quiet names alone do not open it", attempts{try("time.example", noon, atBedtime, asQuiet)}, nil},
		{"a pause is another than bedtime, and than another schedule", attempts{
			try("game.example", noon, atBedtime), try("game.example", noon, paused),
			try("game.example", noon, atBedtime, func(a *policy.Attempt) { a.Verdict.Schedule = 5 }),
		}, []string{" - 1/1 names 0", " - 1/1 names 0", " - 1/1 names 0"}},
		{"what is kept in any case is kept by name", attempts{
			try("omegle.com", noon, omegle, func(a *policy.Attempt) { a.Verdict.Reason, a.Verdict.Schedule = policy.BySchedule, 4 }),
			try("omegle.com", noon, omegle, func(a *policy.Attempt) { a.Verdict.Reason = policy.ByPause }),
		}, []string{"omegle - 1/2 names 1"}},
		{"what guests ask for at bedtime is only counted", attempts{try("game.example", noon, atBedtime, count)}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := stored(t, tt.in...)
			var got []string
			for _, i := range s.incidents(t) {
				what, kind := i.Domain, "-"
				if i.Service != "" {
					what = i.Service
				}
				if i.Bypass != "" {
					kind = i.Bypass
				}
				d, err := decodeDetails(s.rows[i.ID].Details)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprintf("%s %s %d/%d names %d", what, kind, i.Tries, i.Queries, len(d.Names)))
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("incidents (-want +got):\n%s", d)
			}
		})
	}
}

// At bedtime nothing of a row tells what was asked for.
func TestBedtimeKeepsNoName(t *testing.T) {
	s := stored(t, try("secret.example", noon, atBedtime), try("secret.example", noon, paused))
	if len(s.rows) != 2 {
		t.Fatalf("%d rows, want 2", len(s.rows))
	}
	for _, r := range s.rows {
		if strings.Contains(string(r.Details), "secret") || strings.Contains(string(r.Details), "example") {
			t.Errorf("details: %s", r.Details)
		}
		i, err := r.Incident()
		if err != nil || i.Domain != "" || i.TopName != "" || i.Queries != 1 {
			t.Errorf("%+v, %v", i, err)
		}
	}
}

// Routine incidents are left out unless they are asked for.
func TestFilterLeavesRoutineOut(t *testing.T) {
	for _, tt := range []struct {
		bypass  string
		routine bool
		want    bool
	}{{"", false, true}, {Attempt, false, true}, {Routine, false, false}, {Routine, true, true}, {"", true, true}} {
		if got := (Filter{Routine: tt.routine}).Matches(Incident{Bypass: tt.bypass}); got != tt.want {
			t.Errorf("an incident %q, Routine: %v: matches %v", tt.bypass, tt.routine, got)
		}
	}
}

// What is watched and only counted is a day's number, like what is blocked so.
func TestTalliesAreCounted(t *testing.T) {
	s := stored(t, try("tinder.com", noon, watched, count), try("tinder.com", noon.Add(time.Minute), watched, count))
	if n := len(s.rows); n > 0 {
		t.Errorf("%d incidents, want none", n)
	}
	for c, n := range s.counts {
		if n.tries != 2 || n.queries != 2 || c.Category == "" {
			t.Errorf("%+v: %+v", c, n)
		}
	}
	if len(s.counts) != 1 {
		t.Errorf("counts: %v", s.counts)
	}
}
