package web

import (
	"net/url"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/db"
)

func TestABotIsMadeShownChangedAndRemovedByForms(t *testing.T) {
	s := open(t)
	admin, member := s.as("Mira", account.RoleAdministrator), s.as("Jonas", account.RoleMember)
	admin.get("/bots").expect(t, 200, "No bot yet")
	admin.post("/bots", "name", "Ada", "instructions", "").expect(t, 422, "Write what the bot is to do and how.")
	refused := admin.post("/bots", "name", "", "instructions", "You answer in haiku.", "read_only", "true")
	refused.expect(t, 422, "Give the bot a name.")
	refused.expect(t, 422, "You answer in haiku.")
	made := admin.post("/bots", "name", "Ada", "instructions", "You answer in haiku.", "provider", "agent", "model",
		"small", "locks_agent", "true", "enabled", "true")
	made.expect(t, 303, "")
	address, err := url.Parse(made.Header.Get("Location"))
	check(t, err)
	path := address.Path
	member.get("/bots").expect(t, 200, "Ada")
	page := member.get(path)
	page.expect(t, 200, "You answer in haiku.")
	if strings.Contains(page.body, path+"/edit") || strings.Contains(page.body, path+"/deletion") {
		t.Error("the page offers what one may not do")
	}
	// The editor of an automation offers it.
	member.get("/automations/new").expect(t, 200, ">Ada</option>")
	member.post("/automations", "name", "Poem", "workspace", s.workspace, "trigger", "manual", "session_type", "bot",
		"prompt", "On tests.").expect(t, 422, "Choose a bot.")
	created := member.post("/automations", "name", "Poem", "workspace", s.workspace, "trigger", "manual",
		"session_type", "bot", "bot", strings.TrimPrefix(path, "/bots/"), "prompt", "On tests.")
	created.expect(t, 303, "")
	address, err = url.Parse(created.Header.Get("Location"))
	check(t, err)
	member.get(address.Path+"/edit").expect(t, 200, "selected data-locks>Ada")
	admin.get(path).expect(t, 200, "1 automation with it stay without a bot")

	admin.post(path, "version", "1", "name", "Ada the second", "instructions", "Shout.", "enabled", "true").
		expect(t, 303, "")
	admin.post(path, "version", "1", "name", "Ada the third", "instructions", "Whisper.", "enabled", "true").
		expect(t, 409, "saved this in another tab")
	member.post(path+"/deletion").expect(t, 403, "")
	admin.post(path+"/deletion").expect(t, 303, "")
	admin.get(path).expect(t, 404, "")
	member.get(address.Path).expect(t, 200, "Its bot was removed")
	var n int
	check(t, s.server.DB.NewSelect().Model((*db.AuditEvent)(nil)).ColumnExpr("count(*)").Where("action LIKE 'bot.%'").
		Scan(t.Context(), &n))
	if n != 3 {
		t.Errorf("%d audit events; want one for making, changing and removing", n)
	}
}
