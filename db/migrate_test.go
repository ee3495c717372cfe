package db_test

import (
	"testing"

	"carillon/db"
	"carillon/db/dbtest"
)

// A process may die at any moment of a migration, and the next one goes on.
func TestAMigrationIsAppliedAndNotedTogether(t *testing.T) {
	t.Parallel()
	d, err := db.Open(t.Context(), dbtest.Empty(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	exec := func(statement string) {
		t.Helper()
		if _, err := d.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TABLE bun_migrations (id bigserial PRIMARY KEY, name varchar, group_id bigint, migrated_at timestamptz NOT NULL DEFAULT current_timestamp);
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''it cannot be noted''; END';
		CREATE TRIGGER refuse BEFORE INSERT ON bun_migrations FOR EACH ROW WHEN (NEW.name = '20261123000003') EXECUTE FUNCTION refuse()`)
	if err := db.Migrate(t.Context(), d); err == nil {
		t.Fatal("a migration that could not be noted was none that failed")
	}
	exec("DROP TRIGGER refuse ON bun_migrations")
	if err := db.Migrate(t.Context(), d); err != nil {
		t.Errorf("after a migration that could not be noted: %v", err)
	}
	if done, err := db.Migrated(t.Context(), d); err != nil || !done {
		t.Errorf("all migrations are applied: %v, %v", done, err)
	}
}
