package automation

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/aside"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/db"
)

// gateAfter is how long a session may hold its loop before that counts as a skip. Behaviour, "Skips (Loop)": "a session
// held open at the review gate for over 60 minutes".
const gateAfter = time.Hour

// WatchGates tells the creators of loops whose open session has held them for long: one row and one notice a streak.
func (s Schedules) WatchGates(ctx context.Context) error {
	now := s.Now()
	list, err := db.HeldLoops(ctx, s.DB, now, now.Add(-gateAfter), 100)
	if err != nil {
		return fault.Wrap(err, "watch review gates")
	}
	round := s.Round(db.TaskGates)
	for i := range list {
		row := aside.Row{
			Key: list[i].ID.String(), About: "the loop " + list[i].Name + ", which waits for a review",
			Workspace: list[i].WorkspaceID,
		}
		if err := round.Deal(ctx, row, func(ctx context.Context) error {
			return db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
				return s.notifyOfHeldLoop(ctx, tx, list[i].ID)
			})
		}); err != nil {
			return fault.Wrap(err, "watch review gates")
		}
	}
	return nil
}

// notifyOfHeldLoop begins the streak of a loop that a review holds.
func (s Schedules) notifyOfHeldLoop(ctx context.Context, tx bun.Tx, id uuid.UUID) error {
	now := s.Now()
	a, held, err := db.LockHeldLoop(ctx, tx, id, now.Add(-gateAfter))
	if err != nil || a == nil {
		return err
	}
	e := ledger(a, db.Skipped, "a session is held open for review", now, now)
	e.BlockedBy = held.ID
	if written, err := db.InsertExecution(ctx, tx, &e); err != nil || !written {
		return err
	}
	if err := db.SetSkip(ctx, tx, a.ID, e.ID); err != nil {
		return err
	}
	return s.notifyCreator(ctx, tx, &a.Automation, inbox.Notice{
		Kind: inbox.Skipped, Title: a.Name + " waits for a review", Execution: e.ID, Session: held.SessionID,
		Key:  "skipped " + e.ID.String(),
		Body: "Its last session has been open for over an hour, and the loop goes on only when someone closes it.",
	})
}

// Repair gives a next run to enabled automations that lost theirs, and returns how many there were. There is
// no known way to lose one; this is the safety net below all others.
func (s Schedules) Repair(ctx context.Context) (int, error) {
	list, err := db.Unscheduled(ctx, s.DB, s.Now(), 500)
	if err != nil {
		return 0, fault.Wrap(err, "repair schedules")
	}
	n, round := 0, s.Round(db.TaskWatch)
	for i := range list {
		repaired := false
		err := round.Deal(ctx, aside.Row{
			Key: list[i].ID.String(), About: "the schedule of " + list[i].Name, Workspace: list[i].WorkspaceID,
		}, func(ctx context.Context) error {
			err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
				repaired, err = s.repair(ctx, tx, list[i].ID)
				return err
			})
			repaired = repaired && err == nil
			return err
		})
		if err != nil {
			return n, fault.Wrap(err, "repair schedules")
		}
		if repaired {
			n++
		}
	}
	return n, nil
}

// repair gives a next run to an automation that has none, or says why there is none. It reports whether there was
// something to repair.
func (s Schedules) repair(ctx context.Context, tx bun.Tx, id uuid.UUID) (bool, error) {
	a, err := db.LockUnscheduled(ctx, tx, id)
	if err != nil || a == nil {
		return false, err
	}
	if a.Trigger == db.OneTime { // it ran, or came to nothing: either way it is over
		return true, s.switchOff(ctx, tx, a, db.ByFinishing, "its single run is over")
	}
	if err := scheduleFirst(a, s.Now()); err != nil {
		return true, s.disableFor(ctx, tx, a, nil, db.ByInvalid, "its schedule cannot be computed any more")
	}
	return true, setNextRun(ctx, tx, a, a.NextRunAt)
}

// gapsBatch is how many schedules one look for gaps checks.
const gapsBatch = 500

// FindGaps checks the ledger of the next recurring automations after a given one: a due time that no row answers and
// that the schedule has passed by is a gap. There is no known way for one to come about. It is closed by making that
// time due again, so that the rule for missed runs answers it. FindGaps returns how many it found, and where to go on.
func (s Schedules) FindGaps(ctx context.Context, after uuid.UUID) (gaps int, next uuid.UUID, err error) {
	list, err := db.SchedulesToCheck(ctx, s.DB, s.Now(), after, gapsBatch)
	if err != nil {
		return 0, after, fault.Wrap(err, "look for gaps in the ledger")
	}
	round := s.Round(db.TaskWatch)
	for i := range list {
		a := &list[i]
		next = a.ID
		if due, _ := expected(a, s.Now()); due.IsZero() {
			continue
		}
		closed := false
		row := aside.Row{Key: a.ID.String(), About: "the schedule of " + a.Name, Workspace: a.WorkspaceID}
		err := round.Deal(ctx, row,
			func(ctx context.Context) error {
				err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
					closed, err = s.closeGap(ctx, tx, a.ID)
					return err
				})
				closed = closed && err == nil
				return err
			})
		if err != nil {
			return gaps, next, fault.Wrap(err, "look for gaps in the ledger")
		}
		if closed {
			gaps++
		}
	}
	if len(list) < gapsBatch {
		next = uuid.Nil // begin again
	}
	return gaps, next, nil
}

// expected is the due time that a schedule should have next where that is before its next run; else zero. gap says
// that it is a due time that was passed by. It is none where the clock was set back since: then the schedule is too far
// ahead.
func expected(a *db.Answered, now time.Time) (due time.Time, gap bool) {
	expression, zone, err := recurrence(a.Cron, a.TimeZone)
	if err != nil || a.ScheduledSince.IsZero() {
		return time.Time{}, false // StartDue disables what cannot be read, saying why
	}
	from := a.ScheduledSince
	if a.AnsweredAt.After(from) {
		from = a.AnsweredAt
	}
	gap = !from.After(now)
	if !gap {
		from = now
	}
	if due = expression.Next(from, zone); due.IsZero() || !due.Before(a.NextRunAt) {
		return time.Time{}, false
	}
	return due, gap
}

// closeGap makes the due time of a schedule due that it should have next and has passed by. It reports whether that
// was a gap.
func (s Schedules) closeGap(ctx context.Context, tx bun.Tx, id uuid.UUID) (bool, error) {
	// First the lock, then what is true under it: what a statement reads beside the row that it locks may be older than
	// that.
	if _, err := db.LockAutomation(ctx, tx, id); err != nil {
		if db.IsNotFound(err) {
			return false, nil
		}
		return false, err
	}
	a, err := db.AnsweredOf(ctx, tx, id)
	if err != nil || a.Trigger != db.Recurring || !a.Enabled || a.NextRunAt.IsZero() {
		return false, err
	}
	due, gap := expected(a, s.Now())
	if due.IsZero() {
		return false, nil
	}
	if !gap {
		s.Log.Warn("a schedule was ahead of the clock", "automation", id, "due", due, "next", a.NextRunAt)
		if err := reopenAnswers(ctx, tx, &a.Automation, s.Now()); err != nil {
			return false, err
		}
		return false, setNextRun(ctx, tx, &a.Automation, due) // StartDue passes over what is answered
	}
	answered, err := db.HasAnswer(ctx, tx, id, due)
	if err != nil || answered {
		return false, err
	}
	s.Log.Error("a due time has no row", "automation", id, "due", due, "next", a.NextRunAt)
	return true, setNextRun(ctx, tx, &a.Automation, due)
}

// reopenAnswers opens due times again that a clock which was ahead has passed by: what is to come was not missed. A row
// that stands for some of them and for others stands for the others alone.
func reopenAnswers(ctx context.Context, tx bun.Tx, a *db.Automation, now time.Time) error {
	expression, zone, err := recurrence(a.Cron, a.TimeZone)
	if err != nil {
		return nil //nolint:nilerr // StartDue disables what cannot be read, saying why
	}
	list, err := db.AnswersAhead(ctx, tx, a.ID, now)
	if err != nil {
		return err
	}
	for i := range list {
		e := &list[i]
		switch {
		case e.Snapshot.Cron != a.Cron || e.Snapshot.TimeZone != a.TimeZone: // of another schedule
			continue
		case e.Status == db.Missed && e.ScheduledFor.After(now):
			err = db.DropMissed(ctx, tx, e.ID)
		default:
			last, _, n := passed(expression, zone, e.ScheduledFor, now)
			err = db.ShortenAnswer(ctx, tx, e.ID, n, last)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// CorrectFutureTimes corrects times that are too far in the future because the clock was set back.
// Recurring schedules are computed anew by FindGaps.
func (s Schedules) CorrectFutureTimes(ctx context.Context) error {
	return db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.CorrectFutureTimes(ctx, tx, s.Now())
	})
}
