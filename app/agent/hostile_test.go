package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	acp "github.com/coder/acp-go-sdk"

	"carillon/app/transcript"
)

// speaker is one driver's way of telling a turn, for what every driver must bear.
type speaker struct {
	provider string
	begin    string // the first line of a turn
	event    string // one more piece of the answer
	// failed is a turn that ends with an error, as its own last line, with the HTTP status, if any
	failed func(why string, status int) string
	lost   string // what it says of a lost network
	end    string // a turn that ends well
}

var speakers = []speaker{
	{
		"claude", `{"type":"system","subtype":"init","session_id":"s"}` + "\n",
		`{"type":"assistant","session_id":"s","message":{"role":"assistant","content":[{"type":"text","text":"a piece "}]}}` + "\n",
		func(why string, status int) string {
			return fmt.Sprintf(
				`{"type":"result","subtype":"success","session_id":"s","is_error":true,"result":%q,"api_error_status":%d}`+"\n", why, status)
		},
		"API Error: Unable to connect to API (ENOTFOUND)",
		`{"type":"result","subtype":"success","session_id":"s","is_error":false,"result":"well"}` + "\n",
	},
	{
		"codex", `{"type":"thread.started","thread_id":"t"}` + "\n",
		`{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"a piece "}}` + "\n",
		func(why string, status int) string {
			if status > 0 {
				why = fmt.Sprintf("unexpected status %d Whatever: %s", status, why)
			}
			return fmt.Sprintf(`{"type":"turn.failed","error":{"message":%q}}`+"\n", why)
		},
		"stream disconnected before completion: ENOTFOUND",
		`{"type":"item.completed","item":{"id":"z","type":"agent_message","text":"well"}}` + "\n" +
			`{"type":"turn.completed","usage":{"input_tokens":1}}` + "\n",
	},
}

func TestAnAgentThatIsNotThereSaysHowToGetIt(t *testing.T) {
	t.Parallel()
	for _, p := range Catalogue() {
		if p.Driver == DriverShell {
			continue
		}
		t.Run(p.ID, func(t *testing.T) {
			t.Parallel()
			p.Command = append([]string{filepath.Join(t.TempDir(), "gone")}, p.Command[1:]...)
			_, f, s := runTurn(t, p, newTurn(t, "x"))
			expectFailure(t, f, FailStart, "is not installed")
			if f.Fix == "" || len(s.all()) != 0 {
				t.Errorf("the fix is %q after %d events; want one, and no event", f.Fix, len(s.all()))
			}
		})
	}
}

func TestWhatAnAgentAnswersIsJudgedByItsWordsAndNotByItsExit(t *testing.T) {
	t.Parallel()
	for _, sp := range speakers {
		for _, tt := range []struct {
			name, stream, exit, kind, reason string
			retry                            time.Duration // from now; 0: none is told
		}{
			{"exits 0 with an error inside", sp.begin + sp.event + sp.failed("what a pity", 0), "0", FailAgent,
				"what a pity",
				0},
			{"exits 0 before its answer", sp.begin + sp.event, "0", FailAgent, "before its answer was complete", 0},
			{"exits 0 without a word", "\n", "0", FailAgent, "before its answer was complete", 0},
			{"is limited, and says until when", sp.begin + sp.failed("Too Many Requests. Please try again in 20m.",
				429), "1",
				FailRateLimit, "Too Many", 20 * time.Minute},
			{"is limited, and does not say until when", sp.begin + sp.failed("Too Many Requests", 429), "1",
				FailRateLimit,
				"Too Many", 0},
			{"is limited, and exits 0", sp.begin + sp.failed("Too Many Requests", 429), "0", FailRateLimit, "Too Many",
				0},
			{"loses the network", sp.begin + sp.failed(sp.lost, 0), "1", FailTransient, "ENOTFOUND", 0},
			{"has too long a conversation", sp.begin + sp.failed("prompt is too long: 210000 tokens > 200000 maximum",
				0), "1",
				FailContext, "too long", 0},
			{"prints broken JSON",
				sp.begin + "{\"type\":\n{]\nnull\n[]\n7\n\"x\"\n{\"type\":{}}\n" +
					"{\"type\":\"item.completed\",\"item\":7}\n" +
					sp.failed("a limit of nothing", 0), "1", FailAgent, "a limit of nothing", 0},
			{"prints broken JSON and nothing else", "{\"type\":\n", "1", FailAgent, "exit 1", 0},
			{"is killed", sp.begin + sp.event, "kill", FailAgent, "signal: killed", 0},
		} {
			t.Run(sp.provider+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				now := time.Now().Add(2 * time.Hour).UTC() // the machine's clock is behind
				turn := newTurn(t, "x")
				turn.Now = func() time.Time { return now }
				m := mark(t, &turn)
				_, f, _, _ := replay(t, sp.provider, tt.stream, tt.exit, "", turn)
				expectFailure(t, f, tt.kind, tt.reason)
				if (tt.retry != 0) != !f.RetryAt.IsZero() || tt.retry != 0 && !f.RetryAt.Equal(now.Add(tt.retry)) {
					t.Errorf("try again at %s; want %s after %s", f.RetryAt, tt.retry, now)
				}
				expectNoSurvivor(t, m)
			})
		}
		t.Run(sp.provider+" prints broken JSON and goes on", func(t *testing.T) {
			t.Parallel()
			res, f, _, _ := replay(t, sp.provider, "Welcome!\n\x00\xff\n{\"type\":\n"+sp.begin+"{}\n"+sp.event+
				"{\"type\":\"a kind of tomorrow\",\"x\":{}}\n"+sp.end, "0", "", newTurn(t, "x"))
			if f != nil || res.Text != "well" {
				t.Errorf("got %+v, %v; want the answer", res, f)
			}
		})
	}
}

// Whoever writes a prompt or a test can have a program print such things.
var misleading = []string{
	"    at render (/usr/lib/cli.js:403:17)", "src/quota/index.ts", "pages/login.tsx",
	"no matching closing token found",
	"curl: (22) The requested URL returned error: 403",
	"    at cli.js:512:7", "network.test.js", "Error: 401 Unauthorized", "rate limit exceeded", "Not logged in",
	"the context window is too small", "model not found",
	`{"error":{"type":"authentication_error","message":"invalid x-api-key"}}`, "HTTP 503 Service Unavailable",
	"terminated by ECONNRESET", "error: unknown option '--frozen'",
}

func TestWordsThatTheProgramDoesNotSayOfItselfDecideNothing(t *testing.T) {
	t.Parallel()
	for _, sp := range speakers {
		for i, words := range misleading {
			t.Run(fmt.Sprint(sp.provider, " ", i), func(t *testing.T) {
				t.Parallel()
				_, f, _, _ := replay(t, sp.provider, sp.begin+sp.event, "1", words+"\n", newTurn(t, "x"))
				expectFailure(t, f, FailAgent, "exit 1")
				if words[0] == '{' {
					return // what a server answers, where the program passes it on as the error
				}
				_, f, _, _ = replay(t, sp.provider, sp.begin+sp.failed("the tests failed: "+strings.TrimSpace(words),
					0), "1", "",
					newTurn(t, "x"))
				expectFailure(t, f, FailAgent, "the tests failed")
			})
		}
	}
	for i, words := range misleading {
		t.Run(fmt.Sprint("acp ", i), func(t *testing.T) {
			t.Parallel()
			_, f, _ := runTurn(t, acpProvider(t), newTurn(t, "[[say x]][[die "+words+"]]"))
			expectFailure(t, f, FailAgent, "exit 9")
		})
	}
}

// What the programs said of themselves with a stand-in for their models.
func TestWhatAProgramSaysOfItselfTellsTheKindOfItsFailure(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ agent, words, kind, reason string }{
		{"claude", "API Error: Unable to connect to API (ECONNRESET)", FailTransient, ""},
		{"claude", "You've hit your session limit · resets 3pm (UTC)", FailRateLimit, ""},
		{"claude", "Credit balance is too low", FailRateLimit, ""},
		{"claude", "Prompt is too long · the request is ~210000 tokens (limit 200000) but this conversation is only " +
			"~1560 tokens", FailContext, ""},
		{"codex", "unexpected status 401 Unauthorized: invalid x-api-key, url: http://127.0.0.1:1/v1/responses",
			FailAuth,
			""},
		{"codex", "unexpected status 402 Payment Required: You exceeded your current quota., url: " +
			"http://127.0.0.1:1/v1/responses", FailRateLimit, ""},
		{"codex", "unexpected status 529 <unknown status code>: Overloaded, url: http://127.0.0.1:1/v1/responses",
			FailTransient, ""},
		{"codex", "exceeded retry limit, last status: 429 Too Many Requests", FailRateLimit, ""},
		{"codex", "The model gpt-9 does not exist or you do not have access to it.", FailModel, ""},
		{"codex", `{"error":{"code":"","message":"bad thing","type":"error"}}`, FailAgent, "bad thing"},
		{"codex", "We’re currently experiencing high demand, which may cause temporary errors.", FailTransient, ""},
		{"gemini", `{"error":{"code":500,"message":"internal server error","status":"INTERNAL"}}`, FailTransient,
			"internal server error"},
		{"gemini", `{"error":{"code":402,"message":"You exceeded your current quota.","status":"insufficient_quota"}}`,
			FailRateLimit, ""},
		{"gemini", "The input token count (2100000) exceeds the maximum number of tokens allowed (1048576).",
			FailContext,
			""},
		{"qwen", "terminated", FailTransient, ""},
		{"qwen", "401 invalid x-api-key", FailAuth, ""},
		{"qwen", "404 The model gpt-9 does not exist or you do not have access to it.", FailModel, ""},
		{"qwen", "400 This model's maximum context length is 128000 tokens. However, your messages resulted in " +
			"210000 tokens.", FailContext, ""},
		{"qwen", "Model stream ended with empty response text.", FailTransient, ""},
		{"copilot", "Authentication failed with provider at http://127.0.0.1:1/v1 (HTTP 401).\n  Check your " +
			"COPILOT_PROVIDER_API_KEY.", FailAuth, ""},
		{"copilot", "Model 'test-model' not found on provider at http://127.0.0.1:1/v1 (HTTP 404).\n  Check it.",
			FailModel,
			""},
		{"copilot", "Failed to get response from the AI model; retried 5 times (total retry wait time: 5.00 seconds) " +
			"Last error: Failed native model HTTP request: " +
			"error decoding response body: error reading a body from connection: unexpected EOF during chunk size line",
			FailTransient, ""},
		{"copilot", "Failed to get response from the AI model; retried 5 times (total retry wait time: 11.22 " +
			"seconds) Last error: 429 Rate limit reached. Please try again in 40m.", FailRateLimit, ""},
		{"copilot", "The provider rejected the prompt as too long", FailContext, ""},
		{"copilot", "400 bad thing", FailAgent, ""},
		{"opencode", "rate limit exceeded", FailRateLimit, ""},
		{"opencode", "Connection reset by server", FailTransient, ""},
		{"kilo", "Connection reset by server", FailTransient, ""},
		{"opencode", "the tool wrote: Connection reset by server", FailAgent, ""},
		{"kilo", "Too Many Requests", FailRateLimit, ""},
		{"opencode", "reading src/rate limit exceeded.txt", FailAgent, ""},
		{"qwen", `upstream said: {"error":{"message":"no such thing","type":"x"}}`, FailAgent,
			"upstream said: no such thing"},
		{"qwen", `[{"error":{"code":400,"message":"bad thing"}}]`, FailAgent, "bad thing"},
		{"qwen", "the list [1, 2] is short", FailAgent, "the list [1, 2] is short"},
		{"opencode",
			"Incorrect API key provided: sk-x. You can find your API key at " +
				"https://platform.openai.com/account/api-keys.", FailAuth, ""},
	} {
		r := &run{Provider: Provider{ID: tt.agent}, Turn: Turn{Resume: "x"}}
		if f := r.failure(errorReport{text: tt.words}, time.Now()); f.Kind != tt.kind || tt.reason != "" &&
			f.Reason != tt.reason {
			t.Errorf("%s: %q is %s %q; want %s", tt.agent, tt.words, f.Kind, f.Reason, tt.kind)
		}
	}
	for _, tt := range []struct{ data, kind, reason string }{
		{`{"service":"session","errorName":"ContextOverflowError"}`, FailContext, "Internal error"},
		{`{"statusCode":401,"message":"no"}`, FailAuth, "no"},
		{`{"error":{"type":"overloaded_error","message":"Overloaded"}}`, FailTransient, "Overloaded"},
		{`{"details":"{\"error\":{\"code\":\"rate_limit_exceeded\",\"message\":\"slower\"}}"}`, FailRateLimit,
			"slower"},
		{`"words of 401"`, FailAgent, "words of 401"},
		{`{"code":"ENOENT","path":"/login"}`, FailAgent, "Internal error"},
	} {
		a := &acpAgent{run: &run{}}
		var data any
		if err := json.Unmarshal([]byte(tt.data), &data); err != nil {
			t.Fatal(err)
		}
		if f := a.requestFailure(&acp.RequestError{
			Code: -32603, Message: "Internal error", Data: data,
		}); f.Kind != tt.kind ||
			f.Reason != tt.reason {
			t.Errorf("%s is %s %q; want %s %q", tt.data, f.Kind, f.Reason, tt.kind, tt.reason)
		}
	}
}

func TestAnAnswerWithoutAnythingIsAFailureThatMayPass(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ agent, stream string }{
		{"claude", `{"type":"result","subtype":"success","session_id":"s","result":"","usage":{"input_tokens":1,"output_tokens":1}}` + "\n"},
		{"codex", `{"type":"item.completed","item":{"id":"i","type":"agent_message","text":" "}}` + "\n" +
			`{"type":"turn.completed","usage":{"input_tokens":1}}` + "\n"},
	} {
		turn := newTurn(t, "x")
		_, f, _, _ := replay(t, tt.agent, tt.stream, "0", "", turn)
		expectFailure(t, f, FailTransient, "the agent answered nothing")
		turn.HasWorked = func() bool { return true }
		if _, f, _, _ := replay(t, tt.agent, tt.stream, "0", "", turn); f != nil {
			t.Errorf("%s changed a file and failed: %v", tt.agent, f)
		}
	}
	for prompt, fails := range map[string]bool{"[[think Hm.]]": true, "[[write x|y]]": false, "[[say Well.]]": false} {
		if _, f, _ := runTurn(t, acpProvider(t), newTurn(t, prompt)); (f != nil) != fails {
			t.Errorf("%s ended with %v", prompt, f)
		}
	}
	p := acpProvider(t)
	p.ID, p.Experimental = "copilot", true
	_, f, _ := runTurn(t, p, newTurn(t, "[[say Error: No response was returned. Send your message again to retry.]]"))
	expectFailure(t, f, FailTransient, "No response was returned")
	if _, f, _ := runTurn(t, bash(), newTurn(t, "true")); f != nil {
		t.Errorf("a script that says nothing failed: %v", f)
	}
}

func TestAnACPAgentThatIsKilledOrLimitedSaysSo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, prompt, kind, reason string
		retry                      time.Duration
	}{
		{"is killed", "[[say x]][[kill]]", FailAgent, "signal: killed", 0},
		{"is limited, and says until when", "[[fail 429 Too Many Requests, retry-after: 90]]", FailRateLimit,
			"Too Many",
			90 * time.Second},
		{"is limited, and does not say until when", "[[fail 429 Too Many Requests]]", FailRateLimit, "Too Many", 0},
		{"loses the network", "[[fail 500 terminated]]", FailTransient, "terminated", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			now := time.Now().Add(2 * time.Hour).UTC() // the machine's clock is behind
			turn := newTurn(t, tt.prompt)
			turn.Now = func() time.Time { return now }
			m := mark(t, &turn)
			_, f, _ := runTurn(t, acpProvider(t), turn)
			expectFailure(t, f, tt.kind, tt.reason)
			if (tt.retry != 0) != !f.RetryAt.IsZero() || tt.retry != 0 && !f.RetryAt.Equal(now.Add(tt.retry)) {
				t.Errorf("try again at %s; want %s after %s", f.RetryAt, tt.retry, now)
			}
			expectNoSurvivor(t, m)
		})
	}
}

func TestAnAgentThatAsksAtATerminalIsEnded(t *testing.T) {
	t.Parallel()
	for _, sp := range speakers {
		for name, stream := range map[string]string{
			"before it began": "Do you trust the files in this folder? [y/N]\n", "in the middle": sp.begin + sp.event +
				"Continue? (y/n)\n",
		} {
			t.Run(sp.provider+" "+name, func(t *testing.T) {
				t.Parallel()
				turn := newTurn(t, "x")
				turn.Timeout = 2 * time.Second // nothing is awaited before
				m := mark(t, &turn)
				_, f, _, _ := replay(t, sp.provider, stream, "hang", "", turn)
				expectFailure(t, f, FailTimeout, "stopped after 2s")
				expectNoSurvivor(t, m)
			})
		}
	}
}

func TestAHundredThousandEventsNeedLittleMemory(t *testing.T) { // alone: it measures the heap
	const pieces = 100_000
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, sp := range speakers {
		t.Run(sp.provider, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "stream")
			if err := os.WriteFile(path, []byte(sp.begin+strings.Repeat(sp.event, pieces)+sp.end), 0o600); err != nil {
				t.Fatal(err)
			}
			p := Catalogue()[slices.IndexFunc(Catalogue(), func(p Provider) bool { return p.ID == sp.provider })]
			p.Command = []string{self, "replay", path, "0", "", t.TempDir()}
			expectLittleMemory(t, p, "x", pieces, "well")
		})
	}
	t.Run("acp", func(t *testing.T) {
		expectLittleMemory(t, acpProvider(t), fmt.Sprintf("[[burst %d]][[say well]]", pieces), pieces, "well")
	})
}

// expectLittleMemory runs a turn of many pieces of text, and looks at what is kept of them while they come.
func expectLittleMemory(t *testing.T, p Provider, prompt string, pieces int64, end string) {
	t.Helper()
	turn := newTurn(t, prompt)
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	before := int64(m.HeapAlloc)
	var events, peak atomic.Int64
	res, err := Run(t.Context(), p, turn, func(e transcript.Event) {
		if e.Kind == transcript.KindText && events.Add(1)%5000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), int64(m.HeapAlloc)))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := events.Load(); n < pieces || !strings.HasSuffix(res.Text, end) {
		t.Errorf("%d events and the answer %.40q; want all", n, res.Text)
	}
	if grown := peak.Load() - before; grown > 16<<20 {
		t.Errorf("the heap grew by %d MiB; want less than 16", grown>>20)
	}
}

// So Claude Code does it: told to end, it tells a result and exits 0. And so a wrapper may.
func TestATurnThatWasStoppedIsCanceledHoweverWellItsAgentEnds(t *testing.T) {
	t.Parallel()
	for _, sp := range speakers {
		t.Run(sp.provider, func(t *testing.T) {
			t.Parallel()
			turn := newTurn(t, "x")
			dir := t.TempDir()
			for name, text := range map[string]string{"begin": sp.begin + sp.event, "end": sp.end,
				"agent": "#!/bin/bash\n" +
					"trap 'cat " + dir + "/end; exit 0' TERM\ncat " + dir + "/begin\nwhile :; do sleep 0.05; done\n"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text),
					0o700); err != nil { //nolint:gosec // one of them is a program
					t.Fatal(err)
				}
			}
			p := Catalogue()[slices.IndexFunc(Catalogue(), func(p Provider) bool { return p.ID == sp.provider })]
			p.Command = []string{filepath.Join(dir, "agent")}
			m := mark(t, &turn)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err := Run(ctx, p, turn, func(e transcript.Event) {
				if e.Kind == transcript.KindText {
					cancel()
				}
			})
			var f *Failure
			errors.As(err, &f)
			expectFailure(t, f, FailCanceled, "canceled")
			expectNoSurvivor(t, m)
		})
	}
}

func TestNoVariableOfAWorkspaceLetsATurnWriteThatMayOnlyLook(t *testing.T) {
	t.Parallel()
	p := Provider{ReadEnv: []string{"AGENT_PERMISSION=none"}}
	turn := Turn{Env: []string{"AGENT_PERMISSION=all"}}
	for readOnly, want := range map[bool]string{false: "AGENT_PERMISSION=all", true: "AGENT_PERMISSION=none"} {
		turn.ReadOnly = readOnly
		if env, _ := environment(nil, p, turn); !slices.Contains(env, want) {
			t.Errorf("read-only %v: %q; want %s", readOnly, env, want)
		}
	}
}

// A tool of an agent can write where the agent writes, and keep it from reading. A question is answered before more is
// read: else each would stay in memory until its answer is read.
func TestQuestionsOfAnAgentAreAnsweredOneAfterTheOther(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, "x")
	p := Provider{ID: "asks", Name: "Asks", Driver: DriverACP, Command: []string{"/bin/bash", "-c", `
for i in $(seq 1000 1500); do
	echo '{"jsonrpc":"2.0","id":'$i',"method":"fs/read_text_file","params":{"path":"/etc/passwd"}}'
done
while read -r line; do
	[[ $line =~ \"id\":(1[0-9]{3})[,}] ]] || continue
	echo "${BASH_REMATCH[1]}" >> answers
	[[ ${BASH_REMATCH[1]} == 1500 ]] && exit
done`}}
	_, _, _ = runTurn(t, p, turn) // it never begins
	text, err := os.ReadFile(filepath.Join(turn.Dir, "answers"))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(string(text))
	if len(got) != 501 || !slices.IsSorted(got) {
		t.Errorf("%d of 501 questions were answered, in the order of %v", len(got), got[:min(len(got), 20)])
	}
}
