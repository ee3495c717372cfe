package views

import (
	"context"
	"html"
	"io"
	"regexp"
	"strings"

	"github.com/a-h/templ"
)

// quoted is a name in a sentence.
var quoted = regexp.MustCompile(`“[^”]+”`)

// Sentence renders a text in which names stand in quotation marks. Each is isolated, so that a name that is written
// from right to left does not turn what follows it.
func Sentence(text string) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		const open, end = len("“"), len("”")
		text := quoted.ReplaceAllStringFunc(html.EscapeString(text), func(name string) string {
			return "“<bdi>" + name[open:len(name)-end] + "</bdi>”"
		})
		_, err := io.WriteString(w, text)
		return err
	})
}

// Dotted renders what stands side by side with dots between, such as a workspace's name and a kind of session, each
// isolated.
func Dotted(text string) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		parts := strings.Split(text, " · ")
		for i, p := range parts {
			parts[i] = "<bdi>" + html.EscapeString(p) + "</bdi>"
		}
		_, err := io.WriteString(w, strings.Join(parts, " · "))
		return err
	})
}
