package db_test

import (
	"testing"

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
