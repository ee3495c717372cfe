package automation

import (
	"context"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/inbox"
	"carillon/db"
)

// What becomes of the automations that use a bot or a workflow when that changes or goes. Main sets these operations as
// functions of the rooms of bots and workflows.

// atOnce is how many automations are changed by one statement, where something that many use changes.
const atOnce = 500

// StopAutomating decides for the automations that use what the actor has changed, such as a bot, whether their sessions
// may go on to manage automations. What names it in a sentence. See keepAutomating.
func (s Definitions) StopAutomating(ctx context.Context, tx bun.Tx, actor account.Actor, list []db.Automation,
	what string) error {
	for part := range slices.Chunk(list, atOnce) {
		if err := s.stopAutomatingOf(ctx, tx, actor, part, what); err != nil {
			return err
		}
	}
	return nil
}

func (s Definitions) stopAutomatingOf(ctx context.Context, tx bun.Tx, actor account.Actor, list []db.Automation,
	what string) error {
	creators := map[uuid.UUID]bool{}
	for i := range list {
		creators[list[i].CreatorID] = true
	}
	owners, err := db.UsersByID(ctx, tx, slices.Collect(maps.Keys(creators)))
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
	err = s.notifyCreators(ctx, tx, stopped,
		func(a *db.Automation) inbox.Notice { return stoppedAutomating(actor, a, what) })
	if err != nil {
		return err
	}
	if err := db.StopAutomating(ctx, tx, idsOf(stopped), s.Now()); err != nil {
		return err
	}
	return notifyChange(ctx, tx, idsOf(stopped)...)
}

// DisableUsers switches off those of some automations that a schedule starts, since they lost the bot or the workflow
// that they run. It notifies their creators.
func (s Definitions) DisableUsers(ctx context.Context, tx bun.Tx, users []db.Automation, reason string) error {
	for part := range slices.Chunk(users, atOnce) {
		var all, disabled []*db.Automation
		var lines []db.AuditEvent
		for i := range part {
			a := &part[i]
			all = append(all, a)
			if a.Scheduled() && a.Enabled {
				a.Enabled = false
				disabled, lines = append(disabled, a), append(lines, s.auditLine(uuid.Nil, "automation.disable", a,
					reason))
			}
		}
		if len(disabled) > 0 {
			if err := db.SwitchOff(ctx, tx, idsOf(disabled), db.ByRemoval, reason, s.Now()); err != nil {
				return err
			}
			if err := db.AddAudit(ctx, tx, lines...); err != nil {
				return err
			}
			err := s.notifyCreators(ctx, tx, disabled, func(a *db.Automation) inbox.Notice {
				return disabledNotice(a, reason)
			})
			if err != nil {
				return err
			}
		}
		if err := notifyChange(ctx, tx, idsOf(all)...); err != nil {
			return err
		}
	}
	return nil
}
