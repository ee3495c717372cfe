package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"carillon/app/transcript"
)

// replayRole is a program that prints a recorded stream. Its arguments: the file, the exit status or
// "hang" or "kill", what to say on stderr, the folder in which it notes how it was called.
func replayRole(args []string) int {
	prompt, _ := io.ReadAll(os.Stdin)
	note, _ := json.Marshal(noted{Args: args[4:], Prompt: string(prompt), Env: os.Environ()})
	_ = os.WriteFile(filepath.Join(args[3], "call.json"), note, 0o600)
	stream, _ := os.ReadFile(args[0])
	_, _ = os.Stdout.Write(stream)
	fmt.Fprint(os.Stderr, args[2])
	switch args[1] {
	case "hang":
		time.Sleep(time.Hour)
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	exit, _ := strconv.Atoi(args[1])
	return exit
}

type noted struct {
	Args   []string
	Prompt string
	Env    []string
}

func (c noted) has(arg string) bool { return slices.Contains(c.Args, arg) }

// replay runs a turn of a provider whose program is a recorded stream.
func replay(t *testing.T, provider, stream, exit, stderr string, turn Turn) (Result, *Failure, *seen, noted) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(stream, "\n") {
		if stream, err = filepath.Abs(filepath.Join("testdata", stream+".jsonl")); err != nil {
			t.Fatal(err)
		}
	} else {
		path := filepath.Join(t.TempDir(), "stream")
		if err := os.WriteFile(path, []byte(stream), 0o600); err != nil {
			t.Fatal(err)
		}
		stream = path
	}
	notes := t.TempDir()
	i := slices.IndexFunc(Catalogue(), func(p Provider) bool { return p.ID == provider })
	p := Catalogue()[i]
	p.Command = []string{self, "replay", stream, exit, stderr, notes}
	res, f, s := runTurn(t, p, turn)
	var c noted
	note, _ := os.ReadFile(filepath.Join(notes, "call.json"))
	if err := json.Unmarshal(note, &c); err != nil {
		t.Fatalf("the program was not called: %v, %v", err, f)
	}
	return res, f, s, c
}

func toolEvents(s *seen) (begun, ended []transcript.Event) {
	for _, e := range s.all() {
		switch {
		case e.Kind == transcript.KindTool && e.Done:
			ended = append(ended, e)
		case e.Kind == transcript.KindTool:
			begun = append(begun, e)
		}
	}
	return begun, ended
}

func TestClaudeTellsWhatEachAnswerUsedOnce(t *testing.T) {
	t.Parallel()
	answer := func(id string, in, out int) string {
		return fmt.Sprintf(
			`{"type":"assistant","message":{"id":%q,"content":[{"type":"text","text":"x"}],"usage":{"input_tokens":%d,"cache_read_input_tokens":5,"output_tokens":%d}}}`+"\n", id, in, out)
	}
	turn := newTurn(t, "go")
	var told []transcript.Usage
	turn.OnUsage = func(u transcript.Usage) { told = append(told, u) }
	// Of one answer, each block is a line of its own with the whole usage.
	replay(t, "claude", answer("a", 100, 1)+answer("a", 100, 7)+answer("b", 50, 2), "1", "", turn)
	want := []transcript.Usage{{Known: true, Input: 100, CacheRead: 5, Output: 1},
		{Known: true, Input: 100, CacheRead: 5, Output: 7}, {Known: true, Input: 150, CacheRead: 10, Output: 9}}
	if !slices.Equal(told, want) {
		t.Errorf("told %+v; want %+v", told, want)
	}
}

func TestClaudeHoldsItselfToWhatATurnMayCost(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, "go")
	turn.MaxUSD = new(0.25)
	// As Claude Code 2.1 ends: the cost of the conversation, and no tokens.
	res, f, _, c := replay(t, "claude",
		`{"type":"assistant","message":{"id":"a","content":[],"usage":{"input_tokens":100,"output_tokens":1}}}`+"\n"+
			`{"type":"result","subtype":"error_max_budget_usd","is_error":true,"total_cost_usd":0.75,"model_usage_since_last_result":{"m":{"costUSD":0.3}},"usage":{"input_tokens":0},"errors":["Reached maximum budget ($0.25)"]}`+"\n", "1", "", turn)
	expectFailure(t, f, FailBudget, "what its budget leaves is used up")
	if want := (transcript.Usage{CostKnown: true, CostUSD: 0.3}); res.Usage != want ||
		!c.has("--max-budget-usd=0.250000") {
		t.Errorf("used %+v, called with %q; want %+v", res.Usage, c.Args, want)
	}
}

func TestTheCostOfAClaudeTurnIsItsOwnWhateverTheVersionCounts(t *testing.T) {
	t.Parallel()
	result := func(total float64, models int) string {
		return fmt.Sprintf(`{"type":"result","subtype":"success","session_id":"s","result":"ok","total_cost_usd":%g,"usage":{"input_tokens":100,"cache_read_input_tokens":40,"output_tokens":20},
			"modelUsage":{"m":{"inputTokens":%d,"cacheReadInputTokens":%d,"outputTokens":%d,"costUSD":%g}}}`, total,
			100*models, 40*models, 20*models, total)
	}
	turn := newTurn(t, "x")
	turn.Resume, turn.FormerUsage = "s", transcript.Usage{
		Known: true, Input: 200, CacheRead: 80, Output: 40, CostKnown: true, CostUSD: 0.5,
	}
	for _, tt := range []struct {
		name, line string
		cost       float64
	}{
		{"of the process", result(0.25, 1), 0.25},
		{"of the process, dearer than all before", result(0.75, 1), 0.75},
		{"of the conversation", result(0.75, 3), 0.25},
		{"of the process, with a model beside", strings.Replace(result(0.75, 1), `"modelUsage":{`,
			`"modelUsage":{"small":{"inputTokens":10},`, 1), 0.75},
	} {
		res, f, _, _ := replay(t, "claude", strings.ReplaceAll(tt.line, "\n", "")+"\n", "0", "", turn)
		if f != nil || !res.Usage.CostKnown || res.Usage.CostUSD != tt.cost {
			t.Errorf("%s: %+v, %v; want %v", tt.name, res.Usage, f, tt.cost)
		}
	}
}

func TestClaudeTurnTellsItsStory(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, "--help me to\nwrite")
	turn.Model, turn.Instructions = "opus", "Be kind."
	turn.MCP = []MCPServer{{Name: "files", Command: "/bin/files", Env: map[string]string{"TOKEN": "s3cret"}}}
	res, f, s, c := replay(t, "claude", "claude-write", "0", "", turn)
	if f != nil {
		t.Fatal(f)
	}
	want := Result{Conversation: "a3ef9691-d60a-495c-bdba-ef53b9eab285", Text: "Stub answer after the tool call.",
		Stop:  "end_turn",
		Usage: transcript.Usage{Known: true, Input: 200, CacheRead: 80, Output: 40, CostKnown: true, CostUSD: 0.001616}}
	if res != want {
		t.Errorf("result %+v; want %+v", res, want)
	}
	begun, ended := toolEvents(s)
	if len(begun) != 1 || begun[0].Tool.Name != "Write" || begun[0].Tool.Kind != "edit" ||
		begun[0].Text != "Write /home/dev/claude2/out.txt" {
		t.Errorf("tools began: %+v", begun)
	}
	if len(ended) != 1 || !ended[0].OK || ended[0].ID != begun[0].ID ||
		!strings.HasPrefix(ended[0].Tool.Result, "File created") ||
		!slices.Equal(ended[0].Tool.Edits, []transcript.Edit{{
			Path: "/home/dev/claude2/out.txt", Action: "add", New: "from claude",
		}}) {
		t.Errorf("tools ended: %+v", ended)
	}
	if s.text(transcript.KindText) != want.Text {
		t.Errorf("said %q", s.text(transcript.KindText))
	}
	for _, arg := range []string{"-p", "--output-format=stream-json", "--permission-mode=bypassPermissions",
		`--settings={"disableAllHooks":true}`, "--model=opus", "--append-system-prompt=Be kind.",
		"--strict-mcp-config", "--mcp-config=" + turn.RunDir + "/mcp.json"} {
		if !c.has(arg) {
			t.Errorf("called with %q; want %s", c.Args, arg)
		}
	}
	if c.Prompt != turn.Prompt || strings.Contains(strings.Join(c.Args, " "), "s3cret") {
		t.Errorf("prompt %q, arguments %q", c.Prompt, c.Args)
	}
	config, _ := os.ReadFile(filepath.Join(turn.RunDir, "mcp.json"))
	if !strings.Contains(string(config), `"files":{"args":[],"command":"/bin/files","env":{"TOKEN":"s3cret"}`) {
		t.Errorf("tool servers: %s", config)
	}
	if root := slices.Contains(c.Env, "IS_SANDBOX=1"); root != (os.Geteuid() == 0) {
		t.Errorf("IS_SANDBOX set: %v", root)
	}
}

func TestClaudeReadOnlyAndResume(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, "look")
	turn.ReadOnly = true
	turn.AllowedTools = []string{"Bash(git log:*)"}
	turn.Resume = "abc"
	turn.Instructions = "Be kind."
	_, f, s, c := replay(t, "claude", "claude-mcp", "0", "", turn)
	if f != nil {
		t.Fatal(f)
	}
	for _, arg := range []string{"--permission-mode=dontAsk", "--allowedTools=Read,Grep,Glob,Bash(git log:*)",
		"--resume=abc", "--append-system-prompt=Be kind."} {
		if !c.has(arg) {
			t.Errorf("called with %q; want %s", c.Args, arg)
		}
	}
	if _, ended := toolEvents(s); len(ended) != 1 || ended[0].Tool.Result != "pong" {
		t.Errorf("tools ended: %+v", ended)
	}
}

func TestAResultOfTwelveMegabytesIsUnderstoodThoughItsTextIsCut(t *testing.T) {
	t.Parallel()
	line := `{"type":"result","subtype":"success","session_id":"s","result":"It begins.` +
		strings.Repeat(`\n\"quoted\" \\u0000 text`, 500_000) +
		`\nNOTHING TO DO","total_cost_usd":1.25,"usage":{"input_tokens":7,"output_tokens":3}}` + "\n"
	res, f, s, _ := replay(t, "claude", `{"type":"system","subtype":"init","session_id":"s"}`+"\n"+line, "0", "",
		newTurn(t, "x"))
	if f != nil {
		t.Fatal(f)
	}
	if !strings.HasPrefix(res.Text, "It begins.\n") || !strings.HasSuffix(res.Text, "\nNOTHING TO DO") ||
		len(res.Text) > 2*maxAnswer || !strings.Contains(res.Text, "… cut") {
		t.Errorf("of %d bytes %d are the answer, which begins %.40q", len(line), len(res.Text), res.Text)
	}
	if res.Usage.Input != 7 || res.Usage.CostUSD != 1.25 || s.text(transcript.KindWarning) != "" {
		t.Errorf("it used %+v, and warned %q", res.Usage, s.text(transcript.KindWarning))
	}
}

func TestClaudeFailuresAreClassified(t *testing.T) {
	t.Parallel()
	result := func(fields string) string {
		return `{"type":"system","subtype":"init","session_id":"s"}` + "\n" + `{"type":"result","session_id":"s",` +
			fields + "}\n"
	}
	for _, tt := range []struct {
		name, stream, exit, stderr, kind, reason string
		fix                                      string
	}{
		{"a refused key ends it early", "claude-401", "hang", "", FailAuth, "refused the sign-in (401)",
			"ANTHROPIC_API_KEY"},
		{"a broken server", "claude-500", "1", "", FailTransient, "API Error: 500", ""},
		{"success by name only",
			result(`"subtype":"success","is_error":true,"result":"API Error: 529 Overloaded","api_error_status":529`),
			"1", "", FailTransient, "Overloaded", ""},
		{"a usage limit",
			result(`"subtype":"success","is_error":true,"result":"Claude AI usage limit reached|1795443600"`), "1", "",
			FailRateLimit, "usage limit", ""},
		{"a usage limit for years",
			result(`"subtype":"success","is_error":true,"result":"Claude AI usage limit reached|9999999999"`), "1", "",
			FailRateLimit, "usage limit", ""},
		{"an unknown model",
			result(`"subtype":"success","is_error":true,"api_error_status":404,"result":"There's an issue with the selected model (opus-9). It may not exist or you may not have access to it."`), "1", "", FailModel, "opus-9", "sonnet"},
		{"a long conversation", result(`"subtype":"success","is_error":true,"result":"Prompt is too long"`), "1", "",
			FailContext, "too long", "new session"},
		{"not signed in", result(`"subtype":"success","is_error":true,"result":"Invalid API key · Please run /login"`),
			"1", "", FailAuth, "/login", "ANTHROPIC_API_KEY"},
		{"a budget", result(`"subtype":"error_max_budget_usd","is_error":true`), "1", "", FailBudget,
			"what its budget leaves is used up", ""},
		{"silence", "\n", "1", "", FailAgent, "exit 1", ""},
		{"another version", "\n", "1", "error: unknown option '--settings={}'\n", FailStart,
			"this version of Claude Code does not take", "newer one: npm install -g @anthropic-ai/claude-code"},
		{"no result", `{"type":"system","subtype":"init","session_id":"s"}` + "\n", "0", "", FailAgent,
			"before its answer was complete", ""},
		{"noise and half a line", "banner\n{\"type\":\n" + result(`"is_error":true,"result":"no"`), "1", "", FailAgent,
			"no", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, f, _, _ := replay(t, "claude", tt.stream, tt.exit, tt.stderr, newTurn(t, "x"))
			expectFailure(t, f, tt.kind, tt.reason)
			if f != nil && !strings.Contains(f.Fix, tt.fix) {
				t.Errorf("the fix is %q; want %q in it", f.Fix, tt.fix)
			}
			if tt.name == "a usage limit" && !f.RetryAt.Equal(time.Unix(1795443600, 0)) {
				t.Errorf("try again at %s", f.RetryAt)
			}
			if tt.name == "a usage limit for years" && !f.RetryAt.IsZero() {
				t.Errorf("it believes that trying again makes sense at %s", f.RetryAt)
			}
		})
	}
}

func TestTheConversationIsToldAsSoonAsTheAgentNamesIt(t *testing.T) {
	t.Parallel()
	named := func(s *seen) []string {
		var list []string
		for i, e := range s.all() {
			if e.Kind == transcript.KindConversation {
				list = append(list, fmt.Sprint(e.ID, " at ", i))
			}
		}
		return list
	}
	for _, tt := range []struct{ agent, stream, id string }{
		{"claude", `{"type":"system","subtype":"init","session_id":"s"}` + "\n" +
			`{"type":"assistant","session_id":"s","message":{"id":"a","content":[{"type":"text","text":"x"}]}}` + "\n",
			"s"},
		{"codex", `{"type":"thread.started","thread_id":"t"}` + "\n" +
			`{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"x"}}` + "\n", "t"},
	} {
		turn := newTurn(t, "x")
		if _, _, s, _ := replay(t, tt.agent, tt.stream, "1", "", turn); !slices.Equal(named(s),
			[]string{tt.id + " at 0"}) {
			t.Errorf("%s told %q", tt.agent, named(s))
		}
		turn.Resume = tt.id
		if _, _, s, _ := replay(t, tt.agent, tt.stream, "1", "", turn); len(named(s)) > 0 {
			t.Errorf("%s told %q of the conversation that it was given", tt.agent, named(s))
		}
	}
	_, f, s := runTurn(t, acpProvider(t), newTurn(t, "[[say x]][[die]]"))
	at := slices.IndexFunc(s.all(), func(e transcript.Event) bool {
		return e.Kind == transcript.KindConversation &&
			strings.HasPrefix(e.ID, "conversation-")
	})
	if text := slices.IndexFunc(s.all(), func(e transcript.Event) bool {
		return e.Kind == transcript.KindText
	}); f == nil || at < 0 ||
		at > text {
		t.Errorf("told %q, before its words at %d: %v", named(s), text, f)
	}
}

func TestAConversationThatTheAgentDoesNotKnowIsAFailureOfItsOwn(t *testing.T) {
	t.Parallel()
	const id = "01234567-89ab-4cde-8f01-23456789abcd"
	turn := newTurn(t, "x")
	turn.Resume = id
	for _, tt := range []struct{ agent, stream, stderr string }{
		{"claude", "\n", "No conversation found with session ID: " + id + "\n"},
		{"claude", `{"type":"result","subtype":"error_during_execution","is_error":true,"session_id":"` + id +
			`","errors":["No conversation found with session ID: ` + id + `"]}` + "\n", ""},
		{"codex", "\n", "Error: thread/resume: thread/resume failed: no rollout found for thread id " + id +
			" (code -32600)\n"},
	} {
		_, f, _, _ := replay(t, tt.agent, tt.stream, "1", tt.stderr, turn)
		expectFailure(t, f, FailUnknown, id)
		if !errors.Is(f, ErrUnknownConversation) {
			t.Errorf("%s failed with %v; want %v", tt.agent, f, ErrUnknownConversation)
		}
	}
	fresh := newTurn(t, "x")
	_, f, _, _ := replay(t, "claude", "\n", "1", "No conversation found with session ID: "+id+"\n", fresh)
	expectFailure(t, f, FailAgent, "")
}

func TestCodexTurnTellsItsStory(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, "-write")
	turn.Model, turn.Instructions = "gpt-5.5", "Say \"hi\"\n"
	turn.MCP = []MCPServer{{
		Name: "files", Command: "/bin/files", Args: []string{"it's"}, Env: map[string]string{"TOKEN": "s3c'ret"},
	},
		{Name: "web", URL: "http://localhost/mcp", Headers: map[string]string{"Authorization": "Bearer s3cret"}}}
	res, f, s, c := replay(t, "codex", "codex-write", "0", "", turn)
	if f != nil {
		t.Fatal(f)
	}
	want := Result{Conversation: "01a20818-78bf-78c1-ad73-e76dbb13b535", Text: "Stub answer after the tool call.",
		Stop:  "end_turn",
		Usage: transcript.Usage{Known: true, Input: 200, CacheRead: 80, Output: 40}}
	if res != want {
		t.Errorf("result %+v; want %+v", res, want)
	}
	begun, ended := toolEvents(s)
	if len(begun) != 1 || len(ended) != 1 || !ended[0].OK ||
		!slices.Equal(ended[0].Tool.Edits, []transcript.Edit{{Path: "/home/dev/codex1/out.txt", Action: "add"}}) {
		t.Errorf("tools: %+v, %+v", begun, ended)
	}
	wantArgs := []string{"exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox",
		"--model=gpt-5.5",
		"-c", `developer_instructions="Say \"hi\"\n"`, "-c", `mcp_servers.files.command="` + turn.RunDir + `/mcp-0"`,
		"-c", `mcp_servers.web.url="http://localhost/mcp"`, "-c",
		`mcp_servers.web.env_http_headers={"Authorization"="MCP_HEADER_1_0"}`, "-"}
	if !slices.Equal(c.Args, wantArgs) {
		t.Errorf("called with %q; want %q", c.Args, wantArgs)
	}
	script, _ := os.ReadFile(filepath.Join(turn.RunDir, "mcp-0"))
	if want := "#!/bin/sh\nexport TOKEN='s3c'\\''ret'\nexec '/bin/files' 'it'\\''s'\n"; string(script) != want {
		t.Errorf("launcher %q; want %q", script, want)
	}
	if c.Prompt != "-write" || !slices.Contains(c.Env, "MCP_HEADER_1_0=Bearer s3cret") {
		t.Errorf("prompt %q, environment %q", c.Prompt, c.Env)
	}
}

func TestCodexUsageIsTheShareOfTheTurn(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, "x")
	turn.ReadOnly, turn.Resume, turn.FormerUsage = true, "old", transcript.Usage{
		Known: true, Input: 100, CacheRead: 40, Output: 20,
	}
	res, f, _, c := replay(t, "codex", "codex-resume", "0", "", turn)
	if want := (transcript.Usage{Known: true, Input: 100, CacheRead: 40, Output: 20}); f != nil || res.Usage != want {
		t.Errorf("usage %+v, %v; want %+v", res.Usage, f, want)
	}
	if got := c.Args[len(c.Args)-3:]; !slices.Equal(got, []string{"resume", "old", "-"}) ||
		!c.has("--sandbox=read-only") {
		t.Errorf("called with %q", c.Args)
	}
	turn.FormerUsage = transcript.Usage{}
	if res, _, _, _ = replay(t, "codex", "codex-resume", "0", "", turn); res.Usage.Known {
		t.Errorf("usage %+v; want unknown, since what was spent before is", res.Usage)
	}
	if res, _, s, _ := replay(t, "codex", "codex-mcp", "0", "", newTurn(t, "x")); res.Usage.Input != 100 ||
		!strings.Contains(s.text(transcript.KindWarning), "Model metadata") {
		t.Errorf("usage %+v, warned %q", res.Usage, s.text(transcript.KindWarning))
	}
}

func TestCodexFailuresAreClassified(t *testing.T) {
	t.Parallel()
	failed := func(message string) string {
		return `{"type":"thread.started","thread_id":"t"}` + "\n" + `{"type":"turn.failed","error":{"message":"` +
			message + `"}}` + "\n"
	}
	for _, tt := range []struct {
		name, stream, exit, stderr, kind, reason string
	}{
		{"a refused key", "codex-401", "1", "", FailAuth, "401 Unauthorized"},
		{"a busy server", "codex-500", "1", "", FailTransient, "high demand"},
		{"a rate limit", failed("Rate limit reached. Please try again in 1m30s."), "1", "", FailRateLimit,
			"Rate limit"},
		{"a quota", failed("You've hit your usage limit. Try again in 2 days 3 hours."), "1", "", FailRateLimit,
			"usage limit"},
		{"an unknown model", failed("The requested model 'gpt-9' does not exist."), "1", "", FailModel, "gpt-9"},
		{"a long conversation", failed("Codex ran out of room in the model's context window."), "1", "", FailContext,
			"context window"},
		{"an error and silence", `{"type":"error","message":"stream disconnected before completion"}` + "\n", "1", "",
			FailTransient, "stream disconnected"},
		{"a bad option", "\n", "2", "error: unexpected argument\n", FailStart,
			"this version of Codex does not take what Carillon asks of it: unexpected argument"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before := time.Now()
			_, f, _, _ := replay(t, "codex", tt.stream, tt.exit, tt.stderr, newTurn(t, "x"))
			expectFailure(t, f, tt.kind, tt.reason)
			if tt.name == "a rate limit" && (f.RetryAt.Before(before.Add(90*time.Second)) ||
				f.RetryAt.After(time.Now().Add(90*time.Second))) {
				t.Errorf("try again at %s", f.RetryAt)
			}
		})
	}
	res, f, _, _ := replay(t, "codex", `{"type":"error","message":"Reconnecting... 1/5"}`+"\n"+
		`{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"well"}}`+"\n"+
		`{"type":"turn.completed","usage":{"input_tokens":1}}`+"\n", "0", "", newTurn(t, "x"))
	if f != nil || res.Text != "well" {
		t.Errorf("an error that it got over: %+v, %v", res, f)
	}
}

func TestRetryTimesAreRead(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"429, retry-after: 7": 7 * time.Second, "Retry after 20s": 20 * time.Second,
		"try again in 1.5s":                     1500 * time.Millisecond,
		"Please retry in 39.5 seconds":          39500 * time.Millisecond,
		"try again in 2 days 3 hours 5 minutes": 51*time.Hour + 5*time.Minute,
		`"resets_in_seconds":600`:               10 * time.Minute, "try again in 6m0s": 6 * time.Minute,
		"try again in 250ms":  250 * time.Millisecond,
		`"retryDelay": "11s"`: 11 * time.Second, "limit reached|1795443600": time.Unix(1795443600, 0).Sub(now),
		"quota resets at 2026-11-24T00:00:00Z": 12 * time.Hour,
	} {
		if got := retryAt(text, now); !got.Equal(now.Add(want)) {
			t.Errorf("%q: %s; want %s", text, got.Sub(now), want)
		}
	}
	for _, text := range []string{"", "429", "try again later", "resets at noon", "version 2026-11-24T00:00:00Z"} {
		if got := retryAt(text, now); !got.IsZero() {
			t.Errorf("%q: %s; want none", text, got)
		}
	}
}

func TestCleanedJSONIsWhatPostgreSQLTakes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`{"a":"b"}`: `{"a":"b"}`, `{"a":"\u0000b"}`: "{\"a\":\"\uFFFDb\"}", `"\ud83d\ude00"`: `"😀"`,
		`"\ud83dx"`:      "\"\uFFFDx\"",
		`"\ude00\ud83d"`: "\"\uFFFD\uFFFD\"", `"\\u0000"`: `"\\u0000"`, `"\\\u0000"`: "\"\\\\\uFFFD\"",
		"\"\xff\"": "\"\uFFFD\"", `{"a":`: ``, ``: ``,
	} {
		if got := string(cleanJSON(json.RawMessage(in))); got != want {
			t.Errorf("%s became %s; want %s", in, got, want)
		}
	}
	if got := Clean("a\x00\xffb"); got != "a\uFFFD\uFFFDb" {
		t.Errorf("Clean gave %q", got)
	}
}

func TestPlainTextHasNoCommandsForATerminal(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"as it is [31m":                                       "as it is [31m",
		"\x1b[1;31mred\x1b[0m and plain":                      "red and plain",
		"\x1b]8;;https://a.example\x1b\\a link\x1b]8;;\x1b\\": "a link",
		"\x1b]0;a title\x07text\x1b[2K\x1b[1A":                "text",
		"\x1b(Bwords\x1bM":                                    "words",
	} {
		if got := Plain(text); got != want {
			t.Errorf("Plain(%q) is %q; want %q", text, got, want)
		}
	}
}

func TestAWarningHasNoPathsOfTheServerAndNoRawJSON(t *testing.T) {
	t.Parallel()
	var got string
	r := &run{Turn: Turn{Dir: "/srv/work/1", RunDir: "/srv/runs/1"}, touch: func() {},
		emitTo: func(e transcript.Event) { got = e.Text }}
	for words, want := range map[string]string{
		"cannot read /srv/work/1/src/a.go":                                 "cannot read src/a.go",
		"the folder /srv/work/1 is no repository":                          "the folder the worktree is no repository",
		"wrote /srv/runs/1/mcp.json":                                       "wrote mcp.json",
		"read " + os.Getenv("HOME") + "/.codex/x":                          "read ~/.codex/x",
		`stream error: {"error":{"message":"overloaded","type":"server"}}`: "stream error: overloaded",
	} {
		if r.warn("%s", words); got != want {
			t.Errorf("%q became %q; want %q", words, got, want)
		}
	}
}

func TestASignInIsKnownByItsVariableOrFile(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	p := Provider{Keys: []string{"ANTHROPIC_*"}, Account: ".agent/auth.json"}
	file := filepath.Join(home, p.Account)
	if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ file, variable, want string }{
		{"", "", ""},
		{"{}", "", ""}, // of one who signed out
		{`{"token":"x"}`, "", "~/.agent/auth.json"},
		{"", "ANTHROPIC_BASE_URL=https://x", ""},
		{"", "ANTHROPIC_API_KEY=x", "ANTHROPIC_API_KEY"},
		{"", "ANTHROPIC_API_KEY=", ""},
	} {
		if err := os.WriteFile(file, []byte(tt.file), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := SignedIn(p, []string{"HOME=" + home, tt.variable}); got != tt.want {
			t.Errorf("with the file %q and %q it is signed in by %q; want %q", tt.file, tt.variable, got, tt.want)
		}
	}
}
