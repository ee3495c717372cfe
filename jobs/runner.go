// Package jobs does what happens without a request: the scheduler, the runner that works on sessions, retention,
// deliveries. It has no rules about automations; they are in package automation.
package jobs

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/crash"
	"carillon/app/git"
	"carillon/db"
)

const (
	leaseFor = db.LeaseFor
	// renewEvery is so short that a lease survives a few failed renewals.
	renewEvery = 5 * time.Second
	// maxSilence is how long a worker continues without a renewal of its leases. Then it stops its agents, because
	// other workers may take the sessions when the leases end. The rest of a lease has time for a last renewal that
	// fails late and for the end of an agent.
	maxSilence = leaseFor - 4*renewEvery
	// pollEvery is the interval of polling, for notifications that were lost.
	pollEvery = time.Second
)

// Causes with which the context of a run under way is canceled.
var (
	errCanceled  = errors.New("canceled")
	errLeaseLost = errors.New("another worker took the session over")
	errShutdown  = errors.New("the server is stopping")
	errCutOff    = errors.New("its worker could not reach the database")

	errInterrupted = errors.New("interrupted") // ends the turn alone; the session stays open
)

// Runner works on queued sessions: it makes the worktree, runs the agent as a child process, records the transcript and
// ends the execution. Its fields are set once, in main.
type Runner struct {
	DB        *db.DB
	Rules     *automation.Service
	Store     *git.Store
	Providers func() []agent.Provider
	Worker    string // name of this worker; it stays the same as long as the data folder exists
	Max       int    // sessions at once
	Data      string // data folder of this worker
	// folders and files that a sandbox hides beside Data: the database's socket, and those that an administrator named
	Hidden []string
	Shown  []string     // folders and files of homes that a sandbox shows read-only
	Limits agent.Limits // of each message
	Now    func() time.Time
	Log    *slog.Logger
	MCP    string // address of the MCP server for agents on this machine; empty: agents get no tools of Carillon
	// for forges; it must refuse addresses that people may not reach through this server; nil: this process opens no
	// pull requests
	Forge *http.Client

	wake      chan struct{}
	stopCheck chan struct{}

	silence    time.Duration // instead of maxSilence, for tests
	timeoutNow chan struct{} // closed: each run has reached its timeout, for tests that do not wait for one

	diskFull atomic.Bool // the disk has too little free space for a run to begin

	mu   sync.Mutex
	runs map[uuid.UUID]*running
	// opening are the sessions whose pull requests are being opened.
	opening map[uuid.UUID]bool
}

// running is a session that this worker works on.
type running struct {
	lease      db.Lease
	cancel     context.CancelCauseFunc // ends the run
	cancelLife context.CancelCauseFunc // ends also what outlasts the run, since another worker has the session
	turn       uuid.UUID               // that runs now; zero: none. Guarded by Runner.mu
	agents     int                     // running processes. Guarded by Runner.mu
}

// isTarget reports whether a request to stop a turn concerns the turn that runs now. A request without a turn concerns
// any.
func (r *running) isTarget(turn uuid.UUID) bool { return turn == uuid.Nil || turn == r.turn }

// loseLease ends the run because another worker has its session.
func (r *running) loseLease() {
	r.cancel(errLeaseLost)
	r.cancelLife(errLeaseLost)
}

// Wake makes the runner look for work now.
func (r *Runner) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Init prepares a Runner for use. It must be called before Wake and Run.
func (r *Runner) Init() {
	r.wake, r.stopCheck = make(chan struct{}, 1), make(chan struct{}, 1)
	r.runs, r.opening = map[uuid.UUID]*running{}, map[uuid.UUID]bool{}
}

// Run works on sessions until ctx ends, then stops the runs under way and returns when they have ended. The next start
// resumes the executions of these runs or ends them as interrupted.
func (r *Runner) Run(ctx context.Context) error {
	if err := r.Store.Prepare(); err != nil {
		r.Log.Error("prepare the data folder", "err", err) // each run reports it too
	}
	r.awaitFormerProcesses(ctx)
	if err := r.endFormerSessions(ctx); err != nil {
		if ctx.Err() != nil { // stopped before it began: the next start ends them
			return nil
		}
		return err
	}
	runCtx, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	var runs sync.WaitGroup
	defer runs.Wait()
	defer stop(errShutdown)
	runs.Go(func() { r.runHousekeeping(ctx) })
	runs.Go(func() { r.keepLeases(ctx) })
	agents, gates := newSlots(r.Max), newSlots(gatesAtOnce)
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		r.find(ctx, "claim sessions", func(ctx context.Context) { r.claim(ctx, runCtx, &runs, agents, gates) })
		r.find(ctx, "look for requested pull requests", func(ctx context.Context) {
			r.openRequested(ctx, runCtx, &runs)
		})
		r.find(ctx, "claim trial of a provider", func(ctx context.Context) { r.claimTrial(ctx, runCtx, &runs) })
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-poll.C:
		}
	}
}

// keepLeases renews the leases of all runs until ctx ends, independently of all other database work. When the renewal
// has failed for too long, it stops the agents.
func (r *Runner) keepLeases(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	renewed := time.Now() // by the monotonic clock
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.stopCheck:
		case <-tick.C:
		}
		begun := time.Now()
		if r.renew(ctx) {
			renewed = begun
		} else if silent := time.Since(renewed); ctx.Err() == nil && silent > cmp.Or(r.silence, maxSilence) {
			r.cutOff(silent)
		}
	}
}

// cutOff stops the agents of all runs, because their leases are about to end: one interrupted agent is better than two
// agents in one session. A run without a running agent continues to write, since each write checks the lease.
func (r *Runner) cutOff(silent time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, run := range r.runs {
		if run.agents > 0 {
			r.Log.Error("stop the agent of a session whose lease cannot be renewed", "session", run.lease.Session,
				"silent_for", silent.Round(time.Second))
			run.cancel(errCutOff)
		}
	}
}

// trackProcess counts a running process of the run until done is called.
func (w *work) trackProcess() (done func()) {
	count := func(n int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.running.agents += n
	}
	count(1)
	return func() { count(-1) }
}

// findWorkTimeout bounds one search for work.
const findWorkTimeout = 10 * time.Second

// find searches for work of one kind, with a timeout: a locked table, or a database that does not answer, must not
// delay other work or the renewal of leases.
func (r *Runner) find(ctx context.Context, what string, find func(ctx context.Context)) {
	limited, cancel := context.WithTimeout(ctx, findWorkTimeout)
	defer cancel()
	find(limited)
	if limited.Err() != nil && ctx.Err() == nil {
		r.Log.Error(what, "err", "the database did not answer within "+findWorkTimeout.String())
	}
}

// formerProcessTimeout is how long a process may take to end after its worker has died. Its shim kills it after a few
// seconds.
const formerProcessTimeout = time.Minute

// awaitFormerProcesses waits until the processes have ended that a former process of this worker started, and removes
// the folders of their runs. No other agent may work in their worktrees before, and no other run may begin.
func (r *Runner) awaitFormerProcesses(ctx context.Context) {
	folders, err := filepath.Glob(filepath.Join(r.Data, "runs", "*"))
	if err != nil {
		r.Log.Warn("look for the folders of former runs", "err", err)
	}
	limited, cancel := context.WithTimeout(ctx, formerProcessTimeout)
	defer cancel()
	for _, dir := range folders {
		ended, err := agent.Ended(dir)
		for ; err == nil && !ended && limited.Err() == nil; ended, err = agent.Ended(dir) {
			select {
			case <-limited.Done():
			case <-time.After(formerProcessPoll):
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil && !ended {
			err = errors.New("its processes have not ended within " + formerProcessTimeout.String())
		}
		if err == nil {
			err = agent.TakeOverSignIn(dir)
		}
		if err == nil {
			err = git.RemoveAll(dir)
		}
		if err != nil {
			r.Log.Warn("remove the folder of a former run", "dir", dir, "err", err)
		}
	}
}

const formerProcessPoll = 20 * time.Millisecond

// endFormerSessions ends or resumes the sessions of a former process of this worker. It waits while the database cannot
// be reached or does not answer.
func (r *Runner) endFormerSessions(ctx context.Context) error {
	for {
		limited, cancel := context.WithTimeout(ctx, attemptTimeout)
		err := r.tryEndFormerSessions(limited)
		silent := limited.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil || !silent && !db.IsUnavailable(err) {
			return err
		}
		r.Log.Warn("end the sessions of a former process", "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pollEvery):
		}
	}
}

func (r *Runner) tryEndFormerSessions(ctx context.Context) error {
	if err := db.AbandonTrials(ctx, r.DB, r.Worker, "interrupted by a restart", r.Now()); err != nil {
		return err
	}
	_, err := r.Rules.Runs().InterruptFormer(ctx, r.Worker, Resumable(r.Providers))
	return err
}

// Resumable gives a function that reports whether a provider of the list can continue a conversation in a new process.
func Resumable(providers func() []agent.Provider) func(id string) bool {
	return func(id string) bool {
		for _, p := range providers() {
			if p.ID == id {
				return p.Driver != agent.DriverShell
			}
		}
		return false
	}
}

func (r *Runner) provider(id string) (agent.Provider, bool) {
	for _, p := range r.Providers() {
		if p.ID == id {
			return p, true
		}
	}
	return agent.Provider{}, false
}

// gatesAtOnce is how many gates a worker judges at once, beside the sessions of its agents.
const gatesAtOnce = 8

// newSlots makes a pool of n free slots.
func newSlots(n int) chan struct{} {
	slots := make(chan struct{}, n)
	for range n {
		slots <- struct{}{}
	}
	return slots
}

// claim takes as many queued sessions as there are free slots for agents, and as many sessions at their gate as there
// are free slots for gates.
func (r *Runner) claim(ctx, runCtx context.Context, runs *sync.WaitGroup, agents, gates chan struct{}) {
	forAgents, forGates := len(agents), len(gates)
	if forAgents+forGates == 0 || ctx.Err() != nil || r.lacksDiskSpace() {
		return
	}
	var work, atGate []db.Session
	err := r.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		now := r.Now()
		if forAgents > 0 {
			if work, err = db.ClaimSessions(ctx, tx, r.Worker, forAgents, now, now.Add(leaseFor)); err != nil {
				return err
			}
		}
		if forGates > 0 {
			if atGate, err = db.ClaimGates(ctx, tx, r.Worker, r.shell().ID, forGates, now,
				now.Add(leaseFor)); err != nil {
				return err
			}
		}
		var sessions, automations []uuid.UUID
		for _, s := range slices.Concat(work, atGate) {
			sessions = append(sessions, s.ID)
			if s.AutomationID != uuid.Nil {
				automations = append(automations, s.AutomationID)
			}
		}
		if err := db.NotifyEach(ctx, tx, "session", sessions); err != nil {
			return err
		}
		if err := db.NotifyEach(ctx, tx, "automation", automations); err != nil {
			return err
		}
		if len(sessions) > 0 {
			crash.Here(crash.SessionsClaiming)
		}
		return nil
	})
	if err != nil {
		if ctx.Err() == nil {
			r.Log.Error("claim sessions", "err", err)
		}
		return
	}
	if len(work)+len(atGate) > 0 {
		crash.Here(crash.SessionsClaimed)
	}
	for i := range work {
		r.startSession(runCtx, runs, &work[i], agents)
	}
	for i := range atGate {
		r.startSession(runCtx, runs, &atGate[i], gates)
	}
}

// lacksDiskSpace reports whether the disk of the data folder is too full for a run to begin. Queued sessions stay
// queued and are tried at the next poll.
func (r *Runner) lacksDiskSpace() bool {
	lacks := agent.LacksDiskSpace(r.Data, r.Limits.FreeDisk)
	if r.diskFull.Swap(lacks) != lacks {
		if lacks {
			r.Log.Warn("no run begins: the disk of the data folder has too little room left", "folder", r.Data,
				"setting", "CARILLON_DISK_FREE")
		} else {
			r.Log.Info("runs begin again: the disk of the data folder has room")
		}
	}
	return lacks
}

// startSession works on a claimed session in the background, in one of the free slots.
func (r *Runner) startSession(runCtx context.Context, runs *sync.WaitGroup, session *db.Session, slots chan struct{}) {
	<-slots
	life, cancelLife := context.WithCancelCause(runCtx)
	sessionCtx, cancel := context.WithCancelCause(runCtx)
	run := &running{
		lease: db.Lease{Session: session.ID, Worker: r.Worker, Fence: session.Fence}, cancel: cancel,
		cancelLife: cancelLife,
	}
	r.mu.Lock()
	r.runs[session.ID] = run
	r.mu.Unlock()
	runs.Go(func() {
		defer func() {
			r.forgetRun(run)
			cancel(nil)
			cancelLife(nil)
			slots <- struct{}{}
			r.Wake()
		}()
		r.runSession(sessionCtx, life, session, run)
		runs.Go(func() { r.prepareSpare(runCtx, session) }) // the slot is free already
	})
}

// forgetRun removes a run that has ended from the runner's runs. A later run of the same session stays: the session may
// have been claimed again while the answer to the last write was late.
func (r *Runner) forgetRun(run *running) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs[run.lease.Session] == run {
		delete(r.runs, run.lease.Session)
	}
}

// prepareSpare makes a spare worktree of a session's base branch for the next session of the workspace.
func (r *Runner) prepareSpare(ctx context.Context, session *db.Session) {
	err := r.Store.Spare(ctx, session.WorkspaceID.String(), session.BaseBranch)
	if err != nil && ctx.Err() == nil {
		// the next run makes its worktree itself, or reports why it cannot
		r.Log.Debug("make a spare worktree", "workspace", session.WorkspaceID, "err", err)
	}
}

// renew renews the leases of all runs. It stops runs whose session was taken over and runs that somebody asked to stop.
// It reports whether the database answered.
func (r *Runner) renew(ctx context.Context) bool {
	r.mu.Lock()
	runs := slices.Collect(maps.Values(r.runs))
	r.mu.Unlock()
	if len(runs) == 0 {
		return true
	}
	leases := make([]db.Lease, len(runs))
	for i, run := range runs {
		leases[i] = run.lease
	}
	ctx, cancel := context.WithTimeout(ctx, renewEvery)
	defer cancel()
	held, err := db.RenewLeases(ctx, r.DB, leases, r.Now().Add(leaseFor))
	if err != nil {
		r.Log.Warn("renew leases", "err", err)
		return false
	}
	states := make(map[uuid.UUID]db.LeaseState, len(held))
	for _, h := range held {
		states[h.ID] = h
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, run := range runs { // without runs that began since the query
		h, ok := states[run.lease.Session]
		switch {
		case !ok || h.Fence != run.lease.Fence:
			run.loseLease()
		case !h.CancelRequestedAt.IsZero() && run.isTarget(h.CancelTurn):
			run.cancel(errCanceled)
		case !h.InterruptAt.IsZero() && run.isTarget(h.InterruptTurn):
			run.cancel(errInterrupted)
		}
	}
	return true
}

// CheckStopRequests makes the runner read requests to stop runs now. A notification of such a request names no turn and
// may come late, so the session's row decides.
func (r *Runner) CheckStopRequests() {
	select {
	case r.stopCheck <- struct{}{}:
	default:
	}
}

// runSession runs a claimed session and ends it. A session ends once: here, or by the worker that took it over.
func (r *Runner) runSession(ctx, life context.Context, session *db.Session, run *running) {
	w := &work{Runner: r, session: session, began: r.Now(), lease: run.lease, running: run, life: life}
	outcome := func() (o automation.Outcome) {
		defer func() {
			if p := recover(); p != nil {
				r.Log.Error("panic while working on a session", "session", session.ID, "panic", p, "stack",
					string(debug.Stack()))
				o = internalOutcome("something went wrong on our side")
			}
		}()
		return w.run(ctx)
	}()
	outcome.Began, outcome.TurnBegun, outcome.OwnAccount = w.began, w.turnBegun, w.ownAccount
	if errors.Is(context.Cause(ctx), errCutOff) {
		w.releaseSession(ctx)
		return
	}
	w.cleanUp(ctx)
	crash.Here(crash.WorkClosed)
	if handedOver(ctx) {
		return // another process ends the session, now or at this worker's next start
	}
	if w.retryPlanned {
		again, err := retryValuePastEnd(ctx, w, "try session again", func(ctx context.Context) (bool, error) {
			return r.Rules.Runs().Retry(ctx, w.lease, w.retryTurn, outcome)
		})
		if again {
			return
		}
		if err != nil {
			r.Log.Error("try session again", "session", session.ID, "err", err)
		}
	}
	if w.gatePassed {
		err := w.retryPastEnd(ctx, "pass the gate", func(ctx context.Context) error {
			return r.Rules.Runs().PassGate(ctx, w.lease)
		})
		if err == nil || errors.Is(err, db.ErrLeaseLost) || life.Err() != nil {
			crash.Here(crash.GatePassed)
			return
		}
		r.Log.Error("pass the gate", "session", session.ID, "err", err)
		outcome = internalOutcome("something went wrong on our side: it could not be queued behind its gate")
	}
	w.finish(ctx, outcome)
	if session.AtGate {
		r.dropWorktree(ctx, session)
	}
}

// handedOver reports whether a run was stopped so that another process continues or ends it. The outcome of such a run
// says nothing.
func handedOver(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return errors.Is(cause, errLeaseLost) || errors.Is(cause, errShutdown) || errors.Is(cause, errCutOff)
}

// releaseSession gives back a session whose agent was stopped, as soon as the database answers: the run is resumed or
// ends as interrupted. Another process may have done the same already.
func (w *work) releaseSession(ctx context.Context) {
	err := w.retryPastEnd(ctx, "reach the database again", func(ctx context.Context) error {
		return db.CheckLease(ctx, w.DB, w.lease)
	})
	w.cleanUp(ctx)
	if err == nil {
		err = w.retryPastEnd(ctx, "give the session back", func(ctx context.Context) error {
			return w.Rules.Runs().Release(ctx, w.lease, errCutOff.Error(), Resumable(w.Providers))
		})
	}
	if err != nil && !errors.Is(err, db.ErrLeaseLost) && w.life.Err() == nil {
		// the lease expires, and a scheduler finds the session
		w.Log.Error("give the session back", "session", w.session.ID, "err", err)
	}
}

// internalOutcome is the outcome of work that failed by a fault of Carillon. It is neutral. FilesChanged is set because
// the session's changes are unknown, so that the session is not closed automatically.
func internalOutcome(reason string) automation.Outcome {
	return automation.Outcome{
		Status: db.Failed, Class: "internal", Reason: reason, Neutral: true, Tell: true, FilesChanged: true,
	}
}

// maxFinishAttempts is how often the end of a session is written when the database can be reached but refuses it.
const maxFinishAttempts = 10

// finish ends a session's work, and waits as long as the database cannot be reached. If the database refuses the
// outcome, finish writes an internal failure in its place. If that is refused too, the lease expires and a scheduler
// ends the session.
func (w *work) finish(ctx context.Context, o automation.Outcome) {
	for refused := 1; refused <= maxFinishAttempts; refused++ {
		err := w.retryPastEnd(ctx, "finish session", func(ctx context.Context) error {
			return w.Rules.Runs().Finish(ctx, w.lease, o)
		})
		if err == nil || errors.Is(err, db.ErrLeaseLost) || w.life.Err() != nil {
			return // if the server stops, the next start finds the session
		}
		w.Log.Error("finish session", "session", w.lease.Session, "err", err)
		if refused == maxFinishAttempts/2 {
			o = internalOutcome("something went wrong on our side: its end could not be written")
		}
		select {
		case <-w.life.Done():
			return
		case <-time.After(min(firstRetryPause<<refused, maxRetryPause)):
		}
	}
}
