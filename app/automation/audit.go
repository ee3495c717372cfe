package automation

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/payload"
	"carillon/app/secret"
	"carillon/app/spec"
	"carillon/app/workflow"
	"carillon/db"
)

// audit records what was done to an automation. A zero actor is Carillon itself.
func (s *Service) audit(ctx context.Context, q bun.IDB, actor uuid.UUID, action string, a *db.Automation,
	reason string) error {
	return db.AddAudit(ctx, q, s.auditLine(actor, action, a, reason))
}

// auditLine is the line of audit.
func (s *Service) auditLine(actor uuid.UUID, action string, a *db.Automation, reason string) db.AuditEvent {
	event := db.AuditEvent{
		ID: db.NewID(), At: s.Now(), ActorID: actor, Action: action, SubjectKind: "automation", SubjectID: a.ID,
		SubjectName: a.Name,
		WorkspaceID: a.WorkspaceID, Reason: reason,
	}
	switch action {
	case "automation.create":
		event.After = described(a)
	case "automation.delete":
		event.Before = described(a)
	case "automation.enable", "automation.disable":
		event.Before, event.After = map[string]any{"enabled": !a.Enabled}, map[string]any{"enabled": a.Enabled}
	}
	return event
}

// auditChange records an edit with what was there before.
func (s *Service) auditChange(ctx context.Context, q bun.IDB, actor uuid.UUID, action string, before,
	a *db.Automation) error {
	return db.AddAudit(ctx, q, s.changeLine(actor, action, before, a))
}

// changeLine is the line of auditChange.
func (s *Service) changeLine(actor uuid.UUID, action string, before, a *db.Automation) db.AuditEvent {
	was, is := described(before), described(a)
	account.Differences(was, is)
	return db.AuditEvent{
		ID: db.NewID(), At: s.Now(), ActorID: actor, Action: action, SubjectKind: "automation", SubjectID: a.ID,
		SubjectName: a.Name,
		WorkspaceID: a.WorkspaceID, Before: was, After: is,
	}
}

// described is what the audit log keeps of an automation: its spec, whose it is, and fingerprints of its secrets.
func described(a *db.Automation) map[string]any {
	is := Spec(a)
	is.Parameters = workflow.FingerprintSecrets(a.Parameters)
	m := spec.Values(&is)
	delete(m, "id")
	for _, name := range []string{"workspace", "workflow", "bot"} {
		m[name+"_id"] = m[name]
		delete(m, name)
	}
	delete(m, "timeout_minutes")
	m["timeout_seconds"] = a.TimeoutSeconds
	m["filter"] = payload.FilterText(a.Filter)
	m["enabled"] = a.Enabled
	if !a.RunAt.IsZero() {
		m["run_at"] = a.RunAt.UTC().Format(time.RFC3339)
	}
	if len(a.SignatureSealed) > 0 {
		m["signature_secret"] = secret.StoredAs(a.SignatureSealed)
	}
	m["creator_id"] = a.CreatorID.String()
	m["made_by"], m["changed_by"] = a.MadeBy.String(), a.ChangedBy.String() // all on whose words a session acted
	return m
}
