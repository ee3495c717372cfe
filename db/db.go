// Package db holds the rows: one file a table or a subject, with models, enumerations and queries, and the
// migrations that make the tables. It knows SQL and nothing else; the rules are in package automation.
package db

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/migrate"

	"carillon/app/crash"
)

// DB is bun over one pool of pgx connections. Pool is the same pool, for LISTEN, which needs a connection of its own.
type DB struct {
	*bun.DB
	Pool *pgxpool.Pool

	soon announcements
}

// MinimumVersion is the oldest major version of PostgreSQL that the migrations run on.
const MinimumVersion = 15

// connectWithin bounds how long a connection may take to come about. A server that drops packets says nothing for ever.
const connectWithin = 10 * time.Second

// Open connects to the PostgreSQL server at url and checks that it answers and is new enough.
func Open(ctx context.Context, url string) (*DB, error) { return OpenTraced(ctx, url, nil) }

// OpenTraced is Open with a tracer, which is told of every statement, also of those that bun does not know of. None is nil.
func OpenTraced(ctx context.Context, url string, tracer pgx.QueryTracer) (*DB, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	// bun writes arguments into the text of a statement, so every statement is new: a statement cache
	// would only add a round trip, and break on live connections when a migration changes a table.
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	config.ConnConfig.Tracer = tracer
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "carillon"
	}
	config.ConnConfig.RuntimeParams["timezone"] = "UTC"
	if config.ConnConfig.ConnectTimeout == 0 || config.ConnConfig.ConnectTimeout > connectWithin {
		config.ConnConfig.ConnectTimeout = connectWithin
	}
	if config.MaxConns < 20 {
		config.MaxConns = 20
	}
	config.MaxConnIdleTime = 5 * time.Minute
	config.AfterConnect = outlastNobody
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	var version int
	if err := pool.QueryRow(ctx, "SELECT current_setting('server_version_num')::int / 10000").Scan(&version); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open database: %w", err)
	}
	if version < MinimumVersion {
		pool.Close()
		return nil, fmt.Errorf("open database: the server is PostgreSQL %d, and Carillon needs %d or later", version, MinimumVersion)
	}
	return &DB{DB: bun.NewDB(stdlib.OpenDBFromPool(pool), ours), Pool: pool}, nil
}

// outlastNobody lets the server end a transaction in which its client has said nothing for as long as a lease lasts. A client that
// is cut off from the server does not end it, and the rows that it has locked would be kept from all others until the system
// gives the connection up, which takes hours. It is no parameter of the start, since poolers refuse those that they do not know.
func outlastNobody(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, fmt.Sprintf("SET idle_in_transaction_session_timeout = %d", LeaseFor.Milliseconds()), pgx.QueryExecModeSimpleProtocol)
	return err
}

// Close ends every connection.
func (d *DB) Close() error {
	d.soon.end()
	err := d.DB.Close()
	d.Pool.Close()
	return err
}

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

// NewID makes an identifier: a UUIDv7, so that newer rows sort after older ones.
func NewID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// IsNotFound reports whether err says that a query for one row found none.
func IsNotFound(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// Conflict returns the name of the constraint that err says was violated by a duplicate, or "".
func Conflict(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "23505" {
		return pgErr.ConstraintName
	}
	return ""
}

// Dangling returns the name of the foreign key that err says names a row that is not there, or "".
func Dangling(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "23503" {
		return pgErr.ConstraintName
	}
	return ""
}

// IsRetriable reports whether err says that the server gave a transaction up because of another one: a deadlock, or a
// serialization failure. The same again succeeds.
func IsRetriable(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == "40P01" || pgErr.Code == "40001")
}

// IsRefused reports whether err says that the server does not take a statement for what it holds: data that it cannot store, a
// constraint, or a bound of its own. The same again is refused again.
func IsRefused(err error) bool {
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || len(pgErr.Code) != 5 {
		return false
	}
	switch pgErr.Code[:2] {
	case "22", "23", "42", "54": // data, integrity, syntax or access, limit exceeded
		return true
	}
	return false
}

// Now is the time of the database, the one clock that all processes share.
func Now(ctx context.Context, q bun.IDB) (time.Time, error) {
	var now time.Time
	if err := q.NewRaw("SELECT clock_timestamp()").Scan(ctx, &now); err != nil {
		return time.Time{}, fmt.Errorf("ask the database for the time: %w", err)
	}
	return now, nil
}

// IsTimeout reports whether a statement was given up since it took longer than it may.
func IsTimeout(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && (refused.Code == "57014" || refused.Code == "55P03") // canceled; a lock was waited for too long
}

// IsAway reports whether err says that the server cannot be reached now, is starting or stopping, or has no room: something
// that passes. A wrong password or a missing database does not, and a statement that was canceled says nothing.
func IsAway(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code[:2] {
		case "57": // operator intervention: starting up, shutting down
			return refused.Code != "57014" // query canceled
		case "08", "53", "58": // broken connections; no room on the disk, in memory or for connections; errors of its machine
			return true
		}
		return refused.Code == "25006" || refused.Code == "25P03" // it only reads: another is about to take its place; the client was silent for too long
	}
	var dial *pgconn.ConnectError
	var broken *net.OpError
	for _, lost := range []error{io.ErrUnexpectedEOF, io.EOF, net.ErrClosed, driver.ErrBadConn, sql.ErrConnDone} {
		if errors.Is(err, lost) {
			return true
		}
	}
	return errors.As(err, &dial) || errors.As(err, &broken) || pgconn.SafeToRetry(err)
}

// orNull makes a zero id an argument that is NULL.
func orNull(id uuid.UUID) any {
	if id == uuid.Nil {
		return nil
	}
	return id
}

func wrapped(err error, what string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
