package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	acp "github.com/coder/acp-go-sdk"

	"carillon/app/transcript"
)

// acpUpdate is an update of an agent during a turn. Unknown fields are ignored.
type acpUpdate struct {
	Kind      string          `json:"sessionUpdate"`
	MessageID string          `json:"messageId"`
	Content   json.RawMessage `json:"content"` // a block, or a tool call's list

	ToolCallID string          `json:"toolCallId"`
	Name       string          `json:"name"`
	Title      string          `json:"title"`
	ToolKind   string          `json:"kind"`
	Status     string          `json:"status"`
	Input      json.RawMessage `json:"rawInput"`
	Output     json.RawMessage `json:"rawOutput"`
	Locations  []struct {
		Path string `json:"path"`
	} `json:"locations"`

	Entries []struct {
		Content string `json:"content"`
		Status  string `json:"status"`
	} `json:"entries"`

	Cost *struct {
		Amount   float64 `json:"amount"`
		Currency string  `json:"currency"`
	} `json:"cost"`
	Meta struct {
		Usage *acpTokens `json:"usage"`
	} `json:"_meta"`
}

type acpTokens struct {
	Input      int64 `json:"inputTokens"`
	Output     int64 `json:"outputTokens"`
	CacheRead  int64 `json:"cachedReadTokens"`
	CacheWrite int64 `json:"cachedWriteTokens"`
	Total      int64 `json:"totalTokens"`
}

// usage gives the tokens with Input without cached ones. Agents differ: if the total is the sum of input and output,
// the input includes the cached ones.
func (t acpTokens) usage() transcript.Usage {
	u := transcript.Usage{
		Known: true, Input: t.Input, CacheRead: t.CacheRead, CacheWrite: t.CacheWrite, Output: t.Output,
	}
	if cached := t.CacheRead + t.CacheWrite; cached > 0 && t.Total == t.Input+t.Output && cached <= t.Input {
		u.Input -= cached
	}
	return u
}

type acpAnswer struct {
	StopReason string     `json:"stopReason"`
	Usage      *acpTokens `json:"usage"`
	Meta       struct {
		Quota *struct {
			Tokens struct {
				Input  int64 `json:"input_tokens"`
				Output int64 `json:"output_tokens"`
			} `json:"token_count"`
		} `json:"quota"`
	} `json:"_meta"`
}

// handle processes the agent's requests and notifications.
func (a *acpAgent) handle(ctx context.Context, method string, params json.RawMessage) (any, *acp.RequestError) {
	switch method {
	case acp.ClientMethodSessionRequestPermission:
		return a.permission(params)
	case acp.ClientMethodFsReadTextFile, acp.ClientMethodFsWriteTextFile, acp.ClientMethodTerminalCreate,
		acp.ClientMethodTerminalOutput,
		acp.ClientMethodTerminalRelease, acp.ClientMethodTerminalKill, acp.ClientMethodTerminalWaitForExit,
		acp.ClientMethodElicitationCreate:
		return nil, acp.NewMethodNotFound(method)
	}
	defer func() {
		select {
		case <-a.paced:
		default: // an unknown request
		}
	}()
	if method == acp.ClientMethodSessionUpdate {
		var p struct {
			Update json.RawMessage `json:"update"`
		}
		switch {
		case json.Unmarshal(params, &p) != nil:
		case a.replay.Load():
			a.handleReplay(p.Update)
		default:
			a.update(p.Update)
		}
		return nil, nil
	}
	return nil, acp.NewMethodNotFound(method)
}

// handleReplay ignores a replayed update of earlier turns, and notes that one came.
func (a *acpAgent) handleReplay(raw json.RawMessage) {
	var u acpUpdate
	if json.Unmarshal(raw, &u) == nil && (u.Kind == "user_message_chunk" || u.Kind == "agent_message_chunk") {
		a.replayed.Store(true)
	}
}

func (a *acpAgent) update(raw json.RawMessage) {
	var u acpUpdate
	if err := json.Unmarshal(raw, &u); err != nil && u.Kind == "" {
		a.emit(transcript.Event{Kind: transcript.KindLog, Text: "an update that is not understood", Raw: raw})
		return
	}
	if u.Meta.Usage != nil {
		a.mu.Lock()
		a.steps = a.steps.Add(u.Meta.Usage.usage())
		a.mu.Unlock()
		a.used(a.usageSoFar())
	}
	switch u.Kind {
	case "agent_message_chunk":
		text := blockText(u.Content)
		mode, ok := strings.CutPrefix(strings.TrimSpace(text), "[MODE_UPDATE] ")
		if ok && mode != "" && (mode == a.AutoMode || mode == a.ReadMode) {
			return // Gemini and Qwen report the mode that Carillon chose as text of the model
		}
		if a.Experimental && a.agentNotice(text) {
			return
		}
		a.appendAnswer(text)
		if text != "" {
			a.emit(transcript.Event{Kind: transcript.KindText, ID: u.MessageID, Text: text})
		}
	case "agent_thought_chunk":
		a.emit(transcript.Event{Kind: transcript.KindThought, ID: u.MessageID, Text: blockText(u.Content)})
	case "tool_call", "tool_call_update":
		a.tool(u, raw)
	case "plan", "plan_update":
		steps := []transcript.Step{}
		for _, e := range u.Entries {
			steps = append(steps, transcript.Step{Text: e.Content, State: e.Status})
		}
		a.emit(transcript.Event{Kind: transcript.KindPlan, Plan: steps, Raw: raw})
	case "usage_update":
		// Agents report zero for a model whose price they do not know.
		if u.Cost != nil && u.Cost.Amount > 0 && (u.Cost.Currency == "" || u.Cost.Currency == "USD") {
			a.mu.Lock()
			a.cost = &u.Cost.Amount
			a.mu.Unlock()
			a.used(a.usageSoFar())
		}
	case "user_message_chunk", "available_commands_update", "current_mode_update", "config_option_update",
		"session_info_update":
	default:
		a.emit(transcript.Event{Kind: transcript.KindLog, Text: u.Kind, Raw: raw})
	}
}

// agentNotice reports whether a text of the model is in fact a message of the agent, and processes it. An error without
// a later text is the reason of the turn's end, although the agent ends the turn as a success.
func (a *acpAgent) agentNotice(text string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if words, ok := strings.CutPrefix(text, "Info: "); ok {
		// the text will be repeated
		a.answerCut = a.answerCut || strings.HasSuffix(strings.TrimSpace(words), "Retrying...")
		a.warn("%s", words)
		return true
	}
	words, failed := strings.CutPrefix(text, "Error: ")
	if a.lastError = words; !failed {
		a.lastError = ""
		return false
	}
	a.warn("%s", words)
	return true
}

// appendAnswer collects the answer: the text after the last tool call.
func (a *acpAgent) appendAnswer(text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.answerCut && text != "" {
		a.answer.Reset()
		a.answerCut = false
	}
	if a.answer.WriteString(text); a.answer.Len() > 2*maxAnswer { // the end of the answer is kept
		end := a.answer.String()[a.answer.Len()-maxAnswer:]
		a.answer.Reset()
		a.answer.WriteString(end)
	}
}

func (a *acpAgent) text() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.answer.String()
}

func (a *acpAgent) tool(u acpUpdate, raw json.RawMessage) {
	if u.Kind == "tool_call" {
		a.mu.Lock()
		a.answerCut = true
		a.mu.Unlock()
	}
	t := &transcript.Tool{Name: u.Name, Kind: u.ToolKind, Title: u.Title, Input: u.Input}
	var parts []string
	var content []struct {
		Type    string          `json:"type"`
		Content json.RawMessage `json:"content"`
		Path    string          `json:"path"`
		Old     *string         `json:"oldText"`
		New     string          `json:"newText"`
	}
	_ = json.Unmarshal(u.Content, &content) // some send null
	for _, c := range content {
		switch c.Type {
		case "content":
			parts = append(parts, blockText(c.Content))
		case "diff":
			e := transcript.Edit{Path: c.Path, Action: "update", New: c.New}
			if c.Old == nil || *c.Old == "" {
				e.Action = "add"
			} else {
				e.Old = *c.Old
			}
			t.Edits = append(t.Edits, e)
		}
	}
	if len(t.Edits) == 0 && (u.ToolKind == "edit" || u.ToolKind == "delete") && u.Status != "failed" {
		for _, l := range u.Locations { // some agents do not show their changes
			t.Edits = append(t.Edits, transcript.Edit{
				Path: l.Path, Action: map[string]string{"edit": "update", "delete": "delete"}[u.ToolKind],
			})
		}
	}
	t.Result = strings.Join(parts, "\n")
	if t.Result == "" {
		t.Result = outputText(u.Output)
	}
	a.emit(transcript.Event{Kind: transcript.KindTool, ID: u.ToolCallID, Text: u.Title, Tool: t, Raw: raw,
		Done: u.Status == "completed" || u.Status == "failed", OK: u.Status == "completed"})
}

// blockText is the text of a content block; of another block its type.
func blockText(raw json.RawMessage) string {
	var b struct {
		Type string `json:"type"`
		Text string `json:"text"`
		URI  string `json:"uri"`
	}
	switch {
	case json.Unmarshal(raw, &b) != nil || b.Type == "":
		return ""
	case b.Type == "text":
		return b.Text
	case b.URI != "":
		return b.URI
	}
	return "[" + b.Type + "]"
}

// outputText finds the text in a tool's output, whose format differs between agents.
func outputText(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return ""
	}
	for _, key := range []string{"output", "content", "stdout", "formatted_output", "message", "error"} {
		if json.Unmarshal(fields[key], &text) == nil && text != "" {
			return text
		}
	}
	return ""
}

// permission answers a request for permission: allowed, unless the turn is read-only.
func (a *acpAgent) permission(params json.RawMessage) (any, *acp.RequestError) {
	var p struct {
		Tool struct {
			ID    string `json:"toolCallId"`
			Title string `json:"title"`
			Name  string `json:"name"`
			Kind  string `json:"kind"`
		} `json:"toolCall"`
		Options []struct {
			ID   string `json:"optionId"`
			Kind string `json:"kind"`
		} `json:"options"`
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return nil, acp.NewInvalidParams(err.Error())
	}
	allow := !a.ReadOnly || slices.Contains([]string{"read", "search", "think", "fetch"}, p.Tool.Kind) ||
		p.Tool.Name != "" && slices.Contains(a.AllowedTools, p.Tool.Name)
	// "Always" would be stored in the user's settings and apply to other runs.
	kinds := []string{"reject_once", "reject_always"}
	if allow {
		kinds = []string{"allow_once", "allow_always"}
	}
	outcome := object{"outcome": "cancelled"}
	for _, kind := range slices.Backward(kinds) {
		for _, o := range p.Options {
			if o.Kind == kind {
				outcome = object{"outcome": "selected", "optionId": o.ID}
			}
		}
	}
	granted := allow && outcome["optionId"] != nil
	if !granted {
		a.rejects.Add(1)
	}
	a.emit(transcript.Event{
		Kind: transcript.KindPermission, ID: p.Tool.ID, Text: p.Tool.Title, Done: true, OK: granted, Raw: params,
	})
	return object{"outcome": outcome}, nil
}

// usageSoFar is the turn's usage so far, for agents that report usage while they work.
func (a *acpAgent) usageSoFar() transcript.Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	u := a.steps
	if a.cost != nil { // cost of the whole conversation
		u.CostKnown, u.CostUSD = true, *a.cost
		if a.Resume != "" && a.FormerUsage.CostUSD <= *a.cost {
			u.CostUSD -= a.FormerUsage.CostUSD
		}
	}
	return u
}

// result is the end of a turn that the agent answered.
func (a *acpAgent) result(answer acpAnswer) (Result, error) {
	sum := a.usageSoFar()
	a.mu.Lock()
	res := Result{Text: strings.TrimSpace(a.answer.String()), Stop: answer.StopReason, Usage: sum}
	broke := a.lastError
	a.mu.Unlock()
	switch quota := answer.Meta.Quota; {
	case answer.Usage != nil:
		res.Usage = answer.Usage.usage()
	case quota != nil && !res.Usage.Known:
		res.Usage = transcript.Usage{Known: !a.router, Input: quota.Tokens.Input, Output: quota.Tokens.Output}
	}
	res.Usage.CostKnown, res.Usage.CostUSD = sum.CostKnown, sum.CostUSD
	switch answer.StopReason {
	case "end_turn", "":
	case "refusal":
		return res, &Failure{Kind: FailAgent, Reason: "the model refused the task"}
	case "max_tokens":
		return res, &Failure{
			Kind: FailContext, Reason: "the answer reached the model's limit of tokens",
			Fix: "Start a new session, or shorten the prompt.",
		}
	default:
		return res, &Failure{Kind: FailAgent, Reason: fmt.Sprintf("%s stopped: %s", a.Name,
			strings.ReplaceAll(answer.StopReason, "_", " "))}
	}
	if first, _, _ := strings.Cut(broke, "\n"); broke != "" && (!res.Usage.Known || a.knownKind(first) != "") {
		return res, a.failure(errorReport{text: broke}, a.now())
	}
	if broke != "" { // the text was an error of the agent
		res.Text = "Error: " + broke
	}
	if a.rejects.Load() > 0 && res.Text == "" && !a.ReadOnly {
		return res, &Failure{
			Kind: FailPermission, Reason: a.Name + " was not allowed what it asked for",
			Fix: "Give the provider a mode that asks no questions.",
		}
	}
	return res, nil
}
