package automation

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/bot"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/app/provider"
	"carillon/app/secret"
	"carillon/app/spec"
	"carillon/app/ticket"
	"carillon/app/workflow"
	"carillon/app/workspace"
	"carillon/db"
	"carillon/db/dbtest"
)

// longest bounds each wait for what has to happen. It is long because a test must not fail on a slow or busy machine.
const longest = 10 * time.Minute

func TestMain(m *testing.M) { dbtest.Main(m) }

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

func (c *clock) Add(d time.Duration) { c.Set(c.Now().Add(d)) }

// kit is a service on a database of its own with people and a workspace.
type kit struct {
	*Service
	DB        *db.DB // that of the service
	t         *testing.T
	workflows *workflow.Service
	bots      *bot.Service
	tickets   *ticket.Service
	inbox     *inbox.Service
	clock     *clock
	workspace db.Workspace
	mira      account.Actor // an administrator
	jonas     account.Actor // a member, of the workspace too
	worker    string
}

// begun is when tests begin: a Monday at noon, far from changes of the clocks.
var begun = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func setup(t *testing.T) *kit {
	t.Parallel()
	d := dbtest.New(t)
	c := &clock{now: begun}
	keys, err := secret.Parse("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	check(t, err)
	providers := &provider.Service{DB: d, Now: c.Now, List: func() []provider.Provider {
		return []provider.Provider{{ID: "shell", Name: "Shell", Script: true},
			{ID: "agent", Name: "Agent", Models: []string{"small", "large"}}}
	}}
	k := &kit{t: t, DB: d, clock: c, worker: "test", Service: &Service{
		DB: d, Now: c.Now, Keys: keys, Log: slog.New(slog.DiscardHandler), Providers: providers,
		Workspaces: &workspace.Service{
			DB: d, Now: c.Now, Keys: keys, Providers: providers,
			Probe: func(_ context.Context, r workspace.Remote) (string, fault.Invalid) { return "main", nil },
		},
	}}
	k.workflows = &workflow.Service{
		DB: d, Now: c.Now, Keys: keys, RunsScripts: k.Providers.RunsScripts,
		Changed: k.Definitions().StopAutomating, Lost: k.Definitions().DisableUsers,
	}
	k.bots = &bot.Service{
		DB: d, Now: c.Now, Provider: k.Providers.Find, Changed: k.Definitions().StopAutomating,
		Lost: k.Definitions().DisableUsers,
	}
	k.tickets, k.inbox = &ticket.Service{DB: d, Now: c.Now}, &inbox.Service{DB: d, Now: c.Now}
	check(t, account.EnsureRoles(t.Context(), d, begun))
	check(t, k.Workspaces.EnsureScratch(t.Context()))
	k.mira = k.person("Mira", account.RoleAdministrator)
	k.jonas = k.person("Jonas", account.RoleMember)
	list, err := k.Workspaces.List(t.Context(), k.mira)
	check(t, err)
	k.workspace = list[0]
	return k
}

// person makes a person with a role built in, without the cost of hashing a password.
func (k *kit) person(name, role string) account.Actor {
	k.t.Helper()
	r, err := db.RoleByKey(k.t.Context(), k.DB, role)
	check(k.t, err)
	u := &db.User{
		ID: db.NewID(), Email: name + "@example.com", Name: name, TimeZone: "UTC", CreatedAt: begun, UpdatedAt: begun,
	}
	check(k.t, k.DB.RunInTx(k.t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		return errors.Join(db.InsertUser(ctx, tx, u, r.ID), k.Workspaces.JoinScratch(ctx, tx, u.ID))
	}))
	return k.actor(u.ID)
}

func (k *kit) actor(id uuid.UUID) account.Actor {
	k.t.Helper()
	u, err := db.UserByID(k.t.Context(), k.DB, id)
	check(k.t, err)
	return account.ActorOf(u)
}

// input is an automation that is right as it stands.
func (k *kit) input() Input {
	return Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      k.workspace.ID.String(),
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "Look around.",
		Provider:       "agent",
		AutoComplete:   true,
		Retries:        2,
	}}
}

// create makes an automation of Jonas's.
func (k *kit) create(change func(in *Input)) *db.Automation {
	k.t.Helper()
	in := k.input()
	if change != nil {
		change(&in)
	}
	a, _, err := k.Definitions().Create(k.t.Context(), k.jonas, in)
	check(k.t, err)
	return a
}

func recurring(cron string) func(*Input) {
	return func(in *Input) { in.Trigger, in.Cron, in.TimeZone = "recurring", cron, "UTC" }
}

func loop(in *Input) { in.Trigger = "loop" }

func (k *kit) reload(a *db.Automation) *db.Automation {
	k.t.Helper()
	b, err := db.AutomationByID(k.t.Context(), k.DB, a.ID)
	check(k.t, err)
	return b
}

// tick lets the scheduler look once at every due automation, at an instant.
func (k *kit) tick(at time.Time) {
	k.t.Helper()
	k.clock.Set(at)
	for {
		n, err := k.Schedules().StartDue(k.t.Context())
		check(k.t, err)
		if n == 0 {
			return
		}
	}
}

// claim takes every queued session, as a worker would.
func (k *kit) claim() []db.Session {
	k.t.Helper()
	var list []db.Session
	err := k.DB.RunInTx(k.t.Context(), nil, func(ctx context.Context, tx bun.Tx) (err error) {
		list, err = db.ClaimSessions(ctx, tx, k.worker, 1000, k.Now(), k.Now().Add(time.Minute))
		return err
	})
	check(k.t, err)
	return list
}

// atWork claims every queued session and gives its agent the first message.
func (k *kit) atWork() []db.Session {
	k.t.Helper()
	list := k.claim()
	for _, s := range list {
		e, err := db.ExecutionBySession(k.t.Context(), k.DB, s.ID)
		check(k.t, err)
		turn, err := db.NextTurn(k.t.Context(), k.DB, lease(s), e.ID, k.Now())
		check(k.t, err)
		if turn == nil {
			k.t.Fatalf("session %s has no message", s.ID)
		}
	}
	return list
}

// finish claims every queued session and ends its run.
func (k *kit) finish(o Outcome) []db.Session {
	k.t.Helper()
	list := k.claim()
	for _, s := range list {
		check(k.t, k.Runs().Finish(k.t.Context(), lease(s), o))
	}
	return list
}

func lease(s db.Session) db.Lease {
	return db.Lease{Session: s.ID, Worker: s.Worker, Fence: s.Fence}
}

var (
	success = Outcome{Status: db.Succeeded}
	failure = Outcome{Status: db.Failed, Reason: "exit 1", Class: "agent"}
)

// history lists an automation's executions, oldest first.
func (k *kit) history(a *db.Automation) []db.Execution {
	k.t.Helper()
	var list []db.Execution
	check(k.t, k.DB.NewSelect().Model(&list).Relation("Automation").Relation("User").Where("e.automation_id = ?", a.ID).
		Order("e.id").Scan(k.t.Context()))
	return list
}

// statuses sums up a history: "succeeded failed skipped×3".
func (k *kit) statuses(a *db.Automation) string {
	k.t.Helper()
	text := ""
	for _, e := range k.history(a) {
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

func (k *kit) expectStatuses(a *db.Automation, want string) {
	k.t.Helper()
	if got := k.statuses(a); got != want {
		k.t.Errorf("history is %q; want %q", got, want)
	}
}

// expectInbox compares the kinds of a person's notices, oldest first.
func (k *kit) expectInbox(who account.Actor, want ...string) {
	k.t.Helper()
	list, err := k.inbox.List(k.t.Context(), who, db.NotificationFilter{Limit: 1000})
	check(k.t, err)
	var got []string
	for i := len(list) - 1; i >= 0; i-- {
		got = append(got, list[i].Kind)
	}
	if len(got) != len(want) {
		k.t.Errorf("%s has notices %v; want %v", who.Name, got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			k.t.Errorf("%s has notices %v; want %v", who.Name, got, want)
			return
		}
	}
}

func (k *kit) session(id uuid.UUID) *db.Session {
	k.t.Helper()
	s, err := db.SessionByID(k.t.Context(), k.DB, id)
	check(k.t, err)
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("got error %v; want %v", got, want)
	}
}

// wantInvalid expects a mistake in one field, and returns its sentence.
func wantInvalid(t *testing.T, err error, field string) string {
	t.Helper()
	var bad fault.Invalid
	if !errors.As(err, &bad) || bad[field] == "" {
		t.Fatalf("got error %v; want something about the field %s", err, field)
	}
	return bad[field]
}
