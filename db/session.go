package db

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// SessionStatus is how far a session is. There is no failed session: failure belongs to the execution.
type SessionStatus string

// The statuses of a session.
const (
	SessionQueued     SessionStatus = "queued"
	SessionInProgress SessionStatus = "in_progress"
	SessionWaiting    SessionStatus = "waiting" // open, idle, wants a person
	SessionDone       SessionStatus = "done"
	SessionCanceled   SessionStatus = "canceled"
)

// Closed reports whether the session is over, until someone reopens it.
func (s SessionStatus) Closed() bool { return s == SessionDone || s == SessionCanceled }

// Session is one conversation with one coding agent in a worktree of its own.
type Session struct {
	bun.BaseModel `bun:"table:sessions,alias:s"`

	ID                uuid.UUID     `bun:"id,pk,type:uuid"`
	WorkspaceID       uuid.UUID     `bun:"workspace_id,type:uuid"`
	AutomationID      uuid.UUID     `bun:"automation_id,nullzero,type:uuid"`
	OwnerID           uuid.UUID     `bun:"owner_id,type:uuid"`
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
	Resumes     int       `bun:"resumes"`                // how often a worker was lost during the work that goes on
	Outages     int       `bun:"outages"`                // how often a person's message could not be given for an outage

	InterruptAt time.Time `bun:"interrupt_requested_at,nullzero"` // the turn at work is to end, and the session to stay open
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

	Workspace  *Workspace  `bun:"rel:belongs-to,join:workspace_id=id"`
	Automation *Automation `bun:"rel:belongs-to,join:automation_id=id"`
	Owner      *User       `bun:"rel:belongs-to,join:owner_id=id"`
}

// ChangesKnown reports whether what the session has changed could be listed; else its counts say nothing.
func (s *Session) ChangesKnown() bool { return !s.ChangesAt.IsZero() || s.FilesChanged > 0 }

// listColumns are a session's columns without the diff, which may be large.
const listColumns = "id, workspace_id, automation_id, owner_id, bot_id, type, title, status, provider, model, base_branch, branch, " +
	"base_commit, conversation, files_changed, lines_added, lines_removed, diff_cut, last_seq, created_at, queued_at, started_at, " +
	"ended_at, closed_at, closed_by, worktree_removed_at, worker, fence, lease_until, cancel_requested_at, cancel_requested_by, " +
	"changes_at, pr_requested_at, pr_requested_by, pr_error, pr_checked_at, pr_changed_at, interrupt_requested_at, interrupt_requested_by, " +
	"interrupt_turn, cancel_turn, forget, commits, stashes, ignored_files, made_branches, not_saved, " +
	"at_work_since, resumes, outages"

// TurnKind is what a turn is for.
type TurnKind string

// The kinds of turns.
const (
	PromptTurn       TurnKind = "prompt"
	ReplyTurn        TurnKind = "reply"
	StepTurn         TurnKind = "step"
	ReviewTurn       TurnKind = "review"
	VerificationTurn TurnKind = "verification"
)

// Turn is one message to the agent and its answer.
type Turn struct {
	bun.BaseModel `bun:"table:turns,alias:t"`

	ID          uuid.UUID       `bun:"id,pk,type:uuid"`
	SessionID   uuid.UUID       `bun:"session_id,type:uuid"`
	ExecutionID uuid.UUID       `bun:"execution_id,nullzero,type:uuid"`
	Position    int             `bun:"position"`
	Kind        TurnKind        `bun:"kind"`
	Label       string          `bun:"label"`
	AuthorID    uuid.UUID       `bun:"author_id,nullzero,type:uuid"`
	Prompt      string          `bun:"prompt"`
	Status      ExecutionStatus `bun:"status"`
	Reason      string          `bun:"reason"`
	Answer      string          `bun:"answer"`
	Own         bool            `bun:"own"` // a step that Carillon takes itself: no message to the agent
	CreatedAt   time.Time       `bun:"created_at"`
	StartedAt   time.Time       `bun:"started_at,nullzero"`
	FinishedAt  time.Time       `bun:"finished_at,nullzero"`

	TurnUsage

	Again bool `bun:"again,scanonly"` // of NextTurn: it was begun before, and is in the sums of its run already

	Author *User `bun:"rel:belongs-to,join:author_id=id"`
}

// SessionEvent is one thing that an agent did or said.
type SessionEvent struct {
	bun.BaseModel `bun:"table:session_events,alias:ev"`

	SessionID uuid.UUID       `bun:"session_id,pk,type:uuid"`
	Seq       int64           `bun:"seq,pk"`
	TurnID    uuid.UUID       `bun:"turn_id,type:uuid"`
	At        time.Time       `bun:"at"`
	Kind      string          `bun:"kind"`
	Body      json.RawMessage `bun:"body,type:jsonb"`
}

// SessionByID finds a session with its workspace, automation and owner, and its diff.
func SessionByID(ctx context.Context, q bun.IDB, id uuid.UUID) (*Session, error) {
	var s Session
	err := q.NewSelect().Model(&s).Relation("Workspace").Relation("Automation").Relation("Owner").Where("s.id = ?", id).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find session %s: %w", id, err)
	}
	return &s, nil
}

// LockSession finds a session and keeps others from changing it until the transaction ends.
func LockSession(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Session, error) {
	var s Session
	err := tx.NewSelect().Model(&s).ColumnExpr(listColumns).Where("s.id = ?", id).For("NO KEY UPDATE").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock session %s: %w", id, err)
	}
	return &s, nil
}

// LockSessionsOf keeps others from changing the sessions of an automation until the transaction ends.
func LockSessionsOf(ctx context.Context, tx bun.Tx, automation uuid.UUID) error {
	_, err := tx.NewRaw("SELECT 1 FROM sessions WHERE automation_id = ? ORDER BY id FOR NO KEY UPDATE", automation).Exec(ctx)
	if err != nil {
		return fmt.Errorf("lock sessions of automation %s: %w", automation, err)
	}
	return nil
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
	sel := q.NewSelect().Model(&list).ExcludeColumn("diff").Relation("Workspace").Relation("Automation").Relation("Owner").
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
		like := "%" + likeEscape(f.Search) + "%"
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

// sessionAccess lets through the sessions that a person owns and those of automations that the person sees.
func sessionAccess(sel *bun.SelectQuery, v Access) *bun.SelectQuery {
	sel = v.within(sel, "s")
	switch {
	case v.All:
	case v.Own:
		sel = sel.Where("(s.owner_id = ? OR s.automation_id IN (SELECT id FROM automations WHERE creator_id = ?))", v.User, v.User)
	default:
		sel = sel.Where("false")
	}
	return sel
}

// CountLive counts the sessions at work that a person may see.
func CountLive(ctx context.Context, q bun.IDB, v Access) (int64, error) {
	n, err := sessionAccess(q.NewSelect().TableExpr("sessions AS s"), v).Where("s.status IN ('queued', 'in_progress')").Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("count live sessions: %w", err)
	}
	return n, nil
}

// TurnsOf lists a session's turns in order, with their authors.
func TurnsOf(ctx context.Context, q bun.IDB, session uuid.UUID) ([]Turn, error) {
	var list []Turn
	if err := q.NewSelect().Model(&list).Relation("Author").Where("t.session_id = ?", session).Order("t.position").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list turns of session %s: %w", session, err)
	}
	return list, nil
}

// EventsOf lists at most limit events of a session after seq, in order.
func EventsOf(ctx context.Context, q bun.IDB, session uuid.UUID, after int64, limit int) ([]SessionEvent, error) {
	var list []SessionEvent
	err := q.NewSelect().Model(&list).Where("ev.session_id = ?", session).Where("ev.seq > ?", after).
		Order("ev.seq").Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list events of session %s: %w", session, err)
	}
	return list, nil
}

// LatestEvents lists the newest limit events of a session, in order.
func LatestEvents(ctx context.Context, q bun.IDB, session uuid.UUID, limit int) ([]SessionEvent, error) {
	var list []SessionEvent
	newest := q.NewSelect().Model((*SessionEvent)(nil)).Where("ev.session_id = ?", session).OrderExpr("ev.seq DESC").Limit(int64(limit))
	if err := q.NewSelect().TableExpr("(?) AS ev", newest).OrderExpr("ev.seq").Scan(ctx, &list); err != nil {
		return nil, fmt.Errorf("list latest events of session %s: %w", session, err)
	}
	return list, nil
}

// Lease is a worker's hold on a session. A write that names it is refused once another worker holds the session.
type Lease struct {
	Session uuid.UUID
	Worker  string
	Fence   int64
}

// LeaseFor is how long a worker may be silent before others take its sessions for lost. It outlasts a restart of the
// database, during which nobody can renew and nobody can reap.
const LeaseFor = time.Minute

// probeFor is how long a session that tries a provider after its pause keeps the others waiting at most.
const probeFor = 5 * time.Minute

// ClaimSessions takes up to limit queued sessions for a worker until a time, oldest first, and marks the
// executions that they belong to as running. Several workers may claim at once; each session goes to one. The sessions of
// a paused provider stay; when its time has come, the oldest of them goes first and alone. Those of a provider that this
// worker does not have stay for the workers that have it, as long as one of them lives. A session that has files goes on where
// they are; when that worker is gone, another takes it and the move is noted.
func ClaimSessions(ctx context.Context, tx bun.Tx, worker string, limit int, now, until time.Time) ([]Session, error) {
	probes, err := probes(ctx, tx, worker, now)
	if err != nil {
		return nil, err
	}
	order := "queued_at, id"
	if len(probes) > 0 { // else the index has the order
		order = "(id = ANY(?2::uuid[])) DESC, queued_at, id"
	}
	var list []Session
	err = tx.NewRaw(`WITH next AS (
			SELECT s.id FROM sessions s WHERE s.status = 'queued' AND s.queued_at <= ?0
			AND (`+isAt("?3")+` OR s.provider <> ALL(ARRAY(`+elsewhere("?3", "?5")+`))) AND `+mayTake("?3", "?6")+`
			AND (s.id = ANY(?2::uuid[]) OR NOT EXISTS (SELECT 1 FROM provider_pauses p WHERE `+paused+`))
			ORDER BY `+order+` LIMIT ?1 FOR NO KEY UPDATE OF s SKIP LOCKED
		), moved AS (
			INSERT INTO session_moves (session_id, worker, name, seen_at, fence, at)
			SELECT s.id, s.worker, coalesce(w.name, ''), w.seen_at, s.fence, ?0 FROM next JOIN sessions s ON s.id = next.id LEFT JOIN workers w ON w.id = s.worker
			WHERE s.worker NOT IN ('', ?3) AND s.branch <> '' `+onMoved+`
		)
		UPDATE sessions s SET status = 'in_progress', queued_at = NULL, worker = ?3, fence = fence + 1, lease_until = ?4,
			started_at = coalesce(started_at, ?0), at_work_since = ?0, closed_at = NULL, closed_by = NULL
		FROM next WHERE s.id = next.id RETURNING s.*`, now, limit, UUIDs(probes), worker, until, now.Add(-WorkerSilence), now.Add(-WorkerGone)).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("claim sessions: %w", err)
	}
	if len(list) == 0 {
		return nil, nil
	}
	ids := make([]uuid.UUID, len(list))
	for i, s := range list {
		ids[i] = s.ID
	}
	_, err = tx.NewRaw("UPDATE executions SET status = 'running', started_at = ? WHERE session_id = ANY(?::uuid[]) AND status = 'queued'", now, UUIDs(ids)).Exec(ctx)
	if err != nil {
		return nil, fmt.Errorf("start executions: %w", err)
	}
	return list, nil
}

// probes picks, of each account of a provider whose pause is over and that is not to be left to other workers, the session that tries it.
func probes(ctx context.Context, tx bun.Tx, worker string, now time.Time) ([]uuid.UUID, error) {
	var list []uuid.UUID
	err := tx.NewRaw(`UPDATE provider_pauses p SET until = ?1 FROM (
			SELECT DISTINCT ON (p.provider, p.workspace_id) p.provider, p.workspace_id, s.id FROM provider_pauses p JOIN sessions s ON `+paused+`
			WHERE p.until <= ?0 AND s.status = 'queued' AND s.queued_at <= ?0
			AND (`+isAt("?2")+` OR p.provider <> ALL(ARRAY(`+elsewhere("?2", "?3")+`))) AND `+mayTake("?2", "?4")+` ORDER BY p.provider, p.workspace_id, s.queued_at, s.id
		) AS first WHERE first.provider = p.provider AND first.workspace_id IS NOT DISTINCT FROM p.workspace_id AND p.until <= ?0 RETURNING first.id`, now, now.Add(probeFor), worker, now.Add(-WorkerSilence), now.Add(-WorkerGone)).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("pick who tries a provider: %w", err)
	}
	return list, nil
}

// Held is what a worker learns when it renews its leases.
type Held struct {
	ID                uuid.UUID `bun:"id"`
	Fence             int64     `bun:"fence"`
	CancelRequestedAt time.Time `bun:"cancel_requested_at,nullzero"`
	InterruptAt       time.Time `bun:"interrupt_requested_at,nullzero"`
	InterruptTurn     uuid.UUID `bun:"interrupt_turn,nullzero,type:uuid"` // which alone is to end; zero: whichever is at work
	CancelTurn        uuid.UUID `bun:"cancel_turn,nullzero,type:uuid"`    // the same of a cancel; zero: all that is at work
}

// RenewLeases keeps sessions that a worker runs until a time, and returns those that it still holds. Of a session that the
// worker has but does not run, as after a crash between claiming and running, the lease must end.
func RenewLeases(ctx context.Context, q bun.IDB, running []Lease, until time.Time) ([]Held, error) {
	ids, workers, fences := make([]uuid.UUID, len(running)), make([]string, len(running)), make([]int64, len(running))
	for i, l := range running {
		ids[i], workers[i], fences[i] = l.Session, l.Worker, l.Fence
	}
	var list []Held
	err := q.NewRaw(`UPDATE sessions s SET lease_until = ? FROM unnest(?::uuid[], ?::text[], ?::bigint[]) AS l(id, worker, fence)
		WHERE s.id = l.id AND s.worker = l.worker AND s.fence = l.fence AND s.status = 'in_progress'
		RETURNING s.id, s.fence, s.cancel_requested_at, s.interrupt_requested_at, s.interrupt_turn, s.cancel_turn`,
		until, UUIDs(ids), textArray(workers), intArray(fences)).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("renew leases: %w", err)
	}
	return list, nil
}

// Lost says which sessions at work are without a worker.
type Lost struct {
	At     time.Time
	Worker string // those that it held in a former life; empty: those whose worker has not renewed its lease until At
}

func (l Lost) among(sel *bun.SelectQuery) *bun.SelectQuery {
	sel = sel.Where("s.status = 'in_progress'")
	if l.Worker != "" {
		return sel.Where("s.worker IN (?, '')", l.Worker)
	}
	return sel.Where("s.lease_until < ?", l.At)
}

// LostSessions lists up to limit sessions that are without a worker, other than those that are set aside.
func LostSessions(ctx context.Context, q bun.IDB, which Lost, limit int) ([]Session, error) {
	var list []Session
	err := which.among(q.NewSelect().Model(&list)).Column("id", "title").
		Where(awake(TaskReap, "s.id"), which.At).OrderExpr("s.lease_until").Limit(int64(limit)).Scan(ctx)
	return list, wrapped(err, "list lost sessions")
}

// LockLostSession locks one of them, for ending or resuming it. The error is IsNotFound where its worker has renewed its lease
// since, or another process deals with it.
func LockLostSession(ctx context.Context, tx bun.Tx, session uuid.UUID, which Lost) (*Session, error) {
	var s Session
	err := which.among(tx.NewSelect().Model(&s)).ExcludeColumn("diff").Where("s.id = ?", session).For("NO KEY UPDATE SKIP LOCKED").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find lost session: %w", err)
	}
	return &s, nil
}

// hourMore is how much longer a session may wait that a worker had: when that is gone for a day, others get time to take it.
const hourMore = time.Hour

// WaitingSessions lists up to limit sessions that have waited since before a time for a worker, other than those that are set
// aside.
func WaitingSessions(ctx context.Context, q bun.IDB, before, now time.Time, limit int) ([]Session, error) {
	var list []Session
	err := q.NewSelect().Model(&list).Column("id", "title", "fence").Where("s.status = 'queued'").Where("s.queued_at < ?", before).
		Where("(s.worker = '' OR s.queued_at < ?)", before.Add(-hourMore)).
		Where(awake(TaskReap, "s.id"), now).OrderExpr("s.queued_at, s.id").Limit(int64(limit)).Scan(ctx)
	return list, wrapped(err, "list sessions that wait")
}

// Resume puts a session whose worker was lost back into the queue, and counts that.
func Resume(ctx context.Context, q bun.IDB, session uuid.UUID, now time.Time) error {
	if err := Requeue(ctx, q, session, now); err != nil {
		return err
	}
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("resumes = resumes + 1").Where("s.id = ?", session).Exec(ctx)
	return wrapped(err, "count a resume of session "+session.String())
}

// NoteWorked adds the time since a session's worker took it to what its run in flight has worked, if it has one.
func NoteWorked(ctx context.Context, q bun.IDB, session uuid.UUID, until time.Time) error {
	_, err := q.NewRaw(`UPDATE executions e SET worked_seconds = worked_seconds + greatest(0, extract(epoch FROM ? - s.at_work_since))
		FROM sessions s WHERE s.id = ? AND e.session_id = s.id AND e.status IN ('queued', 'running') AND s.at_work_since IS NOT NULL`, until, session).Exec(ctx)
	return wrapped(err, "note how long session "+session.String()+" has worked")
}

// HasTurnAtWork reports whether the agent of a session was given a message that has not ended.
func HasTurnAtWork(ctx context.Context, q bun.IDB, session uuid.UUID) (bool, error) {
	return q.NewSelect().Model((*Turn)(nil)).Where("t.session_id = ?", session).Where("t.status = 'running'").Exists(ctx)
}

// ErrLeaseLost says that another worker, or a reaper, has taken the session.
var ErrLeaseLost = fmt.Errorf("another worker holds the session")

// AppendEvents writes events of a session at work and moves its last_seq. It returns ErrLeaseLost, and writes
// nothing, when the lease is no longer good.
func AppendEvents(ctx context.Context, tx bun.Tx, lease Lease, events []SessionEvent) error {
	if len(events) == 0 {
		return nil
	}
	// The table first: else the session's row would be held while another transaction keeps the table, and neither would its
	// lease be renewed nor could anybody stop it.
	if _, err := tx.NewRaw("LOCK TABLE session_events IN ROW EXCLUSIVE MODE").Exec(ctx); err != nil {
		return fmt.Errorf("append events: %w", err)
	}
	if err := updateLeased(ctx, tx, lease, func(u *bun.UpdateQuery) *bun.UpdateQuery {
		return u.Set("last_seq = ?", events[len(events)-1].Seq)
	}); err != nil {
		return err
	}
	if _, err := tx.NewInsert().Model(&events).Exec(ctx); err != nil {
		return fmt.Errorf("append events: %w", err)
	}
	return nil
}

// DropEvents deletes events of a session, to keep a long transcript bounded.
func DropEvents(ctx context.Context, q bun.IDB, session uuid.UUID, seqs []int64) error {
	_, err := q.NewDelete().Model((*SessionEvent)(nil)).Where("session_id = ?", session).Where("seq = ANY(?)", pgdialect.Array(seqs)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("drop events: %w", err)
	}
	return nil
}

// EventSize is how much an event of a transcript takes.
type EventSize struct {
	Seq   int64  `bun:"seq"`
	Kind  string `bun:"kind"`
	Bytes int    `bun:"bytes"` // of its body as text
}

// EventSizes lists how much each event of a session takes, in their order.
func EventSizes(ctx context.Context, q bun.IDB, session uuid.UUID) ([]EventSize, error) {
	var list []EventSize
	err := q.NewSelect().Model((*SessionEvent)(nil)).Column("seq", "kind").ColumnExpr("octet_length(body::text) AS bytes").
		Where("session_id = ?", session).Order("seq").Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("read sizes of events: %w", err)
	}
	return list, nil
}

// EventsBySeq finds events of a session by their numbers.
func EventsBySeq(ctx context.Context, q bun.IDB, session uuid.UUID, seqs []int64) ([]SessionEvent, error) {
	var list []SessionEvent
	err := q.NewSelect().Model(&list).Where("session_id = ?", session).Where("seq = ANY(?)", pgdialect.Array(seqs)).Order("seq").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return list, nil
}

// ReplaceEvents writes the bodies of events anew.
func ReplaceEvents(ctx context.Context, q bun.IDB, events []SessionEvent) error {
	if len(events) == 0 {
		return nil
	}
	if _, err := q.NewUpdate().Model(&events).Column("body").Bulk().Exec(ctx); err != nil {
		return fmt.Errorf("replace events: %w", err)
	}
	return nil
}

// held selects the session of a lease that is good, and keeps others from taking it until the transaction ends.
func held(q bun.IDB, lease Lease) *bun.SelectQuery {
	return q.NewSelect().TableExpr("sessions").ColumnExpr("1").Where("id = ?", lease.Session).Where("worker = ?", lease.Worker).
		Where("fence = ?", lease.Fence).Where("status = 'in_progress'").For("NO KEY UPDATE")
}

// Hold keeps others from taking a session until the transaction ends, or only asks, outside of one. It returns ErrLeaseLost
// when the lease is no longer good.
func Hold(ctx context.Context, q bun.IDB, lease Lease) error {
	found, err := held(q, lease).Exists(ctx)
	if err != nil {
		return fmt.Errorf("hold session %s: %w", lease.Session, err)
	}
	if !found {
		return ErrLeaseLost
	}
	return nil
}

// leased executes an update that names held as one of its tables, which has a row when the lease is good. It returns
// ErrLeaseLost when it is not.
func leased(ctx context.Context, q bun.IDB, lease Lease, what, update string, args ...any) error {
	res, err := q.NewRaw("WITH held AS (?) "+update, append([]any{held(q, lease)}, args...)...).Exec(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return Hold(ctx, q, lease)
}

// updateLeased changes a session that a worker holds, by the columns set.
func updateLeased(ctx context.Context, q bun.IDB, lease Lease, set func(*bun.UpdateQuery) *bun.UpdateQuery) error {
	res, err := set(q.NewUpdate().Model((*Session)(nil))).
		Where("id = ?", lease.Session).Where("worker = ?", lease.Worker).Where("fence = ?", lease.Fence).Where("status = 'in_progress'").
		Exec(ctx)
	if err != nil {
		return fmt.Errorf("update session %s: %w", lease.Session, err)
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 {
		return err
	}
	return ErrLeaseLost
}

// Worktree is where a session's work stands.
type Worktree struct{ Branch, BaseCommit string }

// SetWorktree notes the worktree that a worker made for a session.
func SetWorktree(ctx context.Context, q bun.IDB, lease Lease, w Worktree) error {
	return updateLeased(ctx, q, lease, func(u *bun.UpdateQuery) *bun.UpdateQuery {
		return u.Set("branch = ?", w.Branch).Set("base_commit = ?", w.BaseCommit).Set("worktree_removed_at = NULL")
	})
}

// ChangeSummary is what a session has changed so far.
type ChangeSummary struct {
	Files, Added, Removed     int
	Commits, Stashes, Ignored int
	Branches                  []string // that the agent made
	Diff                      string
	Cut                       bool
}

// SetChanges notes what a session has changed.
func SetChanges(ctx context.Context, q bun.IDB, lease Lease, c ChangeSummary, now time.Time) error {
	return updateLeased(ctx, q, lease, func(u *bun.UpdateQuery) *bun.UpdateQuery {
		return u.Set("files_changed = ?", c.Files).Set("lines_added = ?", c.Added).Set("lines_removed = ?", c.Removed).
			Set("diff = ?", c.Diff).Set("diff_cut = ?", c.Cut).Set("changes_at = ?", now).
			Set("commits = ?", c.Commits).Set("stashes = ?", c.Stashes).Set("ignored_files = ?", c.Ignored).
			Set("made_branches = ?", strings.Join(c.Branches, "\n"))
	})
}

// SetConversation notes the agent's own id of the conversation, with which the next turn resumes it.
func SetConversation(ctx context.Context, q bun.IDB, lease Lease, conversation string) error {
	return updateLeased(ctx, q, lease, func(u *bun.UpdateQuery) *bun.UpdateQuery { return u.Set("conversation = ?", conversation) })
}

// NextTurn starts the next turn of a session that belongs to an execution, or to none where that is zero. A turn that
// a worker left running when it died comes again. It returns nil when there is none, and ErrLeaseLost when the lease is no
// longer good.
func NextTurn(ctx context.Context, q bun.IDB, lease Lease, execution uuid.UUID, now time.Time) (*Turn, error) {
	var t Turn
	err := q.NewRaw(`WITH held AS (?)
		UPDATE turns t SET status = 'running', started_at = ? FROM held, (
			SELECT id, started_at IS NOT NULL AS again FROM turns WHERE session_id = ? AND execution_id IS NOT DISTINCT FROM ? AND status IN ('queued', 'running')
			ORDER BY position LIMIT 1
		) next WHERE t.id = next.id RETURNING t.*, next.again`, held(q, lease), now, lease.Session, orNull(execution)).Scan(ctx, &t)
	if IsNotFound(err) {
		return nil, Hold(ctx, q, lease)
	}
	if err != nil {
		return nil, fmt.Errorf("start next turn of session %s: %w", lease.Session, err)
	}
	return &t, nil
}

// FinishTurn ends a turn. It returns ErrLeaseLost, and changes nothing, when the lease is no longer good.
func FinishTurn(ctx context.Context, q bun.IDB, lease Lease, turn uuid.UUID, status ExecutionStatus, reason, answer string, now time.Time) error {
	return leased(ctx, q, lease, "finish turn "+turn.String(), `UPDATE turns t SET status = ?, reason = ?, answer = ?, finished_at = ?
		FROM held WHERE t.id = ?`, status, reason, answer, now, turn)
}

// CancelTurns ends the turns of a session that are at work, and the queued ones of an execution, or all queued ones
// where the execution is zero.
func CancelTurns(ctx context.Context, q bun.IDB, session, execution uuid.UUID, reason string, now time.Time) error {
	update := q.NewUpdate().Model((*Turn)(nil)).Set("status = 'canceled'").Set("reason = ?", reason).Set("finished_at = ?", now).
		Where("t.session_id = ?", session)
	if execution == uuid.Nil {
		update = update.Where("t.status IN ('queued', 'running')")
	} else {
		update = update.Where("(t.status = 'running' OR (t.status = 'queued' AND t.execution_id = ?))", execution)
	}
	if _, err := update.Exec(ctx); err != nil {
		return fmt.Errorf("cancel turns of session %s: %w", session, err)
	}
	return nil
}

// OwnTurn notes that a turn is a step that Carillon takes itself. It returns ErrLeaseLost, and changes nothing, when the
// lease is no longer good.
func OwnTurn(ctx context.Context, q bun.IDB, lease Lease, turn uuid.UUID) error {
	return leased(ctx, q, lease, "note turn "+turn.String()+" as one of Carillon's", "UPDATE turns t SET own = true FROM held WHERE t.id = ?", turn)
}

// AddTurn queues a message behind a session's last turn. It locks the session, so that two messages that come at once have a
// place each. A message that is there already is left as it is.
func AddTurn(ctx context.Context, tx bun.Tx, t *Turn) error {
	if _, err := tx.NewRaw("SELECT 1 FROM sessions WHERE id = ? FOR NO KEY UPDATE", t.SessionID).Exec(ctx); err != nil {
		return fmt.Errorf("add turn: %w", err)
	}
	if err := tx.NewRaw("SELECT coalesce(max(position), 0) + 1 FROM turns WHERE session_id = ?", t.SessionID).Scan(ctx, &t.Position); err != nil {
		return fmt.Errorf("add turn: %w", err)
	}
	if _, err := tx.NewInsert().Model(t).On("CONFLICT (id) DO NOTHING").Exec(ctx); err != nil {
		return fmt.Errorf("add turn: %w", err)
	}
	return nil
}

// IdleSessions lists open sessions that have done nothing for as many days as their workspace lets them, the longest first,
// other than those that are set aside.
func IdleSessions(ctx context.Context, q bun.IDB, now time.Time, limit int) ([]Session, error) {
	var list []Session
	err := q.NewSelect().Model(&list).Column("id", "title").
		Join("JOIN workspaces w ON w.id = s.workspace_id AND w.idle_days IS NOT NULL").
		Where("s.status = 'waiting'").Where("greatest(s.ended_at, s.reopened_at, s.created_at) < ?::timestamptz - w.idle_days * interval '24 hours'", now).
		Where(awake(TaskIdle, "s.id"), now).OrderExpr("greatest(s.ended_at, s.reopened_at, s.created_at), s.id").Limit(int64(limit)).Scan(ctx)
	return list, wrapped(err, "list idle sessions")
}

// IsIdle reports whether a session is still one of IdleSessions.
func IsIdle(ctx context.Context, q bun.IDB, session uuid.UUID, now time.Time) (bool, error) {
	idle, err := q.NewSelect().Model((*Session)(nil)).Join("JOIN workspaces w ON w.id = s.workspace_id AND w.idle_days IS NOT NULL").
		Where("s.id = ? AND s.status = 'waiting'", session).
		Where("greatest(s.ended_at, s.reopened_at, s.created_at) < ?::timestamptz - w.idle_days * interval '24 hours'", now).Exists(ctx)
	return idle, wrapped(err, "look whether a session is idle")
}

// SessionsToSweep lists closed sessions whose worktree can go: those that are known to be without changes and without ignored
// files, and those closed before a time. They are those that a worker has in its data folder, other than those that are set
// aside.
func SessionsToSweep(ctx context.Context, q bun.IDB, worker string, now, before time.Time, limit int) ([]Session, error) {
	var list []Session
	err := q.NewSelect().Model(&list).Column("id", "title", "workspace_id", "files_changed", "commits", "stashes", "changes_at").
		Where("s.closed_at IS NOT NULL AND s.worktree_removed_at IS NULL").Where("s.worker = ?", worker).
		Where("((NOT "+changed+" AND s.ignored_files = 0 AND s.changes_at IS NOT NULL) OR s.closed_at < ?)", before).
		Where(awake(TaskWorktrees, "s.id"), now).Limit(int64(limit)).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list worktrees to sweep: %w", err)
	}
	return list, nil
}

// SetWorktreeRemoved notes that the worktree of a closed session goes, and reports whether the session is still closed: one
// that was opened again keeps its worktree.
func SetWorktreeRemoved(ctx context.Context, q bun.IDB, session uuid.UUID, now time.Time) (bool, error) {
	res, err := q.NewUpdate().Model((*Session)(nil)).Set("worktree_removed_at = ?", now).
		Where("s.id = ? AND s.closed_at IS NOT NULL", session).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("note that worktree of session %s goes: %w", session, err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// KeepWorktree takes SetWorktreeRemoved back, where removing failed.
func KeepWorktree(ctx context.Context, q bun.IDB, session uuid.UUID) error {
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("worktree_removed_at = NULL").Where("s.id = ?", session).Exec(ctx)
	if err != nil {
		return fmt.Errorf("note that worktree of session %s stays: %w", session, err)
	}
	return nil
}

// KnownSessions tells which of the ids are sessions, with their workspaces.
func KnownSessions(ctx context.Context, q bun.IDB, ids []uuid.UUID) (map[uuid.UUID]uuid.UUID, error) {
	var list []Session
	if err := q.NewSelect().Model(&list).Column("id", "workspace_id").Where("s.id = ANY(?::uuid[])", UUIDs(ids)).Scan(ctx); err != nil {
		return nil, fmt.Errorf("look up sessions: %w", err)
	}
	known := make(map[uuid.UUID]uuid.UUID, len(list))
	for _, s := range list {
		known[s.ID] = s.WorkspaceID
	}
	return known, nil
}

// heldGate is the condition that a loop is held by an open session since before a time, and was not told of yet.
const heldGate = `a.trigger = 'loop' AND a.enabled AND a.next_run_at IS NULL AND a.skip_id IS NULL AND EXISTS (
	SELECT 1 FROM executions e JOIN sessions s ON s.id = e.session_id
	WHERE s.status = 'waiting' AND s.ended_at < ?
	AND e.id = (SELECT x.id FROM executions x WHERE x.automation_id = a.id AND x.source = 'schedule' AND x.session_id IS NOT NULL ORDER BY x.id DESC LIMIT 1))`

// HeldGates lists loops that are held by an open session since before a time and were not told of yet, other than those that
// are set aside.
func HeldGates(ctx context.Context, q bun.IDB, now, before time.Time, limit int) ([]Automation, error) {
	var list []Automation
	err := q.NewSelect().Model(&list).Where(heldGate, before).Where(awake(TaskGates, "a.id"), now).Limit(int64(limit)).Scan(ctx)
	return list, wrapped(err, "list held loops")
}

// LockHeldGate locks one of them, and finds the execution of the session that holds it; nil where it is not held any more, or
// another process deals with it.
func LockHeldGate(ctx context.Context, tx bun.Tx, automation uuid.UUID, before time.Time) (*Startable, *Execution, error) {
	var list []Startable
	err := startables(tx, &list).Where("a.id = ?", automation).Where(heldGate, before).For("NO KEY UPDATE OF a SKIP LOCKED").Scan(ctx)
	if err != nil || len(list) == 0 {
		return nil, nil, wrapped(err, "lock held loop")
	}
	if err := addCreators(ctx, tx, list); err != nil {
		return nil, nil, err
	}
	e, err := LatestScheduled(ctx, tx, automation)
	if err != nil {
		return nil, nil, err
	}
	return &list[0], e, nil
}

// unscheduled is the condition that an enabled automation ought to have a next run and has none: a Recurring, or a Loop or
// One-Time of which nothing is in flight, open or over.
const unscheduled = `a.enabled AND a.next_run_at IS NULL AND (a.trigger = 'recurring' OR (a.trigger IN ('loop', 'one_time')
	AND NOT EXISTS (SELECT 1 FROM executions e WHERE e.automation_id = a.id AND e.status IN ('queued', 'running'))
	AND NOT EXISTS (SELECT 1 FROM sessions s WHERE s.automation_id = a.id AND s.status IN ('queued', 'in_progress', 'waiting'))))`

// Unscheduled lists automations that ought to have a next run and have none, other than those that are set aside.
func Unscheduled(ctx context.Context, q bun.IDB, now time.Time, limit int) ([]Automation, error) {
	var list []Automation
	err := q.NewSelect().Model(&list).Where(unscheduled).Where(awake(TaskWatch, "a.id"), now).Limit(int64(limit)).Scan(ctx)
	return list, wrapped(err, "list unscheduled automations")
}

// LockUnscheduled locks one of them; nil where it has a next run by now, or another process deals with it.
func LockUnscheduled(ctx context.Context, tx bun.Tx, automation uuid.UUID) (*Automation, error) {
	var a Automation
	err := tx.NewSelect().Model(&a).Where("a.id = ?", automation).Where(unscheduled).For("NO KEY UPDATE SKIP LOCKED").Scan(ctx)
	if IsNotFound(err) {
		return nil, nil
	}
	return &a, wrapped(err, "lock unscheduled automation")
}

func wrapped(err error, what string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
