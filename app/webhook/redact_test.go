package webhook_test

import (
	"encoding/hex"
	"net/url"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/app/web/webtest"
	"carillon/app/workflow"
	"carillon/db"
)

// A secret parameter that arrives by webhook must be readable in no row: not in deliveries, runs, prompts, nor in what
// came to nothing.
func TestASecretThatACallBringsIsNowhereInClear(t *testing.T) {
	const secret, plain = `hunter2 "quoted" & long`, "the build"
	s := webtest.Open(t)
	wf, err := s.Workflows.Create(t.Context(), s.As("Mira", account.RoleManager).Actor, workflow.Input{
		Name: "Flow", Steps: []workflow.StepInput{{Kind: "message", Text: "Look at $what with $key."}},
		Parameters: []workflow.ParameterInput{{Alias: "what", Type: "text"},
			{Alias: "key", Type: "secret", Required: true}, {Alias: "n", Type: "number"}},
	})
	webtest.Check(t, err)
	h := &webtest.Hook{Site: s, Owner: s.As("Jonas", account.RoleMember)}
	h.A, h.Token, err = s.Rules.Definitions().Create(t.Context(), h.Owner.Actor,
		automation.Input{Automation: spec.Automation{
			TimeoutMinutes: 360,
			Name:           "Triage",
			Workspace:      s.Workspace,
			Trigger:        "http",
			SessionType:    "develop",
			ExecutionType:  "workflow",
			Workflow:       wf.ID.String(),
			Provider:       "agent",
			AppendPayload:  true,
			Retries:        2,
		}})
	webtest.Check(t, err)
	body := `{"what":"the build", "key": "hunter2 \"quoted\" & long","nested":{"again":"hunter2 \"quoted\" \u0026 long"}}`
	form := url.Values{"what": {plain}, "key": {secret}}.Encode()
	h.Send(body).Expect(t, 200, `"success":true`)
	h.Send(body).Expect(t, 409, "")
	h.Free()
	h.Send(form, "Content-Type", "application/x-www-form-urlencoded").Expect(t, 200, `"success":true`)
	h.Free()
	h.Send(url.Values{"payload": {body}}.Encode(), "Content-Type", "application/x-www-form-urlencoded").
		Expect(t, 200, `"success":true`)
	h.Free()
	h.Call("GET", webtest.Endpoint+"?"+form, h.Token, "", nil).Expect(t, 200, `"success":true`)
	h.Free()
	h.Send(`{"n":"many","key":"hunter2 \"quoted\" & long"}`).Expect(t, 400, "parameter n: this is not a number")
	h.Send(`{"key":"hunter2 \"quoted\" & long`).Expect(t, 400, "JSON object") // broken

	d := h.Deliveries("started")[3]
	path := "/automations/" + h.A.ID.String() + "/deliveries/" + d.ID.String()
	page := h.Owner.Get(path)
	page.Expect(t, 200, plain)
	page.Expect(t, 200, "(secret)")
	if strings.Contains(page.Text, "hunter2") {
		t.Error("the page of the call shows the secret")
	}
	h.Owner.Post(path+"/replays").Expect(t, 303, "")
	runs := h.Runs(h.A.ID)
	e, err := h.Rules.Runs().Find(t.Context(), h.Owner.Actor, runs[0].ID)
	webtest.Check(t, err)
	values, _, err := workflow.OpenValues(h.Rules.Keys, e)
	webtest.Check(t, err)
	if e.Mark != db.ReplayMark || values["key"] != secret || values["what"] != plain {
		t.Errorf("the replay ran with %q; want what the call brought", values)
	}
	h.Free()

	active := func(set string) {
		_, err := s.Server.DB.NewRaw("UPDATE users SET deactivated_at = " + set + " WHERE name = 'Jonas'").
			Exec(t.Context())
		webtest.Check(t, err)
	}
	active("now()")
	h.Send(body).Expect(t, 400, "no active account") // a failed run is recorded
	active("NULL")
	webtest.Check(t, h.Workflows.Remove(t.Context(), s.As("Mona", account.RoleManager).Actor, wf.ID))
	h.Send(body).Expect(t, 400, "the workflow of this automation was removed")

	var tables []string
	webtest.Check(t,
		s.Server.DB.NewRaw("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'").
			Scan(t.Context(), &tables))
	for _, table := range tables {
		var n int
		webtest.Check(t, s.Server.DB.NewRaw("SELECT count(*) FROM "+table+
			" AS x WHERE x::text LIKE '%hunter2%' OR x::text LIKE ?", "%"+hex.EncodeToString([]byte("hunter2"))+"%").
			Scan(t.Context(), &n))
		if n > 0 {
			t.Errorf("%d rows of %s hold the secret", n, table)
		}
	}
}
