package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// Usage is what one or several turns used. A turn without a report of its agent counts in Turns alone: its usage is
// unknown, not zero.
type Usage struct {
	Turns        int     `bun:"turns"`
	Counted      int     `bun:"counted"` // turns whose tokens are known
	Priced       int     `bun:"priced"`  // turns whose price is known
	TokensIn     int64   `bun:"tokens_in"`
	TokensCached int64   `bun:"tokens_cached"`
	TokensOut    int64   `bun:"tokens_out"`
	CostUSD      float64 `bun:"cost_usd"`
}

// Tokens is the number of known tokens, with those read from a cache.
func (u Usage) Tokens() int64 { return u.TokensIn + u.TokensCached + u.TokensOut }

// TurnUsage is the usage that an agent reported for one turn.
type TurnUsage struct {
	Conversation string  `bun:"conversation"` // the agent's own id
	Counted      bool    `bun:"counted"`
	Priced       bool    `bun:"priced"`
	TokensIn     int64   `bun:"tokens_in"`
	TokensCached int64   `bun:"tokens_cached"`
	TokensOut    int64   `bun:"tokens_out"`
	CostUSD      float64 `bun:"cost_usd"`
}

// AddUsage writes the usage of a turn, in place of an earlier one, and updates the sums of its execution. It returns
// ErrLeaseLost and changes nothing when the lease is not valid any more.
func AddUsage(ctx context.Context, d *DB, lease Lease, turn uuid.UUID, u TurnUsage) error {
	err := d.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := CheckLease(ctx, tx, lease); err != nil {
			return err
		}
		var execution uuid.NullUUID
		err := tx.NewRaw(`UPDATE turns SET conversation = ?, counted = ?, priced = ?, tokens_in = ?, tokens_cached = ?,
			tokens_out = ?, cost_usd = ? WHERE id = ? RETURNING execution_id`,
			u.Conversation, u.Counted, u.Priced, u.TokensIn, u.TokensCached, u.TokensOut, u.CostUSD, turn).
			Scan(ctx, &execution)
		if err != nil || !execution.Valid {
			return err
		}
		return sumUsage(ctx, tx, "id", execution.UUID)
	})
	return wrap(err, "write the usage of turn "+turn.String())
}

// SumUsage updates the usage sums of a session's execution, if there is one.
func SumUsage(ctx context.Context, q bun.IDB, session uuid.UUID) error {
	return wrap(sumUsage(ctx, q, "session_id", session), "sum up usage of the run of session "+session.String())
}

func sumUsage(ctx context.Context, q bun.IDB, by string, id uuid.UUID) error {
	_, err := q.NewRaw(`UPDATE executions e SET turns = s.turns, counted = s.counted, priced = s.priced,
			tokens_in = s.tokens_in, tokens_cached = s.tokens_cached, tokens_out = s.tokens_out, cost_usd = s.cost_usd
		FROM executions x CROSS JOIN LATERAL (
			SELECT count(*) AS turns, `+usageSums+` FROM turns t
				WHERE t.execution_id = x.id AND t.started_at IS NOT NULL AND NOT t.own
		) s WHERE x.? = ? AND e.id = x.id`, bun.Ident(by), id).Exec(ctx)
	return err
}

// usageSums is SQL that sums up turns with the table alias t.
const usageSums = `count(*) FILTER (WHERE t.counted) AS counted, count(*) FILTER (WHERE t.priced) AS priced,
	coalesce(sum(t.tokens_in), 0) AS tokens_in, coalesce(sum(t.tokens_cached), 0) AS tokens_cached,
	coalesce(sum(t.tokens_out), 0) AS tokens_out, coalesce(sum(t.cost_usd), 0) AS cost_usd`

// SessionUsage sums up the ended turns of a session, also those of people's replies.
func SessionUsage(ctx context.Context, q bun.IDB, session uuid.UUID) (Usage, error) {
	var u Usage
	err := q.NewRaw("SELECT count(*) AS turns, "+usageSums+` FROM turns t
		WHERE t.session_id = ? AND t.started_at IS NOT NULL AND t.finished_at IS NOT NULL AND NOT t.own`, session).
		Scan(ctx, &u)
	return u, wrap(err, "sum up usage of session "+session.String())
}

// ConversationUsage sums up what a conversation of a session's agent has used.
func ConversationUsage(ctx context.Context, q bun.IDB, session uuid.UUID, conversation string) (Usage, error) {
	var u Usage
	err := q.NewRaw("SELECT count(*) AS turns, "+usageSums+` FROM turns t
		WHERE t.session_id = ? AND t.conversation = ? AND t.conversation <> ''`,
		session, conversation).Scan(ctx, &u)
	return u, wrap(err, "sum up usage of a conversation")
}

// UsageRow is the usage of one automation, person or workspace in a period.
type UsageRow struct {
	Usage

	By      string    `bun:"by_what"` // automation, person, workspace or total
	ID      uuid.UUID `bun:"id,nullzero,type:uuid"`
	Name    string    `bun:"name"` // empty: deleted, or of no automation
	Seconds float64   `bun:"seconds"`
}

// UsageBetween sums up the turns that ended in a period, by automation, by person and by workspace, the most expensive
// first, with one row for the total. The person is the author of the message, or else the owner of the session. Each
// grouping has at most limit rows. Turns of the providers in scripts count in Seconds and not in Turns.
func UsageBetween(
	ctx context.Context, q bun.IDB, access Access, from, to time.Time, scripts []string, limit int,
) ([]UsageRow, error) {
	sel := q.NewSelect().TableExpr("turns AS t").Join("JOIN sessions AS s ON s.id = t.session_id").
		ColumnExpr("grouping(s.automation_id, coalesce(t.author_id, s.owner_id), s.workspace_id) AS which").
		ColumnExpr("coalesce(s.automation_id, coalesce(t.author_id, s.owner_id), s.workspace_id) AS id").
		ColumnExpr("count(*) FILTER (WHERE s.provider <> ALL(?)) AS turns, "+usageSums, textArray(scripts)).
		ColumnExpr("coalesce(sum(extract(epoch FROM t.finished_at - t.started_at)), 0)::float8 AS seconds").
		Where("t.finished_at >= ? AND t.finished_at < ?", from, to).Where("t.started_at IS NOT NULL AND NOT t.own").
		GroupExpr("GROUPING SETS ((s.automation_id), (coalesce(t.author_id, s.owner_id)), (s.workspace_id), ())")
	sel = sessionAccess(sel, access)
	var list []UsageRow
	err := q.NewRaw(`WITH used AS (?), ranked AS (
			SELECT *, CASE which WHEN 3 THEN 'automation' WHEN 5 THEN 'person' WHEN 6 THEN 'workspace'
				ELSE 'total' END AS by_what,
				row_number() OVER (PARTITION BY which
					ORDER BY cost_usd DESC, tokens_in + tokens_cached + tokens_out DESC, seconds DESC) AS place
			FROM used
		) SELECT r.by_what, r.id, coalesce(a.name, u.name, w.name, '') AS name, r.turns, r.counted, r.priced,
			r.tokens_in, r.tokens_cached, r.tokens_out, r.cost_usd, r.seconds
		FROM ranked r LEFT JOIN automations a ON r.by_what = 'automation' AND a.id = r.id
			LEFT JOIN users u ON r.by_what = 'person' AND u.id = r.id
			LEFT JOIN workspaces w ON r.by_what = 'workspace' AND w.id = r.id
		WHERE r.place <= ? ORDER BY r.by_what, r.place`, sel, limit).Scan(ctx, &list)
	if err != nil {
		return nil, fmt.Errorf("sum up usage: %w", err)
	}
	return list, nil
}

// Period selects the runs of an automation that began since two times.
type Period struct {
	Automation uuid.UUID
	Day, Month time.Time // beginnings of the day and of the month
}

// Spent is what the runs of an automation used.
type Spent struct {
	Usage
	Minutes float64 `bun:"minutes"` // with those of runs under way, until now
}

// Spending is what an automation used in a day and a month.
type Spending struct {
	Day, Month Spent
	// Stopped is the newest execution of the automation's schedule if it was skipped because the budget was used up, no
	// run began since and the schedule did not begin again. The next such due time is counted in this row. A refused
	// start by a person or a call has a row of its own.
	Stopped uuid.UUID
}

// SpendingOf sums up what automations used, in one query.
func SpendingOf(ctx context.Context, q bun.IDB, list []Period, now time.Time) (map[uuid.UUID]Spending, error) {
	if len(list) == 0 {
		return nil, nil
	}
	ids, days, months := make([]uuid.UUID, len(list)), make([]string, len(list)), make([]string, len(list))
	for i, p := range list {
		ids[i] = p.Automation
		days[i] = p.Day.UTC().Format(time.RFC3339Nano)
		months[i] = p.Month.UTC().Format(time.RFC3339Nano)
	}
	var rows []struct {
		Spent
		ID        uuid.UUID `bun:"automation_id,type:uuid"`
		Today     bool      `bun:"today"`
		StoppedBy uuid.UUID `bun:"stopped,nullzero,type:uuid"`
	}
	err := q.NewRaw(`SELECT v.id AS automation_id, d.today, coalesce(sum(e.turns), 0) AS turns,
			coalesce(sum(e.counted), 0) AS counted, coalesce(sum(e.priced), 0) AS priced,
			coalesce(sum(e.tokens_in), 0) AS tokens_in, coalesce(sum(e.tokens_cached), 0) AS tokens_cached,
			coalesce(sum(e.tokens_out), 0) AS tokens_out, coalesce(sum(e.cost_usd), 0) AS cost_usd,
			coalesce(sum(extract(epoch FROM coalesce(e.finished_at, ?) - e.started_at)), 0)::float8 / 60 AS minutes,
			(SELECT CASE WHEN n.status = 'skipped' AND n.error_class = 'budget'
					AND n.created_at >= coalesce((SELECT a.scheduled_since FROM automations a
						WHERE a.id = v.id), '-infinity') THEN n.id END
				FROM executions n WHERE n.automation_id = v.id AND (n.source = 'schedule' OR n.session_id IS NOT NULL)
					ORDER BY n.id DESC LIMIT 1) AS stopped
		FROM unnest(?::uuid[], ?::timestamptz[], ?::timestamptz[]) AS v(id, day, month)
		CROSS JOIN (VALUES (true), (false)) AS d(today)
		LEFT JOIN executions e ON e.automation_id = v.id AND e.created_at >= CASE WHEN d.today THEN v.day
			ELSE v.month END
			AND e.started_at IS NOT NULL AND e.session_id IS NOT NULL
		GROUP BY v.id, d.today`, now, UUIDs(ids), textArray(days), textArray(months)).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("sum up what automations used: %w", err)
	}
	byID := make(map[uuid.UUID]Spending, len(list))
	for _, r := range rows {
		s := byID[r.ID]
		s.Stopped = r.StoppedBy
		if r.Today {
			s.Day = r.Spent
		} else {
			s.Month = r.Spent
		}
		byID[r.ID] = s
	}
	return byID, nil
}
