package git

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"unicode"
)

// failure is a git command that did not succeed.
type failure struct {
	command     string
	exit        int    // -1 when it did not exit by itself
	message     string // for a person
	stderr      string // all of it that was kept
	cause       error
	pipeRemoved bool // it had waited for a pipe in the repository, which is gone
}

func (f *failure) Error() string {
	if f.message == "" {
		return fmt.Sprintf("git %s: %v", f.command, f.cause)
	}
	return fmt.Sprintf("git %s: %s", f.command, f.message)
}

func (f *failure) Unwrap() error { return f.cause }

// wasKilled is whether a process was ended by a signal.
func wasKilled(state *os.ProcessState) bool {
	if state == nil {
		return false
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	return ok && status.Signaled()
}

// reportsDiskFull is whether git says that a file could not be written, which it names no cause for in many places: it
// opens a file that it may not write to before it writes.
func reportsDiskFull(said string) bool {
	return slices.ContainsFunc([]string{
		"No space left on device", "Disk quota exceeded", "Out of diskspace", "couldn't write '",
		"failed to write new configuration file", "unable to write loose object file",
	}, func(words string) bool { return strings.Contains(said, words) })
}

// diskFull gives an error that comes from a full disk the name by which callers know it.
func diskFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}

// maxMessages is how many of git's messages a failure tells.
const maxMessages = 3

// message are git's last messages for a person, each whole, in one line and without git's prefixes. Git wraps a message
// over several lines, and may follow it with a paragraph of advice for a terminal, which is left out.
func (t *tailBuffer) message() string {
	text := cleanText(string(t.buf))
	if t.truncated { // it begins within a line
		_, text, _ = strings.Cut(text, "\n")
	}
	var messages []string
	wraps, advice := false, false // the next line may go on with the last message, or is advice
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\r", "\n"), "\n") {
		indented := strings.HasPrefix(line, " ")
		line = strings.TrimSpace(strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return ' '
			}
			return r
		}, line))
		if line == "" {
			advice, wraps = wraps, false
			continue
		}
		said, prefixed := stripPrefix(line)
		switch {
		case prefixed:
			advice = false
		case advice:
			continue
		}
		switch goesOn := wraps && !prefixed && !indented; {
		case said == "" || strings.HasPrefix(said, "To ") || strings.HasPrefix(said, "failed to push some refs"):
			wraps = false
		case len(messages) > 0 && said == "Could not read from remote repository.":
			wraps = true // ssh has said why
		case goesOn:
			messages[len(messages)-1] += " " + said
		default:
			messages, wraps = append(messages, said), prefixed && !strings.HasPrefix(line, "remote: ")
		}
	}
	messages = slices.Compact(messages)
	if len(messages) > maxMessages {
		messages = messages[len(messages)-maxMessages:]
	}
	words := strings.Join(messages, "; ")
	if r := []rune(words); len(r) > 600 {
		words = string(r[:600]) + "…"
	}
	return words
}

// stripPrefix is a line without the prefix by which git begins a message, and whether it had one. Of a hint or a
// warning nothing is left.
func stripPrefix(line string) (said string, prefixed bool) {
	for _, prefix := range []string{"hint: ", "warning: "} {
		if strings.HasPrefix(line, prefix) {
			return "", true
		}
	}
	for _, prefix := range []string{"remote: ", "fatal: ", "error: ", "ERROR: "} {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			line, prefixed = strings.TrimSpace(rest), true
		}
	}
	return line, prefixed
}

// cleanText is text that a database takes: valid UTF-8 without NUL.
func cleanText(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

func redact(text string, secrets []string) string {
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "•••")
		}
	}
	return text
}
