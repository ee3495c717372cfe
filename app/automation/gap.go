package automation

import (
	"sync"
	"time"
)

// answerWithin is within what time a due time is answered while Carillon runs. What is later and lies in a gap
// was not answered because nobody looked.
const answerWithin = 30 * time.Second

// gap is a time in which the scheduler of this process did not look for due automations.
type gap struct {
	from, to time.Time
	reason   string // as a sentence's end
}

// has reports whether a due time passed in the gap.
func (g gap) has(due time.Time) bool { return due.After(g.from) && due.Before(g.to.Add(-answerWithin)) }

// looks remembers when the scheduler of this process looked for due automations.
type looks struct {
	mu     sync.Mutex
	last   time.Time // successfully; zero: never yet
	failed bool      // since then it has tried in vain
	gap    gap       // the newest one
}

// begin says that the scheduler looks now, and returns the newest gap.
func (l *looks) begin(now time.Time) gap {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.gap.to) { // the clock was ahead, and was set right
		l.gap.to = now
	}
	if now.Sub(l.last) <= answerWithin {
		return l.gap
	}
	l.gap = gap{from: l.last, to: now, reason: "the machine slept or its clock was set"}
	switch {
	case l.last.IsZero():
		l.gap.reason = "Carillon was not running"
	case l.failed:
		l.gap.reason = "the database could not be reached"
	}
	return l.gap
}

// longestLook is how long one look takes at most. In what takes longer the machine has slept.
const longestLook = 2 * time.Minute

// end says whether the look that began at a time has found out, by now, what is due. While it looks, it is not away.
func (l *looks) end(began, now time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.failed = !ok; {
	case !ok:
	case now.Sub(began) <= longestLook:
		l.last = now
	default:
		l.last = began
	}
}
