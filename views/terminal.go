package views

import (
	"context"
	"html"
	"io"
	"regexp"
	"strings"

	"github.com/a-h/templ"
	terminal "github.com/buildkite/terminal-to-html/v3"
)

// images and links that a terminal can be told to show; they would load or open addresses that the
// output of a program chose.
var terminalExtras = regexp.MustCompile(`(?s)\x1b\](?:8|133[789]);.*?(?:\x07|\x1b\\)|\x1b_.*?(?:\x07|\x1b\\)`)

// movements are the sequences that move a terminal's cursor, erase what stands there or change what it is: all but
// those that change colours. A log keeps every line that was written.
var movements = regexp.MustCompile(
	`\x1b\[[0-?]*[ -/]*[@-ln-~]|\x1b\[[<-?][0-?]*[ -/]*m|\x1b[PX^][^\x1b\x07]*(?:\x07|\x1b\\)?|\x1b\][^\x1b\x07]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-OQ-WYZ\\` + "`" + `-~]`)

// rewritten matches beginnings of a line that the program overwrote, such as a progress bar.
var rewritten = regexp.MustCompile(`(?m)^.*\r([^\r\n]+)$`)

// Terminal renders output as a terminal shows it, but for what would overwrite earlier lines: escaped text, colours as
// classes.
func Terminal(output string) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		if !strings.ContainsAny(output, "\x1b\r\b") {
			_, err := io.WriteString(w, html.EscapeString(output))
			return err
		}
		text := movements.ReplaceAllString(terminalExtras.ReplaceAllString(output, ""), "")
		text = rewritten.ReplaceAllString(strings.ReplaceAll(text, "\r\n", "\n"), "$1")
		_, err := io.WriteString(w, terminal.Render([]byte(text)))
		return err
	})
}
