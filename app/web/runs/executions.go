package runs

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/form"
	"carillon/app/toggle"
	"carillon/app/web/page"
	"carillon/app/web/present"
	"carillon/db"
	"carillon/views"
)

// repeat starts a run with the input of an earlier one.
func (s executionPages) repeat(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	executionID, err := page.ID(r)
	if err != nil {
		return err
	}
	run, edited, err := s.Rules.Runs().RunAgain(r.Context(), actor, executionID)
	if err != nil {
		return err
	}
	message := "Started with the same input."
	if edited {
		message += " The automation was edited since then and runs with its current settings."
	}
	return s.Redirect(w, r, views.SessionURL(run.Session.ID.String()), message)
}

// executionPages are the pages of executions.
type executionPages struct{ *Pages }

func (s executionPages) list(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	ctx, now, z := r.Context(), s.Now(), page.Zone(actor)
	f := db.ExecutionFilter{
		Automation: form.OptionalID(r.FormValue("automation")), Workspace: form.OptionalID(s.WorkspaceFilter(r)),
		Source: db.Source(r.FormValue("trigger")),
		User:   form.OptionalID(r.FormValue("person")), From: page.DayStart(r.FormValue("from"), z),
		To:     page.DayEnd(r.FormValue("to"), z),
		Before: form.OptionalID(r.FormValue("before")), After: form.OptionalID(r.FormValue("newer")),
		Limit: page.Rows + 1,
	}
	status := r.FormValue("status")
	if slices.Contains(db.ExecutionStatuses, db.ExecutionStatus(status)) {
		f.Statuses = []db.ExecutionStatus{db.ExecutionStatus(status)}
	} else if status == db.NothingToDo {
		f.Result = status
	}
	list, err := s.Rules.Runs().List(ctx, actor, f)
	if err != nil {
		return err
	}
	p := views.ExecutionsPage{
		Now: now, Filtered: r.URL.RawQuery != "" || f.Workspace != uuid.Nil,
		From:   views.Field{Name: "from", Label: "From", Value: r.FormValue("from")},
		To:     views.Field{Name: "to", Label: "To", Value: r.FormValue("to")},
		Status: views.Field{Name: "status", Label: "Status", Value: status, Options: []views.Choice{{Label: "Status"}}},
		Trigger: views.Field{Name: "trigger", Label: "Trigger", Value: string(f.Source), Options: []views.Choice{
			{Label: "Trigger"}, {Value: "schedule", Label: "Schedule"}, {Value: "manual", Label: "Manual"},
			{Value: "webhook", Label: "Webhook"}}},
	}
	for _, st := range db.ExecutionStatuses {
		p.Status.Options = append(p.Status.Options, views.Choice{
			Value: string(st), Label: views.StatusWord(string(st)),
		})
		if st == db.Succeeded {
			p.Status.Options = append(p.Status.Options, views.Choice{
				Value: db.NothingToDo, Label: views.StatusWord(db.NothingToDo),
			})
		}
	}
	p.Pager = Pager(r, f, &list)
	for i := range list {
		p.Rows = append(p.Rows, present.Execution(&list[i], z, now))
	}
	names, err := db.AutomationNames(ctx, s.DB, actor.Access(), 200)
	if err != nil {
		return err
	}
	p.Auto = automationField(r, names)
	people, err := db.Users(ctx, s.DB)
	if err != nil {
		return err
	}
	p.Person = views.Field{Name: "person", Label: "Person", Value: r.FormValue("person")}
	if actor.Can(account.ViewAll) {
		p.Person.Options = append(p.Person.Options, views.Choice{Label: "Person"})
		for _, u := range people {
			p.Person.Options = append(p.Person.Options, views.Choice{Value: u.ID.String(), Label: u.Name})
		}
	}
	return s.With(w, r, actor, "executions", "History", func(page views.Page) error {
		return s.Show(w, r, views.Executions(page, p))
	})
}

// automationField narrows a list to one automation; it has no options where there is none.
func automationField(r *http.Request, names []db.Automation) views.Field {
	f := views.Field{Name: "automation", Label: "Automation", Value: r.FormValue("automation")}
	if len(names) == 0 {
		return f
	}
	f.Options = append(f.Options, views.Choice{Label: "Automation"})
	for _, n := range names {
		f.Options = append(f.Options, views.Choice{Value: n.ID.String(), Label: n.Name})
	}
	return f
}

// Pager cuts a list of executions, the newest first, that was asked for with one row too many. An execution
// that is open on the page does not stay open on its neighbours.
func Pager(r *http.Request, f db.ExecutionFilter, list *[]db.Execution) views.Pager {
	return page.Pager(r, list, f.Before, f.After, f.Limit, func(e db.Execution) string {
		return e.ID.String()
	}, "newer", "before", "execution")
}

func (s executionPages) one(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	executionID, err := page.ID(r)
	if err != nil {
		return err
	}
	e, err := s.Rules.Runs().Find(r.Context(), actor, executionID)
	if err != nil {
		return err
	}
	data, err := s.ExecutionData(r, actor, e)
	if err != nil {
		return err
	}
	return s.With(w, r, actor, "executions", "Run of "+e.Automation.Name, func(page views.Page) error {
		return s.Show(w, r, views.Execution(page, *data))
	})
}

func (s executionPages) row(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	executionID, err := page.ID(r)
	if err != nil {
		return err
	}
	e, err := s.Rules.Runs().Find(r.Context(), actor, executionID)
	if err != nil {
		return err
	}
	return s.Show(w, r, views.ExecutionRow(present.Execution(e, page.Zone(actor), s.Now())))
}

// ExecutionData is an execution in full.
func (s *Pages) ExecutionData(r *http.Request, actor account.Actor, e *db.Execution) (*views.ExecutionData, error) {
	z := page.Zone(actor)
	sn := e.Snapshot
	d := &views.ExecutionData{
		ExecutionItem: present.Execution(e, z, s.Now()), AutomationURL: views.AutomationURL(e.AutomationID.String()),
		Reason:   e.Reason,
		LastSkip: present.In(e.LastSkippedFor, z), Unresolved: e.Unresolved, Answer: e.Answer,
		CanRunAgain: !e.Status.InFlight() && automation.CanManage(actor, e.Automation),
		CanCancel:   e.Status.InFlight() && automation.CanManage(actor, e.Automation), SessionName: e.Automation.Name,
	}
	if e.Session != nil {
		d.SessionName = e.Session.Title
	}
	if e.Status == db.Failed || e.Status == db.TimedOut {
		d.Kind, d.Help, d.Neutral = views.FailureWord(e.ErrorClass), views.FailureHelp(e.ErrorClass), e.Neutral
	}
	attempts, err := db.AttemptsOf(r.Context(), s.DB, e.ID)
	if err != nil {
		return nil, err
	}
	for _, a := range attempts {
		d.Attempts = append(d.Attempts, views.Attempt{
			Number: a.Attempt, At: present.In(a.FailedAt, z), Again: present.In(a.RetryAt, z),
			Kind:   views.FailureWord(a.ErrorClass),
			Reason: a.Reason,
		})
	}
	d.Usage = present.UsageFacts(e.Usage)
	timeout := "None"
	if sn.TimeoutSeconds > 0 {
		timeout = views.Took(time.Duration(sn.TimeoutSeconds) * time.Second)
	}
	d.Snapshot = []views.Fact{
		{Label: "Session type", Value: present.SessionType(sn.SessionType)},
		{Label: "Provider", Value: s.ProviderName(sn.Provider)},
		{Label: "Model", Value: cmp.Or(sn.Model, "–")},
		{Label: "Base branch", Value: cmp.Or(sn.BaseBranch, "–"), Mono: true},
		{Label: "Timeout", Value: timeout},
		{Label: "Retries", Value: strconv.Itoa(sn.Retries)},
	}
	if sn.ExecutionType == db.WorkflowDriven {
		d.Snapshot = slices.Insert(d.Snapshot, 1, views.Fact{Label: "Workflow", Value: sn.WorkflowName})
	}
	if sn.BotName != "" {
		d.Snapshot = append(d.Snapshot, views.Fact{Label: "Bot", Value: sn.BotName})
	}
	if sn.WorkflowName != "" {
		d.Snapshot = append(d.Snapshot, views.Fact{Label: "Workflow", Value: sn.WorkflowName})
	}
	if len(sn.Toggles) > 0 {
		d.Snapshot = append(d.Snapshot, views.Fact{
			Label: "Session modes", Value: strings.Join(toggle.Names(sn.Toggles), ", "),
		})
	}
	for _, name := range slices.Sorted(maps.Keys(e.Parameters)) {
		d.Parameters = append(d.Parameters, views.Parameter{Name: name, Value: e.Parameters[name],
			Secret: slices.ContainsFunc(e.Snapshot.Parameters, func(p db.Parameter) bool {
				return p.Alias == name && p.Type == db.SecretParameter
			})})
	}
	if e.Session != nil {
		pulls, err := s.PullRequests(r.Context(), []db.Session{*e.Session})
		if err != nil {
			return nil, err
		}
		d.PullRequest = pulls[e.SessionID]
	}
	if sn.Prompt != "" {
		d.Prompt, d.Script = promptParts(e), s.IsScript(sn.Provider)
	}
	return d, nil
}

func (s executionPages) cancel(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	executionID, err := page.ID(r)
	if err != nil {
		return err
	}
	if err := s.Rules.Runs().Cancel(r.Context(), actor, executionID); err != nil {
		return err
	}
	return s.Redirect(w, r, page.RefererPath(r, views.ExecutionURL(executionID.String())), "Canceling.")
}

// promptParts splits a filled prompt, so that what was filled in shows. Values are looked for in the order of the
// template.
func promptParts(e *db.Execution) []views.Part {
	var parts []views.Part
	for _, part := range automation.PromptParts(e) {
		parts = append(parts, views.Part(part))
	}
	return parts
}
