package web

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/cron"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/payload"
	"carillon/app/toggle"
	"carillon/app/web/page"
	"carillon/app/web/present"
	"carillon/app/web/runs"
	"carillon/db"
	"carillon/views"
)

// automationPages are the pages of automations: lists, the page of one, its editor, and what is done with it.
type automationPages struct{ *Server }

func (s automationPages) list(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	ctx, now := r.Context(), s.Now()
	f := db.AutomationFilter{
		Search: strings.TrimSpace(r.FormValue("q")), Trigger: db.Trigger(r.FormValue("trigger")),
		Workspace: form.OptionalID(s.WorkspaceFilter(r)),
		Mine:      r.FormValue("scope") == "own", State: r.FormValue("state"),
		AfterName: r.FormValue("after"), AfterID: form.OptionalID(r.FormValue("after_id")), Limit: page.Rows + 1,
	}
	list, err := s.Rules.Definitions().List(ctx, actor, f)
	if err != nil {
		return err
	}
	all, err := s.Rules.Definitions().Count(ctx, actor, db.AutomationFilter{})
	if err != nil {
		return err
	}
	p := views.AutomationsPage{
		Now: now, Total: form.Count(int(all.Total), "automation"), Running: int(all.Running),
		Attention: int(all.Attention),
		Search:    f.Search, CanCreate: actor.Can(account.Manage),
		Filtered: f.Search != "" || f.Trigger != "" || f.Workspace != uuid.Nil || f.Mine || f.State != "" ||
			f.AfterID != uuid.Nil,
		Trigger: views.Field{Name: "trigger", Label: "Type", Value: string(f.Trigger), Options: []views.Choice{
			{Label: "Type"}, {Value: "manual", Label: "Manual"}, {Value: "one_time", Label: "One-Time"},
			{Value: "recurring", Label: "Recurring"},
			{Value: "loop", Label: "Loop"}, {Value: "http", Label: "HTTP Trigger"}}},
		State: views.Field{Name: "state", Label: "State", Value: f.State, Options: []views.Choice{
			{Label: "State"}, {Value: "enabled", Label: "Enabled"}, {Value: "disabled", Label: "Disabled"},
			{Value: "running", Label: "Running"},
			{Value: "attention", Label: "Needs attention"}}},
	}
	if actor.Can(account.ViewAll) {
		scope := r.FormValue("scope")
		if scope != "own" {
			scope = "all"
		}
		p.Scope = views.Field{
			Name: "scope", Label: "Whose", Value: scope, Options: []views.Choice{{Value: "own", Label: "Mine"},
				{Value: "all", Label: "Everyone’s"}},
		}
	}
	if p.Workspace, err = s.WorkspaceField(r, actor, f.Workspace); err != nil {
		return err
	}
	if len(list) > page.Rows {
		list = list[:page.Rows]
		last := list[page.Rows-1]
		p.Pager.Older = page.More(r, "after", last.Name, "after_id", last.ID.String())
	}
	ids := make([]uuid.UUID, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	bars, err := db.LastRuns(ctx, s.DB, ids, 30)
	if err != nil {
		return err
	}
	for i := range list {
		row := s.rowData(actor, &list[i], bars[list[i].ID], now)
		p.Rows = append(p.Rows, row)
		p.CanManage = p.CanManage || row.CanManage
	}
	if p.Upcoming, err = s.ahead(r, actor, now); err != nil {
		return err
	}
	p.ShowUpcoming = len(p.Upcoming.Runs) > 0
	return s.With(w, r, actor, "automations", "Automations", func(page views.Page) error {
		return s.Show(w, r, views.Automations(page, p))
	})
}

// maxAhead is how many coming runs the strip of the next 24 hours draws.
const maxAhead = 500

// ahead computes what the next 24 hours bring, of the automations that a person sees.
func (s automationPages) ahead(r *http.Request, actor account.Actor, now time.Time) (views.Upcoming, error) {
	list, err := db.Upcoming(r.Context(), s.DB, actor.Access(), now.Add(24*time.Hour), 200)
	if err != nil {
		return views.Upcoming{}, err
	}
	z := page.Zone(actor)
	a := views.Upcoming{Now: now.In(z)}
	until := now.Add(24 * time.Hour)
	for _, item := range list {
		at := item.NextRunAt
		e, err := cron.Parse(item.Cron)
		for n := 0; !at.IsZero() && at.Before(until) && n < 96 && len(a.Runs) < maxAhead; n++ {
			a.Runs = append(a.Runs, views.UpcomingRun{Name: item.Name, At: at.In(z)})
			if item.Trigger != db.Recurring || err != nil {
				break
			}
			at = e.Next(at, cron.ZoneOrUTC(item.TimeZone))
		}
	}
	slices.SortFunc(a.Runs, func(x, y views.UpcomingRun) int { return x.At.Compare(y.At) })
	return a, nil
}

// readRow reads one automation as the list shows it.
func (s automationPages) readRow(r *http.Request, actor account.Actor,
	automationID uuid.UUID) (views.AutomationRowData, *db.AutomationRow, error) {
	ctx := r.Context()
	if _, err := s.Rules.Definitions().Find(ctx, actor, automationID); err != nil {
		return views.AutomationRowData{}, nil, err
	}
	a, err := db.AutomationRowByID(ctx, s.DB, automationID)
	if db.IsNotFound(err) {
		return views.AutomationRowData{}, nil, fault.ErrNotFound
	}
	if err != nil {
		return views.AutomationRowData{}, nil, err
	}
	bars, err := db.LastRuns(ctx, s.DB, []uuid.UUID{automationID}, 30)
	if err != nil {
		return views.AutomationRowData{}, nil, err
	}
	return s.rowData(actor, a, bars[automationID], s.Now()), a, nil
}

func (s automationPages) row(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	automationID, err := page.ID(r)
	if err != nil {
		return err
	}
	row, _, err := s.readRow(r, actor, automationID)
	if err != nil {
		return err
	}
	return s.Show(w, r, views.AutomationRow(row))
}

func (s automationPages) one(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	automationID, err := page.ID(r)
	if err != nil {
		return err
	}
	ctx, now, z := r.Context(), s.Now(), page.Zone(actor)
	p, a, err := s.data(r, actor, automationID)
	if err != nil {
		return err
	}
	f := db.ExecutionFilter{
		Automation: automationID, Before: form.OptionalID(r.FormValue("before")),
		After: form.OptionalID(r.FormValue("newer")),
		Limit: page.Rows + 1,
	}
	list, err := s.Rules.Runs().List(ctx, actor, f)
	if err != nil {
		return err
	}
	p.Pager = runs.Pager(r, f, &list)
	open := form.OptionalID(r.FormValue("execution"))
	p.Detail = open != uuid.Nil
	if open == uuid.Nil && len(list) > 0 {
		open = list[0].ID
	}
	for i := range list {
		e := present.Execution(&list[i], z, now)
		e.Automation, e.Current = a.Name, list[i].ID == open
		p.Executions = append(p.Executions, e)
	}
	if open != uuid.Nil {
		e, err := s.Rules.Runs().Find(ctx, actor, open)
		if err != nil {
			return err
		}
		if e.AutomationID != automationID {
			return fault.ErrNotFound
		}
		if p.Selected, err = s.Runs.ExecutionData(r, actor, e); err != nil {
			return err
		}
	}
	p.Summary = summary(p.Automation.Runs)
	if a.Scheduled() {
		p.Ask = views.Field{
			Name: "at", Label: "Why did it not run at …", Type: "datetime-local", Value: r.FormValue("at"),
			Hint: "In your time zone, " + z.String() + ".",
		}
		if asked, err := cron.Read(r.FormValue("at"), z, time.Time{}); err == nil {
			if err := s.explain(r, actor, automationID, asked.At, p); err != nil {
				return err
			}
		} else if r.FormValue("at") != "" {
			p.Ask.Error = "Choose a date and a time."
		}
	}
	return s.With(w, r, actor, "automations", a.Name, func(page views.Page) error {
		return s.Show(w, r, views.Automation(page, *p))
	})
}

// switchingOn says what comes of switching an automation on.
func switchingOn(a *db.Automation, now time.Time) string {
	switch {
	case a.Trigger != db.OneTime || now.Before(a.RunAt):
		return "Enabling it starts it again."
	case automation.InGrace(a.RunAt, now):
		return "Enabling it within 5 minutes of its time runs it once more, at once."
	}
	return "Its time is in the past. Choose a new time to run it again."
}

// explain tells why an automation did or did not run at a time; of a clock time that occurs twice, at both.
func (s automationPages) explain(r *http.Request, actor account.Actor, automationID uuid.UUID, at time.Time,
	p *views.AutomationPage) error {
	times := cron.Twice(at, at.Location())
	if times == nil {
		times = []time.Time{at}
	}
	var texts []string
	for _, t := range times {
		told, err := s.Rules.Definitions().Explain(r.Context(), actor, automationID, t)
		if err != nil {
			return err
		}
		text := told.Text
		if len(times) > 1 {
			text = t.Format("15:04 MST: ") + text
		}
		texts = append(texts, text)
		if told.Execution != uuid.Nil {
			p.ToldLink = views.Link{Text: "See the row", URL: views.AutomationExecutionURL(automationID.String(),
				told.Execution.String())}
		}
	}
	p.Told = strings.Join(texts, " ")
	return nil
}

// data is what both tabs of an automation's page show.
func (s automationPages) data(r *http.Request, actor account.Actor,
	automationID uuid.UUID) (*views.AutomationPage, *db.AutomationRow, error) {
	row, a, err := s.readRow(r, actor, automationID)
	if err != nil {
		return nil, nil, err
	}
	n, err := db.CountExecutions(r.Context(), s.DB, automationID, 1001)
	if err != nil {
		return nil, nil, err
	}
	p := &views.AutomationPage{
		Now: s.Now(), Automation: row, Workspace: views.Link{
			Text: a.Workspace.Name, URL: views.WorkspaceURL(a.WorkspaceID.String()),
		},
		Count: strconv.Itoa(n), Uses: "Its history is deleted too. Sessions are kept.",
	}
	p.Called = a.Trigger == db.HTTP && automation.CanManage(actor, &a.Automation)
	if n > 1000 {
		p.Count = "1000+"
	}
	if n > 0 {
		p.Uses = fmt.Sprintf("Its history of %s is deleted too. Sessions are kept.", form.Count(n, "execution"))
	}
	if !a.Enabled && a.DisabledReason != "" {
		p.Why = fmt.Sprintf("It is off since %s: %s. %s", a.DisabledAt.In(page.Zone(actor)).Format("2 January, 15:04"),
			a.DisabledReason, switchingOn(&a.Automation, s.Now()))
	} else if a.Enabled && a.OwnerGone != "" {
		p.Why = automation.RowWarning(a) + ", so its runs fail until it has another."
	} else if text := automation.Warning(&a.Automation); text != "" {
		p.Why = text + ", so its runs fail. Edit it and choose another."
	}
	p.Offer, err = s.offer(r, actor, &a.Automation)
	return p, a, err
}

// summary sums up the last runs in words.
func summary(runs []views.Bar) string {
	if len(runs) == 0 {
		return ""
	}
	good := 0
	var took []time.Duration
	for _, b := range runs {
		if b.Status == string(db.Succeeded) {
			good++
			took = append(took, b.Took)
		}
	}
	text := fmt.Sprintf("%d of %d succeeded", good, len(runs))
	if len(took) > 0 {
		slices.Sort(took)
		text += ", median " + views.Roughly(took[len(took)/2])
	}
	return text
}

func (s automationPages) settings(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	automationID, err := page.ID(r)
	if err != nil {
		return err
	}
	p, a, err := s.data(r, actor, automationID)
	if err != nil {
		return err
	}
	p.Settings, p.Prompt = true, a.Prompt
	if a.Trigger == db.HTTP {
		if p.Webhook, err = s.webhook(r, actor, &a.Automation, s.shownToken(w, r, automationID)); err != nil {
			return err
		}
	}
	yes := func(on bool) string {
		if on {
			return "Yes"
		}
		return "No"
	}
	timeout := "None"
	if a.TimeoutSeconds > 0 {
		timeout = views.Took(a.Timeout())
	}
	starts := []views.Fact{{Label: "Trigger", Value: views.TriggerWord(string(a.Trigger))},
		{Label: "When", Value: automation.TriggerWords(&a.Automation)}}
	if a.Trigger == db.Recurring {
		starts = append(starts, views.Fact{Label: "Cron expression", Value: a.Cron, Mono: true},
			views.Fact{Label: "Time zone", Value: a.TimeZone},
			views.Fact{Label: "Auto-Execute Missed Runs on Startup", Value: yes(a.CatchUp)})
	}
	if a.Trigger == db.Loop && a.MaxIterations > 0 {
		starts = append(starts, views.Fact{Label: "Maximum iterations", Value: strconv.Itoa(a.MaxIterations)})
	}
	if a.Trigger == db.HTTP {
		if a.Sender != "" {
			starts = append(starts, views.Fact{Label: "Signed calls only", Value: a.Sender})
		}
		if len(a.Filter.Conditions) > 0 {
			starts = append(starts, views.Fact{Label: "Filter", Value: payload.FilterText(a.Filter)})
		}
		if a.AppendPayload {
			starts = append(starts, views.Fact{Label: "Payload", Value: "Follows the prompt"})
		}
		starts = append(starts, views.Fact{Label: "Allow Parallel Sessions", Value: yes(a.AllowParallel)})
		if a.AllowParallel && a.MaxParallel > 0 {
			starts = append(starts, views.Fact{Label: "Maximum parallel sessions", Value: strconv.Itoa(a.MaxParallel)})
		}
	}
	if a.StopText != "" {
		starts = append(starts, views.Fact{Label: "Stop when the final answer contains", Value: a.StopText})
	}
	runs := []views.Fact{
		{Label: "Workspace", Value: a.Workspace.Name},
		{Label: "Session type", Value: present.SessionType(a.SessionType)},
		{Label: "Provider", Value: s.ProviderName(a.Provider)}, {Label: "Model", Value: cmp.Or(a.Model, "–")},
		{Label: "Base branch", Value: cmp.Or(a.BaseBranch, a.Workspace.DefaultBranch, "–"), Mono: true},
		{Label: "Timeout", Value: timeout},
		{Label: "Retries", Value: strconv.Itoa(a.Retries)},
	}
	var ends []views.Fact
	if a.Trigger != db.HTTP {
		ends = append(ends, views.Fact{Label: "Auto-Complete Session", Value: yes(a.AutoComplete)})
	}
	if a.Trigger != db.HTTP && a.SessionType == db.Develop {
		ends = append(ends, views.Fact{Label: "Complete only if no file changes", Value: yes(a.OnlyUnchanged)})
	}
	ends = append(ends, qualityFacts(&a.Automation)...)
	if p.Budget, err = s.gauges(r, actor, &a.Automation); err != nil {
		return err
	}
	used, err := s.Rules.Budgets().UsedThisMonth(r.Context(), &a.Automation)
	if err != nil {
		return err
	}
	p.Used = present.UsageFacts(used.Usage)
	p.Groups = []views.FactGroup{{Title: "What starts it", Facts: starts}, {Title: "What it runs", Facts: runs},
		{Title: "When it ends", Facts: ends},
		{Title: "Ownership", Facts: []views.Fact{{Label: "Creator", Value: a.Creator.Name},
			{Label: "Created", Value: a.CreatedAt.In(page.Zone(actor)).Format("2 January 2006, 15:04")}}}}
	if err := s.transferForm(r, actor, automationID, p); err != nil {
		return err
	}
	return s.With(w, r, actor, "automations", a.Name, func(page views.Page) error {
		return s.Show(w, r, views.Automation(page, *p))
	})
}

// qualityFacts describe what an automation's runs have to pass; none when there is nothing.
func qualityFacts(a *db.Automation) []views.Fact {
	var list []views.Fact
	add := func(label, value string, mono bool) {
		if value != "" {
			list = append(list, views.Fact{Label: label, Value: value, Mono: mono})
		}
	}
	add("Session modes", strings.Join(toggle.Names(a.Toggles), ", "), false)
	var gate, success []string
	if a.Gate.BranchMoved {
		gate = append(gate, "the branch moved since the last success")
	}
	if a.Gate.NoOpenPR {
		gate = append(gate, "no pull request of it is open")
	}
	add("Runs only if", strings.Join(gate, "; "), false)
	add("Gate command", present.FirstLine(a.Gate.Command), true)
	if a.Success.FilesChanged {
		success = append(success, "files changed")
	}
	if a.Success.PullRequest {
		success = append(success, "a pull request was opened")
	}
	if a.Success.Contains != "" {
		success = append(success, "the final answer contains “"+a.Success.Contains+"”")
	}
	add("Succeeds only if", strings.Join(success, "; "), false)
	add("Success command", present.FirstLine(a.Success.Command), true)
	return list
}

func (s automationPages) enable(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	automationID, err := page.ID(r)
	if err != nil {
		return err
	}
	on := r.PostFormValue("enabled") == "true"
	if err := s.Rules.Definitions().SetEnabled(r.Context(), actor, automationID, on); err != nil {
		return err
	}
	return s.rowOrBack(w, r, actor, automationID, map[bool]string{true: "Enabled.", false: "Disabled."}[on])
}

// rowOrBack answers a change made in the list with the row, and any other with the page that it came from.
func (s automationPages) rowOrBack(w http.ResponseWriter, r *http.Request, actor account.Actor, automationID uuid.UUID,
	message string) error {
	if !page.IsFragment(r) || !strings.HasPrefix(r.Header.Get("HX-Target"), "tr#") &&
		!strings.Contains(r.Header.Get("HX-Target"), "automation-") {
		return s.Redirect(w, r, page.RefererPath(r, views.AutomationURL(automationID.String())), message)
	}
	row, _, err := s.readRow(r, actor, automationID)
	if err != nil {
		return err
	}
	s.Render(w, r, http.StatusOK, page.Join(views.AutomationRow(row),
		views.ToastPart(views.Toast{Kind: "ok", Text: row.Name + ": " + message})))
	return nil
}

func (s automationPages) delete(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	automationID, err := page.ID(r)
	if err != nil {
		return err
	}
	if err := s.Rules.Definitions().Delete(r.Context(), actor, automationID); err != nil {
		return err
	}
	return s.Redirect(w, r, "/automations", "Deleted.")
}

// askToRun asks for the values of an automation's placeholders, with the stored ones filled in.
func (s automationPages) askToRun(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	automationID, err := page.ID(r)
	if err != nil {
		return err
	}
	a, err := s.Rules.Definitions().Editable(r.Context(), actor, automationID)
	if err != nil {
		return err
	}
	f, err := s.runForm(r, a, nil, nil)
	if err != nil {
		return err
	}
	if page.IsFragment(r) {
		return s.Show(w, r, views.RunDialog(f))
	}
	return s.With(w, r, actor, "automations", "Run "+a.Name, func(page views.Page) error {
		return s.Show(w, r, views.RunPage(page, f))
	})
}

func (s automationPages) runForm(r *http.Request, a *db.Automation, given map[string]string,
	bad fault.Invalid) (views.RunForm, error) {
	if a.ExecutionType == db.WorkflowDriven {
		return s.workflowRunForm(r.Context(), a, given, bad)
	}
	f := views.RunForm{ID: a.ID.String(), Name: a.Name}
	names := s.Rules.Definitions().Names(a.Provider, a.Prompt)
	if len(names) == 0 {
		f.Intro = "The run starts at once. It does not change the schedule."
	}
	for _, name := range names {
		value, ok := given[name]
		if !ok {
			value = a.Parameters[name]
		}
		f.Fields = append(f.Fields, views.Field{
			Name: "param." + name, Label: name, Value: value, Error: bad["parameters."+name], Autocomplete: "off",
			Rows: 1,
		})
	}
	return f, nil
}

func (s automationPages) run(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	automationID, err := page.ID(r)
	if err != nil {
		return err
	}
	given := parameters(r)
	if err := s.emptied(r, actor, automationID, given); err != nil {
		return err
	}
	run, err := s.Rules.Runs().RunNow(r.Context(), actor, automationID, given)
	var invalid fault.Invalid
	if errors.As(err, &invalid) {
		a, err := s.Rules.Definitions().Editable(r.Context(), actor, automationID)
		if err != nil {
			return err
		}
		f, err := s.runForm(r, a, given, invalid)
		if err != nil {
			return err
		}
		return s.With(w, r, actor, "automations", "Run "+a.Name, func(page views.Page) error {
			s.Render(w, r, http.StatusUnprocessableEntity, views.RunPage(page, f))
			return nil
		})
	}
	if err != nil {
		return err
	}
	if page.IsFragment(r) && strings.Contains(r.Header.Get("HX-Target"), "automation-") {
		return s.rowOrBack(w, r, actor, automationID, "started.")
	}
	return s.Redirect(w, r, views.SessionURL(run.Session.ID.String()), "Started.")
}

// emptied adds to what is given the values that were shown in the form of a run and were taken out of it: each is the
// workflow's default then, which its empty field shows, or empty where there is none. A secret is never shown, so its
// empty field is none of them.
func (s automationPages) emptied(r *http.Request, actor account.Actor, automationID uuid.UUID,
	given map[string]string) error {
	if len(r.PostForm) == 0 {
		return nil
	}
	a, err := s.Rules.Definitions().Editable(r.Context(), actor, automationID)
	if err != nil {
		return err
	}
	f, err := s.runForm(r, a, nil, nil)
	if err != nil {
		return err
	}
	for _, field := range f.Fields {
		if sent, there := r.PostForm[field.Name]; there && field.Value != "" && strings.Join(sent, "") == "" {
			given[strings.TrimPrefix(field.Name, "param.")] = ""
		}
	}
	if len(given) == 0 || a.ExecutionType != db.WorkflowDriven {
		return nil
	}
	wf, err := db.WorkflowByID(r.Context(), s.DB, a.WorkflowID)
	if db.IsNotFound(err) { // the run says so
		return nil
	}
	if err != nil {
		return err
	}
	for _, p := range wf.Parameters {
		if value, there := given[p.Alias]; there && value == "" {
			given[p.Alias] = p.Default
		}
	}
	return nil
}

// parameters are the values of a form's fields "param.NAME". An empty one is not given: the stored value stays.
func parameters(r *http.Request) map[string]string {
	given := map[string]string{}
	for field, values := range r.PostForm {
		if name, ok := strings.CutPrefix(field, "param."); ok && len(values) > 0 && values[0] != "" {
			given[name] = values[0]
		}
	}
	return given
}

func (s automationPages) bulk(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	var ids []uuid.UUID
	for _, text := range r.PostForm["id"] {
		if parsed := form.OptionalID(text); parsed != uuid.Nil {
			ids = append(ids, parsed)
		}
	}
	result, err := s.Rules.Definitions().Bulk(r.Context(), actor, automation.BulkAction(r.PostFormValue("do")), ids)
	var invalid fault.Invalid
	if errors.As(err, &invalid) { // nothing selected, or far too many: the list stays
		if err := s.Flash(w, r, views.Toast{Kind: "fail", Text: page.Sentences(invalid)}); err != nil {
			return err
		}
		return s.Redirect(w, r, page.RefererPath(r, "/automations"), "")
	}
	if err != nil {
		return err
	}
	return s.Redirect(w, r, page.RefererPath(r, "/automations"), result.String())
}
