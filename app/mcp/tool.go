package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/jsontext"
)

// add gives a server a tool: what it is for, whether it only reads, and what carries it out.
//
// What it takes is described as plainly as can be: some model APIs refuse schemas in which a type is one of several.
// And it is read more generously than it is described: agents write null for what they leave out.
func add[In, Out any](c *caller, server *sdk.Server, name, description string, reads bool,
	call func(ctx context.Context, in In) (Out, error)) {
	closed, harmless := false, false
	schema := schemaOf[In](c.schemas)
	server.AddTool(&sdk.Tool{
		Name: name, Description: description, InputSchema: schema,
		Annotations: &sdk.ToolAnnotations{ReadOnlyHint: reads, OpenWorldHint: &closed, DestructiveHint: &harmless},
	}, func(ctx context.Context, r *sdk.CallToolRequest) (*sdk.CallToolResult, error) {
		var in In
		var out Out
		arguments, err := r.Params.Arguments, error(nil)
		if !reads {
			if arguments, err = c.redacted(ctx, arguments); err != nil {
				err = c.problem(ctx, name, err)
			}
		}
		if err == nil {
			err = decode(arguments, schema.Required, &in)
		}
		if err == nil {
			err = c.noteRefusals(ctx, name, func(ctx context.Context) error {
				out, err = call(ctx, in)
				return c.problem(ctx, name, err)
			})
		}
		if err != nil {
			return &sdk.CallToolResult{IsError: true, Content: []sdk.Content{&sdk.TextContent{Text: err.Error()}}}, nil
		}
		text, err := json.Marshal(out)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return &sdk.CallToolResult{
			Content: []sdk.Content{&sdk.TextContent{Text: string(text)}}, StructuredContent: json.RawMessage(text),
		}, nil
	})
}

// refuseUnlisted answers calls of tools that a session has not got, since it may not manage automations: as refused,
// not as unknown, so that what it tried is known.
func (c *caller) refuseUnlisted(names ...string) sdk.Middleware {
	return func(next sdk.MethodHandler) sdk.MethodHandler {
		return func(ctx context.Context, method string, r sdk.Request) (sdk.Result, error) {
			call, is := r.(*sdk.CallToolRequest)
			if !is || !slices.Contains(names, call.Params.Name) {
				return next(ctx, method, r)
			}
			err := c.noteRefusals(ctx, call.Params.Name, func(ctx context.Context) error {
				return c.problem(ctx, call.Params.Name, fault.ErrForbidden)
			})
			return &sdk.CallToolResult{IsError: true, Content: []sdk.Content{&sdk.TextContent{Text: err.Error()}}}, nil
		}
	}
}

// noteRefusals carries out a call of a tool, and notes what it was refused, for the transcript of the session that
// calls too.
func (c *caller) noteRefusals(ctx context.Context, tool string, call func(ctx context.Context) error) error {
	inner, refusals := account.WithRefusals(ctx)
	err := call(inner)
	actor, why, any := refusals.Take()
	if !any {
		return err
	}
	account.RecordRefusal(ctx, actor, why)
	if c.session() {
		if err := c.server.Rules.Agents().RecordRefusedCall(context.WithoutCancel(ctx), c.actor, tool,
			why); err != nil {
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
