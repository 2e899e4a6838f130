package policy

import "kinward/blocklists"

// ChoiceOf returns what a profile does about a category at times when no
// schedule is active, and whether that was chosen for the profile: otherwise the
// preset says so, or the protection against bypassing.
func (p *Profile) ChoiceOf(c blocklists.Category, presets *Presets) (Choice, bool) {
	_, own := p.Categories[c]
	return p.choice(c, presets), own
}

// ChoiceOfService is ChoiceOf for a service: the profile's own choice for it,
// else the stronger of those for its category and for its mark.
func (p *Profile) ChoiceOfService(s *blocklists.Service, presets *Presets) (choice Choice, own bool) {
	if choice, own = p.Services[s.ID]; !own {
		choice = p.choice(s.Category, presets)
		if s.KnownRisk != "" {
			choice = max(choice, p.choice(blocklists.KnownRiskCategory, presets))
		}
	}
	if keep, ok := p.Log[s.Category]; ok && !(own && choice == ChooseAllow) {
		choice = choice.keeping(keep)
	}
	return choice, own
}

// GuardsBypass reports whether names that lead past the filter are blocked for
// the profile and the canaries answered.
func (p *Profile) GuardsBypass() bool { return p.guardsBypass() }
