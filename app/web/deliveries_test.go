package web_test

import (
	"fmt"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/app/web/webtest"
	"carillon/db"
)

func TestASendersSecretIsKeptAndChangedAndForgotten(t *testing.T) {
	h := webtest.NewHook(t, func(in *automation.Input) {
		in.Sender, in.SignatureSecret, in.AllowParallel = "gitlab", "first", true
	})
	fields := func(more ...string) []string {
		return append([]string{"version", fmt.Sprint(version(h)), "name", "Triage", "workspace", h.Workspace,
			"trigger", "http", "session_type", "develop",
			"prompt", "Look.", "provider", "agent", "allow_parallel", "true", "max_parallel", "100"}, more...)
	}
	path := "/automations/" + h.A.ID.String()
	h.Owner.Post(path, fields("sender", "gitlab", "signature_secret", "")...).Expect(t, 303, "")
	h.Send("{}", "X-Gitlab-Token", "first").Expect(t, 200, `"success":true`)
	h.Owner.Post(path, fields("sender", "gitlab", "signature_secret", "zweites")...).Expect(t, 303, "")
	h.Send("{}", "X-Gitlab-Token", "first").Expect(t, 401, "is wrong")
	h.Send("{}", "X-Gitlab-Token", "zweites").Expect(t, 200, `"success":true`)
	// Another kind of sender needs its own secret.
	h.Owner.Post(path, fields("sender", "github", "signature_secret", "")...).Expect(t, 422, "A secret is needed.")
	h.Owner.Post(path, fields("sender", "standard", "signature_secret", "no key")...).Expect(t, 422, "whsec_")
	h.Owner.Post(path, fields("sender", "hmac", "signature_secret", "x", "signature_header", "no header")...).
		Expect(t, 422, "Name the header")
	h.Owner.Post(path, fields("sender", "nobody", "signature_secret", "x")...).
		Expect(t, 422, "Choose who signs the calls.")
	h.Owner.Post(path, fields("sender", "")...).Expect(t, 303, "")
	h.Send("{}").Expect(t, 200, `"success":true`)
	if page := h.Owner.Get(path + "/edit"); strings.Contains(page.Text, "zweites") {
		t.Error("the form shows the secret")
	}
}

func version(h *webtest.Hook) int64 {
	h.T.Helper()
	a, err := h.Rules.Definitions().Find(h.T.Context(), h.Owner.Actor, h.A.ID)
	webtest.Check(h.T, err)
	return a.Version
}

func TestAFilterIsEditedWithoutScript(t *testing.T) {
	h := webtest.NewHook(t, nil)
	path := "/automations/" + h.A.ID.String()
	post := func(more ...string) *webtest.Answer {
		return h.Owner.Post(path, append([]string{"version", fmt.Sprint(version(h)), "name", "Triage", "workspace",
			h.Workspace, "trigger", "http", "session_type", "develop",
			"prompt", "Look.", "provider", "agent"}, more...)...)
	}
	post("filter_any", "yes", "filter_field", "action", "filter_operator", "equals", "filter_value", "opened",
		"filter_field", "", "filter_operator", "equals", "filter_value", "", "filter_field", "draft", "filter_operator",
		"absent", "filter_value", "").Expect(t, 303, "")
	a, err := h.Rules.Definitions().Find(t.Context(), h.Owner.Actor, h.A.ID)
	webtest.Check(t, err)
	if !a.Filter.Any || len(a.Filter.Conditions) != 2 ||
		a.Filter.Conditions[1] != (db.Condition{Field: "draft", Operator: "absent"}) {
		t.Errorf("the filter is %+v", a.Filter)
	}
	h.Owner.Get(path+"/settings").Expect(t, 200, "action equals opened or draft is not there")
	refused := post("filter_field", "", "filter_operator", "equals", "filter_value", "lonely")
	refused.Expect(t, 422, "Each condition needs a field")
	refused.Expect(t, 422, "lonely")
	post("filter_field", "x", "filter_operator", "rhymes", "filter_value", "y").
		Expect(t, 422, "Choose how the field is compared.")
}

func TestADeliveryIsShownAndReplayedWithTheSameInput(t *testing.T) {
	h := webtest.NewHook(t, nil)
	first := h.Send(`{"what":"<b>the build</b>","who":"x"}`, "X-Note", "kept", "Authorization", "Bearer verborgen")
	first.Expect(t, 200, `"success":true`)
	d := h.Deliveries("started")[0]
	list := "/automations/" + h.A.ID.String() + "/deliveries"
	page := h.Owner.Get(list + "/" + d.ID.String())
	for _, want := range []string{"&lt;b&gt;the build", "kept", "(not kept)", "Replay", "&#34;success&#34;: true",
		first.Envelope(t).ExecutionID} {
		page.Expect(t, 200, want)
	}
	if strings.Contains(page.Text, "verborgen") || strings.Contains(page.Text, h.Token) {
		t.Error("the page shows a secret")
	}
	h.Owner.Get(list).Expect(t, 200, "Started")
	h.Owner.Get(list+"?verdict=busy").Expect(t, 200, "Nothing matches")
	h.Owner.Post(list+"/"+d.ID.String()+"/replays").Expect(t, 409, "already in flight")
	h.Free()
	h.Owner.Post(list+"/"+d.ID.String()+"/replays").Expect(t, 303, "")
	runs := h.Runs(h.A.ID)
	if e := runs[0]; len(runs) != 2 || e.Mark != db.ReplayMark || e.Source != db.ByHand ||
		e.UserID != h.Owner.Actor.ID || e.Parameters["what"] != "<b>the build</b>" {
		t.Errorf("the replay is %+v", runs[0])
	}
	// Others do not learn of it, and another automation has it not.
	h.As("Lena", account.RoleMember).Get(list+"/"+d.ID.String()).Expect(t, 404, "")
	other := newOther(h)
	h.Owner.Get("/automations/"+other+"/deliveries/"+d.ID.String()).Expect(t, 404, "")
	h.Owner.Post("/automations/"+other+"/deliveries/"+d.ID.String()+"/replays").Expect(t, 404, "")
}

func newOther(h *webtest.Hook) string {
	h.T.Helper()
	a, _, err := h.Rules.Definitions().Create(h.T.Context(), h.Owner.Actor,
		automation.Input{Automation: spec.Automation{
			TimeoutMinutes: 360,
			Name:           "Other",
			Workspace:      h.Workspace,
			Trigger:        "http",
			SessionType:    "develop",
			Prompt:         "Look.",
			Provider:       "agent",
			Retries:        2,
		}})
	webtest.Check(h.T, err)
	return a.ID.String()
}

func TestAStoredCallIsTriedInTheEditorWithoutRunning(t *testing.T) {
	h := webtest.NewHook(t, func(in *automation.Input) {
		in.Filter = spec.Filter{Conditions: []spec.Condition{{Field: "what", Operator: "equals", Value: "tests"}}}
	})
	h.Send(`{"what":"the build"}`).Expect(t, 200, `"success":false`)
	d := h.Deliveries("")[0]
	path := "/automations/" + h.A.ID.String() + "/trial?delivery=" + d.ID.String()
	page := h.Owner.Get(path)
	page.Expect(t, 200, "Look at the build of {{who}}.")
	page.Expect(t, 200, "This call would not start a run: the filter did not match")
	page.Expect(t, 200, "1 placeholder would stay as written: who.")
	typed := h.Owner.Post(path, "name", "Typed", "workspace", h.Workspace, "trigger", "http", "session_type", "develop",
		"prompt", "Now {{what}}!", "provider", "agent")
	typed.Expect(t, 200, "Now the build!")
	typed.Expect(t, 200, `value="Typed"`)
	if n, err := db.CountExecutions(t.Context(), h.Server.DB, h.A.ID, 10); err != nil || n != 0 {
		t.Errorf("%d executions, %v; want none", n, err)
	}
}

func TestAnHTTPTriggerCannotBeDisabled(t *testing.T) {
	h := webtest.NewHook(t, nil)
	h.Owner.Post("/automations/"+h.A.ID.String()+"/enabled", "enabled", "false").Expect(t, 400, "always enabled")
	res := h.Owner.Post("/automations/bulk", "do", "disable", "id", h.A.ID.String())
	page := h.Owner.Get(res.Header.Get("Location"))
	page.Expect(t, 200, "Disabled 0, skipped 1: 1 HTTP Trigger, always enabled.")
	h.Call("POST", webtest.Endpoint, h.Token, "", nil).Expect(t, 200, `"success":true`)
}
