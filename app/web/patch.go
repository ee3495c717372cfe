package web

import (
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/jsonschema-go/jsonschema"

	"carillon/app/spec"
)

// patchOf is the body of a request, or the arguments of a tool, that sets some fields of a T. Its schemas come from T.
type patchOf[T any] struct{ spec spec.Patch }

func (p *patchOf[T]) UnmarshalJSON(data []byte) (err error) {
	p.spec, err = spec.ReadPatch(data, p.of())
	return err
}

// of is the type whose fields the patch sets.
func (patchOf[T]) of() reflect.Type { return reflect.TypeFor[T]() }

// over is a value with the fields that the patch sets.
func (p patchOf[T]) over(value T) (T, error) {
	err := p.spec.Apply(&value)
	return value, err
}

// TransformSchema is called by the library to describe the patch.
func (p patchOf[T]) TransformSchema(r huma.Registry, _ *huma.Schema) *huma.Schema {
	s := huma.SchemaFromType(r, p.of())
	loosen(r, p.of(), s, map[reflect.Type]bool{})
	return s
}

// loosen describes a type of a request. No field is required but those with the tag, and no number is negative.
func loosen(r huma.Registry, t reflect.Type, s *huma.Schema, done map[reflect.Type]bool) {
	if done[t] {
		return
	}
	done[t] = true
	s.Required = nil
	spec.EachField(t, func(of reflect.Type, f reflect.StructField) {
		p := s.Properties[spec.JSONName(f)]
		if p == nil {
			return
		}
		if f.Tag.Get("required") == "true" {
			s.Required = append(s.Required, spec.JSONName(f))
		}
		if isNumber(f.Type) && ofSpec(of) {
			least, _ := strconv.ParseFloat(f.Tag.Get("least"), 64)
			p.Minimum = &least
		}
		if inner := innermost(f.Type); ofSpec(inner) {
			loosen(r, inner, r.Schema(inner, false, ""), done)
		}
	})
	describe(t, s)
	s.PrecomputeMessages()
}

// describe writes into the schema of a type what the spec says of its fields.
func describe(t reflect.Type, s *huma.Schema) {
	spec.EachField(t, func(of reflect.Type, f reflect.StructField) {
		p, about := s.Properties[spec.JSONName(f)], spec.Describe(of, f)
		if p == nil || !ofSpec(of) {
			return
		}
		p.Default = nil // of a change, what is left out stays
		if p.Description == "" {
			p.Description = about.Text
		}
		values := p
		if p.Items != nil {
			values = p.Items
		}
		if len(values.Enum) == 0 {
			values.Enum = choices(about)
		}
	})
}

// explain writes into the schema of a tool's arguments what the spec says of the fields of a type, and lists the fields
// that a call must have.
func explain(t reflect.Type, s *jsonschema.Schema) (required []string) {
	spec.EachField(t, func(of reflect.Type, f reflect.StructField) {
		p, about := s.Properties[spec.JSONName(f)], spec.Describe(of, f)
		if f.Tag.Get("required") == "true" {
			required = append(required, spec.JSONName(f))
		}
		if p == nil || !ofSpec(of) {
			return
		}
		p.Description = about.Text
		values := p
		if p.Items != nil {
			values = p.Items
		}
		values.Enum = choices(about)
		if inner := innermost(f.Type); ofSpec(inner) {
			explain(inner, values)
		}
	})
	return required
}

func choices(about spec.Description) []any {
	var list []any
	for _, choice := range about.Choices {
		list = append(list, choice)
	}
	return list
}

// ofSpec reports whether a type is a struct of the spec.
func ofSpec(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t.PkgPath() == reflect.TypeFor[spec.Automation]().PkgPath()
}

// innermost is the type of the elements of a list or of a dictionary, or the type itself.
func innermost(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Map || t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

func isNumber(t reflect.Type) bool {
	return t.Kind() == reflect.Int || t.Kind() == reflect.Int64 || t.Kind() == reflect.Float64
}
