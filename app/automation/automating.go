package automation

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/db"
)

// coversOwner reports whether the actor may do all that the owner of an automation may do. A session is asked for what
// a session may do at most, by everybody who had a word in it.
func coversOwner(actor account.Actor, owner *db.User) bool {
	if actor.Session != uuid.Nil {
		return actor.CoversInSession(owner.Permissions)
	}
	return actor.Covers(owner.Permissions)
}

// keepAutomating decides whether the sessions of an automation that is saved may manage automations. Who may not do all
// that its owner may do cannot allow it, which is fault.Invalid; and where they change what was allowed before, it is
// switched off, and the owner told. A program with a token that holds less than the person is among those.
func (s Definitions) keepAutomating(ctx context.Context, tx bun.Tx, actor account.Actor, before,
	a *db.Automation) error {
	if !a.MayAutomate {
		return nil
	}
	owner, err := db.UserByID(ctx, tx, a.CreatorID)
	if err != nil || coversOwner(actor, owner) {
		return err
	}
	if !before.MayAutomate {
		account.RecordRefusal(ctx, actor, "may not let sessions of somebody who may do more manage automations")
		return fault.Invalid{"may_automate": fmt.Sprintf(
			"Only who may do all that %s, the owner, may do can allow this.", owner.Name)}
	}
	a.MayAutomate = false
	return s.notifyCreator(ctx, tx, a, stoppedAutomating(actor, a, "this automation"))
}

// idsOf are the ids of automations.
func idsOf(list []*db.Automation) []uuid.UUID {
	ids := make([]uuid.UUID, len(list))
	for i, a := range list {
		ids[i] = a.ID
	}
	return ids
}

// stoppedAutomating tells the owner of an automation that its sessions do not manage automations any more.
func stoppedAutomating(actor account.Actor, a *db.Automation, what string) inbox.Notice {
	return inbox.Notice{
		Kind: inbox.Rights, Title: a.Name + " manages no automations any more", Key: "rights " + db.NewID().String(),
		Body: fmt.Sprintf(
			"%s, who may do less than its owner, changed %s. So its sessions may not manage automations until that "+
				"is allowed again. "+
				"Look at what it runs first.", actor.Name, what),
	}
}
