package automation_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/db"
)

// TestPeopleSchedulersAndWorkersAtOnceDisturbNobody lets all of them at the same few automations at the same time.
func TestPeopleSchedulersAndWorkersAtOnceDisturbNobody(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	var all []uuid.UUID
	for _, change := range []func(*automation.Input){recurring("* * * * *"), loop, recurring("*/2 * * * *"),
		oneTime("2026-06-01T14:05")} {
		all = append(all, k.Make(change).ID)
	}
	bot := k.newBot(nil)
	all = append(all, k.Make(ofBot(bot, recurring("* * * * *"))).ID)
	expected := func(err error) bool {
		var bad fault.Invalid
		var busy *automation.Busy
		var unable *automation.Unable
		return err == nil || errors.As(err, &bad) || errors.As(err, &busy) || errors.As(err, &unable) ||
			errors.Is(err, fault.ErrStale) ||
			errors.Is(err, db.ErrLeaseLost) || errors.Is(err, fault.ErrNotFound) || db.IsNotFound(err)
	}
	var wait sync.WaitGroup
	const rounds = 60
	for who := range 8 {
		wait.Go(func() {
			r := rand.New(rand.NewPCG(uint64(who), 1))
			for range rounds {
				id := all[r.IntN(len(all))]
				var err error
				switch who {
				case 0, 1, 2:
					k.Clock.Add(7 * time.Second)
					_, err = k.Schedules().StartDue(ctx)
				case 3:
					var a *db.Automation
					if a, err = db.AutomationByID(ctx, k.DB, id); err == nil {
						err = k.Definitions().SetEnabled(ctx, k.Mira, id, !a.Enabled)
					}
				case 4:
					var a *db.Automation
					if a, err = db.AutomationByID(ctx, k.DB, id); err == nil && a.BotID == uuid.Nil {
						in := k.Input()
						in.Version = a.Version
						[]func(*automation.Input){recurring("* * * * *"), loop,
							recurring("*/3 * * * *")}[r.IntN(3)](&in)
						_, _, err = k.Definitions().Update(ctx, k.Mira, id, in)
					}
				case 5:
					if r.IntN(2) == 0 {
						_, err = k.Runs().RunNow(ctx, k.Mira, id, nil)
					} else {
						_, _, err = k.Schedules().FindGaps(ctx, uuid.Nil)
						_, again := k.Schedules().Repair(ctx)
						err = errors.Join(err, again, k.Schedules().CorrectFutureTimes(ctx),
							k.Schedules().WatchGates(ctx))
					}
				case 6:
					ends := []automation.Outcome{success, failure, {Status: db.Succeeded, FilesChanged: true},
						{Status: db.Skipped, Reason: "no", Neutral: true}}
					for _, s := range k.Claim() {
						if err = k.Runs().Finish(ctx, lease(s), ends[r.IntN(len(ends))]); !expected(err) {
							break
						}
					}
				case 7:
					var execution uuid.UUID
					if k.DB.NewRaw("SELECT id FROM executions WHERE status IN ('queued', 'running') LIMIT 1").
						Scan(ctx, &execution) == nil {
						err = k.Runs().Cancel(ctx, k.Mira, execution)
					}
				}
				if !expected(err) && !strings.Contains(err.Error(), "is not in flight") {
					t.Errorf("%d: %v", who, err)
					return
				}
			}
		})
	}
	wait.Wait()
	var aside int
	check(t, k.DB.NewRaw("SELECT count(*) FROM set_aside").Scan(ctx, &aside))
	if aside > 0 {
		t.Errorf("%d rows are set aside", aside)
	}
	for range 4 {
		k.Clock.Add(time.Minute)
		k.Tick(k.Now())
		k.EndRuns(success)
	}
	k.expectNoGaps()
	n, err := k.Schedules().Repair(ctx)
	check(t, err)
	if n > 0 {
		t.Errorf("%d schedules were lost", n)
	}
}
