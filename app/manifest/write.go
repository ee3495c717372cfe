package manifest

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"carillon/app/spec"
)

// Write writes documents as Read reads them. What is as it would be when left out is left out, and so are secrets: of
// notes, which say so, each goes to the field that it is keyed by, of the document at the same place.
func Write(list []*Document, notes []map[string]string) ([]byte, error) {
	if len(list) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	dumper, err := yaml.NewDumper(&b, yaml.WithIndent(2), yaml.WithLineWidth(-1))
	if err != nil {
		return nil, err
	}
	for i, d := range list {
		of := reflect.ValueOf(d.Spec).Elem()
		var about map[string]string
		if i < len(notes) {
			about = notes[i]
		}
		root := node(of, "", about, false)
		root.Content = append([]*yaml.Node{scalarNode("kind"), scalarNode(string(d.Kind))}, root.Content...)
		if err := dumper.Dump(root); err != nil {
			return nil, fmt.Errorf("write %s: %w", d.Kind, err)
		}
	}
	if err := dumper.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

var number = regexp.MustCompile(`^(0|-?[1-9][0-9]{0,14})$`)

func scalarNode(text string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	if strings.Contains(text, "\n") {
		n.Style = yaml.LiteralStyle
	}
	return n
}

// node is a value as YAML. Any is whether the reader takes a number or a boolean in its place, too.
func node(v reflect.Value, path string, notes map[string]string, any bool) *yaml.Node {
	switch v.Kind() {
	case reflect.Pointer:
		return node(v.Elem(), path, notes, any)
	case reflect.Struct:
		n := &yaml.Node{Kind: yaml.MappingNode}
		usual := spec.Usual(v.Type())
		for i := range v.NumField() {
			if reflect.DeepEqual(v.Field(i).Interface(), usual.Field(i).Interface()) || empty(v.Field(i)) &&
				empty(usual.Field(i)) {
				continue
			}
			name := spec.Name(v.Type().Field(i))
			at := spec.Join(path, name)
			value := node(v.Field(i), at, notes, isValue(v.Type().Field(i)))
			if note := notes[at]; note != "" {
				value.LineComment = note
			}
			n.Content = append(n.Content, scalarNode(name), value)
		}
		return n
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			n.Content = append(n.Content, node(v.Index(i), fmt.Sprintf("%s[%d]", path, i), notes, false))
		}
		return n
	case reflect.Map:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for _, key := range spec.Keys(v) {
			n.Content = append(n.Content, scalarNode(key), node(v.MapIndex(reflect.ValueOf(key)), spec.Join(path, key),
				notes, any))
		}
		return n
	case reflect.Bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(v.Bool())}
	case reflect.Int, reflect.Int64:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(v.Int(), 10)}
	case reflect.Float64:
		n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!float", Value: strconv.FormatFloat(v.Float(), 'f', -1, 64)}
		if !strings.Contains(n.Value, ".") {
			n.Tag = "!!int"
		}
		return n
	default:
		n := scalarNode(v.String())
		switch { // read back as text all the same
		case any && number.MatchString(v.String()):
			n.Tag = "!!int"
		case any && (v.String() == "true" || v.String() == "false"):
			n.Tag = "!!bool"
		}
		return n
	}
}

// isValue reports whether a field's text may be written as a number or a boolean, or come from the environment.
func isValue(f reflect.StructField) bool { return f.Tag.Get("from") == "env" }

// empty reports whether there is nothing in a list or a dictionary.
func empty(v reflect.Value) bool {
	return (v.Kind() == reflect.Slice || v.Kind() == reflect.Map) && v.Len() == 0
}
