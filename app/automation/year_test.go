package automation

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/cron"
	"carillon/app/cron/crontest"
	"carillon/db"
)

// TestAYearLeavesNeitherHoleNorDoubleInTheLedger lives through a year across both clock changes with 200 automations, with
// downtimes, runs that take days and runs that fail, and holds the ledger against a brute-force oracle.
func TestAYearLeavesNeitherHoleNorDoubleInTheLedger(t *testing.T) {
	k := setup(t)
	k.clock.Set(time.Date(2026, 1, 1, 0, 0, 30, 0, time.UTC))
	year := []struct {
		expression string
		zones      []string
	}{
		{"30 2 * * *", []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe"}},
		{"0 */12 * * mon", []string{"UTC", "Europe/Berlin"}},
		{"0 0 * * *", []string{"America/Santiago", "Africa/Cairo"}},
		{"30 1 * * sun", []string{"Europe/Berlin", "America/New_York", "Europe/London"}},
		{"0 16 * * fri", []string{"America/New_York", "Asia/Kathmandu"}},
		{"0 2 1,15 * *", []string{"Europe/Berlin", "America/New_York", "Australia/Sydney"}},
		{"0 6 1 * mon", []string{"UTC", "Europe/Berlin"}},
		{"0 9 1 */3 *", []string{"Asia/Tokyo", "America/Sao_Paulo"}},
	}
	var all []*db.Automation
	for _, y := range year {
		for _, zone := range y.zones {
			for _, catchUp := range []bool{false, true} {
				all = append(all, k.create(func(in *Input) {
					in.Name, in.Trigger, in.Cron, in.TimeZone, in.CatchUp = fmt.Sprint(y.expression, " ", len(all)), "recurring", y.expression, zone, catchUp
				}))
			}
		}
	}
	begin := k.Now()
	end := begin.AddDate(1, 0, 0)
	// While Carillon is not running nothing happens: within the grace, for hours, for days, and across a clock change.
	down := map[string]time.Duration{
		"2026-02-03": 4 * time.Minute, "2026-03-28": 3 * time.Hour, "2026-05-01": 9 * 24 * time.Hour, "2026-08-14": 26 * time.Hour, "2026-10-24": 30 * time.Hour, "2026-11-15": 2 * time.Hour,
	}
	var absences []gap
	for day := ""; ; {
		var next time.Time
		// What catches up waits until its run in flight has ended.
		check(t, k.DB.NewRaw(`SELECT coalesce(min(next_run_at), ?) FROM automations a WHERE enabled AND next_run_at IS NOT NULL
			AND NOT (catch_up AND next_run_at < ? AND EXISTS (SELECT 1 FROM executions e WHERE e.automation_id = a.id AND e.status = 'queued'))`,
			end, waitsSince(k.looks.gap, k.Now())).Scan(t.Context(), &next))
		if !next.Before(end) {
			break
		}
		if today := next.Format(time.DateOnly); today != day {
			day = today
			if down[today] > 0 {
				absences = append(absences, gap{from: next, to: next.Add(down[today])})
			}
			next = next.Add(down[today])
		}
		if next.Before(k.Now()) {
			next = k.Now()
		}
		// Runs end before the next time comes: at once, or after three days.
		k.exec(`UPDATE executions SET status = 'succeeded', finished_at = ? WHERE status = 'queued'
			AND (created_at < ? OR automation_id NOT IN (SELECT id FROM automations WHERE name LIKE '0 */12%' OR name LIKE '0 16%'))`,
			next, next.Add(-72*time.Hour))
		k.tick(next)
	}
	rows := map[uuid.UUID][]db.Execution{}
	for _, e := range k.everything() {
		rows[e.AutomationID] = append(rows[e.AutomationID], e)
	}
	total := 0
	for _, a := range all {
		zone, err := cron.Zone(a.TimeZone)
		check(t, err)
		want := crontest.Times(a.Cron, zone, begin, end.Add(-time.Second))
		total += len(want)
		for _, problem := range overlaps(want, rows[a.ID], absences) {
			t.Errorf("%s in %s: %s", a.Name, a.TimeZone, problem)
		}
		for _, problem := range holes(want, rows[a.ID]) {
			t.Errorf("%s in %s: %s", a.Name, a.TimeZone, problem)
		}
	}
	t.Logf("%d due times, %d rows", total, len(k.everything()))
	if total < 4000 {
		t.Errorf("only %d due times; want a busy year", total)
	}
	k.expectNoHoles()
}

// everything is the whole ledger, oldest first.
func (k *kit) everything() []db.Execution {
	k.t.Helper()
	var list []db.Execution
	check(k.t, k.DB.NewSelect().Model(&list).Where("e.source = 'schedule'").Order("e.scheduled_for").Scan(k.t.Context()))
	return list
}

// holes compares due times with the rows that answer them. A row answers the time that it is for, and, when it stands for
// several, as a skip, a miss or a catch-up does, all due times up to its last. Every due time must be answered by one row.
func holes(want []time.Time, rows []db.Execution) (problems []string) {
	answers := make(map[int64]int, len(want))
	due := make(map[int64]bool, len(want))
	for _, w := range want {
		due[w.Unix()] = true
	}
	for _, e := range rows {
		if !due[e.ScheduledFor.Unix()] {
			problems = append(problems, fmt.Sprintf("a row %s is for %s, when it was not due", e.Status, e.ScheduledFor.UTC()))
		}
		last := e.ScheduledFor
		if e.LastSkippedFor.After(last) {
			last = e.LastSkippedFor
		}
		n := 0
		for _, w := range want {
			if !w.Before(e.ScheduledFor) && !w.After(last) {
				answers[w.Unix()]++
				n++
			}
		}
		if e.SkipCount > 0 && e.SkipCount != n {
			problems = append(problems, fmt.Sprintf("a row %s from %s to %s counts %d, and %d were due", e.Status, e.ScheduledFor.UTC(), last.UTC(), e.SkipCount, n))
		}
	}
	for _, w := range want {
		if n := answers[w.Unix()]; n != 1 {
			problems = append(problems, fmt.Sprintf("%s is answered by %d rows", w.UTC(), n))
		}
	}
	return problems
}

// overlaps names the due times that passed while Carillon was not running and are skipped: nobody would have started them.
func overlaps(want []time.Time, rows []db.Execution, absences []gap) (problems []string) {
	for _, e := range rows {
		if e.Status != db.Skipped {
			continue
		}
		for _, w := range want {
			for _, away := range absences {
				if !w.Before(e.ScheduledFor) && !w.After(e.LastSkippedFor) && away.has(w) {
					problems = append(problems, fmt.Sprintf("%s is skipped, and passed during a downtime", w.UTC()))
				}
			}
		}
	}
	return problems
}

// expectNoHoles asks the watchdog, which must agree.
func (k *kit) expectNoHoles() {
	k.t.Helper()
	for next := uuid.Nil; ; {
		n, after, err := k.FindHoles(k.t.Context(), next)
		check(k.t, err)
		if n != 0 {
			k.t.Errorf("the watchdog finds %d holes", n)
		}
		if after == uuid.Nil {
			return
		}
		next = after
	}
}
