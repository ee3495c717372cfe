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
	acpStart     = 90 * time.Second // for everything before the prompt
	acpUnhandled = 256              // the library closes a connection on which 1,024 updates wait
)

// acpAgent is a running agent that speaks ACP.
type acpAgent struct {
	*run
	p       *process
	conn    *acp.Connection
	replay  atomic.Bool   // updates are of an old turn
	retold  atomic.Bool   // some were
	paced   chan struct{} // one for each update under way
	stderr  *tail
	ended   chan struct{}
	end     ending
	late    atomic.Bool // it did not answer in time
	quiet   atomic.Int64
	rejects atomic.Int64

	mu       sync.Mutex
	session  string
	answer   strings.Builder  // what was said since the last tool call
	cut      bool             // a tool call came: what is said next begins the answer anew
	broke    string           // the last error that it told in the voice of the model
	steps    transcript.Usage // summed over steps, of agents that tell it so
	cost     *float64
	answered bool          // the agent answered the last call
	over     chan struct{} // closed when that call returned
	router   bool          // the agent chooses the model by asking one, which it does not tell in what it used
}

// acpSession is what session/new, session/resume and session/load answer.
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
		res.ExitCode = 0 // it was told to end after its answer
		return res, nil
	}
	if ctx.Err() != nil {
		return res, r.stopped(ctx)
	}
	return res, err
}

func (r *run) startACP() (*acpAgent, error) {
	env := r.env()
	if err := r.keepChat(env); err != nil {
		r.warn("The files of the conversation could not be put right for %s: %s", r.Name, err)
	}
	p, err := start(command{
		argv: r.Command, dir: r.Dir, env: env, pipeIn: true, grace: r.grace, user: r.User, sandbox: r.box,
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
	a.conn = acp.NewConnection(a.handle, p.stdin, in)
	a.conn.SetLogger(slog.New(slog.DiscardHandler))
	go func() {
		<-a.conn.Done()
		in.Close() // nobody reads any more
	}()
	go func() {
		defer close(a.ended)
		a.end = r.finish(p, func() {
			a.pace(p.stdout, out)
			a.hear()
			out.Close()
		}, func() { _, _ = io.Copy(a.stderr, p.stderr) })
	}()
	return a, nil
}

// pace hands the agent's lines to the library, no faster than updates are handled. It leaves out
// what would close the connection: banners and lines that are too long.
func (a *acpAgent) pace(from io.Reader, to *io.PipeWriter) {
	eachLine(from, maxLine, func(line []byte) {
		a.touch()
		a.quiet.Store(time.Now().UnixNano())
		var m struct {
			ID     json.RawMessage `json:"id"`
			Method string          `json:"method"`
		}
		if line[0] != '{' || json.Unmarshal(line, &m) != nil || m.ID == nil && m.Method == "" {
			a.emit(transcript.Event{Kind: transcript.KindLog, Text: string(line[:min(len(line), maxRaw)])})
			return
		}
		if m.Method == "" {
			a.mu.Lock()
			a.answered = true
			a.mu.Unlock()
		}
		if m.ID == nil && m.Method != "$/cancel_request" {
			select {
			case a.paced <- struct{}{}:
			case <-a.conn.Done():
			}
		}
		_, _ = to.Write(append(line, '\n'))
	}, a.skipped)
}

// hear waits until the call whose answer the agent gave has it. The library may tell of the end of a connection rather
// than of an answer that came before.
func (a *acpAgent) hear() {
	a.mu.Lock()
	answered, over := a.answered, a.over
	a.mu.Unlock()
	if !answered {
		return
	}
	timer := time.NewTimer(10 * time.Second) // an answer may be to no call
	defer timer.Stop()
	select {
	case <-over:
	case <-timer.C:
	}
}

// cancel asks the agent to stop, and ends it if it does not.
func (a *acpAgent) cancel() {
	if id := a.sessionID(); id != "" {
		go func() { // writing may block: the agent may not read
			_ = a.conn.SendNotification(context.Background(), "session/cancel", object{"sessionId": id})
		}()
	}
	time.AfterFunc(a.grace, a.p.stop)
}

// close ends the agent and waits for its end. One that answered may end by itself for a moment: some
// write their conversation down then.
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
	// What the agent said last is handled by now, or soon.
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

// call sends a request and waits for its answer, or for the agent's death.
func call[T any](a *acpAgent, method string, params any) (T, error) {
	over := make(chan struct{})
	a.mu.Lock()
	a.answered, a.over = false, over
	a.mu.Unlock()
	res, err := acp.SendRequest[T](a.conn, context.Background(), method, params)
	close(over)
	if err == nil {
		return res, nil
	}
	var rpc *acp.RequestError
	if errors.As(err, &rpc) && rpc.Code == -32603 {
		// So the library also says that it cannot write to an agent that just died.
		select {
		case <-a.conn.Done():
		case <-time.After(300 * time.Millisecond):
		}
	}
	select {
	case <-a.conn.Done():
		a.p.stop()
		<-a.ended
		if a.late.Load() {
			return res, &Failure{Kind: FailStart, Reason: fmt.Sprintf("%s did not start within %s", a.Name, acpStart)}
		}
		if a.end.Start != "" {
			return res, a.startFailure(errors.New(a.end.Start))
		}
		return res, a.died(a.end, a.stderr.String(), a.now())
	default:
	}
	if rpc != nil {
		return res, a.refused(rpc)
	}
	return res, err
}

// refused is the failure that an agent's error answer tells.
func (a *acpAgent) refused(e *acp.RequestError) *Failure {
	told := trouble{text: e.Message}
	if raw, err := json.Marshal(e.Data); e.Data != nil && err == nil {
		detail := trouble{}
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
		told.status = e.Code // HTTP's, as gemini passes it on
	}
	f := a.failure(told, a.now())
	if f.Cause == nil {
		f.Cause = e
	}
	return f
}

// turn is the dialogue: who are you, a session, its model and mode, the prompt.
func (a *acpAgent) turn(ctx context.Context) (Result, error) {
	late := time.AfterFunc(acpStart, func() {
		a.late.Store(true)
		a.p.stop()
	})
	defer late.Stop()
	info, err := a.hello()
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
		return Result{}, a.stopped(ctx)
	}
	res, err := call[acpAnswer](a, "session/prompt", object{"sessionId": a.sessionID(),
		"prompt": []object{{"type": "text", "text": prompt}}})
	if err != nil {
		return Result{Text: a.text()}, err
	}
	return a.result(res)
}

func (a *acpAgent) hello() (acpInfo, error) {
	info, err := call[acpInfo](a, "initialize", object{"protocolVersion": acpVersion,
		"clientInfo":         object{"name": "carillon", "version": "1"},
		"clientCapabilities": object{"fs": object{"readTextFile": false, "writeTextFile": false}, "terminal": false}})
	if err == nil && info.Version != acpVersion {
		err = &Failure{Kind: FailStart, Reason: fmt.Sprintf("%s speaks version %d of the Agent Client Protocol, not %d",
			a.Name, info.Version, acpVersion)}
	}
	return info, err
}

// hasSystemPrompt tells an agent that takes instructions beside the prompt.
func hasSystemPrompt(info acpInfo) bool { return strings.Contains(info.Agent.Name, "claude") }

// open begins a session or goes on with one.
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
	for _, way := range ways { // what an agent offers need not be what it has
		opened, err := way()
		if !lacks(err) {
			return opened, a.unknown(err)
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

// lacks reports whether an agent answered that it has no such method.
func lacks(err error) bool {
	var e *acp.RequestError
	return errors.As(err, &e) && e.Code == acpNoMethod
}

// unknown makes of an answer to session/resume or session/load the failure that it is where the agent does not know the
// conversation.
func (a *acpAgent) unknown(err error) error {
	var e *acp.RequestError
	if !errors.As(err, &e) {
		return err
	}
	var data struct {
		Service string `json:"service"` // OpenCode says which part of it failed, and no more
	}
	if raw, wrong := json.Marshal(e.Data); wrong == nil {
		_ = json.Unmarshal(raw, &data)
	}
	if e.Code == acpNoResource || data.Service == "session" {
		return a.unknownConversation(e.Message)
	}
	return err
}

// load goes on with a conversation that the agent tells again from its beginning.
func (a *acpAgent) load(ctx context.Context, params object) (acpSession, error) {
	a.replay.Store(true)
	defer a.replay.Store(false)
	opened, err := call[acpSession](a, "session/load", params)
	if err != nil {
		return opened, err
	}
	// Old messages may follow the answer: wait until it is quiet, five seconds at most.
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
		rest := 300*time.Millisecond - time.Since(time.Unix(0, a.quiet.Load()))
		if rest <= 0 {
			break
		}
		select {
		case <-ctx.Done():
			return opened, a.stopped(ctx)
		case <-time.After(rest):
		}
	}
	if !a.retold.Load() { // the protocol demands that it is; Qwen makes a new one of an id that it does not know
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
