package page

import (
	"io"
	"net/url"
	"slices"
	"strings"

	dom "golang.org/x/net/html"
)

// Form is a form of a page: what a browser sends when nobody touches it, and how its fields are called.
type Form struct {
	Action  string
	Values  url.Values
	fields  []shownField         // in the order of the page, each once
	units   []formUnit           // fields that make sense together alone
	choices map[[2]string]string // how a value is called on screen, by the name of its field and itself
	noted   map[string]bool      // keys of fields
}

// shownField is a field of a form, or, of boxes with one name, one box.
type shownField struct {
	key   string // its name; of a box, its name, boxMark and its value
	id    string // of its control in the page
	label string
}

// formUnit is the rows of a list: all fields whose names begin alike are one, since the first of one belongs to the
// first of the other.
type formUnit struct{ prefix, label string }

// boxMark is between the name and the value of a box in its key.
const boxMark = "\x1f"

// Forms reads the forms of a page that are posted.
func Forms(page io.Reader) ([]*Form, error) {
	doc, err := dom.Parse(page)
	if err != nil {
		return nil, err
	}
	var list []*Form
	labels := map[string]string{} // by the id of a control
	for n := range doc.Descendants() {
		switch {
		case n.Type != dom.ElementNode:
		case n.Data == "label" && attributeOf(n, "for") != "":
			labels[attributeOf(n, "for")] = words(n)
		case n.Data == "form" && strings.EqualFold(attributeOf(n, "method"), "post"):
			list = append(list, &Form{
				Action: attributeOf(n, "action"), Values: url.Values{}, choices: map[[2]string]string{},
				noted: map[string]bool{},
			})
			for field := range n.Descendants() {
				list[len(list)-1].read(field)
			}
		}
	}
	for _, f := range list {
		for i, field := range f.fields {
			if label := labels[field.id]; field.id != "" && label != "" {
				f.fields[i].label = label
			}
		}
	}
	return list, nil
}

// read takes over one element within a form.
func (f *Form) read(n *dom.Node) {
	if n.Type != dom.ElementNode {
		return
	}
	if prefix := attributeOf(n, "data-unit"); prefix != "" {
		f.units = append(f.units, formUnit{prefix, attributeOf(n, "data-unit-label")})
		f.note(prefix, n, attributeOf(n, "data-unit-label"))
	}
	name := attributeOf(n, "name")
	if name == "" || has(n, "disabled") {
		return
	}
	switch n.Data {
	case "select":
		f.Values[name] = append(f.Values[name], chosen(n)...)
		for o := range n.Descendants() {
			if o.Type == dom.ElementNode && o.Data == "option" {
				f.choices[[2]string{name, optionValue(o)}] = words(o)
			}
		}
		f.note(name, n, "")
	case "textarea":
		f.Values.Add(name, textOfNode(n))
		f.note(name, n, "")
	case "input":
		switch attributeOf(n, "type") {
		case "submit", "button", "reset", "image", "file":
		case "checkbox":
			if has(n, "checked") {
				f.Values.Add(name, attributeOf(n, "value"))
			}
			f.note(name+boxMark+attributeOf(n, "value"), n, within(n, "label"))
		case "radio":
			if has(n, "checked") {
				f.Values.Add(name, attributeOf(n, "value"))
			}
			f.choices[[2]string{name, attributeOf(n, "value")}] = within(n, "label")
			f.note(name, n, legend(n))
		default:
			f.Values.Add(name, attributeOf(n, "value"))
			if attributeOf(n, "type") != "hidden" {
				f.note(name, n, "")
			}
		}
	}
}

// note adds a field to those that have a name on screen. Those of a unit are named as one.
func (f *Form) note(key string, n *dom.Node, label string) {
	if unit, ok := f.unitOf(key); ok && unit.prefix != key {
		return
	}
	if f.noted[key] {
		return
	}
	f.noted[key] = true
	if aria := attributeOf(n, "aria-label"); aria != "" && label == "" {
		label = aria
	}
	f.fields = append(f.fields, shownField{key: key, id: attributeOf(n, "id"), label: label})
}

// unitOf is the unit that a field belongs to.
func (f *Form) unitOf(key string) (formUnit, bool) {
	for _, u := range f.units {
		if strings.HasPrefix(key, u.prefix) {
			return u, true
		}
	}
	return formUnit{}, false
}

func attributeOf(n *dom.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func has(n *dom.Node, key string) bool {
	return slices.ContainsFunc(n.Attr, func(a dom.Attribute) bool { return a.Key == key })
}

func textOfNode(n *dom.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == dom.TextNode {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}

// words is the text of an element on one line.
func words(n *dom.Node) string { return strings.Join(strings.Fields(textOfNode(n)), " ") }

// within is the text of the element of a kind that an element stands in.
func within(n *dom.Node, kind string) string {
	for p := range n.Ancestors() {
		if p.Type == dom.ElementNode && p.Data == kind {
			return words(p)
		}
	}
	return ""
}

// legend is what a group of radios is called.
func legend(n *dom.Node) string {
	for p := range n.Ancestors() {
		if p.Type != dom.ElementNode || p.Data != "fieldset" {
			continue
		}
		for c := range p.ChildNodes() {
			if c.Type == dom.ElementNode && c.Data == "legend" {
				return words(c)
			}
		}
	}
	return ""
}

// optionValue is the value of an option: its text, where it names none.
func optionValue(o *dom.Node) string {
	if has(o, "value") {
		return attributeOf(o, "value")
	}
	return words(o)
}

// chosen are the values of a select: a folded one always has one, the first that can be chosen.
func chosen(n *dom.Node) []string {
	var list, first []string
	for o := range n.Descendants() {
		if o.Type != dom.ElementNode || o.Data != "option" {
			continue
		}
		value := optionValue(o)
		switch {
		case has(o, "selected"):
			list = append(list, value)
		case first == nil && !has(o, "disabled"):
			first = []string{value}
		}
	}
	if has(n, "multiple") {
		return list
	}
	if len(list) == 0 {
		return first
	}
	return list[len(list)-1:]
}
