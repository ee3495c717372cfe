package webtest

import (
	"time"

	"github.com/google/uuid"

	"carillon/db"
)

// Event writes a line of the audit log.
func (s *Site) Event(e db.AuditEvent) db.AuditEvent {
	s.T.Helper()
	e.ID, e.SubjectKind = db.NewID(), "thing"
	if e.At.IsZero() {
		e.At = time.Now()
	}
	Check(s.T, db.AddAudit(s.T.Context(), s.Server.DB, e))
	return e
}

// Lines are those of the audit log that somebody caused, the newest first.
func (s *Site) Lines(actor uuid.UUID) []db.AuditEvent {
	s.T.Helper()
	list, err := db.AuditEvents(s.T.Context(), s.Server.DB, db.AuditFilter{Actor: actor, Limit: 100})
	Check(s.T, err)
	return list
}
