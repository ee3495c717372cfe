package agenttest

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
)

type object = map[string]any

// part is a piece of a message in any of the protocols.
type part struct {
	Type    string          `json:"type"`
	Text    string          `json:"text"`
	Content json.RawMessage `json:"content"`
	Output  json.RawMessage `json:"output"`
	Result  json.RawMessage `json:"functionResponse"`
}

// parts reads a content that is a string or a list.
func parts(raw json.RawMessage) []part {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return []part{{Type: "text", Text: text}}
	}
	var list []part
	_ = json.Unmarshal(raw, &list)
	return list
}

func textOf(raw json.RawMessage) string {
	var texts []string
	for _, p := range parts(raw) {
		if p.Text != "" {
			texts = append(texts, p.Text)
		}
	}
	return strings.Join(texts, "\n")
}

func encoded(v any) string {
	text, _ := json.Marshal(v) // of values that came as JSON
	return string(text)
}

// Anthropic Messages.

func askMessages(_ *http.Request, body []byte) (question, error) {
	var b struct {
		Model    string          `json:"model"`
		Stream   bool            `json:"stream"`
		System   json.RawMessage `json:"system"`
		Messages []struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
		Tools []struct {
			Name   string `json:"name"`
			Schema object `json:"input_schema"`
		} `json:"tools"`
		Output struct {
			Format struct {
				Schema object `json:"schema"`
			} `json:"format"`
		} `json:"output_config"`
	}
	err := json.Unmarshal(body, &b)
	q := question{model: b.Model, stream: b.Stream, system: textOf(b.System), json: b.Output.Format.Schema}
	for _, m := range b.Messages {
		if m.Role != "user" {
			continue
		}
		for _, p := range parts(m.Content) {
			q.messages = append(q.messages, spoken{text: p.Text, result: p.Type == "tool_result"})
		}
	}
	for _, t := range b.Tools {
		q.tools = append(q.tools, tool{name: t.Name, schema: t.Schema})
	}
	return q, err
}

func answerMessages(e *events, q question, r reply) {
	usage := object{
		"input_tokens": FreshTokens, "cache_read_input_tokens": CachedTokens, "cache_creation_input_tokens": 0,
		"output_tokens": OutputTokens,
	}
	block, stop := object{"type": "text", "text": r.text}, "end_turn"
	if r.call != nil {
		block, stop = object{"type": "tool_use", "id": id("toolu_"), "name": r.call.name, "input": r.arguments},
			"tool_use"
	}
	message := object{
		"id": id("msg_"), "type": "message", "role": "assistant", "model": q.model, "stop_sequence": nil,
		"usage": usage,
	}
	if !e.stream {
		if e.wait() {
			return
		}
		message["content"], message["stop_reason"] = []any{block}, stop
		e.json(message)
		return
	}
	message["content"], message["stop_reason"] = []any{}, nil
	e.send("message_start", object{"type": "message_start", "message": message})
	if r.call != nil {
		begin := object{"type": "tool_use", "id": block["id"], "name": r.call.name, "input": object{}}
		e.send("content_block_start", object{"type": "content_block_start", "index": 0, "content_block": begin})
		e.send("content_block_delta", object{
			"type": "content_block_delta", "index": 0, "delta": object{
				"type": "input_json_delta", "partial_json": encoded(r.arguments),
			},
		})
	} else {
		e.send("content_block_start", object{
			"type": "content_block_start", "index": 0, "content_block": object{"type": "text", "text": ""},
		})
		if e.wait() {
			return
		}
		e.send("content_block_delta", object{
			"type": "content_block_delta", "index": 0, "delta": object{"type": "text_delta", "text": r.text},
		})
	}
	e.send("content_block_stop", object{"type": "content_block_stop", "index": 0})
	e.send("message_delta", object{
		"type": "message_delta", "delta": object{"stop_reason": stop, "stop_sequence": nil}, "usage": usage,
	})
	e.send("message_stop", object{"type": "message_stop"})
}

func failMessages(status int, words, code string) any {
	kinds := map[int]string{
		401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 529: "overloaded_error",
	}
	kind := kinds[status]
	if kind == "" {
		kind = "api_error"
		if status < 500 {
			kind = "invalid_request_error"
		}
	}
	if code != "" {
		kind = code
	}
	return object{"type": "error", "error": object{"type": kind, "message": words}}
}

// OpenAI Responses.

func askResponses(_ *http.Request, body []byte) (question, error) {
	var b struct {
		Model        string          `json:"model"`
		Stream       bool            `json:"stream"`
		Instructions string          `json:"instructions"`
		Input        json.RawMessage `json:"input"`
		Tools        []struct {
			Type   string `json:"type"`
			Name   string `json:"name"`
			Schema object `json:"parameters"`
		} `json:"tools"`
		Text struct {
			Format struct {
				Schema object `json:"schema"`
			} `json:"format"`
		} `json:"text"`
	}
	err := json.Unmarshal(body, &b)
	q := question{model: b.Model, stream: b.Stream, system: b.Instructions, json: b.Text.Format.Schema}
	var items []struct {
		part
		Role string `json:"role"`
	}
	if json.Unmarshal(b.Input, &items) != nil {
		q.messages = []spoken{{text: textOf(b.Input)}}
	}
	for _, i := range items {
		switch {
		case strings.HasSuffix(i.Type, "_output"):
			q.messages = append(q.messages, spoken{result: true})
		case i.Role == "user":
			q.messages = append(q.messages, spoken{text: textOf(i.Content)})
		case i.Role == "developer" || i.Role == "system":
			q.system += "\n" + textOf(i.Content)
		}
	}
	for _, t := range b.Tools {
		q.tools = append(q.tools, tool{name: t.Name, schema: t.Schema, plain: t.Type == "custom"})
	}
	return q, err
}

func answerResponses(e *events, q question, r reply) {
	item := object{"type": "message", "id": id("msg_"), "role": "assistant", "status": "completed",
		"content": []any{object{"type": "output_text", "text": r.text, "annotations": []any{}}}}
	if r.call != nil {
		item = object{
			"type": "function_call", "id": id("fc_"), "call_id": id("call_"), "name": r.call.name,
			"arguments": encoded(r.arguments), "status": "completed",
		}
	}
	response := object{
		"id": id("resp_"), "object": "response", "model": q.model, "status": "in_progress", "output": []any{},
	}
	done := object{"id": response["id"], "object": "response", "model": q.model, "status": "completed",
		"output": []any{item},
		"usage": object{"input_tokens": FreshTokens + CachedTokens,
			"input_tokens_details": object{"cached_tokens": CachedTokens},
			"output_tokens":        OutputTokens, "output_tokens_details": object{"reasoning_tokens": 0},
			"total_tokens": FreshTokens + CachedTokens + OutputTokens}}
	if !e.stream {
		if !e.wait() {
			e.json(done)
		}
		return
	}
	e.send("response.created", object{"type": "response.created", "response": response})
	if r.call == nil && e.wait() {
		return
	}
	begun := object{}
	for key, value := range item {
		begun[key] = value
	}
	begun["status"] = "in_progress"
	if r.call != nil {
		begun["arguments"] = ""
	} else {
		begun["content"] = []any{}
	}
	e.send("response.output_item.added", object{"type": "response.output_item.added", "output_index": 0, "item": begun})
	if r.call == nil {
		e.send("response.output_text.delta", object{
			"type": "response.output_text.delta", "item_id": item["id"], "output_index": 0, "content_index": 0,
			"delta": r.text,
		})
	} else {
		e.send("response.function_call_arguments.done", object{
			"type": "response.function_call_arguments.done", "item_id": item["id"], "output_index": 0,
			"arguments": item["arguments"],
		})
	}
	e.send("response.output_item.done", object{"type": "response.output_item.done", "output_index": 0, "item": item})
	e.send("response.completed", object{"type": "response.completed", "response": done})
}

func failOpenAI(status int, words, code string) any {
	if code == "" {
		code = map[int]string{401: "invalid_api_key", 429: "rate_limit_exceeded"}[status]
	}
	return object{"error": object{"message": words, "type": "error", "code": code}}
}

// OpenAI Chat Completions.

func askChat(_ *http.Request, body []byte) (question, error) {
	var b struct {
		Model    string `json:"model"`
		Stream   bool   `json:"stream"`
		Messages []struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		} `json:"messages"`
		Tools []struct {
			Function struct {
				Name   string `json:"name"`
				Schema object `json:"parameters"`
			} `json:"function"`
		} `json:"tools"`
	}
	err := json.Unmarshal(body, &b)
	q := question{model: b.Model, stream: b.Stream}
	for _, m := range b.Messages {
		switch m.Role {
		case "user":
			q.messages = append(q.messages, spoken{text: textOf(m.Content)})
		case "tool":
			q.messages = append(q.messages, spoken{result: true})
		case "system", "developer":
			q.system += textOf(m.Content)
		}
	}
	for _, t := range b.Tools {
		q.tools = append(q.tools, tool{name: t.Function.Name, schema: t.Function.Schema})
	}
	return q, err
}

func answerChat(e *events, q question, r reply) {
	usage := object{"prompt_tokens": FreshTokens + CachedTokens,
		"prompt_tokens_details": object{"cached_tokens": CachedTokens},
		"completion_tokens":     OutputTokens, "total_tokens": FreshTokens + CachedTokens + OutputTokens}
	content, stop := object{"role": "assistant", "content": r.text}, "stop"
	if r.call != nil {
		call := object{
			"index": 0, "id": id("call_"), "type": "function",
			"function": object{"name": r.call.name, "arguments": encoded(r.arguments)},
		}
		content, stop = object{"role": "assistant", "content": nil, "tool_calls": []any{call}}, "tool_calls"
	}
	answer := object{"id": id("chatcmpl-"), "object": "chat.completion", "created": 1, "model": q.model}
	if !e.stream {
		if !e.wait() {
			answer["choices"], answer["usage"] = []any{object{"index": 0, "message": content, "finish_reason": stop}},
				usage
			e.json(answer)
		}
		return
	}
	answer["object"] = "chat.completion.chunk"
	chunk := func(choices ...any) {
		answer["choices"] = append([]any{}, choices...)
		e.send("", answer)
	}
	if r.call == nil {
		chunk(object{"index": 0, "delta": object{"role": "assistant", "content": ""}, "finish_reason": nil})
		if e.wait() {
			return
		}
	}
	chunk(object{"index": 0, "delta": content, "finish_reason": nil})
	chunk(object{"index": 0, "delta": object{}, "finish_reason": stop})
	answer["usage"] = usage
	chunk()
	_, _ = e.w.Write([]byte("data: [DONE]\n\n"))
}

// Gemini generateContent.

var geminiModel = regexp.MustCompile(`/models/([^:/]+):`)

func askGemini(r *http.Request, body []byte) (question, error) {
	type content struct {
		Role  string `json:"role"`
		Parts []part `json:"parts"`
	}
	var b struct {
		System   content   `json:"systemInstruction"`
		Contents []content `json:"contents"`
		Tools    []struct {
			Functions []struct {
				Name   string `json:"name"`
				Schema object `json:"parametersJsonSchema"`
				Old    object `json:"parameters"`
			} `json:"functionDeclarations"`
		} `json:"tools"`
		Generation struct {
			Schema object `json:"responseJsonSchema"`
			Old    object `json:"responseSchema"`
		} `json:"generationConfig"`
	}
	err := json.Unmarshal(body, &b)
	q := question{stream: strings.HasSuffix(r.URL.Path, ":streamGenerateContent"), json: b.Generation.Schema}
	if q.json == nil {
		q.json = b.Generation.Old
	}
	if m := geminiModel.FindStringSubmatch(r.URL.Path); m != nil {
		q.model = m[1]
	}
	for _, p := range b.System.Parts {
		q.system += p.Text
	}
	for _, c := range b.Contents {
		for _, p := range c.Parts {
			if c.Role != "model" {
				q.messages = append(q.messages, spoken{text: p.Text, result: p.Result != nil})
			}
		}
	}
	for _, t := range b.Tools {
		for _, f := range t.Functions {
			if f.Schema == nil {
				f.Schema = f.Old
			}
			q.tools = append(q.tools, tool{name: f.Name, schema: f.Schema})
		}
	}
	return q, err
}

func answerGemini(e *events, q question, r reply) {
	piece := object{"text": r.text}
	if r.call != nil {
		piece = object{"functionCall": object{"name": r.call.name, "args": r.arguments}}
	}
	chunk := func(list []any, stop any) object {
		candidate := object{"index": 0, "content": object{"role": "model", "parts": list}}
		if stop != nil {
			candidate["finishReason"] = stop
		}
		return object{"candidates": []any{candidate}, "modelVersion": q.model,
			"usageMetadata": object{"promptTokenCount": FreshTokens + CachedTokens,
				"cachedContentTokenCount": CachedTokens, "candidatesTokenCount": OutputTokens,
				"totalTokenCount": FreshTokens + CachedTokens + OutputTokens}}
	}
	if !e.stream {
		if !e.wait() {
			e.json(chunk([]any{piece}, "STOP"))
		}
		return
	}
	if e.hang || e.cut {
		e.send("", chunk([]any{object{"text": "Well, "}}, nil))
		e.wait()
		return
	}
	e.send("", chunk([]any{piece}, "STOP"))
}

func failGemini(status int, words, code string) any {
	state := map[int]string{401: "UNAUTHENTICATED", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL"}[status]
	if code != "" {
		state = code
	}
	return object{"error": object{"code": status, "message": words, "status": state}}
}
