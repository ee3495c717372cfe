package markdown

import (
	"bytes"
	"html"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

const (
	// MaxProse is how many bytes of a text are read as Markdown. A longer text is shown as it was written.
	MaxProse = 96 << 10
	// maxBrackets is how many opening brackets a text may have. The parser compares each of them with those before it.
	maxBrackets = 2000
	// maxCells is how many cells a table may have. Each row gets as many cells as the head has.
	maxCells = 5000
	// maxDepth is how many quotations and lists may stand in one another.
	maxDepth = 12
)

// prose reads the subset that agents and people write. It has no HTML, no addresses that are named elsewhere in the
// text, and no headings that are underlined. An underscore is a letter: in such texts it belongs to names more
// often than to emphasis.
var prose = goldmark.New(goldmark.WithExtensions(extension.TaskList), goldmark.WithParser(parser.NewParser(
	parser.WithBlockParsers(
		util.Prioritized(parser.NewThematicBreakParser(), 200),
		util.Prioritized(shallow{parser.NewListParser()}, 300),
		util.Prioritized(parser.NewListItemParser(), 400),
		util.Prioritized(parser.NewCodeBlockParser(), 500),
		util.Prioritized(parser.NewATXHeadingParser(), 600),
		util.Prioritized(parser.NewFencedCodeBlockParser(), 700),
		util.Prioritized(shallow{parser.NewBlockquoteParser()}, 800),
		util.Prioritized(parser.NewParagraphParser(), 1000),
	),
	parser.WithParagraphTransformers(util.Prioritized(small{extension.NewTableParagraphTransformer()}, 200)),
	parser.WithASTTransformers(util.Prioritized(extension.NewTableASTTransformer(), 0)),
	parser.WithInlineParsers(
		util.Prioritized(parser.NewCodeSpanParser(), 100),
		util.Prioritized(parser.NewLinkParser(), 200),
		util.Prioritized(parser.NewAutoLinkParser(), 300),
		util.Prioritized(stars{parser.NewEmphasisParser()}, 500),
	),
))).Parser()

// Prose renders what an agent or a person has written. All of the text is shown. Nothing in it becomes an element,
// an attribute or an address of its author's choice, but for links to the web and to mail. Images are links, and
// are not loaded.
func Prose(source string) string {
	if source == "" {
		return ""
	}
	if len(source) > MaxProse || count(source, '[') > maxBrackets {
		return `<p class="said">` + html.EscapeString(source) + `</p>`
	}
	w := &writer{source: []byte(source)}
	w.blocks(prose.Parse(text.NewReader(w.source)))
	return w.out.String()
}

func count(s string, sign byte) (n int) {
	for i := range len(s) {
		if s[i] == sign {
			n++
		}
	}
	return n
}

// shallow opens no block within maxDepth others. The lines stay text.
type shallow struct{ parser.BlockParser }

// Open implements parser.BlockParser.
func (s shallow) Open(parent ast.Node, reader text.Reader, pc parser.Context) (ast.Node, parser.State) {
	depth := 0
	for n := parent; n != nil; n = n.Parent() {
		if depth++; depth > 2*maxDepth { // a list and its item are two nodes
			return nil, parser.NoChildren
		}
	}
	return s.BlockParser.Open(parent, reader, pc)
}

// small makes tables of paragraphs, unless they have more than maxCells. Then they stay text.
type small struct{ parser.ParagraphTransformer }

// Transform implements parser.ParagraphTransformer.
func (s small) Transform(node *ast.Paragraph, reader text.Reader, pc parser.Context) {
	columns := 0
	if lines := node.Lines(); lines.Len() > 1 {
		for i := range lines.Len() { // of the line that has most, since any of them may be the head
			line := lines.At(i)
			columns = max(columns, bytes.Count(line.Value(reader.Source()), []byte("|"))+1)
		}
		if columns*lines.Len() > maxCells {
			return
		}
	}
	s.ParagraphTransformer.Transform(node, reader, pc)
}

// stars is emphasis by stars alone.
type stars struct{ parser.InlineParser }

// Trigger implements parser.InlineParser.
func (stars) Trigger() []byte { return []byte{'*'} }
