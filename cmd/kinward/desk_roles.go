package main

import "kinward/policy"

// capacity is a set of capacities in which somebody may run an operation.
type capacity uint8

const (
	viewers   capacity = 1 << iota // and whoever may do more
	carers                         // and owners
	owners                         //
	operators                      // who runs the server: for what holds no family's incidents and choices
	children                       // a device, for itself

	nobody capacity = 0 // the command line alone
)

// has reports whether a guardian of a role is among c.
func (c capacity) has(r policy.Role) bool {
	may := viewers
	switch {
	case r >= policy.Owner:
		may = viewers | carers | owners
	case r == policy.Carer:
		may = viewers | carers
	}
	return c&may != 0
}

// roles says who may run each operation from the console. An operation that is
// not here is not offered there at all: a test holds that each is.
//
// What a row gives to guardians is about their own family, and what it gives to
// operators is about the server, or about a family's existence, name and
// addresses.
var roles = map[string]capacity{
	// What happened, and what was made of it.
	"today":              viewers,
	"categories":         viewers,
	"incidents":          viewers,
	"incidents-show":     viewers,
	"incidents-views":    viewers,
	"incidents-mutes":    viewers,
	"incidents-mute":     carers,
	"incidents-unmute":   carers,
	"incidents-review":   carers,
	"incidents-unreview": carers,
	"incidents-export":   carers, // evidence must not wait for an owner
	"incidents-file":     carers,
	"incidents-follow":   nobody, // it never ends; pages have Watch
	"signals":            viewers,
	"signals-switch":     carers,
	"signals-night":      carers,
	"digest":             viewers, // one's own
	"help-lines":         viewers | children,

	// Messages: everybody's own, see recipient and mayTouch.
	"alerts":        viewers,
	"alerts-add":    viewers,
	"alerts-set":    viewers,
	"alerts-remove": viewers,
	"alerts-test":   viewers,

	// What is kept.
	"retention":     viewers,
	"retention-set": owners,
	"erase":         owners,

	// The family.
	"family":               viewers,
	"families-rename":      owners,
	"families-zone":        owners,
	"families-country":     carers,
	"families-unknown":     carers,
	"families-loosening":   owners,
	"families-export":      owners,
	"families-apply":       owners,
	"families-link":        owners,
	"families-link-make":   owners,
	"families-link-revoke": owners,
	"guardians":            viewers,
	"guardians-add":        owners,
	"guardians-invite":     owners,
	"guardians-uninvite":   owners,
	"guardians-role":       owners,
	"guardians-rename":     owners,
	"guardians-remove":     owners,

	// Choices.
	"profiles-show":      viewers,
	"profiles-services":  viewers,
	"profiles-my":        viewers,
	"profiles-add":       carers,
	"profiles-preset":    carers,
	"profiles-rename":    carers,
	"profiles-remove":    carers,
	"profiles-choose":    carers,
	"profiles-list":      carers,
	"profiles-log":       carers,
	"profiles-response":  carers,
	"profiles-bypass":    carers,
	"profiles-guests":    carers,
	"search":             viewers,
	"search-set":         carers,
	"rules-add":          carers,
	"rules-remove":       carers,
	"schedules-add":      carers,
	"schedules-bedtime":  carers,
	"schedules-set":      carers,
	"schedules-except":   carers,
	"schedules-holidays": carers,
	"schedules-switch":   carers,
	"schedules-remove":   carers,
	"holidays-add":       carers,
	"holidays-remove":    carers,
	"grants-add":         carers,
	"grants-revoke":      carers,
	"pause":              carers,
	"resume":             carers,
	"explain":            viewers,

	// Devices.
	"devices-add":         carers,
	"devices-exempt":      carers,
	"devices-unexempt":    carers,
	"devices-guest":       carers,
	"devices-profile":     carers,
	"devices-rename":      carers,
	"devices-remove":      carers,
	"devices-clue-add":    carers,
	"devices-clue-remove": carers,
	"devices-seen":        viewers,
	"devices-setup":       carers, // it tells a device's secret, and makes one
	"devices-apple":       carers,
	"devices-sign":        nobody, // it signs whatever it is given
	"devices-check":       carers,
	"devices-watch":       carers,
	"devices-watched":     carers,
	"portal-name":         children,
	"portal-mine":         children,

	// History.
	"changes":      viewers,
	"changes-show": viewers,
	"changes-undo": carers, // what only an owner decides, only an owner undoes: see mayDecide

	// Changes that wait.
	"changes-pending": viewers,
	"changes-approve": carers, // never who wants the change
	"changes-reject":  carers,

	// What children ask for.
	"requests":        viewers,
	"requests-my":     children,
	"requests-add":    children,
	"requests-answer": carers,

	// The catalogue and the lists, which all families share.
	"services":           viewers | operators | children,
	"service":            viewers | operators | children,
	"lists":              viewers | operators,
	"lists-add":          operators,
	"lists-update":       operators,
	"lists-accept":       operators,
	"lists-rollback":     operators,
	"lists-remove":       operators,
	"catalogue":          viewers | operators,
	"catalogue-update":   operators,
	"catalogue-rollback": operators,

	// The door: what opens an account is mended by who may run the commands.
	"console":          nobody,
	"console-link":     nobody,
	"console-reset":    nobody,
	"console-sessions": nobody,
	"console-sign-out": nobody,

	// The server.
	"status":           operators,
	"doctor":           operators,
	"ping":             operators,
	"cache":            operators,
	"cache-flush":      operators,
	"backup":           operators,
	"families":         operators,
	"families-add":     operators,
	"families-remove":  operators,
	"families-network": operators, // who claims an address gets its questions
}
