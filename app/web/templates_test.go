package web_test

import (
	"net/http"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/web/webtest"
	"carillon/db"
	"carillon/views"
)

func TestANewAutomationOffersTheCommonPatternsAndEachFillsTheEditorIn(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleMember)
	blank := b.Get("/automations/new")
	blank.Expect(t, http.StatusOK, "Start from a template")
	for _, p := range views.Patterns() {
		key := p.URL[strings.Index(p.URL, "=")+1:]
		template, ok := automation.TemplateByKey(key)
		if !ok || !strings.Contains(blank.Text, `href="`+p.URL+`"`) {
			t.Fatalf("%s leads to no template, or is not offered", p.URL)
		}
		page := b.Get(p.URL)
		for _, want := range []string{
			`value="` + template.Input.Name + `"`, `value="` + template.Input.Trigger + `" checked`,
			`value="` + template.Input.Cron + `"`,
			`<option value="agent" selected>`, // the workspace's own is for scripts, which these are not
		} {
			page.Expect(t, http.StatusOK, want)
		}
		if strings.Contains(page.Text, "Start from a template") {
			t.Error("who has chosen a template is asked again")
		}
	}
	b.Get("/automations/new?template=nightly-audit").Expect(t, http.StatusOK,
		"Run a dependency audit and create tickets for any high-severity findings")
	b.Get("/automations/new?template=nonsense").Expect(t, http.StatusOK, "Start from a template")
}

func TestWhatATemplateFillsInCanBeSavedAsItIs(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleMember)
	for _, template := range automation.Templates() {
		f := formAt(b, "/automations/new?template="+template.Key, "/automations")
		if retries, timeout := f.Values.Get("retries"), f.Values.Get("timeout"); retries != "2" || timeout != "360" {
			t.Errorf("%s shows %s retries and a timeout of %s; want what a new automation shows", template.Key, retries,
				timeout)
		}
		if f.Values.Get("execution_type") == string(db.WorkflowDriven) && f.Values.Get("workflow") == "" {
			continue // it is to be created first
		}
		if a := submit(b, f); a.StatusCode != http.StatusSeeOther {
			t.Errorf("%s is answered %d %s", template.Key, a.StatusCode, wrongIn(a.Text))
		}
	}
}

func TestATemplateOffersToOpenPullRequestsOnlyWhereThatCanBe(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleMember)
	plain := b.Get("/automations/new?template=release-branch")
	_, err := s.Server.DB.NewRaw(
		"UPDATE workspaces SET git_url = 'https://github.com/acme/app.git', token_sealed = 'x'").Exec(t.Context())
	webtest.Check(t, err)
	able := b.Get("/automations/new?template=release-branch")
	checked := func(a *webtest.Answer) bool {
		_, rest, _ := strings.Cut(a.Text, `id="create_pr"`)
		before, _, _ := strings.Cut(a.Text, `id="create_pr"`)
		tag, _, _ := strings.Cut(rest, ">")
		return strings.Contains(before[strings.LastIndex(before, "<input"):]+tag, "checked")
	}
	if checked(plain) || !checked(able) {
		t.Errorf("Create pull request is ticked: %v without a forge, %v with one", checked(plain), checked(able))
	}
}

func TestATemplatesWorkflowIsMadeByThoseWhoMayAndLeadsBackToTheAutomation(t *testing.T) {
	s := webtest.Open(t)
	s.As("Lee", account.RoleMember).Get("/automations/new?template=qa-loop").Expect(t, http.StatusOK,
		"Ask a person who may manage workflows")
	b := s.As("Mira", account.RoleAdministrator)
	b.Get("/automations/new?template=qa-loop").Expect(t, http.StatusOK, `href="/workflows/new?template=qa-loop"`)
	b.Get("/workflows/new?template=qa-loop").Expect(t, http.StatusOK, `name="template" value="qa-loop"`)
	made := b.Post("/workflows", "name", "Ours by another name", "template", "qa-loop", "step_kind", "message",
		"step_text", "Take it.")
	made.Expect(t, http.StatusSeeOther, "")
	back := made.Header.Get("Location")
	if !strings.HasPrefix(back, "/automations/new?template=qa-loop&workflow=") {
		t.Fatalf("saving leads to %s; want the automation that it is made for", back)
	}
	page := b.Get(back)
	page.Expect(t, http.StatusOK, "selected>Ours by another name<")
	if strings.Contains(page.Text, "does not have yet") {
		t.Error("the workflow just made is still missing")
	}
}
