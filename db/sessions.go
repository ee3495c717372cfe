package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Session is one conversation with one coding agent in a worktree of its own.
type Session struct {
	bun.BaseModel `bun:"table:sessions,alias:s"`

	ID           uuid.UUID `bun:"id,pk,type:uuid"`
	WorkspaceID  uuid.UUID `bun:"workspace_id,type:uuid"`
	AutomationID uuid.UUID `bun:"automation_id,nullzero,type:uuid"`
	OwnerID      uuid.UUID `bun:"owner_id,type:uuid"`
	// who had a word in what it was started with, the owner of its automation first
	People            PeopleIDs     `bun:"people,type:uuid[]"`
	BotID             uuid.UUID     `bun:"bot_id,nullzero,type:uuid"`
	Type              SessionType   `bun:"type"`
	Title             string        `bun:"title"`
	Status            SessionStatus `bun:"status"`
	Provider          string        `bun:"provider"`
	Model             string        `bun:"model"`
	BaseBranch        string        `bun:"base_branch"`
	Branch            string        `bun:"branch"`
	BaseCommit        string        `bun:"base_commit"`
	Conversation      string        `bun:"conversation"`
	FilesChanged      int           `bun:"files_changed"`
	LinesAdded        int           `bun:"lines_added"`
	LinesRemoved      int           `bun:"lines_removed"`
	Diff              string        `bun:"diff"`
	DiffCut           bool          `bun:"diff_cut"`
	LastSeq           int64         `bun:"last_seq"`
	CreatedAt         time.Time     `bun:"created_at"`
	QueuedAt          time.Time     `bun:"queued_at,nullzero"`
	StartedAt         time.Time     `bun:"started_at,nullzero"`
	EndedAt           time.Time     `bun:"ended_at,nullzero"`
	ReopenedAt        time.Time     `bun:"reopened_at,nullzero"` // by a person
	ClosedAt          time.Time     `bun:"closed_at,nullzero"`
	ClosedBy          uuid.UUID     `bun:"closed_by,nullzero,type:uuid"`
	WorktreeRemovedAt time.Time     `bun:"worktree_removed_at,nullzero"`
	Worker            string        `bun:"worker"`
	Fence             int64         `bun:"fence"`
	LeaseUntil        time.Time     `bun:"lease_until,nullzero"`
	CancelRequestedAt time.Time     `bun:"cancel_requested_at,nullzero"`
	CancelRequestedBy uuid.UUID     `bun:"cancel_requested_by,nullzero,type:uuid"`
	ChangesAt         time.Time     `bun:"changes_at,nullzero"` // zero: what changed is not known
	PRRequestedAt     time.Time     `bun:"pr_requested_at,nullzero"`
	PRRequestedBy     uuid.UUID     `bun:"pr_requested_by,nullzero,type:uuid"`
	PRError           string        `bun:"pr_error"`
	PRCheckedAt       time.Time     `bun:"pr_checked_at,nullzero"`
	PRChangedAt       time.Time     `bun:"pr_changed_at,nullzero"`

	AtWorkSince time.Time `bun:"at_work_since,nullzero"` // when its worker took it
	AtGate      bool      `bun:"at_gate"`                // its run has yet to pass its gate
	Resumes     int       `bun:"resumes"`                // how often a worker was lost during the work that goes on
	// how often a person's message could not be given for an outage
	Outages int `bun:"outages"`

	// the turn at work is to end, and the session to stay open
	InterruptAt time.Time `bun:"interrupt_requested_at,nullzero"`
	InterruptBy uuid.UUID `bun:"interrupt_requested_by,nullzero,type:uuid"`
	// InterruptTurn is the turn that was at work when that was asked; zero: none was.
	InterruptTurn uuid.UUID `bun:"interrupt_turn,nullzero,type:uuid"`
	// CancelTurn is the message that was at work when a cancel was asked for; zero: a run was, or none.
	CancelTurn uuid.UUID `bun:"cancel_turn,nullzero,type:uuid"`
	Forget     bool      `bun:"forget"` // the next turn begins a new conversation

	Commits      int    `bun:"commits"`       // that its base does not have, on any of its branches
	Stashes      int    `bun:"stashes"`       // what is on its stash
	IgnoredFiles int    `bun:"ignored_files"` // ignored files and folders: no change, and removed with the worktree
	MadeBranches string `bun:"made_branches"` // those that the agent made beside Branch, one a line
	NotSaved     string `bun:"not_saved"`     // what was lost when it moved to another worker, as sentences

	// MayAutomate is of SessionByToken and SpeakingSession: its run was started with an automation whose sessions
	// manage automations.
	MayAutomate bool `bun:"may_automate,scanonly"`

	Workspace  *Workspace  `bun:"rel:belongs-to,join:workspace_id=id"`
	Automation *Automation `bun:"rel:belongs-to,join:automation_id=id"`
	Owner      *User       `bun:"rel:belongs-to,join:owner_id=id"`
}

// SessionStatus is how far a session is. There is no failed session: failure belongs to the execution.
type SessionStatus string

// Closed reports whether the session is over, until someone reopens it.
func (s SessionStatus) Closed() bool { return s == SessionDone || s == SessionCanceled }

// The statuses of a session.
const (
	SessionQueued     SessionStatus = "queued"
	SessionInProgress SessionStatus = "in_progress"
	SessionWaiting    SessionStatus = "waiting" // open, idle, wants a person
	SessionDone       SessionStatus = "done"
	SessionCanceled   SessionStatus = "canceled"
)

// Changed reports whether the session has changed anything, as of its last turn.
func (s *Session) Changed() bool { return s.FilesChanged > 0 || s.Commits > 0 || s.Stashes > 0 }

// ChangesKnown reports whether what the session has changed could be listed; else its counts say nothing.
func (s *Session) ChangesKnown() bool { return !s.ChangesAt.IsZero() || s.FilesChanged > 0 }

// SessionByID finds a session with its workspace, automation and owner, and its diff.
func SessionByID(ctx context.Context, q bun.IDB, id uuid.UUID) (*Session, error) {
	var s Session
	err := q.NewSelect().Model(&s).Relation("Workspace").Relation("Automation").Relation("Owner").Where("s.id = ?", id).
		Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find session %s: %w", id, err)
	}
	return &s, nil
}

// SpeakingSession finds a session as SessionByToken does, by its id and whatever it does at the moment.
func SpeakingSession(ctx context.Context, q bun.IDB, id uuid.UUID) (*Session, error) {
	var s Session
	err := q.NewSelect().Model(&s).ExcludeColumn("diff").ColumnExpr(mayAutomate).Relation("Automation").
		Relation("Owner").
		Where("s.id = ?", id).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find session %s: %w", id, err)
	}
	return &s, nil
}

// mayAutomate is Session.MayAutomate as an expression. Of a session whose run is gone it is false.
const mayAutomate = `coalesce((SELECT (e.snapshot->>'may_automate')::boolean FROM executions e WHERE e.session_id = s.id
	LIMIT 1), false) AS may_automate`

// LockSession finds a session, without its diff, and keeps others from changing it until the transaction ends.
func LockSession(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Session, error) {
	var s Session
	err := tx.NewSelect().Model(&s).ExcludeColumn("diff").Where("s.id = ?", id).For("NO KEY UPDATE").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock session %s: %w", id, err)
	}
	return &s, nil
}

// LockSessionsOf keeps others from changing the sessions of an automation until the transaction ends.
func LockSessionsOf(ctx context.Context, tx bun.Tx, automation uuid.UUID) error {
	_, err := tx.NewRaw("SELECT 1 FROM sessions WHERE automation_id = ? ORDER BY id FOR NO KEY UPDATE", automation).
		Exec(ctx)
	if err != nil {
		return fmt.Errorf("lock sessions of automation %s: %w", automation, err)
	}
	return nil
}

// KnownSessions tells which of the ids are sessions, with their workspaces.
func KnownSessions(ctx context.Context, q bun.IDB, ids []uuid.UUID) (map[uuid.UUID]uuid.UUID, error) {
	var list []Session
	if err := q.NewSelect().Model(&list).Column("id", "workspace_id").Where("s.id = ANY(?::uuid[])", UUIDs(ids)).
		Scan(ctx); err != nil {
		return nil, fmt.Errorf("look up sessions: %w", err)
	}
	known := make(map[uuid.UUID]uuid.UUID, len(list))
	for _, s := range list {
		known[s.ID] = s.WorkspaceID
	}
	return known, nil
}

// SessionFilter narrows a list of sessions. Zero fields do not narrow.
type SessionFilter struct {
	Access     Access
	Statuses   []SessionStatus
	Type       SessionType
	Automation uuid.UUID
	Workspace  uuid.UUID
	Mine       bool
	Search     string // in title or branch
	Before     uuid.UUID
	Limit      int
}

// Sessions lists sessions, newest first, without their diffs.
func Sessions(ctx context.Context, q bun.IDB, f SessionFilter) ([]Session, error) {
	var list []Session
	sel := q.NewSelect().Model(&list).ExcludeColumn("diff").Relation("Workspace").Relation("Automation").
		Relation("Owner").
		OrderExpr("s.id DESC").Limit(int64(f.Limit))
	sel = sessionAccess(sel, f.Access)
	if len(f.Statuses) > 0 {
		sel = sel.Where("s.status IN (?)", bun.List(f.Statuses))
	}
	if f.Type != "" {
		sel = sel.Where("s.type = ?", f.Type)
	}
	if f.Automation != uuid.Nil {
		sel = sel.Where("s.automation_id = ?", f.Automation)
	}
	if f.Workspace != uuid.Nil {
		sel = sel.Where("s.workspace_id = ?", f.Workspace)
	}
	if f.Mine {
		sel = sel.Where("s.owner_id = ?", f.Access.User)
	}
	if f.Search != "" {
		like := containing(f.Search)
		sel = sel.Where("(s.title ILIKE ? OR s.branch ILIKE ?)", like, like)
	}
	if f.Before != uuid.Nil {
		sel = sel.Where("s.id < ?", f.Before)
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	return list, nil
}

// SessionsOfTicket lists the sessions that worked on a ticket, the newest first, without their diffs.
func SessionsOfTicket(ctx context.Context, q bun.IDB, ticket uuid.UUID) ([]Session, error) {
	var list []Session
	err := q.NewSelect().Model(&list).ExcludeColumn("diff").Relation("Workspace").Relation("Automation").
		Relation("Owner").
		Where("s.id IN (SELECT session_id FROM ticket_sessions WHERE ticket_id = ?)", ticket).OrderExpr("s.id DESC").
		Limit(100).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list sessions of ticket %s: %w", ticket, err)
	}
	return list, nil
}

// sessionAccess lets through the sessions that a person owns and those of automations that the person sees.
func sessionAccess(sel *bun.SelectQuery, v Access) *bun.SelectQuery {
	sel = v.within(sel, "s")
	switch {
	case v.All:
	case v.Own:
		sel = sel.Where("(s.owner_id = ? OR s.automation_id IN (SELECT id FROM automations WHERE creator_id = ?))",
			v.User, v.User)
	default:
		sel = sel.Where("false")
	}
	return sel
}

// CountLive counts the sessions at work that a person may see.
func CountLive(ctx context.Context, q bun.IDB, v Access) (int64, error) {
	n, err := sessionAccess(q.NewSelect().TableExpr("sessions AS s"), v).Where("s.status IN ('queued', 'in_progress')").
		Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("count live sessions: %w", err)
	}
	return n, nil
}

// IdleSessions lists open sessions that have done nothing for as many days as their workspace lets them, the longest
// first, other than those that are set aside.
func IdleSessions(ctx context.Context, q bun.IDB, now time.Time, limit int) ([]Session, error) {
	var list []Session
	err := q.NewSelect().Model(&list).Column("id", "title", "workspace_id").
		Join("JOIN workspaces w ON w.id = s.workspace_id AND w.idle_days IS NOT NULL").
		Where("s.status = 'waiting'").Where(`greatest(s.ended_at, s.reopened_at,
			s.created_at) < ?::timestamptz - w.idle_days * interval '24 hours'`, now).
		Where(notSetAside(TaskIdle, "s.id"), now).OrderExpr("greatest(s.ended_at, s.reopened_at, s.created_at), s.id").
		Limit(int64(limit)).Scan(ctx)
	return list, wrapped(err, "list idle sessions")
}

// IsIdle reports whether a session is still one of IdleSessions.
func IsIdle(ctx context.Context, q bun.IDB, session uuid.UUID, now time.Time) (bool, error) {
	idle, err := q.NewSelect().Model((*Session)(nil)).Join(`JOIN workspaces w ON w.id = s.workspace_id
		AND w.idle_days IS NOT NULL`).
		Where("s.id = ? AND s.status = 'waiting'", session).
		Where("greatest(s.ended_at, s.reopened_at, s.created_at) < ?::timestamptz - w.idle_days * interval '24 hours'",
			now).Exists(ctx)
	return idle, wrapped(err, "look whether a session is idle")
}

// ReopenSession opens a closed session.
func ReopenSession(ctx context.Context, q bun.IDB, session uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("status = 'waiting'").Set("closed_at = NULL").
		Set("closed_by = NULL").Set("reopened_at = ?", now).
		Where("s.id = ?", session).Where("s.status IN ('done', 'canceled')").Exec(ctx)
	if err != nil {
		return fmt.Errorf("reopen session %s: %w", session, err)
	}
	return nil
}

// RequestCancel asks the worker of a session to end its run, or where no run is in flight the message at work. Who
// asked first stays the one who did.
func RequestCancel(ctx context.Context, q bun.IDB, session, by uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("cancel_requested_at = coalesce(cancel_requested_at, ?)", now).
		Set("cancel_requested_by = CASE WHEN cancel_requested_at IS NULL THEN ?::uuid ELSE cancel_requested_by END",
			orNull(by)).
		Set(`cancel_turn = (SELECT t.id FROM turns t WHERE t.session_id = s.id AND t.status = 'running'
			AND NOT EXISTS (SELECT 1 FROM executions e WHERE e.session_id = s.id AND e.status IN ('queued', 'running'))
			ORDER BY t.position DESC LIMIT 1)`).Where("s.id = ?", session).Where("s.status = 'in_progress'").Exec(ctx)
	if err != nil {
		return fmt.Errorf("request cancel of session %s: %w", session, err)
	}
	return nil
}

// RequestInterrupt asks the worker of a session to end its turn alone.
func RequestInterrupt(ctx context.Context, q bun.IDB, session, by uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("interrupt_requested_at = coalesce(interrupt_requested_at, ?)",
		now).
		Set("interrupt_requested_by = ?", orNull(by)).
		Set(`interrupt_turn = (SELECT id FROM turns WHERE session_id = s.id AND status = 'running'
			ORDER BY position DESC LIMIT 1)`).Where("s.id = ?", session).Where("s.status = 'in_progress'").Exec(ctx)
	if err != nil {
		return fmt.Errorf("request interrupt of session %s: %w", session, err)
	}
	return nil
}

// SetForget lets the next turn of a session begin a new conversation.
func SetForget(ctx context.Context, q bun.IDB, session uuid.UUID) error {
	if _, err := q.NewUpdate().Model((*Session)(nil)).Set("forget = true").Where("s.id = ?", session).
		Exec(ctx); err != nil {
		return fmt.Errorf("forget conversation of session %s: %w", session, err)
	}
	return nil
}

// TakeForget ends a session's conversation where that was asked for, and returns the one that goes on; empty: none
// does. Done twice it returns the same. It returns ErrLeaseLost, and changes nothing, when the lease is no longer good.
func TakeForget(ctx context.Context, q bun.IDB, lease Lease) (conversation string, err error) {
	err = q.NewUpdate().Model((*Session)(nil)).Set("conversation = CASE WHEN forget THEN '' ELSE conversation END").
		Set("forget = false").
		Where("s.id = ?", lease.Session).Where("s.worker = ?", lease.Worker).Where("s.fence = ?", lease.Fence).
		Where("s.status = 'in_progress'").Returning("conversation").Scan(ctx, &conversation)
	if IsNotFound(err) {
		return "", ErrLeaseLost
	}
	return conversation, wrapped(err, "begin a new conversation of session "+lease.Session.String())
}

// SetConversation notes the agent's own id of the conversation, with which the next turn resumes it.
func SetConversation(ctx context.Context, q bun.IDB, lease Lease, conversation string) error {
	return updateLeased(ctx, q, lease,
		func(u *bun.UpdateQuery) *bun.UpdateQuery { return u.Set("conversation = ?", conversation) })
}

// ForgetSession removes a session in which nothing was done, with its messages and what they left.
func ForgetSession(ctx context.Context, tx bun.Tx, session uuid.UUID) error {
	_, err := tx.NewDelete().Model((*Session)(nil)).Where("s.id = ?", session).Exec(ctx)
	return wrapped(err, "forget session "+session.String())
}
