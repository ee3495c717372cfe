package faults

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/app/crash"
	"carillon/app/e2e/internal/stage"
)

func TestNothingIsHalfDoneWhereverTheProcessForPagesDies(t *testing.T) {
	t.Parallel()
	needsPoints(t)
	s := newScene(t, stage.Plan{})
	plain := s.v.Automation(t, "Started by hand", s.script("true"))
	// begins presses Run now, and wants as many runs of it.
	begins := func(want int) func(t *testing.T, s *scene) func(*testing.T) {
		return func(t *testing.T, s *scene) func(*testing.T) {
			before := s.Count(t, "SELECT count(*) FROM executions WHERE status = 'succeeded'")
			s.send(plain+"/runs", nil)
			return func(t *testing.T) {
				if n := s.Count(t, "SELECT count(*) FROM executions WHERE status = 'succeeded'") - before; n != want {
					t.Errorf("%d runs succeeded; want %d", n, want)
				}
			}
		}
	}
	form := s.v.Form(t, "Called", s.script("true"))
	form.Set("trigger", "http")
	form.Set("allow_parallel", "true")
	hook := hookOf(s.v.Get(t, s.make(t, "/automations", form)))
	called := id(s.automation(t, "Called"))
	calls := func(t *testing.T, s *scene) func(*testing.T) {
		before := s.Count(t, "SELECT count(*) FROM executions WHERE automation_id = $1", called)
		key := fmt.Sprint("call ", before)
		s.call(hook, key)
		return func(t *testing.T) {
			if answer := s.call(hook, key); !answer { // as senders do that got no answer
				t.Error("the call that was sent again was refused")
			}
			s.settled(t)
			if n := s.Count(t, "SELECT count(*) FROM executions WHERE automation_id = $1 AND status = 'succeeded'",
				called); n != before+1 {
				t.Errorf("a call that was sent twice led to %d runs; want 1", n-before)
			}
		}
	}
	// edits sends a form, and wants a number that a query gives.
	edits := func(path string, form func(t *testing.T) url.Values, want int, query string,
		args ...any) func(t *testing.T, s *scene) func(*testing.T) {
		return func(t *testing.T, s *scene) func(*testing.T) {
			s.send(path, form(t))
			return func(t *testing.T) {
				if n := s.Count(t, query, args...); n != want {
					t.Errorf("%s gives %d; want %d", query, n, want)
				}
			}
		}
	}
	filled := func(name, expression string) func(t *testing.T) url.Values {
		return func(t *testing.T) url.Values {
			form := s.v.Form(t, name, s.script("true"))
			form.Set("trigger", "recurring")
			form.Set("time_zone", "Europe/Berlin")
			form.Set("cron", expression)
			form.Set("version", "1")
			return form
		}
	}
	nothing := func(*testing.T) url.Values { return nil }
	recurring := s.make(t, "/automations", filled("Recurring", "0 3 1 1 *")(t))
	other := s.v.Automation(t, "Other", s.script("true"))
	bulk := func(*testing.T) url.Values {
		return url.Values{"do": {"disable"}, "id": {id(recurring), id(other)}}
	}
	form = s.v.Form(t, "Talks", s.script("true"))
	form.Del("auto_complete")
	talk := s.v.Run(t, s.make(t, "/automations", form))
	s.settled(t)
	message := func(text string) func(*testing.T) url.Values {
		return func(*testing.T) url.Values { return url.Values{"message": {text}} }
	}
	script, started, _ := s.holds("stopped")
	held := s.v.Automation(t, "Is stopped", script)
	s.suffer(t, []fault{
		{point: crash.StartWritten, role: stage.Web, play: begins(0)},
		{point: crash.StartCommitted, role: stage.Web, play: begins(1)},
		{point: crash.CallReceived, role: stage.Web, play: calls},
		{point: crash.CallStarted, role: stage.Web, play: calls},
		{point: crash.CallCommitted, role: stage.Web, play: calls},
		{point: crash.AutomationCreated, role: stage.Web, play: edits("/automations", filled("Made", "0 4 1 1 *"), 0,
			"SELECT count(*) FROM automations WHERE name = 'Made'")},
		{point: crash.CreationCommitted, role: stage.Web, play: edits("/automations", filled("Made", "0 4 1 1 *"), 1,
			"SELECT count(*) FROM automations WHERE name = 'Made' AND next_run_at IS NOT NULL")},
		{point: crash.AutomationSaved, role: stage.Web, play: edits(recurring, filled("Recurring", "0 4 2 1 *"), 1,
			"SELECT count(*) FROM automations WHERE id = $1 AND cron = '0 3 1 1 *' AND version = 1", id(recurring))},
		{point: crash.EditCommitted, role: stage.Web, play: edits(recurring, filled("Recurring", "0 4 2 1 *"), 1,
			"SELECT count(*) FROM automations WHERE id = $1 AND cron = '0 4 2 1 *' AND next_run_at::date::text LIKE "+
				"'%-01-02'", id(recurring))},
		{point: crash.SwitchWritten, role: stage.Web, play: edits(recurring+"/enabled", func(*testing.T) url.Values {
			return url.Values{"enabled": {"false"}}
		}, 1,
			"SELECT count(*) FROM automations WHERE id = $1 AND enabled AND next_run_at IS NOT NULL", id(recurring))},
		{point: crash.BulkOneDone, role: stage.Web, play: edits("/automations/bulk", bulk, 1,
			"SELECT count(*) FROM automations WHERE id IN ($1, $2) AND NOT enabled", id(recurring), id(other))},
		{
			point: crash.DeletionWritten, role: stage.Web,
			play: edits(other+"/deletion", nothing, 1, "SELECT count(*) FROM automations WHERE id = $1", id(other)),
		},
		{point: crash.TokenIssued, role: stage.Web, play: func(t *testing.T, s *scene) func(*testing.T) {
			s.send("/automations/"+called+"/token", nil)
			return func(t *testing.T) {
				if !s.call(hook, "after the token") {
					t.Error("the token that was not replaced does not work any more")
				}
				s.settled(t)
			}
		}},
		{point: crash.SessionChanged, role: stage.Web, play: edits(talk+"/messages", message("echo Never"), 0,
			"SELECT count(*) FROM turns WHERE prompt = 'echo Never'")},
		{point: crash.SessionChangeCommitted, role: stage.Web, play: edits(talk+"/messages", message("echo Once"), 1,
			"SELECT count(*) FROM turns WHERE prompt = 'echo Once' AND status = 'succeeded'")},
		{point: crash.SessionChangeCommitted, role: stage.Web, play: func(t *testing.T, s *scene) func(*testing.T) {
			session := s.v.Run(t, held)
			started(t)
			s.send(session+"/stop", nil)
			return func(t *testing.T) {
				if status, reason := s.outcome(t, held, 0); status != "canceled" {
					t.Errorf("the run that was stopped %s: %s", status, reason)
				}
			}
		}},
		{point: crash.NoticeWritten, role: stage.Web, play: func(t *testing.T, s *scene) func(*testing.T) {
			unable := s.v.Automation(t, "Cannot start", s.script("true"))
			s.Exec(t, "UPDATE automations SET provider = 'gone' WHERE id = $1", id(unable))
			s.send(unable+"/runs", nil)
			return func(t *testing.T) {
				runs := s.Count(t, "SELECT count(*) FROM executions WHERE automation_id = $1", id(unable))
				if told := s.Count(t, "SELECT count(*) FROM notifications WHERE automation_id = $1",
					id(unable)); told != runs {
					t.Errorf("%d notices tell of %d failures", told, runs)
				}
			}
		}},
	})
}

var address = regexp.MustCompile(`/api/automations/http-trigger/[A-Za-z0-9_-]{43}`)

// hookOf is where an automation is called, as the page after its creation shows it.
func hookOf(a stage.Answer) string {
	return address.FindString(a.First(stage.With("id", "webhook_url")).Attr("value"))
}

// automation is the address of an automation by its name.
func (s *scene) automation(t *testing.T, name string) string {
	t.Helper()
	var found string
	if err := s.DB.QueryRow(t.Context(), "SELECT '/automations/' || id FROM automations WHERE name = $1", name).
		Scan(&found); err != nil {
		t.Fatal(err)
	}
	return found
}

// call sends a call of a key, and reports whether it was accepted.
func (s *scene) call(hook, key string) bool {
	req, err := http.NewRequest(http.MethodPost, s.Web.Base+hook, strings.NewReader(`{"a":1}`))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	var answer struct{ Success bool }
	return json.NewDecoder(res.Body).Decode(&answer) == nil && answer.Success
}

func TestEveryDueTimeIsAnsweredOnceWhereverASchedulerDies(t *testing.T) {
	t.Parallel()
	needsPoints(t)
	s := newScene(t, stage.Plan{Settings: []string{"CARILLON_OUTBOUND_PRIVATE=on"}})
	// due makes an automation that is due now.
	due := func(t *testing.T, name, script string) (automation string, at time.Time) {
		t.Helper()
		if err := s.DB.QueryRow(t.Context(), "SELECT date_trunc('minute', now())").Scan(&at); err != nil {
			t.Fatal(err)
		}
		form := s.v.Form(t, name, s.script(script))
		form.Set("trigger", "recurring")
		form.Set("time_zone", "UTC")
		form.Set("cron", at.UTC().Format("4 15 2 1 *"))
		automation = s.make(t, "/automations", form)
		s.Exec(t, "UPDATE automations SET next_run_at = $2 WHERE id = $1", id(automation), at)
		return automation, at
	}
	fires := func(t *testing.T, s *scene) func(*testing.T) {
		name := fmt.Sprint("Due ", s.Count(t, "SELECT count(*) FROM automations"))
		automation, at := due(t, name, "true")
		return func(t *testing.T) {
			if status, reason := s.outcome(t, automation, 0); status != "succeeded" {
				t.Errorf("the due run %s: %s", status, reason)
			}
			if n := s.Count(t, "SELECT count(*) FROM executions WHERE automation_id = $1 AND scheduled_for = $2",
				id(automation), at); n != 1 {
				t.Errorf("%d rows answer the due time", n)
			}
		}
	}
	told := &receiver{}
	hook := httptest.NewServer(told)
	t.Cleanup(hook.Close)
	s.v.Post(t, "/settings/profile/notices", url.Values{
		"webhook": {hook.URL}, "kinds": {"failed", "disabled", "skipped"},
	})
	tells := func(t *testing.T, s *scene) func(*testing.T) {
		failing := s.v.Automation(t, fmt.Sprint("Fails ", s.Count(t, "SELECT count(*) FROM automations")),
			s.script("exit 1"))
		s.v.Run(t, failing)
		return func(t *testing.T) {
			// else it was interrupted
			want := s.Count(t, "SELECT count(*) FROM executions WHERE automation_id = $1 AND NOT neutral", id(failing))
			if n := s.Count(t, "SELECT count(*) FROM notifications WHERE automation_id = $1", id(failing)); n != want {
				t.Errorf("%d failures were told %d times", want, n)
			}
			if n := told.of(failing); n != want {
				t.Errorf("of %d failures %d copies came, without those that came again", want, n)
			}
		}
	}
	s.suffer(t, []fault{
		{point: crash.DueClaimed, role: stage.Scheduler, play: fires},
		{point: crash.DueWritten, role: stage.Scheduler, play: fires},
		{point: crash.DueCommitted, role: stage.Scheduler, play: fires},
		{point: crash.NoticeWritten, role: stage.Scheduler, play: func(t *testing.T, s *scene) func(*testing.T) {
			unable := s.v.Automation(t, "Unable", s.script("true"))
			s.Exec(t, `UPDATE automations SET trigger = 'one_time', time_zone = 'UTC', enabled = true, provider = 'gone', run_at = date_trunc('minute', now()),
				next_run_at = date_trunc('minute', now()) WHERE id = $1`, id(unable))
			return func(t *testing.T) {
				if status, reason := s.outcome(t, unable, 0); status != "failed" {
					t.Errorf("what cannot start %s: %s", status, reason)
				}
				if n := s.Count(t, "SELECT count(*) FROM notifications WHERE automation_id = $1", id(unable)); n != 1 {
					t.Errorf("a run that could not start was told %d times", n)
				}
			}
		}},
		{point: crash.NoticeWritten, role: stage.Worker, play: tells},
		{point: crash.CopyClaimed, role: stage.Scheduler, play: tells},
		{point: crash.CopySent, role: stage.Scheduler, play: tells},
		{point: crash.CopyEnded, role: stage.Scheduler, play: tells},
		{point: crash.HistoryPruned, role: stage.Scheduler, play: func(t *testing.T, s *scene) func(*testing.T) {
			old := s.v.Automation(t, "Old", s.script("true"))
			s.Exec(t, `INSERT INTO executions (id, automation_id, source, status, parameters, snapshot, created_at, started_at, finished_at)
				SELECT gen_random_uuid(), $1, 'manual', 'failed', '{}', '{}', now() - interval '100 days', now() - interval '100 days', now() - interval '100 days'
				FROM generate_series(1, 205)`, id(old))
			return func(t *testing.T) {
				if n := s.Count(t, "SELECT count(*) FROM executions WHERE automation_id = $1", id(old)); n != 200 {
					t.Errorf("%d old executions are kept; want 200", n)
				}
			}
		}},
	})
}

// receiver is where a person's copies go.
type receiver struct {
	mu  sync.Mutex
	ids map[string]map[string]bool // of messages, by the automation that they are about
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	var m struct{ URL string }
	if err := json.NewDecoder(req.Body).Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids == nil {
		r.ids = map[string]map[string]bool{}
	}
	about := id(m.URL)
	if r.ids[about] == nil {
		r.ids[about] = map[string]bool{}
	}
	r.ids[about][req.Header.Get("Webhook-Id")] = true
}

// of counts the messages about an automation. One that came again counts once: it says so by its id.
func (r *receiver) of(automation string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ids[id(automation)])
}
