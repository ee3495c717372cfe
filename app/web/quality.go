package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/cron"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/db"
	"carillon/views"
)

// qualityRoutes are those of usage, budgets and session toggles.
func (s *Server) qualityRoutes(mux *routeTable) {
	mux.HandleFunc("POST /automations/{id}/budget/{limit}", s.page(s.raiseBudget))
	mux.HandleFunc("GET /settings/usage", s.page(s.usage))
	mux.HandleFunc("GET /settings/isolation", s.page(s.isolation))
	mux.HandleFunc("GET /settings/toggles", s.page(s.toggles))
	mux.HandleFunc("POST /settings/toggles", s.page(s.saveToggles))
	mux.HandleFunc("POST /settings/toggles/{key}/reset", s.page(s.resetToggle))
}

// fillQuality completes the part of the editor with toggles, gate, success check and budget.
func fillQuality(f *views.AutomationForm, in automation.Input, bad fault.Invalid, actor account.Actor) {
	for _, t := range automation.Toggles {
		f.Toggles = append(f.Toggles, views.Field{
			Label: t.Name, Value: t.Key, Checked: slices.Contains(in.Toggles, t.Key),
		})
	}
	f.TogglesError.Error = bad[f.TogglesError.Name]
	q := &f.Quality
	if !actor.Can(account.UseShell) { // read only rather than disabled, so that it is posted and stays as it is
		for _, field := range []*views.Field{&q.GateCommand, &q.SuccessCommand} {
			field.Hint = "You may not run commands on a worker, so this cannot be changed by you."
			field.Attrs = map[string]any{"readonly": true}
		}
	}
}

// qualityFacts describe what an automation's runs have to pass; none when there is nothing.
func qualityFacts(a *db.Automation) []views.Fact {
	var list []views.Fact
	add := func(label, value string, mono bool) {
		if value != "" {
			list = append(list, views.Fact{Label: label, Value: value, Mono: mono})
		}
	}
	add("Session modes", strings.Join(automation.ToggleNames(a.Toggles), ", "), false)
	var gate, success []string
	if a.Gate.BranchMoved {
		gate = append(gate, "the branch moved since the last success")
	}
	if a.Gate.NoOpenPR {
		gate = append(gate, "no pull request of it is open")
	}
	add("Runs only if", strings.Join(gate, "; "), false)
	add("Gate command", firstLine(a.Gate.Command), true)
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
	add("Success command", firstLine(a.Success.Command), true)
	return list
}

// usageText says what was used; what is unknown is not zero.
func usageText(u db.Usage) (tokens, cost string) {
	if u.Turns == 0 {
		return "–", "–"
	}
	tokens, cost = "unknown", "unknown"
	if u.Counted > 0 || u.Tokens() > 0 {
		tokens = tokenText(u.Counted < u.Turns, u.TokensIn+u.TokensCached, u.TokensCached, u.TokensOut)
	}
	if u.Priced > 0 || u.CostUSD > 0 {
		cost = atLeast(u.Priced < u.Turns) + views.Dollars(u.CostUSD)
	}
	return tokens, cost
}

// atLeast begins a sum of which a part is unknown.
func atLeast(some bool) string {
	if some {
		return "at least "
	}
	return ""
}

func usageFacts(u db.Usage) []views.Fact {
	if u.Turns == 0 {
		return nil
	}
	tokens, cost := usageText(u)
	return []views.Fact{{Label: "Tokens", Value: tokens}, {Label: "Cost", Value: cost}}
}

// monthOf reads a month like "2026-11"; nonsense is the one at present.
func (s *Server) monthOf(r *http.Request, actor account.Actor) (from, to, now views.Month) {
	z := zone(actor)
	now = monthIn(z, s.Now().In(z), 0)
	from = now
	if t, err := time.Parse("2006-01", r.FormValue("month")); err == nil && !monthIn(z, t, 0).Start.After(now.Start) {
		from = monthIn(z, t, 0)
	}
	return from, monthIn(z, from.Start, 1), now
}

// monthIn is the month that is some months after that of a date, as a zone has it.
func monthIn(z *time.Location, of time.Time, later int) views.Month {
	return views.Month{Start: cron.Midnight(of.Year(), of.Month()+time.Month(later), 1, z)}
}

// mostUsers is how many rows of a kind the page of usage lists.
const mostUsers = 100

func (s *Server) usage(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	from, to, now := s.monthOf(r, actor)
	list, err := s.Rules.Usage(r.Context(), actor, from.Start, to.Start, mostUsers)
	if err != nil {
		return err
	}
	p := views.UsagePage{
		Month: from, Everyone: actor.Can(account.ViewAll), Earlier: monthIn(zone(actor), from.Start, -1),
	}
	if from.Start.Before(now.Start) {
		p.Later = &to
	}
	for _, u := range list {
		row := usageRow(u)
		switch u.By {
		case "automation":
			p.Automations = append(p.Automations, row)
		case "person":
			p.People = append(p.People, row)
		case "workspace":
			p.Workspaces = append(p.Workspaces, row)
		default:
			p.Total = row
		}
	}
	return s.withSettings(w, r, actor, "Usage", func(page views.Page) error {
		return s.show(w, r, views.Usage(page, p))
	})
}

func usageRow(u db.UsageRow) views.UsageRow {
	row := views.UsageRow{Name: u.Name, Turns: u.Turns, Seconds: u.Seconds}
	if u.Turns == 0 { // scripts alone, which use none
		row.Tokens, row.Cost = "–", "–"
	}
	if u.Counted > 0 || u.Usage.Tokens() > 0 {
		row.Tokens = atLeast(u.Counted < u.Turns) + views.Thousands(u.Usage.Tokens())
	}
	if u.Priced > 0 || u.CostUSD > 0 {
		row.Cost = atLeast(u.Priced < u.Turns) + views.Dollars(u.CostUSD)
	}
	switch {
	case u.Name == "" && u.By == "automation":
		row.Name = "No automation, or a deleted one"
	case u.By == "automation":
		row.URL = views.AutomationURL(u.ID.String())
	case u.By == "workspace":
		row.URL = views.WorkspaceURL(u.ID.String())
	}
	return row
}

// gauges are the limits of an automation with what is used of them, and a way to raise each.
func (s *Server) gauges(r *http.Request, actor account.Actor, a *db.Automation) ([]views.Gauge, error) {
	if !a.Budget.Set() {
		return nil, nil
	}
	list, err := s.Rules.Gauges(r.Context(), actor, a.ID)
	if err != nil {
		return nil, err
	}
	var shown []views.Gauge
	for _, g := range list {
		v := views.Gauge{Limit: g.String(), Part: g.Part()}
		if g.Period != "run" {
			v.Used = automation.Amount(g.Measure, g.Used)
			if g.Unknown > 0 {
				v.Unknown = form.Count(g.Unknown, "message")
			}
		}
		if automation.CanManage(actor, a) {
			v.Raise = views.BudgetURL(a.ID.String(), g.Key())
		}
		shown = append(shown, v)
	}
	return shown, nil
}

// raiseBudget makes a limit half as large again.
func (s *Server) raiseBudget(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	automationID, err := id(r)
	if err != nil {
		return err
	}
	now, err := s.Rules.RaiseBudget(r.Context(), actor, automationID, r.PathValue("limit"))
	if err != nil {
		return err
	}
	return s.redirect(w, r, refererPath(r, views.AutomationSettingsURL(automationID.String())),
		"The budget is "+now+" now.")
}

// toggles is the page of the texts of the session toggles.
func (s *Server) toggles(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.showToggles(w, r, actor, http.StatusOK, nil, nil)
}

func (s *Server) showToggles(w http.ResponseWriter, r *http.Request, actor account.Actor, status int,
	typed map[string]string, bad fault.Invalid) error {
	list, err := s.Rules.ToggleTexts(r.Context(), actor)
	if err != nil {
		return err
	}
	p := views.TogglesPage{Version: automation.TogglesVersion(list)}
	if typed != nil {
		p.Version = r.PostFormValue(versionField)
	}
	for _, t := range list {
		f := views.Field{
			Name: t.Key, Label: t.Name, Value: t.Now, Rows: 4, Error: bad[t.Key], Hint: "Added to the first prompt.",
		}
		if t.Pass != "" {
			f.Hint = "A message of its own after the run."
		}
		if text, ok := typed[t.Key]; ok {
			f.Value = text
		}
		p.Toggles = append(p.Toggles, views.ToggleItem{Text: f, Changed: t.Changed})
	}
	return s.withSettings(w, r, actor, "Session toggles", func(page views.Page) error {
		s.render(w, r, status, views.Toggles(page, p))
		return nil
	})
}

// typedToggles are the texts that a form brings.
func typedToggles(r *http.Request) map[string]string {
	typed := map[string]string{}
	for _, t := range automation.Toggles {
		if r.PostForm.Has(t.Key) {
			typed[t.Key] = r.PostForm.Get(t.Key)
		}
	}
	return typed
}

func (s *Server) saveToggles(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	err := s.Rules.SaveToggles(r.Context(), actor, typedToggles(r), r.PostFormValue(versionField))
	bad, status, err := s.again(r, actor, s.toggles, err)
	if err != nil {
		return err
	}
	if status != 0 {
		return s.showToggles(w, r, actor, status, typedToggles(r), bad)
	}
	return s.redirect(w, r, views.TogglesURL(), "Saved. Runs that begin from now on have these texts.")
}

// resetToggle gives a toggle its own text again. What is typed into the other fields of the form comes back unsaved.
func (s *Server) resetToggle(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	key := r.PathValue("key")
	before, err := s.Rules.ToggleTexts(r.Context(), actor)
	if err != nil {
		return err
	}
	if err := s.Rules.ResetToggle(r.Context(), actor, key); err != nil {
		return err
	}
	typed, unsaved := typedToggles(r), false
	delete(typed, key)
	for _, t := range before {
		text, there := typed[t.Key]
		unsaved = unsaved || there && text != t.Now
	}
	if !unsaved {
		return s.redirect(w, r, views.TogglesURL(), "Reset.")
	}
	after, err := s.Rules.ToggleTexts(r.Context(), actor)
	if err != nil {
		return err
	}
	if base, err := url.ParseQuery(r.PostForm.Get(baseField)); err == nil &&
		r.PostForm.Get(versionField) == automation.TogglesVersion(before) {
		for _, t := range after { // the form goes on from this change
			if t.Key == key {
				base.Set(key, fingerprint([]string{t.Now}))
			}
		}
		r.PostForm.Set(versionField, automation.TogglesVersion(after))
		r.PostForm.Set(baseField, base.Encode())
	}
	bringsForm(r, views.TogglesURL())
	return s.showToggles(w, r, actor, http.StatusOK, typed, nil)
}
