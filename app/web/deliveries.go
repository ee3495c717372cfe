package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/payload"
	"carillon/app/spec"
	"carillon/app/web/page"
	"carillon/app/web/present"
	"carillon/db"
	"carillon/views"
)

// deliveryPages are the pages of the calls that an HTTP Trigger got.
type deliveryPages struct{ *Server }

// verdicts are the outcomes of calls, in the order in which a filter offers them.
var verdicts = []string{"started", "busy", "filtered", "signature", "invalid", "too_large", "unable", "duplicate",
	"error"}

// list is the tab of an HTTP Trigger with the calls that it got.
func (s deliveryPages) list(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	automationID, err := page.ID(r)
	if err != nil {
		return err
	}
	p, a, err := automationPages(s).data(r, actor, automationID)
	if err != nil {
		return err
	}
	f := db.DeliveryFilter{
		Before: form.OptionalID(r.FormValue("before")), Streak: form.OptionalID(r.FormValue("streak")),
		Limit: page.Rows + 1,
	}
	if wanted := r.FormValue("verdict"); slices.Contains(verdicts, wanted) {
		f.Verdict = wanted
	}
	list, err := s.Rules.Webhooks().Deliveries(r.Context(), actor, automationID, f)
	if err != nil {
		return err
	}
	shown := views.DeliveriesPage{
		AutomationPage: *p, Filtered: f.Verdict != "" || f.Before != uuid.Nil || f.Streak != uuid.Nil,
	}
	if f.Streak != uuid.Nil {
		first, err := s.Rules.Webhooks().Delivery(r.Context(), actor, automationID, f.Streak)
		if err != nil {
			return err
		}
		shown.Streak = &views.DeliveryStreak{Calls: first.Folded, Kept: min(first.Folded, db.KeptOfStreak)}
	}
	shown.Calls = true
	shown.Verdict = views.Field{
		Name: "verdict", Label: "Outcome", Value: f.Verdict, Options: []views.Choice{{Label: "Outcome"}},
	}
	for _, v := range verdicts {
		shown.Verdict.Options = append(shown.Verdict.Options, views.Choice{Value: v, Label: views.VerdictWord(v)})
	}
	if len(list) > page.Rows {
		list = list[:page.Rows]
		shown.More.Older = page.More(r, "before", list[page.Rows-1].ID.String())
	}
	for i := range list {
		shown.Rows = append(shown.Rows, s.item(&list[i], actor))
	}
	return s.With(w, r, actor, "automations", a.Name, func(frame views.Page) error {
		return s.Show(w, r, views.Deliveries(frame, shown))
	})
}

func (s deliveryPages) item(d *db.Delivery, actor account.Actor) views.DeliveryItem {
	return views.DeliveryItem{
		ID: d.ID.String(), Automation: d.AutomationID.String(), Verdict: d.Verdict, Status: d.Status,
		At: present.In(d.At, page.Zone(actor)), Last: present.In(d.LastAt, page.Zone(actor)),
		Now: s.Now(), Method: d.Method, Address: d.Address, Fingerprint: d.Fingerprint, Size: views.Bytes(d.Size),
		Folded: d.Folded, Streak: streakOf(d),
	}
}

// streakOf is the first call of the streak that a call is in, or nothing: it met a run in flight, as others did.
func streakOf(d *db.Delivery) string {
	switch {
	case d.Head != uuid.Nil:
		return d.Head.String()
	case d.Folded > 1:
		return d.ID.String()
	}
	return ""
}

// one is the page of one call.
func (s deliveryPages) one(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	automationID, err := page.ID(r)
	if err != nil {
		return err
	}
	a, err := s.Rules.Definitions().Find(r.Context(), actor, automationID)
	if err != nil {
		return err
	}
	d, err := s.Rules.Webhooks().Delivery(r.Context(), actor, automationID, form.OptionalID(r.PathValue("delivery")))
	if err != nil {
		return err
	}
	var answer automation.Answer
	if err := json.Unmarshal(d.Answer, &answer); err != nil {
		return fmt.Errorf("read the answer of delivery %s: %w", d.ID, err)
	}
	answered, err := json.MarshalIndent(s.Envelope(&answer), "", "  ")
	if err != nil {
		return err
	}
	p := views.DeliveryPage{
		DeliveryItem: s.item(d, actor), Name: a.Name, Query: d.Query, Body: readable(d.Body),
		Answer: string(answered), CanReplay: d.Complete(), Withheld: d.Sealed != nil,
		Facts: []views.Fact{
			{Label: "Call", Value: d.Method, Mono: true}, {Label: "From", Value: d.Address, Mono: true},
			{Label: "Token", Value: d.Fingerprint, Mono: true},
			{Label: "Answer", Value: fmt.Sprintf("%d %s", d.Status, http.StatusText(d.Status))},
			{Label: "Size", Value: views.Bytes(d.Size)},
		},
	}
	if answer.Error != "" {
		p.Reason = fault.Sentence(answer.Error)
	}
	if !p.CanReplay && len(d.Body) == 0 {
		p.Cut = "The content of this call was not kept, so it cannot be replayed."
	} else if !p.CanReplay {
		p.Cut = fmt.Sprintf("The first %s of %s were kept, so this call cannot be replayed.",
			views.Bytes(int64(len(d.Body))), views.Bytes(d.Size))
	}
	for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
		p.Headers = append(p.Headers, views.Parameter{Name: name, Value: d.Headers[name]})
	}
	if d.ExecutionID != uuid.Nil {
		p.Execution = views.Link{Text: "Execution", URL: views.ExecutionURL(d.ExecutionID.String())}
	}
	return s.With(w, r, actor, "automations", a.Name, func(frame views.Page) error {
		return s.Show(w, r, views.Delivery(frame, p))
	})
}

// readable is a text for a person: JSON with its lines broken, and what is no text named as that.
func readable(raw []byte) string {
	var indented bytes.Buffer
	if json.Indent(&indented, raw, "", "  ") == nil {
		return indented.String()
	}
	if !utf8.Valid(raw) {
		return fmt.Sprintf("%q", raw)
	}
	return string(raw)
}

// replay starts a run with what a call brought.
func (s deliveryPages) replay(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	automationID, err := page.ID(r)
	if err != nil {
		return err
	}
	run, err := s.Rules.Webhooks().Replay(r.Context(), actor, automationID, form.OptionalID(r.PathValue("delivery")))
	if err != nil {
		return err
	}
	return s.Redirect(w, r, views.SessionURL(run.Session.ID.String()), "Started with the content of this call.")
}

// trial is the editor with what a stored call would lead to: by GET as the automation is stored, by POST as it is
// typed.
func (s automationPages) trial(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	automationID, err := page.ID(r)
	if err != nil {
		return err
	}
	a, err := s.Rules.Definitions().Editable(r.Context(), actor, automationID)
	if err != nil {
		return err
	}
	in := automation.InputOf(a)
	if r.Method == http.MethodPost {
		in = automationInput(r)
		page.BringsForm(r, views.AutomationURL(automationID.String()))
	}
	d, err := s.Rules.Webhooks().Delivery(r.Context(), actor, automationID, form.OptionalID(r.FormValue("delivery")))
	if err != nil {
		return err
	}
	t := &views.TrialData{Delivery: d.ID.String(),
		When: views.Moment(d.At.In(page.Zone(actor)), s.Now().In(page.Zone(actor)))}
	trial, err := s.Rules.Webhooks().Try(r.Context(), actor, automationID, d.ID, in)
	var invalid fault.Invalid
	switch {
	case errors.As(err, &invalid):
		t.Problem = page.Sentences(invalid)
	case err != nil:
		return err
	default:
		t.Prompt, t.Unresolved, t.Refused = trial.Prompt, trial.Unresolved, trial.Refused
	}
	return s.formWith(w, r, actor, http.StatusOK, a, in, nil, func(f *views.AutomationForm) { f.Trial = t })
}

// sending fills in who signs the calls of an HTTP Trigger, its filter, and what becomes of the payload.
func sending(f *views.Sending, a *db.Automation, in automation.Input, bad fault.Invalid) {
	if a != nil && a.SignatureSealed != nil {
		f.Secret.Placeholder = "The one stored stays"
	}
	f.Problem = bad["filter"]
	if in.Filter.Any {
		f.Mode.Value = "yes"
	}
	operators := make([]views.Choice, len(payload.Operators))
	for i, o := range payload.Operators {
		operators[i] = views.Choice{Value: o.Operator, Label: o.Name}
	}
	const spare = 2 // empty lines to fill in
	for i := range len(in.Filter.Conditions) + spare {
		c := spec.Condition{Operator: payload.OpEquals}
		if i < len(in.Filter.Conditions) {
			c = in.Filter.Conditions[i]
		}
		n := fmt.Sprint(i + 1)
		f.Conditions = append(f.Conditions, views.ConditionFields{
			Field: views.Field{
				Name: "filter_field", ID: "filter-field-" + n, Label: "Field " + n, Value: c.Field, Mono: true,
				Autocomplete: "off",
			},
			Operator: views.Field{
				Name: "filter_operator", ID: "filter-operator-" + n, Label: "Comparison " + n, Value: c.Operator,
				Options: operators,
			},
			Value: views.Field{
				Name: "filter_value", ID: "filter-value-" + n, Label: "Value " + n, Value: c.Value, Autocomplete: "off",
			},
		})
	}
}

// filterInput reads the conditions of the editor's form.
func filterInput(r *http.Request) spec.Filter {
	f := spec.Filter{Any: r.PostForm.Get("filter_any") != ""}
	fields, operators, values := r.PostForm["filter_field"], r.PostForm["filter_operator"], r.PostForm["filter_value"]
	for i, field := range fields {
		c := spec.Condition{Field: field, Operator: payload.OpEquals}
		if i < len(operators) {
			c.Operator = operators[i]
		}
		if i < len(values) {
			c.Value = values[i]
		}
		if c.Field != "" || c.Value != "" {
			f.Conditions = append(f.Conditions, c)
		}
	}
	return f
}
