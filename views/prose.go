package views

import (
	"context"
	"html"
	"io"
	"regexp"
	"strings"

	"carillon/static"

	"github.com/a-h/templ"
	terminal "github.com/buildkite/terminal-to-html/v3"
)

// images and links that a terminal can be told to show; they would load or open addresses that the
// output of a program chose.
var terminalExtras = regexp.MustCompile(`(?s)\x1b\](?:8|133[789]);.*?(?:\x07|\x1b\\)|\x1b_.*?(?:\x07|\x1b\\)`)

// movements are the sequences that move a terminal's cursor, erase what stands there or change what it is: all but those
// that change colours. A log keeps every line that was written.
var movements = regexp.MustCompile(`\x1b\[[0-?]*[ -/]*[@-ln-~]|\x1b\[[<-?][0-?]*[ -/]*m|\x1b[PX^][^\x1b\x07]*(?:\x07|\x1b\\)?|\x1b\][^\x1b\x07]*(?:\x07|\x1b\\)?|\x1b[ -/]*[0-OQ-WYZ\\` + "`" + `-~]`)

// rewritten are beginnings of a line that the program itself wrote over, as a bar of progress does.
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

var (
	inlineCode = regexp.MustCompile("`([^`\n]+)`")
	bold       = regexp.MustCompile(`\*\*([^*\n]+)\*\*`)
	address    = regexp.MustCompile(`https?://[^\s<>"']+[^\s<>"'.,;:!?)\]]`)
	heading    = regexp.MustCompile(`^#{1,6} +(.*)$`)
)

// Prose renders what an agent writes: paragraphs, code blocks between fences, headings, inline code,
// bold and addresses. All other signs stay as they were written.
func Prose(text string) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, prose(text))
		return err
	})
}

func prose(text string) string {
	var out strings.Builder
	var lines []string
	flush := func() {
		if paragraph := strings.Trim(strings.Join(lines, "\n"), "\n"); paragraph != "" {
			out.WriteString(`<p class="said">` + inline(paragraph) + `</p>`)
		}
		lines = nil
	}
	all := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i := 0; i < len(all); i++ {
		line := all[i]
		switch m := heading.FindStringSubmatch(line); {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			flush()
			var code []string
			for i++; i < len(all) && !strings.HasPrefix(strings.TrimSpace(all[i]), "```"); i++ {
				code = append(code, all[i])
			}
			out.WriteString(`<pre class="out" tabindex="0" role="group" aria-label="Code">` + html.EscapeString(strings.Join(code, "\n")) + `</pre>`)
		case m != nil:
			flush()
			out.WriteString(`<p class="said said-head">` + inline(m[1]) + `</p>`)
		case strings.TrimSpace(line) == "":
			flush()
		default:
			lines = append(lines, line)
		}
	}
	flush()
	return out.String()
}

// inline marks up one paragraph. Code is split off first, so that nothing within it is read as markup.
func inline(s string) string {
	var out strings.Builder
	at := 0
	for _, m := range inlineCode.FindAllStringSubmatchIndex(s, -1) {
		out.WriteString(emphasis(s[at:m[0]]))
		out.WriteString(`<code class="said-code">` + html.EscapeString(s[m[2]:m[3]]) + `</code>`)
		at = m[1]
	}
	out.WriteString(emphasis(s[at:]))
	return out.String()
}

func emphasis(s string) string {
	var out strings.Builder
	at := 0
	for _, m := range address.FindAllStringIndex(s, -1) {
		out.WriteString(bold.ReplaceAllString(html.EscapeString(s[at:m[0]]), "<strong>$1</strong>"))
		a := html.EscapeString(s[m[0]:m[1]])
		out.WriteString(`<a class="link" href="` + a + `" rel="noopener noreferrer nofollow" target="_blank">` + a + `</a>`)
		at = m[1]
	}
	out.WriteString(bold.ReplaceAllString(html.EscapeString(s[at:]), "<strong>$1</strong>"))
	return out.String()
}

func iconRef(name string) string { return static.URL("icons.svg") + "#" + name }
