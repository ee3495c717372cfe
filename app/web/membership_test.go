package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"golang.org/x/time/rate"

	"carillon/app/account"
	"carillon/app/aside"
	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/forge"
	"carillon/app/inbox"
	"carillon/app/middleware"
	"carillon/app/spec"
	"carillon/app/ticket"
	"carillon/app/web/webtest"
	"carillon/db"
)

// toolRights say of every tool what a session may do with it, and so whom it is for. All of them hold in the session's
// workspace alone, as far as the session's owner is a member of it.
var toolRights = map[string]string{
	"create_ticket": "tickets of the workspace", "read_ticket": "tickets of the workspace",
	"update_ticket": "tickets of the workspace",
	"list_tickets":  "tickets of the workspace", "claim_next_ticket": "tickets of the workspace",
	"report_result": "its own execution", "send_inbox_message": "people who are members",
	"read_automation": "its own automation", "list_past_runs": "automations that its owner may see",
	"list_automations": "automations that its owner may see", "create_automation": "where its automation allows it",
	"edit_automation": "where its automation allows it", "enable_automation": "where its automation allows it",
	"run_automation": "where its automation allows it",
}

// TestNoToolTellsOfAnotherWorkspace calls every tool with the ids and numbers of another workspace's things in each of
// its arguments. A tool without a stated right fails it.
func TestNoToolTellsOfAnotherWorkspace(t *testing.T) {
	x := webtest.NewWalk(t)
	x.Bearers.Bad = middleware.NewRateLimiter(rate.Inf, 0)
	third := x.WorkspaceOf("Third", "outsider")
	work := x.Who["outsider"].Agent(func(in *automation.Input) { in.Workspace, in.MayAutomate = third.String(), true })
	c := x.Tool(work.Token)
	r, err := c.ListTools(t.Context(), nil)
	webtest.Check(t, err)
	names := webtest.ToolNames(t, c)
	for name := range toolRights {
		if !slices.Contains(names, name) {
			t.Errorf("the table has %s, which is no tool", name)
		}
	}
	theirs := []any{x.Workspace, "Scratch", x.Ticket().Number}
	for _, kind := range []string{"automation", "hook", "execution", "session", "ticket", "workflow", "bot"} {
		theirs = append(theirs, webtest.Subjects[kind](x).String())
	}
	for _, tool := range r.Tools {
		if toolRights[tool.Name] == "" {
			t.Errorf("the table lacks %s: decide what a session may do with it", tool.Name)
		}
		raw, err := json.Marshal(tool.InputSchema)
		webtest.Check(t, err)
		var takes struct {
			Properties map[string]struct{ Type string }
			Required   []string
		}
		webtest.Check(t, json.Unmarshal(raw, &takes))
		for _, value := range theirs {
			for field, p := range takes.Properties {
				if _, number := value.(int64); number != (p.Type == "integer") {
					continue
				}
				args := map[string]any{field: value}
				for _, name := range takes.Required {
					if _, given := args[name]; !given {
						args[name] = "done"
					}
				}
				if told, _ := x.Call(c, tool.Name, args); strings.Contains(told, webtest.Hush) {
					t.Errorf("%s tells with %v: %.300s", tool.Name, args, told)
				}
			}
		}
	}
	// Once its owner is no member of its workspace any more, a session is told nothing and changes nothing.
	webtest.Check(t, db.RemoveMember(t.Context(), x.Server.DB, third, x.Who["outsider"].Actor.ID))
	if _, err := x.Connect(work.Token, ""); err == nil {
		t.Error("the session of a former member is let in")
	}
}

// noticeRights say of every kind of notice who may be told by it of a thing of the workspace that belongs to the owner.
// Nobody else may hear of it, in the inbox or by a copy.
var noticeRights = map[string]string{
	inbox.Disabled: "owner", inbox.RunFailed: "owner", inbox.Skipped: "owner",
	inbox.Missed: "owner", inbox.LoopFinished: "owner", inbox.PRClosed: "owner",
	inbox.Review: "owner", inbox.Budget: "owner", inbox.Message: "owner",
	inbox.Transferred: "owner manager", // who had it and who has it
	inbox.Rights:      "owner", inbox.ProviderPaused: "keeper admin",
	inbox.Server: "owner keeper admin", account.NoticeKind: "owner",
}

// happenings make each kind of notice happen once, about something of the owner's.
var happenings = map[string]func(h *happening){
	inbox.Disabled: func(h *happening) {
		bot := webtest.Subjects["bot"](h.Walk)
		h.make(func(in *automation.Input) {
			in.SessionType, in.Bot, in.Trigger, in.Cron, in.TimeZone = "bot", bot.String(), "recurring", "0 9 * * *",
				"UTC"
		})
		webtest.Check(h.T, h.Bots.Remove(h.T.Context(), h.Who["admin"].Actor, bot))
	},
	inbox.RunFailed: func(h *happening) {
		_, lease := h.begun(nil)
		webtest.Check(h.T, h.Rules.Runs().Finish(h.T.Context(), lease, automation.Outcome{
			Status: db.Failed, Class: "agent", Reason: webtest.Hush + " broke",
		}))
	},
	inbox.Skipped: func(h *happening) {
		a := h.make(func(in *automation.Input) { in.Trigger, in.Cron, in.TimeZone = "recurring", "* * * * *", "UTC" })
		_, err := h.Rules.Runs().RunNow(h.T.Context(), h.Who["owner"].Actor, a.ID, nil)
		webtest.Check(h.T, err)
		h.later(0)
		h.later(h.now.Truncate(time.Minute).Add(time.Minute).Sub(h.now)) // to the second: what is late was missed
	},
	inbox.Missed: func(h *happening) {
		h.make(func(in *automation.Input) {
			in.Trigger, in.RunAt, in.TimeZone = "one_time", h.now.UTC().Add(2*time.Hour).Format("2006-01-02T15:04"),
				"UTC"
		})
		h.later(24 * time.Hour)
	},
	inbox.LoopFinished: func(h *happening) {
		a := h.make(func(in *automation.Input) { in.Trigger, in.StopText = "loop", "ALL DONE" })
		h.later(time.Minute)
		webtest.Check(h.T, h.Rules.Runs().Finish(h.T.Context(), h.claimed(a),
			automation.Outcome{Status: db.Succeeded, Answer: webtest.Hush + ": ALL DONE"}))
		h.later(time.Minute)
	},
	inbox.PRClosed: func(h *happening) {
		w := h.Who["admin"].Repository(h.Name("repository"), "https://github.com/Codertocat/Hello-World.git", "")
		webtest.Check(h.T, db.AddMember(h.T.Context(), h.Server.DB, w.ID, h.Who["owner"].Actor.ID))
		a := h.make(func(in *automation.Input) { in.Trigger, in.Workspace = "loop", w.ID.String() })
		h.later(time.Minute)
		lease := h.claimed(a)
		webtest.Check(h.T,
			h.Rules.Runs().Finish(h.T.Context(), lease, automation.Outcome{Status: db.Succeeded, FilesChanged: true}))
		h.Who["owner"].Exec("UPDATE sessions SET branch = 'changes', files_changed = 1 WHERE id = ?", lease.Session)
		body := webtest.RecordedHook(h.T, "github/pull_request.closed_unmerged.json")
		h.Hook(forge.GitHub, w.ID.String(), "pull_request", webtest.HookSecret, body).Expect(h.T, 200, `"sessions":1`)
	},
	inbox.Review: func(h *happening) {
		run, lease := h.begun(nil)
		webtest.Check(h.T,
			h.Rules.Runs().NotifyOfReview(h.T.Context(), lease, run.Execution.ID,
				webtest.Hush+" is wrong.\nREVIEW: BLOCKING"))
	},
	inbox.Budget: func(h *happening) {
		run, _ := h.begun(nil)
		h.Who["owner"].Exec(`UPDATE automations SET budget = '{"run": {"minutes": 1}}' WHERE id = ?`,
			run.Execution.AutomationID)
		h.now = h.now.Add(2 * time.Minute)
		_, err := h.Rules.Budgets().Allowance(h.T.Context(), run.Execution.ID, true)
		webtest.Check(h.T, err)
	},
	inbox.Message: func(h *happening) {
		run, lease := h.begun(nil)
		turn, err := db.NextTurn(h.T.Context(), h.Server.DB, lease, run.Execution.ID, h.now)
		webtest.Check(h.T, err)
		token := automation.NewSessionToken()
		webtest.Check(h.T, h.Rules.Agents().IssueToken(h.T.Context(), lease, turn.ID, token))
		h.Must(h.Tool(token), "send_inbox_message", map[string]any{"title": webtest.Hush + " is done", "body": "x"})
	},
	inbox.Transferred: func(h *happening) {
		a := h.make(nil)
		_, err := h.Rules.Transfers().Transfer(h.T.Context(), h.Who["admin"].Actor, a.ID, h.Who["manager"].Actor.ID)
		webtest.Check(h.T, err)
	},
	inbox.Rights: func(h *happening) {
		id := webtest.Subjects["bot"](h.Walk)
		h.make(func(in *automation.Input) { in.SessionType, in.Bot, in.MayAutomate = "bot", id.String(), true })
		weak := h.As("Weak", account.RoleMember)
		h.Custom(weak, "Weak", account.ManageBots)
		_, err := h.Bots.Update(h.T.Context(), weak.Actor, id, bot.Input{Bot: spec.Bot{
			Name: webtest.Hush + " bot", Workspace: h.Workspace, Instructions: "x", Enabled: true,
		}, Version: 1})
		webtest.Check(h.T, err)
	},
	inbox.ProviderPaused: func(h *happening) {
		_, lease := h.begun(nil)
		webtest.Check(h.T, h.Rules.Runs().Finish(h.T.Context(), lease, automation.Outcome{
			Status: db.Failed, Class: "auth", Reason: webtest.Hush + " is signed out", ProviderTrouble: true,
			OwnAccount: true,
			Began:      h.now,
		}))
	},
	inbox.Server: func(h *happening) {
		a := h.make(nil)
		row := aside.Row{Key: a.ID.String(), About: a.Name, Automation: a}
		webtest.Check(h.T, h.Rules.Round(db.TaskStart).Deal(h.T.Context(), row, func(context.Context) error {
			return errors.New("broken")
		}))
	},
	account.NoticeKind: func(h *happening) {
		h.Who["admin"].Post("/settings/users/"+h.Who["owner"].Actor.ID.String()+"/reset").Expect(h.T, 200, "")
	},
}

// happening is a walk of which the time is moved.
type happening struct {
	*webtest.Walk
	now time.Time
}

// later moves the time, and starts what is due.
func (h *happening) later(d time.Duration) {
	h.T.Helper()
	h.now = h.now.Add(d)
	_, err := h.Rules.Schedules().StartDue(h.T.Context())
	webtest.Check(h.T, err)
}

// make makes an automation of the owner's.
func (h *happening) make(change func(*automation.Input)) *db.Automation {
	h.T.Helper()
	in := automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           h.Name("automation"),
		Workspace:      h.Workspace,
		Trigger:        "manual",
		SessionType:    "develop",
		Prompt:         "Look.",
		Provider:       "agent",
		AutoComplete:   true,
		Retries:        2,
	}}
	if change != nil {
		change(&in)
	}
	a, _, err := h.Rules.Definitions().Create(h.T.Context(), h.Who["owner"].Actor, in)
	webtest.Check(h.T, err)
	return a
}

// begun is a run of the owner's at work.
func (h *happening) begun(change func(*automation.Input)) (*automation.Run, db.Lease) {
	h.T.Helper()
	run, err := h.Rules.Runs().RunNow(h.T.Context(), h.Who["owner"].Actor, h.make(change).ID, nil)
	webtest.Check(h.T, err)
	return run, h.claim(run.Session.ID)
}

// claimed takes the session of an automation that waits for a worker.
func (h *happening) claimed(a *db.Automation) db.Lease {
	h.T.Helper()
	var id uuid.UUID
	webtest.Check(h.T,
		h.Server.DB.NewRaw("SELECT id FROM sessions WHERE automation_id = ? AND status = 'queued'", a.ID).
			Scan(h.T.Context(), &id))
	return h.claim(id)
}

// claim takes a session as a worker would.
func (h *happening) claim(id uuid.UUID) db.Lease {
	h.T.Helper()
	lease := db.Lease{Session: id, Worker: "test"}
	webtest.Check(h.T, h.Server.DB.RunInTx(h.T.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
		list, err := db.ClaimSessions(ctx, tx, lease.Worker, 100, h.now, h.now.Add(time.Hour))
		for _, session := range list {
			if session.ID == id {
				lease.Fence = session.Fence
			}
		}
		return err
	}))
	return lease
}

// TestEachKindOfNoticeIsHeardByThoseAloneWhoMayReadIt makes each kind happen. A kind without a stated right, or that
// does not happen, fails it; so does a notice or a copy, by e-mail or webhook, for anybody else.
func TestEachKindOfNoticeIsHeardByThoseAloneWhoMayReadIt(t *testing.T) {
	x := webtest.NewWalk(t)
	h := &happening{Walk: x, now: time.Now()}
	x.Rules.Now = func() time.Time { return h.now }
	x.Who["keeper"] = x.As("Keeper", account.RoleMember) // who may change settings
	x.Custom(x.Who["keeper"], "Keepers", account.ManageSettings)
	for _, who := range x.Who {
		if who.Actor.ID != uuid.Nil {
			who.Exec(`INSERT INTO notice_preferences (user_id, email, webhook_url, webhook_secret, updated_at)
				VALUES (?, true, 'https://example.com/hook', 'x', now())`, who.Actor.ID)
		}
	}
	_, err := x.Server.DB.NewRaw("DELETE FROM notifications").Exec(t.Context())
	webtest.Check(t, err)
	for _, k := range inbox.Kinds {
		right, happen := noticeRights[k.Kind], happenings[k.Kind]
		if right == "" || happen == nil {
			t.Errorf("the tables lack the kind of notice %s: decide whom it may tell, and make it happen", k.Kind)
			continue
		}
		happen(h)
		allowed := map[uuid.UUID]string{}
		for who := range strings.FieldsSeq(right) {
			allowed[x.Who[who].Actor.ID] = who
		}
		var list []db.Notification
		webtest.Check(t, x.Server.DB.NewSelect().Model(&list).Where("n.kind = ?", k.Kind).Scan(t.Context()))
		heard := map[string]bool{}
		for _, n := range list {
			if who := allowed[n.UserID]; who != "" {
				heard[who] = true
			} else {
				t.Errorf("the notice %s, %q, is told to %s", k.Kind, n.Title, whoIs(x, n.UserID))
			}
			for _, who := range []string{"viewer", "outsider", "elsewhere", "former", "deactivated", "nobody"} {
				if page := x.Who[who].Get("/inbox/" + n.ID.String()); page.StatusCode == 200 ||
					strings.Contains(page.Text, webtest.Hush) {
					t.Errorf("the notice %s is shown to %s", k.Kind, who)
				}
			}
		}
		if len(heard) != len(allowed) {
			t.Errorf("the notice %s was heard by %v; want by each of %s", k.Kind, heard, right)
		}
		for _, channel := range []db.CopyChannel{db.EmailChannel, db.WebhookChannel} {
			copies(x, channel, h.now, func(c db.ClaimedCopy) {
				if c.Wanted && c.Kind == k.Kind && allowed[c.UserID] == "" {
					t.Errorf("a copy of the notice %s by %s goes to %s", k.Kind, channel, whoIs(x, c.UserID))
				}
			})
		}
	}
	for _, who := range []string{"viewer", "outsider", "elsewhere", "former"} {
		if page := x.Who[who].Get("/inbox"); strings.Contains(page.Text, webtest.Hush) {
			t.Errorf("the inbox of %s tells of what they may not see", who)
		}
	}
}

// copies claims all copies of a channel.
func copies(x *webtest.Walk, channel db.CopyChannel, now time.Time, each func(db.ClaimedCopy)) {
	x.T.Helper()
	for {
		list, err := db.ClaimCopies(x.T.Context(), x.Server.DB, channel, now.Add(time.Second), now.Add(1000*time.Hour),
			nil, 100)
		webtest.Check(x.T, err)
		if len(list) == 0 {
			return
		}
		for _, c := range list {
			each(c)
		}
	}
}

// whoIs names a person of the walk.
func whoIs(x *webtest.Walk, id uuid.UUID) string {
	for who, b := range x.Who {
		if b.Actor.ID == id {
			return who
		}
	}
	return id.String()
}

// TestCopiesOfNoticesGoToMembersAlone fails on a copy of a notice about a workspace that goes to who has left it, or is
// deactivated.
func TestCopiesOfNoticesGoToMembersAlone(t *testing.T) {
	x := webtest.NewWalk(t)
	ctx, now := t.Context(), time.Now()
	a := x.AutomationIn(uuid.MustParse(x.Workspace), x.Who["owner"], "manual")
	for _, k := range inbox.Kinds {
		if noticeRights[k.Kind] != "owner" || k.Kind == account.NoticeKind {
			continue
		}
		for _, who := range []string{"owner", "former", "outsider", "elsewhere", "deactivated"} {
			person := x.Who[who].Actor.ID
			x.Who[who].Exec(
				`INSERT INTO notice_preferences (user_id, email, updated_at) VALUES (?, true, now()) ON CONFLICT (user_id) DO UPDATE SET email = true`, person)
			_, err := db.InsertNotifications(ctx, x.Server.DB, []db.Notification{{
				ID: db.NewID(), UserID: person, Kind: k.Kind, Title: x.Name("notice"), WorkspaceID: a.WorkspaceID,
				AutomationID: a.ID,
				DedupKey:     uuid.NewString(), CreatedAt: now,
			}})
			webtest.Check(t, err)
			list, err := db.ClaimCopies(ctx, x.Server.DB, db.EmailChannel, now.Add(time.Second), now.Add(time.Hour),
				nil, 100)
			webtest.Check(t, err)
			for _, copy := range list {
				if copy.Wanted != (who == "owner") || copy.UserID != person {
					t.Errorf("a copy of the notice %s goes to %s: %t", k.Kind, who, copy.Wanted)
				}
			}
			if who == "owner" && len(list) != 1 {
				t.Errorf("%d copies of the notice %s are due; want one", len(list), k.Kind)
			}
		}
	}
}

// notFilters are fields of lists that narrow nothing: where a page of a list begins, its order, and how it is shown.
var notFilters = []string{"after", "before", "sort", "order", "page", "limit", "cursor", "from", "next", "back",
	"template"}

// rowsOf are the addresses of own rows on the page of a list.
func rowsOf(path, body string) []string {
	return regexp.MustCompile(`href="`+regexp.QuoteMeta(path)+`/`+anID.String()+`"`).FindAllString(body, -1)
}

// TestNoFilterOfAListNamesOrFindsWhatIsOfAnotherWorkspace asks for every page that takes no id, and for every list of
// the API: what can be chosen there names nothing of another workspace, and an id of there, or a text that names it,
// finds nothing.
func TestNoFilterOfAListNamesOrFindsWhatIsOfAnotherWorkspace(t *testing.T) {
	x := webtest.NewWalk(t)
	x.Bearers.Bad = middleware.NewRateLimiter(rate.Inf, 0)
	eve := x.Who["elsewhere"]
	x.Custom(eve, "Most of elsewhere", account.ManageAll, account.ViewAll, account.ManageTickets, account.ManageBots,
		account.ManageWorkflows, account.UseShell, account.ViewAudit)
	settled(eve)
	x.WorkspaceOf("A second", "elsewhere", "outsider", "former") // so that there is one to choose
	foreign := map[string]string{
		"workspace": x.Workspace, "user": x.Who["owner"].Actor.ID.String(),
		"hidden": x.WorkspaceOf(x.Name("workspace"), "owner").String(),
	}
	for _, kind := range []string{"automation", "hook", "execution", "waiting", "workflow", "bot", "notice"} {
		foreign[kind] = webtest.Subjects[kind](x).String()
	}
	ticket, err := x.Server.Tickets.Create(t.Context(), x.Who["owner"].Actor, ticket.Input{
		Workspace: x.Workspace, Title: x.Name("ticket"), Labels: "hush", Assignee: x.Who["owner"].Actor.ID.String(),
	})
	webtest.Check(t, err)
	foreign["ticket"] = ticket.ID.String()
	lists, fields := 0, map[string]bool{}
	for _, pattern := range allPatterns() {
		method, path, _ := strings.Cut(pattern, " ")
		path = strings.TrimSuffix(path, "{$}")
		if method != http.MethodGet || strings.Contains(path, "{") || strings.HasPrefix(path, "/api/") ||
			strings.HasPrefix(path, "/static") {
			continue
		}
		for _, who := range []string{"elsewhere", "outsider", "former", "deactivated"} {
			b := x.Who[who]
			page := b.Get(path)
			if strings.Contains(strings.ToLower(page.Text), strings.ToLower(webtest.Hush)) {
				t.Errorf("GET %s tells %s of another workspace", path, who)
			}
			all := rowsOf(path, page.Text)
			if page.StatusCode != http.StatusOK || page.Header.Get("Content-Type") != "text/html; charset=utf-8" {
				continue
			}
			if len(all) > 0 {
				lists++
			}
			asked := map[string]bool{}
			for _, f := range formsOf(t, page.Text) {
				if f.method != http.MethodGet {
					continue
				}
				for _, field := range slices.Sorted(maps.Keys(f.values)) {
					if asked[field] || slices.Contains(notFilters, field) {
						continue
					}
					asked[field], fields[path+" "+field] = true, true
					values := slices.Sorted(maps.Values(foreign))
					if !slices.Contains(f.ids, field) {
						values = []string{webtest.Hush, "hush",
							foreign["automation"]} // a text is looked for as it stands
					}
					for _, value := range values {
						got := b.Get(path + "?" + url.Values{field: {value}}.Encode())
						// what was typed is shown again
						told := strings.ReplaceAll(strings.ToLower(got.Text), `value="`+strings.ToLower(value)+`"`, "")
						told = strings.ReplaceAll(told, url.Values{field: {strings.ToLower(value)}}.Encode(), "")
						if strings.Contains(told, "hush ") || got.StatusCode >= 500 {
							t.Errorf("GET %s with %s=%s answers %s with %d, and tells of another workspace", path,
								field, value, who, got.StatusCode)
						}
						if rows := rowsOf(path, got.Text); len(all) > 0 && len(rows) > 0 &&
							slices.Contains(f.ids, field) && anID.MatchString(value) && idField(f, page.Text, field) {
							t.Errorf("GET %s with %s=%s, which is not of theirs, finds %d rows for %s", path, field,
								value, len(rows), who)
						}
					}
				}
			}
		}
	}
	if lists < 6 || len(fields) < 15 {
		t.Errorf("%d lists and %d filters were tried: %v", lists, len(fields), fields)
	}
	filtersOfTheAPI(x, foreign)
}

// idField reports whether a field of a form takes ids: whether one can be chosen.
func idField(f pageForm, page, field string) bool {
	return anID.MatchString(f.values.Get(field)) ||
		regexp.MustCompile(`(?s)<select[^>]* name="`+regexp.QuoteMeta(field)+`".*?</select>`).FindString(page) != "" &&
			anID.MatchString(regexp.MustCompile(`(?s)<select[^>]* name="`+regexp.QuoteMeta(field)+`".*?</select>`).
				FindString(page))
}

// filtersOfTheAPI gives the filters of every list of the API the ids of another workspace.
func filtersOfTheAPI(x *webtest.Walk, foreign map[string]string) {
	x.T.Helper()
	p := &webtest.Program{Site: x.Site, Token: x.Tokens()["elsewhere"]}
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Name, In string
				Schema   struct{ Type, Format string }
			}
		}
	}
	p.Call("GET", "/openapi.json", nil).Into(x.T, &doc)
	tried := 0
	for path, methods := range doc.Paths {
		if strings.Contains(path, "{") {
			continue
		}
		for _, parameter := range methods["get"].Parameters {
			if parameter.In != "query" || slices.Contains(notFilters, parameter.Name) ||
				parameter.Schema.Type != "string" {
				continue
			}
			values := []string{webtest.Hush}
			if parameter.Schema.Format == "uuid" {
				values = slices.Sorted(maps.Values(foreign))
			}
			for _, value := range values {
				tried++
				got := p.Call("GET", path+"?"+url.Values{parameter.Name: {value}}.Encode(), nil)
				var list struct{ Items []json.RawMessage }
				if got.StatusCode == http.StatusOK {
					got.Into(x.T, &list)
				}
				if strings.Contains(got.Text, webtest.Hush+" ") || len(list.Items) > 0 || got.StatusCode >= 500 {
					x.T.Errorf("GET %s with %s=%s answers %d with %d items: %.200s", path, parameter.Name, value,
						got.StatusCode, len(list.Items), got.Text)
				}
			}
		}
	}
	if tried < 20 {
		x.T.Errorf("%d filters of the API were tried", tried)
	}
}

// TestNoToolTellsAPersonsProgramOfAnotherWorkspace calls every tool with the API tokens of who is no member: it tells
// of nothing, and who may not come in at all is not let in.
func TestNoToolTellsAPersonsProgramOfAnotherWorkspace(t *testing.T) {
	x := webtest.NewWalk(t)
	x.Bearers.Bad = middleware.NewRateLimiter(rate.Inf, 0)
	tokens := x.Tokens()
	theirs := []any{x.Workspace, "Scratch", x.Ticket().Number}
	for _, kind := range []string{"automation", "hook", "execution", "session", "ticket", "workflow", "bot"} {
		theirs = append(theirs, webtest.Subjects[kind](x).String())
	}
	own := x.AutomationIn(uuid.MustParse(x.Workspace), x.Who["owner"], "manual")
	if told, failed := x.Call(x.Tool(tokens["owner"]), "read_automation",
		map[string]any{"automation": own.ID.String()}); failed || !strings.Contains(told, webtest.Hush) {
		t.Errorf("the owner's program is told %s", told)
	}
	for _, who := range []string{"deactivated", "expired", "unknown"} {
		if _, err := x.Connect(tokens[who], ""); err == nil {
			t.Errorf("the token %s is let in", who)
		}
	}
	for _, who := range []string{"outsider", "elsewhere", "former", "narrow"} {
		c := x.Tool(tokens[who])
		r, err := c.ListTools(t.Context(), nil)
		webtest.Check(t, err)
		for _, tool := range r.Tools {
			takes := propertiesOf(t, tool.InputSchema, "")
			if toolRights[tool.Name] == "" {
				t.Errorf("the table lacks %s: decide what a program may do with it", tool.Name)
			}
			if who == "narrow" { // who sees their own alone changes nothing
				told, failed := x.Call(c, tool.Name, map[string]any{
					"automation": own.ID.String(), "name": "x", "prompt": "x", "provider": "agent", "enabled": false,
				})
				if !failed && !tool.Annotations.ReadOnlyHint {
					t.Errorf("%s lets a token that may only see do %.200s", tool.Name, told)
				}
				continue
			}
			for _, value := range theirs {
				for field := range takes {
					args := map[string]any{field: value}
					for name := range takes {
						if _, given := args[name]; !given && slices.Contains([]string{"title", "name", "prompt",
							"status", "provider"}, name) {
							args[name] = "done"
						}
					}
					if told, _ := x.Call(c, tool.Name, args); strings.Contains(told, webtest.Hush) {
						t.Errorf("%s tells %s with %v: %.300s", tool.Name, who, args, told)
					}
				}
			}
		}
	}
	var n int
	webtest.Check(t, x.Server.DB.NewRaw("SELECT count(*) FROM automations WHERE name = 'done' AND workspace_id = ?",
		x.Workspace).Scan(t.Context(), &n))
	if again, err := db.AutomationByID(t.Context(), x.Server.DB, own.ID); err != nil || n > 0 || !again.Enabled ||
		again.Name != own.Name {
		t.Errorf("a stranger's program changed something: %d, %+v, %v", n, again, err)
	}
}
