package settings_test

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
	"carillon/app/web/webtest"
	"carillon/db"
)

func TestTheAuditLogNamesPeopleAndWorkspacesAndLeavesOutWhatIsEmpty(t *testing.T) {
	s := webtest.Open(t)
	admin, mira := s.As("Ada", account.RoleAdministrator), s.As("Mira", account.RoleMember)
	s.Event(db.AuditEvent{
		Action: "automation.create", SubjectName: "made", After: map[string]any{
			"creator_id": mira.Actor.ID.String(), "workspace_id": s.Workspace, "stop_text": "", "catch_up": false,
			"retries": 2,
		},
	})
	page := admin.Get("/settings/audit?action=automation.create")
	for _, want := range []string{">creator<", ">Mira<", ">workspace<", ">Scratch<", ">retries<"} {
		page.Expect(t, 200, want)
	}
	for _, not := range []string{"creator id", "stop text", "catch up"} {
		if strings.Contains(page.Text, not) {
			t.Errorf("the page says %q", not)
		}
	}
}

func TestTheAuditLogIsNarrowedByItsAddress(t *testing.T) {
	s := webtest.Open(t)
	admin, mira := s.As("Ada", account.RoleAdministrator), s.As("Mira", account.RoleMember)
	subject := uuid.New()
	s.Event(db.AuditEvent{
		Action: "automation.create", ActorID: mira.Actor.ID, SubjectName: "by mira", SubjectID: subject,
	})
	s.Event(db.AuditEvent{Action: "automation.delete", ActorID: admin.Actor.ID, SubjectName: "by ada"})
	s.Event(db.AuditEvent{
		Action: "workspace.update", SubjectName: "in scratch", WorkspaceID: uuid.MustParse(s.Workspace),
	})
	s.Event(db.AuditEvent{Action: "automationx.delete", SubjectName: "another kind"})
	s.Event(db.AuditEvent{
		Action: "user.create", SubjectName: "long ago", At: time.Date(2020, 2, 29, 12, 0, 0, 0, time.UTC),
	})
	all := []string{"by mira", "by ada", "in scratch", "another kind", "long ago"}
	for query, want := range map[string][]string{
		"":                                 all,
		"person=" + mira.Actor.ID.String(): {"by mira"},
		"subject=" + subject.String():      {"by mira"},
		"workspace=" + s.Workspace:         {"in scratch"},
		"action=automation":                {"by mira", "by ada"},
		"action=automation.delete":         {"by ada"},
		"from=2020-02-29&to=2020-02-29":    {"long ago"},
		"to=2020-02-28":                    {},
		"from=nonsense&person=nonsense":    all,
	} {
		got := admin.Get("/settings/audit?" + query)
		got.Expect(t, 200, "Audit log")
		for _, name := range all {
			if has, wanted := strings.Contains(got.Text, ">"+name+"<") || strings.Contains(got.Text, "thing "+name),
				strings.Contains(strings.Join(want, ";"), name); has != wanted {
				t.Errorf("?%s: shows %q is %t; want %t", query, name, has, wanted)
			}
		}
	}
	mira.Get("/settings/audit").Expect(t, 403, "")
	mira.Get("/settings/audit/export/csv").Expect(t, 403, "")
	admin.Get("/settings/audit/export/xlsx").Expect(t, 404, "")
}

func TestAnAuditorSeesTheLinesOfTheirWorkspacesAlone(t *testing.T) {
	s := webtest.Open(t)
	auditor := s.As("Otto", account.RoleMember)
	s.Custom(auditor, "Auditor", account.ViewAudit)
	s.Event(db.AuditEvent{Action: "automation.update", SubjectName: "mine", WorkspaceID: uuid.MustParse(s.Workspace)})
	s.Event(db.AuditEvent{
		Action: "automation.update", SubjectName: "of others", WorkspaceID: uuid.New(),
		After: map[string]any{"prompt": "their secret plan"},
	})
	for _, path := range []string{"/settings/audit", "/settings/audit/export/csv", "/settings/audit/export/ndjson"} {
		got := auditor.Get(path)
		got.Expect(t, 200, "mine")
		if strings.Contains(got.Text, "secret plan") {
			t.Errorf("%s shows what was done in a workspace of others", path)
		}
	}
}

func TestALineShowsWhatChanged(t *testing.T) {
	s := webtest.Open(t)
	admin := s.As("Ada", account.RoleAdministrator)
	s.Event(db.AuditEvent{Action: "x.update", SubjectName: "<b>thing</b>", Address: "203.0.113.9",
		Before: map[string]any{"time_zone": "UTC", "same": 3, "gone": true},
		After:  map[string]any{"time_zone": "Europe/Paris", "same": 3, "new": []string{"a", "b"}}})
	got := admin.Get("/settings/audit?action=x")
	for _, want := range []string{
		"&lt;b&gt;thing&lt;/b&gt;", "203.0.113.9",
		`<span class="change-name">time zone</span> <del class="change-was">UTC</del> <ins class="change-is">Europe/Paris</ins>`,
		`<span class="change-name">gone</span> <del class="change-was">yes</del>`,
		`<span class="change-name">new</span> <ins class="change-is">a, b</ins>`,
	} {
		got.Expect(t, 200, want)
	}
	if strings.Contains(got.Text, ">same<") {
		t.Error("the line shows what stayed the same")
	}
}

func TestTheAuditLogIsTurnedOverInBothDirections(t *testing.T) {
	s := webtest.Open(t)
	admin := s.As("Ada", account.RoleAdministrator)
	for i := range page.Rows + 3 {
		s.Event(db.AuditEvent{Action: "x.y", SubjectName: fmt.Sprintf("n%03d", i)})
	}
	first := admin.Get("/settings/audit?action=x")
	older := regexp.MustCompile(`href="([^"]+)" rel="next"`).FindStringSubmatch(first.Text)
	if older == nil || !strings.Contains(first.Text, fmt.Sprintf("n%03d", page.Rows+2)) ||
		strings.Contains(first.Text, "n002") {
		t.Fatal("the first page is not the newest lines with a way to older ones")
	}
	second := admin.Get(strings.ReplaceAll(older[1], "&amp;", "&"))
	second.Expect(t, 200, "n000")
	newer := regexp.MustCompile(`href="([^"]+)" rel="prev"`).FindStringSubmatch(second.Text)
	if newer == nil || strings.Contains(second.Text, "n003") {
		t.Fatal("the second page is not the last three lines with a way back")
	}
	admin.Get(strings.ReplaceAll(newer[1], "&amp;", "&")).Expect(t, 200, fmt.Sprintf("n%03d", page.Rows+2))
}

func TestAnExportIsWholeAndHarmless(t *testing.T) {
	s := webtest.Open(t)
	admin := s.As("Ada", account.RoleAdministrator)
	const n = 1203 // more than two batches
	formulas := []string{
		`=HYPERLINK("http://evil.example","x")`, "+1+1", "-2+3", "@SUM(A1)", "\t=1", "＝1+1", `"=1`, "a;=1", "a; +1",
		`a;"=1"`, "a\t-1", "a\n@SUM(A1)", "a\r\n=1", "a;b;=1",
	}
	_, err := s.Server.DB.NewRaw(
		"INSERT INTO audit_events (id, at, action, subject_kind, subject_name) SELECT gen_random_uuid(), now(), "+
			"'x.y', 'thing', 'n' || i FROM generate_series(1, ?) i", n-len(formulas)).Exec(t.Context())
	webtest.Check(t, err)
	for _, name := range formulas {
		s.Event(db.AuditEvent{
			Action: "x.y", SubjectName: name, ActorID: admin.Actor.ID, Before: map[string]any{"a": "b"},
		})
	}
	got := admin.Get("/settings/audit/export/csv?action=x")
	if kind, as := got.Header.Get("Content-Type"),
		got.Header.Get("Content-Disposition"); kind != "text/csv; charset=utf-8" ||
		!strings.HasPrefix(as, `attachment; filename="audit-`) {
		t.Errorf("the export is %q, %q", kind, as)
	}
	rows, err := csv.NewReader(strings.NewReader(got.Text)).ReadAll()
	webtest.Check(t, err)
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
	lines := json.NewDecoder(strings.NewReader(admin.Get("/settings/audit/export/ndjson?action=x").Text))
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
		webtest.Check(t, err)
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
	s := webtest.Open(t)
	admin := s.As("Ada", account.RoleAdministrator)
	_, err := s.Server.DB.NewRaw(
		"INSERT INTO audit_events (id, at, action, subject_kind, subject_name) SELECT gen_random_uuid(), now(), " +
			"'x.y', 'thing', repeat('n', 2000) FROM generate_series(1, 3000)").Exec(t.Context())
	webtest.Check(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.HTTP.URL+"/settings/audit/export/ndjson", nil)
	webtest.Check(t, err)
	res, err := admin.Client.Do(req)
	webtest.Check(t, err)
	defer res.Body.Close() //nolint:errcheck // read below
	_, err = io.ReadFull(res.Body, make([]byte, 1000))
	webtest.Check(t, err)
	// The table goes while the export is under way.
	_, err = s.Server.DB.NewRaw("ALTER TABLE audit_events RENAME TO audit_gone").Exec(t.Context())
	webtest.Check(t, err)
	if rest, err := io.ReadAll(res.Body); err == nil && strings.HasSuffix(string(rest), "\n") &&
		strings.Count(string(rest), "\n") < 2900 {
		t.Errorf("an export of %d lines ended as if it were whole", strings.Count(string(rest), "\n"))
	}
}

func TestTheAuditLogIsOnlyAddedTo(t *testing.T) {
	s := webtest.Open(t)
	mira := s.As("Mira", account.RoleMember)
	e := s.Event(db.AuditEvent{Action: "x.y", SubjectName: "kept", ActorID: mira.Actor.ID})
	for _, sql := range []string{
		"UPDATE audit_events SET subject_name = 'forged'", "UPDATE audit_events SET actor_id = NULL, at = now()",
		"DELETE FROM audit_events",
		"TRUNCATE audit_events", "TRUNCATE audit_events CASCADE",
	} {
		if _, err := s.Server.DB.NewRaw(sql).Exec(t.Context()); err == nil ||
			!strings.Contains(err.Error(), "only added to") {
			t.Errorf("%s: got %v; want a refusal", sql, err)
		}
	}
	// A session that replays another server's changes fires no ordinary triggers.
	for _, sql := range []string{"UPDATE audit_events SET subject_name = 'forged'", "DELETE FROM audit_events",
		"TRUNCATE audit_events"} {
		err := s.Server.DB.RunInTx(t.Context(), nil, func(ctx context.Context, tx bun.Tx) error {
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
	mira.Exec("DELETE FROM users WHERE id = ?", mira.Actor.ID)
	list, err := db.AuditEvents(t.Context(), s.Server.DB, db.AuditFilter{Action: "x", Limit: 10})
	webtest.Check(t, err)
	if len(list) != 1 || list[0].ID != e.ID || list[0].ActorID != uuid.Nil || list[0].SubjectName != "kept" {
		t.Errorf("the log is %+v", list)
	}
}

func TestTheAuditLogNamesTheBotsAndWorkflowsThatAnAutomationWasChangedTo(t *testing.T) {
	s := webtest.Open(t)
	b := s.As("Mira", account.RoleAdministrator)
	bot := func(name string) string {
		made, err := s.Bots.Create(t.Context(), b.Actor, bot.Input{Bot: spec.Bot{
			Name: name, Instructions: "Review.", Enabled: true,
		}})
		webtest.Check(t, err)
		return made.ID.String()
	}
	in := automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      s.Workspace,
		Trigger:        "manual",
		SessionType:    "bot",
		Prompt:         "Look.",
		Provider:       "agent",
		Bot:            bot("Rita"),
		Retries:        2,
	}}
	a, _, err := s.Rules.Definitions().Create(t.Context(), b.Actor, in)
	webtest.Check(t, err)
	in.Bot, in.Version = bot("Otto"), a.Version
	_, _, err = s.Rules.Definitions().Update(t.Context(), b.Actor, a.ID, in)
	webtest.Check(t, err)
	page := b.Get("/settings/audit?action=automation.update")
	page.Expect(t, http.StatusOK, "Otto")
	page.Expect(t, http.StatusOK, "Rita")
}
