package automation

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/inbox"
	"carillon/db"
)

// maxFailures is how many failures in a row disable a Recurring or Loop automation. Specification: "auto-disabled
// after 3 consecutive failures".
const maxFailures = 3

// recordOutcome lets an ended execution count: failures towards disabling, a success against them.
//
// Specification, "Auto-disable & failure notifications": Recurring and Loop after 3 in a row, One-Time at the first;
// Manual and HTTP Trigger never, but their creator is told once a streak. A failure of Run Now on a scheduled
// automation does not count; its success resets. Neither counts what began under another trigger.
func (s Runs) recordOutcome(ctx context.Context, tx bun.Tx, a *db.Automation, e *db.Execution) error {
	if e.Neutral {
		return nil
	}
	if e.Status == db.Succeeded {
		if a.FailureStreak > 0 {
			a.FailureStreak = 0
			return db.SetFailureStreak(ctx, tx, a.ID, 0)
		}
		return nil
	}
	if a.Scheduled() && e.Source != db.BySchedule || e.Snapshot.Trigger != "" && e.Snapshot.Trigger != a.Trigger {
		return nil
	}
	if a.Trigger == db.OneTime && !isLast(a, e) { // its next run is not held to it
		return nil
	}
	a.FailureStreak++
	if err := db.SetFailureStreak(ctx, tx, a.ID, a.FailureStreak); err != nil {
		return err
	}
	switch {
	case a.Trigger == db.OneTime && !a.NextRunAt.IsZero(): // it got another time: this end is not its own
		return nil
	case a.Trigger == db.OneTime:
		return s.disableFor(ctx, tx, a, e, db.ByFailures, "its single run failed: "+e.Reason)
	case a.Scheduled() && a.FailureStreak >= maxFailures:
		return s.disableFor(ctx, tx, a, e, db.ByFailures,
			fmt.Sprintf("%d runs in a row failed, the last one because %s", a.FailureStreak, e.Reason))
	case !a.Scheduled() && a.FailureStreak == 1:
		return s.notifyOfFailure(ctx, tx, a, e)
	}
	return nil
}

// notifyOfNeutralEnd tells of a run that came to nothing without a fault of the automation: that counts for nothing,
// and somebody has to know. Of several in a row for one reason the first is told.
func (s Runs) notifyOfNeutralEnd(ctx context.Context, tx bun.Tx, a *db.Automation, e *db.Execution) error {
	again, err := db.PreviousRunFailedAlike(ctx, tx, e)
	if err != nil || again {
		return err
	}
	return s.notifyCreator(ctx, tx, a, inbox.Notice{
		Kind: inbox.RunFailed, Title: a.Name + " could not run", Body: form.Capitalize(e.Reason) +
			". This does not count against the automation.",
		Execution: e.ID, Session: e.SessionID, Key: "failed " + e.ID.String(),
	})
}

// notifyOfFailure tells the creator of a failure that switches nothing off.
func (s Runs) notifyOfFailure(ctx context.Context, tx bun.Tx, a *db.Automation, e *db.Execution) error {
	return s.notifyCreator(ctx, tx, a, inbox.Notice{
		Kind: inbox.RunFailed, Title: a.Name + " failed", Body: fault.Sentence(e.Reason), Execution: e.ID,
		Session: e.SessionID,
		Key:     "failed " + e.ID.String(),
	})
}

// disableFor switches an automation off for a reason and tells its creator.
func (s *Service) disableFor(ctx context.Context, tx bun.Tx, a *db.Automation, e *db.Execution, kind db.DisabledKind,
	reason string) error {
	if !a.Enabled {
		return nil
	}
	if err := s.switchOff(ctx, tx, a, kind, reason); err != nil {
		return err
	}
	n := disabledNotice(a, reason)
	if e != nil {
		n.Execution, n.Session, n.Key = e.ID, e.SessionID, "disabled "+e.ID.String()
	}
	return s.notifyCreator(ctx, tx, a, n)
}

// disabledNotice says that an automation was switched off, and why.
func disabledNotice(a *db.Automation, reason string) inbox.Notice {
	return inbox.Notice{
		Kind: inbox.Disabled, Title: a.Name + " was disabled", Body: fault.Sentence(reason),
		Key: "disabled " + db.NewID().String(),
	}
}

// switchOff disables an automation that is locked; the schedule goes with it.
func (s *Service) switchOff(ctx context.Context, tx bun.Tx, a *db.Automation, kind db.DisabledKind,
	reason string) error {
	a.Enabled, a.NextRunAt, a.DisabledKind, a.DisabledReason, a.DisabledAt = false, time.Time{}, kind, reason, s.Now()
	if err := db.SaveSwitch(ctx, tx, a); err != nil {
		return err
	}
	return s.audit(ctx, tx, uuid.Nil, "automation.disable", a, reason)
}
