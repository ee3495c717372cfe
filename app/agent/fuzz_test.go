package agent

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"

	"carillon/app/jsontext"
	"carillon/app/transcript"
)

// heard is a turn without a program, of which a test says the lines.
func heard(emit func(transcript.Event)) *run {
	return &run{Turn: Turn{Prompt: "Look."}, touch: func() {}, emitTo: emit}
}

// FuzzTranscripts reads lines as each agent writes them. Whatever they are, no line ends the reading, and every event
// can be recorded.
func FuzzTranscripts(f *testing.F) {
	files, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(files) == 0 {
		f.Fatalf("found %v, %v; want transcripts", files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			if len(line) < 4<<10 { // a long seed is a slow one
				f.Add(line)
			}
		}
	}
	f.Add([]byte(`{"type":"result","usage":{"input_tokens":-1},"total_cost_usd":-1e308}`))
	f.Add([]byte(`{"type":"turn.completed","usage":{"input_tokens":1,"cached_input_tokens":9223372036854775807}}`))
	f.Add([]byte(
		`{"method":"session/update","params":{"update":{"sessionUpdate":"tool_call","content":[null,{"type":"diff"}]}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 64<<10 {
			return
		}
		recorded := func(e transcript.Event) {
			raw, err := json.Marshal(e)
			if err != nil {
				if json.Valid(e.Raw) || len(e.Raw) == 0 {
					t.Errorf("an event that is no JSON: %v", err)
				}
				return
			}
			if stored, ok := jsontext.Storable(raw); ok && !utf8.Valid(stored) {
				t.Errorf("an event that is no text: %q", stored)
			}
		}
		claude := &claudeTurn{
			run: heard(recorded), edits: map[string][]transcript.Edit{}, steps: map[string]transcript.Usage{},
		}
		codex := &codexTurn{run: heard(recorded)}
		acp := &acpAgent{run: heard(recorded)}
		lines := bufio.NewScanner(bytes.NewReader(text))
		for lines.Scan() {
			line := lines.Bytes()
			if len(line) == 0 {
				continue
			}
			claude.line(line, func() {})
			codex.line(line, func() {})
			var m struct {
				Params struct {
					Update json.RawMessage `json:"update"`
				} `json:"params"`
			}
			if json.Unmarshal(line, &m) == nil && m.Params.Update != nil {
				acp.update(m.Params.Update)
			}
		}
		if claude.last != nil {
			claude.claudeUsage(claude.last)
		}
		acp.usageSoFar()
	})
}
