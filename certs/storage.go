package certs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"kinward/store"
)

const (
	// leaseFor is how long a node that died keeps others from ordering.
	leaseFor = time.Minute
	// leasePoll is how often a node looks whether it is its turn.
	leasePoll = time.Second
)

// magicStorage is [certmagic.Storage] on the database's secrets. Everything of
// ACME lies below one level, so that it can be found, and removed, as one.
type magicStorage struct {
	secrets *store.Secrets
	log     *slog.Logger

	mu   sync.Mutex
	held map[string]func() // gives a lock back
}

var _ certmagic.Storage = (*magicStorage)(nil)

// acmeLevel is the level of everything of ACME.
const acmeLevel = "acme"

func newMagicStorage(s *store.Secrets, log *slog.Logger) *magicStorage {
	return &magicStorage{secrets: s, log: log, held: map[string]func(){}}
}

// at returns where a key lies. path.Join cleans, so nothing leaves the level.
func (m *magicStorage) at(key string) string {
	return path.Join(acmeLevel, path.Join("/", key))
}

func (m *magicStorage) Store(ctx context.Context, key string, value []byte) error {
	return m.secrets.Put(ctx, m.at(key), value)
}

func (m *magicStorage) Load(ctx context.Context, key string) ([]byte, error) {
	v, err := m.secrets.Get(ctx, m.at(key))
	return v, notExist(err)
}

func (m *magicStorage) Delete(ctx context.Context, key string) error {
	return m.secrets.Delete(ctx, m.at(key))
}

func (m *magicStorage) Exists(ctx context.Context, key string) bool {
	_, err := m.Stat(ctx, key)
	return err == nil
}

// List returns what lies below a level; without recursive, levels right below it
// stand for what they hold. The error is fs.ErrNotExist where nothing is there.
func (m *magicStorage) List(ctx context.Context, level string, recursive bool) ([]string, error) {
	all, err := m.secrets.List(ctx, m.at(level))
	if err != nil {
		return nil, err
	}
	var out []string
	below := m.at(level) + "/"
	for _, one := range all {
		rest, ok := strings.CutPrefix(one.Name, below)
		if !ok { // the level is a value itself
			continue
		}
		if !recursive {
			rest, _, _ = strings.Cut(rest, "/")
		}
		if key := path.Join(level, rest); len(out) == 0 || out[len(out)-1] != key {
			out = append(out, key)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("listing %q: %w", level, fs.ErrNotExist)
	}
	return out, nil
}

func (m *magicStorage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	all, err := m.secrets.List(ctx, m.at(key))
	switch {
	case err != nil:
		return certmagic.KeyInfo{}, err
	case len(all) == 0:
		return certmagic.KeyInfo{}, fmt.Errorf("looking for %q: %w", key, fs.ErrNotExist)
	case all[0].Name != m.at(key):
		return certmagic.KeyInfo{Key: key}, nil
	}
	return certmagic.KeyInfo{Key: key, Modified: all[0].Modified, Size: all[0].Size, IsTerminal: true}, nil
}

// Lock waits until name is this caller's alone, over all nodes of the database.
// It is prolonged until Unlock, so that a slow certificate authority does not end
// it, and ends by itself within a minute where the node dies.
func (m *magicStorage) Lock(ctx context.Context, name string) error {
	name, holder := m.at(name), rand.Text()
	for {
		ok, err := m.secrets.Lease(ctx, name, holder, leaseFor)
		if err != nil {
			return err
		}
		if ok {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for another node to end its order: %w", ctx.Err())
		case <-time.After(leasePoll):
		}
	}
	keep, stop := context.WithCancel(context.WithoutCancel(ctx))
	var prolonging sync.WaitGroup
	prolonging.Go(func() {
		for {
			select {
			case <-keep.Done():
				return
			case <-time.After(leaseFor / 3):
				if ok, err := m.secrets.Lease(keep, name, holder, leaseFor); keep.Err() == nil && (!ok || err != nil) {
					m.log.Warn("a lock of the database was lost; another node may order the same certificate", "error", err)
				}
			}
		}
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held[name] = func() {
		stop()
		prolonging.Wait()
		// Also where the order was given up: nobody should wait for this one.
		if err := m.secrets.Release(context.WithoutCancel(ctx), name, holder); err != nil {
			m.log.Warn("a lock of the database could not be given back; it ends within a minute", "error", err)
		}
	}
	return nil
}

func (m *magicStorage) Unlock(_ context.Context, name string) error {
	m.mu.Lock()
	release := m.held[m.at(name)]
	delete(m.held, m.at(name))
	m.mu.Unlock()
	if release == nil {
		return fmt.Errorf("giving lock %q back: it is not held", name)
	}
	release()
	return nil
}

// notExist says in the words of package fs that there is no such secret.
func notExist(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	return err
}
