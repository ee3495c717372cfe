package runs

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/transcript"
	"carillon/db"
	"carillon/views"
)

// said is an event of an agent as it is stored.
func said(t *testing.T, seq int64, e transcript.Event) *db.SessionEvent {
	t.Helper()
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return &db.SessionEvent{Seq: seq, At: time.Now(), Kind: e.Kind, Body: body}
}

func TestAPageThatIsFollowedForHoursKeepsLittleAndStillKnowsWhatRuns(t *testing.T) {
	t.Parallel()
	tr := newTranscriptView(time.UTC, time.Now())
	tool := func(n int, id, title string, done bool) []views.Entry {
		return tr.add(said(t, int64(n), transcript.Event{
			Kind: transcript.KindTool, ID: id, Done: done, OK: done, Tool: &transcript.Tool{Title: title},
		}))
	}
	tool(1, "long", "make test", false)
	for n := range 50_000 {
		tool(n+2, fmt.Sprintf("c%d", n), "Read file", true)
		tr.forget(100)
		if len(tr.entries) > 200 || len(tr.byID) > 200 {
			t.Fatalf("it keeps %d entries and %d ids after %d events; want 200 at most", len(tr.entries), len(tr.byID),
				n)
		}
	}
	got := tool(50_002, "long", "", true)
	if len(got) != 1 || got[0].Tool.Arg != "make test" || got[0].Tool.Status != "succeeded" {
		t.Errorf("the tool that ran all the time ended as %+v; want the one that it began as", got)
	}
}

func TestAMessageThatIsWrittenInManyPiecesIsNotSentAnewForEver(t *testing.T) {
	t.Parallel()
	tr := newTranscriptView(time.UTC, time.Now())
	longest, all := 0, map[string]string{}
	for n := range 5000 {
		for _, e := range tr.add(said(t, int64(n+1), transcript.Event{
			Kind: transcript.KindText, ID: "m", Text: fmt.Sprintf("piece %d of a long message, ", n),
		})) {
			longest = max(longest, len(e.Text))
			all[e.ID] = e.Text
		}
	}
	total := 0
	for _, e := range tr.entries {
		if all[e.ID] != e.Text || !strings.HasPrefix(e.Text, "piece") {
			t.Errorf("entry %s is not as it was sent last", e.ID)
		}
		total += strings.Count(e.Text, "piece")
	}
	if longest > joinText || total != 5000 {
		t.Errorf("the longest entry has %d bytes and all have %d pieces; want %d bytes at most, and 5000 pieces",
			longest, total, joinText)
	}
}

func TestAToolThatItsTurnDidNotSeeEndDoesNotRunForEver(t *testing.T) {
	t.Parallel()
	tr := newTranscriptView(time.UTC, time.Now())
	tr.add(said(t, 1, transcript.Event{
		Kind: transcript.KindTool, ID: "a", Tool: &transcript.Tool{Name: "Bash", Title: "Bash make test"},
	}))
	sent := tr.add(&db.SessionEvent{
		Seq: 2, At: time.Now(), Kind: "turn_end", Body: []byte(`{"status":"canceled","seconds":1}`),
	})
	if len(sent) != 2 || sent[0].Tool == nil || sent[0].Tool.Status != "canceled" || sent[0].Tool.Arg != "make test" ||
		tr.entries[0].Tool.Status != "canceled" {
		t.Errorf("with the end of the turn %+v is sent; want the tool as not finished, and its name once", sent)
	}
}

func TestAToolWhoseTitleIsItsNameIsNamedOnce(t *testing.T) {
	t.Parallel()
	const name = "mcp__carillon__create_ticket"
	for input, want := range map[string]string{`{"title":"x"}`: `{"title":"x"}`, "": ""} {
		call := transcript.Tool{Name: name, Title: name, Input: json.RawMessage(input)}
		if input == "" {
			call.Input = nil
		}
		got := newTranscriptView(time.UTC, time.Now()).
			add(said(t, 1, transcript.Event{Kind: transcript.KindTool, ID: "a", Tool: &call}))
		if len(got) != 1 || got[0].Tool.Name != name || got[0].Tool.Arg != want {
			t.Errorf("shown is %+v; want %q beside the name", got, want)
		}
	}
}

func TestAnEndThatIsRecordedIsNotShownTwice(t *testing.T) {
	t.Parallel()
	now := time.Now()
	turn := db.Turn{
		ID: db.NewID(), Status: db.Canceled, Reason: "interrupted by a restart", StartedAt: now, FinishedAt: now,
	}
	event := func(seq int64, turn uuid.UUID, kind, body string) *db.SessionEvent {
		return &db.SessionEvent{
			Seq: seq, TurnID: turn, At: now.Add(time.Duration(seq) * time.Minute), Kind: kind,
			Body: json.RawMessage(body),
		}
	}
	begin := `{"kind":"prompt","prompt":"Look."}`
	for _, tt := range []struct {
		name   string
		began  time.Duration // the turn, for the last time
		events []*db.SessionEvent
		want   []string // kinds and texts
	}{
		{"an end that is written", 0, []*db.SessionEvent{event(1, turn.ID, "turn", begin),
			event(2, turn.ID, "turn_end", `{"status":"canceled","seconds":2}`),
			event(3, turn.ID, transcript.KindWarning, `{"text":"later"}`)},
			[]string{"prompt Look.", "note Canceled after 2 s", "note later"}},
		{"none", 0, []*db.SessionEvent{event(1, turn.ID, "turn", begin),
			event(2, turn.ID, transcript.KindText, `{"text":"So"}`)},
			[]string{"prompt Look.", "agent So", "note Interrupted by a restart."}},
		{"none, of a turn that began before what is shown", 0,
			[]*db.SessionEvent{event(2, turn.ID, transcript.KindText, `{"text":"So"}`)},
			[]string{"agent So", "note Interrupted by a restart."}},
		{"none, and begun anew", 3 * time.Minute, []*db.SessionEvent{event(1, turn.ID, "turn", begin),
			event(2, uuid.Nil, transcript.KindWarning, `{"text":"moved"}`), event(3, turn.ID, "turn", begin),
			event(4, turn.ID, "turn_end", `{"status":"succeeded","seconds":2}`)},
			[]string{"prompt Look.", "note The work was interrupted here, and its end was not recorded.", "note moved",
				"prompt Look.", "note Finished after 2 s"}},
		{"an end, and begun anew", 4 * time.Minute, []*db.SessionEvent{event(1, turn.ID, "turn", begin),
			event(2, turn.ID, "turn_end", `{"status":"failed","reason":"stopped","seconds":2}`),
			event(3, turn.ID, "retry", `{}`), event(4, turn.ID, "turn", begin)},
			[]string{"prompt Look.", "error stopped\nAfter 2 s",
				"note Attempt 0 of 0 failed. The next one starts at 00:00:00.", "prompt Look.",
				"note Interrupted by a restart."}},
	} {
		tr := newTranscriptView(time.UTC, now)
		row := turn
		row.StartedAt = now.Add(tt.began)
		tr.know([]db.Turn{row})
		for _, ev := range tt.events {
			tr.add(ev)
		}
		tr.rest()
		var got []string
		for _, e := range tr.entries {
			got = append(got, e.Kind+" "+e.Text)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: shown is %q; want %q", tt.name, got, tt.want)
		}
	}
	tr := newTranscriptView(time.UTC, now)
	tr.know([]db.Turn{turn})
	tr.add(event(1, turn.ID, "turn", begin))
	tr.rest()
	tr.add(event(2, turn.ID, "turn_end", `{"status":"failed","reason":"stopped","seconds":2}`))
	if n := len(tr.entries); n != 2 || tr.entries[1].Text != "stopped\nAfter 2 s" {
		t.Errorf("an end that is written late stands in %d entries; want it in the place of what the row says", n)
	}
}
