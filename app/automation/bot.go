package automation

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/bot"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/db"
)

// applyBot takes over the bot of an automation, and with it the agent where that is not chosen or the bot decides.
func (s Definitions) applyBot(ctx context.Context, q bun.IDB, actor account.Actor, a *db.Automation, in *Input,
	bad fault.Invalid) error {
	a.BotID = uuid.Nil
	if db.SessionType(in.SessionType) != db.BotType {
		return nil
	}
	id, err := uuid.Parse(in.Bot)
	if err != nil {
		bad["bot"] = "Choose a bot."
		return nil
	}
	b, err := bot.Usable(ctx, q, actor, id)
	switch {
	case errors.Is(err, fault.ErrNotFound), err == nil && b.WorkspaceID != uuid.Nil && b.WorkspaceID != a.WorkspaceID:
		bad["bot"] = "This bot does not exist, or is not for this workspace. Choose another."
		return nil
	case err != nil:
		return err
	}
	a.BotID = id
	if b.LocksAgent {
		in.Provider, in.Model = b.Provider, b.Model
	}
	a.Provider = form.Or(form.Or(in.Provider, b.Provider), a.Provider)
	if p, ok := s.Providers.Find(a.Provider); ok && p.Script {
		bad["provider"] = fmt.Sprintf("%s runs scripts, and a bot is an agent. Choose another provider.", p.Name)
	}
	return nil
}

// agentOf is the provider and the model that a run of an automation is to have: its own, its bot's where that decides
// or where none is chosen, else its workspace's.
func agentOf(a *db.Startable) (provider, model string) {
	provider, model = a.Provider, a.Model
	if a.SessionType == db.BotType && a.BotID != uuid.Nil {
		switch {
		case a.BotLocks:
			return a.BotProvider, a.BotModel
		case provider == "":
			provider = a.BotProvider
		}
		if model == "" && provider == a.BotProvider {
			model = a.BotModel
		}
	}
	if provider == "" {
		provider = a.WorkspaceProvider
	}
	return provider, model
}
