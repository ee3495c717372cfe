package automation_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/inbox"
	"carillon/app/spec"
	"carillon/app/workflow"
	"carillon/db"
	"carillon/db/dbtest"
)

// statements is how many statements a call sends.
func (k *kit) statements(call func() error) int64 {
	k.T.Helper()
	work := dbtest.WorkOf(k.DB)
	before := work.Statements()
	check(k.T, call())
	return work.Statements() - before
}

func TestWhatManyUseIsChangedByAsManyStatementsAsWhatFewUse(t *testing.T) {
	k := setup(t)
	weak := k.Allow(k.Person("Lee", account.RoleMember), account.ManageBots, account.ManageWorkflows, account.Manage)
	gone := k.Person("Ann", account.RoleMember)
	lines := func(action, reason string) (n int) {
		check(t, k.DB.NewRaw(
			"SELECT count(*) FROM audit_events WHERE action = ? AND reason LIKE ? AND subject_kind = 'automation'",
			action, reason).Scan(t.Context(), &n))
		return n
	}
	notices := func(kind string, of account.Actor) (n int) {
		check(t, k.DB.NewRaw("SELECT count(*) FROM notifications WHERE kind = ? AND user_id = ?", kind, of.ID).
			Scan(t.Context(), &n))
		return n
	}
	stopping, removing := map[int]int64{}, map[int]int64{}
	users := 0
	for _, many := range []int{2, 20} {
		reviewer, err := k.Bots.Create(t.Context(), k.Mira, bot.Input{Bot: spec.Bot{
			Name: fmt.Sprint("Reviewer of ", many), Instructions: "Look.", Enabled: true,
		}})
		check(t, err)
		var list []uuid.UUID
		for i := range many {
			owner := k.Jonas
			if i == 0 { // told to who manages all automations
				owner = gone
			}
			in := k.Input()
			in.Trigger, in.Cron, in.TimeZone = "recurring", "0 9 * * *", "UTC"
			in.MayAutomate, in.SessionType, in.Bot, in.CreatePR = true, "bot", reviewer.ID.String(), false
			a, _, err := k.Definitions().Create(t.Context(), owner, in)
			check(t, err)
			list = append(list, a.ID)
		}
		users += many
		check(t, k.Workspaces.RemoveMember(t.Context(), k.Mira, k.Scratch.ID, gone.ID))
		stopping[many] = k.statements(func() error {
			_, err := k.Bots.Update(t.Context(), weak, reviewer.ID, bot.Input{Bot: spec.Bot{
				Name: reviewer.Name, Instructions: "Look away.", Enabled: true,
			}, Version: reviewer.Version})
			return err
		})
		if n := lines("automation.update", ""); n != users {
			t.Errorf("%d lines of the audit log say that sessions manage no automations any more; want %d", n, users)
		}
		removing[many] = k.statements(func() error { return k.Bots.Remove(t.Context(), k.Mira, reviewer.ID) })
		if n := lines("automation.disable", "%was removed by Mira"); n != users {
			t.Errorf("%d lines of the audit log say that automations were disabled; want %d", n, users)
		}
		for _, id := range list {
			a, err := db.AutomationByID(t.Context(), k.DB, id)
			check(t, err)
			if a.MayAutomate || a.Enabled || !a.NextRunAt.IsZero() || a.DisabledKind != db.ByRemoval ||
				a.DisabledAt.IsZero() || a.Prompt == "" {
				t.Errorf("an automation without its bot is %+v", a)
			}
		}
		check(t, k.Workspaces.AddMember(t.Context(), k.Mira, k.Scratch.ID, gone.ID))
	}
	if stopping[2] != stopping[20] || removing[2] != removing[20] {
		t.Errorf("a change takes %v statements by how many use it, a removal %v; want the same", stopping, removing)
	}
	for _, kind := range []string{inbox.Rights, inbox.Disabled} {
		if of, all := notices(kind, k.Jonas), notices(kind, k.Mira); of != users-2 || all != 2 ||
			notices(kind, gone) != 0 {
			t.Errorf("%d notices %s went to the owner, %d to who manages all; want %d and 2", of, kind, all, users-2)
		}
	}
}

func TestListsDoNotReadWhatMayBeMegabytes(t *testing.T) {
	k := setup(t)
	steps := []workflow.StepInput{{Kind: "message", Text: strings.Repeat("x", workflow.MaxStepText)},
		{Kind: "message", Text: "Look."}}
	wf, err := k.Workflows.Create(t.Context(), k.Mira,
		workflow.Input{Name: "Long", Steps: steps, Parameters: []workflow.ParameterInput{{
			Alias: "what", Type: "text",
		}}})
	check(t, err)
	workflows, err := k.Workflows.List(t.Context(), k.Mira)
	check(t, err)
	if len(workflows) != 1 || workflows[0].Steps != nil || workflows[0].Parameters != nil ||
		workflows[0].StepCount != 2 {
		t.Errorf("the list of workflows has %d steps and %d parameters of %d workflows", len(workflows[0].Steps),
			len(workflows[0].Parameters), len(workflows))
	}
	_, err = k.Bots.Create(t.Context(), k.Mira, bot.Input{Bot: spec.Bot{
		Name: "Reviewer", Instructions: strings.Repeat("x", bot.MaxInstructions), Enabled: true,
	}})
	check(t, err)
	bots, err := k.Bots.List(t.Context(), k.Mira)
	check(t, err)
	if len(bots) != 1 || len(bots[0].Instructions) > 1000 {
		t.Errorf("the list of %d bots has their instructions", len(bots))
	}
	a := k.Make(func(in *automation.Input) {
		in.ExecutionType, in.Workflow, in.Prompt, in.Parameters = "workflow", wf.ID.String(), "",
			map[string]string{"what": strings.Repeat("x", workflow.MaxValue)}
	})
	run, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	check(t, err)
	runs, err := k.Runs().List(t.Context(), k.Jonas, db.ExecutionFilter{Limit: 10})
	check(t, err)
	if len(runs) != 1 || runs[0].Parameters != nil || runs[0].Snapshot.Steps != nil ||
		runs[0].Snapshot.Parameters != nil || runs[0].Snapshot.WorkflowName != "Long" {
		t.Errorf("the history has %d runs with %d values and %d steps", len(runs), len(runs[0].Parameters),
			len(runs[0].Snapshot.Steps))
	}
	if e, err := k.Runs().Find(t.Context(), k.Jonas, run.Execution.ID); err != nil || len(e.Snapshot.Steps) != 2 ||
		len(e.Parameters) == 0 {
		t.Errorf("one run alone has %d steps, %v", len(e.Snapshot.Steps), err)
	}
}

func TestWhatIsTypedIsBoundedInNumberToo(t *testing.T) {
	k := setup(t)
	in := k.Input()
	in.Prompt = ""
	for i := range automation.MaxNames + 1 {
		in.Prompt += fmt.Sprintf("{{a%d}} ", i)
	}
	_, _, err := k.Definitions().Create(t.Context(), k.Jonas, in)
	wantInvalid(t, err, "prompt")
	if n := len(k.Definitions().Names("agent", in.Prompt)); n != automation.MaxNames {
		t.Errorf("a form would have %d fields; want %d", n, automation.MaxNames)
	}
	in.Prompt = in.Prompt[:strings.LastIndex(in.Prompt, "{{")]
	_, _, err = k.Definitions().Create(t.Context(), k.Jonas, in)
	check(t, err)

	steps := slices.Repeat([]workflow.StepInput{{Kind: "message", Text: strings.Repeat(":\n", workflow.MaxStepText/2)}},
		automation.MaxScriptBytes/workflow.MaxStepText+1)
	wf, err := k.Workflows.Create(t.Context(), k.Mira, workflow.Input{Name: "Long", Steps: steps})
	check(t, err)
	in.ExecutionType, in.Workflow, in.Prompt, in.Provider = "workflow", wf.ID.String(), "", "shell"
	_, _, err = k.Definitions().Create(t.Context(), k.Jonas, in)
	wantInvalid(t, err, "workflow")
	in.Provider = "agent"
	_, _, err = k.Definitions().Create(t.Context(), k.Jonas, in)
	check(t, err)
}
