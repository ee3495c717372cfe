// Package markdown turns Markdown into HTML with the classes of the stylesheet. It reads two kinds of text:
// documents of the program itself (Parse), and what agents and people write (Prose). Neither kind can contain HTML
// of its own.
package markdown

import (
	"bufio"
	"bytes"
	"html"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/yuin/goldmark/ast"
	extension "github.com/yuin/goldmark/extension/ast"
	renderer "github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/util"
)

// writer writes the nodes of a parsed text as HTML.
type writer struct {
	out    strings.Builder
	source []byte

	// document is set for a text of the program itself. Its headings have anchors, and resolve maps its links to
	// addresses.
	document bool
	resolve  func(destination string) string
	anchors  map[ast.Node]string

	inLink bool // what is written is the label of a link
}

// blocks writes the blocks within a node.
func (w *writer) blocks(parent ast.Node) {
	for n := parent.FirstChild(); n != nil; n = n.NextSibling() {
		w.block(n)
	}
}

func (w *writer) block(n ast.Node) {
	switch n := n.(type) {
	case *ast.Heading:
		w.heading(n)
	case *ast.Paragraph, *ast.TextBlock:
		w.paragraph(n)
	case *ast.FencedCodeBlock, *ast.CodeBlock:
		w.out.WriteString(`<pre class="out" tabindex="0" role="group" aria-label="Code">`)
		w.out.WriteString(html.EscapeString(strings.TrimSuffix(w.lines(n), "\n")))
		w.out.WriteString(`</pre>`)
	case *ast.Blockquote:
		w.out.WriteString(`<blockquote class="quote">`)
		w.blocks(n)
		w.out.WriteString(`</blockquote>`)
	case *ast.List:
		w.list(n)
	case *ast.ThematicBreak:
		w.out.WriteString(`<hr class="rule">`)
	case *extension.Table:
		w.table(n)
	default: // of what is not read there is nothing
		w.out.WriteString(html.EscapeString(w.lines(n)))
	}
}

// heading writes a heading. In what others write it is a line in bold, since the page round it has headings of its own.
func (w *writer) heading(n *ast.Heading) {
	if !w.document {
		w.element("p", "said said-head", n)
		return
	}
	level := strconv.Itoa(n.Level)
	w.out.WriteString(`<h` + level + ` class="h` + level + `" id="` + html.EscapeString(w.anchors[n]) + `">`)
	w.inlines(n)
	w.out.WriteString(`</h` + level + `>`)
}

func (w *writer) paragraph(n ast.Node) {
	switch {
	case !w.document:
		w.element("p", "said", n)
	case n.Kind() == ast.KindTextBlock:
		w.inlines(n)
	default:
		w.element("p", "prose", n)
	}
}

func (w *writer) element(name, class string, n ast.Node) {
	w.out.WriteString(`<` + name + ` class="` + class + `">`)
	w.inlines(n)
	w.out.WriteString(`</` + name + `>`)
}

func (w *writer) list(n *ast.List) {
	begin, end := `<ul class="bullets">`, `</ul>`
	if n.IsOrdered() {
		begin, end = `<ol class="numbers">`, `</ol>`
		if n.Start != 1 {
			begin = `<ol class="numbers" start="` + strconv.Itoa(n.Start) + `">`
		}
	}
	w.out.WriteString(begin)
	for item := n.FirstChild(); item != nil; item = item.NextSibling() {
		w.out.WriteString(`<li>`)
		w.blocks(item)
		w.out.WriteString(`</li>`)
	}
	w.out.WriteString(end)
}

// table writes a table as the pages have theirs. On a narrow screen a cell is labelled with the heading of its column.
func (w *writer) table(n *extension.Table) {
	w.out.WriteString(`<div class="table-wrap"><table class="table table-plain">`)
	var labels []string
	for row := n.FirstChild(); row != nil; row = row.NextSibling() {
		if row.Kind() == extension.KindTableHeader {
			w.out.WriteString(`<thead class="thead"><tr>`)
			for cell := row.FirstChild(); cell != nil; cell = cell.NextSibling() {
				labels = append(labels, plain(cell, w.source))
				w.out.WriteString(`<th class="th" scope="col">`)
				w.inlines(cell)
				w.out.WriteString(`</th>`)
			}
			w.out.WriteString(`</tr></thead><tbody class="tbody">`)
			continue
		}
		w.out.WriteString(`<tr class="row">`)
		column := 0
		for cell := row.FirstChild(); cell != nil; cell = cell.NextSibling() {
			w.cell(cell, labels, column)
			column++
		}
		w.out.WriteString(`</tr>`)
	}
	w.out.WriteString(`</tbody></table></div>`)
}

func (w *writer) cell(n ast.Node, labels []string, column int) {
	switch {
	case column == 0:
		w.out.WriteString(`<td class="cell cell-main">`)
	case !n.HasChildren():
		w.out.WriteString(`<td class="cell">`)
	default:
		w.out.WriteString(`<td class="cell" data-th="` + html.EscapeString(labels[column]) + `">`)
	}
	w.inlines(n)
	w.out.WriteString(`</td>`)
}

// inlines writes what is within a paragraph, a heading or a cell.
func (w *writer) inlines(parent ast.Node) {
	for n := parent.FirstChild(); n != nil; n = n.NextSibling() {
		if text, ok := n.(*ast.Text); ok {
			n = w.text(text)
			continue
		}
		w.inline(n)
	}
}

// text writes a text with those that continue it, and returns the last of them.
func (w *writer) text(first *ast.Text) *ast.Text {
	last := first
	for !last.SoftLineBreak() && !last.HardLineBreak() {
		next, ok := last.NextSibling().(*ast.Text)
		if !ok || next.Segment.Start != last.Segment.Stop {
			break
		}
		last = next
	}
	text := w.source[first.Segment.Start:last.Segment.Stop]
	if w.document || w.inLink {
		w.escaped(text)
	} else {
		w.withAddresses(text)
	}
	if last.SoftLineBreak() || last.HardLineBreak() {
		w.out.WriteByte('\n')
	}
	return last
}

func (w *writer) inline(n ast.Node) {
	switch n := n.(type) {
	case *ast.String:
		w.out.WriteString(html.EscapeString(string(n.Value)))
	case *ast.CodeSpan:
		w.out.WriteString(`<code class="said-code">` + html.EscapeString(plain(n, w.source)) + `</code>`)
	case *ast.Emphasis:
		name := "em"
		if n.Level == 2 {
			name = "strong"
		}
		w.out.WriteString(`<` + name + `>`)
		w.inlines(n)
		w.out.WriteString(`</` + name + `>`)
	case *ast.AutoLink:
		w.address(string(n.URL(w.source)), string(n.Label(w.source)))
	case *ast.Link:
		w.link(string(n.Destination), n)
	case *ast.Image: // a link to it: a page that loads nothing tells nobody that somebody looks at it
		w.link(string(n.Destination), n)
	case *extension.TaskCheckBox:
		box := "☐ "
		if n.IsChecked {
			box = "☑ "
		}
		w.out.WriteString(box)
	default:
		w.out.WriteString(html.EscapeString(plain(n, w.source)))
	}
}

// link writes a link whose label is within a node.
func (w *writer) link(destination string, n ast.Node) {
	begin, end := w.linkTo(destination)
	w.out.WriteString(begin)
	inLink := w.inLink
	w.inLink = true
	w.inlines(n)
	w.inLink = inLink
	w.out.WriteString(end)
}

// address writes an address as a link.
func (w *writer) address(destination, label string) {
	begin, end := w.linkTo(destination)
	w.out.WriteString(begin + html.EscapeString(label) + end)
}

// linkTo is what stands before and behind the label of a link. An address in somebody else's text that is none of
// the web or of mail stands behind it as text.
func (w *writer) linkTo(destination string) (begin, end string) {
	if w.inLink { // an image in the label of a link
		return "", ""
	}
	address := string(util.URLEscape([]byte(destination), true))
	if w.document {
		address = w.resolve(destination)
		if !strings.HasPrefix(address, "http") {
			return `<a class="link" href="` + html.EscapeString(address) + `">`, `</a>`
		}
	}
	if !leadsOut(address) {
		return "", " (" + html.EscapeString(destination) + ")"
	}
	address = html.EscapeString(address)
	begin = `<a class="link" href="` + address + `" title="` + address + `"`
	return begin + ` rel="noopener noreferrer nofollow" target="_blank">`, `</a>`
}

// leadsOut reports whether an address is one of the web or of mail.
func leadsOut(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	switch u.Scheme {
	case "http", "https":
		return u.Host != ""
	case "mailto":
		return u.Opaque != ""
	}
	return false
}

// address is an address of the web in a text.
var address = regexp.MustCompile(`https?://[^\s<>"']+[^\s<>"'.,;:!?)\]]`)

// withAddresses writes text, and its addresses of the web as links.
func (w *writer) withAddresses(text []byte) {
	at := 0
	for _, m := range address.FindAllIndex(text, -1) {
		found := text[m[0]:m[1]]
		if m[1] < len(text) && text[m[1]] == ')' && bytes.Count(found, []byte("(")) > bytes.Count(found, []byte(")")) {
			found = text[m[0] : m[1]+1]
		}
		w.escaped(text[at:m[0]])
		w.address(string(found), string(found))
		at = m[0] + len(found)
	}
	w.escaped(text[at:])
}

// escaped writes text with its escapes and entities resolved.
func (w *writer) escaped(text []byte) {
	b := bufio.NewWriter(&w.out)
	renderer.DefaultWriter.Write(b, text)
	_ = b.Flush() // a strings.Builder takes everything
}

// lines are the lines of a block as they were written.
func (w *writer) lines(n ast.Node) string {
	var b strings.Builder
	for i := range n.Lines().Len() {
		line := n.Lines().At(i)
		b.Write(line.Value(w.source))
	}
	return b.String()
}

// plain is what a node says without its markup.
func plain(n ast.Node, source []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Text:
			b.Write(n.Value(source))
			if n.SoftLineBreak() || n.HardLineBreak() {
				b.WriteByte(' ')
			}
		case *ast.String:
			b.Write(n.Value)
		case *ast.AutoLink:
			b.Write(n.Label(source))
		}
		return ast.WalkContinue, nil
	})
	return b.String()
}
