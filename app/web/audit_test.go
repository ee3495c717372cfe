package web

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/spec"
	"carillon/app/web/page"
	"carillon/db"
)

// event writes a line of the audit log.
func (s *site) event(e db.AuditEvent) db.AuditEvent {
	s.t.Helper()
	e.ID, e.SubjectKind = db.NewID(), "thing"
	if e.At.IsZero() {
		e.At = time.Now()
	}
	check(s.t, db.AddAudit(s.t.Context(), s.server.DB, e))
	return e
}

func TestTheAuditLogNamesPeopleAndWorkspacesAndLeavesOutWhatIsEmpty(t *testing.T) {
	s := open(t)
	admin, mira := s.as("Ada", account.RoleAdministrator), s.as("Mira", account.RoleMember)
	s.event(db.AuditEvent{
		Action: "automation.create", SubjectName: "made", After: map[string]any{
			"creator_id": mira.actor.ID.String(), "workspace_id": s.workspace, "stop_text": "", "catch_up": false,
			"retries": 2,
		},
	})
	page := admin.get("/settings/audit?action=automation.create")
	for _, want := range []string{">creator<", ">Mira<", ">workspace<", ">Scratch<", ">retries<"} {
		page.expect(t, 200, want)
	}
	for _, not := range []string{"creator id", "stop text", "catch up"} {
		if strings.Contains(page.body, not) {
			t.Errorf("the page says %q", not)
		}
	}
}

func TestTheAuditLogIsNarrowedByItsAddress(t *testing.T) {
	s := open(t)
	admin, mira := s.as("Ada", account.RoleAdministrator), s.as("Mira", account.RoleMember)
	subject := uuid.New()
	s.event(db.AuditEvent{
		Action: "automation.create", ActorID: mira.actor.ID, SubjectName: "by mira", SubjectID: subject,
	})
	s.event(db.AuditEvent{Action: "automation.delete", ActorID: admin.actor.ID, SubjectName: "by ada"})
	s.event(db.AuditEvent{
		Action: "workspace.update", SubjectName: "in scratch", WorkspaceID: uuid.MustParse(s.workspace),
	})
	s.event(db.AuditEvent{Action: "automationx.delete", SubjectName: "another kind"})
	s.event(db.AuditEvent{
		Action: "user.create", SubjectName: "long ago", At: time.Date(2020, 2, 29, 12, 0, 0, 0, time.UTC),
	})
	all := []string{"by mira", "by ada", "in scratch", "another kind", "long ago"}
	for query, want := range map[string][]string{
		"":                                 all,
		"person=" + mira.actor.ID.String(): {"by mira"},
		"subject=" + subject.String():      {"by mira"},
		"workspace=" + s.workspace:         {"in scratch"},
		"action=automation":                {"by mira", "by ada"},
		"action=automation.delete":         {"by ada"},
		"from=2020-02-29&to=2020-02-29":    {"long ago"},
		"to=2020-02-28":                    {},
		"from=nonsense&person=nonsense":    all,
	} {
		got := admin.get("/settings/audit?" + query)
		got.expect(t, 200, "Audit log")
		for _, name := range all {
			if has, wanted := strings.Contains(got.body, ">"+name+"<") || strings.Contains(got.body, "thing "+name),
				strings.Contains(strings.Join(want, ";"), name); has != wanted {
				t.Errorf("?%s: shows %q is %t; want %t", query, name, has, wanted)
			}
		}
	}
	mira.get("/settings/audit").expect(t, 403, "")
	mira.get("/settings/audit/export/csv").expect(t, 403, "")
	admin.get("/settings/audit/export/xlsx").expect(t, 404, "")
}

func TestAnAuditorSeesTheLinesOfTheirWorkspacesAlone(t *testing.T) {
	s := open(t)
	auditor := s.as("Otto", account.RoleMember)
	s.custom(auditor, "Auditor", account.ViewAudit)
	s.event(db.AuditEvent{Action: "automation.update", SubjectName: "mine", WorkspaceID: uuid.MustParse(s.workspace)})
	s.event(db.AuditEvent{
		Action: "automation.update", SubjectName: "of others", WorkspaceID: uuid.New(),
		After: map[string]any{"prompt": "their secret plan"},
	})
	for _, path := range []string{"/settings/audit", "/settings/audit/export/csv", "/settings/audit/export/ndjson"} {
		got := auditor.get(path)
		got.expect(t, 200, "mine")
		if strings.Contains(got.body, "secret plan") {
			t.Errorf("%s shows what was done in a workspace of others", path)
		}
	}
}

func TestALineShowsWhatChanged(t *testing.T) {
	s := open(t)
	admin := s.as("Ada", account.RoleAdministrator)
	s.event(db.AuditEvent{Action: "x.update", SubjectName: "<b>thing</b>", Address: "203.0.113.9",
		Before: map[string]any{"time_zone": "UTC", "same": 3, "gone": true},
		After:  map[string]any{"time_zone": "Europe/Paris", "same": 3, "new": []string{"a", "b"}}})
	got := admin.get("/settings/audit?action=x")
	for _, want := range []string{
		"&lt;b&gt;thing&lt;/b&gt;", "203.0.113.9",
		`<span class="change-name">time zone</span> <del class="change-was">UTC</del> <ins class="change-is">Europe/Paris</ins>`,
		`<span class="change-name">gone</span> <del class="change-was">yes</del>`,
		`<span class="change-name">new</span> <ins class="change-is">a, b</ins>`,
	} {
		got.expect(t, 200, want)
	}
	if strings.Contains(got.body, ">same<") {
		t.Error("the line shows what stayed the same")
	}
}

func TestTheAuditLogIsTurnedOverInBothDirections(t *testing.T) {
	s := open(t)
	admin := s.as("Ada", account.RoleAdministrator)
	for i := range page.Rows + 3 {
		s.event(db.AuditEvent{Action: "x.y", SubjectName: fmt.Sprintf("n%03d", i)})
	}
	first := admin.get("/settings/audit?action=x")
	older := regexp.MustCompile(`href="([^"]+)" rel="next"`).FindStringSubmatch(first.body)
	if older == nil || !strings.Contains(first.body, fmt.Sprintf("n%03d", page.Rows+2)) ||
		strings.Contains(first.body, "n002") {
		t.Fatal("the first page is not the newest lines with a way to older ones")
	}
	second := admin.get(strings.ReplaceAll(older[1], "&amp;", "&"))
	second.expect(t, 200, "n000")
	newer := regexp.MustCompile(`href="([^"]+)" rel="prev"`).FindStringSubmatch(second.body)
	if newer == nil || strings.Contains(second.body, "n003") {
		t.Fatal("the second page is not the last three lines with a way back")
	}
	admin.get(strings.ReplaceAll(newer[1], "&amp;", "&")).expect(t, 200, fmt.Sprintf("n%03d", page.Rows+2))
}

func TestAnExportIsWholeAndHarmless(t *testing.T) {
	s := open(t)
	admin := s.as("Ada", account.RoleAdministrator)
	const n = 1203 // more than two batches
	formulas := []string{
		`=HYPERLINK("http://evil.example","x")`, "+1+1", "-2+3", "@SUM(A1)", "\t=1", "＝1+1", `"=1`, "a;=1", "a; +1",
		`a;"=1"`, "a\t-1", "a\n@SUM(A1)", "a\r\n=1", "a;b;=1",
	}
	_, err := s.server.DB.NewRaw(
		"INSERT INTO audit_events (id, at, action, subject_kind, subject_name) SELECT gen_random_uuid(), now(), "+
			"'x.y', 'thing', 'n' || i FROM generate_series(1, ?) i", n-len(formulas)).Exec(t.Context())
	check(t, err)
	for _, name := range formulas {
		s.event(db.AuditEvent{
			Action: "x.y", SubjectName: name, ActorID: admin.actor.ID, Before: map[string]any{"a": "b"},
		})
	}
	got := admin.get("/settings/audit/export/csv?action=x")
	if kind, as := got.Header.Get("Content-Type"),
		got.Header.Get("Content-Disposition"); kind != "text/csv; charset=utf-8" ||
		!strings.HasPrefix(as, `attachment; filename="audit-`) {
		t.Errorf("the export is %q, %q", kind, as)
	}
	rows, err := csv.NewReader(strings.NewReader(got.body)).ReadAll()
	check(t, err)
	if len(rows) != n+1 {
		t.Fatalf("the CSV has %d rows; want %d and a heading", len(rows), n)
	}
	// also where cells are parted by semicolons, tabs and lines
	formula := regexp.MustCompile("(^|[;\\t\\r\\n])[ \"]*[=+@＝-]")
	found := map[string]bool{}
	for _, row := range rows[1:] {
		for _, cell := range row {
			if formula.MatchString(cell) {
				t.Errorf("a spreadsheet would run %q", cell)
			}
		}
		found[strings.ReplaceAll(row[6], "'", "")] = strings.Contains(row[6], "'")
	}
	for _, f := range formulas {
		if !found[strings.ReplaceAll(f, "\r\n", "\n")] { // as the reader of CSV gives it
			t.Errorf("%q did not come out, with a sign before its formula", f)
		}
	}
	lines := json.NewDecoder(strings.NewReader(admin.get("/settings/audit/export/ndjson?action=x").body))
	seen := map[string]bool{}
	for {
		var l struct {
			ID          uuid.UUID      `json:"id"`
			Actor       string         `json:"actor"`
			SubjectName string         `json:"subject_name"`
			Before      map[string]any `json:"before"`
			After       map[string]any `json:"after"`
		}
		err := lines.Decode(&l)
		if errors.Is(err, io.EOF) {
			break
		}
		check(t, err)
		seen[l.ID.String()] = true
		if l.SubjectName == "+1+1" && (l.Actor != "Ada" || l.Before["a"] != "b" || l.After != nil) {
			t.Errorf("a line came out as %+v", l)
		}
	}
	if len(seen) != n {
		t.Errorf("the NDJSON has %d lines; want %d", len(seen), n)
	}
}

func TestAnExportThatBreaksOffDoesNotPassForTheWhole(t *testing.T) {
	s := open(t)
	admin := s.as("Ada", account.RoleAdministrator)
	_, err := s.server.DB.NewRaw(
		"INSERT INTO audit_events (id, at, action, subject_kind, subject_name) SELECT gen_random_uuid(), now(), " +
			"'x.y', 'thing', repeat('n', 2000) FROM generate_series(1, 3000)").Exec(t.Context())
	check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.http.URL+"/settings/audit/export/ndjson", nil)
	check(t, err)
	res, err := admin.client.Do(req)
	check(t, err)
	defer res.Body.Close() //nolint:errcheck // read below
	_, err = io.ReadFull(res.Body, make([]byte, 1000))
	check(t, err)
	// The table goes while the export is under way.
	_, err = s.server.DB.NewRaw("ALTER TABLE audit_events RENAME TO audit_gone").Exec(t.Context())
	check(t, err)
	if rest, err := io.ReadAll(res.Body); err == nil && strings.HasSuffix(string(rest), "\n") &&
		strings.Count(string(rest), "\n") < 2900 {
		t.Errorf("an export of %d lines ended as if it were whole", strings.Count(string(rest), "\n"))
	}
}

func TestTheAuditLogIsOnlyAddedTo(t *testing.T) {
	s := open(t)
	mira := s.as("Mira", account.RoleMember)
	e := s.event(db.AuditEvent{Action: "x.y", SubjectName: "kept", ActorID: mira.actor.ID})
	for _, sql := range []string{
		"UPDATE audit_events SET subject_name = 'forged'", "UPDATE audit_events SET actor_id = NULL, at = now()",
		"DELETE FROM audit_events",
		"TRUNCATE audit_events", "TRUNCATE audit_events CASCADE",
	} {
		if _, err := s.server.DB.NewRaw(sql).Exec(t.Context()); err == nil ||
			!strings.Contains(err.Error(), "only added to") {
			t.Errorf("%s: got %v; want a refusal", sql, err)
		}
	}
	// A session that replays another server's changes fires no ordinary triggers.
	for _, sql := range []string{"UPDATE audit_events SET subject_name = 'forged'", "DELETE FROM audit_events",
		"TRUNCATE audit_events"} {
		err := s.server.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
			if _, err := tx.ExecContext(ctx, "SET LOCAL session_replication_role = replica"); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, sql)
			return err
		})
		if err == nil || !strings.Contains(err.Error(), "only added to") {
			t.Errorf("%s while replaying: got %v; want a refusal", sql, err)
		}
	}
	// The one way past: a person who is deleted by hand leaves their lines behind.
	mira.exec("DELETE FROM users WHERE id = ?", mira.actor.ID)
	list, err := db.AuditEvents(t.Context(), s.server.DB, db.AuditFilter{Action: "x", Limit: 10})
	check(t, err)
	if len(list) != 1 || list[0].ID != e.ID || list[0].ActorID != uuid.Nil || list[0].SubjectName != "kept" {
		t.Errorf("the log is %+v", list)
	}
}

func TestTheAuditLogNamesTheBotsAndWorkflowsThatAnAutomationWasChangedTo(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleAdministrator)
	bot := func(name string) string {
		made, err := s.bots.Create(t.Context(), b.actor, bot.Input{Bot: spec.Bot{
			Name: name, Instructions: "Review.", Enabled: true,
		}})
		check(t, err)
		return made.ID.String()
	}
	in := automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      s.workspace,
		Trigger:        "manual",
		SessionType:    "bot",
		Prompt:         "Look.",
		Provider:       "agent",
		Bot:            bot("Rita"),
		Retries:        2,
	}}
	a, _, err := s.rules.Definitions().Create(t.Context(), b.actor, in)
	check(t, err)
	in.Bot, in.Version = bot("Otto"), a.Version
	_, _, err = s.rules.Definitions().Update(t.Context(), b.actor, a.ID, in)
	check(t, err)
	page := b.get("/settings/audit?action=automation.update")
	page.expect(t, http.StatusOK, "Otto")
	page.expect(t, http.StatusOK, "Rita")
}
