package db_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/db"
	"carillon/db/dbtest"
)

// unindexed are the foreign keys that need no index: what they refer to is never removed, or the table has a few rows.
var unindexed = map[string]string{
	"bots.created_by": people, "transfer_offers.to_id": people, "transfer_offers.from_id": people,
	"bots.changed_by": people, "workflows.changed_by": people, "provider_trials.requested_by": people,
	"sessions.cancel_requested_by": people, "sessions.closed_by": people,
	"sessions.interrupt_requested_by": people, "sessions.pr_requested_by": people, "tickets.created_by": people,
	"trigger_tokens.created_by": people,
	"turns.author_id":           people, "workflows.created_by": people, "workspaces.created_by": people,
	"bots.workspace_id": workspaces, "workflows.workspace_id": workspaces,
}

const (
	people     = "people are deactivated, and their rows stay"
	workspaces = "workspaces are marked as removed, and their rows stay"
)

func TestEveryForeignKeyHasAnIndexSoThatRemovingARowReadsNoWholeTable(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	var list []string
	err := d.NewRaw(`SELECT c.conrelid::regclass::text || '.' || a.attname
		FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
		WHERE c.contype = 'f' AND NOT EXISTS (SELECT 1 FROM pg_index i
			WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1])
		ORDER BY 1`).Scan(t.Context(), &list)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range list {
		if unindexed[key] == "" {
			t.Errorf("%s refers to another table and has no index", key)
		}
	}
}

// Each page shows how many sessions are at work.
func TestSessionsAtWorkAreCountedWithoutReadingThoseThatAreClosed(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	exec(t, d, `INSERT INTO users (id, email, name, created_at, updated_at)
			VALUES (gen_random_uuid(), 'ada@example.com', 'Ada', now(), now());
		INSERT INTO workspaces (id, name, default_branch, created_at, updated_at)
			SELECT gen_random_uuid(), 'Workspace ' || n, 'main', now(), now() FROM generate_series(1, 10) n;
		INSERT INTO workspace_members SELECT w.id, u.id FROM workspaces w, users u;
		INSERT INTO sessions (id, workspace_id, owner_id, type, title, status, provider, created_at, closed_at,
			queued_at)
			SELECT gen_random_uuid(), w.id, u.id, 'chat', 'Session', CASE n WHEN 1 THEN 'queued'
				ELSE 'done' END, '', now(),
				CASE WHEN n > 1 THEN now() END, CASE n WHEN 1 THEN now() END
			FROM generate_series(1, 1000) n, workspaces w, users u`)
	exec(t, d, "ANALYZE")
	var user uuid.UUID
	if err := d.NewRaw("SELECT id FROM users").Scan(t.Context(), &user); err != nil {
		t.Fatal(err)
	}
	for name, access := range map[string]db.Access{
		"an administrator": {User: user, All: true, Everywhere: true}, "a member": {User: user, All: true},
	} {
		err := d.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			if n, err := db.CountActiveSessions(ctx, tx, access); err != nil || n != 10 {
				t.Errorf("%s sees %d sessions at work, %v; want 10", name, n, err)
			}
			var read int
			err := tx.NewRaw(`SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
				WHERE relname = 'sessions'`).Scan(ctx, &read)
			if read > 100 {
				t.Errorf("for %s %d of 10000 sessions are read", name, read)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
