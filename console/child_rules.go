package console

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

type childRule struct {
	ID       int64      `json:"id"`
	Action   string     `json:"action"`
	Name     string     `json:"name"`
	Match    string     `json:"match"`
	Until    *time.Time `json:"until"`
	Hours    []string   `json:"hours"`
	Warnings []string   `json:"warnings"`
}

// Over is whether the rule has ended.
func (r childRule) Over(now time.Time) bool { return r.Until != nil && !now.Before(*r.Until) }

// HoursText names the schedules outside of which the rule does not hold.
func (r childRule) HoursText() string { return strings.Join(r.Hours, ", ") }

type ruleRequest struct {
	ID      int64  `json:"id,omitempty"`
	Profile string `json:"profile,omitempty"`
	Name    string `json:"name,omitempty"`
	Allow   bool   `json:"allow,omitempty"`
	Exact   bool   `json:"exact,omitempty"`
	For     string `json:"for,omitempty"`
}

var (
	callChildRule       = call[change[ruleRequest], changed]("rules-add")
	callChildRuleRemove = call[change[ruleRequest], changed]("rules-remove")
)

// RuleSpans are how long a rule can hold.
func (p childPage) RuleSpans() []option { return p.visit.spans(ruleSpans) }

// Now is the time, for what is over.
func (p childPage) Now() time.Time { return p.visit.now }

func showRules(v *visit) error {
	p, err := v.child("rules")
	if err != nil {
		return err
	}
	return v.page(http.StatusOK, "child-rules", p)
}

func changeRule(v *visit) error {
	p, err := v.child("rules")
	if err != nil {
		return err
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	if form.Get("do") == "remove" {
		id, err := strconv.ParseInt(form.Get("id"), 10, 64)
		if err != nil || !slices.ContainsFunc(p.Child.Rules, func(r childRule) bool { return r.ID == id }) {
			return &Refusal{Kind: NotFound}
		}
		c, err := callChildRuleRemove.do(v, change[ruleRequest]{Do: ruleRequest{ID: id}})
		return v.made(c, err, p.at(), p.again("child-rules", "remove-"+form.Get("id")))
	}
	r := ruleRequest{Profile: p.Child.Name, Name: strings.TrimSpace(form.Get("name")), Allow: form.Get("action") == "allow", For: form.Get("for")}
	bad := wrong{}
	if r.Name == "" {
		bad["name"] = v.lang.text("rules.name-missing")
	}
	if form.Get("action") != "allow" && form.Get("action") != "deny" {
		bad["action"] = v.lang.text("rules.action-missing")
	}
	if !slices.Contains(ruleSpans, r.For) {
		bad["for"] = v.lang.text("grant.for-missing")
	}
	if len(bad) > 0 {
		p.Form, p.Wrong = form, bad
		return v.page(http.StatusUnprocessableEntity, "child-rules", p)
	}
	switch form.Get("match") {
	case "exact":
		r.Exact = true
	case "below":
		if !strings.Contains(r.Name, "*") {
			r.Name = "*." + r.Name
		}
	}
	c, err := callChildRule.do(v, change[ruleRequest]{strings.TrimSpace(form.Get("why")), r})
	return v.made(c, err, p.at(), p.again("child-rules", "name"))
}
