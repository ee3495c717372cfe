package db

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Listen calls heard for every announcement until ctx is over. After each connection, the first too, it calls
// connected: what was announced in between has been missed. A lost connection is made again.
func (d *DB) Listen(ctx context.Context, log *slog.Logger, connected func(), heard func(topic string, id uuid.UUID)) error {
	pause := 100 * time.Millisecond
	for {
		begun := time.Now()
		err := d.listen(ctx, connected, heard)
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(begun) > time.Minute {
			pause = 100 * time.Millisecond
		}
		log.Warn("listen to the database", "err", err, "again_in", pause)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, 5*time.Second)
	}
}

func (d *DB) listen(ctx context.Context, connected func(), heard func(string, uuid.UUID)) error {
	conn, err := d.Pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	// The connection is closed rather than given back: in the pool it would go on listening.
	raw := conn.Hijack()
	defer func() {
		done, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = raw.Close(done)
	}()
	if _, err := raw.Exec(ctx, "LISTEN "+Channel); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	connected()
	for {
		n, err := raw.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("wait: %w", err)
		}
		topic, id, _ := strings.Cut(n.Payload, " ")
		parsed, _ := uuid.Parse(id) // absent: the topic has none
		heard(topic, parsed)
	}
}
