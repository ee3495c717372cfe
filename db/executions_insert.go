package db

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"
)

// Run is what a start writes: an execution with its session and the turns that the session begins with. Of each, only what
// a start decides is written; the rest is as the tables have it by default.
type Run struct {
	Execution Execution
	Session   Session
	Turns     []Turn
}

// insertRuns writes everything in one round trip, and sends each value once. The executions come first, since the unique
// indexes on them decide; their foreign key waits for the end of the transaction.
const insertRuns = `
WITH given AS (
	SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::text[], $8::boolean[], $9::timestamptz[], $10::timestamptz[],
		$11::integer[], $12::text[], $13::text[], $14::text[], $15::timestamptz[],
		$16::uuid[], $17::uuid[], $18::uuid[], $19::text[], $20::text[], $21::text[], $22::text[], $23::text[], $24::boolean[], $25::text[])
	AS given(id, automation_id, session_id, source, mark, user_id, token_fingerprint, parallel, scheduled_for, last_skipped_for,
		iteration, parameters, unresolved, snapshot, created_at,
		workspace_id, owner_id, bot_id, type, title, provider, model, base_branch, at_gate, people)
), begun AS (
	INSERT INTO executions (id, automation_id, session_id, source, mark, user_id, token_fingerprint, status, parallel, scheduled_for, last_skipped_for,
		iteration, parameters, unresolved, snapshot, created_at)
	SELECT id, automation_id, session_id, source, mark, user_id, token_fingerprint, 'queued', parallel, scheduled_for, last_skipped_for,
		iteration, parameters::jsonb, unresolved::text[], snapshot::jsonb, created_at
	FROM given ON CONFLICT DO NOTHING RETURNING id
), opened AS (
	INSERT INTO sessions (id, workspace_id, automation_id, owner_id, bot_id, type, title, status, provider, model, base_branch, at_gate, people, created_at, queued_at)
	SELECT session_id, workspace_id, automation_id, owner_id, bot_id, type, title, 'queued', provider, model, base_branch, at_gate, people::uuid[], created_at, created_at
	FROM given WHERE id IN (SELECT id FROM begun)
), asked AS (
	INSERT INTO turns (id, session_id, execution_id, position, kind, label, author_id, prompt, status, created_at)
	SELECT id, session_id, execution_id, position, kind, label, author_id, prompt, 'queued', created_at
	FROM unnest($26::uuid[], $27::uuid[], $28::uuid[], $29::integer[], $30::text[], $31::text[], $32::uuid[], $33::text[], $34::timestamptz[])
		AS turn(id, session_id, execution_id, position, kind, label, author_id, prompt, created_at)
	WHERE execution_id IN (SELECT id FROM begun)
)
SELECT id FROM begun`

// InsertRuns writes runs as queued and returns the ids of the executions that the guards let through: a run
// whose automation has one in flight, or whose due time has been answered, is left out, with its session and
// turns.
func InsertRuns(ctx context.Context, tx bun.Tx, runs []Run) (map[uuid.UUID]bool, error) {
	if len(runs) == 0 {
		return nil, nil
	}
	n := len(runs)
	id, automation, session := make(ids, n), make(ids, n), make(ids, n)
	source, mark, fingerprint := make([]string, n), make([]string, n), make([]string, n)
	user, workspace, owner, bot := make(ids, n), make(ids, n), make(ids, n), make(ids, n)
	parallel, gated, iteration := make([]bool, n), make([]bool, n), make([]int32, n)
	scheduled, last, created := make(times, n), make(times, n), make(times, n)
	people := make([]string, n)
	parameters, unresolved, snapshot := make([]string, n), make([]*string, n), make([]string, n)
	kind, title, provider, model, branch := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	var turns turnColumns
	for i := range runs {
		e, s := &runs[i].Execution, &runs[i].Session
		given, err := json.Marshal(e.Parameters)
		if err != nil {
			return nil, fmt.Errorf("insert runs: %w", err)
		}
		as, err := json.Marshal(e.Snapshot)
		if err != nil {
			return nil, fmt.Errorf("insert runs: %w", err)
		}
		id[i], automation[i], session[i], user[i] = idValue(e.ID), idValue(e.AutomationID), idValue(e.SessionID), idValue(e.UserID)
		source[i], mark[i], fingerprint[i], parallel[i], iteration[i] = string(e.Source), string(e.Mark), e.TokenFingerprint, e.Parallel, int32(e.Iteration)
		scheduled[i], last[i], created[i] = timeValue(e.ScheduledFor), timeValue(e.LastSkippedFor), timeValue(e.CreatedAt)
		parameters[i], unresolved[i], snapshot[i] = string(given), arrayOrNull(e.Unresolved), string(as)
		workspace[i], owner[i], bot[i] = idValue(s.WorkspaceID), idValue(s.OwnerID), idValue(s.BotID)
		kind[i], title[i], provider[i], model[i], branch[i] = string(s.Type), s.Title, s.Provider, s.Model, s.BaseBranch
		gated[i], people[i] = s.AtGate, s.People.String()
		for j := range runs[i].Turns {
			turns.add(&runs[i].Turns[j])
		}
	}
	// A plan made for one run would serve a batch badly, so it is kept for single runs alone.
	mode := pgx.QueryExecModeCacheStatement
	if n > 1 {
		mode = pgx.QueryExecModeCacheDescribe
	}
	rows, err := tx.Tx.QueryContext(ctx, insertRuns, mode,
		id, automation, session, source, mark, user, fingerprint, parallel, scheduled, last, iteration, parameters, unresolved, snapshot, created,
		workspace, owner, bot, kind, title, provider, model, branch, gated, people,
		turns.id, turns.session, turns.execution, turns.position, turns.kind, turns.label, turns.author, turns.prompt, turns.created)
	if err != nil {
		return nil, fmt.Errorf("insert runs: %w", err)
	}
	defer rows.Close() //nolint:errcheck // Err tells
	inserted := make(map[uuid.UUID]bool, n)
	for rows.Next() {
		var begun uuid.UUID
		if err := rows.Scan(&begun); err != nil {
			return nil, fmt.Errorf("insert runs: %w", err)
		}
		inserted[begun] = true
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("insert runs: %w", err)
	}
	return inserted, nil
}

// turnColumns are turns, column by column.
type turnColumns struct {
	id, session, execution, author ids
	position                       []int32
	kind, label, prompt            []string
	created                        times
}

func (c *turnColumns) add(t *Turn) {
	c.id, c.session, c.execution = append(c.id, idValue(t.ID)), append(c.session, idValue(t.SessionID)), append(c.execution, idValue(t.ExecutionID))
	c.position, c.kind, c.label = append(c.position, int32(t.Position)), append(c.kind, string(t.Kind)), append(c.label, t.Label)
	c.author, c.prompt, c.created = append(c.author, idValue(t.AuthorID)), append(c.prompt, t.Prompt), append(c.created, timeValue(t.CreatedAt))
}
