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
	if out.Bypass != nil && *out.Bypass == p.Preset.guardsBypass() {
		out.Bypass = nil
	}
	if out.Bypass == nil { // otherwise what equals the preset may still differ from what Bypass makes of it
		out.Categories = maps.Clone(p.Categories)
		maps.DeleteFunc(out.Categories, func(c blocklists.Category, choice Choice) bool {
			return categoryChosen(c) && choice == presets.Choice(p.Preset, c)
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

// guardsBypass reports whether a preset protects against bypassing.
func (p Preset) guardsBypass() bool { return p != Adult }

// guardsBypass reports whether a profile protects against bypassing: blocks names
// that lead past the filter, and answers the canaries.
func (p *Profile) guardsBypass() bool {
	if p.Bypass != nil {
		return *p.Bypass
	}
	return p.Preset.guardsBypass()
}

// choice returns what a profile does about a category, schedules aside: the
// preset's choice, then what protection against bypassing means, then the
// profile's own, kept as its log mode says.
func (p *Profile) choice(c blocklists.Category, presets *Presets) Choice {
	choice, own := p.Categories[c]
	if !own {
		choice = presets.Choice(p.Preset, c)
		if guards := p.guardsBypass(); guards != p.Preset.guardsBypass() {
			switch {
			case c != blocklists.VPNProxy && c != blocklists.EncryptedDNS:
			case !guards:
				choice = ChooseAllow
			case c == blocklists.VPNProxy:
				choice = ChooseBlock
			default:
				choice = ChooseDigest
			}
		}
	}
	if keep, ok := p.Log[c]; ok {
		return choice.keeping(keep)
	}
	return choice
}
