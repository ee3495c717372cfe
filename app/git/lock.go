package git

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// locks has one lock for each name: a channel within the process, and a locked file between processes.
type locks struct {
	mu     sync.Mutex
	byName map[string]chan struct{}
}

// lock waits until the caller alone holds the lock of a name, or until ctx is done. It returns a function that unlocks.
//
// Names are always taken in this order: sync-<workspace> while the mirror is brought up to date, which can take
// minutes, tree-<workspace> while worktrees and branches are made or removed, and spare-<workspace> while a spare is
// made.
func (g *runner) lock(ctx context.Context, name string) (func(), error) {
	g.locks.mu.Lock()
	if g.locks.byName == nil {
		g.locks.byName = map[string]chan struct{}{}
	}
	turn, ok := g.locks.byName[name]
	if !ok {
		turn = make(chan struct{}, 1)
		g.locks.byName[name] = turn
	}
	g.locks.mu.Unlock()

	select {
	case turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for %s: %w", name, ctx.Err())
	}
	f, err := lockFile(ctx, g.private("locks", name))
	if err != nil {
		<-turn
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return func() {
		f.Close() // closing unlocks
		<-turn
	}, nil
}

// lockFile locks a file. It polls, since a flock that waits could not be given up when ctx is done.
func lockFile(ctx context.Context, path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			f.Close()
			return nil, err
		}
		select {
		case <-time.After(25 * time.Millisecond):
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		}
	}
}
