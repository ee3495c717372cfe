package plan

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/cron"
	"carillon/app/form"
	"carillon/app/manifest"
	"carillon/app/spec"
	"carillon/app/toggle"
	"carillon/app/workflow"
	"carillon/db"
)

// automationSpec is an automation in a manifest: with names for ids, without its secrets and whether it is on.
func (v *inventory) automationSpec(a *db.Automation) *spec.Automation {
	is := automation.Spec(a)
	is.Workspace = v.workspaceName(a.WorkspaceID)
	is.Workflow = v.reference(manifest.KindWorkflow, a.WorkspaceID, a.WorkflowID)
	is.Bot = v.reference(manifest.KindBot, a.WorkspaceID, a.BotID)
	if zone, err := cron.Zone(a.TimeZone); err == nil && !a.RunAt.IsZero() {
		is.RunAt = cron.Written(a.RunAt, zone)
	}
	if a.Trigger == db.HTTP { // neither applies
		is.AutoComplete, is.OnlyUnchanged = true, false
	}
	secrets := v.secretsOf(a)
	is.Parameters = maps.Clone(a.Parameters)
	if is.Parameters == nil {
		is.Parameters = map[string]string{}
	}
	for _, name := range secrets {
		delete(is.Parameters, name)
	}
	return &is
}

// secretsOf are the names of the secret values that an automation has, by order. What is stored sealed is secret,
// whatever has become of its parameter.
func (v *inventory) secretsOf(a *db.Automation) []string {
	var list []string
	for name, value := range a.Parameters {
		if v.isSecret(a.WorkflowID, name) || a.ExecutionType == db.WorkflowDriven &&
			workflow.IsSealed(value) {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// isSecret reports whether a workflow's parameter is secret.
func (v *inventory) isSecret(workflowID uuid.UUID, alias string) bool {
	wf := v.workflows[workflowID]
	return wf != nil && slices.ContainsFunc(wf.Parameters, func(p db.Parameter) bool {
		return p.Alias == alias && p.Type == db.SecretParameter
	})
}

// workflowSpec is a workflow in a manifest.
func (v *inventory) workflowSpec(wf *db.Workflow) *spec.Workflow {
	is := workflow.Spec(wf)
	is.Workspace = v.workspaceName(wf.WorkspaceID)
	return &is
}

// botSpec is a bot in a manifest.
func (v *inventory) botSpec(b *db.Bot) *spec.Bot {
	is := bot.Spec(b)
	is.Workspace = v.workspaceName(b.WorkspaceID)
	return &is
}

// workflowTyped is a workflow of a manifest as the editor would have it typed, and the places of its steps by their
// rows. Values must have been resolved.
func workflowTyped(want *spec.Workflow, workspace uuid.UUID) (in workflow.Input, steps []string) {
	in = workflow.Input{
		Name: want.Name, Workspace: form.ID(workspace), Description: want.Description,
		Parameters: workflow.TypedParameters(want.Parameters),
	}
	var add func(list []spec.Step, at string, inside bool)
	add = func(list []spec.Step, at string, inside bool) {
		for i, s := range list {
			row := workflow.StepInput{
				Kind: s.Kind, Label: s.Label, Text: s.Text, Path: s.Path, Marker: s.Marker,
				OnlyUnchanged: s.OnlyUnchanged, Inside: inside,
			}
			if s.Max != 0 {
				row.Max = strconv.Itoa(s.Max)
			}
			place := fmt.Sprintf("%ssteps[%d]", at, i)
			in.Steps, steps = append(in.Steps, row), append(steps, place)
			add(s.Steps, place+".", true)
		}
	}
	add(want.Steps, "", false)
	return in, steps
}

// unchanged, created and updated say what a run has done about a document.
func (m *run) unchanged(e *entry, version int64) {
	e.change = Change{
		Action: ActionUnchanged, Kind: e.doc.Kind, Workspace: m.workspaceName(e.workspace), Name: e.name, ID: e.row,
		version: version,
	}
}

func (m *run) created(e *entry, id uuid.UUID, fields []spec.Difference) {
	e.row = id
	// said already
	fields = slices.DeleteFunc(fields, func(d spec.Difference) bool {
		return d.Field == "name" || d.Field == "workspace"
	})
	e.change = Change{
		Action: ActionCreate, Kind: e.doc.Kind, Workspace: m.workspaceName(e.workspace), Name: e.name, ID: id,
		Fields: fields,
	}
}

func (m *run) updated(e *entry, version int64, fields []spec.Difference) {
	e.change = Change{
		Action: ActionUpdate, Kind: e.doc.Kind, Workspace: m.workspaceName(e.workspace), Name: e.name, ID: e.row,
		Fields: fields, version: version,
	}
}

// onlyWhole refuses entries of a list that the rules would read as several.
func (m *run) onlyWhole(e *entry, field string, list []string) {
	for i, text := range list {
		if strings.ContainsAny(text, ",\n\r") {
			m.wrong(e, fmt.Sprintf("%s[%d]", field, i), "A comma or a line break has no place here.")
		}
	}
}

func (m *run) bot(ctx context.Context, e *entry) error {
	want := *e.doc.Spec.(*spec.Bot)
	want.ID, want.Name, want.Workspace = "", e.name, m.workspaceName(e.workspace)
	m.onlyWhole(e, "allowed_tools", want.AllowedTools)
	in := bot.Input{Bot: want}
	in.Workspace = form.ID(e.workspace)
	place := func(key string) string { return spec.FieldOf(&want, key) }
	may := m.actor.Can(account.ManageBots)
	if e.row == uuid.Nil {
		if !may {
			m.refuse(ctx, e, "You may not create bots.")
			return nil
		}
		b, err := m.Bots.Create(ctx, m.actor, in)
		if err != nil {
			return m.collect(ctx, e, err, place)
		}
		m.put(b)
		m.refuseDropped(e, &want, m.botSpec(b))
		m.created(e, b.ID, spec.Differences(nil, m.botSpec(b)))
		return nil
	}
	row := m.bots[e.row]
	had := m.botSpec(row)
	if m.unchanged(e, row.Version); len(spec.Differences(had, &want)) == 0 && !e.failed {
		return nil
	}
	if !may {
		m.refuse(ctx, e, "You may not change bots.")
		return nil
	}
	in.Version = row.Version
	next, err := m.Bots.Preview(ctx, m.actor, row, in)
	if err != nil {
		return m.collect(ctx, e, err, place)
	}
	m.refuseDropped(e, &want, m.botSpec(next))
	fields := spec.Differences(had, m.botSpec(next))
	if e.failed || len(fields) == 0 {
		return nil
	}
	b, err := m.Bots.Update(ctx, m.actor, e.row, in)
	if err != nil {
		return m.collect(ctx, e, err, place)
	}
	m.put(b)
	m.updated(e, row.Version, fields)
	return nil
}

func (m *run) workflow(ctx context.Context, e *entry) error {
	want := *e.doc.Spec.(*spec.Workflow)
	want.ID, want.Name, want.Workspace = "", e.name, m.workspaceName(e.workspace)
	want.Parameters = slices.Clone(want.Parameters)
	row := m.workflows[e.row]
	m.noteFaults(e)
	for i, p := range want.Parameters {
		m.onlyWhole(e, fmt.Sprintf("parameters[%d].choices", i), p.Choices)
	}
	in, steps := workflowTyped(&want, e.workspace)
	place := func(key string) string { return workflowField(&want, steps, key) }
	secrets := m.workflowSecrets(&want, &in, row)
	may := m.actor.Can(account.ManageWorkflows)
	if e.row == uuid.Nil {
		if !may {
			m.refuse(ctx, e, "You may not create workflows.")
			return nil
		}
		wf, err := m.Workflows.Create(ctx, m.actor, in)
		if err != nil {
			return m.collect(ctx, e, err, place)
		}
		m.put(wf)
		m.refuseDropped(e, &want, m.workflowSpec(wf))
		m.created(e, wf.ID, append(spec.Differences(nil, m.workflowSpec(wf)), secrets...))
		return nil
	}
	had := m.workflowSpec(row)
	if m.unchanged(e, row.Version); len(secrets) == 0 && len(spec.Differences(had, &want)) == 0 && !e.failed {
		return nil
	}
	if !may {
		m.refuse(ctx, e, "You may not change workflows.")
		return nil
	}
	in.Version = row.Version
	next, err := m.Workflows.Preview(ctx, m.actor, row, in)
	if err != nil {
		return m.collect(ctx, e, err, place)
	}
	m.refuseDropped(e, &want, m.workflowSpec(next))
	fields := append(spec.Differences(had, m.workflowSpec(next)), secrets...)
	if e.failed || len(fields) == 0 {
		return nil
	}
	wf, err := m.Workflows.Update(ctx, m.actor, e.row, in)
	if err != nil {
		return m.collect(ctx, e, err, place)
	}
	m.put(wf)
	m.updated(e, row.Version, fields)
	return nil
}

// workflowSecrets takes the defaults of secrets out of a want, and out of what is typed those that are as stored. It
// lists the others. Who may not change workflows does not learn whether a secret is as stored.
func (m *run) workflowSecrets(want *spec.Workflow, in *workflow.Input, row *db.Workflow) []spec.Difference {
	var list []spec.Difference
	for i := range want.Parameters {
		p := &want.Parameters[i]
		if p.Type != string(db.SecretParameter) || p.Default == "" {
			continue
		}
		stored := ""
		if row != nil {
			if j := slices.IndexFunc(row.Parameters, func(o db.Parameter) bool {
				return o.Alias == p.Alias && o.Type == db.SecretParameter
			}); j >= 0 {
				stored = row.Parameters[j].Default
			}
		}
		if opened, ok := workflow.Unseal(m.Keys, p.Alias, stored); ok && opened == p.Default &&
			m.actor.Can(account.ManageWorkflows) {
			in.Parameters[i].Default = ""
		} else {
			list = append(list, secretChange(fmt.Sprintf("parameters[%d].default", i), stored != ""))
		}
		p.Default = ""
	}
	return list
}

func (m *run) automation(ctx context.Context, e *entry) error {
	want := *e.doc.Spec.(*spec.Automation)
	want.ID, want.Name, want.Workspace = "", e.name, m.workspaceName(e.workspace)
	want.Parameters, want.Filter.Conditions = maps.Clone(want.Parameters), slices.Clone(want.Filter.Conditions)
	m.noteFaults(e)
	var toggles []string
	for _, t := range toggle.All {
		toggles = append(toggles, t.Key)
	}
	for i, key := range want.Toggles {
		if !slices.Contains(toggles, key) {
			m.wrong(e, fmt.Sprintf("toggles[%d]", i), "There is no session toggle "+strconv.Quote(key)+". There are "+
				strings.Join(toggles, ", ")+".")
		}
	}
	if want.Enabled != nil && !*want.Enabled && want.Trigger == string(db.HTTP) {
		m.wrong(e, "enabled", automation.HTTPAlwaysEnabled)
	}
	if want.Trigger == string(db.HTTP) {
		for field, on := range map[string]bool{
			"auto_complete": want.AutoComplete, "only_unchanged": want.OnlyUnchanged,
		} {
			if on && e.doc.Has(field) {
				m.wrong(e, field,
					"Auto-Complete Session does not apply to an HTTP Trigger: its session stays open. Leave this out.")
			}
		}
		want.AutoComplete, want.OnlyUnchanged = true, false // as when they are left out
	}
	row := m.automations[e.row]
	if want.TimeZone == "" && (want.Trigger == string(db.OneTime) || want.Trigger == string(db.Recurring)) {
		if want.TimeZone = m.actor.TimeZone; row != nil && row.TimeZone != "" {
			// as it is; of a new one as in a new form
			want.TimeZone = row.TimeZone
		}
	}
	workflowID := m.referred(e, manifest.KindWorkflow, "workflow", want.Workflow)
	botID := m.referred(e, manifest.KindBot, "bot", want.Bot)
	if workflowID != uuid.Nil {
		want.Workflow = m.reference(manifest.KindWorkflow, e.workspace, workflowID)
	}
	if botID != uuid.Nil {
		want.Bot = m.reference(manifest.KindBot, e.workspace, botID)
	}
	in := automation.Input{Automation: want}
	in.Workspace, in.Workflow, in.Bot = form.ID(e.workspace), form.ID(workflowID), form.ID(botID)
	in.Parameters = maps.Clone(want.Parameters) // secrets are taken out of the one and stay in the other
	if in.Parameters == nil {
		in.Parameters = map[string]string{}
	}
	mayChange := row != nil && automation.CanManage(m.actor, row)
	secrets := m.automationSecrets(&want, &in, row, workflowID, mayChange)
	place := func(key string) string { return spec.FieldOf(&want, key) }
	if row == nil {
		return m.newAutomation(ctx, e, &want, in, secrets, place)
	}

	had := m.automationSpec(row)
	if want.Enabled != nil {
		had.Enabled = &row.Enabled
	}
	if m.unchanged(e, row.Version); len(secrets) == 0 && len(spec.Differences(had, &want)) == 0 && !e.failed {
		return nil
	}
	if !mayChange {
		m.refuse(ctx, e, "You may not change this automation.")
		return nil
	}
	in.Version = row.Version
	next, err := m.Automations.Definitions().Preview(ctx, m.actor, row, in)
	if err != nil {
		return m.collect(ctx, e, err, place)
	}
	will := m.automationSpec(next)
	will.Enabled = want.Enabled
	m.refuseDropped(e, &want, will)
	fields := append(spec.Differences(had, will), secrets...)
	if e.failed || len(fields) == 0 {
		return nil
	}
	is := row
	if slices.ContainsFunc(fields, func(d spec.Difference) bool { return d.Field != "enabled" }) {
		a, token, err := m.Automations.Definitions().Update(ctx, m.actor, e.row, in)
		if err != nil {
			return m.collect(ctx, e, err, place)
		}
		is = a
		m.put(a)
		m.keepToken(a, token)
	}
	if want.Enabled != nil && is.Enabled != *want.Enabled {
		if err := m.Automations.Definitions().SetEnabled(ctx, m.actor, e.row, *want.Enabled); err != nil {
			return m.collect(ctx, e, err, place)
		}
	}
	m.updated(e, row.Version, fields)
	return nil
}

func (m *run) newAutomation(ctx context.Context, e *entry, want *spec.Automation, in automation.Input,
	secrets []spec.Difference, place func(string) string) error {
	if !m.actor.Can(account.Manage) {
		m.refuse(ctx, e, "You may not create automations.")
		return nil
	}
	in.Off = want.Enabled != nil && !*want.Enabled
	a, token, err := m.Automations.Definitions().Create(ctx, m.actor, in)
	if err != nil {
		return m.collect(ctx, e, err, place)
	}
	m.put(a)
	m.keepToken(a, token)
	is := m.automationSpec(a)
	if want.Enabled != nil {
		is.Enabled = &a.Enabled
	}
	m.refuseDropped(e, want, is)
	m.created(e, a.ID, append(spec.Differences(nil, is), secrets...))
	return nil
}

func (m *run) keepToken(a *db.Automation, token string) {
	if token != "" {
		m.tokens = append(m.tokens, IssuedToken{Automation: a.ID, Name: a.Name, Token: token})
	}
}

// automationSecrets takes the secrets out of a want, and out of what is typed those that are as stored. It lists the
// others. Who may not change the automation does not learn whether a secret is as stored.
func (m *run) automationSecrets(want *spec.Automation, in *automation.Input, row *db.Automation, workflowID uuid.UUID,
	mayChange bool) []spec.Difference {
	var list []spec.Difference
	if given := want.SignatureSecret; given != "" {
		stored := row != nil && row.SignatureSealed != nil && row.Sender == want.Sender
		if opened, err := m.Automations.Webhooks().SignatureSecret(row); stored && mayChange && err == nil &&
			opened == strings.TrimSpace(given) {
			in.SignatureSecret = ""
		} else {
			list = append(list, secretChange("signature_secret", stored))
		}
		want.SignatureSecret = ""
	}
	for _, name := range slices.Sorted(maps.Keys(want.Parameters)) {
		given := want.Parameters[name]
		if !m.isSecret(workflowID, name) {
			continue
		}
		delete(want.Parameters, name)
		if given == "" {
			continue
		}
		stored := ""
		if row != nil && row.WorkflowID == workflowID {
			stored = row.Parameters[name]
		}
		if opened, ok := workflow.Unseal(m.Keys, name, stored); ok && mayChange && opened == given {
			delete(in.Parameters, name)
		} else {
			list = append(list, secretChange("parameters."+name, stored != ""))
		}
	}
	return list
}
