package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"carillon/app/transcript"
)

// codexLine is a line of codex exec --json. Unknown fields are ignored.
type codexLine struct {
	Type     string `json:"type"`
	ThreadID string `json:"thread_id"`
	Message  string `json:"message"`
	Error    *struct {
		Message string `json:"message"`
	} `json:"error"`
	Item  *codexItem `json:"item"`
	Usage *struct {
		Input      int64 `json:"input_tokens"` // with the cached ones
		CacheRead  int64 `json:"cached_input_tokens"`
		CacheWrite int64 `json:"cache_write_input_tokens"`
		Output     int64 `json:"output_tokens"`
	} `json:"usage"`
}

type codexItem struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Text    string `json:"text"`
	Message string `json:"message"`
	Status  string `json:"status"`

	Command  string `json:"command"`
	Output   string `json:"aggregated_output"`
	ExitCode *int   `json:"exit_code"`

	Changes []struct {
		Path string `json:"path"`
		Kind string `json:"kind"`
	} `json:"changes"`

	Server    string          `json:"server"`
	Tool      string          `json:"tool"`
	Arguments json.RawMessage `json:"arguments"`
	Result    *struct {
		Content json.RawMessage `json:"content"`
	} `json:"result"`
	Error *struct {
		Message string `json:"message"`
	} `json:"error"`

	Query string `json:"query"`
	Items []struct {
		Text      string `json:"text"`
		Completed bool   `json:"completed"`
	} `json:"items"`
}

// codexTurn is a turn of codex under way.
type codexTurn struct {
	*run
	thread, answer, lastError string // lastError may be followed by a success
	failed                    string
	total                     *transcript.Usage
}

func (r *run) runCodex(ctx context.Context) (Result, error) {
	argv, env, err := r.codexCommand()
	if err != nil {
		return Result{}, err
	}
	c := &codexTurn{run: r, thread: r.Resume}
	end, stderr, err := r.stream(ctx, argv, env, r.Prompt, c.line)
	res := Result{Conversation: c.thread, Text: c.answer, ExitCode: end.Exit, Usage: r.codexUsage(c.total)}
	now := r.now()
	switch {
	case err != nil:
		return res, err
	case ctx.Err() != nil && end.Asked:
		return res, r.stoppedFailure(ctx)
	case c.failed != "":
		return res, r.failure(errorReport{text: c.failed}, now)
	case c.total != nil: // the result decides; a later exit status is only a warning
		if end.Exit != 0 {
			r.warn("%s ended with exit %d after its answer was complete.", r.Name, end.Exit)
		}
		res.Stop = "end_turn"
		return res, nil
	case c.lastError != "":
		return res, r.failure(errorReport{text: c.lastError}, now)
	}
	return res, r.exitFailure(end, stderr, now)
}

func (r *run) codexCommand() (argv, env []string, err error) {
	if err := r.checkResume(); err != nil {
		return nil, nil, err
	}
	argv = append(slices.Clone(r.Command), "exec", "--json", "--skip-git-repo-check")
	if r.ReadOnly {
		argv = append(argv, "--sandbox=read-only")
	} else {
		argv = append(argv, "--dangerously-bypass-approvals-and-sandbox")
	}
	if r.Model != "" {
		argv = append(argv, "--model="+r.Model)
	}
	if r.Instructions != "" {
		argv = append(argv, "-c", "developer_instructions="+toml(r.Instructions))
	}
	env = r.env()
	for i, s := range r.MCP {
		if !serverName.MatchString(s.Name) {
			return nil, nil,
				&Failure{
					Kind: FailStart,
					Reason: fmt.Sprintf("the tool server's name %q has other characters than letters, digits, - and _",
						s.Name),
				}
		}
		key := "mcp_servers." + s.Name
		if s.URL == "" {
			script, err := r.launcher(fmt.Sprintf("mcp-%d", i), s)
			if err != nil {
				return nil, nil, err
			}
			argv = append(argv, "-c", key+".command="+toml(script))
			continue
		}
		argv = append(argv, "-c", key+".url="+toml(s.URL))
		var headers []string
		for j, name := range slices.Sorted(maps.Keys(s.Headers)) {
			variable := fmt.Sprintf("MCP_HEADER_%d_%d", i, j)
			env = append(env, variable+"="+s.Headers[name])
			headers = append(headers, toml(name)+"="+toml(variable))
		}
		if len(headers) > 0 {
			argv = append(argv, "-c", key+".env_http_headers={"+strings.Join(headers, ",")+"}")
		}
	}
	if r.Resume != "" {
		argv = append(argv, "resume", r.Resume)
	}
	return append(argv, "-"), env, nil
}

var serverName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// toml encodes a basic string of TOML, which has JSON's escapes.
func toml(s string) string {
	b, _ := json.Marshal(strings.ReplaceAll(Clean(s), "\x7f", "")) // a string always is JSON
	return string(b)
}

// launcher writes a script that starts a tool server. Variables and arguments of the server may be secrets, and
// everyone can read a command line.
func (r *run) launcher(name string, s MCPServer) (string, error) {
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	var b strings.Builder
	b.WriteString("#!/bin/sh\n")
	for _, key := range slices.Sorted(maps.Keys(s.Env)) {
		if !variableName.MatchString(key) {
			return "", &Failure{
				Kind:   FailStart,
				Reason: fmt.Sprintf("the tool server %s has a variable with the name %q, which is none", s.Name, key),
			}
		}
		fmt.Fprintf(&b, "export %s=%s\n", key, quote(s.Env[key]))
	}
	b.WriteString("exec " + quote(s.Command))
	for _, arg := range s.Args {
		b.WriteString(" " + quote(arg))
	}
	path := filepath.Join(r.RunDir, name)
	if err := errors.Join(os.WriteFile(path, []byte(b.String()+"\n"), 0o700), r.User.Run(path)); err != nil {
		return "", &Failure{Kind: FailStart, Reason: "folder of the run: " + err.Error(), Cause: err}
	}
	return path, nil
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// codexUsage is the turn's usage. codex reports the sum over the thread, with cached tokens in the input.
func (r *run) codexUsage(total *transcript.Usage) transcript.Usage {
	if total == nil {
		return transcript.Usage{}
	}
	u := *total
	u.Input -= u.CacheRead + u.CacheWrite
	if s := r.FormerUsage; r.Resume != "" && s.Known && s.Input <= u.Input && s.CacheRead <= u.CacheRead &&
		s.Output <= u.Output {
		u.Input = u.Input - s.Input
		u.CacheRead = u.CacheRead - s.CacheRead
		u.CacheWrite = max(0, u.CacheWrite-s.CacheWrite)
		u.Output = u.Output - s.Output
	} else if r.Resume != "" && !s.Known {
		return transcript.Usage{} // the share of this turn is unknown
	}
	return u
}

func (c *codexTurn) line(raw []byte, _ func()) {
	var l codexLine
	if err := json.Unmarshal(raw, &l); err != nil {
		var wrong *json.UnmarshalTypeError
		if !errors.As(err, &wrong) {
			c.emit(transcript.Event{Kind: transcript.KindLog, Text: string(raw)})
			return
		}
	}
	switch l.Type {
	case "thread.started":
		if identifier.MatchString(l.ThreadID) {
			c.thread = l.ThreadID
			c.conversation(l.ThreadID)
		}
	case "error":
		c.lastError = l.Message
		c.warn("%s", l.Message) // codex also reports it while it tries again
	case "turn.failed":
		c.failed = "the turn failed"
		if l.Error != nil && l.Error.Message != "" {
			c.failed = l.Error.Message
		}
	case "turn.completed":
		c.total = &transcript.Usage{}
		if u := l.Usage; u != nil {
			c.total = &transcript.Usage{
				Known: true, Input: u.Input, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite, Output: u.Output,
			}
		}
	case "item.started", "item.updated", "item.completed":
		if l.Item != nil {
			c.item(*l.Item, l.Type == "item.completed", raw)
		}
	}
}

func (c *codexTurn) item(it codexItem, done bool, raw []byte) {
	e := transcript.Event{
		Kind: transcript.KindTool, ID: it.ID, Done: done, OK: done && it.Status != "failed" && it.Status != "declined",
		Raw: raw, Tool: &transcript.Tool{},
	}
	switch it.Type {
	case "agent_message":
		if done {
			c.answer = it.Text
			c.emit(transcript.Event{Kind: transcript.KindText, ID: it.ID, Text: it.Text})
		}
		return
	case "reasoning":
		if done {
			c.emit(transcript.Event{Kind: transcript.KindThought, ID: it.ID, Text: it.Text})
		}
		return
	case "error":
		c.warn("%s", it.Message)
		return
	case "todo_list":
		e = transcript.Event{Kind: transcript.KindPlan, ID: it.ID, Plan: []transcript.Step{}}
		for _, step := range it.Items {
			state := "pending"
			if step.Completed {
				state = "completed"
			}
			e.Plan = append(e.Plan, transcript.Step{Text: step.Text, State: state})
		}
	case "command_execution":
		input, _ := json.Marshal(map[string]string{"command": it.Command})
		first, _, _ := strings.Cut(it.Command, "\n")
		e.Tool = &transcript.Tool{
			Name: "shell", Kind: "execute", Title: shorten(first), Input: input, Result: it.Output,
		}
		e.OK = e.OK && (it.ExitCode == nil || *it.ExitCode == 0)
	case "file_change":
		var paths []string
		for _, change := range it.Changes {
			e.Tool.Edits = append(e.Tool.Edits, transcript.Edit{Path: change.Path, Action: change.Kind})
			paths = append(paths, change.Path)
		}
		e.Tool.Name, e.Tool.Kind, e.Tool.Title = "apply_patch", "edit", "Change "+shorten(strings.Join(paths, ", "))
	case "mcp_tool_call":
		e.Tool = &transcript.Tool{
			Name: it.Server + "." + it.Tool, Kind: "other", Title: it.Server + "." + it.Tool, Input: it.Arguments,
		}
		if it.Result != nil {
			e.Tool.Result = contentText(it.Result.Content)
		}
		if it.Error != nil {
			e.Tool.Result, e.OK = it.Error.Message, false
		}
	case "web_search":
		e.Tool = &transcript.Tool{Name: "web_search", Kind: "fetch", Title: "Search " + shorten(it.Query)}
	default:
		e = transcript.Event{Kind: transcript.KindLog, ID: it.ID, Text: it.Type, Raw: raw}
	}
	if e.Tool != nil {
		e.Text = e.Tool.Title
	}
	c.emit(e)
}
