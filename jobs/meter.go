package jobs

import (
	"context"
	"sync"
	"time"

	"carillon/app/transcript"
	"carillon/db"
)

// meterEvery is how often what an agent uses is noted while it is at work, at most.
const meterEvery = 500 * time.Millisecond

// meter notes what an agent has used while it is at work, and ends its turn when a budget is used up by that.
type meter struct {
	w      *work
	turn   *db.Turn
	cancel context.CancelCauseFunc
	told   chan struct{} // something is new
	end    chan struct{}
	ended  chan struct{}

	mu   sync.Mutex
	used transcript.Usage
}

// measure begins to look at what a turn uses. The turn's context ends with the budget; done must be called when the
// agent has ended, and gives what it has told meanwhile.
func (w *work) measure(ctx context.Context, turn *db.Turn) (_ context.Context, m *meter) {
	m = &meter{w: w, turn: turn, told: make(chan struct{}, 1), end: make(chan struct{}), ended: make(chan struct{})}
	ctx, m.cancel = context.WithCancelCause(ctx)
	go m.run(context.WithoutCancel(ctx))
	return ctx, m
}

// tell takes what the turn has used so far.
func (m *meter) tell(u transcript.Usage) {
	m.mu.Lock()
	m.used = u
	m.mu.Unlock()
	select {
	case m.told <- struct{}{}:
	default:
	}
}

func (m *meter) run(ctx context.Context) {
	defer close(m.ended)
	for {
		select {
		case <-m.end:
			return
		case <-m.told:
		}
		m.mu.Lock()
		used := m.used
		m.mu.Unlock()
		used.Known, used.CostKnown = false, false // not all of it yet
		if reason := m.w.noteUsage(ctx, m.turn, m.w.session.Conversation, used); reason != "" {
			m.cancel(budgetUsed(reason))
			return
		}
		select {
		case <-m.end:
			return
		case <-time.After(meterEvery):
		}
	}
}

// done ends the look, once what it is about to note is noted. Where the agent did not tell at its end what the turn
// used, as one that was stopped, it is at least what it had told until then, and of one that tells a part at either
// time the greater part.
func (m *meter) done(final transcript.Usage) transcript.Usage {
	close(m.end)
	<-m.ended
	m.mu.Lock()
	defer m.mu.Unlock()
	more := final.AtLeast(m.used)
	if final.Known {
		more.Input, more.CacheRead, more.CacheWrite, more.Output = final.Input, final.CacheRead, final.CacheWrite,
			final.Output
	}
	if final.CostKnown {
		more.CostUSD = final.CostUSD
	}
	return more
}
