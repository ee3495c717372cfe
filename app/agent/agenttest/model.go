package agenttest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What each call of a Model reports as used.
const (
	FreshTokens  = 100 // input that came from no cache
	CachedTokens = 40
	OutputTokens = 20
)

// Model is a stand-in for a vendor's server. It speaks Anthropic's Messages, OpenAI's Responses and
// Chat Completions, and Gemini's generateContent, streamed and whole. The last message of the user
// that holds directives decides the answer:
//
//	[[say TEXT]]          answer with TEXT
//	[[write PATH|TEXT]]   call the agent's own tool for writing a file, then answer
//	[[run COMMAND]]       call the agent's own shell, then answer
//	[[use TOOL JSON]]     call the tool whose name ends in TOOL, then answer
//	[[recall]]            answer with the first message of the conversation
//	[[status N]]          fail with the HTTP status N, every time
//	[[after SECONDS]]     with a status: say when to try again
//	[[tell TEXT]]         with a status: the words of the error
//	[[code WORD]]         with a status: the error's own name, in place of the usual one
//	[[hang]]              begin an answer and never end it
//	[[cut]]               begin an answer and close the connection
//
// The zero Model is ready for use.
type Model struct {
	mu    sync.Mutex
	calls []Call
}

// Call is one request to a Model.
type Call struct {
	API    string // "messages", "responses", "chat" or "gemini"
	Model  string
	System string
	Prompt string // the message that decided
	Told   string // all messages of the user
	Tools  []string
	Key    string // what it signed in with
}

// Calls lists what was asked so far.
func (m *Model) Calls() []Call {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.calls)
}

// question is a request, whatever the protocol.
type question struct {
	model, system string
	messages      []spoken
	tools         []tool
	stream        bool
	json          map[string]any // the schema that the answer must have
}

// spoken is a message of the user, or the result of a tool.
type spoken struct {
	text   string
	result bool
}

type tool struct {
	name   string
	schema map[string]any
	plain  bool // it takes text, not JSON
}

// reply is an answer, whatever the protocol.
type reply struct {
	text      string
	call      *tool
	arguments map[string]any
	status    int
	after     string
	hang, cut bool
	code      string
}

// protocol is one vendor's way of asking and answering.
type protocol struct {
	name  string
	path  *regexp.Regexp
	ask   func(r *http.Request, body []byte) (question, error)
	whole func(w *events, q question, r reply)
	fail  func(status int, words, code string) any
}

var protocols = []protocol{
	{"messages", regexp.MustCompile(`/v1/messages$`), askMessages, answerMessages, failMessages},
	{"responses", regexp.MustCompile(`/v1/responses$`), askResponses, answerResponses, failOpenAI},
	{"chat", regexp.MustCompile(`/v1/chat/completions$`), askChat, answerChat, failOpenAI},
	{"gemini", regexp.MustCompile(`:(streamG|g)enerateContent$`), askGemini, answerGemini, failGemini},
}

var script = regexp.MustCompile(`\[\[(say|write|run|use|recall|status|after|tell|code|hang|cut)(?: ([^\]]*))?\]\]`)

// ServeHTTP answers a request.
func (m *Model) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<20))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	at := slices.IndexFunc(protocols, func(p protocol) bool { return p.path.MatchString(r.URL.Path) })
	if at < 0 {
		m.aside(w, r)
		return
	}
	p := protocols[at]
	q, err := p.ask(r, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, prompt := q.answer()
	m.note(r, p.name, q, prompt)
	if answer.status != 0 {
		if answer.after != "" {
			w.Header().Set("Retry-After", answer.after)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(answer.status)
		_ = json.NewEncoder(w).Encode(p.fail(answer.status, answer.text, answer.code))
		return
	}
	kind := "application/json"
	if q.stream {
		kind = "text/event-stream"
	}
	w.Header().Set("Content-Type", kind)
	p.whole(&events{w: w, r: r, stream: q.stream, hang: answer.hang, cut: answer.cut}, q, answer)
}

// aside answers what agents ask beside their work.
func (m *Model) aside(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch path.Base(r.URL.Path) {
	case "count_tokens":
		_, _ = io.WriteString(w, `{"input_tokens":100}`)
	case "models":
		_, _ = io.WriteString(w, `{"object":"list","data":[{"id":"test-model","object":"model"}]}`)
	default:
		if strings.HasSuffix(r.URL.Path, ":countTokens") {
			_, _ = io.WriteString(w, `{"totalTokens":100}`)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"error":{"message":"not found"}}`)
	}
}

func (m *Model) note(r *http.Request, api string, q question, prompt string) {
	key := r.Header.Get("x-api-key") + r.Header.Get("x-goog-api-key") + strings.TrimPrefix(
		r.Header.Get("Authorization"), "Bearer ")
	call := Call{API: api, Model: q.model, System: q.system, Prompt: prompt, Key: key}
	for _, m := range q.messages {
		call.Told += m.text + "\n"
	}
	for _, t := range q.tools {
		call.Tools = append(call.Tools, t.name)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, call)
}

// answer decides by the last message with directives. Tools that were called since are not called again.
func (q question) answer() (reply, string) {
	last, results := -1, 0
	for i, s := range q.messages {
		switch {
		case s.result:
			results++
		case script.MatchString(s.text):
			last, results = i, 0
		}
	}
	if q.json != nil { // a classifier of the agent's own
		text, _ := json.Marshal(example(q.json))
		return reply{text: string(text)}, ""
	}
	if last < 0 {
		return reply{text: "An answer."}, ""
	}
	prompt := q.messages[last].text
	a := reply{text: "Done."}
	tools := 0
	for _, d := range script.FindAllStringSubmatch(prompt, -1) {
		switch verb, arg := d[1], d[2]; verb {
		case "say", "tell":
			a.text = arg
		case "recall":
			a.text = ""
			if i := slices.IndexFunc(q.messages, func(s spoken) bool { return script.MatchString(s.text) }); i >= 0 {
				a.text = script.ReplaceAllString(q.messages[i].text, "($2)")
			}
		case "status":
			a.status, _ = strconv.Atoi(arg)
		case "after":
			a.after = arg
		case "code":
			a.code = arg
		case "hang":
			a.hang = true
		case "cut":
			a.cut = true
		case "write", "run", "use":
			if tools++; tools <= results || a.call != nil || len(q.tools) == 0 {
				continue
			}
			a.call, a.arguments = q.choose(verb, arg)
			if a.call == nil {
				a.text = fmt.Sprintf("There is no tool to %s %s.", verb, arg)
			}
		}
	}
	if a.status != 0 && a.text == "Done." {
		a.text = fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))
	}
	return a, prompt
}

var (
	writers = []string{"Write", "write", "write_file", "create"}
	shells  = []string{"Bash", "bash", "exec_command", "shell_command", "shell", "run_shell_command"}
)

// choose finds the agent's own tool and fills its arguments by the names that they have.
func (q question) choose(verb, arg string) (*tool, map[string]any) {
	first, rest, _ := strings.Cut(arg, map[string]string{"write": "|", "use": " "}[verb])
	switch verb {
	case "use":
		for _, t := range q.tools {
			var arguments map[string]any
			if strings.HasSuffix(t.name, first) && json.Unmarshal([]byte(rest), &arguments) == nil {
				return &t, arguments
			}
		}
		return nil, nil
	case "write":
		if t := q.named(writers); t != nil {
			return t, t.fill(map[string]any{
				"file_path": first, "filePath": first, "path": first, "content": rest, "file_text": rest,
			})
		}
		arg = fmt.Sprintf("printf %%s '%s' > '%s'", rest, first)
	}
	t := q.named(shells)
	if t == nil {
		return nil, nil
	}
	return t, t.fill(map[string]any{"command": arg, "cmd": arg, "is_background": false})
}

func (q question) named(names []string) *tool {
	for _, name := range names {
		if i := slices.IndexFunc(q.tools, func(t tool) bool { return t.name == name }); i >= 0 {
			return &q.tools[i]
		}
	}
	return nil
}

// fill keeps of the values those that the tool takes, and makes up what it requires beside them.
func (t tool) fill(values map[string]any) map[string]any {
	properties, _ := t.schema["properties"].(map[string]any)
	arguments := map[string]any{}
	for name, value := range values {
		schema, ok := properties[name].(map[string]any)
		if !ok {
			continue
		}
		if schema["type"] == "array" {
			value = []any{"bash", "-c", value}
		}
		arguments[name] = value
	}
	required, _ := t.schema["required"].([]any)
	for _, r := range required {
		name, _ := r.(string)
		if _, ok := arguments[name]; !ok {
			schema, _ := properties[name].(map[string]any)
			arguments[name] = example(schema)
		}
	}
	return arguments
}

// example is a value of a schema.
func example(schema map[string]any) any {
	if choices, ok := schema["enum"].([]any); ok && len(choices) > 0 {
		return choices[0]
	}
	kind, _ := schema["type"].(string)
	switch strings.ToLower(kind) {
	case "object":
		properties, _ := schema["properties"].(map[string]any)
		value := map[string]any{}
		for name, p := range properties {
			inner, _ := p.(map[string]any)
			value[name] = example(inner)
		}
		return value
	case "array":
		return []any{}
	case "boolean":
		return false
	case "number", "integer":
		return 1
	}
	return "test"
}

// events writes an answer: as events where it is streamed.
type events struct {
	w      http.ResponseWriter
	r      *http.Request
	stream bool
	hang   bool
	cut    bool
}

func (e *events) send(name string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // of maps and strings alone
	}
	if name != "" {
		_, _ = fmt.Fprintf(e.w, "event: %s\n", name)
	}
	_, _ = fmt.Fprintf(e.w, "data: %s\n\n", text)
	_ = http.NewResponseController(e.w).Flush()
}

func (e *events) json(v any) { _ = json.NewEncoder(e.w).Encode(v) }

// wait holds the answer back where it is to hang, until the agent gives up, and ends the connection where it is to be
// cut.
func (e *events) wait() bool {
	if !e.hang && !e.cut {
		return false
	}
	_ = http.NewResponseController(e.w).Flush()
	if e.cut {
		panic(http.ErrAbortHandler)
	}
	<-e.r.Context().Done()
	return true
}

// id is a name that no other answer has.
func id(prefix string) string { return prefix + strconv.FormatInt(time.Now().UnixNano(), 36) }
