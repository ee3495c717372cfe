package automation

import (
	"fmt"
	"slices"
	"strings"
	"sync"
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

func (k *kit) reloadTicket(t *db.Ticket) *db.Ticket {
	k.t.Helper()
	again, err := db.TicketByID(k.t.Context(), k.DB, t.ID)
	check(k.t, err)
	return again
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

func TestTicketsAreNumberedInTheirWorkspaceWithoutGaps(t *testing.T) {
	k := setup(t)
	other := k.elsewhere(k.jonas)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := k.tickets.Create(t.Context(), k.jonas, ticket.Input{
				Workspace: k.workspace.ID.String(), Title: "At once",
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	_, err := k.tickets.Create(t.Context(), k.jonas, ticket.Input{Workspace: k.workspace.ID.String(), Title: " "})
	wantInvalid(t, err, "title")
	list, err := k.tickets.List(t.Context(), k.jonas, db.TicketFilter{Workspace: k.workspace.ID, Limit: 100})
	check(t, err)
	var numbers []int64
	for _, tk := range list {
		numbers = append(numbers, tk.Number)
	}
	slices.Sort(numbers)
	for i, n := range numbers {
		if n != int64(i+1) {
			t.Fatalf("the numbers are %v", numbers)
		}
	}
	first, err := k.tickets.Create(t.Context(), k.jonas, ticket.Input{Workspace: other.String(), Title: "Another"})
	check(t, err)
	if len(numbers) != 20 || first.Number != 1 {
		t.Errorf("%d tickets, and the first of another workspace is #%d", len(numbers), first.Number)
	}
}

func TestMistakesInATicketAreSaidAllAtOnceByTheirFields(t *testing.T) {
	k := setup(t)
	_, err := k.tickets.Create(t.Context(), k.jonas, ticket.Input{
		Workspace: "x", Title: strings.Repeat("a", 201), Body: "\x00", Priority: "huge", Status: "lost",
		Labels: strings.Repeat("a", 51),
	})
	for _, field := range []string{"workspace", "title", "body", "priority", "status", "labels"} {
		wantInvalid(t, err, field)
	}
	_, err = k.tickets.Create(t.Context(), k.jonas, ticket.Input{
		Workspace: k.workspace.ID.String(), Title: "x", Assignee: uuid.NewString(),
	})
	wantInvalid(t, err, "assignee")
	tk, err := k.tickets.Create(t.Context(), k.jonas, ticket.Input{
		Workspace: k.workspace.ID.String(), Title: " x ", Labels: "qa, , QA,api", Assignee: k.mira.ID.String(),
	})
	check(t, err)
	if tk.Title != "x" || strings.Join(tk.Labels, "|") != "qa|api" || tk.Priority != db.Medium ||
		tk.Status != db.TicketOpen || tk.AssigneeID != k.mira.ID {
		t.Errorf("the ticket is %+v", tk)
	}
}

func TestOnlyMembersOfAWorkspaceSeeItsTicketsAndOnlyWithThePermissionChangeThem(t *testing.T) {
	k := setup(t)
	ctx := t.Context()
	lena := k.person("Lena", account.RoleMember)
	other := k.elsewhere(lena)
	theirs, err := k.tickets.Create(ctx, lena, ticket.Input{Workspace: other.String(), Title: "Theirs"})
	check(t, err)
	ours := k.ticket("Ours", "")

	_, err = k.tickets.Find(ctx, k.jonas, theirs.ID)
	wantErr(t, err, fault.ErrNotFound)
	_, err = k.tickets.Change(ctx, k.jonas, theirs.ID, ticket.Change{})
	wantErr(t, err, fault.ErrNotFound)
	_, err = k.tickets.FindByNumber(ctx, k.jonas, other, 1)
	wantErr(t, err, fault.ErrNotFound)
	_, err = k.tickets.Create(ctx, k.jonas, ticket.Input{Workspace: other.String(), Title: "x"})
	wantInvalid(t, err, "workspace")
	list, err := k.tickets.List(ctx, k.jonas, db.TicketFilter{Limit: 10})
	check(t, err)
	if len(list) != 1 || list[0].ID != ours.ID {
		t.Errorf("Jonas sees %d tickets; want his own workspace's", len(list))
	}

	_, err = k.DB.NewRaw("UPDATE roles SET permissions = '{automations.view_own}' WHERE key = ?", account.RoleMember).
		Exec(ctx)
	check(t, err)
	reader := k.actor(k.jonas.ID)
	_, err = k.tickets.Find(ctx, reader, ours.ID)
	check(t, err)
	_, err = k.tickets.Change(ctx, reader, ours.ID, ticket.Change{})
	wantErr(t, err, fault.ErrForbidden)
	_, err = k.tickets.Create(ctx, reader, ticket.Input{Workspace: k.workspace.ID.String(), Title: "x"})
	wantErr(t, err, fault.ErrForbidden)
}

func TestATicketThatSomeoneElseChangedIsNotSavedOver(t *testing.T) {
	k := setup(t)
	tk := k.ticket("First", "low")
	in := ticket.Input{Title: "Second", Priority: "high", Version: tk.Version}
	changed, err := k.tickets.Update(t.Context(), k.mira, tk.ID, in)
	check(t, err)
	if changed.Title != "Second" || changed.Priority != db.High || changed.Version != 2 {
		t.Errorf("the ticket is %+v", changed)
	}
	_, err = k.tickets.Update(t.Context(), k.jonas, tk.ID, in)
	wantErr(t, err, fault.ErrStale)
	log, err := db.AuditOf(t.Context(), k.DB, tk.ID, 10)
	check(t, err)
	if len(log) != 2 || log[0].Action != "ticket.update" || log[0].Before["title"] != "First" ||
		log[0].After["title"] != "Second" || log[0].After["body"] != nil {
		t.Errorf("the audit log has %+v", log)
	}
}

func TestTheMostUrgentAndThenTheOldestTicketIsNext(t *testing.T) {
	k := setup(t)
	for _, p := range []string{"low", "medium", "urgent", "high", "urgent"} {
		k.ticket(p, p)
	}
	closed := k.ticket("closed", "urgent")
	_, err := k.tickets.Change(t.Context(), k.jonas, closed.ID, ticket.Change{Status: ptr("done")})
	check(t, err)
	_, err = k.tickets.Create(t.Context(), k.jonas, ticket.Input{
		Workspace: k.elsewhere(k.jonas).String(), Title: "elsewhere", Priority: "urgent",
	})
	check(t, err)
	session, agent := k.agent(nil)
	var got []string
	for {
		tk, err := k.tickets.Claim(t.Context(), agent, "")
		check(t, err)
		if tk == nil {
			break
		}
		got = append(got, fmt.Sprintf("%s %d", tk.Title, tk.Number))
		if tk.Status != db.TicketInProgress || tk.ClaimedBy != session.ID {
			t.Fatalf("the claimed ticket is %s, held by %s", tk.Status, tk.ClaimedBy)
		}
		_, err = k.tickets.Change(t.Context(), agent, tk.ID, ticket.Change{Status: ptr("done")})
		check(t, err)
	}
	if want := "[urgent 3 urgent 5 high 4 medium 2 low 1]"; fmt.Sprint(got) != want {
		t.Errorf("claimed %v; want %v", got, want)
	}
	worked, _, err := k.tickets.OfSession(t.Context(), session.ID)
	check(t, err)
	if len(worked) != 5 {
		t.Errorf("the session has %d tickets; want those that it claimed", len(worked))
	}
}

func TestEachTicketIsClaimedByOneSessionHoweverManyClaimAtOnce(t *testing.T) {
	k := setup(t)
	const sessions, tickets = 12, 8
	var agents []account.Actor
	for range sessions {
		_, agent := k.agent(nil)
		agents = append(agents, agent)
	}
	for i := range tickets {
		k.ticket(fmt.Sprint("Ticket ", i), "")
	}
	var mu sync.Mutex
	claimed, empty := map[uuid.UUID]int{}, 0
	var wg sync.WaitGroup
	for _, agent := range agents {
		for range 2 { // each asks twice, too
			wg.Go(func() {
				tk, err := k.tickets.Claim(t.Context(), agent, "")
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					t.Error(err)
				case tk == nil:
					empty++
				default:
					claimed[tk.ID]++
				}
			})
		}
	}
	wg.Wait()
	if len(claimed) != tickets || empty != 2*(sessions-tickets) {
		t.Errorf("%d tickets went to sessions, %d found none; want %d and %d", len(claimed), empty, tickets,
			2*(sessions-tickets))
	}
	for id, n := range claimed {
		if n != 2 {
			t.Errorf("ticket %s was handed out %d times; want twice, to one session", id, n)
		}
	}
}

func TestASessionThatAsksAgainGoesOnWithTheTicketThatItHas(t *testing.T) {
	k := setup(t)
	first := k.ticket("First", "")
	k.ticket("Second", "")
	_, agent := k.agent(nil)
	for range 2 {
		tk, err := k.tickets.Claim(t.Context(), agent, "")
		check(t, err)
		if tk.ID != first.ID {
			t.Fatalf("got %s; want the first ticket each time", tk.Title)
		}
	}
}

func TestOnlyTicketsOfALabelAreNextForWhoAsksForIt(t *testing.T) {
	k := setup(t)
	k.ticket("Plain", "urgent")
	_, agent := k.agent(nil)
	tk, err := k.tickets.Claim(t.Context(), agent, "qa")
	check(t, err)
	if tk != nil {
		t.Fatalf("got %q", tk.Title)
	}
	_, err = k.tickets.Create(t.Context(), k.jonas, ticket.Input{
		Workspace: k.workspace.ID.String(), Title: "Labelled", Labels: "api, qa",
	})
	check(t, err)
	if tk, err = k.tickets.Claim(t.Context(), agent, "qa"); err != nil || tk == nil || tk.Title != "Labelled" {
		t.Errorf("got %v, %v; want the ticket with the label", tk, err)
	}
}

func TestARunThatFailsPutsItsTicketBackAndOneThatSucceedsKeepsIt(t *testing.T) {
	k := setup(t)
	tk := k.ticket("Flaky", "")
	for _, tt := range []struct {
		outcome Outcome
		want    db.TicketStatus
	}{{failure, db.TicketOpen}, {Outcome{Status: db.TimedOut, Reason: "too long"}, db.TicketOpen},
		{Outcome{Status: db.Canceled, Reason: "canceled"}, db.TicketOpen}, {success, db.TicketInProgress}} {
		session, agent := k.agent(nil)
		got, err := k.tickets.Claim(t.Context(), agent, "")
		check(t, err)
		if got == nil || got.ID != tk.ID {
			t.Fatalf("%s: got %v; want the ticket again", tt.outcome.Status, got)
		}
		check(t, k.Runs().Finish(t.Context(), lease(session), tt.outcome))
		if got := k.reloadTicket(tk); got.Status != tt.want {
			t.Errorf("%s: the ticket is %s; want %s", tt.outcome.Status, got.Status, tt.want)
		}
	}
}

func TestASessionThatHasEndedClaimsNothing(t *testing.T) {
	k := setup(t)
	k.ticket("Waiting", "")
	session, agent := k.agent(nil)
	check(t, k.Runs().Finish(t.Context(), lease(session), success))
	_, err := k.tickets.Claim(t.Context(), agent, "")
	wantErr(t, err, fault.ErrForbidden)
	_, err = k.tickets.Claim(t.Context(), k.jonas, "")
	wantErr(t, err, fault.ErrForbidden)
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

func TestTicketsAreListedByPagesInEitherOrder(t *testing.T) {
	k := setup(t)
	for _, p := range []string{"low", "high", "low", "urgent", "high"} {
		k.ticket(p, p)
	}
	for _, tt := range []struct {
		queue bool
		want  string
	}{{false, "[5 4 3 2 1]"}, {true, "[4 2 5 1 3]"}} {
		var numbers []int64
		f := db.TicketFilter{Queue: tt.queue, Limit: 2}
		for {
			list, err := k.tickets.List(t.Context(), k.jonas, f)
			check(t, err)
			if len(list) == 0 {
				break
			}
			for _, tk := range list {
				numbers = append(numbers, tk.Number)
			}
			f.After = list[len(list)-1].ID
		}
		if got := fmt.Sprint(numbers); got != tt.want {
			t.Errorf("queue %v: pages give %s; want %s", tt.queue, got, tt.want)
		}
	}
	for _, tt := range []struct {
		f    db.TicketFilter
		want int
	}{{db.TicketFilter{Search: "#3"}, 1}, {db.TicketFilter{Search: "HIGH"}, 2}, {db.TicketFilter{Priority: db.Low}, 2},
		{db.TicketFilter{Label: "x"}, 0},
		{db.TicketFilter{Unclaimed: true}, 5}, {db.TicketFilter{Assignee: k.mira.ID}, 0},
		{db.TicketFilter{Statuses: []db.TicketStatus{db.TicketDone}}, 0}} {
		tt.f.Limit = 100
		list, err := k.tickets.List(t.Context(), k.jonas, tt.f)
		check(t, err)
		if len(list) != tt.want {
			t.Errorf("%+v gives %d; want %d", tt.f, len(list), tt.want)
		}
	}
}

func ptr(s string) *string { return &s }

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
