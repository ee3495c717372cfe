package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	acp "github.com/coder/acp-go-sdk"

	"carillon/app/transcript"
)

const (
	acpVersion   = 1
	acpStart     = 90 * time.Second // bounds everything before the prompt
	acpUnhandled = 256              // unhandled updates; the library closes a connection with 1,024 of them
)

// acpAgent is a running agent that speaks ACP.
type acpAgent struct {
	*run
	p        *process
	conn     *acp.Connection
	stdin    *messageWriter
	replay   atomic.Bool   // updates belong to an earlier turn
	replayed atomic.Bool   // such updates have come
	paced    chan struct{} // one for each update under way
	stderr   *tail
	ended    chan struct{}
	end      ending
	timedOut atomic.Bool // the agent did not answer in time
	quiet    atomic.Int64
	rejects  atomic.Int64

	mu        sync.Mutex
	session   string
	answer    strings.Builder  // text since the last tool call
	answerCut bool             // a tool call came: the next text begins a new answer
	lastError string           // the last error that the agent sent as text of the model
	steps     transcript.Usage // sum over steps, for agents that report steps
	cost      *float64
	answered  bool          // the agent answered the last call
	returned  chan struct{} // closed when this call has returned
	router    bool          // the agent chooses the model with a model, whose usage it does not report
}

// acpSession is the answer to session/new, session/resume and session/load.
type acpSession struct {
	SessionID string      `json:"sessionId"`
	Options   []acpOption `json:"configOptions"`
	Modes     *struct {
		Available []struct {
			ID string `json:"id"`
		} `json:"availableModes"`
	} `json:"modes"`
	Models *struct {
		Current   string `json:"currentModelId"`
		Available []struct {
			ID string `json:"modelId"`
		} `json:"availableModels"`
	} `json:"models"`
}

type acpOption struct {
	ID       string `json:"id"`
	Category string `json:"category"`
	Options  []struct {
		Value   string `json:"value"`
		Options []struct {
			Value string `json:"value"`
		} `json:"options"` // of a group
	} `json:"options"`
}

func (o acpOption) values() []string {
	var list []string
	for _, v := range o.Options {
		if v.Value != "" {
			list = append(list, v.Value)
		}
		for _, inner := range v.Options {
			list = append(list, inner.Value)
		}
	}
	return list
}

type acpInfo struct {
	Version int `json:"protocolVersion"`
	Agent   struct {
		Name string `json:"name"`
	} `json:"agentInfo"`
	Can struct {
		Load bool `json:"loadSession"`
		MCP  struct {
			HTTP bool `json:"http"`
		} `json:"mcpCapabilities"`
		Session struct {
			Resume json.RawMessage `json:"resume"`
		} `json:"sessionCapabilities"`
	} `json:"agentCapabilities"`
}

type object = map[string]any

func (r *run) runACP(ctx context.Context) (Result, error) {
	a, err := r.startACP()
	if err != nil {
		return Result{}, err
	}
	defer context.AfterFunc(ctx, a.cancel)()
	res, err := a.turn(ctx)
	a.close(err == nil)
	res.Conversation, res.ExitCode = a.sessionID(), a.end.Exit
	if err == nil {
		res.ExitCode = 0 // it was ended after its answer
		return res, nil
	}
	if ctx.Err() != nil {
		return res, r.stoppedFailure(ctx)
	}
	return res, err
}

func (r *run) startACP() (*acpAgent, error) {
	env := r.env()
	if err := r.prepareChat(env); err != nil {
		r.warn("The files of the conversation could not be put right for %s: %s", r.Name, err)
	}
	p, err := start(command{
		argv: r.Command, dir: r.Dir, env: env, pipeIn: true, grace: r.grace, user: r.User, sandbox: r.sandbox,
		bounds: r.bounds(), hold: r.RunDir,
	})
	if err != nil {
		return nil, r.startFailure(err)
	}
	a := &acpAgent{
		run: r, p: p, paced: make(chan struct{}, acpUnhandled), stderr: &tail{limit: maxStderr},
		ended: make(chan struct{}),
	}
	in, out := io.Pipe()
	a.stdin = &messageWriter{to: p.stdin}
	a.conn = acp.NewConnection(a.handle, a.stdin, in)
	a.conn.SetLogger(slog.New(slog.DiscardHandler))
	go func() {
		<-a.conn.Done()
		in.Close() // nobody reads it any more
	}()
	go func() {
		defer close(a.ended)
		a.end = r.finish(p, func() {
			a.pace(p.stdout, out)
			a.awaitAnswer()
			out.Close()
		}, func() { _, _ = io.Copy(a.stderr, p.stderr) })
	}()
	return a, nil
}

// pace passes the agent's lines to the library, no faster than updates are handled. It drops lines that would close the
// connection: banners and lines that are too long.
func (a *acpAgent) pace(from io.Reader, to *io.PipeWriter) {
	eachLine(from, maxLine, func(line []byte) {
		a.touch()
		a.quiet.Store(time.Now().UnixNano())
		var m struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
			Params json.RawMessage `json:"params"`
		}
		if line[0] != '{' || json.Unmarshal(line, &m) != nil || m.ID == nil && m.Method == "" {
			a.emit(transcript.Event{Kind: transcript.KindLog, Text: string(line[:min(len(line), maxRaw)])})
			return
		}
		switch {
		case string(m.ID) == "null":
			m.ID = nil
		case m.Method == "":
			a.mu.Lock()
			a.answered = true
			a.mu.Unlock()
		case m.ID != nil:
			a.answerQuestion(m.ID, m.Method, m.Params)
			return
		}
		if m.ID == nil && m.Method != "$/cancel_request" {
			select {
			case a.paced <- struct{}{}:
			case <-a.conn.Done():
			}
		}
		_, _ = to.Write(append(line, '\n'))
	}, a.lineSkipped)
}

// answerQuestion answers a request of the agent before its next line is read. The library would answer each in a
// goroutine of its own. Those of an agent that reads no answers, or is kept from it by one of its tools, would stay in
// memory without end.
func (a *acpAgent) answerQuestion(id json.RawMessage, method string, params json.RawMessage) {
	answer := struct {
		JSONRPC string            `json:"jsonrpc"`
		ID      json.RawMessage   `json:"id"`
		Result  any               `json:"result,omitempty"`
		Error   *acp.RequestError `json:"error,omitempty"`
	}{JSONRPC: "2.0", ID: id}
	answer.Result, answer.Error = a.handle(context.Background(), method, params)
	if answer.Result == nil && answer.Error == nil {
		answer.Result = object{}
	}
	text, err := json.Marshal(answer)
	if err != nil {
		answer.Result, answer.Error = nil, acp.NewInternalError(nil)
		text, _ = json.Marshal(answer) // it always marshals
	}
	_, _ = a.stdin.Write(append(text, '\n')) // where it fails the agent has ended
}

// messageWriter writes messages of several goroutines, each whole.
type messageWriter struct {
	mu sync.Mutex
	to io.Writer
}

func (w *messageWriter) Write(message []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(message)
}

// awaitAnswer waits until the pending call has received its answer. The library may otherwise report the end of the
// connection in place of an answer that came before.
func (a *acpAgent) awaitAnswer() {
	a.mu.Lock()
	answered, over := a.answered, a.returned
	a.mu.Unlock()
	if !answered {
		return
	}
	timer := time.NewTimer(10 * time.Second) // there may be no call for an answer
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
	}
}

// cancel asks the agent to stop, and ends it if it does not.
func (a *acpAgent) cancel() {
	if id := a.sessionID(); id != "" {
		go func() { // writing blocks if the agent does not read
			_ = a.conn.SendNotification(context.Background(), "session/cancel", object{"sessionId": id})
		}()
	}
	time.AfterFunc(a.grace, a.p.stop)
}

// close ends the agent and waits for its end. It gives an agent that has answered a moment to end by itself, because
// some agents save their conversation then.
func (a *acpAgent) close(friendly bool) {
	a.p.stdin.Close()
	if friendly {
		select {
		case <-a.ended:
		case <-time.After(min(a.grace, time.Second)):
		}
	}
	a.p.stop()
	<-a.ended
	<-a.conn.Done()
	// The agent's last messages are handled by now, or soon.
	timer := time.NewTimer(2 * time.Second)
	defer timer.Stop()
	for range acpUnhandled {
		select {
		case a.paced <- struct{}{}:
		case <-timer.C:
			return
		}
	}
}

func (a *acpAgent) sessionID() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.session
}

func (a *acpAgent) setSession(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.session = id
}

// call sends a request and waits for its answer or the agent's end.
func call[T any](a *acpAgent, method string, params any) (T, error) {
	over := make(chan struct{})
	a.mu.Lock()
	a.answered, a.returned = false, over
	a.mu.Unlock()
	res, err := acp.SendRequest[T](a.conn, context.Background(), method, params)
	close(over)
	if err == nil {
		return res, nil
	}
	var rpc *acp.RequestError
	if errors.As(err, &rpc) && rpc.Code == -32603 {
		// The library also reports this when it cannot write to an agent that has just ended.
		select {
		case <-a.conn.Done():
		case <-time.After(300 * time.Millisecond):
		}
	}
	select {
	case <-a.conn.Done():
		a.p.stop()
		<-a.ended
		if a.timedOut.Load() {
			return res, &Failure{Kind: FailStart, Reason: fmt.Sprintf("%s did not start within %s", a.Name, acpStart)}
		}
		if a.end.Start != "" {
			return res, a.startFailure(errors.New(a.end.Start))
		}
		return res, a.exitFailure(a.end, a.stderr.String(), a.now())
	default:
	}
	if rpc != nil {
		return res, a.requestFailure(rpc)
	}
	return res, err
}

// requestFailure makes the failure of an agent's error answer.
func (a *acpAgent) requestFailure(e *acp.RequestError) *Failure {
	told := errorReport{text: e.Message}
	if raw, err := json.Marshal(e.Data); e.Data != nil && err == nil {
		detail := errorReport{}
		if text, is := e.Data.(string); is {
			detail.text = text
		} else {
			detail.read(raw)
		}
		if told = detail; detail.text == "" || detail.text == e.Message {
			told.text = e.Message
		} else if e.Message != "Internal error" {
			told.text = e.Message + ": " + detail.text
		}
	}
	if e.Code == acpSignIn {
		told.status = 401
	}
	if e.Code >= 400 && e.Code < 600 {
		told.status = e.Code // an HTTP status, which gemini passes on
	}
	f := a.failure(told, a.now())
	if f.Cause == nil {
		f.Cause = e
	}
	return f
}

// turn is the dialogue of a turn: initialize, open a session, choose its model and mode, send the prompt.
func (a *acpAgent) turn(ctx context.Context) (Result, error) {
	late := time.AfterFunc(acpStart, func() {
		a.timedOut.Store(true)
		a.p.stop()
	})
	defer late.Stop()
	info, err := a.initialize()
	if err != nil {
		return Result{}, err
	}
	opened, err := a.open(ctx, info)
	if err != nil {
		return Result{}, err
	}
	prompt := a.Prompt
	if a.Instructions != "" && a.Resume == "" && !hasSystemPrompt(info) {
		prompt = a.Instructions + "\n\n" + prompt
	}
	if err := a.chooseModel(opened); err != nil {
		return Result{}, err
	}
	if err := a.chooseMode(opened); err != nil {
		return Result{}, err
	}
	late.Stop()
	if ctx.Err() != nil {
		return Result{}, a.stoppedFailure(ctx)
	}
	res, err := call[acpAnswer](a, "session/prompt", object{"sessionId": a.sessionID(),
		"prompt": []object{{"type": "text", "text": prompt}}})
	if err != nil {
		return Result{Text: a.text()}, err
	}
	return a.result(res)
}

func (a *acpAgent) initialize() (acpInfo, error) {
	info, err := call[acpInfo](a, "initialize", object{"protocolVersion": acpVersion,
		"clientInfo":         object{"name": "carillon", "version": "1"},
		"clientCapabilities": object{"fs": object{"readTextFile": false, "writeTextFile": false}, "terminal": false}})
	if err == nil && info.Version != acpVersion {
		err = &Failure{Kind: FailStart, Reason: fmt.Sprintf("%s speaks version %d of the Agent Client Protocol, not %d",
			a.Name, info.Version, acpVersion)}
	}
	return info, err
}

// hasSystemPrompt reports whether an agent accepts instructions beside the prompt.
func hasSystemPrompt(info acpInfo) bool { return strings.Contains(info.Agent.Name, "claude") }

// open begins a session or resumes one.
func (a *acpAgent) open(ctx context.Context, info acpInfo) (acpSession, error) {
	params := object{"cwd": a.Dir, "mcpServers": a.servers(info)}
	if a.Instructions != "" && hasSystemPrompt(info) {
		params["_meta"] = object{"systemPrompt": object{"append": a.Instructions}}
	}
	if a.Resume == "" {
		opened, err := call[acpSession](a, "session/new", params)
		a.setSession(opened.SessionID)
		a.conversation(opened.SessionID)
		return opened, err
	}
	params["sessionId"] = a.Resume
	a.setSession(a.Resume)
	ways := []func() (acpSession, error){
		func() (acpSession, error) { return call[acpSession](a, "session/resume", params) },
		func() (acpSession, error) { return a.load(ctx, params) },
	}
	if info.Can.Session.Resume == nil || string(info.Can.Session.Resume) == "null" {
		slices.Reverse(ways)
	}
	for _, way := range ways { // an agent may lack a method that it offers
		opened, err := way()
		if !lacksMethod(err) {
			return opened, a.asUnknownConversation(err)
		}
	}
	return acpSession{}, &Failure{Kind: FailAgent, Reason: a.Name + " cannot go on with a conversation"}
}

// The codes of the protocol's errors.
const (
	acpSignIn     = -32000 // "authentication required"
	acpNoMethod   = -32601
	acpNoResource = -32002
)

// lacksMethod reports whether an agent answered that it does not have a method.
func lacksMethod(err error) bool {
	var e *acp.RequestError
	return errors.As(err, &e) && e.Code == acpNoMethod
}

// asUnknownConversation turns an error of session/resume or session/load into an unknown conversation if it says that
// the agent does not know the conversation.
func (a *acpAgent) asUnknownConversation(err error) error {
	var e *acp.RequestError
	if !errors.As(err, &e) {
		return err
	}
	var data struct {
		Service string `json:"service"` // OpenCode names the failed service only
	}
	if raw, wrong := json.Marshal(e.Data); wrong == nil {
		_ = json.Unmarshal(raw, &data)
	}
	if e.Code == acpNoResource || data.Service == "session" {
		return a.unknownConversation(e.Message)
	}
	return err
}

// load resumes a conversation that the agent replays from its beginning.
func (a *acpAgent) load(ctx context.Context, params object) (acpSession, error) {
	a.replay.Store(true)
	defer a.replay.Store(false)
	opened, err := call[acpSession](a, "session/load", params)
	if err != nil {
		return opened, err
	}
	// Replayed messages may follow the answer: wait until none comes, five seconds at most.
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		rest := 300*time.Millisecond - time.Since(time.Unix(0, a.quiet.Load()))
		if rest <= 0 {
			break
		}
		select {
		case <-ctx.Done():
			return opened, a.stoppedFailure(ctx)
		case <-time.After(rest):
		}
	}
	if !a.replayed.Load() { // the protocol demands a replay; Qwen begins a new conversation for an unknown id
		a.warn("%s told nothing of the conversation that it was to go on with. It may have forgotten it.", a.Name)
	}
	return opened, nil
}

func (a *acpAgent) servers(info acpInfo) []object {
	list := []object{}
	pairs := func(m map[string]string) []object {
		out := []object{}
		for _, name := range slices.Sorted(maps.Keys(m)) {
			out = append(out, object{"name": name, "value": m[name]})
		}
		return out
	}
	for _, s := range a.MCP {
		switch {
		case s.URL == "":
			list = append(list, object{
				"name": s.Name, "command": s.Command, "args": append([]string{}, s.Args...), "env": pairs(s.Env),
			})
		case info.Can.MCP.HTTP:
			list = append(list, object{"type": "http", "name": s.Name, "url": s.URL, "headers": pairs(s.Headers)})
		default:
			a.warn("The tool server %s was left out: %s takes none by address.", s.Name, a.Name)
		}
	}
	return list
}
