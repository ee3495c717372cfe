package web

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/cron"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/toggle"
	"carillon/app/web/page"
	"carillon/db"
	"carillon/views"
)

// automationInput reads the editor's form.
func automationInput(r *http.Request) automation.Input {
	version, _ := strconv.ParseInt(r.PostForm.Get("version"), 10, 64)
	in := automation.Input{RunAtShown: instant(r.PostForm.Get("run_at_instant")), Version: version}
	in.Unread = form.Read(r.PostForm, &in.Automation)
	in.Filter = filterInput(r)
	return in
}

// instant reads what a form carries along with a clock time; zero for none that can be read.
func instant(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return at
}

func (s automationPages) new(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	if !actor.Can(account.Manage) {
		return fault.ErrForbidden
	}
	in := automation.NewInput(actor)
	list, err := s.Workspaces.List(r.Context(), actor)
	if err != nil {
		return err
	}
	in.Workspace = s.ChosenWorkspace(r)
	if in.Workspace == "" && len(list) > 0 {
		in.Workspace = list[0].ID.String()
	}
	var chosen *db.Workspace
	for i, ws := range list {
		if ws.ID.String() == in.Workspace {
			in.Provider, in.Model, chosen = ws.Provider, ws.Model, &list[i]
		}
	}
	t, ok := automation.TemplateByKey(r.FormValue("template"))
	if !ok {
		return s.formWith(w, r, actor, http.StatusOK, nil, in, nil, func(f *views.AutomationForm) {
			f.Starts = views.Patterns()
		})
	}
	missing, err := s.beginWith(r, actor, t, &in, chosen)
	if err != nil {
		return err
	}
	return s.formWith(w, r, actor, http.StatusOK, nil, in, nil, func(f *views.AutomationForm) {
		f.MissingWorkflow = missing
	})
}

func (s automationPages) edit(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	automationID, err := page.ID(r)
	if err != nil {
		return err
	}
	a, err := s.Rules.Definitions().Editable(r.Context(), actor, automationID)
	if err != nil {
		return err
	}
	in := automation.InputOf(a)
	in.OfferSchedule(actor)
	return s.form(w, r, actor, http.StatusOK, a, in, nil)
}

func (s automationPages) create(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	in := automationInput(r)
	a, token, err := s.Rules.Definitions().Create(r.Context(), actor, in)
	var invalid fault.Invalid
	if errors.As(err, &invalid) {
		return s.form(w, r, actor, http.StatusUnprocessableEntity, nil, in, invalid)
	}
	if err != nil {
		return err
	}
	return s.afterSave(w, r, actor, a, token)
}

// afterSave goes to the automation, or, where it has a new token, to where that is shown this once.
func (s automationPages) afterSave(w http.ResponseWriter, r *http.Request, actor account.Actor, a *db.Automation,
	token string) error {
	if token != "" {
		return s.showToken(w, r, a.ID, token)
	}
	message := s.saved(a)
	if dropped := droppedValues(a, parameters(r)); len(dropped) > 0 {
		message += " The prompt does not use " + strings.Join(dropped, ", ") +
			" any more. Its stored value was deleted."
	}
	return s.Redirect(w, r, views.AutomationURL(a.ID.String()), message)
}

// droppedValues are the placeholders for which a form brought a value, and which the saved prompt does not have.
func droppedValues(a *db.Automation, given map[string]string) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, kept := a.Parameters[name]; !kept && a.ExecutionType == db.Inline {
			list = append(list, "{{"+name+"}}")
		}
	}
	return list
}

func (s automationPages) update(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	automationID, err := page.ID(r)
	if err != nil {
		return err
	}
	in := automationInput(r)
	a, token, err := s.Rules.Definitions().Update(r.Context(), actor, automationID, in)
	invalid, status, err := s.Again(r, actor, s.edit, err)
	if err != nil {
		return err
	}
	if status == 0 {
		return s.afterSave(w, r, actor, a, token)
	}
	stored, err := s.Rules.Definitions().Editable(r.Context(), actor, automationID)
	if err != nil {
		return err
	}
	return s.form(w, r, actor, status, stored, automationInput(r), invalid)
}

// saved echoes what was saved, with the instant of what is due.
func (s automationPages) saved(a *db.Automation) string {
	if a.NextRunAt.IsZero() {
		return "Saved."
	}
	if a.Trigger == db.Loop {
		return "Saved. The loop starts now."
	}
	at := a.NextRunAt.In(cron.ZoneOrUTC(a.TimeZone))
	return "Saved. It runs on " + at.Format("Monday, 2 January 2006 at 15:04 ") + a.TimeZone + " (" + at.UTC().
		Format("2006-01-02 15:04 MST") + ")."
}

// form shows the form with what was typed and what is wrong with it. A nil automation is a new one.
func (s automationPages) form(w http.ResponseWriter, r *http.Request, actor account.Actor, status int, a *db.Automation,
	in automation.Input, bad fault.Invalid) error {
	return s.formWith(w, r, actor, status, a, in, bad, func(*views.AutomationForm) {})
}

// formWith is form, with something more about the form.
func (s automationPages) formWith(w http.ResponseWriter, r *http.Request, actor account.Actor, status int,
	a *db.Automation, in automation.Input, bad fault.Invalid, more func(*views.AutomationForm)) error {
	f := views.NewAutomationForm()
	title := "New automation"
	if a != nil {
		f.ID, f.Was, title = a.ID.String(), a.Name, "Edit "+a.Name
	}
	f.Version = strconv.FormatInt(in.Version, 10)
	values := form.Write(&in.Automation)
	for name := range in.Unread { // as it was typed
		values.Set(name, r.PostForm.Get(name))
	}
	page.FillFields(&f, &in.Automation, values, bad)
	list, err := s.Workspaces.List(r.Context(), actor)
	if err != nil {
		return err
	}
	for _, ws := range list {
		f.Workspace.Options = append(f.Workspace.Options, views.Choice{Value: ws.ID.String(), Label: ws.Name})
	}
	f.Moment = momentOf(in.RunAt, in.TimeZone, in.RunAtShown)
	f.TimeZone.Suggest = cron.Zones()
	if in.ExecutionType == "" {
		f.ExecutionType.Value = string(db.Inline)
	}
	for _, p := range s.Providers() {
		f.Provider.Options = append(f.Provider.Options, s.ProviderChoice(p, in.Provider))
		if p.ID == in.Provider {
			if err := s.OfferModels(r, actor, &f.Model, p); err != nil {
				return err
			}
		}
	}
	sending(&f.Sending, a, in, bad)
	if err := s.botField(r, actor, &f, in, bad); err != nil {
		return err
	}
	if err := s.workflowField(r, actor, &f, a, in, bad); err != nil {
		return err
	}
	f.Placeholders = s.found(in)
	fillQuality(&f, in, bad, actor)
	if a != nil && a.Trigger == db.HTTP {
		if f.Webhook, err = s.webhook(r, actor, a, ""); err != nil {
			return err
		}
	}
	if in.Cron != "" {
		f.Schedule = s.schedulePreview(actor, in.Cron, in.TimeZone)
	}
	more(&f)
	return s.With(w, r, actor, "automations", title, func(page views.Page) error {
		s.Render(w, r, status, views.EditAutomation(page, f))
		return nil
	})
}

// found lists a prompt's placeholders with their stored values, and the values that the prompt has no use for any more.
func (s automationPages) found(in automation.Input) []views.Placeholder {
	var list []views.Placeholder
	listed := map[string]bool{}
	for _, name := range s.Rules.Definitions().Names(in.Provider, in.Prompt) {
		listed[name] = true
		value, ok := in.Parameters[name]
		list = append(list, views.Placeholder{Name: name, Value: value, Missing: !ok})
	}
	if db.ExecutionType(in.ExecutionType) == db.WorkflowDriven {
		return list // the values are those of the workflow's parameters
	}
	for _, name := range slices.Sorted(maps.Keys(in.Parameters)) {
		if !listed[name] {
			list = append(list, views.Placeholder{Name: name, Value: in.Parameters[name], Dropped: true})
		}
	}
	return list
}

// placeholders answers the editor while a prompt is typed.
func (s automationPages) placeholders(w http.ResponseWriter, r *http.Request, _ account.Actor) error {
	return s.Show(w, r, views.Placeholders(s.found(automationInput(r))))
}

// moment answers the editor while the time of a One-Time is typed.
func (s automationPages) moment(w http.ResponseWriter, r *http.Request, _ account.Actor) error {
	return s.Show(w, r, views.MomentPart(momentOf(r.FormValue("run_at"), r.FormValue("time_zone"),
		instant(r.FormValue("run_at_instant")))))
}

// momentOf is what a form says of a clock time, and carries along with it. It says nothing of what cannot be read yet.
func momentOf(text, zoneName string, shown time.Time) views.MomentData {
	m := views.MomentData{Carried: shown}
	z, err := cron.Zone(strings.TrimSpace(zoneName))
	if err != nil {
		return m
	}
	o, err := cron.Read(text, z, shown)
	if err != nil {
		return m
	}
	if m.Both = cron.Twice(o.At, z); len(m.Both) == 2 { // with the part of a minute that is carried along
		for i, at := range m.Both {
			m.Both[i] = at.Add(time.Duration(o.At.Nanosecond()))
		}
		m.Carried = o.At
	}
	if o.Note == cron.Moved {
		m.Note = o.Explain()
	}
	return m
}

// schedule answers the editor while a schedule is typed.
func (s automationPages) schedule(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.Show(w, r, views.SchedulePreview(s.schedulePreview(actor, r.FormValue("cron"), r.FormValue("time_zone"))))
}

// previewRuns is how many runs a preview shows.
const previewRuns = 5

func (s automationPages) schedulePreview(actor account.Actor, expression, zoneName string) views.Schedule {
	now := s.Now()
	if strings.TrimSpace(expression) == "" {
		return views.Schedule{Now: now}
	}
	z, err := cron.Zone(strings.TrimSpace(zoneName))
	if err != nil {
		return views.Schedule{Now: now, Error: fault.Sentence(err.Error())}
	}
	e, err := cron.Typed(expression)
	if err != nil {
		return views.Schedule{Now: now, Error: fault.Sentence(err.Error())}
	}
	preview := views.Schedule{Now: now.In(z), Words: e.Words() + ", " + cityOf(zoneName) + " time"}
	if gap := e.ShortestGap(now, z); gap > 0 && gap < 5*time.Minute {
		preview.Words += ". That is often: each run is a session of its own, and one that is due while another is at " +
			"work is skipped"
	}
	for _, o := range e.Upcoming(now, z, previewRuns) {
		preview.Runs = append(preview.Runs, views.NextRun{
			At: o.At.In(z), Here: o.At.In(page.Zone(actor)), Note: o.Explain(),
		})
	}
	if len(preview.Runs) == 0 {
		preview.Error = "This never runs in this time zone."
	}
	return preview
}

// cityOf is the part of a zone's name that people say.
func cityOf(zone string) string {
	return strings.ReplaceAll(zone[strings.LastIndex(zone, "/")+1:], "_", " ")
}

// models answers the editor when a provider is chosen.
func (s automationPages) models(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	f := views.NewAutomationForm().Model
	for _, p := range s.Providers() {
		if p.ID == r.FormValue("provider") {
			if err := s.OfferModels(r, actor, &f, p); err != nil {
				return err
			}
		}
	}
	return s.Show(w, r, views.ModelField(f))
}

// fillQuality completes the part of the editor with toggles, gate, success check and budget.
func fillQuality(f *views.AutomationForm, in automation.Input, bad fault.Invalid, actor account.Actor) {
	for _, t := range toggle.All {
		f.Toggles = append(f.Toggles, views.Field{
			Label: t.Name, Value: t.Key, Checked: slices.Contains(in.Toggles, t.Key),
		})
	}
	f.TogglesError.Error = bad[f.TogglesError.Name]
	q := &f.Checks
	if !actor.Can(account.UseShell) { // read only rather than disabled, so that it is posted and stays as it is
		for _, field := range []*views.Field{&q.GateCommand, &q.SuccessCommand} {
			field.Hint = "You may not run commands on a worker, so you cannot change this."
			field.Attrs = map[string]any{"readonly": true}
		}
	}
}
