package web

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"carillon/app/account"
	"carillon/db"
)

// APIDelivery is a call of an HTTP Trigger. Secrets that it brought are not in it.
type APIDelivery struct {
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

func (a *api) deliveryRoutes() {
	answers(a, apiOp{
		method: http.MethodGet, path: "/automations/{id}/deliveries", name: "listDeliveries", tag: automationsTag,
		summary: "List the calls of an HTTP Trigger, the newest first",
	}, a.listDeliveries)
	answers(a, apiOp{
		method: http.MethodGet, path: "/automations/{id}/deliveries/{delivery}", name: "getDelivery",
		tag: automationsTag, summary: "Get a call of an HTTP Trigger",
	}, a.getDelivery)
	creates(a, apiOp{
		method: http.MethodPost, path: "/automations/{id}/deliveries/{delivery}/replays", name: "replayDelivery",
		tag: automationsTag, summary: "Start a run with what a call brought",
		about: "The automation runs as it is now. Neither signature nor filter is asked again.",
	}, a.replayDelivery)
}

type listDeliveriesQuery struct {
	APIOneByID
	APIListQuery
	Verdict string `query:"verdict" enum:"started,busy,filtered,signature,invalid,too_large,unable,duplicate,error"`
}

func deliveryItem(d *db.Delivery) APIDelivery {
	return APIDelivery{
		ID: d.ID.String(), At: d.At.UTC(), Verdict: d.Verdict, Status: d.Status, Method: d.Method, Address: d.Address,
		Fingerprint: d.Fingerprint, Size: d.Size, ExecutionID: idOrNone(d.ExecutionID),
		BlockedBy: idOrNone(d.BlockedBy),
		Calls:     max(d.Folded, 1),
	}
}

func (a *api) listDeliveries(
	ctx context.Context, actor account.Actor, in *listDeliveriesQuery,
) (pageOf[APIDelivery], error) {
	f := db.DeliveryFilter{Verdict: in.Verdict, Limit: in.Limit + 1}
	var err error
	if f.Before, err = in.afterID(); err != nil {
		return pageOf[APIDelivery]{}, err
	}
	list, err := a.Rules.Deliveries(ctx, actor, in.id(), f)
	if err != nil {
		return pageOf[APIDelivery]{}, err
	}
	return paginate(list, in.Limit, deliveryItem, func(d *db.Delivery) []string { return []string{d.ID.String()} }), nil
}

// APIOneDelivery names a call of an HTTP Trigger in a path.
type APIOneDelivery struct {
	APIOneByID
	Delivery string `path:"delivery" format:"uuid"`
}

func (a *api) getDelivery(ctx context.Context, actor account.Actor, in *APIOneDelivery) (APIDelivery, error) {
	d, err := a.Rules.Delivery(ctx, actor, in.id(), optionalID(in.Delivery))
	if err != nil {
		return APIDelivery{}, err
	}
	item, whole := deliveryItem(d), d.Complete()
	item.Answer, item.Body, item.Replayable = d.Answer, string(d.Body), &whole
	return item, nil
}

func (a *api) replayDelivery(
	ctx context.Context, actor account.Actor, in *APIOneDelivery,
) (APIStarted, string, error) {
	run, err := a.Rules.Replay(ctx, actor, in.id(), optionalID(in.Delivery))
	if err != nil {
		return APIStarted{}, "", err
	}
	return a.started(run.Execution.ID, run.Session.ID, run.Unresolved)
}
