package automation

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/crash"
	"carillon/app/fault"
	"carillon/db"
)

// GiveUpWorker lets another worker go on with a queued session whose files are on a worker that is silent. It is for
// administrators: what the last turn did not leave at the remote is lost. Errors to tell apart: fault.ErrNotFound,
// fault.ErrForbidden, and fault.Invalid for "worker" where the session does not wait for a silent worker.
func (s Sessions) GiveUpWorker(ctx context.Context, actor account.Actor, id uuid.UUID) error {
	if _, err := s.Find(ctx, actor, id); err != nil {
		return err
	}
	if !actor.Can(account.Admin) {
		return fault.ErrForbidden
	}
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		session, err := db.LockSession(ctx, tx, id)
		if err != nil {
			return err
		}
		now := s.Now()
		home, err := AwayWorker(ctx, tx, session, now)
		if err != nil {
			return err
		}
		if home == nil {
			return fault.Invalid{"worker": "The session does not wait for a worker that is silent."}
		}
		if err := db.MoveSession(ctx, tx, id, now); err != nil {
			return err
		}
		if err := s.audit(ctx, tx, actor, "session.give_up_worker", session,
			map[string]any{"worker": home.Name}); err != nil {
			return err
		}
		crash.Here(crash.MoveWritten)
		if err := db.Notify(ctx, tx, "queue", uuid.Nil); err != nil {
			return err
		}
		return db.Notify(ctx, tx, "session", id)
	})
	return fault.Wrap(err, "give up the worker of session %s", id)
}

// AwayWorker is the silent worker that a queued session waits for, since it has the session's files; nil: it waits for
// none.
func AwayWorker(ctx context.Context, q bun.IDB, session *db.Session, now time.Time) (*db.Worker, error) {
	found, err := AwayWorkers(ctx, q, []db.Session{*session}, now)
	if w, ok := found[session.ID]; ok && err == nil {
		return &w, nil
	}
	return nil, err
}

// AwayWorkers are the silent workers that the queued ones of a list of sessions wait for, by the sessions' ids.
func AwayWorkers(ctx context.Context, q bun.IDB, list []db.Session, now time.Time) (map[uuid.UUID]db.Worker, error) {
	waits := func(s *db.Session) bool {
		return s.Status == db.SessionQueued && !s.AtGate && s.Worker != "" && s.HasWork()
	}
	var ids []string
	for i := range list {
		if waits(&list[i]) {
			ids = append(ids, list[i].Worker)
		}
	}
	workers, err := db.WorkersByID(ctx, q, ids)
	if err != nil {
		return nil, err
	}
	away := map[uuid.UUID]db.Worker{}
	for i := range list {
		w, known := workers[list[i].Worker]
		silent := now.Sub(w.SeenAt)
		if waits(&list[i]) && known && silent > db.WorkerSilence && silent < db.WorkerGone {
			away[list[i].ID] = w
		}
	}
	return away, nil
}

// audit records what was done to a session.
func (s Sessions) audit(ctx context.Context, q bun.IDB, actor account.Actor, action string, session *db.Session,
	after map[string]any) error {
	return db.AddAudit(ctx, q, db.AuditEvent{
		ID: db.NewID(), At: s.Now(), ActorID: actor.ID, Action: action, SubjectKind: "session", SubjectID: session.ID,
		SubjectName: session.Title,
		WorkspaceID: session.WorkspaceID, After: after,
	})
}
