package account

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/fault"
	"carillon/db"
)

// Audit lists lines of the audit log, the newest first: those of the actor's workspaces and those without a workspace;
// for an administrator all lines. It returns fault.ErrForbidden without audit.view.
func (s *Service) Audit(ctx context.Context, actor Actor, f db.AuditFilter) ([]db.AuditEvent, error) {
	if !actor.Can(ViewAudit) {
		return nil, fault.ErrForbidden
	}
	f.Member = uuid.Nil
	if !actor.Can(Admin) {
		f.Member = actor.ID
	}
	return db.AuditEvents(ctx, s.DB, f)
}

// exportBatch is how many lines of an export are in memory at once.
const exportBatch = 500

// ExportAudit passes the lines of Audit to write in batches, until there are no more or write fails.
func (s *Service) ExportAudit(ctx context.Context, actor Actor, f db.AuditFilter,
	write func([]db.AuditEvent) error) error {
	f.Limit, f.After, f.Before = exportBatch, uuid.Nil, uuid.Nil
	for {
		list, err := s.Audit(ctx, actor, f)
		if err != nil {
			return err
		}
		if err := write(list); err != nil {
			return err
		}
		if len(list) < f.Limit {
			return nil
		}
		f.Before = list[len(list)-1].ID
	}
}

// AuditActions lists the actions that occur in the audit log. It returns fault.ErrForbidden without audit.view.
func (s *Service) AuditActions(ctx context.Context, actor Actor) ([]string, error) {
	if !actor.Can(ViewAudit) {
		return nil, fault.ErrForbidden
	}
	return db.AuditActions(ctx, s.DB)
}

// Record writes a line of the audit log at an instant. The rules of each package describe their own subjects.
func Record(ctx context.Context, q bun.IDB, at time.Time, line db.AuditEvent) error {
	line.ID, line.At = db.NewID(), at
	return db.AddAudit(ctx, q, line)
}

// Differences removes equal values from two descriptions of a subject. It reports whether any value is left.
func Differences(before, after map[string]any) bool {
	maps.DeleteFunc(before, func(key string, v any) bool { return fmt.Sprint(after[key]) == fmt.Sprint(v) })
	maps.DeleteFunc(after, func(key string, _ any) bool { _, changed := before[key]; return !changed })
	return len(after) > 0
}
