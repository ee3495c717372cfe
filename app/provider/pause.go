package provider

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

// Account is an account by which agents use a provider: the server's, or the own one of a workspace.
type Account struct {
	Provider  Provider
	Workspace uuid.UUID // zero: the server's
}

// Trouble is a failure of a provider itself: not of a task.
type Trouble struct {
	Class, Reason string    // Reason is a sentence's end
	Until         time.Time // when the provider says that it can be used again; zero: it does not say
	Began         time.Time // when the attempt began that met it
}

// Pause leaves an account alone for a time, since its provider failed. The first failure pauses its starts and tells
// those who can mend it, once. Attempts that were at work together fail together: they are one failure. Scripts have no
// account: they are never paused.
func (s *Service) Pause(ctx context.Context, tx bun.Tx, of Account, t Trouble) error {
	pause, err := db.LockPause(ctx, tx, of.Provider.ID, of.Workspace)
	if err != nil {
		return err
	}
	now := s.Now()
	switch {
	case pause == nil:
		pause = &db.ProviderPause{
			Provider: of.Provider.ID, WorkspaceID: of.Workspace, Keys: likePatterns(of.Provider.Keys), Since: now,
			FailedAt: now, Failures: 1, ErrorClass: t.Class, Reason: t.Reason,
		}
		pause.Until = pauseUntil(pause, t, now)
		begun, err := db.InsertPause(ctx, tx, pause)
		if err != nil || !begun { // another process was quicker, and has told
			return err
		}
		return s.notifyOfPause(ctx, tx, of.Provider, pause)
	case !t.Began.After(pause.FailedAt):
		if t.Until.After(pause.Until) {
			pause.Until = t.Until
			return db.SavePause(ctx, tx, pause)
		}
		return nil
	default:
		pause.Failures, pause.FailedAt, pause.ErrorClass, pause.Reason = pause.Failures+1, now, t.Class, t.Reason
		pause.Until = pauseUntil(pause, t, now)
		return db.SavePause(ctx, tx, pause)
	}
}

// Answered ends the pause of an account whose provider has answered an attempt that began since the newest failure.
func (s *Service) Answered(ctx context.Context, tx bun.Tx, of Account, began time.Time) error {
	pause, err := db.LockPause(ctx, tx, of.Provider.ID, of.Workspace)
	if err != nil || pause == nil || !began.After(pause.FailedAt) {
		return err
	}
	return endPause(ctx, tx, of)
}

// refusalKept is how long the refusal of a model is told, unless the provider takes the model before.
const refusalKept = 30 * 24 * time.Hour

// RefuseModel records that a provider refuses a model to the server's account. It concerns that model alone.
func (s *Service) RefuseModel(ctx context.Context, tx bun.Tx, p Provider, model, reason string) error {
	now := s.Now()
	m := &db.RefusedModel{Provider: p.ID, Model: model, RefusedAt: now, Reason: reason}
	return db.RecordModelRefusal(ctx, tx, m, now.Add(-refusalKept))
}

// AcceptModel forgets that a provider has refused a model, unless it did so since the attempt began that got it.
func (s *Service) AcceptModel(ctx context.Context, tx bun.Tx, p Provider, model string, began time.Time) error {
	return db.ClearModelRefusal(ctx, tx, p.ID, model, began)
}

// pauseUntil is the time that the provider named, or that of the back-off.
func pauseUntil(p *db.ProviderPause, t Trouble, now time.Time) time.Time {
	if t.Until.After(now) {
		return t.Until
	}
	return now.Add(pauseAfter(p.Failures))
}

// likePatterns writes names of variables as patterns of LIKE.
func likePatterns(keys []string) []string {
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

func endPause(ctx context.Context, tx bun.Tx, of Account) error {
	ended, err := db.EndPause(ctx, tx, of.Provider.ID, of.Workspace)
	if err != nil || !ended {
		return err
	}
	return db.Notify(ctx, tx, "queue", [16]byte{})
}

// endPauses ends the pauses of all accounts of a provider.
func endPauses(ctx context.Context, tx bun.Tx, id string) error {
	ended, err := db.EndPauses(ctx, tx, id)
	if err != nil || !ended {
		return err
	}
	return db.Notify(ctx, tx, "queue", [16]byte{})
}

// notifyOfPause puts one notice into the inbox of each who may change settings; of a workspace's own account, of its
// members alone.
func (s *Service) notifyOfPause(ctx context.Context, tx bun.Tx, p Provider, pause *db.ProviderPause) error {
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

// Resume lets the sessions of a paused provider start now, whatever their account.
func (s *Service) Resume(ctx context.Context, actor account.Actor, id string) error {
	if !actor.Can(account.ManageSettings) {
		return fault.ErrForbidden
	}
	p, ok := s.Find(id)
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
		if err := endPauses(ctx, tx, id); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor.ID, "provider.resume", p.Name, pauses[at].Reason, nil, nil)
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
