package automation

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/cron"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/inbox"
	"carillon/app/provider"
	"carillon/app/spec"
	"carillon/app/toggle"
	"carillon/db"
)

// BudgetPeriods are what limits can be of, as keys and as words on screen.
var BudgetPeriods = []struct{ Key, Name string }{{"run", "A run"}, {"day", "A day"}, {"month", "A month"}}

// warnAt is the part of a limit at which people are told.
const warnAt = 0.8

// raiseBy is what one click multiplies a limit by.
const raiseBy = 1.5

// applyBudget takes over limits, or says what is wrong with them by names like "budget_day_money".
func applyBudget(a *db.Automation, in spec.Budget, p provider.Provider, bad fault.Invalid) {
	a.Budget = db.Budget{Run: limits(in.Run), Day: limits(in.Day), Month: limits(in.Month)}
	for _, period := range BudgetPeriods {
		l, field := limitsOf(&a.Budget, period.Key), "budget_"+period.Key+"_"
		money := l.Money
		if l.Money = dollars(micros(money)); l.Money == 0 && money > 0 && bad[field+"money"] == "" {
			bad[field+"money"] = "Write at least 0.000001, or nothing for no limit."
		}
		if l.Money > 0 && (p.Script || p.Unpriced) {
			bad[field+"money"] = p.Name + " does not tell what it costs, so money cannot be limited. Limit " +
				instead(p) + " instead."
		}
		if l.Tokens > 0 && p.Script {
			bad[field+"tokens"] = p.Name + " uses no tokens. Limit minutes instead."
		}
	}
}

func limits(l spec.Limits) db.Limits {
	return db.Limits{Money: l.Money, Tokens: l.Tokens, Turns: l.Turns, Minutes: l.Minutes}
}

func instead(p provider.Provider) string {
	if p.Script {
		return "minutes"
	}
	return "tokens or minutes"
}

func limitsOf(b *db.Budget, period string) *db.Limits {
	switch period {
	case "day":
		return &b.Day
	case "month":
		return &b.Month
	default:
		return &b.Run
	}
}

// Money is counted in whole millionths of a dollar: parts of them are nobody's, and sums of them are exact.
const microsPerDollar = 1_000_000

func micros(usd float64) int64 { return int64(math.Round(usd * microsPerDollar)) }

func dollars(micros int64) float64 { return float64(micros) / microsPerDollar }

// raised is a limit of money made half as large again, rounded up to what a person reads of it. It is above what it
// was.
func raised(usd float64) float64 {
	m, step := micros(usd), int64(1)
	switch { // as Amount shows it
	case m >= microsPerDollar/10:
		step = microsPerDollar / 100
	case m >= microsPerDollar/1000:
		step = microsPerDollar / 10_000
	}
	return dollars((m + (m+1)/2 + step - 1) / step * step)
}

// Gauge is one limit with what is used of it.
type Gauge struct {
	Period, Measure string // "day", "money"
	Limit, Used     float64
	Unknown         int // turns of which it is not known how much they used
}

// Part is how much of the limit is used: 1 is all of it.
func (g Gauge) Part() float64 { return g.Used / g.Limit }

// Key names the limit within its automation.
func (g Gauge) Key() string { return g.Period + "." + g.Measure }

// String says the limit: "$5 a day".
func (g Gauge) String() string {
	text := Amount(g.Measure, g.Limit)
	if g.Period == "run" {
		return text + " a run"
	}
	return text + " a " + g.Period
}

// Amount is a number of a measure with its unit.
func Amount(measure string, n float64) string {
	switch measure {
	case "money":
		switch { // a small limit, or what is used of one, must not read as nothing
		case n != 0 && math.Abs(n) < 0.001:
			text := strings.TrimSuffix(strings.TrimSuffix(strconv.FormatFloat(n, 'f', 6, 64), "0"), "0")
			return "$" + text
		case n != 0 && math.Abs(n) < 0.1:
			return "$" + strconv.FormatFloat(n, 'f', 4, 64)
		}
		return "$" + strconv.FormatFloat(n, 'f', 2, 64)
	case "tokens":
		return form.Thousands(int64(n)) + " tokens"
	case "turns":
		return form.Count(int64(n), "message")
	default:
		if n < 1 {
			return strconv.FormatFloat(math.Round(n*10_000)/10_000, 'f', -1, 64) + " minutes"
		}
		return strconv.FormatFloat(math.Round(n*10)/10, 'f', -1, 64) + " minutes"
	}
}

func gauges(period string, l db.Limits, used db.Spent) []Gauge {
	var list []Gauge
	add := func(measure string, limit, used float64, unknown int) {
		if limit > 0 {
			list = append(list, Gauge{Period: period, Measure: measure, Limit: limit, Used: used, Unknown: unknown})
		}
	}
	add("money", dollars(micros(l.Money)), dollars(micros(used.CostUSD)), used.Turns-used.Priced)
	add("tokens", float64(l.Tokens), float64(used.Tokens()), used.Turns-used.Counted)
	add("turns", float64(l.Turns), float64(used.Turns), 0)
	add("minutes", l.Minutes, used.Minutes, 0)
	return list
}

// period is the day and the month of an automation at an instant: in its own time zone, else in UTC. A run counts for
// the day on which it was asked for.
func period(a *db.Automation, now time.Time) db.Period {
	zone := time.UTC
	if z, err := cron.Zone(a.TimeZone); err == nil && a.TimeZone != "" {
		zone = z
	}
	t := now.In(zone)
	return db.Period{
		Automation: a.ID, Day: cron.Midnight(t.Year(), t.Month(), t.Day(), zone),
		Month: cron.Midnight(t.Year(), t.Month(), 1, zone),
	}
}

// resets is when a period is over.
func resets(p db.Period, of string) time.Time {
	if of == "month" {
		return cron.Midnight(p.Month.Year(), p.Month.Month()+1, 1, p.Month.Location())
	}
	return cron.Midnight(p.Day.Year(), p.Day.Month(), p.Day.Day()+1, p.Day.Location())
}

// complete adds to automations that are to start what their rows do not say: the texts of their toggles, and what their
// budgets count. Those that have neither cost no query.
func (s *Service) complete(ctx context.Context, q bun.IDB, list []*db.Startable, now time.Time) error {
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
			periods = append(periods, period(&a.Automation, now))
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

// usedUp says which limit keeps an automation from starting, and until when. ok is false when none does.
func usedUp(a *db.Startable, now time.Time) (g Gauge, until time.Time, ok bool) {
	if a.Spending == nil {
		return Gauge{}, time.Time{}, false
	}
	p := period(&a.Automation, now)
	for _, g := range append(gauges("month", a.Budget.Month, a.Spending.Month),
		gauges("day", a.Budget.Day, a.Spending.Day)...) {
		if g.Part() >= 1 {
			return g, resets(p, g.Period), true
		}
	}
	return Gauge{}, time.Time{}, false
}

func (g Gauge) usedUp() string { return "its budget of " + g.String() + " is used up" }

// skipForBudget records a due time at which the budget is used up. Due times that follow are counted in the same row.
// What is tried again at its own pace waits until the budget is full again.
func (s *Service) skipForBudget(ctx context.Context, tx bun.Tx, f *firing, unable *Unable, now time.Time) error {
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
		return s.tell(ctx, tx, &a.Automation, inbox.Notice{
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
func (s *Service) Allowance(ctx context.Context, execution uuid.UUID, next bool) (Allowance, error) {
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
				allowance.Reason = g.usedUp()
			}
			if g.Measure == "money" {
				left := dollars(max(0, micros(g.Limit)-micros(g.Used)))
				if allowance.MostUSD == nil || left < *allowance.MostUSD {
					allowance.MostUSD = &left
				}
			}
			if g.Measure == "minutes" && g.Part() < 1 {
				aim := g.Limit
				if g.Part() < warnAt {
					aim *= warnAt
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
			if err := s.tellOfBudget(ctx, tx, e, g); err != nil {
				return err
			}
		}
		return nil
	})
	return allowance, fault.Wrap(err, "look at the budget of execution %s", execution)
}

// gaugesOf are the limits of an automation with what is used of them; those of a run where one is given.
func (s *Service) gaugesOf(ctx context.Context, q bun.IDB, a *db.Automation, e *db.Execution) ([]Gauge, error) {
	now := s.Now()
	var list []Gauge
	if e != nil {
		used := db.Spent{Usage: e.Usage}
		if end := e.FinishedAt; !e.StartedAt.IsZero() {
			if end.IsZero() {
				end = now
			}
			used.Minutes = end.Sub(e.StartedAt).Minutes()
		}
		list = gauges("run", a.Budget.Run, used)
	}
	if !a.Budget.Day.Set() && !a.Budget.Month.Set() {
		return list, nil
	}
	spending, err := db.SpendingOf(ctx, q, []db.Period{period(a, now)}, now)
	if err != nil {
		return nil, err
	}
	of := spending[a.ID]
	list = append(list, gauges("day", a.Budget.Day, of.Day)...)
	return append(list, gauges("month", a.Budget.Month, of.Month)...), nil
}

// tellOfBudget tells, once for each period and limit, that 80 % of it or all is used.
func (s *Service) tellOfBudget(ctx context.Context, tx bun.Tx, e *db.Execution, g Gauge) error {
	if g.Part() < warnAt {
		return nil
	}
	a, p := e.Automation, period(e.Automation, s.Now())
	since := map[string]string{
		"run": e.ID.String(), "day": p.Day.Format(time.DateOnly), "month": p.Month.Format("2006-01"),
	}[g.Period]
	n := inbox.Notice{Kind: inbox.Budget, Execution: e.ID, Session: e.SessionID}
	reached := "80"
	n.Title = fmt.Sprintf("%s has used %.0f %% of its budget", a.Name, 100*g.Part())
	n.Body = fmt.Sprintf("%s of %s are used. At 100 %% it stops, which is no failure.", Amount(g.Measure, g.Used), g)
	if g.Part() >= 1 {
		reached = "100"
		n.Title = a.Name + " has used up its budget"
		n.Body = fmt.Sprintf(
			"%s of %s are used. Messages that would follow are not sent, and no run starts until the budget is "+
				"raised or its time is over.", Amount(g.Measure, g.Used), g)
		if g.Period == "run" {
			n.Body = fmt.Sprintf("%s of %s are used. The run sends no further messages. The next run begins anew.",
				Amount(g.Measure, g.Used), g)
		}
	}
	n.Key = fmt.Sprintf("%s%s %s %s %s %g", budgetKey, g.Key(), reached, a.ID, since, g.Limit)
	return s.tell(ctx, tx, a, n)
}

const budgetKey = "budget "

// NoticeLimit is the limit that a notice of the kind inbox.Budget is about, for RaiseBudget; empty for other notices.
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
func (s *Service) Gauges(ctx context.Context, actor account.Actor, id uuid.UUID) ([]Gauge, error) {
	a, err := s.Automation(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	list, err := s.gaugesOf(ctx, s.DB, a, nil)
	return append(gauges("run", a.Budget.Run, db.Spent{}), list...), err
}

// RaiseBudget makes a limit of an automation half as large again: "day.money". It returns the new one in words, and
// fault.ErrNotFound when there is no such limit. A loop that waits for its budget goes on at once.
func (s *Service) RaiseBudget(ctx context.Context, actor account.Actor, id uuid.UUID, limit string) (string, error) {
	if _, err := s.manageable(ctx, actor, id); err != nil {
		return "", err
	}
	var told string
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		a, actor, err := s.lockManageable(ctx, tx, actor, id)
		if err != nil {
			return err
		}
		before := *a
		period, measure, _ := strings.Cut(limit, ".")
		l := limitsOf(&a.Budget, period)
		switch measure {
		case "money":
			l.Money = raised(l.Money)
		case "tokens":
			l.Tokens = int64(math.Ceil(float64(l.Tokens) * raiseBy))
		case "turns":
			l.Turns = int(math.Ceil(float64(l.Turns) * raiseBy))
		case "minutes":
			l.Minutes *= raiseBy
		}
		if a.Budget == before.Budget {
			return fault.ErrNotFound
		}
		for _, g := range gauges(period, *l, db.Spent{}) {
			if g.Measure == measure {
				told = g.String()
			}
		}
		a.Version, a.UpdatedAt = a.Version+1, s.Now()
		if err := db.SaveAutomation(ctx, tx, a); err != nil {
			return err
		}
		if err := s.auditChange(ctx, tx, actor.ID, "automation.update", &before, a); err != nil {
			return err
		}
		if waitsForBudget(a, s.Now()) {
			if err := s.schedule(ctx, tx, a, s.Now()); err != nil {
				return err
			}
		}
		return s.announceChange(ctx, tx, id)
	})
	return told, fault.Wrap(err, "raise budget of automation %s", id)
}

// waitsForBudget reports whether a loop waits until its budget is full again.
func waitsForBudget(a *db.Automation, now time.Time) bool {
	if a.Trigger != db.Loop || !a.Enabled || !a.NextRunAt.After(now) {
		return false
	}
	p := period(a, now)
	return a.NextRunAt.Equal(resets(p, "day")) || a.NextRunAt.Equal(resets(p, "month"))
}
