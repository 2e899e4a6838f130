//go:build race

package resolver

// underRace: the race detector makes stacks larger and keeps memory of its own.
const underRace = true
