package jobs

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"carillon/app/apptest"
	"carillon/db"
	"carillon/db/dbtest"
)

// schedulerURL is the variable by which this test binary is told to be a scheduler on a database.
const schedulerURL = "CARILLON_TEST_SCHEDULER"

// scheduleUntilNothingIsDue is a scheduler process: it claims what is due until there is nothing left.
func scheduleUntilNothingIsDue(url string) int {
	ctx := context.Background()
	d, err := db.Open(ctx, url)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	rules := apptest.NewRules(d, time.Now)
	for {
		n, err := rules.Schedules().StartDue(ctx)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if n == 0 {
			return 0
		}
	}
}

func TestASchedulerKilledInTheMiddleLosesNoDueTimeAndDoublesNone(t *testing.T) {
	const due = 20_000
	k := prepare(t)
	url := dbtest.URL(t)
	d, err := db.Open(t.Context(), url)
	check(t, err)
	t.Cleanup(func() { _ = d.Close() })
	k.moveTo(d)
	_, err = d.NewRaw(`INSERT INTO automations (id, workspace_id, creator_id, name, trigger, cron, time_zone, next_run_at, session_type, execution_type,
			prompt, provider, enabled, created_at, updated_at)
		SELECT gen_random_uuid(), ?, ?, 'Automation ' || i, 'recurring', '0 0 1 1 *', 'UTC', date_trunc('second', now()), 'develop', 'inline', 'true', 'shell', true, now(), now()
		FROM generate_series(1, ?) AS i`, k.workspace, k.actor.ID, due).Exec(t.Context())
	check(t, err)

	processes := make([]*exec.Cmd, 3)
	for i := range processes {
		processes[i] = exec.Command(os.Args[0])
		processes[i].Env = append(os.Environ(), schedulerURL+"="+url)
		processes[i].Stderr = os.Stderr
		check(t, processes[i].Start())
	}
	count := func() int {
		n, err := d.NewSelect().Model((*db.Execution)(nil)).Count(t.Context())
		check(t, err)
		return int(n)
	}
	k.eventually("the middle", func() error {
		if n := count(); n < due/10 {
			return fmt.Errorf("%d of %d are done", n, due)
		}
		return nil
	})
	check(t, processes[0].Process.Kill())
	if err := processes[0].Wait(); err == nil {
		t.Error("it had ended before it was killed")
	}
	if n := count(); n >= due {
		t.Errorf("%d were done when it was killed; want the middle", n)
	}
	for _, p := range processes[1:] {
		if err := p.Wait(); err != nil {
			t.Errorf("a scheduler ended with %v", err)
		}
	}
	// The others skip what the dead one had locked, until its connection is gone: a scheduler that goes on finds it.
	check(t, func() error {
		last := exec.Command(os.Args[0])
		last.Env = append(os.Environ(), schedulerURL+"="+url)
		return last.Run()
	}())
	var rows, distinct, missed int
	check(t, d.NewRaw(
		`SELECT count(*), count(DISTINCT (automation_id, scheduled_for)), (SELECT count(*) FROM automations WHERE next_run_at <= now()) FROM executions`).
		Scan(t.Context(), &rows, &distinct, &missed))
	if rows != due || distinct != due || missed != 0 {
		t.Errorf("%d rows, %d distinct, %d still due; want %d, %d and none", rows, distinct, missed, due, due)
	}
}
