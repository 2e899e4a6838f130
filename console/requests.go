package console

import (
	"net/http"
	"strconv"
	"time"
)

var requestRoutes = []route{
	{"GET /requests", viewers, requests},
	{"POST /requests/{id}", carers, answerRequest},
}

// askedFor is what a child asks for, as its guardians see it.
type askedFor struct {
	ID          int64      `json:"id"`
	ProfileName string     `json:"profile_name"`
	DeviceName  string     `json:"device_name"`
	What        string     `json:"what"`
	Name        string     `json:"name"`
	Message     string     `json:"message"`
	At          time.Time  `json:"at"`
	Last        time.Time  `json:"last"`
	Times       int        `json:"times"`
	State       string     `json:"state"`
	Answer      string     `json:"answer"`
	Answered    *time.Time `json:"answered"`
	Who         string     `json:"who"`
	Until       *time.Time `json:"until"`
	Waits       string     `json:"waits"`
	Pending     int64      `json:"pending"`
}

// Everything is whether it is about no name or service: bedtime, or a pause.
func (a askedFor) Everything() bool { return a.What == "everything" }

type requestListRequest struct {
	Limit int `json:"limit"`
}

type requestListView struct {
	Zone     string     `json:"zone"`
	Requests []askedFor `json:"requests"`
	Waiting  int        `json:"waiting"`
	Remember int        `json:"remember"`
}

type requestAnswerRequest struct {
	ID     int64  `json:"id"`
	Answer string `json:"answer"`
}

var (
	callRequests      = call[requestListRequest, requestListView]("requests")
	callRequestAnswer = call[change[requestAnswerRequest], changed]("requests-answer")

	requestCalls = []anyCall{callRequests, callRequestAnswer}
)

// requestAnswers are the words for the answers, the mildest first; "no" stands
// apart.
var requestAnswers = []string{"15m", "60m", "today", "always"}

// requestsPage is what the page shows.
type requestsPage struct {
	requestListView
	Open, Done []askedFor
	Answers    []string
}

// shownRequests bounds the page: what is open always fits.
const shownRequests = 80

func requests(v *visit) error {
	r, err := callRequests.do(v, requestListRequest{shownRequests})
	if err != nil {
		return err
	}
	v.inZone(r.Zone)
	p := requestsPage{requestListView: r, Answers: requestAnswers}
	for _, a := range r.Requests {
		if a.State == "open" {
			p.Open = append(p.Open, a)
		} else {
			p.Done = append(p.Done, a)
		}
	}
	return v.page(http.StatusOK, "requests", p)
}

func answerRequest(v *visit) error {
	id, err := strconv.ParseInt(v.request.PathValue("id"), 10, 64)
	if err != nil {
		return &Refusal{Kind: NotFound}
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	c, err := callRequestAnswer.do(v, change[requestAnswerRequest]{form.Get("why"), requestAnswerRequest{id, form.Get("answer")}})
	return v.made(c, err, "/requests", nil)
}
