package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/spec"
	"carillon/db"
	"carillon/views"
)

// APIBotItem is a bot as a list has it.
type APIBotItem struct {
	ID         string    `json:"id" format:"uuid"`
	Name       string    `json:"name"`
	URL        string    `json:"url" format:"uri" doc:"Its page."`
	Workspace  *APINamed `json:"workspace,omitempty" doc:"Absent: for all workspaces."`
	Provider   string    `json:"provider" doc:"Empty: that of the automation."`
	Model      string    `json:"model"`
	LocksAgent bool      `json:"locks_agent" doc:"Automations cannot choose another provider or model."`
	ReadOnly   bool      `json:"read_only"`
	Enabled    bool      `json:"enabled"`
	Version    int64     `json:"version" doc:"Send it along with a change."`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
}

// APIBot is a bot in full.
type APIBot struct {
	APIBotItem
	APIBotDetail
}

// APIBotDetail is what a list does not have. Of a field that is in both, JSON has the one of the list.
type APIBotDetail struct{ spec.Bot }

// APIBotFields are what may be said of a bot. What is left out stays, or is as in a new form.
type APIBotFields struct {
	spec.Bot
	WorkspaceID string `json:"workspace_id" doc:"Empty: for all workspaces."`
}

// APIBotChange is a change of a bot.
type APIBotChange struct {
	APIBotFields
	Version int64 `json:"version" required:"true" doc:"The version that was read."`
}

const botsTag = "Bots"

func (a *api) botRoutes() {
	answers(a, apiOp{
		method: http.MethodGet, path: "/bots", name: "listBots", tag: botsTag,
		summary: "List the bots that you may use by name",
	}, a.listBots)
	creates(a, apiOp{method: http.MethodPost, path: "/bots", name: "createBot", tag: botsTag, summary: "Create a bot"},
		a.createBotByAPI)
	answers(a, apiOp{method: http.MethodGet, path: "/bots/{id}", name: "getBot", tag: botsTag, summary: "Get a bot"},
		a.getBot)
	answers(a, apiOp{method: http.MethodPatch, path: "/bots/{id}", name: "updateBot", tag: botsTag,
		summary: "Change a bot",
		about:   "What is left out stays. Runs that have started keep what they started with."}, a.updateBotByAPI)
	does(a, apiOp{method: http.MethodDelete, path: "/bots/{id}", name: "deleteBot", tag: botsTag,
		summary: "Delete a bot",
		about:   "Automations with it that a schedule starts are switched off at once; runs of the others fail."},
		a.deleteBotByAPI)
}

func (a *api) botItem(b *db.Bot) APIBotItem {
	return APIBotItem{
		ID: b.ID.String(), Name: b.Name, URL: a.link(views.BotURL(b.ID.String())),
		Workspace: a.workspaceName(b.Workspace), Provider: b.Provider, Model: b.Model,
		LocksAgent: b.LocksAgent, ReadOnly: b.ReadOnly, Enabled: b.Enabled, Version: b.Version,
		CreatedAt: b.CreatedAt.UTC(), UpdatedAt: b.UpdatedAt.UTC(),
	}
}

func (a *api) listBots(ctx context.Context, actor account.Actor, in *APIListQuery) (pageOf[APIBotItem], error) {
	name, id, err := in.afterName()
	if err != nil {
		return pageOf[APIBotItem]{}, err
	}
	list, err := a.Rules.BotPage(ctx, actor, db.NamePage{AfterName: name, AfterID: id, Limit: in.Limit + 1})
	if err != nil {
		return pageOf[APIBotItem]{}, err
	}
	return paginate(list, in.Limit, a.botItem, func(b *db.Bot) []string { return []string{b.Name, b.ID.String()} }), nil
}

func (a *api) getBot(ctx context.Context, actor account.Actor, in *APIOneByID) (APIBot, error) {
	b, _, err := a.Rules.Bot(ctx, actor, in.id())
	if err != nil {
		return APIBot{}, err
	}
	return APIBot{APIBotItem: a.botItem(b), APIBotDetail: APIBotDetail{automation.BotSpec(b)}}, nil
}

// into takes over fields that a patch has set.
func (f *APIBotFields) into(in *automation.BotInput, patch spec.Patch) error {
	is := f.Bot
	is.Workspace = f.WorkspaceID
	if is.Provider != in.Provider && !patch.Has("model") {
		is.Model = "" // a model is one of its provider's
	}
	for i, tool := range is.AllowedTools {
		if strings.ContainsAny(tool, ",\r\n") {
			return fault.Invalid{fmt.Sprintf("allowed_tools.%d", i): "The name of a tool is one line without commas."}
		}
	}
	in.Bot = is
	return nil
}

type createBotQuery struct{ Body patchOf[APIBotFields] }

func (a *api) createBotByAPI(ctx context.Context, actor account.Actor, in *createBotQuery) (APIBot, string, error) {
	input := automation.BotInput{Bot: spec.New[spec.Bot]()}
	fields, err := in.Body.Over(APIBotFields{Bot: input.Bot})
	if err != nil {
		return APIBot{}, "", err
	}
	if err := fields.into(&input, in.Body.Patch); err != nil {
		return APIBot{}, "", err
	}
	b, err := a.Rules.CreateBot(ctx, actor, input)
	if err != nil {
		return APIBot{}, "", err
	}
	full, err := a.getBot(ctx, actor, &APIOneByID{b.ID.String()})
	return full, "bots/" + b.ID.String(), err
}

type updateBotQuery struct {
	APIOneByID
	Body patchOf[APIBotChange]
}

func (a *api) updateBotByAPI(ctx context.Context, actor account.Actor, in *updateBotQuery) (APIBot, error) {
	was, err := a.Rules.EditableBot(ctx, actor, in.id())
	if err != nil {
		return APIBot{}, err
	}
	input := automation.TypedBot(was)
	change, err := in.Body.Over(APIBotChange{APIBotFields: APIBotFields{Bot: input.Bot, WorkspaceID: input.Workspace}})
	if err != nil {
		return APIBot{}, err
	}
	if err := change.into(&input, in.Body.Patch); err != nil {
		return APIBot{}, err
	}
	input.Version = change.Version
	if _, err := a.Rules.UpdateBot(ctx, actor, was.ID, input); err != nil {
		return APIBot{}, err
	}
	return a.getBot(ctx, actor, &in.APIOneByID)
}

func (a *api) deleteBotByAPI(ctx context.Context, actor account.Actor, in *APIOneByID) error {
	return a.Rules.RemoveBot(ctx, actor, in.id())
}
