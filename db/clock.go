package db

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/uptrace/bun"
)

// Now is the time of the database, the one clock that all processes share.
func Now(ctx context.Context, q bun.IDB) (time.Time, error) {
	var now time.Time
	if err := q.NewRaw("SELECT clock_timestamp()").Scan(ctx, &now); err != nil {
		return time.Time{}, fmt.Errorf("ask the database for the time: %w", err)
	}
	return now, nil
}

// Clock is the time of the database, as a process tells it without asking each time: it goes on from the last answer by
// the monotonic clock, so a machine whose own clock is wrong, or is set, has the same time as all others. Before the
// first answer it is the machine's own time. Any number of goroutines may use it; Ask is for one at a time.
type Clock struct {
	// Machine is the machine's time, with a monotonic reading; nil: time.Now.
	Machine func() time.Time

	mu    sync.Mutex
	asked time.Time // by Machine
	told  time.Time // by the database, at that instant
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
	if c.asked.IsZero() {
		return now.Round(0).UTC()
	}
	return c.told.Add(now.Sub(c.asked))
}

// Ask asks the database for its time. The answer counts as that of the middle of the time that it took; what it cannot
// tell from the time known so far leaves that as it is, so the clock does not tremble.
func (c *Clock) Ask(ctx context.Context, q bun.IDB) error {
	before := c.machine()
	told, err := Now(ctx, q)
	if err != nil {
		return err
	}
	took := c.machine().Sub(before)
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := before.Add(took / 2)
	if !c.asked.IsZero() {
		if off := told.Sub(c.told.Add(asked.Sub(c.asked))); off.Abs() <= took/2 {
			return nil
		}
	}
	c.asked, c.told = asked, told.UTC()
	return nil
}

// AskEvery is how long an answer of the database holds: a machine that slept has no monotonic time of its sleep.
const AskEvery = 5 * time.Second
