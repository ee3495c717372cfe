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
	"carillon/app/transcript"
	"carillon/db"
)

// bounds are how much of a session's transcript is kept, so that a run that prints 200 MB fills neither memory nor the
// database. Bytes of the stored form. See shrink for what goes first.
type bounds struct {
	head    int // the events of this beginning are never dropped
	all     int
	recent  int // the end, which is cut after all else
	pending int // in memory, while the database is slow or away
}

// keep are the bounds of every transcript but those of some tests.
var keep = bounds{head: 512 << 10, all: 2 << 20, recent: 256 << 10, pending: 4 << 20}

const (
	perEvent   = 64 // what a row takes beside its body
	maxText    = 64 << 10
	flushEvery = 100 * time.Millisecond
)

// How long the end of a transcript may take. A run ends whatever becomes of its transcript.
const (
	endPatience  = time.Minute     // the database may be restarted meanwhile
	stopPatience = 5 * time.Second // while the server stops, or where another worker has the session
)

// transcriptWriter writes what happens in a session as rows, in batches. Events are numbered without gaps as they come;
// a gap that a reader finds is what was left out.
type transcriptWriter struct {
	db    *db.DB
	lease db.Lease
	mask  func([]byte) []byte
	now   func() time.Time
	log   *slog.Logger
	lost  func() // the lease is no longer ours
	keep  bounds

	mu      sync.Mutex
	turn    uuid.UUID
	seq     int64
	pending []event
	size    int   // of pending
	taken   int   // bytes added so far, until they reach keep.head
	headSeq int64 // the last event of the beginning, which is never dropped
	joined  int   // events with something else to write that are neither written nor given up

	// Only the flusher touches what follows.
	rows  []kept // what the database has of the session
	total int    // bytes of rows
}

// kept is an event that is kept: what decides over how long.
type kept struct {
	seq   int64
	size  int
	kind  string
	level int // how often it was cut: index of the next of cuts
}

// event is one that waits to be written.
type event struct {
	kept
	row  db.SessionEvent
	with func(ctx context.Context, tx bun.Tx) error // what is written in the same transaction; may be nil
}

// newTranscriptWriter goes on after the events that a session has.
func newTranscriptWriter(d *db.DB, lease db.Lease, last int64) *transcriptWriter {
	return &transcriptWriter{db: d, lease: lease, keep: keep, seq: last}
}

// resume reads how much the database has of the session already, so that its bounds hold for all of it.
func (t *transcriptWriter) resume(ctx context.Context) error {
	list, err := db.EventSizes(ctx, t.db, t.lease.Session)
	if err != nil {
		return err
	}
	for _, e := range list {
		row := kept{seq: e.Seq, size: e.Bytes + perEvent, kind: e.Kind}
		t.rows = append(t.rows, row)
		t.total += row.size
		t.head(row)
	}
	return nil
}

// head counts an event to the beginning while that is not complete.
func (t *transcriptWriter) head(e kept) {
	if t.taken < t.keep.head {
		t.taken += e.size
		t.headSeq = e.seq
	}
}

// hide is a text without the run's secrets.
func (t *transcriptWriter) hide(text string) string { return string(t.mask([]byte(text))) }

// add appends an event of the runner's own or of the agent, without the run's secrets and as a column takes it.
func (t *transcriptWriter) add(kind string, body any) { t.addWith(kind, body, nil) }

// addWith is add of an event with which something else is written, in the same transaction: neither is without the
// other. It may be tried again after it was committed, where the answer was lost.
func (t *transcriptWriter) addWith(kind string, body any, with func(ctx context.Context, tx bun.Tx) error) {
	raw, err := json.Marshal(t.masked(body))
	if err == nil {
		var ok bool
		if raw, ok = jsontext.Storable(raw); !ok {
			err = errors.New("it is nested too deeply")
		}
	}
	if err != nil {
		kind, raw = transcript.KindWarning, warning("An event could not be recorded: "+t.hide(err.Error()))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seq++
	e := event{kept{seq: t.seq, size: len(raw) + perEvent, kind: kind}, db.SessionEvent{
		SessionID: t.lease.Session, Seq: t.seq, TurnID: t.turn, At: t.now(), Kind: kind, Body: raw,
	}, with}
	if with != nil {
		t.joined++
	}
	t.head(e.kept)
	t.pending = append(t.pending, e)
	t.size += e.size
	t.relieve()
}

// warning is the body of an event that warns.
func warning(text string) json.RawMessage {
	// texts always marshal
	raw, _ := json.Marshal(transcript.Event{Kind: transcript.KindWarning, Text: agent.Clean(text)})
	return raw
}

// settled waits until no event of addWith waits to be written. It returns the cause of a context that ends before.
func (t *transcriptWriter) settled(ctx context.Context) error {
	for {
		t.mu.Lock()
		joined := t.joined
		t.mu.Unlock()
		if joined == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(flushEvery / 2):
		}
	}
}

// masked is the body of an event without the run's secrets. What people and agents wrote is masked, decoded; fields of
// ours are not, so that a number of tokens or the kind of an event never becomes something else.
func (t *transcriptWriter) masked(body any) any {
	switch b := body.(type) {
	case transcript.Event:
		b.Text, b.ID = t.hide(b.Text), t.hide(b.ID)
		b.Raw = t.maskJSON(b.Raw)
		if b.Tool != nil {
			tool := *b.Tool
			tool.Name, tool.Title, tool.Result = t.hide(tool.Name), t.hide(tool.Title), t.hide(tool.Result)
			tool.Input = t.maskJSON(tool.Input)
			tool.Edits = slices.Clone(tool.Edits)
			for i := range tool.Edits {
				e := &tool.Edits[i]
				e.Path, e.Old, e.New = t.hide(e.Path), t.hide(e.Old), t.hide(e.New)
			}
			b.Tool = &tool
		}
		b.Plan = slices.Clone(b.Plan)
		for i := range b.Plan {
			b.Plan[i].Text = t.hide(b.Plan[i].Text)
		}
		return b
	case transcript.Turn:
		b.Label, b.Prompt = t.hide(b.Label), t.hide(b.Prompt)
		return b
	case transcript.TurnEnd:
		b.Reason = t.hide(b.Reason)
		return b
	}
	return body
}

// maskJSON is JSON of an agent's without the run's secrets; what is none is left out.
func (t *transcriptWriter) maskJSON(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return nil
	}
	masked, ok := automation.MaskJSON(t.mask, raw)
	if !ok {
		return nil
	}
	return masked
}

// agentEvent appends what an agent said, cut to what a row may hold.
func (t *transcriptWriter) agentEvent(e transcript.Event) {
	e = t.masked(e).(transcript.Event) // first: what is left of a secret that is cut could tell it
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
			e.Tool.Edits[i].Old, e.Tool.Edits[i].New = cut(e.Tool.Edits[i].Old), cut(e.Tool.Edits[i].New)
		}
	}
	t.add(e.Kind, e)
}

// cut bounds a text of which the beginning tells what it is.
func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	return wholeStart(text, maxText) + "\n… cut: the rest was too long to keep"
}

// wholeStart is the first bytes of a text, without a character that is cut in two.
func wholeStart(text string, most int) string {
	for most > 0 && most < len(text) && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:min(most, len(text))]
}

// cuts are the bytes that are left of each text of a tool call's result when it is cut once, and once more.
var cuts = []int{2048, 200}

// shorten cuts what a tool was given and gave: the call itself stays, with its title and whether it went well.
func shorten(body json.RawMessage, most int) json.RawMessage {
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

// shrink finds what has to go of a list of events, the oldest first, so that it takes so many bytes less. The words of
// the agent, its tool calls and its errors are worth more than what tools give back and what scripts print: so results
// are cut, the newest last, before anything is dropped; then output goes, and then the rest. The beginning is never
// dropped.
//
// cut are indexes of events to be cut to the next of cuts, by level; drop are indexes to be dropped.
func (b bounds) shrink(list []kept, over int, headSeq int64) (cut, drop []int) {
	if over <= 0 {
		return nil, nil
	}
	recent, behind := len(list), 0
	for recent > 0 && behind+list[recent-1].size <= b.recent {
		recent--
		behind += list[recent].size
	}
	chosen := make([]kept, len(list)) // as they would be
	copy(chosen, list)
	for level, most := range cuts {
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

// relieve makes room among what is pending while there is too much.
func (t *transcriptWriter) relieve() {
	if t.size > t.keep.pending {
		t.pending = t.keep.reduce(t.pending, t.keep.pending*3/4, t.headSeq)
		t.size = sizeOf(t.pending)
	}
}

// reduce makes events that are not written yet take at most so many bytes, as far as that goes.
func (b bounds) reduce(list []event, most int, headSeq int64) []event {
	account := make([]kept, len(list))
	for i := range list {
		account[i] = list[i].kept
	}
	cut, drop := b.shrink(account, sizeOf(list)-most, headSeq)
	for _, i := range cut {
		e := &list[i]
		e.level = account[i].level
		e.row.Body = shorten(e.row.Body, cuts[e.level-1])
		e.size = len(e.row.Body) + perEvent
	}
	return without(list, drop)
}

func sizeOf(list []event) (size int) {
	for i := range list {
		size += list[i].size
	}
	return size
}

// without leaves indexes out of a list.
func without[T any](list []T, drop []int) []T {
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

// begin lets the events that follow belong to a turn.
func (t *transcriptWriter) begin(turn uuid.UUID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn = turn
}

// run writes what is added until stop gives how long the end may take, and then what is left. Until then it waits for a
// database that is away.
func (t *transcriptWriter) run(ctx context.Context, stop <-chan time.Duration) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.flush(ctx)
		case patience := <-stop:
			t.end(ctx, patience)
			return
		}
	}
}

// end writes what is left, within its time.
func (t *transcriptWriter) end(ctx context.Context, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
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

// flush writes what is pending. It reports whether nothing is left to write. Where the database cannot be asked now, it
// stays pending; what the database refuses for what it is is replaced by a warning.
func (t *transcriptWriter) flush(ctx context.Context) bool {
	t.mu.Lock()
	batch, headSeq := t.pending, t.headSeq
	t.pending, t.size = nil, 0
	t.mu.Unlock()
	if len(batch) == 0 {
		return true
	}
	if sizeOf(batch) > t.keep.all {
		batch = t.keep.reduce(batch, t.keep.all, headSeq)
	}
	left, err := t.write(ctx, batch, headSeq)
	defer t.count()
	switch {
	case errors.Is(err, db.ErrLeaseLost):
		t.lost()
		return true
	case err != nil:
		t.mu.Lock()
		defer t.mu.Unlock()
		t.pending = append(left, t.pending...)
		t.size = sizeOf(t.pending)
		t.relieve()
		t.log.Warn("write transcript", "session", t.lease.Session, "err", err)
		return false
	}
	return true
}

// count counts the events of addWith that are left.
func (t *transcriptWriter) count() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.joined = 0
	for i := range t.pending {
		if t.pending[i].with != nil {
			t.joined++
		}
	}
}

// write writes a batch. It returns what is not written, with the reason. A batch that is refused is halved until the
// event is found that the database does not take.
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
	e.size = len(e.row.Body) + perEvent
	if err = t.store(ctx, []event{e}, headSeq); err != nil && db.IsRefused(err) {
		return nil, nil // nothing can be recorded here: the session is gone
	}
	return []event{e}, err
}

// store writes a batch in one transaction, with what has to go for it, and takes account of that.
func (t *transcriptWriter) store(ctx context.Context, batch []event, headSeq int64) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	rows, total := slices.Clone(t.rows), t.total
	events := make([]db.SessionEvent, len(batch))
	for i := range batch {
		events[i] = batch[i].row
		rows = append(rows, batch[i].kept)
		total += batch[i].size
	}
	err := t.db.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		if err := db.AppendEvents(ctx, tx, t.lease, events); err != nil {
			return err
		}
		cut, drop := t.keep.shrink(rows, total-t.keep.all, headSeq)
		if err := t.cutRows(ctx, tx, rows, cut); err != nil {
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
			rows = without(rows, drop)
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

// cutRows cuts the results of tool calls that are stored, and notes how long they are then.
func (t *transcriptWriter) cutRows(ctx context.Context, tx bun.Tx, rows []kept, cut []int) error {
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
		stored[i].Body = shorten(stored[i].Body, cuts[row.level-1])
		row.size = len(stored[i].Body) + perEvent
	}
	return db.ReplaceEvents(ctx, tx, stored)
}
