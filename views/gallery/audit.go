package gallery

import (
	"time"

	"carillon/views"
)

func auditSpecimens() []Specimen {
	page := peoplePage()
	audit := views.AuditPage{
		Now: now, Person: views.Field{
			Name: "person", Label: "Person", Value: "u1", Options: []views.Choice{{Value: "u1", Label: "Mira Okafor"}},
		},
		Action: views.Field{Name: "action", Label: "Action",
			Options: []views.Choice{{Value: "user", Label: "user: everything"},
				{Value: "user.set_roles", Label: "user.set_roles"}}},
		Workspace: views.Field{
			Name: "workspace", Label: "Workspace", Options: []views.Choice{{Value: "w1", Label: "payments-api"}},
		},
		From: views.Field{Name: "from", Label: "From", Value: "2026-11-01"}, To: views.Field{Name: "to", Label: "To"},
		Filtered: true, Subject: "u2", SubjectName: "Jonas Weiß",
		Rows: sampleAudit(), Pager: views.Pager{Older: "?before=x"}, JSON: views.AuditURL() + "/export/ndjson?",
		CSV: views.AuditURL() + "/export/csv?",
	}
	empty := audit
	empty.Rows = nil
	empty.Pager = views.Pager{}
	empty.Filtered = false
	empty.Subject = ""
	return []Specimen{
		{Name: "page-audit", Page: views.Audit(page, audit)},
		{Name: "page-audit-empty", Page: views.Audit(page, empty)},
	}
}

func sampleAudit() []views.AuditItem {
	mira := views.Link{Text: "Mira Okafor", URL: views.AuditPersonURL("u1")}
	return []views.AuditItem{
		{ID: "a1", At: ago(time.Minute), Actor: mira, Action: "user.set_roles", Kind: "user",
			Subject: views.Link{Text: "Jonas Weiß", URL: views.AuditSubjectURL("u2")}, Address: "203.0.113.9",
			Changes: []views.Change{{Name: "roles", Before: "Member", After: "Manager, Release crew"}}},
		{
			ID: "a2", At: ago(time.Hour), Action: "automation.disable", Kind: "automation",
			Subject: views.Link{Text: "Nightly <audit>", URL: views.AuditSubjectURL("x1")},
			Reason:  "3 failures in a row",
		},
		{ID: "a3", At: ago(3 * time.Hour), Actor: mira, Action: "automation.create", Kind: "automation",
			Subject: views.Link{Text: "Nightly <audit>", URL: views.AuditSubjectURL("x1")}, Address: "2001:db8::17",
			Token: "Nightly report",
			Changes: []views.Change{{Name: "cron", After: "30 2 * * *", New: true},
				{Name: "prompt", After: "Run a dependency audit.\nOpen one ticket for each finding.", New: true},
				{Name: "model", New: true}}},
		{
			ID: "a4", At: ago(4 * time.Hour), Actor: views.Link{Text: "Jonas Weiß", URL: views.AuditPersonURL("u2")},
			Action: "permission.denied", Kind: "request", Subject: views.Link{Text: "POST /workspaces"},
			Address: "203.0.113.9",
		},
		{
			ID: "a5", At: ago(5 * time.Hour), Actor: mira, Action: "role.delete", Kind: "role",
			Subject: views.Link{Text: "Interns", URL: views.AuditSubjectURL("r9")},
			Changes: []views.Change{{Name: "permissions", Before: "tickets.manage", Gone: true}},
		},
	}
}
