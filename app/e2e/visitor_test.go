package e2e

import (
	"bytes"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"
)

// visitor is a person with a browser that runs no script.
type visitor struct {
	server *server
	client *http.Client
}

// answer is what a visitor got, without following a redirect.
type answer struct {
	status int
	to     string // where a redirect leads
	page
	size int // of the page, in bytes
}

// visit signs the administrator in.
func visit(t testing.TB, s *server) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{s, &http.Client{
		Jar: jar, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if a := v.post(t, "/login", url.Values{"email": {adminEmail}, "password": {adminPassword}}); a.status != http.StatusSeeOther {
		t.Fatalf("signing in answered %d %s; want 303", a.status, a.said())
	}
	return v
}

func (v *visitor) get(t testing.TB, path string) answer {
	t.Helper()
	res, err := v.client.Get(v.server.base + path)
	return read(t, path, res, err)
}

func (v *visitor) post(t testing.TB, path string, form url.Values) answer {
	t.Helper()
	res, err := v.client.PostForm(v.server.base+path, form)
	return read(t, path, res, err)
}

// read expects of every answer that it is text, and no fault of the server's.
func read(t testing.TB, path string, res *http.Response, err error) answer {
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
		t.Errorf("%s answered %d, as UTF-8: %v, with NUL: %v", path, res.StatusCode, utf8.Valid(body), bytes.IndexByte(body, 0) >= 0)
	}
	document, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header.Get("Location"), page{document}, len(body)}
}

// alive expects the server to be there for the next person.
func (v *visitor) alive(t testing.TB) {
	t.Helper()
	if a := v.get(t, "/healthz"); a.status != http.StatusOK {
		t.Errorf("/healthz answered %d; want 200", a.status)
	}
}

// form is a valid automation of the Shell provider.
func (v *visitor) form(t testing.TB, name, script string) url.Values {
	t.Helper()
	workspace := v.get(t, "/automations/new").first(with("id", "workspace")).first(element("option")).attr("value")
	if workspace == "" {
		t.Fatal("there is no workspace to choose")
	}
	return url.Values{
		"name": {name}, "prompt": {script}, "workspace": {workspace}, "trigger": {"manual"}, "session_type": {"develop"}, "execution_type": {"inline"},
		"provider": {"shell"}, "auto_complete": {"true"}, "timeout": {"10"},
	}
}

// automation makes an automation and returns its path.
func (v *visitor) automation(t testing.TB, name, script string) string {
	t.Helper()
	a := v.post(t, "/automations", v.form(t, name, script))
	if a.status != http.StatusSeeOther {
		t.Fatalf("saving answered %d %s; want 303", a.status, a.said())
	}
	return a.to
}

// run presses Run now and returns the path of the session.
func (v *visitor) run(t testing.TB, automation string) string {
	t.Helper()
	a := v.post(t, automation+"/runs", nil)
	if a.status != http.StatusSeeOther || !strings.HasPrefix(a.to, "/sessions/") {
		t.Fatalf("Run now answered %d %s %s; want 303 to a session", a.status, a.to, a.said())
	}
	return a.to
}

// fact is a property that the head of a session's page shows.
func (v *visitor) fact(t testing.TB, session, label string) string {
	t.Helper()
	for _, f := range v.get(t, session).first(with("id", "session-head")).find(with("class", "fact")) {
		if f.first(element("dt")).said() == label {
			return f.first(element("dd")).said()
		}
	}
	return ""
}

// ends waits until a session's run has ended as expected.
func (v *visitor) ends(t testing.TB, session, status string) {
	t.Helper()
	var is string
	end, pause := time.Now().Add(2*patience), 50*time.Millisecond
	for is = v.fact(t, session, "Run"); is == "Queued" || is == "Running"; is = v.fact(t, session, "Run") {
		if time.Now().After(end) {
			t.Fatalf("%s is still %s after %s", session, is, 2*patience)
		}
		time.Sleep(pause)
		pause = min(pause*5/4, time.Second) // each look is a page
	}
	if is != status {
		t.Fatalf("the run ended as %s; want %s. Its session says: %s", is, status, v.get(t, session).said())
	}
}

// exists waits for a file that a script makes.
func exists(t testing.TB, path string) {
	t.Helper()
	eventually(t, "the file "+filepath.Base(path), func() bool {
		_, err := os.Stat(path)
		return err == nil
	})
}

// marked counts the processes whose environment holds a mark.
func marked(t testing.TB, mark string) int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil || len(files) == 0 {
		t.Skip("there is no /proc to look for processes in")
	}
	n := 0
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && bytes.Contains(text, []byte(mark)) {
			n++
		}
	}
	return n
}

// touch makes a file for which a script waits.
func touch(t testing.TB, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
}
