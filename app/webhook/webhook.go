// Package webhook answers the calls of senders and forges: the HTTP trigger, whose answers all have one envelope, and
// the webhooks of forges about pull requests. It decides nothing about automations.
package webhook

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/time/rate"

	"carillon/app/automation"
	"carillon/app/middleware"
	"carillon/app/workspace"
)

// Server answers calls. Its fields are set once, in main.
type Server struct {
	Rules      *automation.Service
	Workspaces *workspace.Service
	PublicURL  *url.URL // base of links
	Tokens     *middleware.Tokens
	Calls      *middleware.RateLimiter // by token
	Now        func() time.Time
	Log        *slog.Logger
}

// NewCallLimiter lets each token call at a rate a second, and 20 seconds' worth at once; a rate of 0 is without limit.
func NewCallLimiter(perSecond float64) *middleware.RateLimiter {
	if perSecond <= 0 {
		return middleware.NewRateLimiter(rate.Inf, 0)
	}
	return middleware.NewRateLimiter(rate.Limit(perSecond), max(1, int(20*perSecond)))
}

// Routes adds the addresses that senders and forges call.
func (s *Server) Routes(table *middleware.Routes) {
	table.HandleFunc("/api/automations/http-trigger", s.trigger)
	table.HandleFunc("/api/automations/http-trigger/{token}", s.trigger)
	table.HandleFunc("/api/automations/http-trigger/{$}", s.trigger) // the token left out, the slash before it not
	table.Programs("/api/automations/http-trigger", func(w http.ResponseWriter, _ *http.Request, status int,
		text string) {
		s.writeEnvelope(w, &automation.Answer{Status: status, Error: text})
	})
	table.HandleFunc("/api/forges/{kind}/{workspace}", s.forge)
}

// refused is a call that is refused, with what its sender reads.
type refused struct {
	status int
	text   string
	wait   time.Duration // until the next call is answered; 0: whenever it comes
}

func (e *refused) Error() string { return e.text }

// refusal is the status and the words with which an error is answered. It is the one place where an error becomes an
// answer to a sender or a forge.
func (s *Server) refusal(w http.ResponseWriter, r *http.Request, err error) (status int, text string) {
	var e *refused
	if errors.As(err, &e) {
		if e.wait > 0 {
			w.Header().Set("Retry-After", middleware.RetryAfter(e.wait))
		}
		return e.status, e.text
	}
	s.Log.Error("answer a call", "path", middleware.Path(r), "request", middleware.RequestID(r), "err", err)
	return middleware.Failure(w, r, err)
}
