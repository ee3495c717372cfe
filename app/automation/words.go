package automation

import (
	"fmt"

	"github.com/google/uuid"

	"carillon/app/cron"
	"carillon/app/form"
	"carillon/db"
)

// TriggerWords says what starts an automation.
func TriggerWords(a *db.Automation) string {
	switch a.Trigger {
	case db.OneTime:
		return "Once, on " + a.RunAt.In(cron.ZoneOrUTC(a.TimeZone)).Format("2 January 2006 at 15:04")
	case db.Recurring:
		e, err := cron.Parse(a.Cron)
		if err != nil {
			return a.Cron
		}
		return e.Words()
	case db.Loop:
		return "After each session ends"
	case db.HTTP:
		return "When its webhook is called"
	default:
		return "Only when someone runs it"
	}
}

// RowWarning is Warning of an automation of which it is known whether its owner keeps its runs from starting.
func RowWarning(a *db.AutomationRow) string {
	if a.Enabled {
		switch a.OwnerGone {
		case db.OwnerInactive:
			return "Its owner has no active account"
		case db.OwnerOutside:
			return "Its owner is not a member of the workspace"
		case db.OwnerPowerless:
			return "Its owner may no longer have automations"
		}
	}
	return Warning(&a.Automation)
}

// Warning says why an automation is off, or what it lacks.
func Warning(a *db.Automation) string {
	switch {
	case a.ExecutionType == db.WorkflowDriven && a.WorkflowID == uuid.Nil:
		return "Its workflow was removed"
	case a.SessionType == db.BotType && a.BotID == uuid.Nil:
		return "Its bot was removed"
	case a.Enabled:
		return ""
	}
	switch a.DisabledKind {
	case db.ByFailures:
		if a.Trigger == db.OneTime {
			return "Disabled after its run failed"
		}
		return fmt.Sprintf("Disabled after %d failures", max(a.FailureStreak, 1))
	case db.ByMissing:
		return "Missed its time"
	case db.ByFinishing:
		return "Finished"
	case db.ByRemoval, db.ByInvalid:
		return "Disabled: " + a.DisabledReason
	}
	return form.Capitalize(a.DisabledReason)
}
