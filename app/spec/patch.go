package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Patch is a JSON object that changes some fields of a struct. A field that the object lacks, or that is null, stays as
// it is. A nested struct and a list are replaced as a whole. A dictionary keeps the entries that the object does not
// name.
type Patch struct {
	values map[string]json.RawMessage
	names  []string
}

// ReadPatch reads a patch of a struct of type t. The case of a name does not matter. The error is a
// *json.UnmarshalTypeError, with the path of the field, where a value does not fit; any other error is a sentence for
// whoever wrote the object.
func ReadPatch(data []byte, t reflect.Type) (Patch, error) {
	p := Patch{values: map[string]json.RawMessage{}}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return p, err
	}
	known := map[string]string{}
	EachField(t, func(_ reflect.Type, f reflect.StructField) { known[strings.ToLower(JSONName(f))] = JSONName(f) })
	for _, key := range slices.Sorted(maps.Keys(object)) {
		name, is := known[strings.ToLower(key)]
		if !is {
			return p, fmt.Errorf("unknown field %q", key)
		}
		if string(bytes.TrimSpace(object[key])) != "null" {
			p.values[name] = object[key]
		}
	}
	trial := reflect.New(t)
	if err := p.Apply(trial.Interface()); err != nil {
		return p, err
	}
	p.note(trial.Elem())
	slices.Sort(p.names)
	return p, nil
}

// PatchOf is a patch of a T: the body of a request, or the arguments of a tool, that sets some fields of one. What
// takes it is described by T.
type PatchOf[T any] struct{ Patch }

// UnmarshalJSON reads a patch as ReadPatch does.
func (p *PatchOf[T]) UnmarshalJSON(data []byte) (err error) {
	p.Patch, err = ReadPatch(data, p.Of())
	return err
}

// Of is the type whose fields the patch sets.
func (PatchOf[T]) Of() reflect.Type { return reflect.TypeFor[T]() }

// Over is a value with the fields that the patch sets.
func (p PatchOf[T]) Over(value T) (T, error) {
	err := p.Apply(&value)
	return value, err
}

// note notes the names of what a patch changes. Its values are those of the struct.
func (p *Patch) note(of reflect.Value) {
	for i := range of.NumField() {
		f := of.Type().Field(i)
		name := JSONName(f)
		switch {
		case f.Anonymous:
			p.note(of.Field(i))
		case !p.Has(name):
		case f.Type.Kind() == reflect.Map:
			for _, key := range of.Field(i).MapKeys() {
				p.names = append(p.names, Join(name, key.String()))
			}
			fallthrough
		default:
			p.names = append(p.names, name)
		}
	}
}

// Has reports whether a patch changes a field of the struct itself.
func (p Patch) Has(name string) bool {
	_, is := p.values[name]
	return is
}

// Names lists the fields that a patch changes, in order; those of a dictionary also as "dictionary.entry".
func (p Patch) Names() []string { return p.names }

// Apply changes the fields of a struct, with the errors of ReadPatch.
func (p Patch) Apply(to any) error { return p.apply(reflect.ValueOf(to).Elem()) }

func (p Patch) apply(to reflect.Value) error {
	for i := range to.NumField() {
		f, v := to.Type().Field(i), to.Field(i)
		if f.Anonymous {
			if err := p.apply(v); err != nil {
				return err
			}
			continue
		}
		name := JSONName(f)
		if !p.Has(name) {
			continue
		}
		// Into the field itself, the decoder would merge: a struct keeps what the object leaves out, and a list the
		// contents of its elements.
		given := reflect.New(f.Type)
		d := json.NewDecoder(bytes.NewReader(p.values[name]))
		d.DisallowUnknownFields()
		if err := d.Decode(given.Interface()); err != nil {
			return placed(err, name)
		}
		if f.Type.Kind() == reflect.Map {
			given = merged(v, given.Elem())
		}
		v.Set(given.Elem())
	}
	return nil
}

// placed is the error of a decoder of one field.
func placed(err error, name string) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		kind.Field = strings.TrimSuffix(Join(name, kind.Field), ".")
		return kind
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

// merged is a new dictionary with the entries of two. Those of the second count.
func merged(first, second reflect.Value) reflect.Value {
	all := reflect.New(first.Type())
	all.Elem().Set(reflect.MakeMap(first.Type()))
	for _, from := range []reflect.Value{first, second} {
		for _, key := range from.MapKeys() {
			all.Elem().SetMapIndex(key, from.MapIndex(key))
		}
	}
	return all
}

// EachField calls do for the fields of a struct that JSON has, and for those of its embedded structs, with the type
// that declares them.
func EachField(t reflect.Type, do func(of reflect.Type, f reflect.StructField)) {
	for i := range t.NumField() {
		f := t.Field(i)
		switch {
		case f.Anonymous && f.Type.Kind() == reflect.Struct:
			EachField(f.Type, do)
		case JSONName(f) != "":
			do(t, f)
		}
	}
}
