package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"carillon/app/spec"
)

// Bounds of a manifest.
const (
	// MaxSize is the most bytes that the files of a manifest may have together.
	MaxSize = 4 << 20
	// MaxDocuments is the most documents that a manifest may have.
	MaxDocuments = 2000
	// maxSigns is how many signs that divide YAML one line may have: more than a prompt at its longest. The parser
	// looks ahead to the end of a line, and keeps some hundred bytes for each.
	maxSigns = 500_000
	// maxMistakes is how many mistakes are told at once.
	maxMistakes = 100
)

// File is one file of a manifest.
type File struct {
	Name    string `json:"name"`
	Content string `json:"content"`
}

// Read reads the documents of files, with values from the environment of who sends them: Document.Faults tells those
// that it lacks. It returns Mistakes with all that is wrong in the files, as far as they can be read.
func Read(files []File, environment map[string]string) ([]*Document, error) {
	r := &reader{environment: environment}
	size := 0
	for _, f := range files {
		if size += len(f.Content); size > MaxSize {
			return nil, Mistakes{{File: f.Name, Text: fmt.Sprintf("These files are over %d MiB together.",
				MaxSize>>20)}}
		}
	}
	for _, f := range files {
		r.file(f)
	}
	if len(r.mistakes) > maxMistakes {
		r.mistakes = append(r.mistakes[:maxMistakes],
			Mistake{Text: fmt.Sprintf("And %d more.", len(r.mistakes)-maxMistakes)})
	}
	if len(r.mistakes) > 0 {
		return nil, r.mistakes
	}
	return r.documents, nil
}

// Variables lists the environment variables that a file asks for, each once. What of the file cannot be read is passed
// over: Read tells.
func Variables(f File) []string {
	var list []string
	seen := map[string]bool{}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[0].Value == fromEnv &&
			n.Content[1].Kind == yaml.ScalarNode {
			if name := n.Content[1].Value; !seen[name] {
				seen[name] = true
				list = append(list, name)
			}
			return
		}
		for _, child := range n.Content {
			walk(child)
		}
	}
	for n, err := range nodes(f.Content) {
		if err != nil {
			break
		}
		walk(n)
	}
	return list
}

// fromEnv is the one key of a value that comes from the caller's environment.
const fromEnv = "from_env"

// nodes are the documents of a text. An error ends them.
func nodes(text string) func(yield func(*yaml.Node, error) bool) {
	return func(yield func(*yaml.Node, error) bool) {
		loader, err := yaml.NewLoader(bytes.NewReader([]byte(text)))
		for err == nil {
			var n yaml.Node
			if err = loader.Load(&n); err == nil && !yield(&n, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(nil, err)
		}
	}
}

type reader struct {
	environment map[string]string

	documents []*Document
	mistakes  Mistakes
	doc       *Document // at which it is
}

// crowded is the number of a line that has more than maxSigns, or 0.
func crowded(text string) int {
	line, signs := 1, 0
	for i := range len(text) {
		switch text[i] {
		case '\n':
			line, signs = line+1, 0
		case '{', '}', '[', ']', ',', ':', '&', '*', '!', '"', '\'':
			if signs++; signs > maxSigns {
				return line
			}
		}
	}
	return 0
}

func (r *reader) file(f File) {
	if line := crowded(f.Content); line > 0 {
		text := fmt.Sprintf("This line has over %d signs that divide YAML, such as { and \". Break it into several.",
			maxSigns)
		r.mistakes = append(r.mistakes, Mistake{File: f.Name, Line: line, Text: text})
		return
	}
	for n, err := range nodes(f.Content) {
		if err != nil {
			m := Mistake{File: f.Name, Text: "This is not YAML: " + err.Error() + "."}
			var load *yaml.LoadError
			if errors.As(err, &load) {
				m.Line, m.Text = load.Mark.Line, "This is not YAML: "+load.Message+"."
				if load.ContextMsg != "" {
					m.Text = fmt.Sprintf("This is not YAML: %s %s, which begins in line %d.", load.Message,
						load.ContextMsg, load.ContextMark.Line)
				}
			}
			r.mistakes = append(r.mistakes, m)
			return
		}
		if n.Kind != yaml.DocumentNode || len(n.Content) == 0 {
			continue
		}
		root := n.Content[0]
		if root.Kind == yaml.ScalarNode && root.ShortTag() == "!!null" {
			continue // nothing between two separators
		}
		if len(r.documents) == MaxDocuments {
			r.mistakes = append(r.mistakes, Mistake{
				File: f.Name, Line: root.Line, Text: fmt.Sprintf("A manifest has at most %d documents.", MaxDocuments),
			})
			return
		}
		r.document(f.Name, root)
	}
}

func (r *reader) document(file string, root *yaml.Node) {
	r.doc = &Document{File: file, Line: root.Line, lines: map[string]int{}}
	if root.Kind != yaml.MappingNode {
		r.wrong(root, "",
			"A document is fields with their values, and begins with kind: Automation, kind: Workflow or kind: Bot.")
		return
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == "kind" && root.Content[i+1].Kind == yaml.ScalarNode {
			r.doc.Kind = Kind(root.Content[i+1].Value)
			r.doc.lines["kind"] = root.Content[i].Line
		}
	}
	switch r.doc.Kind {
	case KindAutomation:
		r.doc.Spec = &spec.Automation{}
	case KindWorkflow:
		r.doc.Spec = &spec.Workflow{}
	case KindBot:
		r.doc.Spec = &spec.Bot{}
	case "":
		r.wrong(root, "kind", "Say what this is: Automation, Workflow or Bot.")
		return
	default:
		r.mistakes = append(r.mistakes, Mistake{
			File: file, Line: r.doc.LineOf("kind"), Field: "kind",
			Text: fmt.Sprintf("There is no kind %s. Write Automation, Workflow or Bot.", quoted(string(r.doc.Kind))),
		})
		return
	}
	r.structure(root, "", reflect.ValueOf(r.doc.Spec).Elem())
	r.documents = append(r.documents, r.doc)
}

func (r *reader) wrong(n *yaml.Node, field, text string) {
	m := r.doc.Mistake(field, text)
	m.Line = n.Line
	r.mistakes = append(r.mistakes, m)
}

// value reads a node into a value of a spec. Any is whether it is one of those that isValue names.
func (r *reader) value(n *yaml.Node, field string, to reflect.Value, any bool) {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		r.wrong(n, field, "Anchors and aliases are not read here. Write the value out.")
		return
	case n.Kind == yaml.ScalarNode && strings.ContainsRune(n.Value, 0):
		r.wrong(n, field, "This text has the sign U+0000, which cannot be stored.")
		return
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null":
		return // as left out
	case n.Style&yaml.TaggedStyle != 0 && n.ShortTag() != "!!str":
		r.wrong(n, field, "Tags such as "+n.Tag+" are not read here.")
		return
	}
	switch to.Kind() {
	case reflect.Pointer:
		to.Set(reflect.New(to.Type().Elem()))
		r.value(n, field, to.Elem(), any)
	case reflect.Struct:
		if n.Kind != yaml.MappingNode {
			r.wrong(n, field, "Expected fields with their values, and this is "+described(n)+".")
			return
		}
		r.structure(n, field, to)
	case reflect.Slice:
		if n.Kind != yaml.SequenceNode {
			r.wrong(n, field, "Expected a list, and this is "+described(n)+".")
			return
		}
		list := reflect.MakeSlice(to.Type(), len(n.Content), len(n.Content))
		for i, item := range n.Content {
			at := fmt.Sprintf("%s[%d]", field, i)
			r.doc.lines[at] = item.Line
			spec.SetDefaults(list.Index(i))
			r.value(item, at, list.Index(i), false)
		}
		to.Set(list)
	case reflect.Map:
		r.dictionary(n, field, to, any)
	default:
		if any {
			r.given(n, field, to)
			return
		}
		r.scalar(n, field, to)
	}
}

func (r *reader) structure(n *yaml.Node, field string, to reflect.Value) {
	spec.SetDefaults(to)
	known := map[string]int{}
	var names []string
	for i := range to.NumField() {
		name := spec.Name(to.Type().Field(i))
		known[name] = i
		names = append(names, name)
	}
	r.pairs(n, field, func(key, value *yaml.Node, at string) {
		member, ok := known[key.Value]
		switch {
		case field == "" && key.Value == "kind":
			if value.Kind != yaml.ScalarNode {
				r.wrong(value, at, "Expected text.")
			}
		case !ok:
			text := "There is no such field."
			if near := nearest(key.Value, names); near != "" {
				text = "There is no such field. Did you mean " + near + "?"
			}
			r.wrong(key, at, text)
		default:
			f := to.Type().Field(member)
			r.value(value, at, to.Field(member), isValue(f))
			if f.Tag.Get("zero") == "none" && value.Kind == yaml.ScalarNode && value.ShortTag() != "!!null" &&
				to.Field(member).IsZero() {
				// Who writes 0 may mean the opposite of no limit.
				r.doc.Faults = append(r.doc.Faults, Fault{at,
					"Write a number above 0, or leave this out for no limit."})
			}
		}
	})
}

func (r *reader) dictionary(n *yaml.Node, field string, to reflect.Value, any bool) {
	if n.Kind != yaml.MappingNode {
		r.wrong(n, field, "Expected names with their values, and this is "+described(n)+".")
		return
	}
	to.Set(reflect.MakeMap(to.Type()))
	r.pairs(n, field, func(key, value *yaml.Node, at string) {
		v := reflect.New(to.Type().Elem()).Elem()
		r.value(value, at, v, any)
		to.SetMapIndex(reflect.ValueOf(key.Value), v)
	})
}

// pairs calls do for each key of a mapping, and refuses one that is there twice.
func (r *reader) pairs(n *yaml.Node, field string, do func(key, value *yaml.Node, at string)) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Anchor != "" || key.ShortTag() == "!!merge" ||
			strings.ContainsRune(key.Value, 0) {
			r.wrong(key, field, "Expected the name of a field.")
			continue
		}
		at := key.Value
		if field != "" {
			at = field + "." + key.Value
		}
		if seen[key.Value] {
			r.wrong(key, at, "This field is there twice.")
			continue
		}
		seen[key.Value] = true
		r.doc.lines[at] = key.Line
		do(key, value, at)
	}
}

// given reads a text, a number or a boolean as text, or the variable that it comes from.
func (r *reader) given(n *yaml.Node, field string, to reflect.Value) {
	switch {
	case n.Kind == yaml.ScalarNode:
		to.SetString(n.Value)
	case n.Kind == yaml.MappingNode && len(n.Content) == 2 && n.Content[0].Value == fromEnv &&
		n.Content[1].Kind == yaml.ScalarNode:
		name := n.Content[1].Value
		text, there := r.environment[name]
		switch {
		case !variableName.MatchString(name):
			r.wrong(n, field, quoted(name)+" is no name of an environment variable.")
		case !there:
			r.doc.Faults = append(r.doc.Faults, Fault{field, "The environment variable " + name + " is not set."})
		case text == "":
			r.doc.Faults = append(r.doc.Faults, Fault{field, "The environment variable " + name + " is empty."})
		default:
			to.SetString(text)
		}
	default:
		r.wrong(n, field, "Expected a text, or {from_env: NAME} for one from the environment.")
	}
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,99}$`)

func (r *reader) scalar(n *yaml.Node, field string, to reflect.Value) {
	expected := map[reflect.Kind]string{
		reflect.String: "text", reflect.Bool: "true or false", reflect.Int: "a whole number",
		reflect.Int64: "a whole number", reflect.Float64: "a number",
	}[to.Kind()]
	if n.Kind != yaml.ScalarNode {
		r.wrong(n, field, "Expected "+expected+", and this is "+described(n)+".")
		return
	}
	ok := false
	switch tag := n.ShortTag(); to.Kind() {
	case reflect.String:
		if ok = tag == "!!str" || tag == "!!timestamp"; ok {
			to.SetString(n.Value)
		} else {
			expected += "; put it in quotes"
		}
	case reflect.Bool:
		if ok = tag == "!!bool"; ok {
			to.SetBool(strings.EqualFold(n.Value, "true"))
		}
	case reflect.Int, reflect.Int64:
		var i int64
		if i, ok = wholeNumber(n.Value); ok && tag == "!!int" {
			to.SetInt(i)
		} else {
			ok = false
		}
	case reflect.Float64:
		var f float64
		if i, whole := wholeNumber(n.Value); whole {
			f, ok = float64(i), tag == "!!int"
		} else if tag == "!!float" || tag == "!!int" {
			var err error
			f, err = strconv.ParseFloat(n.Value, 64)
			ok = err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
		}
		to.SetFloat(f)
	}
	if !ok {
		r.wrong(n, field, "Expected "+expected+", and this is "+quoted(n.Value)+".")
	}
}

func wholeNumber(text string) (int64, bool) {
	i, err := strconv.ParseInt(text, 10, 64)
	return i, err == nil && i >= math.MinInt32 && i <= 1<<52
}

func described(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "fields with their values"
	case yaml.SequenceNode:
		return "a list"
	}
	return quoted(n.Value)
}

// quoted is a text of somebody's within a sentence, cut and without what does not show.
func quoted(text string) string {
	short := []rune(strings.ToValidUTF8(text, ""))
	if len(short) > 60 {
		return strconv.Quote(string(short[:60]) + "…")
	}
	return strconv.Quote(string(short))
}

// nearest is the name that somebody may have meant: the same but for its case, or but for at most two letters.
func nearest(typed string, names []string) string {
	best, least := "", 3
	simple := func(s string) string {
		return strings.ToLower(strings.ReplaceAll(strings.ReplaceAll(s, "_", ""), "-", ""))
	}
	for _, name := range names {
		if len(typed) > 40 {
			break
		}
		if d := distance(simple(typed), simple(name)); d < least && d < len(name)/2 {
			best, least = name, d
		}
	}
	return best
}

// distance is how many letters have to be put in, taken out or changed to make one text of another.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := before
			if a[i] != b[j] {
				cost++
			}
			before = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
