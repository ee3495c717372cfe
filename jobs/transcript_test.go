package jobs

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/uptrace/bun"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/provider"
	"carillon/app/secret"
	"carillon/app/transcript"
	"carillon/app/workspace"
	"carillon/db"
	"carillon/db/dbtest"
)

// writer is the transcript of a session that a worker holds.
func (k *kit) writer(secrets ...string) *transcriptWriter {
	k.t.Helper()
	run := k.run("true", nil)
	var list []db.Session
	check(k.t, k.db.RunInTx(k.t.Context(), nil, func(ctx context.Context, tx bun.Tx) (err error) {
		list, err = db.ClaimSessions(ctx, tx, "test", 1, time.Now(), time.Now().Add(time.Hour))
		return err
	}))
	if len(list) != 1 || list[0].ID != run.Session.ID {
		k.t.Fatalf("claimed %d sessions; want that of the run", len(list))
	}
	tr := newTranscriptWriter(k.db, db.Lease{Session: run.Session.ID, Worker: "test", Fence: list[0].Fence}, 0)
	tr.mask, tr.now, tr.log = secret.Masker(secrets, "••••••"), time.Now, slog.New(slog.DiscardHandler)
	tr.onLeaseLost = func() { k.t.Error("the lease was lost") }
	return tr
}

// stored is what the database has of a transcript.
func (k *kit) stored(tr *transcriptWriter) (events []transcript.Event, bytes int) {
	k.t.Helper()
	list, err := db.LatestEvents(k.t.Context(), k.db, tr.lease.Session, 100_000)
	check(k.t, err)
	for _, row := range list {
		var e transcript.Event
		check(k.t, json.Unmarshal(row.Body, &e))
		events = append(events, e)
		bytes += len(row.Body)
	}
	return events, bytes
}

func TestWhatIsPendingStaysBoundedAndKeepsItsBeginning(t *testing.T) {
	t.Parallel()
	tr := newTranscriptWriter(nil, db.Lease{}, 0)
	tr.mask, tr.now = secret.Masker(nil, ""), time.Now
	tr.agentEvent(transcript.Event{Kind: transcript.KindOutput, Text: "first"})
	for range 1000 {
		tr.agentEvent(transcript.Event{Kind: transcript.KindOutput, Text: strings.Repeat("x", 16<<10)})
	}
	tr.agentEvent(transcript.Event{Kind: transcript.KindOutput, Text: "last"})
	if tr.size > defaultBounds.pending || tr.size != sizeOf(tr.pending) {
		t.Errorf("%d bytes are pending, of which %d are counted; want at most %d", sizeOf(tr.pending), tr.size,
			defaultBounds.pending)
	}
	var first, last transcript.Event
	check(t, json.Unmarshal(tr.pending[0].row.Body, &first))
	check(t, json.Unmarshal(tr.pending[len(tr.pending)-1].row.Body, &last))
	if first.Text != "first" || last.Text != "last" || tr.pending[len(tr.pending)-1].seq != 1002 {
		t.Errorf("it begins with %.20q and ends with %.20q, %d; want the first and the last", first.Text, last.Text,
			tr.pending[len(tr.pending)-1].seq)
	}
}

// conversation is a long turn of an agent: many messages, each followed by a tool call with a large result.
func conversation(n int, each func(transcript.Event)) {
	result := strings.Repeat("a line of a file\n", 1500)
	for i := range n {
		id := fmt.Sprint(i)
		each(transcript.Event{Kind: transcript.KindText, Text: "Message " + id + "."})
		input, _ := json.Marshal(map[string]string{"file_path": "file" + id})
		raw, _ := json.Marshal(map[string]string{"type": "user", "content": result})
		each(transcript.Event{
			Kind: transcript.KindTool, ID: id, Tool: &transcript.Tool{
				Name: "Read", Title: "Read file" + id, Input: input,
			},
		})
		each(transcript.Event{
			Kind: transcript.KindTool, ID: id, Done: true, OK: true,
			Tool: &transcript.Tool{Result: result + "end " + id}, Raw: raw,
		})
	}
}

// expectWhole checks that nothing but results is missing of a conversation.
func expectWhole(t *testing.T, n int, events []transcript.Event) {
	t.Helper()
	texts, calls, ends := 0, 0, 0
	for _, e := range events {
		switch {
		case e.Kind == transcript.KindText && e.Text == fmt.Sprintf("Message %d.", texts):
			texts++
		case e.Kind == transcript.KindTool && e.Done && strings.HasSuffix(e.Tool.Result, "end "+fmt.Sprint(ends)):
			ends++
		case e.Kind == transcript.KindTool && e.Tool.Title == fmt.Sprintf("Read file%d", calls):
			calls++
		}
	}
	if texts != n || calls != n || ends != n {
		t.Errorf("%d messages, %d calls and %d ends of calls are kept, in order; want %d of each", texts, calls, ends,
			n)
	}
}

// few are bounds that a short conversation reaches, in which each result has to be cut twice.
var few = bounds{head: 40 << 10, all: 160 << 10, recent: 20 << 10, pending: 320 << 10}

func TestResultsOfToolsAreCutBeforeAnythingIsDropped(t *testing.T) {
	t.Parallel()
	const n = 100
	k := prepare(t)
	tr := k.writer()
	tr.bounds = few
	i := 0
	conversation(n, func(e transcript.Event) {
		tr.agentEvent(e)
		if i++; i%20 == 0 && !tr.flush(t.Context()) {
			t.Fatal("it was not written")
		}
	})
	tr.end(t.Context(), time.Hour)
	events, bytes := k.stored(tr)
	if bytes > few.all {
		t.Errorf("%d bytes are kept; want at most %d", bytes, few.all)
	}
	expectWhole(t, n, events)
	if last := events[len(events)-1].Tool.Result; len(last) < 2000 {
		t.Errorf("of the newest result %d bytes are kept", len(last))
	}

	// A later message of the session goes on within the same bounds.
	tr2 := newTranscriptWriter(k.db, tr.lease, tr.seq)
	tr2.bounds = few
	tr2.mask = tr.mask
	tr2.now = tr.now
	tr2.log = tr.log
	tr2.onLeaseLost = tr.onLeaseLost
	check(t, tr2.resume(t.Context()))
	for range 100 {
		tr2.agentEvent(transcript.Event{
			Kind: transcript.KindOutput, Stream: "stdout", Text: strings.Repeat("y", 16<<10),
		})
	}
	tr2.agentEvent(transcript.Event{Kind: transcript.KindText, Text: "The end."})
	tr2.end(t.Context(), time.Hour)
	events, bytes = k.stored(tr)
	if bytes > few.all || events[len(events)-1].Text != "The end." {
		t.Errorf("%d bytes are kept, the last is %.80q; want at most %d, and the end", bytes,
			events[len(events)-1].Text, few.all)
	}
	expectWhole(t, n, events)
}

func TestWhatWaitsForTheDatabaseIsCutBeforeItIsDropped(t *testing.T) {
	t.Parallel()
	const n = 100
	tr := newTranscriptWriter(nil, db.Lease{}, 0)
	tr.bounds, tr.mask, tr.now = few, secret.Masker(nil, ""), time.Now
	conversation(n, tr.agentEvent)
	var events []transcript.Event
	for _, e := range tr.pending {
		var body transcript.Event
		check(t, json.Unmarshal(e.row.Body, &body))
		events = append(events, body)
	}
	if tr.size > few.pending {
		t.Errorf("%d bytes are pending; want at most %d", tr.size, few.pending)
	}
	expectWhole(t, n, events)
}

func TestAnEventThatTheDatabaseRefusesBecomesAWarning(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	tr := k.writer()
	_, err := k.db.NewRaw("ALTER TABLE session_events ADD CHECK (body ->> 'text' NOT LIKE 'poison%')").Exec(t.Context())
	check(t, err)
	for i := range 40 {
		text := fmt.Sprintf("text %d", i)
		if i == 7 || i == 30 {
			text = "poison"
		}
		tr.agentEvent(transcript.Event{Kind: transcript.KindText, Text: text})
	}
	if !tr.flush(t.Context()) {
		t.Error("something is left to write")
	}
	events, _ := k.stored(tr)
	if len(events) != 40 {
		t.Fatalf("%d events are stored; want 40", len(events))
	}
	for i, e := range events {
		if refused := i == 7 || i == 30; refused != (e.Kind == transcript.KindWarning &&
			strings.Contains(e.Text, "could not be recorded")) {
			t.Errorf("event %d is %s %q", i, e.Kind, e.Text)
		}
	}
	_, err = k.db.NewRaw("ALTER TABLE session_events ADD CHECK (seq < 41)").Exec(t.Context())
	check(t, err)
	tr.agentEvent(transcript.Event{Kind: transcript.KindText, Text: "never"})
	if !tr.flush(t.Context()) {
		t.Error("what can never be written is tried again")
	}
}

func TestEventsWhoseWritingWasNotAnsweredAreWrittenOnceAndCounted(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	tr := k.writer()
	var logged strings.Builder
	tr.log = slog.New(slog.NewTextHandler(&logged, nil))
	for i := range 3 {
		tr.agentEvent(transcript.Event{Kind: transcript.KindText, Text: fmt.Sprintf("text %d", i)})
	}
	unanswered := tr.pending
	if !tr.flush(t.Context()) {
		t.Fatal("something is left to write")
	}
	rows, total := len(tr.rows), tr.total
	tr.rows, tr.total = nil, 0 // as it is when the answer is lost
	tr.pending = unanswered
	tr.agentEvent(transcript.Event{Kind: transcript.KindText, Text: "text 3"})
	if !tr.flush(t.Context()) {
		t.Error("something is left to write")
	}
	events, _ := k.stored(tr)
	for i, e := range events {
		if e.Text != fmt.Sprintf("text %d", i) {
			t.Errorf("event %d is %s %q", i, e.Kind, e.Text)
		}
	}
	if len(events) != 4 || len(tr.rows) != rows+1 || tr.total <= total || logged.Len() > 0 {
		t.Errorf("%d events are stored and %d counted; want 4. It logged %s", len(events), len(tr.rows),
			logged.String())
	}
}

func TestATranscriptEndsThoughTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	away, err := db.Open(t.Context(), dbtest.URL(t))
	check(t, err)
	check(t, away.Close())
	tr := newTranscriptWriter(away, db.Lease{}, 0)
	tr.mask, tr.now, tr.log = secret.Masker(nil, ""), time.Now, slog.New(slog.DiscardHandler)
	tr.agentEvent(transcript.Event{Kind: transcript.KindText, Text: "lost"})
	stop := make(chan time.Duration, 1)
	stop <- time.Millisecond
	tr.run(t.Context(), stop) // returns
	if len(tr.pending) != 1 {
		t.Errorf("%d events are pending; want the one that could not be written", len(tr.pending))
	}
}

func TestATranscriptEndsThoughItsTableIsHeld(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	tr := k.writer()
	tr.agentEvent(transcript.Event{Kind: transcript.KindText, Text: "waits"})
	tx, err := k.db.BeginTx(t.Context(), nil)
	check(t, err)
	_, err = tx.NewRaw("LOCK TABLE session_events IN ACCESS EXCLUSIVE MODE").Exec(t.Context())
	check(t, err)
	tr.end(t.Context(), 200*time.Millisecond) // returns
	check(t, tx.Rollback())
	if !tr.flush(t.Context()) {
		t.Error("what waited cannot be written any more")
	}
	if events, _ := k.stored(tr); len(events) != 1 || events[0].Text != "waits" {
		t.Errorf("%d events are stored; want the one that waited", len(events))
	}
}

func TestSecretsAreMaskedAsTheyAreAndAsJSONWritesThem(t *testing.T) {
	t.Parallel()
	mask := secret.Masker([]string{"pass\"word\n1", "short", "plain-secret", "first line\nsecond line"}, "••••••")
	text, err := json.Marshal(map[string]string{
		"a": "x pass\"word\n1 y", "b": "plain-secret", "c": "short", "d": "2: second line",
		"e": `{"in":"pass\"word\n1"}`, "f": "?k=pass%22word%0A1",
	})
	check(t, err)
	masked, ok := secret.MaskJSON(mask, text)
	if got, want := string(masked),
		`{"a":"x •••••• y","b":"••••••","c":"short","d":"2: ••••••","e":"{\"in\":\"••••••\"}","f":"?k=••••••"}`; got != want || !ok {
		t.Errorf("masked is %s; want %s", got, want)
	}
}

func TestMaskedJSONStaysJSON(t *testing.T) {
	t.Parallel()
	mask := secret.Masker([]string{"12345678", "nabcdefgh"}, "••••••")
	for in, want := range map[string]string{
		`{"chat_id":12345678}`:                `{"chat_id":"••••••"}`,
		`[12345678.0, 1.2345678e7, -1]`:       `["••••••.0", "••••••", -1]`,
		`{"a":"x\nabcdefgh"}`:                 `{"a":"x\nabcdefgh"}`,
		`{"nabcdefgh":"xnabcdefgh"}`:          `{"••••••":"x••••••"}`,
		`{ "big": 1e999, "f": 0.1, "t":true}`: `{ "big": 1e999, "f": 0.1, "t":true}`,
	} {
		if got, ok := secret.MaskJSON(mask, []byte(in)); !ok || string(got) != want {
			t.Errorf("%s became %s; want %s", in, got, want)
		}
	}
}

func TestFieldsOfOurOwnAreNotMasked(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	tr := k.writer("123456", "succeeded", "stdout")
	tr.add(transcript.KindTurnEnd, transcript.TurnEnd{
		Status: "succeeded", Reason: "it said 123456", Usage: &transcript.Usage{Known: true, Input: 123456},
	})
	tr.agentEvent(transcript.Event{Kind: transcript.KindOutput, Stream: "stdout", Text: "123456\n"})
	tr.end(t.Context(), time.Hour)
	list, err := db.LatestEvents(t.Context(), k.db, tr.lease.Session, 10)
	check(t, err)
	var end transcript.TurnEnd
	check(t, json.Unmarshal(list[0].Body, &end))
	if end.Status != "succeeded" || end.Usage == nil || end.Usage.Input != 123456 || end.Reason != "it said ••••••" {
		t.Errorf("the end of the turn is %+v", end)
	}
	var said transcript.Event
	check(t, json.Unmarshal(list[1].Body, &said))
	if said.Stream != "stdout" || said.Text != "••••••\n" {
		t.Errorf("the output is %+v", said)
	}
}

// What an agent sends in its protocol may be any JSON, and what it reads any text.
func TestWhateverAnAgentSendsIsRecordedAndItsRunEnds(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	dir := t.TempDir()
	bare := filepath.Join(dir, "repository.git")
	command(t, "", "init", "-q", "--bare", "-b", "main", bare)
	var lines strings.Builder
	for i, input := range []string{
		`{"n":1e999999}`, `{"n":[1e-20000,-1E400000]}`, `{"chat_id":12345678}`, `{"text":"a\nabcdefgh"}`,
		`{"pattern":"/[\\u0000-\\u001f]/"}`, `{"nul":"\u0000","half":"\ud800"}`,
		strings.Repeat(`{"a":`, 3000) + `1` + strings.Repeat(`}`, 3000), `{"same":1,"same":2}`,
	} {
		fmt.Fprintf(&lines,
			`{"type":"assistant","session_id":"s","message":{"id":"m%d","content":[{"type":"tool_use","id":"t%d","name":"Bash","input":%s}],"usage":{"input_tokens":123456}}}`+"\n", i, i, input)
		fmt.Fprintf(&lines,
			`{"type":"user","session_id":"s","message":{"content":[{"type":"tool_result","tool_use_id":"t%d","content":"result \\u0000 \u0000 %d"}]}}`+"\n", i, i)
	}
	lines.WriteString(
		`{"type":"assistant","message":{"id":"m","content":[{"type":"text","text":"It matches \\u0000."}]}}` + "\n")
	lines.WriteString(
		`{"type":"result","subtype":"success","session_id":"s","result":"It matches \\u0000.","usage":{"input_tokens":123456}}` + "\n")
	put(t, dir, "stream", lines.String())
	put(t, dir, "agent", "#!/bin/sh\ncat >/dev/null\nexec cat "+filepath.Join(dir, "stream")+"\n")
	check(t, os.Chmod(filepath.Join(dir, "agent"), 0o700)) //nolint:gosec // a program
	k.runner.Providers = func() []agent.Provider {
		return []agent.Provider{{
			ID: "odd", Name: "Odd", Driver: agent.DriverClaude, Command: []string{filepath.Join(dir, "agent")},
		}}
	}
	k.rules.Providers.List = func() []provider.Provider { return []provider.Provider{{ID: "odd", Name: "Odd"}} }
	w, err := k.rules.Workspaces.Create(t.Context(), k.actor, workspace.Input{Name: "Secrets", GitURL: bare,
		DefaultBranch: "main", Variables: []workspace.Variable{
			{Name: "CHAT", Value: "12345678", Secret: true}, {Name: "LETTER", Value: "nabcdefgh", Secret: true},
			{Name: "COUNT", Value: "123456", Secret: true},
		}})
	check(t, err)
	k.workspace = w.ID
	k.start()
	run := k.run("Look.", func(in *automation.Input) { in.Provider = "odd" })
	if e := k.ended(run); e.Status != db.Succeeded || e.Answer != `It matches \u0000.` {
		t.Errorf("the run %s: %s, and answered %q", e.Status, e.Reason, e.Answer)
	}
	list, err := db.LatestEvents(t.Context(), k.db, run.Session.ID, 1000)
	check(t, err)
	results, usage := 0, int64(0)
	for _, row := range list {
		if strings.Contains(string(row.Body), "12345678") {
			t.Errorf("a secret is in %s", row.Body)
		}
		var e transcript.Event
		check(t, json.Unmarshal(row.Body, &e))
		if e.Tool != nil && strings.HasPrefix(e.Tool.Result, `result \u0000 `+"\uFFFD") {
			results++
		}
		if row.Kind == transcript.KindTurnEnd {
			var end transcript.TurnEnd
			check(t, json.Unmarshal(row.Body, &end))
			usage = end.Usage.Input
		}
	}
	if results != 8 || usage != 123456 {
		t.Errorf("%d results are recorded and %d tokens; want 8 and 123456", results, usage)
	}
}

func TestAScriptMayPrintTheEscapeOfANUL(t *testing.T) {
	k := setup(t)
	run := k.run(`printf '%s%s\n' '\u' 0000; printf 'a\0b\n'`, nil)
	if e := k.ended(run); e.Status != db.Succeeded || e.Answer != `\u0000`+"\na\uFFFDb\n" {
		t.Errorf("it %s: %s, and answered %q", e.Status, e.Reason, e.Answer)
	}
	if said := k.transcript(run.Session.ID); !strings.Contains(said, `\u0000`+"\na\uFFFDb\n") {
		t.Errorf("it said %q", said)
	}
}
