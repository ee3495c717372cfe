package apptest

import (
	"sync"
	"time"
)

// Begun is when tests begin: a Monday at noon, far from changes of the clocks.
var Begun = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// Longest bounds each wait for what has to happen. It is long because a test must not fail on a slow or busy machine.
const Longest = 10 * time.Minute

// Clock is a time that tests move.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now is the time of the clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Set moves the clock to an instant.
func (c *Clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

// Add moves the clock on.
func (c *Clock) Add(d time.Duration) { c.Set(c.Now().Add(d)) }
