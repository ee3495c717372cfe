package automation

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/db"
)

// audit records what was done to an automation. A zero actor is Carillon itself.
func (s *Service) audit(ctx context.Context, q bun.IDB, actor uuid.UUID, action string, a *db.Automation, reason string) error {
	return db.AddAudit(ctx, q, s.auditLine(actor, action, a, reason))
}

// auditLine is the line of audit.
func (s *Service) auditLine(actor uuid.UUID, action string, a *db.Automation, reason string) db.AuditEvent {
	event := db.AuditEvent{
		ID: db.NewID(), At: s.Now(), ActorID: actor, Action: action, SubjectKind: "automation", SubjectID: a.ID, SubjectName: a.Name,
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
func (s *Service) auditChange(ctx context.Context, q bun.IDB, actor uuid.UUID, action string, before, a *db.Automation) error {
	return db.AddAudit(ctx, q, s.changeLine(actor, action, before, a))
}

// changeLine is the line of auditChange.
func (s *Service) changeLine(actor uuid.UUID, action string, before, a *db.Automation) db.AuditEvent {
	was, is := described(before), described(a)
	maps.DeleteFunc(was, func(key string, v any) bool { return fmt.Sprint(is[key]) == fmt.Sprint(v) })
	maps.DeleteFunc(is, func(key string, _ any) bool { _, changed := was[key]; return !changed })
	return db.AuditEvent{
		ID: db.NewID(), At: s.Now(), ActorID: actor, Action: action, SubjectKind: "automation", SubjectID: a.ID, SubjectName: a.Name,
		WorkspaceID: a.WorkspaceID, Before: was, After: is,
	}
}

// described is what the audit log keeps of an automation.
func described(a *db.Automation) map[string]any {
	m := map[string]any{
		"name": a.Name, "workspace_id": a.WorkspaceID.String(), "creator_id": a.CreatorID.String(), "trigger": string(a.Trigger), "cron": a.Cron,
		"time_zone": a.TimeZone, "run_at": "", "enabled": a.Enabled, "session_type": string(a.SessionType), "execution_type": string(a.ExecutionType),
		"prompt": a.Prompt, "provider": a.Provider, "model": a.Model, "catch_up": a.CatchUp, "allow_parallel": a.AllowParallel,
		"sender": a.Sender, "signature_header": a.SignatureHeader, "append_payload": a.AppendPayload, "filter": FilterText(a.Filter),
		"auto_complete": a.AutoComplete, "only_unchanged": a.OnlyUnchanged, "create_pr": a.CreatePR, "may_automate": a.MayAutomate, "timeout_seconds": a.TimeoutSeconds, "retries": a.Retries,
	}
	m["gate"], m["success"], m["budget"] = a.Gate, a.Success, a.Budget
	maps.Copy(m, map[string]any{
		"base_branch": a.BaseBranch, "max_iterations": a.MaxIterations, "stop_text": a.StopText, "max_parallel": a.MaxParallel, "toggles": a.Toggles, "parameters": shownValues(a.Parameters),
	})
	for name, id := range map[string]uuid.UUID{"workflow_id": a.WorkflowID, "bot_id": a.BotID} {
		if m[name] = ""; id != uuid.Nil {
			m[name] = id.String()
		}
	}
	m["made_by"], m["changed_by"] = a.MadeBy.String(), a.ChangedBy.String() // of a change by a session, all on whose words it acted
	m["signature_secret"] = ""
	if len(a.SignatureSealed) > 0 {
		m["signature_secret"] = storedAs(a.SignatureSealed)
	}
	if !a.RunAt.IsZero() {
		m["run_at"] = a.RunAt.UTC().Format(time.RFC3339)
	}
	return m
}
