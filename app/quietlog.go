package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"carillon/db"
)

// quietEvery is how often the log says at most that the database is away.
const quietEvery = time.Second

// quiet lets through one line a second of those whose error says that the database is away: while it is, everything
// that this process does many times a second fails for that one reason. The next line tells how many were left out.
type quiet struct {
	slog.Handler
	said *saidAway
}

// saidAway is when the log last said that the database is away.
type saidAway struct {
	mu      sync.Mutex
	at      time.Time
	leftOut int
}

func newQuiet(h slog.Handler) slog.Handler { return quiet{h, &saidAway{}} }

// Handle writes a line, unless it says again what was just said.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	away := false
	r.Attrs(func(a slog.Attr) bool {
		err, ok := a.Value.Any().(error)
		away = ok && db.IsUnavailable(err)
		return !away
	})
	if !away {
		return q.Handler.Handle(ctx, r)
	}
	leftOut, say := q.said.again(r.Time)
	if !say {
		return nil
	}
	if leftOut > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out", leftOut))
	}
	return q.Handler.Handle(ctx, r)
}

// again reports whether it is said at a time, and how often it was not since it was last said.
func (s *saidAway) again(at time.Time) (leftOut int, say bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if since := at.Sub(s.at); since >= 0 && since < quietEvery {
		s.leftOut++
		return 0, false
	}
	leftOut, s.at, s.leftOut = s.leftOut, at, 0
	return leftOut, true
}

// WithAttrs and WithGroup keep the handler in between.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quiet{q.Handler.WithAttrs(attrs), q.said}
}

func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name), q.said} }
