package automation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/aside"
	"carillon/app/crash"
	"carillon/app/cron"
	"carillon/app/form"
	"carillon/app/inbox"
	"carillon/app/provider"
	"carillon/app/workflow"
	"carillon/db"
)

const (
	// grace is how late a due time may be and still fire. Behaviour: "up to 5 minutes late always fires".
	grace = 5 * time.Minute
	// DueBatch is how many due automations one transaction deals with.
	DueBatch = 200
	// blockedPause is when a blocked Loop or One-Time is tried again.
	blockedPause = 15 * time.Second
	// countMissed is how many missed due times are counted at most for one history row.
	countMissed = 10_000
	// startLockPatience is how long a statement waits at most for what another transaction holds, as that of a process
	// that has stopped in the middle of starting a run does. Then the automation is set aside.
	startLockPatience = 20 * time.Second
)

// StartDue starts what is due: the scheduler's way to Start, for up to DueBatch automations at once. Each due time ends
// as a row: a run, or skipped, missed or failed with a reason. It returns how many automations it dealt with; when that
// is the whole batch there may be more. Any number of processes may call it at once.
func (s Schedules) StartDue(ctx context.Context) (int, error) {
	var list []db.Startable
	began := s.Now()
	away := s.looks.begin(began)
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		now := s.Now()
		if list, err = db.ClaimDue(ctx, tx, now, waitsSince(away, now), DueBatch); err != nil {
			return err
		}
		if len(list) > 0 {
			crash.Here(crash.DueClaimed)
		}
		return s.startDue(ctx, tx, list, away, now)
	})
	if err != nil && len(list) > 0 && ctx.Err() == nil && !db.IsUnavailable(err) {
		// one of them keeps the others from starting
		s.Log.Warn("start due automations together", "err", err)
		err = s.startSingly(ctx, list, away)
	}
	s.looks.end(began, s.Now(), err == nil)
	if err != nil {
		return 0, fmt.Errorf("start due automations: %w", err)
	}
	if len(list) == 0 {
		return 0, nil
	}
	crash.Here(crash.DueCommitted)
	ids := make([]uuid.UUID, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	s.notifyRun(ids...)
	return len(list), nil
}

// waitsSince is before which time due times lie that a Recurring catches up for once its run in flight has ended:
// nobody was there to start them.
func waitsSince(away gap, now time.Time) time.Time {
	return later(now.Add(-grace), away.to.Add(-answerWithin))
}

// InGrace reports whether a due time may still be answered by a run.
func InGrace(due, now time.Time) bool { return now.Sub(due) <= grace }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// startSingly starts due automations each in a transaction of its own. What cannot be started even so is set aside; its
// due time stays, and is answered when that is mended.
func (s Schedules) startSingly(ctx context.Context, list []db.Startable, away gap) error {
	round := s.Round(db.TaskStart)
	for i := range list {
		a := &list[i].Automation
		err := round.Deal(ctx, aside.Row{Key: a.ID.String(), About: "the automation " + a.Name, Automation: a},
			func(ctx context.Context) error {
				return db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
					now := s.Now()
					due, err := db.ClaimDueOf(ctx, tx, now, waitsSince(away, now), a.ID)
					if err != nil || len(due) == 0 { // another scheduler has it, or it was edited
						return err
					}
					return s.startDue(ctx, tx, due, away, now)
				})
			})
		if err != nil {
			return err
		}
	}
	return nil
}

// firing is what becomes of one due automation.
type firing struct {
	a    *db.Startable
	due  time.Time // the first due time that is answered
	last time.Time // the last one; after downtime, one run or one skip answers several
	n    int       // how many they are
	next time.Time
	run  *db.Run
	away bool // they passed while nobody was there to start them
}

func (s Schedules) startDue(ctx context.Context, tx bun.Tx, list []db.Startable, away gap, now time.Time) error {
	if len(list) == 0 {
		return nil
	}
	if err := db.LimitLocks(ctx, tx, cmp.Or(s.lockPatience, startLockPatience)); err != nil {
		return err
	}
	all := make([]*db.Startable, len(list))
	for i := range list {
		all[i] = &list[i]
	}
	if err := loadContext(ctx, tx, all, now); err != nil {
		return err
	}
	var firings []firing
	var runs []db.Run
	for i := range list {
		f, err := s.decide(ctx, tx, &list[i], away, now)
		if err != nil {
			return err
		}
		if f == nil { // dealt with: it cannot run, or it was missed
			continue
		}
		firings = append(firings, *f)
		if f.run != nil {
			runs = append(runs, *f.run)
		}
	}
	inserted, err := db.InsertRuns(ctx, tx, runs)
	if err != nil {
		return err
	}
	var in []db.Advance
	var blocked []*firing
	for i := range firings {
		f := &firings[i]
		if f.run == nil || !inserted[f.run.Execution.ID] {
			blocked = append(blocked, f)
			continue
		}
		in = append(in, db.Advance{ID: f.a.ID, Next: f.next, Iterations: f.run.Execution.Iteration + keep(f.a)})
	}
	skipped, err := s.skip(ctx, tx, blocked, now)
	if err != nil {
		return err
	}
	var mended []string
	for i := range list {
		if list[i].SetAsideReason != "" {
			mended = append(mended, list[i].ID.String())
		}
	}
	if len(mended) > 0 {
		if err := db.EndSetAside(ctx, tx, db.TaskStart, mended...); err != nil {
			return err
		}
	}
	if err := db.AdvanceAutomations(ctx, tx, append(in, skipped...)); err != nil {
		return err
	}
	crash.Here(crash.DueWritten)
	return nil
}

// keep is the count of iterations of what is not a loop, whose runs have none.
func keep(a *db.Startable) int {
	if a.Trigger == db.Loop {
		return 0
	}
	return a.Iterations
}

// decide says what becomes of a due automation. Nil: it was dealt with.
func (s Schedules) decide(ctx context.Context, tx bun.Tx, a *db.Startable, away gap, now time.Time) (*firing, error) {
	f := &firing{a: a, due: a.NextRunAt, last: a.NextRunAt, n: 1}
	by := Trigger{Source: db.BySchedule}
	switch a.Trigger {
	case db.Loop:
		by.Mark = db.LoopMark
	case db.OneTime:
		f.due = oneTimeDue(a)
		f.last = f.due
		if now.Sub(f.due) > grace {
			return nil, s.missOneTime(ctx, tx, f, away, now)
		}
	case db.Recurring:
		expression, zone, err := recurrence(a.Cron, a.TimeZone)
		if err != nil {
			return nil, s.disableFor(ctx, tx, &a.Automation, nil, db.ByInvalid, err.Error())
		}
		f.next = expression.Next(f.due, zone)
		if a.Answered { // while the clock was ahead
			return nil, db.AdvanceAutomations(ctx, tx, []db.Advance{{ID: a.ID, Next: f.next, Iterations: a.Iterations}})
		}
		late := now.Sub(f.due) > grace
		f.away = late && a.CatchUp || away.has(f.due)
		switch {
		case late && !a.CatchUp && a.InFlight == 0:
			return nil, missRecurring(ctx, tx, f, expression, zone, now.Add(-grace-1), away, now)
		case f.away && a.InFlight > 0: // the run in flight is in nobody's way: nobody would have started these
			return nil, missRecurring(ctx, tx, f, expression, zone, waitsSince(away, now).Add(-1), away, now)
		case late: // one run catches up for all, or all of them met the same run in flight
			f.last, f.next, f.n = passed(expression, zone, f.due, unanswered(a, now))
			by.Mark = db.CatchUpMark
		}
	}
	if a.InFlight > 0 {
		return f, nil
	}
	run, err := s.Runs().prepare(a, by, now)
	var reason string
	var ownerless bool
	var unable *Unable
	switch {
	case errors.As(err, &unable) && !unable.Until.IsZero():
		return nil, s.skipForBudget(ctx, tx, f, unable, now)
	case errors.As(err, &unable):
		reason, ownerless = unable.Reason, unable.Ownerless
	case errors.Is(err, ErrTooLarge):
		reason = err.Error()
	case err != nil:
		var missing *workflow.MissingParameter
		if !errors.As(err, &missing) {
			return nil, err
		}
		reason = missing.Error()
	}
	if reason != "" {
		return nil, s.failToStart(ctx, tx, f, by, reason, ownerless, now)
	}
	run.Execution.ScheduledFor = f.due
	if a.Trigger == db.Loop {
		run.Execution.Iteration = a.Iterations + 1
	}
	if by.Mark == db.CatchUpMark { // one run stands for every due time since
		run.Execution.LastSkippedFor = f.last
	}
	f.run = run
	return f, nil
}

// oneTimeDue is the due time of a One-Time: next_run_at moves while it is blocked. One that is switched on again after
// its time was answered has a due time of its own.
func oneTimeDue(a *db.Startable) time.Time {
	if a.Answered && a.ScheduledSince.After(a.RunAt) {
		return a.ScheduledSince
	}
	return a.RunAt
}

// absence says why a due time came too late, as a sentence's end.
func absence(a *db.Startable, due time.Time, away gap) string {
	switch {
	case a.SetAsideReason != "":
		return "Carillon could not start it: " + strings.TrimSuffix(a.SetAsideReason, ".")
	case away.has(due):
		return away.reason
	}
	return "Carillon did not start it in time"
}

// recurrence reads a schedule. An error is a sentence's end for a person.
func recurrence(expression, zone string) (cron.Expression, *time.Location, error) {
	e, err := cron.Parse(expression)
	if err != nil {
		return cron.Expression{}, nil, fmt.Errorf("its schedule cannot be read: %w", err)
	}
	z, err := cron.Zone(zone)
	if err != nil {
		return cron.Expression{}, nil, fmt.Errorf("its time zone cannot be used: %w", err)
	}
	return e, z, nil
}

// failToStart records that a due run could not start: a failure like any other. That its owner is gone is told at once.
func (s Schedules) failToStart(ctx context.Context, tx bun.Tx, f *firing, by Trigger, reason string, ownerless bool,
	now time.Time) error {
	e := db.Execution{
		ID: db.NewID(), AutomationID: f.a.ID, Source: by.Source, Mark: by.Mark, Status: db.Failed, Reason: reason,
		ErrorClass:   "start",
		ScheduledFor: f.due, Parameters: map[string]string{},
		Snapshot:  snapshot(f.a, provider.Provider{ID: f.a.Provider}),
		CreatedAt: now, StartedAt: now, FinishedAt: now,
	}
	if by.Mark == db.CatchUpMark {
		e.LastSkippedFor = f.last
	}
	written, err := db.InsertExecution(ctx, tx, &e)
	if err != nil {
		return err
	}
	f.a.NextRunAt = f.next // the due time is answered
	if written {
		if f.a.Trigger == db.OneTime {
			f.a.NextRunAt = time.Time{} // this was its due time
		}
		if err := s.Runs().recordOutcome(ctx, tx, &f.a.Automation, &e); err != nil || !f.a.Enabled {
			return err
		}
		if ownerless && f.a.FailureStreak == 1 {
			if err := s.notifyCreator(ctx, tx, &f.a.Automation, inbox.Notice{
				Kind: inbox.RunFailed, Title: f.a.Name + " failed", Execution: e.ID, Key: "failed " + e.ID.String(),
				Body: form.Capitalize(reason) + ". Its runs fail until it has another owner.",
			}); err != nil {
				return err
			}
		}
	} else if f.a.Trigger == db.OneTime {
		return s.switchOff(ctx, tx, &f.a.Automation, db.ByFinishing, "its single run is over")
	}
	next := f.next
	if f.a.Trigger == db.Loop {
		next = now.Add(loopPause(f.a.FailureStreak))
	}
	return db.AdvanceAutomations(ctx, tx, []db.Advance{{
		ID: f.a.ID, Next: next, Iterations: f.a.Iterations, SkipID: f.a.SkipID,
	}})
}

// missOneTime records that a One-Time came too late: it is over, and its creator is told.
func (s Schedules) missOneTime(ctx context.Context, tx bun.Tx, f *firing, away gap, now time.Time) error {
	a, reason := f.a, absence(f.a, f.due, away)
	if a.InFlight > 0 && a.SetAsideReason == "" && !away.has(f.due) {
		reason = "another run of it was in flight at its time"
	}
	e := ledger(a, db.Missed, reason, f.due, now)
	written, err := db.InsertExecution(ctx, tx, &e)
	if err != nil {
		return err
	}
	if !written { // it was answered before, and told of
		return s.switchOff(ctx, tx, &a.Automation, db.ByFinishing, "its single run is over")
	}
	if err := s.switchOff(ctx, tx, &a.Automation, db.ByMissing, reason); err != nil {
		return err
	}
	return s.notifyCreator(ctx, tx, &a.Automation, inbox.Notice{
		Kind: inbox.Missed, Title: a.Name + " was missed", Execution: e.ID, Key: "missed " + e.ID.String(),
		Body: form.Capitalize(reason) + ", so it did not run. Set a new time to run it.",
	})
}

// missRecurring records the due times up to one that came too late, in one row, and goes on with the first that did
// not.
func missRecurring(ctx context.Context, tx bun.Tx, f *firing, expression cron.Expression,
	zone *time.Location, until time.Time, away gap, now time.Time) error {
	a := f.a
	last, next, n := passed(expression, zone, f.due, unanswered(a, until))
	e := ledger(a, db.Missed, absence(a, f.due, away), f.due, now)
	e.SkipCount, e.LastSkippedFor = n, last
	if _, err := db.InsertExecution(ctx, tx, &e); err != nil { // one that has a row already is answered
		return err
	}
	// A streak of skips does not go on across it: its row would count these due times too.
	return db.AdvanceAutomations(ctx, tx, []db.Advance{{ID: a.ID, Next: next, Iterations: a.Iterations}})
}

// unanswered is the end of the time up to which due times of an automation have no rows yet, and at most until.
func unanswered(a *db.Startable, until time.Time) time.Time {
	if ahead := a.AnsweredAhead; !ahead.IsZero() && !ahead.After(until) {
		return ahead.Add(-1)
	}
	return until
}

// passed goes through the due times from the first on that come no later than a time: it returns the last of them, the
// one after it, and how many they are. Of very many it counts countMissed.
func passed(expression cron.Expression, zone *time.Location, first, until time.Time) (last, next time.Time, n int) {
	last, next, n = first, expression.Next(first, zone), 1
	for !next.IsZero() && !next.After(until) {
		if n == countMissed {
			return until, expression.Next(until, zone), n
		}
		last, next, n = next, expression.Next(next, zone), n+1
	}
	return last, next, n
}

// skip records due times at which a run was in the way. The first of a streak is a new row and a notice; the others
// are counted in that row.
func (s Schedules) skip(ctx context.Context, tx bun.Tx, blocked []*firing, now time.Time) ([]db.Advance, error) {
	if len(blocked) == 0 {
		return nil, nil
	}
	ids := make([]uuid.UUID, len(blocked))
	for i, f := range blocked {
		ids[i] = f.a.ID
	}
	inFlight, err := db.OldestInFlight(ctx, tx, ids...)
	if err != nil {
		return nil, err
	}
	advances := make([]db.Advance, 0, len(blocked))
	for _, f := range blocked {
		advance := db.Advance{ID: f.a.ID, Next: f.next, Iterations: f.a.Iterations, SkipID: f.a.SkipID}
		other, ok := inFlight[f.a.ID]
		switch {
		case !ok && f.a.Trigger == db.Loop, f.a.Trigger == db.OneTime:
			// tried again within the grace; nothing is skipped yet
			advance.Next = now.Add(blockedPause)
		case !ok: // this due time has been answered already, or the run in its way has ended meanwhile
			answered, err := db.HasAnswer(ctx, tx, f.a.ID, f.due)
			if err != nil {
				return nil, err
			}
			if !answered { // the next look decides anew
				continue
			}
		case f.away: // a run began meanwhile; the next look decides anew
			continue
		default:
			if f.a.Trigger == db.Loop {
				advance.Next = now.Add(blockedPause)
			}
			advance.SkipID, err = s.addSkip(ctx, tx, f, other, now)
			if err != nil {
				return nil, err
			}
		}
		advances = append(advances, advance)
	}
	return advances, nil
}

// addSkip counts skipped due times and returns the row of their streak.
func (s Schedules) addSkip(ctx context.Context, tx bun.Tx, f *firing, other db.OldestRun,
	now time.Time) (uuid.UUID, error) {
	a := f.a
	if a.SkipID != uuid.Nil {
		counted, err := db.AddSkip(ctx, tx, a.SkipID, f.n, f.last)
		if err != nil || counted {
			return a.SkipID, err
		}
	}
	e := ledger(a, db.Skipped, "a run that began earlier was still in flight", f.due, now)
	e.BlockedBy, e.SkipCount, e.LastSkippedFor = other.ID, f.n, f.last
	if written, err := db.InsertExecution(ctx, tx, &e); err != nil || !written { // answered before
		return a.SkipID, err
	}
	return e.ID, s.notifyCreator(ctx, tx, &a.Automation, inbox.Notice{
		Kind: inbox.Skipped, Title: a.Name + " was skipped", Execution: e.ID, Session: other.SessionID,
		Key: "skipped for " + other.ID.String(),
		Body: "It was due while a run that began earlier was still in flight. Further skips until the next run are " +
			"counted in the history without a notice of their own.",
	})
}

// ledger is the row of a due time that came to nothing.
func ledger(a *db.Startable, status db.ExecutionStatus, reason string, due, now time.Time) db.Execution {
	e := db.Execution{
		ID: db.NewID(), AutomationID: a.ID, Source: db.BySchedule, Status: status, Reason: reason, Neutral: true,
		ScheduledFor: due, SkipCount: 1, LastSkippedFor: due, Parameters: map[string]string{},
		Snapshot: snapshot(a, provider.Provider{ID: a.Provider}), CreatedAt: now, FinishedAt: now,
	}
	if a.Trigger == db.Loop {
		e.Mark = db.LoopMark
	}
	return e
}
