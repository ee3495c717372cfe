package agent

import (
	"encoding/json"
	"regexp"
	"strings"

	"carillon/app/jsontext"
	"carillon/app/transcript"
)

const maxRaw = 64 << 10

// Clean makes text storable: bytes that are not UTF-8, and NUL, which PostgreSQL refuses, become the replacement
// character.
func Clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.ReplaceAll(s, "\x00", "\uFFFD")
}

// terminalCommands matches escape sequences for colors, the cursor, the title and links.
var terminalCommands = regexp.MustCompile(
	`\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]`)

// Plain removes terminal escape sequences from a text.
func Plain(text string) string {
	if !strings.Contains(text, "\x1b") {
		return text
	}
	return terminalCommands.ReplaceAllString(text, "")
}

// cleanTool makes a tool call storable.
func cleanTool(t *transcript.Tool) {
	t.Name = Clean(t.Name)
	t.Kind = Clean(t.Kind)
	t.Title = Clean(t.Title)
	t.Result = Clean(t.Result)
	t.Input = cleanJSON(t.Input)
	for i := range t.Edits {
		e := &t.Edits[i]
		e.Path, e.Old, e.New = Clean(e.Path), Clean(e.Old), Clean(e.New)
	}
}

// cleanJSON makes JSON storable, as Clean does for text. It drops invalid JSON.
func cleanJSON(raw json.RawMessage) json.RawMessage {
	out, ok := jsontext.Storable(raw)
	if !ok {
		return nil
	}
	return out
}
