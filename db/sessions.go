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
	// people whose input it was started with, the owner of its automation first
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
	ChangesAt         time.Time     `bun:"changes_at,nullzero"` // zero: the changes are unknown
	PRRequestedAt     time.Time     `bun:"pr_requested_at,nullzero"`
	PRRequestedBy     uuid.UUID     `bun:"pr_requested_by,nullzero,type:uuid"`
	PRError           string        `bun:"pr_error"`
	PRCheckedAt       time.Time     `bun:"pr_checked_at,nullzero"`
	PRChangedAt       time.Time     `bun:"pr_changed_at,nullzero"`

	AtWorkSince time.Time `bun:"at_work_since,nullzero"` // when its worker claimed it
	AtGate      bool      `bun:"at_gate"`                // its run has not passed its gate yet
	Resumes     int       `bun:"resumes"`                // how often a worker was lost during the present work
	// how often an outage kept a person's message from the agent
	Outages int `bun:"outages"`

	// a request to end the running turn and to keep the session open
	InterruptAt time.Time `bun:"interrupt_requested_at,nullzero"`
	InterruptBy uuid.UUID `bun:"interrupt_requested_by,nullzero,type:uuid"`
	// InterruptTurn is the turn that ran at the time of this request; zero: none.
	InterruptTurn uuid.UUID `bun:"interrupt_turn,nullzero,type:uuid"`
	// CancelTurn is the turn of a reply that ran when a cancel was requested; zero: a run was in flight, or no turn
	// ran.
	CancelTurn   uuid.UUID `bun:"cancel_turn,nullzero,type:uuid"`
	ResetContext bool      `bun:"forget"` // the next turn begins a new conversation

	Commits int `bun:"commits"` // on its branches that its base does not have
	Stashes int `bun:"stashes"` // entries of its stash
	// ignored files and folders: they are not changes and are removed with the worktree
	IgnoredFiles int    `bun:"ignored_files"`
	MadeBranches string `bun:"made_branches"` // branches that the agent made beside Branch, one a line
	NotSaved     string `bun:"not_saved"`     // what was lost in a move to another worker, as sentences

	// MayAutomate is set by SessionByToken and CallingSession: the run was started with an automation whose sessions
	// may manage automations.
	MayAutomate bool `bun:"may_automate,scanonly"`

	Workspace  *Workspace  `bun:"rel:belongs-to,join:workspace_id=id"`
	Automation *Automation `bun:"rel:belongs-to,join:automation_id=id"`
	Owner      *User       `bun:"rel:belongs-to,join:owner_id=id"`
}

// SessionStatus is the state of a session. A session never fails: failure belongs to the execution.
type SessionStatus string

// Closed reports whether the session is closed. A person may reopen it.
func (s SessionStatus) Closed() bool { return s == SessionDone || s == SessionCanceled }

// The statuses of a session.
const (
	SessionQueued     SessionStatus = "queued"
	SessionInProgress SessionStatus = "in_progress"
	SessionWaiting    SessionStatus = "waiting" // open and idle, waits for a person
	SessionDone       SessionStatus = "done"
	SessionCanceled   SessionStatus = "canceled"
)

// Changed reports whether the session has changed anything, as of its last turn.
func (s *Session) Changed() bool { return s.FilesChanged > 0 || s.Commits > 0 || s.Stashes > 0 }

// ChangesKnown reports whether the session's changes could be listed. Otherwise its counts are meaningless.
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

// CallingSession finds the session of a tool call with the columns of SessionByToken, by its id and in any state.
func CallingSession(ctx context.Context, q bun.IDB, id uuid.UUID) (*Session, error) {
	var s Session
	err := q.NewSelect().Model(&s).ExcludeColumn("diff").ColumnExpr(mayAutomate).Relation("Automation").
		Relation("Owner").
		Where("s.id = ?", id).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find session %s: %w", id, err)
	}
	return &s, nil
}

// mayAutomate is the SQL expression of Session.MayAutomate. It is false for a session whose run was deleted.
const mayAutomate = `coalesce((SELECT (e.snapshot->>'may_automate')::boolean FROM executions e WHERE e.session_id = s.id
	LIMIT 1), false) AS may_automate`

// LockSession finds a session, without its diff, and locks it until the transaction ends.
func LockSession(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Session, error) {
	var s Session
	err := tx.NewSelect().Model(&s).ExcludeColumn("diff").Where("s.id = ?", id).For("NO KEY UPDATE").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock session %s: %w", id, err)
	}
	return &s, nil
}

// LockSessionsOf locks the sessions of an automation until the transaction ends.
func LockSessionsOf(ctx context.Context, tx bun.Tx, automation uuid.UUID) error {
	_, err := tx.NewRaw("SELECT 1 FROM sessions WHERE automation_id = ? ORDER BY id FOR NO KEY UPDATE", automation).
		Exec(ctx)
	if err != nil {
		return fmt.Errorf("lock sessions of automation %s: %w", automation, err)
	}
	return nil
}

// KnownSessions finds which of the ids are sessions, and gives their workspaces.
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

// sessionAccess narrows a query to the sessions that a person owns and those of automations that the person may see.
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

// CountActiveSessions counts the queued and running sessions that a person may see.
func CountActiveSessions(ctx context.Context, q bun.IDB, v Access) (int64, error) {
	n, err := sessionAccess(q.NewSelect().TableExpr("sessions AS s"), v).Where("s.status IN ('queued', 'in_progress')").
		Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("count live sessions: %w", err)
	}
	return n, nil
}

// IdleSessions lists open sessions that have been idle for more days than their workspace allows, the longest first,
// without those that are set aside.
func IdleSessions(ctx context.Context, q bun.IDB, now time.Time, limit int) ([]Session, error) {
	var list []Session
	err := q.NewSelect().Model(&list).Column("id", "title", "workspace_id").
		Join("JOIN workspaces w ON w.id = s.workspace_id AND w.idle_days IS NOT NULL").
		Where("s.status = 'waiting'").Where(`greatest(s.ended_at, s.reopened_at,
			s.created_at) < ?::timestamptz - w.idle_days * interval '24 hours'`, now).
		Where(notSetAside(TaskIdle, "s.id"), now).OrderExpr("greatest(s.ended_at, s.reopened_at, s.created_at), s.id").
		Limit(int64(limit)).Scan(ctx)
	return list, wrap(err, "list idle sessions")
}

// IsIdle reports whether a session is still one of IdleSessions.
func IsIdle(ctx context.Context, q bun.IDB, session uuid.UUID, now time.Time) (bool, error) {
	idle, err := q.NewSelect().Model((*Session)(nil)).Join(`JOIN workspaces w ON w.id = s.workspace_id
		AND w.idle_days IS NOT NULL`).
		Where("s.id = ? AND s.status = 'waiting'", session).
		Where("greatest(s.ended_at, s.reopened_at, s.created_at) < ?::timestamptz - w.idle_days * interval '24 hours'",
			now).Exists(ctx)
	return idle, wrap(err, "look whether a session is idle")
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

// RequestCancel asks the worker of a session to end its run, or the running turn if no run is in flight. A second
// request does not replace the first one.
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

// RequestInterrupt asks the worker of a session to end the running turn alone.
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

// RequestContextReset makes the next turn of a session begin a new conversation.
func RequestContextReset(ctx context.Context, q bun.IDB, session uuid.UUID) error {
	if _, err := q.NewUpdate().Model((*Session)(nil)).Set("forget = true").Where("s.id = ?", session).
		Exec(ctx); err != nil {
		return fmt.Errorf("forget conversation of session %s: %w", session, err)
	}
	return nil
}

// TakeContextReset ends a session's conversation if a reset was requested. It returns the conversation that continues;
// empty: none. A repetition returns the same. It returns ErrLeaseLost and changes nothing when the lease is not valid
// any more.
func TakeContextReset(ctx context.Context, q bun.IDB, lease Lease) (conversation string, err error) {
	err = q.NewUpdate().Model((*Session)(nil)).Set("conversation = CASE WHEN forget THEN '' ELSE conversation END").
		Set("forget = false").
		Where("s.id = ?", lease.Session).Where("s.worker = ?", lease.Worker).Where("s.fence = ?", lease.Fence).
		Where("s.status = 'in_progress'").Returning("conversation").Scan(ctx, &conversation)
	if IsNotFound(err) {
		return "", ErrLeaseLost
	}
	return conversation, wrap(err, "begin a new conversation of session "+lease.Session.String())
}

// SetConversation writes the agent's id of the conversation, with which the next turn resumes it.
func SetConversation(ctx context.Context, q bun.IDB, lease Lease, conversation string) error {
	return updateLeased(ctx, q, lease,
		func(u *bun.UpdateQuery) *bun.UpdateQuery { return u.Set("conversation = ?", conversation) })
}

// DeleteSession removes a session in which nothing was done, with its turns and events.
func DeleteSession(ctx context.Context, tx bun.Tx, session uuid.UUID) error {
	_, err := tx.NewDelete().Model((*Session)(nil)).Where("s.id = ?", session).Exec(ctx)
	return wrap(err, "forget session "+session.String())
}
