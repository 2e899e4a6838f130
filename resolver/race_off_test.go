//go:build !race

package resolver

const underRace = false
