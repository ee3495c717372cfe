package automation

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/inbox"
	"carillon/db"
)

// Transfer gives an automation to another owner, with whose access it runs by schedule and webhook from then on. Runs
// in flight stay whose they are. The actor needs what every change of it needs. Somebody who may do more than the actor
// is asked first, since what it runs would run with that person's access: offered says so, and that nothing has changed
// yet. Who takes it over themselves, with the right to manage everyone's, has agreed.
//
// It returns fault.Invalid, by the field to, for somebody who cannot own it, and the errors of every change.
func (s Transfers) Transfer(ctx context.Context, actor account.Actor, id, to uuid.UUID) (offered bool, err error) {
	if _, err := s.Definitions().manageable(ctx, actor, id); err != nil {
		return false, err
	}
	err = db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		a, actor, err := lockManageable(ctx, tx, actor, id)
		if err != nil {
			return err
		}
		owner, err := db.UserByID(ctx, tx, to)
		if db.IsNotFound(err) {
			return fault.Invalid{"to": "Choose a person from the list."}
		}
		if err != nil {
			return err
		}
		if a.CreatorID == to {
			return fault.Invalid{"to": owner.Name + " owns it already."}
		}
		if reason, err := s.cannotOwn(ctx, tx, owner, a); err != nil {
			return err
		} else if reason != "" {
			return fault.Invalid{"to": reason}
		}
		if offered = to != actor.ID && !actor.Covers(owner.Permissions); offered {
			err = s.makeOffer(ctx, tx, actor, a, owner)
		} else if err = db.DeleteOffer(ctx, tx, id); err == nil {
			err = s.setOwner(ctx, tx, actor, a, owner)
		}
		if err != nil {
			return err
		}
		return notifyChange(ctx, tx, id)
	})
	return offered && err == nil, fault.Wrap(err, "transfer automation %s", id)
}

// setOwner writes who owns an automation from now on, and tells both.
func (s Transfers) setOwner(ctx context.Context, tx bun.Tx, actor account.Actor, a *db.Automation,
	owner *db.User) error {
	before, err := db.UserByID(ctx, tx, a.CreatorID)
	if err != nil {
		return err
	}
	if err := db.SetCreator(ctx, tx, a.ID, owner.ID, s.Now()); err != nil {
		return err
	}
	if err := s.notifyOwners(ctx, tx, actor, a, before, owner); err != nil {
		return err
	}
	return s.auditOffer(ctx, tx, actor, "automation.transfer", a,
		map[string]any{"owner": before.Name, "creator_id": before.ID.String()},
		map[string]any{"owner": owner.Name, "creator_id": owner.ID.String()})
}

// cannotOwn says why somebody cannot be given an automation, as a sentence, or nothing.
func (s Transfers) cannotOwn(ctx context.Context, q bun.IDB, owner *db.User, a *db.Automation) (string, error) {
	w, err := db.WorkspaceByID(ctx, q, a.WorkspaceID)
	if err != nil {
		return "", err
	}
	member, err := db.IsMember(ctx, q, a.WorkspaceID, owner.ID)
	if err != nil {
		return "", err
	}
	may := func(permission account.Permission) bool { return account.Grants(owner.Permissions, permission) }
	p, _ := s.Providers.Find(form.Or(a.Provider, w.Provider))
	switch {
	case !owner.DeactivatedAt.IsZero():
		return owner.Name + " has no active account.", nil
	case !member && !may(account.Admin):
		return fmt.Sprintf("%s is not a member of the workspace %s.", owner.Name, w.Name), nil
	case !may(account.Manage):
		return owner.Name + " may not have automations.", nil
	case p.Script && !may(account.UseShell):
		return fmt.Sprintf("%s may not use the provider %s.", owner.Name, p.Name), nil
	}
	return "", nil
}

// notifyOwners tells the new owner, and the one before unless they gave it themselves.
func (s Transfers) notifyOwners(ctx context.Context, tx bun.Tx, actor account.Actor, a *db.Automation, before,
	owner *db.User) error {
	n := inbox.Notice{
		Kind: inbox.Transferred, Title: a.Name + " is yours now",
		Body: fmt.Sprintf("%s gave you this automation of %s’s. It runs with your access.", actor.Name, before.Name),
		Key:  "transferred " + db.NewID().String(),
	}
	if actor.ID != owner.ID {
		if err := s.notify(ctx, tx, a, []uuid.UUID{owner.ID}, n); err != nil {
			return err
		}
	}
	about := db.Membership{WorkspaceID: a.WorkspaceID, UserID: before.ID}
	may, err := inbox.MayHear(ctx, tx, []db.Membership{about})
	if err != nil || !may[about] || actor.ID == before.ID {
		return err
	}
	n.Title, n.Body = a.Name+" has another owner", fmt.Sprintf("%s gave it to %s.", actor.Name, owner.Name)
	if actor.ID == owner.ID {
		n.Body = owner.Name + " took it over."
	}
	return s.notify(ctx, tx, a, []uuid.UUID{before.ID}, n)
}

// PossibleOwners lists by name whom an automation could be given or offered to. It returns the errors of every change.
func (s Transfers) PossibleOwners(ctx context.Context, actor account.Actor, id uuid.UUID) ([]db.User, error) {
	a, err := s.Definitions().manageable(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	people, err := db.Users(ctx, s.DB)
	if err != nil {
		return nil, err
	}
	members, err := db.MembersOf(ctx, s.DB, a.WorkspaceID)
	if err != nil {
		return nil, err
	}
	isMember := map[uuid.UUID]bool{}
	for _, m := range members {
		isMember[m.ID] = true
	}
	var list []db.User
	for _, u := range people {
		switch {
		case u.ID == a.CreatorID || !u.DeactivatedAt.IsZero():
		case !isMember[u.ID] && !account.Grants(u.Permissions, account.Admin):
		case !account.Grants(u.Permissions, account.Manage):
		default:
			list = append(list, u)
		}
	}
	return list, nil
}

// HandOver gives the automations of one person to another, each as if alone, at most maxBulk at once. It leaves out
// those that the actor does not see, those that the new owner cannot have and those that they are asked to accept, and
// counts them by reason. It returns fault.ErrForbidden without automations.manage_all.
func (s Transfers) HandOver(ctx context.Context, actor account.Actor, from, to uuid.UUID) (BulkResult, error) {
	result := BulkResult{Action: bulkTransfer, Skipped: map[string]int{}}
	if !actor.Can(account.ManageAll) {
		return result, fault.ErrForbidden
	}
	owner, err := db.UserByID(ctx, s.DB, to)
	if db.IsNotFound(err) || err == nil && (from == to || !owner.DeactivatedAt.IsZero()) {
		return result, fault.Invalid{"to": "Choose a person from the list."}
	}
	if err != nil {
		return result, err
	}
	list, err := db.AutomationsOwned(ctx, s.DB, from, maxBulk)
	if err != nil {
		return result, err
	}
	for _, a := range list {
		offered, err := s.Transfer(ctx, actor, a.ID, to)
		var invalid fault.Invalid
		switch {
		case offered:
			result.Skipped["that "+owner.Name+" is asked to accept"]++
		case err == nil:
			result.Done++
		case errors.Is(err, fault.ErrNotFound), errors.Is(err, fault.ErrForbidden): // noted where it was refused
			result.Skipped["in workspaces that you are not a member of"]++
		case errors.As(err, &invalid):
			result.Skipped["that "+owner.Name+" cannot have"]++
		default:
			return result, err
		}
	}
	return result, nil
}
