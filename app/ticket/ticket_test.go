package ticket_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/apptest"
	"carillon/app/fault"
	"carillon/app/ticket"
	"carillon/db"
	"carillon/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

var check, wantErr, wantInvalid = apptest.Check, apptest.WantErr, apptest.WantInvalid

func TestTicketsAreNumberedInTheirWorkspaceWithoutGaps(t *testing.T) {
	k := apptest.New(t)
	other := k.Elsewhere(k.Jonas)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := k.Tickets.Create(t.Context(), k.Jonas, ticket.Input{
				Workspace: k.Scratch.ID.String(), Title: "At once",
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	_, err := k.Tickets.Create(t.Context(), k.Jonas, ticket.Input{Workspace: k.Scratch.ID.String(), Title: " "})
	wantInvalid(t, err, "title")
	list, err := k.Tickets.List(t.Context(), k.Jonas, db.TicketFilter{Workspace: k.Scratch.ID, Limit: 100})
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
	first, err := k.Tickets.Create(t.Context(), k.Jonas, ticket.Input{Workspace: other.String(), Title: "Another"})
	check(t, err)
	if len(numbers) != 20 || first.Number != 1 {
		t.Errorf("%d tickets, and the first of another workspace is #%d", len(numbers), first.Number)
	}
}

func TestMistakesInATicketAreSaidAllAtOnceByTheirFields(t *testing.T) {
	k := apptest.New(t)
	_, err := k.Tickets.Create(t.Context(), k.Jonas, ticket.Input{
		Workspace: "x", Title: strings.Repeat("a", 201), Body: "\x00", Priority: "huge", Status: "lost",
		Labels: strings.Repeat("a", 51),
	})
	for _, field := range []string{"workspace", "title", "body", "priority", "status", "labels"} {
		wantInvalid(t, err, field)
	}
	_, err = k.Tickets.Create(t.Context(), k.Jonas, ticket.Input{
		Workspace: k.Scratch.ID.String(), Title: "x", Assignee: uuid.NewString(),
	})
	wantInvalid(t, err, "assignee")
	tk, err := k.Tickets.Create(t.Context(), k.Jonas, ticket.Input{
		Workspace: k.Scratch.ID.String(), Title: " x ", Labels: "qa, , QA,api", Assignee: k.Mira.ID.String(),
	})
	check(t, err)
	if tk.Title != "x" || strings.Join(tk.Labels, "|") != "qa|api" || tk.Priority != db.Medium ||
		tk.Status != db.TicketOpen || tk.AssigneeID != k.Mira.ID {
		t.Errorf("the ticket is %+v", tk)
	}
}

func TestOnlyMembersOfAWorkspaceSeeItsTicketsAndOnlyWithThePermissionChangeThem(t *testing.T) {
	k := apptest.New(t)
	ctx := t.Context()
	lena := k.Person("Lena", account.RoleMember)
	other := k.Elsewhere(lena)
	theirs, err := k.Tickets.Create(ctx, lena, ticket.Input{Workspace: other.String(), Title: "Theirs"})
	check(t, err)
	ours := k.Ticket("Ours", "")

	_, err = k.Tickets.Find(ctx, k.Jonas, theirs.ID)
	wantErr(t, err, fault.ErrNotFound)
	_, err = k.Tickets.Change(ctx, k.Jonas, theirs.ID, ticket.Change{})
	wantErr(t, err, fault.ErrNotFound)
	_, err = k.Tickets.FindByNumber(ctx, k.Jonas, other, 1)
	wantErr(t, err, fault.ErrNotFound)
	_, err = k.Tickets.Create(ctx, k.Jonas, ticket.Input{Workspace: other.String(), Title: "x"})
	wantInvalid(t, err, "workspace")
	list, err := k.Tickets.List(ctx, k.Jonas, db.TicketFilter{Limit: 10})
	check(t, err)
	if len(list) != 1 || list[0].ID != ours.ID {
		t.Errorf("Jonas sees %d tickets; want his own workspace's", len(list))
	}

	_, err = k.DB.NewRaw("UPDATE roles SET permissions = '{automations.view_own}' WHERE key = ?", account.RoleMember).
		Exec(ctx)
	check(t, err)
	reader := k.Actor(k.Jonas.ID)
	_, err = k.Tickets.Find(ctx, reader, ours.ID)
	check(t, err)
	_, err = k.Tickets.Change(ctx, reader, ours.ID, ticket.Change{})
	wantErr(t, err, fault.ErrForbidden)
	_, err = k.Tickets.Create(ctx, reader, ticket.Input{Workspace: k.Scratch.ID.String(), Title: "x"})
	wantErr(t, err, fault.ErrForbidden)
}

func TestATicketThatSomeoneElseChangedIsNotSavedOver(t *testing.T) {
	k := apptest.New(t)
	tk := k.Ticket("First", "low")
	in := ticket.Input{Title: "Second", Priority: "high", Version: tk.Version}
	changed, err := k.Tickets.Update(t.Context(), k.Mira, tk.ID, in)
	check(t, err)
	if changed.Title != "Second" || changed.Priority != db.High || changed.Version != 2 {
		t.Errorf("the ticket is %+v", changed)
	}
	_, err = k.Tickets.Update(t.Context(), k.Jonas, tk.ID, in)
	wantErr(t, err, fault.ErrStale)
	log, err := db.AuditOf(t.Context(), k.DB, tk.ID, 10)
	check(t, err)
	if len(log) != 2 || log[0].Action != "ticket.update" || log[0].Before["title"] != "First" ||
		log[0].After["title"] != "Second" || log[0].After["body"] != nil {
		t.Errorf("the audit log has %+v", log)
	}
}

func TestTheMostUrgentAndThenTheOldestTicketIsNext(t *testing.T) {
	k := apptest.New(t)
	for _, p := range []string{"low", "medium", "urgent", "high", "urgent"} {
		k.Ticket(p, p)
	}
	closed := k.Ticket("closed", "urgent")
	_, err := k.Tickets.Change(t.Context(), k.Jonas, closed.ID, ticket.Change{Status: ptr("done")})
	check(t, err)
	_, err = k.Tickets.Create(t.Context(), k.Jonas, ticket.Input{
		Workspace: k.Elsewhere(k.Jonas).String(), Title: "elsewhere", Priority: "urgent",
	})
	check(t, err)
	session, agent := k.Agent(nil)
	var got []string
	for {
		tk, err := k.Tickets.Claim(t.Context(), agent, "")
		check(t, err)
		if tk == nil {
			break
		}
		got = append(got, fmt.Sprintf("%s %d", tk.Title, tk.Number))
		if tk.Status != db.TicketInProgress || tk.ClaimedBy != session.ID {
			t.Fatalf("the claimed ticket is %s, held by %s", tk.Status, tk.ClaimedBy)
		}
		_, err = k.Tickets.Change(t.Context(), agent, tk.ID, ticket.Change{Status: ptr("done")})
		check(t, err)
	}
	if want := "[urgent 3 urgent 5 high 4 medium 2 low 1]"; fmt.Sprint(got) != want {
		t.Errorf("claimed %v; want %v", got, want)
	}
	worked, _, err := k.Tickets.OfSession(t.Context(), session.ID)
	check(t, err)
	if len(worked) != 5 {
		t.Errorf("the session has %d tickets; want those that it claimed", len(worked))
	}
}

func TestEachTicketIsClaimedByOneSessionHoweverManyClaimAtOnce(t *testing.T) {
	k := apptest.New(t)
	const sessions, tickets = 12, 8
	var agents []account.Actor
	for range sessions {
		_, agent := k.Agent(nil)
		agents = append(agents, agent)
	}
	for i := range tickets {
		k.Ticket(fmt.Sprint("Ticket ", i), "")
	}
	var mu sync.Mutex
	claimed, empty := map[uuid.UUID]int{}, 0
	var wg sync.WaitGroup
	for _, agent := range agents {
		for range 2 { // each asks twice, too
			wg.Go(func() {
				tk, err := k.Tickets.Claim(t.Context(), agent, "")
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
	k := apptest.New(t)
	first := k.Ticket("First", "")
	k.Ticket("Second", "")
	_, agent := k.Agent(nil)
	for range 2 {
		tk, err := k.Tickets.Claim(t.Context(), agent, "")
		check(t, err)
		if tk.ID != first.ID {
			t.Fatalf("got %s; want the first ticket each time", tk.Title)
		}
	}
}

func TestOnlyTicketsOfALabelAreNextForWhoAsksForIt(t *testing.T) {
	k := apptest.New(t)
	k.Ticket("Plain", "urgent")
	_, agent := k.Agent(nil)
	tk, err := k.Tickets.Claim(t.Context(), agent, "qa")
	check(t, err)
	if tk != nil {
		t.Fatalf("got %q", tk.Title)
	}
	_, err = k.Tickets.Create(t.Context(), k.Jonas, ticket.Input{
		Workspace: k.Scratch.ID.String(), Title: "Labelled", Labels: "api, qa",
	})
	check(t, err)
	if tk, err = k.Tickets.Claim(t.Context(), agent, "qa"); err != nil || tk == nil || tk.Title != "Labelled" {
		t.Errorf("got %v, %v; want the ticket with the label", tk, err)
	}
}

func TestARunThatFailsPutsItsTicketBackAndOneThatSucceedsKeepsIt(t *testing.T) {
	k := apptest.New(t)
	tk := k.Ticket("Flaky", "")
	for _, tt := range []struct {
		status db.ExecutionStatus
		want   db.TicketStatus
	}{{db.Failed, db.TicketOpen}, {db.TimedOut, db.TicketOpen}, {db.Canceled, db.TicketOpen},
		{db.Succeeded, db.TicketInProgress}} {
		session, agent := k.Agent(nil)
		got, err := k.Tickets.Claim(t.Context(), agent, "")
		check(t, err)
		if got == nil || got.ID != tk.ID {
			t.Fatalf("%s: got %v; want the ticket again", tt.status, got)
		}
		outcome := apptest.Success
		if tt.status != db.Succeeded {
			outcome = apptest.Failure
			outcome.Status = tt.status
		}
		check(t, k.Rules.Runs().Finish(t.Context(), apptest.Lease(session), outcome))
		got, err = db.TicketByID(t.Context(), k.DB, tk.ID)
		check(t, err)
		if got.Status != tt.want {
			t.Errorf("%s: the ticket is %s; want %s", tt.status, got.Status, tt.want)
		}
	}
}

func TestASessionThatHasEndedClaimsNothing(t *testing.T) {
	k := apptest.New(t)
	k.Ticket("Waiting", "")
	session, agent := k.Agent(nil)
	check(t, k.Rules.Runs().Finish(t.Context(), apptest.Lease(session), apptest.Success))
	_, err := k.Tickets.Claim(t.Context(), agent, "")
	wantErr(t, err, fault.ErrForbidden)
	_, err = k.Tickets.Claim(t.Context(), k.Jonas, "")
	wantErr(t, err, fault.ErrForbidden)
}

func TestTicketsAreListedByPagesInEitherOrder(t *testing.T) {
	k := apptest.New(t)
	for _, p := range []string{"low", "high", "low", "urgent", "high"} {
		k.Ticket(p, p)
	}
	for _, tt := range []struct {
		queue bool
		want  string
	}{{false, "[5 4 3 2 1]"}, {true, "[4 2 5 1 3]"}} {
		var numbers []int64
		f := db.TicketFilter{Queue: tt.queue, Limit: 2}
		for {
			list, err := k.Tickets.List(t.Context(), k.Jonas, f)
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
		{db.TicketFilter{Unclaimed: true}, 5}, {db.TicketFilter{Assignee: k.Mira.ID}, 0},
		{db.TicketFilter{Statuses: []db.TicketStatus{db.TicketDone}}, 0}} {
		tt.f.Limit = 100
		list, err := k.Tickets.List(t.Context(), k.Jonas, tt.f)
		check(t, err)
		if len(list) != tt.want {
			t.Errorf("%+v gives %d; want %d", tt.f, len(list), tt.want)
		}
	}
}

func ptr(s string) *string { return &s }

// A change of a ticket waits for another one of it. What its author may do is asked again then: here it was taken since
// the request began.
func TestTheRightToTicketsThatIsTakenDuringAWaitForALockIsGone(t *testing.T) {
	k := apptest.New(t)
	tk, err := k.Tickets.Create(t.Context(), k.Jonas, ticket.Input{Workspace: k.Scratch.ID.String(), Title: "Mine"})
	check(t, err)
	title := "Theirs"
	for name, tt := range map[string]struct {
		take func(who uuid.UUID) error
		want error
	}{
		"the role": {func(who uuid.UUID) error { return db.SetRoles(t.Context(), k.DB, who, nil) }, fault.ErrForbidden},
		"the account": {func(who uuid.UUID) error {
			return db.SetDeactivated(t.Context(), k.DB, who, apptest.Begun, apptest.Begun)
		}, fault.ErrForbidden},
		"the membership": {func(who uuid.UUID) error {
			return db.RemoveMember(t.Context(), k.DB, tk.WorkspaceID, who)
		}, fault.ErrNotFound},
	} {
		otto := k.Person("Otto"+name[4:], account.RoleMember)
		check(t, tt.take(otto.ID))
		_, err := k.Tickets.Change(t.Context(), otto, tk.ID, ticket.Change{Title: &title})
		wantErr(t, err, tt.want)
	}
}
