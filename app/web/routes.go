package web

import (
	"log/slog"
	"net/http"
	"net/url"
)

// routeTable is what answers requests, and the patterns of everything that can be asked for, which a ServeMux keeps to
// itself: a test holds each against what it expects of everybody.
type routeTable struct {
	http.ServeMux
	patterns []string
}

// Handle adds a route.
func (t *routeTable) Handle(pattern string, h http.Handler) {
	t.patterns = append(t.patterns, pattern)
	t.ServeMux.Handle(pattern, h)
}

// HandleFunc adds a route.
func (t *routeTable) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	t.Handle(pattern, http.HandlerFunc(h))
}

// Routes are the patterns of everything that a server answers, in the order of its table.
func Routes() []string {
	var table routeTable
	(&Server{PublicURL: &url.URL{}, Log: slog.New(slog.DiscardHandler)}).routes(&table)
	return table.patterns
}
