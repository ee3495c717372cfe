package settings

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/middleware"
	"carillon/app/web/page"
	"carillon/db"
	"carillon/views"
)

// auditPages are the pages of the audit log.
type auditPages struct{ *Pages }

// auditFilter reads what the audit log is narrowed to from the address.
func auditFilter(r *http.Request, actor account.Actor) db.AuditFilter {
	z := page.Zone(actor)
	f := db.AuditFilter{
		Actor: form.OptionalID(r.FormValue("person")), Subject: form.OptionalID(r.FormValue("subject")),
		Workspace: form.OptionalID(r.FormValue("workspace")),
		Action:    r.FormValue("action"), Since: page.DayStart(r.FormValue("from"), z),
		Until:  page.DayEnd(r.FormValue("to"), z),
		Before: form.OptionalID(r.FormValue("before")), After: form.OptionalID(r.FormValue("newer")),
		Limit: page.Rows + 1,
	}
	return f
}

func (s auditPages) list(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	ctx, f := r.Context(), auditFilter(r, actor)
	list, err := s.Accounts.Audit(ctx, actor, f)
	if err != nil {
		return err
	}
	p := views.AuditPage{
		Now: s.Now(), Filtered: r.URL.RawQuery != "",
		Person:    views.Field{Name: "person", Label: "Person", Value: r.FormValue("person")},
		Action:    views.Field{Name: "action", Label: "Action", Value: f.Action},
		Workspace: views.Field{Name: "workspace", Label: "Workspace", Value: r.FormValue("workspace")},
		From:      views.Field{Name: "from", Label: "From", Value: r.FormValue("from")},
		To:        views.Field{Name: "to", Label: "To", Value: r.FormValue("to")},
	}
	if f.Subject != uuid.Nil {
		p.Subject, p.SubjectName = f.Subject.String(), "one thing"
		if len(list) > 0 {
			p.SubjectName = list[0].SubjectName
		}
	}
	q := r.URL.Query()
	for _, key := range []string{"before", "newer"} {
		q.Del(key)
	}
	p.CSV, p.JSON = views.AuditURL()+"/export/csv?"+q.Encode(), views.AuditURL()+"/export/ndjson?"+q.Encode()
	if err := s.choices(r, actor, &p); err != nil {
		return err
	}
	names, err := s.namedIn(ctx, list) // of what changes have by its id
	if err != nil {
		return err
	}
	for _, choice := range slices.Concat(p.Person.Options, p.Workspace.Options) {
		names[choice.Value] = choice.Label
	}
	p.Pager = page.Pager(r, &list, f.Before, f.After, f.Limit, func(e db.AuditEvent) string {
		return e.ID.String()
	}, "newer", "before")
	for i := range list {
		p.Rows = append(p.Rows, auditItem(&list[i], page.Zone(actor), names))
	}
	return s.withSettings(w, r, actor, "Audit log", func(page views.Page) error {
		return s.Show(w, r, views.Audit(page, p))
	})
}

// namedIn are the names of the workflows and bots that automations were changed to or from, as far as they are still
// there.
func (s auditPages) namedIn(ctx context.Context, list []db.AuditEvent) (map[string]string, error) {
	var ids []uuid.UUID
	for i := range list {
		for _, m := range []map[string]any{list[i].Before, list[i].After} {
			for _, key := range []string{"workflow_id", "bot_id"} {
				if text, _ := m[key].(string); text != "" {
					ids = append(ids, form.OptionalID(text))
				}
			}
		}
	}
	names := map[string]string{}
	if len(ids) == 0 {
		return names, nil
	}
	found, err := db.NamesOf(ctx, s.DB, ids)
	for id, name := range found {
		names[id.String()] = name
	}
	return names, err
}

// choices fills in what the log can be narrowed to.
func (s auditPages) choices(r *http.Request, actor account.Actor, p *views.AuditPage) error {
	people, err := db.Users(r.Context(), s.DB)
	if err != nil {
		return err
	}
	for _, u := range people {
		p.Person.Options = append(p.Person.Options, views.Choice{Value: u.ID.String(), Label: u.Name})
	}
	actions, err := s.Accounts.AuditActions(r.Context(), actor)
	if err != nil {
		return err
	}
	kind := ""
	for _, a := range actions {
		if k, _, _ := strings.Cut(a, "."); k != kind {
			kind = k
			p.Action.Options = append(p.Action.Options, views.Choice{Value: k, Label: k + ": everything"})
		}
		p.Action.Options = append(p.Action.Options, views.Choice{Value: a, Label: a})
	}
	workspaces, err := s.Workspaces.List(r.Context(), actor)
	if err != nil {
		return err
	}
	for _, w := range workspaces {
		p.Workspace.Options = append(p.Workspace.Options, views.Choice{Value: w.ID.String(), Label: w.Name})
	}
	return nil
}

// events shows the newest lines of the audit log about a person, to whoever may read it.
func (s userPages) events(r *http.Request, actor account.Actor, d *account.PersonDetail, p *views.UserPage) error {
	if !actor.Can(account.ViewAudit) {
		return nil
	}
	list, err := s.Accounts.Audit(r.Context(), actor, db.AuditFilter{Subject: d.ID, Limit: 8})
	if err != nil {
		return err
	}
	p.EventsURL = views.AuditSubjectURL(d.ID.String())
	for i := range list {
		p.Events = append(p.Events, auditItem(&list[i], page.Zone(actor), nil))
	}
	return nil
}

func auditItem(e *db.AuditEvent, z *time.Location, names map[string]string) views.AuditItem {
	item := views.AuditItem{
		ID: e.ID.String(), At: e.At.In(z), Action: e.Action, Kind: e.SubjectKind, Reason: e.Reason, Address: e.Address,
		Token: e.Token, Changes: differences(e.Before, e.After, names),
		Subject: views.Link{Text: e.SubjectName},
	}
	if e.Actor != nil {
		item.Actor = views.Link{Text: e.Actor.Name, URL: views.AuditPersonURL(e.ActorID.String())}
	}
	if e.SubjectID != uuid.Nil {
		item.Subject.URL = views.AuditSubjectURL(e.SubjectID.String())
	}
	return item
}

// differences lists the properties that differ before and after. Of what is made or gone, those that are empty or off
// say nothing; the export has them. Names are those of ids.
func differences(before, after map[string]any, ids map[string]string) []views.Change {
	names := map[string]bool{}
	for _, m := range []map[string]any{before, after} {
		for name := range m {
			names[name] = true
		}
	}
	var list []views.Change
	for _, name := range slices.Sorted(maps.Keys(names)) {
		was, had := before[name]
		is, has := after[name]
		c := views.Change{
			Name: strings.ReplaceAll(name, "_", " "), Before: inWords(was), After: inWords(is), New: !had, Gone: !has,
		}
		if strings.HasSuffix(name, "_id") && (ids[c.Before] != "" || ids[c.After] != "") {
			c.Name, c.Before, c.After = strings.TrimSuffix(c.Name, " id"), cmp.Or(ids[c.Before], c.Before),
				cmp.Or(ids[c.After], c.After)
		}
		if had && has && c.Before == c.After {
			continue
		}
		if only := c.Before + c.After; had != has && (only == "" || only == "no") {
			continue
		}
		list = append(list, c)
	}
	return list
}

// inWords is a value of the audit log as people read it.
func inWords(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case []any:
		var list []string
		for _, x := range v {
			list = append(list, inWords(x))
		}
		return strings.Join(list, ", ")
	case map[string]any:
		var list []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			list = append(list, name+"="+inWords(v[name]))
		}
		return strings.Join(list, ", ")
	}
	return fmt.Sprint(v)
}

// auditLine is a line of the audit log as it is exported.
type auditLine struct {
	ID          uuid.UUID      `json:"id"`
	At          time.Time      `json:"at"`
	ActorID     *uuid.UUID     `json:"actor_id"` // null: Carillon itself
	Actor       string         `json:"actor"`
	ActorEmail  string         `json:"actor_email"`
	Action      string         `json:"action"`
	SubjectKind string         `json:"subject_kind"`
	SubjectID   *uuid.UUID     `json:"subject_id"`
	SubjectName string         `json:"subject_name"`
	WorkspaceID *uuid.UUID     `json:"workspace_id"`
	Reason      string         `json:"reason"`
	Address     string         `json:"address"`
	Token       string         `json:"token"`
	Before      map[string]any `json:"before"`
	After       map[string]any `json:"after"`
}

func lineOf(e *db.AuditEvent) auditLine {
	given := func(id uuid.UUID) *uuid.UUID {
		if id == uuid.Nil {
			return nil
		}
		return &id
	}
	l := auditLine{
		ID: e.ID, At: e.At.UTC(), ActorID: given(e.ActorID), Action: e.Action, SubjectKind: e.SubjectKind,
		SubjectID:   given(e.SubjectID),
		SubjectName: e.SubjectName, WorkspaceID: given(e.WorkspaceID), Reason: e.Reason, Address: e.Address,
		Token: e.Token, Before: e.Before, After: e.After,
	}
	if e.Actor != nil {
		l.Actor, l.ActorEmail = e.Actor.Name, e.Actor.Email
	}
	return l
}

// export sends what the audit log's page is narrowed to, whole, as it is read.
func (s auditPages) export(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	write, kind := ndjson(w), "application/x-ndjson"
	switch r.PathValue("format") {
	case "csv":
		write, kind = csvLines(w), "text/csv; charset=utf-8"
	case "ndjson":
	default:
		return fault.ErrNotFound
	}
	begun := false
	controller := http.NewResponseController(w)
	err := s.Accounts.ExportAudit(r.Context(), actor, auditFilter(r, actor), func(list []db.AuditEvent) error {
		if !begun {
			begun = true
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="audit-%s.%s"`,
				s.Now().UTC().Format("2006-01-02"), r.PathValue("format")))
		}
		// A long log takes long to send; a reader who takes nothing for a minute has gone.
		if err := controller.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
			return err
		}
		return write(list)
	})
	if err != nil && begun {
		s.Log.Warn("export the audit log", "request", middleware.RequestID(r), "err", err)
		panic(http.ErrAbortHandler) // half a log must not pass for the whole
	}
	return err
}

func ndjson(w http.ResponseWriter) func([]db.AuditEvent) error {
	encoder := json.NewEncoder(w)
	return func(list []db.AuditEvent) error {
		for i := range list {
			if err := encoder.Encode(lineOf(&list[i])); err != nil {
				return err
			}
		}
		return nil
	}
}

func csvLines(w http.ResponseWriter) func([]db.AuditEvent) error {
	c := csv.NewWriter(w)
	begun := false
	return func(list []db.AuditEvent) error {
		if !begun {
			begun = true
			if err := c.Write([]string{"at", "actor", "actor_email", "action", "subject_kind", "subject_id",
				"subject_name", "workspace_id", "reason", "address", "token", "before", "after"}); err != nil {
				return err
			}
		}
		for i := range list {
			l := lineOf(&list[i])
			row := []string{l.At.Format(time.RFC3339Nano), l.Actor, l.ActorEmail, l.Action, l.SubjectKind,
				idText(l.SubjectID), l.SubjectName, idText(l.WorkspaceID),
				l.Reason, l.Address, l.Token, packed(l.Before), packed(l.After)}
			for j := range row {
				row[j] = harmless(row[j])
			}
			if err := c.Write(row); err != nil {
				return err
			}
		}
		c.Flush()
		return c.Error()
	}
}

func idText(id *uuid.UUID) string {
	if id == nil {
		return ""
	}
	return id.String()
}

func packed(m map[string]any) string {
	if m == nil {
		return ""
	}
	text, err := json.Marshal(m)
	if err != nil {
		return "" // it came from JSON
	}
	return string(text)
}

// harmless keeps a spreadsheet from taking a part of a text for a formula, which could send the sheet elsewhere: names
// and reasons are anybody's to choose. A cell may begin at the text's beginning, and after each sign that a spreadsheet
// can be told, or is set by its country, to part cells by.
func harmless(cell string) string {
	var guarded strings.Builder
	kept, begins := 0, true
	for i, c := range cell {
		switch {
		case strings.ContainsRune(";\t\r\n\v\f\u0085\u2028\u2029", c):
			begins = true
		case strings.ContainsRune(" \"'\u00a0\u3000\ufeff", c): // may stand before a formula
		default:
			if begins && strings.ContainsRune("=+-@＝＋－＠", c) {
				guarded.WriteString(cell[kept:i] + "'")
				kept = i
			}
			begins = false
		}
	}
	return guarded.String() + cell[kept:]
}
