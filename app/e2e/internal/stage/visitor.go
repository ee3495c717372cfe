package stage

import (
	"bytes"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// Visitor is a person with a browser that runs no script.
type Visitor struct {
	Server *Server
	Client *http.Client
}

// Answer is what a visitor got, without following a redirect.
type Answer struct {
	Status int
	To     string // where a redirect leads
	Page
	Size int // of the page, in bytes
}

// Visit signs the administrator in.
func Visit(t testing.TB, s *Server) *Visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &Visitor{s, &http.Client{
		Jar: jar, Timeout: Patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if a := v.Post(t, "/login", url.Values{
		"email": {AdminEmail}, "password": {AdminPassword},
	}); a.Status != http.StatusSeeOther {
		t.Fatalf("signing in answered %d %s; want 303", a.Status, a.Said())
	}
	return v
}

// Get gets a page.
func (v *Visitor) Get(t testing.TB, path string) Answer {
	t.Helper()
	res, err := v.Client.Get(v.Server.Base + path)
	return read(t, path, res, err)
}

// Post sends a form.
func (v *Visitor) Post(t testing.TB, path string, form url.Values) Answer {
	t.Helper()
	res, err := v.Client.PostForm(v.Server.Base+path, form)
	return read(t, path, res, err)
}

// read expects of every answer that it is text, and no fault of the server's.
func read(t testing.TB, path string, res *http.Response, err error) Answer {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode >= 500 || !utf8.Valid(body) || bytes.IndexByte(body, 0) >= 0 {
		t.Errorf("%s answered %d, as UTF-8: %v, with NUL: %v", path, res.StatusCode, utf8.Valid(body),
			bytes.IndexByte(body, 0) >= 0)
	}
	document, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return Answer{res.StatusCode, res.Header.Get("Location"), Page{document}, len(body)}
}

// Alive expects the server to be there for the next person.
func (v *Visitor) Alive(t testing.TB) {
	t.Helper()
	if a := v.Get(t, "/healthz"); a.Status != http.StatusOK {
		t.Errorf("/healthz answered %d; want 200", a.Status)
	}
}

// Form is a valid automation of the Shell provider.
func (v *Visitor) Form(t testing.TB, name, script string) url.Values {
	t.Helper()
	workspace := v.Get(t, "/automations/new").First(With("id", "workspace")).First(Element("option")).Attr("value")
	if workspace == "" {
		t.Fatal("there is no workspace to choose")
	}
	return url.Values{
		"name": {name}, "prompt": {script}, "workspace": {workspace}, "trigger": {"manual"},
		"session_type": {"develop"}, "execution_type": {"inline"},
		"provider": {"shell"}, "auto_complete": {"true"}, "timeout": {"10"},
	}
}

// Automation makes an automation and returns its path.
func (v *Visitor) Automation(t testing.TB, name, script string) string {
	t.Helper()
	a := v.Post(t, "/automations", v.Form(t, name, script))
	if a.Status != http.StatusSeeOther {
		t.Fatalf("saving answered %d %s; want 303", a.Status, a.Said())
	}
	return a.To
}

// Run presses Run now and returns the path of the session.
func (v *Visitor) Run(t testing.TB, automation string) string {
	t.Helper()
	a := v.Post(t, automation+"/runs", nil)
	if a.Status != http.StatusSeeOther || !strings.HasPrefix(a.To, "/sessions/") {
		t.Fatalf("Run now answered %d %s %s; want 303 to a session", a.Status, a.To, a.Said())
	}
	return a.To
}

// Fact is a property that the head of a session's page shows.
func (v *Visitor) Fact(t testing.TB, session, label string) string {
	t.Helper()
	for _, f := range v.Get(t, session).First(With("id", "session-head")).Find(With("class", "fact")) {
		if f.First(Element("dt")).Said() == label {
			return f.First(Element("dd")).Said()
		}
	}
	return ""
}

// Ends waits until a session's run has ended as expected.
func (v *Visitor) Ends(t testing.TB, session, status string) {
	t.Helper()
	var is string
	end, pause := time.Now().Add(2*Patience), 50*time.Millisecond
	for is = v.Fact(t, session, "Run"); is == "Queued" || is == "Running"; is = v.Fact(t, session, "Run") {
		if time.Now().After(end) {
			t.Fatalf("%s is still %s after %s", session, is, 2*Patience)
		}
		time.Sleep(pause)
		pause = min(pause*5/4, time.Second) // each look is a page
	}
	if is != status {
		t.Fatalf("the run ended as %s; want %s. Its session says: %s", is, status, v.Get(t, session).Said())
	}
}
