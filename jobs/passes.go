package jobs

import (
	"context"
	"errors"

	"carillon/app/agent"
	"carillon/app/git"
	"carillon/app/toggle"
	"carillon/db"
)

func isReviewPass(k db.TurnKind) bool { return k == db.ReviewTurn || k == db.VerificationTurn }

// runReviewPasses runs the review passes that follow a run: Code Review and Verification. It reports whether there were
// any.
func (w *work) runReviewPasses(ctx context.Context, p agent.Provider, tree git.Worktree, env []string,
	begun *db.Turn) bool {
	list, err := retryValue(ctx, w, "read the passes", func(ctx context.Context) ([]toggle.Pass, error) {
		return toggle.Passes(ctx, w.DB, w.execution.Snapshot.Toggles)
	})
	if err != nil || len(list) == 0 {
		if err != nil {
			w.Log.Error("read the passes", "session", w.session.ID, "err", err)
		}
		return false
	}
	done := map[db.TurnKind]bool{}
	turns, err := w.turnsOfRun(ctx)
	if err != nil {
		w.Log.Error("read the messages", "session", w.session.ID, "err", err)
		return false
	}
	for _, t := range turns {
		done[t.Kind] = !t.FinishedAt.IsZero()
	}
	answer := w.answer
	defer func() { w.answer = answer }() // the run's final answer is not one of a review pass
	ran := false
	for _, pass := range list {
		if done[pass.Kind] || ctx.Err() != nil {
			continue
		}
		if reason := w.overBudget(ctx, true); reason != "" {
			w.warn(pass.Label + " was left out: " + reason + ".")
			continue
		}
		turn := begun
		if turn == nil || turn.Kind != pass.Kind {
			if turn, err = w.addReviewPass(ctx, pass); err != nil {
				w.Log.Error("begin a pass", "session", w.session.ID, "pass", pass.Label, "err", err)
				continue
			}
		}
		o := w.runTurn(ctx, p, tree, env, nil, turn)
		ran = true
		if o.Status == db.Succeeded && pass.Kind == db.ReviewTurn {
			answer := w.answer
			err := w.retryPastEnd(ctx, "note a review", func(ctx context.Context) error {
				return w.Rules.Runs().NotifyOfReview(ctx, w.lease, w.execution.ID, answer)
			})
			if err != nil {
				w.Log.Error("note a review", "session", w.session.ID, "err", err)
			}
		}
	}
	return ran
}

// addReviewPass adds the turn of a review pass to the session and begins it.
func (w *work) addReviewPass(ctx context.Context, pass toggle.Pass) (*db.Turn, error) {
	turn, err := w.addTurn(ctx, &db.Turn{Kind: pass.Kind, Label: pass.Label, Prompt: pass.Prompt})
	if err == nil && turn == nil {
		err = errors.New("it is gone")
	}
	return turn, err
}

// lastAnswer is the answer of the run's last message, for a run that continues with its review passes after a restart.
func (w *work) lastAnswer(ctx context.Context) string {
	turns, err := w.turnsOfRun(ctx)
	if err != nil {
		w.Log.Warn("read the messages", "session", w.session.ID, "err", err)
	}
	answer := ""
	for _, t := range turns {
		if !isReviewPass(t.Kind) && t.Status == db.Succeeded {
			answer = t.Answer
		}
	}
	return answer
}
