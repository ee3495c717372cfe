package runs

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/transcript"
	"carillon/app/web/present"
	"carillon/db"
	"carillon/views"
)

// transcriptView makes what a page shows of a session's events: pieces of a message become one entry, and a tool call
// with its result another.
type transcriptView struct {
	zone    *time.Location
	now     time.Time
	people  map[uuid.UUID]string  // names of those who wrote messages
	turns   map[uuid.UUID]db.Turn // how they are and when; without what was said
	scripts bool                  // what is written to the session are scripts
	// execution fills the first prompt, so that its placeholders show; nil for none
	execution *db.Execution

	entries []views.Entry
	byID    map[string]int
	seq     int64 // of the last event taken in
	output  int   // index of the output that may still grow, or -1

	open   uuid.UUID         // the turn that has begun and of which no end was seen; zero: none
	begun  bool              // the beginning of that turn was seen
	closed uuid.UUID         // the turn that ended last
	byRow  uuid.UUID         // the same, if its end is known by its row alone
	ends   map[uuid.UUID]int // how often a turn has ended
	last   time.Time         // when the last event came
}

func newTranscriptView(z *time.Location, now time.Time) *transcriptView {
	return &transcriptView{
		zone: z, now: now, byID: map[string]int{}, output: -1, people: map[uuid.UUID]string{},
		turns: map[uuid.UUID]db.Turn{},
		ends:  map[uuid.UUID]int{},
	}
}

// know takes in the turns of the session, as they are now.
func (t *transcriptView) know(turns []db.Turn) {
	for _, turn := range turns {
		t.turns[turn.ID] = db.Turn{
			Status: turn.Status, Reason: turn.Reason, StartedAt: turn.StartedAt, FinishedAt: turn.FinishedAt,
		}
		if turn.Author != nil {
			t.people[turn.AuthorID] = turn.Author.Name
		}
	}
}

// How long an entry may grow by joining the pieces that follow it, in bytes.
const (
	joinOutput = 64 << 10
	joinText   = 64 << 10
)

// forget drops all but the newest entries, and tools that run, so that a page that is followed for hours takes no more
// memory than one that was just opened.
func (t *transcriptView) forget(keep int) {
	if len(t.entries) < 2*keep {
		return
	}
	left, moved := make([]views.Entry, 0, 2*keep), map[int]int{}
	running := 0
	for i, e := range t.entries {
		if e.Tool != nil && e.Tool.Status == "running" && running < keep/2 {
			running++
		} else if i < len(t.entries)-keep {
			continue
		}
		moved[i] = len(left)
		left = append(left, e)
	}
	for id, i := range t.byID {
		if j, ok := moved[i]; ok {
			t.byID[id] = j
		} else {
			delete(t.byID, id)
		}
	}
	t.entries, t.output = left, -1
}

// add takes in an event, and returns the entries that it made or changed.
func (t *transcriptView) add(ev *db.SessionEvent) []views.Entry {
	var changed []views.Entry
	if t.seq > 0 && ev.Seq > t.seq+1 {
		changed = append(changed, t.put(views.Entry{
			ID: fmt.Sprintf("gap-%d", ev.Seq), Kind: "note", At: ev.At.In(t.zone),
			Text: form.Count(int(ev.Seq-t.seq-1), "entry") +
				" left out here, because the limit for stored output was reached",
		}))
	}
	t.seq = ev.Seq
	if t.breaksOff(ev) {
		changed = append(changed, t.breakOff()...)
	}
	if ev.Kind == transcript.KindTurnEnd {
		changed = append(changed, t.stopTools(ev.At.In(t.zone))...)
	}
	if e, ok := t.entry(ev); ok {
		changed = append(changed, e)
	}
	t.follow(ev)
	return changed
}

// breaksOff reports whether an event shows that another process goes on with the session, and that the former wrote no
// end.
func (t *transcriptView) breaksOff(ev *db.SessionEvent) bool {
	return t.open != uuid.Nil && (ev.TurnID != t.open || ev.Kind == transcript.KindTurn)
}

// follow keeps account of the turn that is at work.
func (t *transcriptView) follow(ev *db.SessionEvent) {
	t.last = ev.At
	switch {
	case ev.TurnID == uuid.Nil:
	case ev.Kind == transcript.KindTurn:
		t.open, t.begun = ev.TurnID, true
		t.closed, t.byRow = uuid.Nil, uuid.Nil
	case ev.Kind == transcript.KindRetry:
		t.open, t.begun, t.closed = uuid.Nil, false, ev.TurnID
	case ev.TurnID != t.closed: // its beginning is further above
		t.open = ev.TurnID
	}
}

// breakOff ends the turn of which no end was written: the worker was killed, or another has its session. What is known
// of its end is what the turn's row says. It returns the entries that it made or changed.
func (t *transcriptView) breakOff() []views.Entry {
	turn, stored := t.turns[t.open]
	// else its row speaks of how it went on
	begun, known := t.begun, !turn.FinishedAt.IsZero() && !turn.StartedAt.After(t.last)
	e := views.Entry{ID: t.end(t.open, true), Kind: "note", At: t.last.In(t.zone)}
	if known {
		e.At = turn.FinishedAt.In(t.zone)
	}
	switch {
	case !stored && !begun: // a command of Carillon's, of which only lines behind its end may be shown here
	case !known:
		e.Text = "The work was interrupted here, and its end was not recorded."
	case turn.Status == db.Succeeded:
		e.Text = "Finished after " + views.Took(turn.FinishedAt.Sub(turn.StartedAt))
	case turn.Status == db.Canceled:
		e.Text = fault.Sentence(cmp.Or(turn.Reason, "canceled"))
	default:
		e.Kind, e.Text = "error", turn.Reason
	}
	t.output = -1
	changed := t.stopTools(e.At)
	if e.Text == "" {
		return changed
	}
	return append(changed, t.put(e))
}

// rest ends the turn at work where nobody works on the session any more. It returns the entries that it made or
// changed.
func (t *transcriptView) rest() []views.Entry {
	if t.turns[t.open].FinishedAt.IsZero() { // it comes again
		return nil
	}
	return t.breakOff()
}

// end counts an end of a turn, and returns the id of its entry. It is the same whether the end is an event or known by
// the turn's row alone, so that an event that comes late replaces what was shown in its place. A turn that was begun
// anew has more ends.
func (t *transcriptView) end(turn uuid.UUID, byRow bool) string {
	if byRow || t.byRow != turn {
		t.ends[turn]++
	}
	t.open, t.begun, t.closed, t.byRow = uuid.Nil, false, turn, uuid.Nil
	if byRow {
		t.byRow = turn
	}
	return fmt.Sprintf("end-%s-%d", turn.String()[24:], t.ends[turn])
}

// put appends an entry, or replaces the one with its id.
func (t *transcriptView) put(e views.Entry) views.Entry {
	if i, ok := t.byID[e.ID]; ok {
		t.entries[i] = e
		return e
	}
	t.byID[e.ID] = len(t.entries)
	t.entries = append(t.entries, e)
	return e
}

func (t *transcriptView) entry(ev *db.SessionEvent) (views.Entry, bool) {
	at := ev.At.In(t.zone)
	own := "e" + strconv.FormatInt(ev.Seq, 10)
	switch ev.Kind {
	case transcript.KindTurn:
		t.output = -1
		var turn transcript.Turn
		if json.Unmarshal(ev.Body, &turn) != nil {
			return views.Entry{}, false
		}
		e := views.Entry{ID: own, Kind: "user", At: at, Text: turn.Prompt, Who: t.people[turn.Author], Code: t.scripts}
		switch db.TurnKind(turn.Kind) {
		case db.PromptTurn:
			e.Kind, e.Who = "prompt", "Prompt"
			if t.execution != nil && t.execution.Snapshot.Prompt != "" {
				e.Fill = withRest(promptParts(t.execution), turn.Prompt)
			}
		case db.StepTurn, db.ReviewTurn, db.VerificationTurn:
			e.Kind, e.Who = "prompt", cmp.Or(turn.Label, turn.Kind)
		}
		return t.put(e), true
	case transcript.KindTurnEnd:
		t.output = -1
		var end transcript.TurnEnd
		if json.Unmarshal(ev.Body, &end) != nil {
			return views.Entry{}, false
		}
		if ev.TurnID != uuid.Nil {
			own = t.end(ev.TurnID, false)
		}
		took := views.Took(time.Duration(end.Seconds * float64(time.Second)))
		if used := present.Used(end.Usage); used != "" {
			took += " · " + used
		}
		if kind := views.FailureWord(end.Class); kind != "" {
			end.Reason = kind + ": " + end.Reason
		}
		switch db.ExecutionStatus(end.Status) {
		case db.Succeeded:
			return t.put(views.Entry{ID: own, Kind: "note", At: at, Text: "Finished after " + took}), true
		case db.Canceled:
			return t.put(views.Entry{ID: own, Kind: "note", At: at, Text: "Canceled after " + took}), true
		default:
			return t.put(views.Entry{ID: own, Kind: "error", At: at, Text: end.Reason + "\nAfter " + took}), true
		}
	}
	if ev.Kind == transcript.KindRetry {
		t.output = -1
		var again transcript.Retry
		if json.Unmarshal(ev.Body, &again) != nil {
			return views.Entry{}, false
		}
		return t.put(views.Entry{
			ID: own, Kind: "note", At: at, Text: fmt.Sprintf("Attempt %d of %d failed. The next one starts at %s.",
				again.Failed, again.Allowed, again.At.In(t.zone).Format("15:04:05")),
		}), true
	}
	var a transcript.Event
	if json.Unmarshal(ev.Body, &a) != nil {
		return views.Entry{}, false
	}
	if ev.Kind != transcript.KindOutput {
		t.output = -1
	}
	id := own
	if a.ID != "" {
		id = ev.Kind + "-" + ev.TurnID.String()[24:] + "-" + elementID(a.ID)
	}
	switch ev.Kind {
	case transcript.KindOutput:
		return t.addOutput(own, at, &a)
	case transcript.KindText, transcript.KindThought:
		kind := "agent"
		if ev.Kind == transcript.KindThought {
			kind = "thought"
		}
		if id == own { // pieces of one message follow each other
			if n := len(t.entries); n > 0 && t.entries[n-1].Kind == kind {
				id = t.entries[n-1].ID
			}
		}
		e := views.Entry{ID: id, Kind: kind, At: at}
		if i, ok := t.byID[id]; ok {
			if e = t.entries[i]; len(e.Text)+len(a.Text) > joinText {
				// it is sent anew with each piece, so it goes on as another entry
				e = t.put(views.Entry{ID: own, Kind: kind, At: at, Text: a.Text})
				t.byID[id] = t.byID[own]
				return e, true
			}
		}
		e.Text += a.Text
		return t.put(e), true
	case transcript.KindTool:
		return t.addTool(id, at, &a), true
	case transcript.KindPlan:
		e := views.Entry{ID: "plan-" + ev.TurnID.String()[24:], Kind: "plan", At: at}
		for _, step := range a.Plan {
			e.Plan = append(e.Plan, views.PlanStep{Text: step.Text, State: step.State})
		}
		return t.put(e), true
	case transcript.KindPermission:
		return t.put(views.Entry{ID: own, Kind: "permission", At: at, Text: a.Text, OK: a.OK}), true
	case transcript.KindWarning, transcript.KindLog:
		return t.put(views.Entry{ID: own, Kind: "note", At: at, Text: a.Text}), true
	}
	return views.Entry{}, false
}

// withRest completes the parts of a prompt with what follows them in the message: the texts of session toggles.
func withRest(parts []views.Part, sent string) []views.Part {
	filled := 0
	for _, p := range parts {
		filled += len(p.Text)
	}
	if filled < len(sent) && strings.HasPrefix(sent[filled:], "\n\n") {
		parts = append(parts, views.Part{Text: sent[filled:]})
	}
	return parts
}

// addOutput joins a script's output. Only a page that is made whole joins; a stream sends pieces as they come.
func (t *transcriptView) addOutput(own string, at time.Time, a *transcript.Event) (views.Entry, bool) {
	kind := "output"
	if a.Stream == "stderr" {
		kind = "output-err"
	}
	if t.output >= 0 && t.entries[t.output].Kind == kind && len(t.entries[t.output].Text)+len(a.Text) <= joinOutput {
		t.entries[t.output].Text += a.Text
		return t.entries[t.output], true
	}
	e := t.put(views.Entry{ID: own, Kind: kind, At: at, Text: a.Text})
	t.output = t.byID[own]
	return e, true
}

// stopTools ends the tool calls of which the agent told no end before its turn ended: it was stopped, or forgot them.
// It returns those.
func (t *transcriptView) stopTools(at time.Time) (stopped []views.Entry) {
	for i, e := range t.entries {
		if e.Tool != nil && e.Tool.Status == "running" {
			tool := *e.Tool
			tool.Status, tool.End = "canceled", at
			t.entries[i].Tool = &tool
			stopped = append(stopped, t.entries[i])
		}
	}
	return stopped
}

func (t *transcriptView) addTool(id string, at time.Time, a *transcript.Event) views.Entry {
	e := views.Entry{ID: id, Kind: "tool", At: at, Tool: &views.Tool{Status: "running", Start: at, Now: t.now}}
	if i, ok := t.byID[id]; ok && t.entries[i].Tool != nil {
		e = t.entries[i]
		tool := *e.Tool
		e.Tool = &tool
	}
	if a.Tool != nil {
		if a.Tool.Name != "" {
			e.Tool.Name = a.Tool.Name
		}
		if a.Tool.Title != "" {
			e.Tool.Arg = a.Tool.Title
			if what, named := strings.CutPrefix(a.Tool.Title, e.Tool.Name+" "); named && e.Tool.Name != "" {
				// the name stands before it
				e.Tool.Arg = what
			}
			if a.Tool.Title == e.Tool.Name { // so an agent calls what it knows nothing more of
				e.Tool.Arg = present.FirstLine(string(a.Tool.Input))
			}
		} else if e.Tool.Arg == "" && len(a.Tool.Input) > 0 {
			e.Tool.Arg = present.FirstLine(string(a.Tool.Input))
		}
		if input := toolInput(a.Tool.Input); input != "" && input != e.Tool.Arg {
			e.Tool.Input = input
		}
		if a.Tool.Result != "" {
			e.Tool.Output = a.Tool.Result
		}
		if len(a.Tool.Edits) > 0 {
			e.Tool.Diffs = nil
			for _, edit := range a.Tool.Edits {
				e.Tool.Diffs = append(e.Tool.Diffs, editDiff(edit))
			}
		}
	}
	if a.Done {
		e.Tool.End, e.Tool.Status = at, "failed"
		if a.OK {
			e.Tool.Status = "succeeded"
		}
	}
	return t.put(e)
}

// elementID makes an agent's id of a call fit for an element's id.
func elementID(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, text)
}
