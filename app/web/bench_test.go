package web_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/middleware"
	"carillon/app/provider"
	"carillon/app/secret"
	"carillon/app/web"
	"carillon/app/web/page"
	"carillon/app/webhook"
	"carillon/app/workspace"
	"carillon/db"
	"carillon/db/embedded"
)

// BenchmarkTrigger measures how many calls a second the HTTP trigger accepts, and beside it what the database alone
// reaches with the same statements from as many clients on the same server. Every answer and every transaction is
// durable.
//
// Metrics: calls/s with p50-ms and p99-ms are ours; limit/s and limit-p99-ms are the database's; xlimit is the ratio of
// the rates and xp99 that of the 99th percentiles.
func BenchmarkTrigger(b *testing.B) {
	x := newDurableSite(b)
	for _, c := range []struct {
		name string
		n    int // automations that are called
	}{{"spread", 1000}, {"hot", 1}} {
		calls := x.fill(b, c.n)
		for _, clients := range []int{1, 8, 16, 32} {
			b.Run(fmt.Sprintf("%s/clients=%d", c.name, clients), func(b *testing.B) {
				for b.Loop() {
					limit := x.limit(b, clients, c.n)
					ours := x.call(b, clients, calls)
					b.ReportMetric(ours.rate, "calls/s")
					b.ReportMetric(ours.at(50), "p50-ms")
					b.ReportMetric(ours.at(99), "p99-ms")
					b.ReportMetric(limit.rate, "limit/s")
					b.ReportMetric(limit.at(99), "limit-p99-ms")
					b.ReportMetric(ours.rate/limit.rate, "xlimit")
					b.ReportMetric(ours.at(99)/limit.at(99), "xp99")
				}
			})
		}
	}
}

// TestTheTriggersBenchmarkRuns calls the trigger as BenchmarkTrigger does, once: no other test runs its setup.
func TestTheTriggersBenchmarkRuns(t *testing.T) {
	t.Parallel()
	x := newDurableSite(t)
	x.lasting = 0
	if ours := x.call(t, 1, x.fill(t, 2)); len(ours.latencies) != 1 {
		t.Errorf("%d calls were answered", len(ours.latencies))
	}
}

// load is what a number of clients experienced.
type load struct {
	rate      float64         // a second
	latencies []time.Duration // sorted
}

func newLoad(latencies []time.Duration, took time.Duration) load {
	slices.Sort(latencies)
	return load{float64(len(latencies)) / took.Seconds(), latencies}
}

// at is a percentile of the latencies, in milliseconds.
func (l load) at(percent int) float64 {
	if len(l.latencies) == 0 {
		return 0
	}
	return float64(l.latencies[(len(l.latencies)-1)*percent/100].Microseconds()) / 1000
}

// together lets clients do something again and again for a time, each at least once.
func together(b testing.TB, clients int, lasting time.Duration,
	do func(ctx context.Context, client, i int) error) load {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var mu sync.Mutex
	var all []time.Duration
	var failure error
	var wg sync.WaitGroup
	begun := time.Now()
	for client := range clients {
		wg.Go(func() {
			var own []time.Duration
			for i := 0; i == 0 || time.Since(begun) < lasting && ctx.Err() == nil; i++ {
				one := time.Now()
				if err := do(ctx, client, i); err != nil {
					mu.Lock()
					failure = err
					mu.Unlock()
					cancel()
					return
				}
				own = append(own, time.Since(one))
			}
			mu.Lock()
			all = append(all, own...)
			mu.Unlock()
		})
	}
	wg.Wait()
	took := time.Since(begun)
	if failure != nil {
		b.Fatal(failure)
	}
	return newLoad(all, took)
}

// durableSite is the HTTP side on a server that keeps what it says, unlike the one of the tests.
type durableSite struct {
	lasting   time.Duration // of each side of a comparison
	database  *db.DB
	public    string
	user      db.User
	workspace db.Workspace
}

func newDurableSite(b testing.TB) *durableSite {
	b.Helper()
	ctx := b.Context()
	dir, err := os.MkdirTemp("", "carillon-bench-")
	must(b, err)
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(b, os.Chmod(dir, 0o755)) //nolint:gosec // the server may run as another user, and locks its own folder
	server, err := embedded.Start(ctx, embedded.Config{
		Dir: filepath.Join(dir, "postgres"), Bin: os.Getenv("CARILLON_PG_BIN"),
	})
	must(b, err)
	b.Cleanup(func() { _ = server.Stop() })
	d, err := db.Open(ctx, server.URL(embedded.Name))
	must(b, err)
	b.Cleanup(func() { _ = d.Close() })
	must(b, db.Migrate(ctx, d))
	keys, err := secret.Parse("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	must(b, err)
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	providers := &provider.Service{DB: d, Now: time.Now, List: func() []provider.Provider {
		return []provider.Provider{{ID: "agent", Name: "Agent"}}
	}}
	rules := &automation.Service{
		DB: d, Now: time.Now, Keys: keys, Log: log, Providers: providers,
		Workspaces: &workspace.Service{
			DB: d, Now: time.Now, Keys: keys, Providers: providers,
			Probe: func(context.Context, workspace.Remote) (string, fault.Invalid) { return "main", nil },
		},
	}
	must(b, account.EnsureRoles(ctx, d, time.Now()))
	must(b, rules.Workspaces.EnsureScratch(ctx))
	role, err := db.RoleByKey(ctx, d, account.RoleAdministrator)
	must(b, err)
	x := &durableSite{database: d, lasting: 3 * time.Second}
	x.user = db.User{
		ID: db.NewID(), Email: "bench@example.com", Name: "Bench", TimeZone: "UTC", CreatedAt: time.Now(),
		UpdatedAt: time.Now(),
	}
	must(b, d.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		return db.InsertUser(ctx, tx, &x.user, role.ID)
	}))
	list, err := db.Workspaces(ctx, d, [16]byte{})
	must(b, err)
	x.workspace = list[0]

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	x.public = "http://" + listener.Addr().String()
	public, err := url.Parse(x.public)
	must(b, err)
	site := &web.Server{Site: page.Site{
		DB: d, Accounts: &account.Service{DB: d, Now: time.Now, Log: log}, Rules: rules, Keys: keys, PublicURL: public,
		Workspaces: rules.Workspaces, ProviderRules: providers,
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}}
	site.Init()
	ctx, stop := context.WithCancel(ctx)
	var all sync.WaitGroup
	all.Go(func() { _ = site.Runs.Listen(ctx) }) // a server has someone who hears what is announced
	tokens := &middleware.Tokens{Bad: middleware.NewBadTokenLimiter()}
	calls := &webhook.Server{
		Rules: rules, Workspaces: rules.Workspaces, PublicURL: public, Tokens: tokens,
		Calls: webhook.NewCallLimiter(0), Now: time.Now, Log: site.Log,
	}
	site.Envelope = calls.Envelope
	routes := &middleware.Routes{}
	site.Routes(routes)
	calls.Routes(routes)
	web := site.HTTP(routes)
	all.Go(func() { _ = web.Serve(listener) })
	b.Cleanup(func() { stop(); _ = web.Close(); all.Wait() })
	return x
}

func must(b testing.TB, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (x *durableSite) exec(b testing.TB, sql string) {
	b.Helper()
	_, err := x.database.Pool.Exec(b.Context(), sql)
	must(b, err)
}

// fill makes n HTTP Trigger automations that allow as many sessions as can be, and returns their tokens.
func (x *durableSite) fill(b testing.TB, n int) []string {
	b.Helper()
	x.exec(b, "TRUNCATE automations, executions, sessions CASCADE")
	tokens := make([]string, n)
	automations, rows := make([]db.Automation, n), make([]db.TriggerToken, n)
	for i := range tokens {
		automations[i] = db.Automation{
			ID: db.NewID(), WorkspaceID: x.workspace.ID, CreatorID: x.user.ID,
			MadeBy: db.PeopleIDs{x.user.ID}, ChangedBy: db.PeopleIDs{x.user.ID}, Name: fmt.Sprint("Triage ", i),
			Trigger: db.HTTP, AllowParallel: true, MaxParallel: 1000,
			SessionType: db.Develop, ExecutionType: db.Inline, Prompt: "Look at {{what}} of {{who}}.",
			Provider: "agent", TimeoutSeconds: 3600,
			Parameters: map[string]string{}, Toggles: []string{}, Enabled: true, Version: 1, CreatedAt: time.Now(),
			UpdatedAt: time.Now(),
		}
		tokens[i] = secret.Token()
		hash, _ := automation.HashToken(tokens[i])
		rows[i] = db.TriggerToken{
			Hash: hash, AutomationID: automations[i].ID, CreatedBy: x.user.ID, CreatedAt: time.Now(),
		}
	}
	must(b, errors.Join(insert(b.Context(), x.database, &automations), insert(b.Context(), x.database, &rows)))
	x.exec(b, `DROP TABLE IF EXISTS limit_calls`)
	x.exec(b, `CREATE TABLE limit_calls AS SELECT row_number() OVER ()::int AS i, hash, automation_id FROM trigger_tokens`)
	x.exec(b, `CREATE UNIQUE INDEX ON limit_calls (i)`)
	x.exec(b, `CREATE OR REPLACE FUNCTION limit_id() RETURNS uuid LANGUAGE sql VOLATILE AS
		$$ SELECT (lpad(to_hex((extract(epoch FROM clock_timestamp()) * 1000)::bigint), 12, '0') || substr(replace(gen_random_uuid()::text, '-', ''), 13))::uuid $$`)
	x.exec(b, "VACUUM ANALYZE automations, trigger_tokens, limit_calls")
	return tokens
}

func insert(ctx context.Context, q bun.IDB, rows any) error {
	_, err := q.NewInsert().Model(rows).Exec(ctx)
	return err
}

// settle begins a comparison's side with empty tables and nothing left to write.
func (x *durableSite) settle(b testing.TB) {
	b.Helper()
	x.exec(b, "TRUNCATE executions, sessions, webhook_deliveries CASCADE")
	x.exec(b, "CHECKPOINT")
}

// finishing ends what was started a moment ago, until it is told to stop, so that no automation reaches its cap.
func (x *durableSite) finishing(b testing.TB) (stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				done <- nil
				return
			case <-tick.C:
				if _, err := x.database.Pool.Exec(b.Context(),
					"UPDATE executions SET status = 'succeeded', finished_at = now() "+
						"WHERE status = 'queued'"); err != nil {
					done <- err
					return
				}
			}
		}
	}()
	return func() { cancel(); must(b, <-done) }
}

// call calls the trigger as senders do.
func (x *durableSite) call(b testing.TB, clients int, tokens []string) load {
	b.Helper()
	x.settle(b)
	defer x.finishing(b)()
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	return together(b, clients, x.lasting, func(ctx context.Context, who, i int) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.public+"/api/automations/http-trigger",
			strings.NewReader(`{"what":"the build","who":"main"}`))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(automation.TokenHeader, tokens[(who*7919+i)%len(tokens)])
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close() //nolint:errcheck // read to its end below
		body, err := io.ReadAll(res.Body)
		if err == nil && res.StatusCode != http.StatusOK {
			err = fmt.Errorf("answered %d %s", res.StatusCode, body)
		}
		return err
	})
}

// limitScript is what one accepted call asks of the database, for pgbench. :i is one of the automations; pgbench takes
// any colon before a letter or digit for such a name.
const limitScript = `
SELECT a.id, a.name, a.sender, a.signature_header, a.signature_sealed, a.filter, a.execution_type
  FROM trigger_tokens t JOIN automations a ON a.id = t.automation_id WHERE t.hash = (SELECT hash FROM limit_calls WHERE i = :i) AND (t.expires_at IS NULL OR t.expires_at > now()) AND a.trigger = 'http';
BEGIN;
SELECT a.*, w.name, w.removed_at, w.provider, w.model, u.name, u.deactivated_at, b.name,
    EXISTS (SELECT 1 FROM workspace_members m WHERE m.workspace_id = a.workspace_id AND m.user_id = a.creator_id),
    (SELECT array_agg(DISTINCT p) FROM user_roles ur JOIN roles r ON r.id = ur.role_id, unnest(r.permissions) p WHERE ur.user_id = a.creator_id),
    (SELECT count(*) FROM executions e WHERE e.automation_id = a.id AND e.status IN ('queued', 'running'))
  FROM automations a JOIN workspaces w ON w.id = a.workspace_id JOIN users u ON u.id = a.creator_id LEFT JOIN bots b ON b.id = a.bot_id
  WHERE a.id = (SELECT automation_id FROM limit_calls WHERE i = :i);
SELECT pg_advisory_xact_lock_shared(:i);
SELECT count(*) FROM executions WHERE automation_id = (SELECT automation_id FROM limit_calls WHERE i = :i) AND status IN ('queued', 'running');
WITH x AS (
  INSERT INTO executions (id, automation_id, session_id, source, token_fingerprint, status, parallel, parameters, unresolved, snapshot, created_at)
  SELECT limit_id(), automation_id, limit_id(), 'webhook', '01234567', 'queued', true, '{"what": "the build","who": "main"}', '{}',
    '{"name": "Triage","trigger": "http","session_type": "develop","execution_type": "inline","prompt": "Look at {{what}} of {{who}}.","provider": "agent","auto_complete": false,"only_unchanged": false,"timeout_seconds": 3600,"version": 1}', now()
  FROM limit_calls WHERE i = :i ON CONFLICT DO NOTHING RETURNING id, session_id, automation_id
), y AS (
  INSERT INTO sessions (id, workspace_id, automation_id, owner_id, type, title, status, provider, created_at, queued_at)
  SELECT x.session_id, a.workspace_id, a.id, a.creator_id, 'develop', a.name, 'queued', 'agent', now(), now() FROM x JOIN automations a ON a.id = x.automation_id
)
INSERT INTO turns (id, session_id, execution_id, position, kind, prompt, status, created_at)
  SELECT limit_id(), session_id, id, 1, 'prompt', 'Look at the build of main.', 'queued', now() FROM x;
INSERT INTO webhook_deliveries (id, automation_id, at, method, address, fingerprint, headers, size, body, verdict, status, answer, execution_id, last_at)
  SELECT limit_id(), automation_id, now(), 'POST', '127.0.0.1', '01234567', '{"Content-Type": "application/json","User-Agent": "Go-http-client/1.1","Api-Authentication": "(not kept)"}', 32,
    '{"what": "the build","who": "main"}', 'started', 200, '{"Status": 200,"Error": "","Unresolved": []}',
    (SELECT e.id FROM executions e WHERE e.automation_id = c.automation_id ORDER BY e.id DESC LIMIT 1), now()
  FROM limit_calls c WHERE i = :i;
COMMIT;
`

// limit runs limitScript by pgbench, or where there is none by a loop of our own, which is a little slower.
func (x *durableSite) limit(b testing.TB, clients, n int) load {
	b.Helper()
	x.settle(b)
	defer x.finishing(b)()
	program, err := exec.LookPath("pgbench")
	if err != nil {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pgbench")
		if len(found) == 0 {
			b.Log("there is no pgbench, so the limit is what a loop in Go reaches with prepared statements")
			return x.limitByLoop(b, clients, n)
		}
		program = found[len(found)-1]
	}
	dir := b.TempDir()
	script := filepath.Join(dir, "call.sql")
	must(b, os.WriteFile(script, fmt.Appendf(nil, "\\set i random(1, %d)\n%s", n, limitScript), 0o600))
	config := x.database.Pool.Config().ConnConfig
	command := exec.Command(program, "-n", "-M", "prepared", "-c", strconv.Itoa(clients), "-j",
		strconv.Itoa(min(2, clients)), "-T", strconv.Itoa(int(x.lasting/time.Second)),
		"-f", script, "-l", "--log-prefix", filepath.Join(dir, "log"), "-h", config.Host, "-p",
		strconv.Itoa(int(config.Port)), "-U", config.User, config.Database)
	if out, err := command.CombinedOutput(); err != nil {
		b.Fatalf("pgbench: %v: %.1000s", err, out)
	}
	logs, err := filepath.Glob(filepath.Join(dir, "log*"))
	must(b, err)
	var latencies []time.Duration
	for _, name := range logs {
		text, err := os.ReadFile(name)
		must(b, err)
		for line := range bytes.Lines(text) {
			took, err := strconv.Atoi(string(bytes.Fields(line)[2]))
			must(b, err)
			latencies = append(latencies, time.Duration(took)*time.Microsecond)
		}
	}
	return newLoad(latencies, x.lasting)
}

func (x *durableSite) limitByLoop(b testing.TB, clients, n int) load {
	b.Helper()
	conns := make([]*pgx.Conn, clients)
	for i := range conns {
		conn, err := pgx.Connect(b.Context(), x.database.Pool.Config().ConnString())
		must(b, err)
		defer conn.Close(context.WithoutCancel(b.Context())) //nolint:errcheck // the server goes too
		conns[i] = conn
	}
	statements := strings.SplitAfter(strings.TrimSpace(limitScript), ";\n")
	return together(b, clients, x.lasting, func(ctx context.Context, who, i int) error {
		for _, statement := range statements {
			var args []any
			if strings.Contains(statement, ":i") {
				statement, args = strings.ReplaceAll(statement, ":i", "$1"), []any{(who*7919+i)%n + 1}
			}
			if _, err := conns[who].Exec(ctx, statement, args...); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
}
