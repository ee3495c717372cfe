package automation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/inbox"
	"carillon/db"
)

// pauseAfter is how long a provider is left alone after so many failures in a row, where it does not say itself.
func pauseAfter(failures int) time.Duration {
	switch failures {
	case 1:
		return 5 * time.Minute
	case 2:
		return 15 * time.Minute
	case 3:
		return 30 * time.Minute
	default:
		return time.Hour
	}
}

// noteProvider keeps account of a provider's own trouble. The first failure pauses its starts and tells those who can
// mend it, once; what comes back from it, begun since the newest failure, ends the pause.
//
// Runs that were at work together fail together: they are one failure. All of it concerns one account: the server's, or
// the own one of the session's workspace.
func (s *Service) noteProvider(ctx context.Context, tx bun.Tx, session *db.Session, o Outcome, now time.Time) error {
	id, workspace := session.Provider, uuid.Nil
	if o.OwnAccount {
		workspace = session.WorkspaceID
	}
	p, ok := s.provider(id)
	if !ok || p.Script {
		return nil
	}
	if err := noteModel(ctx, tx, session, o, now); err != nil {
		return err
	}
	if !o.ProviderTrouble && !o.answered() {
		return nil
	}
	pause, err := db.LockPause(ctx, tx, id, workspace)
	if err != nil {
		return err
	}
	switch {
	case !o.ProviderTrouble && (pause == nil || !o.Began.After(pause.FailedAt)):
		return nil
	case !o.ProviderTrouble:
		return s.endPause(ctx, tx, id, workspace)
	case pause == nil:
		pause = &db.ProviderPause{
			Provider: id, WorkspaceID: workspace, Keys: likes(p.Keys), Since: now, FailedAt: now, Failures: 1,
			ErrorClass: o.Class, Reason: o.Reason,
		}
		pause.Until = pauseUntil(pause, o, now)
		begun, err := db.InsertPause(ctx, tx, pause)
		if err != nil || !begun { // another process was quicker, and has told
			return err
		}
		return s.tellOfPause(ctx, tx, p, pause)
	case !o.Began.After(pause.FailedAt):
		if o.RetryAt.After(pause.Until) {
			pause.Until = o.RetryAt
			return db.SavePause(ctx, tx, pause)
		}
		return nil
	default:
		pause.Failures, pause.FailedAt, pause.ErrorClass, pause.Reason = pause.Failures+1, now, o.Class, o.Reason
		pause.Until = pauseUntil(pause, o, now)
		return db.SavePause(ctx, tx, pause)
	}
}

// refusalKept is how long the refusal of a model is told, unless the provider takes the model before.
const refusalKept = 30 * 24 * time.Hour

// noteModel keeps account of the models that a provider refuses to the server's account. A refusal concerns that model
// alone.
func noteModel(ctx context.Context, tx bun.Tx, session *db.Session, o Outcome, now time.Time) error {
	switch {
	case session.Model == "" || o.OwnAccount:
		return nil
	case o.Status == db.Failed && o.Class == "model":
		m := &db.RefusedModel{Provider: session.Provider, Model: session.Model, RefusedAt: now, Reason: o.Reason}
		return db.RecordModelRefusal(ctx, tx, m, now.Add(-refusalKept))
	case o.Status == db.Succeeded:
		return db.ClearModelRefusal(ctx, tx, session.Provider, session.Model, o.Began)
	}
	return nil
}

// answered reports whether the outcome shows that the provider works: of a failure, that it is the task's.
func (o Outcome) answered() bool {
	if o.Status == db.Failed {
		return o.Class == "agent" || o.Class == "context" || o.Class == "permission"
	}
	return o.Status == db.Succeeded
}

// pauseUntil is the time that the provider named, or that of the back-off.
func pauseUntil(p *db.ProviderPause, o Outcome, now time.Time) time.Time {
	if o.RetryAt.After(now) {
		return o.RetryAt
	}
	return now.Add(pauseAfter(p.Failures))
}

// likes writes names of variables as patterns of LIKE.
func likes(keys []string) []string {
	list := make([]string, len(keys))
	for i, key := range keys {
		prefix, open := strings.CutSuffix(key, "*")
		list[i] = strings.NewReplacer(`\`, `\\`, `_`, `\_`, `%`, `\%`).Replace(prefix)
		if open {
			list[i] += "%"
		}
	}
	return list
}

func (s *Service) endPause(ctx context.Context, tx bun.Tx, id string, workspace uuid.UUID) error {
	ended, err := db.EndPause(ctx, tx, id, workspace)
	if err != nil || !ended {
		return err
	}
	return db.Notify(ctx, tx, "queue", [16]byte{})
}

// endPauses ends the pauses of all accounts of a provider.
func (s *Service) endPauses(ctx context.Context, tx bun.Tx, id string) error {
	ended, err := db.EndPauses(ctx, tx, id)
	if err != nil || !ended {
		return err
	}
	return db.Notify(ctx, tx, "queue", [16]byte{})
}

// tellOfPause puts one notice into the inbox of each who may change settings; of a workspace's own account, of its
// members alone.
func (s *Service) tellOfPause(ctx context.Context, tx bun.Tx, p Provider, pause *db.ProviderPause) error {
	people, err := inbox.Keepers(ctx, tx, pause.WorkspaceID)
	if err != nil {
		return err
	}
	whose := "Its runs wait"
	if pause.WorkspaceID != uuid.Nil {
		ws, err := db.WorkspaceByID(ctx, tx, pause.WorkspaceID)
		if err != nil {
			return err
		}
		whose = "It is the account of the workspace " + ws.Name + ". The runs there wait"
	}
	return inbox.Post(ctx, tx, s.Now(), inbox.Notice{
		To: people, Workspace: pause.WorkspaceID, Kind: inbox.ProviderPaused, Title: p.Name + " is paused",
		Body: fmt.Sprintf(
			"%s. %s until %s; then one tries, and the others follow if it succeeds. Nothing was disabled for this.",
			form.Capitalize(pause.Reason), whose, pause.Until.UTC().Format("2 January 15:04 MST")),
		Key: fmt.Sprintf("provider %s%s %d", p.ID, orEmpty(pause.WorkspaceID), pause.Since.UnixNano()),
	})
}

// orEmpty is an id after a space; nothing for none.
func orEmpty(id uuid.UUID) string {
	if id == uuid.Nil {
		return ""
	}
	return " " + id.String()
}

// ResumeProvider lets the sessions of a paused provider start now, whatever their account.
func (s *Service) ResumeProvider(ctx context.Context, actor account.Actor, id string) error {
	if !actor.Can(account.ManageSettings) {
		return fault.ErrForbidden
	}
	p, ok := s.provider(id)
	if !ok {
		return fault.ErrNotFound
	}
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		pauses, err := db.ProviderPauses(ctx, tx)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(pauses, func(p db.ProviderPause) bool { return p.Provider == id })
		if at < 0 {
			return nil
		}
		if err := s.endPauses(ctx, tx, id); err != nil {
			return err
		}
		return s.auditProvider(ctx, tx, actor.ID, "provider.resume", p.Name, pauses[at].Reason, nil, nil)
	})
	return fault.Wrap(err, "resume provider %s", id)
}

// PauseOf finds what keeps a queued session from starting; nil where nothing does.
func (s *Service) PauseOf(ctx context.Context, session uuid.UUID) (*db.ProviderPause, error) {
	pauses, err := db.PausesOf(ctx, s.DB, []uuid.UUID{session})
	if p, ok := pauses[session]; ok {
		return &p, err
	}
	return nil, err
}
