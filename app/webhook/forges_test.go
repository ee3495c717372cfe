package webhook_test

import (
	"bytes"
	"cmp"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/forge"
	"carillon/app/middleware"
	"carillon/app/web/webtest"
	"carillon/db"
)

func TestABodyForNoWorkspaceIsNotRead(t *testing.T) {
	s := webtest.Open(t)
	for _, id := range []string{"nonsense", strings.Repeat("x", 60<<10), uuid.NewString()} {
		r := httptest.NewRequest(http.MethodPost, "/api/forges/github/"+id, nil)
		r.Body, r.ContentLength = unread{t}, 4<<20
		w := httptest.NewRecorder()
		s.HandlerOf(s.Server).ServeHTTP(w, r)
		if w.Code != http.StatusNotFound {
			t.Errorf("answered %d", w.Code)
		}
	}
}

func TestEachForgesWebhooksMoveTheSessionAndTheInboxShowsWhatWasDiscarded(t *testing.T) {
	const (
		hello = "https://github.com/Codertocat/Hello-World/pull/2"
		lab   = "https://gitlab.com/gitlab-org/hello-world/-/merge_requests/1"
		tea   = "https://try.gitea.io/jcitizen/my-repo/pulls/1"
		azure = "https://dev.azure.com/fabrikam/Fabrikam/_git/Fabrikam"
	)
	for _, tt := range []struct {
		git    string
		event  string
		file   string // its folder is the forge's kind
		branch string // empty: found by the address that a person entered
		link   string
		want   db.SessionStatus
	}{
		{"https://github.com/Codertocat/Hello-World.git", "pull_request", "github/pull_request.closed_unmerged.json",
			"changes", "", db.SessionCanceled},
		{"https://github.com/Codertocat/Hello-World.git", "pull_request", "github/pull_request.closed_unmerged.json",
			"", hello, db.SessionCanceled},
		{"git@github.com:ailisp/gcbapp-buildconfig-example.git", "pull_request",
			"github/pull_request.closed_merged.json", "", "https://github.com/ailisp/gcbapp-buildconfig-example/pull/3",
			db.SessionDone},
		{"https://gitlab.com/gitlab-org/hello-world.git", "Merge Request Hook", "gitlab/merge_request_close.json",
			"feature", "", db.SessionCanceled},
		{"https://gitlab.com/gitlab-org/hello-world.git", "Merge Request Hook", "gitlab/merge_request_merge.json", "",
			lab, db.SessionDone},
		{"https://try.gitea.io/jcitizen/my-repo.git", "pull_request", "gitea/pull_request_closed.json", "feature", "",
			db.SessionCanceled},
		{"https://try.gitea.io/jcitizen/my-repo.git", "pull_request", "gitea/pull_request_merged.json", "", tea,
			db.SessionDone},
		{azure, "", "azure/DERIVED.git.pullrequest.updated_abandoned.json", "mytopic", "", db.SessionCanceled},
		{azure, "", "azure/git.pullrequest.merged.json", "", azure + "/pullrequest/1", db.SessionDone},
	} {
		name := tt.file + " by hand"
		if tt.branch != "" {
			name = tt.file + " by branch"
		}
		t.Run(name, func(t *testing.T) {
			b := webtest.Open(t).As("Mira", account.RoleAdministrator)
			kind := forge.Kind(filepath.Dir(tt.file))
			w := b.Repository("App", tt.git, kind)
			session := b.Opened(w, "loop", cmp.Or(tt.branch, "carillon/other"))
			page := "/sessions/" + session.ID.String()
			if tt.link != "" {
				b.Post(page+"/pull-request", "url", tt.link).Expect(t, 303, "")
			}
			for range 2 { // forges send again what they think was not taken
				b.Hook(kind, w.ID.String(), tt.event, webtest.HookSecret, webtest.RecordedHook(t, tt.file)).Expect(t, 200, `"sessions":1`)
			}
			if got := b.Reload(session.ID); got.Status != tt.want {
				t.Errorf("the session is %s; want %s", got.Status, tt.want)
			}
			state := map[db.SessionStatus]string{db.SessionDone: "merged", db.SessionCanceled: "closed"}[tt.want]
			shown := b.Get(page)
			shown.Expect(t, 200, state)
			shown.Expect(t, 200, "#git-"+map[string]string{"merged": "merge", "closed": "pull-request-closed"}[state])
			notices, err := b.Server.Inbox.List(t.Context(), b.Actor, db.NotificationFilter{Limit: 10})
			webtest.Check(t, err)
			if tt.want == db.SessionDone {
				if len(notices) != 0 {
					t.Errorf("the inbox tells of a merged pull request: %+v", notices)
				}
				return
			}
			if len(notices) != 1 {
				t.Fatalf("the inbox has %d notices; want one", len(notices))
			}
			b.Get("/inbox").Expect(t, 200, "closed without merging")
			detail := b.Get("/inbox/" + notices[0].ID.String())
			detail.Expect(t, 200, `href="`+page+`"`)
			detail.Expect(t, 200, notices[0].Link)
		})
	}
}

func TestASignedWebhookOfAForgeIsTakenOnce(t *testing.T) {
	b := webtest.Open(t).As("Mira", account.RoleAdministrator)
	w := b.Repository("App", "https://github.com/Codertocat/Hello-World.git", "")
	session := b.Opened(w, "manual", "changes")
	body := webtest.RecordedHook(t, "github/pull_request.closed_unmerged.json")
	hook := func() {
		b.Hook(forge.GitHub, w.ID.String(), "pull_request", webtest.HookSecret, body).Expect(t, 200, `"sessions":1`)
	}
	hook()
	if got := b.Reload(session.ID); got.Status != db.SessionCanceled {
		t.Fatalf("the session is %s; want it canceled by its pull request", got.Status)
	}
	// A person goes on with the session without that pull request.
	b.Exec("DELETE FROM pull_requests WHERE session_id = ?", session.ID)
	b.Exec("UPDATE sessions SET status = 'waiting', closed_at = NULL WHERE id = ?", session.ID)
	hook()
	if got := b.Reload(session.ID); got.Status != db.SessionWaiting {
		t.Errorf("the session is %s after the same webhook came again; want it untouched", got.Status)
	}
}

func TestAForgesWebhookWithoutTheSecretIsRefused(t *testing.T) {
	b := webtest.Open(t).As("Mira", account.RoleAdministrator)
	w := b.Repository("App", "https://github.com/Codertocat/Hello-World.git", "")
	unset := b.Repository("Unset", "https://github.com/Codertocat/Open.git", "").ID.String()
	b.Exec("UPDATE workspaces SET forge_secret_sealed = NULL WHERE id = ?", unset)
	session := b.Opened(w, "manual", "changes")
	body := webtest.RecordedHook(t, "github/pull_request.closed_unmerged.json")
	id := w.ID.String()
	b.Hook(forge.GitHub, id, "pull_request", "another-secret-entirely", body).Expect(t, 401, "signature is wrong")
	b.Hook(forge.GitHub, id, "pull_request", "", body).Expect(t, 401, "signature is wrong")
	b.Hook(forge.GitHub, unset, "pull_request", "", body).Expect(t, 401, "no webhook secret is set")
	b.Hook(forge.GitHub, uuid.NewString(), "pull_request", webtest.HookSecret, body).Expect(t, 404, "no such workspace")
	b.Hook(forge.GitHub, "nonsense", "pull_request", webtest.HookSecret, body).Expect(t, 404, "no such workspace")
	b.Hook("bitbucket", id, "pull_request", webtest.HookSecret, body).Expect(t, 404, "github, gitlab, gitea or azure")
	got := b.Get("/api/forges/github/" + id)
	got.Expect(t, 405, "use POST")
	if got.Header.Get("Allow") != "POST" || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("the answer has %v", got.Header)
	}
	if got := b.Reload(session.ID); got.Status != db.SessionWaiting {
		t.Errorf("the session is %s; want it untouched", got.Status)
	}
}

func TestAForgesWebhookIsAnsweredByWhatItIs(t *testing.T) {
	b := webtest.Open(t).As("Mira", account.RoleAdministrator)
	w := b.Repository("App", "https://github.com/Codertocat/Hello-World.git", "").ID.String()
	for _, tt := range []struct {
		name, event string
		body        []byte
		status      int
		want        string
	}{
		{"a ping", "ping", webtest.RecordedHook(t, "github/ping.json"), 200, `"event":"ping"`},
		{"another event", "push", webtest.RecordedHook(t, "github/push.json"), 200, `"event":"ignored"`},
		{"a pull request of nobody's", "pull_request", webtest.RecordedHook(t, "github/pull_request.opened.json"), 200,
			`"sessions":0`},
		{"no JSON", "pull_request", []byte("{"), 400, "not JSON"},
		{"no pull request", "pull_request", []byte(`{"action":"closed"}`), 400, "no pull request"},
		{"too much", "pull_request", bytes.Repeat([]byte(" "), forge.MaxPayload+1), 413, "4 MiB"},
	} {
		got := b.Hook(forge.GitHub, w, tt.event, webtest.HookSecret, tt.body)
		if got.StatusCode != tt.status || !strings.Contains(got.Text, tt.want) {
			t.Errorf("%s: answered %d %s; want %d with %s", tt.name, got.StatusCode, got.Text, tt.status, tt.want)
		}
	}
}

func TestGuessingAForgesSecretIsSlowedDownAndNeverKeepsTheForgeOut(t *testing.T) {
	site := webtest.Open(t)
	site.Bearers.Bad = middleware.NewRateLimiter(0, 20) // nothing comes back, however long the test takes
	b := site.As("Mira", account.RoleAdministrator)
	w := b.Repository("App", "https://github.com/Codertocat/Hello-World.git", "").ID.String()
	for range 20 {
		b.Hook(forge.GitHub, w, "ping", "a-wrong-secret-of-theirs", []byte("{}")).Expect(t, 401, "signature")
	}
	for _, to := range []string{w, db.NewID().String(), "no workspace at all"} {
		got := b.Hook(forge.GitHub, url.PathEscape(to), "ping", "a-wrong-secret-of-theirs", []byte("{}"))
		got.Expect(t, 429, "wrong secret")
		if got.Header.Get("Retry-After") == "" {
			t.Error("it does not say when to come again")
		}
	}
	b.Hook(forge.GitHub, w, "ping", webtest.HookSecret, webtest.RecordedHook(t, "github/ping.json")).Expect(t, 200,
		"ping")
}
