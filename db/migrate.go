package db

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/migrate"

	"carillon/app/crash"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrationLock is the key of the advisory lock that keeps two servers from migrating at once. A lock of
// the connection, unlike a row, cannot be left behind by a crash.
const migrationLock = 0x0ca7111

// Migrate brings the tables to the newest version. Several servers may call it at once.
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
		// The connection goes back to the pool, so the lock must go even when ctx is over.
		_, _ = conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", migrationLock)
	}()
	// That a migration is applied is noted in its own transaction: noted before, a failed one would be skipped next time, and
	// noted after, one of a process that died in between would be applied twice. The migrator notes it again, for which it wants
	// WithUpsert.
	migrator := migrate.NewMigrator(d.DB, migrations, migrate.WithMarkAppliedOnSuccess(true), migrate.WithUpsert(true), migrate.AfterMigration(noteMigration))
	if err := migrator.Init(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if _, err := migrator.Migrate(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// noteMigration notes that a migration is applied, in its transaction.
func noteMigration(ctx context.Context, tx bun.IConn, m *migrate.Migration) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO bun_migrations (name, group_id, migrated_at) VALUES (?, ?, now()) ON CONFLICT (name) DO NOTHING", m.Name, m.GroupID)
	crash.Here(crash.MigrationWritten)
	return err
}

// Migrated reports whether every migration of this program has been applied.
func Migrated(ctx context.Context, d *DB) (bool, error) {
	migrations := migrate.NewMigrations()
	if err := migrations.Discover(migrationFiles); err != nil {
		return false, fmt.Errorf("read migrations: %w", err)
	}
	list, err := migrate.NewMigrator(d.DB, migrations).MigrationsWithStatus(ctx)
	var missing *pgconn.PgError
	if errors.As(err, &missing) && missing.Code == "42P01" { // there is no table of migrations, so none was applied
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read migrations: %w", err)
	}
	return len(list.Unapplied()) == 0, nil
}
