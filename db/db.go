// Package db holds the rows: models, enumerations and statements, and the migrations that make the tables. It knows SQL
// and nothing else; the rules are above it.
//
// The model of a table and its statements stand in the file of the table's name. A table that has many has further
// files, named by it and a concept, such as sessions_queue.go. A statement belongs to the table that it writes, or
// whose rows it returns. What belongs to no table stands in a file of its concept, such as errors.go.
//
// Functions take what to ask, a connection or a transaction; those that take a bun.Tx lock something until it ends.
// Where a function finds one row, its error is one of IsNotFound when there is none, unless its comment says that it
// returns nothing then. Conflict tells a duplicate in the error of an insert, Dangling a row that is named and is not
// there. Times are those of the database's clock; a zero time, id or number of a column that may be NULL is NULL.
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

	later pending
}

// MinimumVersion is the oldest major version of PostgreSQL that the migrations run on.
const MinimumVersion = 15

// connectWithin bounds how long a connection may take to come about. A server that drops packets says nothing for ever.
const connectWithin = 10 * time.Second

// Open connects to the PostgreSQL server at url and checks that it answers and is new enough.
func Open(ctx context.Context, url string) (*DB, error) { return OpenTraced(ctx, url, nil) }

// OpenTraced is Open with a tracer, which is told of every statement, also of those that bun does not know of. None is
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
	if config.ConnConfig.ConnectTimeout == 0 || config.ConnConfig.ConnectTimeout > connectWithin {
		config.ConnConfig.ConnectTimeout = connectWithin
	}
	if config.MaxConns < 20 {
		config.MaxConns = 20
	}
	config.MaxConnIdleTime = 5 * time.Minute
	config.AfterConnect = limitIdleTransactions
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

// limitIdleTransactions lets the server end a transaction in which its client has said nothing for as long as a lease
// lasts. A client that is cut off from the server does not end it, and the rows that it has locked would be kept from
// all others until the system gives the connection up, which takes hours. It is no parameter of the start, since
// poolers refuse those that they do not know.
func limitIdleTransactions(ctx context.Context, c *pgx.Conn) error {
	_, err := c.Exec(ctx, fmt.Sprintf("SET idle_in_transaction_session_timeout = %d", LeaseFor.Milliseconds()),
		pgx.QueryExecModeSimpleProtocol)
	return err
}

// Close ends every connection.
func (d *DB) Close() error {
	d.later.end()
	err := d.DB.Close()
	d.Pool.Close()
	return err
}

// NewID makes an identifier: a UUIDv7, so that newer rows sort after older ones.
func NewID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
