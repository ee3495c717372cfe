package jobs

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/provider"
	"carillon/db"
)

// toolServer stands where the MCP server stands: it notes each token that it is shown, and as whom that asks.
type toolServer struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string // tokens
	as   []string // as whom, or why not
}

func serveTools(t *testing.T, rules *automation.Service) *toolServer {
	s := &toolServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		actor, err := rules.Agents().Actor(r.Context(), token)
		if err == nil {
			err = rules.Agents().RecordRefusedCall(r.Context(), actor, "edit_automation", "lacks the permission")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seen, s.as = append(s.seen, token), append(s.as, fmt.Sprint(actor.Name, " ", actor.Session, " ", err))
		_, _ = fmt.Fprintln(w, "the token is", token)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *toolServer) calls() (tokens, as []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.seen...), append([]string(nil), s.as...)
}

// ask is a script's request to the tool server, without programs that a machine may lack.
const ask = `host=${CARILLON_MCP_URL#http://}
exec 3<>"/dev/tcp/${host%:*}/${host#*:}"
printf 'POST / HTTP/1.0\r\nAuthorization: Bearer %s\r\n\r\n' "$CARILLON_MCP_TOKEN" >&3
cat <&3
echo "mine is $CARILLON_MCP_TOKEN"`

func TestAScriptReachesTheToolsWithATokenThatEndsWithItAndIsNotWrittenDown(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	tools := serveTools(t, k.rules)
	k.runner.MCP = tools.URL
	k.start()
	run := k.run(ask+"\necho \"$CARILLON_MCP_URL\"; echo \"$CARILLON_MCP_TOKEN\" > token.txt", nil)
	e := k.ended(run)
	tokens, as := tools.calls()
	if e.Status != db.Succeeded || len(tokens) != 1 || as[0] != fmt.Sprint("Mira ", run.Session.ID, " <nil>") {
		t.Fatalf("it %s (%s), and asked as %v", e.Status, e.Reason, as)
	}
	if _, err := k.rules.Agents().Actor(t.Context(), tokens[0]); err == nil {
		t.Error("the token outlives its turn")
	}
	session := k.session(run.Session.ID)
	for what, text := range map[string]string{
		"transcript": k.transcript(session.ID), "answer": e.Answer, "diff": session.Diff,
	} {
		if strings.Contains(text, tokens[0]) || !strings.Contains(text, "••••••") {
			t.Errorf("the %s has the token, or nothing in its place: %s", what, text)
		}
	}
	if text := k.transcript(session.ID); !strings.Contains(text,
		"A call of the tool edit_automation was refused: lacks the permission.") {
		t.Errorf("the transcript does not tell of the call that was refused: %s", text)
	}
	if !strings.Contains(e.Answer, tools.URL) {
		t.Errorf("the script was not told where the tools are: %s", e.Answer)
	}
	n, err := k.db.NewSelect().Table("session_tokens").Count(t.Context())
	check(t, err)
	if n != 0 {
		t.Errorf("%d tokens are left", n)
	}
}

func TestEachRunHasATokenOfItsOwn(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	tools := serveTools(t, k.rules)
	k.runner.MCP = tools.URL
	k.start()
	first, second := k.run(ask, nil), k.run(ask, nil)
	k.ended(first)
	k.ended(second)
	if tokens, _ := tools.calls(); len(tokens) != 2 || tokens[0] == tokens[1] {
		t.Errorf("the tokens are %v", tokens)
	}
}

func TestWithoutAnMCPServerAScriptHasNoToken(t *testing.T) {
	k := setup(t)
	if e := k.ended(k.run(`echo "[${CARILLON_MCP_TOKEN-none}]"`, nil)); strings.TrimSpace(e.Answer) != "[none]" {
		t.Errorf("it answered %q", e.Answer)
	}
}

func TestAnAgentIsHandedTheToolsWithItsToken(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	tools := serveTools(t, k.rules)
	k.runner.MCP = tools.URL
	// A program that takes what claude takes, and writes its tool configuration down.
	program := filepath.Join(t.TempDir(), "claude")
	check(t, os.WriteFile(program, []byte(`#!/bin/bash
for a in "$@"; do case $a in --mcp-config=*) cp "${a#--mcp-config=}" tools.json;; esac; done
cat >/dev/null
echo '{"type":"system","subtype":"init","session_id":"c1"}'
echo '{"type":"result","subtype":"success","is_error":false,"result":"done","session_id":"c1"}'
`), 0o755))
	k.runner.Providers = func() []agent.Provider {
		return []agent.Provider{{ID: "claude", Name: "Claude", Driver: agent.DriverClaude, Command: []string{program}}}
	}
	k.rules.Providers.List = func() []provider.Provider { return []provider.Provider{{ID: "claude", Name: "Claude"}} }
	k.start()
	run := k.run("Audit.", func(in *automation.Input) { in.Provider = "claude" })
	e := k.ended(run)
	diff := k.session(run.Session.ID).Diff
	for _, want := range []string{`"carillon":`, `"url":"` + tools.URL + `"`, `"Authorization":"Bearer ••••••"`} {
		if !strings.Contains(diff, want) {
			t.Errorf("it %s (%s); the tools are %s; want %s", e.Status, e.Reason, diff, want)
		}
	}
}

// refuse notes a refused call of a session.
func (k *kit) refuse(session uuid.UUID, tool string) {
	k.t.Helper()
	check(k.t, db.AddRefusedCall(k.t.Context(), k.db, &db.RefusedCall{
		SessionID: session, Tool: tool, Reason: "lacks the permission", Times: 1, At: time.Now(),
	}))
}

// untold counts the refused calls that wait for the transcript of a session.
func (k *kit) untold(session uuid.UUID) (n int) {
	k.t.Helper()
	list, err := db.RefusedCalls(k.t.Context(), k.db, session)
	check(k.t, err)
	for _, c := range list {
		n += c.Times
	}
	return n
}

func TestARefusedCallWaitsUntilTheTranscriptHoldsItAndIsToldOnce(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	tr := k.writer()
	w := &work{Runner: k.runner, transcript: tr, session: &db.Session{ID: tr.lease.Session}}
	told := func() string {
		var b strings.Builder
		events, _ := k.stored(tr)
		for _, e := range events {
			b.WriteString(e.Text + " ")
		}
		return strings.TrimSpace(b.String())
	}
	once, twice := "A call of the tool edit_automation was refused: lacks the permission.",
		"2 calls of the tool edit_automation were refused: lacks the permission."
	k.refuse(w.session.ID, "edit_automation")
	k.refuse(w.session.ID, "edit_automation")
	w.recordRefusedCalls(t.Context())
	if k.untold(w.session.ID) != 2 || told() != "" {
		t.Errorf("before it is written, %d calls wait and the transcript has %q", k.untold(w.session.ID), told())
	}
	k.refuse(w.session.ID, "edit_automation") // by a call that was let in before the turn ended
	batch := tr.pending
	check(t, tr.store(t.Context(), batch, 0))
	check(t, tr.store(t.Context(), batch, 0)) // the answer to the first try was lost
	if k.untold(w.session.ID) != 1 || told() != twice {
		t.Errorf("after it was written, %d calls wait and the transcript has %q", k.untold(w.session.ID), told())
	}
	tr.flush(t.Context())
	w.recordRefusedCalls(t.Context())
	giving, cancel := context.WithTimeout(t.Context(), flushEvery)
	defer cancel()
	w.recordRefusedCalls(giving) // what waits to be written is not told again
	tr.flush(t.Context())
	if k.untold(w.session.ID) != 0 || told() != twice+" "+once {
		t.Errorf("at the end %d calls wait and the transcript has %q", k.untold(w.session.ID), told())
	}
}

func TestARefusedCallOfATurnWhoseWorkerDiedIsToldByTheNext(t *testing.T) {
	t.Parallel()
	k := prepare(t)
	run := k.run("true", nil)
	k.refuse(run.Session.ID, "run_automation")
	// another worker had it
	_, err := k.db.NewRaw("UPDATE sessions SET fence = 1 WHERE id = ?", run.Session.ID).Exec(t.Context())
	check(t, err)
	k.start()
	k.ended(run)
	text := k.transcript(run.Session.ID)
	if strings.Count(text, "A call of the tool run_automation was refused: lacks the permission.") != 1 ||
		k.untold(run.Session.ID) != 0 {
		t.Errorf("%d calls wait and the transcript has %s", k.untold(run.Session.ID), text)
	}
}
