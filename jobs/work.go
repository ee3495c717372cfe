package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/crash"
	"carillon/app/git"
	"carillon/app/transcript"
	"carillon/db"
)

// work is one session at work.
type work struct {
	*Runner
	session    *db.Session
	lease      db.Lease
	running    *running
	life       context.Context // ends with the server, or when another worker has the session
	execution  *db.Execution   // nil: a person's reply
	transcript *transcriptWriter
	stop       chan time.Duration // ends the transcript
	written    chan struct{}
	dir        string // of this run alone
	answer     string
	bot        limits
	flow       flow
	token      string // by which the agent asks the MCP server; good while a turn runs

	began  time.Time
	turned bool // a turn was begun
	passed bool // the gate lets the run through, which waits for an agent's place next

	tryAgain bool      // the run, later
	again    uuid.UUID // the turn that is to be tried again; zero: none was begun
	account  bool      // the workspace has variables by which the agent signs in: its trouble is the workspace's own
	sandbox  *agent.Sandbox

	remote   git.Remote // of the workspace
	unpushed bool       // that what a turn left could not be pushed was said
}

// run prepares the session and works through its turns.
func (w *work) run(ctx context.Context) automation.Outcome {
	s := w.session
	e, err := steadily(ctx, w, "read the execution", func(ctx context.Context) (*db.Execution, error) {
		return db.ExecutionBySession(ctx, w.DB, s.ID)
	})
	if err != nil && !db.IsNotFound(err) {
		return w.stuck(ctx, "read the execution", err)
	}
	if err == nil && e.Status.InFlight() {
		w.execution = e
	}
	ctx, done := w.bounded(ctx)
	defer done()
	ws, err := steadily(ctx, w, "read the workspace", w.ofWorkspace)
	if err != nil {
		return w.stuck(ctx, "read the workspace", err)
	}
	environment, err := steadily(ctx, w, "read the workspace's variables",
		func(ctx context.Context) (automation.Environment, error) {
			return w.Rules.Environment(ctx, ws)
		})
	if err != nil {
		return w.stuck(ctx, "read the workspace's variables", err)
	}
	secrets, err := w.beginFlow()
	if err != nil {
		return w.failed(agent.FailStart, err.Error())
	}
	if err := w.open(ctx, append(environment.Secrets, secrets...)); err != nil {
		return w.stuck(ctx, "read the transcript's size", err)
	}
	crash.Here(crash.RunOpened)
	if s.AtGate {
		return w.gate(ctx, ws, environment)
	}
	provider, reason := w.usable(s.Provider)
	if reason != "" {
		return w.failed(agent.FailStart, reason)
	}
	w.account = signsIn(provider, environment.Variables)
	if w.bot, err = w.ofBot(ctx); errors.Is(err, errOurs) {
		return w.stuck(ctx, "read the bot", err)
	} else if err != nil {
		return w.ended(ctx, agent.FailStart, err.Error())
	}
	tree, err := w.worktree(ctx, ws, environment.Token)
	if err != nil {
		return w.unready(ctx, err)
	}
	env, outcome := w.equip(ctx, ws, environment, provider, tree)
	if outcome != nil {
		return *outcome
	}
	return w.turns(ctx, provider, tree, env)
}

// equip makes what a provider's process needs beside the worktree, and returns its variables; or how the work ends,
// where that cannot be made.
func (w *work) equip(ctx context.Context, ws *db.Workspace, e automation.Environment, p agent.Provider,
	tree git.Worktree) ([]string, *automation.Outcome) {
	var err error
	if w.dir, err = os.MkdirTemp(mkdirAll(filepath.Join(w.Data, "runs")), w.session.ID.String()+"-"); err != nil {
		o := w.outage(ctx, "the run's folder could not be made: "+err.Error())
		return nil, &o
	}
	crash.Here(crash.RunFolderMade)
	if w.sandbox, err = w.confine(ctx, ws, tree); err != nil {
		o := w.ended(ctx, agent.FailStart, err.Error())
		return nil, &o
	}
	return append(w.Store.Env(ctx, w.sandbox != nil), e.Variables...), nil
}

// ofWorkspace finds the session's workspace.
func (w *work) ofWorkspace(ctx context.Context) (*db.Workspace, error) {
	return db.WorkspaceByID(ctx, w.DB, w.session.WorkspaceID)
}

// lose ends a run whose session another worker has.
func (w *work) lose() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running.lost()
}

// at notes which turn is at work; zero: none.
func (w *work) at(turn uuid.UUID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running.turn = turn
}

// bounded is a context that ends with the run's timeout.
func (w *work) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if w.execution == nil || w.execution.Snapshot.TimeoutSeconds == 0 {
		return context.WithCancel(ctx)
	}
	limit := w.timeLeft(time.Duration(w.execution.Snapshot.TimeoutSeconds) * time.Second)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTimeout)
	if w.timeIsUp == nil {
		return ctx, cancel
	}
	ctx, timeOut := context.WithCancelCause(ctx)
	go func() {
		defer timeOut(nil)
		select {
		case <-w.timeIsUp:
			timeOut(errTimeout)
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// open starts the transcript. The error is the run's end.
func (w *work) open(ctx context.Context, secrets []string) error {
	w.transcript = newTranscriptWriter(w.DB, w.lease, w.session.LastSeq)
	w.token = automation.NewSessionToken()
	w.transcript.mask, w.transcript.now, w.transcript.log = automation.Masker(append(secrets, w.token),
		automation.Hidden), w.Now, w.Log
	w.transcript.lost = w.lose
	err := w.steady(ctx, "read the transcript's size", w.transcript.resume)
	if err != nil && ctx.Err() == nil {
		// it is bounded as if it began here
		w.Log.Warn("read the transcript's size", "session", w.session.ID, "err", err)
	}
	w.stop, w.written = make(chan time.Duration, 1), make(chan struct{})
	background := context.WithoutCancel(ctx)
	go func() {
		defer close(w.written)
		w.transcript.run(background, w.stop)
	}()
	return context.Cause(ctx)
}

var errTimeout = errors.New("the run took too long")

// close writes the rest of the transcript, within bounds, and removes the run's folder.
func (w *work) close(ctx context.Context) {
	if w.stop != nil {
		patience := endPatience
		if cause := context.Cause(ctx); errors.Is(cause, errLeaseLost) || errors.Is(cause, errShutdown) {
			patience = stopPatience
		}
		w.stop <- patience
		<-w.written
	}
	if w.dir != "" {
		if err := git.RemoveAll(w.dir); err != nil {
			w.Log.Warn("remove the run's folder", "dir", w.dir, "err", err)
		}
	}
}

// turns runs the session's queued messages, one after the other.
func (w *work) turns(ctx context.Context, p agent.Provider, tree git.Worktree, env []string) automation.Outcome {
	var parameters map[string]string
	if w.execution != nil {
		parameters = w.execution.Parameters
	}
	ctx, unwatch := w.watch(ctx)
	defer unwatch()
	var begun *db.Turn // a pass that a restart interrupted
	var outcome automation.Outcome
	outcome.Status = db.Succeeded
	if w.session.Fence > 1 { // else nobody had it before
		outcome = w.formerEnd(ctx)
		w.tellRefused(ctx) // of a turn whose worker ended before it had told
	}
	for outcome.Status == db.Succeeded {
		turn, err := w.nextTurn(ctx)
		if err != nil {
			outcome = w.stuck(ctx, "read the next message", err)
			break
		}
		if turn == nil {
			break
		}
		if isPass(turn.Kind) {
			begun, w.answer = turn, w.lastAnswer(ctx)
			break
		}
		if turn.Kind == db.StepTurn {
			outcome = w.step(ctx, p, tree, env, turn)
			continue
		}
		if reason := w.overBudget(ctx, !turn.Again); reason != "" {
			outcome = w.outOfBudget(reason)
			break
		}
		if w.turned {
			w.keep(ctx, tree)
		}
		w.turned = true
		outcome = w.turn(ctx, p, tree, env, parameters, turn)
	}
	outcome.FilesChanged = w.changes(ctx, tree) || outcome.FilesChanged
	outcome.Completion = w.completion(ctx)
	outcome.Answer = w.answer
	return w.settle(ctx, p, tree, env, outcome, begun)
}

// formerEnd is how the run's messages ended in a former life of it, whose end was not written. What made one fail is
// not known any more.
func (w *work) formerEnd(ctx context.Context) automation.Outcome {
	o := automation.Outcome{Status: db.Succeeded}
	if w.execution == nil {
		return o
	}
	turns, err := w.runTurns(ctx)
	if err != nil {
		return w.stuck(ctx, "read the messages", err)
	}
	for _, t := range turns {
		switch {
		case isPass(t.Kind) || t.Status.InFlight():
		case t.Status == db.Succeeded:
			w.answer = t.Answer
		default:
			o = automation.Outcome{
				Status: db.Failed, Class: db.ErrorLost, Reason: cmp.Or(t.Reason, "interrupted by a restart"),
				Neutral: true,
			}
		}
	}
	return o
}

// turn runs one message.
func (w *work) turn(ctx context.Context, p agent.Provider, tree git.Worktree, env []string,
	parameters map[string]string, turn *db.Turn) automation.Outcome {
	crash.Here(crash.TurnBegun)
	w.transcript.begin(turn.ID)
	w.at(turn.ID)
	defer w.at(uuid.Nil)
	if w.forget(ctx) {
		w.transcript.add(transcript.KindLog, transcript.Event{
			Kind: transcript.KindLog, Text: "The context was reset: the agent knows nothing of what was said above.",
		})
	}
	w.transcript.add(transcript.KindTurn, transcript.Turn{
		ID: turn.ID, Kind: string(turn.Kind), Label: turn.Label, Prompt: cut(turn.Prompt), Author: turn.AuthorID,
	})
	begun := w.Now()
	var heard mentions
	servers, toolEnv, err := w.admit(ctx, p, turn.ID)
	if err != nil {
		return w.stuck(ctx, "let the agent use the tools of Carillon", err)
	}
	ctx, meter := w.measure(ctx, turn)
	defer meter.cancel(nil)
	limits := w.limitsOf(p, turn)
	var naming sync.WaitGroup
	named := ""
	give := func() (agent.Result, error) {
		defer w.atWork()()
		return agent.Run(ctx, p, agent.Turn{
			Dir: tree.Dir, Used: meter.tell, MostUSD: w.moneyLeft(ctx), Prompt: w.prompt(ctx, p, tree, turn),
			Model: w.session.Model, Resume: w.session.Conversation,
			Params: parameters, Env: append(env, toolEnv...), RunDir: w.dir, Idle: idle(p), MCP: servers,
			Worked:       func() bool { return w.worked(ctx, tree, begun) },
			Instructions: w.instructions(p, tree, turn), ReadOnly: limits.ReadOnly, AllowedTools: limits.AllowedTools,
			Spent: w.spent(ctx), Sandbox: w.sandbox, Limits: w.Limits, Now: w.Now,
		}, func(e transcript.Event) {
			if e.Kind == transcript.KindConversation {
				// no reader of the transcript needs it; a resume does, should this process die
				if named == "" {
					named = e.ID
					crash.Here(crash.ConversationHeard)
					naming.Go(func() { w.storeConversation(ctx, e.ID) })
				}
				return
			}
			heard.hear(e)
			w.transcript.agentEvent(e)
		})
	}
	result, err := give()
	if errors.Is(err, agent.ErrUnknownConversation) && w.session.Conversation != "" && ctx.Err() == nil {
		w.note("The agent does not know the conversation any more. It begins anew, and knows nothing of what was " +
			"said above.")
		naming.Wait() // what the first call named is no conversation that could be gone on with
		named = ""
		w.keepConversation(ctx, "")
		result, err = give()
	}
	naming.Wait()
	w.at(uuid.Nil)
	crash.Here(crash.AgentEnded)
	result.Usage = meter.done(result.Usage)
	used := w.noteUsage(ctx, turn, result.Conversation, result.Usage) // before the transcript tells of it
	w.dismiss(ctx)

	outcome := automation.Outcome{Status: db.Succeeded, ExitCode: &result.ExitCode}
	var failure *agent.Failure
	if errors.As(err, &failure) {
		reason := failure.Reason
		if failure.Fix != "" {
			reason += ". " + failure.Fix
		}
		outcome = w.outcomeOf(ctx, failure.Kind, reason) // the turn's end says it
		if failure.Kind == agent.FailAgent {
			outcome.ExitCode = &result.ExitCode
		}
		switch failure.Kind {
		case agent.FailTimeout:
			outcome.Status = db.TimedOut
		case agent.FailBudget:
			outcome.Neutral = true
		}
		outcome.RetryAt = failure.RetryAt
		outcome.ProviderTrouble = outcome.Status == db.Failed &&
			(failure.Kind == agent.FailAuth || failure.Kind == agent.FailRateLimit)
	}
	var judged *db.Snapshot
	if w.execution != nil {
		judged = &w.execution.Snapshot
	}
	w.answer = automation.KeptAnswer(w.transcript.hide(agent.Plain(result.Text)), judged)
	outcome.Reason = w.transcript.hide(outcome.Reason)
	w.transcript.add(transcript.KindTurnEnd, transcript.TurnEnd{
		ID: turn.ID, Status: string(outcome.Status), Reason: outcome.Reason, Seconds: w.Now().Sub(begun).Seconds(),
		ExitCode: outcome.ExitCode,
		Class:    outcome.Class, Usage: known(p, result.Usage),
	})
	if w.plansAgain(ctx, turn, outcome) {
		if named != "" {
			w.storeConversation(ctx, w.session.Conversation)
		}
		return outcome // as it began: with the conversation that it went on with
	}
	if result.Conversation != "" && result.Conversation != w.session.Conversation {
		w.keepConversation(ctx, result.Conversation)
	}
	if left(ctx) {
		return outcome // the turn comes again, or its session is not ours any more
	}
	w.notePullRequests(ctx, tree, heard.all(result.Text))
	if used != "" && outcome.Class == agent.FailBudget {
		outcome.Reason = used
	}
	crash.Here(crash.UsageNoted)
	w.endTurn(ctx, turn, outcome, w.answer)
	return outcome
}

// keepConversation notes the agent's own id of the conversation, for the next turn.
func (w *work) keepConversation(ctx context.Context, conversation string) {
	w.session.Conversation = conversation
	w.storeConversation(ctx, conversation)
}

func (w *work) storeConversation(ctx context.Context, conversation string) {
	err := w.surely(ctx, "note the conversation", func(ctx context.Context) error {
		return db.SetConversation(ctx, w.DB, w.lease, conversation)
	})
	if err != nil {
		w.Log.Warn("note the conversation", "session", w.session.ID, "err", err)
	}
	crash.Here(crash.ConversationStored)
}

// endTurn writes how a turn ended.
func (w *work) endTurn(ctx context.Context, turn *db.Turn, o automation.Outcome, answer string) {
	ended := w.Now()
	err := w.surely(ctx, "finish turn", func(ctx context.Context) error {
		return db.FinishTurn(ctx, w.DB, w.lease, turn.ID, turnStatus(o.Status), o.Reason, answer, ended)
	})
	if err != nil {
		w.Log.Warn("finish turn", "turn", turn.ID, "err", err) // the end of the session's work ends it too
	}
	crash.Here(crash.TurnEnded)
}

// idle is how long an agent may say nothing: it is silent for over a minute while it retries, and for ever when it
// hangs. A script may be as silent as it likes.
func idle(p agent.Provider) time.Duration {
	if p.Driver == agent.DriverShell {
		return 0
	}
	return 15 * time.Minute
}

// turnStatus is the status of a turn that ended so.
func turnStatus(s db.ExecutionStatus) db.ExecutionStatus {
	if s == db.TimedOut {
		return db.Failed
	}
	return s
}

// worktree brings the repository up to date and makes the session's worktree, or finds it again.
func (w *work) worktree(ctx context.Context, ws *db.Workspace, token string) (git.Worktree, error) {
	s := w.session
	w.remote = git.Remote{URL: ws.GitURL, Token: token, Branch: ws.DefaultBranch, Anywhere: ws.Anywhere}
	tree, err := w.place(ctx, ws, w.remote)
	if err != nil {
		return git.Worktree{}, err
	}
	crash.Here(crash.TreeMade)
	// The base is the commit that this worktree began from: one that was made anew may begin from a later one.
	s.Branch, s.BaseCommit = tree.Branch, tree.Base
	err = ourFault(w.steady(ctx, "note the worktree", func(ctx context.Context) error {
		return db.SetWorktree(ctx, w.DB, w.lease, db.Worktree{Branch: tree.Branch, BaseCommit: tree.Base})
	}))
	crash.Here(crash.TreeNoted)
	return tree, err
}

// errOurs says that something went wrong on our side.
var errOurs = errors.New("something went wrong on our side")

// ourFault makes what a database step refused, or what kept it from being done, errOurs.
func ourFault(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errOurs, err)
}

// maxDiff is how much of a session's diff is kept, in bytes.
const maxDiff = 1 << 20

// changes notes what the session has changed so far, and reports whether that is anything. When that cannot be told it
// says yes, so that nothing is closed unseen.
func (w *work) changes(ctx context.Context, tree git.Worktree) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	var c git.Changes
	err := w.mending(ctx, func() (err error) {
		c, err = w.Store.Changes(ctx, tree)
		return err
	})
	if err != nil {
		w.transcript.add(transcript.KindWarning, transcript.Event{
			Kind: transcript.KindWarning, Text: "The changed files could not be listed: " + err.Error(),
		})
		return true
	}
	diff, cut, err := w.Store.Diff(ctx, tree, maxDiff)
	if err != nil {
		w.transcript.add(transcript.KindWarning, transcript.Event{
			Kind: transcript.KindWarning, Text: "The diff could not be read: " + err.Error(),
		})
	}
	summary := db.ChangeSummary{
		Files: len(c.Files) + c.More, Diff: w.transcript.hide(diff), Cut: cut, Commits: c.Ahead, Stashes: c.Stashes,
		Ignored: c.Ignored,
	}
	for _, name := range c.Branches {
		summary.Branches = append(summary.Branches, w.transcript.hide(name))
	}
	for _, f := range c.Files {
		summary.Added += f.Additions
		summary.Removed += f.Deletions
	}
	looked := w.Now()
	err = w.surely(ctx, "note changes", func(ctx context.Context) error {
		return db.SetChanges(ctx, w.DB, w.lease, summary, looked)
	})
	if err != nil && !errors.Is(err, db.ErrLeaseLost) {
		w.Log.Warn("note changes", "session", w.session.ID, "err", err)
	}
	crash.Here(crash.ChangesNoted)
	if !c.Clean || w.session.Changed() {
		w.keep(ctx, tree)
	}
	w.session.FilesChanged, w.session.Commits, w.session.Stashes = summary.Files, summary.Commits, summary.Stashes
	return !c.Clean || w.session.NotSaved != ""
}

// ended is the outcome of work that ended early, and says a failure in the transcript.
func (w *work) ended(ctx context.Context, class, reason string) automation.Outcome {
	o := w.outcomeOf(ctx, class, reason)
	if o.Status == db.Failed && w.transcript != nil {
		w.note(o.Reason)
	}
	return o
}

// outcomeOf is the outcome of work that ended early: by a person, by the timeout, by a budget, or of itself.
func (w *work) outcomeOf(ctx context.Context, class, reason string) automation.Outcome {
	cause := context.Cause(ctx)
	var used budgetUsed
	switch {
	case errors.As(cause, &used):
		return automation.Outcome{Status: db.Failed, Class: db.ErrorBudget, Reason: string(used), Neutral: true}
	case errors.Is(cause, errCanceled):
		return automation.Outcome{Status: db.Canceled, Reason: "canceled"}
	case errors.Is(cause, errInterrupted):
		return automation.Outcome{Status: db.Canceled, Reason: "interrupted", Interrupted: true}
	case errors.Is(cause, errTimeout):
		limit := time.Duration(w.execution.Snapshot.TimeoutSeconds) * time.Second
		return automation.Outcome{
			Status: db.TimedOut, Class: "timeout", Reason: "it took longer than " + limit.String(),
		}
	}
	return automation.Outcome{Status: db.Failed, Class: class, Reason: reason}
}

func (w *work) failed(class, reason string) automation.Outcome {
	if w.transcript != nil {
		w.note(reason)
	}
	return automation.Outcome{Status: db.Failed, Class: class, Reason: reason}
}

// broken is the outcome of work that failed on our side.
func (w *work) broken(what string, err error) automation.Outcome {
	w.Log.Error(what, "session", w.session.ID, "err", err)
	return ofOurs("something went wrong on our side: could not " + what)
}

// mkdirAll makes a folder for this user alone and returns it; MkdirTemp says what is wrong when it could not.
func mkdirAll(dir string) string {
	_ = os.MkdirAll(dir, 0o700)
	return dir
}
