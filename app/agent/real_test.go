package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/app/agent/agenttest"
	"carillon/app/transcript"
)

// realAgent is an installed agent that talks to a model of the test's own.
func realAgent(t *testing.T, cli agenttest.CLI) (Provider, *agenttest.Model) {
	t.Helper()
	cli.Find(t)
	model := &agenttest.Model{}
	server := httptest.NewServer(model)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	p := Catalogue()[slices.IndexFunc(Catalogue(), func(p Provider) bool { return p.ID == cli.ID })]
	p.SetEnv = append(p.SetEnv, cli.Settings(t, server.URL)...)
	return p, model
}

func realTurn(t *testing.T, cli agenttest.CLI, prompt string) Turn {
	turn := newTurn(t, prompt)
	// Kilo waits ten minutes after its connection was cut
	turn.Model, turn.Timeout, turn.grace = cli.Model, 3*patience, 5*time.Second
	return turn
}

// checkUsed compares what an agent told with what the model did: the same where it tells all of it, at least some of it
// otherwise.
func checkUsed(t *testing.T, what string, u transcript.Usage, calls int) {
	t.Helper()
	in, out := u.Input+u.CacheRead+u.CacheWrite, u.Output
	wantIn, wantOut := int64(calls*(agenttest.FreshTokens+agenttest.CachedTokens)), int64(calls*agenttest.OutputTokens)
	if in == 0 || out == 0 || in > wantIn || out > wantOut || u.Known && (in != wantIn || out != wantOut) {
		t.Errorf("%s used %+v; the model told %d tokens in and %d out", what, u, wantIn, wantOut)
	}
}

// Each agent that is installed keeps the rules that the recorded streams and the scripted agents of the other tests
// show.
func TestInstalledAgentsKeepTheRules(t *testing.T) {
	t.Parallel()
	for _, cli := range agenttest.CLIs {
		t.Run(cli.ID, func(t *testing.T) {
			cli.Find(t)
			t.Run("answers", func(t *testing.T) {
				p, model := realAgent(t, cli)
				turn := realTurn(t, cli, "[[say The answer is 42.]]")
				m := mark(t, &turn)
				res, f, s := runTurn(t, p, turn)
				if f != nil || res.Text != "The answer is 42." || !strings.Contains(s.text(transcript.KindText),
					res.Text) {
					t.Errorf("answered %q, said %q: %v", res.Text, s.text(transcript.KindText), f)
				}
				if u := res.Usage; u.Known && (u.Input+u.CacheRead+u.CacheWrite < agenttest.FreshTokens ||
					u.Output < agenttest.OutputTokens) {
					t.Errorf("used %+v; want at least what one call uses", u)
				}
				t.Logf("used %+v; %d calls of the model", res.Usage, len(model.Calls()))
				expectNoSurvivor(t, m)
			})
			t.Run("changes a file and goes on with its conversation in a new process", func(t *testing.T) {
				p, _ := realAgent(t, cli)
				turn := realTurn(t, cli, "")
				turn.Prompt = "[[write " + filepath.Join(turn.Dir, "made.txt") + "|by the agent]][[say Written.]]"
				res, f, s := runTurn(t, p, turn)
				if text, err := os.ReadFile(filepath.Join(turn.Dir, "made.txt")); f != nil || err != nil ||
					strings.TrimSpace(string(text)) != "by the agent" || res.Text != "Written." {
					t.Fatalf("wrote %q (%v) and answered %q: %v", text, err, res.Text, f)
				}
				if begun, ended := toolEvents(s); len(begun)+len(ended) == 0 || len(ended) == 0 ||
					!ended[len(ended)-1].OK {
					t.Errorf("its tool is not in the events: %+v, %+v", begun, ended)
				}
				turn.Prompt, turn.Resume, turn.FormerUsage = "[[recall]]", res.Conversation, res.Usage
				turn.RunDir = t.TempDir()
				again, f, _ := runTurn(t, p, turn)
				if f != nil || !strings.Contains(again.Text, "made.txt") || again.Conversation == "" {
					t.Errorf("went on with %q: %v", again.Text, f)
				}
				t.Logf("used %+v, then %+v", res.Usage, again.Usage)
			})
			t.Run("goes on with its conversation for ten messages, and tells what each used", func(t *testing.T) {
				p, model := realAgent(t, cli)
				turn := realTurn(t, cli, "")
				var sum transcript.Usage
				var cost float64 // of the first message, which is like the others
				known, calls := true, 0
				for i := range 10 {
					turn.Prompt, turn.RunDir, turn.FormerUsage = fmt.Sprintf("[[say This is answer %d.]]", i+1),
						t.TempDir(),
						sum
					if i == 9 {
						turn.Prompt = "[[recall]]"
					}
					res, f, _ := runTurn(t, p, turn)
					want := strings.NewReplacer("[[say ", "", "]]", "").Replace(turn.Prompt)
					if i == 9 {
						want = "(This is answer 1.)"
					}
					if f != nil || !strings.Contains(res.Text, want) {
						t.Fatalf("message %d was answered %q: %v; want %s", i+1, res.Text, f, want)
					}
					n := len(model.Calls()) - calls
					calls += n
					checkUsed(t, fmt.Sprintf("message %d", i+1), res.Usage, n)
					if i == 0 {
						cost = res.Usage.CostUSD
					}
					if res.Usage.CostKnown != (cost > 0) || res.Usage.CostUSD != cost {
						t.Errorf("message %d cost %v (known: %v); want %v, as the first", i+1, res.Usage.CostUSD,
							res.Usage.CostKnown,
							cost)
					}
					turn.Resume, sum, known = res.Conversation, sum.Add(res.Usage), known && res.Usage.Known
				}
				sum.Known = known
				checkUsed(t, "the conversation", sum, calls)
				t.Logf("used %+v; %d calls of the model", sum, calls)
			})
			t.Run("says that it does not know a conversation", func(t *testing.T) {
				p, _ := realAgent(t, cli)
				turn := realTurn(t, cli, "[[say Well.]]")
				turn.Resume = "01234567-89ab-4cde-8f01-23456789abcd"
				_, f, s := runTurn(t, p, turn)
				if f == nil && strings.Contains(s.text(transcript.KindWarning), "It may have forgotten it") {
					return // it begins one of that name
				}
				expectFailure(t, f, FailUnknown, "")
			})
			t.Run("does not see the server's secrets", func(t *testing.T) {
				p, _ := realAgent(t, cli)
				turn := realTurn(t, cli, "[[run env > seen.txt]][[say Looked.]]")
				_, f, _ := runTurn(t, p, turn)
				text, err := os.ReadFile(filepath.Join(turn.Dir, "seen.txt"))
				if f != nil || err != nil || !strings.Contains(string(text), "PATH=") ||
					strings.Contains(string(text), "CARILLON_SECRET") {
					t.Errorf("its tool saw %q (%v): %v", text, err, f)
				}
			})
			t.Run("changes nothing where it may only look", func(t *testing.T) {
				p, _ := realAgent(t, cli)
				if !p.CanBeReadOnly() {
					t.Skip("it cannot be held to that")
				}
				turn := realTurn(t, cli, "")
				turn.ReadOnly = true
				made := filepath.Join(turn.Dir, "made.txt")
				for _, prompt := range []string{"[[write " + made + "|x]]", "[[run echo x > made.txt]]"} {
					turn.Prompt, turn.RunDir = prompt+"[[say Looked.]]", t.TempDir()
					res, f, _ := runTurn(t, p, turn)
					if _, err := os.Stat(made); err == nil {
						t.Errorf("told %s, it wrote", prompt)
					}
					t.Logf("told %s, it answered %q: %v", prompt, res.Text, f)
				}
			})
			if cli.ID == "claude" {
				t.Run("runs git in a review", func(t *testing.T) {
					p, model := realAgent(t, cli)
					turn := realTurn(t, cli, "[[run git --version]]")
					turn.ReadOnly, turn.AllowedTools = true, []string{"Bash(git --version:*)"}
					_, f, s := runTurn(t, p, turn)
					if _, ended := toolEvents(s); f != nil || len(ended) != 1 || !ended[0].OK ||
						len(model.Calls()) != 2 {
						t.Errorf("its tools ended with %+v: %v", ended, f)
					}
				})
				t.Run("runs no hook of the repository", func(t *testing.T) {
					p, _ := realAgent(t, cli)
					turn := realTurn(t, cli, "[[say Well.]]")
					hook := `{"hooks":{"SessionStart":[{"hooks":[{"type":"command","command":"touch hooked.txt"}]}],"UserPromptSubmit":[{"hooks":[{"type":"command","command":"touch hooked.txt"}]}]}}`
					settings := filepath.Join(turn.Dir, ".claude", "settings.json")
					if err := errors.Join(os.Mkdir(filepath.Dir(settings), 0o700),
						os.WriteFile(settings, []byte(hook), 0o600)); err != nil {
						t.Fatal(err)
					}
					_, f, _ := runTurn(t, p, turn)
					if _, err := os.Stat(filepath.Join(turn.Dir, "hooked.txt")); f != nil || err == nil {
						t.Errorf("a hook of the repository ran: %v", f)
					}
				})
			}
			t.Run("is canceled in mid-turn and leaves no child", func(t *testing.T) {
				p, _ := realAgent(t, cli)
				turn := realTurn(t, cli, "[[run echo started > started.txt; tail -f /dev/null]]")
				m := mark(t, &turn)
				ctx, cancel := context.WithCancel(t.Context())
				go func() {
					for ctx.Err() == nil {
						if _, err := os.Stat(filepath.Join(turn.Dir, "started.txt")); err == nil {
							cancel()
						}
						time.Sleep(20 * time.Millisecond)
					}
				}()
				_, f, _ := runTurnIn(ctx, t, p, turn)
				cancel()
				expectFailure(t, f, FailCanceled, "canceled")
				expectNoSurvivor(t, m)
			})
			for _, tt := range []struct{ name, prompt, kind string }{
				{"is refused", "[[status 401]][[tell invalid x-api-key]]", FailAuth},
				{"is limited", "[[status 429]][[tell rate limit exceeded]]", FailRateLimit},
				{"is limited until a time",
					"[[status 429]][[after 2]][[tell Rate limit reached. Please try again in 40m.]]", FailRateLimit},
				{"meets a server that fails", "[[status 500]][[tell internal server error]]", FailTransient},
				{"loses its connection", "[[cut]]", FailTransient},
				{"is answered nothing", "[[say ]]", FailTransient},
			} {
				t.Run(tt.name, func(t *testing.T) {
					t.Parallel() // some try again for minutes, silently
					p, model := realAgent(t, cli)
					turn := realTurn(t, cli, tt.prompt)
					m := mark(t, &turn)
					before := time.Now()
					_, f, _ := runTurn(t, p, turn)
					expectFailure(t, f, tt.kind, "")
					if f != nil {
						t.Logf("after %s and %d calls: %s %q, again at %v", time.Since(before).Round(time.Second),
							len(model.Calls()), f.Kind, f.Reason, f.RetryAt)
					}
					expectNoSurvivor(t, m)
				})
			}
		})
	}
}
