package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"carillon/app/account"
	"carillon/app/form"
	"carillon/db"
)

// Delivery is a call of an HTTP Trigger. Secrets that it brought are not in it.
type Delivery struct {
	ID          string          `json:"id" format:"uuid"`
	At          time.Time       `json:"at"`
	Verdict     string          `json:"verdict" doc:"Such as started, busy, filtered, signature, invalid, duplicate."`
	Status      int             `json:"status" doc:"HTTP status of the answer."`
	Answer      json.RawMessage `json:"answer,omitempty" doc:"What was answered. Of one call alone, not in lists."`
	Method      string          `json:"method"`
	Address     string          `json:"address" doc:"Where it came from."`
	Fingerprint string          `json:"token_fingerprint,omitempty" doc:"Which token was used."`
	Size        int64           `json:"size" doc:"Bytes of its body."`
	Body        string          `json:"body,omitempty" doc:"As far as it is kept. Of one call alone, not in lists."`
	ExecutionID string          `json:"execution_id,omitempty" format:"uuid" doc:"What it started."`
	BlockedBy   string          `json:"blocked_by,omitempty" format:"uuid" doc:"The run that was in its way."`
	Calls       int             `json:"calls" doc:"How many calls in a row met the same run, of the first of them; else 1."`
	Replayable  *bool           `json:"replayable,omitempty" doc:"All of it is kept, so it can be sent again. Not in lists."`
}

// deliveries are the operations on the calls of HTTP Triggers.
type deliveries struct{ *Server }

func (a deliveries) routes() {
	answers(a.Server, operation{
		method: http.MethodGet, path: "/automations/{id}/deliveries", name: "listDeliveries", tag: automationsTag,
		summary: "List the calls of an HTTP Trigger, the newest first",
	}, a.list)
	answers(a.Server, operation{
		method: http.MethodGet, path: "/automations/{id}/deliveries/{delivery}", name: "getDelivery",
		tag: automationsTag, summary: "Get a call of an HTTP Trigger",
	}, a.get)
	creates(a.Server, operation{
		method: http.MethodPost, path: "/automations/{id}/deliveries/{delivery}/replays", name: "replayDelivery",
		tag: automationsTag, summary: "Start a run with what a call brought",
		about: "The automation runs as it is now. Neither signature nor filter is asked again.",
	}, a.replay)
}

type listDeliveriesQuery struct {
	OneByID
	ListQuery
	Verdict string `query:"verdict" enum:"started,busy,filtered,signature,invalid,too_large,unable,duplicate,error"`
}

func deliveryItem(d *db.Delivery) Delivery {
	return Delivery{
		ID: d.ID.String(), At: d.At.UTC(), Verdict: d.Verdict, Status: d.Status, Method: d.Method, Address: d.Address,
		Fingerprint: d.Fingerprint, Size: d.Size, ExecutionID: idOrNone(d.ExecutionID),
		BlockedBy: idOrNone(d.BlockedBy),
		Calls:     max(d.Folded, 1),
	}
}

func (a deliveries) list(
	ctx context.Context, actor account.Actor, in *listDeliveriesQuery,
) (PageOf[Delivery], error) {
	f := db.DeliveryFilter{Verdict: in.Verdict, Limit: in.Limit + 1}
	var err error
	if f.Before, err = in.afterID(); err != nil {
		return PageOf[Delivery]{}, err
	}
	list, err := a.Rules.Webhooks().Deliveries(ctx, actor, in.id(), f)
	if err != nil {
		return PageOf[Delivery]{}, err
	}
	return paginate(list, in.Limit, deliveryItem, func(d *db.Delivery) []string { return []string{d.ID.String()} }), nil
}

// OneDelivery names a call of an HTTP Trigger in a path.
type OneDelivery struct {
	OneByID
	Delivery string `path:"delivery" format:"uuid"`
}

func (a deliveries) get(ctx context.Context, actor account.Actor, in *OneDelivery) (Delivery, error) {
	d, err := a.Rules.Webhooks().Delivery(ctx, actor, in.id(), form.OptionalID(in.Delivery))
	if err != nil {
		return Delivery{}, err
	}
	item, whole := deliveryItem(d), d.Complete()
	item.Answer, item.Body, item.Replayable = d.Answer, string(d.Body), &whole
	return item, nil
}

func (a deliveries) replay(
	ctx context.Context, actor account.Actor, in *OneDelivery,
) (Started, string, error) {
	run, err := a.Rules.Webhooks().Replay(ctx, actor, in.id(), form.OptionalID(in.Delivery))
	if err != nil {
		return Started{}, "", err
	}
	return a.started(run.Execution.ID, run.Session.ID, run.Unresolved)
}
