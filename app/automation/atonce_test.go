package automation

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/db"
	"carillon/db/dbtest"
)

// statements is how many statements a call sends.
func (k *kit) statements(call func() error) int64 {
	k.t.Helper()
	work := dbtest.WorkOf(k.DB)
	before := work.Statements()
	check(k.t, call())
	return work.Statements() - before
}

func TestWhatManyUseIsChangedByAsManyStatementsAsWhatFewUse(t *testing.T) {
	k := setup(t)
	weak := k.role(k.person("Lee", account.RoleMember), account.ManageBots, account.ManageWorkflows, account.Manage)
	gone := k.person("Ann", account.RoleMember)
	lines := func(action, reason string) (n int) {
		check(t, k.DB.NewRaw("SELECT count(*) FROM audit_events WHERE action = ? AND reason LIKE ? AND subject_kind = 'automation'", action, reason).Scan(t.Context(), &n))
		return n
	}
	notices := func(kind string, of account.Actor) (n int) {
		check(t, k.DB.NewRaw("SELECT count(*) FROM notifications WHERE kind = ? AND user_id = ?", kind, of.ID).Scan(t.Context(), &n))
		return n
	}
	stopping, removing := map[int]int64{}, map[int]int64{}
	users := 0
	for _, many := range []int{2, 20} {
		bot, err := k.CreateBot(t.Context(), k.mira, BotInput{Name: fmt.Sprint("Reviewer of ", many), Instructions: "Look.", Enabled: true})
		check(t, err)
		var list []uuid.UUID
		for i := range many {
			owner := k.jonas
			if i == 0 { // told to who manages all automations
				owner = gone
			}
			in := k.input()
			in.Trigger, in.Cron, in.TimeZone = "recurring", "0 9 * * *", "UTC"
			in.MayAutomate, in.SessionType, in.Bot, in.CreatePR = true, "bot", bot.ID.String(), false
			a, _, err := k.Create(t.Context(), owner, in)
			check(t, err)
			list = append(list, a.ID)
		}
		users += many
		check(t, k.RemoveMember(t.Context(), k.mira, k.workspace.ID, gone.ID))
		stopping[many] = k.statements(func() error {
			_, err := k.UpdateBot(t.Context(), weak, bot.ID, BotInput{Name: bot.Name, Instructions: "Look away.", Enabled: true, Version: bot.Version})
			return err
		})
		if n := lines("automation.update", ""); n != users {
			t.Errorf("%d lines of the audit log say that sessions manage no automations any more; want %d", n, users)
		}
		removing[many] = k.statements(func() error { return k.RemoveBot(t.Context(), k.mira, bot.ID) })
		if n := lines("automation.disable", "%was removed by Mira"); n != users {
			t.Errorf("%d lines of the audit log say that automations were disabled; want %d", n, users)
		}
		for _, id := range list {
			a, err := db.AutomationByID(t.Context(), k.DB, id)
			check(t, err)
			if a.MayAutomate || a.Enabled || !a.NextRunAt.IsZero() || a.DisabledKind != db.ByRemoval || a.DisabledAt.IsZero() || a.Prompt == "" {
				t.Errorf("an automation without its bot is %+v", a)
			}
		}
		check(t, k.AddMember(t.Context(), k.mira, k.workspace.ID, gone.ID))
	}
	if stopping[2] != stopping[20] || removing[2] != removing[20] {
		t.Errorf("a change takes %v statements by how many use it, a removal %v; want the same", stopping, removing)
	}
	for _, kind := range []string{NoticeRights, NoticeDisabled} {
		if of, all := notices(kind, k.jonas), notices(kind, k.mira); of != users-2 || all != 2 || notices(kind, gone) != 0 {
			t.Errorf("%d notices %s went to the owner, %d to who manages all; want %d and 2", of, kind, all, users-2)
		}
	}
}
