// Package explain says why an automation did, or did not, run at a time, from its history and the log of changes.
package explain

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/cron"
	"carillon/db"
)

// Answer says why an automation did, or did not, run at a time.
type Answer struct {
	Text      string    // sentences for a person
	Execution uuid.UUID // the row that answers that time, or zero
}

// within is how near to the minute asked about a row must be to answer it.
const within = time.Minute

// At tells what happened to an automation at a time: the row that answers it, or from the log of changes why there
// could be none.
func At(ctx context.Context, q bun.IDB, a *db.Automation, at, now time.Time) (*Answer, error) {
	if at.After(now) {
		return &Answer{Text: "That time is still to come."}, nil
	}
	e, err := db.ExecutionAt(ctx, q, a.ID, at, within)
	if err == nil {
		return &Answer{Text: explainRow(e, at), Execution: e.ID}, nil
	}
	if !db.IsNotFound(err) {
		return nil, err
	}
	was, err := asOf(ctx, q, a, at)
	if err != nil {
		return nil, err
	}
	return &Answer{Text: was.explain(at)}, nil
}

// explainRow says what a row means for a time that it answers.
func explainRow(e *db.Execution, at time.Time) string {
	switch e.Status {
	case db.Skipped:
		return "It was skipped: " + e.Reason + "."
	case db.Missed:
		return "It was missed: " + e.Reason + "."
	}
	late := e.CreatedAt.Sub(e.ScheduledFor)
	text := "It did run"
	if e.Source != db.BySchedule {
		text += ", though not by its schedule"
	} else if e.Mark == db.CatchUpMark {
		text = "One run caught up for it after downtime"
	} else if late > time.Minute {
		text += fmt.Sprintf(", %s late", late.Round(time.Second))
	}
	text += ", and " + map[db.ExecutionStatus]string{
		db.Queued: "has yet to begin", db.Running: "is still at work", db.Succeeded: "succeeded", db.Failed: "failed",
		db.Canceled: "was canceled", db.TimedOut: "timed out",
	}[e.Status]
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text + "."
}

// past is what is known of an automation at an earlier time.
type past struct {
	existed        bool
	trigger        db.Trigger
	enabled        bool
	cron, timeZone string
	runAt          string
	offReason      string
	offAt          time.Time
}

// asOf goes back through the log of changes to what an automation was at a time.
func asOf(ctx context.Context, q bun.IDB, a *db.Automation, at time.Time) (*past, error) {
	p := &past{
		existed: !a.CreatedAt.After(at), trigger: a.Trigger, enabled: a.Enabled, cron: a.Cron, timeZone: a.TimeZone,
		offReason: a.DisabledReason, offAt: a.DisabledAt,
	}
	if !a.RunAt.IsZero() {
		p.runAt = a.RunAt.UTC().Format(time.RFC3339)
	}
	events, err := db.AuditOf(ctx, q, a.ID, 1000)
	if err != nil {
		return nil, err
	}
	for i, e := range events { // newest first
		if !e.At.After(at) {
			if e.Action == "automation.disable" && !p.enabled {
				p.offReason, p.offAt = e.Reason, e.At
			}
			break
		}
		switch e.Action {
		case "automation.disable":
			p.enabled = true
		case "automation.enable":
			p.enabled = false
			for _, older := range events[i+1:] {
				if older.Action == "automation.disable" {
					p.offReason, p.offAt = older.Reason, older.At
					break
				}
			}
		case "automation.update":
			p.undo(e.Before)
		}
	}
	return p, nil
}

// undo puts back what an edit replaced.
func (p *past) undo(before map[string]any) {
	set := func(key string, field *string) {
		if v, ok := before[key].(string); ok {
			*field = v
		}
	}
	set("cron", &p.cron)
	set("time_zone", &p.timeZone)
	set("run_at", &p.runAt)
	if v, ok := before["trigger"].(string); ok {
		p.trigger = db.Trigger(v)
	}
	if v, ok := before["enabled"].(bool); ok {
		p.enabled = v
	}
}

func (p *past) explain(at time.Time) string {
	switch {
	case !p.existed:
		return "The automation did not exist yet."
	case !p.enabled:
		text := "The automation was off"
		if !p.offAt.IsZero() && !p.offAt.After(at) {
			text += fmt.Sprintf(" since %s UTC", p.offAt.UTC().Format("2 January 15:04"))
		}
		if p.offReason != "" {
			text += ": " + p.offReason
		}
		return text + "."
	}
	switch p.trigger {
	case db.Manual:
		return "It had no schedule then: it was started by hand only."
	case db.HTTP:
		return "It had no schedule then: it ran when its webhook was called."
	case db.Loop:
		return "It was a loop then: it starts again when its session is closed, not at a time of day."
	case db.OneTime:
		return "It was to run once, at " + p.runAt + "."
	}
	e, err := cron.Parse(p.cron)
	if err != nil {
		return "Its schedule then cannot be read any more: " + p.cron + "."
	}
	zone, err := cron.Zone(p.timeZone)
	if err != nil {
		return "Its time zone then cannot be used any more: " + p.timeZone + "."
	}
	minute := at.Truncate(time.Minute)
	if e.Next(minute.Add(-time.Second), zone).Equal(minute) {
		return "It was due, and there is no row that says what happened. Rows are kept for 90 days, or the newest 200."
	}
	next := e.Next(minute, zone)
	return fmt.Sprintf("It was not due then: its schedule was %s (%s, %s), and the next due time was %s.",
		e.String(), e.Words(), p.timeZone, next.In(zone).Format("Monday, 2 January 2006 at 15:04"))
}
