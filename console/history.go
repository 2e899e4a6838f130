package console

import (
	"net/http"
	"strconv"
	"time"

	"kinward/store"
)

var historyRoutes = []route{
	{"GET /history", viewers, history},
	{"POST /history/{revision}/undo", carers, undo},
	{"GET /history/waiting", viewers, heldChanges},
	{"POST /history/waiting/{id}/{answer}", carers, settle},
}

// pastChange is a change as the history tells it.
type pastChange struct {
	Revision uint64      `json:"revision"`
	At       time.Time   `json:"at"`
	Who      string      `json:"who"`
	What     string      `json:"what"`
	Why      string      `json:"why"`
	Weakens  []weakening `json:"weakens"`
	CanUndo  bool        `json:"canUndo"`
}

type historyRequest struct {
	Limit int `json:"limit"`
}

type historyView struct {
	Zone    string       `json:"zone"`
	Changes []pastChange `json:"changes"`
}

type undoRequest struct {
	Revision uint64 `json:"revision"`
	Why      string `json:"why,omitempty"`
}

// heldChange is a change that waits or waited.
type heldChange struct {
	ID       int64       `json:"id"`
	Who      string      `json:"who"`
	At       time.Time   `json:"at"`
	Due      *time.Time  `json:"due"`
	Second   bool        `json:"second"`
	What     string      `json:"what"`
	Why      string      `json:"why"`
	Weakens  []weakening `json:"weakens"`
	State    string      `json:"state"`
	Agreed   string      `json:"agreed"`
	Settled  *time.Time  `json:"settled"`
	By       string      `json:"by"`
	Note     string      `json:"note"`
	Mine     bool        `json:"mine"`
	MayAgree bool        `json:"mayAgree"`
}

type waitingView struct {
	Zone    string       `json:"zone"`
	Pending []heldChange `json:"pending"`
}

type settleRequest struct {
	ID int64 `json:"id"`
}

type settledView struct {
	Pending heldChange `json:"pending"`
}

var (
	callHistory = call[historyRequest, historyView]("changes")
	callUndo    = call[undoRequest, changed]("changes-undo")
	callWaiting = call[historyRequest, waitingView]("changes-pending")
	callApprove = call[settleRequest, settledView]("changes-approve")
	callReject  = call[settleRequest, settledView]("changes-reject")

	historyCalls = []anyCall{callHistory, callUndo, callWaiting, callApprove, callReject, callChangeShow}
)

// historyPage is what the page shows.
type historyPage struct {
	historyView
	Older   int // how many are shown next; 0: no more are kept
	Waiting int
}

// shownChanges is how many changes the page begins with, and all that are kept.
const (
	shownChanges = 40
	keptChanges  = store.KeptChanges
)

func history(v *visit) error {
	limit := shownChanges
	if n, err := strconv.Atoi(v.request.URL.Query().Get("limit")); err == nil && n > limit {
		limit = min(n, keptChanges)
	}
	r, err := callHistory.do(v, historyRequest{limit})
	if err != nil {
		return err
	}
	v.inZone(r.Zone)
	p := historyPage{historyView: r}
	if len(r.Changes) == limit && limit < keptChanges {
		p.Older = min(limit*3, keptChanges)
	}
	if p.Waiting, err = v.waiting(); err != nil {
		return err
	}
	return v.page(http.StatusOK, "history", p)
}

// waiting counts the changes that wait. What waits can be older than many that are
// settled, so all that are kept are looked at.
func (v *visit) waiting() (n int, err error) {
	r, err := callWaiting.do(v, historyRequest{keptChanges})
	for _, c := range r.Pending {
		if c.State == "waiting" {
			n++
		}
	}
	return n, err
}

func undo(v *visit) error {
	revision, err := strconv.ParseUint(v.request.PathValue("revision"), 10, 64)
	if err != nil {
		return &Refusal{Kind: NotFound}
	}
	form, err := v.form()
	if err != nil {
		return err
	}
	c, err := callUndo.do(v, undoRequest{revision, form.Get("why")})
	return v.made(c, err, "/history", nil)
}

// waitingPage shows what waits first.
type waitingPage struct {
	waitingView
	Open, Done []heldChange
}

func heldChanges(v *visit) error {
	r, err := callWaiting.do(v, historyRequest{keptChanges})
	if err != nil {
		return err
	}
	v.inZone(r.Zone)
	p := waitingPage{waitingView: r}
	for _, c := range r.Pending {
		switch {
		case c.State == "waiting":
			p.Open = append(p.Open, c)
		case len(p.Done) < shownChanges:
			p.Done = append(p.Done, c)
		}
	}
	return v.page(http.StatusOK, "waiting", p)
}

// settle takes a guardian's word about a change that waits.
func settle(v *visit) error {
	id, err := strconv.ParseInt(v.request.PathValue("id"), 10, 64)
	if err != nil {
		return &Refusal{Kind: NotFound}
	}
	do := map[string]call[settleRequest, settledView]{"approve": callApprove, "reject": callReject}[v.request.PathValue("answer")]
	if do == "" {
		return &Refusal{Kind: NotFound}
	}
	r, err := do.do(v, settleRequest{id})
	if err != nil {
		return err
	}
	v.note("history.now." + r.Pending.State)
	return v.see("/history/waiting")
}
