package blocklists

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// check applies the rules between rows and files, then sorts the services.
func (l *loader) check() error {
	for cat := AnonymousChat; cat < NumCategories; cat++ {
		if l.c.Categories[cat].ID == "" {
			return fmt.Errorf("reading categories.tsv: no row for %s", cat)
		}
	}
	for i := range l.c.Services {
		if err := l.checkService(&l.c.Services[i]); err != nil {
			return err
		}
	}
	for _, g := range l.c.Groups {
		for _, m := range g.Members {
			if _, ok := l.services[m]; !ok {
				return l.groups[g.ID].errorf("group %s has a member %q that is no service", g.ID, m)
			}
		}
		if g.Why == "" || len(g.Members) == 0 {
			return l.groups[g.ID].errorf("group %s needs a why and members", g.ID)
		}
	}
	for _, h := range l.c.Shared {
		if err := l.checkShared(h.Name); err != nil {
			return err
		}
	}
	for _, r := range l.c.Reachable {
		if r.Section == SectionHelp {
			if err := l.checkHelp(r); err != nil {
				return err
			}
		}
	}
	for i := range l.c.Services {
		if s := &l.c.Services[i]; s.Checked == "" {
			return l.services[s.ID].errorf("service %s has no date of its evidence: write checked YYYY-MM at the head of the file, or in the service", s.ID)
		}
	}
	l.c.guarded = l.guards() // before the sort: origins number the services as they were read
	slices.SortFunc(l.c.Services, func(a, b Service) int { return cmp.Compare(a.ID, b.ID) })
	return nil
}

func (l *loader) checkService(s *Service) error {
	at := l.services[s.ID]
	switch {
	case s.Name == "":
		return at.errorf("service %s has no name", s.ID)
	case len(s.Domains) == 0:
		return at.errorf("service %s has no domain", s.ID)
	case s.About != "" && !strings.HasSuffix(s.About, "."):
		return at.errorf("service %s: about has to be a sentence, with its full stop", s.ID)
	case s.AboutSource != "" && s.About == "":
		return at.errorf("service %s: about-source needs about", s.ID)
	case (s.MinAge == 0) != (s.MinAgeSource == ""):
		return at.errorf("service %s: min-age and min-age-source need each other", s.ID)
	case (s.Strength == NotVerified) != (s.StrengthSource == ""):
		return at.errorf("service %s: strength and strength-source need each other", s.ID)
	}
	for i := range s.Domains {
		if err := l.checkDomain(s, &s.Domains[i]); err != nil {
			return l.domains[s.Domains[i].Name].errorf("%s: %w", s.Domains[i].Name, err)
		}
	}
	return nil
}

func (l *loader) checkDomain(s *Service, d *Domain) error {
	text := d.Name.String()
	suffix, icann := publicsuffix.PublicSuffix(text)
	private := suffix == text && !icann && d.Name.Labels() > 1
	switch {
	case suffix == text && !private:
		return errors.New("everybody registers names below it (public suffix list)")
	case private != d.PrivateSuffix:
		return errors.New("private-suffix must be said of private public suffixes, and only of them")
	case (d.PrivateSuffix || d.AboveShared) && d.Note == "":
		return errors.New("private-suffix and above-shared need a note that says why")
	case d.AboveShared && !slices.ContainsFunc(l.c.Shared, func(h SharedHost) bool { return h.Name != d.Name && h.Name.IsBelow(d.Name) }):
		return errors.New("above-shared, but no shared host lies below it")
	}
	if d.Match == MatchGroup {
		i := slices.IndexFunc(l.c.Groups, func(g Group) bool { return g.ID == d.Group })
		if i < 0 || !slices.Contains(l.c.Groups[i].Members, s.ID) {
			return fmt.Errorf("no group %q with the member %s in groups.txt", d.Group, s.ID)
		}
	}
	if w, ok := l.reach[d.Name]; ok {
		return fmt.Errorf("it must stay reachable (%s line %d)", w.file, w.line)
	}
	for p := d.Name.Parent(); p != ""; p = p.Parent() {
		if l.help[p] {
			return fmt.Errorf("%s above it is help and stays reachable (%s line %d)", p, l.reach[p].file, l.reach[p].line)
		}
		o, ok := l.domains[p]
		if !ok {
			continue
		}
		above := &l.c.Services[o.service]
		switch {
		case above.Domains[o.domain].Match == MatchExact:
		case above.ID == s.ID && above.Domains[o.domain].Match == MatchSuffix:
			return fmt.Errorf("%s in line %d covers it already", p, o.line)
		case above.ID != s.ID && d.Note == "":
			return fmt.Errorf("%s of %s covers it too: a note has to say why it is here", p, above.ID)
		}
	}
	return nil
}

// checkShared looks for domains that would take a shared host along.
func (l *loader) checkShared(host Name) error {
	for p := host; p != ""; p = p.Parent() {
		o, ok := l.domains[p]
		if !ok {
			continue
		}
		d := &l.c.Services[o.service].Domains[o.domain]
		if d.Match == MatchExact || d.Match == MatchGroup || d.AboveShared && p != host {
			continue
		}
		return o.errorf("%s takes the shared host %s along: match it exactly or with its group", p, host)
	}
	return nil
}

// checkHelp looks for domains that would block help, and for what a row of help
// owes: a mistake there hides look-ups.
func (l *loader) checkHelp(r Reachable) error {
	if r.Organisation == "-" || r.Source == "-" || r.Source == notVerified {
		return l.reach[r.Name].errorf("%s: help needs an organisation and a source", r.Name)
	}
	for p := r.Name.Parent(); p != ""; p = p.Parent() {
		if o, ok := l.domains[p]; ok && l.c.Services[o.service].Domains[o.domain].Match != MatchExact {
			return o.errorf("%s blocks the help at %s", p, r.Name)
		}
	}
	return nil
}

// notVerified stands in a column source that has none.
const notVerified = "not verified"
