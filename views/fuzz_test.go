package views

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// FuzzTerminal renders what programs write. It never becomes an element or an attribute that they chose.
func FuzzTerminal(f *testing.F) {
	for _, text := range []string{
		"<script>alert(1)</script>", "</pre><img src=x onerror=y>",
		"\x1b[31mred\x1b[0m\x1b]8;;javascript:alert(1)\x07click\x1b]8;;\x07", "\x1b]1338;url='x';alt='<b>'\x07",
		"a\rb\bc\x1b[2J\x1b[1;1H<i>",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var terminal strings.Builder
		if err := Terminal(text).Render(t.Context(), &terminal); err != nil {
			t.Fatal(err)
		}
		doc, err := html.Parse(strings.NewReader("<!doctype html><body>" + terminal.String()))
		if err != nil {
			t.Fatal(err)
		}
		for n := range doc.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			if !slices.Contains([]string{"html", "head", "body", "span"}, n.Data) {
				t.Errorf("%q has an element %s", text, n.Data)
			}
			for _, a := range n.Attr {
				if a.Key != "class" {
					t.Errorf("%q has %s=%q", text, a.Key, a.Val)
				}
			}
		}
	})
}
