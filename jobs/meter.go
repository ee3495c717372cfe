package jobs

import (
	"context"
	"sync"
	"time"

	"carillon/app/transcript"
	"carillon/db"
)

// meterEvery is the shortest interval between two records of an agent's usage while it works.
const meterEvery = 500 * time.Millisecond

// meter records what an agent uses while it works, and ends its turn when a budget is used up.
type meter struct {
	w       *work
	turn    *db.Turn
	cancel  context.CancelCauseFunc
	updated chan struct{} // used has changed
	end     chan struct{}
	ended   chan struct{}

	mu   sync.Mutex
	used transcript.Usage
}

// startMeter begins to record a turn's usage. The returned context ends with the budget. The meter's done must be
// called when the agent has ended.
func (w *work) startMeter(ctx context.Context, turn *db.Turn) (_ context.Context, m *meter) {
	m = &meter{w: w, turn: turn, updated: make(chan struct{}, 1), end: make(chan struct{}), ended: make(chan struct{})}
	ctx, m.cancel = context.WithCancelCause(ctx)
	go m.run(context.WithoutCancel(ctx))
	return ctx, m
}

// report sets what the turn has used so far.
func (m *meter) report(u transcript.Usage) {
	m.mu.Lock()
	m.used = u
	m.mu.Unlock()
	select {
	case m.updated <- struct{}{}:
	default:
	}
}

func (m *meter) run(ctx context.Context) {
	defer close(m.ended)
	for {
		select {
		case <-m.end:
			return
		case <-m.updated:
		}
		m.mu.Lock()
		used := m.used
		m.mu.Unlock()
		used.Known, used.CostKnown = false, false // it is only a part
		if reason := m.w.noteUsage(ctx, m.turn, m.w.session.Conversation, used); reason != "" {
			m.cancel(budgetUsedError(reason))
			return
		}
		select {
		case <-m.end:
			return
		case <-time.After(meterEvery):
		}
	}
}

// done ends the recording and returns the turn's usage. If the agent reported no usage at its end, as one that was
// stopped, the usage is at least what it reported before. Of two partial reports the greater one counts.
func (m *meter) done(final transcript.Usage) transcript.Usage {
	close(m.end)
	<-m.ended
	m.mu.Lock()
	defer m.mu.Unlock()
	more := final.AtLeast(m.used)
	if final.Known {
		more.Input = final.Input
		more.CacheRead = final.CacheRead
		more.CacheWrite = final.CacheWrite
		more.Output = final.Output
	}
	if final.CostKnown {
		more.CostUSD = final.CostUSD
	}
	return more
}
