package web_test

import (
	"net/url"
	"strings"
	"testing"

	"carillon/app/account"
	"carillon/app/web/webtest"
	"carillon/db"
)

func TestABotIsMadeShownChangedAndRemovedByForms(t *testing.T) {
	s := webtest.Open(t)
	admin, member := s.As("Mira", account.RoleAdministrator), s.As("Jonas", account.RoleMember)
	admin.Get("/bots").Expect(t, 200, "No bot yet")
	admin.Post("/bots", "name", "Ada", "instructions", "").Expect(t, 422, "Write what the bot is to do and how.")
	refused := admin.Post("/bots", "name", "", "instructions", "You answer in haiku.", "read_only", "true")
	refused.Expect(t, 422, "Give the bot a name.")
	refused.Expect(t, 422, "You answer in haiku.")
	made := admin.Post("/bots", "name", "Ada", "instructions", "You answer in haiku.", "provider", "agent", "model",
		"small", "locks_agent", "true", "enabled", "true")
	made.Expect(t, 303, "")
	address, err := url.Parse(made.Header.Get("Location"))
	webtest.Check(t, err)
	path := address.Path
	member.Get("/bots").Expect(t, 200, "Ada")
	page := member.Get(path)
	page.Expect(t, 200, "You answer in haiku.")
	if strings.Contains(page.Text, path+"/edit") || strings.Contains(page.Text, path+"/deletion") {
		t.Error("the page offers what one may not do")
	}
	// The editor of an automation offers it.
	member.Get("/automations/new").Expect(t, 200, ">Ada</option>")
	member.Post("/automations", "name", "Poem", "workspace", s.Workspace, "trigger", "manual", "session_type", "bot",
		"prompt", "On tests.").Expect(t, 422, "Choose a bot.")
	created := member.Post("/automations", "name", "Poem", "workspace", s.Workspace, "trigger", "manual",
		"session_type", "bot", "bot", strings.TrimPrefix(path, "/bots/"), "prompt", "On tests.")
	created.Expect(t, 303, "")
	address, err = url.Parse(created.Header.Get("Location"))
	webtest.Check(t, err)
	member.Get(address.Path+"/edit").Expect(t, 200, "selected data-locks>Ada")
	admin.Get(path).Expect(t, 200, "1 automation with it stay without a bot")

	admin.Post(path, "version", "1", "name", "Ada the second", "instructions", "Shout.", "enabled", "true").
		Expect(t, 303, "")
	admin.Post(path, "version", "1", "name", "Ada the third", "instructions", "Whisper.", "enabled", "true").
		Expect(t, 409, "saved this in another tab")
	member.Post(path+"/deletion").Expect(t, 403, "")
	admin.Post(path+"/deletion").Expect(t, 303, "")
	admin.Get(path).Expect(t, 404, "")
	member.Get(address.Path).Expect(t, 200, "Its bot was removed")
	var n int
	webtest.Check(t,
		s.Server.DB.NewSelect().Model((*db.AuditEvent)(nil)).ColumnExpr("count(*)").Where("action LIKE 'bot.%'").
			Scan(t.Context(), &n))
	if n != 3 {
		t.Errorf("%d audit events; want one for making, changing and removing", n)
	}
}
