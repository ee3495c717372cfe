package jobs

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"carillon/app/agent"
	"carillon/app/automation"
)

// agentRole is the first argument with which this test binary is a coding agent.
const agentRole = "coding-agent"

// directive is what a message to the agent has it do: [[say Hello]].
var directive = regexp.MustCompile(`\[\[(\w+) ?([^\]]*)\]\]`)

// beAgent speaks the Agent Client Protocol, and does what the directives of a message say. It keeps its conversations in the
// folder STATE, with the messages that it got.
func beAgent() int {
	state := os.Getenv("STATE")
	send := func(m map[string]any) {
		m["jsonrpc"] = "2.0"
		line, _ := json.Marshal(m)
		_, _ = os.Stdout.Write(append(line, '\n'))
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var m struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
			Params struct {
				SessionID string `json:"sessionId"`
				Prompt    []struct{ Text string }
			} `json:"params"`
		}
		if json.Unmarshal(lines.Bytes(), &m) != nil {
			continue
		}
		answer := func(result any) { send(map[string]any{"id": m.ID, "result": result}) }
		switch m.Method {
		case "initialize":
			answer(map[string]any{"protocolVersion": 1, "agentCapabilities": map[string]any{"sessionCapabilities": map[string]any{"resume": map[string]any{}}}})
		case "session/new":
			answer(map[string]any{"sessionId": "conversation"})
		case "session/resume":
			answer(map[string]any{})
		case "session/prompt":
			text := ""
			for _, b := range m.Params.Prompt {
				text += b.Text
			}
			update := func(u map[string]any) {
				send(map[string]any{"method": "session/update", "params": map[string]any{"sessionId": m.Params.SessionID, "update": u}})
			}
			say := func(text string) {
				update(map[string]any{"sessionUpdate": "agent_message_chunk", "content": map[string]any{"type": "text", "text": text}})
			}
			result := map[string]any{"stopReason": "end_turn", "usage": map[string]any{"inputTokens": 140, "cachedReadTokens": 40, "outputTokens": 20, "totalTokens": 160}}
			failed := false
			for _, d := range directive.FindAllStringSubmatch(text, -1) {
				switch d[1] {
				case "say":
					say(d[2] + "\n")
				case "write":
					path, content, _ := strings.Cut(d[2], "|")
					if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
						say(err.Error())
					}
				case "nousage":
					delete(result, "usage")
				case "cost": // of the whole conversation, as agents tell it
					n, _ := strconv.ParseFloat(d[2], 64)
					update(map[string]any{"sessionUpdate": "usage_update", "used": 1, "size": 2, "cost": map[string]any{"amount": n, "currency": "USD"}})
				case "fail":
					send(map[string]any{"id": m.ID, "error": map[string]any{"code": -32603, "message": d[2]}})
					failed = true
				case "hang":
					select {}
				}
			}
			f, err := os.OpenFile(filepath.Join(state, "messages"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err == nil {
				fmt.Fprintf(f, "%q\n", text)
				_ = f.Close()
			}
			if !failed {
				answer(result)
			}
		}
	}
	return 0
}

// setupAgent is setup with the test's own agent beside the Shell provider. It returns a function that lists the messages that
// the agent got.
func setupAgent(t *testing.T) (*kit, func() []string) {
	t.Parallel()
	k := prepare(t)
	program, err := os.Executable()
	check(t, err)
	state := t.TempDir()
	own := agent.Provider{ID: "agent", Name: "Agent", Driver: agent.DriverACP, Command: []string{program, agentRole}, SetEnv: []string{"STATE=" + state}}
	k.runner.Providers = func() []agent.Provider { return append(agent.Catalogue()[:1:1], own) }
	k.rules.Providers = func() []automation.Provider {
		return []automation.Provider{{ID: "shell", Name: "Shell", Script: true}, {ID: "agent", Name: "Agent"}}
	}
	k.start()
	return k, func() []string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(state, "messages"))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		var list []string
		for line := range strings.Lines(string(text)) {
			message, err := strconv.Unquote(strings.TrimSpace(line))
			check(t, err)
			list = append(list, message)
		}
		return list
	}
}
