package automation

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/db"
)

// gateAfter is how long a session may hold its loop before that counts as a skip. Behaviour, "Skips (Loop)": "a session
// held open at the review gate for over 60 minutes".
const gateAfter = time.Hour

// WatchGates tells the creators of loops whose open session has held them for long: one row and one notice a streak.
func (s *Service) WatchGates(ctx context.Context) error {
	err := s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		now := s.Now()
		list, executions, err := db.HeldGates(ctx, tx, now.Add(-gateAfter), 100)
		if err != nil {
			return err
		}
		for i := range list {
			a, held := &list[i], executions[i]
			e := ledger(a, db.Skipped, "a session is held open for review", now, now)
			e.BlockedBy = held.ID
			if err := db.InsertExecutions(ctx, tx, []db.Execution{e}); err != nil {
				return err
			}
			if err := db.SetSkip(ctx, tx, a.ID, e.ID); err != nil {
				return err
			}
			if err := s.tell(ctx, tx, &a.Automation, notice{
				kind: NoticeSkipped, title: a.Name + " waits for a review", execution: e.ID, session: held.SessionID, key: "skipped " + e.ID.String(),
				body: "Its last session has been open for over an hour, and the loop goes on only when someone closes it.",
			}); err != nil {
				return err
			}
		}
		return nil
	})
	return wrap(err, "watch review gates")
}

// RepairSchedules gives a next run to enabled automations that lost theirs, and returns how many there were. There is no
// known way to lose one; this is the safety net below all others.
func (s *Service) RepairSchedules(ctx context.Context) (int, error) {
	n := 0
	err := s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		list, err := db.Unscheduled(ctx, tx, 500)
		if err != nil {
			return err
		}
		n = len(list)
		for i := range list {
			a := &list[i]
			if a.Trigger == db.OneTime { // it ran, or came to nothing: either way it is over
				if err := s.switchOff(ctx, tx, a, db.ByFinishing, "its single run is over"); err != nil {
					return err
				}
				continue
			}
			if err := s.begin(a, s.Now()); err != nil {
				if err := s.disableFor(ctx, tx, a, nil, db.ByInvalid, "its schedule cannot be computed any more"); err != nil {
					return err
				}
				continue
			}
			if err := s.schedule(ctx, tx, a, a.NextRunAt); err != nil {
				return err
			}
		}
		return nil
	})
	return n, wrap(err, "repair schedules")
}

// holesBatch is how many schedules one look for holes checks.
const holesBatch = 500

// FindHoles checks the ledger of the next recurring automations after a given one: a due time that no row answers and that
// the schedule has passed by is a hole. There is no known way for one to come about. It is closed by making that time due
// again, so that the rule for missed runs answers it. FindHoles returns how many it found, and where to go on.
func (s *Service) FindHoles(ctx context.Context, after uuid.UUID) (holes int, next uuid.UUID, err error) {
	err = s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		list, err := db.SchedulesToCheck(ctx, tx, after, holesBatch)
		if err != nil {
			return err
		}
		for i := range list {
			a := &list[i]
			next = a.ID
			expression, zone, err := s.recurrence(a.Cron, a.TimeZone)
			if err != nil {
				continue // StartDue disables it, saying why
			}
			from := a.ScheduledSince
			if a.AnsweredAt.After(from) {
				from = a.AnsweredAt
			}
			due := expression.Next(from, zone)
			if from.IsZero() || due.IsZero() || !due.Before(a.NextRunAt) {
				continue
			}
			holes++
			s.Log.Error("a due time has no row", "automation", a.ID, "due", due, "next", a.NextRunAt)
			if err := s.schedule(ctx, tx, &a.Automation, due); err != nil {
				return err
			}
		}
		if len(list) < holesBatch {
			next = uuid.Nil // begin again
		}
		return nil
	})
	return holes, next, wrap(err, "look for holes in the ledger")
}
