package account

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/fault"
	"carillon/db"
)

// Authorisation for records of a workspace or of people. Each operation of the rules checks here, and checks again
// under its lock if the result may have changed.

// Found passes on the result of a query for one row, with fault.ErrNotFound in place of the error for no row.
func Found[T any](row T, err error) (T, error) {
	if db.IsNotFound(err) {
		var none T
		return none, fault.ErrNotFound
	}
	return row, err
}

// Sees reports whether the actor may see records of some owners, in a workspace of which the actor is a member.
func (a Actor) Sees(owners ...uuid.UUID) bool {
	return a.All(func(p Actor) bool {
		return slices.Contains(owners, p.ID) && p.Can(ViewOwn) || p.Can(ViewAll)
	})
}

// Manages reports whether the actor may change visible records of some owners.
func (a Actor) Manages(owners ...uuid.UUID) bool {
	return a.All(func(p Actor) bool {
		return slices.Contains(owners, p.ID) && p.Can(Manage) || p.Can(ManageAll)
	})
}

// RequireMember allows the members of a workspace, administrators, and sessions of the workspace. Others get
// fault.ErrNotFound.
func RequireMember(ctx context.Context, q bun.IDB, actor Actor, workspace uuid.UUID) error {
	if actor.Session != uuid.Nil {
		if actor.Workspace != workspace {
			RecordRefusal(ctx, actor, "a session has no other workspace than its own")
			return fault.ErrNotFound
		}
		return nil
	}
	if actor.Can(Admin) {
		return nil
	}
	ok, err := db.IsMember(ctx, q, workspace, actor.ID)
	if err != nil {
		return err
	}
	if !ok {
		RecordRefusal(ctx, actor, "is no member of the workspace")
		return fault.ErrNotFound
	}
	return nil
}

// MemberWorkspace finds a workspace of which the actor is a member. Otherwise it returns fault.ErrNotFound.
func MemberWorkspace(ctx context.Context, q bun.IDB, actor Actor, id uuid.UUID) (*db.Workspace, error) {
	if err := RequireMember(ctx, q, actor, id); err != nil {
		return nil, err
	}
	return Found(db.WorkspaceByID(ctx, q, id))
}

// SeesSession allows a session to its owner, to the creator of its automation, to people who see all sessions, and to
// people with a notice about it, if they are members of its workspace. Others get fault.ErrNotFound.
func SeesSession(ctx context.Context, q bun.IDB, actor Actor, session *db.Session) error {
	if err := RequireMember(ctx, q, actor, session.WorkspaceID); err != nil {
		return err
	}
	if actor.Sees(OwnersOf(session)...) {
		return nil
	}
	return WasTold(ctx, q, actor, db.NoticeSubject{Session: session.ID}, "may not see the session")
}

// OwnersOf are the owners of a session: its own owner and the owner of its automation.
func OwnersOf(session *db.Session) []uuid.UUID {
	owners := []uuid.UUID{session.OwnerID}
	if session.Automation != nil {
		owners = append(owners, session.Automation.CreatorID)
	}
	return owners
}

// WasTold allows a record to people with a notice about it, if they are members of its workspace. Source: the
// specification, "Auto-disable & failure notifications": "The notification deep-links to the session". Others get
// fault.ErrNotFound, and the reason goes into the audit log.
func WasTold(ctx context.Context, q bun.IDB, actor Actor, of db.NoticeSubject, reason string) error {
	// an agent has no inbox, and a program has only the permissions of its token
	may := actor.Session == uuid.Nil && (actor.Token == uuid.Nil || actor.Can(ViewOwn))
	if may {
		told, err := db.HasNotice(ctx, q, actor.ID, of)
		if err != nil || told {
			return err
		}
	}
	return Unseen(ctx, actor, fault.ErrNotFound, reason)
}

// Unseen records a refusal for the audit log if err is fault.ErrNotFound. It returns err.
func Unseen(ctx context.Context, actor Actor, err error, reason string) error {
	if errors.Is(err, fault.ErrNotFound) {
		RecordRefusal(ctx, actor, reason)
	}
	return err
}

// AsOfNow gives the actor with the present permissions. It refuses a deactivated person. The actor of a session is up
// to date already, because it was read for this call.
func AsOfNow(ctx context.Context, tx bun.Tx, actor Actor) (Actor, error) {
	if actor.Session != uuid.Nil {
		return actor, nil
	}
	u, err := db.UserByID(ctx, tx, actor.ID)
	if err != nil {
		return actor, err
	}
	if !u.DeactivatedAt.IsZero() {
		return actor, fault.ErrForbidden
	}
	return actor.Restrict(u.Permissions), nil
}

// StillMay checks a permission again after a wait for another server, during which the person may have lost the
// permission, the membership of a given workspace, or the account. It returns the actor with the present permissions,
// for all further checks.
func StillMay(ctx context.Context, tx bun.Tx, actor Actor, p Permission, workspace uuid.UUID) (Actor, error) {
	actor, err := AsOfNow(ctx, tx, actor)
	if err != nil {
		return actor, err
	}
	if !actor.Can(p) {
		return actor, fault.ErrForbidden
	}
	if workspace == uuid.Nil {
		return actor, nil
	}
	return actor, RequireMember(ctx, tx, actor, workspace)
}

// MayChangeShared refuses to change or remove a bot or a workflow that is used in a workspace of which the actor is not
// a member, because the change would run there with the workspace's secrets. now is the new workspace of the bot or
// workflow, or zero. It returns fault.Invalid, by the field workspace.
func MayChangeShared(ctx context.Context, actor Actor, uses []db.Use, now uuid.UUID, what string) error {
	for _, u := range uses {
		if !u.Member && !actor.Can(Admin) {
			RecordRefusal(ctx, actor, "is no member of a workspace that uses the "+what)
			return fault.Invalid{
				"workspace": "Automations in workspaces that you are not a member of use this " + what +
					", so you cannot change it. Make one of your own.",
			}
		}
		if now != uuid.Nil && u.WorkspaceID != now {
			return fault.Invalid{
				"workspace": "Automations of other workspaces use this " + what +
					". Change those first, or leave it for all workspaces.",
			}
		}
	}
	return nil
}
