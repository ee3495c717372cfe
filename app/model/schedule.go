package model

import (
	"slices"
	"sort"
	"sync"
	"time"

	"carillon/app/cron/crontest"
)

const (
	// grace is how late a due time still fires. Behaviour: "up to 5 minutes late always fires".
	grace = 5 * time.Minute
	// punctual is how late a due time is answered at most while Carillon runs. Open: what Carillon takes for a
	// downtime.
	punctual = 30 * time.Second
	// again is when a blocked Loop or One-Time is tried again. Open: Carillon's choice.
	again = 15 * time.Second
	// held is after how long an open session counts as a skip. Behaviour: "held open at the review gate for over 60
	// minutes".
	held = time.Hour
	// waiting is how long a session waits for a worker. Behaviour, "Timeout": "bounded by a day, neutral at its end".
	waiting = 24 * time.Hour
	// timeout is how long a run may take. Behaviour, "Run timeout": "6 h by default"; "Timeout": "counts the time at
	// work over attempts and resumes".
	timeout = 6 * time.Hour
	// silent is how long a worker has said nothing when it is known to be gone.
	silent = time.Minute + time.Second
	// mostResumes. Behaviour, "Resumes after a crash": "three, then neutral and told".
	mostResumes = 3
)

// rest is how long a Loop waits. Behaviour, "Loop, next run": "5 s later after a success, 30 s after the first failure,
// 2 min after the second".
func rest(strikes int) time.Duration {
	switch strikes {
	case 0:
		return 5 * time.Second
	case 1:
		return 30 * time.Second
	}
	return 2 * time.Minute
}

// begin lets a schedule start anew from now. ok is false for what cannot start.
func (w *World) begin(a *Automation) (ok bool) {
	a.Due, a.Since = time.Time{}, time.Time{}
	if !a.Enabled {
		return true
	}
	a.Since = w.Now
	switch a.Trigger {
	case OneTime:
		// Behaviour, "One-Time in the past": "up to 5 minutes past is saved and fires now; older is a form error"
		if w.Now.Sub(a.RunAt) > grace {
			return false
		}
		a.Due = a.RunAt
	case Recurring: // Specification: "5-field cron expression with IANA timezone"
		a.Due = next(a.Cron, a.Zone, w.Now)
	case Loop: // Behaviour, "Loop, first run": "as soon as it is enabled"
		a.Due = w.Now
	}
	return true
}

// Next is the earliest time after now at which something is due.
func (w *World) Next() time.Time {
	var next time.Time
	for _, a := range w.Automations {
		if !a.Gone && a.Enabled && a.Due.After(w.Now) && (next.IsZero() || a.Due.Before(next)) {
			next = a.Due
		}
	}
	return next
}

// Look is what the scheduler does at one instant: each due time that has come is answered.
func (w *World) Look() {
	for more := true; more; {
		more = false
		for _, a := range w.Automations {
			if !a.Gone && a.Enabled && !a.Due.IsZero() && !a.Due.After(w.Now) && w.answer(a) {
				more = true
			}
		}
	}
}

// answer deals with the due time of an automation. It reports whether it did: else the due time waits.
func (w *World) answer(a *Automation) bool {
	busy := len(a.inFlight()) > 0
	due := a.Due
	late := w.Now.Sub(due) > grace
	away := due.Before(w.back.Add(-punctual)) // it came while nobody was there
	switch a.Trigger {
	case OneTime:
		// Behaviour, "One-Time switched on again": "within its 5 minutes it runs once more at once, as a due time of
		// its own".
		if due = a.RunAt; a.answered(due) && a.Since.After(due) {
			due = a.Since
		}
		switch {
		case w.Now.Sub(due) > grace:
			// Behaviour: "later it is recorded missed, disabled, and its creator notified".
			w.record(a, &Row{Status: "missed", For: due, Last: due, Count: 1})
			w.off(a)
			w.tell(a, "missed", nil)
		case busy: // Open: tried again within its 5 minutes.
			a.Due = w.Now.Add(again)
		default:
			a.Due = time.Time{}
			w.fire(a, due, due, 1, "", time.Time{})
		}
	case Loop:
		if busy {
			// Behaviour, "Skips (Loop)": "only when it was due and blocked".
			w.skip(a, due, due, 1)
			a.Due = w.Now.Add(again)
			break
		}
		a.Due = time.Time{}
		w.fire(a, due, due, 1, "loop", time.Time{})
	case Recurring:
		after := next(a.Cron, a.Zone, due)
		switch {
		case busy && (away || late) && a.CatchUp:
			// Behaviour, "Downtime with a run in flight at the stop": "one catch-up after the resumed run".
			return false
		case busy && away:
			// The same: "the due times passed while the server was away are missed, never skipped".
			w.miss(a, due, w.back.Add(-punctual-1))
		case late && !a.CatchUp && !busy:
			// Behaviour, "Missed Recurring runs": "without it one missed row and the next regular time".
			w.miss(a, due, w.Now.Add(-grace-1))
		case late && !busy:
			// Specification: "If the server was offline when a recurring run was due, fire it on startup". Behaviour:
			// "exactly one catch-up run, however many were missed".
			last, following, n := w.passed(a, due, w.Now)
			a.Due = following
			w.fire(a, due, last, n, "catch_up", following)
		case busy:
			// Behaviour, "Skips (Recurring)": "due while the previous run is in flight: not started".
			a.Due = after
			w.skip(a, due, due, 1)
		default:
			a.Due = after
			w.fire(a, due, due, 1, "", after)
		}
	}
	return true
}

// fire starts the run of a due time, or says why there is none.
func (w *World) fire(a *Automation, due, last time.Time, n int, mark string, following time.Time) {
	r := &Row{Mark: mark, For: due}
	if mark == "catch_up" {
		r.Last = last
	}
	spent := a.MostTurns > 0 && w.turnsToday(a) >= a.MostTurns
	switch {
	case w.cannotStart(a), !spent && a.Flow > 0 && a.values(nil)["ticket"] == "":
		// Behaviour, "What is a failure": "the run cannot start (... creator's access gone), ... a missing required
		// parameter".
		r.Status, r.Why = "failed", "start"
		w.record(a, r)
		w.count(a, r)
		if a.Enabled && a.Strikes == 1 && a.Trigger != OneTime && w.ownerless(a) {
			// its managers are told at the first run that fails for it
			w.tell(a, "failed", nil)
		}
		if a.Enabled && a.Trigger == Loop {
			a.Due = w.Now.Add(rest(a.Strikes))
		}
	case spent:
		w.outOfBudget(a, r, last, n)
	default:
		if a.Trigger == Loop {
			a.Iterations++
			r.Iteration = a.Iterations
		}
		r.Source = "schedule"
		w.start(a, r, a.Owner)
	}
}

// outOfBudget answers a due time for which the budget has nothing left. Behaviour, "Run Now refused by a budget": "the
// schedule's streaks have rows of their own".
func (w *World) outOfBudget(a *Automation, r *Row, last time.Time, n int) {
	if a.Trigger == Loop { // Open: it waits until its budget is full again.
		a.Due = tomorrow(a, w.Now)
	}
	if before := a.last(); a.Trigger != OneTime && before != nil && before.Status == "skipped" &&
		before.Why == "budget" && !before.Created.Before(a.Since) {
		before.Count, before.Last = before.Count+n, last
		return
	}
	r.Status = "skipped"
	r.Why = "budget"
	r.Count = n
	r.Last = last
	if r.Mark == "catch_up" {
		r.Mark = ""
	}
	w.record(a, r)
	if a.Trigger == OneTime { // Behaviour: "One-Time that ends other than in success: always told"
		w.off(a)
		w.tell(a, "missed", nil)
	}
}

// skip counts a due time that met a run in flight. Specification: "the creator receives a single inbox notification on
// the first skip in the streak. Subsequent skips while the prior run is still active are deduplicated". Behaviour: "One
// history row a streak, with count and last time".
func (w *World) skip(a *Automation, due, last time.Time, n int) {
	if a.streak != nil {
		a.streak.Count, a.streak.Last = a.streak.Count+n, last
		return
	}
	blocker := a.inFlight()[0]
	r := &Row{Status: "skipped", For: due, Last: last, Count: n}
	if a.Trigger == Loop {
		r.Mark = "loop"
	}
	w.record(a, r)
	a.streak = r
	for _, p := range w.audience(a) { // "a multi-hour stuck session emits one notification"
		if !slices.Contains(blocker.skipped, p) {
			blocker.skipped = append(blocker.skipped, p)
			w.notice(p, "skipped", a, blocker.Session)
		}
	}
}

// miss records the due times up to one in a row, and goes on with the first one after it.
func (w *World) miss(a *Automation, due, until time.Time) {
	last, following, n := w.passed(a, due, until)
	w.record(a, &Row{Status: "missed", For: due, Last: last, Count: n})
	a.Due, a.streak = following, nil
}

// passed lists the due times from one on that come no later than a time: the last, the one after it, and how many they
// are.
func (w *World) passed(a *Automation, due, until time.Time) (last, following time.Time, n int) {
	last, following, n = due, next(a.Cron, a.Zone, due), 1
	for !following.After(until) {
		last, following, n = following, next(a.Cron, a.Zone, following), n+1
	}
	return last, following, n
}

// turnsToday counts the messages that the runs of an automation have had since midnight, in its own zone.
func (w *World) turnsToday(a *Automation) int {
	n, day := 0, midnight(a, w.Now, 0)
	for _, r := range a.Rows {
		if r.Session != nil && !r.Created.Before(day) {
			n += r.Turns
		}
	}
	return n
}

func tomorrow(a *Automation, now time.Time) time.Time { return midnight(a, now, 1) }

// midnight is the first instant of the day of an automation, or of a day after it. None of the zones here changes its
// clocks at midnight but Cairo, where that day begins at 01:00.
func midnight(a *Automation, now time.Time, days int) time.Time {
	zone := zoneOf(a.Zone)
	t := now.In(zone)
	m := time.Date(t.Year(), t.Month(), t.Day()+days, 0, 0, 0, 0, zone)
	if m.Day() != time.Date(t.Year(), t.Month(), t.Day()+days, 12, 0, 0, 0, zone).Day() {
		m = m.Add(time.Hour)
	}
	return m
}

var zones sync.Map

func zoneOf(name string) *time.Location {
	if name == "" {
		return time.UTC
	}
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location)
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	zones.Store(name, z)
	return z
}

// horizon is how far beyond a time due times are listed at once.
const horizon = 30 * 24 * time.Hour

type schedule struct {
	cron, zone string
	month      int64
}

var lists sync.Map

// next is the first due time of an expression after a time, from a brute-force list.
func next(cron, zone string, after time.Time) time.Time {
	for month := after.Unix() / int64(horizon/time.Second); ; month++ {
		key := schedule{cron, zone, month}
		list, ok := lists.Load(key)
		if !ok {
			from := time.Unix(month*int64(horizon/time.Second), 0).UTC()
			list = crontest.Times(cron, zoneOf(zone), from.Add(-1), from.Add(horizon-1))
			lists.Store(key, list)
		}
		times := list.([]time.Time)
		if i := sort.Search(len(times), func(i int) bool { return times[i].After(after) }); i < len(times) {
			return times[i].UTC()
		}
	}
}
