package agent

import (
	"context"
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
)

// speaker is one driver's way of telling a turn, for what every driver must bear.
type speaker struct {
	provider string
	begin    string              // the first line of a turn
	event    string              // one more piece of the answer
	failed   func(string) string // a turn that ends with an error, as its own last line
	end      string              // a turn that ends well
}

var speakers = []speaker{
	{
		"claude", `{"type":"system","subtype":"init","session_id":"s"}` + "\n",
		`{"type":"assistant","session_id":"s","message":{"role":"assistant","content":[{"type":"text","text":"a piece "}]}}` + "\n",
		func(why string) string {
			return `{"type":"result","subtype":"success","session_id":"s","is_error":true,"result":"` + why + `"}` + "\n"
		},
		`{"type":"result","subtype":"success","session_id":"s","is_error":false,"result":"well"}` + "\n",
	},
	{
		"codex", `{"type":"thread.started","thread_id":"t"}` + "\n",
		`{"type":"item.completed","item":{"id":"i","type":"agent_message","text":"a piece "}}` + "\n",
		func(why string) string { return `{"type":"turn.failed","error":{"message":"` + why + `"}}` + "\n" },
		`{"type":"item.completed","item":{"id":"z","type":"agent_message","text":"well"}}` + "\n" + `{"type":"turn.completed","usage":{"input_tokens":1}}` + "\n",
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
			{"exits 0 with an error inside", sp.begin + sp.event + sp.failed("what a pity"), "0", FailAgent, "what a pity", 0},
			{"exits 0 before its answer", sp.begin + sp.event, "0", FailAgent, "before its answer was complete", 0},
			{"exits 0 without a word", "\n", "0", FailAgent, "before its answer was complete", 0},
			{"is limited, and says until when", sp.begin + sp.failed("429 Too Many Requests. Please try again in 20m."), "1", FailRateLimit, "429", 20 * time.Minute},
			{"is limited, and does not say until when", sp.begin + sp.failed("429 Too Many Requests"), "1", FailRateLimit, "429", 0},
			{"is limited, and exits 0", sp.begin + sp.failed("429 Too Many Requests"), "0", FailRateLimit, "429", 0},
			{"loses the network", sp.begin + sp.failed("getaddrinfo ENOTFOUND api.example.com"), "1", FailTransient, "ENOTFOUND", 0},
			{"has too long a conversation", sp.begin + sp.failed("prompt is too long: 210000 tokens"), "1", FailContext, "too long", 0},
			{"prints broken JSON", sp.begin + "{\"type\":\n{]\nnull\n[]\n7\n\"x\"\n{\"type\":{}}\n{\"type\":\"item.completed\",\"item\":7}\n" + sp.failed("a limit of nothing"), "1", FailAgent, "a limit of nothing", 0},
			{"prints broken JSON and nothing else", "{\"type\":\n", "1", FailAgent, "exit 1", 0},
			{"is killed", sp.begin + sp.event, "kill", FailAgent, "signal: killed", 0},
		} {
			t.Run(sp.provider+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				before := time.Now()
				turn := newTurn(t, "x")
				m := mark(t, &turn)
				_, f, _, _ := replay(t, sp.provider, tt.stream, tt.exit, "", turn)
				expectFailure(t, f, tt.kind, tt.reason)
				if (tt.retry != 0) != !f.RetryAt.IsZero() || tt.retry != 0 && (f.RetryAt.Before(before.Add(tt.retry)) || f.RetryAt.After(time.Now().Add(tt.retry))) {
					t.Errorf("try again at %s; want %s from now", f.RetryAt, tt.retry)
				}
				expectNoSurvivor(t, m)
			})
		}
		t.Run(sp.provider+" prints broken JSON and goes on", func(t *testing.T) {
			t.Parallel()
			res, f, _, _ := replay(t, sp.provider, "Welcome!\n\x00\xff\n{\"type\":\n"+sp.begin+"{}\n"+sp.event+"{\"type\":\"a kind of tomorrow\",\"x\":{}}\n"+sp.end, "0", "", newTurn(t, "x"))
			if f != nil || res.Text != "well" {
				t.Errorf("got %+v, %v; want the answer", res, f)
			}
		})
	}
}

func TestAnACPAgentThatIsKilledOrLimitedSaysSo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, prompt, kind, reason string
		retry                      time.Duration
	}{
		{"is killed", "[[say x]][[kill]]", FailAgent, "signal: killed", 0},
		{"is limited, and says until when", "[[fail -32603 429 Too Many Requests, retry-after: 90]]", FailRateLimit, "429", 90 * time.Second},
		{"is limited, and does not say until when", "[[fail -32603 429 Too Many Requests]]", FailRateLimit, "429", 0},
		{"loses the network", "[[fail -32603 fetch failed: ENOTFOUND]]", FailTransient, "ENOTFOUND", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			before := time.Now()
			turn := newTurn(t, tt.prompt)
			m := mark(t, &turn)
			_, f, _ := runTurn(t, acpProvider(t), turn)
			expectFailure(t, f, tt.kind, tt.reason)
			if (tt.retry != 0) != !f.RetryAt.IsZero() || tt.retry != 0 && (f.RetryAt.Before(before.Add(tt.retry)) || f.RetryAt.After(time.Now().Add(tt.retry))) {
				t.Errorf("try again at %s; want %s from now", f.RetryAt, tt.retry)
			}
			expectNoSurvivor(t, m)
		})
	}
}

func TestAnAgentThatAsksAtATerminalIsEnded(t *testing.T) {
	t.Parallel()
	for _, sp := range speakers {
		for name, stream := range map[string]string{"before it began": "Do you trust the files in this folder? [y/N]\n", "in the middle": sp.begin + sp.event + "Continue? (y/n)\n"} {
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
	res, err := Run(t.Context(), p, turn, func(e Event) {
		if e.Kind == EventText && events.Add(1)%5000 == 0 {
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
			for name, text := range map[string]string{"begin": sp.begin + sp.event, "end": sp.end, "agent": "#!/bin/bash\n" +
				"trap 'cat " + dir + "/end; exit 0' TERM\ncat " + dir + "/begin\nwhile :; do sleep 0.05; done\n"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil { //nolint:gosec // one of them is a program
					t.Fatal(err)
				}
			}
			p := Catalogue()[slices.IndexFunc(Catalogue(), func(p Provider) bool { return p.ID == sp.provider })]
			p.Command = []string{filepath.Join(dir, "agent")}
			m := mark(t, &turn)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			_, err := Run(ctx, p, turn, func(e Event) {
				if e.Kind == EventText {
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
