package blocklists

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// servicesFile reads a file of the folder catalogue, named for its category.
func (l *loader) servicesFile(file string, data []byte) (err error) {
	folder, base := path.Split(file)
	id, ok := strings.CutSuffix(base, ".txt")
	if !ok || folder != servicesFolder+"/" {
		return fmt.Errorf("reading %s: want a file %s/<category>.txt", file, servicesFolder)
	}
	if l.category, err = ParseCategory(id); err != nil {
		return fmt.Errorf("reading %s: %w", file, err)
	}
	if l.category == KnownRiskCategory {
		return fmt.Errorf("reading %s: known-risk is a mark on services, not a category of its own", file)
	}
	l.checked = ""
	first := len(l.c.Services)
	if err := l.read(file, data, l.serviceLine); err != nil {
		return err
	}
	for i := range l.c.Services[first:] {
		if s := &l.c.Services[first+i]; s.Checked == "" {
			s.Checked = l.checked
		}
	}
	return nil
}

func (l *loader) serviceLine(text string) error {
	indent, key, value, err := splitField(text)
	switch {
	case err != nil:
		return err
	case indent == 0 && key == "service":
		if w, ok := l.services[value]; ok {
			return fmt.Errorf("service %s stands in %s line %d already", value, w.file, w.line)
		}
		l.services[value] = l.at
		l.c.Services = append(l.c.Services, Service{ID: value, Category: l.category})
		return l.ordered(value)
	case indent == 0 && key == "checked" && l.last == "":
		return cmp.Or(setText(&l.checked, key, value), checkDate(value))
	case l.last == "" || indent != 2 && indent != 4:
		return fmt.Errorf("%q with %d blanks before it: want service with none, its parts with 2, a domain's with 4", key, indent)
	}
	s := &l.c.Services[len(l.c.Services)-1]
	if indent == 2 {
		return l.servicePart(s, key, value)
	}
	if len(s.Domains) == 0 {
		return fmt.Errorf("%s belongs to a domain, and there is none yet", key)
	}
	d := &s.Domains[len(s.Domains)-1]
	switch key {
	case "private-suffix":
		return setFlag(&d.PrivateSuffix, key, value)
	case "above-shared":
		return setFlag(&d.AboveShared, key, value)
	case "note":
		return setText(&d.Note, key, value)
	}
	return fmt.Errorf("a domain has no %q; the nearest is %q", key, Nearest(key, []string{"private-suffix", "above-shared", "note"}))
}

var serviceKeys = []string{"name", "about", "about-source", "min-age", "min-age-source", "checked", "known-risk", "strength", "strength-source", "status", "note", "domain"}

func (l *loader) servicePart(s *Service, key, value string) error {
	switch key {
	case "name":
		return setText(&s.Name, key, value)
	case "about":
		return setText(&s.About, key, value)
	case "about-source":
		return setText(&s.AboutSource, key, value)
	case "min-age":
		age, err := strconv.Atoi(value)
		if err != nil || age < 1 || age > 25 || s.MinAge != 0 {
			return fmt.Errorf("min-age %q: want the years, once", value)
		}
		s.MinAge = age
		return nil
	case "min-age-source":
		return setText(&s.MinAgeSource, key, value)
	case "checked":
		return cmp.Or(setText(&s.Checked, key, value), checkDate(value))
	case "known-risk":
		return setText(&s.KnownRisk, key, value)
	case "strength":
		i, err := choose("strength", value, "app", "website", "signal")
		if err == nil && s.Strength != NotVerified {
			err = errors.New("strength is given twice")
		}
		s.Strength = Strength(i + 1)
		return err
	case "strength-source":
		return setText(&s.StrengthSource, key, value)
	case "status":
		if value != "closed" {
			return fmt.Errorf("status %q: the only one is closed", value)
		}
		return setFlag(&s.Closed, key, "")
	case "note":
		return setText(&s.Note, key, value)
	case "domain":
		return l.domain(s, value)
	}
	return fmt.Errorf("a service has no %q; the nearest is %q", key, Nearest(key, serviceKeys))
}

// domain reads "meetme.com suffix high citizenlab,ut1".
func (l *loader) domain(s *Service, value string) error {
	words := strings.Split(value, " ")
	if len(words) != 4 {
		return fmt.Errorf("domain has %d words, want name, match, confidence and sources", len(words))
	}
	var d Domain
	var err error
	if d.Name, err = canonical(words[0]); err != nil {
		return err
	}
	match, group, _ := strings.Cut(words[1], ":")
	i, err := choose("match", match, "suffix", "exact", "optional", "group")
	if err != nil {
		return err
	}
	d.Match, d.Group = Match(i), group
	if (d.Match == MatchGroup) != (group != "") {
		return fmt.Errorf("match %q: a group, and nothing else, is named behind a colon", words[1])
	}
	if d.Confidence, err = parseConfidence(words[2]); err != nil {
		return err
	}
	if words[3] != "-" {
		d.Sources = strings.Split(words[3], ",")
	} else if d.Confidence != ConfidenceLow {
		return fmt.Errorf("%s has no source: its confidence is low", words[0])
	}
	for i, id := range d.Sources {
		k, ok := slices.BinarySearchFunc(l.c.Sources, id, func(s CatalogueSource, id string) int { return cmp.Compare(s.ID, id) })
		if !ok || slices.Contains(d.Sources[:i], id) {
			return fmt.Errorf("source %q is not in sources.tsv, or is named twice", id)
		}
		d.Sources[i] = l.c.Sources[k].ID
	}
	if o, ok := l.domains[d.Name]; ok {
		return fmt.Errorf("%s stands in %s line %d already", words[0], o.file, o.line)
	}
	l.domains[d.Name] = origin{l.at, len(l.c.Services) - 1, len(s.Domains)}
	s.Domains = append(s.Domains, d)
	return nil
}
