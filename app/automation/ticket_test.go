package automation

import (
	"fmt"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/forge"
	"carillon/app/inbox"
	"carillon/app/ticket"
	"carillon/db"
)

// ticket makes a ticket of Jonas's in the kit's workspace.
func (k *kit) ticket(title, priority string) *db.Ticket {
	k.t.Helper()
	t, err := k.tickets.Create(k.t.Context(), k.jonas, ticket.Input{
		Workspace: k.workspace.ID.String(), Title: title, Priority: priority,
	})
	check(k.t, err)
	return t
}

// agent is a session of an automation at work, and as whom its agent asks.
func (k *kit) agent(change func(*Input)) (db.Session, account.Actor) {
	k.t.Helper()
	_, err := k.Runs().RunNow(k.t.Context(), k.jonas, k.create(change).ID, nil)
	check(k.t, err)
	session := k.claim()[0]
	token := k.admit(session)
	actor, err := k.Agents().Actor(k.t.Context(), token)
	check(k.t, err)
	return session, actor
}

// admit begins the next turn of a session and gives it a token.
func (k *kit) admit(session db.Session) string {
	k.t.Helper()
	e, err := db.ExecutionBySession(k.t.Context(), k.DB, session.ID)
	check(k.t, err)
	turn, err := db.NextTurn(k.t.Context(), k.DB, lease(session), e.ID, k.Now())
	check(k.t, err)
	token := NewSessionToken()
	check(k.t, k.Agents().IssueToken(k.t.Context(), lease(session), turn.ID, token))
	return token
}

// elsewhere makes another workspace, of which only a person is a member.
func (k *kit) elsewhere(who account.Actor) uuid.UUID {
	k.t.Helper()
	w := &db.Workspace{
		ID: db.NewID(), Name: "Elsewhere", DefaultBranch: "main", CreatedAt: begun, UpdatedAt: begun, Version: 1,
	}
	check(k.t, db.InsertWorkspace(k.t.Context(), k.DB, w))
	check(k.t, db.AddMember(k.t.Context(), k.DB, w.ID, who.ID))
	return w.ID
}

func TestAClosedPullRequestOfALoopIsAlsoToldToWhoIsAssignedToItsTicketEachOnce(t *testing.T) {
	k := setup(t)
	k.hub()
	lena := k.person("Lena", account.RoleMember)
	a := k.create(gated(loop))
	s := k.open(a)
	for i, who := range []account.Actor{lena, lena, k.jonas} {
		tk, err := k.tickets.Create(t.Context(), k.jonas, ticket.Input{
			Workspace: k.workspace.ID.String(), Title: fmt.Sprint("Ticket ", i), Assignee: who.ID.String(),
		})
		check(t, err)
		check(t, k.tickets.Link(t.Context(), k.jonas, s.ID, tk.Number))
	}
	for range 2 {
		k.told(k.pull(7, forge.Closed, s.Branch), 1)
	}
	k.expectInbox(k.jonas, inbox.PRClosed)
	k.expectInbox(lena, inbox.PRClosed)
	k.expectInbox(k.mira)
}

func TestWhoIsToldMayReadWhatTheNoticeIsAboutAndNothingMore(t *testing.T) {
	k := setup(t)
	k.hub()
	lena := k.person("Lena", account.RoleMember)
	s, other := k.open(k.create(gated(loop))), k.open(k.create(gated(nil)))
	tk, err := k.tickets.Create(t.Context(), k.jonas, ticket.Input{
		Workspace: k.workspace.ID.String(), Title: "x", Assignee: lena.ID.String(),
	})
	check(t, err)
	check(t, k.tickets.Link(t.Context(), k.jonas, s.ID, tk.Number))
	e, err := db.ExecutionBySession(t.Context(), k.DB, s.ID)
	check(t, err)
	look := func() []error {
		_, session := k.Sessions().Find(t.Context(), lena, s.ID)
		_, transcript := k.Sessions().Transcript(t.Context(), lena, s.ID, 0, 10)
		_, execution := k.Runs().Find(t.Context(), lena, e.ID)
		_, automation := k.Definitions().Find(t.Context(), lena, s.AutomationID)
		return []error{session, transcript, execution, automation}
	}
	for _, err := range look() {
		wantErr(t, err, fault.ErrNotFound)
	}
	k.told(k.pull(7, forge.Closed, s.Branch), 1)
	k.expectInbox(lena, inbox.PRClosed)
	for _, err := range look() {
		check(t, err)
	}
	wantErr(t, k.Sessions().Reply(t.Context(), lena, s.ID, "Go on."), fault.ErrForbidden)
	_, err = k.Runs().RunNow(t.Context(), lena, s.AutomationID, nil)
	wantErr(t, err, fault.ErrForbidden)
	_, err = k.Sessions().Find(t.Context(), lena, other.ID)
	wantErr(t, err, fault.ErrNotFound)
	_, err = k.Sessions().Find(t.Context(), k.person("Anna", account.RoleMember), s.ID)
	wantErr(t, err, fault.ErrNotFound)
	check(t, k.Workspaces.RemoveMember(t.Context(), k.mira, k.workspace.ID, lena.ID))
	for _, err := range look() {
		wantErr(t, err, fault.ErrNotFound)
	}
}

func TestWhoIsAssignedAndLeftIsNotTold(t *testing.T) {
	k := setup(t)
	k.hub()
	lena := k.person("Lena", account.RoleMember)
	s := k.open(k.create(gated(loop)))
	tk, err := k.tickets.Create(t.Context(), k.jonas, ticket.Input{
		Workspace: k.workspace.ID.String(), Title: "x", Assignee: lena.ID.String(),
	})
	check(t, err)
	check(t, k.tickets.Link(t.Context(), k.jonas, s.ID, tk.Number))
	check(t, k.Workspaces.RemoveMember(t.Context(), k.mira, k.workspace.ID, lena.ID))
	k.told(k.pull(7, forge.Closed, s.Branch), 1)
	k.expectInbox(lena)
}

func TestATemplatesWorkflowIsFoundByItsNameInItsWorkspace(t *testing.T) {
	k := setup(t)
	template, ok := TemplateByKey("qa-loop")
	if !ok {
		t.Fatal("there is no such template")
	}
	find := func() uuid.UUID {
		id, err := k.Definitions().TemplateWorkflow(t.Context(), k.jonas, k.workspace.ID, template.Workflow)
		check(t, err)
		return id
	}
	insert := func(workspace any) uuid.UUID {
		id := db.NewID()
		_, err := k.DB.NewRaw(
			"INSERT INTO workflows (id, workspace_id, name, created_at, updated_at) VALUES (?, ?, ?, now(), now())", id,
			workspace, template.Workflow.Name).Exec(t.Context())
		check(t, err)
		return id
	}
	insert(k.elsewhere(k.mira))
	if id := find(); id != uuid.Nil {
		t.Errorf("found %s of another workspace", id)
	}
	everywhere := insert(nil)
	if id := find(); id != everywhere {
		t.Errorf("found %s; want the one for all workspaces", id)
	}
	own := insert(k.workspace.ID)
	if id := find(); id != own {
		t.Errorf("found %s; want the workspace's own", id)
	}
}
