package stage

import (
	"strings"

	"golang.org/x/net/html"
)

// Page is a document, or an element of one.
type Page struct{ node *html.Node }

// Find lists the elements that match, in their order.
func (p Page) Find(match func(Page) bool) []Page {
	var list []Page
	for n := range p.node.Descendants() {
		if e := (Page{n}); n.Type == html.ElementNode && match(e) {
			list = append(list, e)
		}
	}
	return list
}

// First is the first element that matches; an empty one when none does.
func (p Page) First(match func(Page) bool) Page {
	if list := p.Find(match); len(list) > 0 {
		return list[0]
	}
	return Page{&html.Node{Type: html.DocumentNode}}
}

// Element matches by name.
func Element(name string) func(Page) bool { return func(p Page) bool { return p.node.Data == name } }

// With matches by an attribute, or one of the words in it.
func With(attribute, word string) func(Page) bool {
	return func(p Page) bool {
		for w := range strings.FieldsSeq(p.Attr(attribute)) {
			if w == word {
				return true
			}
		}
		return false
	}
}

// Attr is the value of an attribute.
func (p Page) Attr(name string) string {
	for _, a := range p.node.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// Text is what an element says, as it is written.
func (p Page) Text() string {
	var b strings.Builder
	for n := range p.node.Descendants() {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
		}
	}
	return b.String()
}

// Said is what an element says, in one line.
func (p Page) Said() string { return strings.Join(strings.Fields(p.Text()), " ") }
