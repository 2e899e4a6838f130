package policy

import (
	"testing"

	"kinward/blocklists"
)

// What pages say of a service is what the resolver does about it.
func TestProfile_ChoiceOfService(t *testing.T) {
	on, off := true, false
	presets, err := EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	c, err := blocklists.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	x, err := blocklists.Compile(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]Profile{
		"a preset":                       {Preset: BandD},
		"another":                        {Preset: BandA},
		"adult, guarded":                 {Preset: Adult, Bypass: &on},
		"a teenager, unguarded":          {Preset: BandE, Bypass: &off},
		"choices of its own":             {Preset: BandB, Services: map[string]Choice{"tiktok": ChooseAllow, "omegle": ChooseCount, "roblox": ChooseBlock}},
		"known risk is minded less":      {Preset: BandC, Categories: map[blocklists.Category]Choice{blocklists.KnownRiskCategory: ChooseAllow, blocklists.Social: ChooseWatch}},
		"what is kept, otherwise":        {Preset: BandC, Log: map[blocklists.Category]Keep{blocklists.Social: KeepCount, blocklists.AnonymousChat: KeepNothing}},
		"what is kept, and own services": {Preset: BandC, Log: map[blocklists.Category]Keep{blocklists.Social: KeepItem}, Services: map[string]Choice{"tiktok": ChooseAllow}},
	} {
		t.Run(name, func(t *testing.T) {
			p.ID, p.Name = 1, "Lea"
			d, err := NewDirectory(&Family{ID: 1, Default: 1, LastID: 1, Profiles: []Profile{p}}, presets, x, 1)
			if err != nil {
				t.Fatal(err)
			}
			a, ok := d.Profile(1, 1)
			if !ok {
				t.Fatal("the profile is not in the directory")
			}
			for i := range c.Services {
				s := &c.Services[i]
				l := blocklists.Label{Category: s.Category, Service: x.ServiceNumber(s.ID)}
				if s.KnownRisk != "" {
					l.Marks = blocklists.KnownRisk
				}
				got, own := p.ChoiceOfService(s, presets)
				if want := a.Policy.choose(l, a.Policy.still).choice; got != want {
					t.Errorf("%s: %s, but it is decided as %s", s.ID, got, want)
				}
				if _, chosen := p.Services[s.ID]; own != chosen {
					t.Errorf("%s: own is %v", s.ID, own)
				}
			}
		})
	}
	if _, ok := emptyDirectory(presets, x).Profile(1, 1); ok {
		t.Error("an empty directory knows a profile")
	}
}
