package web

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
)

// APIBulk is what is done to several automations.
type APIBulk struct {
	Action string   `json:"action" enum:"enable,disable,delete,run"`
	IDs    []string `json:"ids" minItems:"1" maxItems:"500" doc:"Of the automations."`
}

// APIBulkResult says how many automations something was done to.
type APIBulkResult struct {
	Done    int            `json:"done"`
	Skipped map[string]int `json:"skipped" doc:"How many were left out, by the reason in words."`
}

// APITransferred says what became of a transfer.
type APITransferred struct {
	Offered bool `json:"offered" doc:"The person may do more than who gives: it changes hands once they accept, signed in."`
}

// transferRoutes are operations on several automations, and on whose they are.
func (a *api) transferRoutes() {
	answers(a, apiOp{
		method: http.MethodPost, path: "/automations/bulk", name: "changeAutomations", tag: automationsTag,
		summary: "Do one thing to several automations",
		about:   "Each as if alone. Those that cannot be changed in this way are left out and counted by reason.",
	}, a.changeAutomations)
	answers(a, apiOp{
		method: http.MethodPost, path: "/automations/{id}/transfer", name: "transferAutomation", tag: automationsTag,
		summary: "Give an automation to another person",
	}, a.transferAutomation)
}

type changeAutomationsQuery struct{ Body APIBulk }

func (a *api) changeAutomations(
	ctx context.Context, actor account.Actor, in *changeAutomationsQuery,
) (APIBulkResult, error) {
	ids := make([]uuid.UUID, len(in.Body.IDs))
	for i, text := range in.Body.IDs {
		ids[i] = optionalID(text) // none is not found, and so is left out
	}
	result, err := a.Rules.Bulk(ctx, actor, automation.BulkAction(in.Body.Action), ids)
	return APIBulkResult{Done: result.Done, Skipped: result.Skipped}, err
}

type transferQuery struct {
	APIOneByID
	Body struct {
		To string `json:"to" format:"uuid" doc:"Id of the person."`
	}
}

func (a *api) transferAutomation(
	ctx context.Context, actor account.Actor, in *transferQuery,
) (APITransferred, error) {
	offered, err := a.Rules.Transfer(ctx, actor, in.id(), optionalID(in.Body.To))
	return APITransferred{Offered: offered}, err
}
