package agent

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"carillon/app/jsontext"
	"carillon/app/transcript"
)

// FuzzFailures reads why an agent's server refused, which may be any text, and when it says to try again.
func FuzzFailures(f *testing.F) {
	f.Add(429, "rate_limit_error", "Please try again in 1m30.5s.", "")
	f.Add(0, "", "Claude AI usage limit reached|1893456000", "resets at 9999999999")
	f.Add(500, "overloaded_error", `{"error":{"message":"quota resets 2027-01-01T00:00:00.5+01:00","type":"x"}}`,
		"fatal: not a git repository\nhint: x")
	f.Add(401, "", "Internal error: {\"a\":", "error: unknown option '--x'")
	f.Add(-1, "\x00", "retry after 999999999999999999999999 days and 1e309 hours", "\xff")
	f.Fuzz(func(t *testing.T, status int, name, text, stderr string) {
		now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
		r := heard(func(transcript.Event) {})
		for _, failure := range []*Failure{r.failure(errorReport{status: status, name: name, text: text}, now),
			r.exitFailure(ending{Exit: 1}, stderr, now)} {
			reason := Clean(failure.Reason)
			if failure.Kind == "" || reason == "" || len(reason) > 4096 || !utf8.ValidString(reason) ||
				strings.ContainsRune(reason, 0) {
				t.Errorf("%q and %q are a failure %q: %q", text, stderr, failure.Kind, reason)
			}
			if year := failure.RetryAt.Year(); year < 0 || year > 9999 {
				t.Errorf("%q is tried again at %s", text, failure.RetryAt)
			}
			raw, err := json.Marshal(reason)
			if _, ok := jsontext.Storable(raw); err != nil || !ok {
				t.Errorf("%q cannot be stored", reason)
			}
		}
	})
}
