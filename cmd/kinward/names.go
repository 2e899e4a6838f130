package main

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"kinward/blocklists"
	"kinward/console"
	"kinward/journal"
	"kinward/policy"
)

// names tells the journal's sentences what guardians call things. What is no
// longer there has no name.
func (n *node) names(ctx context.Context, x *blocklists.Index, f *policy.Family) journal.Names {
	return n.namesIn(ctx, language(ctx), x, f)
}

// namesIn is names in a language (BCP 47; "" is English).
func (n *node) namesIn(ctx context.Context, lang string, x *blocklists.Index, f *policy.Family) journal.Names {
	leases, profiles := n.leasesOf(ctx, f.ID), profileNames(f)
	say := console.Says(lang)
	return journal.Names{
		Now: time.Now(), Say: say,
		Client: func(addr string) string {
			a, _ := netip.ParseAddr(addr)
			return leases[a].name
		},
		Profile: func(id policy.ProfileID) string { return profiles[id] },
		Device:  func(id policy.DeviceID) string { return deviceName(f, id) },
		Service: func(id string) string {
			if svc := x.Service(x.ServiceNumber(id)); svc != nil {
				return svc.Name
			}
			return id
		},
		Category: func(id string) string {
			c, err := blocklists.ParseCategory(id)
			if err != nil {
				return id
			}
			name := x.Categories()[c].Name
			if say != nil {
				name = cmp.Or(say(name), name)
			}
			return name
		},
		Schedule: func(id policy.ScheduleID) string {
			for i := range f.Profiles {
				for _, s := range f.Profiles[i].Schedules {
					if s.ID == id {
						return s.Name
					}
				}
			}
			return ""
		},
	}
}
