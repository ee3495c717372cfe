package middleware

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/db"
)

// Tokens lets programs in by what they carry, and bounds how often an address may come with what opens nothing. All
// doors share one; each door counts for itself.
type Tokens struct {
	Proxies Proxies
	// Person is the person of an API token. It returns fault.ErrNotFound for a token that is none, or not good any
	// more; nil: no tokens of people are known here.
	Person func(ctx context.Context, token string) (account.Actor, error)
	// Bad bounds calls with a bad token, by door and address.
	Bad *RateLimiter
}

// NewBadTokenLimiter lets an address come with a bad token 20 times at once, and then every three seconds.
func NewBadTokenLimiter() *RateLimiter { return NewRateLimiter(rate.Every(3*time.Second), 20) }

// ErrBadToken says that a request carries no token, or one that is not good any more.
var ErrBadToken = errors.New("no token, or one that is not good any more: send it as Authorization: Bearer TOKEN")

// TooManyBadTokens says that an address came with a bad token too often.
type TooManyBadTokens struct{ Wait time.Duration }

func (e *TooManyBadTokens) Error() string { return "too many calls with a bad token from this address" }

// BearerToken is the token that a request carries; empty: none.
func BearerToken(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// Actor is the person on whose behalf a request asks, by their API token. It returns fault.ErrNotFound for a token that
// opens nothing.
func (t *Tokens) Actor(r *http.Request) (account.Actor, error) {
	token := BearerToken(r)
	if token == "" || t.Person == nil {
		return account.Actor{}, fault.ErrNotFound
	}
	return t.Person(r.Context(), token)
}

// CountBad counts a request with a bad token or secret, and returns how long its address has to wait; 0: it may be
// answered. Only such requests count towards the limit of their address, and only they are held to it: a good token of
// the same address is never kept out.
func (t *Tokens) CountBad(r *http.Request, door string) time.Duration {
	return t.Bad.Take(door + " " + t.Proxies.Address(r))
}

// Require is next for requests that carry a good token. Find returns who sends it, or fault.ErrNotFound. Refuse answers
// everything else: ErrBadToken, *TooManyBadTokens, and what find returned otherwise; the headers of the first two are
// set before. Cookies count for nothing here, so no page of another site can use those of a browser.
func (t *Tokens) Require(door string, find func(r *http.Request) (account.Actor, error),
	refuse func(w http.ResponseWriter, r *http.Request, err error),
	next func(w http.ResponseWriter, r *http.Request, actor account.Actor)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		actor, err := find(r)
		switch {
		case errors.Is(err, fault.ErrNotFound):
			if wait := t.CountBad(r, door); wait > 0 {
				w.Header().Set("Retry-After", RetryAfter(wait))
				refuse(w, r, &TooManyBadTokens{wait})
				return
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="Carillon"`)
			refuse(w, r, ErrBadToken)
		case err != nil:
			refuse(w, r, err)
		default:
			next(w, r.WithContext(db.WithTokenName(r.Context(), actor.TokenName)), actor)
		}
	}
}
