package runs_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/automation"
	"carillon/app/transcript"
	"carillon/app/web/webtest"
	"carillon/db"
)

// cutOff lets the worker of a run be killed while its agent is in the middle of a message.
func cutOff(s *webtest.Site, run *automation.Run) {
	s.T.Helper()
	lease := s.Claimed(run)
	turn, err := db.NextTurn(s.T.Context(), s.Server.DB, lease, run.Execution.ID, time.Now())
	webtest.Check(s.T, err)
	event := func(seq int64, kind, body string) db.SessionEvent {
		return db.SessionEvent{
			SessionID: lease.Session, Seq: seq, TurnID: turn.ID, At: time.Now(), Kind: kind,
			Body: json.RawMessage(body),
		}
	}
	appendEvents(s, lease, event(1, "turn", `{"kind":"prompt","prompt":"Look around."}`),
		event(2, transcript.KindText, `{"text":"I begin."}`),
		event(3, transcript.KindTool, `{"id":"a","tool":{"name":"Bash","title":"make test"}}`))
	_, err = s.Server.DB.NewRaw("UPDATE sessions SET lease_until = now() - interval '1 hour' WHERE id = ?",
		lease.Session).Exec(s.T.Context())
	webtest.Check(s.T, err)
}

func reap(s *webtest.Site) {
	s.T.Helper()
	if n, err := s.Rules.Runs().Interrupt(s.T.Context(), func(string) bool { return false }); err != nil || n != 1 {
		s.T.Fatalf("interrupted %d (%v); want 1", n, err)
	}
}

const brokenOff = "Interrupted by a restart."

func TestAMessageThatWasCutOffWithItsWorkerShowsItsEnd(t *testing.T) {
	s := webtest.Open(t)
	mira := s.As("Mira", "administrator")
	run := s.AgentRun(mira)
	cutOff(s, run)
	page := "/sessions/" + run.Session.ID.String()
	if a := mira.Get(page); strings.Contains(a.Text, brokenOff) {
		t.Error("the end is shown before there is one")
	}
	reap(s)
	a := mira.Get(page)
	if n := strings.Count(a.Text, brokenOff); n != 1 {
		t.Errorf("the end is shown %d times; want once", n)
	}
	if !strings.Contains(a.Text, "Not finished") {
		t.Error("a tool seems to run on")
	}
	mira.Post(page+"/messages", "message", "Go on.")
	lease := s.Claimed(run)
	turn, err := db.NextTurn(t.Context(), s.Server.DB, lease, uuid.Nil, time.Now())
	webtest.Check(t, err)
	appendEvents(s, lease, db.SessionEvent{
		SessionID: lease.Session, Seq: 4, TurnID: turn.ID, At: time.Now(), Kind: "turn",
		Body: json.RawMessage(`{"kind":"reply","prompt":"Go on, it said."}`),
	})
	a = mira.Get(page)
	if end, next := strings.Index(a.Text, brokenOff), strings.Index(a.Text, "Go on, it said."); end < 0 || next < end ||
		strings.Count(a.Text, brokenOff) != 1 {
		t.Errorf("the end stands at %d and the next message at %d; want the end once, and first", end, next)
	}
}

func TestAnOpenPageIsToldTheEndOfAMessageThatWasCutOff(t *testing.T) {
	s := webtest.Open(t)
	mira := s.As("Mira", "administrator")
	run := s.AgentRun(mira)
	cutOff(s, run)
	read := func(query string, until func(string) bool) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), webtest.Patience)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.HTTP.URL+"/sessions/"+run.Session.ID.String()+
			"/stream"+query, nil)
		webtest.Check(t, err)
		res, err := mira.Client.Do(req)
		webtest.Check(t, err)
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
			reap(s)
			s.Server.Runs.Wake("session", run.Session.ID)
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
			id != elementOf(mira.Get("/sessions/"+run.Session.ID.String()).Text, brokenOff) {
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
