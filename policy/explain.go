package policy

import (
	"fmt"
	"time"

	"kinward/blocklists"
)

// Explanation is a verdict with the path that led to it, in words and as data.
type Explanation struct {
	Name     string      `json:"name"`
	Hidden   string      `json:"hidden,omitempty"` // the name behind a gateway that the verdict is about
	At       time.Time   `json:"at"`               // in the family's time zone
	Profile  string      `json:"profile"`
	Preset   string      `json:"preset"`
	Device   string      `json:"device,omitempty"`
	Verdict  string      `json:"verdict"` // allow, watch, rewrite or block
	Reason   string      `json:"reason"`
	Recorded string      `json:"recorded"` // nothing, a count, or the attempt
	Category string      `json:"category,omitempty"`
	Service  string      `json:"service,omitempty"` // its name
	Strength string      `json:"strength,omitempty"`
	List     string      `json:"list,omitempty"`
	Entry    string      `json:"entry,omitempty"`
	Target   string      `json:"target,omitempty"`   // what a rewrite answers with
	Schedule string      `json:"schedule,omitempty"` // its name
	Grant    GrantID     `json:"grant,omitempty"`
	Bypass   string      `json:"bypass,omitempty"`  // routine or attempt, where the name leads past the filter
	Changes  *time.Time  `json:"changes,omitempty"` // when, within a day, the verdict will be another by itself
	Sentence string      `json:"sentence"`
	Labels   []LabelText `json:"labels"`
	Steps    []Step      `json:"steps"`
	Revision uint64      `json:"revision"`
}

// LabelText is a label in words.
type LabelText struct {
	Category string   `json:"category,omitempty"`
	Service  string   `json:"service,omitempty"`
	List     string   `json:"list"`
	Entry    string   `json:"entry"`
	Match    string   `json:"match"` // "the name alone" or "the name and all below it"
	Marks    []string `json:"marks,omitempty"`
	Choice   string   `json:"choice"` // what the profile does about this label alone
}

// Step is one step of the order of decision.
type Step struct {
	Step    string `json:"step"`
	Found   string `json:"found"`
	Settled bool   `json:"settled"`
}

// trail notes what the steps of a decision found. A nil trail notes nothing and
// costs a comparison.
type trail struct {
	steps   []Step
	words   func(Verdict, Question) string
	reached string // the step that is about to settle it
}

func (t *trail) reach(step string) {
	if t != nil {
		t.reached = step
	}
}

func (t *trail) last() string {
	if t == nil {
		return ""
	}
	return t.reached
}

func (t *trail) pass(step, found string) {
	if t != nil {
		t.steps = append(t.steps, Step{Step: step, Found: found})
	}
}

func (t *trail) settle(step string, v Verdict, q Question) Verdict {
	if t != nil {
		t.steps = append(t.steps, Step{Step: step, Found: t.words(v, q), Settled: true})
	}
	return v
}

// Explain decides about a name as [Decide] does, with the same code, and tells
// how. f is the asker's family, from which the names of things are taken; where
// it is nil, or too old to have one, the thing's number stands for it. at must be
// in the family's time zone, since it is shown as given.
func Explain(s *State, a Asker, f *Family, asked blocklists.Name, qtype uint16, at time.Time) Explanation {
	w := newWords(s.Index, a, f, qtype, at.Location())
	whole, n := decideThen(s.Index, a.Policy, Ask(s.Index, asked, qtype, at), qtype)
	q := Ask(s.Index, n, qtype, at)
	t := &trail{words: w.because}
	v := decide(a.Policy, q, a.Policy.phaseThen(at.Unix()), t)
	v.Keep = whole.Keep // nothing where a help line is hidden, too
	e := Explanation{
		Name: asked.String(), At: at,
		Profile: w.profile.Name, Preset: a.Policy.Preset.String(),
		Device:   w.device,
		Verdict:  v.Action.String(),
		Reason:   v.Reason.String(),
		Recorded: [...]string{"nothing", "a count", "the attempt"}[v.Keep],
		Grant:    v.Grant,
		Bypass:   [...]string{"", "routine", "attempt"}[v.Bypass],
		Steps:    t.steps,
		Labels:   []LabelText{},
		Revision: a.Revision,
	}
	if n != asked {
		e.Hidden = n.String()
	}
	if v.Keep == KeepItem && v.Quiet {
		e.Recorded = "only beside another attempt at the same service, since pages ask for this name by themselves"
	}
	if v.Label.Category != blocklists.NoCategory {
		e.Category = s.Index.Categories()[v.Label.Category].Name
	}
	if svc := s.Index.Service(v.Label.Service); svc != nil {
		e.Service, e.Strength = svc.Name, svc.Strength.String()
	}
	if entry := v.Entry(n); entry != "" {
		e.Entry = entry.String()
		if v.Rule == 0 {
			e.List = s.Index.List(v.Label.List).ID
			e.Entry = entryText(s.Index, v.Label, n, qtype)
		}
	}
	if v.Target != "" {
		e.Target = v.Target.String()
	}
	if sc := w.schedule(v.Schedule); sc != nil {
		e.Schedule = sc.Name
	}
	if next := ChangesAt(s.Index, a.Policy, Ask(s.Index, asked, qtype, at), qtype, at.Add(24*time.Hour)); !next.IsZero() {
		next = next.In(at.Location())
		e.Changes = &next
	}
	for _, l := range q.Labels {
		if t, ok := labelText(s.Index, a.Policy, n, l, qtype, at); ok {
			e.Labels = append(e.Labels, t)
		}
	}
	e.Sentence = sentence(e, v)
	return e
}

func sentence(e Explanation, v Verdict) string {
	what := [...]string{
		Allow:   "is allowed",
		Watch:   "is allowed, and recorded",
		Rewrite: "is answered with " + e.Target,
		Block:   "is blocked",
	}[v.Action]
	who := "profile " + e.Profile
	if e.Device != "" {
		who = fmt.Sprintf("%s (profile %s)", e.Device, e.Profile)
	}
	last := e.Steps[len(e.Steps)-1]
	name := e.Name
	if e.Hidden != "" {
		name += ", which shows " + e.Hidden + ","
	}
	return fmt.Sprintf("%s %s for %s: %s.", name, what, who, last.Found)
}

// entryText returns the entry of a list, or the pattern, that gave a label.
func entryText(x *blocklists.Index, l blocklists.Label, n blocklists.Name, qtype uint16) string {
	if l.Marks&blocklists.ByPattern != 0 {
		if rule := x.Rule(l.List, n, qtype); rule != "" {
			return rule
		}
	}
	return l.Entry(n).String()
}

func labelText(x *blocklists.Index, p *Policy, n blocklists.Name, l blocklists.Label, qtype uint16, at time.Time) (LabelText, bool) {
	if l.Category == blocklists.NoCategory && l.Marks&blocklists.Quiet == 0 {
		return LabelText{}, false // Above: about other names
	}
	t := LabelText{
		List:  x.List(l.List).ID,
		Entry: entryText(x, l, n, qtype),
		Match: "the name and all below it",
	}
	if l.Category != blocklists.NoCategory {
		t.Category = l.Category.String()
	}
	if s := x.Service(l.Service); s != nil {
		t.Service = s.ID
	}
	switch {
	case l.Marks&blocklists.ByPattern != 0:
		t.Match = "what the rule matches"
	case l.Marks&blocklists.Exact != 0:
		t.Match = "the name alone"
	}
	for _, m := range [...]struct {
		mark blocklists.Marks
		word string
	}{
		{blocklists.KnownRisk, "known risk"},
		{blocklists.Quiet, "asked for without the person's doing"},
		{blocklists.Optional, "shared with other apps"},
	} {
		if l.Marks&m.mark != 0 {
			t.Marks = append(t.Marks, m.word)
		}
	}
	if l.Group != 0 {
		t.Marks = append(t.Marks, "shared by the services of "+x.Groups()[l.Group-1].ID)
	}
	t.Choice = p.choose(l, p.phaseThen(at.Unix())).choice.String()
	return t, true
}
