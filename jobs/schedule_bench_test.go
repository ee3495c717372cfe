package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"carillon/app/account"
	"carillon/app/apptest"
	"carillon/app/automation"
	"carillon/db"
	"carillon/db/embedded"
)

// durable is a server that keeps what it says, unlike the one of the tests, with the rules on it.
type durable struct {
	b      *testing.B
	server *embedded.Server
	db     *db.DB
	rules  *automation.Service
	user   account.Actor
	ws     db.Workspace
}

func newDurable(b *testing.B) *durable {
	b.Helper()
	dir, err := os.MkdirTemp("", "carillon-bench-")
	must(b, err)
	must(b, os.Chmod(dir, 0o755)) //nolint:gosec // the server may run as another user, and locks its own folder
	server, err := embedded.Start(b.Context(), embedded.Config{
		Dir: filepath.Join(dir, "postgres"), Bin: os.Getenv("CARILLON_PG_BIN"),
	})
	must(b, err)
	b.Cleanup(func() { _ = server.Stop(); _ = os.RemoveAll(dir) })
	d, err := db.Open(b.Context(), server.URL(embedded.Name))
	must(b, err)
	b.Cleanup(func() { _ = d.Close() })
	must(b, db.Migrate(b.Context(), d))
	x := &durable{b: b, server: server, db: d, rules: apptest.NewRules(d, time.Now)}
	apptest.Prepare(b, d, x.rules)
	x.user = apptest.NewPerson(b, d, x.rules, "Bench", account.RoleAdministrator)
	list, err := db.Workspaces(b.Context(), d, [16]byte{})
	must(b, err)
	x.ws = list[0]
	return x
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (x *durable) exec(sql string, args ...any) {
	x.b.Helper()
	_, err := x.db.NewRaw(sql, args...).Exec(x.b.Context())
	must(x.b, err)
}

// fill makes n enabled automations whose next run is given by an SQL expression over i.
func (x *durable) fill(n int, next string) {
	x.exec("TRUNCATE automations CASCADE")
	x.exec(`INSERT INTO automations (id, workspace_id, creator_id, name, trigger, cron, time_zone, next_run_at, session_type, execution_type, prompt,
			provider, enabled, created_at, updated_at)
		SELECT gen_random_uuid(), ?, ?, 'Automation ' || i, 'recurring', '0 * * * *', 'UTC', `+next+`, 'develop', 'inline', 'true', 'shell', true, now(), now()
		FROM generate_series(1, ?) AS i`, x.ws.ID, x.user.ID, n)
	x.exec("ANALYZE automations")
	x.exec("CHECKPOINT")
}

// rowLimit is what pgbench reaches on this server with one INSERT and one UPDATE in a transaction, on copies of the
// tables with their indexes: the better of 8 and 16 clients, in transactions a second. 0: there is no pgbench.
func (x *durable) rowLimit() float64 {
	program, err := exec.LookPath("pgbench")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench")
		if len(found) == 0 {
			x.b.Log("there is no pgbench, so there is no row limit to compare with")
			return 0
		}
		program = found[len(found)-1]
	}
	x.exec(`DROP TABLE IF EXISTS limit_automations, limit_executions, limit_ids`)
	x.exec(`CREATE TABLE limit_automations (LIKE automations INCLUDING ALL)`)
	x.exec(`INSERT INTO limit_automations SELECT * FROM automations`)
	x.exec(`CREATE TABLE limit_executions (LIKE executions INCLUDING ALL)`)
	x.exec(`CREATE TABLE limit_ids AS SELECT row_number() OVER ()::int AS i, id FROM automations`)
	x.exec(`CREATE UNIQUE INDEX ON limit_ids (i)`)
	x.exec("ANALYZE limit_automations, limit_ids")
	script := filepath.Join(x.b.TempDir(), "limit.sql")
	must(x.b, os.WriteFile(script, []byte(`\set i random(1, 10000)
BEGIN;
INSERT INTO limit_executions (id, automation_id, source, status, parallel, scheduled_for, created_at)
  SELECT gen_random_uuid(), id, 'schedule', 'queued', true, clock_timestamp(), clock_timestamp() FROM limit_ids WHERE i = :i;
UPDATE limit_automations SET next_run_at = clock_timestamp() WHERE id = (SELECT id FROM limit_ids WHERE i = :i);
COMMIT;
`), 0o600))
	best := 0.0
	for _, clients := range []int{8, 16} {
		config := x.db.Pool.Config().ConnConfig
		command := exec.Command(program, "-n", "-M", "prepared", "-c", strconv.Itoa(clients), "-j", "2", "-T", "4",
			"-f", script,
			"-h", config.Host, "-p", strconv.Itoa(int(config.Port)), "-U", config.User, config.Database)
		out, err := command.CombinedOutput()
		if err != nil {
			x.b.Fatalf("pgbench: %v: %s", err, out)
		}
		m := regexp.MustCompile(`tps = ([0-9.]+)`).FindSubmatch(out)
		tps, err := strconv.ParseFloat(string(m[1]), 64)
		must(x.b, err)
		best = max(best, tps)
	}
	return best
}

// BenchmarkDrain starts 10,000 automations that are due in the same minute out of 100,000, with one and with three
// processes.
func BenchmarkDrain(b *testing.B) {
	const due, all = 10_000, 100_000
	for _, processes := range []int{1, 3} {
		b.Run(fmt.Sprintf("processes=%d", processes), func(b *testing.B) {
			x := newDurable(b)
			x.fill(all, fmt.Sprintf("CASE WHEN i <= %d THEN now() ELSE now() + interval '1 day' END", due))
			limit := x.rowLimit()
			for b.Loop() {
				x.exec("TRUNCATE executions, sessions CASCADE")
				x.exec("UPDATE automations SET next_run_at = date_trunc('second', now()) WHERE next_run_at < now() + " +
					"interval '12 hours'")
				x.exec("VACUUM ANALYZE automations")
				x.exec("CHECKPOINT")
				begun := time.Now()
				var commands []*exec.Cmd
				for range processes - 1 {
					c := exec.Command(os.Args[0])
					c.Env = append(os.Environ(), schedulerURL+"="+x.server.URL(embedded.Name))
					must(b, c.Start())
					commands = append(commands, c)
				}
				must(b, (&Scheduler{Rules: x.rules}).claimDue(b.Context()))
				for _, c := range commands {
					must(b, c.Wait())
				}
				took := time.Since(begun)
				n, err := x.db.NewSelect().Model((*db.Execution)(nil)).Count(b.Context())
				must(b, err)
				if n != due {
					b.Fatalf("%d were started; want %d", n, due)
				}
				rate := due / took.Seconds()
				b.ReportMetric(rate, "fires/s")
				if limit > 0 {
					b.ReportMetric(limit, "rowlimit/s")
					b.ReportMetric(rate/limit, "xlimit")
				}
			}
		})
	}
}

// BenchmarkLateness measures how long after its due time a run is committed: when 10,000 are due in the same second,
// when they are spread over a minute, and in ordinary minutes of 10,000 enabled automations. A real scheduler with its
// tick does the work.
func BenchmarkLateness(b *testing.B) {
	for _, kind := range []struct{ name, next string }{
		{"same-second", "date_trunc('second', now()) + interval '3 seconds'"},
		{"same-minute", "date_trunc('second', now()) + (3 + i % 60) * interval '1 second'"},
		{"ordinary", "date_trunc('second', now()) + (3 + i % 3600) * interval '1 second'"},
	} {
		b.Run(kind.name, func(b *testing.B) {
			x := newDurable(b)
			x.exec("ALTER SYSTEM SET track_commit_timestamp = on")
			x.restart()
			for b.Loop() {
				x.fill(10_000, kind.next)
				runtime.GC()
				before := resident(b)
				ctx, stop := context.WithCancel(b.Context())
				s := &Scheduler{
					DB: x.db, Rules: x.rules, Now: time.Now, Log: slog.New(slog.DiscardHandler),
					Resumable: func(string) bool { return false },
				}
				s.Init()
				done := make(chan error, 1)
				go func() { done <- s.Run(ctx) }()
				if kind.name == "same-second" {
					for n := 0; n < 10_000; time.Sleep(50 * time.Millisecond) {
						c, err := x.db.NewSelect().Model((*db.Execution)(nil)).Count(b.Context())
						must(b, err)
						n = int(c)
					}
				} else {
					time.Sleep(20 * time.Second) // a sample of ordinary time cannot be hurried
				}
				grown := resident(b) - before
				stop()
				must(b, <-done)
				var late []float64
				must(b, x.db.NewRaw(
					"SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - scheduled_for)::float8 * 1000 FROM "+
						"executions").Scan(b.Context(), &late))
				slices.Sort(late)
				b.ReportMetric(late[len(late)/2], "p50-ms")
				b.ReportMetric(late[len(late)*99/100], "p99-ms")
				b.ReportMetric(float64(grown)/(1<<20), "grown-MiB")
			}
		})
	}
}

// BenchmarkStartUp measures from the start of a scheduler on 100,000 enabled automations to its first claim.
func BenchmarkStartUp(b *testing.B) {
	x := newDurable(b)
	x.fill(100_000, "CASE WHEN i = 1 THEN now() ELSE now() + interval '1 day' END")
	for b.Loop() {
		x.exec("TRUNCATE executions, sessions CASCADE")
		x.exec("UPDATE automations SET next_run_at = now() WHERE next_run_at < now() + interval '12 hours'")
		begun := time.Now()
		d, err := db.Open(b.Context(), x.server.URL(embedded.Name))
		must(b, err)
		rules := &automation.Service{
			DB: d, Now: x.rules.Now, Keys: x.rules.Keys, Log: x.rules.Log, Providers: x.rules.Providers,
		}
		n, err := rules.Schedules().StartDue(b.Context())
		must(b, err)
		if n != 1 {
			b.Fatalf("%d were due; want 1", n)
		}
		b.ReportMetric(float64(time.Since(begun).Milliseconds()), "first-claim-ms")
		must(b, d.Close())
	}
}

// restart lets the server read settings that it reads at its start alone.
func (x *durable) restart() {
	x.b.Helper()
	process, err := os.FindProcess(x.server.PID())
	must(x.b, err)
	must(x.b, process.Signal(os.Interrupt)) // it is started again at once
	for {
		var on string
		err := x.db.NewRaw("SHOW track_commit_timestamp").Scan(x.b.Context(), &on)
		if err == nil && on == "on" {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// resident is this process's memory, in bytes.
func resident(b *testing.B) int64 {
	text, err := os.ReadFile("/proc/self/statm")
	must(b, err)
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	must(b, err)
	return pages * int64(os.Getpagesize())
}
