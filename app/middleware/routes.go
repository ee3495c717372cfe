package middleware

import (
	"encoding/json"
	"net/http"
	"path"
	"strings"
	"unicode/utf8"
)

// Routes is the one table of everything that can be asked for, which each door adds its routes to. It keeps the
// patterns too, which a ServeMux keeps to itself: a test holds each against what it expects of everybody.
type Routes struct {
	http.ServeMux
	patterns []string
	programs []programs
}

// A Refusal answers a request that no handler of its door answers, in the form that the door's callers read: there is
// nothing at its address, or it failed. Text is a sentence, or the end of one.
type Refusal func(w http.ResponseWriter, r *http.Request, status int, text string)

// programs are addresses that programs ask for.
type programs struct {
	prefix string
	refuse Refusal
}

// Handle adds a route.
func (t *Routes) Handle(pattern string, h http.Handler) {
	t.patterns = append(t.patterns, pattern)
	t.ServeMux.Handle(pattern, h)
}

// HandleFunc adds a route.
func (t *Routes) HandleFunc(pattern string, h func(http.ResponseWriter, *http.Request)) {
	t.Handle(pattern, http.HandlerFunc(h))
}

// Patterns are the patterns of all routes, in the order in which they were added.
func (t *Routes) Patterns() []string { return t.patterns }

// Programs says that addresses which begin with the prefix are asked for by programs. Programs carry a secret of their
// own and no cookie, so nothing of them is read before their handler is reached, they may come from anywhere, and they
// are refused in the form that refuse writes.
func (t *Routes) Programs(prefix string, refuse Refusal) {
	t.programs = append(t.programs, programs{prefix, refuse})
}

// RefusalOf is how a request of a program is refused: that of the longest prefix that its path begins with. It is nil
// for the address of a page.
func (t *Routes) RefusalOf(r *http.Request) Refusal {
	var found programs
	for _, p := range t.programs {
		if strings.HasPrefix(r.URL.Path, p.prefix) && len(p.prefix) > len(found.prefix) {
			found = p
		}
	}
	return found.refuse
}

// Dispatch leads requests of programs to their routes, and all others to pages. An odd spelling of a program's address
// is not answered with a redirect to the usual one, as browsers are.
func (t *Routes) Dispatch(pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse := t.RefusalOf(r)
		if refuse == nil {
			pages.ServeHTTP(w, r)
			return
		}
		if _, pattern := t.Handler(r); pattern == "" || !plain(r.URL.Path) {
			refuse(w, r, http.StatusNotFound, "there is nothing at this address")
			return
		}
		t.ServeHTTP(w, r)
	})
}

// plain reports whether a path is text that can be stored, and spelled as its route is.
func plain(address string) bool {
	return utf8.ValidString(address) && !strings.ContainsRune(address, 0) &&
		path.Clean(address) == strings.TrimSuffix(address, "/")
}

// RefuseProgram is the Refusal of programs that belong to no door.
func RefuseProgram(w http.ResponseWriter, _ *http.Request, status int, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": text}) // fails only when the caller has gone
}
