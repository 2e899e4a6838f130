package console

import "net/http"

var helpRoutes = []route{
	{"GET /help", anyone, help},
}

// helpAsked is what the operation of the help lines is asked, helpKnown what it
// knows.
type helpAsked struct {
	Country string `json:"country,omitempty"`
}

type helpKnown struct {
	Country string     `json:"country"`
	Lines   []helpLine `json:"lines"`
}

var callHelp = call[helpAsked, helpKnown]("help-lines")

var helpCalls = []anyCall{callHelp}

// helpTopics are the questions of the page, in its order; each has a text for the
// question and one for its answer.
var helpTopics = []string{"start", "device", "wrong", "sees", "child", "contact", "around", "loosen", "lost"}

// help answers what guardians ask most. Whoever is not signed in reads it, too,
// without the help lines of a family's country.
func help(v *visit) error {
	page := struct {
		Topics []string
		helpKnown
	}{Topics: helpTopics}
	if v.actor.Guardian != 0 {
		var err error
		if page.helpKnown, err = callHelp.do(v, helpAsked{}); err != nil {
			return err
		}
	}
	return v.page(http.StatusOK, "help", page)
}
