package webhook

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"carillon/app/automation"
	"carillon/app/middleware"
)

// FuzzTriggerToken takes a webhook's token out of headers and paths as anybody may send them. No call without a whole
// token gets further than an answer that says so.
func FuzzTriggerToken(f *testing.F) {
	f.Add("GET", "abc", "", "")
	f.Add("POST", strings.Repeat("A", 43), "\xff", "prefetch")
	f.Add("HEAD", "", strings.Repeat("A", 42)+"=", "")
	f.Fuzz(func(t *testing.T, method, path, header, purpose string) {
		for _, token := range []string{path, strings.TrimSpace(header)} {
			if _, whole := automation.HashToken(token); whole {
				return // it would be looked up
			}
		}
		r := httptest.NewRequest(http.MethodPost, "/api/automations/http-trigger", nil)
		r.Method = method
		r.SetPathValue("token", path)
		r.Header.Set(automation.TokenHeader, header)
		r.Header.Set("Purpose", purpose)
		w := httptest.NewRecorder()
		tokens := &middleware.Tokens{Bad: middleware.NewBadTokenLimiter()}
		s := &Server{PublicURL: &url.URL{}, Tokens: tokens, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
		s.trigger(w, r)
		if w.Code < 400 || w.Code >= 500 || !strings.Contains(w.Body.String(), `"success":false`) ||
			!utf8.Valid(w.Body.Bytes()) {
			t.Errorf("%s with %q and %q is answered %d %s", method, path, header, w.Code, w.Body)
		}
	})
}
