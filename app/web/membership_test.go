package web

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/db"
)

// toolRights say of every tool what a session may do with it, and so whom it is for. All of them hold in the session's workspace
// alone, as far as the session's owner is a member of it.
var toolRights = map[string]string{
	"create_ticket": "tickets of the workspace", "read_ticket": "tickets of the workspace", "update_ticket": "tickets of the workspace",
	"list_tickets": "tickets of the workspace", "claim_next_ticket": "tickets of the workspace",
	"report_result": "its own execution", "send_inbox_message": "people who are members",
	"read_automation": "its own automation", "list_past_runs": "automations that its owner may see",
	"list_automations": "automations that its owner may see", "create_automation": "where its automation allows it",
	"edit_automation": "where its automation allows it", "enable_automation": "where its automation allows it",
	"run_automation": "where its automation allows it",
}

// TestNoToolTellsOfAnotherWorkspace calls every tool with the ids and numbers of another workspace's things in each of its arguments.
// A tool without a stated right fails it.
func TestNoToolTellsOfAnotherWorkspace(t *testing.T) {
	x := newWalk(t)
	x.server.strangers = newLimits(rate.Inf, 0)
	third := x.workspaceOf("Third", "outsider")
	work := x.who["outsider"].agent(func(in *automation.Input) { in.Workspace, in.MayAutomate = third.String(), true })
	c := x.tool(work.token)
	r, err := c.ListTools(t.Context(), nil)
	check(t, err)
	names := toolNames(t, c)
	for name := range toolRights {
		if !slices.Contains(names, name) {
			t.Errorf("the table has %s, which is no tool", name)
		}
	}
	theirs := []any{x.workspace, "Scratch", x.ticket().Number}
	for _, kind := range []string{"automation", "hook", "execution", "session", "ticket", "workflow", "bot"} {
		theirs = append(theirs, subjects[kind](x).String())
	}
	for _, tool := range r.Tools {
		if toolRights[tool.Name] == "" {
			t.Errorf("the table lacks %s: decide what a session may do with it", tool.Name)
		}
		raw, err := json.Marshal(tool.InputSchema)
		check(t, err)
		var takes struct {
			Properties map[string]struct{ Type string }
			Required   []string
		}
		check(t, json.Unmarshal(raw, &takes))
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
				if told, _ := x.call(c, tool.Name, args); strings.Contains(told, hush) {
					t.Errorf("%s tells with %v: %.300s", tool.Name, args, told)
				}
			}
		}
	}
	// Once its owner is no member of its workspace any more, a session is told nothing and changes nothing.
	check(t, db.RemoveMember(t.Context(), x.server.DB, third, x.who["outsider"].actor.ID))
	if _, err := x.connect(work.token, ""); err == nil {
		t.Error("the session of a former member is let in")
	}
}

// noticeRights say of every kind of notice who may be told by it.
var noticeRights = map[string]string{
	automation.NoticeDisabled: "members", automation.NoticeRunFailed: "members", automation.NoticeSkipped: "members",
	automation.NoticeMissed: "members", automation.NoticeLoopFinished: "members", automation.NoticePRClosed: "members",
	automation.NoticeReview: "members", automation.NoticeBudget: "members", automation.NoticeMessage: "members",
	automation.NoticeTransferred: "members", automation.NoticeRights: "members", automation.NoticeProviderPaused: "those who may change settings",
	automation.NoticeServer: "administrators", account.NoticeKind: "the person",
}

// TestCopiesOfNoticesGoToMembersAlone fails on a kind of notice without a stated right, and on a copy of one about a workspace
// that goes to who has left it, or is deactivated.
func TestCopiesOfNoticesGoToMembersAlone(t *testing.T) {
	x := newWalk(t)
	ctx, now := t.Context(), time.Now()
	a := x.automationIn(uuid.MustParse(x.workspace), x.who["owner"], "manual")
	for _, k := range automation.NoticeKinds {
		right := noticeRights[k.Kind]
		if right == "" {
			t.Errorf("the table lacks the kind of notice %s: decide whom it may tell", k.Kind)
		}
		if right != "members" {
			continue
		}
		for _, who := range []string{"owner", "former", "outsider", "elsewhere", "deactivated"} {
			person := x.who[who].actor.ID
			x.who[who].exec(`INSERT INTO notice_preferences (user_id, email, updated_at) VALUES (?, true, now()) ON CONFLICT (user_id) DO UPDATE SET email = true`, person)
			_, err := db.Notify(ctx, x.server.DB, []db.Notification{{
				ID: db.NewID(), UserID: person, Kind: k.Kind, Title: x.name("notice"), AutomationID: a.ID, DedupKey: uuid.NewString(), CreatedAt: now,
			}})
			check(t, err)
			list, err := db.ClaimCopies(ctx, x.server.DB, db.EmailChannel, now.Add(time.Second), now.Add(time.Hour), nil, 100)
			check(t, err)
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
