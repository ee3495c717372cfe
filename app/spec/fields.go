package spec

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Field is one field of a spec with its value: a text, a bool, a number or a list of texts.
type Field struct {
	Path  string
	Value any
	Usual bool // it is what holds when the field is left out
}

// Fields lists the fields of a spec in their order. Spec is an *Automation, a *Workflow or a *Bot.
func Fields(spec any) []Field {
	v := reflect.ValueOf(spec).Elem()
	return fields(nil, "", v, Usual(v.Type()))
}

func fields(list []Field, path string, v, usual reflect.Value) []Field {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			list = append(list, Field{path, v.Elem().Interface(), false})
		}
	case reflect.Struct:
		for i := range v.NumField() {
			list = fields(list, Join(path, Name(v.Type().Field(i))), v.Field(i), usual.Field(i))
		}
	case reflect.Map:
		for _, key := range Keys(v) {
			list = fields(list, Join(path, key), v.MapIndex(reflect.ValueOf(key)), reflect.ValueOf(""))
		}
	case reflect.Slice:
		if texts, is := v.Interface().([]string); is {
			return append(list, Field{path, append([]string{}, texts...), len(texts) == 0})
		}
		usual := Usual(v.Type().Elem())
		for i := range v.Len() {
			list = fields(list, fmt.Sprintf("%s[%d]", path, i), v.Index(i), usual)
		}
	default:
		list = append(list, Field{path, v.Interface(), v.Equal(usual)})
	}
	return list
}

// Values are the values of a spec by the names of its fields, of nested types those alone that are not as usual. Spec
// is an *Automation, a *Workflow or a *Bot.
func Values(spec any) map[string]any { return values(reflect.ValueOf(spec).Elem(), true) }

func values(v reflect.Value, all bool) map[string]any {
	m, usual := map[string]any{}, Usual(v.Type())
	for i := range v.NumField() {
		name, field := Name(v.Type().Field(i)), v.Field(i)
		switch {
		case !all && reflect.DeepEqual(field.Interface(), usual.Field(i).Interface()):
		case field.Kind() == reflect.Struct:
			m[name] = values(field, false)
		case field.Kind() != reflect.Pointer:
			m[name] = field.Interface()
		case !field.IsNil():
			m[name] = field.Elem().Interface()
		}
	}
	return m
}

// Difference is a field that is to change. What is nil is nothing: an empty text, or a field that is left out.
type Difference struct {
	Field  string `json:"field"`
	Before any    `json:"before,omitempty"`
	After  any    `json:"after,omitempty"`
}

// Differences lists what differs between two specs of the same type, in the order of their fields. Before may be nil:
// then it is all that is not as usual.
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

// FieldOf is the field of a spec that the rules call by the name of the editor's form. What has none is of the whole
// document.
func FieldOf(spec any, form string) string {
	path, _ := fieldOf(reflect.TypeOf(spec).Elem(), form)
	return path
}

func fieldOf(t reflect.Type, form string) (string, bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, tag := Name(f), FormName(f)
		switch {
		case f.Type.Kind() != reflect.Struct && f.Type.Kind() != reflect.Map:
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

// Declares reports whether a type is a struct of this package.
func Declares(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.PkgPath() == reflect.TypeFor[Automation]().PkgPath()
}

// Innermost is the type of the elements of a list or of a dictionary, or the type itself.
func Innermost(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Map || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// Name is the name of a field in manifests, or nothing where it has none.
func Name(f reflect.StructField) string {
	if name, is := f.Tag.Lookup("yaml"); is {
		return name
	}
	return JSONName(f)
}

// JSONName is the name of a field in JSON, or nothing where it has none.
func JSONName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if name == "-" {
		return ""
	}
	return name
}

// FormName is the name of a field in forms, or nothing where it has none.
func FormName(f reflect.StructField) string {
	switch name, is := f.Tag.Lookup("form"); {
	case !is:
		return JSONName(f)
	case name == "-":
		return ""
	default:
		return name
	}
}

// Usual is a struct of a type with all of its fields left out.
func Usual(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	SetDefaults(v)
	return v
}

// Keys are the names in a dictionary of texts, in order.
func Keys(v reflect.Value) []string {
	return slices.Sorted(maps.Keys(v.Interface().(map[string]string)))
}

// Join is the path of a field within another.
func Join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// SetDefaults gives the fields of a struct the values that they have where they are left out.
func SetDefaults(v reflect.Value) {
	if v.Kind() != reflect.Struct {
		return
	}
	for i := range v.NumField() {
		field := v.Field(i)
		SetDefaults(field)
		text, ok := v.Type().Field(i).Tag.Lookup("default")
		if !ok {
			continue
		}
		switch field.Kind() {
		case reflect.String:
			field.SetString(text)
		case reflect.Bool:
			field.SetBool(text == "true")
		case reflect.Int, reflect.Int64:
			n, _ := strconv.Atoi(text)
			field.SetInt(int64(n))
		case reflect.Float64:
			f, _ := strconv.ParseFloat(text, 64)
			field.SetFloat(f)
		}
	}
}

// New is an automation, a workflow or a bot of which nothing was said.
func New[T any]() T {
	var spec T
	SetDefaults(reflect.ValueOf(&spec).Elem())
	return spec
}
