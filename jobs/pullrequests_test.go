package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"carillon/app/automation"
	"carillon/app/outbound"
	"carillon/app/workspace"
	"carillon/db"
)

const forgeToken = "token-of-the-workspace"

// gitea is a forge on this machine: a repository that Git reaches over http, and as much of the API as Carillon asks.
type gitea struct {
	t    *testing.T
	url  string
	bare string // the repository's folder

	mu      sync.Mutex
	asked   []string
	created []map[string]any
	pulls   map[int]map[string]any
	refuse  int // a status to answer with in place of the API's own
	message string
}

func newGitea(t *testing.T) *gitea {
	t.Helper()
	dir := t.TempDir()
	g := &gitea{t: t, bare: filepath.Join(dir, "acme", "app.git"), pulls: map[int]map[string]any{}}
	check(t, os.MkdirAll(filepath.Dir(g.bare), 0o755))
	seed := filepath.Join(dir, "seed")
	g.git("", "init", "-q", "-b", "main", seed)
	check(t, os.WriteFile(filepath.Join(seed, "README.md"), []byte("Hello.\n"), 0o600))
	g.git(seed, "add", ".")
	g.git(seed, "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "-q", "-m", "Begin")
	g.git("", "clone", "-q", "--bare", seed, g.bare)
	g.git(g.bare, "config", "http.receivepack", "true")
	out, err := exec.Command("git", "--exec-path").Output()
	check(t, err)
	backend := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
		Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=ada",
			"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1"},
		Stderr: io.Discard,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/v1/") {
			g.api(w, r)
			return
		}
		if _, password, _ := r.BasicAuth(); password != forgeToken {
			w.Header().Set("WWW-Authenticate", `Basic realm="forge"`)
			http.Error(w, "Who are you?", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

func (g *gitea) git(dir string, args ...string) string {
	g.t.Helper()
	c := exec.Command("git", args...)
	c.Dir, c.Env = dir, append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := c.CombinedOutput()
	if err != nil {
		g.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return string(out)
}

// pull is a pull request as the API has it.
func (g *gitea) pull(number int, branch, state string, merged bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	repo := map[string]any{"full_name": "acme/app"}
	now := time.Now().UTC().Format(time.RFC3339)
	g.pulls[number] = map[string]any{
		"number": number, "html_url": fmt.Sprintf("%s/acme/app/pulls/%d", g.url, number), "title": "Mend it",
		"state": state, "merged": merged,
		"created_at": now, "updated_at": now, "head": map[string]any{"ref": branch, "repo": repo},
		"base": map[string]any{"ref": "main", "repo": repo},
	}
}

func (g *gitea) api(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	g.asked = append(g.asked, r.Method+" "+r.URL.Path)
	refuse, message := g.refuse, g.message
	g.mu.Unlock()
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	rest, ok := strings.CutPrefix(r.URL.Path, "/api/v1/repos/acme/app/pulls")
	switch {
	case r.Header.Get("Authorization") != "token "+forgeToken:
		answer(401, map[string]any{"message": "who are you?"})
	case refuse != 0:
		w.Header().Set("Retry-After", "600")
		answer(refuse, map[string]any{"message": message})
	case !ok:
		answer(404, map[string]any{"message": "no such repository"})
	case r.Method == http.MethodPost:
		var in map[string]any
		_ = json.NewDecoder(r.Body).Decode(&in)
		g.pull(7, in["head"].(string), "open", false)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.created = append(g.created, in)
		answer(201, g.pulls[7])
	case rest == "":
		g.mu.Lock()
		defer g.mu.Unlock()
		list := []any{}
		for _, p := range g.pulls {
			if p["state"] == r.FormValue("state") && r.FormValue("page") == "1" {
				list = append(list, p)
			}
		}
		answer(200, list)
	default:
		g.mu.Lock()
		defer g.mu.Unlock()
		var number int
		_, _ = fmt.Sscanf(rest, "/%d", &number)
		if p, ok := g.pulls[number]; ok {
			answer(200, p)
			return
		}
		answer(404, map[string]any{"message": "no such pull request"})
	}
}

// count is how often something was asked that has a text in it.
func (g *gitea) count(text string) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range g.asked {
		if strings.Contains(a, text) {
			n++
		}
	}
	return n
}

// on lets the kit work in a workspace of a forge. Its requests go to this machine, which in earnest a setting has to
// allow.
func (k *kit) on(g *gitea) {
	k.t.Helper()
	w, err := k.rules.Workspaces.Create(k.t.Context(), k.actor,
		workspace.Input{Name: "App", GitURL: g.url + "/acme/app.git", Forge: "gitea", Token: forgeToken})
	check(k.t, err)
	k.workspace = w.ID
	k.runner.Forge = outbound.Policy{Private: true}.Client(ForgeTimeout)
}

// follower is a scheduler of the kit's that asks forges.
func (k *kit) follower() *Scheduler {
	return &Scheduler{DB: k.db, Rules: k.rules, Now: k.runner.Now, Log: k.runner.Log, Forge: k.runner.Forge}
}

func (k *kit) pullRequests(session uuid.UUID) []db.PullRequest {
	k.t.Helper()
	list, err := db.PullRequestsOf(k.t.Context(), k.db, []uuid.UUID{session})
	check(k.t, err)
	return list
}

func forgeKit(t *testing.T) (*kit, *gitea) {
	t.Parallel()
	k, g := prepare(t), newGitea(t)
	k.on(g)
	k.start()
	return k, g
}

func gate(in *automation.Input) { in.AutoComplete = false }

func TestAPullRequestIsOpenedFromASessionAndFollowedToItsMerge(t *testing.T) {
	k, g := forgeKit(t)
	run := k.run("echo new > file.txt; echo 'I added a file.'", gate)
	k.ended(run)
	id := run.Session.ID
	check(t, k.rules.PullRequests().Request(t.Context(), k.actor, id))
	k.eventually("the pull request", func() error {
		s := k.session(id)
		if s.PRError != "" {
			t.Fatalf("it could not be opened: %s", s.PRError)
		}
		if !s.PRRequestedAt.IsZero() {
			return errors.New("it is still to be opened")
		}
		return nil
	})
	list := k.pullRequests(id)
	if len(list) != 1 || list[0].Number != 7 || list[0].URL != g.url+"/acme/app/pulls/7" ||
		list[0].FoundBy != db.FoundCreated || list[0].State != db.PullRequestOpen {
		t.Fatalf("the session has %+v; want #7", list)
	}
	branch := "carillon/" + id.String()
	in := g.created[0]
	if in["head"] != branch || in["base"] != "main" || in["title"] != "Script" ||
		!strings.Contains(in["body"].(string), "I added a file.") {
		t.Errorf("the forge was asked for %v", in)
	}
	if got := g.git(g.bare, "log", "-1", "--format=%an <%ae> %s", branch); got != "Mira <mira@example.com> Script\n" {
		t.Errorf("the commit is %q; want it to be of who asked", got)
	}
	if got := g.git(g.bare, "show", branch+":file.txt"); got != "new\n" {
		t.Errorf("the file holds %q", got)
	}

	g.pull(7, branch, "closed", true)
	f := k.follower()
	check(t, f.followPullRequests(t.Context()))
	if s := k.session(id); s.Status != db.SessionDone || k.pullRequests(id)[0].State != db.PullRequestMerged {
		t.Errorf("the session is %s; want Done after the merge", s.Status)
	}
	asked := g.count("GET")
	check(t, f.followPullRequests(t.Context()))
	if n := g.count("GET"); n != asked {
		t.Errorf("the forge was asked %d times more of a pull request that is over", n-asked)
	}
}

func TestAnAutomationOpensAPullRequestOfItsOwnAccord(t *testing.T) {
	k, g := forgeKit(t)
	run := k.run("echo new > file.txt", func(in *automation.Input) { in.CreatePR = true })
	k.ended(run)
	k.eventually("the pull request", func() error {
		if len(k.pullRequests(run.Session.ID)) == 0 {
			return errors.New("there is none: " + k.session(run.Session.ID).PRError)
		}
		return nil
	})
	if got := g.git(g.bare, "log", "-1", "--format=%an", "carillon/"+run.Session.ID.String()); got != "Carillon\n" {
		t.Errorf("the commit is %q's; want Carillon's", got)
	}
}

func TestWhyAPullRequestCouldNotBeOpenedIsSaid(t *testing.T) {
	k, g := forgeKit(t)
	run := k.run("echo new > file.txt", gate)
	k.ended(run)
	for _, tt := range []struct {
		name, want string
		prepare    func()
	}{
		{"the API refuses the token", "refuses the workspace’s access token", func() { g.refuse = 401 }},
		{"the API says why", "The forge answered 422: head and base are equal", func() {
			g.refuse, g.message = 422, "head and base are equal"
		}},
		{"the branch has other commits", "The branch could not be pushed: the repository did not take the push.",
			func() {
				g.refuse = 0
				other := filepath.Join(t.TempDir(), "other")
				g.git("", "clone", "-q", g.bare, other)
				g.git(other, "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "commit", "-q", "--allow-empty",
					"-m", "Another's")
				g.git(other, "push", "-q", "--force", "origin", "HEAD:carillon/"+run.Session.ID.String())
			}},
		{"the address is not public", "is not on the public internet", func() {
			check(t, os.RemoveAll(g.bare))
			g.git("", "clone", "-q", "--bare", filepath.Join(filepath.Dir(filepath.Dir(g.bare)), "seed"), g.bare)
			g.git(g.bare, "config", "http.receivepack", "true")
			k.stop()
			k.runner.Forge = outbound.Policy{}.Client(ForgeTimeout)
			k.start()
		}},
	} {
		g.mu.Lock()
		g.message = ""
		g.mu.Unlock()
		tt.prepare()
		check(t, k.rules.PullRequests().Request(t.Context(), k.actor, run.Session.ID))
		k.eventually(tt.name, func() error {
			if s := k.session(run.Session.ID); !strings.Contains(s.PRError, tt.want) || !s.PRRequestedAt.IsZero() {
				return fmt.Errorf("it says %q", s.PRError)
			}
			return nil
		})
	}
	if n := len(k.pullRequests(run.Session.ID)); n != 0 {
		t.Errorf("the session has %d pull requests", n)
	}
}

func TestAPullRequestThatTheAgentOpenedFromItsBranchIsTheSessions(t *testing.T) {
	k, g := forgeKit(t)
	run := k.run("git checkout -q -b by-the-agent; echo new > file.txt; echo 'remote: "+g.url+
		"/acme/app/pulls/12'; echo 'see "+g.url+"/other/app/pulls/1'; echo done", gate)
	k.ended(run)
	list := k.pullRequests(run.Session.ID)
	if len(list) != 1 || list[0].Number != 12 || list[0].FoundBy != db.FoundInOutput {
		t.Fatalf("the session has %+v; want #12 of its own repository", list)
	}
	g.pull(12, "by-the-agent", "open", false)
	f := k.follower()
	check(t, f.followPullRequests(t.Context()))
	if list := k.pullRequests(run.Session.ID); len(list) != 1 || list[0].FoundBy != db.FoundByBranch {
		t.Fatalf("the session has %+v; want #12, known by its branch", list)
	}
	g.pull(12, "by-the-agent", "closed", false)
	f.Now = func() time.Time { return time.Now().Add(forgeEvery) }
	check(t, f.followPullRequests(t.Context()))
	if s := k.session(run.Session.ID); s.Status != db.SessionCanceled {
		t.Errorf("the session is %s; want it canceled with its pull request", s.Status)
	}
}

func TestAPullRequestIsFoundByTheSessionsBranch(t *testing.T) {
	k, g := forgeKit(t)
	run := k.run("echo new > file.txt", gate)
	k.ended(run)
	f := k.follower()
	check(t, f.followPullRequests(t.Context()))
	if n := g.count("/pulls"); n == 0 || len(k.pullRequests(run.Session.ID)) != 0 {
		t.Fatalf("the forge was asked %d times; want it asked, and nothing found", n)
	}
	asked := g.count("/pulls")
	check(t, f.followPullRequests(t.Context()))
	if n := g.count("/pulls"); n != asked {
		t.Error("the forge was asked again at once; want some minutes between")
	}
	g.pull(3, "carillon/"+run.Session.ID.String(), "open", false)
	f.Now = func() time.Time { return time.Now().Add(forgeEvery) }
	check(t, f.followPullRequests(t.Context()))
	if list := k.pullRequests(run.Session.ID); len(list) != 1 || list[0].Number != 3 ||
		list[0].FoundBy != db.FoundByBranch {
		t.Errorf("the session has %+v; want #3", list)
	}
}

func TestAPullRequestIsLookedForWhereCommitsTakeEachOtherBack(t *testing.T) {
	k, g := forgeKit(t)
	run := k.run("git commit -q --allow-empty -m nothing", gate)
	k.ended(run)
	g.pull(4, "carillon/"+run.Session.ID.String(), "open", false)
	check(t, k.follower().followPullRequests(t.Context()))
	if list := k.pullRequests(run.Session.ID); len(list) != 1 || list[0].Number != 4 {
		t.Errorf("the session has %+v; want #4", list)
	}
}

func TestAForgeThatLimitsRequestsIsLeftAlone(t *testing.T) {
	k, g := forgeKit(t)
	var sessions []uuid.UUID
	for i := range 3 {
		run := k.run("true", gate)
		k.ended(run)
		check(t, k.rules.PullRequests().Link(t.Context(), k.actor, run.Session.ID,
			fmt.Sprintf("%s/acme/app/pulls/%d", g.url, i+1)))
		sessions = append(sessions, run.Session.ID)
	}
	g.refuse = 429
	f := k.follower()
	check(t, f.followPullRequests(t.Context()))
	if n := g.count("/pulls"); n != 1 {
		t.Errorf("the forge was asked %d times; want once", n)
	}
	for _, id := range sessions {
		if p := k.pullRequests(id)[0]; !strings.Contains(p.Problem, "limits requests") ||
			p.State != db.PullRequestOpen {
			t.Errorf("#%d is %s with %q; want it to say why it is not followed", p.Number, p.State, p.Problem)
		}
	}
	f.Now = func() time.Time { return time.Now().Add(forgeEvery) }
	check(t, f.followPullRequests(t.Context()))
	if n := g.count("/pulls"); n != 1 {
		t.Errorf("the forge was asked %d times before the limit was over", n)
	}
	g.refuse = 0
	g.pull(1, "x", "open", false)
	f.Now = func() time.Time { return time.Now().Add(3 * forgeEvery) }
	check(t, f.followPullRequests(t.Context()))
	if p := k.pullRequests(sessions[0])[0]; p.Problem != "" || p.Title != "Mend it" {
		t.Errorf("#1 is %q with %q; want it followed again", p.Title, p.Problem)
	}
	if p := k.pullRequests(sessions[1])[0]; !strings.Contains(p.Problem,
		"does not know this repository or pull request") {
		t.Errorf("#2 says %q; want that it is not there", p.Problem)
	}
}

func TestSeveralSchedulersAskOfAPullRequestOnce(t *testing.T) {
	k, g := forgeKit(t)
	for i := range 8 {
		run := k.run("true", gate)
		k.ended(run)
		check(t, k.rules.PullRequests().Link(t.Context(), k.actor, run.Session.ID,
			fmt.Sprintf("%s/acme/app/pulls/%d", g.url, i+1)))
		g.pull(i+1, "x", "open", false)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if err := k.follower().followPullRequests(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := g.count("/pulls/"); n != 8 {
		t.Errorf("the forge was asked %d times of 8 pull requests", n)
	}
}
