package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"carillon/app/e2e/internal/stage"
)

// TestOneProcessAndFiveLeaveTheSameHistory lives through one scenario with one process for everything, and with one for
// pages, two schedulers and two workers. What is left is the same: how each run ended and why, who or what started it,
// what people were told, what the transcripts are made of, and the audit log.
func TestOneProcessAndFiveLeaveTheSameHistory(t *testing.T) {
	t.Parallel()
	histories := make([]string, 2)
	t.Run("processes", func(t *testing.T) {
		t.Run("one", func(t *testing.T) {
			t.Parallel()
			setting := stage.OnDatabase(t)
			s := stage.Serve(t, append([]string{setting}, stage.AsAdministrator...)...)
			pool, err := pgxpool.New(t.Context(), strings.TrimPrefix(setting, "DATABASE_URL="))
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			histories[0] = (&process{t, pool, stage.Visit(t, s), stage.Folder(t)}).lives()
		})
		t.Run("five", func(t *testing.T) {
			t.Parallel()
			f := stage.Start(t, stage.Plan{})
			histories[1] = (&process{t, f.DB, stage.Visit(t, f.Web), stage.Folder(t)}).lives()
			f.Check(t)
		})
	})
	one, five := strings.Split(histories[0], "\n"), strings.Split(histories[1], "\n")
	for i := range max(len(one), len(five)) {
		var a, b string
		if i < len(one) {
			a = one[i]
		}
		if i < len(five) {
			b = five[i]
		}
		if a != b {
			t.Errorf("line %d\nof one process:   %s\nof five processes: %s", i, a, b)
		}
	}
	if len(one) < 60 {
		t.Errorf("the scenario left %d lines:\n%s", len(one), histories[0])
	}
}

// process is the program, however many processes it is, with a person at it.
type process struct {
	t   *testing.T
	db  *pgxpool.Pool
	v   *stage.Visitor
	dir string
}

// lives goes through the scenario, one thing after the other, and returns the history that it leaves.
func (p *process) lives() string {
	t := p.t
	// By hand: a success, a failure that is told once, a run that takes too long, and one that its gate does not let
	// begin.
	good := p.make("A: succeeds", "echo out; echo err >&2; echo 'see https://github.com/a/b/pull/1'; touch made", nil)
	p.ends(p.v.Run(t, good), "Succeeded")
	bad := p.make("B: fails", "echo {{what}}; exit 3", url.Values{"param.what": {"a stored value"}})
	for range 2 {
		p.ends(p.v.Run(t, bad), "Failed")
	}
	p.ends(p.v.Run(t, p.make("C: takes too long", "sleep 3600", url.Values{"timeout": {"0.02"}})), "Timed out")
	p.ends(p.v.Run(t, p.make("D: gate", "true", url.Values{"gate_command": {"echo closed; exit 1"}})), "Skipped")
	p.ends(p.v.Run(t, p.make("E: success check", "true", url.Values{"success_command": {"test -e missing"}})), "Failed")

	// One in the way, which is canceled; its session stays open for a second message, and is closed.
	long := p.make("F: long", p.waits("long"), url.Values{"auto_complete": {""}})
	session := p.v.Run(t, long)
	stage.Exists(t, filepath.Join(p.dir, "long.started"))
	if a := p.v.Post(t, long+"/runs", nil); a.Status == http.StatusSeeOther && strings.HasPrefix(a.To, "/sessions/") &&
		a.To != session {
		t.Errorf("a second run began beside the first: %s", a.To)
	}
	stage.Touch(t, filepath.Join(p.dir, "long.go"))
	p.ends(session, "Succeeded")
	p.post(session+"/messages", url.Values{"message": {"echo again"}})
	p.settle()
	p.post(session+"/completion", nil)
	stopped := p.make("G: canceled", p.waits("stopped"), nil)
	session = p.v.Run(t, stopped)
	stage.Exists(t, filepath.Join(p.dir, "stopped.started"))
	p.post(session+"/stop", nil)
	p.ends(session, "Canceled")

	// By calls: with values, twice the same, and one that is refused.
	called := p.v.Get(t, p.make("H: called", "echo {{who.name}} {{missing}}", url.Values{"trigger": {"http"}}))
	hook := p.v.Server.Base + hookAddress.FindString(called.First(stage.With("id", "webhook_url")).Attr("value"))
	for i, body := range []string{`{"who":{"name":"Ada"}}`, `{"who":{"name":"Ada"}}`, `[`, `{"who":null}`} {
		p.call(hook, fmt.Sprint("key ", i/2), body)
		p.settle()
	}
	p.call(hook[:len(hook)-43]+strings.Repeat("A", 43), "", "")

	// By the schedule: once at a time and at another that fails, each minute until it is switched off, and in loops
	// that come to their end and to their third failure.
	soon := func() string { return time.Now().Add(time.Second).UTC().Format("2006-01-02T15:04:05Z") }
	once := func(name, script string) {
		a := p.make(name, script, url.Values{"trigger": {"one_time"}, "run_at": {soon()}, "time_zone": {"UTC"}})
		p.until("a run of "+name, 1,
			"SELECT count(*) FROM executions WHERE automation_id = $1 AND finished_at IS NOT NULL", a)
	}
	once("I: once", "echo once")
	once("J: once, in vain", "exit 1")
	now := time.Now().UTC()
	yearly := p.make("K: yearly", "echo yearly", url.Values{
		"trigger": {"recurring"}, "cron": {fmt.Sprintf("%d %d %d %d *", now.Minute(), now.Hour(), now.Day(),
			int(now.Month()))}, "time_zone": {"UTC"},
	})
	p.exec("UPDATE automations SET next_run_at = $2, scheduled_since = $2::timestamptz - interval '1 day' "+
		"WHERE id = $1", id(yearly), now.Truncate(time.Minute))
	p.until("a run of the year", 1,
		"SELECT count(*) FROM executions WHERE automation_id = $1 AND finished_at IS NOT NULL", yearly)
	for name, script := range map[string]string{
		"L: three times": "echo $RANDOM > file", "M: three failures": "exit 7",
	} {
		loop := p.make(name, script, url.Values{"trigger": {"loop"}, "max_iterations": {"3"}})
		for n := 1; n <= 3; n++ {
			p.until(fmt.Sprint("iteration ", n, " of ", name), n,
				"SELECT count(*) FROM executions WHERE automation_id = $1 AND finished_at IS NOT NULL", loop)
			p.exec("UPDATE automations SET next_run_at = now() WHERE id = $1 AND next_run_at > now()", id(loop))
		}
		p.until("the end of "+name, 0, "SELECT count(*) FROM automations WHERE id = $1 AND enabled", loop)
	}

	// A workflow with a loop of steps, edits, a switch and a deletion.
	flow := p.made("/workflows", url.Values{
		"name": {"Steps"}, "step_kind": {"asset", "loop", "message", "message"}, "step_label": {"", "", "", ""},
		"step_path": {"a.txt", "", "", ""},
		"step_text": {"text", "", "cat a.txt; echo FINE", "echo $depth"}, "step_marker": {"", "FINE", "", ""},
		"step_max": {"", "3", "", ""}, "step_inside": {"2"},
		"parameter_alias": {"depth"}, "parameter_type": {"number"}, "parameter_default": {"2"}, "parameter_label": {""},
		"parameter_choices": {""},
	})
	steps := p.make("N: steps", "", url.Values{"execution_type": {"workflow"}, "workflow": {id(flow)}})
	p.ends(p.v.Run(t, steps), "Succeeded")
	p.post(good+"/enabled", url.Values{"enabled": {"false"}})
	p.ends(p.v.Run(t, good), "Succeeded")
	p.post(good+"/enabled", url.Values{"enabled": {"true"}})
	p.post(bad+"/deletion", nil)
	p.settle()
	return p.history()
}

func id(address string) string { return address[strings.LastIndexByte(address, '/')+1:] }

// waits is a script that goes on when a file is there.
func (p *process) waits(name string) string {
	file := filepath.Join(p.dir, name)
	return fmt.Sprintf("touch '%[1]s.started'\nuntil [ -e '%[1]s.go' ]; do sleep 0.05; done", file)
}

// make makes an automation of the Shell provider, with more or other fields, and returns its address.
func (p *process) make(name, script string, more url.Values) string {
	p.t.Helper()
	form := p.v.Form(p.t, name, script)
	for field, values := range more {
		if form[field] = values; values[0] == "" {
			form.Del(field)
		}
	}
	return p.made("/automations", form)
}

func (p *process) made(path string, form url.Values) string {
	p.t.Helper()
	a := p.v.Post(p.t, path, form)
	if a.Status != http.StatusSeeOther {
		p.t.Fatalf("POST %s answered %d %s; want 303", path, a.Status, a.Said())
	}
	return a.To
}

func (p *process) post(path string, form url.Values) {
	p.t.Helper()
	if a := p.v.Post(p.t, path, form); a.Status >= 400 {
		p.t.Errorf("POST %s answered %d %s", path, a.Status, a.Said())
	}
}

func (p *process) ends(session, status string) {
	p.t.Helper()
	p.v.Ends(p.t, session, status)
	p.settle()
}

func (p *process) call(hook, key, body string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, hook, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	_ = res.Body.Close()
}

func (p *process) exec(statement string, args ...any) {
	p.t.Helper()
	if _, err := p.db.Exec(p.t.Context(), statement, args...); err != nil {
		p.t.Fatal(err)
	}
}

// until waits until a query about an automation gives a number, and then until nothing is under way.
func (p *process) until(what string, want int, query, automation string) {
	p.t.Helper()
	stage.Eventually(p.t, what, func() bool {
		var n int
		if err := p.db.QueryRow(p.t.Context(), query, id(automation)).Scan(&n); err != nil {
			p.t.Fatal(err)
		}
		return n == want
	})
	p.settle()
}

func (p *process) settle() {
	p.t.Helper()
	stage.Eventually(p.t, "all to come to its end", func() bool {
		var n int
		if err := p.db.QueryRow(p.t.Context(),
			`SELECT (SELECT count(*) FROM sessions WHERE status IN ('queued', 'in_progress'))
			+ (SELECT count(*) FROM turns WHERE status IN ('queued', 'running'))`).Scan(&n); err != nil {
			p.t.Fatal(err)
		}
		return n == 0
	})
}

// accounts are the lines of a history, each with what differs by chance taken out: ids, addresses, times, and how many
// events the output of a program came in.
var accounts = []string{
	`SELECT 'automation ' || name || ' ' || jsonb_build_object('trigger', trigger, 'enabled', enabled, 'why', disabled_kind || ' ' || disabled_reason,
		'failures', failure_streak, 'iterations', iterations, 'due', next_run_at IS NOT NULL) FROM automations ORDER BY name`,
	`SELECT 'execution of ' || (e.snapshot->>'name') || ' ' || jsonb_build_object('status', e.status, 'source', e.source,
		 'mark', e.mark, 'by', u.name, 'reason', e.reason, 'class', e.error_class, 'neutral', e.neutral, 'exit', e.exit_code, 'skips', e.skip_count,
		'iteration', e.iteration, 'answer', e.answer, 'result', e.result, 'parameters', e.parameters, 'unresolved', e.unresolved, 'turns', e.turns)
		FROM executions e LEFT JOIN users u ON u.id = e.user_id ORDER BY e.snapshot->>'name', e.id`,
	`SELECT 'session of ' || title || ' ' || jsonb_build_object('type', type, 'status', status, 'changes', files_changed, 'closed', closed_at IS NOT NULL,
		'automation', automation_id IS NOT NULL) FROM sessions ORDER BY title, id`,
	`SELECT 'turn of ' || s.title || ' ' || jsonb_build_object('position', t.position, 'kind', t.kind, 'status', t.status, 'prompt', t.prompt)
		FROM turns t JOIN sessions s ON s.id = t.session_id ORDER BY s.title, s.id, t.position, t.id`,
	`SELECT 'notice ' || kind || ': ' || title || ': ' || body FROM notifications ORDER BY title, kind, body`,
	`SELECT 'audit ' || action || ' ' || subject_name || ' ' || jsonb_build_object('by', u.name, 'reason', reason,
		'changed', (SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(coalesce(after, '{}')) k))
		FROM audit_events LEFT JOIN users u ON u.id = actor_id WHERE subject_kind IN ('automation', 'session', 'workflow') ORDER BY subject_name, action, audit_events.id`,
	`SELECT 'delivery '::text || jsonb_build_object('status', status, 'verdict', verdict, 'folded', folded) FROM webhook_deliveries ORDER BY id`,
	`SELECT 'transcript of ' || title || ': ' || string_agg(kind, ' ' ORDER BY seq) FROM (
		SELECT s.title, s.id, v.seq, v.kind || coalesce(':' || (v.body->>'kind'), '') AS kind, lag(v.kind) OVER (PARTITION BY s.id ORDER BY v.seq) AS before, v.kind AS own
		FROM sessions s JOIN session_events v ON v.session_id = s.id) v WHERE before IS DISTINCT FROM own GROUP BY title, id ORDER BY title, id`,
}

var hookAddress = regexp.MustCompile(`/api/automations/http-trigger/[A-Za-z0-9_-]{43}`)

var chance = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|` +
	regexp.QuoteMeta(os.TempDir()) + `/[^ '"\\]*`)

// howFar is what a run that takes too long has come to by then: on a slow machine, not even to the start of its script.
var howFar = regexp.MustCompile(`"turns": \d|"status": "(failed|canceled)"| turn_end`)

func (p *process) history() string {
	p.t.Helper()
	var lines []string
	for _, query := range accounts {
		rows, err := p.db.Query(p.t.Context(), query)
		if err != nil {
			p.t.Fatalf("%s: %v", query, err)
		}
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				p.t.Fatalf("%s: %v", query, err)
			}
			if strings.Contains(line, "C: takes too long") {
				line = howFar.ReplaceAllString(line, "…")
			}
			lines = append(lines, chance.ReplaceAllString(line, "…"))
		}
		if err := rows.Err(); err != nil {
			p.t.Fatalf("%s: %v", query, err)
		}
	}
	return strings.Join(lines, "\n")
}
