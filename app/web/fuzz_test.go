package web

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
	"carillon/app/secret"
	"carillon/app/spec"
)

// FuzzToolArguments reads what agents give to tools.
func FuzzToolArguments(f *testing.F) {
	f.Add([]byte(
		`{"automation":"x","cron":null,"filter":{"any":true,"conditions":[{"field":"a","operator":"equals"}]},"budget":{"day":{"money":1e400}}}`))
	f.Add([]byte(`{"toggles":["a",1],"parameters":{"a":"\u0000"}}`))
	f.Add([]byte("\xff"))
	f.Add([]byte(`{"automation":"x"}{"automation":"y"}`))
	f.Fuzz(func(t *testing.T, arguments []byte) {
		var in spec.PatchOf[editAutomationArgs]
		if err := decode(arguments, []string{"automation"}, &in); err != nil {
			if err.Error() == "" {
				t.Error("it is refused without a reason")
			}
			return
		}
		given := automation.Input{Automation: spec.Automation{
			TimeoutMinutes: 360,
			Workspace:      "one",
			Retries:        2,
		}}
		change, err := in.Over(editAutomationArgs{automationFields: toolFields(&given)})
		if err != nil {
			t.Fatal(err) // reading them found nothing wrong
		}
		if strings.ContainsRune(change.Name, 0) {
			t.Errorf("the name is %q", change.Name)
		}
		if err := change.into(t.Context(), &mcpCaller{server: &Server{}}, &given, in.Patch); !in.Patch.Has("workspace") &&
			err != nil {
			t.Error(err)
		}
	})
}

// FuzzTriggerToken takes a webhook's token out of headers and paths as anybody may send them. No call without a whole
// token gets further than an answer that says so.
func FuzzTriggerToken(f *testing.F) {
	f.Add("GET", "abc", "", "")
	f.Add("POST", strings.Repeat("A", 43), "\xff", "prefetch")
	f.Add("HEAD", "", strings.Repeat("A", 42)+"=", "")
	keys, err := secret.Parse("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, path, header, purpose string) {
		for _, token := range []string{path, strings.TrimSpace(header)} {
			if _, whole := automation.HashToken(token); whole {
				return // it would be looked up
			}
		}
		r := httptest.NewRequest(http.MethodPost, "/api/automations/http-trigger", nil)
		r.Method = method
		r.SetPathValue("token", path)
		r.Header.Set(tokenHeader, header)
		r.Header.Set("Purpose", purpose)
		w := httptest.NewRecorder()
		s := &Server{PublicURL: &url.URL{}, Keys: keys, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
		s.Init()
		s.trigger(w, r)
		if w.Code < 400 || w.Code >= 500 || !strings.Contains(w.Body.String(), `"success":false`) ||
			!utf8.Valid(w.Body.Bytes()) {
			t.Errorf("%s with %q and %q is answered %d %s", method, path, header, w.Code, w.Body)
		}
	})
}
