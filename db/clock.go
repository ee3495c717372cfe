package db

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/uptrace/bun"
)

// Now reads the time of the database, the clock that all processes share.
func Now(ctx context.Context, q bun.IDB) (time.Time, error) {
	var now time.Time
	if err := q.NewRaw("SELECT clock_timestamp()").Scan(ctx, &now); err != nil {
		return time.Time{}, fmt.Errorf("ask the database for the time: %w", err)
	}
	return now, nil
}

// Clock gives the time of the database without a query for each call: it adds the monotonic time since the last
// synchronization. So a machine whose own clock is wrong or is changed has the same time as all others. Before the
// first synchronization it gives the machine's time. Any number of goroutines may call Now; one at a time may call
// Sync.
type Clock struct {
	// Machine is the machine's time, with a monotonic reading; nil: time.Now.
	Machine func() time.Time

	mu         sync.Mutex
	syncedAt   time.Time // time of Machine at the last synchronization
	serverTime time.Time // time of the database at the same instant
}

func (c *Clock) machine() time.Time {
	if c.Machine != nil {
		return c.Machine()
	}
	return time.Now()
}

// Now is the time of the database, in UTC.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.machine()
	if c.syncedAt.IsZero() {
		return now.Round(0).UTC()
	}
	return c.serverTime.Add(now.Sub(c.syncedAt))
}

// Sync reads the time of the database. The answer counts for the middle of the query's duration. A difference within
// half of this duration changes nothing, so that the clock does not jitter.
func (c *Clock) Sync(ctx context.Context, q bun.IDB) error {
	before := c.machine()
	server, err := Now(ctx, q)
	if err != nil {
		return err
	}
	took := c.machine().Sub(before)
	c.mu.Lock()
	defer c.mu.Unlock()
	middle := before.Add(took / 2)
	if !c.syncedAt.IsZero() {
		if difference := server.Sub(c.serverTime.Add(middle.Sub(c.syncedAt))); difference.Abs() <= took/2 {
			return nil
		}
	}
	c.syncedAt, c.serverTime = middle, server.UTC()
	return nil
}

// SyncEvery is the interval of synchronization. It is short because the monotonic clock stops while a machine sleeps.
const SyncEvery = 5 * time.Second
