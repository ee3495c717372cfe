package agent

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/app/transcript"
)

// acpProvider is the scripted agent with some traits.
func acpProvider(t *testing.T, traits ...string) Provider {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return Provider{ID: "scripted", Name: "Scripted", Driver: DriverACP,
		Command: append([]string{self, "acp", "banner"}, traits...),
		SetEnv:  []string{"STATE=" + t.TempDir()}, AutoMode: "auto", ReadMode: "look", SignIn: "Run scripted login.",
		Install: "no need"}
}

func TestACPTurnTellsItsStory(t *testing.T) {
	t.Parallel()
	turn := newTurn(t,
		"[[plan Write it]][[think Hm.]][[say First ]][[write out.txt|content]][[say Done, ]][[say all.]][[raw "+
			"strange_update]][[read x]]")
	m := mark(t, &turn)
	res, f, s := runTurn(t, acpProvider(t), turn)
	if f != nil {
		t.Fatal(f)
	}
	if got, _ := os.ReadFile(filepath.Join(turn.Dir, "out.txt")); string(got) != "content" {
		t.Errorf("the file holds %q", got)
	}
	if res.Text != "Done, all." || res.Stop != "end_turn" || !strings.HasPrefix(res.Conversation, "conversation-") ||
		res.ExitCode != 0 {
		t.Errorf("result %+v", res)
	}
	if want := (transcript.Usage{Known: true, Input: 100, CacheRead: 40, Output: 20}); res.Usage != want {
		t.Errorf("usage %+v; want %+v", res.Usage, want)
	}
	if s.text(transcript.KindText) != "First Done, all." || s.text(transcript.KindThought) != "Hm." {
		t.Errorf("said %q, thought %q", s.text(transcript.KindText), s.text(transcript.KindThought))
	}
	var begun, ended *transcript.Event
	logs := ""
	for _, e := range s.all() {
		switch {
		case e.Kind == transcript.KindTool && !e.Done:
			begun = &e
		case e.Kind == transcript.KindTool:
			ended = &e
		case e.Kind == transcript.KindPlan && (len(e.Plan) != 1 ||
			e.Plan[0] != (transcript.Step{Text: "Write it", State: "pending"})):
			t.Errorf("plan %+v", e.Plan)
		case e.Kind == transcript.KindLog:
			logs += e.Text + string(e.Raw)
		}
	}
	if begun == nil || begun.Tool.Title != "Write out.txt" || begun.Tool.Kind != "edit" ||
		string(begun.Tool.Input) != `{"path":"out.txt"}` {
		t.Errorf("the tool began as %+v", begun)
	}
	if ended == nil || !ended.OK || ended.ID != begun.ID || ended.Tool.Result != "written" ||
		!slices.Equal(ended.Tool.Edits, []transcript.Edit{{Path: "out.txt", Action: "add", New: "content"}}) {
		t.Errorf("the tool ended as %+v", ended)
	}
	if !strings.Contains(logs, "no JSON") || !strings.Contains(logs, "strange_update") ||
		strings.Contains(logs, `\u0000`) {
		t.Errorf("logged %q", logs)
	}
	expectNoSurvivor(t, m)
}

func TestACPSurvivesBurstsLongLinesAndBanners(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, "[[burst 20000]][[long 11534336]][[say end]]")
	res, f, s := runTurn(t, acpProvider(t), turn)
	if f != nil {
		t.Fatal(f)
	}
	text := s.text(transcript.KindText)
	if !strings.HasPrefix(text, strings.Repeat(".", 20000)) || !strings.HasSuffix(text, "end") ||
		!strings.Contains(text, "… cut") || len(text) > maxAnswer+30_000 {
		t.Errorf("got %d bytes of text; want both ends, and the text of the long line cut", len(text))
	}
	if !strings.HasSuffix(res.Text, "end") {
		t.Errorf("it answered %d bytes that do not end with its end", len(res.Text))
	}
}

func TestACPSlowReaderLosesNothing(t *testing.T) {
	t.Parallel()
	n := 0
	_, err := Run(t.Context(), acpProvider(t), newTurn(t, "[[burst 3000]]"), func(e transcript.Event) {
		if e.Kind == transcript.KindText {
			n++
			time.Sleep(100 * time.Microsecond)
		}
	})
	if err != nil || n != 3000 {
		t.Errorf("%d updates, %v; want 3000", n, err)
	}
}

func TestACPResumesInANewProcessWithModelAndMode(t *testing.T) {
	t.Parallel()
	for _, traits := range [][]string{nil, {"load"}, {"load", "boasts"}} {
		p := acpProvider(t, traits...)
		turn := newTurn(t, "[[say one]]")
		turn.Instructions = "Be kind."
		first, f, _ := runTurn(t, p, turn)
		if f != nil {
			t.Fatal(f)
		}
		turn = newTurn(t, "[[tell]]")
		turn.Resume, turn.Model, turn.Instructions = first.Conversation, "large", "Be kind."
		res, f, s := runTurn(t, p, turn)
		if f != nil {
			t.Fatal(f)
		}
		if want := `mode auto model large before "Be kind.\n\n[[say one]]\n" prompt "[[tell]]"`; res.Text != want ||
			s.text(transcript.KindText) != want {
			t.Errorf("%v: said %q; want %q", traits, s.text(transcript.KindText), want)
		}
		if res.Conversation != first.Conversation {
			t.Errorf("conversation %q; want %q", res.Conversation, first.Conversation)
		}
	}
	turn := newTurn(t, "[[tell]]")
	turn.Resume = "gone"
	_, f, _ := runTurn(t, acpProvider(t), turn)
	expectFailure(t, f, FailUnknown, "Resource not found")
	if !errors.Is(f, ErrUnknownConversation) {
		t.Errorf("failed with %v; want %v", f, ErrUnknownConversation)
	}
}

func TestACPPermissionsAreGrantedUnlessReadOnly(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, prompt string
		readOnly     bool
		want         string
		ok           bool
	}{
		{"once before always", "[[ask edit allow_always allow_once reject_once]]", false, "id-allow_once", true},
		{"always if nothing else", "[[ask edit reject_once allow_always]]", false, "id-allow_always", true},
		{"no way to allow", "[[ask edit reject_once]][[say x]]", false, "cancelled", false},
		{"read-only rejects an edit", "[[ask edit allow_once reject_always reject_once]]", true, "id-reject_once",
			false},
		{"read-only may read", "[[ask read allow_once reject_once]]", true, "id-allow_once", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			turn := newTurn(t, tt.prompt)
			turn.ReadOnly = tt.readOnly
			res, f, s := runTurn(t, acpProvider(t), turn)
			if f != nil || !strings.Contains(res.Text, tt.want) {
				t.Errorf("answered %q, %v; want %s", res.Text, f, tt.want)
			}
			if !slices.ContainsFunc(s.all(), func(e transcript.Event) bool {
				return e.Kind == transcript.KindPermission && e.OK == tt.ok && e.Text == "May I?"
			}) {
				t.Errorf("no permission event with OK %v", tt.ok)
			}
		})
	}
	turn := newTurn(t, "[[tell]]")
	turn.ReadOnly = true
	if res, _, _ := runTurn(t, acpProvider(t), turn); !strings.Contains(res.Text, "mode look") {
		t.Errorf("a read-only turn ran in: %s", res.Text)
	}
	turn = newTurn(t, "[[tell]]")
	if _, _, s := runTurn(t, acpProvider(t, "nomodes"), turn); !strings.Contains(s.text(transcript.KindWarning),
		"does not offer the mode auto") {
		t.Errorf("warned %q", s.text(transcript.KindWarning))
	}
}

func TestACPFailuresAreClassified(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, prompt string
		traits       []string
		model        string
		kind, reason string
	}{
		{"sign-in needed", "", []string{"login"}, "", FailAuth, "Authentication required"},
		{"HTTP status as code", "[[fail 401 nope]]", nil, "", FailAuth, "nope"},
		{"HTTP status in words", "[[fail -32603 Internal error: 401 Unauthorized]]", nil, "", FailAgent, "401"},
		{"rate limit", "[[fail 429 Too Many Requests]]", nil, "", FailRateLimit, "Too Many"},
		{"server", "[[fail 503 Service Unavailable]]", nil, "", FailTransient, "Unavailable"},
		{"context", "[[fail -32603 prompt is too long: 210000 tokens > 200000 maximum]]", nil, "", FailContext,
			"too long"},
		{"another error", "[[fail -32603 what a pity]]", nil, "", FailAgent, "what a pity"},
		{"a model that it has not", "", nil, "huge", FailModel, "no choice huge"},
		{"its death", "[[say x]][[die out of luck]]", nil, "", FailAgent, "exit 9: agent: out of luck"},
		{"its death at the start", "", []string{"early"}, "", FailAgent, "exit 7: Error: not logged in"},
		{"a refusal", "[[stop refusal]]", nil, "", FailAgent, "the model refused"},
		{"a limit", "[[stop max_turn_requests]]", nil, "", FailAgent, "max turn requests"},
		{"another version", "", []string{"version=2"}, "", FailStart, "version 2"},
		{"no permission and no answer", "[[write x|y]]", nil, "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			turn := newTurn(t, tt.prompt)
			turn.Model = tt.model
			m := mark(t, &turn)
			_, f, _ := runTurn(t, acpProvider(t, tt.traits...), turn)
			expectNoSurvivor(t, m)
			if tt.kind == "" {
				if f != nil {
					t.Error(f)
				}
				return
			}
			expectFailure(t, f, tt.kind, tt.reason)
			if f != nil && f.Kind == FailModel && !strings.Contains(f.Fix, "small, large") {
				t.Errorf("the fix is %q; want the models named", f.Fix)
			}
			if f != nil && f.Kind == FailAuth && f.Fix != "Run scripted login." {
				t.Errorf("the fix is %q", f.Fix)
			}
		})
	}
}

// So Copilot does it: whole messages in the voice of the model, and the end of a turn that went well.
func TestAnErrorThatAnAgentTellsLikeAnAnswerIsAFailure(t *testing.T) {
	t.Parallel()
	p := acpProvider(t)
	p.ID, p.Experimental = "copilot", true
	_, f, s := runTurn(t, p,
		newTurn(t, "[[say Info: Request failed due to a transient API error. Retrying...]][[say Error: 401 bad "+
			"key]][[nousage]]"))
	expectFailure(t, f, FailAuth, "401 bad key")
	if s.text(transcript.KindText) != "" || !strings.Contains(s.text(transcript.KindWarning), "Retrying") {
		t.Errorf("said %q, warned %q", s.text(transcript.KindText), s.text(transcript.KindWarning))
	}
	res, f, _ := runTurn(t, p,
		newTurn(t, "[[say Well, ]][[say Info: Response was interrupted due to a server error. Retrying...]][[say "+
			"Well done.]]"))
	if f != nil || res.Text != "Well done." {
		t.Errorf("a turn whose answer was begun twice answered %q: %v", res.Text, f)
	}
	if res, f, _ = runTurn(t, p, newTurn(t, "[[say Error: is what the test prints.]]")); f != nil ||
		res.Text != "Error: is what the test prints." {
		t.Errorf("a model's own words became %q: %v", res.Text, f)
	}
	res, f, _ = runTurn(t, p, newTurn(t, "[[say Info: a.txt]][[say Error: 500]][[say Written.]]"))
	if f != nil || res.Text != "Written." {
		t.Errorf("a turn that got over its error answered %q: %v", res.Text, f)
	}
}

func TestWhatGeminiSaysOfItsModeIsNoAnswer(t *testing.T) {
	t.Parallel()
	p := acpProvider(t)
	p.AutoMode = "auto"
	res, f, s := runTurn(t, p, newTurn(t, "[[mode]][[say Well.]]"))
	if f != nil || res.Text != "Well." {
		t.Errorf("answered %q: %v", res.Text, f)
	}
	for _, e := range s.all() {
		if strings.Contains(e.Text, "MODE_UPDATE") {
			t.Errorf("told is %+v", e)
		}
	}
}

func TestACPCancelIsAskedForFirstAndForcedThen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		prompt string
		traits []string
	}{{"[[slow]]", nil}, {"[[hang]]", nil}, {"[[hang]]", []string{"stubborn"}}} {
		turn := newTurn(t, tt.prompt)
		m := mark(t, &turn)
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Run(ctx, acpProvider(t, tt.traits...), turn, func(e transcript.Event) {
			if e.Text == "waiting" {
				cancel()
			}
		})
		cancel()
		var f *Failure
		if !errors.As(err, &f) || f.Kind != FailCanceled {
			t.Errorf("%s: ended with %v; want canceled", tt.prompt, err)
		}
		expectNoSurvivor(t, m)
	}
}

func TestACPDeafAgentTimesOut(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, strings.Repeat("x", 1<<20))
	turn.Timeout = 300 * time.Millisecond // nothing is awaited before
	_, f, _ := runTurn(t, acpProvider(t, "deaf"), turn)
	expectFailure(t, f, FailTimeout, "stopped after 300ms")
}

func TestACPToolServersArriveWithTheirSecrets(t *testing.T) {
	t.Parallel()
	p := acpProvider(t)
	turn := newTurn(t, "[[say x]]")
	turn.MCP = []MCPServer{{
		Name: "files", Command: "/bin/files", Args: []string{"-v"}, Env: map[string]string{"TOKEN": "s3cret"},
	}, {Name: "web", URL: "http://localhost/mcp", Headers: map[string]string{"Authorization": "Bearer x"}}}
	if _, f, _ := runTurn(t, p, turn); f != nil {
		t.Fatal(f)
	}
	got, _ := os.ReadFile(filepath.Join(strings.TrimPrefix(p.SetEnv[0], "STATE="), "mcp"))
	want := `[{"args":["-v"],"command":"/bin/files","env":[{"name":"TOKEN","value":"s3cret"}],"name":"files"},{"headers":[{"name":"Authorization","value":"Bearer x"}],"name":"web","type":"http","url":"http://localhost/mcp"}]`
	if string(got) != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestWhatAnAgentUnderstatesNeverCountsAsKnown(t *testing.T) {
	t.Parallel()
	p := acpProvider(t)
	whole, _, _ := runTurn(t, p, newTurn(t, "[[say Hello]]"))
	p.Understates = true
	part, _, _ := runTurn(t, p, newTurn(t, "[[say Hello]]"))
	want := whole.Usage
	want.Known, want.CostKnown = false, false
	if !whole.Usage.Known || part.Usage != want {
		t.Errorf("used %+v; want the numbers of %+v, as less than the truth", part.Usage, whole.Usage)
	}
}

func TestACPCostIsTheShareOfTheTurn(t *testing.T) {
	t.Parallel()
	p := acpProvider(t)
	first, f, _ := runTurn(t, p, newTurn(t, "[[cost 0.25]][[say x]]"))
	if f != nil || first.Usage.CostUSD != 0.25 || !first.Usage.CostKnown {
		t.Fatalf("first turn: %+v, %v", first.Usage, f)
	}
	turn := newTurn(t, "[[cost 0.75]][[say x]]")
	turn.Resume, turn.FormerUsage = first.Conversation, first.Usage
	var told transcript.Usage
	turn.OnUsage = func(u transcript.Usage) { told = u }
	second, f, _ := runTurn(t, p, turn)
	if f != nil || second.Usage.CostUSD != 0.5 || told.CostUSD != 0.5 || !told.CostKnown {
		t.Errorf("second turn: %+v, %v, and %+v told while at work; want 0.5 USD", second.Usage, f, told)
	}
	third, _, _ := runTurn(t, p, newTurn(t, "[[say x]][[nousage]]"))
	if third.Usage.Known || third.Usage.CostKnown {
		t.Errorf("usage %+v; want unknown", third.Usage)
	}
}

func TestModelsAreListedWithoutAPrompt(t *testing.T) {
	t.Parallel()
	list, err := Models(t.Context(), acpProvider(t), t.TempDir(), nil)
	if err != nil || !slices.Equal(list, []string{"small", "large"}) {
		t.Errorf("got %q, %v", list, err)
	}
	var f *Failure
	if _, err := Models(t.Context(), acpProvider(t, "login"), t.TempDir(), nil); !errors.As(err, &f) ||
		f.Kind != FailAuth {
		t.Errorf("got %v; want a failure auth", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // nothing is awaited before
	defer cancel()
	if _, err := Models(ctx, acpProvider(t, "deaf"), t.TempDir(), nil); !errors.As(err, &f) || f.Kind != FailCanceled {
		t.Errorf("got %v; want a failure canceled", err)
	}
	if list, _ := Models(t.Context(), Catalogue()[1], t.TempDir(), nil); !slices.Contains(list, "sonnet") {
		t.Errorf("claude has %q", list)
	}
}

func TestCatalogueIsDataThatSurvivesJSON(t *testing.T) {
	t.Parallel()
	ids := []string{}
	for _, p := range Catalogue() {
		b, err := json.Marshal(p)
		var back Provider
		if err != nil || json.Unmarshal(b, &back) != nil || back.ID != p.ID || !slices.Equal(back.Command, p.Command) {
			t.Errorf("%s came back as %+v, %v", p.ID, back, err)
		}
		if p.Name == "" || p.Install == "" || p.Driver != DriverShell && p.SignIn == "" {
			t.Errorf("%s lacks its name, its installation or its sign-in", p.ID)
		}
		ids = append(ids, p.ID)
	}
	if want := []string{"shell", "claude", "codex", "opencode", "kilo", "gemini", "qwen", "copilot"}; !slices.Equal(ids,
		want) {
		t.Errorf("the catalogue has %q; want %q", ids, want)
	}
}

func TestRecordedACPTurnsAreUnderstood(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		usage transcript.Usage
		edits []transcript.Edit
		begun string
	}{
		{"codex", transcript.Usage{Known: true, Input: 200, CacheRead: 80, Output: 40}, nil,
			"printf %s 'from acp' > '/home/dev/acp-codex/out.txt'"},
		{"copilot", transcript.Usage{Known: true, Input: 200, CacheRead: 80, Output: 40},
			[]transcript.Edit{{Path: "/home/dev/acp-copilot/out.txt", Action: "add", New: "from acp"}},
			"Creating /home/dev/acp-copilot/out.txt"},
		{"gemini", transcript.Usage{Known: true, Input: 280, Output: 40},
			[]transcript.Edit{{Path: "/home/dev/acp-gemini3/out.txt", Action: "add", New: "from acp"}},
			"Writing to out.txt"},
		{"opencode", transcript.Usage{Known: true, Input: 100, CacheRead: 40, Output: 20},
			[]transcript.Edit{{Path: "/home/dev/acp-oc/out.txt", Action: "update"}}, "write"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stream, err := os.Open(filepath.Join("testdata", "acp-"+tt.name+".jsonl"))
			if err != nil {
				t.Fatal(err)
			}
			defer stream.Close()
			s := &seen{}
			a := &acpAgent{run: &run{emitTo: s.emit}}
			var res Result
			eachLine(stream, maxLine, func(line []byte) {
				var m struct {
					Params struct {
						Update json.RawMessage `json:"update"`
					} `json:"params"`
					Result *acpAnswer `json:"result"`
				}
				if err := json.Unmarshal(line, &m); err != nil {
					t.Fatal(err)
				}
				if m.Result == nil {
					a.update(m.Params.Update)
				} else if res, err = a.result(*m.Result); err != nil {
					t.Error(err)
				}
			}, func(int) { t.Error("a long line") })
			if !strings.HasSuffix(res.Text, "Stub answer after the tool call.") || res.Stop != "end_turn" ||
				res.Usage != tt.usage {
				t.Errorf("result %+v; want usage %+v", res, tt.usage)
			}
			begun, ended := toolEvents(s)
			var edits []transcript.Edit
			for _, e := range append(begun, ended...) {
				if e.Tool.Edits != nil {
					edits = e.Tool.Edits
				}
			}
			if len(begun) == 0 || begun[0].Text != tt.begun || len(ended) != 1 || !ended[0].OK ||
				!slices.Equal(edits, tt.edits) {
				t.Errorf("tools: %+v, %+v; want edits %+v", begun, ended, tt.edits)
			}
		})
	}
}
