package resolver

import (
	"net/netip"
	"runtime"
	"sync"
)

// lateAnswers sends a socket's answers that had to wait for somebody else. Those
// that are ready at about the same time leave in one call.
type lateAnswers struct {
	io packets // the sender's alone

	mu      sync.Mutex // held to add or take
	waiting []lateAnswer
	spare   []lateAnswer // room for those that wait next
	sending bool         // somebody sends, and takes along what waits
}

// lateAnswer is one of them.
type lateAnswer struct {
	out  []byte
	back []byte // the control message to send it with
	to   netip.AddrPort
	name []byte // see packet
}

// send returns when a was sent, or somebody is about to send it who came before.
// Nobody is told if that fails: the client asks again. Where out is empty no answer
// is due.
func (l *lateAnswers) send(a lateAnswer) {
	if len(a.out) == 0 {
		return
	}
	l.mu.Lock()
	l.waiting = append(l.waiting, a)
	if l.sending {
		l.mu.Unlock()
		return
	}
	l.sending = true
	l.mu.Unlock()
	runtime.Gosched() // whoever can go on at once has an answer, too, before long
	for list := l.take(); len(list) > 0; list = l.take() {
		l.io.sendTo(list)
		clear(list)
		l.spare = list
	}
}

// take returns what waits; where that is nothing the next who comes sends.
func (l *lateAnswers) take() []lateAnswer {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.waiting
	l.waiting, l.spare = l.spare[:0], nil
	l.sending = len(list) > 0
	return list
}
