// Package agent runs coding agents as child processes behind one interface. It knows nothing of
// automations: it is given a prompt and a folder, and it hands back events and an end.
//
// Every child runs under a small parent of its own (see MaybeShim), so that Run returns only when
// nothing that it started is alive, and so that a killed server leaves no agent behind.
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

// The drivers: the ways to speak with a provider's program.
const (
	DriverShell  = "shell"  // the prompt is a bash script
	DriverACP    = "acp"    // the Agent Client Protocol over stdin and stdout
	DriverClaude = "claude" // claude -p with a stream of JSON lines
	DriverCodex  = "codex"  // codex exec --json
)

// Provider is a way to run a coding agent. It is data: Catalogue has the known ones, and an
// administrator may change them or add some of the acp driver.
type Provider struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Driver string `json:"driver"`
	// Command is the program and its fixed arguments. A program without a slash is looked up in PATH.
	Command []string `json:"command"`
	// Install is shown where the program is not found.
	Install string `json:"install,omitempty"`
	// SignIn tells how the program gets its account.
	SignIn string `json:"signIn,omitempty"`
	// Account is the file, below the home folder, in which the program keeps its sign-in; empty where that is not
	// known.
	Account string `json:"account,omitempty"`
	// Keys are the environment variables by which the program signs in. They are passed on.
	Keys []string `json:"keys,omitempty"`
	// PassEnv are further variables of the server passed on; a name ending in * is a prefix.
	PassEnv []string `json:"passEnv,omitempty"`
	// SetEnv are KEY=VALUE settings for the program.
	SetEnv []string `json:"setEnv,omitempty"`
	// Models are offered when the program cannot list its own.
	Models []string `json:"models,omitempty"`
	// VendorKeys are, of a program that speaks with many vendors, those of Keys that are one vendor's, by the word
	// before the slash in a model's name. A turn gets those of the vendor of its model alone.
	VendorKeys map[string][]string `json:"vendorKeys,omitempty"`
	// KeysWhere are those of Keys that are passed on only where another variable is set: that a cloud is to be used.
	KeysWhere map[string][]string `json:"keysWhere,omitempty"`
	// HoldEnv are KEY=VALUE settings of the program that nothing else changes, neither a variable of the server nor one
	// of a workspace: by them it leaves the configuration that a repository brings.
	HoldEnv []string `json:"holdEnv,omitempty"`
	// PinEnv are variables that are empty where nobody sets them, so that no file of a repository does.
	PinEnv []string `json:"pinEnv,omitempty"`
	// DotEnv are files of a repository from which the program takes variables. What steers a program is pinned as
	// PinEnv.
	DotEnv []string `json:"dotEnv,omitempty"`
	// Obeys are files and folders of a repository by which the program runs something or speaks to another server, and
	// which it cannot be told to leave. The sandbox hides them; without one a turn is refused where they are.
	Obeys []string `json:"obeys,omitempty"`
	// Unread says that the program does not read InstructionFile of a repository by itself, as it is started: the
	// caller hands it over in Turn.Instructions.
	Unread bool `json:"unread,omitempty"`
	// Asks says that the program asks before each change, so that a turn that changes nothing refuses them.
	Asks bool `json:"asks,omitempty"`
	// AutoMode is the ACP session mode that asks no questions.
	AutoMode string `json:"autoMode,omitempty"`
	// ReadMode is the ACP session mode that changes no files.
	ReadMode string `json:"readMode,omitempty"`
	// ReadEnv are further settings of a turn that changes no files, of a program whose ReadMode alone does not keep it
	// from that.
	ReadEnv []string `json:"readEnv,omitempty"`
	// Chats is the folder, below the home folder, in which a program keeps conversations that it would lose without
	// keepChat.
	Chats string `json:"chats,omitempty"`
	// InstructionFile is what the program reads by itself in a repository; empty is AGENTS.md.
	InstructionFile string `json:"instructionFile,omitempty"`
	// Unpriced says that the program never tells what a turn costs. Of others nobody can say beforehand.
	Unpriced bool `json:"unpriced,omitempty"`
	// Understates says that the program tells of a turn what its last step used alone. The numbers are less than the
	// truth then, so its usage never counts as known.
	Understates bool `json:"understates,omitempty"`
	// Experimental marks a provider whose failures cannot be told from answers with certainty.
	Experimental bool `json:"experimental,omitempty"`
	// State are the program's own folders below the home folder that each workspace with a Sandbox keeps: what it needs
	// to go on with its conversations. Where Account is empty they begin as a copy of the server's own.
	State []string `json:"state,omitempty"`
	// Config are the files and folders below the home folder by which a person configures the program. A Sandbox shows
	// those of the server's user, read-only.
	Config []string `json:"config,omitempty"`

	// User is whom the program runs as, with all that it starts. Its home is the one in which it is configured and
	// signed in. nil: the server's own.
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

// Limits are what the processes of a turn may use together, looked at twice a second; 0 is no limit. A turn that uses
// more is ended, and fails. Only Linux can do it.
type Limits struct {
	Processes int
	Memory    int64 // bytes
	Disk      int64 // bytes of files that are there, of those that the turn wrote
	// Room is what is to be free on the disk of Turn.RunDir, in bytes. Where less is, a turn that has written much
	// ends. A small disk has less: see LacksRoom.
	Room int64
}

// bounds are the limits of one turn, with the folders in which it writes.
type bounds struct {
	Limits
	Grace  int64 // milliseconds between SIGTERM and SIGKILL
	User   *runas.User
	Own    []string // its own, the first of them on the disk that is to have Limits.Room
	Shared []string // in which others write too: looked through where the turn itself has written as much as it may
}

// bounds tells where the turn writes. Without a sandbox it may write elsewhere too.
func (r *run) bounds() bounds {
	b := bounds{Limits: r.Limits, Own: []string{r.RunDir, r.Dir}}
	if r.box != nil {
		if r.box.Home != "" {
			b.Shared = append(b.Shared, r.box.Home)
		}
		for _, m := range r.box.Repository {
			if m.Writable && m.Path != r.Dir { // what follows lies in it
				b.Shared = append(b.Shared, m.Path)
				break
			}
		}
	}
	return b
}

// Turn is one prompt and what surrounds it.
type Turn struct {
	Dir          string // the worktree; must exist
	Prompt       string // for the shell driver the script, with its placeholders
	Instructions string // added to the agent's own system prompt
	Model        string // the provider's own name; empty is the provider's default
	Resume       string // Result.Conversation of an earlier turn; empty starts a new one

	Params map[string]string // values of the placeholders; shell driver only
	Env    []string          // KEY=VALUE of the workspace
	MCP    []MCPServer

	ReadOnly     bool     // the agent may look, not change; of a script only the Sandbox can make it so
	AllowedTools []string // what a read-only turn may use without asking; names of the provider

	Spent transcript.Usage // what the resumed conversation has used so far

	// MostUSD is what the turn may cost, of agents that hold themselves to that; nil is no limit. They look after each
	// step, so a turn may cost that of one step more.
	MostUSD *float64

	// Now is the time from which "try again in a minute" counts; nil is that of the machine.
	Now func() time.Time

	Timeout time.Duration // of the whole turn; 0 is none
	Idle    time.Duration // without any output; 0 is none

	// RunDir is an existing folder of this run alone, outside the worktree. Run puts the script,
	// the tool configuration and TMPDIR there; the caller removes it.
	RunDir  string
	Sandbox *Sandbox // nil runs without one
	Limits  Limits   // what the turn's processes may use together

	// Used is told what the turn has used so far, whenever the agent says something about it; nil: nobody asks. It must
	// not block. What the turn has used in the end may be more.
	Used func(transcript.Usage)

	// Worked reports whether the agent has done anything that its events do not tell, such as change a file. It is
	// asked where the agent ends without an answer, which is a failure if it has done nothing; nil: it has not.
	Worked func() bool

	allVendors bool // the keys of all vendors are passed on: to list the models of all

	renewPatience time.Duration // for another's renewal of a sign-in; 0 is the usual one

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

// Result is the end of a turn. Beside an error it holds what was known by then.
type Result struct {
	Conversation string           // for Turn.Resume; empty where the driver cannot resume
	Text         string           // the final answer; of the shell driver the end of its standard output
	Usage        transcript.Usage // of this turn alone
	ExitCode     int
	Stop         string // the agent's word for why it ended, such as end_turn
}

// The kinds of Failure. FailStart, FailAuth and FailModel are faults of the configuration: Fix says
// what to do. FailRateLimit and FailTransient may pass by themselves.
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
	FailBudget     = "budget"     // Turn.MostUSD
	FailCanceled   = "canceled"   // the context given to Run ended
)

// Failure is why a turn failed, in words for a person. Of a canceled turn errors.Is finds the
// context's cause.
type Failure struct {
	Kind     string
	Reason   string
	Fix      string    // what to do about it; may be empty
	RetryAt  time.Time // when to try again, if the agent told
	ExitCode int
	Cause    error
}

func (f *Failure) Error() string { return f.Reason }

func (f *Failure) Unwrap() error { return f.Cause }

// ErrUnknownConversation is what a Failure wraps where the agent does not know the conversation that it was to go on
// with. The turn has done nothing: another without Turn.Resume begins anew.
var ErrUnknownConversation = errors.New("the agent does not know the conversation")

// longestWait is how far ahead an agent is believed about when to try again.
const longestWait = 31 * 24 * time.Hour

var (
	errTimeout = errors.New("timed out")
	errIdle    = errors.New("no output")
)

// Run runs one turn and returns when nothing that it started is alive. It calls emit for each event,
// one at a time, and not after it returned. The error is a *Failure. To stop a turn, cancel ctx: the
// failure is then FailCanceled and wraps context.Cause(ctx).
func Run(ctx context.Context, p Provider, t Turn, emit func(transcript.Event)) (Result, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{Provider: p, Turn: t, emitTo: emit, touch: func() {}, named: t.Resume}
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
		return Result{}, r.stopped(ctx)
	}
	defer r.forgetSignIn()
	if err := r.prepare(); err != nil {
		return Result{}, &Failure{Kind: FailStart, Reason: err.Error(), Cause: err}
	}
	defer func() {
		if r.uncover != nil {
			r.uncover()
		}
	}()
	if err := r.guarded(); err != nil {
		return Result{}, err
	}
	signedIn := r.keepSignIn(ctx)
	res, err := r.drive(ctx)
	signedIn()
	if r.over != "" && ctx.Err() == nil {
		err = &Failure{
			Kind: FailAgent, Reason: r.over, Fix: "Let it do less at once, or ask an administrator for a higher limit.",
		}
		if r.lacked {
			err = &Failure{Kind: FailTransient, Reason: r.over, Fix: "Ask an administrator to make room."}
		}
	}
	r.silence()
	res.Text, res.Conversation = Clean(res.Text), Clean(res.Conversation)
	if p.Understates {
		res.Usage.Known, res.Usage.CostKnown = false, false
	}
	if err == nil && p.Driver != DriverShell && strings.TrimSpace(res.Text) == "" && !r.hasWorked() &&
		(t.Worked == nil || !t.Worked()) {
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
	if f.RetryAt.Sub(r.now()) > longestWait {
		f.RetryAt = time.Time{}
	}
	return res, f
}

// run is one turn under way.
type run struct {
	Provider
	Turn
	touch   func() // tells that the agent said something
	named   string // the conversation that was told last
	mu      sync.Mutex
	emitTo  func(transcript.Event)
	worked  bool     // it said something, or called a tool
	box     *Sandbox // the turn's, prepared
	over    string   // which limit the turn went over
	lacked  bool     // the disk had no room left
	account *account // of the sandbox; nil: it shares none
	masked  []string // files of the repository that the sandbox hides
	ignored string   // a file that lists them for Git
	uncover func()   // ends that Git takes them for unchanged; nil: it does not
	pins    []string // variables that are empty where nobody sets them
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
	if err := os.MkdirAll(filepath.Join(r.RunDir, temporary), 0o700); err != nil {
		return fmt.Errorf("folder of the run: %w", err)
	}
	if err := os.Chmod(r.RunDir, 0o700); err != nil {
		return fmt.Errorf("folder of the run: %w", err)
	}
	// The files of the next message lie there: the user goes through it, and can neither list nor change it.
	err := errors.Join(r.User.Pass(r.RunDir), r.User.Own(filepath.Join(r.RunDir, temporary)))
	if err != nil {
		return fmt.Errorf("folder of the run: %w", err)
	}
	return r.prepareBox()
}

// used tells what the turn has used so far.
func (r *run) used(u transcript.Usage) {
	if r.Used != nil {
		r.Used(u)
	}
}

// emit hands on an event, cleaned, one at a time.
func (r *run) emit(e transcript.Event) {
	e.Text, e.ID = Clean(e.Text), Clean(e.ID)
	if e.Tool != nil {
		cleanTool(e.Tool)
		if r.Dir != "" { // where the worktree lies tells nobody anything
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
	r.worked = r.worked || e.Kind == transcript.KindTool || e.Kind == transcript.KindText &&
		strings.TrimSpace(e.Text) != ""
	r.emitTo(e)
}

// hasWorked reports whether the agent said something or called a tool.
func (r *run) hasWorked() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.worked
}

// conversation tells the name of the conversation, where it is new.
func (r *run) conversation(id string) {
	if id = Clean(id); id != "" && id != r.named {
		r.named = id
		r.emit(transcript.Event{Kind: transcript.KindConversation, ID: id})
	}
}

// unknownConversation is the failure of a turn whose agent does not know the conversation.
func (r *run) unknownConversation(words string) *Failure {
	return &Failure{Kind: FailUnknown, Reason: fmt.Sprintf("%s does not know the conversation any more: %s", r.Name,
		shorten(words)), Cause: ErrUnknownConversation,
		Fix: "Start a new session."}
}

// silence ends the events: a driver's last goroutine may still hold one.
func (r *run) silence() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emitTo = nil
}

// warn tells a reader of the transcript something, without raw JSON and without paths of the server.
func (r *run) warn(format string, args ...any) {
	r.emit(transcript.Event{Kind: transcript.KindWarning, Text: r.withoutPaths(plain(fmt.Sprintf(format, args...)))})
}

// withoutPaths writes the paths of the server as a reader knows them: those of the worktree as they are in the
// repository, those of the server's user below ~, and those of the run without the folders around it.
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

// stopped is the failure of a turn that was ended from outside.
func (r *run) stopped(ctx context.Context) *Failure {
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

// temporary is the folder for temporary files in Turn.RunDir.
const temporary = "tmp"

// write puts a file of the run into its folder, readable by nobody else, and returns its path.
func (r *run) write(name string, content []byte) (string, error) {
	path := filepath.Join(r.RunDir, name)
	if err := errors.Join(os.WriteFile(path, content, 0o600), r.User.Read(path)); err != nil {
		return "", &Failure{Kind: FailStart, Reason: "folder of the run: " + err.Error(), Cause: err}
	}
	return path, nil
}
