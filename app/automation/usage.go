package automation

import (
	"context"
	"time"

	"carillon/app/account"
	"carillon/app/budget"
	"carillon/db"
)

// Usage sums up what the sessions used that a person may see, from one time to another: by automation, by person and by
// workspace, and in all.
func (s Budgets) Usage(ctx context.Context, actor account.Actor, from, to time.Time,
	limit int) ([]db.UsageRow, error) {
	scripts := []string{}
	for _, p := range s.Providers.List() {
		if p.Script {
			scripts = append(scripts, p.ID)
		}
	}
	return db.UsageBetween(ctx, s.DB, actor.Access(), from, to, scripts, limit)
}

// UsedThisMonth sums up what the runs of an automation used that began in its present month.
func (s Budgets) UsedThisMonth(ctx context.Context, a *db.Automation) (db.Spent, error) {
	now := s.Now()
	spending, err := db.SpendingOf(ctx, s.DB, []db.Period{budget.PeriodOf(a, now)}, now)
	return spending[a.ID].Month, err
}
