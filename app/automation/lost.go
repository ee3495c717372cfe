package automation

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/aside"
	"carillon/app/crash"
	"carillon/app/fault"
	"carillon/db"
)

// Interrupt ends the sessions whose worker is gone: the server was restarted or its machine died. An execution that
// cannot be resumed ends as failed, "interrupted by a restart", and counts for nothing; so does one that has waited for
// a worker for too long. One that cannot be ended does not keep the others from it. Interrupt returns how many it dealt
// with.
func (s Runs) Interrupt(ctx context.Context, resumable func(provider string) bool) (int, error) {
	n, err := s.interruptLost(ctx, db.LostFilter{At: s.Now()}, resumable)
	if err != nil {
		return n, err
	}
	waited, err := s.endWaiting(ctx)
	return n + waited, fault.Wrap(err, "end sessions that wait")
}

// InterruptFormer is Interrupt for the sessions of a former life of a worker, which are known to be without one. Those
// of others are left to Interrupt: a worker whose lease is over for a moment may live.
func (s Runs) InterruptFormer(ctx context.Context, worker string,
	resumable func(provider string) bool) (int, error) {
	return s.interruptLost(ctx, db.LostFilter{At: s.Now(), Worker: worker}, resumable)
}

func (s Runs) interruptLost(ctx context.Context, which db.LostFilter,
	resumable func(provider string) bool) (int, error) {
	list, err := db.LostSessions(ctx, s.DB, which, mostLost)
	if err != nil {
		return 0, fault.Wrap(err, "interrupt lost sessions")
	}
	n, round := 0, s.Round(db.TaskReap)
	for i := range list {
		id, ended := list[i].ID, false
		err := round.Deal(ctx, aside.Row{
			Key: id.String(), About: "the session " + list[i].Title + ", whose worker is gone",
			Workspace: list[i].WorkspaceID,
		}, func(ctx context.Context) error {
			err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
				ended = false
				session, err := db.LockLostSession(ctx, tx, id, which)
				if db.IsNotFound(err) {
					return nil
				}
				if err != nil {
					return err
				}
				crash.Here(crash.LostLocked)
				ended = true
				return s.interrupt(ctx, tx, session, "interrupted by a restart", resumable)
			})
			if ended && err == nil {
				crash.Here(crash.LostCommitted)
			}
			ended = ended && err == nil
			return err
		})
		if err != nil {
			return n, fault.Wrap(err, "interrupt lost sessions")
		}
		if ended {
			n++
		}
	}
	return n, nil
}

// mostLost is how many lost sessions one call of Interrupt deals with; the next deals with the rest.
const mostLost = 100

// Release is Interrupt for one session, by the worker that holds it and has stopped its agent for a reason. It returns
// db.ErrLeaseLost, and changes nothing, when the lease is no longer good.
func (s Runs) Release(ctx context.Context, lease db.Lease, reason string,
	resumable func(provider string) bool) error {
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := db.CheckLease(ctx, tx, lease); err != nil {
			return err
		}
		session, err := db.LockSession(ctx, tx, lease.Session)
		if err != nil {
			return err
		}
		return s.interrupt(ctx, tx, session, reason, resumable)
	})
	return fault.Wrap(err, "release session %s", lease.Session)
}

// interrupt puts a session without a worker back into the queue where its work can go on, and ends it for a reason
// where not.
func (s Runs) interrupt(ctx context.Context, tx bun.Tx, session *db.Session, reason string,
	resumable func(provider string) bool) error {
	o := Outcome{Status: db.Failed, Reason: reason, Class: db.ErrorLost, Neutral: true}
	asked, toStop := askedToStop(session)
	if toStop {
		o = asked
	} else {
		goesOn, err := canResume(ctx, tx, session, resumable)
		switch {
		case err != nil:
			return err
		case goesOn && session.Resumes < maxResumes:
			if err := db.AddWorkedTime(ctx, tx, session.ID, session.LeaseUntil.Add(-db.LeaseFor)); err != nil {
				return err
			}
			if err := db.Resume(ctx, tx, session.ID, s.Now()); err != nil {
				return err
			}
			crash.Here(crash.LostResumed)
			return db.Notify(ctx, tx, "queue", uuid.Nil)
		case goesOn:
			o.Reason, o.Tell = fmt.Sprintf("its worker was lost %d times while it was at work", session.Resumes+1), true
		}
	}
	o.TurnBegun, o.FilesChanged = true, true
	if err := s.finishUnattended(ctx, tx, session, o); err != nil {
		return err
	}
	crash.Here(crash.LostEnded)
	return nil
}

// finishUnattended is finish for a session that no worker is at work on. A message that was cut off counts, with its
// usage unknown.
func (s Runs) finishUnattended(ctx context.Context, tx bun.Tx, session *db.Session, o Outcome) error {
	if err := s.finish(ctx, tx, session, o); err != nil {
		return err
	}
	return db.SumUsage(ctx, tx, session.ID)
}

// askedToStop is how the work on a session ends that somebody has asked to end.
func askedToStop(session *db.Session) (Outcome, bool) {
	switch {
	case !session.CancelRequestedAt.IsZero():
		return Outcome{Status: db.Canceled, Reason: "canceled"}, true
	case !session.InterruptAt.IsZero():
		return Outcome{Status: db.Canceled, Reason: "interrupted", Interrupted: true}, true
	}
	return Outcome{}, false
}

// maxResumes is how often a run, or a person's message, goes on after its worker was lost. Behaviour, "Resumes after a
// crash".
const maxResumes = 3

// canResume reports whether the work on a session can go on in another process: its agent goes on with the
// conversation, or was not given a message yet.
func canResume(ctx context.Context, tx bun.Tx, session *db.Session,
	resumable func(provider string) bool) (bool, error) {
	if session.Conversation != "" && resumable(session.Provider) {
		return true, nil
	}
	given, err := db.HasTurnAtWork(ctx, tx, session.ID)
	return !given && err == nil, err
}

// maxWait is how long a session waits for a worker, and with that for a place or for a paused provider.
// Behaviour, "Timeout".
const maxWait = 24 * time.Hour

// endWaiting ends sessions that have waited too long. It returns how many.
func (s Runs) endWaiting(ctx context.Context) (int, error) {
	now := s.Now()
	list, err := db.WaitingSessions(ctx, s.DB, now.Add(-maxWait), now, mostLost)
	if err != nil {
		return 0, err
	}
	n, round := 0, s.Round(db.TaskReap)
	for i := range list {
		id, ended := list[i].ID, false
		err := round.Deal(ctx, aside.Row{
			Key: id.String(), About: "the session " + list[i].Title + ", which waits for a worker",
			Workspace: list[i].WorkspaceID,
		}, func(ctx context.Context) error {
			err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
				ended = false
				session, err := db.LockSession(ctx, tx, id)
				if db.IsNotFound(err) { // it is gone, which is no trouble
					return nil
				}
				if err != nil || session.Status != db.SessionQueued || !session.QueuedAt.Before(now.Add(-maxWait)) ||
					session.Fence != list[i].Fence {
					return err
				}
				ended = true
				reason := "it waited for a day, and no worker could take it"
				pauses, err := db.PausesOf(ctx, tx, []uuid.UUID{id})
				if err != nil {
					return err
				}
				if p, ok := pauses[id]; ok {
					reason = "it waited for a day, in which its provider could not be used: " + p.Reason
				}
				return s.finishUnattended(ctx, tx, session, Outcome{
					Status: db.Failed, Class: db.ErrorWaiting, Reason: reason, Neutral: true, Tell: true,
					FilesChanged: true,
				})
			})
			ended = ended && err == nil
			return err
		})
		if err != nil {
			return n, err
		}
		if ended {
			n++
		}
	}
	return n, nil
}
