package e2e

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"carillon/app/e2e/internal/stage"
)

func TestNoNameIsWiderThanItsScreen(t *testing.T) {
	t.Parallel()
	s := stage.ServePlain(t, slices.Concat(stage.AsAdministrator, []string{stage.OnDatabase(t)})...)
	v := stage.Visit(t, s)
	long := strings.Repeat("W", 200)
	if a := v.Post(t, "/settings/profile", url.Values{
		"name": {long}, "time_zone": {"UTC"}, "theme": {""},
	}); a.Status != http.StatusSeeOther {
		t.Fatalf("the name answered %d %.300s", a.Status, a.Said())
	}
	made := v.Post(t, "/workspaces", url.Values{"name": {long[:100]}, "url": {stage.Repository(t)}, "branch": {"main"}})
	if made.Status != http.StatusSeeOther {
		t.Fatalf("the workspace answered %d %.300s", made.Status, made.Said())
	}
	automation := v.Automation(t, long, "echo "+long+"\necho x > "+long+"\nexit 1")
	session := v.Run(t, automation)
	v.Ends(t, session, "Failed")
	v.Ends(t, v.Run(t, v.Automation(t, "Answers", "printf '\\033[31m%s\\033[0m' "+long)), "Succeeded")
	if a := v.Post(t, "/tickets", url.Values{
		"workspace": {strings.TrimPrefix(made.To, "/workspaces/")}, "title": {long}, "body": {long},
		"labels": {long[:40]},
	}); a.Status != http.StatusSeeOther {
		t.Fatalf("the ticket answered %d %.300s", a.Status, a.Said())
	}
	if a := v.Post(t, "/settings/roles", url.Values{
		"name": {long[:100]}, "permissions": {"bots.manage"},
	}); a.Status != http.StatusSeeOther {
		t.Fatalf("the role answered %d %.300s", a.Status, a.Said())
	}
	paths := []string{"/tickets", "/settings/users", "/settings/roles", "/settings/audit", "/", "/automations",
		automation, automation + "/edit", automation + "/settings", automation + "/runs", "/executions", "/sessions",
		session, "/inbox", "/workspaces", "/workspaces/new", "/settings/profile"}
	for _, list := range []string{"/executions", "/inbox", "/workspaces", "/tickets", "/settings/users",
		"/settings/roles"} {
		for _, link := range v.Get(t, list).Find(stage.Element("a")) {
			if href := link.Attr("href"); strings.HasPrefix(href, list+"/") && !slices.Contains(paths, href) &&
				!strings.Contains(href, "?") {
				paths = append(paths, href)
			}
		}
	}
	script(t, s, "long", "PATHS="+strings.Join(paths, " "))
}
