package markdown

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"
)

// Document is a text of the program itself, such as a page of the help.
type Document struct {
	Title    string // its heading of the first level
	About    string // its first paragraph
	Parts    []Part // what follows
	Headings []Heading
}

// Part is a part of a document. Exactly one of its fields is set.
type Part struct {
	HTML string
	// Slot is the name of a place that a page fills. In the text it stands between <!-- NAME: why --> and <!-- end
	// of NAME -->, with what a reader of the text sees there.
	Slot string
}

// Heading is a heading of the second level.
type Heading struct{ Text, Anchor string }

var documents = goldmark.New(goldmark.WithExtensions(extension.Table)).Parser()

var (
	slotBegins = regexp.MustCompile(`^<!-- ([a-z]+): [^>]*-->\s*$`)
	slotEnds   = regexp.MustCompile(`^<!-- end of ([a-z]+) -->\s*$`)
)

// Parse reads a document. Resolve maps the destinations of its links to addresses. Parse returns an error for a
// document without a title, and for one that has HTML other than the marks of a slot.
func Parse(source []byte, resolve func(destination string) string) (*Document, error) {
	root := documents.Parse(text.NewReader(source))
	w := &writer{source: source, document: true, resolve: resolve, anchors: anchorsOf(root, source)}
	d := &Document{}
	slot := ""
	flush := func() {
		if w.out.Len() > 0 {
			d.Parts = append(d.Parts, Part{HTML: w.out.String()})
		}
		w.out.Reset()
	}
	for n := root.FirstChild(); n != nil; n = n.NextSibling() {
		if n.Kind() == ast.KindHTMLBlock {
			mark := w.lines(n)
			begins, ends := slotBegins.FindStringSubmatch(mark), slotEnds.FindStringSubmatch(mark)
			switch {
			case begins != nil && slot == "":
				flush()
				slot = begins[1]
				d.Parts = append(d.Parts, Part{Slot: slot})
			case ends != nil && ends[1] == slot:
				slot = ""
			default:
				return nil, fmt.Errorf("HTML that is no mark of a slot: %s", mark)
			}
			continue
		}
		if slot != "" {
			continue
		}
		h, isHeading := n.(*ast.Heading)
		switch {
		case isHeading && h.Level == 1:
			d.Title = plain(h, source)
		case d.About == "" && n.Kind() == ast.KindParagraph:
			d.About = plain(n, source)
		default:
			if isHeading && h.Level == 2 {
				d.Headings = append(d.Headings, Heading{Text: plain(h, source), Anchor: w.anchors[h]})
			}
			w.block(n)
		}
	}
	flush()
	if rawHTML(root) {
		return nil, errors.New("HTML within a paragraph")
	}
	if d.Title == "" || d.About == "" || slot != "" {
		return nil, fmt.Errorf("a document with the title %q, about %q, that leaves the slot %q open", d.Title, d.About,
			slot)
	}
	return d, nil
}

// rawHTML reports whether a text has HTML within a paragraph.
func rawHTML(root ast.Node) (found bool) {
	_ = ast.Walk(root, func(n ast.Node, _ bool) (ast.WalkStatus, error) {
		if found = n.Kind() == ast.KindRawHTML; found {
			return ast.WalkStop, nil
		}
		return ast.WalkContinue, nil
	})
	return found
}

// Anchors are the names by which links lead to the headings of a text, in their order.
func Anchors(source []byte) []string {
	root := documents.Parse(text.NewReader(source))
	var list []string
	anchors := anchorsOf(root, source)
	for n := range headings(root) {
		list = append(list, anchors[n])
	}
	return list
}

// anchorsOf names the headings of a text as GitHub does.
func anchorsOf(root ast.Node, source []byte) map[ast.Node]string {
	anchors, used := map[ast.Node]string{}, map[string]int{}
	for n := range headings(root) {
		anchor := slug(plain(n, source))
		before := used[anchor]
		used[anchor]++
		if before > 0 {
			anchor += "-" + strconv.Itoa(before)
		}
		anchors[n] = anchor
	}
	return anchors
}

// headings are the headings of a text, in their order.
func headings(root ast.Node) func(yield func(*ast.Heading) bool) {
	return func(yield func(*ast.Heading) bool) {
		for n := root.FirstChild(); n != nil; n = n.NextSibling() {
			if h, ok := n.(*ast.Heading); ok && !yield(h) {
				return
			}
		}
	}
}

func slug(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsNumber(r), unicode.IsMark(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}
