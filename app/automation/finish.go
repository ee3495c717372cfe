package automation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/fault"
	"carillon/db"
)

// Outcome is how the work on a session ended, as the worker saw it.
type Outcome struct {
	Status       db.ExecutionStatus // succeeded, failed, timed_out, canceled, or skipped where its gate did not let it begin
	Reason       string             // why it did not succeed, as a sentence's end
	Class        string             // of a failure: start, auth, model, rate_limit, transient, agent, timeout, ...
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

// maxFailures is how many failures in a row disable a Recurring or Loop automation. Specification: "auto-disabled
// after 3 consecutive failures".
const maxFailures = 3

// Finish ends the work that a worker holds by a lease: the execution, if the session was launched by one that is
// still in flight, and the session's turn at work. It is the only way a run ends. It returns db.ErrLeaseLost, and
// changes nothing, when another process has ended it.
func (s *Service) Finish(ctx context.Context, lease db.Lease, o Outcome) error {
	err := s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		session, err := db.LockSession(ctx, tx, lease.Session)
		if err != nil {
			return err
		}
		if session.Status != db.SessionInProgress || session.Worker != lease.Worker || session.Fence != lease.Fence {
			return db.ErrLeaseLost
		}
		if err := s.noteProvider(ctx, tx, session, o, s.Now()); err != nil {
			return err
		}
		o.Neutral = o.Neutral || o.ProviderTrouble
		return s.finish(ctx, tx, session, o)
	})
	return wrap(err, "finish session %s", lease.Session)
}

// finish ends the work on a locked session.
func (s *Service) finish(ctx context.Context, tx bun.Tx, session *db.Session, o Outcome) error {
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
			if orphaned { // who deleted the automation stopped its run with it
				status = db.SessionCanceled
			}
		}
		if err := cancel(ctx, tx, session.ID, o.Reason, now); err != nil {
			return err
		}
		by := uuid.Nil
		if status == db.SessionCanceled {
			by = session.CancelRequestedBy
		}
		return s.leave(ctx, tx, session, status, by, now)
	}
	if err != nil {
		return err
	}
	if o.Status == db.Canceled && (o.Reason == "canceled" || o.Reason == "interrupted") { // a worker knows that it was asked to stop, not by whom
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
	e.Status, e.Reason, e.ErrorClass, e.ExitCode, e.Neutral = o.Status, o.Reason, o.Class, o.ExitCode, o.Neutral || o.Status == db.Canceled
	e.Answer, e.FinishedAt = o.Answer, now
	if o.NothingToDo && o.Status == db.Succeeded {
		e.Result = db.NothingToDo
	}
	if o.Status == db.Skipped {
		e.Neutral, e.SkipCount, e.ErrorClass = true, 1, db.ErrorGate
		if e.LastSkippedFor.IsZero() {
			e.LastSkippedFor = e.ScheduledFor
		} else if expression, zone, err := s.recurrence(e.Snapshot.Cron, e.Snapshot.TimeZone); err == nil { // it caught up for all of them
			_, _, e.SkipCount = passed(expression, zone, e.ScheduledFor, e.LastSkippedFor)
		}
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
		if err := s.releaseTicket(ctx, tx, session, "the run did not succeed: "+e.Reason); err != nil {
			return err
		}
	}
	enabled := a.Enabled
	if err := s.count(ctx, tx, a, e); err != nil {
		return err
	}
	if o.Tell && e.Neutral && (e.Snapshot.Trigger != db.OneTime || e.Source != db.BySchedule) {
		if err := s.tellNeutral(ctx, tx, a, e); err != nil {
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
		if err := s.askForPullRequest(ctx, tx, session.ID, uuid.Nil, now); err != nil {
			return err
		}
	}
	status, by := after(e, o), uuid.Nil
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
	if err := s.leave(ctx, tx, session, status, by, now); err != nil {
		return err
	}
	return db.Announce(ctx, tx, "automation", a.ID)
}

// endOneTime switches a One-Time off whose single run has ended, unless it has another due time by now. Every end that is no
// success is told, except to the person who canceled it; a failure that counts has told already.
func (s *Service) endOneTime(ctx context.Context, tx bun.Tx, a *db.Automation, e *db.Execution, canceled uuid.UUID) error {
	reason, title := "it has run", a.Name+" was not run to its end"
	if e.Status != db.Succeeded {
		reason = "its single run ended: " + e.Reason
	}
	if s.isLast(a, e) && a.Enabled {
		title = a.Name + " was disabled"
		if err := s.switchOff(ctx, tx, a, db.ByFinishing, reason); err != nil {
			return err
		}
	}
	if e.Status == db.Succeeded {
		return nil
	}
	people, err := s.audience(ctx, tx, a)
	if err != nil {
		return err
	}
	people = slices.DeleteFunc(people, func(id uuid.UUID) bool { return id == canceled })
	return s.notify(ctx, tx, a, people, notice{
		kind: NoticeDisabled, title: title, body: fault.Sentence(reason), execution: e.ID, session: e.SessionID, key: "disabled " + e.ID.String(),
	})
}

// gateClosed keeps account of a loop whose gate let no run begin, and asks it again later. Of a streak there is one row and one
// notice, and no session stays: nothing was done in it.
func (s *Service) gateClosed(ctx context.Context, tx bun.Tx, a *db.Automation, e *db.Execution, session *db.Session, now time.Time) error {
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
	if err := db.ForgetSession(ctx, tx, session.ID); err != nil {
		return err
	}
	if counted {
		err = db.DeleteExecution(ctx, tx, e.ID)
	} else {
		err = s.tell(ctx, tx, a, notice{
			kind: NoticeSkipped, title: a.Name + " waits for its gate", execution: e.ID, key: "skipped " + e.ID.String(),
			body: capitalize(e.Reason) + ". It is asked again each minute; until it lets a run begin, that is counted in the history without a notice of its own.",
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
		if err := s.schedule(ctx, tx, a, now.Add(gatePause)); err != nil {
			return err
		}
	}
	if err := db.Announce(ctx, tx, "session", session.ID); err != nil {
		return err
	}
	return db.Announce(ctx, tx, "automation", a.ID)
}

// isLast reports whether an execution was the one run of a One-Time. One that has another time since, or has become a One-Time
// since, has its run before it: the end of a run answers for its own due time alone.
func (s *Service) isLast(a *db.Automation, e *db.Execution) bool {
	return a.Trigger == db.OneTime && e.Source == db.BySchedule && a.NextRunAt.IsZero()
}

// after is what becomes of a session when its run has ended: stopped by a person it is canceled; with Auto-Complete
// it is Done, unless files changed and those are to be looked at; else it stays open.
func after(e *db.Execution, o Outcome) db.SessionStatus {
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

// leave ends a worker's hold on a session. One that stays open goes back to the queue when a person's message
// arrived in the meantime.
func (s *Service) leave(ctx context.Context, tx bun.Tx, session *db.Session, status db.SessionStatus, by uuid.UUID, now time.Time) error {
	if session.Status == db.SessionInProgress || session.Status == db.SessionQueued { // a person's closing it later is not its work
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
		if !pending && status == db.SessionWaiting { // a pull request may have come to its end while the agent was at work
			if session.Status, err = s.settled(ctx, tx, session, now); err != nil {
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
	if err := db.Announce(ctx, tx, "session", session.ID); err != nil {
		return err
	}
	if session.Status == db.SessionQueued {
		return db.Announce(ctx, tx, "queue", uuid.Nil)
	}
	if session.Status.Closed() {
		return s.closed(ctx, tx, session, now)
	}
	return nil
}

// count lets an ended execution count: failures towards disabling, a success against them.
//
// Specification, "Auto-disable & failure notifications": Recurring and Loop after 3 in a row, One-Time at the first;
// Manual and HTTP Trigger never, but their creator is told once a streak. A failure of Run Now on a scheduled
// automation does not count; its success resets. Neither counts what began under another trigger.
func (s *Service) count(ctx context.Context, tx bun.Tx, a *db.Automation, e *db.Execution) error {
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
	if a.Trigger == db.OneTime && !s.isLast(a, e) { // its next run is not held to it
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
		return s.disableFor(ctx, tx, a, e, db.ByFailures, fmt.Sprintf("%d runs in a row failed, the last one because %s", a.FailureStreak, e.Reason))
	case !a.Scheduled() && a.FailureStreak == 1:
		return s.tellFailure(ctx, tx, a, e)
	}
	return nil
}

// tellNeutral tells of a run that came to nothing without a fault of the automation: that counts for nothing, and somebody has to
// know. Of several in a row for one reason the first is told.
func (s *Service) tellNeutral(ctx context.Context, tx bun.Tx, a *db.Automation, e *db.Execution) error {
	again, err := db.EndedLike(ctx, tx, e)
	if err != nil || again {
		return err
	}
	return s.tell(ctx, tx, a, notice{
		kind: NoticeRunFailed, title: a.Name + " could not run", body: capitalize(e.Reason) + ". This does not count against the automation.",
		execution: e.ID, session: e.SessionID, key: "failed " + e.ID.String(),
	})
}

// tellFailure tells the creator of a failure that switches nothing off.
func (s *Service) tellFailure(ctx context.Context, tx bun.Tx, a *db.Automation, e *db.Execution) error {
	return s.tell(ctx, tx, a, notice{
		kind: NoticeRunFailed, title: a.Name + " failed", body: fault.Sentence(e.Reason), execution: e.ID, session: e.SessionID,
		key: "failed " + e.ID.String(),
	})
}

// disableFor switches an automation off for a reason and tells its creator.
func (s *Service) disableFor(ctx context.Context, tx bun.Tx, a *db.Automation, e *db.Execution, kind db.DisabledKind, reason string) error {
	if !a.Enabled {
		return nil
	}
	if err := s.switchOff(ctx, tx, a, kind, reason); err != nil {
		return err
	}
	n := notice{kind: NoticeDisabled, title: a.Name + " was disabled", body: fault.Sentence(reason), key: "disabled " + db.NewID().String()}
	if e != nil {
		n.execution, n.session, n.key = e.ID, e.SessionID, "disabled "+e.ID.String()
	}
	return s.tell(ctx, tx, a, n)
}

// switchOff disables an automation that is locked; the schedule goes with it.
func (s *Service) switchOff(ctx context.Context, tx bun.Tx, a *db.Automation, kind db.DisabledKind, reason string) error {
	a.Enabled, a.NextRunAt, a.DisabledKind, a.DisabledReason, a.DisabledAt = false, time.Time{}, kind, reason, s.Now()
	if err := db.SaveSwitch(ctx, tx, a); err != nil {
		return err
	}
	return s.audit(ctx, tx, uuid.Nil, "automation.disable", a, reason)
}

// closed goes on with what waits for a session to be over: the next iteration of its loop.
//
// Behaviour, "Loop, next run": 5 s after a success, 30 s after the first failure, 2 min after the second.
func (s *Service) closed(ctx context.Context, tx bun.Tx, session *db.Session, now time.Time) error {
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
		return s.tell(ctx, tx, a, notice{
			kind: NoticeLoopFinished, title: a.Name + " has finished its loop", body: fault.Sentence(reason),
			execution: e.ID, session: e.SessionID, key: "finished " + e.ID.String(),
		})
	}
	return s.schedule(ctx, tx, a, now.Add(loopPause(a.FailureStreak)))
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

// schedule sets when an automation is due next and wakes the schedulers.
func (s *Service) schedule(ctx context.Context, tx bun.Tx, a *db.Automation, at time.Time) error {
	a.NextRunAt = at
	if err := db.SetNextRun(ctx, tx, a.ID, at); err != nil {
		return err
	}
	return db.Announce(ctx, tx, "schedule", uuid.Nil)
}

// Interrupt ends the sessions whose worker is gone: the server was restarted or its machine died. An execution that
// cannot be resumed ends as failed, "interrupted by a restart", and counts for nothing; so does one that has waited for a worker
// for too long. It returns how many there were.
// One that cannot be ended does not keep the others from it.
func (s *Service) Interrupt(ctx context.Context, resumable func(provider string) bool) (int, error) {
	n, err := s.interruptLost(ctx, db.Lost{At: s.Now()}, resumable)
	if err != nil {
		return n, err
	}
	waited, err := s.endWaiting(ctx)
	return n + waited, wrap(err, "end sessions that wait")
}

// InterruptFormer is Interrupt for the sessions of a former life of a worker, which are known to be without one. Those of others
// are left to Interrupt: a worker whose lease is over for a moment may live.
func (s *Service) InterruptFormer(ctx context.Context, worker string, resumable func(provider string) bool) (int, error) {
	return s.interruptLost(ctx, db.Lost{At: s.Now(), Worker: worker}, resumable)
}

func (s *Service) interruptLost(ctx context.Context, which db.Lost, resumable func(provider string) bool) (int, error) {
	list, err := db.LostSessions(ctx, s.DB, which, mostLost)
	if err != nil {
		return 0, wrap(err, "interrupt lost sessions")
	}
	n := 0
	for i := range list {
		id, ended := list[i].ID, false
		err := s.Deal(ctx, Row{Task: db.TaskReap, Key: id.String(), About: "the session " + list[i].Title + ", whose worker is gone"}, func(ctx context.Context) error {
			err := s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
				ended = false
				session, err := db.LockLostSession(ctx, tx, id, which)
				if db.IsNotFound(err) {
					return nil
				}
				if err != nil {
					return err
				}
				ended = true
				return s.interrupt(ctx, tx, session, resumable)
			})
			ended = ended && err == nil
			return err
		})
		if err != nil {
			return n, wrap(err, "interrupt lost sessions")
		}
		if ended {
			n++
		}
	}
	return n, nil
}

// mostLost is how many lost sessions one call of Interrupt deals with; the next deals with the rest.
const mostLost = 100

func (s *Service) interrupt(ctx context.Context, tx bun.Tx, session *db.Session, resumable func(provider string) bool) error {
	o := Outcome{Status: db.Failed, Reason: "interrupted by a restart", Class: db.ErrorLost, Neutral: true, FilesChanged: true}
	if session.CancelRequestedAt.IsZero() && session.InterruptAt.IsZero() {
		goesOn, err := s.goesOn(ctx, tx, session, resumable)
		switch {
		case err != nil:
			return err
		case goesOn && session.Resumes < maxResumes:
			if err := db.NoteWorked(ctx, tx, session.ID, session.LeaseUntil.Add(-db.LeaseFor)); err != nil {
				return err
			}
			if err := db.Resume(ctx, tx, session.ID, s.Now()); err != nil {
				return err
			}
			return db.Announce(ctx, tx, "queue", uuid.Nil)
		case goesOn:
			o.Reason, o.Tell = fmt.Sprintf("its worker was lost %d times while it was at work", session.Resumes+1), true
		}
	}
	switch {
	case !session.CancelRequestedAt.IsZero():
		o = Outcome{Status: db.Canceled, Reason: "canceled", FilesChanged: true}
	case !session.InterruptAt.IsZero():
		o = Outcome{Status: db.Canceled, Reason: "interrupted", Interrupted: true, FilesChanged: true}
	}
	o.TurnBegun = true
	if err := s.finish(ctx, tx, session, o); err != nil {
		return err
	}
	return db.SumUsage(ctx, tx, session.ID) // the message that was cut off counts, with its usage unknown
}

// maxResumes is how often a run, or a person's message, goes on after its worker was lost. Behaviour, "Resumes after a crash".
const maxResumes = 3

// goesOn reports whether the work on a session can go on in another process: its agent goes on with the conversation, or was not
// given a message yet.
func (s *Service) goesOn(ctx context.Context, tx bun.Tx, session *db.Session, resumable func(provider string) bool) (bool, error) {
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
func (s *Service) endWaiting(ctx context.Context) (int, error) {
	now := s.Now()
	list, err := db.WaitingSessions(ctx, s.DB, now.Add(-maxWait), now, mostLost)
	if err != nil {
		return 0, err
	}
	n := 0
	for i := range list {
		id := list[i].ID
		err := s.Deal(ctx, Row{Task: db.TaskReap, Key: id.String(), About: "the session " + list[i].Title + ", which waits for a worker"}, func(ctx context.Context) error {
			return s.inTx(ctx, func(ctx context.Context, tx bun.Tx) error {
				session, err := db.LockSession(ctx, tx, id)
				if err != nil || session.Status != db.SessionQueued || !session.QueuedAt.Before(now.Add(-maxWait)) || session.Fence != list[i].Fence {
					return err
				}
				return s.finish(ctx, tx, session, Outcome{
					Status: db.Failed, Class: db.ErrorWaiting, Reason: "it waited for a day, and no worker could take it", Neutral: true, Tell: true, FilesChanged: true,
				})
			})
		})
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// capitalize makes a sentence of a sentence's end.
func capitalize(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return text
	}
	return string(unicode.ToUpper(first)) + text[size:]
}
