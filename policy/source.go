package policy

import (
	"cmp"
	"maps"
	"slices"

	"kinward/blocklists"
)

// source is what a policy is compiled from: a profile and what its family says
// about time, without anybody's name and without what has no effect, so that all
// who chose alike share one policy. Its JSON form is the key under which the
// policy is found again, and what it is compiled from against another index.
type source struct {
	Profile  Profile   `json:"profile"`
	Grants   []Grant   `json:"grants,omitempty"`
	Zone     string    `json:"zone,omitempty"`
	Holidays []Holiday `json:"holidays,omitempty"`
}

// sourceOf returns what the policy of one of a family's profiles is compiled
// from. It shares nothing that it changes with f.
func sourceOf(f *Family, p *Profile, presets *Presets) source {
	s := source{Profile: *p}
	out := &s.Profile
	out.ID, out.Name = 0, ""
	if out.Bypass != nil && *out.Bypass == (p.Preset != Adult) {
		out.Bypass = nil
	}
	if out.Bypass == nil { // otherwise what equals the preset may still differ from what Bypass makes of it
		out.Categories = maps.Clone(p.Categories)
		maps.DeleteFunc(out.Categories, func(c blocklists.Category, choice Choice) bool {
			return c < blocklists.NumCategories && c > blocklists.Plumbing && choice == presets.Choice(p.Preset, c)
		})
	}
	out.Rules = slices.SortedFunc(slices.Values(p.Rules), func(a, b Rule) int { return cmp.Compare(a.ID, b.ID) })
	out.Schedules = nil
	holidays := false
	for _, sc := range p.Schedules {
		if sc.Off {
			continue
		}
		sc.Name = ""
		holidays = holidays || sc.Holidays != HolidaysAsUsual
		out.Schedules = append(out.Schedules, sc)
	}
	if len(out.Schedules) > 0 {
		s.Zone = f.Zone
	}
	if holidays {
		for _, h := range f.Holidays {
			s.Holidays = append(s.Holidays, Holiday{First: h.First, Last: h.Last})
		}
	}
	for _, g := range f.Grants {
		if g.Profile == p.ID && g.From.Before(g.Until) {
			g.Profile, g.By, g.Why = 0, "", ""
			s.Grants = append(s.Grants, g)
		}
	}
	return s
}

// choices returns what a profile does about every category: the preset's choice,
// then what protection against bypassing means, then the profile's own, each
// kept as its log mode says.
func (s *source) choices(presets *Presets) (all [blocklists.NumCategories]Choice, bypass bool) {
	p := &s.Profile
	for c := range all {
		all[c] = presets.Choice(p.Preset, blocklists.Category(c))
	}
	bypass = p.Preset != Adult
	if p.Bypass != nil && *p.Bypass != bypass {
		bypass = *p.Bypass
		all[blocklists.VPNProxy], all[blocklists.EncryptedDNS] = ChooseAllow, ChooseAllow
		if bypass {
			all[blocklists.VPNProxy], all[blocklists.EncryptedDNS] = ChooseBlock, ChooseDigest
		}
	}
	for c, choice := range p.Categories {
		all[c] = choice
	}
	for c, keep := range p.Log {
		all[c] = all[c].keeping(keep)
	}
	return all, bypass
}
