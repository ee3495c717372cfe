package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/jsontext"
	"carillon/app/spec"
)

// add gives a server a tool: what it is for, whether it only reads, and what carries it out.
//
// What it takes is described as plainly as can be: some model APIs refuse schemas in which a type is one of several.
// And it is read more generously than it is described: agents write null for what they leave out.
func add[In, Out any](c *mcpCaller, server *mcp.Server, name, description string, reads bool,
	call func(ctx context.Context, in In) (Out, error)) {
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
			err = c.gathered(ctx, name, func(ctx context.Context) error {
				out, err = call(ctx, in)
				return c.told(ctx, name, err)
			})
		}
		if err != nil {
			return &mcp.CallToolResult{IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: err.Error()}}}, nil
		}
		text, err := json.Marshal(out)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return &mcp.CallToolResult{
			Content: []mcp.Content{&mcp.TextContent{Text: string(text)}}, StructuredContent: json.RawMessage(text),
		}, nil
	})
}

// unlisted answers calls of tools that a session has not got, since it may not manage automations: as refused, not as
// unknown, so that what it tried is known.
func (c *mcpCaller) unlisted(names ...string) mcp.Middleware {
	return func(next mcp.MethodHandler) mcp.MethodHandler {
		return func(ctx context.Context, method string, r mcp.Request) (mcp.Result, error) {
			call, is := r.(*mcp.CallToolRequest)
			if !is || !slices.Contains(names, call.Params.Name) {
				return next(ctx, method, r)
			}
			err := c.gathered(ctx, call.Params.Name, func(ctx context.Context) error {
				return c.told(ctx, call.Params.Name, fault.ErrForbidden)
			})
			return &mcp.CallToolResult{IsError: true, Content: []mcp.Content{&mcp.TextContent{Text: err.Error()}}}, nil
		}
	}
}

// gathered carries out a call of a tool, and notes what it was refused, for the transcript of the session that calls
// too.
func (c *mcpCaller) gathered(ctx context.Context, tool string, call func(ctx context.Context) error) error {
	inner, refusals := account.WithRefusals(ctx)
	err := call(inner)
	actor, why, any := refusals.Take()
	if !any {
		return err
	}
	account.RecordRefusal(ctx, actor, why)
	if c.session() {
		if err := c.server.Rules.NoteRefusedCall(context.WithoutCancel(ctx), c.actor, tool, why); err != nil {
			c.server.Log.Error("note a refused call", "tool", tool, "request", c.request, "err", err)
		}
	}
	return err
}

// decode reads the arguments of a call. Its errors are for the agent that wrote them.
func decode(arguments json.RawMessage, required []string, in any) error {
	if len(bytes.TrimSpace(arguments)) == 0 {
		arguments = json.RawMessage("{}")
	}
	var all any
	if json.Unmarshal(arguments, &all) == nil && jsontext.HoldsNUL(all) {
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
