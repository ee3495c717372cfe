package web

import (
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/cron"
	"carillon/app/web/page"
	"carillon/app/web/present"
	"carillon/db"
	"carillon/views"
)

// rowData is an automation as the list shows it.
func (s automationPages) rowData(actor account.Actor, a *db.AutomationRow, bars []db.Bar,
	now time.Time) views.AutomationRowData {
	z := page.Zone(actor)
	own := cron.ZoneOrUTC(a.TimeZone)
	if a.TimeZone == "" {
		own = z
	}
	r := views.AutomationRowData{
		ID: a.ID.String(), Name: a.Name, Context: a.Workspace.Name + " · " + present.SessionType(a.SessionType),
		Trigger: string(a.Trigger),
		When:    automation.TriggerWords(&a.Automation), Next: present.In(a.NextRunAt, own), Status: a.LastStatus,
		LastAt: present.In(a.LastAt, z),
		Start:  present.In(a.LastStartedAt, z),
		End:    present.In(a.LastFinishedAt, z), Failures: a.FailureStreak, Exempt: !a.Scheduled(), Enabled: a.Enabled,
		AlwaysOn: a.Trigger == db.HTTP,
		InFlight: a.InFlight, Asks: a.WorkflowAsks || len(s.Rules.Definitions().Names(a.Provider, a.Prompt)) > 0,
		CanManage: automation.CanManage(actor, &a.Automation), Now: now,
	}
	if r.Start.IsZero() {
		r.Start = r.LastAt
	}
	if a.InFlight && !a.AllowParallel && a.LastSessionID != uuid.Nil && db.ExecutionStatus(a.LastStatus).InFlight() {
		r.Blocking = a.LastSessionID.String()
	}
	for _, b := range bars {
		r.Runs = append(r.Runs, views.Bar{Status: b.Status, Took: b.Duration})
	}
	r.Then, r.Warning = then(a), automation.RowWarning(a)
	return r
}

// then says what comes next for an automation that has no time.
func then(a *db.AutomationRow) string {
	switch {
	case a.Trigger == db.HTTP && a.Fingerprint != "":
		return "Token " + a.Fingerprint
	case a.Trigger == db.Loop && a.Enabled && a.InFlight:
		return "When this session ends"
	case a.Trigger == db.Loop && a.Enabled:
		return "When its session is closed"
	case a.Trigger == db.OneTime && a.Enabled && a.InFlight:
		return "Running"
	}
	return "No next run"
}
