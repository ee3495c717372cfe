package workflow

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/db"
	"carillon/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

func TestMistakesInAWorkflowAreNamedByTheirStep(t *testing.T) {
	t.Parallel()
	s := &Service{DB: dbtest.New(t), Now: time.Now}
	admin := account.ActorOf(&db.User{ID: db.NewID(), Permissions: []string{string(account.Admin)}})
	_, err := s.Create(t.Context(), admin, Input{
		Name: "Flow",
		Steps: []StepInput{
			{Kind: "message"}, {Kind: "asset", Path: "../../etc/passwd"}, {Kind: "asset", Path: ".git/config"},
			{Kind: "asset", Path: "/etc/passwd"}, {Kind: "asset"},
			{Kind: "message", Text: "x", Inside: true}, {Kind: "loop", Max: "0"}, {Kind: "dance"},
			{Kind: "message", Text: "a\x00b"},
		},
		Parameters: []ParameterInput{{Alias: "date", Type: "text"}, {Alias: "1x", Type: "text"},
			{Alias: "n", Type: "number", Default: "many"}, {Alias: "c", Type: "choice"},
			{Alias: "n", Type: "boolean", Default: "yes"}, {Alias: "t"}},
	})
	var bad fault.Invalid
	if !errors.As(err, &bad) {
		t.Fatalf("got error %v; want mistakes", err)
	}
	for _, field := range []string{"steps.0.text", "steps.1.path", "steps.2.path", "steps.3.path", "steps.4.path",
		"steps.5.inside", "steps.6.max", "steps.6.kind", "steps.7.kind", "steps.8.text",
		"parameters.0.alias", "parameters.1.alias", "parameters.2.default", "parameters.3.choices",
		"parameters.4.alias", "parameters.4.default", "parameters.5.type"} {
		if bad[field] == "" {
			t.Errorf("nothing is said about %s", field)
		}
	}
	if len(bad) != 17 {
		t.Errorf("got %d mistakes: %v; want 17", len(bad), bad)
	}
}

func TestTheAuditLogShowsThatTheDefaultOfASecretChanged(t *testing.T) {
	t.Parallel()
	of := func(sealed string) string {
		return fmt.Sprint(
			described(&db.Workflow{Parameters: []db.Parameter{{
				Alias: "token", Type: db.SecretParameter, Default: sealed,
			}}}))
	}
	if of("one") == of("other") || of("") == of("one") {
		t.Error("a change of the default is not in the audit log")
	}
	if strings.Contains(of("one"), "one}") || strings.Contains(of("one"), "Default:one") {
		t.Errorf("the audit log has what is stored: %s", of("one"))
	}
}
