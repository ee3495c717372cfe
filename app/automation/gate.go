package automation

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/crash"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/inbox"
	"carillon/db"
)

// gatePause is after how long a loop asks its gate again that let no run through.
const gatePause = time.Minute

// GateRefuses says why an automation's gate does not let a run through, as far as rows can tell: base is the commit at
// which the run would begin. It is empty when the run may begin.
func (s Runs) GateRefuses(ctx context.Context, automation uuid.UUID, g db.Gate, base string) (string, error) {
	if g.NoOpenPR {
		url, err := db.OpenPullRequest(ctx, s.DB, automation)
		if err != nil {
			return "", err
		}
		if url != "" {
			return "its pull request " + url + " is still open", nil
		}
	}
	if g.BranchMoved {
		last, err := db.LastSuccess(ctx, s.DB, automation)
		if err != nil {
			return "", err
		}
		if last != "" && last == base {
			return "the branch has not moved since the last successful run", nil
		}
	}
	return "", nil
}

// PassGate ends what a worker does at the gate of a session, which lets the run through: it goes into the queue for an
// agent's place. Waiting there counts into no timeout. A run that was asked to stop meanwhile ends instead. It returns
// db.ErrLeaseLost, and changes nothing, when another process holds the session.
func (s Runs) PassGate(ctx context.Context, lease db.Lease) error {
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		session, err := db.LockSession(ctx, tx, lease.Session)
		if err != nil {
			return err
		}
		if session.Status != db.SessionInProgress || session.Worker != lease.Worker || session.Fence != lease.Fence {
			return db.ErrLeaseLost
		}
		if o, ok := askedToStop(session); ok {
			return s.finish(ctx, tx, session, o)
		}
		now := s.Now()
		if err := db.AddWorkedTime(ctx, tx, session.ID, now); err != nil {
			return err
		}
		if err := db.PassGate(ctx, tx, session.ID, now); err != nil {
			return err
		}
		if err := db.Notify(ctx, tx, "session", session.ID); err != nil {
			return err
		}
		crash.Here(crash.GatePassing)
		return db.Notify(ctx, tx, "queue", uuid.Nil)
	})
	return fault.Wrap(err, "let session %s pass its gate", lease.Session)
}

// gateClosed keeps account of a loop whose gate let no run begin, and asks it again later. Of a streak there is one row
// and one notice, and no session stays: nothing was done in it.
func (s Runs) gateClosed(ctx context.Context, tx bun.Tx, a *db.Automation, e *db.Execution, session *db.Session,
	now time.Time) error {
	streak, err := db.GateStreak(ctx, tx, a.ID, e.ID)
	if err != nil {
		return err
	}
	counted := false
	if streak != uuid.Nil {
		if counted, err = db.AddSkip(ctx, tx, streak, 1, e.ScheduledFor); err != nil {
			return err
		}
	}
	if err := db.DeleteSession(ctx, tx, session.ID); err != nil {
		return err
	}
	if counted {
		err = db.DeleteExecution(ctx, tx, e.ID)
	} else {
		err = s.notifyCreator(ctx, tx, a, inbox.Notice{
			Kind: inbox.Skipped, Title: a.Name + " waits for its gate", Execution: e.ID,
			Key: "skipped " + e.ID.String(),
			Body: form.Capitalize(e.Reason) +
				". It is asked again each minute; until it lets a run begin, that is counted in the history without " +
				"a notice of its own.",
		})
	}
	if err != nil {
		return err
	}
	if e.Iteration > 0 && a.Iterations > 0 { // what did not begin is no iteration
		a.Iterations--
		if err := db.SaveSwitch(ctx, tx, a); err != nil {
			return err
		}
	}
	if a.Trigger == db.Loop && a.Enabled && a.NextRunAt.IsZero() {
		if err := setNextRun(ctx, tx, a, now.Add(gatePause)); err != nil {
			return err
		}
	}
	if err := db.Notify(ctx, tx, "session", session.ID); err != nil {
		return err
	}
	return db.Notify(ctx, tx, "automation", a.ID)
}
