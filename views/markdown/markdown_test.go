package markdown

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

func TestProseIsRendered(t *testing.T) {
	t.Parallel()
	const rel = `" rel="noopener noreferrer nofollow" target="_blank">`
	linked := func(address, label string) string {
		return `<a class="link" href="` + address + `" title="` + address + rel + label + `</a>`
	}
	link := func(address string) string { return linked(address, address) }
	said := func(text string) string { return `<p class="said">` + text + `</p>` }
	const code = `<pre class="out" tabindex="0" role="group" aria-label="Code">`
	const head = `<div class="table-wrap"><table class="table table-plain"><thead class="thead"><tr>` +
		`<th class="th" scope="col">A</th><th class="th" scope="col">B</th></tr></thead><tbody class="tbody">`
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":          {"", ""},
		"a paragraph":      {"One\ntwo.", said("One\ntwo.")},
		"two paragraphs":   {"One.\r\n\r\nTwo.", said("One.") + said("Two.")},
		"a heading":        {"## Title\nText", `<p class="said said-head">Title</p>` + said("Text")},
		"emphasis":         {"*a* **b**", said("<em>a</em> <strong>b</strong>")},
		"underscores":      {"__init__.py and _x_", said("__init__.py and _x_")},
		"code":             {"run `a <b> *c*`", said(`run <code class="said-code">a &lt;b&gt; *c*</code>`)},
		"a block of code":  {"```go\na < b\n```", code + "a &lt; b</pre>"},
		"code without end": {"```\na", code + "a</pre>"},
		"a list": {"- a\n- b", `<ul class="bullets"><li>` + said("a") + "</li><li>" + said("b") +
			"</li></ul>"},
		"a list with a box":  {"- [x] a\n", `<ul class="bullets"><li>` + said("☑ a") + "</li></ul>"},
		"a numbered list":    {"3. a", `<ol class="numbers" start="3"><li>` + said("a") + "</li></ol>"},
		"a quotation":        {"> a", `<blockquote class="quote">` + said("a") + "</blockquote>"},
		"a rule":             {"a\n\n---", said("a") + `<hr class="rule">`},
		"no underlined head": {"a\n===", said("a\n===")},
		"HTML": {"<b>a\n<!-- c -->\n\n<script>x",
			said("&lt;b&gt;a\n&lt;!-- c --&gt;") + said("&lt;script&gt;x")},
		"entities": {"&lt;i&gt; &amp;", said("&lt;i&gt; &amp;")},
		"an address": {"see https://example.com/a_b(c).",
			said("see " + link("https://example.com/a_b(c)") + ".")},
		"a quoted address": {`"https://example.com"`, said("&quot;" + link("https://example.com") + "&quot;")},
		"an address in <>": {"<https://example.com/?a=1&b>", said(link("https://example.com/?a=1&amp;b"))},
		"a link": {"[a **b**](https://example.com)",
			said(linked("https://example.com", "a <strong>b</strong>"))},
		"a link to mail": {"[a](mailto:a@example.com)", said(linked("mailto:a@example.com", "a"))},
		"a link of a link": {"[https://a.example](https://b.example)",
			said(linked("https://b.example", "https://a.example"))},
		"a script": {"[a](javascript:alert(1))", said("a (javascript:alert(1))")},
		"a path":   {"[a](/logout)", said("a (/logout)")},
		"an image": {"![a](https://example.com/x.png)", said(linked("https://example.com/x.png", "a"))},
		"a name of elsewhere": {"[a]: https://example.com\n\n[a]",
			said("[a]: "+link("https://example.com")) + said("[a]")},
		"a table": {"| A | B |\n| --- | --- |\n| 1 | `2` |",
			head + `<tr class="row"><td class="cell cell-main">1</td>` +
				`<td class="cell" data-th="B"><code class="said-code">2</code></td></tr></tbody></table></div>`},
	} {
		if got := Prose(tt.text); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, tt.want)
		}
	}
}

// Whatever somebody writes, the page grows with its length alone, and nothing stands in one another without end.
func TestCostlyProseIsBounded(t *testing.T) {
	t.Parallel()
	const size = 64 << 10
	wide := "|" + strings.Repeat("a|", 500) + "\n|" + strings.Repeat("-|", 500) + "\n"
	for _, sign := range []string{
		">", "> ", "- ", "1. ", "> - ", "*", "**a ", "*a **b ", "a*", "[", "![", "[a](", "[](", "`", "`a``b", "`a\n",
		"<", "<a ", "&", "\\", "|", "| a ", "#", "# ", "~", "_a_ ", "- [ ] ", "\t", "    a\n", "```\n", "> ```\n",
		"https://a", "https://a( ",
		"[https://a.b](https://c.d) ", "a\n- ", "- a\n\n", "> a\n\n- b\n\n", "|a|b|\n|-|-|\n", "\x00", "&#0;", "&lt;",
		wide,
	} {
		text := strings.Repeat(sign, size/len(sign))
		if sign == wide { // each row has as many cells as the head
			text = wide + strings.Repeat("a\n", size/4)
		}
		got := Prose(text)
		if len(got) > 120*size {
			t.Errorf("%q again and again: a page of %d MiB", sign, len(got)>>20)
		}
		if depth := depthOf(t, got); depth > 60 {
			t.Errorf("%q again and again: %d elements within one another", sign, depth)
		}
	}
	if got := Prose(strings.Repeat("**a** ", MaxProse)); strings.Contains(got, "<strong>") {
		t.Error("a text that is too long is read as Markdown")
	}
}

func depthOf(t *testing.T, page string) (most int) {
	t.Helper()
	depth := 0
	for z := html.NewTokenizer(strings.NewReader(page)); ; {
		switch z.Next() {
		case html.ErrorToken:
			return most
		case html.StartTagToken:
			if name, _ := z.TagName(); string(name) != "hr" {
				depth++
				most = max(most, depth)
			}
		case html.EndTagToken:
			depth--
		}
	}
}

// elements and attributes are all that Prose writes.
var (
	elements = []string{
		"html", "head", "body", "p", "pre", "code", "strong", "em", "a", "ul", "ol", "li", "blockquote", "hr", "div",
		"table", "thead", "tbody", "tr", "th", "td",
	}
	attributes = []string{
		"class", "tabindex", "role", "aria-label", "href", "rel", "target", "title", "start", "scope", "data-th",
	}
)

// allowed are the addresses that a link may have.
var allowed = regexp.MustCompile(`^(?i:https?://|mailto:)`)

// FuzzProse renders what agents and people write. It never becomes an element, an attribute or an address that they
// chose, but for links to the web and to mail.
func FuzzProse(f *testing.F) {
	for _, text := range []string{
		"# Done\n\nSee **`a<b>`** at https://example.com/x?a=1&b=\"2\". <script>alert(1)</script>",
		"```\n</pre><img src=x onerror=y>\n```", "`**`https://`x`**`", "> - 1. a\n\t> b",
		"[a](javascript:x) [b](http:x) [c](//x) ![d](data:x) <javascript:x> [e](https://x\"onclick=\"y)",
		"| <b> | [x](y) |\n|---|---|\n| \" | `|` |",
		"[a](mailto:x?body=<b>) [b](mailto://x) [c](HTTPS://x) [d](java\nscript:x) &#106;avascript:x " +
			"[e](&#106;avascript:x)",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := html.Parse(strings.NewReader("<!doctype html><body>" + Prose(text)))
		if err != nil {
			t.Fatal(err)
		}
		for n := range doc.Descendants() {
			if n.Type != html.ElementNode {
				continue
			}
			if !slices.Contains(elements, n.Data) {
				t.Errorf("%q has an element %s", text, n.Data)
			}
			for _, a := range n.Attr {
				known := slices.Contains(attributes, a.Key)
				if !known || a.Key == "href" && !allowed.MatchString(a.Val) {
					t.Errorf("%q has %s=%q", text, a.Key, a.Val)
				}
			}
		}
	})
}

func TestADocumentHasATitlePartsAndAnchors(t *testing.T) {
	t.Parallel()
	const text = "# Help\n\nAll of it.\n\n## A webhook's call, and *more*\n\n[x](other.md#y)\n\n" +
		"<!-- slot: why -->\n| a |\n| --- |\n| b |\n<!-- end of slot -->\n\n## A webhook's call, and more\n\n### " +
		"Under\n"
	d, err := Parse([]byte(text), func(destination string) string { return "/to/" + destination })
	if err != nil {
		t.Fatal(err)
	}
	const heading, anchor = "A webhook's call, and more", "a-webhooks-call-and-more"
	want := []Heading{{heading, anchor}, {heading, anchor + "-1"}}
	if d.Title != "Help" || d.About != "All of it." || !slices.Equal(d.Headings, want) {
		t.Errorf("title %q, about %q, headings %v", d.Title, d.About, d.Headings)
	}
	if len(d.Parts) != 3 || d.Parts[1].Slot != "slot" || strings.Contains(d.Parts[0].HTML+d.Parts[2].HTML, "table") {
		t.Fatalf("parts %q", d.Parts)
	}
	for _, want := range []string{`<a class="link" href="/to/other.md#y">x</a>`, `<h2 class="h2" id="` + anchor +
		`">`} {
		if !strings.Contains(d.Parts[0].HTML, want) {
			t.Errorf("the first part lacks %s: %s", want, d.Parts[0].HTML)
		}
	}
	if got := Anchors([]byte(text)); !slices.Equal(got, []string{"help", anchor, anchor + "-1", "under"}) {
		t.Errorf("anchors %v", got)
	}
}

func TestADocumentWithHTMLIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"# A\n\nb\n\n<p>c</p>", "# A\n\nb <b>c</b>", "# A\n\nb\n\n<!-- x: y -->\n", "# A\n\nb\n\n<!-- end of x -->\n",
		"b", "# A",
	} {
		if _, err := Parse([]byte(text), func(d string) string { return d }); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
