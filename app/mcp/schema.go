package mcp

import (
	"fmt"
	"reflect"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"

	"carillon/app/spec"
)

// schemas are what the tools take, described once for all requests.
type schemas struct {
	mu     sync.Mutex
	byType map[reflect.Type]*jsonschema.Schema
}

func schemaOf[In any](s *schemas) *jsonschema.Schema {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := reflect.TypeFor[In]()
	if known, ok := s.byType[t]; ok {
		return known
	}
	described := t
	patch, isPatch := reflect.Zero(t).Interface().(interface{ Of() reflect.Type })
	if isPatch {
		described = patch.Of()
	}
	schema, err := jsonschema.ForType(described, &jsonschema.ForOptions{})
	if err != nil {
		panic(fmt.Sprintf("describe %s: %v", t, err)) // of a type of ours; the tests would have shown it
	}
	for _, p := range schema.Properties {
		plain(p)
	}
	if isPatch {
		schema.Required = explain(described, schema)
	}
	if s.byType == nil {
		s.byType = map[reflect.Type]*jsonschema.Schema{}
	}
	s.byType[t] = schema
	return schema
}

// plain takes null out of the types of a schema. Within an object everything may be left out: what it lacks is as if it
// were empty.
func plain(p *jsonschema.Schema) {
	p.Required = nil
	for _, inner := range p.Properties {
		plain(inner)
	}
	for _, t := range p.Types {
		if t != "null" {
			p.Type, p.Types = t, nil
			break
		}
	}
	if p.Items != nil {
		plain(p.Items)
	}
}

// explain writes into the schema of a tool's arguments what the spec says of the fields of a type, and lists the fields
// that a call must have.
func explain(t reflect.Type, s *jsonschema.Schema) (required []string) {
	spec.EachField(t, func(of reflect.Type, f reflect.StructField) {
		p, about := s.Properties[spec.JSONName(f)], spec.Describe(of, f)
		if f.Tag.Get("required") == "true" {
			required = append(required, spec.JSONName(f))
		}
		if p == nil || !spec.Declares(of) {
			return
		}
		p.Description = about.Text
		values := p
		if p.Items != nil {
			values = p.Items
		}
		values.Enum = about.Enum()
		if inner := spec.Innermost(f.Type); spec.Declares(inner) {
			explain(inner, values)
		}
	})
	return required
}
