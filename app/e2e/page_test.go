package e2e

import (
	"strings"

	"golang.org/x/net/html"
)

// page is a document, or an element of one.
type page struct{ node *html.Node }

// find lists the elements that match, in their order.
func (p page) find(match func(page) bool) []page {
	var list []page
	for n := range p.node.Descendants() {
		if e := (page{n}); n.Type == html.ElementNode && match(e) {
			list = append(list, e)
		}
	}
	return list
}

// first is the first element that matches; an empty one when none does.
func (p page) first(match func(page) bool) page {
	if list := p.find(match); len(list) > 0 {
		return list[0]
	}
	return page{&html.Node{Type: html.DocumentNode}}
}

// element matches by name.
func element(name string) func(page) bool { return func(p page) bool { return p.node.Data == name } }

// with matches by an attribute, or one of the words in it.
func with(attribute, word string) func(page) bool {
	return func(p page) bool {
		for w := range strings.FieldsSeq(p.attr(attribute)) {
			if w == word {
				return true
			}
		}
		return false
	}
}

func (p page) attr(name string) string {
	for _, a := range p.node.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// text is what an element says, as it is written.
func (p page) text() string {
	var b strings.Builder
	for n := range p.node.Descendants() {
		if n.Type == html.TextNode {
			b.WriteString(n.Data)
		}
	}
	return b.String()
}

// said is what an element says, in one line.
func (p page) said() string { return strings.Join(strings.Fields(p.text()), " ") }
