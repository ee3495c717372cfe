package automation

import (
	"context"
	"errors"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/db"
)

// Automation finds an automation that a person may see: as a member of its workspace, their own or, with the
// permission, everybody's, and one that they were told of. Otherwise it returns fault.ErrNotFound.
func (s *Service) Automation(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Automation, error) {
	a, err := db.AutomationByID(ctx, s.DB, id)
	if db.IsNotFound(err) {
		return nil, fault.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	if err := s.isMember(ctx, s.DB, actor, a.WorkspaceID); err != nil {
		return nil, err
	}
	if sees(actor, a.CreatorID) {
		return a, nil
	}
	if err := s.wasTold(ctx, actor, db.NoticeSubject{Automation: id}); err != nil {
		return nil, s.unseen(ctx, actor, err, "may not see the automation")
	}
	return a, nil
}

// wasTold lets through who had a notice about something, as far as they are members of its workspace: they may read
// what it is about. Specification, "Auto-disable & failure notifications": "The notification deep-links to the
// session". Otherwise it returns fault.ErrNotFound.
func (s *Service) wasTold(ctx context.Context, actor account.Actor, of db.NoticeSubject) error {
	if actor.Session != uuid.Nil || actor.Token != uuid.Nil && !actor.Can(account.ViewOwn) {
		return fault.ErrNotFound // an agent reads no inbox, and a program may read no more than its token says
	}
	told, err := db.HasNotice(ctx, s.DB, actor.ID, of)
	if err == nil && !told {
		return fault.ErrNotFound
	}
	return err
}

// unseen notes the refusal to let somebody see something.
func (s *Service) unseen(ctx context.Context, actor account.Actor, err error, what string) error {
	if errors.Is(err, fault.ErrNotFound) {
		account.Refused(ctx, actor, what)
	}
	return err
}

// sees reports whether the actor sees what belongs to one of some people, in a workspace that the actor is a member of.
func sees(actor account.Actor, owners ...uuid.UUID) bool {
	return actor.Every(func(p account.Actor) bool {
		return slices.Contains(owners, p.ID) && p.Can(account.ViewOwn) || p.Can(account.ViewAll)
	})
}

// manages reports whether the actor may change what belongs to one of some people and they see.
func manages(actor account.Actor, owners ...uuid.UUID) bool {
	return actor.Every(func(p account.Actor) bool {
		return slices.Contains(owners, p.ID) && p.Can(account.Manage) || p.Can(account.ManageAll)
	})
}

// CanManage reports whether a person may change, run and delete an automation that they see.
func CanManage(actor account.Actor, a *db.Automation) bool { return manages(actor, a.CreatorID) }

// manageable finds an automation that a person may change: fault.ErrNotFound if they may not see it, and
// fault.ErrForbidden if they may not change it.
func (s *Service) manageable(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Automation, error) {
	a, err := s.Automation(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	if !CanManage(actor, a) {
		return nil, fault.ErrForbidden
	}
	return a, nil
}

// lockManageable locks an automation that the actor may change until the transaction ends, and asks under the lock what
// was asked before it: who waited for it may have lost the automation to another owner, or the right to change any,
// meanwhile. It returns the actor as of now too, whom all else that the change needs is to be asked of, and the errors
// of manageable.
func (s *Service) lockManageable(ctx context.Context, tx bun.Tx, actor account.Actor,
	id uuid.UUID) (*db.Automation, account.Actor, error) {
	a, err := db.LockAutomation(ctx, tx, id)
	if db.IsNotFound(err) {
		return nil, actor, fault.ErrNotFound
	}
	if err != nil {
		return nil, actor, err
	}
	if actor, err = s.asOfNow(ctx, tx, actor); err != nil {
		return nil, actor, err
	}
	if err := s.isMember(ctx, tx, actor, a.WorkspaceID); err != nil {
		return nil, actor, err
	}
	switch {
	case CanManage(actor, a):
		return a, actor, nil
	case sees(actor, a.CreatorID):
		return nil, actor, fault.ErrForbidden
	}
	return nil, actor, s.unseen(ctx, actor, fault.ErrNotFound, "may not change the automation any more")
}

// asOfNow is the actor with what of their rights is left now. Whose account has ended is refused. A session was looked
// up for the call that asks, with everybody on whose words it acts.
func (s *Service) asOfNow(ctx context.Context, tx bun.Tx, actor account.Actor) (account.Actor, error) {
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
	return actor.Still(u.Permissions), nil
}

// Editable finds an automation for its edit page, with the errors of every change.
func (s *Service) Editable(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Automation, error) {
	return s.manageable(ctx, actor, id)
}

// isMember lets through the members of a workspace, and administrators; sessions only into their own workspace.
func (s *Service) isMember(ctx context.Context, q bun.IDB, actor account.Actor, workspace uuid.UUID) error {
	if actor.Session != uuid.Nil {
		if actor.Workspace != workspace {
			account.Refused(ctx, actor, "a session has no other workspace than its own")
			return fault.ErrNotFound
		}
		return nil
	}
	if actor.Can(account.Admin) {
		return nil
	}
	ok, err := db.IsMember(ctx, q, workspace, actor.ID)
	if err != nil {
		return err
	}
	if !ok {
		account.Refused(ctx, actor, "is no member of the workspace")
		return fault.ErrNotFound
	}
	return nil
}

// workspace finds a workspace that a person is a member of.
func (s *Service) workspace(ctx context.Context, q bun.IDB, actor account.Actor, id uuid.UUID) (*db.Workspace, error) {
	if err := s.isMember(ctx, q, actor, id); err != nil {
		return nil, err
	}
	w, err := db.WorkspaceByID(ctx, q, id)
	if db.IsNotFound(err) {
		return nil, fault.ErrNotFound
	}
	return w, err
}

// Automations lists the automations that a person may see.
func (s *Service) Automations(ctx context.Context, actor account.Actor,
	f db.AutomationFilter) ([]db.AutomationRow, error) {
	f.Access = actor.Access()
	return db.Automations(ctx, s.DB, f)
}

// Count sums up the automations that a person may see.
func (s *Service) Count(ctx context.Context, actor account.Actor, f db.AutomationFilter) (db.AutomationCounts, error) {
	f.Access = actor.Access()
	return db.CountAutomations(ctx, s.DB, f)
}

// Executions lists the history that a person may see.
func (s *Service) Executions(ctx context.Context, actor account.Actor, f db.ExecutionFilter) ([]db.Execution, error) {
	f.Access = actor.Access()
	return db.Executions(ctx, s.DB, f)
}

// Execution finds one execution of an automation that a person may see.
func (s *Service) Execution(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Execution, error) {
	e, err := db.ExecutionByID(ctx, s.DB, id)
	if db.IsNotFound(err) {
		return nil, fault.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	if err := s.isMember(ctx, s.DB, actor, e.Automation.WorkspaceID); err != nil {
		return nil, err
	}
	if sees(actor, e.Automation.CreatorID) {
		return e, nil
	}
	of := db.NoticeSubject{Automation: e.AutomationID, Execution: id, Session: e.SessionID}
	if err := s.wasTold(ctx, actor, of); err != nil {
		return nil, s.unseen(ctx, actor, err, "may not see the execution")
	}
	return e, nil
}

// Sessions lists the sessions that a person may see.
func (s *Service) Sessions(ctx context.Context, actor account.Actor, f db.SessionFilter) ([]db.Session, error) {
	f.Access = actor.Access()
	return db.Sessions(ctx, s.DB, f)
}

// Live counts the sessions at work that a person may see.
func (s *Service) Live(ctx context.Context, actor account.Actor) (int64, error) {
	return db.CountLive(ctx, s.DB, actor.Access())
}

// mayChangeShared refuses to change or remove a bot or a workflow that is used where the actor has no say: it would
// change what runs there, with the secrets of a workspace that they do not see. now is the workspace that it is to be
// for, or none. It returns fault.Invalid, by the field workspace.
func (s *Service) mayChangeShared(ctx context.Context, actor account.Actor, uses []db.Use, now uuid.UUID,
	what string) error {
	for _, u := range uses {
		if !u.Member && !actor.Can(account.Admin) {
			account.Refused(ctx, actor, "is no member of a workspace that uses the "+what)
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

// stillMay asks once more whether a person may do something, after a wait for somebody else's server in which the
// permission, the membership of a workspace, if one is given, or the account may have been taken from them. It returns
// the actor as of now, whom all else that the change needs is to be asked of.
func (s *Service) stillMay(ctx context.Context, tx bun.Tx, actor account.Actor, p account.Permission,
	workspace uuid.UUID) (account.Actor, error) {
	actor, err := s.asOfNow(ctx, tx, actor)
	if err != nil {
		return actor, err
	}
	if !actor.Can(p) {
		return actor, fault.ErrForbidden
	}
	if workspace == uuid.Nil {
		return actor, nil
	}
	return actor, s.isMember(ctx, tx, actor, workspace)
}

// AutomationRow is Automation with what a list shows beside it. A session may read the automation that started it.
func (s *Service) AutomationRow(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.AutomationRow, error) {
	if own, err := s.isOwnAutomation(ctx, actor, id); err != nil {
		return nil, err
	} else if !own {
		if _, err := s.Automation(ctx, actor, id); err != nil {
			return nil, err
		}
	}
	r, err := db.AutomationRowByID(ctx, s.DB, id)
	if db.IsNotFound(err) { // it was deleted meanwhile
		return nil, fault.ErrNotFound
	}
	return r, err
}

// Transcript lists at most limit events after seq, in order, of a session that a person may see.
func (s *Service) Transcript(ctx context.Context, actor account.Actor, session uuid.UUID, seq int64,
	limit int) ([]db.SessionEvent, error) {
	if _, err := s.Session(ctx, actor, session); err != nil {
		return nil, err
	}
	return db.EventsOf(ctx, s.DB, session, seq, limit)
}
