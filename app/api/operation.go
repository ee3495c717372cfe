package api

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/middleware"
)

// operation is an operation of the API. The name is its operationId.
type operation struct {
	method, path, name, summary, about, tag string
	most                                    int64 // bytes of the body; 0 is MaxBody
}

// described is an operation as the library takes it.
func (o operation) described(status int, takes bool) huma.Operation {
	most := o.most
	if most == 0 {
		most = MaxBody
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
func answers[I, T any](s *Server, o operation, call func(ctx context.Context, actor account.Actor, in *I) (T, error)) {
	takes := hasBody[I]()
	huma.Register(s.huma, o.described(http.StatusOK, takes),
		func(ctx context.Context, in *I) (*answerOf[T], error) {
			actor, err := s.caller(ctx, takes)
			if err != nil {
				return nil, s.problem(ctx, err)
			}
			body, err := call(ctx, actor, in)
			if err != nil {
				return nil, s.problem(ctx, err)
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
func creates[I, T any](s *Server, o operation, call func(ctx context.Context, actor account.Actor,
	in *I) (T, string, error)) {
	takes := hasBody[I]()
	huma.Register(s.huma, o.described(http.StatusCreated, takes),
		func(ctx context.Context, in *I) (*createdOf[T], error) {
			actor, err := s.caller(ctx, takes)
			if err != nil {
				return nil, s.problem(ctx, err)
			}
			body, path, err := call(ctx, actor, in)
			if err != nil {
				return nil, s.problem(ctx, err)
			}
			return &createdOf[T]{s.PublicURL.JoinPath(Prefix, path).String(), body}, nil
		})
}

// does registers an operation that answers with nothing.
func does[I any](s *Server, o operation, call func(ctx context.Context, actor account.Actor, in *I) error) {
	takes := hasBody[I]()
	huma.Register(s.huma, o.described(http.StatusNoContent, takes),
		func(ctx context.Context, in *I) (*struct{}, error) {
			actor, err := s.caller(ctx, takes)
			if err == nil {
				err = call(ctx, actor, in)
			}
			if err != nil {
				return nil, s.problem(ctx, err)
			}
			return nil, nil
		})
}

// caller is who calls an operation. Of one that takes a body, who sends it is asked for again once it is there: that
// may take half a minute, in which the token or a permission may have been taken away.
func (s *Server) caller(ctx context.Context, takesBody bool) (account.Actor, error) {
	c := callOf(ctx)
	if !takesBody {
		return c.actor, nil
	}
	actor, err := s.Tokens.Actor(c.request)
	if errors.Is(err, fault.ErrNotFound) {
		err = middleware.ErrBadToken
	}
	return actor, err
}

func hasBody[I any]() bool {
	_, ok := reflect.TypeFor[I]().FieldByName("Body")
	return ok
}
