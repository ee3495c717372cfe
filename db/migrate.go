package db

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/migrate"

	"carillon/app/crash"
)

// migrationFiles are the migrations: SQL that goes forward only and is not changed after its release. The first ones,
// 0001 to 0012, define the tables, each those of one topic. The later ones are named by a date and a number, as
// 20261231000001_topic.tx.up.sql.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrationLock is the key of the advisory lock that prevents two servers from migrating at once. Unlike a row, the
// lock ends with its connection after a crash.
const migrationLock = 0x0ca7111

// Migrate brings the tables to the newest version. Several servers may call it at once. It refuses a database that
// another version of Carillon has to migrate; the error names this version.
func Migrate(ctx context.Context, d *DB) error {
	migrations := migrate.NewMigrations()
	if err := migrations.Discover(migrationFiles); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	conn, err := d.Pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", migrationLock); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	defer func() {
		// The connection returns to the pool, so the lock must be released even when ctx has ended.
		_, _ = conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", migrationLock)
	}()
	// A migration is recorded in its own transaction. If it were recorded before, a failed one would be skipped next
	// time; if after, a migration would be applied twice when the process dies in between. The migrator records it
	// again, which needs WithUpsert.
	migrator := migrate.NewMigrator(d.DB, migrations,
		migrate.WithMarkAppliedOnSuccess(true), migrate.WithUpsert(true), migrate.AfterMigration(recordMigration))
	if err := migrator.Init(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if err := adoptSquashed(ctx, d, migrations.Sorted()); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if _, err := migrator.Migrate(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// recordMigration records a migration as applied, in the migration's transaction.
func recordMigration(ctx context.Context, tx bun.IConn, m *migrate.Migration) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO bun_migrations (name, group_id, migrated_at) VALUES (?, ?, now()) "+
		"ON CONFLICT (name) DO NOTHING", m.Name, m.GroupID)
	crash.Here(crash.MigrationWritten)
	return err
}

// squashed are the names of the migrations that were in the folder up to lastSquashedCommit. The migrations whose names
// sort before them replace them: they define the same tables by topic.
var squashed = []string{
	"20261123000001", "20261123000002", "20261123000003", "20261123000004", "20261123000005", "20261123000006",
	"20261123000012", "20261123000013", "20261123000014", "20261123000015", "20261123000017", "20261128000001",
	"20261128000002", "20261128000021", "20261128000031", "20261128000041", "20261128000042", "20261128000061",
	"20261129000005", "20261129000015", "20261129000016", "20261129000035", "20261129000036", "20261129000045",
	"20261129000055", "20261129000070", "20261129000071", "20261129000072", "20261129000085", "20261129000090",
	"20261129100001", "20261130000030", "20261130000031", "20261130000032", "20261130000040", "20261130000050",
	"20261130000051", "20261130000052", "20261130000065", "20261130000066", "20261130000075", "20261130000076",
	"20261130100040", "20261130100077",
}

// lastSquashedCommit is the newest commit that has the migrations of squashed.
const lastSquashedCommit = "97fca01"

// adoptSquashed marks the replacing migrations as applied in a database that has all squashed migrations. The names of
// the squashed ones stay, so that a process of the earlier version, which still runs beside this one, finds its
// database unchanged.
//
// It refuses a database that has only some of the squashed migrations: no released version left one, and
// lastSquashedCommit can migrate it. It also refuses a database with an unknown migration, which is of a newer version.
func adoptSquashed(ctx context.Context, d *DB, known migrate.MigrationSlice) error {
	return d.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		var applied []string
		if err := tx.NewRaw("SELECT name FROM bun_migrations ORDER BY name").Scan(ctx, &applied); err != nil {
			return err
		}
		missing := slices.Clone(squashed)
		for _, name := range applied {
			if i := slices.Index(missing, name); i >= 0 {
				missing = slices.Delete(missing, i, i+1)
			} else if !slices.ContainsFunc(known, func(m migrate.Migration) bool { return m.Name == name }) {
				return fmt.Errorf("the database is of a newer version of Carillon, by migration %s: run that version",
					name)
			}
		}
		if len(missing) == len(squashed) { // a new database, or one made by the present migrations
			return nil
		}
		if len(missing) > 0 {
			return fmt.Errorf("the database is too old for this version of Carillon, it lacks migration %s: "+
				"run carillon migrate of commit %s first", missing[0], lastSquashedCommit)
		}
		var adopted []string
		for _, m := range known {
			if m.Name < squashed[0] && !slices.Contains(applied, m.Name) {
				adopted = append(adopted, m.Name)
			}
		}
		_, err := tx.NewRaw(`INSERT INTO bun_migrations (name, group_id, migrated_at)
			SELECT name, (SELECT max(group_id) + 1 FROM bun_migrations), now() FROM unnest(?::text[]) AS name`,
			textArray(adopted)).Exec(ctx)
		return err
	})
}

// Migrated reports whether every migration of this program has been applied.
func Migrated(ctx context.Context, d *DB) (bool, error) {
	migrations := migrate.NewMigrations()
	if err := migrations.Discover(migrationFiles); err != nil {
		return false, fmt.Errorf("read migrations: %w", err)
	}
	list, err := migrate.NewMigrator(d.DB, migrations).MigrationsWithStatus(ctx)
	var missing *pgconn.PgError
	if errors.As(err, &missing) && missing.Code == "42P01" { // without a table of migrations, none was applied
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read migrations: %w", err)
	}
	return len(list.Unapplied()) == 0, nil
}
