package webtest

import (
	"context"
	"time"

	"github.com/uptrace/bun"

	"carillon/app/automation"
	"carillon/app/spec"
	"carillon/db"
)

// AgentRun starts a run of an automation of the provider agent.
func (s *Site) AgentRun(b *Browser) *automation.Run {
	s.T.Helper()
	a, _, err := s.Rules.Definitions().Create(s.T.Context(), b.Actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      s.Workspace,
		Trigger:        "manual",
		SessionType:    "chat",
		Prompt:         "Look around.",
		Provider:       "agent",
		Retries:        2,
	}})
	Check(s.T, err)
	run, err := s.Rules.Runs().RunNow(s.T.Context(), b.Actor, a.ID, nil)
	Check(s.T, err)
	return run
}

// Claimed takes the session of a run, as a worker would.
func (s *Site) Claimed(run *automation.Run) db.Lease {
	s.T.Helper()
	tx, err := s.Server.DB.BeginTx(s.T.Context(), nil)
	Check(s.T, err)
	list, err := db.ClaimSessions(s.T.Context(), tx, "w", 1, time.Now(), time.Now().Add(time.Hour))
	Check(s.T, err)
	Check(s.T, tx.Commit())
	if len(list) != 1 || list[0].ID != run.Session.ID {
		s.T.Fatalf("claimed %+v", list)
	}
	return db.Lease{Session: list[0].ID, Worker: "w", Fence: list[0].Fence}
}

// Work claims the queued session and ends its work, as a worker does. What it said is one event.
func (s *Site) Work(said string, end automation.Outcome, changes *db.ChangeSummary) {
	s.T.Helper()
	ctx := s.T.Context()
	var list []db.Session
	Check(s.T, s.Server.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		list, err = db.ClaimSessions(ctx, tx, "test", 10, time.Now(), time.Now().Add(time.Minute))
		return err
	}))
	for i := range list {
		lease := db.Lease{Session: list[i].ID, Worker: "test", Fence: list[i].Fence}
		turns, err := db.TurnsOf(ctx, s.Server.DB, list[i].ID)
		Check(s.T, err)
		Check(s.T, s.Server.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
			return db.AppendEvents(ctx, tx, lease, []db.SessionEvent{{
				SessionID: list[i].ID, Seq: list[i].LastSeq + 1, TurnID: turns[0].ID, At: time.Now(), Kind: "text",
				Body: []byte(`{"kind":"text","text":"` + said + `"}`),
			}})
		}))
		if changes != nil {
			Check(s.T, db.SetChanges(ctx, s.Server.DB, lease, *changes, time.Now()))
		}
		Check(s.T, s.Rules.Runs().Finish(ctx, lease, end))
	}
}

// Started runs an automation of a person and returns the path of its session.
func (b *Browser) Started() string {
	b.T.Helper()
	a, _, err := b.Rules.Definitions().Create(b.T.Context(), b.Actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Audit",
		Workspace:      b.Workspace,
		Trigger:        "manual",
		SessionType:    "chat",
		Prompt:         "Look around.",
		Provider:       "agent",
		Retries:        2,
	}})
	Check(b.T, err)
	run, err := b.Rules.Runs().RunNow(b.T.Context(), b.Actor, a.ID, nil)
	Check(b.T, err)
	return "/sessions/" + run.Session.ID.String()
}
