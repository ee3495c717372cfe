package agent

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// scripted is an agent that speaks the Agent Client Protocol and does what the prompt says in double
// brackets, such as [[say Hello]]. Its arguments choose traits: "load" for session/load in place of
// session/resume, "version=2", "nomodes", "deaf" for one that reads nothing, "text=...".
type scripted struct {
	traits map[string]string
	mu     sync.Mutex
	out    *bufio.Writer
	stop   chan struct{}        // closed by session/cancel
	client chan json.RawMessage // answers to our requests
	mode   string
	model  string
}

func newScripted(args []string) *scripted {
	s := &scripted{traits: map[string]string{}, out: bufio.NewWriter(os.Stdout), stop: make(chan struct{}), client: make(chan json.RawMessage, 1), mode: "ask", model: "small"}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		s.traits[name] = value
	}
	return s
}

func (s *scripted) has(trait string) bool { _, ok := s.traits[trait]; return ok }

func (s *scripted) serve(in io.Reader) int {
	if s.has("deaf") {
		time.Sleep(time.Hour)
	}
	if s.has("early") {
		fmt.Fprintln(os.Stderr, "Error: not logged in. Please run login first.")
		return 7
	}
	fmt.Println("Welcome to the agent! This is no JSON.")
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var m struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
			Result json.RawMessage `json:"result"`
			Params struct {
				SessionID string          `json:"sessionId"`
				ConfigID  string          `json:"configId"`
				Value     string          `json:"value"`
				ModeID    string          `json:"modeId"`
				MCP       json.RawMessage `json:"mcpServers"`
				Prompt    []struct{ Text string }
			} `json:"params"`
		}
		if json.Unmarshal(lines.Bytes(), &m) != nil {
			continue
		}
		opened := map[string]any{"configOptions": []any{map[string]any{"id": "model", "category": "model",
			"options": []any{map[string]any{"value": "small"}, map[string]any{"value": "large"}}}}}
		if !s.has("nomodes") {
			opened["modes"] = map[string]any{"availableModes": []any{map[string]any{"id": "ask"}, map[string]any{"id": "auto"}, map[string]any{"id": "look"}}}
		}
		switch m.Method {
		case "":
			s.client <- m.Result
		case "initialize":
			version, _ := strconv.Atoi(s.traits["version"])
			can := map[string]any{"loadSession": s.has("load"), "mcpCapabilities": map[string]any{"http": true}, "sessionCapabilities": map[string]any{"resume": map[string]any{}}}
			if s.has("load") {
				delete(can, "sessionCapabilities")
			}
			s.answer(m.ID, map[string]any{"protocolVersion": max(1, version), "agentCapabilities": can, "agentInfo": map[string]any{"name": "scripted"}})
		case "session/new":
			if s.has("login") {
				s.fail(m.ID, -32000, "Authentication required", nil)
				continue
			}
			_ = os.WriteFile(s.file("mcp"), m.Params.MCP, 0o600)
			opened["sessionId"] = "conversation-" + strconv.Itoa(os.Getpid())
			s.answer(m.ID, opened)
		case "session/resume", "session/load":
			if _, err := os.Stat(s.file(m.Params.SessionID)); err != nil {
				s.fail(m.ID, -32602, "Session not found", map[string]any{"details": m.Params.SessionID})
				continue
			}
			if m.Method == "session/load" {
				for range 3000 {
					s.update(m.Params.SessionID, said("OLD "))
				}
			}
			s.answer(m.ID, opened)
			if m.Method == "session/load" {
				s.update(m.Params.SessionID, said("LATE OLD "))
			}
		case "session/set_config_option":
			if m.Params.Value != "small" && m.Params.Value != "large" {
				s.fail(m.ID, -32602, "Invalid params", map[string]any{"message": "no choice " + m.Params.Value})
				continue
			}
			s.model = m.Params.Value
			s.answer(m.ID, map[string]any{})
		case "session/set_mode":
			s.mode = m.Params.ModeID
			s.answer(m.ID, map[string]any{})
		case "session/cancel":
			close(s.stop)
		case "session/prompt":
			text := ""
			for _, b := range m.Params.Prompt {
				text += b.Text
			}
			go s.prompt(m.ID, m.Params.SessionID, text)
		default:
			s.fail(m.ID, -32601, "Method not found", nil)
		}
	}
	if s.has("stubborn") {
		time.Sleep(time.Hour)
	}
	return 0
}

func (s *scripted) file(name string) string {
	return filepath.Join(os.Getenv("STATE"), filepath.Base(name))
}

var directive = regexp.MustCompile(`\[\[(\w+) ?([^\]]*)\]\]`)

func (s *scripted) prompt(id json.RawMessage, session, text string) {
	before, _ := os.ReadFile(s.file(session))
	_ = os.WriteFile(s.file(session), append(before, text+"\n"...), 0o600)
	answer := map[string]any{"stopReason": "end_turn", "usage": map[string]any{"inputTokens": 140, "cachedReadTokens": 40, "outputTokens": 20, "totalTokens": 160}}
	for i, d := range directive.FindAllStringSubmatch(text, -1) {
		verb, arg, call := d[1], d[2], "call-"+strconv.Itoa(i)
		switch verb {
		case "say":
			s.update(session, said(arg))
		case "think":
			s.update(session, map[string]any{"sessionUpdate": "agent_thought_chunk", "content": map[string]any{"type": "text", "text": arg}})
		case "tell": // everything it knows
			s.update(session, said(fmt.Sprintf("mode %s model %s before %q prompt %q", s.mode, s.model, before, text)))
		case "plan":
			s.update(session, map[string]any{"sessionUpdate": "plan", "entries": []any{map[string]any{"content": arg, "status": "pending"}}})
		case "raw":
			s.update(session, map[string]any{"sessionUpdate": arg, "secret": "\x00\xff"})
		case "write":
			path, content, _ := strings.Cut(arg, "|")
			s.update(session, map[string]any{"sessionUpdate": "tool_call", "toolCallId": call, "title": "Write " + path, "kind": "edit", "status": "pending", "rawInput": map[string]any{"path": path}})
			status := "completed"
			if os.WriteFile(path, []byte(content), 0o600) != nil {
				status = "failed"
			}
			s.update(session, map[string]any{"sessionUpdate": "tool_call_update", "toolCallId": call, "status": status,
				"content": []any{map[string]any{"type": "diff", "path": path, "oldText": nil, "newText": content}, map[string]any{"type": "content", "content": map[string]any{"type": "text", "text": "written"}}}})
		case "burst":
			n, _ := strconv.Atoi(arg)
			for range n {
				s.update(session, said("."))
			}
		case "long":
			n, _ := strconv.Atoi(arg)
			s.update(session, said(strings.Repeat("x", n)))
		case "ask":
			kind, options, _ := strings.Cut(arg, " ")
			var list []any
			for _, o := range strings.Fields(options) {
				list = append(list, map[string]any{"optionId": "id-" + o, "kind": o, "name": o})
			}
			s.send(map[string]any{"id": "q", "method": "session/request_permission", "params": map[string]any{"sessionId": session,
				"toolCall": map[string]any{"toolCallId": call, "title": "May I?", "kind": kind}, "options": list}})
			s.update(session, said(string(<-s.client)))
		case "read": // a capability that was not offered
			s.send(map[string]any{"id": "f", "method": "fs/read_text_file", "params": map[string]any{"path": "/etc/passwd"}})
			<-s.client
		case "stop":
			answer["stopReason"] = arg
		case "nousage":
			delete(answer, "usage")
		case "cost":
			n, _ := strconv.ParseFloat(arg, 64)
			s.update(session, map[string]any{"sessionUpdate": "usage_update", "used": 1, "size": 2, "cost": map[string]any{"amount": n, "currency": "USD"}})
		case "fail":
			code, message, _ := strings.Cut(arg, " ")
			n, _ := strconv.Atoi(code)
			s.fail(id, n, message, nil)
			return
		case "die":
			fmt.Fprintln(os.Stderr, "noise\nagent: "+arg)
			os.Exit(9)
		case "kill":
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		case "slow":
			s.update(session, said("waiting"))
			<-s.stop
			s.answer(id, map[string]any{"stopReason": "cancelled"})
			return
		case "hang": // as slow, but it does not listen
			s.update(session, said("waiting"))
			select {}
		}
	}
	s.answer(id, answer)
}

func said(text string) map[string]any {
	return map[string]any{"sessionUpdate": "agent_message_chunk", "content": map[string]any{"type": "text", "text": text}}
}

func (s *scripted) send(m map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m["jsonrpc"] = "2.0"
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	_, _ = s.out.Write(append(b, '\n'))
	_ = s.out.Flush()
}

func (s *scripted) answer(id json.RawMessage, result any) {
	s.send(map[string]any{"id": id, "result": result})
}

func (s *scripted) fail(id json.RawMessage, code int, message string, data any) {
	s.send(map[string]any{"id": id, "error": map[string]any{"code": code, "message": message, "data": data}})
}

func (s *scripted) update(session string, update map[string]any) {
	s.send(map[string]any{"method": "session/update", "params": map[string]any{"sessionId": session, "update": update}})
}
