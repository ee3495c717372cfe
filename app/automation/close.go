package automation

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/app/pullrequest"
	"carillon/db"
)

// statusAfter is what becomes of a session when its run has ended: stopped by a person it is canceled; with
// Auto-Complete it is Done, unless files changed and those are to be looked at; else it stays open.
func statusAfter(e *db.Execution, o Outcome) db.SessionStatus {
	switch {
	case o.Interrupted:
		return db.SessionWaiting
	case e.Status == db.Canceled, e.Status == db.Skipped:
		return db.SessionCanceled
	case e.Status == db.Succeeded && o.Completion == IsCompleted:
		return db.SessionDone
	case e.Status == db.Succeeded && o.Completion == StaysOpen:
		return db.SessionWaiting
	case e.Snapshot.AutoComplete && e.Snapshot.Trigger != db.HTTP && !(e.Snapshot.OnlyUnchanged && o.FilesChanged):
		return db.SessionDone
	default:
		return db.SessionWaiting
	}
}

// release ends a worker's hold on a session. One that stays open goes back to the queue when a person's message
// arrived in the meantime.
func (s Sessions) release(ctx context.Context, tx bun.Tx, session *db.Session, status db.SessionStatus, by uuid.UUID,
	now time.Time) error {
	if session.Status == db.SessionInProgress || session.Status == db.SessionQueued {
		// a person's closing it later is not its work
		session.EndedAt = now
	}
	session.Status, session.ClosedBy = status, by
	switch {
	case status == db.SessionCanceled:
		if err := db.CancelTurns(ctx, tx, session.ID, uuid.Nil, "the session was canceled", now); err != nil {
			return err
		}
		session.ClosedAt = now
	default:
		pending, err := db.HasQueuedTurns(ctx, tx, session.ID)
		if err != nil {
			return err
		}
		if !pending && status == db.SessionWaiting {
			// a pull request may have come to its end while the agent was at work
			if session.Status, err = pullrequest.FinalStatus(ctx, tx, session, now); err != nil {
				return err
			}
		}
		if pending {
			session.Status, session.QueuedAt = db.SessionQueued, now
		} else if session.Status.Closed() {
			session.ClosedAt = now
		}
	}
	if err := db.ReleaseSession(ctx, tx, session); err != nil {
		return err
	}
	if err := db.Notify(ctx, tx, "session", session.ID); err != nil {
		return err
	}
	if session.Status == db.SessionQueued {
		return db.Notify(ctx, tx, "queue", uuid.Nil)
	}
	if session.Status.Closed() {
		return s.onClosed(ctx, tx, session, now)
	}
	return nil
}

// onClosed goes on with what waits for a session to be over: the next iteration of its loop.
//
// Behaviour, "Loop, next run": 5 s after a success, 30 s after the first failure, 2 min after the second.
func (s Sessions) onClosed(ctx context.Context, tx bun.Tx, session *db.Session, now time.Time) error {
	if session.AutomationID == uuid.Nil {
		return nil
	}
	a, err := db.LockAutomation(ctx, tx, session.AutomationID)
	if db.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if a.Trigger != db.Loop || !a.Enabled || !a.NextRunAt.IsZero() {
		return nil
	}
	e, err := db.LatestScheduled(ctx, tx, a.ID)
	if db.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if e.SessionID != session.ID || e.Status.InFlight() {
		return nil // an older iteration, or a Run Now: neither moves the loop
	}
	if done, reason := loopDone(a, e); done {
		if err := s.switchOff(ctx, tx, a, db.ByFinishing, reason); err != nil {
			return err
		}
		return s.notifyCreator(ctx, tx, a, inbox.Notice{
			Kind: inbox.LoopFinished, Title: a.Name + " has finished its loop", Body: fault.Sentence(reason),
			Execution: e.ID, Session: e.SessionID, Key: "finished " + e.ID.String(),
		})
	}
	return setNextRun(ctx, tx, a, now.Add(loopPause(a.FailureStreak)))
}

// loopPause is how long a loop rests after a session, by how many failures it has in a row.
func loopPause(failures int) time.Duration {
	switch failures {
	case 0:
		return 5 * time.Second
	case 1:
		return 30 * time.Second
	default:
		return 2 * time.Minute
	}
}

// loopDone reports whether a loop has reached its condition, and which.
func loopDone(a *db.Automation, e *db.Execution) (bool, string) {
	switch {
	case a.MaxIterations > 0 && a.Iterations >= a.MaxIterations:
		return true, fmt.Sprintf("it reached its maximum of %d iterations", a.MaxIterations)
	case a.StopText != "" && e.Status == db.Succeeded && strings.Contains(e.Answer, a.StopText):
		return true, fmt.Sprintf("the final answer contains “%s”", a.StopText)
	}
	return false, ""
}

// setNextRun sets when an automation is due next and wakes the schedulers.
func setNextRun(ctx context.Context, tx bun.Tx, a *db.Automation, at time.Time) error {
	a.NextRunAt = at
	if err := db.SetNextRun(ctx, tx, a.ID, at); err != nil {
		return err
	}
	return db.Notify(ctx, tx, "schedule", uuid.Nil)
}
