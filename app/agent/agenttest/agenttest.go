// Package agenttest is a coding agent for tests: a program that speaks the Agent Client Protocol and calls the tools
// that it is handed. A test binary becomes it by calling Serve where its arguments say so. Beside it there is Model, a
// stand-in for the servers of models, with which the agents that people install can be tested (CLIs).
package agenttest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// Serve is the agent, from its start to its end; it returns its exit status. It does what a message says in double
// brackets, such as [[say Hello]]; a message without any is given to answer, where that is not nil.
//
// Arguments choose traits: "load" for session/load in place of session/resume, "boasts" with it for one that offers the
// latter all the same, "version=2", "nomodes", "banner" for one that begins with a line that is no JSON, "lines" for
// one that ends what it says with a new line, "deaf" for one that reads nothing, and "state=FOLDER" for where it keeps
// its conversations, which may also be in the variable STATE. The file messages in that folder has each message that it
// got, quoted, one a line.
func Serve(args []string, answer func(*Message)) int {
	s := newScripted(args)
	s.play = answer
	return s.serve(os.Stdin)
}

// scripted is the agent at work.
type scripted struct {
	traits map[string]string
	play   func(*Message)
	mu     sync.Mutex
	out    *bufio.Writer
	stop   chan struct{}        // closed by session/cancel
	client chan json.RawMessage // answers to our requests
	mode   string
	model  string
	tools  []toolServer
}

// toolServer is an MCP server as session/new hands it over.
type toolServer struct {
	URL     string                         `json:"url"`
	Headers []struct{ Name, Value string } `json:"headers"`
}

func newScripted(args []string) *scripted {
	s := &scripted{
		traits: map[string]string{}, out: bufio.NewWriter(os.Stdout), stop: make(chan struct{}),
		client: make(chan json.RawMessage, 1), mode: "ask", model: "small",
	}
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
	if s.has("banner") {
		fmt.Println("Welcome to the agent! This is no JSON.")
	}
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
			opened["modes"] = map[string]any{"availableModes": []any{map[string]any{"id": "ask"},
				map[string]any{"id": "auto"}, map[string]any{"id": "look"}}}
		}
		if m.Params.MCP != nil {
			s.tools = nil
			_ = json.Unmarshal(m.Params.MCP, &s.tools)
		}
		if s.has("boasts") && m.Method == "session/resume" {
			s.fail(m.ID, -32601, "\"Method not found\": session/resume", nil)
			continue
		}
		switch m.Method {
		case "":
			s.client <- m.Result
		case "initialize":
			version, _ := strconv.Atoi(s.traits["version"])
			can := map[string]any{
				"loadSession": s.has("load"), "mcpCapabilities": map[string]any{"http": true},
				"sessionCapabilities": map[string]any{"resume": map[string]any{}},
			}
			if s.has("load") && !s.has("boasts") {
				delete(can, "sessionCapabilities")
			}
			s.answer(m.ID, map[string]any{
				"protocolVersion": max(1, version), "agentCapabilities": can,
				"agentInfo": map[string]any{"name": "scripted"},
			})
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
				s.fail(m.ID, -32002, "Resource not found", map[string]any{"uri": m.Params.SessionID})
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
	folder := s.traits["state"]
	if folder == "" {
		folder = os.Getenv("STATE")
	}
	return filepath.Join(folder, filepath.Base(name))
}

// note adds a message to the list of those that came.
func (s *scripted) note(text string) {
	f, err := os.OpenFile(s.file("messages"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	fmt.Fprintf(f, "%q\n", text)
	_ = f.Close()
}

// Messages are the messages that an agent with this folder of state got, over all of its lives.
func Messages(state string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(state, "messages"))
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []string
	for line := range strings.Lines(string(text)) {
		message, err := strconv.Unquote(strings.TrimSpace(line))
		if err != nil {
			return nil, err
		}
		list = append(list, message)
	}
	return list, nil
}

var directive = regexp.MustCompile(`\[\[(\w+) ?([^\]]*)\]\]`)

func (s *scripted) prompt(id json.RawMessage, session, text string) {
	before, _ := os.ReadFile(s.file(session))
	_ = os.WriteFile(s.file(session), append(before, text+"\n"...), 0o600)
	s.note(text)
	answer := map[string]any{
		"stopReason": "end_turn", "usage": map[string]any{
			"inputTokens": 140, "cachedReadTokens": 40, "outputTokens": 20, "totalTokens": 160,
		},
	}
	directives := directive.FindAllStringSubmatch(text, -1)
	if len(directives) == 0 && s.play != nil {
		m := &Message{Text: text, Before: string(before), agent: s, session: session}
		s.play(m)
		if m.canceled {
			answer["stopReason"] = "cancelled"
		}
	}
	for i, d := range directives {
		verb, arg, call := d[1], d[2], "call-"+strconv.Itoa(i)
		switch verb {
		case "say":
			if s.has("lines") {
				arg += "\n"
			}
			s.update(session, said(arg))
		case "think":
			s.update(session, map[string]any{
				"sessionUpdate": "agent_thought_chunk", "content": map[string]any{"type": "text", "text": arg},
			})
		case "tell": // everything it knows
			s.update(session, said(fmt.Sprintf("mode %s model %s before %q prompt %q", s.mode, s.model, before, text)))
		case "plan":
			s.update(session, map[string]any{
				"sessionUpdate": "plan", "entries": []any{map[string]any{"content": arg, "status": "pending"}},
			})
		case "mode": // as Gemini says it
			s.update(session, said("[MODE_UPDATE] "+s.mode))
		case "raw":
			s.update(session, map[string]any{"sessionUpdate": arg, "secret": "\x00\xff"})
		case "write":
			path, content, _ := strings.Cut(arg, "|")
			s.update(session, map[string]any{
				"sessionUpdate": "tool_call", "toolCallId": call, "title": "Write " + path, "kind": "edit",
				"status": "pending", "rawInput": map[string]any{"path": path},
			})
			status := "completed"
			if os.WriteFile(path, []byte(content), 0o600) != nil {
				status = "failed"
			}
			s.update(session, map[string]any{"sessionUpdate": "tool_call_update", "toolCallId": call, "status": status,
				"content": []any{map[string]any{"type": "diff", "path": path, "oldText": nil, "newText": content},
					map[string]any{"type": "content", "content": map[string]any{"type": "text", "text": "written"}}}})
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
			s.send(map[string]any{"id": "q", "method": "session/request_permission",
				"params": map[string]any{"sessionId": session,
					"toolCall": map[string]any{"toolCallId": call, "title": "May I?", "kind": kind}, "options": list}})
			s.update(session, said(string(<-s.client)))
		case "read": // a capability that was not offered
			s.send(map[string]any{
				"id": "f", "method": "fs/read_text_file", "params": map[string]any{"path": "/etc/passwd"},
			})
			<-s.client
		case "stop":
			answer["stopReason"] = arg
		case "nousage":
			delete(answer, "usage")
		case "cost":
			n, _ := strconv.ParseFloat(arg, 64)
			s.update(session, map[string]any{
				"sessionUpdate": "usage_update", "used": 1, "size": 2,
				"cost": map[string]any{"amount": n, "currency": "USD"},
			})
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
		case "stall": // as hang, but the first time only
			marker := s.file("stalled")
			if _, err := os.Stat(marker); err != nil {
				_ = os.WriteFile(marker, nil, 0o600)
				select {}
			}
		case "hang": // as slow, but it does not listen
			s.update(session, said("waiting"))
			select {}
		}
	}
	s.answer(id, answer)
}

func said(text string) map[string]any {
	return map[string]any{
		"sessionUpdate": "agent_message_chunk", "content": map[string]any{"type": "text", "text": text},
	}
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

// Message is a message that the agent got, and what it can do about it.
type Message struct {
	Text   string
	Before string // the messages before it in this conversation; empty where it begins

	agent    *scripted
	session  string
	calls    int
	canceled bool
}

// Say says something.
func (m *Message) Say(text string) { m.agent.update(m.session, said(text)) }

// Plan tells what is planned.
func (m *Message) Plan(entry string) {
	m.agent.update(m.session, map[string]any{
		"sessionUpdate": "plan", "entries": []any{map[string]any{
			"content": entry, "status": "completed", "priority": "high",
		}},
	})
}

// Wait works until it is canceled.
func (m *Message) Wait() {
	<-m.agent.stop
	m.canceled = true
}

// Call calls a tool of Carillon's, over the protocol and with the token that the session was handed, and returns what
// it says: its structured content as JSON. What goes wrong is returned as text too, as a model would read it.
func (m *Message) Call(tool string, arguments any) string {
	m.calls++
	id := fmt.Sprintf("tool-%d", m.calls)
	m.agent.update(m.session, map[string]any{
		"sessionUpdate": "tool_call", "toolCallId": id, "title": tool, "kind": "other", "status": "pending",
		"rawInput": arguments,
	})
	text, err := m.agent.callTool(tool, arguments)
	status := "completed"
	if err != nil {
		status, text = "failed", err.Error()
	}
	m.agent.update(m.session, map[string]any{"sessionUpdate": "tool_call_update", "toolCallId": id, "status": status,
		"content": []any{map[string]any{"type": "content", "content": map[string]any{"type": "text", "text": text}}}})
	return text
}

func (s *scripted) callTool(tool string, arguments any) (string, error) {
	if len(s.tools) == 0 {
		return "", fmt.Errorf("no tools were handed over")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	headers := http.Header{}
	for _, h := range s.tools[0].Headers {
		headers.Set(h.Name, h.Value)
	}
	client := mcp.NewClient(&mcp.Implementation{Name: "agenttest", Version: "1"}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: s.tools[0].URL, HTTPClient: &http.Client{Transport: withHeaders(headers)}, DisableStandaloneSSE: true,
	}, nil)
	if err != nil {
		return "", err
	}
	defer session.Close()
	result, err := session.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		return "", err
	}
	text := ""
	for _, c := range result.Content {
		if t, ok := c.(*mcp.TextContent); ok {
			text += t.Text
		}
	}
	if result.IsError {
		return "", fmt.Errorf("%s", text)
	}
	if result.StructuredContent != nil {
		structured, err := json.Marshal(result.StructuredContent)
		return string(structured), err
	}
	return text, nil
}

// withHeaders sends requests with headers.
type withHeaders http.Header

// RoundTrip is for http.Client.
func (h withHeaders) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, values := range h {
		r.Header[name] = values
	}
	return http.DefaultTransport.RoundTrip(r)
}
