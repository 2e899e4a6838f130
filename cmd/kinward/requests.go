package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"kinward/blocklists"
	"kinward/policy"
	"kinward/resolver"
	"kinward/store"
)

// requestsRequest asks for what was asked for.
type requestsRequest struct {
	about
	Open  bool `json:"open,omitempty"` // only what waits for an answer
	Limit int  `json:"limit,omitempty"`
}

// askRequest is what a device asks its guardians to allow.
type askRequest struct {
	What    string `json:"what"` // a name, a service, or "everything"
	Message string `json:"message,omitempty"`
}

type answerRequest struct {
	ID     int64  `json:"id"`
	Answer string `json:"answer"` // one of answers
}

// answers are the words by which a request is answered.
var answers = []string{"15m", "60m", "today", "always", "no"}

// requestView is a request with the words for it.
type requestView struct {
	ID          int64            `json:"id"`
	Profile     policy.ProfileID `json:"profile"`
	ProfileName string           `json:"profile_name"`
	DeviceName  string           `json:"device_name"` // "": a device that is not known by name
	What        string           `json:"what"`        // a service's ID, a name, or "everything"
	Name        string           `json:"name"`        // as people call it
	Message     string           `json:"message,omitempty"`
	At          time.Time        `json:"at"`
	Last        time.Time        `json:"last"`
	Times       int              `json:"times"`
	State       string           `json:"state"` // open, expired, allowed, over or refused
	Answer      string           `json:"answer,omitempty"`
	Answered    *time.Time       `json:"answered,omitempty"`
	Who         string           `json:"who,omitempty"`   // answered
	Until       *time.Time       `json:"until,omitempty"` // nil: for good, or not at all
	Waits       string           `json:"waits,omitempty"` // an answer that waits, and what for
	Pending     int64            `json:"pending,omitempty"`
}

type requestsReply struct {
	Zone     string        `json:"zone"`
	Requests []requestView `json:"requests"` // newest first
	Waiting  int           `json:"waiting"`  // so many wait for an answer
	// Remember is for how many seconds a device may go by the answer that it has;
	// some browsers keep one for up to a minute.
	Remember int `json:"remember"`
}

type askReply struct {
	Request  requestView `json:"request"`
	Merged   bool        `json:"merged"`   // it was asked for already
	Remember int         `json:"remember"` // see requestsReply
}

var (
	opRequests      = operation[requestsRequest, requestsReply]{"requests", requestList}
	opRequestsMine  = operation[requestsRequest, requestsReply]{"requests-my", requestList}
	opRequestAdd    = operation[askRequest, askReply]{"requests-add", requestAdd}
	opRequestAnswer = operation[change[answerRequest], changed]{opRequestAnswerName, requestAnswer}
)

func (c *cli) requestsCommand() *cobra.Command {
	req := requestsRequest{}
	group := c.addJSON(&cobra.Command{
		Use:   "requests",
		Short: "Show what children ask for, and answer",
		Long: `A child whose page is blocked can ask for it, on its own device. A guardian answers: for
15 or 60 minutes, for today, for always, or no. What is allowed for a while ends by
itself. An answer is in force within a second; a device may go by the answer that it has
for some seconds more.`,
		Example: `  kinward requests
  kinward requests answer 3 15m
  kinward requests answer 3 no --why "after dinner"`,
		Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			req.about = c.about
			return do(cmd.Context(), c, cmd, opRequests, req, printRequests)
		},
	})
	group.Flags().BoolVar(&req.Open, "open", false, "only those that wait for an answer")
	group.Flags().IntVar(&req.Limit, "limit", 20, "at most so many, newest first")
	answer := changeCommand(c, opRequestAnswer, &cobra.Command{
		Use: "answer NUMBER " + strings.Join(answers, "|"), Short: "Answer what a child asks for",
		Example: `  kinward requests answer 3 60m
  kinward requests answer 3 always`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := exactArgs("the NUMBER of a request", "an answer: "+strings.Join(answers, ", "))(cmd, args); err != nil {
				return err
			}
			_, err := numberArg(cmd, args[0])
			return err
		},
		ValidArgs: answers,
	}, func(args []string) answerRequest {
		id, _ := strconv.ParseInt(args[0], 10, 64) // Args has been here
		return answerRequest{id, args[1]}
	})
	return c.aboutFamily(group, answer)
}

// requestList lists what was asked for: to a child what its own profile did, and to a
// device that nobody named what such devices did. A device that was removed has no name
// any more, and had one when it asked.
func requestList(ctx context.Context, n *node, req requestsRequest, _ progress) (requestsReply, error) {
	if req.Limit < 1 || req.Limit > store.KeptChanges {
		return requestsReply{}, usageError(fmt.Errorf("--limit: %d is not between 1 and %d", req.Limit, store.KeptChanges))
	}
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return requestsReply{}, err
	}
	var profile policy.ProfileID
	unnamed := false
	if a := actor(ctx); a != nil && a.Child != nil {
		if profile, unnamed = a.Child.Profile, a.Child.Device == 0; f.ProfileByID(profile) == nil {
			return requestsReply{}, errForbidden
		}
	}
	list, err := n.db.Requests(ctx, f.ID, profile, store.KeptChanges)
	if err != nil {
		return requestsReply{}, err
	}
	waits, err := n.answersThatWait(ctx, f)
	if err != nil {
		return requestsReply{}, err
	}
	now := time.Now()
	r := requestsReply{Zone: zoneOf(f).String(), Requests: []requestView{}, Remember: int(resolver.BlockedFor / time.Second)}
	for _, q := range list {
		if unnamed && q.Device != 0 {
			continue
		}
		if q.Open(now) {
			r.Waiting++
		} else if req.Open {
			continue
		}
		if len(r.Requests) < req.Limit {
			v := n.viewRequest(f, q, now)
			if p, ok := waits[q.ID]; ok && q.Answer == "" {
				v.Waits, v.Pending = waitsFor(p, zoneOf(f)), p.ID
			}
			r.Requests = append(r.Requests, v)
		}
	}
	return r, nil
}

// answersThatWait returns the answers that weaken protection and wait, by request.
func (n *node) answersThatWait(ctx context.Context, f *policy.Family) (map[int64]store.Pending, error) {
	list, err := n.db.Pendings(ctx, f.ID, store.KeptChanges) // settled ones are among them
	out := map[int64]store.Pending{}
	for _, p := range list {
		if p.State != store.PendingWaits || p.Operation != opRequestAnswerName {
			continue
		}
		if id := answeredBy(p); id != 0 {
			out[id] = p
		}
	}
	return out, err
}

const opRequestAnswerName = "requests-answer"

func (n *node) viewRequest(f *policy.Family, r store.Request, now time.Time) requestView {
	zone := zoneOf(f)
	v := requestView{
		ID: r.ID, Profile: r.Profile, ProfileName: profileNames(f)[r.Profile], DeviceName: deviceName(f, r.Device), What: r.What, Name: n.askedName(r.What),
		Message: r.Message, At: r.At.In(zone), Last: r.Last.In(zone), Times: r.Times, Answer: r.Answer, Answered: untilIn(r.Answered, zone), Who: r.Who, Until: untilIn(r.Until, zone),
	}
	switch {
	case r.Open(now):
		v.State = "open"
	case r.Answer == "":
		v.State = "expired"
	case r.Answer == "no":
		v.State = "refused"
	case !r.Until.IsZero() && !now.Before(r.Until):
		v.State = "over"
	case !stands(f, r):
		v.State, v.Until = "over", nil
	default:
		v.State = "allowed"
	}
	return v
}

// stands reports whether what an answer allowed is still there: a grant that was
// ended early, a rule or a choice that was taken back allows nothing.
func stands(f *policy.Family, r store.Request) bool {
	p := f.ProfileByID(r.Profile)
	if p == nil {
		return false
	}
	if r.Until.IsZero() {
		return p.Services[r.What] == policy.ChooseAllow ||
			slices.ContainsFunc(p.Rules, func(rule policy.Rule) bool { return rule.Allow && rule.Name.String() == r.What })
	}
	return slices.ContainsFunc(f.Grants, func(g policy.Grant) bool {
		about := g.What.Service
		switch g.What.Kind {
		case policy.ForEverything:
			about = everything
		case policy.ForName:
			about = g.What.Name.String()
		}
		return g.Profile == r.Profile && about == r.What && g.Until.Equal(r.Until)
	})
}

// askedName is what people call what is asked for.
func (n *node) askedName(what string) string {
	if s, ok := n.catalogue.Load().Service(what); ok {
		return s.Name
	}
	return what
}

// requestAdd is for a child's device alone: who it is, the desk knows.
func requestAdd(ctx context.Context, n *node, req askRequest, _ progress) (askReply, error) {
	a := actor(ctx)
	if a == nil || a.Child == nil {
		return askReply{}, usageError(errors.New("only a device asks, for itself; a guardian allows at once: {kinward} grants add"))
	}
	f, _, err := n.family(ctx, "")
	if err != nil {
		return askReply{}, err
	}
	if f.ProfileByID(a.Child.Profile) == nil {
		return askReply{}, errForbidden
	}
	what, err := n.asked(ctx, req.What)
	if err != nil {
		return askReply{}, err
	}
	r, merged, err := n.db.AddRequest(ctx, store.Request{
		Family: f.ID, Profile: a.Child.Profile, Device: a.Child.Device, What: what, Message: cleanMessage(req.Message),
	})
	if err != nil {
		return askReply{}, coded(err)
	}
	n.bells.ring(f.ID)
	return askReply{n.viewRequest(f, r, time.Now()), merged, int(resolver.BlockedFor / time.Second)}, nil
}

// everything is what a child asks for at bedtime or during a pause.
const everything = "everything"

// asked reads what a device asks for. A name that belongs to a service stands for
// it: one of its names alone would open nothing.
func (n *node) asked(ctx context.Context, what string) (string, error) {
	what = strings.TrimSpace(what)
	if what == everything {
		return what, nil
	}
	if s, ok := n.catalogue.Load().Service(what); ok {
		return s.ID, nil
	}
	name, err := n.parseHost(what)
	if err != nil {
		return "", usageError(err)
	}
	s, err := n.state(ctx)
	if err != nil {
		return "", err
	}
	for _, l := range s.Index.Labels(s.Index.Lookup(name)) {
		if l.Category == blocklists.Security {
			return "", usageError(fmt.Errorf("%s is dangerous to everybody, and stays closed", name))
		}
	}
	for _, l := range s.Index.Labels(s.Index.Lookup(name)) {
		if service := s.Index.Service(l.Service); service != nil {
			return service.ID, nil
		}
	}
	return name.String(), nil
}

// maxMessage is how much a child may say with what it asks.
const maxMessage = 200

// cleanMessage makes a line of what somebody typed: what cannot be shown is left
// out, and what is too long is cut.
func cleanMessage(s string) string {
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r), r == '\ufffd':
			return -1
		}
		return r
	}, s)), " ")
	if r := []rune(s); len(r) > maxMessage {
		s = string(r[:maxMessage])
	}
	return s
}

// requestAnswer answers a request. What it allows is a grant, or for always an
// allow rule or a choice about the service; that and the answer are one.
func requestAnswer(ctx context.Context, n *node, req change[answerRequest], _ progress) (changed, error) {
	if !slices.Contains(answers, req.Do.Answer) {
		return changed{}, usageError(fmt.Errorf("%q is no answer; give one of: %s", req.Do.Answer, strings.Join(answers, ", ")))
	}
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return changed{}, err
	}
	r, err := n.db.Request(ctx, f.ID, req.Do.ID)
	if err != nil {
		return changed{}, coded(err)
	}
	if by := actor(ctx); by == nil || by.pending == nil { // else it is what waited
		waits, err := n.answersThatWait(ctx, f)
		if err != nil {
			return changed{}, err
		}
		if _, ok := waits[r.ID]; ok {
			return changed{}, usageError(fmt.Errorf("%w: an answer to request %d waits already; see: {kinward} changes pending", store.ErrConflict, r.ID))
		}
	}
	defer n.bells.ring(f.ID)
	if req.Do.Answer == "no" {
		return n.decline(ctx, f, r, req.Why)
	}
	if req.Do.Answer == "15m" || req.Do.Answer == "60m" {
		ctx = with(ctx, func(a *acting) { a.brief = true })
	}
	id, who := deciding(ctx)
	var until time.Time
	if req.Why == "" {
		req.Why = fmt.Sprintf("%s asked", cmp.Or(profileNames(f)[r.Profile], "a child"))
	}
	return n.changeWith(ctx, req.about, func(e *edit) (what string, err error) {
		what, until, err = e.allow(r, req.Do.Answer, who)
		return what, err
	}, func(t *store.Tx) error { return t.Answer(f.ID, r.ID, req.Do.Answer, until, id, who) })
}

// allow allows what was asked for, until a time; zero is for good.
func (e *edit) allow(r store.Request, answer, who string) (what string, until time.Time, err error) {
	p := e.f.ProfileByID(r.Profile)
	if p == nil {
		return "", until, &codedError{exitNothing, errors.New("whoever asked has no profile any more")}
	}
	_, service := e.n.catalogue.Load().Service(r.What)
	if answer == "always" {
		switch {
		case r.What == everything:
			return "", until, usageError(errors.New("everything for always is no answer to a child at bedtime; change the times instead"))
		case service:
			what, err = profileChoose(e, profileRequest{Profile: p.Name, Thing: r.What, Choice: policy.ChooseAllow.String()})
		default:
			what, err = ruleAdd(e, ruleRequest{Profile: p.Name, Name: r.What, Allow: true})
		}
		return what, until, err
	}
	if until, err = e.ending(answer, ""); err != nil {
		return "", until, err
	}
	// What the child said is not kept with it: an erasure must reach it, and histories stay.
	g := policy.Grant{By: who, Until: until}
	if r.What != everything {
		if g.What, err = e.grantable(p, r.What); err != nil {
			return "", until, err
		}
	}
	id, what, err := e.f.AddGrant(p.Name, g, e.now)
	if err == nil {
		e.noteGrant(id, g.What)
	}
	return what, until, err
}

// decline answers no. It changes no choice, and stands in the history all the same.
func (n *node) decline(ctx context.Context, f *policy.Family, r store.Request, why string) (changed, error) {
	id, who := deciding(ctx)
	// What was asked for is not told: an erasure must reach it, and histories stay.
	what := fmt.Sprintf("said no to request %d of profile %s", r.ID, cmp.Or(profileNames(f)[r.Profile], "(removed)"))
	var revision uint64
	err := n.db.Together(ctx, func(t *store.Tx) (err error) {
		if err = t.Answer(f.ID, r.ID, "no", time.Time{}, id, who); err == nil {
			revision, err = t.Note(f.ID, what, why)
		}
		return err
	})
	if err != nil {
		return changed{}, coded(err)
	}
	return changed{
		Done: sentenceCase(what), Family: f.Name, Revision: revision, InForce: "It stays as it is.", Weakens: []policy.Weakening{}, Notes: []string{},
	}, n.refresh(ctx, f.ID)
}

func printRequests(w io.Writer, r requestsReply) {
	if len(r.Requests) == 0 {
		fmt.Fprintln(w, "Nobody asks for anything.")
	}
	for _, q := range r.Requests {
		device := ""
		if q.DeviceName != "" {
			device = " on " + q.DeviceName
		}
		fmt.Fprintf(w, "%d  %s, profile %s%s: %s\n", q.ID, q.At.Format(timeLayout), q.ProfileName, device, q.Name)
		if q.Message != "" {
			fmt.Fprintf(w, "    says: %q\n", q.Message)
		}
		switch {
		case q.Waits != "":
			fmt.Fprintf(w, "    the answer %s\n", q.Waits)
		case q.State == "open":
			fmt.Fprintf(w, "    to answer: {kinward} requests answer %d %s\n", q.ID, strings.Join(answers, "|"))
		case q.Answer != "":
			until := ""
			if q.Until != nil {
				until = ", until " + q.Until.Format(timeLayout)
			}
			fmt.Fprintf(w, "    %s by %s (%s%s)\n", q.State, q.Who, q.Answer, until)
		default:
			fmt.Fprintf(w, "    %s\n", q.State)
		}
	}
}

// answeredBy returns the request that a change that waits would answer.
func answeredBy(p store.Pending) int64 {
	var req change[answerRequest]
	if json.Unmarshal(p.Request, &req) != nil {
		return 0
	}
	return req.Do.ID
}
