package automation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/cron"
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
)

// StartDue starts what is due: the scheduler's way to Start, for up to DueBatch automations at once. Each due time ends
// as a row: a run, or skipped, missed or failed with a reason. It returns how many automations it dealt with; when that is
// the whole batch there may be more. Any number of processes may call it at once.
func (s *Service) StartDue(ctx context.Context) (int, error) {
	var list []db.Startable
	err := s.inTx(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
		now := s.Now()
		if list, err = db.ClaimDue(ctx, tx, now, DueBatch); err != nil {
			return err
		}
		return s.startDue(ctx, tx, list, now)
	})
	if err != nil && len(list) > 0 && ctx.Err() == nil && !db.IsAway(err) { // one of them keeps the others from starting
		s.Log.Error("start due automations together", "err", err)
		err = s.startSingly(ctx, list)
	}
	if err != nil {
		return 0, fmt.Errorf("start due automations: %w", err)
	}
	if len(list) == 0 {
		return 0, nil
	}
	ids := make([]uuid.UUID, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	s.announceRun(ids...)
	return len(list), nil
}

// startSingly starts due automations each in a transaction of its own. What cannot be started even so has a failed execution
// that says it was our fault, and goes on with its next due time.
func (s *Service) startSingly(ctx context.Context, list []db.Startable) error {
	each := func(id uuid.UUID, deal func(ctx context.Context, tx bun.Tx, due []db.Startable, now time.Time) error) error {
		return s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
			now := s.Now()
			due, err := db.ClaimDueOf(ctx, tx, now, id)
			if err != nil || len(due) == 0 { // another scheduler has it, or it was edited
				return err
			}
			return deal(ctx, tx, due, now)
		})
	}
	for i := range list {
		id := list[i].ID
		err := each(id, s.startDue)
		if err == nil {
			continue
		}
		if ctx.Err() != nil || db.IsAway(err) {
			return err
		}
		s.Log.Error("start due automation", "automation", id, "err", err)
		if err := each(id, s.failOurs); err != nil {
			return err
		}
	}
	return nil
}

// failOurs records that a due automation could not be started through a fault of ours.
func (s *Service) failOurs(ctx context.Context, tx bun.Tx, due []db.Startable, now time.Time) error {
	a := &due[0]
	f := &firing{a: a, due: a.NextRunAt, last: a.NextRunAt, n: 1}
	if a.Trigger == db.OneTime {
		f.due, f.last = a.RunAt, a.RunAt
	}
	if a.Trigger == db.Recurring {
		expression, zone, err := s.recurrence(a.Cron, a.TimeZone)
		if err != nil {
			return s.disableFor(ctx, tx, &a.Automation, nil, db.ByInvalid, err.Error())
		}
		f.next = expression.Next(now, zone)
	}
	return s.failToStart(ctx, tx, f, Trigger{Source: db.BySchedule}, "something went wrong on our side", now)
}

// firing is what becomes of one due automation.
type firing struct {
	a    *db.Startable
	due  time.Time // the first due time that is answered
	last time.Time // the last one; after downtime, one run or one skip answers several
	n    int       // how many they are
	next time.Time
	run  *db.Run
}

func (s *Service) startDue(ctx context.Context, tx bun.Tx, list []db.Startable, now time.Time) error {
	if len(list) == 0 {
		return nil
	}
	all := make([]*db.Startable, len(list))
	for i := range list {
		all[i] = &list[i]
	}
	if err := s.complete(ctx, tx, all, now); err != nil {
		return err
	}
	var firings []firing
	var runs []db.Run
	for i := range list {
		f, err := s.decide(ctx, tx, &list[i], now)
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
	return db.AdvanceAutomations(ctx, tx, append(in, skipped...))
}

// keep is the count of iterations of what is not a loop, whose runs have none.
func keep(a *db.Startable) int {
	if a.Trigger == db.Loop {
		return 0
	}
	return a.Iterations
}

// decide says what becomes of a due automation. Nil: it was dealt with.
func (s *Service) decide(ctx context.Context, tx bun.Tx, a *db.Startable, now time.Time) (*firing, error) {
	f := &firing{a: a, due: a.NextRunAt, last: a.NextRunAt, n: 1}
	by := Trigger{Source: db.BySchedule}
	switch a.Trigger {
	case db.Loop:
		by.Mark = db.LoopMark
	case db.OneTime:
		f.due, f.last = a.RunAt, a.RunAt // next_run_at moves while it is blocked
		if now.Sub(f.due) > grace {
			return nil, s.missOneTime(ctx, tx, a, now)
		}
	case db.Recurring:
		expression, zone, err := s.recurrence(a.Cron, a.TimeZone)
		if err != nil {
			return nil, s.disableFor(ctx, tx, &a.Automation, nil, db.ByInvalid, err.Error())
		}
		f.next = expression.Next(f.due, zone)
		if now.Sub(f.due) > grace {
			if !a.CatchUp && a.InFlight == 0 {
				return nil, s.missRecurring(ctx, tx, a, expression, zone, now)
			}
			// One run catches up for all, or all of them met the same run in flight.
			f.last, f.next, f.n = passed(expression, zone, f.due, now)
			by.Mark = db.CatchUpMark
		}
	}
	if a.InFlight > 0 {
		return f, nil
	}
	run, err := s.prepare(a, by, now)
	var reason string
	var unable *Unable
	switch {
	case errors.As(err, &unable) && !unable.Until.IsZero():
		return nil, s.skipForBudget(ctx, tx, f, unable, now)
	case errors.As(err, &unable):
		reason = unable.Reason
	case errors.Is(err, ErrTooLarge):
		reason = err.Error()
	case err != nil:
		var missing *MissingParameter
		if !errors.As(err, &missing) {
			return nil, err
		}
		reason = missing.Error()
	}
	if reason != "" {
		return nil, s.failToStart(ctx, tx, f, by, reason, now)
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

// recurrence reads a schedule. An error is a sentence's end for a person.
func (s *Service) recurrence(expression, zone string) (cron.Expression, *time.Location, error) {
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

// failToStart records that a due run could not start: a failure like any other.
func (s *Service) failToStart(ctx context.Context, tx bun.Tx, f *firing, by Trigger, reason string, now time.Time) error {
	e := db.Execution{
		ID: db.NewID(), AutomationID: f.a.ID, Source: by.Source, Mark: by.Mark, Status: db.Failed, Reason: reason, ErrorClass: "start",
		ScheduledFor: f.due, Parameters: map[string]string{}, Snapshot: snapshot(f.a, Provider{ID: f.a.Provider}),
		CreatedAt: now, StartedAt: now, FinishedAt: now,
	}
	if by.Mark == db.CatchUpMark {
		e.LastSkippedFor = f.last
	}
	if err := db.InsertExecutions(ctx, tx, []db.Execution{e}); err != nil {
		return err
	}
	if err := s.count(ctx, tx, &f.a.Automation, &e); err != nil || !f.a.Enabled {
		return err
	}
	next := f.next
	if f.a.Trigger == db.Loop {
		next = now.Add(loopPause(f.a.FailureStreak))
	}
	return db.AdvanceAutomations(ctx, tx, []db.Advance{{ID: f.a.ID, Next: next, Iterations: f.a.Iterations, SkipID: f.a.SkipID}})
}

// missOneTime records that a One-Time came too late: it is over, and its creator is told.
func (s *Service) missOneTime(ctx context.Context, tx bun.Tx, a *db.Startable, now time.Time) error {
	reason := "Carillon was not running at its time"
	if a.InFlight > 0 {
		reason = "another run of it was in flight at its time"
	}
	e := ledger(a, db.Missed, reason, a.RunAt, now)
	if err := db.InsertExecutions(ctx, tx, []db.Execution{e}); err != nil {
		return err
	}
	if err := s.switchOff(ctx, tx, &a.Automation, db.ByMissing, reason); err != nil {
		return err
	}
	return s.tell(ctx, tx, &a.Automation, notice{
		kind: NoticeMissed, title: a.Name + " was missed", execution: e.ID, key: "missed " + e.ID.String(),
		body: capitalize(reason) + ", so it did not run. Set a new time to run it.",
	})
}

// missRecurring records the due times that came too late, in one row, and goes on with the first that does not.
func (s *Service) missRecurring(ctx context.Context, tx bun.Tx, a *db.Startable, expression cron.Expression, zone *time.Location, now time.Time) error {
	last, next, n := passed(expression, zone, a.NextRunAt, now.Add(-grace-1))
	e := ledger(a, db.Missed, "Carillon was not running", a.NextRunAt, now)
	e.SkipCount, e.LastSkippedFor = n, last
	if err := db.InsertExecutions(ctx, tx, []db.Execution{e}); err != nil {
		return err
	}
	return db.AdvanceAutomations(ctx, tx, []db.Advance{{ID: a.ID, Next: next, Iterations: a.Iterations, SkipID: a.SkipID}})
}

// passed goes through the due times from the first on that come no later than a time: it returns the last of them, the one
// after it, and how many they are. Of very many it counts countMissed.
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
func (s *Service) skip(ctx context.Context, tx bun.Tx, blocked []*firing, now time.Time) ([]db.Advance, error) {
	if len(blocked) == 0 {
		return nil, nil
	}
	ids := make([]uuid.UUID, len(blocked))
	for i, f := range blocked {
		ids[i] = f.a.ID
	}
	inFlight, err := db.OldestInFlight(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	advances := make([]db.Advance, 0, len(blocked))
	for _, f := range blocked {
		advance := db.Advance{ID: f.a.ID, Next: f.next, Iterations: f.a.Iterations, SkipID: f.a.SkipID}
		other, ok := inFlight[f.a.ID]
		switch {
		case !ok && f.a.Trigger == db.Loop, f.a.Trigger == db.OneTime: // tried again within the grace; nothing is skipped yet
			advance.Next = now.Add(blockedPause)
		case !ok: // this due time has been answered already
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
func (s *Service) addSkip(ctx context.Context, tx bun.Tx, f *firing, other db.Execution, now time.Time) (uuid.UUID, error) {
	a := f.a
	if a.SkipID != uuid.Nil {
		counted, err := db.AddSkip(ctx, tx, a.SkipID, f.n, f.last)
		if err != nil || counted {
			return a.SkipID, err
		}
	}
	e := ledger(a, db.Skipped, "a run that began earlier was still in flight", f.due, now)
	e.BlockedBy, e.SkipCount, e.LastSkippedFor = other.ID, f.n, f.last
	if err := db.InsertExecutions(ctx, tx, []db.Execution{e}); err != nil {
		return uuid.Nil, err
	}
	return e.ID, s.tell(ctx, tx, &a.Automation, notice{
		kind: NoticeSkipped, title: a.Name + " was skipped", execution: e.ID, session: other.SessionID, key: "skipped " + e.ID.String(),
		body: "It was due while a run that began earlier was still in flight. Further skips until the next run are counted in the history without a notice of their own.",
	})
}

// ledger is the row of a due time that came to nothing.
func ledger(a *db.Startable, status db.ExecutionStatus, reason string, due, now time.Time) db.Execution {
	e := db.Execution{
		ID: db.NewID(), AutomationID: a.ID, Source: db.BySchedule, Status: status, Reason: reason, Neutral: true,
		ScheduledFor: due, SkipCount: 1, LastSkippedFor: due, Parameters: map[string]string{},
		Snapshot: snapshot(a, Provider{ID: a.Provider}), CreatedAt: now, FinishedAt: now,
	}
	if a.Trigger == db.Loop {
		e.Mark = db.LoopMark
	}
	return e
}
