package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/form"
)

// Bulk is what is done to several automations.
type Bulk struct {
	Action string   `json:"action" enum:"enable,disable,delete,run"`
	IDs    []string `json:"ids" minItems:"1" maxItems:"500" doc:"Of the automations."`
}

// BulkResult says how many automations something was done to.
type BulkResult struct {
	Done    int            `json:"done"`
	Skipped map[string]int `json:"skipped" doc:"How many were left out, by the reason in words."`
}

// Transferred says what became of a transfer.
type Transferred struct {
	Offered bool `json:"offered" doc:"The person may do more than who gives: it changes hands once they accept, signed in."`
}

// transferRoutes are operations on several automations, and on whose they are.
func (a automations) transferRoutes() {
	answers(a.Server, operation{
		method: http.MethodPost, path: "/automations/bulk", name: "changeAutomations", tag: automationsTag,
		summary: "Do one thing to several automations",
		about:   "Each as if alone. Those that cannot be changed in this way are left out and counted by reason.",
	}, a.change)
	answers(a.Server, operation{
		method: http.MethodPost, path: "/automations/{id}/transfer", name: "transferAutomation", tag: automationsTag,
		summary: "Give an automation to another person",
	}, a.transfer)
}

type changeAutomationsQuery struct{ Body Bulk }

func (a automations) change(
	ctx context.Context, actor account.Actor, in *changeAutomationsQuery,
) (BulkResult, error) {
	ids := make([]uuid.UUID, len(in.Body.IDs))
	for i, text := range in.Body.IDs {
		ids[i] = form.OptionalID(text) // none is not found, and so is left out
	}
	result, err := a.Rules.Definitions().Bulk(ctx, actor, automation.BulkAction(in.Body.Action), ids)
	return BulkResult{Done: result.Done, Skipped: result.Skipped}, err
}

type transferQuery struct {
	OneByID
	Body struct {
		To string `json:"to" format:"uuid" doc:"Id of the person."`
	}
}

func (a automations) transfer(
	ctx context.Context, actor account.Actor, in *transferQuery,
) (Transferred, error) {
	offered, err := a.Rules.Transfers().Transfer(ctx, actor, in.id(), form.OptionalID(in.Body.To))
	return Transferred{Offered: offered}, err
}
