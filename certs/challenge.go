package certs

import (
	"context"
	"fmt"
	"path"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"kinward/store"
)

// txtSolver solves DNS01: what it keeps, this server's own zone answers with, on
// every node of the database. A name and its wildcard are proven at one name, each
// with a value of its own.
type txtSolver struct{ secrets *store.Secrets }

var _ acmez.Solver = (*txtSolver)(nil)

const txtLevel = acmeLevel + "/txt"

// txtLife is how long a value that nobody took away is answered: one of an order
// that a crash ended is nobody's any more.
const txtLife = time.Hour

// Present keeps a value. When it returns, it is answered.
func (s *txtSolver) Present(ctx context.Context, c acme.Challenge) error {
	if err := s.secrets.Put(ctx, path.Join(txtLevel, c.DNS01KeyAuthorization()), nil); err != nil {
		return fmt.Errorf("answering a challenge: %w", err)
	}
	return nil
}

// CleanUp takes a value away, also where the order was given up, and what crashes
// left.
func (s *txtSolver) CleanUp(ctx context.Context, c acme.Challenge) error {
	ctx = context.WithoutCancel(ctx)
	old, err := s.secrets.List(ctx, txtLevel)
	if err != nil {
		return err
	}
	for _, one := range old {
		if time.Since(one.Modified) > txtLife {
			if err := s.secrets.Delete(ctx, one.Name); err != nil {
				return err
			}
		}
	}
	return s.secrets.Delete(ctx, path.Join(txtLevel, c.DNS01KeyAuthorization()))
}

// values returns the values to answer with.
func (s *txtSolver) values(ctx context.Context) (out []string, err error) {
	all, err := s.secrets.List(ctx, txtLevel)
	for _, one := range all {
		if time.Since(one.Modified) <= txtLife {
			out = append(out, path.Base(one.Name))
		}
	}
	return out, err
}
