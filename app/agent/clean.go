package agent

import (
	"encoding/hex"
	"encoding/json"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const maxRaw = 64 << 10

// Clean makes text fit for storing: bytes that are not UTF-8, and NUL, which PostgreSQL refuses,
// become the replacement character.
func Clean(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.ReplaceAll(s, "\x00", "\uFFFD")
}

// terminalCommands colour what a terminal shows, move its cursor, set its title or make links.
var terminalCommands = regexp.MustCompile(`\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b[PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b\[[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]`)

// Plain is text without the commands that it has for a terminal.
func Plain(text string) string {
	if !strings.Contains(text, "\x1b") {
		return text
	}
	return terminalCommands.ReplaceAllString(text, "")
}

func (t *Tool) clean() {
	t.Name, t.Kind, t.Title, t.Result = Clean(t.Name), Clean(t.Kind), Clean(t.Title), Clean(t.Result)
	t.Input = cleanJSON(t.Input)
	for i := range t.Edits {
		e := &t.Edits[i]
		e.Path, e.Old, e.New = Clean(e.Path), Clean(e.Old), Clean(e.New)
	}
}

// cleanJSON does what Clean does, also for what is written as an escape: jsonb refuses \u0000 and
// half a surrogate pair. What is not JSON is dropped.
func cleanJSON(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 || !json.Valid(raw) {
		return nil
	}
	s := strings.ToValidUTF8(string(raw), "\uFFFD")
	if !strings.Contains(s, `\u`) {
		return json.RawMessage(s)
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] != '\\' {
			b.WriteByte(s[i])
			i++
			continue
		}
		if s[i+1] != 'u' {
			b.WriteString(s[i : i+2])
			i += 2
			continue
		}
		r, second := escaped(s[i:]), escaped(s[i+6:])
		switch {
		case r == 0:
			b.WriteString(`\ufffd`)
		case utf16.IsSurrogate(r) && utf16.DecodeRune(r, second) != utf8.RuneError:
			b.WriteString(s[i : i+12])
			i += 6
		case utf16.IsSurrogate(r):
			b.WriteString(`\ufffd`)
		default:
			b.WriteString(s[i : i+6])
		}
		i += 6
	}
	return json.RawMessage(b.String())
}

// escaped reads an escape such as \u00e9 at the start of s; -1 if there is none.
func escaped(s string) rune {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return -1
	}
	v, err := hex.DecodeString(s[2:6])
	if err != nil {
		return -1
	}
	return rune(v[0])<<8 | rune(v[1])
}
