package automation

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/crash"
	"carillon/app/fault"
	"carillon/db"
)

// retryPause is how long a run rests before it is tried again, by how many attempts have failed.
func retryPause(failed int) time.Duration {
	pause := 15 * time.Second
	for range min(failed-1, 3) {
		pause *= 4
	}
	return min(pause, 10*time.Minute)
}

// outageRetries is how often a run is tried again at least, and a person's message, that no agent was asked for, since
// something that surrounds it could not be used.
const outageRetries = 4

// patience is how far away a time may be that the provider names for trying again.
const patience = time.Hour

// Retry says when a failed run is tried again, and how many attempts have failed so far.
type Retry struct {
	At      time.Time
	Failed  int
	Allowed int // attempts in all
}

// PlanRetry says when a run that failed in a way that passes by itself is tried again, or a person's message that an
// outage kept from the agent; nil where it is not: its attempts are used up, or its timeout would be over by then.
func (s Runs) PlanRetry(ctx context.Context, session uuid.UUID, o Outcome) (*Retry, error) {
	e, err := db.ExecutionBySession(ctx, s.DB, session)
	if err != nil && !db.IsNotFound(err) {
		return nil, err
	}
	if err == nil && e.Status.InFlight() {
		return s.planRetry(ctx, s.DB, e, o)
	}
	of, err := db.SessionByID(ctx, s.DB, session)
	if err != nil {
		return nil, err
	}
	return s.planReply(of, o), nil
}

// planReply is planRetry for people's messages.
func (s Runs) planReply(session *db.Session, o Outcome) *Retry {
	if o.Status != db.Failed || o.Class != db.ErrorOutage || session.Outages >= outageRetries {
		return nil
	}
	failed := session.Outages + 1
	return &Retry{At: s.Now().Add(retryPause(failed)), Failed: failed, Allowed: outageRetries + 1}
}

func (s Runs) planRetry(ctx context.Context, q bun.IDB, e *db.Execution, o Outcome) (*Retry, error) {
	retries := e.Snapshot.Retries
	switch o.Class {
	case "transient":
	case db.ErrorOutage: // whatever the automation says: no agent was asked
		retries = max(retries, outageRetries)
	default:
		return nil, nil
	}
	if o.Status != db.Failed || !e.Status.InFlight() {
		return nil, nil
	}
	before, err := db.AttemptsOf(ctx, q, e.ID)
	if err != nil {
		return nil, err
	}
	alike := 0
	for _, a := range before {
		if a.ErrorClass == o.Class {
			alike++
		}
	}
	if alike >= retries {
		return nil, nil
	}
	r := &Retry{Failed: len(before) + 1, Allowed: len(before) + 1 + retries - alike}
	now := s.Now()
	r.At = now.Add(retryPause(alike + 1))
	if o.RetryAt.After(r.At) {
		if o.RetryAt.Sub(now) > patience {
			return nil, nil
		}
		r.At = o.RetryAt
	}
	if limit := e.Snapshot.TimeoutSeconds; limit > 0 && worked(e, o, now) >= time.Duration(limit)*time.Second {
		return nil, nil
	}
	return r, nil
}

// worked is how long a run was at work, over its attempts and resumes, without what it waited.
func worked(e *db.Execution, o Outcome, now time.Time) time.Duration {
	before := time.Duration(e.WorkedSeconds * float64(time.Second))
	if o.Began.IsZero() {
		return before
	}
	return before + now.Sub(o.Began)
}

// Retry puts a session whose turn failed in a way that passes by itself back into the queue, with the same turn, or
// with none where no agent was asked, and writes the attempt that failed. It reports whether it did: else the run has
// to be finished. It returns db.ErrLeaseLost, and changes nothing, when another process holds the session.
func (s Runs) Retry(ctx context.Context, lease db.Lease, turn uuid.UUID, o Outcome) (bool, error) {
	again := false
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		session, err := db.LockSession(ctx, tx, lease.Session)
		if err != nil {
			return err
		}
		if session.Status != db.SessionInProgress || session.Worker != lease.Worker || session.Fence != lease.Fence {
			return db.ErrLeaseLost
		}
		if _, toStop := askedToStop(session); toStop {
			return nil
		}
		e, err := db.LockExecutionInFlight(ctx, tx, session.ID)
		if db.IsNotFound(err) {
			plan := s.planReply(session, o)
			if plan == nil {
				return nil
			}
			again = true
			if err := db.CountOutage(ctx, tx, session.ID); err != nil {
				return err
			}
			if err := db.QueueAgain(ctx, tx, session.ID, uuid.Nil, plan.At); err != nil {
				return err
			}
			return db.Notify(ctx, tx, "session", session.ID)
		}
		if err != nil {
			return err
		}
		o.Began = session.AtWorkSince
		plan, err := s.planRetry(ctx, tx, e, o)
		if err != nil || plan == nil {
			return err
		}
		again = true
		err = db.AddAttempt(ctx, tx, &db.Attempt{
			ExecutionID: e.ID, Attempt: plan.Failed, TurnID: turn, FailedAt: s.Now(), RetryAt: plan.At,
			ErrorClass: o.Class, Reason: o.Reason,
		})
		if err != nil {
			return err
		}
		if err := db.AddWorkedTime(ctx, tx, session.ID, s.Now()); err != nil {
			return err
		}
		if err := db.QueueAgain(ctx, tx, session.ID, turn, plan.At); err != nil {
			return err
		}
		if err := db.Notify(ctx, tx, "session", session.ID); err != nil {
			return err
		}
		crash.Here(crash.RetryWritten)
		return db.Notify(ctx, tx, "automation", e.AutomationID)
	})
	if again && err == nil {
		crash.Here(crash.RetryCommitted)
	}
	return again && err == nil, fault.Wrap(err, "try session %s again", lease.Session)
}
