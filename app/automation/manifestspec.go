package automation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/cron"
	"carillon/app/manifest"
	"carillon/db"
)

// automationSpec is an automation in a manifest, without its secrets and whether it is on.
func (v *inventory) automationSpec(a *db.Automation) *manifest.Automation {
	spec := &manifest.Automation{
		Name: a.Name, Workspace: v.workspaceName(a.WorkspaceID), Trigger: string(a.Trigger), Cron: a.Cron, TimeZone: a.TimeZone, CatchUp: a.CatchUp,
		MaxIterations: a.MaxIterations, StopText: a.StopText, AllowParallel: a.AllowParallel, MaxParallel: a.MaxParallel,
		Sender: a.Sender, SignatureHeader: a.SignatureHeader, Filter: manifest.Filter{Any: a.Filter.Any}, AppendPayload: a.AppendPayload,
		SessionType: string(a.SessionType), ExecutionType: string(a.ExecutionType), Prompt: a.Prompt, Parameters: map[string]manifest.Value{},
		Workflow: v.reference(manifest.KindWorkflow, a.WorkspaceID, a.WorkflowID), Bot: v.reference(manifest.KindBot, a.WorkspaceID, a.BotID),
		BaseBranch: a.BaseBranch, Provider: a.Provider, Model: a.Model, Toggles: slices.Clone(a.Toggles), AutoComplete: a.AutoComplete,
		OnlyUnchanged: a.OnlyUnchanged, CreatePR: a.CreatePR, MayAutomate: a.MayAutomate, TimeoutMinutes: float64(a.TimeoutSeconds) / 60, Retries: a.Retries,
		Gate:    manifest.Gate{Command: a.Gate.Command, BranchMoved: a.Gate.BranchMoved, NoOpenPR: a.Gate.NoOpenPR},
		Success: manifest.SuccessCheck{Command: a.Success.Command, Contains: a.Success.Contains, FilesChanged: a.Success.FilesChanged, PullRequest: a.Success.PullRequest},
		Budget:  manifest.Budget{Run: limitsSpec(a.Budget.Run), Day: limitsSpec(a.Budget.Day), Month: limitsSpec(a.Budget.Month)},
	}
	if zone, err := cron.Zone(a.TimeZone); err == nil && !a.RunAt.IsZero() {
		spec.RunAt = cron.Written(a.RunAt, zone)
	}
	for _, c := range a.Filter.Conditions {
		spec.Filter.Conditions = append(spec.Filter.Conditions, manifest.Condition{Field: c.Field, Operator: c.Operator, Value: manifest.Value{Text: c.Value}})
	}
	if a.Trigger == db.HTTP { // neither applies
		spec.AutoComplete, spec.OnlyUnchanged = true, false
	}
	secrets := v.secretsOf(a)
	for name, value := range a.Parameters {
		if !slices.Contains(secrets, name) {
			spec.Parameters[name] = manifest.Value{Text: value}
		}
	}
	return spec
}

// secretsOf are the names of the secret values that an automation has, by order. What is stored sealed is secret, whatever has
// become of its parameter.
func (v *inventory) secretsOf(a *db.Automation) []string {
	var list []string
	for name, value := range a.Parameters {
		if v.isSecret(a.WorkflowID, name) || a.ExecutionType == db.WorkflowDriven && strings.HasPrefix(value, sealedMark) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// isSecret reports whether a workflow's parameter is secret.
func (v *inventory) isSecret(workflow uuid.UUID, alias string) bool {
	wf := v.workflows[workflow]
	return wf != nil && slices.ContainsFunc(wf.Parameters, func(p db.Parameter) bool { return p.Alias == alias && p.Type == db.SecretParameter })
}

func limitsSpec(l db.Limits) manifest.Limits {
	limit := func(n float64) *float64 {
		if n == 0 {
			return nil
		}
		return &n
	}
	return manifest.Limits{Money: limit(l.Money), Tokens: limit(float64(l.Tokens)), Turns: limit(float64(l.Turns)), Minutes: limit(l.Minutes)}
}

// workflowSpec is a workflow in a manifest, without the defaults of its secrets.
func (v *inventory) workflowSpec(wf *db.Workflow) *manifest.Workflow {
	spec := &manifest.Workflow{Name: wf.Name, Workspace: v.workspaceName(wf.WorkspaceID), Description: wf.Description, Steps: stepsSpec(wf.Steps)}
	for _, p := range wf.Parameters {
		q := manifest.Parameter{Alias: p.Alias, Label: p.Label, Type: string(p.Type), Required: p.Required, Choices: slices.Clone(p.Choices)}
		if p.Type != db.SecretParameter {
			q.Default = manifest.Value{Text: p.Default}
		}
		spec.Parameters = append(spec.Parameters, q)
	}
	return spec
}

func stepsSpec(steps []db.Step) []manifest.Step {
	var list []manifest.Step
	for _, s := range steps {
		list = append(list, manifest.Step{
			Kind: string(s.Kind), Label: s.Label, Path: s.Path, Text: s.Text, OnlyUnchanged: s.OnlyUnchanged, Marker: s.Marker, Max: s.Max, Steps: stepsSpec(s.Steps),
		})
	}
	return list
}

// botSpec is a bot in a manifest.
func (v *inventory) botSpec(b *db.Bot) *manifest.Bot {
	return &manifest.Bot{
		Name: b.Name, Workspace: v.workspaceName(b.WorkspaceID), Enabled: b.Enabled, Instructions: b.Instructions, Provider: b.Provider, Model: b.Model,
		LocksAgent: b.LocksAgent, AllowedTools: slices.Clone(b.AllowedTools), ReadOnly: b.ReadOnly,
	}
}

// botTyped is a bot of a manifest as the editor would have it typed.
func botTyped(spec *manifest.Bot, workspace uuid.UUID) BotInput {
	return BotInput{
		Name: spec.Name, Workspace: idTyped(workspace), Instructions: spec.Instructions, Provider: spec.Provider, Model: spec.Model, LocksAgent: spec.LocksAgent,
		AllowedTools: strings.Join(spec.AllowedTools, "\n"), ReadOnly: spec.ReadOnly, Enabled: spec.Enabled,
	}
}

func idTyped(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return id.String()
}

// workflowTyped is a workflow of a manifest as the editor would have it typed, and the places of its steps by their rows. Values
// must have been resolved.
func workflowTyped(spec *manifest.Workflow, workspace uuid.UUID) (in WorkflowInput, steps []string) {
	in = WorkflowInput{Name: spec.Name, Workspace: idTyped(workspace), Description: spec.Description}
	for _, p := range spec.Parameters {
		in.Parameters = append(in.Parameters, ParameterInput{
			Alias: p.Alias, Label: p.Label, Type: p.Type, Default: p.Default.Text, Choices: strings.Join(p.Choices, ", "), Required: p.Required,
		})
	}
	var add func(list []manifest.Step, at string, inside bool)
	add = func(list []manifest.Step, at string, inside bool) {
		for i, s := range list {
			row := StepInput{Kind: s.Kind, Label: s.Label, Text: s.Text, Path: s.Path, Marker: s.Marker, OnlyUnchanged: s.OnlyUnchanged, Inside: inside}
			if s.Max != 0 {
				row.Max = strconv.Itoa(s.Max)
			}
			place := fmt.Sprintf("%ssteps[%d]", at, i)
			in.Steps, steps = append(in.Steps, row), append(steps, place)
			add(s.Steps, place+".", true)
		}
	}
	add(spec.Steps, "", false)
	return in, steps
}

// automationTyped is an automation of a manifest as the editor would have it typed. Values must have been resolved, and what it
// names been found.
func automationTyped(spec *manifest.Automation, workspace, workflow, bot uuid.UUID) Input {
	in := Input{
		Name: spec.Name, Workspace: idTyped(workspace), Trigger: spec.Trigger, RunAt: spec.RunAt, Cron: spec.Cron, TimeZone: spec.TimeZone,
		MaxIterations: strconv.Itoa(spec.MaxIterations), StopText: spec.StopText, CatchUp: spec.CatchUp, AllowParallel: spec.AllowParallel,
		MaxParallel: wholeTyped(spec.MaxParallel), Sender: spec.Sender, SignatureHeader: spec.SignatureHeader, SignatureSecret: spec.SignatureSecret.Text,
		Filter: db.Filter{Any: spec.Filter.Any}, AppendPayload: spec.AppendPayload, SessionType: spec.SessionType, ExecutionType: spec.ExecutionType,
		Prompt: spec.Prompt, Parameters: map[string]string{}, Workflow: idTyped(workflow), Bot: idTyped(bot), BaseBranch: spec.BaseBranch, Provider: spec.Provider,
		Model: spec.Model, Toggles: spec.Toggles, AutoComplete: spec.AutoComplete, OnlyUnchanged: spec.OnlyUnchanged, CreatePR: spec.CreatePR,
		MayAutomate: spec.MayAutomate, Timeout: numberTyped(&spec.TimeoutMinutes), Retries: strconv.Itoa(spec.Retries),
		QualityInput: QualityInput{
			GateCommand: spec.Gate.Command, GateBranchMoved: spec.Gate.BranchMoved, GateNoOpenPR: spec.Gate.NoOpenPR,
			SuccessCommand: spec.Success.Command, SuccessContains: spec.Success.Contains, SuccessFilesChanged: spec.Success.FilesChanged,
			SuccessPullRequest: spec.Success.PullRequest, Budget: map[string]BudgetInput{
				"run": limitsTyped(spec.Budget.Run), "day": limitsTyped(spec.Budget.Day), "month": limitsTyped(spec.Budget.Month),
			},
		},
	}
	for _, c := range spec.Filter.Conditions {
		in.Filter.Conditions = append(in.Filter.Conditions, db.Condition{Field: c.Field, Operator: c.Operator, Value: c.Value.Text})
	}
	for name, value := range spec.Parameters {
		in.Parameters[name] = value.Text
	}
	return in
}

// wholeTyped is a number of which 0 is none.
func wholeTyped(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func limitsTyped(l manifest.Limits) BudgetInput {
	return BudgetInput{Money: numberTyped(l.Money), Tokens: numberTyped(l.Tokens), Turns: numberTyped(l.Turns), Minutes: numberTyped(l.Minutes)}
}

func numberTyped(n *float64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatFloat(*n, 'f', -1, 64)
}

// unchanged, created and updated say what a run has done about a document.
func (m *manifestRun) unchanged(e *manifestEntry, version int64) {
	e.change = ManifestChange{Action: PlanUnchanged, Kind: e.doc.Kind, Workspace: m.workspaceName(e.workspace), Name: e.name, ID: e.row, version: version}
}

func (m *manifestRun) created(e *manifestEntry, id uuid.UUID, fields []manifest.Difference) {
	e.row = id
	fields = slices.DeleteFunc(fields, func(d manifest.Difference) bool { return d.Field == "name" || d.Field == "workspace" }) // said already
	e.change = ManifestChange{Action: PlanCreate, Kind: e.doc.Kind, Workspace: m.workspaceName(e.workspace), Name: e.name, ID: id, Fields: fields}
}

func (m *manifestRun) updated(e *manifestEntry, version int64, fields []manifest.Difference) {
	e.change = ManifestChange{Action: PlanUpdate, Kind: e.doc.Kind, Workspace: m.workspaceName(e.workspace), Name: e.name, ID: e.row, Fields: fields, version: version}
}

// onlyWhole refuses entries of a list that the rules would read as several.
func (m *manifestRun) onlyWhole(e *manifestEntry, field string, list []string) {
	for i, text := range list {
		if strings.ContainsAny(text, ",\n\r") {
			m.wrong(e, fmt.Sprintf("%s[%d]", field, i), "A comma or a line break has no place here.")
		}
	}
}

func (m *manifestRun) bot(ctx context.Context, e *manifestEntry) error {
	spec := *e.doc.Spec.(*manifest.Bot)
	spec.ID, spec.Name, spec.Workspace = "", e.name, m.workspaceName(e.workspace)
	m.onlyWhole(e, "allowed_tools", spec.AllowedTools)
	in := botTyped(&spec, e.workspace)
	place := func(key string) string { return manifest.FieldOf(&spec, key) }
	may := m.actor.Can(account.ManageBots)
	if e.row == uuid.Nil {
		if !may {
			m.refuse(ctx, e, "You may not create bots.")
			return nil
		}
		b, err := m.createBot(ctx, m.tx, m.actor, in)
		if err != nil {
			return m.collect(ctx, e, err, place)
		}
		m.put(b)
		m.lost(e, &spec, m.botSpec(b))
		m.created(e, b.ID, manifest.Differences(nil, m.botSpec(b)))
		return nil
	}
	row := m.bots[e.row]
	had := m.botSpec(row)
	if m.unchanged(e, row.Version); len(manifest.Differences(had, &spec)) == 0 && !e.failed {
		return nil
	}
	if !may {
		m.refuse(ctx, e, "You may not change bots.")
		return nil
	}
	in.Version = row.Version
	next := *row
	if err := m.applyBotInput(ctx, m.tx, m.actor, &next, in); err != nil {
		return m.collect(ctx, e, err, place)
	}
	m.lost(e, &spec, m.botSpec(&next))
	fields := manifest.Differences(had, m.botSpec(&next))
	if e.failed || len(fields) == 0 {
		return nil
	}
	b, err := m.updateBot(ctx, m.tx, m.actor, e.row, in)
	if err != nil {
		return m.collect(ctx, e, err, place)
	}
	m.put(b)
	m.updated(e, row.Version, fields)
	return nil
}

func (m *manifestRun) workflow(ctx context.Context, e *manifestEntry) error {
	spec := *e.doc.Spec.(*manifest.Workflow)
	spec.ID, spec.Name, spec.Workspace = "", e.name, m.workspaceName(e.workspace)
	spec.Parameters = slices.Clone(spec.Parameters)
	row := m.workflows[e.row]
	for i := range spec.Parameters {
		p := &spec.Parameters[i]
		p.Default = m.resolve(e, fmt.Sprintf("parameters[%d].default", i), p.Default)
		m.onlyWhole(e, fmt.Sprintf("parameters[%d].choices", i), p.Choices)
	}
	in, steps := workflowTyped(&spec, e.workspace)
	place := func(key string) string { return workflowField(&spec, steps, key) }
	secrets := m.workflowSecrets(&spec, &in, row)
	may := m.actor.Can(account.ManageWorkflows)
	if e.row == uuid.Nil {
		if !may {
			m.refuse(ctx, e, "You may not create workflows.")
			return nil
		}
		wf, err := m.createWorkflow(ctx, m.tx, m.actor, in)
		if err != nil {
			return m.collect(ctx, e, err, place)
		}
		m.put(wf)
		m.lost(e, &spec, m.workflowSpec(wf))
		m.created(e, wf.ID, append(manifest.Differences(nil, m.workflowSpec(wf)), secrets...))
		return nil
	}
	had := m.workflowSpec(row)
	if m.unchanged(e, row.Version); len(secrets) == 0 && len(manifest.Differences(had, &spec)) == 0 && !e.failed {
		return nil
	}
	if !may {
		m.refuse(ctx, e, "You may not change workflows.")
		return nil
	}
	in.Version = row.Version
	next := *row
	if err := m.applyWorkflowInput(ctx, m.tx, m.actor, &next, in); err != nil {
		return m.collect(ctx, e, err, place)
	}
	m.lost(e, &spec, m.workflowSpec(&next))
	fields := append(manifest.Differences(had, m.workflowSpec(&next)), secrets...)
	if e.failed || len(fields) == 0 {
		return nil
	}
	wf, err := m.updateWorkflow(ctx, m.tx, m.actor, e.row, in)
	if err != nil {
		return m.collect(ctx, e, err, place)
	}
	m.put(wf)
	m.updated(e, row.Version, fields)
	return nil
}

// workflowSecrets takes the defaults of secrets out of a spec, and out of what is typed those that are as stored. It lists the
// others. Who may not change workflows does not learn whether a secret is as stored.
func (m *manifestRun) workflowSecrets(spec *manifest.Workflow, in *WorkflowInput, row *db.Workflow) []manifest.Difference {
	var list []manifest.Difference
	for i := range spec.Parameters {
		p := &spec.Parameters[i]
		if p.Type != string(db.SecretParameter) || p.Default.Text == "" {
			continue
		}
		stored := ""
		if row != nil {
			if j := slices.IndexFunc(row.Parameters, func(o db.Parameter) bool { return o.Alias == p.Alias && o.Type == db.SecretParameter }); j >= 0 {
				stored = row.Parameters[j].Default
			}
		}
		if opened, ok := m.unseal(p.Alias, stored); ok && opened == p.Default.Text && m.actor.Can(account.ManageWorkflows) {
			in.Parameters[i].Default = ""
		} else {
			list = append(list, secretChange(fmt.Sprintf("parameters[%d].default", i), stored != ""))
		}
		p.Default = manifest.Value{}
	}
	return list
}

func (m *manifestRun) automation(ctx context.Context, e *manifestEntry) error {
	spec := *e.doc.Spec.(*manifest.Automation)
	spec.ID, spec.Name, spec.Workspace = "", e.name, m.workspaceName(e.workspace)
	spec.Parameters, spec.Filter.Conditions = maps.Clone(spec.Parameters), slices.Clone(spec.Filter.Conditions)
	for _, name := range slices.Sorted(maps.Keys(spec.Parameters)) {
		spec.Parameters[name] = m.resolve(e, "parameters."+name, spec.Parameters[name])
	}
	for i := range spec.Filter.Conditions {
		c := &spec.Filter.Conditions[i]
		c.Value = m.resolve(e, fmt.Sprintf("filter.conditions[%d].value", i), c.Value)
	}
	spec.SignatureSecret = m.resolve(e, "signature_secret", spec.SignatureSecret)
	for i, key := range spec.Toggles {
		if _, ok := toggle(key); !ok {
			var keys []string
			for _, t := range Toggles {
				keys = append(keys, t.Key)
			}
			m.wrong(e, fmt.Sprintf("toggles[%d]", i), "There is no session toggle "+strconv.Quote(key)+". There are "+strings.Join(keys, ", ")+".")
		}
	}
	if spec.Enabled != nil && !*spec.Enabled && spec.Trigger == string(db.HTTP) {
		m.wrong(e, "enabled", alwaysEnabled["enabled"])
	}
	if spec.Trigger == string(db.HTTP) {
		for field, on := range map[string]bool{"auto_complete": spec.AutoComplete, "only_unchanged": spec.OnlyUnchanged} {
			if on && e.doc.Has(field) {
				m.wrong(e, field, "Auto-Complete Session does not apply to an HTTP Trigger: its session stays open. Leave this out.")
			}
		}
		spec.AutoComplete, spec.OnlyUnchanged = true, false // as when they are left out
	}
	row := m.automations[e.row]
	if spec.TimeZone == "" && (spec.Trigger == string(db.OneTime) || spec.Trigger == string(db.Recurring)) {
		if spec.TimeZone = m.actor.TimeZone; row != nil && row.TimeZone != "" { // as it is; of a new one as in a new form
			spec.TimeZone = row.TimeZone
		}
	}
	workflow, bot := m.referred(e, manifest.KindWorkflow, "workflow", spec.Workflow), m.referred(e, manifest.KindBot, "bot", spec.Bot)
	if workflow != uuid.Nil {
		spec.Workflow = m.reference(manifest.KindWorkflow, e.workspace, workflow)
	}
	if bot != uuid.Nil {
		spec.Bot = m.reference(manifest.KindBot, e.workspace, bot)
	}
	in := automationTyped(&spec, e.workspace, workflow, bot)
	mayChange := row != nil && CanManage(m.actor, row)
	secrets := m.automationSecrets(&spec, &in, row, workflow, mayChange)
	place := func(key string) string { return manifest.FieldOf(&spec, key) }
	if row == nil {
		return m.newAutomation(ctx, e, &spec, in, secrets, place)
	}

	had := m.automationSpec(row)
	if spec.Enabled != nil {
		had.Enabled = &row.Enabled
	}
	if m.unchanged(e, row.Version); len(secrets) == 0 && len(manifest.Differences(had, &spec)) == 0 && !e.failed {
		return nil
	}
	if !mayChange {
		m.refuse(ctx, e, "You may not change this automation.")
		return nil
	}
	in.Version = row.Version
	next := *row
	if err := m.apply(ctx, m.tx, m.actor, &next, in, m.now); err != nil {
		return m.collect(ctx, e, err, place)
	}
	will := m.automationSpec(&next)
	will.Enabled = spec.Enabled
	m.lost(e, &spec, will)
	fields := append(manifest.Differences(had, will), secrets...)
	if e.failed || len(fields) == 0 {
		return nil
	}
	is := row
	if slices.ContainsFunc(fields, func(d manifest.Difference) bool { return d.Field != "enabled" }) {
		a, token, err := m.update(ctx, m.tx, m.actor, e.row, in)
		if err != nil {
			return m.collect(ctx, e, err, place)
		}
		is = a
		m.put(a)
		m.keepToken(a, token)
	}
	if spec.Enabled != nil && is.Enabled != *spec.Enabled {
		if err := m.setEnabled(ctx, m.tx, m.actor, e.row, *spec.Enabled); err != nil {
			return m.collect(ctx, e, err, place)
		}
	}
	m.updated(e, row.Version, fields)
	return nil
}

func (m *manifestRun) newAutomation(ctx context.Context, e *manifestEntry, spec *manifest.Automation, in Input, secrets []manifest.Difference, place func(string) string) error {
	if !m.actor.Can(account.Manage) {
		m.refuse(ctx, e, "You may not create automations.")
		return nil
	}
	on := spec.Enabled == nil || *spec.Enabled
	a, token, err := m.create(ctx, m.tx, m.actor, in, on)
	if err != nil {
		return m.collect(ctx, e, err, place)
	}
	m.put(a)
	m.keepToken(a, token)
	is := m.automationSpec(a)
	if spec.Enabled != nil {
		is.Enabled = &a.Enabled
	}
	m.lost(e, spec, is)
	m.created(e, a.ID, append(manifest.Differences(nil, is), secrets...))
	return nil
}

func (m *manifestRun) keepToken(a *db.Automation, token string) {
	if token != "" {
		m.tokens = append(m.tokens, IssuedToken{Automation: a.ID, Name: a.Name, Token: token})
	}
}

// automationSecrets takes the secrets out of a spec, and out of what is typed those that are as stored. It lists the others. Who
// may not change the automation does not learn whether a secret is as stored.
func (m *manifestRun) automationSecrets(spec *manifest.Automation, in *Input, row *db.Automation, workflow uuid.UUID, mayChange bool) []manifest.Difference {
	var list []manifest.Difference
	if given := spec.SignatureSecret.Text; given != "" {
		stored := row != nil && row.SignatureSealed != nil && row.Sender == spec.Sender
		if opened, err := m.openSignature(row); stored && mayChange && err == nil && opened == strings.TrimSpace(given) {
			in.SignatureSecret = ""
		} else {
			list = append(list, secretChange("signature_secret", stored))
		}
		spec.SignatureSecret = manifest.Value{}
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Parameters)) {
		given := spec.Parameters[name].Text
		if !m.isSecret(workflow, name) {
			continue
		}
		delete(spec.Parameters, name)
		if given == "" {
			continue
		}
		stored := ""
		if row != nil && row.WorkflowID == workflow {
			stored = row.Parameters[name]
		}
		if opened, ok := m.unseal(name, stored); ok && mayChange && opened == given {
			delete(in.Parameters, name)
		} else {
			list = append(list, secretChange("parameters."+name, stored != ""))
		}
	}
	return list
}

// openSignature is the secret that the calls of an automation are signed with.
func (m *manifestRun) openSignature(a *db.Automation) (string, error) {
	if a == nil || a.SignatureSealed == nil {
		return "", nil
	}
	return m.Keys.Open(a.SignatureSealed, signaturePurpose(a))
}
