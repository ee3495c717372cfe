package web_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/payload"
	"carillon/app/spec"
	"carillon/app/web/webtest"
	"carillon/app/workflow"
)

// escapedNUL is how JSON writes a NUL, as six characters of plain text: in a regular expression, say.
const escapedNUL = `[\u0000-\u001f]`

// Every text field of every form takes text that looks like the escape of a NUL and shows it again as it was typed. A
// NUL itself is refused, whatever the field.
func TestEveryTextFieldTakesTheEscapeOfANULAndRefusesANUL(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleAdministrator)
	pages := settled(b)
	for name, change := range map[string]func(*automation.Input){
		"loop": func(in *automation.Input) { in.Trigger, in.StopText = "loop", "Over." },
		"hook": func(in *automation.Input) {
			in.Trigger = "http"
			in.Filter.Conditions = append(in.Filter.Conditions,
				spec.Condition{Field: "action", Operator: payload.OpEquals, Value: "opened"})
		},
		"filled": func(in *automation.Input) {
			in.Prompt, in.Parameters = "Look at {{what}}.", map[string]string{"what": "this"}
		},
	} {
		in := automation.Input{Automation: spec.Automation{
			TimeoutMinutes: 360,
			Name:           "A " + name,
			Workspace:      s.Workspace,
			Trigger:        "manual",
			SessionType:    "develop",
			Prompt:         "Look.",
			Provider:       "agent",
			Retries:        2,
		}}
		change(&in)
		a, _, err := b.Rules.Definitions().Create(t.Context(), b.Actor, in)
		webtest.Check(t, err)
		pages = append(pages, "/automations/"+a.ID.String()+"/edit")
	}
	wf, err := b.Workflows.Create(t.Context(), b.Actor, workflow.Input{
		Name: "Flow", Steps: []workflow.StepInput{{Kind: "message", Text: "Look at $what."},
			{Kind: "asset", Path: "notes.md", Text: "Notes."}},
		Parameters: []workflow.ParameterInput{{Alias: "what", Type: "text", Default: "this"}},
	})
	webtest.Check(t, err)
	pages = append(pages, "/workflows/"+wf.ID.String()+"/edit", "/settings/toggles", "/settings/roles/new")
	tried, kept := map[string]bool{}, map[string]bool{}
	for _, page := range pages {
		for at, f := range formsOf(t, b.Get(page).Text) {
			if f.method != http.MethodPost || f.action == "/logout" {
				continue
			}
			for _, asks := range []string{"sender", "forge", "shows"} { // for a secret, for an address, for paths
				if f.values.Has(asks) {
					f.values.Set(asks, "")
				}
			}
			if f.values.Has("variable_name") {
				f.values.Set("variable_name", "EXTRA")
			}
			for _, field := range slices.Compact(slices.Sorted(slices.Values(f.texts))) {
				key := anID.ReplaceAllString(f.action, "{id}") + " " + field
				if tried[key] && !strings.HasSuffix(page, "/edit") {
					continue
				}
				tried[key] = true
				values := maps.Clone(f.values)
				put := func(text string) { // in the row that has something already, of those that have several
					values[field] = slices.Clone(f.values[field])
					row := slices.IndexFunc(values[field], func(v string) bool { return v != "" })
					values[field][max(row, 0)] = text
				}
				put("a\x00b")
				if got := send(b, f.method, f.action, values); got.StatusCode < 400 || got.StatusCode >= 500 {
					t.Errorf("%s of %s answered %d to a NUL in %s; want a refusal", f.action, page, got.StatusCode,
						field)
				}
				put(escapedNUL)
				got := send(b, f.method, f.action, values)
				if got.StatusCode >= 500 {
					t.Errorf("%s of %s answered %d to %s in %s: %.300s", f.action, page, got.StatusCode, escapedNUL,
						field, got.Text)
				}
				again := formsOf(t, b.Get(page).Text)
				if at < len(again) && again[at].action == f.action {
					kept[key] = kept[key] || slices.Contains(again[at].values[field], escapedNUL)
					f.values = maps.Clone(f.values)
					for _, since := range []string{"version", "base"} { // what was changed is told from what was there
						if now := again[at].values[since]; now != nil {
							f.values[since] = now
						}
					}
				}
			}
		}
	}
	for action, fields := range map[string]string{
		"/automations/{id}": "name prompt stop_text filter_field filter_value gate_command success_command " +
			"success_contains base_branch model param.what",
		"/bots/{id}":           "name instructions model allowed_tools",
		"/tickets/{id}":        "title body labels",
		"/workflows/{id}":      "name description step_label step_text parameter_label parameter_default",
		"/settings/users/{id}": "name",
		"/workspaces/{id}":     "name",
		"/settings/profile":    "name",
		"/settings/toggles":    "code_architecture code_review verification",
	} {
		for field := range strings.FieldsSeq(fields) {
			if !kept[action+" "+field] {
				t.Errorf("%s never showed %s in %s", action, escapedNUL, field)
			}
		}
	}
	for table, column := range map[string]string{
		"turns": "prompt", "api_tokens": "name", "roles": "name", "bots": "name", "tickets": "title",
		"workflows": "name", "automations": "name",
	} {
		n, err := s.Server.DB.NewSelect().TableExpr("?", bun.Ident(table)).Where("? = ?", bun.Ident(column),
			escapedNUL).Count(t.Context())
		webtest.Check(t, err)
		if n == 0 {
			t.Errorf("no form put %s into %s.%s", escapedNUL, table, column)
		}
	}
	if len(tried) < 80 {
		t.Errorf("%d fields were tried, which is few", len(tried))
	}
}
