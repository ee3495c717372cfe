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

	"carillon/app/web"
	"carillon/db"
)

// formPage is a page that the walk opens: the route and one address of it.
type formPage struct {
	Route string `json:"route"`
	Path  string `json:"path"`
}

// Every form of every page, found by the table of routes, is saved as it is, changed field by field, saved and seen again, and
// every button is pressed: by forms.test.mjs, in one browser. A form that the script has no line for fails it. The server takes
// part in no run, so that what changes in the database is what the forms change.
func TestEveryFormKeepsWhatItShowsAndSavesWhatIsChanged(t *testing.T) {
	t.Parallel()
	address := onDatabase(t)
	s := serve(t, slices.Concat(asAdministrator, []string{address, "CARILLON_ROLES=web"})...)
	d, err := db.Open(t.Context(), strings.TrimPrefix(address, "DATABASE_URL="))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	ids := seedForms(t, visit(t, s), d)
	var pages []formPage
	for _, route := range web.Routes() {
		path, ok := strings.CutPrefix(route, "GET ")
		if !ok || !strings.Contains(path, "{") {
			if ok {
				pages = append(pages, formPage{path, path})
			}
			continue
		}
		kind := strings.Split(strings.TrimPrefix(path, "/settings"), "/")[1]
		for _, id := range ids[kind] {
			pages = append(pages, formPage{path, strings.NewReplacer("{id}", id, "{provider}", id, "{delivery}", first(ids["deliveries"]), "{$}", "").Replace(path)})
		}
		if path == "/{$}" {
			pages = append(pages, formPage{path, "/"})
		}
	}
	list, err := json.Marshal(pages)
	if err != nil {
		t.Fatal(err)
	}
	rows := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewEncoder(w).Encode(rowsOf(t, d)); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(rows.Close)
	script(t, s, "forms", "PAGES="+string(list), "ROWS="+rows.URL, "REPOSITORY="+repository(t))
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
	if err := d.NewRaw("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND relname NOT IN ('audit_events', 'logins', 'workers') AND relname NOT LIKE 'bun_%'").Scan(t.Context(), &tables); err != nil {
		t.Error(err)
	}
	all := map[string][]string{}
	for _, table := range tables {
		list := []string{}
		if err := d.NewRaw("SELECT (to_jsonb(t) - 'version' - 'updated_at')::text FROM ? t ORDER BY 1", bun.Ident(table)).Scan(t.Context(), &list); err != nil {
			t.Error(err)
		}
		all[table] = list
	}
	return all
}

var uuidText = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

// seedForms makes one of everything that has a form, through the forms themselves, and returns the ids by the first part of the
// address.
func seedForms(t *testing.T, v *visitor, d *db.DB) map[string][]string {
	t.Helper()
	ids := map[string][]string{}
	made := func(kind, path string, form url.Values) string {
		t.Helper()
		a := v.post(t, path, form)
		id := uuidText.FindString(a.to)
		if a.status == http.StatusOK { // what is told once is shown in the answer
			if err := d.NewRaw("SELECT id::text FROM automations WHERE name = ? UNION SELECT id::text FROM users WHERE name = ?", form.Get("name"), form.Get("name")).Scan(t.Context(), &id); err != nil {
				t.Fatal(err)
			}
		}
		if id == "" {
			t.Fatalf("POST %s answered %d %s: %s", path, a.status, a.to, a.said())
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
	bot := made("bots", "/bots", url.Values{"name": {"Bot"}, "instructions": {"\n\nBe brief.\n  Twice.\n"}, "allowed_tools": {"Read\nGrep"}, "enabled": {"true"}})
	flow := made("workflows", "/workflows", url.Values{
		"name": {"Flow"}, "description": {"What it is."}, "step_kind": {"message", "message"}, "step_text": {"\nGreet ${who}.\n", "Again."}, "step_label": {"One", ""}, "step_path": {"", ""},
		"step_marker": {"", ""}, "step_max": {"", ""}, "parameter_alias": {"who", "how"}, "parameter_label": {"Who", "How"}, "parameter_type": {"text", "choice"},
		"parameter_default": {"Ada\nGrace", ""}, "parameter_choices": {"", "soft, loud"},
	})
	made("tickets", "/tickets", url.Values{"workspace": {scratch}, "title": {"Broken"}, "body": {"\nIt is.\n\n- so\n"}, "priority": {"high"}, "labels": {"qa, api"}})
	made("roles", "/settings/roles", url.Values{"name": {"Guest"}, "permissions": {"automations.view_own"}})
	made("users", "/settings/users", url.Values{"email": {"jonas@example.com"}, "name": {"Jonas"}, "password": {adminPassword}, "roles": {member}})
	ids["workspaces"] = []string{scratch}
	ids["providers"] = nil
	if a := v.post(t, "/settings/providers", url.Values{"name": {"Mine"}, "command": {"mine --acp 'two words'"}, "keys": {"MINE_KEY"}, "state": {".mine"}}); a.status == http.StatusSeeOther {
		_, id, _ := strings.Cut(a.to, "#provider-")
		ids["providers"] = []string{id}
	} else {
		t.Fatalf("the agent answered %d %s", a.status, a.said())
	}
	automation := func(name string, more url.Values) string {
		form := v.form(t, name, "\n\necho {{who}}\n  indented\n")
		form.Set("provider", "claude")
		form.Set("param.who", "Ada\n\nGrace")
		for key, list := range more {
			form[key] = list
		}
		return made("automations", "/automations", form)
	}
	manual := automation("Manual", url.Values{"toggles": {"edge_cases"}, "budget_day_tokens": {"1000"}, "success_contains": {"DONE"}, "gate_command": {"\ntrue\n"}})
	automation("Recurring", url.Values{"trigger": {"recurring"}, "cron": {"0 3 1 1 *"}, "time_zone": {"Europe/Berlin"}, "catch_up": {"true"}})
	automation("Once", url.Values{"trigger": {"one_time"}, "run_at": {"2090-03-04T05:06"}, "time_zone": {"America/New_York"}})
	automation("Loop", url.Values{"trigger": {"loop"}, "max_iterations": {"3"}, "stop_text": {"ENOUGH"}})
	automation("Webhook", url.Values{"trigger": {"http"}, "allow_parallel": {"true"}, "max_parallel": {"3"}, "filter_field": {"action"}, "filter_operator": {"equals"}, "filter_value": {"opened"}})
	automation("By workflow", url.Values{"execution_type": {"workflow"}, "workflow": {flow}, "prompt": {""}, "param.who": {"Ada\nGrace"}, "param.how": {"loud"}})
	automation("By bot", url.Values{"session_type": {"bot"}, "bot": {bot}, "prompt": {"Look."}})
	run := v.post(t, "/automations/"+manual+"/runs", nil)
	session := uuidText.FindString(run.to)
	ids["sessions"] = []string{session}
	var executions []string
	if err := d.NewRaw("SELECT id::text FROM executions").Scan(t.Context(), &executions); err != nil {
		t.Fatal(err)
	}
	ids["executions"] = executions
	// A session that is over and open takes a reply.
	if _, err := d.NewRaw("UPDATE executions SET status = 'succeeded', started_at = now(), finished_at = now()").Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := d.NewRaw("UPDATE sessions SET status = 'waiting', queued_at = NULL").Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	return ids
}
