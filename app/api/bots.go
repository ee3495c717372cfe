package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"carillon/app/account"
	"carillon/app/bot"
	"carillon/app/fault"
	"carillon/app/spec"
	"carillon/db"
	"carillon/views"
)

// BotItem is a bot as a list has it.
type BotItem struct {
	ID         string    `json:"id" format:"uuid"`
	Name       string    `json:"name"`
	URL        string    `json:"url" format:"uri" doc:"Its page."`
	Workspace  *Named    `json:"workspace,omitempty" doc:"Absent: for all workspaces."`
	Provider   string    `json:"provider" doc:"Empty: that of the automation."`
	Model      string    `json:"model"`
	LocksAgent bool      `json:"locks_agent" doc:"Automations cannot choose another provider or model."`
	ReadOnly   bool      `json:"read_only"`
	Enabled    bool      `json:"enabled"`
	Version    int64     `json:"version" doc:"Send it along with a change."`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
}

// Bot is a bot in full.
type Bot struct {
	BotItem
	BotDetail
}

// BotDetail is what a list does not have. Of a field that is in both, JSON has the one of the list.
type BotDetail struct{ spec.Bot }

// BotFields are what may be said of a bot. What is left out stays, or is as in a new form.
type BotFields struct {
	spec.Bot
	WorkspaceID string `json:"workspace_id" doc:"Empty: for all workspaces."`
}

// BotChange is a change of a bot.
type BotChange struct {
	BotFields
	Version int64 `json:"version" required:"true" doc:"The version that was read."`
}

const botsTag = "Bots"

// bots are the operations on bots.
type bots struct{ *Server }

func (a bots) routes() {
	answers(a.Server, operation{
		method: http.MethodGet, path: "/bots", name: "listBots", tag: botsTag,
		summary: "List the bots that you may use by name",
	}, a.list)
	creates(a.Server, operation{
		method: http.MethodPost, path: "/bots", name: "createBot", tag: botsTag, summary: "Create a bot",
	},
		a.create)
	answers(a.Server, operation{
		method: http.MethodGet, path: "/bots/{id}", name: "getBot", tag: botsTag, summary: "Get a bot",
	},
		a.get)
	answers(a.Server, operation{method: http.MethodPatch, path: "/bots/{id}", name: "updateBot", tag: botsTag,
		summary: "Change a bot",
		about:   "What is left out stays. Runs that have started keep what they started with."}, a.update)
	does(a.Server, operation{method: http.MethodDelete, path: "/bots/{id}", name: "deleteBot", tag: botsTag,
		summary: "Delete a bot",
		about:   "Automations with it that a schedule starts are switched off at once; runs of the others fail."},
		a.delete)
}

func (a bots) item(b *db.Bot) BotItem {
	return BotItem{
		ID: b.ID.String(), Name: b.Name, URL: a.link(views.BotURL(b.ID.String())),
		Workspace: workspaceName(b.Workspace), Provider: b.Provider, Model: b.Model,
		LocksAgent: b.LocksAgent, ReadOnly: b.ReadOnly, Enabled: b.Enabled, Version: b.Version,
		CreatedAt: b.CreatedAt.UTC(), UpdatedAt: b.UpdatedAt.UTC(),
	}
}

func (a bots) list(ctx context.Context, actor account.Actor, in *ListQuery) (PageOf[BotItem], error) {
	name, id, err := in.afterName()
	if err != nil {
		return PageOf[BotItem]{}, err
	}
	list, err := a.Bots.Page(ctx, actor, db.NamePage{AfterName: name, AfterID: id, Limit: in.Limit + 1})
	if err != nil {
		return PageOf[BotItem]{}, err
	}
	return paginate(list, in.Limit, a.item, func(b *db.Bot) []string { return []string{b.Name, b.ID.String()} }), nil
}

func (a bots) get(ctx context.Context, actor account.Actor, in *OneByID) (Bot, error) {
	b, _, err := a.Bots.Find(ctx, actor, in.id())
	if err != nil {
		return Bot{}, err
	}
	return Bot{BotItem: a.item(b), BotDetail: BotDetail{bot.Spec(b)}}, nil
}

// into takes over fields that a patch has set.
func (f *BotFields) into(in *bot.Input, patch spec.Patch) error {
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

type createBotQuery struct{ Body patchOf[BotFields] }

func (a bots) create(ctx context.Context, actor account.Actor, in *createBotQuery) (Bot, string, error) {
	input := bot.Input{Bot: spec.New[spec.Bot]()}
	fields, err := in.Body.Over(BotFields{Bot: input.Bot})
	if err != nil {
		return Bot{}, "", err
	}
	if err := fields.into(&input, in.Body.Patch); err != nil {
		return Bot{}, "", err
	}
	b, err := a.Bots.Create(ctx, actor, input)
	if err != nil {
		return Bot{}, "", err
	}
	full, err := a.get(ctx, actor, &OneByID{b.ID.String()})
	return full, "bots/" + b.ID.String(), err
}

type updateBotQuery struct {
	OneByID
	Body patchOf[BotChange]
}

func (a bots) update(ctx context.Context, actor account.Actor, in *updateBotQuery) (Bot, error) {
	was, err := a.Bots.Editable(ctx, actor, in.id())
	if err != nil {
		return Bot{}, err
	}
	input := bot.Typed(was)
	change, err := in.Body.Over(BotChange{BotFields: BotFields{Bot: input.Bot, WorkspaceID: input.Workspace}})
	if err != nil {
		return Bot{}, err
	}
	if err := change.into(&input, in.Body.Patch); err != nil {
		return Bot{}, err
	}
	input.Version = change.Version
	if _, err := a.Bots.Update(ctx, actor, was.ID, input); err != nil {
		return Bot{}, err
	}
	return a.get(ctx, actor, &in.OneByID)
}

func (a bots) delete(ctx context.Context, actor account.Actor, in *OneByID) error {
	return a.Bots.Remove(ctx, actor, in.id())
}
