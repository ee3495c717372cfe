package web

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/app/agent"
	"carillon/db"
	"carillon/views"
)

// said is an event of an agent as it is stored.
func said(t *testing.T, seq int64, e agent.Event) *db.SessionEvent {
	t.Helper()
	body, err := json.Marshal(e)
	check(t, err)
	return &db.SessionEvent{Seq: seq, At: time.Now(), Kind: e.Kind, Body: body}
}

func TestAPageThatIsFollowedForHoursKeepsLittleAndStillKnowsWhatRuns(t *testing.T) {
	t.Parallel()
	tr := newTranscript(time.UTC, time.Now())
	tool := func(n int, id, title string, done bool) []views.Entry {
		return tr.add(said(t, int64(n), agent.Event{Kind: agent.EventTool, ID: id, Done: done, OK: done, Tool: &agent.Tool{Title: title}}))
	}
	tool(1, "long", "make test", false)
	for n := range 50_000 {
		tool(n+2, fmt.Sprintf("c%d", n), "Read file", true)
		tr.forget(100)
		if len(tr.entries) > 200 || len(tr.byID) > 200 {
			t.Fatalf("it keeps %d entries and %d ids after %d events; want 200 at most", len(tr.entries), len(tr.byID), n)
		}
	}
	got := tool(50_002, "long", "", true)
	if len(got) != 1 || got[0].Tool.Arg != "make test" || got[0].Tool.Status != "succeeded" {
		t.Errorf("the tool that ran all the time ended as %+v; want the one that it began as", got)
	}
}

func TestAMessageThatIsWrittenInManyPiecesIsNotSentAnewForEver(t *testing.T) {
	t.Parallel()
	tr := newTranscript(time.UTC, time.Now())
	longest, all := 0, map[string]string{}
	for n := range 5000 {
		for _, e := range tr.add(said(t, int64(n+1), agent.Event{Kind: agent.EventText, ID: "m", Text: fmt.Sprintf("piece %d of a long message, ", n)})) {
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
		t.Errorf("the longest entry has %d bytes and all have %d pieces; want %d bytes at most, and 5000 pieces", longest, total, joinText)
	}
}

func TestAToolThatItsTurnDidNotSeeEndDoesNotRunForEver(t *testing.T) {
	t.Parallel()
	tr := newTranscript(time.UTC, time.Now())
	tr.add(said(t, 1, agent.Event{Kind: agent.EventTool, ID: "a", Tool: &agent.Tool{Name: "Bash", Title: "Bash make test"}}))
	sent := tr.add(&db.SessionEvent{Seq: 2, At: time.Now(), Kind: "turn_end", Body: []byte(`{"status":"canceled","seconds":1}`)})
	if len(sent) != 2 || sent[0].Tool == nil || sent[0].Tool.Status != "canceled" || sent[0].Tool.Arg != "make test" || tr.entries[0].Tool.Status != "canceled" {
		t.Errorf("with the end of the turn %+v is sent; want the tool as not finished, and its name once", sent)
	}
}

func TestAToolWhoseTitleIsItsNameIsNamedOnce(t *testing.T) {
	t.Parallel()
	const name = "mcp__carillon__create_ticket"
	for input, want := range map[string]string{`{"title":"x"}`: `{"title":"x"}`, "": ""} {
		call := agent.Tool{Name: name, Title: name, Input: json.RawMessage(input)}
		if input == "" {
			call.Input = nil
		}
		got := newTranscript(time.UTC, time.Now()).add(said(t, 1, agent.Event{Kind: agent.EventTool, ID: "a", Tool: &call}))
		if len(got) != 1 || got[0].Tool.Name != name || got[0].Tool.Arg != want {
			t.Errorf("shown is %+v; want %q beside the name", got, want)
		}
	}
}
