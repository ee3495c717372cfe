package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestTheLogSaysOnceASecondThatTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	handler := newQuiet(slog.NewTextHandler(&out, nil))
	begun := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	say := func(at time.Duration, h slog.Handler, err error) {
		t.Helper()
		r := slog.NewRecord(begun.Add(at), slog.LevelError, "claim sessions", 0)
		r.AddAttrs(slog.String("session", "x"), slog.Any("err", err))
		if err := h.Handle(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	away := fmt.Errorf("claim sessions: %w", io.ErrUnexpectedEOF)
	for i := range 90 * 16 {
		say(time.Duration(i)*time.Second/16, handler.WithAttrs([]slog.Attr{slog.Int("worker", i)}), away)
	}
	say(90*time.Second, handler, errors.New("a mistake of ours"))
	say(90*time.Second, handler, errors.New("another"))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 92 {
		t.Errorf("the log has %d lines of 90 seconds without a database; want one a second and the 2 others",
			len(lines))
	}
	if !strings.Contains(lines[1], "left_out=15") || strings.Contains(lines[0], "left_out") {
		t.Errorf("it begins with %q and %q; want the second to tell of 15 more", lines[0], lines[1])
	}
}
