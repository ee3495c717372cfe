package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/jsontext"
	"carillon/app/middleware"
	"carillon/views"
)

// apiPrefix is where the API is.
const apiPrefix = "/api/v1"

// maxAPIBody is the most bytes of a request's body: a prompt in which every byte is escaped, and then some. Workflows
// may be larger, see apiworkflows.go.
const maxAPIBody = 2 << 20

// api registers the operations of /api/v1. Each calls one operation of the rules as the person of the token; its types
// say what it takes and answers, and the document at /api/v1/openapi.json is made of them.
type api struct {
	*Server
	huma huma.API
}

// apiRoutes are the addresses of the API.
func (s *Server) apiRoutes(table *middleware.Routes) {
	prepareAPI()
	config := huma.DefaultConfig("Carillon", "1")
	config.Info.Description = apiDescription
	config.Servers = []*huma.Server{{URL: s.PublicURL.JoinPath(apiPrefix).String()}}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "An API token, made under Settings, API tokens."},
	}
	config.Security = []map[string][]string{{"token": {}}}
	config.Components.Schemas = huma.NewMapRegistry(schemaPrefix, schemaName)
	// the document is served below, and nothing else
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	// would put a link to a schema into each answer
	config.CreateHooks = nil
	config.Formats = map[string]huma.Format{"application/json": apiFormat, "json": apiFormat}
	config.RejectUnknownQueryParameters = true
	a := &api{Server: s, huma: humago.NewWithPrefix(&apiMux{server: s, table: table}, apiPrefix, config)}
	a.basicRoutes()
	a.workspaceRoutes()
	a.automationRoutes()
	a.transferRoutes()
	a.deliveryRoutes()
	a.executionRoutes()
	a.sessionRoutes()
	a.converseRoutes()
	a.pullRequestRoutes()
	a.workflowRoutes()
	a.botRoutes()
	a.inboxRoutes()
	a.ticketRoutes()
	a.peopleRoutes()
	a.roleRoutes()
	a.manifestRoutes()
	document := sync.OnceValue(func() []byte { return apiDocument(a.huma.OpenAPI()) }) // few ask for it
	table.HandleFunc("GET "+apiPrefix+"/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document())
	})
	table.Programs(apiPrefix+"/", func(w http.ResponseWriter, _ *http.Request, status int, text string) {
		writeProblem(w, &APIProblem{Status: status, Detail: fault.Sentence(text)})
	})
	table.HandleFunc(apiPrefix+"/", s.noResource(&table.ServeMux))
	table.HandleFunc("GET /help/api", s.page(s.apiHelp(a.huma.OpenAPI())))
}

// schemaPrefix begins the references to the types of the document.
const schemaPrefix = "#/components/schemas/"

// schemaName is what the document calls a type: APIAutomation is Automation, a page of it AutomationPage, and a patch
// of it Automation again.
func schemaName(t reflect.Type, hint string) string {
	name := strings.ReplaceAll(huma.DefaultSchemaNamer(t, hint), "API", "")
	if item, ok := strings.CutPrefix(name, "PageOf"); ok {
		name = strings.TrimSuffix(item, "Item") + "Page"
	}
	return strings.TrimPrefix(strings.Replace(name, "QueryBody", "Input", 1), "PatchOf")
}

const apiDescription = "Everything that automates Carillon. Requests carry an API token as `Authorization: Bearer " +
	"TOKEN`, and may do what its owner " +
	"may do at that moment, less what the token is not for. Bodies are JSON, ids are UUIDs, times are RFC 3339 in " +
	"UTC. " +
	"A field that is null counts as left out. " +
	"Lists come in pages: pass `next_cursor` of one as `cursor` to get the next. " +
	"What is changed names the `version` that it was read with; when somebody else changed it meanwhile, the answer " +
	"is 409 with the code `stale`. " +
	"Errors are RFC 9457 problem details. Answers may have further fields in future; ignore those that you do not know."

// prepareAPI sets what the library has no setting for. These are its own variables, and nothing else here uses it.
var prepareAPI = sync.OnceFunc(func() {
	huma.ValidateStrictCasing = true // else NAME would be taken for name, beside it
	huma.DefaultArrayNullable = false
	huma.NewError = newProblem
})

// apiFormat reads and writes JSON. What no text column can hold is refused with the syntax.
var apiFormat = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return e.Encode(v)
	},
	Unmarshal: func(data []byte, v any) error {
		if !utf8.Valid(data) {
			return errors.New("the body is not UTF-8")
		}
		data = bytes.TrimPrefix(data, []byte("\uFEFF")) // a byte-order mark, which some programs write before JSON
		if err := json.Unmarshal(data, v); err != nil {
			return err
		}
		if parsed, ok := v.(*any); ok && jsontext.HoldsNUL(*parsed) { // the library reads a body so first, to check it
			return errors.New("a text has the sign U+0000, which cannot be stored")
		}
		return nil
	},
}

// apiMux lets through to the operations who has a token.
type apiMux struct {
	server *Server
	table  *middleware.Routes
}

func (m *apiMux) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	m.table.HandleFunc(pattern, m.server.byToken(h))
}

func (m *apiMux) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.table.ServeHTTP(w, r) }

// apiCall is a request that was let in.
type apiCall struct {
	actor   account.Actor
	request *http.Request
}

type apiCallKey struct{}

func callOf(ctx context.Context) *apiCall {
	c, _ := ctx.Value(apiCallKey{}).(*apiCall)
	return c
}

// byToken lets in who sends an API token that is good.
func (s *Server) byToken(next http.HandlerFunc) http.HandlerFunc {
	return s.Tokens.Require("api", s.Tokens.Actor, s.refuseToken,
		func(w http.ResponseWriter, r *http.Request, actor account.Actor) {
			query, err := url.ParseQuery(r.URL.RawQuery)
			if err != nil || !isText(query) {
				writeProblem(w, &APIProblem{Status: http.StatusBadRequest, Detail: "The query could not be read."})
				return
			}
			next(w, r.WithContext(context.WithValue(r.Context(), apiCallKey{}, &apiCall{actor: actor, request: r})))
		})
}

// refuseToken answers who is not let in.
func (s *Server) refuseToken(w http.ResponseWriter, r *http.Request, err error) {
	var tooMany *middleware.TooManyBadTokens
	switch {
	case errors.As(err, &tooMany):
		writeProblem(w, &APIProblem{
			Status: http.StatusTooManyRequests,
			Detail: "There were too many calls with a bad token from this address.",
		})
	case errors.Is(err, middleware.ErrBadToken):
		writeProblem(w, &APIProblem{
			Status: http.StatusUnauthorized,
			Detail: "There is no token, or one that is not good any more. Send it as Authorization: Bearer TOKEN.",
		})
	default:
		s.Log.Error("let in an API call", "request", middleware.RequestID(r), "err", err)
		status, text := middleware.Failure(w, r, err)
		writeProblem(w, &APIProblem{Status: status, Detail: fault.Sentence(text)})
	}
}

func isText(query url.Values) bool {
	for name, values := range query {
		for _, v := range append(values, name) {
			if strings.ContainsRune(v, 0) || !utf8.ValidString(v) {
				return false
			}
		}
	}
	return true
}

// noResource answers what the API has not: that the address takes other methods, or that there is nothing.
func (s *Server) noResource(mux *http.ServeMux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch,
			http.MethodDelete} {
			probe := &http.Request{Method: method, URL: r.URL, Host: r.Host}
			if _, pattern := mux.Handler(probe); pattern != "" && pattern != apiPrefix+"/" {
				allowed = append(allowed, method)
			}
		}
		if len(allowed) > 0 {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			writeProblem(w, &APIProblem{
				Status: http.StatusMethodNotAllowed, Detail: "This address does not answer to " + r.Method + ".",
			})
			return
		}
		writeProblem(w, &APIProblem{
			Status: http.StatusNotFound, Detail: "There is nothing at this address. See " + apiPrefix +
				"/openapi.json.",
		})
	}
}

// apiDocument is the description of the API. Answers are open: fields may be added. They lack what can only be written.
// Requests are closed, or what somebody wrote would count for nothing without a word.
func apiDocument(o *huma.OpenAPI) []byte {
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

// apiHelp explains the API to whoever is signed in, with its operations.
func (s *Server) apiHelp(o *huma.OpenAPI) handler {
	p := views.APIHelpPage{
		Address: s.PublicURL.JoinPath(apiPrefix).String(), Description: s.PublicURL.JoinPath(apiPrefix, "openapi.json").
				String(),
	}
	for _, tag := range apiTags {
		g := views.APIGroup{Name: tag}
		for path, item := range o.Paths {
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
	return func(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
		return s.with(w, r, actor, "", "API", func(page views.Page) error {
			return s.show(w, r, views.APIHelp(page, manual("api"), p))
		})
	}
}

// apiTags are the kinds of things, in the order of the help.
var apiTags = []string{basicsTag, workspacesTag, automationsTag, executionsTag, sessionsTag, workflowsTag, botsTag,
	inboxTag, ticketsTag, manifestsTag, peopleTag}

// apiOp is an operation of the API. The name is its operationId.
type apiOp struct {
	method, path, name, summary, about, tag string
	most                                    int64 // bytes of the body; 0 is maxAPIBody
}

// operation describes an operation to the library.
func (o apiOp) operation(status int, takes bool) huma.Operation {
	most := o.most
	if most == 0 {
		most = maxAPIBody
	}
	errs := []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusUnprocessableEntity,
		http.StatusTooManyRequests, http.StatusInternalServerError}
	if strings.Contains(o.path, "{") {
		errs = append(errs, http.StatusNotFound)
	}
	if o.method != http.MethodGet {
		errs = append(errs, http.StatusConflict)
	}
	if takes {
		errs = append(errs, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	slices.Sort(errs)
	return huma.Operation{
		OperationID: o.name, Method: o.method, Path: o.path, Summary: o.summary, Description: o.about,
		Tags:          []string{o.tag},
		DefaultStatus: status, MaxBodyBytes: most, BodyReadTimeout: 30 * time.Second, Errors: errs,
	}
}

// answer is what an operation answers with.
type answerOf[T any] struct{ Body T }

// answers registers an operation that answers with something.
func answers[I, T any](a *api, o apiOp, call func(ctx context.Context, actor account.Actor, in *I) (T, error)) {
	huma.Register(a.huma, o.operation(http.StatusOK, hasBody[I]()),
		func(ctx context.Context, in *I) (*answerOf[T], error) {
			body, err := call(ctx, callOf(ctx).actor, in)
			if err != nil {
				return nil, a.problem(ctx, err)
			}
			return &answerOf[T]{body}, nil
		})
}

// createdOf is what an operation answers with that made something.
type createdOf[T any] struct {
	Location string `header:"Location" doc:"Address of what was made."`
	Body     T
}

// creates registers an operation that makes something. The call returns its path within the API, too.
func creates[I, T any](a *api, o apiOp, call func(ctx context.Context, actor account.Actor, in *I) (T, string, error)) {
	huma.Register(a.huma, o.operation(http.StatusCreated, hasBody[I]()),
		func(ctx context.Context, in *I) (*createdOf[T], error) {
			body, path, err := call(ctx, callOf(ctx).actor, in)
			if err != nil {
				return nil, a.problem(ctx, err)
			}
			return &createdOf[T]{a.PublicURL.JoinPath(apiPrefix, path).String(), body}, nil
		})
}

// does registers an operation that answers with nothing.
func does[I any](a *api, o apiOp, call func(ctx context.Context, actor account.Actor, in *I) error) {
	huma.Register(a.huma, o.operation(http.StatusNoContent, hasBody[I]()),
		func(ctx context.Context, in *I) (*struct{}, error) {
			if err := call(ctx, callOf(ctx).actor, in); err != nil {
				return nil, a.problem(ctx, err)
			}
			return nil, nil
		})
}

func hasBody[I any]() bool {
	_, ok := reflect.TypeFor[I]().FieldByName("Body")
	return ok
}
