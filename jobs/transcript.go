package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/crash"
	"carillon/app/jsontext"
	"carillon/app/secret"
	"carillon/app/transcript"
	"carillon/db"
)

// bounds limits a session's transcript, so that a run that prints 200 MB fills neither memory nor the database. The
// numbers are bytes of the stored form. See shrink for the order in which events are cut and dropped.
type bounds struct {
	head    int // the events of this beginning are never dropped
	all     int
	recent  int // the end, which is cut after all else
	pending int // in memory, while the database is slow or away
}

// defaultBounds are the bounds outside tests.
var defaultBounds = bounds{head: 512 << 10, all: 2 << 20, recent: 256 << 10, pending: 4 << 20}

const (
	rowOverhead = 64 // bytes of a row beside its body
	maxText     = 64 << 10
	flushEvery  = 100 * time.Millisecond
)

// Timeouts for the end of a transcript. A run ends even if the end of its transcript is lost.
const (
	endTimeout  = time.Minute     // time for a restart of the database
	stopTimeout = 5 * time.Second // when the server stops or another worker has the session
)

// transcriptWriter writes the events of a session as rows, in batches. Events get consecutive numbers as they come; a
// reader that finds a gap knows that events were dropped.
type transcriptWriter struct {
	db          *db.DB
	lease       db.Lease
	mask        func([]byte) []byte
	now         func() time.Time
	log         *slog.Logger
	onLeaseLost func() // is called when another worker has the session
	bounds      bounds

	mu       sync.Mutex
	turn     uuid.UUID
	seq      int64
	pending  []event
	size     int   // of pending
	headSize int   // bytes added so far, until they reach bounds.head
	headSeq  int64 // number of the last event of the beginning, which is never dropped
	linked   int   // pending events of addWith

	// The following fields are used by the goroutine that flushes alone.
	rows  []retained // the session's events in the database
	total int        // bytes of rows
}

// retained is what decides over how long an event is kept.
type retained struct {
	seq   int64
	size  int
	kind  string
	level int // how often it was cut: the index of the next length in cutLengths
}

// event is an event that is not written yet.
type event struct {
	retained
	row  db.SessionEvent
	with func(ctx context.Context, tx bun.Tx) error // writes something else in the same transaction; may be nil
}

// newTranscriptWriter makes a writer that continues after the session's last event.
func newTranscriptWriter(d *db.DB, lease db.Lease, last int64) *transcriptWriter {
	return &transcriptWriter{db: d, lease: lease, bounds: defaultBounds, seq: last}
}

// resume reads the sizes of the session's events in the database, so that the bounds hold for the whole transcript.
func (t *transcriptWriter) resume(ctx context.Context) error {
	list, err := db.EventSizes(ctx, t.db, t.lease.Session)
	if err != nil {
		return err
	}
	for _, e := range list {
		row := retained{seq: e.Seq, size: e.Bytes + rowOverhead, kind: e.Kind}
		t.rows = append(t.rows, row)
		t.total += row.size
		t.countToHead(row)
	}
	return nil
}

// countToHead counts an event to the beginning while the beginning is not full.
func (t *transcriptWriter) countToHead(e retained) {
	if t.headSize < t.bounds.head {
		t.headSize += e.size
		t.headSeq = e.seq
	}
}

// maskText replaces the run's secrets in a text.
func (t *transcriptWriter) maskText(text string) string { return string(t.mask([]byte(text))) }

// add appends an event of the runner or of the agent. It masks the run's secrets and makes the body storable in a
// column of JSON.
func (t *transcriptWriter) add(kind string, body any) { t.addWith(kind, body, nil) }

// addWith is add with a function that writes something else in the same transaction. The transaction may be repeated
// after a commit whose answer was lost.
func (t *transcriptWriter) addWith(kind string, body any, with func(ctx context.Context, tx bun.Tx) error) {
	raw, err := json.Marshal(t.maskBody(body))
	if err == nil {
		var ok bool
		if raw, ok = jsontext.Storable(raw); !ok {
			err = errors.New("it is nested too deeply")
		}
	}
	if err != nil {
		kind, raw = transcript.KindWarning, warning("An event could not be recorded: "+t.maskText(err.Error()))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seq++
	e := event{retained{seq: t.seq, size: len(raw) + rowOverhead, kind: kind}, db.SessionEvent{
		SessionID: t.lease.Session, Seq: t.seq, TurnID: t.turn, At: t.now(), Kind: kind, Body: raw,
	}, with}
	if with != nil {
		t.linked++
	}
	t.countToHead(e.retained)
	t.pending = append(t.pending, e)
	t.size += e.size
	t.shrinkPending()
}

// warning makes the body of an event with a warning.
func warning(text string) json.RawMessage {
	// an event of a text always marshals
	raw, _ := json.Marshal(transcript.Event{Kind: transcript.KindWarning, Text: agent.Clean(text)})
	return raw
}

// waitForLinked waits until all events of addWith are written. It returns the cause of ctx if ctx ends before.
func (t *transcriptWriter) waitForLinked(ctx context.Context) error {
	for {
		t.mu.Lock()
		linked := t.linked
		t.mu.Unlock()
		if linked == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(flushEvery / 2):
		}
	}
}

// maskBody replaces the run's secrets in the body of an event. It masks the texts of people and agents before they are
// encoded. It leaves Carillon's own fields alone, so that a number of tokens or the kind of an event never changes.
func (t *transcriptWriter) maskBody(body any) any {
	switch b := body.(type) {
	case transcript.Event:
		b.Text, b.ID = t.maskText(b.Text), t.maskText(b.ID)
		b.Raw = t.maskJSON(b.Raw)
		if b.Tool != nil {
			tool := *b.Tool
			tool.Name, tool.Title, tool.Result = t.maskText(tool.Name), t.maskText(tool.Title), t.maskText(tool.Result)
			tool.Input = t.maskJSON(tool.Input)
			tool.Edits = slices.Clone(tool.Edits)
			for i := range tool.Edits {
				e := &tool.Edits[i]
				e.Path, e.Old, e.New = t.maskText(e.Path), t.maskText(e.Old), t.maskText(e.New)
			}
			b.Tool = &tool
		}
		b.Plan = slices.Clone(b.Plan)
		for i := range b.Plan {
			b.Plan[i].Text = t.maskText(b.Plan[i].Text)
		}
		return b
	case transcript.Turn:
		b.Label, b.Prompt = t.maskText(b.Label), t.maskText(b.Prompt)
		return b
	case transcript.TurnEnd:
		b.Reason = t.maskText(b.Reason)
		return b
	}
	return body
}

// maskJSON replaces the run's secrets in JSON of an agent. It drops invalid JSON.
func (t *transcriptWriter) maskJSON(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return nil
	}
	masked, ok := secret.MaskJSON(t.mask, raw)
	if !ok {
		return nil
	}
	return masked
}

// agentEvent appends an event of the agent, with texts truncated to maxText.
func (t *transcriptWriter) agentEvent(e transcript.Event) {
	e = t.maskBody(e).(transcript.Event) // before texts are cut: a part of a secret would not be recognized
	e.Text = automation.Ends(e.Text, maxText)
	if len(e.Raw) > maxText {
		e.Raw = nil
	}
	if e.Tool != nil {
		e.Tool.Result = automation.Ends(e.Tool.Result, maxText)
		if len(e.Tool.Input) > maxText {
			e.Tool.Input = nil
		}
		for i := range e.Tool.Edits {
			e.Tool.Edits[i].Old, e.Tool.Edits[i].New = truncate(e.Tool.Edits[i].Old), truncate(e.Tool.Edits[i].New)
		}
	}
	t.add(e.Kind, e)
}

// truncate bounds a text, and keeps its beginning.
func truncate(text string) string {
	if len(text) <= maxText {
		return text
	}
	return validPrefix(text, maxText) + "\n… cut: the rest was too long to keep"
}

// validPrefix is the beginning of a text in at most so many bytes, without a part of a character at its end.
func validPrefix(text string, most int) string {
	for most > 0 && most < len(text) && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:min(most, len(text))]
}

// cutLengths are the bytes that each text of a tool call keeps when the call is cut for the first time and for the
// second time.
var cutLengths = []int{2048, 200}

// shortenToolCall cuts the input and the result of a tool call. The call keeps its title and its status.
func shortenToolCall(body json.RawMessage, most int) json.RawMessage {
	var e transcript.Event
	if json.Unmarshal(body, &e) != nil || e.Tool == nil {
		return body
	}
	e.Raw = nil
	e.Tool.Result = automation.Ends(e.Tool.Result, most)
	if len(e.Tool.Input) > most {
		e.Tool.Input = nil
	}
	if len(e.Tool.Edits) > most/20 {
		e.Tool.Edits = e.Tool.Edits[:most/20]
	}
	for i := range e.Tool.Edits {
		share := most / len(e.Tool.Edits)
		edit := &e.Tool.Edits[i]
		edit.Old, edit.New = automation.Ends(edit.Old, share), automation.Ends(edit.New, share)
	}
	short, err := json.Marshal(e)
	if err != nil || len(short) >= len(body) {
		return body
	}
	return short
}

// shrink chooses events to cut and to drop so that a list of events becomes smaller by so many bytes, the oldest first.
// It first cuts the results of tools, the newest last. Then it drops output of scripts, and then other events: the
// agent's texts, its tool calls and its errors are worth more. It never drops the beginning.
//
// cut has the indexes of events to cut to the next length in cutLengths. drop has the indexes of events to drop.
func (b bounds) shrink(list []retained, over int, headSeq int64) (cut, drop []int) {
	if over <= 0 {
		return nil, nil
	}
	recent, behind := len(list), 0
	for recent > 0 && behind+list[recent-1].size <= b.recent {
		recent--
		behind += list[recent].size
	}
	chosen := make([]retained, len(list)) // the list afterwards
	copy(chosen, list)
	for level, most := range cutLengths {
		for _, part := range [][2]int{{0, recent}, {recent, len(list)}} {
			for i := part[0]; i < part[1] && over > 0; i++ {
				e := &chosen[i]
				if least := 2*most + 512; e.kind == transcript.KindTool && e.level <= level && e.size > least {
					over -= e.size - least
					e.size, e.level = least, level+1
				}
			}
		}
	}
	for i := range chosen {
		if chosen[i].level > list[i].level {
			cut = append(cut, i)
		}
	}
	for _, output := range []bool{true, false} {
		for i := 0; i < len(chosen)-1 && over > 0; i++ {
			e := &chosen[i]
			if e.size == 0 || e.seq <= headSeq || output != (e.kind == transcript.KindOutput) {
				continue
			}
			over -= e.size
			e.size = 0
			drop = append(drop, i)
		}
	}
	cut = slices.DeleteFunc(cut, func(i int) bool { return chosen[i].size == 0 })
	for _, i := range cut {
		list[i].level = chosen[i].level
	}
	return cut, drop
}

// shrinkPending reduces the pending events when they exceed their bound.
func (t *transcriptWriter) shrinkPending() {
	if t.size > t.bounds.pending {
		t.pending = t.bounds.reduce(t.pending, t.bounds.pending*3/4, t.headSeq)
		t.size = sizeOf(t.pending)
	}
}

// reduce cuts and drops unwritten events until they have at most so many bytes, as far as shrink allows.
func (b bounds) reduce(list []event, most int, headSeq int64) []event {
	account := make([]retained, len(list))
	for i := range list {
		account[i] = list[i].retained
	}
	cut, drop := b.shrink(account, sizeOf(list)-most, headSeq)
	for _, i := range cut {
		e := &list[i]
		e.level = account[i].level
		e.row.Body = shortenToolCall(e.row.Body, cutLengths[e.level-1])
		e.size = len(e.row.Body) + rowOverhead
	}
	return removeIndexes(list, drop)
}

func sizeOf(list []event) (size int) {
	for i := range list {
		size += list[i].size
	}
	return size
}

// removeIndexes gives a list without the elements at some indexes.
func removeIndexes[T any](list []T, drop []int) []T {
	if len(drop) == 0 {
		return list
	}
	gone := make(map[int]bool, len(drop))
	for _, i := range drop {
		gone[i] = true
	}
	left := make([]T, 0, len(list)-len(drop))
	for i := range list {
		if !gone[i] {
			left = append(left, list[i])
		}
	}
	return left
}

// setTurn makes the following events belong to a turn.
func (t *transcriptWriter) setTurn(turn uuid.UUID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn = turn
}

// run writes events until stop gives a timeout, and then writes the rest within this timeout. Before, it waits without
// limit while the database cannot be reached.
func (t *transcriptWriter) run(ctx context.Context, stop <-chan time.Duration) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.flush(ctx)
		case timeout := <-stop:
			t.end(ctx, timeout)
			return
		}
	}
}

// end writes the rest of the events within a timeout.
func (t *transcriptWriter) end(ctx context.Context, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for pause := flushEvery; !t.flush(ctx); pause = min(2*pause, 2*time.Second) {
		select {
		case <-ctx.Done():
			t.mu.Lock()
			defer t.mu.Unlock()
			t.log.Error("the end of a transcript is lost", "session", t.lease.Session, "events", len(t.pending))
			return
		case <-time.After(pause):
		}
	}
}

// flush writes the pending events and reports whether none is left. The events stay pending when the database cannot be
// reached. An event whose content the database refuses is replaced by a warning.
func (t *transcriptWriter) flush(ctx context.Context) bool {
	t.mu.Lock()
	batch, headSeq := t.pending, t.headSeq
	t.pending, t.size = nil, 0
	t.mu.Unlock()
	if len(batch) == 0 {
		return true
	}
	if sizeOf(batch) > t.bounds.all {
		batch = t.bounds.reduce(batch, t.bounds.all, headSeq)
	}
	left, err := t.write(ctx, batch, headSeq)
	defer t.recountLinked()
	switch {
	case errors.Is(err, db.ErrLeaseLost):
		t.onLeaseLost()
		return true
	case err != nil:
		t.mu.Lock()
		defer t.mu.Unlock()
		t.pending = append(left, t.pending...)
		t.size = sizeOf(t.pending)
		t.shrinkPending()
		t.log.Warn("write transcript", "session", t.lease.Session, "err", err)
		return false
	}
	return true
}

// recountLinked counts the events of addWith that are still pending.
func (t *transcriptWriter) recountLinked() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.linked = 0
	for i := range t.pending {
		if t.pending[i].with != nil {
			t.linked++
		}
	}
}

// write writes a batch. It returns the events that are not written, and the reason. It halves a refused batch until it
// finds the event that the database refuses.
func (t *transcriptWriter) write(ctx context.Context, batch []event, headSeq int64) (left []event, err error) {
	err = t.store(ctx, batch, headSeq)
	if err == nil || errors.Is(err, db.ErrLeaseLost) || !db.IsRefused(err) {
		return batch, err
	}
	if len(batch) > 1 {
		half := len(batch) / 2
		if left, err = t.write(ctx, batch[:half], headSeq); err != nil {
			return append(left, batch[half:]...), err
		}
		return t.write(ctx, batch[half:], headSeq)
	}
	e := batch[0]
	t.log.Error("an event cannot be recorded", "session", t.lease.Session, "seq", e.seq, "kind", e.kind, "err", err)
	e.kind, e.row.Kind = transcript.KindWarning, transcript.KindWarning
	e.row.Body = warning("An event could not be recorded: the database does not take what it holds.")
	e.size = len(e.row.Body) + rowOverhead
	if err = t.store(ctx, []event{e}, headSeq); err != nil && db.IsRefused(err) {
		return nil, nil // the session was removed
	}
	return []event{e}, err
}

// store writes a batch in one transaction, cuts and drops older events to make room, and updates rows and total.
func (t *transcriptWriter) store(ctx context.Context, batch []event, headSeq int64) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	rows, total := slices.Clone(t.rows), t.total
	events := make([]db.SessionEvent, len(batch))
	for i := range batch {
		events[i] = batch[i].row
		rows = append(rows, batch[i].retained)
		total += batch[i].size
	}
	err := t.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := db.AppendEvents(ctx, tx, t.lease, events); err != nil {
			return err
		}
		cut, drop := t.bounds.shrink(rows, total-t.bounds.all, headSeq)
		if err := t.truncateRows(ctx, tx, rows, cut); err != nil {
			return err
		}
		if len(drop) > 0 {
			gone := make([]int64, len(drop))
			for i, at := range drop {
				gone[i] = rows[at].seq
			}
			if err := db.DropEvents(ctx, tx, t.lease.Session, gone); err != nil {
				return err
			}
			rows = removeIndexes(rows, drop)
		}
		for i := range batch {
			if with := batch[i].with; with != nil {
				if err := with(ctx, tx); err != nil {
					return err
				}
			}
		}
		return db.Notify(ctx, tx, "session", t.lease.Session)
	})
	if err != nil {
		return err
	}
	crash.Here(crash.WordsWritten)
	t.rows, t.total = rows, 0
	for _, e := range rows {
		t.total += e.size
	}
	return nil
}

// truncateRows cuts the results of stored tool calls, and updates their sizes in rows.
func (t *transcriptWriter) truncateRows(ctx context.Context, tx bun.Tx, rows []retained, cut []int) error {
	if len(cut) == 0 {
		return nil
	}
	at := make(map[int64]int, len(cut))
	seqs := make([]int64, 0, len(cut))
	for _, i := range cut {
		at[rows[i].seq] = i
		seqs = append(seqs, rows[i].seq)
	}
	stored, err := db.EventsBySeq(ctx, tx, t.lease.Session, seqs)
	if err != nil {
		return err
	}
	for i := range stored {
		row := &rows[at[stored[i].Seq]]
		stored[i].Body = shortenToolCall(stored[i].Body, cutLengths[row.level-1])
		row.size = len(stored[i].Body) + rowOverhead
	}
	return db.ReplaceEvents(ctx, tx, stored)
}
