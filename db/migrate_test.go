package db_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/uptrace/bun"

	"carillon/db"
	"carillon/db/dbtest"
)

// A process may die at any moment of a migration, and the next one goes on.
func TestAMigrationIsAppliedAndNotedTogether(t *testing.T) {
	t.Parallel()
	d := open(t, dbtest.Empty(t))
	exec(t, d, `CREATE TABLE bun_migrations (id bigserial PRIMARY KEY, name varchar, group_id bigint,
			migrated_at timestamptz NOT NULL DEFAULT current_timestamp);
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN RAISE EXCEPTION ''it cannot be noted''; END';
		CREATE TRIGGER refuse BEFORE INSERT ON bun_migrations
			FOR EACH ROW WHEN (NEW.name = '0003') EXECUTE FUNCTION refuse()`)
	if err := db.Migrate(t.Context(), d); err == nil {
		t.Fatal("a migration that could not be noted was none that failed")
	}
	exec(t, d, "DROP TRIGGER refuse ON bun_migrations")
	if err := db.Migrate(t.Context(), d); err != nil {
		t.Errorf("after a migration that could not be noted: %v", err)
	}
	expectMigrated(t, d, true)
}

func TestADatabaseOfFormerMigrationsGoesOnWithAllItsRows(t *testing.T) {
	t.Parallel()
	d := open(t, installation(t))
	expectMigrated(t, d, false)
	former := columns(t, d)
	before := rows(t, d, former)
	for table, text := range before {
		if text == "" {
			t.Errorf("the dump has no row in %s", table)
		}
	}
	if err := db.Migrate(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	expectMigrated(t, d, true)
	after := rows(t, d, former)
	for table, text := range before {
		if after[table] != text {
			t.Errorf("%s has\n%s; want\n%s", table, after[table], text)
		}
	}
	// Also the names of the former migrations: a process of that version may still run.
	var names int
	err := d.NewRaw("SELECT count(*) FROM bun_migrations WHERE name BETWEEN '20261123000001' AND '20261130100077'").
		Scan(t.Context(), &names)
	if err != nil || names != 44 {
		t.Errorf("%d former migrations are noted, %v; want 44", names, err)
	}
	if err := db.Migrate(t.Context(), d); err != nil {
		t.Errorf("the next start: %v", err)
	}
	got, want := schema(t, d), schema(t, dbtest.New(t))
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("a new database does not have\n%s", line)
		}
	}
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("only a new database has\n%s", line)
		}
	}
}

func TestADatabaseWithSomeOfTheFormerMigrationsIsRefused(t *testing.T) {
	t.Parallel()
	d := open(t, installation(t))
	exec(t, d, "DELETE FROM bun_migrations WHERE name >= '20261130100040'")
	for range 2 {
		err := db.Migrate(t.Context(), d)
		if err == nil || !strings.Contains(err.Error(),
			"lacks migration 20261130100040: run carillon migrate of commit ") {
			t.Errorf("it is refused with %v", err)
		}
	}
	expectMigrated(t, d, false)
}

func TestADatabaseOfANewerVersionIsRefused(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	exec(t, d, "INSERT INTO bun_migrations (name, group_id) VALUES ('29990101000001', 99)")
	err := db.Migrate(t.Context(), d)
	if err == nil || !strings.Contains(err.Error(), "of a newer version of Carillon, by migration 29990101000001") {
		t.Errorf("it is refused with %v", err)
	}
	expectMigrated(t, d, true) // a process that serves goes on, until it starts again
}

// installation makes a database from the dump of one that the former migrations made, and returns where it is.
func installation(t *testing.T) string {
	t.Helper()
	dump, err := os.ReadFile("testdata/installation.sql")
	if err != nil {
		t.Fatal(err)
	}
	url := dbtest.Empty(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // nothing is pending
	if _, err := conn.PgConn().Exec(t.Context(), string(dump)).ReadAll(); err != nil {
		t.Fatal(err)
	}
	return url
}

func open(t *testing.T, url string) *db.DB {
	t.Helper()
	d, err := db.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func exec(t *testing.T, d *db.DB, statement string) {
	t.Helper()
	if _, err := d.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func expectMigrated(t *testing.T, d *db.DB, want bool) {
	t.Helper()
	if got, err := db.Migrated(t.Context(), d); err != nil || got != want {
		t.Errorf("all migrations are applied: %v, %v; want %v", got, err, want)
	}
}

// rows are the rows of some tables, with some of their columns, as text in an order of their own.
func rows(t *testing.T, d *db.DB, columns map[string][]string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for table, names := range columns {
		var text string
		err := d.NewRaw(`SELECT coalesce(string_agg(r::text, ' ' ORDER BY r::text), '') FROM (
			SELECT (SELECT jsonb_object_agg(key, value) FROM jsonb_each(to_jsonb(t)) WHERE key IN (?)) AS r
				FROM ? AS t) AS l`, bun.List(names), bun.Ident(table)).Scan(t.Context(), &text)
		if err != nil {
			t.Fatal(err)
		}
		all[table] = text
	}
	return all
}

// columns are the names of the columns of each table that the migrations make.
func columns(t *testing.T, d *db.DB) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, table := range tables(t, d) {
		var names []string
		err := d.NewRaw(`SELECT attname FROM pg_attribute
			WHERE attrelid = ?::regclass AND attnum > 0 AND NOT attisdropped`,
			"public."+table).Scan(t.Context(), &names)
		if err != nil {
			t.Fatal(err)
		}
		all[table] = names
	}
	return all
}

// tables are the names of the tables that the migrations make.
func tables(t *testing.T, d *db.DB) []string {
	t.Helper()
	var list []string
	err := d.NewRaw(`SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename NOT LIKE 'bun%'
		ORDER BY 1`).
		Scan(t.Context(), &list)
	if err != nil || len(list) < 40 {
		t.Fatalf("there are the tables %v, %v", list, err)
	}
	return list
}

// schema is all that a database is made of, a line each: tables with their columns in order, constraints, indexes,
// triggers and functions.
func schema(t *testing.T, d *db.DB) []string {
	t.Helper()
	var list []string
	err := d.NewRaw(`
		SELECT concat_ws(' ', 'relation', c.relkind, c.relname, c.reloptions::text) FROM pg_class c
			WHERE c.relnamespace = 'public'::regnamespace
		UNION ALL SELECT concat_ws(' ', 'column', c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
				CASE WHEN a.attnotnull THEN 'not null'
					END, pg_get_expr(v.adbin, v.adrelid), a.attgenerated, a.attidentity)
			FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
			LEFT JOIN pg_attrdef v ON v.adrelid = a.attrelid AND v.adnum = a.attnum
			WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0
		UNION ALL SELECT concat_ws(' ', 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid))
			FROM pg_constraint
			WHERE connamespace = 'public'::regnamespace
		UNION ALL SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
			WHERE c.relnamespace = 'public'::regnamespace
		UNION ALL SELECT concat_ws(' ', pg_get_triggerdef(g.oid), g.tgenabled) FROM pg_trigger g
			JOIN pg_class c ON c.oid = g.tgrelid WHERE c.relnamespace = 'public'::regnamespace AND NOT g.tgisinternal
		UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
		ORDER BY 1`).Scan(t.Context(), &list)
	if err != nil {
		t.Fatal(err)
	}
	return list
}
