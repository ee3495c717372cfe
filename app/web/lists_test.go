package web_test

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/spec"
	"carillon/app/web/page"
	"carillon/app/web/webtest"
	"carillon/db"
)

// PostgreSQL and Go disagree about the lower case of some letters, so only one of them may decide where a page ends.
func TestPagesOfAutomationsLeaveNoneOutWhateverTheLetters(t *testing.T) {
	b := webtest.Open(t).As("Jonas", "member")
	for i := range page.Rows + 10 {
		_, _, err := b.Rules.Definitions().Create(t.Context(), b.Actor, automation.Input{Automation: spec.Automation{
			TimeoutMinutes: 360,
			Name:           fmt.Sprintf("İẞŁ %02d", i),
			Workspace:      b.Workspace,
			Trigger:        "manual",
			SessionType:    "develop",
			Prompt:         "Look.",
			Provider:       "agent",
			Retries:        2,
		}})
		webtest.Check(t, err)
	}
	seen := map[string]bool{}
	name := regexp.MustCompile(`İẞŁ \d\d`)
	next := regexp.MustCompile(`href="(/automations\?[^"]*after_id=[^"]*)"`)
	path := "/automations"
	for page := 0; path != "" && page < 5; page++ {
		got := b.Get(path)
		for _, n := range name.FindAllString(got.Text, -1) {
			seen[n] = true
		}
		path = ""
		if m := next.FindStringSubmatch(got.Text); m != nil {
			path = strings.ReplaceAll(m[1], "&amp;", "&")
		}
	}
	if len(seen) != page.Rows+10 {
		t.Errorf("the pages show %d automations; want %d", len(seen), page.Rows+10)
	}
}

func TestABulkActionOnNothingStaysOnTheListAndSaysSo(t *testing.T) {
	b := webtest.Open(t).As("Jonas", "member")
	b.Post("/automations/bulk", "do", "enable").Expect(t, http.StatusSeeOther, "")
	b.Get("/automations").Expect(t, 200, "Select at least one automation.")
}

func TestASessionOfARemovedWorkspaceDoesNotGoOn(t *testing.T) {
	s := webtest.Open(t)
	b, admin := s.As("Jonas", "member"), s.As("Mira", "administrator")
	path := b.Started()
	b.Work("Done.", automation.Outcome{Status: db.Succeeded}, nil)
	session, err := b.Rules.Sessions().List(t.Context(), b.Actor, db.SessionFilter{Limit: 1})
	webtest.Check(t, err)
	webtest.Check(t, b.Rules.Workspaces.Remove(t.Context(), admin.Actor, session[0].WorkspaceID))
	b.Post(path+"/messages", "message", "Go on.").Expect(t, 422, "was removed, so its sessions cannot go on.")
	b.Post(path+"/completion").Expect(t, 303, "")
	var invalid fault.Invalid
	if err := b.Rules.Sessions().Reopen(t.Context(), b.Actor, session[0].ID); !errors.As(err, &invalid) {
		t.Errorf("reopening it gives %v; want a sentence", err)
	}
}
