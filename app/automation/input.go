package automation

import (
	"time"

	"carillon/app/account"
	"carillon/app/cron"
	"carillon/app/spec"
	"carillon/app/workflow"
	"carillon/db"
)

// NewInput is what a new automation begins with.
func NewInput(actor account.Actor) Input {
	in := Input{Automation: spec.New[spec.Automation]()}
	in.Trigger = string(db.Manual)
	in.OfferSchedule(actor)
	return in
}

// offeredCron is the schedule that an editor begins with where there is none: each night.
const offeredCron = "0 2 * * *"

// OfferSchedule fills in what a schedule would begin with, for whoever chooses one. Another trigger drops it when it is
// saved.
func (in *Input) OfferSchedule(actor account.Actor) {
	if in.TimeZone == "" {
		in.TimeZone = actor.TimeZone
	}
	if in.Cron == "" {
		in.Cron = offeredCron
	}
}

// InputOf is an automation as it is, for a person who changes it.
func InputOf(a *db.Automation) Input {
	in := Input{Automation: Spec(a), Version: a.Version}
	if !a.RunAt.IsZero() {
		in.RunAt, in.RunAtShown = cron.Shown(a.RunAt, cron.ZoneOrUTC(a.TimeZone)), a.RunAt
	}
	return in
}

// InputWithValues is an automation as it is, for a program that changes it. Its secret values stay where they are
// stored.
func InputWithValues(a *db.Automation) Input {
	in := InputOf(a)
	in.Parameters, _ = workflow.StoredValues(a)
	return in
}

// Patch replaces the spec by one in which a program's patch has set fields.
func (in *Input) Patch(is spec.Automation, patch spec.Patch) {
	if is.Provider != in.Provider && !patch.Has("model") {
		is.Model = "" // a model is one of its provider's
	}
	if is.RunAt != "" && !in.RunAtShown.IsZero() && !patch.Has("run_at") {
		is.RunAt = in.RunAtShown.Format(time.RFC3339Nano) // another time zone alone leaves the moment as it is
	}
	in.Automation, in.Named = is, patch.Names()
}
