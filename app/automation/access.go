package automation

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/explain"
	"carillon/app/fault"
	"carillon/db"
)

// Find finds an automation that a person may see: as a member of its workspace, their own or, with the
// permission, everybody's, and one that they were told of. Otherwise it returns fault.ErrNotFound.
func (s Definitions) Find(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Automation, error) {
	a, err := account.Found(db.AutomationByID(ctx, s.DB, id))
	if err != nil {
		return nil, err
	}
	if err := account.RequireMember(ctx, s.DB, actor, a.WorkspaceID); err != nil {
		return nil, err
	}
	if actor.Sees(a.CreatorID) {
		return a, nil
	}
	of := db.NoticeSubject{Automation: id}
	if err := account.WasTold(ctx, s.DB, actor, of, "may not see the automation"); err != nil {
		return nil, err
	}
	return a, nil
}

// CanManage reports whether a person may change, run and delete an automation that they see.
func CanManage(actor account.Actor, a *db.Automation) bool { return actor.Manages(a.CreatorID) }

// manageable finds an automation that a person may change: fault.ErrNotFound if they may not see it, and
// fault.ErrForbidden if they may not change it.
func (s Definitions) manageable(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Automation, error) {
	a, err := s.Find(ctx, actor, id)
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
func lockManageable(ctx context.Context, tx bun.Tx, actor account.Actor,
	id uuid.UUID) (*db.Automation, account.Actor, error) {
	a, err := account.Found(db.LockAutomation(ctx, tx, id))
	if err != nil {
		return nil, actor, err
	}
	if actor, err = account.AsOfNow(ctx, tx, actor); err != nil {
		return nil, actor, err
	}
	if err := account.RequireMember(ctx, tx, actor, a.WorkspaceID); err != nil {
		return nil, actor, err
	}
	switch {
	case CanManage(actor, a):
		return a, actor, nil
	case actor.Sees(a.CreatorID):
		return nil, actor, fault.ErrForbidden
	}
	return nil, actor, account.Unseen(ctx, actor, fault.ErrNotFound, "may not change the automation any more")
}

// Editable finds an automation for its edit page, with the errors of every change.
func (s Definitions) Editable(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Automation, error) {
	return s.manageable(ctx, actor, id)
}

// List lists the automations that a person may see.
func (s Definitions) List(ctx context.Context, actor account.Actor,
	f db.AutomationFilter) ([]db.AutomationRow, error) {
	f.Access = actor.Access()
	return db.Automations(ctx, s.DB, f)
}

// Count sums up the automations that a person may see.
func (s Definitions) Count(ctx context.Context, actor account.Actor,
	f db.AutomationFilter) (db.AutomationCounts, error) {
	f.Access = actor.Access()
	return db.CountAutomations(ctx, s.DB, f)
}

// List lists the history that a person may see.
func (s Runs) List(ctx context.Context, actor account.Actor, f db.ExecutionFilter) ([]db.Execution, error) {
	f.Access = actor.Access()
	return db.Executions(ctx, s.DB, f)
}

// Find finds one execution of an automation that a person may see.
func (s Runs) Find(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Execution, error) {
	e, err := account.Found(db.ExecutionByID(ctx, s.DB, id))
	if err != nil {
		return nil, err
	}
	if err := account.RequireMember(ctx, s.DB, actor, e.Automation.WorkspaceID); err != nil {
		return nil, err
	}
	if actor.Sees(e.Automation.CreatorID) {
		return e, nil
	}
	of := db.NoticeSubject{Automation: e.AutomationID, Execution: id, Session: e.SessionID}
	if err := account.WasTold(ctx, s.DB, actor, of, "may not see the execution"); err != nil {
		return nil, err
	}
	return e, nil
}

// List lists the sessions that a person may see.
func (s Sessions) List(ctx context.Context, actor account.Actor, f db.SessionFilter) ([]db.Session, error) {
	f.Access = actor.Access()
	return db.Sessions(ctx, s.DB, f)
}

// CountActive counts the sessions at work that a person may see.
func (s Sessions) CountActive(ctx context.Context, actor account.Actor) (int64, error) {
	return db.CountActiveSessions(ctx, s.DB, actor.Access())
}

// Row is Automation with what a list shows beside it. A session may read the automation that started it.
func (s Definitions) Row(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.AutomationRow, error) {
	if own, err := s.Agents().isOwnAutomation(ctx, actor, id); err != nil {
		return nil, err
	} else if !own {
		if _, err := s.Find(ctx, actor, id); err != nil {
			return nil, err
		}
	}
	return account.Found(db.AutomationRowByID(ctx, s.DB, id))
}

// Transcript lists at most limit events after seq, in order, of a session that a person may see.
func (s Sessions) Transcript(ctx context.Context, actor account.Actor, session uuid.UUID, seq int64,
	limit int) ([]db.SessionEvent, error) {
	if _, err := s.Find(ctx, actor, session); err != nil {
		return nil, err
	}
	return db.EventsOf(ctx, s.DB, session, seq, limit)
}

// Explain says why an automation that a person may see did, or did not, run at a time.
func (s Definitions) Explain(ctx context.Context, actor account.Actor, id uuid.UUID,
	at time.Time) (*explain.Answer, error) {
	a, err := s.Find(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	return explain.At(ctx, s.DB, a, at, s.Now())
}
