package web

import "net/http"

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
