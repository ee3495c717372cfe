package api

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"carillon/views"
)

// schemaPrefix begins the references to the types of the document.
const schemaPrefix = "#/components/schemas/"

// schemaName is what the document calls a type: a page of AutomationItem is AutomationPage, and a patch of a type is
// called as the type.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	if item, ok := strings.CutPrefix(name, "PageOf"); ok {
		name = strings.TrimSuffix(item, "Item") + "Page"
	}
	return strings.TrimPrefix(strings.Replace(name, "QueryBody", "Input", 1), "PatchOf")
}

const description = "Everything that automates Carillon. Requests carry an API token as `Authorization: Bearer " +
	"TOKEN`, and may do what its owner " +
	"may do at that moment, less what the token is not for. Bodies are JSON, ids are UUIDs, times are RFC 3339 in " +
	"UTC. " +
	"A field that is null counts as left out. " +
	"Lists come in pages: pass `next_cursor` of one as `cursor` to get the next. " +
	"What is changed names the `version` that it was read with; when somebody else changed it meanwhile, the answer " +
	"is 409 with the code `stale`. " +
	"Errors are RFC 9457 problem details. Answers may have further fields in future; ignore those that you do not know."

// prepare sets what the library has no setting for. These are its own variables, and nothing else here uses it.
var prepare = sync.OnceFunc(func() {
	huma.ValidateStrictCasing = true // else NAME would be taken for name, beside it
	huma.DefaultArrayNullable = false
	huma.NewError = newProblem
})

// documentOf is the description of the API. Answers are open: fields may be added. They lack what can only be written.
// Requests are closed, or what somebody wrote would count for nothing without a word.
func documentOf(o *huma.OpenAPI) []byte {
	taken := map[string]bool{}
	var take func(s *huma.Schema)
	take = func(s *huma.Schema) {
		if s == nil {
			return
		}
		if name, ok := strings.CutPrefix(s.Ref, schemaPrefix); ok && !taken[name] {
			taken[name] = true
			take(o.Components.Schemas.Map()[name])
		}
		take(s.Items)
		for _, p := range s.Properties {
			take(p)
		}
	}
	for _, path := range o.Paths {
		for _, op := range []*huma.Operation{path.Get, path.Post, path.Patch, path.Delete} {
			if op != nil && op.RequestBody != nil {
				for _, content := range op.RequestBody.Content {
					take(content.Schema)
				}
			}
		}
	}
	for name, schema := range o.Components.Schemas.Map() {
		if taken[name] {
			continue
		}
		describe(o.Components.Schemas.TypeFromRef(schemaPrefix+name), schema)
		if closed, ok := schema.AdditionalProperties.(bool); ok && !closed {
			schema.AdditionalProperties = nil
		}
		maps.DeleteFunc(schema.Properties, func(_ string, p *huma.Schema) bool { return p.WriteOnly })
	}
	text, err := json.Marshal(o)
	if err != nil {
		panic("describe the API: " + err.Error()) // of types of ours; the tests would have shown it
	}
	return text
}

// tags are the kinds of things, in the order of the help.
var tags = []string{basicsTag, workspacesTag, automationsTag, executionsTag, sessionsTag, workflowsTag, botsTag,
	inboxTag, ticketsTag, manifestsTag, peopleTag}

// Help is what the page of the help says of the API: where it is, and its operations.
func (s *Server) Help() views.APIHelpPage {
	p := views.APIHelpPage{
		Address: s.PublicURL.JoinPath(Prefix).String(), Description: s.PublicURL.JoinPath(Prefix, "openapi.json").
				String(),
	}
	for _, tag := range tags {
		g := views.APIGroup{Name: tag}
		for path, item := range s.huma.OpenAPI().Paths {
			for _, op := range []*huma.Operation{item.Get, item.Post, item.Patch, item.Delete} {
				if op != nil && op.Tags[0] == tag {
					g.Operations = append(g.Operations, views.APIOperation{
						Method: op.Method, Path: path, Summary: op.Summary,
					})
				}
			}
		}
		slices.SortFunc(g.Operations, func(a, b views.APIOperation) int {
			return strings.Compare(a.Path+" "+a.Method, b.Path+" "+b.Method)
		})
		p.Groups = append(p.Groups, g)
	}
	return p
}
