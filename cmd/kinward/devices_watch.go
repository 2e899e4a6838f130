package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"kinward/policy"
	"kinward/resolver"
)

// A page cannot wait as a command does: it asks to have a device watched, and then
// asks again and again what was seen.

const (
	watchFor   = 10 * time.Minute
	maxWatches = 8  // of a family at a time; the oldest ends
	maxSeen    = 50 // questions that are told of
)

type watchRequest struct {
	Device string `json:"device"`
	Token  string `json:"token,omitempty"` // of a watch, to hear what was seen
}

type watchReply struct {
	Token string     `json:"token"`
	Until time.Time  `json:"until"` // it is watched
	Over  bool       `json:"over"`
	Check checkReply `json:"check"`
}

var (
	opDeviceWatch   = operation[watchRequest, watchReply]{"devices-watch", deviceWatch}
	opDeviceWatched = operation[watchRequest, watchReply]{"devices-watched", deviceWatched}
)

// watches are the devices that pages wait for.
type watches struct {
	mu  sync.Mutex
	all []*watching // the oldest first
}

type watching struct {
	family policy.FamilyID
	device policy.DeviceID
	token  string
	until  time.Time
	seen   <-chan resolver.Checked
	stop   func()
	reply  checkReply
	found  bool
}

// sweep ends what is over at a time, and the oldest of a family that has too many.
func (w *watches) sweep(family policy.FamilyID, now time.Time) {
	own := 0
	for i := len(w.all) - 1; i >= 0; i-- {
		x := w.all[i]
		if x.family == family {
			own++
		}
		// What is over is told for a while.
		if now.Sub(x.until) > watchFor || x.family == family && own >= maxWatches {
			x.stop()
			w.all = append(w.all[:i:i], w.all[i+1:]...)
		}
	}
}

func deviceWatch(ctx context.Context, n *node, req watchRequest, _ progress) (watchReply, error) {
	f, _, err := n.family(ctx, "")
	if err != nil {
		return watchReply{}, err
	}
	d, err := f.Device(req.Device)
	if err != nil {
		return watchReply{}, coded(about1("checking device", req.Device, err))
	}
	if n.serving == nil {
		return watchReply{}, &codedError{exitNothing, errors.New("nothing answers now, so nothing can be seen")}
	}
	token := policy.NewToken()
	seen, stop, err := n.serving.server.Check(token)
	if err != nil {
		return watchReply{}, err
	}
	now := time.Now()
	x := &watching{
		family: f.ID, device: d.ID, token: token, until: now.Add(watchFor), seen: seen, stop: stop,
		reply: checkReply{Device: d.Name, Name: resolver.CheckName(token), Private: len(d.Tokens) > 0, Seen: []checkSeen{}},
	}
	n.watches.mu.Lock()
	defer n.watches.mu.Unlock()
	n.watches.sweep(f.ID, now)
	n.watches.all = append(n.watches.all, x)
	return watchReply{Token: token, Until: x.until.UTC(), Check: x.reply}, nil
}

func deviceWatched(ctx context.Context, n *node, req watchRequest, _ progress) (watchReply, error) {
	f, _, err := n.family(ctx, "")
	if err != nil {
		return watchReply{}, err
	}
	now := time.Now()
	n.watches.mu.Lock()
	defer n.watches.mu.Unlock()
	for _, x := range n.watches.all {
		if x.family != f.ID || x.token != req.Token {
			continue
		}
		n.hear(f, x)
		over := x.found || now.After(x.until)
		if over {
			x.stop()
		}
		return watchReply{Token: x.token, Until: x.until.UTC(), Over: over, Check: x.reply}, nil
	}
	return watchReply{}, &codedError{exitNothing, errors.New("this check is over; begin another")}
}

// hear takes in what was seen since.
func (n *node) hear(f *policy.Family, x *watching) {
	for len(x.reply.Seen) < maxSeen {
		select {
		case c := <-x.seen:
			x.reply.Seen = append(x.reply.Seen, n.sawCheck(f, c))
			x.found = x.found || c.Asker.Family == f.ID && c.Asker.Device == x.device
		default:
			return
		}
	}
}
