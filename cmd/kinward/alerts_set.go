package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"kinward/journal/alerts"
	"kinward/policy"
)

type alertAddRequest struct {
	about
	Guardian string      `json:"guardian"`
	Kind     alerts.Kind `json:"kind"`
	To       string      `json:"to"`
	Token    string      `json:"token,omitempty"`
	Priority int         `json:"priority,omitempty"`
	Only     string      `json:"only,omitempty"`
	Brief    bool        `json:"brief,omitempty"`
}

type alertAddReply struct {
	Done    string           `json:"done"`
	Channel alerts.ChannelID `json:"channel"`
	Key     string           `json:"key,omitempty"` // that signs a webhook; told once
	Problem string           `json:"problem,omitempty"`
}

func alertAdd(ctx context.Context, n *node, req alertAddRequest, _ progress) (r alertAddReply, err error) {
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return r, err
	}
	guardian, err := recipient(ctx, f, req.Guardian)
	if err != nil {
		return r, err
	}
	var c alerts.Channel
	private := n.cfg.Alerts.AllowPrivate
	switch req.Kind {
	case alerts.Email:
		c, err = alerts.NewEmail(req.To)
	case alerts.Webhook:
		c, r.Key, err = alerts.NewWebhook(req.To, private)
	case alerts.Ntfy:
		c, err = alerts.NewTopic(req.To, req.Token, req.Priority, private)
	case alerts.Push:
		c, err = alerts.NewPush([]byte(req.To), private)
	default:
		err = fmt.Errorf("%q is not email, push, webhook or ntfy", req.Kind)
	}
	if err == nil && !slices.Contains([]string{"", alerts.OnlyAlerts, alerts.OnlyDigests}, req.Only) {
		err = fmt.Errorf("--only: %q is not %s or %s", req.Only, alerts.OnlyAlerts, alerts.OnlyDigests)
	}
	if err != nil {
		return r, usageError(err)
	}
	now := time.Now().Truncate(time.Millisecond)
	c.Family, c.Guardian, c.Made, c.Settings.Only, c.Settings.Brief = f.ID, guardian, now, req.Only, req.Brief
	p, err := n.preferences(ctx, f.ID, guardian)
	if err != nil {
		return r, err
	}
	if c.ID, err = n.db.Alerts().AddChannel(ctx, c, alerts.Plan(p, now, zoneOf(f))); err != nil {
		return r, coded(err)
	}
	r.Channel, r.Problem = c.ID, n.viewChannel(f, c, zoneOf(f)).Problem
	r.Done = fmt.Sprintf("Messages for %s go to %s by %s, as channel %d. %s", guardianName(f, guardian), c.Settings.To, c.Kind, c.ID,
		sentenceCase(preferencesText(viewPreferences(f, guardian, p))))
	return r, nil
}

func printAlertAdd(w io.Writer, r alertAddReply) {
	fmt.Fprintln(w, r.Done)
	if r.Key != "" {
		fmt.Fprintf(w, "Each is signed with this key, which is shown this once:\n  %s\n", r.Key)
	}
	if r.Problem != "" {
		fmt.Fprintf(w, "It cannot be used yet: %s\n", r.Problem)
		return
	}
	fmt.Fprintf(w, "To try it out: {kinward} alerts test %d\n", r.Channel)
}

// preferences are a guardian's, or the defaults.
func (n *node) preferences(ctx context.Context, family policy.FamilyID, g policy.GuardianID) (alerts.Preferences, error) {
	all, err := n.db.Alerts().Preferences(ctx, family)
	if err != nil {
		return alerts.Preferences{}, err
	}
	if p, ok := all[g]; ok {
		return p, nil
	}
	return alerts.DefaultPreferences(), nil
}

// alertSetRequest changes what is not nil.
type alertSetRequest struct {
	about
	Guardian  string  `json:"guardian"`
	Profile   string  `json:"profile,omitempty"`
	Category  string  `json:"category,omitempty"`
	When      string  `json:"when,omitempty"`
	Quiet     *string `json:"quiet,omitempty"`
	Urgent    *bool   `json:"urgent,omitempty"`
	DigestAt  *string `json:"digest_at,omitempty"`
	DigestDay *string `json:"digest_day,omitempty"`
	PerHour   *int    `json:"per_hour,omitempty"`
}

func alertSet(ctx context.Context, n *node, req alertSetRequest, _ progress) (done, error) {
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return done{}, err
	}
	guardian, err := recipient(ctx, f, req.Guardian)
	if err != nil {
		return done{}, err
	}
	p, err := n.preferences(ctx, f.ID, guardian)
	if err != nil {
		return done{}, err
	}
	if err := req.apply(f, &p); err != nil {
		return done{}, err
	}
	if err := p.Check(); err != nil {
		return done{}, usageError(err)
	}
	if err := n.db.Alerts().SetPreferences(ctx, f.ID, guardian, p, alerts.Plan(p, time.Now(), zoneOf(f))); err != nil {
		return done{}, coded(err)
	}
	v := viewPreferences(f, guardian, p)
	text := sentenceCase(preferencesText(v))
	for _, r := range v.Rules {
		text += "\n  " + ruleText(r)
	}
	return done{text}, nil
}

func (req alertSetRequest) apply(f *policy.Family, p *alerts.Preferences) error {
	if req.When == "" && (req.Profile != "" || req.Category != "") {
		return usageError(fmt.Errorf("say how soon with --when: immediate, hourly, daily, weekly or never"))
	}
	if req.When != "" {
		when, err := alerts.ParseWhen(req.When)
		if err != nil {
			return usageError(fmt.Errorf("--when: %w", err))
		}
		if err := alerts.CheckAbout(req.Category); err != nil {
			return usageError(fmt.Errorf("--category: %w", err))
		}
		r := alerts.Rule{About: req.Category, When: when}
		if req.Profile != "" {
			if r.Profile, err = findProfile(f, req.Profile); err != nil {
				return err
			}
		}
		p.Set(r)
	}
	if req.Quiet != nil {
		if err := setQuiet(p, *req.Quiet); err != nil {
			return usageError(fmt.Errorf("--quiet: %w", err))
		}
	}
	if req.Urgent != nil {
		p.UrgentPasses = *req.Urgent
	}
	if req.DigestAt != nil {
		if err := p.DigestAt.UnmarshalText([]byte(*req.DigestAt)); err != nil {
			return usageError(fmt.Errorf("--digest-at: %w", err))
		}
	}
	if req.DigestDay != nil {
		day, err := parseWeekday(*req.DigestDay)
		if err != nil {
			return usageError(fmt.Errorf("--digest-day: %w", err))
		}
		p.DigestDay = day
	}
	if req.PerHour != nil {
		p.PerHour = *req.PerHour
	}
	return nil
}

func setQuiet(p *alerts.Preferences, s string) error {
	if s == "none" {
		p.QuietFrom, p.QuietUntil = 0, 0
		return nil
	}
	from, until, ok := strings.Cut(s, "-")
	if !ok || p.QuietFrom.UnmarshalText([]byte(from)) != nil || p.QuietUntil.UnmarshalText([]byte(until)) != nil ||
		p.QuietFrom == p.QuietUntil || p.Check() != nil {
		return fmt.Errorf("%q is not two times like 22:00-07:00, nor none", s)
	}
	return nil
}

func parseWeekday(s string) (time.Weekday, error) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		if len(s) >= 3 && strings.HasPrefix(strings.ToLower(d.String()), strings.ToLower(s)) {
			return d, nil
		}
	}
	return 0, fmt.Errorf("%q is not a day of the week, like Sunday", s)
}
