package webtest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"carillon/app/account"
	"carillon/app/api"
)

// Program is a client of the API with a token.
type Program struct {
	*Site
	Token string
	jar   http.CookieJar
}

// Program makes a token of a person's and gives it to a program.
func (b *Browser) Program(permissions ...account.Permission) *Program {
	b.T.Helper()
	return &Program{Site: b.Site, Token: b.NewToken(permissions...)}
}

// Call asks the API, with a body unless it is nil: a text as it is, else as JSON.
func (p *Program) Call(method, path string, body any) *Answer {
	p.T.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		text, err = json.Marshal(body)
		Check(p.T, err)
	}
	req, err := http.NewRequestWithContext(p.T.Context(), method, p.HTTP.URL+api.Prefix+path, bytes.NewReader(text))
	Check(p.T, err)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if p.Token != "" {
		req.Header.Set("Authorization", "Bearer "+p.Token)
	}
	res, err := (&http.Client{Jar: p.jar}).Do(req)
	Check(p.T, err)
	defer res.Body.Close() //nolint:errcheck // read to its end below
	read, err := io.ReadAll(res.Body)
	Check(p.T, err)
	return &Answer{res, string(read)}
}

// Into reads an answer.
func (a *Answer) Into(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.Text), v); err != nil {
		t.Fatalf("%s answered %d %.600s: %v", a.Request.URL, a.StatusCode, a.Text, err)
	}
}

// Fields is a JSON object.
type Fields map[string]any

// With is the object with one more field.
func (f Fields) With(name, value string) Fields {
	if value != "" {
		f[name] = value
	}
	return f
}
