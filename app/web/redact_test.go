package web

import (
	"encoding/hex"
	"net/url"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/app/workflow"
	"carillon/db"
)

// A secret parameter that arrives by webhook must be readable in no row: not in deliveries, runs, prompts, nor in what
// came to nothing.
func TestASecretThatACallBringsIsNowhereInClear(t *testing.T) {
	const secret, plain = `hunter2 "quoted" & long`, "the build"
	s := open(t)
	wf, err := s.workflows.Create(t.Context(), s.as("Mira", account.RoleManager).actor, workflow.Input{
		Name: "Flow", Steps: []workflow.StepInput{{Kind: "message", Text: "Look at $what with $key."}},
		Parameters: []workflow.ParameterInput{{Alias: "what", Type: "text"},
			{Alias: "key", Type: "secret", Required: true}, {Alias: "n", Type: "number"}},
	})
	check(t, err)
	h := &hook{site: s, owner: s.as("Jonas", account.RoleMember)}
	h.a, h.token, err = s.rules.Definitions().Create(t.Context(), h.owner.actor,
		automation.Input{Automation: spec.Automation{
			TimeoutMinutes: 360,
			Name:           "Triage",
			Workspace:      s.workspace,
			Trigger:        "http",
			SessionType:    "develop",
			ExecutionType:  "workflow",
			Workflow:       wf.ID.String(),
			Provider:       "agent",
			AppendPayload:  true,
			Retries:        2,
		}})
	check(t, err)
	body := `{"what":"the build", "key": "hunter2 \"quoted\" & long","nested":{"again":"hunter2 \"quoted\" \u0026 long"}}`
	form := url.Values{"what": {plain}, "key": {secret}}.Encode()
	h.send(body).expect(t, 200, `"success":true`)
	h.send(body).expect(t, 409, "")
	h.free()
	h.send(form, "Content-Type", "application/x-www-form-urlencoded").expect(t, 200, `"success":true`)
	h.free()
	h.send(url.Values{"payload": {body}}.Encode(), "Content-Type", "application/x-www-form-urlencoded").
		expect(t, 200, `"success":true`)
	h.free()
	h.call("GET", endpoint+"?"+form, h.token, "", nil).expect(t, 200, `"success":true`)
	h.free()
	h.send(`{"n":"many","key":"hunter2 \"quoted\" & long"}`).expect(t, 400, "parameter n: this is not a number")
	h.send(`{"key":"hunter2 \"quoted\" & long`).expect(t, 400, "JSON object") // broken

	d := h.deliveries("started")[3]
	path := "/automations/" + h.a.ID.String() + "/deliveries/" + d.ID.String()
	page := h.owner.get(path)
	page.expect(t, 200, plain)
	page.expect(t, 200, "(secret)")
	if strings.Contains(page.body, "hunter2") {
		t.Error("the page of the call shows the secret")
	}
	h.owner.post(path+"/replays").expect(t, 303, "")
	runs := h.runs(h.a.ID)
	e, err := h.rules.Runs().Find(t.Context(), h.owner.actor, runs[0].ID)
	check(t, err)
	values, _, err := workflow.OpenValues(h.rules.Keys, e)
	check(t, err)
	if e.Mark != db.ReplayMark || values["key"] != secret || values["what"] != plain {
		t.Errorf("the replay ran with %q; want what the call brought", values)
	}
	h.free()

	active := func(set string) {
		_, err := s.server.DB.NewRaw("UPDATE users SET deactivated_at = " + set + " WHERE name = 'Jonas'").
			Exec(t.Context())
		check(t, err)
	}
	active("now()")
	h.send(body).expect(t, 400, "no active account") // a failed run is recorded
	active("NULL")
	check(t, h.workflows.Remove(t.Context(), s.as("Mona", account.RoleManager).actor, wf.ID))
	h.send(body).expect(t, 400, "the workflow of this automation was removed")

	var tables []string
	check(t, s.server.DB.NewRaw("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'").
		Scan(t.Context(), &tables))
	for _, table := range tables {
		var n int
		check(t, s.server.DB.NewRaw("SELECT count(*) FROM "+table+
			" AS x WHERE x::text LIKE '%hunter2%' OR x::text LIKE ?", "%"+hex.EncodeToString([]byte("hunter2"))+"%").
			Scan(t.Context(), &n))
		if n > 0 {
			t.Errorf("%d rows of %s hold the secret", n, table)
		}
	}
}
