package web

import (
	"net/http"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/budget"
	"carillon/app/form"
	"carillon/app/web/page"
	"carillon/db"
	"carillon/views"
)

// gauges are the limits of an automation with what is used of them, and a way to raise each.
func (s automationPages) gauges(r *http.Request, actor account.Actor, a *db.Automation) ([]views.Gauge, error) {
	if !a.Budget.Set() {
		return nil, nil
	}
	list, err := s.Rules.Budgets().Gauges(r.Context(), actor, a.ID)
	if err != nil {
		return nil, err
	}
	var shown []views.Gauge
	for _, g := range list {
		v := views.Gauge{Limit: g.String(), Part: g.Part()}
		if g.Period != "run" {
			v.Used = budget.Amount(g.Measure, g.Used)
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
func (s automationPages) raiseBudget(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	automationID, err := page.ID(r)
	if err != nil {
		return err
	}
	now, err := s.Rules.Budgets().Raise(r.Context(), actor, automationID, r.PathValue("limit"))
	if err != nil {
		return err
	}
	return s.Redirect(w, r, page.RefererPath(r, views.AutomationSettingsURL(automationID.String())),
		"The budget is "+now+" now.")
}
