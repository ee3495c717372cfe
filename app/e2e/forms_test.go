package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"carillon/app/e2e/internal/stage"
	"carillon/app/web"
	"carillon/db"
)

// formPage is a page that the walk opens: the route and one address of it.
type formPage struct {
	Route string `json:"route"`
	Path  string `json:"path"`
}

// Every form of every page, found by the table of routes, is saved as it is, changed field by field, saved and seen
// again, and every button is pressed: by forms.test.mjs, in one browser. A form that the script has no line for fails
// it, and so does a route that takes what a form or button sends and to which nothing was sent. The server takes part
// in no run, so that what changes in the database is what the forms change.
func TestEveryFormKeepsWhatItShowsAndSavesWhatIsChanged(t *testing.T) {
	t.Parallel()
	address := stage.OnDatabase(t)
	s := stage.ServePlain(t, slices.Concat(stage.AsAdministrator, []string{address, "CARILLON_ROLES=web"})...)
	d, err := db.Open(t.Context(), strings.TrimPrefix(address, "DATABASE_URL="))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	ids := seedForms(t, stage.Visit(t, s), d)
	var pages []formPage
	var sent []string // what forms and buttons send to
	for _, route := range web.Patterns() {
		if path, ok := strings.CutPrefix(route, "POST "); ok && !strings.HasPrefix(path, "/api/") {
			sent = append(sent, path)
		}
		path, ok := strings.CutPrefix(route, "GET ")
		if !ok || !strings.Contains(path, "{") {
			if ok {
				pages = append(pages, formPage{path, path})
			}
			continue
		}
		kind := strings.Split(strings.TrimPrefix(path, "/settings"), "/")[1]
		for _, id := range ids[kind] {
			pages = append(pages, formPage{path, strings.NewReplacer("{id}", id, "{provider}", id, "{delivery}",
				first(ids["deliveries"]), "{$}", "").Replace(path)})
		}
		if path == "/{$}" {
			pages = append(pages, formPage{path, "/"})
		}
	}
	pages = append(pages, formPage{"/automations/{id}/trial", "/automations/" + ids["called"][0] + "/trial?delivery=" +
		first(ids["deliveries"])})
	list, err := json.Marshal(pages)
	if err != nil {
		t.Fatal(err)
	}
	routes, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	rows := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewEncoder(w).Encode(rowsOf(t, d)); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(rows.Close)
	script(t, s, "forms", "PAGES="+string(list), "ROUTES="+string(routes), "ROWS="+rows.URL,
		"REPOSITORY="+stage.Repository(t))
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// rowsOf are all rows, by table, without what a save that changes nothing may write.
func rowsOf(t *testing.T, d *db.DB) map[string][]string {
	var tables []string
	if err := d.NewRaw(
		"SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname NOT "+
			"IN ('audit_events', 'logins', 'workers', 'servers') AND relname NOT LIKE 'bun_%'").
		Scan(t.Context(), &tables); err != nil {
		t.Error(err)
	}
	all := map[string][]string{}
	for _, table := range tables {
		list := []string{}
		if err := d.NewRaw("SELECT (to_jsonb(t) - 'version' - 'updated_at')::text FROM ? t ORDER BY 1",
			bun.Ident(table)).Scan(t.Context(), &list); err != nil {
			t.Error(err)
		}
		all[table] = list
	}
	return all
}

var uuidText = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

// seedForms makes one of everything that has a form, through the forms themselves, and returns the ids by the first
// part of the address.
func seedForms(t *testing.T, v *stage.Visitor, d *db.DB) map[string][]string {
	t.Helper()
	ids := map[string][]string{}
	made := func(kind, path string, form url.Values) string {
		t.Helper()
		a := v.Post(t, path, form)
		id := uuidText.FindString(a.To)
		if a.Status == http.StatusOK { // what is told once is shown in the answer
			if err := d.NewRaw(
				"SELECT id::text FROM automations WHERE name = ? UNION SELECT id::text FROM users WHERE name = ?",
				form.Get("name"), form.Get("name")).Scan(t.Context(), &id); err != nil {
				t.Fatal(err)
			}
		}
		if id == "" {
			t.Fatalf("POST %s answered %d %s: %s", path, a.Status, a.To, a.Said())
		}
		ids[kind] = append(ids[kind], id)
		return id
	}
	var scratch, member string
	for query, into := range map[string]*string{
		"SELECT id::text FROM workspaces LIMIT 1": &scratch, "SELECT id::text FROM roles WHERE key = 'member'": &member,
	} {
		if err := d.NewRaw(query).Scan(t.Context(), into); err != nil {
			t.Fatal(err)
		}
	}
	bot := made("bots", "/bots", url.Values{
		"name": {"Bot"}, "instructions": {"\n\nBe brief.\n  Twice.\n"}, "allowed_tools": {"Read\nGrep"},
		"enabled": {"true"},
	})
	flow := made("workflows", "/workflows", url.Values{
		"name": {"Flow"}, "description": {"What it is."}, "step_kind": {"message", "message"},
		"step_text": {"\nGreet ${who}.\n", "Again."}, "step_label": {"One", ""}, "step_path": {"", ""},
		"step_marker": {"", ""}, "step_max": {"", ""}, "parameter_alias": {"who", "how"},
		"parameter_label": {"Who", "How"}, "parameter_type": {"text", "choice"},
		"parameter_default": {"Ada\nGrace", ""}, "parameter_choices": {"", "soft, loud"},
	})
	made("tickets", "/tickets", url.Values{
		"workspace": {scratch}, "title": {"Broken"}, "body": {"\nIt is.\n\n- so\n"}, "priority": {"high"},
		"labels": {"qa, api"},
	})
	made("tickets", "/tickets", url.Values{"workspace": {scratch}, "title": {"Slow"}, "priority": {"low"}})
	made("tickets", "/tickets", url.Values{"workspace": {scratch}, "title": {"Old"}, "priority": {"low"}})
	made("roles", "/settings/roles", url.Values{"name": {"Guest"}, "permissions": {"automations.view_own"}})
	jonas := made("users", "/settings/users", url.Values{
		"email": {"jonas@example.com"}, "name": {"Jonas"}, "password": {stage.AdminPassword}, "roles": {member},
	})
	// is invited
	grace := made("users", "/settings/users", url.Values{
		"email": {"grace@example.com"}, "name": {"Grace"}, "roles": {member},
	})
	v.Post(t, "/workspaces/"+scratch+"/removal", url.Values{"user": {grace}})
	gone := made("users", "/settings/users", url.Values{
		"email": {"alan@example.com"}, "name": {"Alan"}, "password": {stage.AdminPassword}, "roles": {member},
	})
	v.Post(t, "/settings/users/"+gone+"/deactivation", nil)
	ids["workspaces"] = []string{scratch}
	ids["providers"] = nil
	if a := v.Post(t, "/settings/providers", url.Values{
		"name": {"Mine"}, "command": {"mine --acp 'two words'"}, "keys": {"MINE_KEY"}, "state": {".mine"},
	}); a.Status == http.StatusSeeOther {
		_, id, _ := strings.Cut(a.To, "#provider-")
		ids["providers"] = []string{id}
	} else {
		t.Fatalf("the agent answered %d %s", a.Status, a.Said())
	}
	automation := func(name string, more url.Values) string {
		form := v.Form(t, name, "\n\necho {{who}}\n  indented\n")
		form.Set("provider", "claude")
		form.Set("param.who", "Ada\n\nGrace")
		for key, list := range more {
			form[key] = list
		}
		return made("automations", "/automations", form)
	}
	manual := automation("Manual", url.Values{
		"toggles": {"edge_cases"}, "budget_day_tokens": {"1000"}, "success_contains": {"DONE"},
		"gate_command": {"\ntrue\n"},
	})
	recurring := automation("Recurring", url.Values{
		"trigger": {"recurring"}, "cron": {"0 3 1 1 *"}, "time_zone": {"Europe/Berlin"}, "catch_up": {"true"},
	})
	once := automation("Once", url.Values{
		"trigger": {"one_time"}, "run_at": {"2090-03-04T05:06"}, "time_zone": {"America/New_York"},
	})
	automation("Loop", url.Values{"trigger": {"loop"}, "max_iterations": {"3"}, "stop_text": {"ENOUGH"}})
	called := automation("Webhook", url.Values{
		"trigger": {"http"}, "allow_parallel": {"true"}, "max_parallel": {"3"}, "filter_field": {"action"},
		"filter_operator": {"equals"}, "filter_value": {"opened"},
	})
	flowed := automation("By workflow", url.Values{
		"execution_type": {"workflow"}, "workflow": {flow}, "prompt": {""}, "param.who": {"Ada\nGrace"},
		"param.how": {"loud"},
	})
	asked := automation("By bot", url.Values{"session_type": {"bot"}, "bot": {bot}, "prompt": {"Look."}})
	v.Post(t, "/automations/"+once+"/transfer", url.Values{"to": {jonas}})
	start := func(automation string) string {
		return uuidText.FindString(v.Run(t, "/automations/"+automation))
	}
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := d.NewRaw(query, args...).Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	list := func(query string, args ...any) (found []string) {
		t.Helper()
		if err := d.NewRaw(query, args...).Scan(t.Context(), &found); err != nil {
			t.Fatal(err)
		}
		return found
	}
	over, ran := start(manual), start(once)
	calls(t, v, called)
	// A session that is over and open takes a reply.
	exec("UPDATE turns SET status = 'succeeded', started_at = now(), finished_at = now()")
	exec("UPDATE executions SET status = 'succeeded', started_at = now(), finished_at = now()")
	exec("UPDATE sessions SET status = 'waiting', queued_at = NULL, at_gate = false")
	// One that is at work, with a message that waits.
	working := start(asked)
	exec("UPDATE sessions SET status = 'in_progress', queued_at = NULL, worker = 'here', fence = 1, lease_until = "+
		"now() + interval '1 day' WHERE id = ?", working)
	exec("UPDATE executions SET status = 'running', started_at = now() WHERE session_id = ?", working)
	exec("UPDATE turns SET status = 'running', started_at = now() WHERE session_id = ?", working)
	v.Post(t, "/sessions/"+working+"/messages", url.Values{"message": {"And then?"}})
	// One whose files are on a worker that is silent.
	away := start(recurring)
	exec("INSERT INTO workers (id, name, seen_at) VALUES ('away', 'forge-1', now() - interval '1 hour')")
	exec("UPDATE sessions SET worker = 'away', branch = 'carillon/away', files_changed = 1 WHERE id = ?", away)
	// One that is closed and could get a pull request.
	closed := start(flowed)
	var forge string
	if err := d.NewRaw(`INSERT INTO workspaces SELECT (jsonb_populate_record(w, jsonb_build_object('id', gen_random_uuid(), 'name', 'Forge', 'scratch', false,
		'git_url', 'https://github.com/o/r.git', 'token_sealed', '\x00'))).* FROM workspaces w RETURNING id::text`).
		Scan(t.Context(), &forge); err != nil {
		t.Fatal(err)
	}
	v.Post(t, "/tickets", url.Values{"workspace": {forge}, "title": {"First"}, "priority": {"low"}})
	exec("UPDATE turns SET status = 'succeeded', started_at = now(), finished_at = now() WHERE session_id = ?", closed)
	exec("UPDATE executions SET status = 'succeeded', started_at = now(), finished_at = now() WHERE session_id = ?",
		closed)
	exec(`UPDATE sessions SET status = 'done', queued_at = NULL, closed_at = now(), workspace_id = ?, branch = 'carillon/closed', files_changed = 1
		WHERE id = ?`, forge, closed)
	ids["sessions"] = []string{over, ran, working, away, closed}
	ids["executions"] = list("SELECT id::text FROM executions ORDER BY status, id")
	ids["called"] = []string{called}
	ids["deliveries"] = list("SELECT id::text FROM webhook_deliveries")
	exec(`INSERT INTO pull_requests (id, session_id, forge, repository, number, url, key, state, found_by, created_at, updated_at)
		VALUES (gen_random_uuid(), ?, 'github', 'o/r', 7, 'https://example.com/o/r/pull/7', 'example.com/o/r/7', 'open', 'hand', now(), now())`, over)
	v.Post(t, "/sessions/"+over+"/tickets", url.Values{"ticket": {"#1"}})
	exec(`INSERT INTO provider_pauses (provider, since, until, failed_at, failures, error_class, reason)
		VALUES ('codex', now(), now() + interval '1 day', now(), 3, 'rate_limit', 'the quota is used up')`)
	exec(`INSERT INTO api_tokens (id, user_id, name, hash, narrowed, created_at, expires_at)
		VALUES (gen_random_uuid(), ?, 'Script', sha256('a'), false, now(), now() + interval '1 day')`, jonas)
	exec(`INSERT INTO notifications (id, user_id, kind, title, dedup_key, created_at)
		SELECT gen_random_uuid(), id, 'message', 'Notice ' || n, 'n' || n, now() FROM users, generate_series(1, 5) AS n WHERE email = ?`, stage.AdminEmail)
	ids["inbox"] = list("SELECT id::text FROM notifications ORDER BY dedup_key LIMIT 2")
	exec("UPDATE notifications SET starred_at = now() WHERE id = ?", ids["inbox"][1])
	exec("INSERT INTO user_identities (issuer, subject, user_id, created_at, used_at) VALUES "+
		"('https://id.example.com', '7', ?, now(), now())", jonas)
	return ids
}

// calls lets something outside call an automation's webhook.
func calls(t *testing.T, v *stage.Visitor, automation string) {
	t.Helper()
	token := v.Post(t, "/automations/"+automation+"/token", nil)
	shown := token.First(stage.With("id", "webhook_url")).Attr("value")
	if token.To != "" {
		shown = v.Get(t, token.To).First(stage.With("id", "webhook_url")).Attr("value")
	}
	res, err := http.Post(v.Server.Base+tokenAddress.FindString(shown), "application/json",
		strings.NewReader(`{"action":"opened"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // only its status is read
	if res.StatusCode != http.StatusOK {
		t.Fatalf("the call to %q answered %d", shown, res.StatusCode)
	}
}
