package journal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kinward/journal/spool"
	"kinward/policy"
)

// household makes the blocked and watched look-ups of a day as devices make them:
// a page or app asks for several names of a service, each with A, AAAA and HTTPS;
// the answer is asked for again after 5 s, and an app that is left open goes on
// trying. In between there are embeds of other pages, which are quiet. hits are
// what was done: by device and service, at their time.
func household(seed uint64) (attempts []policy.Attempt, hits map[string][]time.Time) {
	random := rand.New(rand.NewPCG(seed, 1))
	midnight := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	hits = map[string][]time.Time{}
	ask := func(device policy.DeviceID, service, name string, at time.Time, quiet bool) {
		for i, kind := range []uint16{typeA, typeAAAA, typeHTTPS} {
			a := try(name, at.Add(time.Duration(i)*3*time.Millisecond), typed(kind))
			a.Device, a.Service, a.Verdict.Quiet = device, service, quiet
			attempts = append(attempts, a)
		}
	}
	services := []string{"omegle", "ometv", "tinder", "discord", "roblox", "monkey"}
	for device := policy.DeviceID(1); device <= 5; device++ {
		for range 3 + random.IntN(5) { // sittings
			service := services[random.IntN(len(services))]
			at := midnight.Add(time.Duration(7*60+random.IntN(15*60)) * time.Minute)
			key := fmt.Sprint(device, " ", service)
			hits[key] = append(hits[key], at)
			for until := at.Add(time.Duration(2+random.IntN(20)) * time.Minute); at.Before(until); at = at.Add(time.Duration(5+random.IntN(40)) * time.Second) {
				for _, host := range []string{"www", "api", "cdn", "events"}[:1+random.IntN(4)] {
					ask(device, service, host+"."+service+".com", at, false)
				}
			}
		}
		for range 400 { // pages with embeds
			ask(device, "discord", "cdn.discord.com", midnight.Add(time.Duration(random.IntN(24*60*60))*time.Second), true)
		}
	}
	slices.SortStableFunc(attempts, func(a, b policy.Attempt) int { return a.Time.Compare(b.Time) })
	return attempts, hits
}

// A household's day shrinks at least 50 to 1, and everything that was done is in
// an incident of its device and service that was open at its time.
func TestHouseholdsDayShrinksAndLosesNothing(t *testing.T) {
	for seed := range uint64(5) {
		attempts, hits := household(seed)
		m, s := newMerger(defaultOpen), &memory{}
		for i := range attempts {
			m.add(&attempts[i], spool.Encoded{})
			if i%500 == 0 {
				m.sweep(attempts[i].Time.UnixMilli())
			}
		}
		settle(t, m, s)
		incidents := s.incidents(t)
		if ratio := len(attempts) / len(incidents); ratio < 50 {
			t.Errorf("day %d: %d look-ups became %d incidents: %d to 1, want 50 to 1", seed, len(attempts), len(incidents), ratio)
		}
		done := 0
		for key, times := range hits {
			for _, at := range times {
				done++
				if !slices.ContainsFunc(incidents, func(i Incident) bool {
					return fmt.Sprint(i.Device, " ", i.Service) == key && !i.First.After(at) && !i.Last.Before(at)
				}) {
					t.Errorf("day %d: what %s was tried at %s is in no incident", seed, key, at)
				}
			}
		}
		t.Logf("day %d: %d look-ups, %d sittings, %d incidents", seed, len(attempts), done, len(incidents))
	}
}

func TestEraseReachesMemoryAndSpool(t *testing.T) {
	s := &memory{}
	j, _ := start(t, Config{Store: s, FlushEvery: time.Hour})
	for _, p := range []policy.ProfileID{2, 9} {
		for _, change := range []func(*policy.Attempt){omegle, count} {
			a := try("omegle.com", time.Now(), change)
			a.Profile = p
			j.Record(a)
		}
	}
	if err := j.Erase(t.Context(), 1, 9); err != nil {
		t.Fatal(err)
	}
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.queries(t); n != 2 || s.incidents(t)[0].Profile != 2 {
		t.Errorf("%d attempts are stored, want the 2 of the other profile: %+v", n, s.incidents(t))
	}
	j.Record(try("omegle.com", time.Now(), omegle))
	if err := j.Erase(t.Context(), 1, 0); err != nil {
		t.Fatal(err)
	}
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := s.queries(t); n != 2 { // what is stored is the caller's
		t.Errorf("%d attempts are stored after the family was erased, want the 2 from before", n)
	}
}
