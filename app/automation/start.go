package automation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/budget"
	"carillon/app/crash"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/payload"
	"carillon/app/prompt"
	"carillon/app/provider"
	"carillon/app/shell"
	"carillon/app/toggle"
	"carillon/app/workflow"
	"carillon/db"
)

// Start starts a run of an automation. It is the only way a run starts: Run Now, the webhook, a replay and, in
// its set-based form StartDue, the scheduler. Starting is only writing: a worker picks the session up.
//
// It returns *Busy when the automation runs one session at a time and one is in flight, *Unable when it cannot run
// as it is, *workflow.MissingParameter and ErrTooLarge for values that do not do, fault.ErrNotFound when there is none.
func (s Runs) Start(ctx context.Context, id uuid.UUID, by Trigger) (*Run, error) {
	var run *Run
	err := s.startTx(ctx, func(ctx context.Context, tx bun.Tx) (err error) {
		if run, err = s.start(ctx, tx, id, by); err == nil {
			crash.Here(crash.StartWritten)
		}
		return err
	})
	var unable *Unable
	if errors.As(err, &unable) {
		unable.Execution, err = s.recordUnable(ctx, id, by, unable)
		if err != nil {
			return nil, fmt.Errorf("start automation %s: %w", id, err)
		}
		return nil, unable
	}
	if err != nil {
		return nil, fault.Wrap(err, "start automation %s", id)
	}
	crash.Here(crash.StartCommitted)
	s.notifyRun(id)
	return run, nil
}

// errAgain says that other runs began or ended while the guard looked at them, so that it has to look anew.
var errAgain = errors.New("other runs begin and end at this moment")

// mostStarts bounds how often the guard looks anew. Each time another run has begun or ended, so it is not reached.
const mostStarts = 1000

// startTx is db.InTx for what calls start. Whoever calls it announces the run afterwards.
func (s Runs) startTx(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	var err error
	for range mostStarts {
		if err = db.InTx(ctx, s.DB, fn); !errors.Is(err, errAgain) {
			return err
		}
	}
	return err
}

func (s Runs) start(ctx context.Context, tx bun.Tx, id uuid.UUID, by Trigger) (*Run, error) {
	now := s.Now()
	a, err := account.Found(db.StartableByID(ctx, tx, id))
	if err != nil {
		return nil, err
	}
	if err := loadContext(ctx, tx, []*db.Startable{a}, now); err != nil {
		return nil, err
	}
	row, err := s.prepare(a, by, now)
	if err != nil {
		return nil, err
	}
	if err := guard(ctx, tx, a); err != nil {
		return nil, err
	}
	inserted, err := db.InsertRuns(ctx, tx, []db.Run{*row})
	if db.MissingReference(err) == "executions_automation_id_fkey" { // deleted meanwhile
		return nil, fault.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	if !inserted[row.Execution.ID] {
		return nil, busy(ctx, tx, a)
	}
	if a.SkipID != uuid.Nil { // the only case in which starting writes to the automation's row
		if err := db.EndSkipStreak(ctx, tx, []uuid.UUID{id}); err != nil {
			return nil, err
		}
	}
	return &Run{
		Execution: row.Execution, Session: row.Session, Automation: a.Name, Unresolved: row.Execution.Unresolved,
	}, nil
}

// guard refuses a run that would overlap. Of an automation that runs one at a time, the unique index refuses what this
// look misses; the look is for runs past the index, of one that allowed parallel sessions until a moment ago.
//
// Those that allow them may have a cap. Calls that arrive together would all see room below it, so close to the cap
// they go one after the other, each waiting until the one before is on the disk. Further away they share the lock: each
// begun run that a look cannot see yet has a connection to the database, so as many more than those seen stay below the
// cap.
func guard(ctx context.Context, tx bun.Tx, a *db.Startable) error {
	switch {
	case !a.AllowParallel && a.InFlight > 0:
		return busy(ctx, tx, a)
	case !a.AllowParallel || a.MaxParallel == 0:
		return nil
	}
	share, lock := a.InFlight+a.Connections <= a.MaxParallel, db.LockKey
	if share {
		lock = db.ShareKey
	}
	if err := lock(ctx, tx, a.ID); err != nil {
		return err
	}
	n, err := db.CountInFlight(ctx, tx, a.ID) // again: others may have held the lock meanwhile
	switch {
	case err != nil:
		return err
	case n >= a.MaxParallel:
		return busy(ctx, tx, a)
	case share && n+a.Connections > a.MaxParallel:
		return errAgain
	}
	return nil
}

// busy names the run that is in the way: the oldest. It returns errAgain when that has ended meanwhile.
func busy(ctx context.Context, q bun.IDB, a *db.Startable) error {
	inFlight, err := db.OldestInFlight(ctx, q, a.ID)
	if err != nil {
		return err
	}
	oldest, ok := inFlight[a.ID]
	if !ok {
		return errAgain
	}
	b := &Busy{Automation: a.Name, Execution: oldest.ID, Session: oldest.SessionID}
	if a.AllowParallel {
		b.AtWork, b.Most = oldest.Count, a.MaxParallel
	}
	return b
}

// prepare makes the rows of a run, or says why there can be none. It writes nothing.
func (s Runs) prepare(a *db.Startable, by Trigger, now time.Time) (*db.Run, error) {
	provider, reason := s.obstacle(a)
	if reason != "" {
		return nil, &Unable{Automation: a.Name, Reason: reason, Ownerless: ownerObstacle(a) != ""}
	}
	if g, until, ok := budget.Exhausted(a, now); ok {
		return nil, &Unable{Automation: a.Name, Reason: g.UsedUp(), Until: until}
	}
	values := maps.Clone(a.Parameters)
	if values == nil {
		values = map[string]string{}
	}
	for name, value := range by.Parameters {
		if !form.Storable(name) || !form.Storable(value) {
			return nil, &workflow.MissingParameter{Name: db.Printable(name, 200), Wrong: "this is not text"}
		}
		if !by.Kept && workflow.CanUnseal(s.Keys, name, value) {
			return nil, &workflow.MissingParameter{Name: name, Wrong: workflow.StoredFormGiven}
		}
		values[name] = value
	}
	body := ""
	if a.AppendPayload {
		body = by.Payload
		if _, taken := values[payloadName]; !taken && body != "" {
			// a script reads it there, and a run with the same input finds it
			values[payloadName] = body
		}
	}

	outside, mark := by.outside(), ""
	if body != "" && values[payloadName] == body && !slices.Contains(outside, payloadName) {
		outside = append(slices.Clone(outside), payloadName)
	}
	if (len(outside) > 0 || body != "") && !provider.Script {
		mark = prompt.NewMark()
	}

	names, found := prompt.Names(a.Prompt, provider.Script), prompt.ValuesOf(values).Fenced(mark, outside)
	resolved, unresolved := prompt.Resolve(names, found)
	for name, value := range resolved { // a path may lead into a text that holds JSON
		if !form.Storable(value) {
			return nil, &workflow.MissingParameter{Name: name, Wrong: "this is not text"}
		}
	}
	text := a.Prompt
	if a.ExecutionType == db.WorkflowDriven {
		unresolved = nil
		secrets, err := workflow.Complete(s.Keys, a.WorkflowParameters, values, by.hidden)
		if err != nil {
			return nil, err
		}
		payload.HideOthers(values, a.WorkflowParameters, secrets)
	} else if provider.Script {
		maps.Copy(values, resolved) // a script gets values as variables, so dotted names must be among them
		if name, size := shell.TooLong(names, values); name != "" {
			return nil, &TooLong{Name: name, Bytes: size}
		}
	} else {
		if text = prompt.Fill(a.Prompt, found); body != "" {
			text = prompt.WithPayload(text, body, mark)
		}
	}
	if len(text) > prompt.MaxBytes {
		return nil, ErrTooLarge
	}
	if !provider.Script {
		text = toggle.Instruct(text, a.Toggles, a.Instructions)
	}

	owner := a.CreatorID
	if by.Source == db.ByHand {
		owner = by.UserID
	}
	e := db.Execution{
		ID: db.NewID(), AutomationID: a.ID, SessionID: db.NewID(),
		Source: by.Source, Mark: by.Mark, TokenFingerprint: by.Fingerprint,
		Status: db.Queued, Parallel: a.AllowParallel,
		Parameters: values, Unresolved: unresolved, Snapshot: snapshot(a, provider), CreatedAt: now,
	}
	e.Snapshot.Outside, e.Snapshot.Untrusted = outside, mark
	if by.Source == db.ByHand {
		e.UserID = by.UserID
	}
	_, model := agentOf(a)
	session := db.Session{
		ID: e.SessionID, WorkspaceID: a.WorkspaceID, AutomationID: a.ID, OwnerID: owner, BotID: a.BotID,
		Type: a.SessionType, Title: a.Name, Status: db.SessionQueued, Provider: provider.ID, Model: model,
		People: db.PeopleIDs{a.CreatorID}.With(e.UserID).With(by.People...).With(a.MadeBy...).With(a.ChangedBy...).
			With(a.ContentAuthors...),
		BaseBranch: a.BaseBranch, AtGate: a.Gate.Set(), CreatedAt: now, QueuedAt: now,
	}
	turn := db.Turn{
		ID: db.NewID(), SessionID: session.ID, ExecutionID: e.ID, Position: 1, Kind: db.PromptTurn,
		AuthorID: e.UserID, Prompt: text, Status: db.Queued, CreatedAt: now,
	}
	if a.ExecutionType == db.WorkflowDriven {
		if err := firstStep(&e, &turn, a, provider, body); err != nil {
			return nil, err
		}
	}
	return &db.Run{Execution: e, Session: session, Turns: []db.Turn{turn}}, nil
}

func snapshot(a *db.Startable, p provider.Provider) db.Snapshot {
	_, model := agentOf(a)
	tools := a.BotTools
	if len(tools) == 0 { // as it is read back
		tools = nil
	}
	return db.Snapshot{
		Name: a.Name, Trigger: a.Trigger, SessionType: a.SessionType, ExecutionType: a.ExecutionType,
		Prompt: a.Prompt, WorkflowID: a.WorkflowID, WorkflowName: a.WorkflowName, Steps: a.WorkflowSteps,
		Parameters: workflow.WithoutSecretDefaults(a.WorkflowParameters),
		TimeZone:   a.TimeZone, Cron: a.Cron,
		BotID: a.BotID, BotName: a.BotName, Instructions: a.BotInstructions, AllowedTools: tools,
		ReadOnly: a.BotReadOnly,
		Provider: p.ID, Model: model, BaseBranch: a.BaseBranch, Toggles: a.Toggles,
		AutoComplete: a.AutoComplete && a.Trigger != db.HTTP, OnlyUnchanged: a.OnlyUnchanged && a.Trigger != db.HTTP,
		CreatePR: a.CreatePR, MayAutomate: a.MayAutomate, TimeoutSeconds: a.TimeoutSeconds, Retries: a.Retries,
		StopText: a.StopText, Gate: a.Gate, Success: a.Success, Version: a.Version,
	}
}

// ownerObstacle says what keeps an automation from running for its owner's sake.
func ownerObstacle(a *db.Startable) string {
	switch {
	case a.CreatorInactive:
		return fmt.Sprintf("%s, who owns the automation, has no active account", a.CreatorName)
	case !a.CreatorMember && !account.Grants(a.CreatorPermissions, account.Admin):
		return fmt.Sprintf("%s, who owns the automation, is not a member of the workspace %s", a.CreatorName,
			a.WorkspaceName)
	case !account.Grants(a.CreatorPermissions, account.Manage):
		return fmt.Sprintf("%s, who owns the automation, may no longer have automations", a.CreatorName)
	}
	return ""
}

// obstacle says what keeps an automation from running, as far as rows can tell, and else its provider.
func (s Runs) obstacle(a *db.Startable) (provider.Provider, string) {
	switch {
	case a.WorkspaceRemoved:
		return provider.Provider{}, fmt.Sprintf("the workspace %s was removed", a.WorkspaceName)
	case ownerObstacle(a) != "":
		return provider.Provider{}, ownerObstacle(a)
	case a.SessionType == db.BotType && a.BotID == uuid.Nil:
		return provider.Provider{}, "the bot of this automation was removed"
	case a.ExecutionType == db.WorkflowDriven && a.WorkflowID == uuid.Nil:
		return provider.Provider{}, "the workflow of this automation was removed"
	}
	if a.SessionType == db.BotType && a.BotOff {
		return provider.Provider{}, fmt.Sprintf("the bot %s is switched off", a.BotName)
	}
	id, _ := agentOf(a)
	if id == "" {
		return provider.Provider{}, "no provider is chosen, and the workspace has no default"
	}
	p, ok := s.Providers.Find(id)
	if !ok {
		return provider.Provider{}, fmt.Sprintf("the provider %s is not available", id)
	}
	if p.Off {
		return provider.Provider{}, fmt.Sprintf("the provider %s is switched off", p.Name)
	}
	if p.Script && !account.Grants(a.CreatorPermissions, account.UseShell) {
		return provider.Provider{}, fmt.Sprintf("%s, who owns the automation, may not use the provider %s",
			a.CreatorName, p.Name)
	}
	if p.Script && a.SessionType == db.BotType {
		return provider.Provider{}, fmt.Sprintf("%s runs scripts, and a bot is an agent", p.Name)
	}
	return p, commandObstacle(a)
}

// recordUnable writes the failed execution of a start that could not be.
func (s Runs) recordUnable(ctx context.Context, id uuid.UUID, by Trigger, unable *Unable) (uuid.UUID, error) {
	var execution uuid.UUID
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		a, err := account.Found(db.LockAutomation(ctx, tx, id))
		if err != nil {
			return err
		}
		now := s.Now()
		about := db.Startable{Automation: *a}
		if a.ExecutionType == db.WorkflowDriven {
			wf, err := db.WorkflowByID(ctx, tx, a.WorkflowID)
			if err != nil && !db.IsNotFound(err) {
				return err
			}
			if by.Parameters = s.keptValues(wf, by.Parameters); wf != nil {
				about.WorkflowName, about.WorkflowParameters = wf.Name, wf.Parameters
			}
		}
		e := db.Execution{
			ID: db.NewID(), AutomationID: id, Source: by.Source, Mark: by.Mark, UserID: by.UserID,
			TokenFingerprint: by.Fingerprint,
			Status:           db.Failed, Reason: unable.Reason, ErrorClass: "start", Parameters: by.Parameters,
			Snapshot:  snapshot(&about, provider.Provider{ID: a.Provider}),
			CreatedAt: now, StartedAt: now, FinishedAt: now,
		}
		if e.Parameters == nil {
			e.Parameters = map[string]string{}
		}
		e.Snapshot.Outside = by.outside()
		if !unable.Until.IsZero() {
			e.Status, e.ErrorClass, e.Neutral, e.SkipCount, e.LastSkippedFor = db.Skipped, db.ErrorBudget, true, 1, now
		}
		written, err := db.InsertExecution(ctx, tx, &e)
		if err != nil || !written {
			return err
		}
		execution = e.ID
		return s.recordOutcome(ctx, tx, a, &e)
	})
	if err == nil {
		s.notifyRun(id)
	}
	return execution, err
}

// notifyRun tells workers that there is something to do, and open pages that something changed. It is called when
// that is committed: within a larger transaction it tells nobody.
func (s *Service) notifyRun(automations ...uuid.UUID) {
	if d, ok := s.DB.(*db.DB); ok {
		d.NotifyLater("queue")
		d.NotifyLater("automation", automations...)
	}
}
