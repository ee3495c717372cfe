package db

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// SessionReport is a report that the agent of a session sent, beside its final answer.
type SessionReport struct {
	bun.BaseModel `bun:"table:session_reports,alias:sr"`

	ID        uuid.UUID     `bun:"id,pk,type:uuid"`
	SessionID uuid.UUID     `bun:"session_id,type:uuid"`
	TicketID  uuid.UUID     `bun:"ticket_id,nullzero,type:uuid"`
	Outcome   ReportOutcome `bun:"outcome"`
	Summary   string        `bun:"summary"`
	CreatedAt time.Time     `bun:"created_at"`
}

// ReportOutcome is the outcome that a session reports.
type ReportOutcome string

// The outcomes that a session may report.
const (
	ReportDone        ReportOutcome = "done"
	ReportNothingToDo ReportOutcome = "nothing_to_do"
	ReportBlocked     ReportOutcome = "blocked"
	ReportFailed      ReportOutcome = "failed"
)

// InsertReport writes a report.
func InsertReport(ctx context.Context, q bun.IDB, r *SessionReport) error {
	if _, err := q.NewInsert().Model(r).Exec(ctx); err != nil {
		return fmt.Errorf("insert report: %w", err)
	}
	return nil
}

// CountReports counts a session's reports since a time; zero: all.
func CountReports(ctx context.Context, q bun.IDB, session uuid.UUID, since time.Time) (int64, error) {
	n, err := q.NewSelect().Model((*SessionReport)(nil)).Where("sr.session_id = ?", session).
		Where("sr.created_at >= ?", since).Count(ctx)
	if err != nil {
		return 0, fmt.Errorf("count reports: %w", err)
	}
	return n, nil
}

// ReportsOf lists a session's newest reports.
func ReportsOf(ctx context.Context, q bun.IDB, session uuid.UUID, limit int) ([]SessionReport, error) {
	return reports(ctx, q, "sr.session_id = ?", session, limit)
}

// ReportsOfTicket lists the newest reports on a ticket.
func ReportsOfTicket(ctx context.Context, q bun.IDB, ticket uuid.UUID, limit int) ([]SessionReport, error) {
	return reports(ctx, q, "sr.ticket_id = ?", ticket, limit)
}

func reports(ctx context.Context, q bun.IDB, where string, id uuid.UUID, limit int) ([]SessionReport, error) {
	var list []SessionReport
	if err := q.NewSelect().Model(&list).Where(where, id).OrderExpr("sr.id DESC").Limit(int64(limit)).
		Scan(ctx); err != nil {
		return nil, fmt.Errorf("list reports: %w", err)
	}
	return list, nil
}
