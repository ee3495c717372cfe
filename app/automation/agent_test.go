package automation_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/app/ticket"
	"carillon/db"
)

func TestATokenOfASessionOpensItsWorkspaceOnly(t *testing.T) {
	k := setup(t)
	other := k.Elsewhere(k.Jonas)
	theirs, err := k.Tickets.Create(t.Context(), k.Jonas, ticket.Input{Workspace: other.String(), Title: "Elsewhere"})
	check(t, err)
	session, agent := k.Agent(nil)
	if agent.ID != k.Jonas.ID || agent.Session != session.ID || agent.Workspace != k.Scratch.ID {
		t.Errorf("the session asks as %+v", agent)
	}
	_, err = k.Tickets.Find(t.Context(), agent, theirs.ID)
	wantErr(t, err, fault.ErrNotFound)
	_, err = k.Tickets.Create(t.Context(), agent, ticket.Input{Workspace: other.String(), Title: "x"})
	wantInvalid(t, err, "workspace")
	list, err := k.Tickets.List(t.Context(), agent, db.TicketFilter{Limit: 10})
	check(t, err)
	mine, err := k.Tickets.Create(t.Context(), agent, ticket.Input{Title: "Found"})
	check(t, err)
	if len(list) != 0 || mine.WorkspaceID != k.Scratch.ID || mine.CreatedSession != session.ID ||
		mine.CreatedBy != k.Jonas.ID {
		t.Errorf("the session sees %d tickets and made %+v", len(list), mine)
	}
}

func TestATokenOfASessionEndsWithItsTurnItsWorkerAndItsOwnersAccess(t *testing.T) {
	k := setup(t)
	for name, end := range map[string]func(db.Session) error{
		"the turn ended": func(s db.Session) error {
			_, err := k.DB.NewRaw("UPDATE turns SET status = 'succeeded' WHERE session_id = ?", s.ID).Exec(t.Context())
			return err
		},
		"the session ended": func(s db.Session) error { return k.Runs().Finish(t.Context(), lease(s), success) },
		"another worker has it": func(s db.Session) error {
			_, err := k.DB.NewRaw("UPDATE sessions SET fence = fence + 1 WHERE id = ?", s.ID).Exec(t.Context())
			return err
		},
		"it was dismissed": func(s db.Session) error { return k.Agents().EndTokens(t.Context(), lease(s)) },
		"the next turn has another": func(s db.Session) error {
			_, err := k.DB.NewRaw("UPDATE turns SET status = 'queued' WHERE session_id = ?", s.ID).Exec(t.Context())
			k.Admit(s)
			return err
		},
		"the owner is no member any more": func(db.Session) error {
			return k.Workspaces.RemoveMember(t.Context(), k.Mira, k.Scratch.ID, k.Jonas.ID)
		},
	} {
		check(t, db.AddMember(t.Context(), k.DB, k.Scratch.ID, k.Jonas.ID))
		_, err := k.Runs().RunNow(t.Context(), k.Jonas, k.Make(nil).ID, nil)
		check(t, err)
		session := k.Claim()[0]
		token := k.Admit(session)
		_, err = k.Agents().Actor(t.Context(), token)
		check(t, err)
		check(t, end(session))
		if _, err = k.Agents().Actor(t.Context(), token); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("%s: the token still opens something (%v)", name, err)
		}
	}
	_, err := k.Agents().Actor(t.Context(), automation.NewSessionToken())
	wantErr(t, err, fault.ErrNotFound)
}

func TestAWorkerThatLostASessionTakesNoTokenFromTheOneThatHasIt(t *testing.T) {
	k := setup(t)
	_, err := k.Runs().RunNow(t.Context(), k.Jonas, k.Make(nil).ID, nil)
	check(t, err)
	lost := k.Claim()[0]
	k.Admit(lost)
	_, err = k.DB.NewRaw("UPDATE sessions SET fence = fence + 1, worker = 'another' WHERE id = ?", lost.ID).
		Exec(t.Context())
	check(t, err)
	has := *k.SessionAgain(lost.ID)
	token := k.Admit(has)
	check(t, k.Agents().EndTokens(t.Context(), lease(lost)))
	stale := automation.NewSessionToken()
	wantErr(t, k.Agents().IssueToken(t.Context(), lease(lost), db.NewID(), stale), db.ErrLeaseLost)
	if _, err := k.Agents().Actor(t.Context(), stale); !errors.Is(err, fault.ErrNotFound) {
		t.Errorf("the token of the worker that lost the session opens something (%v)", err)
	}
	if _, err := k.Agents().Actor(t.Context(), token); err != nil {
		t.Errorf("the token of the worker that has it: %v", err)
	}
}

func TestASessionManagesAutomationsOnlyWhereItsAutomationAllowsIt(t *testing.T) {
	k := setup(t)
	target := k.Make(nil)
	for _, allowed := range []bool{false, true} {
		_, agent := k.Agent(func(in *automation.Input) { in.MayAutomate = allowed })
		in := k.Input()
		in.MayAutomate = true
		made, _, err := k.Definitions().Create(t.Context(), agent, in)
		_, runErr := k.Runs().RunNow(t.Context(), agent, target.ID, nil)
		in.Version = target.Version
		changed, _, editErr := k.Definitions().Update(t.Context(), agent, target.ID, in)
		if !allowed {
			for _, err := range []error{err, runErr, editErr} {
				wantErr(t, err, fault.ErrForbidden)
			}
			continue
		}
		check(t, errors.Join(err, runErr, editErr))
		if made.MayAutomate || changed.MayAutomate {
			t.Error("a session gave an automation what only a person gives")
		}
	}
}

func TestASessionHasNoMoreThanItsOwnerAndNothingOfOtherWorkspaces(t *testing.T) {
	k := setup(t)
	agent := k.Mira.InSession(uuid.New(), k.Scratch.ID, true)
	for _, p := range account.Permissions {
		want := false
		switch p.Permission {
		case account.ViewOwn, account.ViewAll, account.ManageTickets, account.Manage, account.ManageAll,
			account.UseShell:
			want = true
		}
		if agent.Can(p.Permission) != want {
			t.Errorf("%s: %v; want %v", p.Permission, !want, want)
		}
	}
	if !k.Mira.Can(account.Admin) || k.Jonas.InSession(uuid.New(), k.Scratch.ID, true).Can(account.ViewAll) {
		t.Error("an owner's permissions changed, or grew")
	}
}

func TestASessionReadsTheAutomationThatStartedItAndItsRuns(t *testing.T) {
	k := setup(t)
	a := k.Make(nil)
	_, err := k.Runs().RunNow(t.Context(), k.Mira, a.ID, nil) // whoever started it
	check(t, err)
	session := k.Claim()[0]
	_, err = k.DB.NewRaw("UPDATE roles SET permissions = '{}' WHERE key = ?", account.RoleAdministrator).
		Exec(t.Context())
	check(t, err)
	agent, err := k.Agents().Actor(t.Context(), k.Admit(session))
	check(t, err)
	own, err := k.Agents().Automation(t.Context(), agent)
	check(t, err)
	runs, err := k.Agents().PastRuns(t.Context(), agent, a.ID, uuid.Nil, 10)
	check(t, err)
	if own.ID != a.ID || len(runs) != 1 {
		t.Errorf("it reads %s and %d runs", own.Name, len(runs))
	}
	_, err = k.Agents().PastRuns(t.Context(), agent, k.Make(nil).ID, uuid.Nil, 10)
	wantErr(t, err, fault.ErrNotFound)
	_, err = k.Agents().Automation(t.Context(), k.Jonas)
	wantErr(t, err, fault.ErrForbidden)
}

func TestAReportGoesToTheSessionAndTheTicketThatItHas(t *testing.T) {
	k := setup(t)
	tk := k.Ticket("Check", "")
	session, agent := k.Agent(nil)
	_, err := k.Tickets.Claim(t.Context(), agent, "")
	check(t, err)
	r, err := k.Agents().Report(t.Context(), agent, automation.ReportInput{Outcome: "nothing_to_do",
		Summary: " All well. "})
	check(t, err)
	if r.TicketID != tk.ID || r.SessionID != session.ID || r.Summary != "All well." {
		t.Errorf("the report is %+v", r)
	}
	_, err = k.Agents().Report(t.Context(), agent, automation.ReportInput{Outcome: "great", Ticket: 99})
	for _, field := range []string{"outcome", "summary", "ticket"} {
		wantInvalid(t, err, field)
	}
	_, err = k.Agents().Report(t.Context(), k.Jonas, automation.ReportInput{Outcome: "done", Summary: "x"})
	wantErr(t, err, fault.ErrForbidden)
}

func TestAMessageOfASessionReachesItsPeopleEachOnceAndNotWithoutEnd(t *testing.T) {
	k := setup(t)
	_, agent := k.Agent(nil)
	n, err := k.Agents().Message(t.Context(), agent, automation.MessageInput{Title: "Found two",
		Body: "See the tickets."})
	check(t, err)
	if n != 1 { // Jonas is the creator and the owner
		t.Errorf("it went to %d people", n)
	}
	_, err = k.Agents().Message(t.Context(), agent, automation.MessageInput{Title: "For you", Body: "x",
		To: "MIRA@example.com"})
	check(t, err)
	_, err = k.Agents().Message(t.Context(), agent, automation.MessageInput{Title: "x", Body: "x",
		To: "eve@example.com"})
	wantInvalid(t, err, "to")
	k.ExpectInbox(k.Jonas, inbox.Message)
	k.ExpectInbox(k.Mira, inbox.Message)
	for err == nil || !strings.Contains(err.Error(), "limit") {
		if n++; n > 100 {
			t.Fatal("there is no limit")
		}
		_, err = k.Agents().Message(t.Context(), agent, automation.MessageInput{Title: "Again", Body: "x"})
	}
}
