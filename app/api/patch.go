package api

import (
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"carillon/app/spec"
)

// patchOf is the body of a request that sets some fields of a T. Its schema comes from T.
type patchOf[T any] struct{ spec.PatchOf[T] }

// TransformSchema is called by the library to describe the patch.
func (p patchOf[T]) TransformSchema(r huma.Registry, _ *huma.Schema) *huma.Schema {
	s := huma.SchemaFromType(r, p.Of())
	loosen(r, p.Of(), s, map[reflect.Type]bool{})
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
		if isNumber(f.Type) && spec.Declares(of) {
			least, _ := strconv.ParseFloat(f.Tag.Get("least"), 64)
			p.Minimum = &least
		}
		if inner := spec.Innermost(f.Type); spec.Declares(inner) {
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
		if p == nil || !spec.Declares(of) {
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
			values.Enum = about.Enum()
		}
	})
}

func isNumber(t reflect.Type) bool {
	return t.Kind() == reflect.Int || t.Kind() == reflect.Int64 || t.Kind() == reflect.Float64
}
