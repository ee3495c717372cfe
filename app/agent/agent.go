// Package agent runs coding agents as child processes behind one interface. It knows nothing of automations: it gets a
// prompt and a folder, and it gives events and a result.
//
// Every child runs under a small parent process, the shim (see MaybeShim). So Run returns only when all processes that
// it started have ended, and a killed server leaves no agent running.
package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"carillon/app/runas"
	"carillon/app/transcript"
)

// The drivers, one for each protocol of a provider's program.
const (
	DriverShell  = "shell"  // the prompt is a bash script
	DriverACP    = "acp"    // the Agent Client Protocol over stdin and stdout
	DriverClaude = "claude" // claude -p with a stream of JSON lines
	DriverCodex  = "codex"  // codex exec --json
)

// Provider is the configuration of a coding agent. Catalogue has the known ones. An administrator may change them and
// add providers of the acp driver.
type Provider struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Driver string `json:"driver"`
	// Command is the program and its fixed arguments. A program without a slash is looked up in PATH.
	Command []string `json:"command"`
	// Install is shown when the program is not found.
	Install string `json:"install,omitempty"`
	// SignIn says how to sign the program in.
	SignIn string `json:"signIn,omitempty"`
	// Account is the file below the home folder with the program's sign-in; empty: unknown.
	Account string `json:"account,omitempty"`
	// Keys are the environment variables with credentials of the program. They are passed on.
	Keys []string `json:"keys,omitempty"`
	// PassEnv are further variables of the server passed on; a name ending in * is a prefix.
	PassEnv []string `json:"passEnv,omitempty"`
	// SetEnv are KEY=VALUE settings for the program.
	SetEnv []string `json:"setEnv,omitempty"`
	// Models are offered when the program cannot list its own.
	Models []string `json:"models,omitempty"`
	// VendorKeys are the Keys of each vendor, for a program that uses several vendors, by the part before the slash in
	// a model's name. A turn gets the keys of its model's vendor alone.
	VendorKeys map[string][]string `json:"vendorKeys,omitempty"`
	// KeysWhere are Keys that are passed on only if another variable is set, which selects a cloud.
	KeysWhere map[string][]string `json:"keysWhere,omitempty"`
	// HoldEnv are KEY=VALUE settings that no variable of the server or of a workspace overrides. They make the program
	// ignore the configuration in a repository.
	HoldEnv []string `json:"holdEnv,omitempty"`
	// PinEnv are variables that are set to an empty value unless somebody sets them, so that no file of a repository
	// sets them.
	PinEnv []string `json:"pinEnv,omitempty"`
	// DotEnv are files of a repository from which the program reads variables. Variables in them that steer the program
	// are set as those of PinEnv.
	DotEnv []string `json:"dotEnv,omitempty"`
	// Obeys are files and folders of a repository that make the program run commands or use another server, and that it
	// cannot be configured to ignore. The sandbox hides them. Without a sandbox a turn is refused if one exists.
	Obeys []string `json:"obeys,omitempty"`
	// Unread says that the program, as Carillon starts it, does not read a repository's InstructionFile. The caller
	// passes the file in Turn.Instructions.
	Unread bool `json:"unread,omitempty"`
	// Asks says that the program asks before each change, so that a read-only turn can refuse.
	Asks bool `json:"asks,omitempty"`
	// AutoMode is the ACP session mode that asks no questions.
	AutoMode string `json:"autoMode,omitempty"`
	// ReadMode is the ACP session mode that changes no files.
	ReadMode string `json:"readMode,omitempty"`
	// ReadEnv are further settings of a read-only turn, for a program whose ReadMode alone is not enough.
	ReadEnv []string `json:"readEnv,omitempty"`
	// Chats is the folder below the home folder with conversations that the program would lose without prepareChat.
	Chats string `json:"chats,omitempty"`
	// InstructionFile is the file with instructions in a repository that the program reads; empty: AGENTS.md.
	InstructionFile string `json:"instructionFile,omitempty"`
	// Unpriced says that the program never reports the cost of a turn. Other programs may report it or not.
	Unpriced bool `json:"unpriced,omitempty"`
	// Understates says that the program reports the usage of a turn's last step alone. So its usage never counts as
	// known.
	Understates bool `json:"understates,omitempty"`
	// Experimental marks a provider whose failures cannot be distinguished from answers with certainty.
	Experimental bool `json:"experimental,omitempty"`
	// State are the program's folders below the home folder that each workspace with a Sandbox keeps, so that the
	// program can resume conversations. If Account is empty, they begin as a copy of the server's folders.
	State []string `json:"state,omitempty"`
	// Config are the files and folders below the home folder with a person's configuration of the program. A Sandbox
	// shows those of the server's user, read-only.
	Config []string `json:"config,omitempty"`

	// User is the user that the program and its children run as. The program is configured and signed in in the home of
	// this user. nil: the server's user.
	User *runas.User `json:"-"`
}

// MCPServer is a tool server that the agent may use: a program (Command) or an address (URL).
type MCPServer struct {
	Name    string            `json:"name"`
	Command string            `json:"command,omitempty"`
	Args    []string          `json:"args,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	URL     string            `json:"url,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
}

// Limits bound what the processes of a turn use together; 0: no limit. They are checked twice a second, on Linux alone.
// A turn that exceeds one is ended and fails.
type Limits struct {
	Processes int
	Memory    int64 // bytes
	Disk      int64 // bytes of existing files that the turn has written
	// FreeDisk is what is to be free on the disk of Turn.RunDir, in bytes. Where less is, a turn that has written much
	// ends. A small disk has less: see LacksDiskSpace.
	FreeDisk int64
}

// bounds are the limits of one turn, with the folders that it writes to.
type bounds struct {
	Limits
	Grace int64 // milliseconds between SIGTERM and SIGKILL
	User  *runas.User
	Own   []string // folders of this turn alone; the first is on the disk of Limits.FreeDisk
	// folders that others write to as well: they are searched when the turn has written as much as it may
	Shared []string
}

// bounds gives the folders that the turn writes to. Without a sandbox it may write elsewhere too.
func (r *run) bounds() bounds {
	b := bounds{Limits: r.Limits, Own: []string{r.RunDir, r.Dir}}
	if r.sandbox != nil {
		if r.sandbox.Home != "" {
			b.Shared = append(b.Shared, r.sandbox.Home)
		}
		for _, m := range r.sandbox.Repository {
			if m.Writable && m.Path != r.Dir { // the following ones are within it
				b.Shared = append(b.Shared, m.Path)
				break
			}
		}
	}
	return b
}

// Turn is one prompt with its settings.
type Turn struct {
	Dir          string // the worktree; must exist
	Prompt       string // for the shell driver the script, with its placeholders
	Instructions string // added to the agent's own system prompt
	Model        string // the provider's own name; empty is the provider's default
	Resume       string // Result.Conversation of an earlier turn; empty starts a new one

	Params map[string]string // values of the placeholders; shell driver only
	Env    []string          // KEY=VALUE of the workspace
	MCP    []MCPServer

	ReadOnly     bool     // the agent may read and not change; only a Sandbox can enforce this for a script
	AllowedTools []string // tools that a read-only turn may use without asking, by the provider's names

	FormerUsage transcript.Usage // usage of the resumed conversation before this turn

	// MaxUSD bounds the cost of the turn in US dollars, for agents that enforce such a bound; nil: no limit. They check
	// it after each step, so a turn may exceed it by the cost of one step.
	MaxUSD *float64

	// Now gives the time for texts such as "try again in a minute"; nil: the machine's time.
	Now func() time.Time

	Timeout time.Duration // of the whole turn; 0 is none
	Idle    time.Duration // without any output; 0 is none

	// RunDir is an existing folder of this run alone, outside the worktree. Run writes the script, the configuration of
	// tools and TMPDIR there. The caller removes the folder.
	RunDir  string
	Sandbox *Sandbox // nil runs without one
	Limits  Limits   // of the turn's processes together

	// OnUsage is called with the turn's usage so far whenever the agent reports it; may be nil. It must not block. The
	// final usage may be greater.
	OnUsage func(transcript.Usage)

	// HasWorked reports whether the agent has done anything that its events do not show, such as changing a file. It is
	// called when the agent ends without an answer, which is a failure if the agent has done nothing; nil: it has done
	// nothing.
	HasWorked func() bool

	allVendors bool // the keys of all vendors are passed on, to list all models

	renewTimeout time.Duration // of another program's renewal of a sign-in; 0: the default

	grace time.Duration // between SIGTERM and SIGKILL; 0 is five seconds

	afterFunc func(time.Duration, func()) timer // times Idle; nil is time.AfterFunc
}

func (t *Turn) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}

// timer is a *time.Timer that calls a function.
type timer interface {
	Stop() bool
	Reset(time.Duration) bool
}

// Result is the result of a turn. With an error it has what was known until then.
type Result struct {
	Conversation string           // for Turn.Resume; empty where the driver cannot resume
	Text         string           // the final answer; of the shell driver the end of its standard output
	Usage        transcript.Usage // of this turn alone
	ExitCode     int
	Stop         string // the agent's word for why it ended, such as end_turn
}

// The kinds of Failure. FailStart, FailAuth and FailModel are errors of the configuration: Fix says what to do.
// FailRateLimit and FailTransient may pass by themselves.
const (
	FailStart     = "start"      // the program could not be started
	FailAuth      = "auth"       // not signed in, or refused
	FailModel     = "model"      // no such model
	FailRateLimit = "rate_limit" // too many requests, or a quota is used up; RetryAt if known
	FailTransient = "transient"  // the vendor's servers failed
	FailContext   = "context"    // the conversation is too long for the model
	// the agent does not know the conversation of Turn.Resume; wraps ErrUnknownConversation
	FailUnknown    = "unknown"
	FailAgent      = "agent"      // the task itself failed: an exit status, an error of the agent
	FailPermission = "permission" // the agent was not allowed what it needed
	FailTimeout    = "timeout"    // Turn.Timeout
	FailIdle       = "idle"       // Turn.Idle
	FailBudget     = "budget"     // Turn.MaxUSD
	FailCanceled   = "canceled"   // the context given to Run ended
)

// Failure says why a turn failed, as texts for a person. For a canceled turn errors.Is finds the context's cause.
type Failure struct {
	Kind     string
	Reason   string
	Fix      string    // what to do about it; may be empty
	RetryAt  time.Time // when to try again, if the agent reported it
	ExitCode int
	Cause    error
}

func (f *Failure) Error() string { return f.Reason }

func (f *Failure) Unwrap() error { return f.Cause }

// ErrUnknownConversation is wrapped by a Failure if the agent does not know the conversation of Turn.Resume. The turn
// has done nothing. A turn without Turn.Resume begins a new conversation.
var ErrUnknownConversation = errors.New("the agent does not know the conversation")

// maxRetryDelay bounds the time of a retry that an agent reports.
const maxRetryDelay = 31 * 24 * time.Hour

var (
	errTimeout = errors.New("timed out")
	errIdle    = errors.New("no output")
)

// Run runs one turn and returns when all processes that it started have ended. It calls emit for each event, one at a
// time, and not after it has returned. The error is a *Failure. To stop a turn, cancel ctx: the failure is then
// FailCanceled and wraps context.Cause(ctx).
func Run(ctx context.Context, p Provider, t Turn, emit func(transcript.Event)) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{Provider: p, Turn: t, emitTo: emit, touch: func() {}, lastConversation: t.Resume}
	if r.grace == 0 {
		r.grace = 5 * time.Second
	}
	if t.Timeout > 0 {
		timer := time.AfterFunc(t.Timeout, func() { cancel(errTimeout) })
		defer timer.Stop()
	}
	if t.Idle > 0 {
		if t.afterFunc == nil {
			t.afterFunc = func(d time.Duration, f func()) timer { return time.AfterFunc(d, f) }
		}
		timer := t.afterFunc(t.Idle, func() { cancel(errIdle) })
		defer timer.Stop()
		r.touch = func() { timer.Reset(t.Idle) }
	}
	if ctx.Err() != nil {
		return Result{}, r.stoppedFailure(ctx)
	}
	defer r.closeSignIn()
	if err := r.prepare(); err != nil {
		return Result{}, &Failure{Kind: FailStart, Reason: err.Error(), Cause: err}
	}
	defer func() {
		if r.uncover != nil {
			r.uncover()
		}
	}()
	if err := r.guardRepository(); err != nil {
		return Result{}, err
	}
	signedIn := r.syncSignIn(ctx)
	res, err := r.drive(ctx)
	signedIn()
	if r.exceeded != "" && ctx.Err() == nil {
		err = &Failure{
			Kind: FailAgent, Reason: r.exceeded,
			Fix: "Let it do less at once, or ask an administrator for a higher limit.",
		}
		if r.diskFull {
			err = &Failure{Kind: FailTransient, Reason: r.exceeded, Fix: "Ask an administrator to make room."}
		}
	}
	r.stopEvents()
	res.Text, res.Conversation = Clean(res.Text), Clean(res.Conversation)
	if p.Understates {
		res.Usage.Known, res.Usage.CostKnown = false, false
	}
	if err == nil && p.Driver != DriverShell && strings.TrimSpace(res.Text) == "" && !r.hasWorked() &&
		(t.HasWorked == nil || !t.HasWorked()) {
		err = &Failure{Kind: FailTransient, Reason: "the agent answered nothing"}
	}
	if err == nil {
		return res, nil
	}
	var f *Failure
	if !errors.As(err, &f) {
		f = &Failure{Kind: FailAgent, Reason: err.Error(), Cause: err}
	}
	f.Reason, f.ExitCode = Clean(f.Reason), res.ExitCode
	if f.RetryAt.Sub(r.now()) > maxRetryDelay {
		f.RetryAt = time.Time{}
	}
	return res, f
}

// run is one turn under way.
type run struct {
	Provider
	Turn
	touch            func() // is called when the agent sends something
	lastConversation string // the last conversation that was reported
	mu               sync.Mutex
	emitTo           func(transcript.Event)
	hasOutput        bool     // the agent sent text or called a tool
	sandbox          *Sandbox // of the turn, prepared
	exceeded         string   // the limit that the turn exceeded
	diskFull         bool     // the disk had too little free space
	account          *account // of the sandbox; nil: none is shared
	masked           []string // files of the repository that the sandbox hides
	ignored          string   // a file that lists the masked files for Git
	uncover          func()   // undoes that Git treats the masked files as unchanged; may be nil
	pins             []string // variables that are set to empty values unless somebody sets them
}

func (r *run) drive(ctx context.Context) (Result, error) {
	switch r.Driver {
	case DriverShell:
		return r.runShell(ctx)
	case DriverACP:
		return r.runACP(ctx)
	case DriverClaude:
		return r.runClaude(ctx)
	case DriverCodex:
		return r.runCodex(ctx)
	}
	return Result{}, &Failure{Kind: FailStart, Reason: fmt.Sprintf("%s has the unknown driver %q", r.Name, r.Driver)}
}

func (r *run) prepare() error {
	if len(r.Command) == 0 {
		return fmt.Errorf("%s has no command", r.Name)
	}
	if !filepath.IsAbs(r.RunDir) || !filepath.IsAbs(r.Dir) {
		return fmt.Errorf("the folders of the run are not absolute: %q, %q", r.RunDir, r.Dir)
	}
	if info, err := os.Stat(r.Dir); err != nil || !info.IsDir() {
		return fmt.Errorf("the worktree %s is not there", r.Dir)
	}
	if err := os.MkdirAll(filepath.Join(r.RunDir, tempFolder), 0o700); err != nil {
		return fmt.Errorf("folder of the run: %w", err)
	}
	if err := os.Chmod(r.RunDir, 0o700); err != nil {
		return fmt.Errorf("folder of the run: %w", err)
	}
	// The folder has the files of the next message, so the agent's user may traverse it but not list or change it.
	err := errors.Join(r.User.Pass(r.RunDir), r.User.Own(filepath.Join(r.RunDir, tempFolder)))
	if err != nil {
		return fmt.Errorf("folder of the run: %w", err)
	}
	return r.prepareBox()
}

// used reports the turn's usage so far.
func (r *run) used(u transcript.Usage) {
	if r.OnUsage != nil {
		r.OnUsage(u)
	}
}

// emit cleans an event and passes it on, one at a time.
func (r *run) emit(e transcript.Event) {
	e.Text, e.ID = Clean(e.Text), Clean(e.ID)
	if e.Tool != nil {
		cleanTool(e.Tool)
		if r.Dir != "" { // the path of the worktree is meaningless to readers
			e.Tool.Title = strings.ReplaceAll(e.Tool.Title, strings.TrimSuffix(r.Dir, "/")+"/", "")
		}
	}
	for i := range e.Plan {
		e.Plan[i].Text, e.Plan[i].State = Clean(e.Plan[i].Text), Clean(e.Plan[i].State)
	}
	if len(e.Raw) > maxRaw {
		e.Raw = nil
	}
	e.Raw = cleanJSON(e.Raw)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.emitTo == nil {
		return
	}
	r.hasOutput = r.hasOutput || e.Kind == transcript.KindTool || e.Kind == transcript.KindText &&
		strings.TrimSpace(e.Text) != ""
	r.emitTo(e)
}

// hasWorked reports whether the agent sent text or called a tool.
func (r *run) hasWorked() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hasOutput
}

// conversation emits the id of the conversation if it is new.
func (r *run) conversation(id string) {
	if id = Clean(id); id != "" && id != r.lastConversation {
		r.lastConversation = id
		r.emit(transcript.Event{Kind: transcript.KindConversation, ID: id})
	}
}

// unknownConversation is the failure of a turn whose agent does not know the conversation.
func (r *run) unknownConversation(words string) *Failure {
	return &Failure{Kind: FailUnknown, Reason: fmt.Sprintf("%s does not know the conversation any more: %s", r.Name,
		shorten(words)), Cause: ErrUnknownConversation,
		Fix: "Start a new session."}
}

// stopEvents stops the events: a driver's last goroutine may still have one.
func (r *run) stopEvents() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emitTo = nil
}

// warn emits a warning for readers of the transcript, without raw JSON and without paths of the server.
func (r *run) warn(format string, args ...any) {
	r.emit(transcript.Event{
		Kind: transcript.KindWarning, Text: r.withoutPaths(plainError(fmt.Sprintf(format, args...))),
	})
}

// withoutPaths rewrites paths of the server for readers: those in the worktree become relative to the repository, those
// in the home of the server's user begin with ~, and those in RunDir lose the folders above it.
func (r *run) withoutPaths(text string) string {
	var pairs []string
	if r.Dir != "" {
		pairs = append(pairs, filepath.Clean(r.Dir)+"/", "", filepath.Clean(r.Dir), "the worktree")
	}
	if r.RunDir != "" {
		pairs = append(pairs, filepath.Clean(r.RunDir)+"/", "")
	}
	if home, err := r.User.HomeDir(); err == nil && len(home) > 1 {
		pairs = append(pairs, filepath.Clean(home)+"/", "~/")
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// stoppedFailure is the failure of a turn that was stopped: by a timeout, by silence or by its context.
func (r *run) stoppedFailure(ctx context.Context) *Failure {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errTimeout):
		return &Failure{
			Kind: FailTimeout, Reason: "stopped after " + r.Timeout.String() + ", the limit of the run", Cause: cause,
		}
	case errors.Is(cause, errIdle):
		return &Failure{Kind: FailIdle, Reason: "stopped after " + r.Idle.String() + " without any output",
			Cause: cause,
			Fix: "Some agents try a server that refuses them again and again without a word. The provider's Test " +
				"shows whether it answers."}
	case errors.Is(cause, context.Canceled):
		return &Failure{Kind: FailCanceled, Reason: "canceled", Cause: cause}
	default:
		return &Failure{Kind: FailCanceled, Reason: "canceled: " + cause.Error(), Cause: cause}
	}
}

// tempFolder is the folder for temporary files in Turn.RunDir.
const tempFolder = "tmp"

// write writes a file into the run's folder, readable by nobody else, and returns its path.
func (r *run) write(name string, content []byte) (string, error) {
	path := filepath.Join(r.RunDir, name)
	if err := errors.Join(os.WriteFile(path, content, 0o600), r.User.Read(path)); err != nil {
		return "", &Failure{Kind: FailStart, Reason: "folder of the run: " + err.Error(), Cause: err}
	}
	return path, nil
}
