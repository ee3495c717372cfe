package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/agent"
	"carillon/db"
)

// How much of a session's transcript is kept: its beginning and its end. What lies between is drained and dropped, so
// that a run that prints 200 MB fills neither memory nor the database. Bytes of the stored form.
const (
	keepHead    = 512 << 10
	keepTail    = 1536 << 10
	keepPending = 4 << 20 // in memory, while the database is slow or away
	maxText     = 64 << 10
	flushEvery  = 100 * time.Millisecond
)

// transcript writes what happens in a session as rows, in batches. Events are numbered without gaps as they come; a gap
// that a reader finds is what was left out.
type transcript struct {
	db    *db.DB
	lease db.Lease
	mask  func([]byte) []byte
	now   func() time.Time
	log   *slog.Logger
	lost  func() // the lease is no longer ours

	mu      sync.Mutex
	turn    uuid.UUID
	seq     int64
	pending []db.SessionEvent
	size    int   // of pending
	taken   int   // bytes added so far, until they reach keepHead
	headSeq int64 // the last event of the beginning, which is never dropped

	// Only the flusher touches what follows.
	head   int // bytes stored of the beginning
	tail   []stored
	tailed int // bytes of tail
}

type stored struct {
	seq  int64
	size int
}

// newTranscript goes on after the events that a session has.
func newTranscript(d *db.DB, lease db.Lease, last int64) *transcript {
	return &transcript{db: d, lease: lease, seq: last}
}

// add appends an event of the runner's own or of the agent.
func (t *transcript) add(kind string, body any) {
	raw, err := json.Marshal(body)
	if err != nil {
		raw, _ = json.Marshal(agent.Event{Kind: agent.EventWarning, Text: "An event could not be recorded: " + err.Error()})
		kind = agent.EventWarning
	}
	raw = t.mask(raw)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seq++
	t.pending = append(t.pending, db.SessionEvent{
		SessionID: t.lease.Session, Seq: t.seq, TurnID: t.turn, At: t.now(), Kind: kind, Body: raw,
	})
	t.size += len(raw)
	if t.taken < keepHead {
		t.taken += len(raw)
		t.headSeq = t.seq
	}
	t.relieve()
}

// relieve drops the oldest of what is pending, but for the beginning, while there is too much.
func (t *transcript) relieve() {
	first := 0
	for first < len(t.pending) && t.pending[first].Seq <= t.headSeq {
		first++
	}
	last := first
	for t.size > keepPending && last < len(t.pending)-1 {
		t.size -= len(t.pending[last].Body)
		last++
	}
	if last > first {
		t.pending = append(t.pending[:first], t.pending[last:]...)
	}
}

// agentEvent appends what an agent said, cut to what a row may hold.
func (t *transcript) agentEvent(e agent.Event) {
	e.Text = cut(e.Text)
	if len(e.Raw) > maxText {
		e.Raw = nil
	}
	if e.Tool != nil {
		tool := *e.Tool
		tool.Result = cut(tool.Result)
		if len(tool.Input) > maxText {
			tool.Input = nil
		}
		tool.Edits = append([]agent.Edit(nil), tool.Edits...)
		for i := range tool.Edits {
			tool.Edits[i].Old, tool.Edits[i].New = cut(tool.Edits[i].Old), cut(tool.Edits[i].New)
		}
		e.Tool = &tool
	}
	t.add(e.Kind, e)
}

func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	return agent.Clean(text[:maxText]) + "\n… cut: the rest was too long to keep"
}

// begin lets the events that follow belong to a turn.
func (t *transcript) begin(turn uuid.UUID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn = turn
}

// run writes what is added until stop is closed, and then what is left. It waits for a database that is away.
func (t *transcript) run(ctx context.Context, stop <-chan struct{}) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.flush(ctx)
		case <-stop:
			for pause := flushEvery; !t.flush(ctx); pause = min(2*pause, 2*time.Second) {
				select {
				case <-ctx.Done():
					return
				case <-time.After(pause):
				}
			}
			return
		}
	}
}

// flush writes what is pending. It reports whether nothing is left to write.
func (t *transcript) flush(ctx context.Context) bool {
	t.mu.Lock()
	batch := t.pending
	t.pending, t.size = nil, 0
	t.mu.Unlock()
	if len(batch) == 0 {
		return true
	}
	batch = t.squeeze(batch)
	drop := t.plan(batch)
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := t.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := db.AppendEvents(ctx, tx, t.lease, batch); err != nil {
			return err
		}
		if drop > 0 {
			if err := db.DropEvents(ctx, tx, t.lease.Session, t.tail[0].seq, t.tail[drop-1].seq); err != nil {
				return err
			}
		}
		return db.Announce(ctx, tx, "session", t.lease.Session)
	})
	switch {
	case errors.Is(err, db.ErrLeaseLost):
		t.lost()
		return true
	case err != nil:
		t.unplan(batch)
		t.mu.Lock()
		defer t.mu.Unlock()
		t.pending = append(batch, t.pending...)
		for _, e := range batch {
			t.size += len(e.Body)
		}
		t.relieve()
		t.log.Warn("write transcript", "session", t.lease.Session, "err", err)
		return false
	}
	for _, s := range t.tail[:drop] {
		t.tailed -= s.size
	}
	t.tail = append([]stored(nil), t.tail[drop:]...)
	return true
}

// squeeze leaves out the middle of a batch that alone is longer than what is kept.
func (t *transcript) squeeze(batch []db.SessionEvent) []db.SessionEvent {
	total := 0
	for _, e := range batch {
		total += len(e.Body)
	}
	if t.head < keepHead || total <= keepTail {
		return batch
	}
	first := 0
	for total > keepTail && first < len(batch)-1 {
		total -= len(batch[first].Body)
		first++
	}
	return batch[first:]
}

// plan accounts for a batch, and returns how many of the tail's oldest events have to go for it.
func (t *transcript) plan(batch []db.SessionEvent) (drop int) {
	for _, e := range batch {
		if t.head < keepHead {
			t.head += len(e.Body)
			continue
		}
		t.tail = append(t.tail, stored{e.Seq, len(e.Body)})
		t.tailed += len(e.Body)
	}
	over := t.tailed - keepTail
	for over > 0 && drop < len(t.tail)-1 {
		over -= t.tail[drop].size
		drop++
	}
	return drop
}

// unplan takes back the account of a batch that could not be written.
func (t *transcript) unplan(batch []db.SessionEvent) {
	first := batch[0].Seq
	for len(t.tail) > 0 && t.tail[len(t.tail)-1].seq >= first {
		t.tailed -= t.tail[len(t.tail)-1].size
		t.tail = t.tail[:len(t.tail)-1]
	}
	for _, e := range batch {
		if len(t.tail) == 0 {
			t.head = max(0, t.head-len(e.Body))
		}
	}
}
