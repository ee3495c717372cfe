package web_test

import (
	"strings"
	"testing"
	"time"

	"carillon/app/agent"
	"carillon/app/web/webtest"
	"carillon/db"
	"carillon/views"
)

func TestAModelThatWasRefusedIsMarkedWhereModelsAreOffered(t *testing.T) {
	s := webtest.Open(t)
	s.Server.Providers = func() []agent.Provider {
		return []agent.Provider{{ID: "agent", Name: "Agent", Models: []string{"large", "small"}},
			{ID: "other", Name: "Other", Models: []string{"small"}}}
	}
	mira := s.As("Mira", "administrator")
	webtest.Check(t, db.RecordModelRefusal(t.Context(), s.Server.DB, &db.RefusedModel{
		Provider: "agent", Model: "small", RefusedAt: time.Date(2025, 3, 9, 12, 0, 0, 0, time.UTC),
		Reason: "there is no such model",
	}, time.Time{}))
	run := s.AgentRun(mira)
	for path, marked := range map[string]bool{
		"/automations/models?provider=agent": true, "/automations/models?provider=other": false,
		views.AutomationURL(run.Execution.AutomationID.String()) + "/edit": true,
	} {
		a := mira.Get(path)
		if got := strings.Contains(a.Text,
			`<option value="small" label="small (refused on 9 Mar 2025)">`); got != marked ||
			strings.Count(a.Text, "refused on") > 1 {
			t.Errorf("%s marks the model: %t, among %d marks; want %t and no other", path, got,
				strings.Count(a.Text, "refused on"), marked)
		}
	}
}
