package console

import "strings"

// The API is a table. A row says which operation of the desk an address runs, what
// of the request goes where in it, and what of its reply is answered. The handler,
// the document and the page that explains the API are all made of the table and of
// the operations' own types, so that none of them can say something else.

// apiPrefix is what every address of the API begins with. What is answered below
// it only ever gets more; what would break a program gets another number.
const apiPrefix = "/api/v1"

// scope is a set of what the token of a program may be for.
type scope uint8

const (
	scopeRead     scope = 1 << iota // see what the person sees
	scopeWrite                      // change what the person may change
	scopeRequests                   // see and answer what children ask for
	scopeOperator                   // run the server
)

// scopeWords are the scopes as they are kept and shown, in their order.
var scopeWords = []struct {
	scope scope
	word  string
}{{scopeRead, "read"}, {scopeWrite, "write"}, {scopeRequests, "requests"}, {scopeOperator, "operator"}}

// scopesOf reads the scopes of a token. A word that is not known gives nothing.
func scopesOf(words []string) (s scope) {
	for _, w := range words {
		for _, known := range scopeWords {
			if w == known.word {
				s |= known.scope
			}
		}
	}
	return s
}

func (s scope) words() (words []string) {
	for _, known := range scopeWords {
		if s&known.scope != 0 {
			words = append(words, known.word)
		}
	}
	return words
}

// object is a JSON object.
type object = map[string]any

// apiRoute is one address of the API.
type apiRoute struct {
	method    string
	path      string // below [apiPrefix], of [http.ServeMux]
	id        string // names it in the document
	topic     string // groups it there
	says      string // what it does, a sentence
	operation string // of the desk
	scopes    scope  // any of them is enough
	inputs    []input
	fixed     object   // what the request says whoever asks, by dotted path
	list      string   // the field of the reply that is a list of things, answered as items, a page at a time
	key       string   // the field that tells such a thing from others
	paged     bool     // the operation reads page by page itself: after and limit, next or more
	only      string   // this field of the reply is all that is answered
	without   []string // fields of the reply that are not answered
	revision  bool     // the reply says the revision of the family's choices
}

// changes reports whether the route changes something.
func (r *apiRoute) changes() bool { return r.method != "GET" }

// inputPlace is where an input stands.
type inputPlace uint8

const (
	inPath inputPlace = iota
	inQuery
	inBody
)

// input is something that an address of the API takes.
type input struct {
	name    string // as the API calls it
	place   inputPlace
	to      string   // where it goes in the operation's request, dotted
	words   []string // what it may be; nil: whatever its type allows
	must    bool
	example any
	says    string
}

func pathInput(name, to string, example any) input {
	return input{name: name, place: inPath, to: to, must: true, example: example}
}

func queryInput(name, to string, example any) input {
	return input{name: name, place: inQuery, to: to, example: example}
}

func bodyInput(name, to string, example any) input {
	return input{name: name, place: inBody, to: to, example: example}
}

// required says that it must be there.
func (i input) required() input { i.must = true; return i }

// one says which words it may be.
func (i input) one(words ...string) input { i.words = words; return i }

// means says what it is.
func (i input) means(text string) input { i.says = text; return i }

// parts are the steps of where it goes.
func (i input) parts() []string { return strings.Split(i.to, ".") }
