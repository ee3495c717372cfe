package web

import (
	"net/http"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/db"
	"carillon/views"
)

func TestANewAutomationOffersTheCommonPatternsAndEachFillsTheEditorIn(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleMember)
	blank := b.get("/automations/new")
	blank.expect(t, http.StatusOK, "Start from a template")
	for _, p := range views.Patterns() {
		key := p.URL[strings.Index(p.URL, "=")+1:]
		template, ok := automation.TemplateByKey(key)
		if !ok || !strings.Contains(blank.body, `href="`+p.URL+`"`) {
			t.Fatalf("%s leads to no template, or is not offered", p.URL)
		}
		page := b.get(p.URL)
		for _, want := range []string{
			`value="` + template.Input.Name + `"`, `value="` + template.Input.Trigger + `" checked`,
			`value="` + template.Input.Cron + `"`,
			`<option value="agent" selected>`, // the workspace's own is for scripts, which these are not
		} {
			page.expect(t, http.StatusOK, want)
		}
		if strings.Contains(page.body, "Start from a template") {
			t.Error("who has chosen a template is asked again")
		}
	}
	b.get("/automations/new?template=nightly-audit").expect(t, http.StatusOK,
		"Run a dependency audit and create tickets for any high-severity findings")
	b.get("/automations/new?template=nonsense").expect(t, http.StatusOK, "Start from a template")
}

func TestWhatATemplateFillsInCanBeSavedAsItIs(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleMember)
	for _, template := range automation.Templates() {
		f := b.formAt("/automations/new?template="+template.Key, "/automations")
		if retries, timeout := f.Values.Get("retries"), f.Values.Get("timeout"); retries != "2" || timeout != "360" {
			t.Errorf("%s shows %s retries and a timeout of %s; want what a new automation shows", template.Key, retries,
				timeout)
		}
		if f.Values.Get("execution_type") == string(db.WorkflowDriven) && f.Values.Get("workflow") == "" {
			continue // it is to be created first
		}
		if a := b.submit(f); a.StatusCode != http.StatusSeeOther {
			t.Errorf("%s is answered %d %s", template.Key, a.StatusCode, wrongIn(a.body))
		}
	}
}

func TestATemplateOffersToOpenPullRequestsOnlyWhereThatCanBe(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleMember)
	plain := b.get("/automations/new?template=release-branch")
	_, err := s.server.DB.NewRaw(
		"UPDATE workspaces SET git_url = 'https://github.com/acme/app.git', token_sealed = 'x'").Exec(t.Context())
	check(t, err)
	able := b.get("/automations/new?template=release-branch")
	checked := func(a *answer) bool {
		_, rest, _ := strings.Cut(a.body, `id="create_pr"`)
		before, _, _ := strings.Cut(a.body, `id="create_pr"`)
		tag, _, _ := strings.Cut(rest, ">")
		return strings.Contains(before[strings.LastIndex(before, "<input"):]+tag, "checked")
	}
	if checked(plain) || !checked(able) {
		t.Errorf("Create pull request is ticked: %v without a forge, %v with one", checked(plain), checked(able))
	}
}

func TestATemplatesWorkflowIsMadeByThoseWhoMayAndLeadsBackToTheAutomation(t *testing.T) {
	s := open(t)
	s.as("Lee", account.RoleMember).get("/automations/new?template=qa-loop").expect(t, http.StatusOK,
		"Ask a person who may manage workflows")
	b := s.as("Mira", account.RoleAdministrator)
	b.get("/automations/new?template=qa-loop").expect(t, http.StatusOK, `href="/workflows/new?template=qa-loop"`)
	b.get("/workflows/new?template=qa-loop").expect(t, http.StatusOK, `name="template" value="qa-loop"`)
	made := b.post("/workflows", "name", "Ours by another name", "template", "qa-loop", "step_kind", "message",
		"step_text", "Take it.")
	made.expect(t, http.StatusSeeOther, "")
	back := made.Header.Get("Location")
	if !strings.HasPrefix(back, "/automations/new?template=qa-loop&workflow=") {
		t.Fatalf("saving leads to %s; want the automation that it is made for", back)
	}
	page := b.get(back)
	page.expect(t, http.StatusOK, "selected>Ours by another name<")
	if strings.Contains(page.body, "does not have yet") {
		t.Error("the workflow just made is still missing")
	}
}
