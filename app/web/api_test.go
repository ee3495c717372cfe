package web

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"carillon/app/account"
)

// program is a client of the API with a token.
type program struct {
	*site
	token string
	jar   http.CookieJar
}

// program makes a token of a person's and gives it to a program.
func (b *browser) program(permissions ...account.Permission) *program {
	b.t.Helper()
	return &program{site: b.site, token: b.newToken(permissions...)}
}

// call asks the API, with a body unless it is nil: a text as it is, else as JSON.
func (p *program) call(method, path string, body any) *answer {
	p.t.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		text, err = json.Marshal(body)
		check(p.t, err)
	}
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.http.URL+apiPrefix+path, bytes.NewReader(text))
	check(p.t, err)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	res, err := (&http.Client{Jar: p.jar}).Do(req)
	check(p.t, err)
	defer res.Body.Close() //nolint:errcheck // read to its end below
	read, err := io.ReadAll(res.Body)
	check(p.t, err)
	return &answer{res, string(read)}
}

// into reads an answer.
func (a *answer) into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.body), v); err != nil {
		t.Fatalf("%s answered %d %.600s: %v", a.Request.URL, a.StatusCode, a.body, err)
	}
}

type fields map[string]any
