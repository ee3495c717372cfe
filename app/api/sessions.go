package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/form"
	"carillon/db"
	"carillon/views"
)

// SessionItem is a session as a list has it.
type SessionItem struct {
	ID           string     `json:"id" format:"uuid"`
	URL          string     `json:"url" format:"uri" doc:"Its page."`
	Title        string     `json:"title"`
	Type         string     `json:"type" enum:"develop,chat,bot"`
	Status       string     `json:"status" enum:"queued,in_progress,waiting,done,canceled" doc:"waiting: open, and wants a person."`
	Workspace    Named      `json:"workspace"`
	Automation   *Named     `json:"automation,omitempty"`
	Owner        Named      `json:"owner"`
	Provider     string     `json:"provider"`
	Model        string     `json:"model"`
	BaseBranch   string     `json:"base_branch"`
	BaseCommit   string     `json:"base_commit" doc:"The commit that the session's worktree began from."`
	Branch       string     `json:"branch"`
	FilesChanged *int       `json:"files_changed,omitempty" doc:"Absent: it is not known, or not yet."`
	LinesAdded   *int       `json:"lines_added,omitempty"`
	LinesRemoved *int       `json:"lines_removed,omitempty"`
	LastEvent    int64      `json:"last_event" doc:"Number of the newest event."`
	CreatedAt    time.Time  `json:"created_at"`
	StartedAt    *time.Time `json:"started_at,omitempty"`
	EndedAt      *time.Time `json:"ended_at,omitempty" doc:"When the agent ended last."`
	ClosedAt     *time.Time `json:"closed_at,omitempty"`
}

// Session is a session in full.
type Session struct {
	SessionItem
	Diff    string   `json:"diff" doc:"What changed, as a unified diff."`
	DiffCut bool     `json:"diff_cut" doc:"The diff is too long to be kept whole."`
	ActsFor []Named  `json:"acts_for" doc:"On whose words it acts: by Carillon's tools it may do what all of them may do. The first is its owner."`
	May     []string `json:"may" enum:"automations.view_own,automations.view_all,automations.manage,automations.manage_all,tickets.manage,shell.use" doc:"The permissions that its agent has by Carillon's tools, in its own workspace and as of now. Those that another one of the list brings along are left out. Whatever it may, it reads its own automation and reports."`
}

// Event is one thing that an agent did or said.
type Event struct {
	Number int64           `json:"number" doc:"Counts within the session. Where numbers are left out, there was more than is kept."`
	TurnID string          `json:"turn_id" format:"uuid" doc:"The message that it belongs to."`
	At     time.Time       `json:"at"`
	Kind   string          `json:"kind" doc:"Such as turn, text, thought, tool, output, plan, permission, warning, turn_end."`
	Body   json.RawMessage `json:"body" doc:"Depends on the kind."`
}

const sessionsTag = "Sessions"

// sessions are the operations on sessions.
type sessions struct{ *Server }

func (a sessions) routes() {
	answers(a.Server, operation{
		method: http.MethodGet, path: "/sessions", name: "listSessions", tag: sessionsTag,
		summary: "List sessions, the newest first",
	}, a.list)
	answers(a.Server, operation{
		method: http.MethodGet, path: "/sessions/{id}", name: "getSession", tag: sessionsTag, summary: "Get a session",
	}, a.get)
	answers(a.Server, operation{method: http.MethodGet, path: "/sessions/{id}/events", name: "listSessionEvents",
		tag:     sessionsTag,
		summary: "Read the transcript of a session",
		about:   "To follow a session, ask again with the last number as after."}, a.listEvents)
	does(a.Server, operation{method: http.MethodPost, path: "/sessions/{id}/messages", name: "postMessage",
		tag:     sessionsTag,
		summary: "Write to the agent of a session",
		about:   "An agent at work gets it when it has finished. A closed session opens again."}, a.postMessage)
	answers(a.Server, operation{
		method: http.MethodPost, path: "/sessions/{id}/completion", name: "completeSession", tag: sessionsTag,
		summary: "Mark a waiting session Done",
	}, a.change(a.Rules.Sessions().MarkDone))
	answers(a.Server, operation{method: http.MethodPost, path: "/sessions/{id}/stop", name: "stopSession",
		tag:     sessionsTag,
		summary: "Stop what a session is doing",
		about:   "One that is at work ends as soon as its agent has. One that does nothing stays as it is."},
		a.change(a.Rules.Sessions().Stop))
	answers(a.Server, operation{
		method: http.MethodPost, path: "/sessions/{id}/reopening", name: "reopenSession", tag: sessionsTag,
		summary: "Open a closed session again",
	}, a.change(a.Rules.Sessions().Reopen))
}

type listSessionsQuery struct {
	ListQuery
	Status     []string `query:"status" enum:"queued,in_progress,waiting,done,canceled" doc:"Of these; commas between them."`
	Type       string   `query:"type" enum:"develop,chat,bot"`
	Automation string   `query:"automation_id" format:"uuid"`
	Workspace  string   `query:"workspace_id" format:"uuid"`
	Mine       bool     `query:"mine" doc:"Yours alone."`
	Search     string   `query:"search" maxLength:"500" doc:"A text in the title or the branch."`
}

func (a sessions) list(ctx context.Context, actor account.Actor,
	in *listSessionsQuery) (PageOf[SessionItem], error) {
	f := db.SessionFilter{
		Type: db.SessionType(in.Type), Automation: form.OptionalID(in.Automation),
		Workspace: form.OptionalID(in.Workspace),
		Mine:      in.Mine, Search: in.Search, Limit: in.Limit + 1,
	}
	for _, status := range in.Status {
		f.Statuses = append(f.Statuses, db.SessionStatus(status))
	}
	var err error
	if f.Before, err = in.afterID(); err != nil {
		return PageOf[SessionItem]{}, err
	}
	list, err := a.Rules.Sessions().List(ctx, actor, f)
	if err != nil {
		return PageOf[SessionItem]{}, err
	}
	return paginate(list, in.Limit, a.item, func(s *db.Session) []string { return []string{s.ID.String()} }), nil
}

func (a sessions) item(s *db.Session) SessionItem {
	item := SessionItem{
		ID: s.ID.String(), URL: a.link(views.SessionURL(s.ID.String())), Title: s.Title, Type: string(s.Type),
		Status: string(s.Status), Workspace: Named{ID: s.WorkspaceID.String()},
		Owner: Named{ID: s.OwnerID.String()}, Provider: s.Provider, Model: s.Model, BaseBranch: s.BaseBranch,
		BaseCommit: s.BaseCommit, Branch: s.Branch,
		LastEvent: s.LastSeq, CreatedAt: s.CreatedAt.UTC(), StartedAt: moment(s.StartedAt), EndedAt: moment(s.EndedAt),
		ClosedAt: moment(s.ClosedAt),
	}
	if s.ChangesKnown() {
		item.FilesChanged, item.LinesAdded, item.LinesRemoved = &s.FilesChanged, &s.LinesAdded, &s.LinesRemoved
	}
	if s.Workspace != nil {
		item.Workspace.Name = s.Workspace.Name
	}
	if s.Owner != nil {
		item.Owner.Name = s.Owner.Name
	}
	if s.Automation != nil {
		item.Automation = &Named{ID: s.AutomationID.String(), Name: s.Automation.Name}
	}
	return item
}

func (a sessions) get(ctx context.Context, actor account.Actor, in *OneByID) (Session, error) {
	s, err := a.Rules.Sessions().Find(ctx, actor, in.id())
	if err != nil {
		return Session{}, err
	}
	acts, err := a.Rules.Agents().ActsFor(ctx, actor, s.ID)
	if err != nil {
		return Session{}, err
	}
	session := Session{
		SessionItem: a.item(s), Diff: s.Diff, DiffCut: s.DiffCut, ActsFor: []Named{}, May: []string{},
	}
	for _, person := range acts.Principals() {
		session.ActsFor = append(session.ActsFor, Named{ID: person.ID.String(), Name: person.Name})
	}
	for _, p := range acts.May() {
		session.May = append(session.May, string(p))
	}
	return session, nil
}

type listEventsQuery struct {
	OneByID
	ListQuery
	After int64 `query:"after" minimum:"0" doc:"Events after this number. Not together with cursor."`
}

// Resolve refuses to be asked for two beginnings at once.
func (q *listEventsQuery) Resolve(huma.Context) []error {
	if q.Cursor != "" && q.After != 0 {
		return []error{&huma.ErrorDetail{Location: "query.after", Message: "give either after or cursor"}}
	}
	return nil
}

func (a sessions) listEvents(ctx context.Context, actor account.Actor, in *listEventsQuery) (PageOf[Event], error) {
	key, err := in.after(1)
	if err == nil && key != nil {
		in.After, err = strconv.ParseInt(key[0], 10, 64)
		if err != nil {
			err = errCursor
		}
	}
	if err != nil {
		return PageOf[Event]{}, err
	}
	list, err := a.Rules.Sessions().Transcript(ctx, actor, in.id(), in.After, in.Limit+1)
	if err != nil {
		return PageOf[Event]{}, err
	}
	return paginate(list, in.Limit, func(e *db.SessionEvent) Event {
		return Event{Number: e.Seq, TurnID: e.TurnID.String(), At: e.At.UTC(), Kind: e.Kind, Body: e.Body}
	}, func(e *db.SessionEvent) []string { return []string{strconv.FormatInt(e.Seq, 10)} }), nil
}

type postMessageQuery struct {
	OneByID
	Body struct {
		Message string `json:"message"`
	}
}

func (a sessions) postMessage(ctx context.Context, actor account.Actor, in *postMessageQuery) error {
	return a.Rules.Sessions().Reply(ctx, actor, in.id(), in.Body.Message)
}

// change makes an operation that changes a session and answers with it.
func (a sessions) change(change func(ctx context.Context, actor account.Actor, id uuid.UUID) error) func(
	context.Context, account.Actor, *OneByID) (Session, error) {
	return func(ctx context.Context, actor account.Actor, in *OneByID) (Session, error) {
		if err := change(ctx, actor, in.id()); err != nil {
			return Session{}, err
		}
		return a.get(ctx, actor, in)
	}
}
