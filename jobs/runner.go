// Package jobs is what happens without a request: the scheduler's clock, the runner that works on sessions, retention,
// deliveries. It decides nothing about automations; package automation does.
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
	// renewEvery keeps a lease with room for a few failures.
	renewEvery = 5 * time.Second
	// mostSilence is how long a worker goes on that cannot renew its leases. Then it stops its agents: once their
	// leases are over, others may go on with their sessions. A renewal that fails late, and the end of an agent, fit
	// into the rest of a lease.
	mostSilence = leaseFor - 4*renewEvery
	// pollEvery is the safety net below notifications.
	pollEvery = time.Second
)

// Why a run under way is ended. They are causes of its context.
var (
	errCanceled  = errors.New("canceled")
	errLeaseLost = errors.New("another worker took the session over")
	errShutdown  = errors.New("the server is stopping")
	errCutOff    = errors.New("its worker could not reach the database")

	errInterrupted = errors.New("interrupted") // the turn alone; the session stays open
)

// Runner works on queued sessions: it makes the worktree, runs the agent as a child process, records what happens and
// ends the execution. Its fields are set once, in main.
type Runner struct {
	DB        *db.DB
	Rules     *automation.Service
	Store     *git.Store
	Providers func() []agent.Provider
	Worker    string // names this worker for as long as its data folder lives
	Max       int    // sessions at once
	Data      string // folder for the runs' own folders
	// folders and files that a sandbox hides beside Data: the database's socket, and what an administrator named
	Hidden []string
	Shown  []string     // folders and files of homes that a sandbox shows all the same, read-only
	Limits agent.Limits // of each message
	Now    func() time.Time
	Log    *slog.Logger
	MCP    string // address of the MCP server as agents here reach it; empty: they get none
	// asks forges: it must refuse what people may not reach through this server; nil: pull requests are not opened here
	Forge *http.Client

	wake  chan struct{}
	asked chan struct{}

	silence  time.Duration // instead of mostSilence, for tests
	timeIsUp chan struct{} // closed: the timeout of each run has come, for tests that do not wait for it

	cramped atomic.Bool // the disk has too little room for a run to begin

	mu   sync.Mutex
	runs map[uuid.UUID]*running
	// opening are the sessions of which a pull request is being opened.
	opening map[uuid.UUID]bool
}

// running is a session at work.
type running struct {
	lease  db.Lease
	cancel context.CancelCauseFunc // ends the run
	lose   context.CancelCauseFunc // ends what outlasts that: another worker has the session
	turn   uuid.UUID               // at work; zero: none is, or what runs is no message. Under the runner's lock
	agents int                     // processes at work. Under the runner's lock
}

// meant reports whether a word that names a turn, or all that is at work, is of what runs now.
func (r *running) meant(turn uuid.UUID) bool { return turn == uuid.Nil || turn == r.turn }

// lost ends a run whose session another worker has.
func (r *running) lost() {
	r.cancel(errLeaseLost)
	r.lose(errLeaseLost)
}

// Wake lets the runner look for work now.
func (r *Runner) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Init prepares a Runner for use. It must be called before Wake and Run.
func (r *Runner) Init() {
	r.wake, r.asked = make(chan struct{}, 1), make(chan struct{}, 1)
	r.runs, r.opening = map[uuid.UUID]*running{}, map[uuid.UUID]bool{}
}

// Run works until ctx is over, then stops what is under way and returns when nothing is left of it. Executions that it
// stops so are found by the next start and end as interrupted, or are resumed.
func (r *Runner) Run(ctx context.Context) error {
	if err := r.Store.LetIn(); err != nil {
		r.Log.Error("prepare the data folder", "err", err) // each run says so too
	}
	r.outlive(ctx)
	if err := r.recover(ctx); err != nil {
		if ctx.Err() != nil { // stopped before it began: the next start does it
			return nil
		}
		return err
	}
	runCtx, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	var runs sync.WaitGroup
	defer runs.Wait()
	defer stop(errShutdown)
	runs.Go(func() { r.keepHouse(ctx) })
	runs.Go(func() { r.keepLeases(ctx) })
	agents, gates := places(r.Max), places(gatesAtOnce)
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		r.look(ctx, "claim sessions", func(ctx context.Context) { r.claim(ctx, runCtx, &runs, agents, gates) })
		r.look(ctx, "look for requested pull requests", func(ctx context.Context) {
			r.openRequested(ctx, runCtx, &runs)
		})
		r.look(ctx, "claim trial of a provider", func(ctx context.Context) { r.tryRequested(ctx, runCtx, &runs) })
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-poll.C:
		}
	}
}

// keepLeases renews the leases of all runs until ctx is over, whatever else the database is asked for meanwhile. When
// that has failed for too long, it stops the agents.
func (r *Runner) keepLeases(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	renewed := time.Now() // by the monotonic clock
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.asked:
		case <-tick.C:
		}
		begun := time.Now()
		if r.renew(ctx) {
			renewed = begun
		} else if silent := time.Since(renewed); ctx.Err() == nil && silent > cmp.Or(r.silence, mostSilence) {
			r.cutOff(silent)
		}
	}
}

// cutOff stops the agents of all runs: their leases are about to end, and two agents in one session are worse than one
// that is interrupted. What a run has to write without an agent at work goes on, as the lease decides over each write.
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

// atWork notes that a process of a run has begun to work, until done is called.
func (w *work) atWork() (done func()) {
	count := func(n int) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.running.agents += n
	}
	count(1)
	return func() { count(-1) }
}

// lookWithin bounds one look for work.
const lookWithin = 10 * time.Second

// look looks for work of one kind, within bounds: what waits for a table, or for a database that does not answer, keeps
// neither other work nor the leases waiting.
func (r *Runner) look(ctx context.Context, what string, look func(ctx context.Context)) {
	limited, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	look(limited)
	if limited.Err() != nil && ctx.Err() == nil {
		r.Log.Error(what, "err", "the database did not answer within "+lookWithin.String())
	}
}

// outliveWithin is how long a process may take to end whose worker has died. Its shim kills it after a few seconds.
const outliveWithin = time.Minute

// outlive waits until the processes that a former life of this worker started have ended, which they do soon after it,
// and removes the folders of their runs. Until then no other agent is to work in their worktrees, nor another run
// beside theirs.
func (r *Runner) outlive(ctx context.Context) {
	folders, err := filepath.Glob(filepath.Join(r.Data, "runs", "*"))
	if err != nil {
		r.Log.Warn("look for the folders of former runs", "err", err)
	}
	limited, cancel := context.WithTimeout(ctx, outliveWithin)
	defer cancel()
	for _, dir := range folders {
		ended, err := agent.Ended(dir)
		for ; err == nil && !ended && limited.Err() == nil; ended, err = agent.Ended(dir) {
			select {
			case <-limited.Done():
			case <-time.After(outlivePause):
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil && !ended {
			err = errors.New("its processes have not ended within " + outliveWithin.String())
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

const outlivePause = 20 * time.Millisecond

// recover ends what a former life of this worker left: its processes died with it. A database that is away, or does not
// answer, is waited for.
func (r *Runner) recover(ctx context.Context) error {
	for {
		limited, cancel := context.WithTimeout(ctx, tryWithin)
		err := r.endFormer(limited)
		silent := limited.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil || !silent && !db.IsAway(err) {
			return err
		}
		r.Log.Warn("end what a former life left", "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pollEvery):
		}
	}
}

func (r *Runner) endFormer(ctx context.Context) error {
	if err := db.AbandonTrials(ctx, r.DB, r.Worker, "interrupted by a restart", r.Now()); err != nil {
		return err
	}
	_, err := r.Rules.InterruptFormer(ctx, r.Worker, Resumable(r.Providers))
	return err
}

// Resumable reports whether a provider of a list can go on with a conversation in a new process.
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

// gatesAtOnce is how many gates a worker judges at once, beside the sessions at which its agents work.
const gatesAtOnce = 8

// places are so many free places.
func places(n int) chan struct{} {
	free := make(chan struct{}, n)
	for range n {
		free <- struct{}{}
	}
	return free
}

// claim takes as many queued sessions as there are free places for agents, and as many whose gate is to be judged as
// there are free places for gates.
func (r *Runner) claim(ctx, runCtx context.Context, runs *sync.WaitGroup, agents, gates chan struct{}) {
	forAgents, forGates := len(agents), len(gates)
	if forAgents+forGates == 0 || ctx.Err() != nil || r.lacksRoom() {
		return
	}
	var work, judge []db.Session
	err := r.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		now := r.Now()
		if forAgents > 0 {
			if work, err = db.ClaimSessions(ctx, tx, r.Worker, forAgents, now, now.Add(leaseFor)); err != nil {
				return err
			}
		}
		if forGates > 0 {
			if judge, err = db.ClaimGates(ctx, tx, r.Worker, r.shell().ID, forGates, now,
				now.Add(leaseFor)); err != nil {
				return err
			}
		}
		var sessions, automations []uuid.UUID
		for _, s := range slices.Concat(work, judge) {
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
	if len(work)+len(judge) > 0 {
		crash.Here(crash.SessionsClaimed)
	}
	for i := range work {
		r.begin(runCtx, runs, &work[i], agents)
	}
	for i := range judge {
		r.begin(runCtx, runs, &judge[i], gates)
	}
}

// lacksRoom reports whether the disk of the data folder is so full that nothing may begin. What waits is looked at
// again and again.
func (r *Runner) lacksRoom() bool {
	lacks := agent.LacksRoom(r.Data, r.Limits.Room)
	if r.cramped.Swap(lacks) != lacks {
		if lacks {
			r.Log.Warn("no run begins: the disk of the data folder has too little room left", "folder", r.Data,
				"setting", "CARILLON_DISK_FREE")
		} else {
			r.Log.Info("runs begin again: the disk of the data folder has room")
		}
	}
	return lacks
}

// begin works on a claimed session, in one of the free places.
func (r *Runner) begin(runCtx context.Context, runs *sync.WaitGroup, session *db.Session, free chan struct{}) {
	<-free
	life, lose := context.WithCancelCause(runCtx)
	sessionCtx, cancel := context.WithCancelCause(runCtx)
	run := &running{
		lease: db.Lease{Session: session.ID, Worker: r.Worker, Fence: session.Fence}, cancel: cancel, lose: lose,
	}
	r.mu.Lock()
	r.runs[session.ID] = run
	r.mu.Unlock()
	runs.Go(func() {
		defer func() {
			r.forgetRun(run)
			cancel(nil)
			lose(nil)
			free <- struct{}{}
			r.Wake()
		}()
		r.work(sessionCtx, life, session, run)
		runs.Go(func() { r.spare(runCtx, session) }) // the place is free meanwhile
	})
}

// forgetRun removes a run that has ended. The session may have come back in the meantime, where the answer to the last
// write was late: that run stays.
func (r *Runner) forgetRun(run *running) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.runs[run.lease.Session] == run {
		delete(r.runs, run.lease.Session)
	}
}

// spare makes the files of a session's base branch ready for the next session of its workspace.
func (r *Runner) spare(ctx context.Context, session *db.Session) {
	err := r.Store.Spare(ctx, session.WorkspaceID.String(), session.BaseBranch)
	if err != nil && ctx.Err() == nil {
		// the next run writes its files itself, or says why not
		r.Log.Debug("make a spare worktree", "workspace", session.WorkspaceID, "err", err)
	}
}

// renew keeps the leases of all runs, and stops those that were taken away or are asked to stop. It reports whether the
// database answered.
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
	words := make(map[uuid.UUID]db.Held, len(held))
	for _, h := range held {
		words[h.ID] = h
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, run := range runs { // not those that began since: nobody asked for them
		h, ok := words[run.lease.Session]
		switch {
		case !ok || h.Fence != run.lease.Fence:
			run.lost()
		case !h.CancelRequestedAt.IsZero() && run.meant(h.CancelTurn):
			run.cancel(errCanceled)
		case !h.InterruptAt.IsZero() && run.meant(h.InterruptTurn):
			run.cancel(errInterrupted)
		}
	}
	return true
}

// Asked lets the runner look now at what it is asked to end. The word that something was asked names no turn and may
// come late, so what is written of the session decides.
func (r *Runner) Asked() {
	select {
	case r.asked <- struct{}{}:
	default:
	}
}

// work does what a claimed session has to do, and ends it. Whatever happens, it ends once: here, or where the lease is
// lost, by whoever took it.
func (r *Runner) work(ctx, life context.Context, session *db.Session, run *running) {
	w := &work{Runner: r, session: session, began: r.Now(), lease: run.lease, running: run, life: life}
	outcome := func() (o automation.Outcome) {
		defer func() {
			if p := recover(); p != nil {
				r.Log.Error("panic while working on a session", "session", session.ID, "panic", p, "stack",
					string(debug.Stack()))
				o = ofOurs("something went wrong on our side")
			}
		}()
		return w.run(ctx)
	}()
	outcome.Began, outcome.TurnBegun, outcome.OwnAccount = w.began, w.turned, w.account
	if errors.Is(context.Cause(ctx), errCutOff) {
		w.release(ctx)
		return
	}
	w.close(ctx)
	crash.Here(crash.WorkClosed)
	if left(ctx) {
		return // another process ends it: now, or when this worker lives again
	}
	if w.tryAgain {
		again, err := surelyOf(ctx, w, "try session again", func(ctx context.Context) (bool, error) {
			return r.Rules.Again(ctx, w.lease, w.again, outcome)
		})
		if again {
			return
		}
		if err != nil {
			r.Log.Error("try session again", "session", session.ID, "err", err)
		}
	}
	if w.passed {
		err := w.surely(ctx, "pass the gate", func(ctx context.Context) error { return r.Rules.PassGate(ctx, w.lease) })
		if err == nil || errors.Is(err, db.ErrLeaseLost) || life.Err() != nil {
			crash.Here(crash.GatePassed)
			return
		}
		r.Log.Error("pass the gate", "session", session.ID, "err", err)
		outcome = ofOurs("something went wrong on our side: it could not be queued behind its gate")
	}
	w.finish(ctx, outcome)
	if session.AtGate {
		r.dropWorktree(ctx, session)
	}
}

// left reports whether a run was ended for somebody to go on with it: nothing is concluded from how it ended.
func left(ctx context.Context) bool {
	cause := context.Cause(ctx)
	return errors.Is(cause, errLeaseLost) || errors.Is(cause, errShutdown) || errors.Is(cause, errCutOff)
}

// release gives a session back whose agent was stopped, once the database answers: it goes on, or its run ends as
// interrupted. Where others were faster, they have done the same.
func (w *work) release(ctx context.Context) {
	err := w.surely(ctx, "reach the database again", func(ctx context.Context) error {
		return db.Hold(ctx, w.DB, w.lease)
	})
	w.close(ctx)
	if err == nil {
		err = w.surely(ctx, "give the session back", func(ctx context.Context) error {
			return w.Rules.Release(ctx, w.lease, errCutOff.Error(), Resumable(w.Providers))
		})
	}
	if err != nil && !errors.Is(err, db.ErrLeaseLost) && w.life.Err() == nil {
		// the lease runs out, and the session is found
		w.Log.Error("give the session back", "session", w.session.ID, "err", err)
	}
}

// ofOurs is the outcome of work that failed by a fault of ours: it counts for nothing, and what the session has changed
// is not known, so that nothing is closed unseen.
func ofOurs(reason string) automation.Outcome {
	return automation.Outcome{
		Status: db.Failed, Class: "internal", Reason: reason, Neutral: true, Tell: true, FilesChanged: true,
	}
}

// finishAttempts is how often the end of a session is written that the database refuses, and not because it is away.
const finishAttempts = 10

// finish ends a session's work, however long the database is away. What it refuses for good, as a bug of ours may make
// it, ends as a failure of ours; if that is refused too, the lease runs out and whoever finds the session ends it.
func (w *work) finish(ctx context.Context, o automation.Outcome) {
	for refused := 1; refused <= finishAttempts; refused++ {
		err := w.surely(ctx, "finish session", func(ctx context.Context) error {
			return w.Rules.Finish(ctx, w.lease, o)
		})
		if err == nil || errors.Is(err, db.ErrLeaseLost) || w.life.Err() != nil {
			return // where the server goes down, the next start finds the session
		}
		w.Log.Error("finish session", "session", w.lease.Session, "err", err)
		if refused == finishAttempts/2 {
			o = ofOurs("something went wrong on our side: its end could not be written")
		}
		select {
		case <-w.life.Done():
			return
		case <-time.After(min(firstPause<<refused, mostPause)):
		}
	}
}
