package automation

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/db"
)

// Deliveries lists the calls of an HTTP Trigger, for whoever may manage it: they hold what its senders sent.
func (s *Service) Deliveries(ctx context.Context, actor account.Actor, id uuid.UUID,
	f db.DeliveryFilter) ([]db.Delivery, error) {
	if _, err := s.manageable(ctx, actor, id); err != nil {
		return nil, err
	}
	return db.Deliveries(ctx, s.DB, id, f)
}

// Delivery finds one call of an HTTP Trigger, for whoever may manage it.
func (s *Service) Delivery(ctx context.Context, actor account.Actor, id, delivery uuid.UUID) (*db.Delivery, error) {
	if _, err := s.manageable(ctx, actor, id); err != nil {
		return nil, err
	}
	d, err := db.DeliveryByID(ctx, s.DB, delivery)
	if db.IsNotFound(err) || err == nil && d.AutomationID != id {
		return nil, fault.ErrNotFound
	}
	return d, err
}

// input reads again what a delivery brought. It returns fault.Invalid for one that was not kept whole, or cannot be
// read.
func (s *Service) input(d *db.Delivery) (parameters map[string]string, payload string, err error) {
	if !d.Complete() {
		kept := fmt.Sprintf("Only the first %d KiB of this call were kept", keepBody>>10)
		if len(d.Body) == 0 {
			kept = "What this call brought was not kept"
		}
		return nil, "", fault.Invalid{"delivery": kept + ", so it cannot be sent again."}
	}
	call, ok := s.call(d)
	if !ok {
		return nil, "",
			fault.Invalid{"delivery": "The secrets of this call cannot be read with this server's secret, so it " +
				"cannot be sent again."}
	}
	parameters, payload, problem := readParameters(call)
	if problem != "" {
		return nil, "", fault.Invalid{"delivery": form.Capitalize(problem) + ", so this call starts nothing."}
	}
	if d.Sealed != nil && payload != "" { // as its own run got it
		_, payload, _ = readParameters(Call{Query: d.Query, ContentType: call.ContentType, Body: d.Body})
	}
	return parameters, payload, nil
}

// Replay starts a run with what a call brought, as the automation is now. Signature and filter are not asked again: a
// person decides. It returns the errors of RunNow, and fault.Invalid for a call that was not kept whole.
func (s *Service) Replay(ctx context.Context, actor account.Actor, id, delivery uuid.UUID) (*Run, error) {
	d, err := s.Delivery(ctx, actor, id, delivery)
	if err != nil {
		return nil, err
	}
	parameters, payload, err := s.input(d)
	if err != nil {
		return nil, err
	}
	return s.again(ctx, actor, id, Trigger{Parameters: parameters, Outside: names(parameters), Payload: payload})
}

// RunAgain starts a run with the input of an earlier one, as the automation is now. It returns the errors of RunNow,
// and whether the automation was edited since.
func (s *Service) RunAgain(ctx context.Context, actor account.Actor,
	execution uuid.UUID) (run *Run, edited bool, err error) {
	e, err := s.Execution(ctx, actor, execution)
	if err != nil {
		return nil, false, err
	}
	a, err := s.manageable(ctx, actor, e.AutomationID)
	if err != nil {
		return nil, false, err
	}
	run, err = s.again(ctx, actor, e.AutomationID, Trigger{Parameters: e.Parameters, Kept: true, Outside: outsideOf(e),
		Payload: e.Parameters[payloadName]})
	return run, e.Snapshot.Version != a.Version, err
}

func (s *Service) again(ctx context.Context, actor account.Actor, id uuid.UUID, by Trigger) (*Run, error) {
	a, err := s.manageable(ctx, actor, id)
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
func (s *Service) Try(ctx context.Context, actor account.Actor, id, delivery uuid.UUID, in Input) (*Trial, error) {
	d, err := s.Delivery(ctx, actor, id, delivery)
	if err != nil {
		return nil, err
	}
	if d.Sealed != nil { // what is shown has no secrets
		d.Sealed, d.Size = nil, int64(len(d.Body))
	}
	parameters, payload, err := s.input(d)
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
	mark := newMark()
	found := ValuesOf(t.Values).fenced(mark, names(parameters))
	_, t.Unresolved = resolve(namesIn(p, in.Prompt), found)
	if t.Prompt = in.Prompt; !p.Script {
		if t.Prompt = fill(in.Prompt, found); in.AppendPayload && payload != "" {
			t.Prompt = withPayload(t.Prompt, payload, mark)
		}
	}
	if _, t.Refused = matches(readFilter(in.Filter, fault.Invalid{}), parameters, payload); len(t.Prompt) > MaxPrompt {
		t.Refused = ErrTooLarge.Error()
	}
	return t, nil
}
