package console

import (
	"reflect"
	"slices"
)

// anyCall is a [call] of whatever types.
type anyCall interface{ shape() Shape }

// Shape is how the console sees an operation.
type Shape struct {
	Operation      string
	Request, Reply reflect.Type
}

func (c call[Req, Rep]) shape() Shape {
	return Shape{string(c), reflect.TypeFor[Req](), reflect.TypeFor[Rep]()}
}

// Shapes returns how the console sees the operations that its pages run, so that
// the program can hold them against its own: what a page sends or reads must be
// there.
func Shapes() []Shape {
	var out []Shape
	for _, c := range slices.Concat(
		operatorCalls, alertCalls, childrenCalls, helpCalls, portalCalls, deviceCalls, setupCalls, incidentCalls, oneIncidentCalls,
		signalCalls, todayCalls, requestCalls, historyCalls, familyCalls, dataCalls,
	) {
		out = append(out, c.shape())
	}
	return out
}
