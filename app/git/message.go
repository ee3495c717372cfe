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
	stderr      string // the last of the output of errors
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

// reportsDiskFull reports whether Git's messages say that a file could not be written. In many places Git names no
// cause, and it opens a file before it writes, so that a file which it may not write has other messages.
func reportsDiskFull(stderr string) bool {
	return slices.ContainsFunc([]string{
		"No space left on device", "Disk quota exceeded", "Out of diskspace", "couldn't write '",
		"failed to write new configuration file", "unable to write loose object file",
	}, func(pattern string) bool { return strings.Contains(stderr, pattern) })
}

// diskFull makes an error of a full disk ErrDiskFull.
func diskFull(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return err
}

// maxMessages is how many of Git's messages an error has.
const maxMessages = 3

// message is Git's last messages for a person, each whole, in one line and without Git's prefixes. Git wraps a message
// over several lines, and may add a paragraph of advice for a terminal, which is left out.
func (t *tailBuffer) message() string {
	text := cleanText(string(t.buf))
	if t.truncated { // it begins within a line
		_, text, _ = strings.Cut(text, "\n")
	}
	var messages []string
	wraps, advice := false, false // the next line may continue the last message, or is advice
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
		message, prefixed := stripPrefix(line)
		switch {
		case prefixed:
			advice = false
		case advice:
			continue
		}
		switch continues := wraps && !prefixed && !indented; {
		case message == "" || strings.HasPrefix(message, "To ") ||
			strings.HasPrefix(message, "failed to push some refs"):
			wraps = false
		case len(messages) > 0 && message == "Could not read from remote repository.":
			wraps = true // ssh has said why
		case continues:
			messages[len(messages)-1] += " " + message
		default:
			messages, wraps = append(messages, message), prefixed && !strings.HasPrefix(line, "remote: ")
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

// stripPrefix returns a line without the prefix with which Git starts a message, and whether it had one. A hint or a
// warning becomes empty.
func stripPrefix(line string) (text string, prefixed bool) {
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
