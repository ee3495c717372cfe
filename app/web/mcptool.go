package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// add gives a server a tool: what it is for, whether it only reads, and what carries it out.
//
// What it takes is described as plainly as can be: some model APIs refuse schemas in which a type is one of several. And it is
// read more generously than it is described: agents write null for what they leave out.
func add[In, Out any](c *mcpCaller, server *mcp.Server, name, description string, reads bool, call func(ctx context.Context, in In) (Out, error)) {
	closed, harmless := false, false
	schema := schemaOf[In](c.schemas)
	server.AddTool(&mcp.Tool{
		Name: name, Description: description, InputSchema: schema,
		Annotations: &mcp.ToolAnnotations{ReadOnlyHint: reads, OpenWorldHint: &closed, DestructiveHint: &harmless},
	}, func(ctx context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		var in In
		var out Out
		arguments, err := r.Params.Arguments, error(nil)
		if !reads {
			if arguments, err = c.withoutSecrets(ctx, arguments); err != nil {
				err = c.told(ctx, name, err)
			}
		}
		if err == nil {
			err = decode(arguments, schema.Required, &in)
		}
		if err == nil {
			out, err = call(ctx, in)
			err = c.told(ctx, name, err)
		}
		if err != nil {
			return &mcp.CallToolResult{IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: err.Error()}}}, nil
		}
		text, err := json.Marshal(out)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: string(text)}}, StructuredContent: json.RawMessage(text)}, nil
	})
}

// decode reads the arguments of a call. Its errors are for the agent that wrote them.
func decode(arguments json.RawMessage, required []string, in any) error {
	if len(bytes.TrimSpace(arguments)) == 0 {
		arguments = json.RawMessage("{}")
	}
	var all any
	if json.Unmarshal(arguments, &all) == nil && holdsNUL(all) {
		return errors.New("a text has the sign U+0000, which cannot be stored")
	}
	var given map[string]json.RawMessage
	if err := json.Unmarshal(arguments, &given); err != nil {
		return errors.New("the arguments are not a JSON object")
	}
	for _, name := range required {
		if v, ok := given[name]; !ok || string(v) == "null" {
			return fmt.Errorf("%s is missing", name)
		}
	}
	d := json.NewDecoder(bytes.NewReader(arguments))
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) {
			return fmt.Errorf("%s is a %s, which does not fit", kind.Field, kind.Value)
		}
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// toolSchemas are what the tools take, described once for all requests.
type toolSchemas struct {
	mu     sync.Mutex
	byType map[reflect.Type]*jsonschema.Schema
}

func schemaOf[In any](s *toolSchemas) *jsonschema.Schema {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := reflect.TypeFor[In]()
	if known, ok := s.byType[t]; ok {
		return known
	}
	schema, err := jsonschema.For[In](nil)
	if err != nil {
		panic(fmt.Sprintf("describe %s: %v", t, err)) // of a type of ours; the tests would have shown it
	}
	for _, p := range schema.Properties {
		plain(p)
	}
	if s.byType == nil {
		s.byType = map[reflect.Type]*jsonschema.Schema{}
	}
	s.byType[t] = schema
	return schema
}

// plain takes null out of the types of a schema. Within an object everything may be left out: what it lacks is as if it were empty.
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
