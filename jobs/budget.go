package jobs

import (
	"context"
	"math"
	"time"

	"carillon/app/automation"
	"carillon/app/transcript"
	"carillon/db"
)

// budgetUsedError is the cause of a context that ends because a budget is used up. Its text is the reason.
type budgetUsedError string

func (b budgetUsedError) Error() string { return string(b) }

// budgetOutcome is the outcome of a run whose budget is used up. The run has not succeeded, and the outcome is neutral:
// it does not count as a failure of the automation.
func (w *work) budgetOutcome(reason string) automation.Outcome {
	o := w.failedOutcome(db.ErrorBudget, reason)
	o.Neutral = true
	return o
}

// watchBudget ends the returned context when the run's budget of time or money is used up while the agent works.
func (w *work) watchBudget(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := func() { cancel(nil) }
	if w.execution == nil {
		return ctx, stop
	}
	first, err := w.allowance(ctx, false)
	if err != nil || first.Look == 0 {
		if err != nil {
			w.Log.Warn("look at the budget", "execution", w.execution.ID, "err", err)
		}
		return ctx, stop
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for wait := first.Look; ; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			switch a, err := w.Rules.Budgets().Allowance(ctx, w.execution.ID, false); {
			case err != nil:
				wait = time.Second // the database may be reachable again by then
			case a.Reason != "":
				cancel(budgetUsedError(a.Reason))
				return
			case a.Look > 0:
				wait = a.Look
			default: // somebody removed the limit, and may set another
				wait = time.Minute
			}
		}
	}()
	return ctx, func() { stop(); <-done }
}

// allowance reads what the run's budget leaves, and waits while the database cannot be reached.
func (w *work) allowance(ctx context.Context, next bool) (automation.Allowance, error) {
	return retryValue(ctx, w, "look at the budget", func(ctx context.Context) (automation.Allowance, error) {
		return w.Rules.Budgets().Allowance(ctx, w.execution.ID, next)
	})
}

// overBudget gives the reason for which the run's budget does not allow the next message, or an empty text. It allows
// the message when the budget cannot be read.
func (w *work) overBudget(ctx context.Context, next bool) string {
	if w.execution == nil {
		return ""
	}
	a, err := w.allowance(ctx, next)
	if err != nil {
		w.Log.Warn("look at the budget", "execution", w.execution.ID, "err", err)
	}
	return a.Reason
}

// moneyLeft is what the next message may cost by the run's budget, in US dollars; nil: without limit.
func (w *work) moneyLeft(ctx context.Context) *float64 {
	if w.execution == nil {
		return nil
	}
	a, err := w.allowance(ctx, false)
	if err != nil {
		w.Log.Warn("look at the budget", "execution", w.execution.ID, "err", err)
	}
	return a.MostUSD
}

// formerUsage is what earlier turns of the present conversation have used. Some agents report the sum over the whole
// conversation.
func (w *work) formerUsage(ctx context.Context) transcript.Usage {
	if w.session.Conversation == "" {
		return transcript.Usage{}
	}
	u, err := retryValue(ctx, w, "read usage", func(ctx context.Context) (db.Usage, error) {
		return db.ConversationUsage(ctx, w.DB, w.session.ID, w.session.Conversation)
	})
	if err != nil {
		w.Log.Warn("read usage", "session", w.session.ID, "err", err)
	}
	return transcript.Usage{
		Known: u.Counted > 0, Input: u.TokensIn, CacheRead: u.TokensCached, Output: u.TokensOut,
		CostKnown: u.Priced > 0, CostUSD: u.CostUSD,
	}
}

// maxTokens bounds the tokens that are recorded for one turn, so that sums of them fit into a column.
const maxTokens = 1e12

// noteUsage records what a turn has used. It returns the reason when a limit of the budget is used up. It waits while
// the database cannot be reached, also in a run that was asked to end.
func (w *work) noteUsage(ctx context.Context, turn *db.Turn, conversation string, u transcript.Usage) string {
	noted := recordedUsage(turn, conversation, u)
	err := w.retryPastEnd(ctx, "note usage", func(ctx context.Context) error {
		return db.AddUsage(ctx, w.DB, w.lease, turn.ID, noted)
	})
	if err != nil {
		w.Log.Warn("note usage", "turn", turn.ID, "err", err)
	}
	return w.overBudget(w.life, false)
}

// recordedUsage makes the row of a turn's usage from what the agent reported.
func recordedUsage(turn *db.Turn, conversation string, u transcript.Usage) db.TurnUsage {
	noted := db.TurnUsage{Conversation: conversation, Counted: u.Known, Priced: u.CostKnown}
	// A report from before the end of the turn is only a part: its numbers count, and the sum stays unknown.
	tokens := func(n int64) int64 { return min(max(0, n), maxTokens) }
	noted.TokensIn, noted.TokensCached, noted.TokensOut = tokens(tokens(u.Input)+tokens(u.CacheWrite)),
		tokens(u.CacheRead), tokens(u.Output)
	if u.CostUSD > 0 && !math.IsInf(u.CostUSD, 0) {
		noted.CostUSD = min(u.CostUSD, 1e9)
	}
	if before := turn.TurnUsage; before.Counted || before.Priced ||
		before.TokensIn+before.TokensCached+before.TokensOut > 0 || before.CostUSD > 0 {
		// an attempt that failed
		noted.Counted, noted.Priced = noted.Counted || before.Counted, noted.Priced || before.Priced
		noted.TokensIn, noted.TokensCached = noted.TokensIn+before.TokensIn, noted.TokensCached+before.TokensCached
		noted.TokensOut, noted.CostUSD = noted.TokensOut+before.TokensOut, noted.CostUSD+before.CostUSD
	}
	return noted
}
