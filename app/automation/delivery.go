package automation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/payload"
	"carillon/app/prompt"
	"carillon/app/secret"
	"carillon/app/workflow"
	"carillon/db"
)

// Deliveries lists the calls of an HTTP Trigger, for whoever may manage it: they hold what its senders sent.
func (s Webhooks) Deliveries(ctx context.Context, actor account.Actor, id uuid.UUID,
	f db.DeliveryFilter) ([]db.Delivery, error) {
	if _, err := s.Definitions().manageable(ctx, actor, id); err != nil {
		return nil, err
	}
	return db.Deliveries(ctx, s.DB, id, f)
}

// Delivery finds one call of an HTTP Trigger, for whoever may manage it.
func (s Webhooks) Delivery(ctx context.Context, actor account.Actor, id, delivery uuid.UUID) (*db.Delivery, error) {
	if _, err := s.Definitions().manageable(ctx, actor, id); err != nil {
		return nil, err
	}
	d, err := db.DeliveryByID(ctx, s.DB, delivery)
	if db.IsNotFound(err) || err == nil && d.AutomationID != id {
		return nil, fault.ErrNotFound
	}
	return d, err
}

// readDelivery reads again what a delivery brought. It returns fault.Invalid for one that was not kept whole, or cannot
// be read.
func (s Webhooks) readDelivery(d *db.Delivery) (parameters map[string]string, body string, err error) {
	if !d.Complete() {
		kept := fmt.Sprintf("Only the first %d KiB of this call were kept", keepBody>>10)
		if len(d.Body) == 0 {
			kept = "What this call brought was not kept"
		}
		return nil, "", fault.Invalid{"delivery": kept + ", so it cannot be sent again."}
	}
	call, ok := s.openCall(d)
	if !ok {
		return nil, "",
			fault.Invalid{"delivery": "The secrets of this call cannot be read with this server's secret, so it " +
				"cannot be sent again."}
	}
	parameters, body, problem := payload.Read(call)
	if problem != "" {
		return nil, "", fault.Invalid{"delivery": form.Capitalize(problem) + ", so this call starts nothing."}
	}
	if d.Sealed != nil && body != "" { // as its own run got it
		_, body, _ = payload.Read(payload.Call{Query: d.Query, ContentType: call.ContentType, Body: d.Body})
	}
	return parameters, body, nil
}

// Replay starts a run with what a call brought, as the automation is now. Signature and filter are not asked again: a
// person decides. It returns the errors of RunNow, and fault.Invalid for a call that was not kept whole.
func (s Webhooks) Replay(ctx context.Context, actor account.Actor, id, delivery uuid.UUID) (*Run, error) {
	d, err := s.Delivery(ctx, actor, id, delivery)
	if err != nil {
		return nil, err
	}
	parameters, body, err := s.readDelivery(d)
	if err != nil {
		return nil, err
	}
	return s.Runs().startAgain(ctx, actor, id,
		Trigger{Parameters: parameters, Outside: names(parameters), Payload: body})
}

// RunAgain starts a run with the input of an earlier one, as the automation is now. It returns the errors of RunNow,
// and whether the automation was edited since.
func (s Runs) RunAgain(ctx context.Context, actor account.Actor,
	execution uuid.UUID) (run *Run, edited bool, err error) {
	e, err := s.Find(ctx, actor, execution)
	if err != nil {
		return nil, false, err
	}
	a, err := s.Definitions().manageable(ctx, actor, e.AutomationID)
	if err != nil {
		return nil, false, err
	}
	run, err = s.startAgain(ctx, actor, e.AutomationID,
		Trigger{Parameters: e.Parameters, Kept: true, Outside: outsideOf(e),
			Payload: e.Parameters[payloadName]})
	return run, e.Snapshot.Version != a.Version, err
}

func (s Runs) startAgain(ctx context.Context, actor account.Actor, id uuid.UUID, by Trigger) (*Run, error) {
	a, err := s.Definitions().manageable(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	if err := s.Providers.MayUse(actor, a.Provider); err != nil {
		return nil, err
	}
	by.Source, by.Mark, by.UserID, by.People = db.ByHand, db.ReplayMark, actor.ID, actor.People()
	return s.Start(ctx, id, by)
}

// Trial is what a call would lead to.
type Trial struct {
	Prompt     string // with its placeholders filled in
	Values     map[string]string
	Unresolved []string
	Refused    string // why the filter would not let it through; empty when it would
}

// Try renders what is in an automation's form with what a call brought, and starts nothing. Values stored with the
// automation stand in for those that the call does not bring.
func (s Webhooks) Try(ctx context.Context, actor account.Actor, id, delivery uuid.UUID, in Input) (*Trial, error) {
	d, err := s.Delivery(ctx, actor, id, delivery)
	if err != nil {
		return nil, err
	}
	if d.Sealed != nil { // what is shown has no secrets
		d.Sealed, d.Size = nil, int64(len(d.Body))
	}
	parameters, body, err := s.readDelivery(d)
	if err != nil {
		return nil, err
	}
	t := &Trial{Values: map[string]string{}}
	for _, given := range []map[string]string{in.Parameters, parameters} {
		for name, value := range given {
			t.Values[name] = value
		}
	}
	p, _ := s.Providers.Find(in.Provider)
	mark := prompt.NewMark()
	found := prompt.ValuesOf(t.Values).Fenced(mark, names(parameters))
	_, t.Unresolved = prompt.Resolve(prompt.Names(in.Prompt, p.Script), found)
	if t.Prompt = in.Prompt; !p.Script {
		if t.Prompt = prompt.Fill(in.Prompt, found); in.AppendPayload && body != "" {
			t.Prompt = prompt.WithPayload(t.Prompt, body, mark)
		}
	}
	_, t.Refused = payload.Matches(payload.ReadFilter(in.Filter, fault.Invalid{}), parameters, body)
	if len(t.Prompt) > prompt.MaxBytes {
		t.Refused = ErrTooLarge.Error()
	}
	return t, nil
}

// brought is what a call brought as it was, as it is sealed.
type brought struct {
	Query string `json:"query"`
	Body  []byte `json:"body"`
}

func deliveryPurpose(id uuid.UUID) string { return "delivery " + id.String() }

// keepCall notes with a delivery what its call brought: readable without secrets, and sealed with them.
func (s Webhooks) keepCall(o *db.TokenOwner, call payload.Call, d *db.Delivery) {
	shown := call.Redacted(o)
	d.Query, d.Size = db.Printable(shown.Query, 4096), int64(len(call.Body))
	d.Body = shown.Body[:min(len(shown.Body), keepBody)]
	if shown.Query == call.Query && bytes.Equal(shown.Body, call.Body) || len(call.Body) > keepBody {
		return
	}
	whole, _ := json.Marshal(brought{call.Query, call.Body}) // strings always marshal
	d.Sealed = s.Keys.Seal(string(whole), deliveryPurpose(d.ID))
}

// openCall is what a delivery brought as it was. ok is false when its secrets cannot be read any more.
func (s Webhooks) openCall(d *db.Delivery) (call payload.Call, ok bool) {
	call = payload.Call{Query: d.Query, ContentType: d.Headers["Content-Type"], Body: d.Body}
	if d.Sealed == nil {
		return call, true
	}
	text, err := s.Keys.Open(d.Sealed, deliveryPurpose(d.ID))
	if err != nil {
		return call, false
	}
	var was brought
	if err := json.Unmarshal([]byte(text), &was); err != nil {
		return call, false
	}
	call.Query, call.Body = was.Query, was.Body
	return call, true
}

// keptValues are the values of a run as its row may hold them: secrets in their stored form. Where nobody knows any
// more which of them are secrets, as the workflow is gone, there are none.
func (s Runs) keptValues(wf *db.Workflow, values map[string]string) map[string]string {
	kept := map[string]string{}
	if wf == nil {
		return kept
	}
	var secrets []string
	for _, p := range wf.Parameters {
		if p.Type == db.SecretParameter && values[p.Alias] != "" {
			secrets = append(secrets, values[p.Alias])
			kept[p.Alias] = workflow.Seal(s.Keys, p.Alias, values[p.Alias])
		}
	}
	hide := secret.Masker(secrets, payload.Mask)
	for name, value := range values {
		if _, sealed := kept[name]; !sealed {
			kept[name] = secret.MaskValue(hide, value)
		}
	}
	return kept
}
