package db

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
)

var errNoRows = sql.ErrNoRows

// IsNotFound reports whether err says that a query for one row found none.
func IsNotFound(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// Conflict returns the name of the unique constraint whose violation err reports, or "".
func Conflict(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "23505" {
		return pgErr.ConstraintName
	}
	return ""
}

// MissingReference returns the name of the foreign key whose violation err reports, or "".
func MissingReference(err error) string {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && pgErr.Code == "23503" {
		return pgErr.ConstraintName
	}
	return ""
}

// InUse reports whether err says that a row cannot be deleted because others refer to it. Servers from version 18 on
// have a code of its own for this.
func InUse(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == "23001" || pgErr.Code == "23503")
}

// IsRetriable reports whether err says that the server aborted a transaction because of another one: a deadlock or a
// serialization failure. The same transaction may be tried again.
func IsRetriable(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == "40P01" || pgErr.Code == "40001")
}

// IsRefused reports whether err says that the server refuses the content of a statement: data that it cannot store, a
// violated constraint, or an exceeded limit. The same statement would be refused again.
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

// IsTimeout reports whether err says that a statement exceeded its timeout or the timeout for a lock.
func IsTimeout(err error) bool {
	var refused *pgconn.PgError
	// canceled; timeout for a lock
	return errors.As(err, &refused) && (refused.Code == "57014" || refused.Code == "55P03")
}

// IsUnavailable reports whether err says that the server cannot be reached now, starts or stops, or has no free
// resources. These conditions pass by themselves. A wrong password or a missing database does not pass, and a canceled
// statement says nothing about the server.
func IsUnavailable(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code[:2] {
		case "57": // operator intervention: starting up, shutting down
			return refused.Code != "57014" // query canceled
		// broken connections; no room on the disk, in memory or for connections; errors of its machine
		case "08", "53", "58":
			return true
		}
		// a read-only server, which another is about to replace; a client that was silent for too long
		return refused.Code == "25006" || refused.Code == "25P03"
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

func wrap(err error, what string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
