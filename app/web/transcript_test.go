package web

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/automation"
	"carillon/app/transcript"
	"carillon/db"
	"carillon/views"
)

// said is an event of an agent as it is stored.
func said(t *testing.T, seq int64, e transcript.Event) *db.SessionEvent {
	t.Helper()
	body, err := json.Marshal(e)
	check(t, err)
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

// cutOff lets the worker of a run be killed while its agent is in the middle of a message.
func (s *site) cutOff(run *automation.Run) {
	s.t.Helper()
	lease := s.claimed(run)
	turn, err := db.NextTurn(s.t.Context(), s.server.DB, lease, run.Execution.ID, time.Now())
	check(s.t, err)
	event := func(seq int64, kind, body string) db.SessionEvent {
		return db.SessionEvent{
			SessionID: lease.Session, Seq: seq, TurnID: turn.ID, At: time.Now(), Kind: kind,
			Body: json.RawMessage(body),
		}
	}
	s.append(lease, event(1, "turn", `{"kind":"prompt","prompt":"Look around."}`),
		event(2, transcript.KindText, `{"text":"I begin."}`),
		event(3, transcript.KindTool, `{"id":"a","tool":{"name":"Bash","title":"make test"}}`))
	_, err = s.server.DB.NewRaw("UPDATE sessions SET lease_until = now() - interval '1 hour' WHERE id = ?",
		lease.Session).Exec(s.t.Context())
	check(s.t, err)
}

func (s *site) reap() {
	s.t.Helper()
	if n, err := s.rules.Interrupt(s.t.Context(), func(string) bool { return false }); err != nil || n != 1 {
		s.t.Fatalf("interrupted %d (%v); want 1", n, err)
	}
}

const brokenOff = "Interrupted by a restart."

func TestAMessageThatWasCutOffWithItsWorkerShowsItsEnd(t *testing.T) {
	s := open(t)
	mira := s.as("Mira", "administrator")
	run := s.agentRun(mira)
	s.cutOff(run)
	page := "/sessions/" + run.Session.ID.String()
	if a := mira.get(page); strings.Contains(a.body, brokenOff) {
		t.Error("the end is shown before there is one")
	}
	s.reap()
	a := mira.get(page)
	if n := strings.Count(a.body, brokenOff); n != 1 {
		t.Errorf("the end is shown %d times; want once", n)
	}
	if !strings.Contains(a.body, "Not finished") {
		t.Error("a tool seems to run on")
	}
	mira.post(page+"/messages", "message", "Go on.")
	lease := s.claimed(run)
	turn, err := db.NextTurn(t.Context(), s.server.DB, lease, uuid.Nil, time.Now())
	check(t, err)
	s.append(lease, db.SessionEvent{
		SessionID: lease.Session, Seq: 4, TurnID: turn.ID, At: time.Now(), Kind: "turn",
		Body: json.RawMessage(`{"kind":"reply","prompt":"Go on, it said."}`),
	})
	a = mira.get(page)
	if end, next := strings.Index(a.body, brokenOff), strings.Index(a.body, "Go on, it said."); end < 0 || next < end ||
		strings.Count(a.body, brokenOff) != 1 {
		t.Errorf("the end stands at %d and the next message at %d; want the end once, and first", end, next)
	}
}

func TestAnOpenPageIsToldTheEndOfAMessageThatWasCutOff(t *testing.T) {
	s := open(t)
	mira := s.as("Mira", "administrator")
	run := s.agentRun(mira)
	s.cutOff(run)
	read := func(query string, until func(string) bool) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.http.URL+"/sessions/"+run.Session.ID.String()+
			"/stream"+query, nil)
		check(t, err)
		res, err := mira.client.Do(req)
		check(t, err)
		defer res.Body.Close() //nolint:errcheck // it is left in the middle
		lines, got := bufio.NewScanner(res.Body), ""
		for lines.Scan() {
			if got += lines.Text() + "\n"; until(got) {
				return got
			}
		}
		t.Fatalf("the stream ended with %v after\n%s", lines.Err(), got)
		return ""
	}
	reaped := false
	got := read("?after=0", func(got string) bool {
		if !reaped && strings.Contains(got, "make test") {
			reaped = true
			s.reap()
			s.server.hub.wake("session", run.Session.ID)
		}
		return reaped && strings.Contains(got, brokenOff)
	})
	if !strings.Contains(got, "Not finished") {
		t.Errorf("the page is told\n%s\nwant that the tool ended too", got)
	}
	// of a page that was loaded before the end
	again := read("?after=3", func(got string) bool { return strings.Contains(got, brokenOff) })
	for _, list := range []string{got, again} {
		if id := elementOf(list, brokenOff); id == "" ||
			id != elementOf(mira.get("/sessions/"+run.Session.ID.String()).body, brokenOff) {
			t.Errorf("the end has the id %q; want that of the page, so that it is there once", id)
		}
	}
}

// elementOf is the id of the entry with a text.
func elementOf(page, text string) string {
	before, _, found := strings.Cut(page, text)
	_, after, _ := strings.Cut(before[max(0, strings.LastIndex(before, "<li ")):], `id="`)
	id, _, _ := strings.Cut(after, `"`)
	if !found {
		return ""
	}
	return id
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
			[]string{"prompt Look.", "agent So", "note " + brokenOff}},
		{"none, of a turn that began before what is shown", 0,
			[]*db.SessionEvent{event(2, turn.ID, transcript.KindText, `{"text":"So"}`)},
			[]string{"agent So", "note " + brokenOff}},
		{"none, and begun anew", 3 * time.Minute, []*db.SessionEvent{event(1, turn.ID, "turn", begin),
			event(2, uuid.Nil, transcript.KindWarning, `{"text":"moved"}`), event(3, turn.ID, "turn", begin),
			event(4, turn.ID, "turn_end", `{"status":"succeeded","seconds":2}`)},
			[]string{"prompt Look.", "note The work was interrupted here, and its end was not recorded.", "note moved",
				"prompt Look.", "note Finished after 2 s"}},
		{"an end, and begun anew", 4 * time.Minute, []*db.SessionEvent{event(1, turn.ID, "turn", begin),
			event(2, turn.ID, "turn_end", `{"status":"failed","reason":"stopped","seconds":2}`),
			event(3, turn.ID, "retry", `{}`), event(4, turn.ID, "turn", begin)},
			[]string{"prompt Look.", "error stopped\nAfter 2 s",
				"note Attempt 0 of 0 failed. The next one starts at 00:00:00.", "prompt Look.", "note " + brokenOff}},
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
