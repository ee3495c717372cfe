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
	"carillon/app/secret"
	"carillon/app/transcript"
	"carillon/app/workspace"
	"carillon/db"
)

// work is the work on one claimed session.
type work struct {
	*Runner
	session         *db.Session
	lease           db.Lease
	running         *running
	life            context.Context // ends when the server stops or another worker has the session
	execution       *db.Execution   // nil: a person's reply
	transcript      *transcriptWriter
	stopTranscript  chan time.Duration // ends the transcript
	transcriptEnded chan struct{}
	dir             string // temporary folder of this run
	answer          string
	bot             limits
	workflow        openedWorkflow
	token           string // of the agent for the MCP server; valid while a turn runs

	began      time.Time
	turnBegun  bool // a turn was begun
	gatePassed bool // the run has passed its gate, and waits for an agent's slot next

	retryPlanned bool      // the run is tried again later
	retryTurn    uuid.UUID // the turn to try again; zero: none was begun
	// the workspace's variables hold the agent's credentials, so their trouble concerns this workspace alone
	ownAccount bool
	sandbox    *agent.Sandbox

	remote           git.Remote // of the workspace
	pushFailureNoted bool       // the transcript says that a turn's state could not be pushed
}

// run prepares the session and runs its turns.
func (w *work) run(ctx context.Context) automation.Outcome {
	s := w.session
	e, err := retryValue(ctx, w, "read the execution", func(ctx context.Context) (*db.Execution, error) {
		return db.ExecutionBySession(ctx, w.DB, s.ID)
	})
	if err != nil && !db.IsNotFound(err) {
		return w.databaseFailure(ctx, "read the execution", err)
	}
	if err == nil && e.Status.InFlight() {
		w.execution = e
	}
	ctx, done := w.withTimeout(ctx)
	defer done()
	ws, err := retryValue(ctx, w, "read the workspace", w.readWorkspace)
	if err != nil {
		return w.databaseFailure(ctx, "read the workspace", err)
	}
	environment, err := retryValue(ctx, w, "read the workspace's variables",
		func(ctx context.Context) (workspace.Environment, error) {
			return w.Rules.Workspaces.Environment(ctx, ws)
		})
	if err != nil {
		return w.databaseFailure(ctx, "read the workspace's variables", err)
	}
	secrets, err := w.openWorkflow()
	if err != nil {
		return w.failedOutcome(agent.FailStart, err.Error())
	}
	if err := w.openTranscript(ctx, append(environment.Secrets, secrets...)); err != nil {
		return w.databaseFailure(ctx, "read the transcript's size", err)
	}
	crash.Here(crash.RunOpened)
	if s.AtGate {
		return w.gate(ctx, ws, environment)
	}
	provider, reason := w.usableProvider(s.Provider)
	if reason != "" {
		return w.failedOutcome(agent.FailStart, reason)
	}
	w.ownAccount = holdsSignIn(provider, environment.Variables)
	if w.bot, err = w.limitsOfBot(ctx); errors.Is(err, errInternal) {
		return w.databaseFailure(ctx, "read the bot", err)
	} else if err != nil {
		return w.endedOutcome(ctx, agent.FailStart, err.Error())
	}
	tree, err := w.worktree(ctx, ws, environment.Token)
	if err != nil {
		return w.worktreeFailure(ctx, err)
	}
	env, outcome := w.prepareRun(ctx, ws, environment, provider, tree)
	if outcome != nil {
		return *outcome
	}
	return w.runTurns(ctx, provider, tree, env)
}

// prepareRun makes the folder and the sandbox of a provider's processes, and returns their environment. If one cannot
// be made, it returns the outcome of the work.
func (w *work) prepareRun(ctx context.Context, ws *db.Workspace, e workspace.Environment, p agent.Provider,
	tree git.Worktree) ([]string, *automation.Outcome) {
	var err error
	if w.dir, err = os.MkdirTemp(mkdirAll(filepath.Join(w.Data, "runs")), w.session.ID.String()+"-"); err != nil {
		o := w.outage(ctx, "the run's folder could not be made: "+err.Error())
		return nil, &o
	}
	crash.Here(crash.RunFolderMade)
	if w.sandbox, err = w.prepareSandbox(ctx, ws, tree); err != nil {
		o := w.endedOutcome(ctx, agent.FailStart, err.Error())
		return nil, &o
	}
	return append(w.Store.Env(ctx, w.sandbox != nil), e.Variables...), nil
}

// readWorkspace reads the session's workspace.
func (w *work) readWorkspace(ctx context.Context) (*db.Workspace, error) {
	return db.WorkspaceByID(ctx, w.DB, w.session.WorkspaceID)
}

// loseLease ends the run because another worker has its session.
func (w *work) loseLease() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running.loseLease()
}

// setTurn sets the turn that runs now; zero: none.
func (w *work) setTurn(turn uuid.UUID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running.turn = turn
}

// withTimeout gives a context that ends with the run's timeout.
func (w *work) withTimeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if w.execution == nil || w.execution.Snapshot.TimeoutSeconds == 0 {
		return context.WithCancel(ctx)
	}
	limit := w.timeLeft(time.Duration(w.execution.Snapshot.TimeoutSeconds) * time.Second)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errTimeout)
	if w.timeoutNow == nil {
		return ctx, cancel
	}
	ctx, timeOut := context.WithCancelCause(ctx)
	go func() {
		defer timeOut(nil)
		select {
		case <-w.timeoutNow:
			timeOut(errTimeout)
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// openTranscript starts the transcript. It returns the cause of ctx if the run has ended.
func (w *work) openTranscript(ctx context.Context, secrets []string) error {
	w.transcript = newTranscriptWriter(w.DB, w.lease, w.session.LastSeq)
	w.token = automation.NewSessionToken()
	w.transcript.mask, w.transcript.now, w.transcript.log = secret.Masker(append(secrets, w.token),
		automation.Hidden), w.Now, w.Log
	w.transcript.onLeaseLost = w.loseLease
	err := w.retry(ctx, "read the transcript's size", w.transcript.resume)
	if err != nil && ctx.Err() == nil {
		// the bounds count from here
		w.Log.Warn("read the transcript's size", "session", w.session.ID, "err", err)
	}
	w.stopTranscript, w.transcriptEnded = make(chan time.Duration, 1), make(chan struct{})
	background := context.WithoutCancel(ctx)
	go func() {
		defer close(w.transcriptEnded)
		w.transcript.run(background, w.stopTranscript)
	}()
	return context.Cause(ctx)
}

var errTimeout = errors.New("the run took too long")

// cleanUp writes the rest of the transcript within a timeout, and removes the run's folder.
func (w *work) cleanUp(ctx context.Context) {
	if w.stopTranscript != nil {
		timeout := endTimeout
		if cause := context.Cause(ctx); errors.Is(cause, errLeaseLost) || errors.Is(cause, errShutdown) {
			timeout = stopTimeout
		}
		w.stopTranscript <- timeout
		<-w.transcriptEnded
	}
	if w.dir != "" {
		if err := git.RemoveAll(w.dir); err != nil {
			w.Log.Warn("remove the run's folder", "dir", w.dir, "err", err)
		}
	}
}

// runTurns runs the session's queued turns, one after the other.
func (w *work) runTurns(ctx context.Context, p agent.Provider, tree git.Worktree, env []string) automation.Outcome {
	var parameters map[string]string
	if w.execution != nil {
		parameters = w.execution.Parameters
	}
	ctx, stopWatch := w.watchBudget(ctx)
	defer stopWatch()
	var begun *db.Turn // a review pass that a restart interrupted
	var outcome automation.Outcome
	outcome.Status = db.Succeeded
	if w.session.Fence > 1 { // a worker had the session before
		outcome = w.formerOutcome(ctx)
		w.recordRefusedCalls(ctx) // of a turn whose worker ended before it recorded them
	}
	for outcome.Status == db.Succeeded {
		turn, err := w.nextTurn(ctx)
		if err != nil {
			outcome = w.databaseFailure(ctx, "read the next message", err)
			break
		}
		if turn == nil {
			break
		}
		if isReviewPass(turn.Kind) {
			begun, w.answer = turn, w.lastAnswer(ctx)
			break
		}
		if turn.Kind == db.StepTurn {
			outcome = w.runStep(ctx, p, tree, env, turn)
			continue
		}
		if reason := w.overBudget(ctx, !turn.Again); reason != "" {
			outcome = w.budgetOutcome(reason)
			break
		}
		if w.turnBegun {
			w.saveState(ctx, tree)
		}
		w.turnBegun = true
		outcome = w.runTurn(ctx, p, tree, env, parameters, turn)
	}
	outcome.FilesChanged = w.noteChanges(ctx, tree) || outcome.FilesChanged
	outcome.Completion = w.completion(ctx)
	outcome.Answer = w.answer
	return w.judgeRun(ctx, p, tree, env, outcome, begun)
}

// formerOutcome gives the outcome of turns that ended before the run was interrupted. The cause of a failed one is not
// known any more.
func (w *work) formerOutcome(ctx context.Context) automation.Outcome {
	o := automation.Outcome{Status: db.Succeeded}
	if w.execution == nil {
		return o
	}
	turns, err := w.turnsOfRun(ctx)
	if err != nil {
		return w.databaseFailure(ctx, "read the messages", err)
	}
	for _, t := range turns {
		switch {
		case isReviewPass(t.Kind) || t.Status.InFlight():
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

// runTurn runs one turn with the agent.
func (w *work) runTurn(ctx context.Context, p agent.Provider, tree git.Worktree, env []string,
	parameters map[string]string, turn *db.Turn) automation.Outcome {
	crash.Here(crash.TurnBegun)
	w.transcript.setTurn(turn.ID)
	w.setTurn(turn.ID)
	defer w.setTurn(uuid.Nil)
	if w.takeContextReset(ctx) {
		w.transcript.add(transcript.KindLog, transcript.Event{
			Kind: transcript.KindLog, Text: "The context was reset: the agent knows nothing of what was said above.",
		})
	}
	w.transcript.add(transcript.KindTurn, transcript.Turn{
		ID: turn.ID, Kind: string(turn.Kind), Label: turn.Label, Prompt: truncate(turn.Prompt), Author: turn.AuthorID,
	})
	begun := w.Now()
	var mentioned mentions
	servers, toolEnv, err := w.grantTools(ctx, p, turn.ID)
	if err != nil {
		return w.databaseFailure(ctx, "let the agent use the tools of Carillon", err)
	}
	ctx, meter := w.startMeter(ctx, turn)
	defer meter.cancel(nil)
	limits := w.turnLimits(p, turn)
	var naming sync.WaitGroup
	named := ""
	runAgent := func() (agent.Result, error) {
		defer w.trackProcess()()
		return agent.Run(ctx, p, agent.Turn{
			Dir: tree.Dir, OnUsage: meter.report, MaxUSD: w.moneyLeft(ctx), Prompt: w.prompt(ctx, p, tree, turn),
			Model: w.session.Model, Resume: w.session.Conversation,
			Params: parameters, Env: append(env, toolEnv...), RunDir: w.dir, Idle: idleTimeout(p), MCP: servers,
			HasWorked:    func() bool { return w.producedWork(ctx, tree, begun) },
			Instructions: w.instructions(p, tree, turn), ReadOnly: limits.ReadOnly, AllowedTools: limits.AllowedTools,
			FormerUsage: w.formerUsage(ctx), Sandbox: w.sandbox, Limits: w.Limits, Now: w.Now,
		}, func(e transcript.Event) {
			if e.Kind == transcript.KindConversation {
				// stored at once for a resume after this process dies; not part of the transcript
				if named == "" {
					named = e.ID
					crash.Here(crash.ConversationHeard)
					naming.Go(func() { w.storeConversation(ctx, e.ID) })
				}
				return
			}
			mentioned.collect(e)
			w.transcript.agentEvent(e)
		})
	}
	result, err := runAgent()
	if errors.Is(err, agent.ErrUnknownConversation) && w.session.Conversation != "" && ctx.Err() == nil {
		w.warn("The agent does not know the conversation any more. It begins anew, and knows nothing of what was " +
			"said above.")
		naming.Wait() // the conversation of the first call cannot be continued
		named = ""
		w.setConversation(ctx, "")
		result, err = runAgent()
	}
	naming.Wait()
	w.setTurn(uuid.Nil)
	crash.Here(crash.AgentEnded)
	result.Usage = meter.done(result.Usage)
	used := w.noteUsage(ctx, turn, result.Conversation, result.Usage) // before the transcript shows it
	w.revokeTools(ctx)

	outcome := automation.Outcome{Status: db.Succeeded, ExitCode: &result.ExitCode}
	var failure *agent.Failure
	if errors.As(err, &failure) {
		reason := failure.Reason
		if failure.Fix != "" {
			reason += ". " + failure.Fix
		}
		outcome = w.outcomeOf(ctx, failure.Kind, reason) // the end of the turn has the reason
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
	var snapshot *db.Snapshot
	if w.execution != nil {
		snapshot = &w.execution.Snapshot
	}
	w.answer = automation.KeptAnswer(w.transcript.maskText(agent.Plain(result.Text)), snapshot)
	outcome.Reason = w.transcript.maskText(outcome.Reason)
	w.transcript.add(transcript.KindTurnEnd, transcript.TurnEnd{
		ID: turn.ID, Status: string(outcome.Status), Reason: outcome.Reason, Seconds: w.Now().Sub(begun).Seconds(),
		ExitCode: outcome.ExitCode,
		Class:    outcome.Class, Usage: shownUsage(p, result.Usage),
	})
	if w.planRetry(ctx, turn, outcome) {
		if named != "" {
			w.storeConversation(ctx, w.session.Conversation)
		}
		return outcome // with the conversation that the turn began with
	}
	if result.Conversation != "" && result.Conversation != w.session.Conversation {
		w.setConversation(ctx, result.Conversation)
	}
	if handedOver(ctx) {
		return outcome // the turn is run again, or another worker has the session
	}
	w.notePullRequests(ctx, tree, mentioned.list(result.Text))
	if used != "" && outcome.Class == agent.FailBudget {
		outcome.Reason = used
	}
	crash.Here(crash.UsageNoted)
	w.endTurn(ctx, turn, outcome, w.answer)
	return outcome
}

// setConversation sets the agent's id of the conversation for the next turn, and stores it.
func (w *work) setConversation(ctx context.Context, conversation string) {
	w.session.Conversation = conversation
	w.storeConversation(ctx, conversation)
}

func (w *work) storeConversation(ctx context.Context, conversation string) {
	err := w.retryPastEnd(ctx, "note the conversation", func(ctx context.Context) error {
		return db.SetConversation(ctx, w.DB, w.lease, conversation)
	})
	if err != nil {
		w.Log.Warn("note the conversation", "session", w.session.ID, "err", err)
	}
	crash.Here(crash.ConversationStored)
}

// endTurn writes the end of a turn.
func (w *work) endTurn(ctx context.Context, turn *db.Turn, o automation.Outcome, answer string) {
	ended := w.Now()
	err := w.retryPastEnd(ctx, "finish turn", func(ctx context.Context) error {
		return db.FinishTurn(ctx, w.DB, w.lease, turn.ID, turnStatus(o.Status), o.Reason, answer, ended)
	})
	if err != nil {
		w.Log.Warn("finish turn", "turn", turn.ID, "err", err) // the end of the session's work ends the turn too
	}
	crash.Here(crash.TurnEnded)
}

// idleTimeout is how long an agent may be silent. An agent that retries is silent for over a minute, one that hangs for
// ever. A script has no such limit.
func idleTimeout(p agent.Provider) time.Duration {
	if p.Driver == agent.DriverShell {
		return 0
	}
	return 15 * time.Minute
}

// turnStatus gives the status of a turn for the status of an execution.
func turnStatus(s db.ExecutionStatus) db.ExecutionStatus {
	if s == db.TimedOut {
		return db.Failed
	}
	return s
}

// worktree updates the repository, makes the session's worktree or finds the existing one, and records it.
func (w *work) worktree(ctx context.Context, ws *db.Workspace, token string) (git.Worktree, error) {
	s := w.session
	w.remote = git.Remote{URL: ws.GitURL, Token: token, Branch: ws.DefaultBranch, Anywhere: ws.Anywhere}
	tree, err := w.ensureWorktree(ctx, ws, w.remote)
	if err != nil {
		return git.Worktree{}, err
	}
	crash.Here(crash.TreeMade)
	// The base is the commit at which this worktree began. A new worktree of the same session may begin at a later
	// commit.
	s.Branch, s.BaseCommit = tree.Branch, tree.Base
	err = asInternal(w.retry(ctx, "note the worktree", func(ctx context.Context) error {
		return db.SetWorktree(ctx, w.DB, w.lease, db.Worktree{Branch: tree.Branch, BaseCommit: tree.Base})
	}))
	crash.Here(crash.TreeNoted)
	return tree, err
}

// errInternal is an error of Carillon or its database, not of the automation.
var errInternal = errors.New("something went wrong on our side")

// asInternal wraps the error of a database step in errInternal.
func asInternal(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errInternal, err)
}

// maxDiff bounds the stored diff of a session, in bytes.
const maxDiff = 1 << 20

// noteChanges records what the session has changed so far, and reports whether it has changed anything. It reports true
// when the changes are unknown, so that the session is not closed automatically.
func (w *work) noteChanges(ctx context.Context, tree git.Worktree) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Minute)
	defer cancel()
	var c git.Changes
	err := w.withRepair(ctx, func() (err error) {
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
		Files: len(c.Files) + c.More, Diff: w.transcript.maskText(diff), Cut: cut, Commits: c.Ahead, Stashes: c.Stashes,
		Ignored: c.Ignored,
	}
	for _, name := range c.Branches {
		summary.Branches = append(summary.Branches, w.transcript.maskText(name))
	}
	for _, f := range c.Files {
		summary.Added += f.Additions
		summary.Removed += f.Deletions
	}
	listedAt := w.Now()
	err = w.retryPastEnd(ctx, "note changes", func(ctx context.Context) error {
		return db.SetChanges(ctx, w.DB, w.lease, summary, listedAt)
	})
	if err != nil && !errors.Is(err, db.ErrLeaseLost) {
		w.Log.Warn("note changes", "session", w.session.ID, "err", err)
	}
	crash.Here(crash.ChangesNoted)
	if !c.Clean || w.session.Changed() {
		w.saveState(ctx, tree)
	}
	w.session.FilesChanged, w.session.Commits, w.session.Stashes = summary.Files, summary.Commits, summary.Stashes
	return !c.Clean || w.session.NotSaved != ""
}

// endedOutcome is outcomeOf, and adds the reason of a failure to the transcript.
func (w *work) endedOutcome(ctx context.Context, class, reason string) automation.Outcome {
	o := w.outcomeOf(ctx, class, reason)
	if o.Status == db.Failed && w.transcript != nil {
		w.warn(o.Reason)
	}
	return o
}

// outcomeOf is the outcome of work that ended early: by a person, by the timeout, by a budget, or with a failure of the
// given class.
func (w *work) outcomeOf(ctx context.Context, class, reason string) automation.Outcome {
	cause := context.Cause(ctx)
	var used budgetUsedError
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

func (w *work) failedOutcome(class, reason string) automation.Outcome {
	if w.transcript != nil {
		w.warn(reason)
	}
	return automation.Outcome{Status: db.Failed, Class: class, Reason: reason}
}

// internalFailure logs an error of Carillon, and gives the outcome of the work.
func (w *work) internalFailure(what string, err error) automation.Outcome {
	w.Log.Error(what, "session", w.session.ID, "err", err)
	return internalOutcome("something went wrong on our side: could not " + what)
}

// mkdirAll makes a folder for this user alone and returns its path. It ignores errors, because MkdirTemp in the folder
// fails then.
func mkdirAll(dir string) string {
	_ = os.MkdirAll(dir, 0o700)
	return dir
}

// warn adds a warning of the runner to the transcript.
func (w *work) warn(text string) {
	w.transcript.add(transcript.KindWarning, transcript.Event{Kind: transcript.KindWarning, Text: text})
}

// turnsOfRun lists the turns that belong to the run, without people's replies.
func (w *work) turnsOfRun(ctx context.Context) ([]db.Turn, error) {
	all, err := retryValue(ctx, w, "read the messages", func(ctx context.Context) ([]db.Turn, error) {
		return db.TurnsOf(ctx, w.DB, w.session.ID)
	})
	list := make([]db.Turn, 0, len(all))
	for _, t := range all {
		if t.ExecutionID == w.execution.ID {
			list = append(list, t)
		}
	}
	return list, err
}
