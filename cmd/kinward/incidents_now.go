package main

import (
	"context"
	"strings"

	"github.com/miekg/dns"

	"kinward/blocklists"
	"kinward/journal"
	"kinward/policy"
)

// toOpen says what somebody would have to open so that an incident would not be
// one: a service, a name, or "everything" where everything was closed; "" where
// nothing opens it, since it is dangerous to everybody or was not blocked.
func toOpen(i journal.Incident) string {
	switch {
	case i.Verdict != policy.Block.String(), i.Reason == policy.BySecurity.String(), i.Reason == policy.ByCanary.String():
		return ""
	case i.Domain == "":
		return "everything"
	}
	return aboutWhat(i)
}

// toClose says what somebody would have to block so that it would be; "" where it
// was blocked.
func toClose(i journal.Incident) string {
	if i.Verdict == policy.Block.String() || i.Domain == "" {
		return ""
	}
	return aboutWhat(i)
}

func aboutWhat(i journal.Incident) string {
	switch {
	case i.Service != "":
		return i.Service
	case i.Hidden != "": // the asked name led there, and what leads there stays as it is
		return i.Hidden
	case strings.HasSuffix(i.Entry, "."+i.Domain): // a host of many sites: not all of them
		return i.TopName
	}
	return i.Domain
}

// happensNow explains what happens to an incident's name now; nil where no name
// is kept, or nobody can ask for it any more.
func (r *reading) happensNow(ctx context.Context, i journal.Incident) (*policy.Explanation, error) {
	if i.TopName == "" {
		return nil, nil
	}
	name, err := blocklists.ParseName(i.TopName)
	if err != nil {
		return nil, nil
	}
	s, err := r.n.state(ctx)
	if err != nil {
		return nil, err
	}
	now := r.now.In(r.zone)
	var asker policy.Asker
	known := false
	if i.Device == 0 && i.Client != "" {
		asker, err = findAsker(s.Directory, r.f, i.Client, now)
		known = err == nil
	} else {
		asker, known = s.Directory.Device(r.f.ID, i.Device, now)
	}
	if !known { // it was removed, or is refused by now
		return nil, nil
	}
	e := policy.Explain(s, asker, r.f, name, dns.TypeA, now)
	return &e, nil
}
