package manifest

import (
	"fmt"
	"reflect"
	"strings"
)

// Field is one field of a document with its value: a text, a bool, a number or a list of texts.
type Field struct {
	Path  string
	Value any
	Usual bool // it is what holds when the field is left out
}

// Fields lists the fields of a document in their order. Spec is an *Automation, a *Workflow or a *Bot; its values from the
// environment must have been resolved.
func Fields(spec any) []Field {
	v := reflect.ValueOf(spec).Elem()
	return fields(nil, "", v, usually(v.Type()))
}

func fields(list []Field, path string, v, usual reflect.Value) []Field {
	if value, is := v.Interface().(Value); is {
		return append(list, Field{path, value.Text, !value.Given()})
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			list = append(list, Field{path, v.Elem().Interface(), false})
		}
	case reflect.Struct:
		for i := range v.NumField() {
			list = fields(list, join(path, v.Type().Field(i).Tag.Get("yaml")), v.Field(i), usual.Field(i))
		}
	case reflect.Map:
		for _, key := range keys(v) {
			list = fields(list, join(path, key), v.MapIndex(reflect.ValueOf(key)), reflect.Value{})
		}
	case reflect.Slice:
		if texts, is := v.Interface().([]string); is {
			return append(list, Field{path, append([]string{}, texts...), len(texts) == 0})
		}
		usual := usually(v.Type().Elem())
		for i := range v.Len() {
			list = fields(list, fmt.Sprintf("%s[%d]", path, i), v.Index(i), usual)
		}
	default:
		list = append(list, Field{path, v.Interface(), v.Equal(usual)})
	}
	return list
}

// Difference is a field that is to change. What is nil is nothing: an empty text, or a field that is left out.
type Difference struct {
	Field  string `json:"field"`
	Before any    `json:"before,omitempty"`
	After  any    `json:"after,omitempty"`
}

// Differences lists what differs between two specs of the same type, in the order of their fields. Before may be nil: then it
// is all that is not as usual.
func Differences(before, after any) []Difference {
	old := map[string]Field{}
	if before != nil {
		for _, f := range Fields(before) {
			old[f.Path] = f
		}
	}
	var list []Difference
	for _, f := range Fields(after) {
		was, had := old[f.Path]
		delete(old, f.Path)
		switch {
		case before == nil && f.Usual, had && reflect.DeepEqual(was.Value, f.Value), !had && shown(f.Value) == nil:
		case had:
			list = append(list, Difference{f.Path, shown(was.Value), shown(f.Value)})
		default:
			list = append(list, Difference{f.Path, nil, shown(f.Value)})
		}
	}
	if before != nil {
		for _, f := range Fields(before) {
			if was, left := old[f.Path]; left && shown(was.Value) != nil {
				list = append(list, Difference{f.Path, shown(was.Value), nil})
			}
		}
	}
	return list
}

// shown is nil for what there is nothing of.
func shown(v any) any {
	if text, is := v.(string); is && text == "" {
		return nil
	}
	if texts, is := v.([]string); is && len(texts) == 0 {
		return nil
	}
	return v
}

// FieldOf is the field of a spec that the rules call by the name of the editor's form. What has none is of the whole document.
func FieldOf(spec any, form string) string {
	path, _ := fieldOf(reflect.TypeOf(spec).Elem(), form)
	return path
}

func fieldOf(t reflect.Type, form string) (string, bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, tag := f.Tag.Get("yaml"), f.Tag.Get("form")
		switch {
		case f.Type == reflect.TypeFor[Value](), f.Type.Kind() != reflect.Struct && f.Type.Kind() != reflect.Map:
			if tag != "" && tag == form {
				return name, true
			}
		case tag != "" && tag == form:
			return name, true
		case strings.HasPrefix(form, tag) && f.Type.Kind() == reflect.Map && tag != "":
			return name + "." + strings.TrimPrefix(form, tag), true
		case strings.HasPrefix(form, tag) && f.Type.Kind() == reflect.Struct:
			if inner, ok := fieldOf(f.Type, strings.TrimPrefix(form, tag)); ok {
				return name + "." + inner, true
			}
		}
	}
	return "", false
}
