package agent

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"carillon/app/agent/agenttest"
	"carillon/app/transcript"
)

func TestClaudeObeysNoSettingsOfTheRepository(t *testing.T) {
	t.Parallel()
	for _, readOnly := range []bool{false, true} {
		turn := newTurn(t, "look")
		turn.ReadOnly = readOnly
		_, f, _, c := replay(t, "claude", "claude-write", "0", "", turn)
		for _, arg := range []string{"--setting-sources=user", "--strict-mcp-config"} {
			if f != nil || !c.has(arg) {
				t.Errorf("read-only %v: called with %q: %v; want %s", readOnly, c.Args, f, arg)
			}
		}
	}
}

func TestATurnThatMayChangeNothingIsHeldToThatOrRefused(t *testing.T) {
	t.Parallel()
	turn := newTurn(t, "[[write made.txt|x]]")
	turn.ReadOnly = true
	p := acpProvider(t)
	p.ReadMode = ""
	_, f, _ := runTurn(t, p, turn)
	expectFailure(t, f, FailStart, "no way to be held to looking")
	_, f, _ = runTurn(t, acpProvider(t, "nomodes"), turn)
	expectFailure(t, f, FailStart, "does not offer the mode look")
	_, f, _ = runTurn(t, bash(), turn)
	expectFailure(t, f, FailStart, "no way to be held to looking")
	p.Asks, turn.Prompt = true, "[[ask edit allow_once reject_once]]"
	if res, f, _ := runTurn(t, p, turn); f != nil || !strings.Contains(res.Text, "id-reject_once") {
		t.Errorf("a program that asks was answered %q: %v", res.Text, f)
	}
}

func TestOfTheCatalogueEveryAgentCanBeHeldToLooking(t *testing.T) {
	t.Parallel()
	for _, p := range Catalogue() {
		if p.Driver != DriverShell && !p.CanBeReadOnly() {
			t.Errorf("%s cannot be held to looking", p.Name)
		}
		if slices.ContainsFunc(p.Command, func(arg string) bool {
			return strings.Contains(arg, "allow-all") || arg == "--yolo"
		}) {
			t.Errorf("%s is started with %q", p.Name, p.Command)
		}
	}
}

func TestAFileThatAnAgentObeysIsHiddenOrTheTurnRefused(t *testing.T) {
	t.Parallel()
	p := acpProvider(t)
	p.Obeys = []string{".agent", "agent.json"}
	turn := newTurn(t, "[[say Well.]]")
	if _, f, _ := runTurn(t, p, turn); f != nil {
		t.Fatal(f)
	}
	agenttest.WriteAll(t, turn.Dir, map[string]string{"agent.json": "{}"})
	_, f, _ := runTurn(t, p, turn)
	expectFailure(t, f, FailStart, "the repository has agent.json")

	box := &run{Provider: p, Turn: turn}
	box.Sandbox = &Sandbox{}
	agenttest.WriteAll(t, turn.Dir, map[string]string{".agent/hooks.json": "{}"})
	if err := errors.Join(box.prepareBox(), box.guardRepository()); err != nil {
		t.Fatal(err)
	}
	if want := []string{filepath.Join(turn.Dir, ".agent"), filepath.Join(turn.Dir, "agent.json")}; !slices.Equal(
		box.sandbox.Masked, want) {
		t.Errorf("hidden: %q; want %q", box.sandbox.Masked, want)
	}
	if err := errors.Join(os.Remove(filepath.Join(turn.Dir, "agent.json")),
		os.Symlink("other.json", filepath.Join(turn.Dir, "agent.json"))); err != nil {
		t.Fatal(err)
	}
	if err := box.guardRepository(); err == nil {
		t.Error("a link in place of such a file was accepted: what is bound over it is bound over its target")
	}
}

func TestTheSandboxShowsWhatAnAgentObeysEmpty(t *testing.T) {
	t.Parallel()
	if err := SandboxAvailable(t.Context(), nil); err != nil {
		t.Skip(err)
	}
	p := bash()
	p.Obeys = []string{".agent", "agent.json"}
	turn := newTurn(t,
		"cat agent.json > seen.txt; cat .agent/* >> seen.txt 2>/dev/null || true; echo x > .agent/new || true; echo "+
			"y > agent.json || true; true")
	turn.Sandbox = &Sandbox{}
	files := map[string]string{"agent.json": "secret", ".agent/hooks.json": "secret"}
	agenttest.WriteAll(t, turn.Dir, files)
	_, f, _ := runTurn(t, p, turn)
	seen, err := os.ReadFile(filepath.Join(turn.Dir, "seen.txt"))
	if f != nil || err != nil || strings.Contains(string(seen), "secret") {
		t.Errorf("it saw %q (%v): %v", seen, err, f)
	}
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(turn.Dir, name)); err != nil || string(got) != want {
			t.Errorf("it changed %s to %q: %v", name, got, err)
		}
	}
}

func TestAFileOfVariablesSteersNoAgent(t *testing.T) {
	t.Parallel()
	r := &run{Provider: Provider{
		Keys: []string{"AGENT_*"}, DotEnv: []string{".env"}, PinEnv: []string{"MODEL_BASE_URL"},
	}, Turn: newTurn(t, "")}
	r.Env = []string{"MODEL_API_BASE=https://example.com"}
	agenttest.WriteAll(t, r.Dir,
		map[string]string{".env": "\ufeffexport HTTPS_PROXY=http://evil\nNODE_OPTIONS: --require ./x\n  AGENT_MODE " +
			"=\"yolo\"\n" +
			"MODEL_API_BASE=http://evil\nSTAGE=test\nPORT=3000\n"})
	if err := r.guardRepository(); err != nil {
		t.Fatal(err)
	}
	env := r.env()
	for _, want := range []string{"HTTPS_PROXY=", "NODE_OPTIONS=", "AGENT_MODE=", "MODEL_BASE_URL=",
		"MODEL_API_BASE=https://example.com"} {
		if !slices.Contains(env, want) && !slices.ContainsFunc(os.Environ(), func(kv string) bool {
			return strings.HasPrefix(kv, want)
		}) {
			t.Errorf("the program's environment is %q; want %s", env, want)
		}
	}
	for _, name := range []string{"STAGE", "PORT"} {
		if slices.ContainsFunc(env, func(kv string) bool { return strings.HasPrefix(kv, name+"=") }) {
			t.Errorf("%s of the project was taken from it", name)
		}
	}
	if err := os.Truncate(filepath.Join(r.Dir, ".env"), 1<<40); err != nil {
		t.Fatal(err)
	}
	if err := r.guardRepository(); err == nil {
		t.Error("a file without end was accepted")
	}
}

func TestAnAgentGetsTheKeysOfItsOwnVendorAlone(t *testing.T) {
	t.Parallel()
	server := []string{"ANTHROPIC_API_KEY=a", "OPENAI_API_KEY=o", "GEMINI_API_KEY=g", "GOOGLE_API_KEY=g",
		"AWS_SECRET_ACCESS_KEY=w", "XAI_API_KEY=x",
		"GH_TOKEN=h", "DASHSCOPE_API_KEY=d"}
	for _, tt := range []struct {
		id, model string
		more      []string
		want      string
	}{
		{"claude", "", nil, "ANTHROPIC_API_KEY"},
		{"claude", "", []string{"CLAUDE_CODE_USE_BEDROCK=1"}, "ANTHROPIC_API_KEY AWS_SECRET_ACCESS_KEY"},
		{"codex", "", nil, "OPENAI_API_KEY"},
		{"gemini", "", nil, "GEMINI_API_KEY GOOGLE_API_KEY"},
		{"copilot", "", nil, "GH_TOKEN"},
		{"opencode", "openai/gpt-5", nil, "OPENAI_API_KEY"},
		{"opencode", "google/gemini", nil, "GEMINI_API_KEY GOOGLE_API_KEY"},
		{"opencode", "somebody/else", nil, ""},
		{"kilo", "", nil, "ANTHROPIC_API_KEY"},
		{"kilo", "xai/grok", nil, "XAI_API_KEY"},
		{"shell", "", nil, ""},
	} {
		p := Catalogue()[slices.IndexFunc(Catalogue(), func(p Provider) bool { return p.ID == tt.id })]
		env, _ := environment(slices.Concat(server, tt.more), p, Turn{Model: tt.model})
		var got []string
		for _, kv := range env {
			if slices.Contains(server, kv) {
				name, _, _ := strings.Cut(kv, "=")
				got = append(got, name)
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s with the model %q gets %q; want %q", tt.id, tt.model, got, tt.want)
		}
	}
}

func TestNoVariableOpensWhatIsHeld(t *testing.T) {
	t.Parallel()
	for _, p := range Catalogue() {
		for _, kv := range p.HoldEnv {
			name, _, _ := strings.Cut(kv, "=")
			if env, _ := environment([]string{name + "=other"}, p,
				Turn{Env: []string{name + "=other"}}); !slices.Contains(env, kv) {
				t.Errorf("of %s the environment is %q; want %s", p.Name, env, kv)
			}
		}
	}
}

func TestAnIDOfAnAgentBecomesNoOption(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"--dangerously-skip-permissions", "-c", "a b", "a\n", "../x",
		strings.Repeat("a", 300)} {
		turn := newTurn(t, "go on")
		for _, provider := range []string{"claude", "codex"} {
			turn.Resume = id
			p := Catalogue()[slices.IndexFunc(Catalogue(), func(p Provider) bool { return p.ID == provider })]
			p.Command = []string{"/nonexistent"}
			_, f, _ := runTurn(t, p, turn)
			if !errors.Is(f, ErrUnknownConversation) {
				t.Errorf("%s was to go on with %q: %v", provider, id, f)
			}
		}
	}
	said := `{"type":"system","subtype":"init","session_id":"--settings=x"}` + "\n" +
		`{"type":"result","subtype":"success","result":"ok","session_id":"--settings=x"}` + "\n"
	if res, f, s, _ := replay(t, "claude", said, "0", "", newTurn(t, "go")); f != nil || res.Conversation != "" ||
		slices.ContainsFunc(s.all(), func(e transcript.Event) bool { return e.Kind == transcript.KindConversation }) {
		t.Errorf("the conversation is %q: %v", res.Conversation, f)
	}
	said = `{"type":"thread.started","thread_id":"--last"}` + "\n" +
		`{"type":"turn.completed","usage":{"input_tokens":1,"output_tokens":1}}` + "\n"
	if res, _, _, _ := replay(t, "codex", said, "0", "", newTurn(t, "go")); res.Conversation != "" {
		t.Errorf("the conversation is %q", res.Conversation)
	}
}
