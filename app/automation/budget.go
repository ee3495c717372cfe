package automation

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/budget"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/inbox"
	"carillon/app/toggle"
	"carillon/db"
)

// loadContext adds to automations that are to start what their rows do not say: the texts of their toggles, and what
// their budgets count. Those that have neither cost no query.
func loadContext(ctx context.Context, q bun.IDB, list []*db.Startable, now time.Time) error {
	var periods []db.Period
	var texts map[string]string
	var err error
	for _, a := range list {
		if len(a.Toggles) > 0 {
			if texts == nil {
				if texts, err = toggle.Texts(ctx, q); err != nil {
					return err
				}
			}
			a.Instructions = texts
		}
		if a.Budget.Day.Set() || a.Budget.Month.Set() {
			periods = append(periods, budget.PeriodOf(&a.Automation, now))
		}
	}
	spending, err := db.SpendingOf(ctx, q, periods, now)
	if err != nil {
		return err
	}
	for _, a := range list {
		if of, ok := spending[a.ID]; ok {
			a.Spending = &of
		}
	}
	return nil
}

// skipForBudget records a due time at which the budget is used up. Due times that follow are counted in the same row.
// What is tried again at its own pace waits until the budget is full again.
func (s Schedules) skipForBudget(ctx context.Context, tx bun.Tx, f *firing, unable *Unable, now time.Time) error {
	a := f.a
	next := f.next
	if a.Trigger == db.Loop {
		next = unable.Until
	}
	advance := db.Advance{ID: a.ID, Next: next, Iterations: a.Iterations, SkipID: a.SkipID}
	if a.Trigger != db.OneTime && a.Spending.Stopped != uuid.Nil {
		counted, err := db.AddSkip(ctx, tx, a.Spending.Stopped, f.n, f.last)
		if err != nil {
			return err
		}
		if counted {
			return db.AdvanceAutomations(ctx, tx, []db.Advance{advance})
		}
	}
	e := ledger(a, db.Skipped, unable.Reason, f.due, now)
	e.ErrorClass, e.SkipCount, e.LastSkippedFor = db.ErrorBudget, f.n, f.last
	written, err := db.InsertExecution(ctx, tx, &e)
	if err != nil {
		return err
	}
	if a.Trigger == db.OneTime && !written { // it was answered before, and told of
		return s.switchOff(ctx, tx, &a.Automation, db.ByFinishing, "its single run is over")
	}
	if a.Trigger == db.OneTime {
		if err := s.switchOff(ctx, tx, &a.Automation, db.ByMissing, unable.Reason); err != nil {
			return err
		}
		return s.notifyCreator(ctx, tx, &a.Automation, inbox.Notice{
			Kind: inbox.Missed, Title: a.Name + " was missed", Execution: e.ID, Key: "missed " + e.ID.String(),
			Body: form.Capitalize(unable.Reason) +
				", so it did not run. Raise the budget and set a new time to run it.",
		})
	}
	return db.AdvanceAutomations(ctx, tx, []db.Advance{advance})
}

// Allowance is what a run may still use.
type Allowance struct {
	Reason string // the limit that is used up, as a sentence's end; empty while there is none
	// Look is after how long to ask again while an agent is at work; 0: nothing that grows by itself is limited.
	Look time.Duration
	// MostUSD is how much money is left, in dollars; nil: money is not limited.
	MostUSD *float64
}

// Allowance says what a run may still use by the budget that its automation has now, and tells people once of each
// limit that is used up to 80 % or wholly. next says that a message is about to be sent: a run that has sent as many as
// it may is worth telling of only when it would send another.
func (s Budgets) Allowance(ctx context.Context, execution uuid.UUID, next bool) (Allowance, error) {
	var allowance Allowance
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		allowance = Allowance{}
		e, err := db.ExecutionByID(ctx, tx, execution)
		if err != nil || !e.Automation.Budget.Set() {
			return err
		}
		list, err := s.gaugesOf(ctx, tx, e.Automation, e)
		if err != nil {
			return err
		}
		for _, g := range list {
			// The message at work is among those counted, and may be the last.
			if g.Part() >= 1 && allowance.Reason == "" && (next || g.Measure != "turns") {
				allowance.Reason = g.UsedUp()
			}
			if g.Measure == "money" {
				left := budget.Dollars(max(0, budget.Micros(g.Limit)-budget.Micros(g.Used)))
				if allowance.MostUSD == nil || left < *allowance.MostUSD {
					allowance.MostUSD = &left
				}
			}
			if g.Measure == "minutes" && g.Part() < 1 {
				aim := g.Limit
				if g.Part() < budget.WarnAt {
					aim *= budget.WarnAt
				}
				// At least as long as a rounded-off instant, at most what other runs of the automation may use
				// meanwhile.
				look := min(max(time.Duration((aim-g.Used)*float64(time.Minute)), 20*time.Millisecond), time.Minute)
				if allowance.Look == 0 || look < allowance.Look {
					allowance.Look = look
				}
			}
			if g.Key() == "run.turns" && !next {
				continue
			}
			if err := s.notifyOfLimit(ctx, tx, e, g); err != nil {
				return err
			}
		}
		return nil
	})
	return allowance, fault.Wrap(err, "look at the budget of execution %s", execution)
}

// gaugesOf are the limits of an automation with what is used of them; those of a run where one is given.
func (s Budgets) gaugesOf(ctx context.Context, q bun.IDB, a *db.Automation, e *db.Execution) ([]budget.Gauge, error) {
	now := s.Now()
	var list []budget.Gauge
	if e != nil {
		used := db.Spent{Usage: e.Usage}
		if end := e.FinishedAt; !e.StartedAt.IsZero() {
			if end.IsZero() {
				end = now
			}
			used.Minutes = end.Sub(e.StartedAt).Minutes()
		}
		list = budget.Gauges("run", a.Budget.Run, used)
	}
	if !a.Budget.Day.Set() && !a.Budget.Month.Set() {
		return list, nil
	}
	spending, err := db.SpendingOf(ctx, q, []db.Period{budget.PeriodOf(a, now)}, now)
	if err != nil {
		return nil, err
	}
	of := spending[a.ID]
	list = append(list, budget.Gauges("day", a.Budget.Day, of.Day)...)
	return append(list, budget.Gauges("month", a.Budget.Month, of.Month)...), nil
}

// notifyOfLimit tells, once for each period and limit, that 80 % of it or all is used.
func (s Budgets) notifyOfLimit(ctx context.Context, tx bun.Tx, e *db.Execution, g budget.Gauge) error {
	if g.Part() < budget.WarnAt {
		return nil
	}
	a, p := e.Automation, budget.PeriodOf(e.Automation, s.Now())
	since := map[string]string{
		"run": e.ID.String(), "day": p.Day.Format(time.DateOnly), "month": p.Month.Format("2006-01"),
	}[g.Period]
	n := inbox.Notice{Kind: inbox.Budget, Execution: e.ID, Session: e.SessionID}
	reached := "80"
	n.Title = fmt.Sprintf("%s has used %.0f %% of its budget", a.Name, 100*g.Part())
	n.Body = fmt.Sprintf("%s of %s are used. At 100 %% it stops, which is no failure.",
		budget.Amount(g.Measure, g.Used), g)
	if g.Part() >= 1 {
		reached = "100"
		n.Title = a.Name + " has used up its budget"
		n.Body = fmt.Sprintf(
			"%s of %s are used. Messages that would follow are not sent, and no run starts until the budget is "+
				"raised or its time is over.", budget.Amount(g.Measure, g.Used), g)
		if g.Period == "run" {
			n.Body = fmt.Sprintf("%s of %s are used. The run sends no further messages. The next run begins anew.",
				budget.Amount(g.Measure, g.Used), g)
		}
	}
	n.Key = fmt.Sprintf("%s%s %s %s %s %g", budgetKey, g.Key(), reached, a.ID, since, g.Limit)
	return s.notifyCreator(ctx, tx, a, n)
}

const budgetKey = "budget "

// NoticeLimit is the limit that a notice of the kind inbox.Budget is about, for Raise; empty for other notices.
func NoticeLimit(n *db.Notification) string {
	rest, ok := strings.CutPrefix(n.DedupKey, budgetKey)
	if !ok || n.Kind != inbox.Budget {
		return ""
	}
	limit, _, _ := strings.Cut(rest, " ")
	return limit
}

// Gauges lists the limits of an automation for a day and a month with what is used of them, and those for a run with
// nothing used.
func (s Budgets) Gauges(ctx context.Context, actor account.Actor, id uuid.UUID) ([]budget.Gauge, error) {
	a, err := s.Definitions().Find(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	list, err := s.gaugesOf(ctx, s.DB, a, nil)
	return append(budget.Gauges("run", a.Budget.Run, db.Spent{}), list...), err
}

// Raise makes a limit of an automation half as large again: "day.money". It returns the new one in words, and
// fault.ErrNotFound when there is no such limit. A loop that waits for its budget goes on at once.
func (s Budgets) Raise(ctx context.Context, actor account.Actor, id uuid.UUID, limit string) (string, error) {
	if _, err := s.Definitions().manageable(ctx, actor, id); err != nil {
		return "", err
	}
	var raised string
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		a, actor, err := lockManageable(ctx, tx, actor, id)
		if err != nil {
			return err
		}
		before := *a
		var ok bool
		if raised, ok = budget.Raise(&a.Budget, limit); !ok {
			return fault.ErrNotFound
		}
		a.Version, a.UpdatedAt = a.Version+1, s.Now()
		if err := db.SaveAutomation(ctx, tx, a); err != nil {
			return err
		}
		if err := s.auditChange(ctx, tx, actor.ID, "automation.update", &before, a); err != nil {
			return err
		}
		if waitsForBudget(a, s.Now()) {
			if err := setNextRun(ctx, tx, a, s.Now()); err != nil {
				return err
			}
		}
		return notifyChange(ctx, tx, id)
	})
	return raised, fault.Wrap(err, "raise budget of automation %s", id)
}

// waitsForBudget reports whether a loop waits until its budget is full again.
func waitsForBudget(a *db.Automation, now time.Time) bool {
	if a.Trigger != db.Loop || !a.Enabled || !a.NextRunAt.After(now) {
		return false
	}
	p := budget.PeriodOf(a, now)
	return a.NextRunAt.Equal(budget.Resets(p, "day")) || a.NextRunAt.Equal(budget.Resets(p, "month"))
}
