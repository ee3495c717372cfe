package automation

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/crash"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/app/provider"
	"carillon/app/pullrequest"
	"carillon/app/ticket"
	"carillon/db"
)

// Outcome is how the work on a session ended, as the worker saw it.
type Outcome struct {
	// succeeded, failed, timed_out, canceled, or skipped where its gate did not let it begin
	Status       db.ExecutionStatus
	Reason       string // why it did not succeed, as a sentence's end
	Class        string // of a failure: start, auth, model, rate_limit, transient, agent, timeout, ...
	ExitCode     *int
	Neutral      bool // counts neither for nor against the automation
	Answer       string
	FilesChanged bool
	NothingToDo  bool // of a success: a kind of its own

	Began           time.Time // when the worker took the session
	Tell            bool      // of a neutral end: its people are told, once in a row
	ProviderTrouble bool      // it failed for the provider's own trouble, not the task's
	OwnAccount      bool      // the agent signed in with the workspace's own variables
	RetryAt         time.Time // when to try again, where the provider says
	Interrupted     bool      // canceled in its turn alone: the session stays open
	TurnBegun       bool      // the agent was given a message
	Completion      Completion
}

// Completion is what a step of a workflow has decided about the session, for a run that succeeds.
type Completion int

// What becomes of the session.
const (
	AsSet       Completion = iota // what the automation says
	IsCompleted                   // it is Done
	StaysOpen                     // files have changed, and the step completes only if none have
)

// Finish ends the work that a worker holds by a lease: the execution, if the session was launched by one that is
// still in flight, and the session's turn at work. It is the only way a run ends. It returns db.ErrLeaseLost, and
// changes nothing, when another process has ended it.
func (s Runs) Finish(ctx context.Context, lease db.Lease, o Outcome) error {
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		session, err := db.LockSession(ctx, tx, lease.Session)
		if err != nil {
			return err
		}
		if session.Status != db.SessionInProgress || session.Worker != lease.Worker || session.Fence != lease.Fence {
			return db.ErrLeaseLost
		}
		if err := s.recordProviderAnswer(ctx, tx, session, o); err != nil {
			return err
		}
		o.Neutral = o.Neutral || o.ProviderTrouble
		if err := s.finish(ctx, tx, session, o); err != nil {
			return err
		}
		crash.Here(crash.EndWritten)
		return nil
	})
	if err == nil {
		crash.Here(crash.EndCommitted)
	}
	return fault.Wrap(err, "finish session %s", lease.Session)
}

// recordProviderAnswer records with the provider of a session what the work on it says of that provider: whether it has
// trouble of its own, and whether it takes the model.
func (s Runs) recordProviderAnswer(ctx context.Context, tx bun.Tx, session *db.Session, o Outcome) error {
	p, ok := s.Providers.Find(session.Provider)
	if !ok || p.Script {
		return nil
	}
	of := provider.Account{Provider: p}
	if o.OwnAccount {
		of.Workspace = session.WorkspaceID
	}
	var err error
	switch {
	case session.Model == "" || o.OwnAccount: // refusals are recorded for the server's account
	case o.Status == db.Failed && o.Class == "model":
		err = s.Providers.RefuseModel(ctx, tx, p, session.Model, o.Reason)
	case o.Status == db.Succeeded:
		err = s.Providers.AcceptModel(ctx, tx, p, session.Model, o.Began)
	}
	switch {
	case err != nil:
		return err
	case o.ProviderTrouble:
		return s.Providers.Pause(ctx, tx, of, provider.Trouble{
			Class: o.Class, Reason: o.Reason, Until: o.RetryAt, Began: o.Began,
		})
	case o.providerAnswered():
		return s.Providers.Answered(ctx, tx, of, o.Began)
	}
	return nil
}

// providerAnswered reports whether the outcome shows that the provider works: of a failure, that it is the task's.
func (o Outcome) providerAnswered() bool {
	if o.Status == db.Failed {
		return o.Class == "agent" || o.Class == "context" || o.Class == "permission"
	}
	return o.Status == db.Succeeded
}

// finish ends the work on a locked session.
func (s Runs) finish(ctx context.Context, tx bun.Tx, session *db.Session, o Outcome) error {
	now := s.Now()
	e, err := db.LockExecutionInFlight(ctx, tx, session.ID)
	if db.IsNotFound(err) { // a person's reply, or the automation is gone: nothing to account for
		status := db.SessionWaiting
		cancel := db.CancelRunningTurns // what people wrote meanwhile comes next
		if o.Status != db.Succeeded && !o.TurnBegun {
			cancel = db.CancelOpenTurns // else the message that could not be given comes again at once, for ever
		}
		if o.Status == db.Canceled && !o.Interrupted {
			orphaned, err := db.HasRunTurns(ctx, tx, session.ID)
			if err != nil {
				return err
			}
			later, err := db.QueuedReplies(ctx, tx, session.ID)
			if err != nil {
				return err
			}
			switch {
			case !orphaned:
			case len(later) == 0: // who deleted the automation stopped its run with it
				status = db.SessionCanceled
			default: // what was written since is meant to be answered
				cancel = db.CancelRunTurns
			}
		}
		if err := cancel(ctx, tx, session.ID, o.Reason, now); err != nil {
			return err
		}
		by := uuid.Nil
		if status == db.SessionCanceled {
			by = session.CancelRequestedBy
		}
		return s.Sessions().release(ctx, tx, session, status, by, now)
	}
	if err != nil {
		return err
	}
	if o.Status == db.Canceled && (o.Reason == "canceled" || o.Reason == "interrupted") {
		// a worker knows that it was asked to stop, not by whom
		by := session.CancelRequestedBy
		if o.Interrupted {
			by = session.InterruptBy
		}
		if who, err := db.UserByID(ctx, tx, by); err == nil {
			o.Reason += " by " + who.Name
		} else if !db.IsNotFound(err) {
			return err
		}
	}
	if err := db.CancelTurns(ctx, tx, session.ID, e.ID, o.Reason, now); err != nil {
		return err
	}
	e.Status, e.Reason, e.ErrorClass, e.ExitCode, e.Neutral = o.Status, o.Reason, o.Class, o.ExitCode, o.Neutral ||
		o.Status == db.Canceled
	e.Answer, e.FinishedAt = o.Answer, now
	if o.NothingToDo && o.Status == db.Succeeded {
		e.Result = db.NothingToDo
	}
	if o.Status == db.Skipped {
		e.Neutral, e.SkipCount, e.ErrorClass = true, 1, db.ErrorGate
		if e.LastSkippedFor.IsZero() {
			e.LastSkippedFor = e.ScheduledFor
		} else if expression, zone, err := recurrence(e.Snapshot.Cron, e.Snapshot.TimeZone); err == nil {
			// it caught up for all of them
			_, _, e.SkipCount = passed(expression, zone, e.ScheduledFor, e.LastSkippedFor)
		}
	}
	if e.StartedAt.IsZero() && session.AtGate { // its gate ends it
		e.StartedAt = session.AtWorkSince
	}
	if e.StartedAt.IsZero() {
		e.StartedAt = now
	}
	if err := db.EndExecution(ctx, tx, e); err != nil {
		return err
	}
	a, err := db.LockAutomation(ctx, tx, e.AutomationID)
	if err != nil {
		return err
	}
	if e.Status == db.Skipped && e.Source == db.BySchedule && e.Snapshot.Trigger == db.Loop {
		return s.gateClosed(ctx, tx, a, e, session, now)
	}
	if e.Status != db.Succeeded {
		if err := ticket.Release(ctx, tx, now, session.ID, "the run did not succeed: "+e.Reason); err != nil {
			return err
		}
	}
	enabled := a.Enabled
	if err := s.recordOutcome(ctx, tx, a, e); err != nil {
		return err
	}
	if o.Tell && e.Neutral && (e.Snapshot.Trigger != db.OneTime || e.Source != db.BySchedule) {
		if err := s.notifyOfNeutralEnd(ctx, tx, a, e); err != nil {
			return err
		}
	}
	told := enabled && !a.Enabled
	if e.Snapshot.Trigger == db.OneTime && e.Source == db.BySchedule && !told {
		canceled := uuid.Nil
		if e.Status == db.Canceled {
			if canceled = session.CancelRequestedBy; o.Interrupted {
				canceled = session.InterruptBy
			}
		}
		if err := s.endOneTime(ctx, tx, a, e, canceled); err != nil {
			return err
		}
	}
	if e.Status == db.Succeeded && e.Snapshot.CreatePR && o.FilesChanged {
		if err := pullrequest.Ask(ctx, tx, session.ID, uuid.Nil, now); err != nil {
			return err
		}
	}
	status, by := statusAfter(e, o), uuid.Nil
	if status == db.SessionCanceled {
		by = session.CancelRequestedBy
		later, err := db.QueuedReplies(ctx, tx, session.ID)
		if err != nil {
			return err
		}
		if len(later) > 0 { // written since the run was asked to stop
			status, by = db.SessionWaiting, uuid.Nil
		}
	}
	if err := s.Sessions().release(ctx, tx, session, status, by, now); err != nil {
		return err
	}
	return db.Notify(ctx, tx, "automation", a.ID)
}

// endOneTime switches a One-Time off whose single run has ended, unless it has another due time by now. Every end that
// is no success is told, except to the person who canceled it; a failure that counts has told already.
func (s Runs) endOneTime(ctx context.Context, tx bun.Tx, a *db.Automation, e *db.Execution,
	canceled uuid.UUID) error {
	reason, title := "it has run", a.Name+" was not run to its end"
	if e.Status != db.Succeeded {
		reason = "its single run ended: " + e.Reason
	}
	if isLast(a, e) && a.Enabled {
		title = a.Name + " was disabled"
		if err := s.switchOff(ctx, tx, a, db.ByFinishing, reason); err != nil {
			return err
		}
	}
	if e.Status == db.Succeeded {
		return nil
	}
	people, err := audience(ctx, tx, a)
	if err != nil {
		return err
	}
	people = slices.DeleteFunc(people, func(id uuid.UUID) bool { return id == canceled })
	return s.notify(ctx, tx, a, people, inbox.Notice{
		Kind: inbox.Disabled, Title: title, Body: fault.Sentence(reason), Execution: e.ID, Session: e.SessionID,
		Key: "disabled " + e.ID.String(),
	})
}

// isLast reports whether an execution was the one run of a One-Time. One that has another time since, or has become a
// One-Time since, has its run before it: the end of a run answers for its own due time alone.
func isLast(a *db.Automation, e *db.Execution) bool {
	return a.Trigger == db.OneTime && e.Source == db.BySchedule && a.NextRunAt.IsZero()
}
