package forge

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestPayloadsOfEveryForgeTellTheirPullRequest(t *testing.T) {
	t.Parallel()
	at := func(s string) time.Time {
		when, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	octocat := PullRequest{Forge: GitHub, Repository: "Codertocat/Hello-World", Number: 2,
		URL:   "https://github.com/Codertocat/Hello-World/pull/2",
		Title: "Update the README with new information.", State: Open, Branch: "changes", Base: "master",
		Updated: at("2019-05-15T15:20:33Z")}
	gitlab := PullRequest{Forge: GitLab, Repository: "gitlab-org/hello-world", Number: 1,
		URL:   "https://gitlab.com/gitlab-org/hello-world/merge_requests/1",
		Title: "update readme", State: Open, Branch: "feature", Base: "master", Updated: at("2017-12-10T17:01:11Z")}
	gitea := PullRequest{Forge: Gitea, Repository: "jcitizen/my-repo", Number: 1,
		URL:   "https://try.gitea.io/jcitizen/my-repo/pulls/1",
		Title: "Add LICENSE File", State: Closed, Branch: "feature", Base: "master"}
	azure := PullRequest{Forge: Azure, Repository: "fabrikam/Fabrikam/Fabrikam", Number: 1,
		URL:   "https://dev.azure.com/fabrikam/Fabrikam/_git/Fabrikam/pullrequest/1",
		Title: "my first pull request", State: Open, Branch: "mytopic", Base: "master"}
	for _, tt := range []struct {
		file, event string
		kind        EventKind
		name        string
		want        PullRequest
		change      func(*PullRequest)
	}{
		{"github/ping.json", "ping", Ping, "ping", PullRequest{}, nil},
		{"github/push.json", "push", Ignored, "push", PullRequest{}, nil},
		{"github/workflow_run.completed.json", "workflow_run", Ignored, "workflow_run", PullRequest{}, nil},
		{"github/pull_request.opened.json", "pull_request", Opened, "pull_request.opened", octocat, nil},
		{"github/pull_request.synchronize.json", "pull_request", Updated, "pull_request.synchronize", octocat, nil},
		{"github/pull_request.reopened.json", "pull_request", Reopened, "pull_request.reopened", octocat, nil},
		{"github/pull_request.closed_unmerged.json", "pull_request", WasClosed, "pull_request.closed", octocat,
			func(p *PullRequest) {
				p.State = Closed
			}},
		{"github/pull_request.closed_merged.json", "pull_request", WasMerged, "pull_request.closed", PullRequest{
			Forge: GitHub, Repository: "ailisp/gcbapp-buildconfig-example", Number: 3,
			URL:   "https://github.com/ailisp/gcbapp-buildconfig-example/pull/3",
			Title: "Byao1276 patch 1", State: Merged, Branch: "byao1276-patch-1", Base: "master", Fork: true}, nil},

		{"gitlab/merge_request_create.json", "Merge Request Hook", Opened, "Merge Request Hook.open", gitlab, nil},
		{"gitlab/merge_request_close.json", "Merge Request Hook", WasClosed, "Merge Request Hook.close", gitlab,
			func(p *PullRequest) {
				p.State = Closed
			}},
		{"gitlab/merge_request_merge.json", "System Hook", WasMerged, "System Hook.merge", gitlab,
			func(p *PullRequest) {
				p.State = Merged
			}},
		{"gitlab/pipeline_event.json", "Pipeline Hook", Ignored, "Pipeline Hook", PullRequest{}, nil},

		{"gitea/pull_request_opened.json", "pull_request", Opened, "pull_request.opened", gitea, func(p *PullRequest) {
			p.State, p.Title = Open, "Add License File"
		}},
		{"gitea/pull_request_closed.json", "pull_request", WasClosed, "pull_request.closed", gitea, nil},
		{"gitea/pull_request_merged.json", "pull_request", WasMerged, "pull_request.closed", gitea,
			func(p *PullRequest) {
				p.State = Merged
			}},

		{"azure/git.pullrequest.created.json", "", Opened, "git.pullrequest.created", azure, nil},
		{"azure/git.pullrequest.updated.json", "", WasMerged, "git.pullrequest.updated", azure, func(p *PullRequest) {
			p.State = Merged
		}},
		{"azure/git.pullrequest.merged.json", "", WasMerged, "git.pullrequest.merged", azure, func(p *PullRequest) {
			p.State = Merged
		}},
		{"azure/DERIVED.git.pullrequest.updated_abandoned.json", "", WasClosed, "git.pullrequest.updated", azure,
			func(p *PullRequest) {
				p.State = Closed
			}},
		{"azure/build.complete.json", "", Ignored, "build.complete", PullRequest{}, nil},
	} {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			kind := Kind(filepath.Dir(tt.file))
			e, err := Parse(kind, eventHeader(kind, tt.event), read(t, tt.file))
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			if tt.change != nil {
				tt.change(&want)
			}
			got := e.PullRequest
			if want.Number != 0 && (got.Updated.IsZero() || got.Created.IsZero() ||
				got.Created.After(got.Updated.Add(time.Minute))) {
				t.Errorf("it says that it was opened at %v and changed at %v; want both", got.Created, got.Updated)
			}
			got.Created, got.Updated, want.Updated = time.Time{}, time.Time{}, time.Time{}
			if e.Kind != tt.kind || e.Name != tt.name || !reflect.DeepEqual(got, want) {
				t.Errorf("read %s %q %+v; want %s %q %+v", e.Kind, e.Name, got, tt.kind, tt.name, want)
			}
			if kind == Azure && len(e.Delivery) != 36 {
				t.Errorf("delivery is %q; want the id in the body", e.Delivery)
			}
		})
	}
}

func TestEveryPayloadInTestdataIsRead(t *testing.T) {
	t.Parallel()
	for _, kind := range Kinds() {
		files, err := filepath.Glob(filepath.Join("testdata", string(kind), "*.json"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no payloads of %s (%v)", kind, err)
		}
		for _, f := range files {
			body, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			// Whatever the body, an event that is none of ours is ignored, not refused.
			e, err := Parse(kind, eventHeader(kind, "a_new_event"), body)
			if err != nil || (kind == GitHub || kind == Gitea) && e.Kind != Ignored {
				t.Errorf("%s: %s %v", f, e.Kind, err)
			}
		}
	}
}

func TestGitHubFormPayloadIsRead(t *testing.T) {
	t.Parallel()
	h := eventHeader(GitHub, "pull_request")
	h.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	body := []byte(url.Values{"payload": {string(read(t, "github/pull_request.opened.json"))}}.Encode())
	e, err := Parse(GitHub, h, body)
	if err != nil || e.Kind != Opened || e.PullRequest.Number != 2 {
		t.Errorf("read %+v, %v", e, err)
	}
	if _, err := Parse(GitHub, h, []byte("other=1")); !errors.Is(err, ErrPayload) {
		t.Errorf("a form without payload gave %v; want ErrPayload", err)
	}
}

func TestClosingEventsGoByTheStateThatTheForgeTells(t *testing.T) {
	t.Parallel()
	azure := func(event, status string) string {
		return `{"id":"x","eventType":"` + event + `","resource":{"pullRequestId":7,"status":"` +
			status + `","sourceRefName":"refs/heads/a/b","targetRefName":"refs/heads/main",
			"repository":{"name":"R","remoteUrl":"https://user@dev.azure.com/org/My%20Project/_git/My%20Repo"}}}`
	}
	gitlab := func(action, state string) string {
		return `{"object_kind":"merge_request","project":{"path_with_namespace":"a/b/c","web_url":"https://git.example.org/a/b/c"},
			"object_attributes":{"iid":7,"state":"` + state + `","action":` + action +
			`,"source_project_id":1,"target_project_id":1,"url":"javascript:alert(1)"}}`
	}
	for _, tt := range []struct {
		name       string
		kind       Kind
		body       string
		want       EventKind
		state      State
		repository string
		url        string
	}{
		{"a merge that was only tried leaves it open", Azure, azure("git.pullrequest.merged", "active"), Updated, Open,
			"org/My Project/My Repo", "https://dev.azure.com/org/My%20Project/_git/My%20Repo/pullrequest/7"},
		{"a completed one is merged", Azure, azure("git.pullrequest.updated", "completed"), WasMerged, Merged,
			"org/My Project/My Repo", "https://dev.azure.com/org/My%20Project/_git/My%20Repo/pullrequest/7"},
		{"without an action, merged counts", GitLab, gitlab("null", "merged"), WasMerged, Merged, "a/b/c",
			"https://git.example.org/a/b/c/-/merge_requests/7"},
		{"locked is still open", GitLab, gitlab(`"update"`, "locked"), Updated, Open, "a/b/c",
			"https://git.example.org/a/b/c/-/merge_requests/7"},
		{"approval is an update", GitLab, gitlab(`"approved"`, "opened"), Updated, Open, "a/b/c",
			"https://git.example.org/a/b/c/-/merge_requests/7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, err := Parse(tt.kind, http.Header{"X-Gitlab-Event": {"Merge Request Hook"}}, []byte(tt.body))
			if p := e.PullRequest; err != nil || e.Kind != tt.want || p.State != tt.state ||
				p.Repository != tt.repository || p.URL != tt.url {
				t.Errorf("read %+v, %v", e, err)
			}
		})
	}
}

func TestGiteaNamesADeletedBranchByItsLabel(t *testing.T) {
	t.Parallel()
	body := bytes.Replace(read(t, "gitea/pull_request_merged.json"), []byte(`"ref": "feature"`),
		[]byte(`"ref": "refs/pull/1/head"`), 1)
	e, err := Parse(Gitea, http.Header{"X-Forgejo-Event": {"pull_request"}}, body)
	if err != nil || e.PullRequest.Branch != "feature" || e.PullRequest.Fork {
		t.Errorf("read %+v, %v", e.PullRequest, err)
	}
}

func TestBodiesThatAreNoPayloadAreRefused(t *testing.T) {
	t.Parallel()
	bodies := map[string][]byte{}
	files, err := filepath.Glob("testdata/json/*.json")
	if err != nil || len(files) < 10 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if bodies[f], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	bodies["200 KB of open objects"] = []byte(strings.Repeat(`{"a":`, 40000))
	bodies["200 KB of nested lists"] = []byte(strings.Repeat("[", 100000) + strings.Repeat("]", 100000))
	bodies["too large"] = []byte(`{"object_kind":"` + strings.Repeat("x", MaxPayload) + `"}`)
	for name, body := range bodies {
		for _, kind := range Kinds() {
			if e, err := Parse(kind, eventHeader(kind, "pull_request"), body); !errors.Is(err, ErrPayload) {
				t.Errorf("%s from %s was read as %+v, %v; want ErrPayload", name, kind, e, err)
			}
		}
	}
}

func TestPullRequestsWithoutWhatTheyNeedAreRefused(t *testing.T) {
	t.Parallel()
	for _, kind := range []Kind{GitHub, Gitea} {
		for _, body := range []string{
			`{}`, `[]`, `null`, `"x"`, `{"action":"opened","pull_request":null}`, `{"action":7}`,
			`{"action":"opened","pull_request":{"number":"1"}}`,
			`{"action":"opened","pull_request":{"number":0,"state":"open"},"repository":{"full_name":"a/b"}}`,
			`{"action":"opened","pull_request":{"number":1,"state":"open"},"repository":{"full_name":"../../x"}}`,
			`{"action":"opened","pull_request":{"number":1,"state":"odd"},"repository":{"full_name":"a/b"}}`,
			`{"action":"opened","pull_request":{"number":99999999999999999999,"state":"open"},"repository":{"full_name":"a/b"}}`,
		} {
			if e, err := Parse(kind, eventHeader(kind, "pull_request"), []byte(body)); !errors.Is(err, ErrPayload) {
				t.Errorf("%s from %s was read as %+v, %v; want ErrPayload", body, kind, e, err)
			}
		}
		if _, err := Parse(kind, http.Header{}, []byte(`{}`)); !errors.Is(err, ErrPayload) {
			t.Errorf("a delivery that names no event gave %v; want ErrPayload", err)
		}
	}
}

func TestTitlesStayOnOneLineAndShort(t *testing.T) {
	t.Parallel()
	title, err := json.Marshal("a\r\nX-Injected: 1\x00\x1b[31m" + strings.Repeat("é", 3000))
	if err != nil {
		t.Fatal(err)
	}
	body := `{"action":"opened","pull_request":{"number":1,"state":"open","title":` + string(title) +
		`,"html_url":"javascript:alert(1)//x"},"repository":{"full_name":"a/b"}}`
	e, err := Parse(GitHub, eventHeader(GitHub, "pull_request"), []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if p := e.PullRequest; len(p.Title) > maxTitle || strings.ContainsAny(p.Title, "\r\n\x00\x1b") ||
		strings.ContainsRune(p.Title, '\uFFFD') || p.URL != "" {
		t.Errorf("title of %d bytes %.60q, address %q", len(p.Title), p.Title, p.URL)
	}
}

func TestDeepButAllowedNestingIsRead(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000)
	body := `{"action":"opened","extra":` + deep +
		`,"pull_request":{"number":1,"state":"open"},"repository":{"full_name":"a/b"}}`
	if e, err := Parse(GitHub, eventHeader(GitHub, "pull_request"), []byte(body)); err != nil || e.Kind != Opened {
		t.Errorf("read %+v, %v", e, err)
	}
}

func FuzzParse(f *testing.F) {
	for i, kind := range Kinds() {
		files, err := filepath.Glob(filepath.Join("testdata", string(kind), "*.json"))
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range files {
			body, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), body)
		}
	}
	f.Fuzz(func(t *testing.T, n uint8, body []byte) {
		kind := Kinds()[int(n)%len(Kinds())]
		e, err := Parse(kind, eventHeader(kind, "pull_request"), body)
		if err != nil {
			return
		}
		if p := e.PullRequest; p.Number != 0 && (p.State == "" || !validRepository(kind, p.Repository) ||
			strings.ContainsAny(p.Title+p.Branch, "\n\x00")) {
			t.Errorf("read %+v", p)
		}
	})
}

func eventHeader(kind Kind, event string) http.Header {
	name := map[Kind]string{
		GitHub: "X-GitHub-Event", GitLab: "X-Gitlab-Event", Gitea: "X-Gitea-Event", Azure: "X-None",
	}[kind]
	h := http.Header{"Content-Type": {"application/json"}}
	h.Set(name, event)
	return h
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAPullRequestThatIsOpenIsNotMergedWhateverElseItSays(t *testing.T) {
	const body = `{"action":"edited","number":7,"pull_request":{"number":7,"state":"open","merged_at":"2026-01-02T03:04:05Z",
		"html_url":"https://github.com/acme/app/pull/7","head":{"ref":"x"},"base":{"ref":"main","repo":{"full_name":"acme/app"}}}}`
	e, err := Parse(GitHub, http.Header{"X-Github-Event": {"pull_request"}}, []byte(body))
	if err != nil || e.PullRequest.State != Open {
		t.Errorf("its state is %q, %v; want open", e.PullRequest.State, err)
	}
}
