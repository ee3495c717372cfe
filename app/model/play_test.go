package model

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/apptest"
	"carillon/app/automation"
	"carillon/app/cron"
	"carillon/app/fault"
	"carillon/app/forge"
	"carillon/app/middleware"
	"carillon/app/provider"
	"carillon/app/spec"
	"carillon/app/webhook"
	"carillon/app/workflow"
	"carillon/app/workspace"
	"carillon/db"
	"carillon/db/dbtest"
)

// system is Carillon: its rules on real rows in a real PostgreSQL, with two schedulers, a worker and the clock of the
// test.
type system struct {
	db        *db.DB
	now       time.Time
	rules     [2]*automation.Service // two processes
	workflows *workflow.Service
	looked    int
	ticks     int
	workspace uuid.UUID
	people    map[string]account.Actor

	// of one sequence
	automations []uuid.UUID
	sessions    []uuid.UUID
	turns       map[uuid.UUID]uuid.UUID // at work, by session
	held        map[uuid.UUID]db.Session
	tokens      []string
	prints      map[string]int // number of a token by its fingerprint
	flows       []uuid.UUID    // the workflows that there were
	heard       []string       // all answers and rows

	site   http.Handler
	called int
	lost   error
	blip   int       // at which statement from now on the database loses its connections; 0: at none
	admin  *pgx.Conn // one connection alone, since it ends all others
}

func open(t testing.TB) *system {
	t.Helper()
	s := &system{
		db: dbtest.New(t), now: Nights[0].Begin, people: map[string]account.Actor{},
		rules: [2]*automation.Service{{}, {}},
	}
	var err error
	s.db.DB = s.db.WithQueryHook(s)
	if s.admin, err = pgx.ConnectConfig(t.Context(), s.db.Pool.Config().ConnConfig); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.admin.Close(context.Background()) })
	s.boot()
	log := slog.New(slog.DiscardHandler)
	calls := &webhook.Server{
		Rules: s.rules[0], Workspaces: s.rules[0].Workspaces,
		PublicURL: &url.URL{Scheme: "http", Host: "carillon.test"},
		Tokens:    &middleware.Tokens{Bad: middleware.NewBadTokenLimiter()}, Calls: webhook.NewCallLimiter(0),
		Now: func() time.Time { return s.now }, Log: log,
	}
	routes := &middleware.Routes{}
	calls.Routes(routes)
	s.site = routes.Dispatch(http.NotFoundHandler())
	ctx := context.Background()
	if err := errors.Join(account.EnsureRoles(ctx, s.db, s.now), s.rules[0].Workspaces.EnsureScratch(ctx)); err != nil {
		t.Fatal(err)
	}
	if err := s.db.NewRaw("SELECT id FROM workspaces LIMIT 1").Scan(ctx, &s.workspace); err != nil {
		t.Fatal(err)
	}
	for _, p := range New(Nights[0]).People {
		if err := s.join(ctx, p); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// join gives a person of the model an account.
func (s *system) join(ctx context.Context, p *Person) error {
	var may []string
	for name, has := range map[account.Permission]bool{account.Admin: p.Admin, account.Manage: p.Manage,
		account.ManageAll: p.ManageAll,
		account.ViewAll:   p.ViewAll, account.ViewOwn: p.ViewOwn} {
		if has {
			may = append(may, string(name))
		}
	}
	role := &db.Role{
		ID: db.NewID(), Name: "Role of " + p.Name, Permissions: may, CreatedAt: s.now, UpdatedAt: s.now, Version: 1,
	}
	u := &db.User{
		ID: db.NewID(), Email: p.Name + "@example.com", Name: p.Name, TimeZone: "UTC", CreatedAt: s.now,
		UpdatedAt: s.now,
	}
	err := s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		return errors.Join(db.InsertRole(ctx, tx, role), db.InsertUser(ctx, tx, u, role.ID))
	})
	if err != nil {
		return err
	}
	if !p.Outside {
		if err := db.AddMember(ctx, s.db, s.workspace, u.ID); err != nil {
			return err
		}
	}
	if u, err = db.UserByID(ctx, s.db, u.ID); err == nil {
		s.people[p.Name] = account.ActorOf(u)
	}
	return err
}

// steady marks statements that a blip may meet.
type steady struct{}

// BeforeQuery is where the database loses its connections: before a statement or the end of a transaction is sent.
func (s *system) BeforeQuery(ctx context.Context, _ *bun.QueryEvent) context.Context {
	if ctx.Value(steady{}) == nil || s.blip == 0 {
		return ctx
	}
	if s.blip--; s.blip == 0 {
		_, s.lost = s.admin.Exec(context.WithoutCancel(ctx),
			`SELECT pg_terminate_backend(pid, 600000) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	}
	return ctx
}

// AfterQuery completes a bun.QueryHook.
func (s *system) AfterQuery(context.Context, *bun.QueryEvent) {}

// steadily does something that is done all or not at all, and again where the database went away meanwhile, as each
// caller does: a person, a sender, a scheduler, a worker.
func (s *system) steadily(ctx context.Context, do func(ctx context.Context) error) error {
	return s.untilThere(context.WithValue(ctx, steady{}, true), do)
}

// untilThere does something again while the database is away: connections that a blip ended may be found out later.
func (s *system) untilThere(ctx context.Context, do func(ctx context.Context) error) error {
	for {
		switch err := do(ctx); {
		case s.lost != nil:
			return s.lost
		case err == nil || !db.IsUnavailable(err):
			return err
		}
	}
}

// boot starts the processes.
func (s *system) boot() {
	for i := range s.rules {
		now := func() time.Time { return s.now }
		providers := &provider.Service{DB: s.db, Now: now, List: func() []provider.Provider {
			return []provider.Provider{{ID: "agent", Name: "Agent", Models: []string{"small"}}}
		}}
		*s.rules[i] = automation.Service{
			DB: s.db, Keys: apptest.Keys(), Log: slog.New(slog.DiscardHandler), Now: now, Providers: providers,
			Workspaces: &workspace.Service{
				DB: s.db, Now: now, Keys: apptest.Keys(), Providers: providers,
				Probe: func(context.Context, workspace.Remote) (string, fault.Invalid) { return "main", nil },
			},
		}
	}
	s.workflows = apptest.Wire(s.rules[0]).Workflows
}

// clear forgets what the last sequence left.
func (s *system) clear(ctx context.Context, begin time.Time) error {
	for _, statement := range []string{
		"DELETE FROM notifications", "DELETE FROM automations", "DELETE FROM sessions", "DELETE FROM workflows",
		"DELETE FROM set_aside", "UPDATE users SET deactivated_at = NULL",
	} {
		if _, err := s.db.NewRaw(statement).Exec(ctx); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	for _, p := range New(Nights[0]).People {
		if err := s.member(ctx, p.Name, !p.Outside); err != nil {
			return err
		}
	}
	s.blip = 0
	s.now = begin
	s.automations = nil
	s.sessions = nil
	s.tokens = nil
	s.prints = map[string]int{}
	s.turns, s.held = map[uuid.UUID]uuid.UUID{}, map[uuid.UUID]db.Session{}
	s.flows = nil
	s.boot()
	return s.flow(ctx)
}

// flow makes a workflow.
func (s *system) flow(ctx context.Context) error {
	wf, err := s.workflows.Create(ctx, s.people["Mira"], workflow.Input{
		Name:  fmt.Sprint("Release ", len(s.flows)+1),
		Steps: []workflow.StepInput{{Kind: "message", Text: "Release $target for $ticket."}},
		Parameters: []workflow.ParameterInput{{Alias: "target", Type: "text", Default: "main"},
			{Alias: "ticket", Type: "text", Required: true}},
	})
	if err == nil {
		s.flows = append(s.flows, wf.ID)
	}
	return err
}

func (s *system) member(ctx context.Context, name string, is bool) error {
	was, err := db.IsMember(ctx, s.db, s.workspace, s.people[name].ID)
	switch {
	case err != nil || was == is:
		return err
	case is:
		return db.AddMember(ctx, s.db, s.workspace, s.people[name].ID)
	}
	return db.RemoveMember(ctx, s.db, s.workspace, s.people[name].ID)
}

// look lets a scheduler look at all that is due, one of two by turns.
func (s *system) look(ctx context.Context) error {
	for i := 0; ; i++ {
		s.looked++
		var n int
		err := s.steadily(ctx, func(ctx context.Context) (err error) {
			n, err = s.rules[s.looked%2].Schedules().StartDue(ctx)
			return err
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		if i > 2000 {
			return errors.New("the scheduler does not come to an end")
		}
	}
}

// input is an automation as the editor sends it.
func (s *system) input(set, shown Settings, name string, version int64) automation.Input {
	in := automation.Input{Automation: spec.Automation{
		Name:           name,
		Workspace:      s.workspace.String(),
		Trigger:        string(set.Trigger),
		SessionType:    "develop",
		Prompt:         set.Prompt,
		Provider:       "agent",
		Cron:           set.Cron,
		TimeZone:       set.Zone,
		CatchUp:        set.CatchUp,
		MaxIterations:  set.MaxIterations,
		StopText:       set.StopText,
		AllowParallel:  set.Parallel,
		MaxParallel:    set.MaxParallel,
		AutoComplete:   set.AutoComplete,
		OnlyUnchanged:  set.OnlyUnchanged,
		TimeoutMinutes: 360,
		Retries:        2,
	}, Version: version}
	if set.MostTurns > 0 {
		in.Budget.Day.Turns = set.MostTurns
	}
	if set.Flow != 0 {
		in.ExecutionType, in.Parameters = "workflow", map[string]string{"target": set.Branch, "ticket": set.Ticket}
		if set.Flow > 0 {
			in.Workflow = s.flows[set.Flow-1].String()
		}
	}
	if set.Trigger == OneTime {
		in.RunAt = set.RunAt.Format(time.RFC3339Nano)
		if set.RunAt.Equal(shown.RunAt) && set.Zone == shown.Zone { // not touched: as the form shows it
			in.RunAt, in.RunAtShown = cron.Shown(set.RunAt, zoneOf(set.Zone)), set.RunAt
		}
	}
	return in
}

// answer is what an error says to who asked.
func answer(err error) (string, error) {
	var bad fault.Invalid
	var unable *automation.Unable
	switch {
	case err == nil:
		return done, nil
	case errors.Is(err, fault.ErrForbidden):
		return forbidden, nil
	case errors.Is(err, fault.ErrNotFound):
		return notFound, nil
	case errors.As(err, &bad):
		return invalid, nil
	case errors.As(err, &unable):
		return "unable", nil
	}
	return "", err
}

// do lets an act happen.
func (s *system) do(ctx context.Context, act Act) (string, error) {
	switch act.Do {
	case Blip:
		s.blip = 1 + act.N%20
		return "", nil
	case Take:
		return "", s.take(ctx, act.Yes)
	case End:
		return "", s.end(ctx, s.held[s.sessions[act.Session.N]], act.Outcome)
	case Call:
		var answers []string
		for range act.Calls {
			text, err := s.call(ctx, act)
			if err != nil {
				return "", err
			}
			answers = append(answers, text)
		}
		return strings.Join(answers, ", "), nil
	}
	var got string
	err := s.steadily(ctx, func(ctx context.Context) (err error) {
		got, err = s.ask(ctx, act)
		return err
	})
	return got, err
}

// ask does what an operation of the rules does.
func (s *system) ask(ctx context.Context, act Act) (string, error) {
	rules, who := s.rules[0], s.people[act.Who.Name]
	var a, session uuid.UUID
	if act.Automation != nil {
		a = s.automations[act.Automation.N]
	}
	if act.Session != nil {
		session = s.sessions[act.Session.N]
	}
	switch act.Do {
	case Create:
		made, token, err := rules.Definitions().Create(ctx, who, s.input(act.Settings, Settings{},
			fmt.Sprintf("A%d", len(s.automations)), 0))
		if err == nil {
			s.automations = append(s.automations, made.ID)
			s.issued(token)
		}
		return answer(err)
	case Edit:
		var version int64
		if err := s.db.NewRaw("SELECT version FROM automations WHERE id = ?", a).Scan(ctx, &version); err != nil &&
			!db.IsNotFound(err) {
			return "", err
		}
		_, token, err := rules.Definitions().Update(ctx, who, a, s.input(act.Settings, act.Automation.Settings,
			fmt.Sprintf("A%d", act.Automation.N), version))
		s.issued(token)
		return answer(err)
	case Switch:
		return answer(rules.Definitions().SetEnabled(ctx, who, a, act.Yes))
	case RunNow:
		_, err := rules.Runs().RunNow(ctx, who, a, nil)
		var busy *automation.Busy
		if errors.As(err, &busy) {
			n, err := s.row(ctx, a, busy.Execution, busy.Session.String())
			return fmt.Sprint("busy with row ", n), err
		}
		return answer(err)
	case Regenerate:
		token, err := rules.Webhooks().RegenerateToken(ctx, who, a, 0)
		s.issued(token)
		return answer(err)
	case Raise:
		_, err := rules.Budgets().Raise(ctx, who, a, "day.turns")
		return answer(err)
	case Remove:
		if err := s.workflows.Remove(ctx, s.people["Mira"], s.flows[len(s.flows)-1]); err != nil &&
			!errors.Is(err, fault.ErrNotFound) {
			return "", err
		}
		return "", s.flow(ctx)
	case Print:
		return "", rules.PullRequests().TakeMentions(ctx, s.repository(), session, branch(session),
			[]forge.PullRequest{others(act.Session)})
	case Transfer:
		_, err := rules.Transfers().Transfer(ctx, who, a, s.people[act.To.Name].ID)
		return answer(err)
	case Delete:
		return answer(rules.Definitions().Delete(ctx, who, a))
	case Cancel:
		var id uuid.UUID
		i := slices.Index(act.Automation.Rows, act.Row)
		if err := s.db.NewRaw("SELECT id FROM executions WHERE automation_id = ? ORDER BY id OFFSET ? LIMIT 1", a, i).
			Scan(ctx, &id); err != nil {
			return "", err
		}
		return quiet(answer(rules.Runs().Cancel(ctx, who, id)))
	case Reply:
		return answer(rules.Sessions().Reply(ctx, who, session, "And now?"))
	case Stop:
		return answer(rules.Sessions().Stop(ctx, who, session))
	case Complete:
		return answer(rules.Sessions().MarkDone(ctx, who, session))
	case Reopen:
		return answer(rules.Sessions().Reopen(ctx, who, session))
	case Link:
		return answer(rules.PullRequests().Link(ctx, who, session, fmt.Sprintf("https://github.com/you/project/pull/%d",
			act.Session.N+1)))
	case Forge:
		switch act.Pull {
		case toldPull:
			p := forge.PullRequest{
				Forge: "github", Repository: "you/project", Number: int64(act.Session.N + 1),
				State: forge.State(act.State), Branch: branch(session),
			}
			_, err := rules.PullRequests().TakeEvent(ctx, s.repository(), p)
			return "", err
		case othersPull:
			p := others(act.Session)
			p.State, p.Branch = forge.State(act.State), "somebody/s"
			_, err := rules.PullRequests().TakeEvent(ctx, s.repository(), p)
			return "", err
		}
		list, err := db.PullRequestsOf(ctx, s.db, []uuid.UUID{session})
		list = slices.DeleteFunc(list, func(p db.PullRequest) bool { return p.Number != int64(act.Session.N+1) })
		if err != nil || len(list) != 1 {
			return fmt.Sprint(len(list), " pull requests"), err
		}
		p := forge.PullRequest{
			Forge: forge.Kind(list[0].Forge), Repository: list[0].Repository, Number: list[0].Number,
			State: forge.State(act.State),
		}
		return "", rules.PullRequests().TakeAnswer(ctx, &list[0], p)
	case Leave:
		since := s.now
		if act.Who.Inactive {
			since = time.Time{}
		}
		return "", db.SetDeactivated(ctx, s.db, who.ID, since, s.now)
	case Member:
		return "", s.member(ctx, act.Who.Name, act.Who.Outside)
	case Die:
		return "", s.die(ctx, act.Yes)
	case Watch:
		return s.watch(ctx)
	}
	return "", nil
}

// repository is the workspace with the repository that its pull requests are of.
func (s *system) repository() *db.Workspace {
	return &db.Workspace{ID: s.workspace, GitURL: "https://github.com/you/project"}
}

// branch is the branch of a session.
func branch(session uuid.UUID) string { return "carillon/" + session.String() }

// others is a pull request of somebody else's.
func others(s *Session) forge.PullRequest {
	return forge.PullRequest{Forge: "github", Repository: "you/project", Number: int64(1000 + s.N)}
}

// quiet leaves out that something was done.
func quiet(text string, err error) (string, error) {
	if text == done {
		text = ""
	}
	return text, err
}

// issued keeps a token that was shown once.
func (s *system) issued(token string) {
	if token == "" {
		return
	}
	s.tokens = append(s.tokens, token)
	hash, _ := automation.HashToken(token)
	s.prints[automation.Fingerprint(hash)] = len(s.tokens)
}

// row is the number of an execution in its automation's history, which has launched a session, or none; -1: there is no
// such one.
func (s *system) row(ctx context.Context, a, execution uuid.UUID, session string) (int, error) {
	var list []struct {
		ID      uuid.UUID `bun:"id,type:uuid"`
		Session string    `bun:"session"`
	}
	err := s.untilThere(ctx, func(ctx context.Context) error {
		list = nil
		return s.db.NewRaw(`SELECT id, coalesce(session_id::text, '') AS session FROM executions WHERE automation_id = ?
			ORDER BY id`, a).Scan(ctx, &list)
	})
	for i, e := range list {
		if e.ID == execution && e.Session == session {
			return i, err
		}
	}
	return -1, err
}

// call is one call of an HTTP Trigger over HTTP.
func (s *system) call(ctx context.Context, act Act) (string, error) {
	token := map[string]string{"good": unknown, "bad": unknown, "misshapen": "letmein", "empty": " "}
	if act.A > 0 {
		token["good"] = s.tokens[act.A-1]
	}
	query := url.Values{}
	for name, value := range act.Carry.Query {
		query.Set(name, value)
	}
	path := "/api/automations/http-trigger"
	if act.Carry.Path != "" {
		path += "/" + token[act.Carry.Path]
	}
	ctx = context.WithValue(ctx, steady{}, true)
	r := httptest.NewRequestWithContext(ctx, act.Carry.Method, path+"?"+query.Encode(),
		strings.NewReader(act.Body.Text))
	if act.Carry.Header != "" {
		r.Header.Set("Api-Authentication", token[act.Carry.Header])
	}
	r.Header.Set("Content-Type", cmp.Or(act.Body.Type, "application/json"))
	s.called++
	// each caller from its own address
	r.RemoteAddr = fmt.Sprintf("10.%d.%d.%d:4711", s.called>>16&255, s.called>>8&255, s.called&255)
	w := httptest.NewRecorder()
	s.site.ServeHTTP(w, r)
	if s.lost != nil {
		return "", s.lost
	}
	if w.Code == http.StatusServiceUnavailable { // senders call again
		return s.call(ctx, act)
	}
	var said struct {
		Success        bool     `json:"success"`
		Error          *string  `json:"error"`
		SessionID      *string  `json:"sessionId"`
		SessionURL     *string  `json:"sessionUrl"`
		ExecutionID    *string  `json:"executionId"`
		AutomationName *string  `json:"automationName"`
		Unresolved     []string `json:"unresolvedPlaceholders"`
	}
	status := w.Code
	if act.Carry.Method == "HEAD" {
		return fmt.Sprint(status), nil
	}
	// Specification, "Response"; behaviour: "every error: the same JSON envelope".
	if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil ||
		w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" ||
		said.Success != (status == http.StatusOK) || (said.Error == nil) != said.Success {
		return fmt.Sprintf("%d with the envelope %s", status, w.Body), nil
	}
	known := status != http.StatusUnauthorized && status != http.StatusNotFound && status != http.StatusMethodNotAllowed
	if name := fmt.Sprintf("A%d", numberOf(act.Automation)); known &&
		(said.AutomationName == nil || *said.AutomationName != name) {
		return fmt.Sprintf("%d with the envelope %s", status, w.Body), nil
	}
	text := fmt.Sprint(status)
	if said.ExecutionID != nil {
		id, err := uuid.Parse(*said.ExecutionID)
		if err != nil {
			return "", err
		}
		session := ""
		if said.SessionID != nil {
			if session = *said.SessionID; said.SessionURL == nil ||
				*said.SessionURL != "http://carillon.test/sessions/"+session {
				return fmt.Sprintf("%d with the envelope %s", status, w.Body), nil
			}
		}
		n, err := s.row(ctx, s.automations[act.Automation.N], id, session)
		if err != nil {
			return "", err
		}
		text += fmt.Sprint(" row ", n)
	}
	if status == http.StatusOK && said.Unresolved != nil {
		text += fmt.Sprintf(" missing %v", said.Unresolved)
	}
	return text, nil
}

// unknown has the shape of a token.
const unknown = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func numberOf(a *Automation) int {
	if a == nil {
		return -1
	}
	return a.N
}

// take lets the worker take what is queued, and give each agent its next message.
func (s *system) take(ctx context.Context, given bool) error {
	var list []db.Session
	err := s.steadily(ctx, func(ctx context.Context) error {
		return s.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
			list, err = db.ClaimSessions(ctx, tx, "worker", 1000, s.now, s.now.Add(db.LeaseFor))
			return err
		})
	})
	if err != nil {
		return err
	}
	for _, session := range list {
		s.held[session.ID] = session
		err := s.steadily(ctx, func(ctx context.Context) error {
			return db.SetWorktree(ctx, s.db, lease(session), db.Worktree{Branch: branch(session.ID)})
		})
		if err != nil {
			return err
		}
		if !given {
			continue
		}
		execution := uuid.Nil
		var e *db.Execution
		err = s.untilThere(ctx, func(ctx context.Context) (err error) {
			e, err = db.ExecutionBySession(ctx, s.db, session.ID)
			return err
		})
		switch {
		case err == nil && e.Status.InFlight():
			execution = e.ID
		case err != nil && !db.IsNotFound(err):
			return err
		}
		var turn *db.Turn
		err = s.steadily(ctx, func(ctx context.Context) (err error) {
			turn, err = db.NextTurn(ctx, s.db, lease(session), execution, s.now)
			return err
		})
		if err != nil {
			return err
		}
		if turn == nil {
			return errors.New("a session was queued without a message")
		}
		s.turns[session.ID] = turn.ID
	}
	return nil
}

func lease(s db.Session) db.Lease { return db.Lease{Session: s.ID, Worker: s.Worker, Fence: s.Fence} }

// end is the end of an agent's work, written as the runner writes it.
func (s *system) end(ctx context.Context, session db.Session, o Outcome) error {
	out := automation.Outcome{
		Status: db.ExecutionStatus(o.Status), Class: o.Why, Answer: o.Answer, FilesChanged: o.Changed, TurnBegun: true,
		Began: session.AtWorkSince,
	}
	if out.Status != db.Succeeded {
		out.Reason = "exit 1"
	}
	out.Neutral, out.Tell = o.Why == "outage", o.Why == "outage"
	var asked bool
	err := s.untilThere(ctx, func(ctx context.Context) error {
		return s.db.NewRaw("SELECT cancel_requested_at IS NOT NULL FROM sessions WHERE id = ?", session.ID).
			Scan(ctx, &asked)
	})
	if err != nil {
		return err
	}
	if asked {
		out.Status = db.Canceled
		out.Reason = "canceled"
		out.Class = ""
		out.Neutral = false
		out.Tell = false
	}
	turn := s.turns[session.ID]
	if err := s.steadily(ctx, func(ctx context.Context) error {
		return db.AddUsage(ctx, s.db, lease(session), turn, db.TurnUsage{})
	}); err != nil {
		return err
	}
	var plan *automation.Retry
	err = s.steadily(ctx, func(ctx context.Context) (err error) {
		plan, err = s.rules[0].Runs().PlanRetry(ctx, session.ID, out)
		return err
	})
	if err != nil {
		return err
	}
	if plan != nil {
		var again bool
		err := s.steadily(ctx, func(ctx context.Context) (err error) {
			again, err = s.rules[0].Runs().Retry(ctx, lease(session), turn, out)
			return err
		})
		if again || err != nil {
			return err
		}
	}
	status := out.Status
	if status == db.TimedOut {
		status = db.Failed
	}
	err = s.steadily(ctx, func(ctx context.Context) error {
		return db.FinishTurn(ctx, s.db, lease(session), turn, status, out.Reason, out.Answer, s.now)
	})
	if err != nil {
		return err
	}
	return s.steadily(ctx,
		func(ctx context.Context) error { return s.rules[0].Runs().Finish(ctx, lease(session), out) })
}

// die ends the leases of the worker.
func (s *system) die(ctx context.Context, resumable bool) error {
	conversation := ""
	if resumable {
		conversation = "known"
	}
	_, err := s.db.NewRaw("UPDATE sessions SET lease_until = ?, conversation = ? WHERE status = 'in_progress'",
		s.now.Add(-time.Second), conversation).Exec(ctx)
	if err != nil {
		return err
	}
	_, err = s.rules[0].Runs().Interrupt(ctx, func(string) bool { return resumable })
	return err
}

// renew says that the worker lives.
func (s *system) renew(ctx context.Context) error {
	var held []db.Lease
	for _, session := range s.held {
		held = append(held, lease(session))
	}
	_, err := db.RenewLeases(ctx, s.db, held, s.now.Add(db.LeaseFor))
	return err
}

// watch lets the watchdogs look. They find nothing to mend.
func (s *system) watch(ctx context.Context) (string, error) {
	if err := s.renew(ctx); err != nil {
		return "", err
	}
	repaired, err := s.rules[0].Schedules().Repair(ctx)
	if err != nil {
		return "", err
	}
	if err := s.rules[0].Schedules().CorrectFutureTimes(ctx); err != nil {
		return "", err
	}
	gaps, _, err := s.rules[0].Schedules().FindGaps(ctx, uuid.Nil)
	if err != nil {
		return "", err
	}
	if repaired+gaps > 0 {
		return fmt.Sprintf("%d schedules repaired, %d gaps", repaired, gaps), nil
	}
	if _, err := s.rules[0].Runs().Interrupt(ctx, func(string) bool { return true }); err != nil {
		return "", err
	}
	return "", s.rules[0].Schedules().WatchGates(ctx)
}

// flowOf is the number of the workflow of an automation; 0: it runs a prompt; -1: the workflow is gone.
func (s *system) flowOf(kind string, workflow uuid.UUID) int {
	switch n := slices.Index(s.flows, workflow); {
	case kind != "workflow":
		return 0
	case n < 0:
		return -1
	default:
		return n + 1
	}
}

// lists compares what each person sees in the list of automations. It returns who sees something else than they may.
func (s *system) lists(ctx context.Context, w *World) (string, error) {
	for _, p := range w.People {
		if p.Inactive {
			continue
		}
		list, err := s.rules[0].Definitions().List(ctx, s.people[p.Name], db.AutomationFilter{Limit: 100})
		if err != nil {
			return "", err
		}
		for _, a := range w.Automations {
			if there := slices.ContainsFunc(list, func(r db.AutomationRow) bool {
				return r.ID == s.automations[a.N]
			}); there != p.Lists(a) {
				return fmt.Sprintf("List of %s has A%d: %t", p.Name, a.N, there), nil
			}
		}
	}
	return "", nil
}

// stored is everything that is compared, as one statement reads it.
type stored struct {
	Automations []struct {
		ID       uuid.UUID `json:"id"`
		Owner    string    `json:"owner"`
		Trigger  Trigger   `json:"trigger"`
		Prompt   string    `json:"prompt"`
		Cron     string    `json:"cron"`
		Zone     string    `json:"time_zone"`
		RunAt    time.Time `json:"run_at"`
		CatchUp  bool      `json:"catch_up"`
		Most     int       `json:"max_iterations"`
		StopText string    `json:"stop_text"`
		Parallel bool      `json:"allow_parallel"`
		Cap      int       `json:"max_parallel"`
		Complete bool      `json:"auto_complete"`
		Only     bool      `json:"only_unchanged"`
		Budget   db.Budget `json:"budget"`
		Kind     string    `json:"execution_type"`
		Workflow uuid.UUID `json:"workflow_id"`
		Values   struct {
			Target string `json:"target"`
			Ticket string `json:"ticket"`
		} `json:"parameters"`
		Enabled    bool      `json:"enabled"`
		Why        string    `json:"disabled_kind"`
		Due        time.Time `json:"next_run_at"`
		Strikes    int       `json:"failure_streak"`
		Iterations int       `json:"iterations"`
		Skip       uuid.UUID `json:"skip_id"`
		Calls      int       `json:"calls"`
	} `json:"automations"`
	Rows []struct {
		Of      uuid.UUID `json:"automation_id"`
		Session uuid.UUID `json:"session_id"`
		Source  string    `json:"source"`
		Mark    string    `json:"mark"`
		Status  string    `json:"status"`
		Why     string    `json:"error_class"`
		For     time.Time `json:"scheduled_for"`
		Last    time.Time `json:"last_skipped_for"`
		Count   int       `json:"skip_count"`
		Turns   int       `json:"turns"`
		Print   string    `json:"token_fingerprint"`
		By      string    `json:"by"`
		Text    string    `json:"text"`
	} `json:"executions"`
	Sessions []struct {
		ID     uuid.UUID `json:"id"`
		Status string    `json:"status"`
		Owner  string    `json:"owner"`
	} `json:"sessions"`
	Notices []struct {
		Title string `json:"title"`
		Kind  string `json:"kind"`
		To    string `json:"to"`
		Times int    `json:"times"`
	} `json:"notices"`
}

const readStored = `SELECT json_build_object(
	'automations', (SELECT json_agg(r) FROM (SELECT a.*, u.name AS owner,
			(SELECT count(*) FROM webhook_deliveries d WHERE d.automation_id = a.id) AS calls
		FROM automations a JOIN users u ON u.id = a.creator_id) r),
	'executions', (SELECT json_agg(r) FROM (SELECT e.automation_id, e.session_id, e.source, e.mark, e.status, e.error_class, e.scheduled_for, e.last_skipped_for, e.skip_count,
			e.turns, e.token_fingerprint, (SELECT u.name FROM users u WHERE u.id = e.user_id) AS by,
			CASE WHEN e.source = 'webhook' AND e.session_id IS NOT NULL AND e.snapshot->>'execution_type' = 'workflow'
				THEN 'with ' || coalesce(e.parameters->>'target', '-') || ', ' || coalesce(e.parameters->>'ticket', '-')
				WHEN e.source = 'webhook' THEN (SELECT regexp_replace(t.prompt, 'untrusted-[a-z2-7]{16}', 'untrusted', 'g') FROM turns t WHERE t.session_id = e.session_id AND t.position = 1) END AS text
		FROM executions e ORDER BY e.id) r),
	'sessions', (SELECT json_agg(r) FROM (SELECT s.id, s.status, u.name AS owner FROM sessions s JOIN users u ON u.id = s.owner_id) r),
	'notices', (SELECT json_agg(r) FROM (SELECT n.title, n.kind, u.name AS "to", count(*) AS times FROM notifications n JOIN users u ON u.id = n.user_id GROUP BY 1, 2, 3) r))`

// lines writes down what is stored.
func (s *system) lines(ctx context.Context, w *World) (Lines, error) {
	var text []byte
	if err := s.untilThere(ctx, func(ctx context.Context) error {
		return s.db.NewRaw(readStored).Scan(ctx, &text)
	}); err != nil {
		return nil, err
	}
	var all stored
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	var l Lines
	sessionOf := map[[2]int]uuid.UUID{}
	for n, id := range s.automations {
		there := false
		for _, a := range all.Automations {
			if a.ID != id {
				continue
			}
			there = true
			l.Add("%s", AutomationLine{
				N: n, Owner: a.Owner, Enabled: a.Enabled, Over: a.Why == string(db.ByFinishing) ||
					a.Why == string(db.ByFailures) || a.Why == string(db.ByMissing),
				Due: a.Due, Strikes: a.Strikes, Iterations: a.Iterations, Streak: a.Skip != uuid.Nil, Calls: a.Calls,
				Settings: Settings{
					Trigger: a.Trigger, Prompt: a.Prompt, Cron: a.Cron, Zone: a.Zone, RunAt: a.RunAt,
					CatchUp: a.CatchUp, MaxIterations: a.Most, StopText: a.StopText,
					Parallel: a.Parallel, MaxParallel: a.Cap, AutoComplete: a.Complete, OnlyUnchanged: a.Only,
					MostTurns: a.Budget.Day.Turns,
					Branch:    a.Values.Target, Ticket: a.Values.Ticket, Flow: s.flowOf(a.Kind, a.Workflow),
				},
			})
		}
		if !there {
			l.Add("A%d is gone", n)
			continue
		}
		i := 0
		for _, e := range all.Rows {
			if e.Of != id {
				continue
			}
			if e.Session != uuid.Nil {
				sessionOf[[2]int{n, i}] = e.Session
			}
			l.Add("%s", RowLine{
				A: n, N: i, Source: e.Source, Mark: e.Mark, Status: e.Status, Why: e.Why, For: e.For, Last: e.Last,
				Count: e.Count, Turns: e.Turns, By: e.By,
				Token: s.prints[e.Print], Text: e.Text,
			})
			i++
		}
	}
	for len(s.sessions) < len(w.Sessions) { // which session is which the history says
		made := w.Sessions[len(s.sessions)]
		s.sessions = append(s.sessions, sessionOf[[2]int{made.Of.N, slices.Index(made.Of.Rows, made.Row)}])
	}
	for n, id := range s.sessions {
		there := false
		for _, one := range all.Sessions {
			if one.ID == id {
				there = true
				l.Add("S%d of %s is %s", n, one.Owner, one.Status)
			}
		}
		if !there {
			l.Add("S%d is nowhere", n)
		}
	}
	if len(all.Sessions) != len(s.sessions) {
		l.Add("%d sessions", len(all.Sessions))
	}
	counts := map[Notice]int{}
	for _, n := range all.Notices {
		of := -1
		_, _ = fmt.Sscanf(n.Title, "A%d", &of)
		counts[Notice{To: n.To, Kind: n.Kind, Of: of}] += n.Times
	}
	l.Notices(counts)
	return l, nil
}
