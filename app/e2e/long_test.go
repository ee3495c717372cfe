package e2e

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestNoNameIsWiderThanItsScreen(t *testing.T) {
	t.Parallel()
	s := servePlain(t, slices.Concat(asAdministrator, []string{onDatabase(t)})...)
	v := visit(t, s)
	long := strings.Repeat("W", 200)
	if a := v.post(t, "/settings/profile", url.Values{"name": {long}, "time_zone": {"UTC"}, "theme": {""}}); a.status != http.StatusSeeOther {
		t.Fatalf("the name answered %d %.300s", a.status, a.said())
	}
	made := v.post(t, "/workspaces", url.Values{"name": {long[:100]}, "url": {repository(t)}, "branch": {"main"}})
	if made.status != http.StatusSeeOther {
		t.Fatalf("the workspace answered %d %.300s", made.status, made.said())
	}
	automation := v.automation(t, long, "echo "+long+"\necho x > "+long+"\nexit 1")
	session := v.run(t, automation)
	v.ends(t, session, "Failed")
	v.ends(t, v.run(t, v.automation(t, "Answers", "printf '\\033[31m%s\\033[0m' "+long)), "Succeeded")
	if a := v.post(t, "/tickets", url.Values{"workspace": {strings.TrimPrefix(made.to, "/workspaces/")}, "title": {long}, "body": {long}, "labels": {long[:40]}}); a.status != http.StatusSeeOther {
		t.Fatalf("the ticket answered %d %.300s", a.status, a.said())
	}
	if a := v.post(t, "/settings/roles", url.Values{"name": {long[:100]}, "permissions": {"bots.manage"}}); a.status != http.StatusSeeOther {
		t.Fatalf("the role answered %d %.300s", a.status, a.said())
	}
	paths := []string{"/tickets", "/settings/users", "/settings/roles", "/settings/audit", "/", "/automations", automation, automation + "/edit", automation + "/settings", automation + "/runs", "/executions", "/sessions", session, "/inbox", "/workspaces", "/workspaces/new", "/settings/profile"}
	for _, list := range []string{"/executions", "/inbox", "/workspaces", "/tickets", "/settings/users", "/settings/roles"} {
		for _, link := range v.get(t, list).find(element("a")) {
			if href := link.attr("href"); strings.HasPrefix(href, list+"/") && !slices.Contains(paths, href) && !strings.Contains(href, "?") {
				paths = append(paths, href)
			}
		}
	}
	script(t, s, "long", "PATHS="+strings.Join(paths, " "))
}
