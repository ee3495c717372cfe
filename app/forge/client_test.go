package forge

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const token = "tok-3n_Secret"

// forgeServer speaks the documented REST API of one kind of forge for one repository, and keeps its pull requests.
type forgeServer struct {
	kind Kind
	url  string

	mu       sync.Mutex
	list     []PullRequest
	requests []string
	page     int // the most pull requests on a page; 0 is what was asked for
}

// prefix is where the API of the repository's pull requests is.
func (s *forgeServer) prefix() string {
	switch s.kind {
	case GitHub:
		return "/api/v3/repos/o/r/pulls"
	case GitLab:
		return "/api/v4/projects/o%2Fr/merge_requests"
	case Gitea:
		return "/api/v1/repos/o/r/pulls"
	}
	return "/o/My%20P/_apis/git/repositories/r/pullrequests"
}

func (s *forgeServer) repo() string {
	if s.kind == Azure {
		return "o/My P/r"
	}
	return "o/r"
}

func serveForge(t *testing.T, kind Kind, list ...PullRequest) (*forgeServer, *Client) {
	t.Helper()
	s := &forgeServer{kind: kind, list: list}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s, &Client{Kind: kind, Base: server.URL, Token: token, HTTP: server.Client(), Now: func() time.Time {
		return time.Unix(1_700_000_000, 0)
	}}
}

func (s *forgeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r.Method+" "+r.URL.RequestURI())
	want := map[Kind]string{
		GitHub: "Bearer " + token, GitLab: "Bearer " + token, Gitea: "token " + token,
		Azure: "Basic " + base64.StdEncoding.EncodeToString([]byte(":"+token)),
	}[s.kind]
	if r.Header.Get("Authorization") != want {
		s.unauthorized(w)
		return
	}
	if s.kind == Azure && r.URL.Query().Get("api-version") == "" {
		reply(w, 400, map[string]any{"message": "No api-version was supplied."})
		return
	}
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), s.prefix())
	switch {
	case !ok:
		reply(w, 404, map[string]any{"message": "Not Found"})
	case r.Method == http.MethodPost && rest == "":
		s.create(w, r)
	case r.Method == http.MethodGet && rest == "":
		s.search(w, r.URL.Query())
	case r.Method == http.MethodGet:
		for _, p := range s.list {
			if rest == "/"+strconv.FormatInt(p.Number, 10) {
				reply(w, 200, s.show(p, true))
				return
			}
		}
		reply(w, 404, map[string]any{"message": "Not Found"})
	default:
		reply(w, 405, nil)
	}
}

func (s *forgeServer) unauthorized(w http.ResponseWriter) {
	if s.kind == Azure {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusNonAuthoritativeInfo)
		io.WriteString(w, "<html>Azure DevOps Services | Sign In</html>")
		return
	}
	reply(w, 401, map[string]any{"message": "Bad credentials for " + token})
}

func (s *forgeServer) search(w http.ResponseWriter, q url.Values) {
	list := slices.Clone(s.list)
	slices.Reverse(list)
	state := q.Get("state") + q.Get("searchCriteria.status")
	list = slices.DeleteFunc(list, func(p PullRequest) bool {
		switch {
		case state == "open" && p.State != Open || state == "closed" && p.State == Open:
			return true
		case s.kind == GitHub:
			return q.Get("head") != "o:"+p.Branch
		case s.kind == GitLab:
			return q.Get("source_branch") != p.Branch
		case s.kind == Azure:
			return q.Get("searchCriteria.sourceRefName") != "refs/heads/"+p.Branch
		}
		return false
	})
	total := len(list)
	if s.kind == Gitea {
		page, _ := strconv.Atoi(q.Get("page"))
		limit, _ := strconv.Atoi(q.Get("limit"))
		if s.page > 0 {
			limit = min(limit, s.page)
		}
		list = list[min(len(list), (page-1)*limit):min(len(list), page*limit)]
		w.Header().Set("X-Total-Count", strconv.Itoa(total))
	}
	shown := []any{}
	for _, p := range list {
		shown = append(shown, s.show(p, false))
	}
	if s.kind == Azure {
		reply(w, 200, map[string]any{"value": shown, "count": len(shown)})
		return
	}
	reply(w, 200, shown)
}

func (s *forgeServer) create(w http.ResponseWriter, r *http.Request) {
	var in map[string]any
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || r.Header.Get("Content-Type") != "application/json" {
		reply(w, 400, map[string]any{"message": "Problems parsing JSON"})
		return
	}
	text := func(names ...string) string {
		for _, n := range names {
			if v, ok := in[n].(string); ok {
				return v
			}
		}
		return ""
	}
	p := PullRequest{Forge: s.kind, Number: int64(len(s.list) + 1), State: Open, Title: text("title"),
		Branch: strings.TrimPrefix(text("head", "source_branch", "sourceRefName"), "refs/heads/"),
		Base:   strings.TrimPrefix(text("base", "target_branch", "targetRefName"), "refs/heads/")}
	p.Draft = in["draft"] == true || in["isDraft"] == true || strings.HasPrefix(p.Title, "Draft: ") ||
		strings.HasPrefix(p.Title, "WIP: ")
	if len([]rune(p.Title)) > 255 || s.kind == Azure && len([]rune(text("description"))) > 4000 || p.Branch == "" ||
		p.Base == "" {
		reply(w, 400, map[string]any{"message": "too long or missing"})
		return
	}
	if p.Branch == "empty" {
		reply(w, 422, map[string]any{
			"message": "Validation Failed",
			"errors":  []any{map[string]any{"code": "custom", "message": "No commits between main and empty"}},
		})
		return
	}
	for _, other := range s.list {
		if other.Branch == p.Branch && other.State == Open && !other.Fork &&
			(other.Base == p.Base || s.kind == GitLab) {
			switch s.kind {
			case GitHub:
				reply(w, 422, map[string]any{
					"message": "Validation Failed", "errors": []any{map[string]any{
						"resource": "PullRequest", "code": "custom", "message": "A pull request already exists for o:" +
							p.Branch + ".",
					}},
				})
			case GitLab:
				reply(w, 409,
					map[string]any{"message": []any{"Another open merge request already exists for this source " +
						"branch: !" + strconv.FormatInt(other.Number, 10)}})
			case Gitea:
				reply(w, 409, map[string]any{
					"message": "pull request already exists for these targets", "url": s.url + "/api/swagger",
				})
			case Azure:
				reply(w, 409,
					map[string]any{
						"$id": "1", "message": "TF401179: An active pull request for the source and target branch " +
							"already exists.", "typeKey": "GitPullRequestExistsException",
					})
			}
			return
		}
	}
	s.list = append(s.list, p)
	reply(w, 201, s.show(p, true))
}

// show is a pull request as the forge's documentation shows it.
func (s *forgeServer) show(p PullRequest, whole bool) any {
	number := strconv.FormatInt(p.Number, 10)
	switch s.kind {
	case GitLab:
		state := map[State]string{Open: "opened", Merged: "merged", Closed: "closed"}[p.State]
		source := 1
		if p.Fork {
			source = 2
		}
		return map[string]any{"id": 1000 + p.Number, "iid": p.Number, "project_id": 1, "title": p.Title, "state": state,
			"draft": p.Draft, "web_url": s.url + "/o/r/-/merge_requests/" + number,
			"source_branch": p.Branch, "target_branch": p.Base, "source_project_id": source, "target_project_id": 1,
			"updated_at": "2024-05-01T10:00:00.123Z", "author": map[string]any{"id": 1}}
	case Azure:
		out := map[string]any{"pullRequestId": p.Number, "status": map[State]string{
			Open: "active", Merged: "completed", Closed: "abandoned",
		}[p.State], "title": p.Title, "isDraft": p.Draft,
			"sourceRefName": "refs/heads/" + p.Branch, "targetRefName": "refs/heads/" + p.Base,
			"creationDate": "2024-05-01T10:00:00Z",
			"repository": map[string]any{
				"id": "3411ebc1", "name": "r", "project": map[string]any{
					"id": "a7573007", "name": "My P", "state": "wellFormed",
				},
			}}
		if p.Fork {
			out["forkSource"] = map[string]any{
				"name": "refs/heads/" + p.Branch, "repository": map[string]any{"name": "fork"},
			}
		}
		return out
	}
	head := "o/r"
	if p.Fork {
		head = "else/r"
	}
	state := "open"
	if p.State != Open {
		state = "closed"
	}
	ref := p.Branch
	if s.kind == Gitea && p.State == Merged {
		ref = "refs/pull/" + number + "/head" // its branch is deleted
	}
	out := map[string]any{"number": p.Number, "state": state, "title": p.Title, "draft": p.Draft,
		"updated_at": "2024-05-01T10:00:00Z", "merged_at": nil,
		"html_url": "http://localhost:3000/o/r/pulls/" + number, // as of a server that does not know its own name
		"head": map[string]any{
			"ref": ref, "label": p.Branch, "repo_id": 1, "repo": map[string]any{"full_name": head},
		},
		"base": map[string]any{"ref": p.Base, "repo_id": 1, "repo": map[string]any{"full_name": "o/r"}}}
	if p.State == Merged {
		out["merged_at"] = "2024-05-01T10:00:00Z"
	}
	if whole || s.kind == Gitea {
		out["merged"] = p.State == Merged
	}
	return out
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func TestPullRequestsAreFoundByBranch(t *testing.T) {
	t.Parallel()
	list := []PullRequest{
		{Number: 1, Branch: "carillon/a b", Base: "main", State: Merged, Title: "first"},
		{Number: 2, Branch: "carillon/a b", Base: "main", State: Open, Title: "second"},
		{Number: 3, Branch: "carillon/a b", Base: "main", State: Closed},
		{Number: 4, Branch: "other", Base: "main", State: Open},
		{Number: 5, Branch: "from-fork", Base: "main", State: Open, Fork: true},
		{Number: 6, Branch: "done", Base: "main", State: Merged},
		{Number: 7, Branch: "done", Base: "main", State: Closed},
	}
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s, c := serveForge(t, kind, list...)
			s.page = 2
			p, err := c.Find(t.Context(), s.repo(), "carillon/a b")
			if err != nil || p == nil || p.Number != 2 || p.State != Open || p.Branch != "carillon/a b" ||
				p.Base != "main" || p.Forge != kind || p.Repository != s.repo() || p.Title != "second" {
				t.Fatalf("found %+v, %v", p, err)
			}
			if found := FindURLs(p.URL); len(found) != 1 || found[0].Key() != p.Key() ||
				!strings.HasPrefix(p.URL, s.url) {
				t.Errorf("its address is %s", p.URL)
			}
			for branch, want := range map[string]int64{"done": 7, "from-fork": 0, "never": 0, "": 0, "other": 4} {
				p, err := c.Find(t.Context(), s.repo(), branch)
				if err != nil || (p == nil) != (want == 0) || p != nil && p.Number != want {
					t.Errorf("branch %q has %+v, %v; want %d", branch, p, err, want)
				}
			}
		})
	}
}

func TestStateIsWhatTheForgeSaysNow(t *testing.T) {
	t.Parallel()
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s, c := serveForge(t, kind, PullRequest{Number: 1, Branch: "b", Base: "main", State: Open})
			p := PullRequest{Forge: kind, Repository: s.repo(), Number: 1}
			for _, want := range []State{Open, Merged, Closed, Open} {
				s.mu.Lock()
				s.list[0].State = want
				s.mu.Unlock()
				var err error
				if p, err = c.State(t.Context(), p); err != nil || p.State != want || p.Branch != "b" {
					t.Fatalf("it is %+v, %v; want %s", p, err, want)
				}
			}
			for name, q := range map[string]PullRequest{
				"another kind": {Forge: "other", Repository: s.repo(), Number: 1},
				"another host": {
					Forge: kind, Repository: s.repo(), Number: 1, URL: "https://else.example.org/o/r/pull/1",
				},
			} {
				if _, err := c.State(t.Context(), q); !errors.Is(err, ErrElsewhere) {
					t.Errorf("%s: %v; want ErrElsewhere", name, err)
				}
			}
			before := len(s.requests)
			for _, q := range []PullRequest{{Forge: kind, Repository: "../..", Number: 1},
				{Forge: kind, Repository: s.repo()}} {
				if _, err := c.State(t.Context(), q); !errors.Is(err, ErrNotFound) {
					t.Errorf("%+v: %v; want ErrNotFound", q, err)
				}
			}
			if len(s.requests) != before {
				t.Errorf("the forge was asked for what cannot be: %v", s.requests[before:])
			}
			if _, err := c.State(t.Context(), PullRequest{Forge: kind, Repository: s.repo(), Number: 99}); !errors.Is(
				err, ErrNotFound) {
				t.Errorf("number 99: %v; want ErrNotFound", err)
			}
		})
	}
}

func TestCreatingTwiceReturnsTheExistingOne(t *testing.T) {
	t.Parallel()
	for _, kind := range Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			s, c := serveForge(t, kind, PullRequest{Number: 1, Branch: "b", Base: "main", State: Closed},
				PullRequest{Number: 2, Branch: "b", Base: "main", State: Open, Fork: true})
			n := NewPullRequest{
				Title: "A\ntitle", Body: strings.Repeat("é", 70000), Branch: "b", Base: "main", Draft: true,
			}
			made, err := c.Create(t.Context(), s.repo(), n)
			if err != nil || made.Number != 3 || made.State != Open || !made.Draft && kind != Gitea ||
				!strings.HasSuffix(made.Title, "A title") {
				t.Fatalf("made %+v, %v", made, err)
			}
			again, err := c.Create(t.Context(), s.repo(), n)
			if err != nil || again.Number != made.Number || again.URL != made.URL {
				t.Errorf("made again %+v, %v", again, err)
			}
			n.Branch, n.Title, n.Draft = "c", strings.Repeat("ü", 600), true
			if long, err := c.Create(t.Context(), s.repo(), n); err != nil || !strings.HasSuffix(long.Title, "…") {
				t.Errorf("a long title gave %+v, %v", long, err)
			}
			n.Branch = "empty"
			_, err = c.Create(t.Context(), s.repo(), n)
			var refused *Refused
			if !errors.As(err, &refused) || refused.Status != 422 ||
				!strings.Contains(err.Error(), "No commits between") {
				t.Errorf("a branch without commits gave %v", err)
			}
		})
	}
}

func TestRefusalsAreToldApart(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	for _, tt := range []struct {
		name   string
		kind   Kind
		status int
		header map[string]string
		body   string
		want   error
		until  time.Time
	}{
		{"a bad token", GitHub, 401, nil, `{"message":"Bad credentials"}`, ErrCredentials, time.Time{}},
		{"a token that may not", GitHub, 403, map[string]string{"X-RateLimit-Remaining": "4999"},
			`{"message":"Resource not accessible by personal access token"}`, ErrCredentials, time.Time{}},
		{"a scope that is missing", GitLab, 403, nil, `{"error":"insufficient_scope"}`, ErrCredentials, time.Time{}},
		{"a page to sign in", Azure, 302,
			map[string]string{"Location": "https://spsprodeus.vssps.visualstudio.com/_signin"}, ``, ErrCredentials,
			time.Time{}},
		{"an unknown repository", Gitea, 404, nil, `{"message":"The target couldn't be found."}`, ErrNotFound,
			time.Time{}},
		{"GitHub's limit of an hour", GitHub, 403, map[string]string{
			"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1700001000",
		}, `{"message":"API rate limit exceeded"}`, nil, time.Unix(1700001000, 0)},
		{"GitHub's second limit", GitHub, 403, map[string]string{"Retry-After": "60"},
			`{"message":"You have exceeded a secondary rate limit"}`, nil, now.Add(time.Minute)},
		{"GitHub's second limit without a time", GitHub, 403, nil,
			`{"message":"You have exceeded a secondary rate limit"}`, nil, now.Add(time.Minute)},
		{"GitLab's limit", GitLab, 429, map[string]string{"RateLimit-Reset": "1700000030"}, `Retry later`, nil,
			now.Add(30 * time.Second)},
		{"a limit by date", Gitea, 429, map[string]string{"Retry-After": "Tue, 14 Nov 2023 22:15:20 GMT"}, ``, nil,
			now.Add(2 * time.Minute)},
		{"a limit that has passed", Gitea, 429, map[string]string{"X-RateLimit-Reset": "1"}, ``, nil, now},
		{"a limit for ever", Azure, 429, map[string]string{"Retry-After": "999999999999"}, ``, nil,
			now.Add(24 * time.Hour)},
		{"a limit for years", Azure, 503, map[string]string{"Retry-After": "99999999"}, ``, nil,
			now.Add(24 * time.Hour)},
		{"an error of theirs", GitHub, 502, nil, `<html>Bad gateway</html>`, &Refused{502, "Bad Gateway"}, time.Time{}},
		{"a message with line ends", GitHub, 500, nil, `{"message":"a\r\nSet-Cookie: x\u001b[31m"}`,
			&Refused{500, "a  Set-Cookie: x [31m"}, time.Time{}},
		{"a redirect to elsewhere", GitHub, 302, map[string]string{"Location": "http://169.254.169.254/latest"}, ``,
			&Refused{302, "Found"}, time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for k, v := range tt.header {
					w.Header().Set(k, v)
				}
				w.WriteHeader(tt.status)
				io.WriteString(w, tt.body)
			}))
			t.Cleanup(server.Close)
			c := &Client{Kind: tt.kind, Base: server.URL, Token: token, HTTP: server.Client(), Now: func() time.Time {
				return now
			}}
			repo := "o/r"
			if tt.kind == Azure {
				repo = "o/p/r"
			}
			_, err := c.Find(t.Context(), repo, "b")
			var limit *RateLimit
			var refused *Refused
			switch want, isRefused := tt.want.(*Refused); {
			case isRefused:
				if !errors.As(err, &refused) || *refused != *want {
					t.Errorf("answered %v; want %v", err, want)
				}
			case tt.want != nil:
				if !errors.Is(err, tt.want) {
					t.Errorf("answered %v; want %v", err, tt.want)
				}
			case !errors.As(err, &limit) || !limit.Until.Equal(tt.until):
				t.Errorf("answered %v; want a limit until %v", err, tt.until)
			}
		})
	}
}

func TestTokensStayWithTheirForge(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var strangers []string
	stranger := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		strangers = append(strangers, r.Header.Get("Authorization"))
	}))
	t.Cleanup(stranger.Close)
	for _, kind := range Kinds() {
		s, c := serveForge(t, kind)
		redirecting := httptest.NewServer(http.RedirectHandler(stranger.URL+"/x", http.StatusTemporaryRedirect))
		t.Cleanup(redirecting.Close)
		c.Base = redirecting.URL
		if _, err := c.Find(t.Context(), s.repo(), "b"); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%s: redirected elsewhere gave %v", kind, err)
		}
		c.Base = s.url
		c.Token = "wrong"
		if _, err := c.Find(t.Context(), s.repo(), "b"); !errors.Is(err, ErrCredentials) {
			t.Errorf("%s: a wrong token gave %v", kind, err)
		}
		c.Token = token + "\r\nX-Injected: 1"
		if _, err := c.Find(t.Context(), s.repo(), "b"); !errors.Is(err, ErrCredentials) ||
			strings.Contains(err.Error(), token) {
			t.Errorf("%s: a token of two lines gave %v", kind, err)
		}
		c.Token, c.Base = token, "http://user:"+token+"@127.0.0.1:1"
		if _, err := c.Find(t.Context(), s.repo(), "b"); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%s: no server gave %v", kind, err)
		}
		c.Base = "ftp://x:" + token + "@y/"
		if _, err := c.Find(t.Context(), s.repo(), "b"); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%s: no address gave %v", kind, err)
		}
	}
	if len(strangers) != 0 {
		t.Errorf("another host was asked with %q", strangers)
	}
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 401, map[string]any{"message": "bad token " + token})
	}))
	t.Cleanup(echo.Close)
	c := &Client{Kind: GitHub, Base: echo.URL, Token: token}
	if _, err := c.Find(t.Context(), "o/r", "b"); !errors.Is(err, ErrCredentials) ||
		strings.Contains(err.Error(), token) {
		t.Errorf("a forge that repeats the token gave %v", err)
	}
}

func TestRenamedRepositoriesAreFollowed(t *testing.T) {
	t.Parallel()
	inner := &forgeServer{kind: GitHub, list: []PullRequest{{Number: 1, Branch: "b", Base: "main", State: Open}}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if rest, ok := strings.CutPrefix(r.URL.EscapedPath(), "/api/v3/repos/o/old"); ok {
			http.Redirect(w, r, "/api/v3/repos/o/r"+rest+"?"+r.URL.RawQuery, http.StatusTemporaryRedirect)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	c := &Client{Kind: GitHub, Base: server.URL, Token: token, HTTP: server.Client()}
	if p, err := c.Find(t.Context(), "o/old", "b"); err != nil || p == nil || p.Repository != "o/r" {
		t.Errorf("found %+v, %v", p, err)
	}
	if p, err := c.Create(t.Context(), "o/old", NewPullRequest{Title: "t", Branch: "new", Base: "main"}); err != nil ||
		p.Number != 2 {
		t.Errorf("made %+v, %v", p, err)
	}
}

func TestAnswersAreReadWithBounds(t *testing.T) {
	t.Parallel()
	block, reached := make(chan struct{}), make(chan struct{}, 1)
	for name, handler := range map[string]http.HandlerFunc{
		"an endless answer": func(w http.ResponseWriter, _ *http.Request) {
			chunk := []byte("[" + strings.Repeat(" ", 1<<20))
			for range 64 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		},
		"nested lists": func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, strings.Repeat("[", 200_000))
		},
		"a page": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html></html>") },
		"redirects forever": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
		},
		"silence": func(_ http.ResponseWriter, r *http.Request) {
			reached <- struct{}{}
			select {
			case <-r.Context().Done():
			case <-block:
			}
		},
	} {
		server := httptest.NewServer(handler)
		t.Cleanup(server.Close)
		c := &Client{Kind: GitHub, Base: server.URL, HTTP: server.Client()}
		ctx, cancel := context.WithCancel(t.Context())
		if name == "silence" {
			go func() {
				<-reached
				cancel()
			}()
		}
		p, err := c.Find(ctx, "o/r", "b")
		cancel()
		if err == nil || p != nil || len(err.Error()) > 600 {
			t.Errorf("%s gave %+v, %v", name, p, err)
		}
	}
	close(block)
}

func TestOneOddPullRequestHidesNoOther(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w,
			`[{"iid":0,"state":"new"},{"iid":4,"state":"opened","source_branch":"b","target_branch":"main","web_url":"javascript:alert(1)"}]`)
	}))
	t.Cleanup(server.Close)
	c := &Client{Kind: GitLab, Base: server.URL + "/gitlab/", HTTP: server.Client()}
	p, err := c.Find(t.Context(), "a/b/c", "b")
	if err != nil || p == nil || p.Number != 4 || p.URL != server.URL+"/gitlab/a/b/c/-/merge_requests/4" {
		t.Errorf("found %+v, %v", p, err)
	}
}

func TestPublicForgesHaveTheirOwnAPIHosts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind             Kind
		base, repo, want string
	}{
		{GitHub, "", "o/r", "https://api.github.com/repos/o/r/pulls"},
		{GitHub, "https://github.com/", "o/r", "https://api.github.com/repos/o/r/pulls"},
		{GitHub, "https://Firm.ghe.com", "o/r", "https://api.firm.ghe.com/repos/o/r/pulls"},
		{GitHub, "https://ghe.example.org", "o/r", "https://ghe.example.org/api/v3/repos/o/r/pulls"},
		{GitLab, "", "a/b/c", "https://gitlab.com/api/v4/projects/a%2Fb%2Fc/merge_requests"},
		{Gitea, "https://example.org/git/", "o/r", "https://example.org/git/api/v1/repos/o/r/pulls"},
		{Azure, "", "o/My P/r", "https://dev.azure.com/o/My%20P/_apis/git/repositories/r/pullrequests"},
		{Azure, "https://o.visualstudio.com", "o/p/r",
			"https://dev.azure.com/o/p/_apis/git/repositories/r/pullrequests"},
		{Azure, "https://tfs.example.org/tfs", "C/p/r",
			"https://tfs.example.org/tfs/C/p/_apis/git/repositories/r/pullrequests"},
	} {
		a, err := (&Client{Kind: tt.kind, Base: tt.base}).api(tt.repo)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		switch a := a.(type) {
		case *githubAPI:
			got = a.pulls
		case *gitlabAPI:
			got = a.requests
		case *giteaAPI:
			got = a.pulls
		case *azureAPI:
			got = a.pulls
		}
		if got != tt.want {
			t.Errorf("%s at %q is asked at %s; want %s", tt.kind, tt.base, got, tt.want)
		}
	}
	if _, err := (&Client{Kind: Gitea}).Find(t.Context(), "o/r", "b"); err == nil {
		t.Error("a Gitea without an address was asked")
	}
}
