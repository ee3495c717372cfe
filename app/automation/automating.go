package automation

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
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
func (s *Service) keepAutomating(ctx context.Context, tx bun.Tx, actor account.Actor, before, a *db.Automation) error {
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
	return s.tell(ctx, tx, a, stoppedAutomating(actor, a, "this automation"))
}

// atOnce is how many automations are changed by one statement, where something that many use changes.
const atOnce = 500

// stopAutomating is keepAutomating for the automations that use what the actor has changed, such as a bot.
func (s *Service) stopAutomating(ctx context.Context, tx bun.Tx, actor account.Actor, list []db.Automation,
	what string) error {
	for part := range slices.Chunk(list, atOnce) {
		if err := s.stopAutomatingOf(ctx, tx, actor, part, what); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) stopAutomatingOf(ctx context.Context, tx bun.Tx, actor account.Actor, list []db.Automation,
	what string) error {
	people := make([]uuid.UUID, len(list))
	for i := range list {
		people[i] = list[i].CreatorID
	}
	owners, err := db.UsersByID(ctx, tx, distinct(people))
	if err != nil {
		return err
	}
	var stopped []*db.Automation
	var lines []db.AuditEvent
	for i := range list {
		a := &list[i]
		if coversOwner(actor, owners[a.CreatorID]) {
			continue
		}
		before := *a
		a.MayAutomate = false
		stopped, lines = append(stopped, a), append(lines, s.changeLine(actor.ID, "automation.update", &before, a))
	}
	if len(stopped) == 0 {
		return nil
	}
	if err := db.AddAudit(ctx, tx, lines...); err != nil {
		return err
	}
	err = s.tellEach(ctx, tx, stopped, func(a *db.Automation) notice { return stoppedAutomating(actor, a, what) })
	if err != nil {
		return err
	}
	if err := db.StopAutomating(ctx, tx, idsOf(stopped), s.Now()); err != nil {
		return err
	}
	return s.announceChange(ctx, tx, idsOf(stopped)...)
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
func stoppedAutomating(actor account.Actor, a *db.Automation, what string) notice {
	return notice{
		kind: NoticeRights, title: a.Name + " manages no automations any more", key: "rights " + db.NewID().String(),
		body: fmt.Sprintf(
			"%s, who may do less than its owner, changed %s. So its sessions may not manage automations until that "+
				"is allowed again. "+
				"Look at what it runs first.", actor.Name, what),
	}
}
