// Package db has the models of the tables, their enumerations and statements, and the migrations. It has no rules; they
// are in the packages above it.
//
// The model of a table and its statements stand in the file of the table's name. A table that has many has further
// files, named by it and a concept, such as sessions_queue.go. A statement belongs to the table that it writes, or
// whose rows it returns. What belongs to no table stands in a file of its concept, such as errors.go.
//
// Functions take a connection or a transaction. A function that takes a bun.Tx locks something until the transaction
// ends. A function that finds one row returns an error of IsNotFound when there is none, unless its comment says that
// it returns nothing then. Conflict recognizes a duplicate in the error of an insert, and MissingReference a reference
// to a row that does not exist. Times are of the database's clock. A zero time, id or number of a column that may be
// NULL is NULL.
package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
)

// DB is bun over one pool of pgx connections. Pool is the same pool, for LISTEN, which needs a connection of its own.
type DB struct {
	*bun.DB
	Pool *pgxpool.Pool

	notifications notifyQueue
}

// MinimumVersion is the oldest major version of PostgreSQL that the migrations run on.
const MinimumVersion = 15

// connectTimeout bounds the time to connect. A server that drops packets would never answer.
const connectTimeout = 10 * time.Second

// Open connects to the PostgreSQL server at url and checks that it answers and is new enough.
func Open(ctx context.Context, url string) (*DB, error) { return OpenTraced(ctx, url, nil) }

// OpenTraced is Open with a tracer for every statement, also for those that do not go through bun. The tracer may be
// nil.
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
	if config.ConnConfig.ConnectTimeout == 0 || config.ConnConfig.ConnectTimeout > connectTimeout {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	if config.MaxConns < 20 {
		config.MaxConns = 20
	}
	config.MaxConnIdleTime = 5 * time.Minute
	config.AfterConnect = setIdleTimeout
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	var version int
	if err := pool.QueryRow(ctx, "SELECT current_setting('server_version_num')::int / 10000").
		Scan(&version); err != nil {
		pool.Close()
		return nil, fmt.Errorf("open database: %w", err)
	}
	if version < MinimumVersion {
		pool.Close()
		return nil, fmt.Errorf("open database: the server is PostgreSQL %d, and Carillon needs %d or later", version,
			MinimumVersion)
	}
	return &DB{DB: bun.NewDB(stdlib.OpenDBFromPool(pool), sharedDialect), Pool: pool}, nil
}

// setIdleTimeout makes the server end a transaction whose client has sent nothing for as long as a lease lasts. A
// client that loses its connection does not end its transaction, and its locks would block others until the system
// closes the connection, which takes hours. The setting is not a parameter of the connection, because poolers refuse
// parameters that they do not know.
func setIdleTimeout(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, fmt.Sprintf("SET idle_in_transaction_session_timeout = %d", LeaseFor.Milliseconds()),
		pgx.QueryExecModeSimpleProtocol)
	return err
}

// Close ends every connection.
func (d *DB) Close() error {
	d.notifications.end()
	err := d.DB.Close()
	d.Pool.Close()
	return err
}

// NewID makes an identifier: a UUIDv7, so that newer rows sort after older ones.
func NewID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
