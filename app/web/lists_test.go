package web

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
	"carillon/db"
)

// PostgreSQL and Go disagree about the lower case of some letters, so only one of them may decide where a page ends.
func TestPagesOfAutomationsLeaveNoneOutWhateverTheLetters(t *testing.T) {
	b := open(t).as("Jonas", "member")
	for i := range page.Rows + 10 {
		_, _, err := b.rules.Definitions().Create(t.Context(), b.actor, automation.Input{Automation: spec.Automation{
			TimeoutMinutes: 360,
			Name:           fmt.Sprintf("İẞŁ %02d", i),
			Workspace:      b.workspace,
			Trigger:        "manual",
			SessionType:    "develop",
			Prompt:         "Look.",
			Provider:       "agent",
			Retries:        2,
		}})
		check(t, err)
	}
	seen := map[string]bool{}
	name := regexp.MustCompile(`İẞŁ \d\d`)
	next := regexp.MustCompile(`href="(/automations\?[^"]*after_id=[^"]*)"`)
	path := "/automations"
	for page := 0; path != "" && page < 5; page++ {
		got := b.get(path)
		for _, n := range name.FindAllString(got.body, -1) {
			seen[n] = true
		}
		path = ""
		if m := next.FindStringSubmatch(got.body); m != nil {
			path = strings.ReplaceAll(m[1], "&amp;", "&")
		}
	}
	if len(seen) != page.Rows+10 {
		t.Errorf("the pages show %d automations; want %d", len(seen), page.Rows+10)
	}
}

func TestABulkActionOnNothingStaysOnTheListAndSaysSo(t *testing.T) {
	b := open(t).as("Jonas", "member")
	b.post("/automations/bulk", "do", "enable").expect(t, http.StatusSeeOther, "")
	b.get("/automations").expect(t, 200, "Select at least one automation.")
}

func TestASessionOfARemovedWorkspaceDoesNotGoOn(t *testing.T) {
	s := open(t)
	b, admin := s.as("Jonas", "member"), s.as("Mira", "administrator")
	path := b.started()
	b.work("Done.", automation.Outcome{Status: db.Succeeded}, nil)
	session, err := b.rules.Sessions().List(t.Context(), b.actor, db.SessionFilter{Limit: 1})
	check(t, err)
	check(t, b.rules.Workspaces.Remove(t.Context(), admin.actor, session[0].WorkspaceID))
	b.post(path+"/messages", "message", "Go on.").expect(t, 422, "was removed, so its sessions cannot go on.")
	b.post(path+"/completion").expect(t, 303, "")
	var invalid fault.Invalid
	if err := b.rules.Sessions().Reopen(t.Context(), b.actor, session[0].ID); !errors.As(err, &invalid) {
		t.Errorf("reopening it gives %v; want a sentence", err)
	}
}
