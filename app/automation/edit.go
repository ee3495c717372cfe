package automation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/crash"
	"carillon/app/cron"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/prompt"
	"carillon/app/shell"
	"carillon/app/spec"
	"carillon/app/workflow"
	"carillon/app/workspace"
	"carillon/db"
)

// Input is an automation as somebody wants it. Workspace, Workflow and Bot are ids, and RunAt is as cron.Read reads it:
// a clock time in TimeZone, or RFC 3339. An empty SignatureSecret leaves the one stored; MayAutomate stays as it is
// where a session asks for it: none gives itself more. Parameters are stored values; those of names that the prompt
// lacks are dropped. The keys of fault.Invalid are the names in the tags form.
type Input struct {
	spec.Automation

	RunAtShown time.Time     // what RunAt was shown for; a RunAt that was not touched is this instant
	Version    int64         // of what the person started from
	Off        bool          // a new one begins turned off; it may have a time that is past
	Unread     fault.Invalid // what of a form could not be read

	// Named are the options, and the parameters as "parameters.NAME", that a program named by itself. One of them that
	// has no effect is a mistake; a form has fields that are hidden, and those are left out of account.
	Named []string
}

// Create makes an automation of the actor's own. For an HTTP Trigger it also returns the token, the only time that
// it can be had. It returns fault.Invalid with a sentence per field, and fault.ErrForbidden or fault.ErrNotFound for a
// workspace or a provider that the actor may not use.
func (s Definitions) Create(ctx context.Context, actor account.Actor, in Input) (*db.Automation, string, error) {
	var a *db.Automation
	var token string
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		a, token, err = s.create(ctx, tx, actor, in)
		return err
	})
	if err != nil {
		return nil, "", fault.Wrap(err, "create automation")
	}
	if s.outer == nil {
		crash.Here(crash.CreationCommitted)
	}
	return a, token, nil
}

func (s Definitions) create(ctx context.Context, tx bun.Tx, actor account.Actor,
	in Input) (*db.Automation, string, error) {
	now := s.Now()
	a := &db.Automation{
		ID: db.NewID(), CreatorID: actor.OwnerOfNew(), MadeBy: actor.People(), ChangedBy: actor.People(), Enabled: true,
		Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	if in.Off {
		a.Enabled, a.DisabledKind, a.DisabledReason, a.DisabledAt = false, db.ByPerson, "turned off by "+actor.Name, now
		a.Trigger, a.RunAt = db.OneTime, timeTyped(in) // as one that is over
	}
	if !CanManage(actor, a) {
		// it would belong to somebody whose automations not everybody may manage who had a word in it
		return nil, "", fault.ErrForbidden
	}
	if err := s.apply(ctx, tx, actor, a, in, now); err != nil {
		return nil, "", err
	}
	if err := s.keepAutomating(ctx, tx, actor, &db.Automation{CreatorID: a.CreatorID}, a); err != nil {
		return nil, "", err
	}
	if a.Trigger == db.HTTP && !a.Enabled {
		return nil, "", alwaysEnabled
	}
	if err := scheduleFirst(a, now); err != nil {
		return nil, "", err
	}
	if err := db.InsertAutomation(ctx, tx, a); err != nil {
		return nil, "", err
	}
	var token string
	if a.Trigger == db.HTTP {
		var err error
		if token, err = s.Webhooks().issueToken(ctx, tx, actor, a.ID, 0); err != nil {
			return nil, "", err
		}
	}
	if err := s.audit(ctx, tx, actor.ID, "automation.create", a, ""); err != nil {
		return nil, "", err
	}
	crash.Here(crash.AutomationCreated)
	return a, token, notifyChange(ctx, tx, a.ID)
}

// timeTyped is the instant of a One-Time as typed; zero for none that can be read.
func timeTyped(in Input) time.Time {
	zone, err := cron.Zone(strings.TrimSpace(in.TimeZone))
	if err != nil {
		return time.Time{}
	}
	at, err := cron.Read(in.RunAt, zone, in.RunAtShown)
	if err != nil {
		return time.Time{}
	}
	return at.At
}

// alwaysEnabled says that an HTTP Trigger cannot be switched off.
var alwaysEnabled = fault.Invalid{"enabled": HTTPAlwaysEnabled}

// HTTPAlwaysEnabled says why an HTTP Trigger cannot be switched off.
const HTTPAlwaysEnabled = "An HTTP Trigger is always enabled. Regenerate its token to turn the old address off."

// Update changes an automation. Runs that have started keep what they started with. It returns a token when the
// automation has become an HTTP Trigger, fault.ErrStale when someone else saved it since the actor opened it, and the
// errors of Create.
func (s Definitions) Update(ctx context.Context, actor account.Actor, id uuid.UUID,
	in Input) (*db.Automation, string, error) {
	if _, err := s.manageable(ctx, actor, id); err != nil {
		return nil, "", err
	}
	var a *db.Automation
	var token string
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		a, token, err = s.update(ctx, tx, actor, id, in)
		return err
	})
	if err != nil {
		return nil, "", fault.Wrap(err, "update automation %s", id)
	}
	if s.outer == nil {
		crash.Here(crash.EditCommitted)
	}
	return a, token, nil
}

func (s Definitions) update(ctx context.Context, tx bun.Tx, actor account.Actor, id uuid.UUID,
	in Input) (*db.Automation, string, error) {
	a, actor, err := lockManageable(ctx, tx, actor, id)
	if err != nil {
		return nil, "", err
	}
	if a.Version != in.Version {
		return nil, "", fault.ErrStale
	}
	before, now := *a, s.Now()
	if err := s.apply(ctx, tx, actor, a, in, now); err != nil {
		return nil, "", err
	}
	if err := s.keepAutomating(ctx, tx, actor, &before, a); err != nil {
		return nil, "", err
	}
	if a.Trigger == db.HTTP {
		a.Enabled = true // always: its token is the switch
	}
	if rearmed(&before, a) {
		a.Enabled, a.FailureStreak, a.SkipID = true, 0, uuid.Nil
	}
	if before.Trigger != a.Trigger { // what failed under another trigger says nothing of this one
		a.FailureStreak, a.SkipID = 0, uuid.Nil
	}
	if rescheduled(&before, a) {
		a.Iterations = 0
		if err := scheduleFirst(a, now); err != nil {
			return nil, "", err
		}
	}
	if a.Enabled {
		a.DisabledKind, a.DisabledReason, a.DisabledAt = "", "", time.Time{}
	}
	a.ChangedBy = actor.People()
	a.Version, a.UpdatedAt = a.Version+1, now
	if waitsForBudget(&before, now) && a.Budget != before.Budget && a.Trigger == db.Loop && a.Enabled {
		a.NextRunAt = now
	}
	if err := db.SaveAutomation(ctx, tx, a); err != nil {
		return nil, "", err
	}
	if err := db.EndRest(ctx, tx, db.TaskStart, id.String(), now); err != nil {
		// what kept it from starting may be mended now
		return nil, "", err
	}
	var token string
	switch {
	case a.Trigger == db.HTTP && before.Trigger != db.HTTP:
		if token, err = s.Webhooks().issueToken(ctx, tx, actor, id, 0); err != nil {
			return nil, "", err
		}
	case a.Trigger != db.HTTP && before.Trigger == db.HTTP:
		if err := db.DeleteTokens(ctx, tx, id); err != nil {
			return nil, "", err
		}
	}
	if err := s.auditChange(ctx, tx, actor.ID, "automation.update", &before, a); err != nil {
		return nil, "", err
	}
	crash.Here(crash.AutomationSaved)
	return a, token, notifyChange(ctx, tx, id)
}

// Preview is an automation as Update would make it of a row. It saves nothing, and does not ask whether the actor may
// change the automation. It returns the fault.Invalid of Create.
func (s Definitions) Preview(ctx context.Context, actor account.Actor, row *db.Automation,
	in Input) (*db.Automation, error) {
	a := *row
	err := s.apply(ctx, s.DB, actor, &a, in, s.Now())
	return &a, err
}

// rescheduled reports whether a change moves what an automation is due by. The zone of a One-Time is what its instant
// is shown in, and moves nothing.
func rescheduled(before, a *db.Automation) bool {
	return before.Trigger != a.Trigger || before.Cron != a.Cron || before.TimeZone != a.TimeZone &&
		a.Trigger != db.OneTime ||
		!before.RunAt.Equal(a.RunAt) || before.Enabled != a.Enabled
}

// rearmed reports whether a change gives a One-Time that is over a new time: whoever sets one wants it to run. One that
// a person switched off stays off.
func rearmed(before, a *db.Automation) bool {
	return a.Trigger == db.OneTime && before.Trigger == db.OneTime && !before.Enabled && !before.RunAt.Equal(a.RunAt) &&
		(before.DisabledKind == db.ByFinishing || before.DisabledKind == db.ByFailures ||
			before.DisabledKind == db.ByMissing)
}

// scheduleFirst computes when an automation that starts anew is due first.
func scheduleFirst(a *db.Automation, now time.Time) error {
	a.NextRunAt, a.ScheduledSince = time.Time{}, time.Time{}
	if !a.Enabled {
		return nil
	}
	a.ScheduledSince = now
	switch a.Trigger {
	case db.OneTime:
		if now.Sub(a.RunAt) > grace {
			return fault.Invalid{"run_at": "This time is past. Choose one in the future."}
		}
		a.NextRunAt = a.RunAt
	case db.Recurring:
		expression, zone, err := recurrence(a.Cron, a.TimeZone)
		if err != nil {
			return fault.Invalid{"cron": fault.Sentence(err.Error())}
		}
		if a.NextRunAt = expression.Next(now, zone); a.NextRunAt.IsZero() {
			return fault.Invalid{"cron": "This never runs in this time zone."}
		}
	case db.Loop:
		a.NextRunAt = now
	}
	return nil
}

// Spec is what is said of an automation. What it names are ids. The time of a One-Time is not in it: each door writes
// it in its own way.
func Spec(a *db.Automation) spec.Automation {
	is := spec.Automation{
		Name: a.Name, Workspace: form.ID(a.WorkspaceID), Trigger: string(a.Trigger), Cron: a.Cron, TimeZone: a.TimeZone,
		CatchUp: a.CatchUp, MaxIterations: a.MaxIterations, StopText: a.StopText,
		AllowParallel: a.AllowParallel, MaxParallel: a.MaxParallel,
		Sender: a.Sender, SignatureHeader: a.SignatureHeader,
		Filter: spec.Filter{Any: a.Filter.Any}, AppendPayload: a.AppendPayload,
		SessionType: string(a.SessionType), ExecutionType: string(a.ExecutionType), Workflow: form.ID(a.WorkflowID),
		Bot: form.ID(a.BotID), Prompt: a.Prompt, Parameters: a.Parameters, BaseBranch: a.BaseBranch,
		Provider: a.Provider, Model: a.Model, Toggles: slices.Clone(a.Toggles),
		AutoComplete: a.AutoComplete, OnlyUnchanged: a.OnlyUnchanged, CreatePR: a.CreatePR, MayAutomate: a.MayAutomate,
		TimeoutMinutes: float64(a.TimeoutSeconds) / 60, Retries: a.Retries,
		Gate: spec.Gate{Command: a.Gate.Command, BranchMoved: a.Gate.BranchMoved, NoOpenPR: a.Gate.NoOpenPR},
		Success: spec.Success{
			Command: a.Success.Command, Contains: a.Success.Contains, FilesChanged: a.Success.FilesChanged,
			PullRequest: a.Success.PullRequest,
		},
		Budget: spec.Budget{
			Run: limitsSpec(a.Budget.Run), Day: limitsSpec(a.Budget.Day), Month: limitsSpec(a.Budget.Month),
		},
	}
	for _, c := range a.Filter.Conditions {
		is.Filter.Conditions = append(is.Filter.Conditions, spec.Condition(c))
	}
	return is
}

// Shown is what programs and agents read of an automation: without its secrets, and without options that do not go with
// its trigger. Secrets are the names of its secret parameters.
func Shown(a *db.Automation) (is spec.Automation, secrets []string) {
	is = Spec(a)
	is.Parameters, secrets = workflow.StoredValues(a)
	is.Toggles = append([]string{}, is.Toggles...)
	is.Filter.Conditions = append([]spec.Condition{}, is.Filter.Conditions...)
	if a.Trigger == db.HTTP {
		is.AutoComplete, is.OnlyUnchanged = false, false
	}
	return is, secrets
}

func limitsSpec(l db.Limits) spec.Limits {
	return spec.Limits{Money: l.Money, Tokens: l.Tokens, Turns: l.Turns, Minutes: l.Minutes}
}

// apply puts what a person typed into an automation, or says what is wrong with it, all at once. What cannot be read
// for a fault of ours is no mistake of the person's: that is another error than fault.Invalid.
func (s Definitions) apply(ctx context.Context, q bun.IDB, actor account.Actor, a *db.Automation, in Input,
	now time.Time) error {
	bad := fault.Invalid{}
	maps.Copy(bad, in.Unread)
	form.Check(&in.Automation, bad)
	a.Name = form.Name(bad, "name", "Give the automation a name.", in.Name, 200)
	if err := applyWorkspace(ctx, q, actor, a, &in, bad); err != nil {
		return err
	}
	applyTrigger(a, in, now, bad)
	s.applyWebhook(a, in, bad)
	if err := s.applyBot(ctx, q, actor, a, &in, bad); err != nil {
		return err
	}
	if err := s.applyWorkflow(ctx, q, actor, a, in, bad); err != nil {
		return err
	}
	s.applyWork(ctx, actor, a, in, bad)
	if len(bad) > 0 {
		return bad
	}
	return nil
}

func applyWorkspace(ctx context.Context, q bun.IDB, actor account.Actor, a *db.Automation, in *Input,
	bad fault.Invalid) error {
	id, err := uuid.Parse(in.Workspace)
	if err != nil {
		bad["workspace"] = "Choose a workspace."
		return nil
	}
	w, err := account.MemberWorkspace(ctx, q, actor, id)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		bad["workspace"] = "This workspace does not exist, or you are not a member of it."
	case err != nil:
		return err
	case !w.RemovedAt.IsZero():
		bad["workspace"] = "This workspace was removed. Choose another."
	default:
		a.WorkspaceID = id
		a.BaseBranch = form.Line(bad, "base_branch", "", in.BaseBranch, 250, false)
		if a.Provider = form.Or(in.Provider, w.Provider); strings.TrimSpace(in.Provider) == "" {
			// its model goes with it
			in.Model = form.Or(in.Model, w.Model)
		}
		if in.CreatePR && db.SessionType(in.SessionType) == db.Develop {
			if problem := workspace.PullRequestProblem(w); problem != "" {
				bad["create_pr"] = problem
			}
		}
	}
	return nil
}

// applyTrigger keeps of the schedule what applies to the trigger chosen, and drops the rest.
func applyTrigger(a *db.Automation, in Input, now time.Time, bad fault.Invalid) {
	var before time.Time // the time of a One-Time, which may stay as it is also when it is past
	if a.Trigger == db.OneTime {
		before = a.RunAt
	}
	was := a.Cron
	a.Trigger = db.Trigger(in.Trigger)
	a.RunAt, a.Cron, a.TimeZone, a.MaxIterations, a.StopText = time.Time{}, "", "", 0, ""
	a.CatchUp, a.AllowParallel, a.MaxParallel = false, false, 0
	if a.Trigger != db.Loop { // of the others the fields are hidden
		delete(bad, "max_iterations")
	}
	if a.Trigger != db.HTTP {
		delete(bad, "max_parallel")
	}
	switch a.Trigger {
	case db.Manual:
	case db.OneTime, db.Recurring:
		zone, err := cron.Zone(strings.TrimSpace(in.TimeZone))
		if err != nil {
			bad["time_zone"] = fault.Sentence(err.Error())
			zone = time.UTC
		}
		a.TimeZone = strings.TrimSpace(in.TimeZone)
		if a.Trigger == db.Recurring {
			parse := cron.Typed
			if in.Cron == was { // what nobody touched stays
				parse = cron.Parse
			}
			e, err := parse(in.Cron)
			if err != nil {
				bad["cron"] = fault.Sentence(err.Error())
			}
			a.Cron, a.CatchUp = e.String(), in.CatchUp
			break
		}
		at, err := cron.Read(in.RunAt, zone, in.RunAtShown)
		switch {
		case err != nil:
			bad["run_at"] = fault.Sentence(err.Error())
		case now.Sub(at.At) > grace && !at.At.Equal(before) && bad["time_zone"] == "":
			bad["run_at"] = "This time is more than 5 minutes past. Choose one in the future."
		case at.At.Year() > now.Year()+100:
			bad["run_at"] = "This date is more than 100 years away."
		}
		a.RunAt = at.At
	case db.Loop:
		a.MaxIterations = in.MaxIterations
		a.StopText = form.Line(bad, "stop_text", "", in.StopText, 1000, false)
	case db.HTTP:
		a.AllowParallel = in.AllowParallel
		a.MaxParallel = in.MaxParallel
	default:
		bad["trigger"] = "Choose what starts the automation."
	}
}

// applyWork takes over what a run does.
func (s Definitions) applyWork(ctx context.Context, actor account.Actor, a *db.Automation, in Input,
	bad fault.Invalid) {
	a.SessionType, a.ExecutionType = db.SessionType(in.SessionType), db.ExecutionType(in.ExecutionType)
	if a.ExecutionType == "" {
		a.ExecutionType = db.Inline
	}
	switch {
	case a.SessionType != db.Develop && a.SessionType != db.Chat && a.SessionType != db.BotType:
		bad["session_type"] = "Choose Develop, Chat or Bot."
	case a.ExecutionType != db.Inline && a.ExecutionType != db.WorkflowDriven:
		bad["execution_type"] = "Choose Inline or Workflow."
	case a.SessionType != db.Develop: // Specification: "Chat: Inline only", "Bot: Inline only"
		a.ExecutionType = db.Inline
	}
	a.AutoComplete = in.AutoComplete
	for name, on := range map[string]bool{"auto_complete": in.AutoComplete, "only_unchanged": in.OnlyUnchanged} {
		if on && a.Trigger == db.HTTP && slices.Contains(in.Named, name) {
			bad[name] = "Auto-Complete Session does not apply to an HTTP Trigger: its session stays open. Leave this " +
				"out."
		}
	}
	a.OnlyUnchanged = in.OnlyUnchanged && in.AutoComplete && a.SessionType == db.Develop
	a.CreatePR = in.CreatePR && a.SessionType == db.Develop
	if actor.Session == uuid.Nil {
		a.MayAutomate = in.MayAutomate
	}
	a.Model = form.Line(bad, "model", "", in.Model, 200, false)
	a.TimeoutSeconds = int(math.Ceil(in.TimeoutMinutes * 60)) // 0 alone means none
	a.Retries = in.Retries

	a.Prompt = strings.ReplaceAll(in.Prompt, "\r\n", "\n")
	switch {
	case a.ExecutionType == db.WorkflowDriven:
		a.Prompt = ""
	case strings.TrimSpace(a.Prompt) == "":
		bad["prompt"] = "Write what the agent is to do."
	case len(a.Prompt) > prompt.MaxBytes:
		bad["prompt"] = fmt.Sprintf("The prompt is %d KiB long. At most 256 KiB fit.", (len(a.Prompt)+1023)>>10)
	case !utf8.ValidString(a.Prompt) || strings.ContainsRune(a.Prompt, 0):
		bad["prompt"] = "The prompt has bytes that are not text."
	}
	p, ok := s.Providers.Find(a.Provider)
	switch {
	case a.Provider == "":
		bad["provider"] = "Choose a provider."
	case !ok:
		bad["provider"] = fmt.Sprintf("There is no provider %s here. Choose another.", a.Provider)
	case p.Off:
		bad["provider"] = fmt.Sprintf("%s is switched off here. Choose another.", p.Name)
	case p.Script && !actor.Can(account.UseShell):
		account.RecordRefusal(ctx, actor, "may not run commands on a worker")
		bad["provider"] = "You may not run shell scripts. Choose another provider."
	case p.Script && bad["prompt"] == "" && a.ExecutionType == db.Inline:
		if reason := s.scriptProblem(p.ID, a.Prompt); reason != "" {
			bad["prompt"] = reason
		}
	}
	applyToggles(a, in, p, bad)
	applyQuality(ctx, actor, a, in, p, bad)
	if a.ExecutionType == db.WorkflowDriven {
		return // applyWorkflow has taken them over
	}
	a.Parameters = map[string]string{}
	names := prompt.Names(a.Prompt, p.Script)
	if len(names) > maxNames && bad["prompt"] == "" {
		bad["prompt"] = fmt.Sprintf("The prompt asks for %d different values. At most %d fit.", len(names), maxNames)
	}
	in.unused(names, "The prompt does not use this, so it would have no effect. Leave it out.", bad)
	for _, name := range names {
		if v, ok := in.Parameters[name]; ok && v != "" {
			a.Parameters[name] = v
		}
	}
}

// unused refuses the parameters that a program named and that are none of names. An empty value takes one away, so it
// does no harm.
func (in Input) unused(names []string, problem string, bad fault.Invalid) {
	used := map[string]bool{}
	for _, name := range names {
		used[name] = true
	}
	for _, field := range in.Named {
		if name, is := strings.CutPrefix(field, "parameters."); is && in.Parameters[name] != "" && !used[name] {
			bad["param."+name] = problem
		}
	}
}

// scriptProblem says what keeps a text from being a script, for a provider that takes scripts.
func (s *Service) scriptProblem(provider, script string) string {
	if p, ok := s.Providers.Find(provider); !ok || !p.Script {
		return ""
	}
	problems := shell.Check(script)
	if len(problems) == 0 {
		return ""
	}
	reason := fmt.Sprintf("Line %d: %s.", problems[0].Line, strings.TrimSuffix(problems[0].Text, "."))
	if more := len(problems) - 1; more > 0 {
		reason += fmt.Sprintf(" And %d more.", more)
	}
	return reason
}

// Names lists the parameters that a prompt for a provider asks for, each once, in their order. The list is not to be
// changed: of a script it is remembered, so that lists of automations parse each script once.
func (s Definitions) Names(provider, text string) []string {
	var names []string
	if script := s.Providers.RunsScripts(provider); script && len(text) <= prompt.MaxBytes {
		names = s.outermost().scripts.Of(text)
	} else {
		names = prompt.Names(text, script)
	}
	return names[:min(len(names), maxNames)]
}

// maxNames is how many different values a prompt asks for at most. A page has a field for each.
const maxNames = 500

// SetEnabled switches an automation on or off. Switched on it starts anew: no failures, no iterations, and its schedule
// from now. An HTTP Trigger cannot be switched off: that is fault.Invalid.
func (s Definitions) SetEnabled(ctx context.Context, actor account.Actor, id uuid.UUID, on bool) error {
	if _, err := s.manageable(ctx, actor, id); err != nil {
		return err
	}
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		return s.setEnabled(ctx, tx, actor, id, on)
	})
	return fault.Wrap(err, "switch automation %s", id)
}

// setEnabled is SetEnabled within a transaction.
func (s Definitions) setEnabled(ctx context.Context, tx bun.Tx, actor account.Actor, id uuid.UUID, on bool) error {
	a, actor, err := lockManageable(ctx, tx, actor, id)
	if err != nil {
		return err
	}
	switch {
	case a.Trigger == db.HTTP:
		return alwaysEnabled
	case a.Enabled == on:
		return nil
	}
	now := s.Now()
	if on {
		if reason := removed(a); reason != "" {
			return fault.Invalid{"enabled": reason}
		}
		a.Enabled, a.DisabledKind, a.DisabledReason, a.DisabledAt = true, "", "", time.Time{}
		a.FailureStreak, a.Iterations, a.SkipID = 0, 0, uuid.Nil
		if err := scheduleFirst(a, now); err != nil {
			return err
		}
		if err := s.audit(ctx, tx, actor.ID, "automation.enable", a, ""); err != nil {
			return err
		}
	} else {
		a.Enabled, a.NextRunAt = false, time.Time{}
		a.DisabledKind, a.DisabledReason, a.DisabledAt = db.ByPerson, "turned off by "+actor.Name, now
		if err := s.audit(ctx, tx, actor.ID, "automation.disable", a, a.DisabledReason); err != nil {
			return err
		}
	}
	if err := db.SaveSwitch(ctx, tx, a); err != nil {
		return err
	}
	if err := db.EndRest(ctx, tx, db.TaskStart, id.String(), now); err != nil {
		// what kept it from starting may be mended now
		return err
	}
	crash.Here(crash.SwitchWritten)
	return notifyChange(ctx, tx, id)
}

func removed(a *db.Automation) string {
	switch {
	case a.SessionType == db.BotType && a.BotID == uuid.Nil:
		return "Its bot was removed. Edit the automation and choose another."
	case a.ExecutionType == db.WorkflowDriven && a.WorkflowID == uuid.Nil:
		return "Its workflow was removed. Edit the automation and choose another."
	}
	return ""
}

// Delete removes an automation with its history. What of it is in flight is stopped; its sessions stay.
func (s Definitions) Delete(ctx context.Context, actor account.Actor, id uuid.UUID) error {
	if _, err := s.manageable(ctx, actor, id); err != nil {
		return err
	}
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error { return s.delete(ctx, tx, actor, id) })
	return fault.Wrap(err, "delete automation %s", id)
}

func (s Definitions) delete(ctx context.Context, tx bun.Tx, actor account.Actor, id uuid.UUID) error {
	// Sessions first: who ends one holds it before it wants the automation.
	if err := db.LockSessionsOf(ctx, tx, id); err != nil {
		return err
	}
	a, actor, err := lockManageable(ctx, tx, actor, id)
	if err != nil {
		return err
	}
	inFlight, err := db.SessionsInFlight(ctx, tx, id)
	if err != nil {
		return err
	}
	for _, sessionID := range inFlight { // one, or as many as may run in parallel
		session, err := db.LockSession(ctx, tx, sessionID)
		if err != nil {
			return err
		}
		if err := s.Sessions().stop(ctx, tx, session, actor.ID, "the automation was deleted", s.Now()); err != nil {
			return err
		}
	}
	if err := s.audit(ctx, tx, actor.ID, "automation.delete", a, ""); err != nil {
		return err
	}
	if err := db.DeleteAutomation(ctx, tx, id); err != nil {
		return err
	}
	crash.Here(crash.DeletionWritten)
	return notifyChange(ctx, tx, id)
}

// RunNow starts a run by hand, of any automation, also one that is switched off. It does not move the schedule.
func (s Runs) RunNow(ctx context.Context, actor account.Actor, id uuid.UUID,
	parameters map[string]string) (*Run, error) {
	a, err := s.Definitions().manageable(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	if err := s.Providers.MayUse(actor, a.Provider); err != nil {
		return nil, err
	}
	for name, value := range parameters {
		if strings.ContainsRune(value, 0) || !utf8.ValidString(value) {
			return nil, fault.Invalid{"parameters." + name: "This value has bytes that are not text."}
		}
	}
	run, err := s.Start(ctx, id, Trigger{
		Source: db.ByHand, UserID: actor.ID, People: actor.People(), Parameters: parameters,
	})
	var missing *workflow.MissingParameter
	if errors.As(err, &missing) {
		problem := "Give a value."
		if missing.Wrong != "" {
			problem = fault.Sentence(missing.Wrong)
		}
		return nil, fault.Invalid{"parameters." + missing.Name: problem}
	}
	return run, err
}

// notifyChange tells schedulers and open pages that automations changed.
func notifyChange(ctx context.Context, q bun.IDB, ids ...uuid.UUID) error {
	if err := db.Notify(ctx, q, "schedule", uuid.Nil); err != nil {
		return err
	}
	return db.NotifyEach(ctx, q, "automation", ids)
}
