package db

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"
)

// Run is what a start writes: an execution, its session and the first turns of the session. Other columns get the
// defaults of the tables.
type Run struct {
	Execution Execution
	Session   Session
	Turns     []Turn
}

// insertRuns writes everything in one round trip, and sends each value once. It inserts the executions first, because
// their unique indexes decide which runs begin; their foreign key is deferred.
const insertRuns = `
WITH given AS (
	SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::text[],
		$8::boolean[], $9::timestamptz[], $10::timestamptz[], $11::integer[], $12::text[], $13::text[], $14::text[],
		$15::timestamptz[],
		$16::uuid[], $17::uuid[], $18::uuid[], $19::text[], $20::text[], $21::text[], $22::text[], $23::text[],
		$24::boolean[], $25::text[])
	AS given(id, automation_id, session_id, source, mark, user_id, token_fingerprint, parallel, scheduled_for,
		last_skipped_for, iteration, parameters, unresolved, snapshot, created_at,
		workspace_id, owner_id, bot_id, type, title, provider, model, base_branch, at_gate, people)
), begun AS (
	INSERT INTO executions (id, automation_id, session_id, source, mark, user_id, token_fingerprint, status, parallel,
		scheduled_for, last_skipped_for, iteration, parameters, unresolved, snapshot, created_at)
	SELECT id, automation_id, session_id, source, mark, user_id, token_fingerprint, 'queued', parallel, scheduled_for,
		last_skipped_for, iteration, parameters::jsonb, unresolved::text[], snapshot::jsonb, created_at
	FROM given ON CONFLICT DO NOTHING RETURNING id
), opened AS (
	INSERT INTO sessions (id, workspace_id, automation_id, owner_id, bot_id, type, title, status, provider, model,
		base_branch, at_gate, people, created_at, queued_at)
	SELECT session_id, workspace_id, automation_id, owner_id, bot_id, type, title, 'queued', provider, model,
		base_branch, at_gate, people::uuid[], created_at, created_at
	FROM given WHERE id IN (SELECT id FROM begun)
), asked AS (
	INSERT INTO turns (id, session_id, execution_id, position, kind, label, author_id, prompt, status, created_at)
	SELECT id, session_id, execution_id, position, kind, label, author_id, prompt, 'queued', created_at
	FROM unnest($26::uuid[], $27::uuid[], $28::uuid[], $29::integer[], $30::text[], $31::text[], $32::uuid[],
		$33::text[], $34::timestamptz[])
		AS turn(id, session_id, execution_id, position, kind, label, author_id, prompt, created_at)
	WHERE execution_id IN (SELECT id FROM begun)
)
SELECT id FROM begun`

// InsertRuns writes runs as queued and returns the ids of the executions that it has written. It leaves out a run, with
// its session and turns, if the unique indexes refuse it: the automation has a run in flight, or the due time has a
// row.
func InsertRuns(ctx context.Context, tx bun.Tx, runs []Run) (map[uuid.UUID]bool, error) {
	if len(runs) == 0 {
		return nil, nil
	}
	var begun runColumns
	var turns turnColumns
	for i := range runs {
		if err := begun.add(&runs[i].Execution, &runs[i].Session); err != nil {
			return nil, fmt.Errorf("insert runs: %w", err)
		}
		for j := range runs[i].Turns {
			turns.add(&runs[i].Turns[j])
		}
	}
	// A cached plan for one run is bad for a batch, so only the plan for single runs is cached.
	mode := pgx.QueryExecModeCacheStatement
	if len(runs) > 1 {
		mode = pgx.QueryExecModeCacheDescribe
	}
	arguments := slices.Concat([]any{mode}, begun.arguments(), turns.arguments())
	rows, err := tx.Tx.QueryContext(ctx, insertRuns, arguments...)
	if err != nil {
		return nil, fmt.Errorf("insert runs: %w", err)
	}
	defer rows.Close() //nolint:errcheck // Err reports it
	inserted := make(map[uuid.UUID]bool, len(runs))
	for rows.Next() {
		var id uuid.UUID
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("insert runs: %w", err)
		}
		inserted[id] = true
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("insert runs: %w", err)
	}
	return inserted, nil
}

// runColumns has executions with their sessions, column by column.
type runColumns struct {
	id, automation, session, user   ids
	source, mark, fingerprint       []string
	parallel                        []bool
	scheduled, lastSkipped, created times
	iteration                       []int32
	parameters, snapshot            []string
	unresolved                      []*string
	workspace, owner, bot           ids
	kind, title                     []string
	provider, model, branch         []string
	atGate                          []bool
	people                          []string
}

func (c *runColumns) add(e *Execution, s *Session) error {
	parameters, err := json.Marshal(e.Parameters)
	if err != nil {
		return err
	}
	snapshot, err := json.Marshal(e.Snapshot)
	if err != nil {
		return err
	}
	c.id = append(c.id, idValue(e.ID))
	c.automation = append(c.automation, idValue(e.AutomationID))
	c.session = append(c.session, idValue(e.SessionID))
	c.user = append(c.user, idValue(e.UserID))
	c.source = append(c.source, string(e.Source))
	c.mark = append(c.mark, string(e.Mark))
	c.fingerprint = append(c.fingerprint, e.TokenFingerprint)
	c.parallel = append(c.parallel, e.Parallel)
	c.scheduled = append(c.scheduled, timeValue(e.ScheduledFor))
	c.lastSkipped = append(c.lastSkipped, timeValue(e.LastSkippedFor))
	c.created = append(c.created, timeValue(e.CreatedAt))
	c.iteration = append(c.iteration, int32(e.Iteration))
	c.parameters = append(c.parameters, string(parameters))
	c.snapshot = append(c.snapshot, string(snapshot))
	c.unresolved = append(c.unresolved, arrayOrNull(e.Unresolved))
	c.workspace = append(c.workspace, idValue(s.WorkspaceID))
	c.owner = append(c.owner, idValue(s.OwnerID))
	c.bot = append(c.bot, idValue(s.BotID))
	c.kind = append(c.kind, string(s.Type))
	c.title = append(c.title, s.Title)
	c.provider = append(c.provider, s.Provider)
	c.model = append(c.model, s.Model)
	c.branch = append(c.branch, s.BaseBranch)
	c.atGate = append(c.atGate, s.AtGate)
	c.people = append(c.people, s.People.String())
	return nil
}

// arguments are the columns in the order of insertRuns.
func (c *runColumns) arguments() []any {
	return []any{
		c.id, c.automation, c.session, c.source, c.mark, c.user, c.fingerprint, c.parallel, c.scheduled, c.lastSkipped,
		c.iteration, c.parameters, c.unresolved, c.snapshot, c.created,
		c.workspace, c.owner, c.bot, c.kind, c.title, c.provider, c.model, c.branch, c.atGate, c.people,
	}
}

// turnColumns are turns, column by column.
type turnColumns struct {
	id, session, execution, author ids
	position                       []int32
	kind, label, prompt            []string
	created                        times
}

func (c *turnColumns) add(t *Turn) {
	c.id = append(c.id, idValue(t.ID))
	c.session = append(c.session, idValue(t.SessionID))
	c.execution = append(c.execution, idValue(t.ExecutionID))
	c.position = append(c.position, int32(t.Position))
	c.kind = append(c.kind, string(t.Kind))
	c.label = append(c.label, t.Label)
	c.author = append(c.author, idValue(t.AuthorID))
	c.prompt = append(c.prompt, t.Prompt)
	c.created = append(c.created, timeValue(t.CreatedAt))
}

// arguments are the columns in the order of insertRuns.
func (c *turnColumns) arguments() []any {
	return []any{c.id, c.session, c.execution, c.position, c.kind, c.label, c.author, c.prompt, c.created}
}
