package main

import (
	"context"

	"kinward/blocklists"
)

type categoriesRequest struct {
	Family string `json:"family,omitempty"`
}

// categoriesReply is what incidents and alerts may be about, in the catalogue's order.
type categoriesReply struct {
	Categories []categoryName `json:"categories"`
}

type categoryName struct {
	ID   string `json:"id"`
	Name string `json:"name"` // as parents call it
}

var opCategories = operation[categoriesRequest, categoriesReply]{"categories", categories}

func categories(ctx context.Context, n *node, req categoriesRequest, _ progress) (categoriesReply, error) {
	s, err := n.state(ctx)
	if err != nil {
		return categoriesReply{}, err
	}
	f, _, err := n.family(ctx, req.Family)
	if err != nil {
		return categoriesReply{}, err
	}
	names := n.names(ctx, s.Index, f)
	rep := categoriesReply{Categories: []categoryName{}}
	for c := blocklists.AnonymousChat; c < blocklists.NumCategories; c++ {
		rep.Categories = append(rep.Categories, categoryName{c.String(), names.Category(c.String())})
	}
	return rep, nil
}
