package db

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Startable is an automation with all that decides whether it can run.
type Startable struct {
	Automation `bun:",extend"`

	WorkspaceName      string            `bun:"workspace_name,scanonly"`
	WorkspaceRemoved   bool              `bun:"workspace_removed,scanonly"`
	WorkspaceProvider  string            `bun:"workspace_provider,scanonly"`
	WorkspaceModel     string            `bun:"workspace_model,scanonly"`
	CreatorName        string            `bun:"creator_name,scanonly"`
	CreatorInactive    bool              `bun:"creator_inactive,scanonly"`
	CreatorMember      bool              `bun:"creator_member,scanonly"`
	CreatorPermissions []string          `bun:"creator_permissions,array,scanonly"`
	WorkflowName       string            `bun:"workflow_name,scanonly"`
	WorkflowSteps      []Step            `bun:"workflow_steps,type:jsonb,scanonly"`
	WorkflowParameters []Parameter       `bun:"workflow_parameters,type:jsonb,scanonly"`
	BotName            string            `bun:"bot_name,scanonly"`
	BotOff             bool              `bun:"bot_off,scanonly"`
	BotInstructions    string            `bun:"bot_instructions,scanonly"`
	BotProvider        string            `bun:"bot_provider,scanonly"`
	BotModel           string            `bun:"bot_model,scanonly"`
	BotLocks           bool              `bun:"bot_locks,scanonly"`
	BotReadOnly        bool              `bun:"bot_read_only,scanonly"`
	BotTools           []string          `bun:"bot_tools,array,scanonly"`
	WordsBy            PeopleIDs         `bun:"words_by,scanonly"`    // who made and last changed its bot and its workflow
	InFlight           int               `bun:"in_flight,scanonly"`   // executions that have yet to end; of those that are claimed as due, 1 stands for any number
	Spending           *Spending         `bun:"-"`                    // what its budget counts; nil until asked for
	Instructions       map[string]string `bun:"-"`                    // the texts of the session toggles, where it has any
	Connections        int               `bun:"connections,scanonly"` // how many the server allows at once; of those that are claimed as due, 0
	// of those that are claimed as due
	Answered      bool      `bun:"answered,scanonly"`                // of a One-Time: its run_at has a row; of a Recurring: its due time has one, from when the clock was ahead
	AnsweredAhead time.Time `bun:"answered_ahead,nullzero,scanonly"` // of a Recurring: the first later due time that has a row already; zero: none, as ever while the clock was right
	Aside         string    `bun:"aside,scanonly"`                   // why it was set aside until now, in words
}

func startables(q bun.IDB, list *[]Startable) *bun.SelectQuery {
	return q.NewSelect().Model(list).ColumnExpr("?TableColumns").
		ColumnExpr("w.name AS workspace_name, w.removed_at IS NOT NULL AS workspace_removed, w.provider AS workspace_provider, w.model AS workspace_model").
		ColumnExpr("u.name AS creator_name, u.deactivated_at IS NOT NULL AS creator_inactive").
		ColumnExpr("coalesce(b.name, '') AS bot_name, NOT coalesce(b.enabled, true) AS bot_off, coalesce(b.instructions, '') AS bot_instructions, coalesce(b.provider, '') AS bot_provider").
		ColumnExpr("coalesce(b.model, '') AS bot_model, coalesce(b.locks_agent, false) AS bot_locks, coalesce(b.read_only, false) AS bot_read_only, coalesce(b.allowed_tools, '{}') AS bot_tools").
		ColumnExpr("coalesce(wf.name, '') AS workflow_name, wf.steps AS workflow_steps, wf.parameters AS workflow_parameters").
		ColumnExpr("array_remove(ARRAY[b.created_by, b.changed_by, wf.created_by, wf.changed_by], NULL) AS words_by").
		Join("LEFT JOIN workflows AS wf ON wf.id = a.workflow_id").
		Join("JOIN workspaces AS w ON w.id = a.workspace_id").
		Join("JOIN users AS u ON u.id = a.creator_id").
		Join("LEFT JOIN bots AS b ON b.id = a.bot_id")
}

// addCreators completes startable automations with what their creators may do. They are few, however many automations there
// are, so asking for each once is much quicker than for each automation.
func addCreators(ctx context.Context, q bun.IDB, list []Startable) error {
	creators := map[uuid.UUID]bool{}
	var ids []uuid.UUID
	for i := range list {
		if id := list[i].CreatorID; !creators[id] {
			creators[id] = true
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	var rows []struct {
		UserID      uuid.UUID `bun:"user_id"`
		Permissions []string  `bun:"permissions,array"`
		Workspaces  []string  `bun:"workspaces,array"`
	}
	err := q.NewRaw(`SELECT u.id AS user_id,
			coalesce((SELECT array_agg(DISTINCT p) FROM user_roles ur JOIN roles r ON r.id = ur.role_id, unnest(r.permissions) p WHERE ur.user_id = u.id), '{}') AS permissions,
			coalesce((SELECT array_agg(m.workspace_id::text) FROM workspace_members m WHERE m.user_id = u.id), '{}') AS workspaces
		FROM unnest(?::uuid[]) AS u(id)`, UUIDs(ids)).Scan(ctx, &rows)
	if err != nil {
		return fmt.Errorf("read what creators may do: %w", err)
	}
	type rights struct {
		permissions []string
		member      map[string]bool
	}
	byID := make(map[uuid.UUID]rights, len(rows))
	for _, r := range rows {
		known := rights{permissions: r.Permissions, member: make(map[string]bool, len(r.Workspaces))}
		for _, w := range r.Workspaces {
			known.member[w] = true
		}
		byID[r.UserID] = known
	}
	for i := range list {
		a := &list[i]
		known := byID[a.CreatorID]
		a.CreatorPermissions, a.CreatorMember = known.permissions, known.member[a.WorkspaceID.String()]
	}
	return nil
}

// StartableByID finds an automation with all that decides whether it can run, in one round trip.
func StartableByID(ctx context.Context, tx bun.Tx, id uuid.UUID) (*Startable, error) {
	var list []Startable
	q := startables(tx, &list).Where("a.id = $1").
		ColumnExpr("EXISTS (SELECT 1 FROM workspace_members m WHERE m.workspace_id = a.workspace_id AND m.user_id = a.creator_id) AS creator_member").
		ColumnExpr("coalesce((SELECT array_agg(DISTINCT p) FROM user_roles ur JOIN roles r ON r.id = ur.role_id, unnest(r.permissions) p WHERE ur.user_id = a.creator_id), '{}') AS creator_permissions").
		ColumnExpr("(SELECT count(*) FROM executions e WHERE e.automation_id = a.id AND e.status IN ('queued', 'running')) AS in_flight").
		ColumnExpr("current_setting('max_connections')::int AS connections")
	rows, err := prepare(tx).query(ctx, q.String(), id)
	if err == nil {
		err = q.DB().ScanRows(ctx, rows, &list)
	}
	if err != nil {
		return nil, fmt.Errorf("find automation %s to start: %w", id, err)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("find automation %s to start: %w", id, errNoRows)
	}
	return &list[0], nil
}

// ClaimDue locks up to limit automations that are due, the longest due first. Several schedulers may claim at once;
// each automation goes to one.
//
// Two kinds stay: what is set aside, and a Recurring that is to catch up for due times that passed before since, while a run of
// it is in flight, since that run began earlier.
func ClaimDue(ctx context.Context, tx bun.Tx, now, since time.Time, limit int) ([]Startable, error) {
	return claimDue(ctx, tx, now, since, limit, func(sel *bun.SelectQuery) *bun.SelectQuery { return sel.OrderExpr("a.next_run_at, a.id") })
}

// ClaimDueOf is ClaimDue for one automation: it gives none if that is not due, or taken.
func ClaimDueOf(ctx context.Context, tx bun.Tx, now, since time.Time, id uuid.UUID) ([]Startable, error) {
	return claimDue(ctx, tx, now, since, 1, func(sel *bun.SelectQuery) *bun.SelectQuery { return sel.Where("a.id = ?", id) })
}

// hasInFlight is the condition that a run of an automation is in flight.
const hasInFlight = "EXISTS (SELECT 1 FROM executions e WHERE e.automation_id = a.id AND e.status IN ('queued', 'running'))"

func claimDue(ctx context.Context, tx bun.Tx, now, since time.Time, limit int, narrow func(*bun.SelectQuery) *bun.SelectQuery) ([]Startable, error) {
	var list []Startable
	err := narrow(startables(tx, &list).Where("a.enabled AND a.next_run_at <= ?", now)).
		Where(awake(TaskStart, "a.id"), now).
		Where("NOT (a.trigger = 'recurring' AND a.catch_up AND a.next_run_at < ? AND "+hasInFlight+")", since).
		ColumnExpr(hasInFlight + "::int AS in_flight").
		ColumnExpr(`CASE a.trigger
			WHEN 'one_time' THEN EXISTS (SELECT 1 FROM executions e WHERE e.automation_id = a.id AND e.source = 'schedule' AND e.scheduled_for = a.run_at)
			WHEN 'recurring' THEN coalesce((SELECT greatest(e.last_skipped_for, e.scheduled_for) >= a.next_run_at FROM executions e
				WHERE e.automation_id = a.id AND e.source = 'schedule' AND e.scheduled_for <= a.next_run_at ORDER BY e.scheduled_for DESC LIMIT 1), false)
			ELSE false END AS answered`).
		ColumnExpr(`CASE a.trigger WHEN 'recurring' THEN (SELECT min(e.scheduled_for) FROM executions e
			WHERE e.automation_id = a.id AND e.source = 'schedule' AND e.scheduled_for > a.next_run_at) END AS answered_ahead`).
		ColumnExpr("coalesce((SELECT sa.error FROM set_aside sa WHERE sa.task = 'start' AND sa.key = a.id::text), '') AS aside").
		Limit(int64(limit)).For("NO KEY UPDATE OF a SKIP LOCKED").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("claim due automations: %w", err)
	}
	return list, addCreators(ctx, tx, list)
}

// Advance is where an automation stands after one of its due times was dealt with.
type Advance struct {
	ID         uuid.UUID
	Next       time.Time // zero: not due any more
	Iterations int
	SkipID     uuid.UUID // zero: no skip streak goes on
}

// AdvanceAutomations moves schedules on, in one statement.
func AdvanceAutomations(ctx context.Context, q bun.IDB, list []Advance) error {
	if len(list) == 0 {
		return nil
	}
	ids, skips := make([]uuid.UUID, len(list)), make([]string, len(list))
	next, iterations := make([]string, len(list)), make([]int64, len(list))
	for i, a := range list {
		ids[i], iterations[i] = a.ID, int64(a.Iterations)
		if !a.Next.IsZero() {
			next[i] = a.Next.UTC().Format(time.RFC3339Nano)
		}
		if a.SkipID != uuid.Nil {
			skips[i] = a.SkipID.String()
		}
	}
	_, err := q.NewRaw(`UPDATE automations a SET next_run_at = nullif(v.next, '')::timestamptz, iterations = v.iterations, skip_id = nullif(v.skip, '')::uuid
		FROM unnest(?::uuid[], ?::text[], ?::int[], ?::text[]) AS v(id, next, iterations, skip) WHERE a.id = v.id AND a.enabled`,
		UUIDs(ids), textArray(next), intArray(iterations), textArray(skips)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("advance automations: %w", err)
	}
	return nil
}

// InsertExecution writes an execution that has no session: failed to start, skipped, missed. It reports whether it did: a due
// time that has a row already gets no second one, and then nothing may refer to this one.
func InsertExecution(ctx context.Context, q bun.IDB, e *Execution) (bool, error) {
	res, err := q.NewInsert().Model(e).On("CONFLICT DO NOTHING").Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("insert execution: %w", err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// AddSkip counts n more skipped due times, the last of them at a time, in the row of a streak. It reports whether there is
// such a row, and whether it stands for earlier times alone.
func AddSkip(ctx context.Context, q bun.IDB, id uuid.UUID, n int, at time.Time) (bool, error) {
	res, err := q.NewUpdate().Model((*Execution)(nil)).Set("skip_count = skip_count + ?", n).Set("last_skipped_for = ?", at).
		Where("e.id = ?", id).Where("greatest(e.last_skipped_for, e.scheduled_for) < ?", at).Exec(ctx)
	if err != nil {
		return false, fmt.Errorf("count a skip: %w", err)
	}
	rows, err := res.RowsAffected()
	return rows > 0, err
}

// EndSkipStreak lets the next skip of automations begin a new row.
func EndSkipStreak(ctx context.Context, q bun.IDB, automations []uuid.UUID) error {
	_, err := q.NewUpdate().Model((*Automation)(nil)).Set("skip_id = NULL").Where("a.id = ANY(?::uuid[])", UUIDs(automations)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("end skip streak: %w", err)
	}
	return nil
}

// LimitLocks lets each further statement of a transaction fail that waits longer than a time for what another transaction holds.
func LimitLocks(ctx context.Context, tx bun.Tx, most time.Duration) error {
	_, err := tx.NewRaw("SELECT set_config('lock_timeout', ?, true)", strconv.FormatInt(most.Milliseconds(), 10)).Exec(ctx)
	return wrapped(err, "limit the wait for locks")
}

// LockKey holds a lock named by an id until the transaction ends, without touching its row.
func LockKey(ctx context.Context, tx bun.Tx, id uuid.UUID) error {
	return lockKey(ctx, tx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", id)
}

// ShareKey is LockKey for many at once: together they keep out who calls LockKey.
func ShareKey(ctx context.Context, tx bun.Tx, id uuid.UUID) error {
	return lockKey(ctx, tx, "SELECT pg_advisory_xact_lock_shared(hashtextextended($1, 0))", id)
}

func lockKey(ctx context.Context, tx bun.Tx, lock string, id uuid.UUID) error {
	if err := prepare(tx).exec(ctx, lock, id.String()); err != nil {
		return fmt.Errorf("lock %s: %w", id, err)
	}
	return nil
}

// CountInFlight counts the executions of an automation that have yet to end.
func CountInFlight(ctx context.Context, tx bun.Tx, automation uuid.UUID) (int, error) {
	var n int
	err := prepare(tx).row(ctx, "SELECT count(*) FROM executions WHERE automation_id = $1 AND status IN ('queued', 'running')", automation).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count executions in flight: %w", err)
	}
	return n, nil
}

// InTheWay is the oldest execution in flight of an automation.
type InTheWay struct {
	AutomationID uuid.UUID
	ID           uuid.UUID
	SessionID    uuid.UUID
	Count        int // how many are in flight, this one included
}

// OldestInFlight finds, for each automation that has one, its oldest execution in flight.
func OldestInFlight(ctx context.Context, q bun.IDB, automations ...uuid.UUID) (map[uuid.UUID]InTheWay, error) {
	var list []InTheWay
	err := q.NewRaw(`SELECT DISTINCT ON (automation_id) automation_id, id, session_id, count(*) OVER (PARTITION BY automation_id) AS count
		FROM executions WHERE automation_id = ANY(?::uuid[]) AND status IN ('queued', 'running') ORDER BY automation_id, id`,
		UUIDs(automations)).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("list executions in flight: %w", err)
	}
	byID := make(map[uuid.UUID]InTheWay, len(list))
	for _, e := range list {
		byID[e.AutomationID] = e
	}
	return byID, nil
}

// GateStreak finds the row in which a loop's closed gate was counted last, if its schedule did nothing else and no run began
// since: the newest execution before a given one. Zero: there is none.
func GateStreak(ctx context.Context, q bun.IDB, automation, before uuid.UUID) (uuid.UUID, error) {
	var id uuid.UUID
	err := q.NewRaw(`SELECT CASE WHEN e.status = 'skipped' AND e.error_class = 'gate' AND e.source = 'schedule' AND e.session_id IS NULL THEN e.id
			ELSE '00000000-0000-0000-0000-000000000000' END
		FROM executions e WHERE e.automation_id = ? AND e.id < ? AND (e.source = 'schedule' OR e.session_id IS NOT NULL) ORDER BY e.id DESC LIMIT 1`,
		automation, before).Scan(ctx, &id)
	if IsNotFound(err) {
		return uuid.Nil, nil
	}
	return id, wrapped(err, "find the streak of a gate")
}

// ForgetSession removes a session in which nothing was done, with its messages and what they left.
func ForgetSession(ctx context.Context, tx bun.Tx, session uuid.UUID) error {
	_, err := tx.NewDelete().Model((*Session)(nil)).Where("s.id = ?", session).Exec(ctx)
	return wrapped(err, "forget session "+session.String())
}

// DeleteExecution removes an execution that another row stands for.
func DeleteExecution(ctx context.Context, tx bun.Tx, id uuid.UUID) error {
	_, err := tx.NewDelete().Model((*Execution)(nil)).Where("e.id = ?", id).Exec(ctx)
	return wrapped(err, "delete execution "+id.String())
}

// LatestScheduled finds the newest execution of an automation that the schedule started and that has a session.
func LatestScheduled(ctx context.Context, q bun.IDB, automation uuid.UUID) (*Execution, error) {
	var e Execution
	err := q.NewSelect().Model(&e).Where("e.automation_id = ?", automation).Where("e.source = 'schedule'").Where("e.session_id IS NOT NULL").
		OrderExpr("e.id DESC").Limit(1).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("find latest scheduled execution: %w", err)
	}
	return &e, nil
}

// EndExecution writes how an execution ended.
func EndExecution(ctx context.Context, q bun.IDB, e *Execution) error {
	_, err := q.NewUpdate().Model(e).Column("status", "reason", "error_class", "exit_code", "neutral", "answer", "result", "skip_count", "last_skipped_for", "started_at", "finished_at").WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("end execution %s: %w", e.ID, err)
	}
	return nil
}

// SetFailureStreak writes how many failures in a row an automation has.
func SetFailureStreak(ctx context.Context, q bun.IDB, automation uuid.UUID, n int) error {
	if _, err := q.NewUpdate().Model((*Automation)(nil)).Set("failure_streak = ?", n).Where("a.id = ?", automation).Exec(ctx); err != nil {
		return fmt.Errorf("set failure streak: %w", err)
	}
	return nil
}

// SaveSwitch writes whether an automation is enabled, why not, and its schedule with that.
func SaveSwitch(ctx context.Context, q bun.IDB, a *Automation) error {
	_, err := q.NewUpdate().Model(a).
		Column("enabled", "next_run_at", "scheduled_since", "disabled_kind", "disabled_reason", "disabled_at", "failure_streak", "skip_id", "iterations").WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("switch automation %s: %w", a.ID, err)
	}
	return nil
}

// SwitchOff disables automations that are locked, all for one reason; their schedules go with it.
func SwitchOff(ctx context.Context, q bun.IDB, automations []uuid.UUID, kind DisabledKind, reason string, now time.Time) error {
	_, err := q.NewUpdate().Model((*Automation)(nil)).Set("enabled = false").Set("next_run_at = NULL").Set("disabled_kind = ?", kind).
		Set("disabled_reason = ?", reason).Set("disabled_at = ?", now).Where("a.id = ANY(?::uuid[])", UUIDs(automations)).Exec(ctx)
	if err != nil {
		return fmt.Errorf("switch %d automations off: %w", len(automations), err)
	}
	return nil
}

// SetNextRun writes when an automation is due next.
func SetNextRun(ctx context.Context, q bun.IDB, automation uuid.UUID, at time.Time) error {
	_, err := q.NewUpdate().Model((*Automation)(nil)).Set("next_run_at = ?", bun.NullZero(at)).Where("a.id = ?", automation).Exec(ctx)
	if err != nil {
		return fmt.Errorf("schedule automation %s: %w", automation, err)
	}
	return nil
}

// ReleaseSession writes the status of a session that its worker has left.
func ReleaseSession(ctx context.Context, q bun.IDB, s *Session) error {
	s.LeaseUntil, s.CancelRequestedAt, s.InterruptAt = time.Time{}, time.Time{}, time.Time{}
	s.InterruptTurn, s.CancelTurn = uuid.Nil, uuid.Nil
	s.Resumes, s.Outages, s.AtGate = 0, 0, false
	if s.Status != SessionQueued {
		s.QueuedAt = time.Time{}
	}
	_, err := q.NewUpdate().Model(s).
		Column("status", "queued_at", "lease_until", "ended_at", "closed_at", "closed_by", "cancel_requested_at", "interrupt_requested_at",
			"interrupt_turn", "cancel_turn", "resumes", "outages", "at_gate").
		WherePK().Exec(ctx)
	if err != nil {
		return fmt.Errorf("release session %s: %w", s.ID, err)
	}
	return nil
}

// Requeue puts a session into the queue.
func Requeue(ctx context.Context, q bun.IDB, session uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("status = 'queued'").Set("queued_at = ?", now).Set("lease_until = NULL").
		Set("closed_at = NULL").Set("closed_by = NULL").Set("cancel_requested_at = NULL").Set("interrupt_requested_at = NULL").
		Set("cancel_turn = NULL").Set("interrupt_turn = NULL").Where("s.id = ?", session).Exec(ctx)
	if err != nil {
		return fmt.Errorf("queue session %s: %w", session, err)
	}
	return nil
}

// ReopenSession opens a closed session.
func ReopenSession(ctx context.Context, q bun.IDB, session uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("status = 'waiting'").Set("closed_at = NULL").Set("closed_by = NULL").Set("reopened_at = ?", now).
		Where("s.id = ?", session).Where("s.status IN ('done', 'canceled')").Exec(ctx)
	if err != nil {
		return fmt.Errorf("reopen session %s: %w", session, err)
	}
	return nil
}

// RequestCancel asks the worker of a session to end its run, or where no run is in flight the message at work. Who asked first
// stays the one who did.
func RequestCancel(ctx context.Context, q bun.IDB, session, by uuid.UUID, now time.Time) error {
	_, err := q.NewUpdate().Model((*Session)(nil)).Set("cancel_requested_at = coalesce(cancel_requested_at, ?)", now).
		Set("cancel_requested_by = CASE WHEN cancel_requested_at IS NULL THEN ?::uuid ELSE cancel_requested_by END", orNull(by)).
		Set(`cancel_turn = (SELECT t.id FROM turns t WHERE t.session_id = s.id AND t.status = 'running'
			AND NOT EXISTS (SELECT 1 FROM executions e WHERE e.session_id = s.id AND e.status IN ('queued', 'running'))
			ORDER BY t.position DESC LIMIT 1)`).Where("s.id = ?", session).Where("s.status = 'in_progress'").Exec(ctx)
	if err != nil {
		return fmt.Errorf("request cancel of session %s: %w", session, err)
	}
	return nil
}

// HasQueuedTurns reports whether a session has a message waiting for its agent.
func HasQueuedTurns(ctx context.Context, q bun.IDB, session uuid.UUID) (bool, error) {
	return q.NewSelect().Model((*Turn)(nil)).Where("t.session_id = ?", session).Where("t.status = 'queued'").Exists(ctx)
}

// HasRunTurns reports whether a session has messages under way or waiting that a run began with, not a person, or, of one at work,
// has had one at last since its worker took it: the worker ends the message before it ends the work.
func HasRunTurns(ctx context.Context, q bun.IDB, session uuid.UUID) (bool, error) {
	return q.NewSelect().Model((*Turn)(nil)).Join("JOIN sessions AS s ON s.id = t.session_id").Where("t.session_id = ?", session).
		Where(`t.status IN ('queued', 'running') OR s.status = 'in_progress' AND t.finished_at >= s.at_work_since
			AND NOT EXISTS (SELECT 1 FROM turns l WHERE l.session_id = t.session_id AND l.position > t.position AND l.started_at IS NOT NULL)`).
		Where("t.kind <> 'reply'").Exists(ctx)
}

// SetSkip begins a skip streak of an automation with its row.
func SetSkip(ctx context.Context, q bun.IDB, automation, execution uuid.UUID) error {
	if _, err := q.NewUpdate().Model((*Automation)(nil)).Set("skip_id = ?", execution).Where("a.id = ?", automation).Exec(ctx); err != nil {
		return fmt.Errorf("begin skip streak: %w", err)
	}
	return nil
}

// Answered is a recurring automation with the newest due time that a row answers.
type Answered struct {
	Automation `bun:",extend"`

	AnsweredAt time.Time `bun:"answered_at,nullzero,scanonly"`
}

// answeredAt is the newest due time of an automation that a row answers.
const answeredAt = `(SELECT max(greatest(e.last_skipped_for, e.scheduled_for)) FROM
	(SELECT x.last_skipped_for, x.scheduled_for FROM executions x WHERE x.automation_id = a.id AND x.source = 'schedule' ORDER BY x.id DESC LIMIT 5) e) AS answered_at`

// SchedulesToCheck lists up to limit enabled recurring automations after a given one, in the order of their ids. It locks none:
// what it says of each was true together at one instant, and AnsweredOf says what is true now.
func SchedulesToCheck(ctx context.Context, q bun.IDB, now time.Time, after uuid.UUID, limit int) ([]Answered, error) {
	var list []Answered
	err := q.NewSelect().Model(&list).ColumnExpr("?TableColumns").ColumnExpr(answeredAt).
		Where("a.trigger = 'recurring' AND a.enabled AND a.next_run_at IS NOT NULL").Where("a.id > ?", after).
		Where(awake(TaskWatch, "a.id"), now).OrderExpr("a.id").Limit(int64(limit)).Scan(ctx)
	return list, wrapped(err, "list schedules to check")
}

// AnsweredOf finds what SchedulesToCheck lists, of one automation that the transaction has locked before: what was committed
// until then counts.
func AnsweredOf(ctx context.Context, tx bun.Tx, automation uuid.UUID) (*Answered, error) {
	var a Answered
	err := tx.NewSelect().Model(&a).ColumnExpr("?TableColumns").ColumnExpr(answeredAt).Where("a.id = ?", automation).Scan(ctx)
	return &a, wrapped(err, "find the answered due times of automation "+automation.String())
}

// HasAnswer reports whether a row of the schedule answers a due time.
func HasAnswer(ctx context.Context, q bun.IDB, automation uuid.UUID, due time.Time) (bool, error) {
	var has bool
	err := q.NewRaw(`SELECT EXISTS (SELECT 1 FROM executions e WHERE e.automation_id = ? AND e.source = 'schedule'
		AND e.scheduled_for <= ? AND greatest(e.last_skipped_for, e.scheduled_for) >= ?)`, automation, due, due).Scan(ctx, &has)
	return has, wrapped(err, "look for the answer of a due time")
}

// AnsweredTooSoon lists the rows of an automation that stand for due times after now because a clock was ahead: what was missed
// by it, and the runs that caught up for that. What it started or skipped otherwise is answered.
func AnsweredTooSoon(ctx context.Context, tx bun.Tx, automation uuid.UUID, now time.Time) ([]Execution, error) {
	var list []Execution
	err := tx.NewSelect().Model(&list).Where("e.automation_id = ?", automation).Where("e.source = 'schedule' AND e.created_at > ?", now).
		Where("greatest(e.last_skipped_for, e.scheduled_for) > ?", now).
		Where("e.status = 'missed' OR e.mark = ?", CatchUpMark).OrderExpr("e.scheduled_for").Scan(ctx)
	return list, wrapped(err, "list what was answered too soon")
}

// ShortenAnswer lets a row stand for n due times alone, the last of them at a time.
func ShortenAnswer(ctx context.Context, tx bun.Tx, execution uuid.UUID, n int, last time.Time) error {
	_, err := tx.NewUpdate().Model((*Execution)(nil)).Set("last_skipped_for = ?", last).
		Set("skip_count = CASE WHEN e.skip_count = 0 THEN 0 ELSE ? END", n).Where("e.id = ?", execution).Exec(ctx)
	return wrapped(err, "shorten execution "+execution.String())
}

// DropMissed removes a row that says that due times were missed which are yet to come.
func DropMissed(ctx context.Context, tx bun.Tx, execution uuid.UUID) error {
	_, err := tx.NewDelete().Model((*Execution)(nil)).Where("e.id = ?", execution).Where("e.status = 'missed'").Exec(ctx)
	return wrapped(err, "remove execution "+execution.String())
}
