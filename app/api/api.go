// Package api answers programs of people: REST at /api/v1, and the OpenAPI document that describes it. It turns
// requests into operations of the rules, and their rows and errors into JSON. It decides nothing about automations.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"carillon/app/account"
	"carillon/app/agent"
	"carillon/app/automation"
	"carillon/app/bot"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/app/jsontext"
	"carillon/app/middleware"
	"carillon/app/plan"
	"carillon/app/provider"
	"carillon/app/ticket"
	"carillon/app/workflow"
	"carillon/app/workspace"
	"carillon/db"
)

// Prefix begins the address of everything that the API answers.
const Prefix = "/api/v1"

// MaxBody is the most bytes of a request's body: a prompt in which every byte is escaped, and then some. Workflows
// may be larger, see MaxWorkflow.
const MaxBody = 2 << 20

// Server answers programs. Its fields are set once, in main. Each of its operations calls one operation of the rules as
// the person of the token; its types say what it takes and answers, and the document at /api/v1/openapi.json is made of
// them.
type Server struct {
	DB         *db.DB
	Accounts   *account.Service
	Rules      *automation.Service
	Workflows  *workflow.Service
	Bots       *bot.Service
	Tickets    *ticket.Service
	Inbox      *inbox.Service
	Workspaces *workspace.Service
	Providers  *provider.Service
	Plans      *plan.Service
	// Found says what is installed of a provider on the workers, the best of it, as far as it is known yet; nil:
	// everything counts as there.
	Found     func(id string) (agent.Found, bool)
	PublicURL *url.URL // base of links
	Tokens    *middleware.Tokens
	Log       *slog.Logger

	huma huma.API // knows the operations once Routes has added them
}

// Routes adds the addresses of the API.
func (s *Server) Routes(table *middleware.Routes) {
	prepare()
	config := huma.DefaultConfig("Carillon", "1")
	config.Info.Description = description
	config.Servers = []*huma.Server{{URL: s.PublicURL.JoinPath(Prefix).String()}}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", Description: "An API token, made under Settings, API tokens."},
	}
	config.Security = []map[string][]string{{"token": {}}}
	config.Components.Schemas = huma.NewMapRegistry(schemaPrefix, schemaName)
	// the document is served below, and nothing else
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "", "", ""
	// would put a link to a schema into each answer
	config.CreateHooks = nil
	config.Formats = map[string]huma.Format{"application/json": jsonFormat, "json": jsonFormat}
	config.RejectUnknownQueryParameters = true
	s.huma = humago.NewWithPrefix(&mux{server: s, table: table}, Prefix, config)
	basics{s}.routes()
	workspaces{s}.routes()
	automations{s}.routes()
	automations{s}.transferRoutes()
	deliveries{s}.routes()
	executions{s}.routes()
	sessions{s}.routes()
	sessions{s}.converseRoutes()
	pullRequests{s}.routes()
	workflows{s}.routes()
	bots{s}.routes()
	notices{s}.routes()
	tickets{s}.routes()
	people{s}.routes()
	roles{s}.routes()
	manifests{s}.routes()
	document := sync.OnceValue(func() []byte { return documentOf(s.huma.OpenAPI()) }) // few ask for it
	table.HandleFunc("GET "+Prefix+"/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(document())
	})
	table.Programs(Prefix+"/", func(w http.ResponseWriter, _ *http.Request, status int, text string) {
		writeProblem(w, &Problem{Status: status, Detail: fault.Sentence(text)})
	})
	table.HandleFunc(Prefix+"/", s.noResource(&table.ServeMux))
}

// jsonFormat reads and writes JSON. What no text column can hold is refused with the syntax.
var jsonFormat = huma.Format{
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
		if !jsontext.HasAtMost(maxValues, data) {
			return fmt.Errorf("the body has more than %d values", maxValues)
		}
		if err := json.Unmarshal(data, v); err != nil {
			return err
		}
		if parsed, ok := v.(*any); ok && jsontext.HoldsNUL(*parsed) { // the library reads a body so first, to check it
			return errors.New("a text has the sign U+0000, which cannot be stored")
		}
		return nil
	},
}

// maxValues is how many values the body of a request has at most. The library finds fault with each of them by itself,
// at some hundred bytes, before anybody asks what the caller may do. A workflow with all that it can have has a tenth
// of that.
const maxValues = 20_000

// mux lets through to the operations who has a token.
type mux struct {
	server *Server
	table  *middleware.Routes
}

func (m *mux) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	m.table.HandleFunc(pattern, m.server.byToken(h))
}

func (m *mux) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.table.ServeHTTP(w, r) }

// call is a request that was let in.
type call struct {
	actor   account.Actor
	request *http.Request
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// byToken lets in who sends an API token that is good.
func (s *Server) byToken(next http.HandlerFunc) http.HandlerFunc {
	return s.Tokens.Require("api", s.Tokens.Actor, s.refuseToken,
		func(w http.ResponseWriter, r *http.Request, actor account.Actor) {
			query, err := url.ParseQuery(r.URL.RawQuery)
			if err != nil || !isText(query) {
				writeProblem(w, &Problem{Status: http.StatusBadRequest, Detail: "The query could not be read."})
				return
			}
			next(w, r.WithContext(context.WithValue(r.Context(), callKey{}, &call{actor: actor, request: r})))
		})
}

const badToken = "There is no token, or one that is not good any more. Send it as Authorization: Bearer TOKEN."

// refuseToken answers who is not let in.
func (s *Server) refuseToken(w http.ResponseWriter, r *http.Request, err error) {
	var tooMany *middleware.TooManyBadTokens
	switch {
	case errors.As(err, &tooMany):
		writeProblem(w, &Problem{
			Status: http.StatusTooManyRequests,
			Detail: "There were too many calls with a bad token from this address.",
		})
	case errors.Is(err, middleware.ErrBadToken):
		writeProblem(w, &Problem{Status: http.StatusUnauthorized, Detail: badToken})
	default:
		s.Log.Error("let in an API call", "request", middleware.RequestID(r), "err", err)
		status, text := middleware.Failure(w, r, err)
		writeProblem(w, &Problem{Status: status, Detail: fault.Sentence(text)})
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
			if _, pattern := mux.Handler(probe); pattern != "" && pattern != Prefix+"/" {
				allowed = append(allowed, method)
			}
		}
		if len(allowed) > 0 {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			writeProblem(w, &Problem{
				Status: http.StatusMethodNotAllowed, Detail: "This address does not answer to " + r.Method + ".",
			})
			return
		}
		writeProblem(w, &Problem{
			Status: http.StatusNotFound, Detail: "There is nothing at this address. See " + Prefix +
				"/openapi.json.",
		})
	}
}
