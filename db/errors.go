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

// InUse reports whether err says that a row cannot be deleted because others refer to it. Servers from 18 on tell that
// by a code of its own.
func InUse(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == "23001" || pgErr.Code == "23503")
}

// IsRetriable reports whether err says that the server gave a transaction up because of another one: a deadlock, or a
// serialization failure. The same again succeeds.
func IsRetriable(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == "40P01" || pgErr.Code == "40001")
}

// IsRefused reports whether err says that the server does not take a statement for what it holds: data that it cannot
// store, a constraint, or a bound of its own. The same again is refused again.
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

// IsTimeout reports whether a statement was given up since it took longer than it may.
func IsTimeout(err error) bool {
	var refused *pgconn.PgError
	// canceled; a lock was waited for too long
	return errors.As(err, &refused) && (refused.Code == "57014" || refused.Code == "55P03")
}

// IsAway reports whether err says that the server cannot be reached now, is starting or stopping, or has no room:
// something that passes. A wrong password or a missing database does not, and a statement that was canceled says
// nothing.
func IsAway(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code[:2] {
		case "57": // operator intervention: starting up, shutting down
			return refused.Code != "57014" // query canceled
		// broken connections; no room on the disk, in memory or for connections; errors of its machine
		case "08", "53", "58":
			return true
		}
		// it only reads: another is about to take its place; the client was silent for too long
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

func wrapped(err error, what string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
