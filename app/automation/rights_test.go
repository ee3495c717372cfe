package automation_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/apptest"
	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/app/spec"
	"carillon/app/workflow"
	"carillon/db"
)

// automating lets the sessions of an automation manage automations.
func automating(in *automation.Input) { in.MayAutomate = true }

// asks begins the next turn of a session that is queued, and is as whom its agent asks.
func (k *kit) asks() (db.Session, account.Actor) {
	k.T.Helper()
	session := k.Claim()[0]
	actor, err := k.Agents().Actor(k.T.Context(), k.Admit(session))
	check(k.T, err)
	return session, actor
}

// may sums up what a session may do, as permissions.
func may(actor account.Actor) string {
	text := ""
	for _, p := range account.Permissions {
		if actor.Can(p.Permission) {
			text += string(p.Permission) + " "
		}
	}
	return text
}

const (
	aMembers   = "automations.view_own automations.manage tickets.manage shell.use "
	everyones  = "automations.view_own automations.view_all automations.manage automations.manage_all "
	aManagers  = everyones + "tickets.manage shell.use "
	setChanger = "UPDATE automations SET changed_by = ARRAY[?]::uuid[] WHERE id = ?"
)

func TestWhoRunsAnAutomationOfSomebodyWeakerLendsItNoRights(t *testing.T) {
	k := setup(t)
	manager, lee := k.Person("Max", account.RoleManager), k.Person("Lee", account.RoleMember)
	a := k.Make(automating) // a Member's
	theirs, _, err := k.Definitions().Create(t.Context(), lee, k.Input())
	check(t, err)
	managers, _, err := k.Definitions().Create(t.Context(), manager, k.Input())
	check(t, err)
	_, err = k.Runs().RunNow(t.Context(), manager, a.ID, nil)
	check(t, err)
	_, agent := k.asks()
	if got := may(agent); got != aMembers {
		t.Errorf("a Member's automation that a Manager runs may %s", got)
	}
	in := k.Input()
	for name, other := range map[string]*db.Automation{"another Member's": theirs, "the Manager's own": managers} {
		in.Version = other.Version
		_, _, err = k.Definitions().Update(t.Context(), agent, other.ID, in)
		if !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("its agent edits %s automation with %v; want not found", name, err)
		}
		_, err = k.Runs().RunNow(t.Context(), agent, other.ID, nil)
		wantErr(t, err, fault.ErrNotFound)
	}
	in.Provider, in.Prompt = "shell", "true"
	made, _, err := k.Definitions().Create(t.Context(), agent, in)
	check(t, err)
	if made.CreatorID != k.Jonas.ID {
		t.Error("what it makes does not belong to the owner of its automation")
	}
	list, err := k.Definitions().List(t.Context(), agent, db.AutomationFilter{Limit: 10})
	check(t, err)
	if len(list) != 2 { // its own and what it made
		t.Errorf("it lists %d automations; want the Member's two", len(list))
	}
}

func TestWhatASessionMakesOrRunsGivesNoMoreThanTheSessionHad(t *testing.T) {
	k := setup(t)
	manager := k.Person("Max", account.RoleManager)
	in := k.Input()
	in.MayAutomate = true
	mine, _, err := k.Definitions().Create(t.Context(), manager, in)
	check(t, err)
	in.MayAutomate = false
	target, _, err := k.Definitions().Create(t.Context(), manager, in)
	check(t, err)
	// The Manager's session has a Member's words in it from here on.
	_, err = k.DB.NewRaw(setChanger, k.Jonas.ID, mine.ID).Exec(t.Context())
	check(t, err)
	_, err = k.Runs().RunNow(t.Context(), k.Mira, mine.ID, nil)
	check(t, err)
	_, agent := k.asks()
	_, err = k.Runs().RunNow(t.Context(), agent, target.ID, nil)
	wantErr(t, err, fault.ErrNotFound)
	_, _, err = k.Definitions().Create(t.Context(), agent, in)
	wantErr(t, err, fault.ErrForbidden) // it would be the Manager's, and the Member manages none of theirs

	_, err = k.Runs().RunNow(t.Context(), k.Mira, k.Make(automating).ID, nil)
	check(t, err)
	_, agent = k.asks()
	own := k.Make(automating)
	_, err = k.Runs().RunNow(t.Context(), agent, own.ID, nil)
	check(t, err)
	_, next := k.asks()
	if got := next.People(); len(got) != 2 {
		t.Errorf("a run that a session started acts for %d people; want Mira and Jonas", len(got))
	}
	edit := k.Input()
	edit.Version = own.Version
	changed, _, err := k.Definitions().Update(t.Context(), agent, own.ID, edit)
	check(t, err)
	if len(changed.ChangedBy) != 2 || !changed.MayAutomate {
		t.Errorf("after an edit of a session it was changed by %v, may automate %v", changed.ChangedBy,
			changed.MayAutomate)
	}
}

func TestTheAuthorOfAMessageIsAmongThoseWhoseRightsCount(t *testing.T) {
	k := setup(t)
	in := k.Input()
	in.MayAutomate, in.AutoComplete = true, false
	a, _, err := k.Definitions().Create(t.Context(), k.Mira, in)
	check(t, err)
	_, err = k.Runs().RunNow(t.Context(), k.Mira, a.ID, nil)
	check(t, err)
	manager := k.Person("Max", account.RoleManager)
	writer := k.Allow(k.Person("Lee", account.RoleMember), account.ManageAll)
	session, agent := k.asks()
	if got := may(agent); got != aManagers {
		t.Errorf("the first message may %s", got)
	}
	// What is written meanwhile counts once its turn has come, and from then on.
	check(t, k.Sessions().Reply(t.Context(), manager, session.ID, "And this?"))
	if got, err := k.Agents().ActsFor(t.Context(), k.Mira, session.ID); err != nil || len(got.People()) != 1 {
		t.Errorf("it acts for %v before its turn (%v)", got.Names(), err)
	}
	check(t, k.Runs().Finish(t.Context(), lease(session), success))
	for _, tt := range []struct {
		who  account.Actor
		want string
	}{{manager, aManagers}, {writer, everyones}, {k.Mira, everyones}} {
		if tt.who.ID != manager.ID {
			check(t, k.Sessions().Reply(t.Context(), tt.who, session.ID, "And this?"))
		}
		claimed := k.Claim()[0]
		turn, err := db.NextTurn(t.Context(), k.DB, lease(claimed), uuid.Nil, k.Now())
		check(t, err)
		token := automation.NewSessionToken()
		check(t, k.Agents().IssueToken(t.Context(), lease(claimed), turn.ID, token))
		agent, err = k.Agents().Actor(t.Context(), token)
		check(t, err)
		if got := may(agent); got != tt.want {
			t.Errorf("a message of %s may %s; want %s", tt.who.Name, got, tt.want)
		}
		check(t, db.FinishTurn(t.Context(), k.DB, lease(claimed), turn.ID, db.Succeeded, "", "", k.Now()))
		check(t, k.Runs().Finish(t.Context(), lease(claimed), success))
	}
}

func TestOnlyAnAuthorWhoMayStillWorkThereIsAskedFor(t *testing.T) {
	k := setup(t)
	a := k.Make(func(in *automation.Input) { in.AutoComplete = false })
	_, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	check(t, err)
	manager := k.Person("Max", account.RoleManager)
	session, _ := k.asks()
	check(t, k.Runs().Finish(t.Context(), lease(session), success))
	check(t, k.Sessions().Reply(t.Context(), manager, session.ID, "And this?"))
	claimed := k.Claim()[0]
	turn, err := db.NextTurn(t.Context(), k.DB, lease(claimed), uuid.Nil, k.Now())
	check(t, err)
	token := automation.NewSessionToken()
	check(t, k.Agents().IssueToken(t.Context(), lease(claimed), turn.ID, token))
	_, err = k.Agents().Actor(t.Context(), token)
	check(t, err)
	k.Deactivate(manager)
	_, err = k.Agents().Actor(t.Context(), token)
	wantErr(t, err, fault.ErrNotFound)
}

func TestALaterMayAutomateReachesNoRunThatBeganBefore(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	_, err := k.Runs().RunNow(t.Context(), k.Jonas, a.ID, nil)
	check(t, err)
	session, _ := k.asks()
	in := k.Input()
	in.MayAutomate, in.Version = true, a.Version
	_, _, err = k.Definitions().Update(t.Context(), k.Jonas, a.ID, in)
	check(t, err)
	agent, err := k.Agents().ActsFor(t.Context(), k.Jonas, session.ID)
	check(t, err)
	if got := may(agent); got != "automations.view_own tickets.manage " {
		t.Errorf("a run from before it was allowed may %s", got)
	}
}

func TestWhoMadeAndWhoChangedWhatASessionRunsCount(t *testing.T) {
	k := setup(t)
	manager := k.Person("Max", account.RoleManager)
	weak := k.Allow(k.Person("Lee", account.RoleMember), account.ManageBots, account.ManageWorkflows, account.Manage)
	reviewer, err := k.Bots.Create(t.Context(), manager, bot.Input{Bot: spec.Bot{
		Name: "Reviewer", Instructions: "Look.", Enabled: true,
	}})
	check(t, err)
	flow := workflow.Input{Name: "Audit", Steps: []workflow.StepInput{{Kind: string(db.MessageStep), Text: "Look."}}}
	wf, err := k.Workflows.Create(t.Context(), manager, flow)
	check(t, err)
	for name, tt := range map[string]struct {
		change func(in *automation.Input)
		edit   func()
	}{
		"its bot": {func(in *automation.Input) { in.SessionType, in.Bot = "bot", reviewer.ID.String() }, func() {
			in := bot.Input{Bot: spec.Bot{
				Name: "Reviewer", Instructions: "Look again.", Enabled: true,
			}, Version: reviewer.Version}
			_, err := k.Bots.Update(t.Context(), weak, reviewer.ID, in)
			check(t, err)
		}},
		"its workflow": {func(in *automation.Input) {
			in.ExecutionType, in.Workflow, in.Prompt = "workflow", wf.ID.String(), ""
		}, func() {
			again := flow
			again.Version, again.Steps = wf.Version, []workflow.StepInput{{
				Kind: string(db.MessageStep), Text: "Look again.",
			}}
			_, err := k.Workflows.Update(t.Context(), weak, wf.ID, again)
			check(t, err)
		}},
	} {
		in := k.Input()
		in.MayAutomate = true
		tt.change(&in)
		a, _, err := k.Definitions().Create(t.Context(), manager, in)
		check(t, err)
		for _, want := range []string{aManagers, "automations.view_own automations.manage "} {
			_, err = k.Runs().RunNow(t.Context(), manager, a.ID, nil)
			check(t, err)
			session, agent := k.asks()
			if got := may(agent); got != want {
				t.Errorf("%s: may %s; want %s", name, got, want)
			}
			check(t, k.Runs().Finish(t.Context(), lease(session), success))
			if want == aManagers {
				tt.edit()
				if k.Reload(a).MayAutomate {
					continue
				}
				_, err = k.DB.NewRaw("UPDATE automations SET may_automate = true WHERE id = ?", a.ID).Exec(t.Context())
				check(t, err)
			}
		}
	}
}

func TestSomebodyWeakerWhoEditsTakesFromSessionsThatTheyManageAutomations(t *testing.T) {
	k := setup(t)
	manager := k.Person("Max", account.RoleManager)
	in := k.Input()
	in.MayAutomate = true
	a, _, err := k.Definitions().Create(t.Context(), k.Mira, in)
	check(t, err)
	in.Version, in.Prompt = a.Version, "Look around twice."
	changed, _, err := k.Definitions().Update(t.Context(), manager, a.ID, in)
	check(t, err)
	if changed.MayAutomate || k.Reload(a).MayAutomate {
		t.Error("the sessions of an Administrator's automation that a Manager edited still manage automations")
	}
	k.ExpectInbox(k.Mira, inbox.Rights)
	in.Version = changed.Version
	_, _, err = k.Definitions().Update(t.Context(), manager, a.ID, in)
	wantInvalid(t, err, "may_automate")
	changed, _, err = k.Definitions().Update(t.Context(), k.Mira, a.ID, in)
	check(t, err)
	if !changed.MayAutomate {
		t.Error("its owner cannot allow it again")
	}
	k.ExpectInbox(k.Mira, inbox.Rights)

	// Whoever may do as much, edits it as it is.
	b := k.Make(automating)
	in.Version = b.Version
	changed, _, err = k.Definitions().Update(t.Context(), manager, b.ID, in)
	check(t, err)
	if !changed.MayAutomate {
		t.Error("a Manager who edits a Member's automation takes it away")
	}
}

func TestABotOrWorkflowThatSomebodyWeakerChangesTakesItToo(t *testing.T) {
	k := setup(t)
	weak := k.Allow(k.Person("Lee", account.RoleMember), account.ManageBots, account.Manage)
	reviewer, err := k.Bots.Create(t.Context(), k.Mira, bot.Input{Bot: spec.Bot{
		Name: "Reviewer", Instructions: "Look.", Enabled: true,
	}})
	check(t, err)
	look := func(how string) bot.Input {
		return bot.Input{Bot: spec.Bot{Name: "Reviewer", Instructions: how, Enabled: true}, Version: reviewer.Version}
	}
	a := k.Make(func(in *automation.Input) {
		in.MayAutomate, in.SessionType, in.Bot = true, "bot", reviewer.ID.String()
	})
	other := k.Make(automating)
	reviewer, err = k.Bots.Update(t.Context(), k.Mira, reviewer.ID, look("Look twice."))
	check(t, err)
	if !k.Reload(a).MayAutomate {
		t.Error("an Administrator's change took it away")
	}
	_, err = k.Bots.Update(t.Context(), weak, reviewer.ID, look("Look away."))
	check(t, err)
	if got := k.Reload(a); got.MayAutomate || got.Version != a.Version+1 {
		t.Errorf("after a weaker person's change: %v, version %d", got.MayAutomate, got.Version)
	}
	if !k.Reload(other).MayAutomate {
		t.Error("an automation without the bot lost it too")
	}
	k.ExpectInbox(k.Jonas, inbox.Rights)
}

// underLock changes something in a transaction that holds a lock for which others wait.
type underLock func(ctx context.Context, tx bun.Tx) error

// whileItWaits lets a call wait for an automation's lock, changes something under that lock, and returns the result.
func (k *kit) whileItWaits(a *db.Automation, change underLock, call func() error) error {
	k.T.Helper()
	result := make(chan error, 1)
	check(k.T, k.DB.RunInTx(k.T.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		if _, err := db.LockAutomation(ctx, tx, a.ID); err != nil {
			return err
		}
		go func() { result <- call() }()
		for end := time.Now().Add(apptest.Longest); ; time.Sleep(10 * time.Millisecond) {
			var waits bool
			err := k.DB.NewRaw(
				"SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND "+
					"wait_event_type = 'Lock')").Scan(ctx, &waits)
			if err != nil {
				return err
			}
			if waits {
				break
			}
			if time.Now().After(end) {
				return errors.New("nothing waits")
			}
		}
		return change(ctx, tx)
	}))
	return <-result
}

func TestAChangeThatWaitedForAHandOverIsRefusedAndNotWritten(t *testing.T) {
	k := setup(t)
	lee := k.Person("Lee", account.RoleMember)
	for name, call := range map[string]func(a *db.Automation) error{
		"an edit": func(a *db.Automation) error {
			in := k.Input()
			in.Name, in.Version = "Stolen", a.Version
			_, _, err := k.Definitions().Update(t.Context(), k.Jonas, a.ID, in)
			return err
		},
		"a switch": func(a *db.Automation) error {
			return k.Definitions().SetEnabled(t.Context(), k.Jonas, a.ID,
				false)
		},
		"a deletion": func(a *db.Automation) error { return k.Definitions().Delete(t.Context(), k.Jonas, a.ID) },
		"a hand-over": func(a *db.Automation) error {
			_, err := k.Transfers().Transfer(t.Context(), k.Jonas, a.ID, k.Mira.ID)
			return err
		},
	} {
		a := k.Make(nil)
		err := k.whileItWaits(a, func(ctx context.Context, tx bun.Tx) error {
			return db.SetCreator(ctx, tx, a.ID, lee.ID, begun)
		}, func() error { return call(a) })
		if !errors.Is(err, fault.ErrNotFound) && !errors.Is(err, fault.ErrStale) {
			t.Errorf("%s that waited: %v; want not found or stale", name, err)
		}
		if got := k.Reload(a); got.Name != a.Name || !got.Enabled || got.CreatorID != lee.ID ||
			got.Version != a.Version+1 {
			t.Errorf("%s that waited was carried out: %+v", name, got)
		}
	}

	// Who sees everybody's and edits from before the hand-over is told that it changed.
	a := k.Make(nil)
	in := k.Input()
	in.Version = a.Version
	err := k.whileItWaits(a, func(ctx context.Context, tx bun.Tx) error {
		return db.SetCreator(ctx, tx, a.ID, lee.ID, begun)
	}, func() error {
		_, _, err := k.Definitions().Update(t.Context(), k.Mira, a.ID, in)
		return err
	})
	wantErr(t, err, fault.ErrStale)
}

func TestAChangeThatWaitedForTheEndOfARightIsRefused(t *testing.T) {
	k := setup(t)
	manager := k.Person("Max", account.RoleManager)
	for name, take := range map[string]underLock{
		"the role": func(ctx context.Context, tx bun.Tx) error {
			member, err := db.RoleByKey(ctx, tx, account.RoleMember)
			return errors.Join(err, db.SetRoles(ctx, tx, manager.ID, []uuid.UUID{member.ID}))
		},
		"the membership": func(ctx context.Context, tx bun.Tx) error {
			return db.RemoveMember(ctx, tx, k.Scratch.ID, manager.ID)
		},
	} {
		a := k.Make(nil)
		err := k.whileItWaits(a, take,
			func() error { return k.Definitions().SetEnabled(t.Context(), manager, a.ID, false) })
		if err == nil || !k.Reload(a).Enabled {
			t.Errorf("after %s was taken: %v, enabled %v", name, err, k.Reload(a).Enabled)
		}
		manager = k.Actor(manager.ID)
		admin, err := db.RoleByKey(t.Context(), k.DB, account.RoleManager)
		check(t, errors.Join(err, db.SetRoles(t.Context(), k.DB, manager.ID, []uuid.UUID{admin.ID})))
		check(t, db.AddMember(t.Context(), k.DB, k.Scratch.ID, manager.ID))
		manager = k.Actor(manager.ID)
	}
}
