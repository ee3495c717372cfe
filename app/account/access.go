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

// Who may see and change what belongs to a workspace or to people. Each operation of the rules asks here, and asks
// again under its lock where what was found before may have changed.

// Found is what a query for one row returned, with fault.ErrNotFound in place of the error that says that there is
// none.
func Found[T any](row T, err error) (T, error) {
	if db.IsNotFound(err) {
		var none T
		return none, fault.ErrNotFound
	}
	return row, err
}

// Sees reports whether the actor sees what belongs to one of some people, in a workspace that the actor is a member of.
func (a Actor) Sees(owners ...uuid.UUID) bool {
	return a.All(func(p Actor) bool {
		return slices.Contains(owners, p.ID) && p.Can(ViewOwn) || p.Can(ViewAll)
	})
}

// Manages reports whether the actor may change what belongs to one of some people and what the actor sees.
func (a Actor) Manages(owners ...uuid.UUID) bool {
	return a.All(func(p Actor) bool {
		return slices.Contains(owners, p.ID) && p.Can(Manage) || p.Can(ManageAll)
	})
}

// RequireMember lets through the members of a workspace, and administrators; sessions only into their own workspace.
// Everybody else gets fault.ErrNotFound.
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

// MemberWorkspace finds a workspace that the actor is a member of. Otherwise it returns fault.ErrNotFound.
func MemberWorkspace(ctx context.Context, q bun.IDB, actor Actor, id uuid.UUID) (*db.Workspace, error) {
	if err := RequireMember(ctx, q, actor, id); err != nil {
		return nil, err
	}
	return Found(db.WorkspaceByID(ctx, q, id))
}

// SeesSession lets see a session its owner, the creator of its automation, who sees everybody's, and who was told of
// it, as far as they are members of its workspace. Otherwise it returns fault.ErrNotFound.
func SeesSession(ctx context.Context, q bun.IDB, actor Actor, session *db.Session) error {
	if err := RequireMember(ctx, q, actor, session.WorkspaceID); err != nil {
		return err
	}
	if actor.Sees(OwnersOf(session)...) {
		return nil
	}
	return WasTold(ctx, q, actor, db.NoticeSubject{Session: session.ID}, "may not see the session")
}

// OwnersOf are the people whose a session is: its own owner, and that of its automation.
func OwnersOf(session *db.Session) []uuid.UUID {
	owners := []uuid.UUID{session.OwnerID}
	if session.Automation != nil {
		owners = append(owners, session.Automation.CreatorID)
	}
	return owners
}

// WasTold lets through who had a notice about something, as far as they are members of its workspace: they may read
// what it is about. Specification, "Auto-disable & failure notifications": "The notification deep-links to the
// session". Otherwise it returns fault.ErrNotFound, and the audit log gets the reason.
func WasTold(ctx context.Context, q bun.IDB, actor Actor, of db.NoticeSubject, reason string) error {
	// an agent reads no inbox, and a program may read no more than its token says
	may := actor.Session == uuid.Nil && (actor.Token == uuid.Nil || actor.Can(ViewOwn))
	if may {
		told, err := db.HasNotice(ctx, q, actor.ID, of)
		if err != nil || told {
			return err
		}
	}
	return Unseen(ctx, actor, fault.ErrNotFound, reason)
}

// Unseen notes for the audit log that somebody may not see something, where err is fault.ErrNotFound. It returns err.
func Unseen(ctx context.Context, actor Actor, err error, reason string) error {
	if errors.Is(err, fault.ErrNotFound) {
		RecordRefusal(ctx, actor, reason)
	}
	return err
}

// AsOfNow is the actor with what of their rights is left now. Whose account has ended is refused. A session was looked
// up for the call that asks, with everybody on whose words it acts.
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

// StillMay asks once more whether a person may do something, after a wait for somebody else's server in which the
// permission, the membership of a workspace, if one is given, or the account may have been taken from them. It returns
// the actor as of now, whom all else that the change needs is to be asked of.
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

// MayChangeShared refuses to change or remove a bot or a workflow that is used where the actor has no say: it would
// change what runs there, with the secrets of a workspace that they do not see. now is the workspace that it is to be
// for, or none. It returns fault.Invalid, by the field workspace.
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
