package views

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// FuzzProse renders what agents and programs write. It never becomes an element, an attribute or an address that they chose, but
// for links to the web.
func FuzzProse(f *testing.F) {
	for _, text := range []string{
		"# Done\n\nSee **`a<b>`** at https://example.com/x?a=1&b=\"2\". <script>alert(1)</script>", "```\n</pre><img src=x onerror=y>\n```", "`**`https://`x`**`",
		"\x1b[31mred\x1b[0m\x1b]8;;javascript:alert(1)\x07click\x1b]8;;\x07", "\x1b]1338;url='x';alt='<b>'\x07", "a\rb\bc\x1b[2J\x1b[1;1H<i>",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var terminal strings.Builder
		if err := Terminal(text).Render(t.Context(), &terminal); err != nil {
			t.Fatal(err)
		}
		for name, page := range map[string]string{"prose": prose(text), "terminal": terminal.String()} {
			doc, err := html.Parse(strings.NewReader("<!doctype html><body>" + page))
			if err != nil {
				t.Fatal(err)
			}
			for n := range doc.Descendants() {
				if n.Type != html.ElementNode {
					continue
				}
				if !slices.Contains([]string{"html", "head", "body", "p", "pre", "code", "strong", "a", "span"}, n.Data) {
					t.Errorf("%s: %q has an element %s", name, text, n.Data)
				}
				for _, a := range n.Attr {
					if !slices.Contains([]string{"class", "tabindex", "role", "aria-label", "href", "rel", "target"}, a.Key) ||
						a.Key == "href" && (name == "terminal" || !strings.HasPrefix(a.Val, "http")) {
						t.Errorf("%s: %q has %s=%q", name, text, a.Key, a.Val)
					}
				}
			}
		}
	})
}
