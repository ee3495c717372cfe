package apptest

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/app/ticket"
	"carillon/db"
	"carillon/db/dbtest"
)

// Kit is the services of the rules on a database of its own, with people and a workspace.
type Kit struct {
	*Services
	T       *testing.T
	DB      *db.DB
	Clock   *Clock
	Scratch db.Workspace
	Mira    account.Actor // an administrator
	Jonas   account.Actor // a member, of Scratch too
	Worker  string        // as whom sessions are claimed
}

// New makes a kit for a test that runs beside others.
func New(t *testing.T) *Kit {
	t.Helper()
	t.Parallel()
	d := dbtest.New(t)
	c := &Clock{now: Begun}
	k := &Kit{Services: Wire(NewRules(d, c.Now)), T: t, DB: d, Clock: c, Worker: "test"}
	Prepare(t, d, k.Rules)
	k.Mira = k.Person("Mira", account.RoleAdministrator)
	k.Jonas = k.Person("Jonas", account.RoleMember)
	list, err := k.Rules.Workspaces.List(t.Context(), k.Mira)
	Check(t, err)
	k.Scratch = list[0]
	return k
}

// Exec runs a statement of SQL.
func (k *Kit) Exec(sql string, args ...any) {
	k.T.Helper()
	_, err := k.DB.NewRaw(sql, args...).Exec(k.T.Context())
	Check(k.T, err)
}

// Input is an automation that is right as it stands.
func (k *Kit) Input() automation.Input {
	return automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      k.Scratch.ID.String(),
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "Look around.",
		Provider:       "agent",
		AutoComplete:   true,
		Retries:        2,
	}}
}

// Recurring gives an automation a schedule in UTC.
func Recurring(cron string) func(*automation.Input) {
	return func(in *automation.Input) { in.Trigger, in.Cron, in.TimeZone = "recurring", cron, "UTC" }
}

// Loop makes an automation a loop.
func Loop(in *automation.Input) { in.Trigger = "loop" }

// Make makes an automation of Jonas's.
func (k *Kit) Make(change func(in *automation.Input)) *db.Automation {
	k.T.Helper()
	return k.MakeOf(k.Jonas, change)
}

// MakeOf makes an automation of somebody's.
func (k *Kit) MakeOf(who account.Actor, change func(in *automation.Input)) *db.Automation {
	k.T.Helper()
	in := k.Input()
	if change != nil {
		change(&in)
	}
	a, _, err := k.Rules.Definitions().Create(k.T.Context(), who, in)
	Check(k.T, err)
	return a
}

// Reload reads an automation again.
func (k *Kit) Reload(a *db.Automation) *db.Automation {
	k.T.Helper()
	b, err := db.AutomationByID(k.T.Context(), k.DB, a.ID)
	Check(k.T, err)
	return b
}

// Tick lets the scheduler look once at every due automation, at an instant.
func (k *Kit) Tick(at time.Time) {
	k.T.Helper()
	k.Clock.Set(at)
	for {
		n, err := k.Rules.Schedules().StartDue(k.T.Context())
		Check(k.T, err)
		if n == 0 {
			return
		}
	}
}

// Claim takes every queued session, as a worker would.
func (k *Kit) Claim() []db.Session {
	k.T.Helper()
	var list []db.Session
	err := db.InTx(k.T.Context(), k.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		now := k.Clock.Now()
		list, err = db.ClaimSessions(ctx, tx, k.Worker, 1000, now, now.Add(time.Minute))
		return err
	})
	Check(k.T, err)
	return list
}

// AtWork claims every queued session and gives its agent the first message.
func (k *Kit) AtWork() []db.Session {
	k.T.Helper()
	list := k.Claim()
	for _, s := range list {
		k.begin(s)
	}
	return list
}

// begin begins the next turn of a session.
func (k *Kit) begin(s db.Session) *db.Turn {
	k.T.Helper()
	e, err := db.ExecutionBySession(k.T.Context(), k.DB, s.ID)
	Check(k.T, err)
	turn, err := db.NextTurn(k.T.Context(), k.DB, Lease(s), e.ID, k.Clock.Now())
	Check(k.T, err)
	if turn == nil {
		k.T.Fatalf("session %s has no message", s.ID)
	}
	return turn
}

// EndRuns claims every queued session and ends its run.
func (k *Kit) EndRuns(o automation.Outcome) []db.Session {
	k.T.Helper()
	list := k.Claim()
	for _, s := range list {
		Check(k.T, k.Rules.Runs().Finish(k.T.Context(), Lease(s), o))
	}
	return list
}

// Lease is that of a session that was claimed.
func Lease(s db.Session) db.Lease {
	return db.Lease{Session: s.ID, Worker: s.Worker, Fence: s.Fence}
}

// How runs end.
var (
	Success = automation.Outcome{Status: db.Succeeded}
	Failure = automation.Outcome{Status: db.Failed, Reason: "exit 1", Class: "agent"}
)

// SessionAgain reads a session again.
func (k *Kit) SessionAgain(id uuid.UUID) *db.Session {
	k.T.Helper()
	s, err := db.SessionByID(k.T.Context(), k.DB, id)
	Check(k.T, err)
	return s
}

// History lists an automation's executions, oldest first.
func (k *Kit) History(a *db.Automation) []db.Execution {
	k.T.Helper()
	var list []db.Execution
	Check(k.T, k.DB.NewSelect().Model(&list).Relation("Automation").Relation("User").Where("e.automation_id = ?", a.ID).
		Order("e.id").Scan(k.T.Context()))
	return list
}

// Statuses sums up a history: "succeeded failed skipped×3".
func (k *Kit) Statuses(a *db.Automation) string {
	k.T.Helper()
	text := ""
	for _, e := range k.History(a) {
		if text != "" {
			text += " "
		}
		text += string(e.Status)
		if e.SkipCount > 1 {
			text += "×" + strconv.Itoa(e.SkipCount)
		}
	}
	return text
}

// ExpectStatuses compares a history with one that is summed up as Statuses does.
func (k *Kit) ExpectStatuses(a *db.Automation, want string) {
	k.T.Helper()
	if got := k.Statuses(a); got != want {
		k.T.Errorf("history is %q; want %q", got, want)
	}
}

// ExpectInbox compares the kinds of a person's notices, oldest first.
func (k *Kit) ExpectInbox(who account.Actor, want ...string) {
	k.T.Helper()
	list, err := k.Inbox.List(k.T.Context(), who, db.NotificationFilter{Limit: 1000})
	Check(k.T, err)
	var got []string
	for i := len(list) - 1; i >= 0; i-- {
		got = append(got, list[i].Kind)
	}
	if len(got) != len(want) {
		k.T.Errorf("%s has notices %v; want %v", who.Name, got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			k.T.Errorf("%s has notices %v; want %v", who.Name, got, want)
			return
		}
	}
}

// Ticket makes a ticket of Jonas's in Scratch.
func (k *Kit) Ticket(title, priority string) *db.Ticket {
	k.T.Helper()
	t, err := k.Tickets.Create(k.T.Context(), k.Jonas, ticket.Input{
		Workspace: k.Scratch.ID.String(), Title: title, Priority: priority,
	})
	Check(k.T, err)
	return t
}

// Agent makes an automation whose session is at work, and as whom its agent asks.
func (k *Kit) Agent(change func(*automation.Input)) (db.Session, account.Actor) {
	k.T.Helper()
	_, err := k.Rules.Runs().RunNow(k.T.Context(), k.Jonas, k.Make(change).ID, nil)
	Check(k.T, err)
	session := k.Claim()[0]
	actor, err := k.Rules.Agents().Actor(k.T.Context(), k.Admit(session))
	Check(k.T, err)
	return session, actor
}

// Admit begins the next turn of a session and gives it a token.
func (k *Kit) Admit(session db.Session) string {
	k.T.Helper()
	token := automation.NewSessionToken()
	Check(k.T, k.Rules.Agents().IssueToken(k.T.Context(), Lease(session), k.begin(session).ID, token))
	return token
}
