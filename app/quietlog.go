package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"carillon/db"
)

// quietEvery is the shortest interval between log lines about an unavailable database.
const quietEvery = time.Second

// quietHandler passes on one line a second of those whose error says that the database is unavailable, because then
// many operations fail each second for this one reason. The next line has the number of lines that were left out.
type quietHandler struct {
	slog.Handler
	said *awayThrottle
}

// awayThrottle records when the log last said that the database is unavailable.
type awayThrottle struct {
	mu      sync.Mutex
	at      time.Time
	leftOut int
}

func newQuiet(h slog.Handler) slog.Handler { return quietHandler{h, &awayThrottle{}} }

// Handle writes a line unless it is left out.
func (q quietHandler) Handle(ctx context.Context, r slog.Record) error {
	away := false
	r.Attrs(func(a slog.Attr) bool {
		err, ok := a.Value.Any().(error)
		away = ok && db.IsUnavailable(err)
		return !away
	})
	if !away {
		return q.Handler.Handle(ctx, r)
	}
	leftOut, say := q.said.allow(r.Time)
	if !say {
		return nil
	}
	if leftOut > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out", leftOut))
	}
	return q.Handler.Handle(ctx, r)
}

// allow reports whether a line at a time is written, and how many lines were left out since the last one.
func (s *awayThrottle) allow(at time.Time) (leftOut int, say bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if since := at.Sub(s.at); since >= 0 && since < quietEvery {
		s.leftOut++
		return 0, false
	}
	leftOut, s.at, s.leftOut = s.leftOut, at, 0
	return leftOut, true
}

// WithAttrs and WithGroup keep the wrapping handler.
func (q quietHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quietHandler{q.Handler.WithAttrs(attrs), q.said}
}

func (q quietHandler) WithGroup(name string) slog.Handler {
	return quietHandler{q.Handler.WithGroup(name), q.said}
}
