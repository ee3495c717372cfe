package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"carillon/app/transcript"
)

// claudeLine is a line of claude's stream. Unknown fields are ignored.
type claudeLine struct {
	Type      string          `json:"type"`
	Subtype   string          `json:"subtype"`
	SessionID string          `json:"session_id"`
	Parent    string          `json:"parent_tool_use_id"` // set inside a subagent
	Message   json.RawMessage `json:"message"`
	APIError  bool            `json:"is_api_error_message"`

	// system: api_retry, permission_denied
	Attempt     int    `json:"attempt"`
	MaxRetries  int    `json:"max_retries"`
	ErrorStatus int    `json:"error_status"`
	Error       string `json:"error"`
	ToolName    string `json:"tool_name"`
	ToolUseID   string `json:"tool_use_id"`

	// user
	ToolUseResult json.RawMessage `json:"tool_use_result"`

	// result
	IsError    bool                   `json:"is_error"`
	Result     string                 `json:"result"`
	Errors     []string               `json:"errors"`
	APIStatus  int                    `json:"api_error_status"`
	Terminal   string                 `json:"terminal_reason"`
	StopReason string                 `json:"stop_reason"`
	TotalCost  *float64               `json:"total_cost_usd"`
	Usage      *claudeTokens          `json:"usage"`
	SinceLast  map[string]claudeModel `json:"model_usage_since_last_result"`
	ModelUsage map[string]claudeModel `json:"modelUsage"` // what TotalCost is for
}

// claudeModel is claude's usage of one model.
type claudeModel struct {
	Input      int64   `json:"inputTokens"`
	CacheRead  int64   `json:"cacheReadInputTokens"`
	CacheWrite int64   `json:"cacheCreationInputTokens"`
	Output     int64   `json:"outputTokens"`
	CostUSD    float64 `json:"costUSD"`
}

type claudeTokens struct {
	Input      int64 `json:"input_tokens"`
	CacheRead  int64 `json:"cache_read_input_tokens"`
	CacheWrite int64 `json:"cache_creation_input_tokens"`
	Output     int64 `json:"output_tokens"`
}

func (t claudeTokens) usage() transcript.Usage {
	return transcript.Usage{
		Known: true, Input: t.Input, CacheRead: t.CacheRead, CacheWrite: t.CacheWrite, Output: t.Output,
	}
}

type claudeBlock struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`
	Thinking  string          `json:"thinking"`
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Input     json.RawMessage `json:"input"`
	ToolUseID string          `json:"tool_use_id"`
	Content   json.RawMessage `json:"content"`
	IsError   bool            `json:"is_error"`
}

// claudeTurn is a turn of claude under way.
type claudeTurn struct {
	*run
	session   string
	edits     map[string][]transcript.Edit // of running tool calls
	steps     map[string]transcript.Usage  // by the model's answers; a line may report a part
	last      *claudeLine                  // the result
	refused   *claudeLine                  // the server refused the credentials
	errorName string                       // name of the last error that was sent as text of the model
}

func (r *run) runClaude(ctx context.Context) (Result, error) {
	argv, err := r.claudeCommand()
	if err != nil {
		return Result{}, err
	}
	env := r.env()
	if os.Geteuid() == 0 {
		env = append(env, "IS_SANDBOX=1") // without it root may not skip questions
	}
	c := &claudeTurn{
		run: r, session: r.Resume, edits: map[string][]transcript.Edit{}, steps: map[string]transcript.Usage{},
	}
	end, stderr, err := r.stream(ctx, argv, env, r.Prompt, c.line)
	res := Result{Conversation: c.session, ExitCode: end.Exit}
	if l := c.last; l != nil {
		res.Text, res.Stop, res.Usage = l.Result, l.StopReason, r.claudeUsage(l)
		if u := res.Usage; u.Input+u.CacheRead+u.CacheWrite+u.Output == 0 {
			// the result of a turn that ended early has no usage
			res.Usage = transcript.Usage{CostUSD: u.CostUSD, CostKnown: u.CostKnown}
		}
	}
	now := r.now()
	switch {
	case err != nil:
		return res, err
	case ctx.Err() != nil && end.Asked:
		return res, r.stoppedFailure(ctx)
	case c.refused != nil:
		return res, r.failure(errorReport{fmt.Sprintf("the model's server refused the sign-in (%d)",
			c.refused.ErrorStatus),
			c.refused.ErrorStatus, ""}, now)
	case c.last == nil:
		return res, r.exitFailure(end, stderr, now)
	case c.last.Subtype == "error_max_budget_usd":
		return res, &Failure{Kind: FailBudget, Reason: "what its budget leaves is used up"}
	case c.last.IsError || strings.HasPrefix(c.last.Subtype, "error"):
		text := strings.Join(append([]string{c.last.Result}, c.last.Errors...), " ")
		if strings.TrimSpace(text) == "" {
			text = strings.ReplaceAll(c.last.Subtype, "_", " ")
		}
		told := errorReport{text, c.last.APIStatus, c.last.Terminal}
		if errorNames[told.name] == "" {
			told.name = c.errorName
		}
		return res, r.failure(told, now)
	case end.Exit != 0: // the result decides; a later exit status is only a warning
		r.warn("%s ended with exit %d after its answer was complete.", r.Name, end.Exit)
	}
	return res, nil
}

func (r *run) claudeCommand() ([]string, error) {
	mode := "bypassPermissions"
	if r.ReadOnly {
		mode = "dontAsk" // refuses tools that are not allowed beforehand
	}
	if err := r.checkResume(); err != nil {
		return nil, err
	}
	// Settings and tool servers of the repository would run programs without a question, and could send the key to
	// another server. Without these settings claude does not read the repository's CLAUDE.md either: see
	// Provider.Unread.
	argv := append(slices.Clone(r.Command), "-p", "--output-format=stream-json", "--verbose", "--setting-sources=user",
		"--strict-mcp-config", "--permission-mode="+mode, `--settings={"disableAllHooks":true}`)
	if r.ReadOnly {
		argv = append(argv, "--allowedTools="+strings.Join(append([]string{"Read", "Grep", "Glob"}, r.AllowedTools...),
			","),
			"--disallowedTools=Write,Edit,MultiEdit,NotebookEdit")
	}
	if r.Model != "" {
		argv = append(argv, "--model="+r.Model)
	}
	if r.MaxUSD != nil { // for this call, without the earlier cost of a resumed conversation
		argv = append(argv, "--max-budget-usd="+strconv.FormatFloat(max(*r.MaxUSD, 1e-6), 'f', 6, 64))
	}
	if r.Resume != "" {
		argv = append(argv, "--resume="+r.Resume)
	}
	if r.Instructions != "" { // a resumed conversation does not keep them
		argv = append(argv, "--append-system-prompt="+r.Instructions)
	}
	if len(r.MCP) > 0 {
		config, err := json.Marshal(map[string]any{"mcpServers": claudeServers(r.MCP)})
		if err != nil {
			return nil, err
		}
		path, err := r.write("mcp.json", config) // it may contain secrets, and everyone can read a command line
		if err != nil {
			return nil, err
		}
		argv = append(argv, "--mcp-config="+path)
	}
	return argv, nil
}

func claudeServers(list []MCPServer) map[string]any {
	servers := map[string]any{}
	for _, s := range list {
		if s.URL != "" {
			servers[s.Name] = map[string]any{"type": "http", "url": s.URL, "headers": s.Headers}
		} else {
			servers[s.Name] = map[string]any{
				"type": "stdio", "command": s.Command, "args": append([]string{}, s.Args...), "env": s.Env,
			}
		}
	}
	return servers
}

// claudeUsage is the turn's usage. The tokens are those of the turn. The total cost is that of the conversation in some
// versions and that of the turn in others: a comparison with the models' tokens decides.
func (r *run) claudeUsage(l *claudeLine) transcript.Usage {
	var u transcript.Usage
	if l.Usage != nil {
		u = l.Usage.usage()
	}
	switch {
	case l.SinceLast != nil:
		u.CostKnown = true
		for _, m := range l.SinceLast {
			u.CostUSD += m.CostUSD
		}
	case l.TotalCost != nil:
		u.CostKnown, u.CostUSD = true, *l.TotalCost
		var counted transcript.Usage
		for _, m := range l.ModelUsage {
			counted = counted.Add(transcript.Usage{
				Input: m.Input, CacheRead: m.CacheRead, CacheWrite: m.CacheWrite, Output: m.Output,
			})
		}
		if r.Resume != "" && counted.Tokens() > u.Tokens() && counted.Tokens() >= u.Tokens()+r.FormerUsage.Tokens() &&
			r.FormerUsage.CostUSD <= u.CostUSD {
			u.CostUSD -= r.FormerUsage.CostUSD
		}
	}
	return u
}

func (c *claudeTurn) line(raw []byte, stop func()) {
	var l claudeLine
	if json.Unmarshal(raw, &l) != nil {
		c.emit(transcript.Event{Kind: transcript.KindLog, Text: string(raw)})
		return
	}
	if identifier.MatchString(l.SessionID) {
		c.session = l.SessionID
		c.conversation(l.SessionID)
	}
	switch l.Type {
	case "system":
		c.system(l, raw, stop)
	case "assistant":
		c.message(l, raw)
	case "user":
		c.results(l, raw)
	case "result":
		c.last = &l
	}
}

func (c *claudeTurn) system(l claudeLine, raw []byte, stop func()) {
	switch l.Subtype {
	case "api_retry":
		status := ""
		if l.ErrorStatus > 0 {
			status = fmt.Sprintf(" (%d)", l.ErrorStatus)
		}
		c.warn("The model's server failed%s; attempt %d of %d follows.", status, l.Attempt, l.MaxRetries)
		// claude tries a refused key again for minutes. One more attempt is enough for a token that was just renewed.
		if (l.ErrorStatus == 401 || l.ErrorStatus == 403) && l.Attempt > 1 {
			c.refused = &l
			stop()
		}
	case "permission_denied":
		c.emit(transcript.Event{
			Kind: transcript.KindPermission, ID: l.ToolUseID, Text: l.ToolName, Done: true, Raw: raw,
		})
	}
}

// usageSoFar is what the model's answers have used.
func (c *claudeTurn) usageSoFar() transcript.Usage {
	var sum transcript.Usage
	for _, step := range c.steps {
		sum = sum.Add(step)
	}
	return sum
}

// message emits the model's text and tool calls, and its usage.
func (c *claudeTurn) message(l claudeLine, raw []byte) {
	c.errorName = l.Error
	if l.APIError || l.Error != "" {
		return // the result repeats it
	}
	var m struct {
		ID      string          `json:"id"`
		Content json.RawMessage `json:"content"`
		Usage   *claudeTokens   `json:"usage"`
	}
	if json.Unmarshal(l.Message, &m) != nil {
		m.Content = l.Message
	}
	if m.Usage != nil && m.ID != "" {
		c.steps[m.ID] = m.Usage.usage()
		c.used(c.usageSoFar())
	}
	for _, b := range blocks(m.Content) {
		switch b.Type {
		case "text":
			kind := transcript.KindText
			if l.Parent != "" {
				kind = transcript.KindThought // a subagent's text is for the agent
			}
			c.emit(transcript.Event{Kind: kind, ID: m.ID, Text: b.Text})
		case "thinking":
			c.emit(transcript.Event{Kind: transcript.KindThought, ID: m.ID, Text: b.Thinking})
		case "tool_use", "server_tool_use", "mcp_tool_use":
			if steps := todos(b); steps != nil {
				c.emit(transcript.Event{Kind: transcript.KindPlan, ID: b.ID, Plan: steps})
			}
			c.edits[b.ID] = claudeEdits(b)
			c.emit(transcript.Event{Kind: transcript.KindTool, ID: b.ID, Text: claudeTitle(b), Raw: raw,
				Tool: &transcript.Tool{Name: b.Name, Kind: claudeKinds[b.Name], Title: claudeTitle(b), Input: b.Input}})
		}
	}
}

// results emits the ends of tool calls.
func (c *claudeTurn) results(l claudeLine, raw []byte) {
	var m struct {
		Content json.RawMessage `json:"content"`
	}
	if json.Unmarshal(l.Message, &m) != nil {
		return
	}
	var detail struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(l.ToolUseResult, &detail) // a string if there are no details
	for _, b := range blocks(m.Content) {
		if b.Type != "tool_result" {
			continue
		}
		tool := &transcript.Tool{Result: contentText(b.Content)}
		if !b.IsError {
			tool.Edits = c.edits[b.ToolUseID]
		}
		for i := range tool.Edits {
			if detail.Type == "create" {
				tool.Edits[i].Action = "add"
			}
		}
		delete(c.edits, b.ToolUseID)
		c.emit(transcript.Event{
			Kind: transcript.KindTool, ID: b.ToolUseID, Tool: tool, Done: true, OK: !b.IsError, Raw: raw,
		})
	}
}

// blocks reads a message's content, which is a list or a plain string.
func blocks(raw json.RawMessage) []claudeBlock {
	var list []claudeBlock
	if json.Unmarshal(raw, &list) == nil {
		return list
	}
	var text string
	if json.Unmarshal(raw, &text) == nil && text != "" {
		return []claudeBlock{{Type: "text", Text: text}}
	}
	return nil
}

// contentText joins the text of a tool's result.
func contentText(raw json.RawMessage) string {
	var parts []string
	for _, b := range blocks(raw) {
		switch {
		case b.Type == "text":
			parts = append(parts, b.Text)
		case b.Type != "":
			parts = append(parts, "["+b.Type+"]")
		}
	}
	return strings.Join(parts, "\n")
}

var claudeKinds = map[string]string{"Bash": "execute", "Read": "read", "Write": "edit", "Edit": "edit",
	"MultiEdit":    "edit",
	"NotebookEdit": "edit", "Grep": "search", "Glob": "search", "WebFetch": "fetch", "WebSearch": "fetch",
	"Task": "think", "TodoWrite": "think"}

type claudeInput struct {
	FilePath    string `json:"file_path"`
	Content     string `json:"content"`
	OldString   string `json:"old_string"`
	NewString   string `json:"new_string"`
	Command     string `json:"command"`
	Description string `json:"description"`
	Pattern     string `json:"pattern"`
	URL         string `json:"url"`
	Query       string `json:"query"`
	Edits       []struct {
		OldString string `json:"old_string"`
		NewString string `json:"new_string"`
	} `json:"edits"`
	Todos []struct {
		Content string `json:"content"`
		Status  string `json:"status"`
	} `json:"todos"`
}

func claudeTitle(b claudeBlock) string {
	var in claudeInput
	_ = json.Unmarshal(b.Input, &in)
	for _, detail := range []string{in.FilePath, in.Command, in.Pattern, in.URL, in.Query, in.Description} {
		if detail != "" {
			first, _, _ := strings.Cut(detail, "\n")
			return b.Name + " " + shorten(first)
		}
	}
	return b.Name
}

func claudeEdits(b claudeBlock) []transcript.Edit {
	var in claudeInput
	if json.Unmarshal(b.Input, &in) != nil || in.FilePath == "" {
		return nil
	}
	switch b.Name {
	case "Write":
		return []transcript.Edit{{Path: in.FilePath, Action: "update", New: in.Content}}
	case "Edit":
		return []transcript.Edit{{Path: in.FilePath, Action: "update", Old: in.OldString, New: in.NewString}}
	case "MultiEdit":
		var list []transcript.Edit
		for _, e := range in.Edits {
			list = append(list, transcript.Edit{
				Path: in.FilePath, Action: "update", Old: e.OldString, New: e.NewString,
			})
		}
		return list
	}
	return nil
}

func todos(b claudeBlock) []transcript.Step {
	var in claudeInput
	if b.Name != "TodoWrite" || json.Unmarshal(b.Input, &in) != nil {
		return nil
	}
	steps := []transcript.Step{}
	for _, t := range in.Todos {
		steps = append(steps, transcript.Step{Text: t.Content, State: t.Status})
	}
	return steps
}
