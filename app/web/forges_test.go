package web

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/forge"
	"carillon/app/middleware"
	"carillon/app/spec"
	"carillon/app/workspace"
	"carillon/db"
)

const hookSecret = "a-secret-of-some-length"

// repository makes a workspace of a repository on a forge, with a webhook secret.
func (b *browser) repository(name, gitURL string, kind forge.Kind) *db.Workspace {
	b.t.Helper()
	w, err := b.rules.Workspaces.Create(b.t.Context(), b.actor, workspace.Input{
		Name: name, GitURL: gitURL, Forge: string(kind), ForgeSecret: hookSecret, Token: "a-token",
	})
	check(b.t, err)
	return w
}

// opened starts an automation of a workspace, lets its run succeed and leaves the session open, with a branch.
func (b *browser) opened(w *db.Workspace, trigger, branch string) *db.Session {
	b.t.Helper()
	ctx := b.t.Context()
	a, _, err := b.rules.Definitions().Create(ctx, b.actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Mend " + w.Name,
		Workspace:      w.ID.String(),
		Trigger:        trigger,
		SessionType:    "develop",
		Prompt:         "Mend it.",
		Provider:       "agent",
		Retries:        2,
	}})
	check(b.t, err)
	if trigger == "loop" {
		_, err = b.rules.Schedules().StartDue(ctx)
	} else {
		_, err = b.rules.Runs().RunNow(ctx, b.actor, a.ID, nil)
	}
	check(b.t, err)
	var list []db.Session
	check(b.t, b.server.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		list, err = db.ClaimSessions(ctx, tx, "test", 10, time.Now(), time.Now().Add(time.Minute))
		return err
	}))
	if len(list) != 1 {
		b.t.Fatalf("%d sessions were queued; want one", len(list))
	}
	l := db.Lease{Session: list[0].ID, Worker: "test", Fence: list[0].Fence}
	check(b.t, b.rules.Runs().Finish(ctx, l, automation.Outcome{Status: db.Succeeded, FilesChanged: true}))
	b.exec("UPDATE sessions SET branch = ?, files_changed = 1 WHERE id = ?", branch, l.Session)
	return b.reload(l.Session)
}

func (b *browser) exec(sql string, args ...any) {
	b.t.Helper()
	_, err := b.server.DB.NewRaw(sql, args...).Exec(b.t.Context())
	check(b.t, err)
}

func (b *browser) reload(session uuid.UUID) *db.Session {
	b.t.Helper()
	s, err := db.SessionByID(b.t.Context(), b.server.DB, session)
	check(b.t, err)
	return s
}

// hook sends a forge's webhook, with its secret as that forge does.
func (s *site) hook(kind forge.Kind, workspace, event, secret string, body []byte) *answer {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.http.URL+"/api/forges/"+string(kind)+"/"+workspace,
		bytes.NewReader(body))
	check(s.t, err)
	req.Header.Set("Content-Type", "application/json")
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	signature := hex.EncodeToString(mac.Sum(nil))
	switch kind {
	case forge.GitHub:
		req.Header.Set("X-GitHub-Event", event)
		req.Header.Set("X-Hub-Signature-256", "sha256="+signature)
	case forge.GitLab:
		req.Header.Set("X-Gitlab-Event", event)
		req.Header.Set("X-Gitlab-Token", secret)
	case forge.Gitea:
		req.Header.Set("X-Gitea-Event", event)
		req.Header.Set("X-Gitea-Signature", signature)
	case forge.Azure:
		req.SetBasicAuth("carillon", secret)
	}
	return s.nobody().do(req)
}

// recordedHook is a recorded webhook.
func recordedHook(t *testing.T, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("..", "forge", "testdata", filepath.FromSlash(name)))
	check(t, err)
	return body
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
			b := open(t).as("Mira", account.RoleAdministrator)
			kind := forge.Kind(filepath.Dir(tt.file))
			w := b.repository("App", tt.git, kind)
			session := b.opened(w, "loop", cmp.Or(tt.branch, "carillon/other"))
			page := "/sessions/" + session.ID.String()
			if tt.link != "" {
				b.post(page+"/pull-request", "url", tt.link).expect(t, 303, "")
			}
			for range 2 { // forges send again what they think was not taken
				b.hook(kind, w.ID.String(), tt.event, hookSecret, recordedHook(t, tt.file)).expect(t, 200, `"sessions":1`)
			}
			if got := b.reload(session.ID); got.Status != tt.want {
				t.Errorf("the session is %s; want %s", got.Status, tt.want)
			}
			state := map[db.SessionStatus]string{db.SessionDone: "merged", db.SessionCanceled: "closed"}[tt.want]
			shown := b.get(page)
			shown.expect(t, 200, state)
			shown.expect(t, 200, "#git-"+map[string]string{"merged": "merge", "closed": "pull-request-closed"}[state])
			notices, err := b.server.Inbox.List(t.Context(), b.actor, db.NotificationFilter{Limit: 10})
			check(t, err)
			if tt.want == db.SessionDone {
				if len(notices) != 0 {
					t.Errorf("the inbox tells of a merged pull request: %+v", notices)
				}
				return
			}
			if len(notices) != 1 {
				t.Fatalf("the inbox has %d notices; want one", len(notices))
			}
			b.get("/inbox").expect(t, 200, "closed without merging")
			detail := b.get("/inbox/" + notices[0].ID.String())
			detail.expect(t, 200, `href="`+page+`"`)
			detail.expect(t, 200, notices[0].Link)
		})
	}
}

func TestASignedWebhookOfAForgeIsTakenOnce(t *testing.T) {
	b := open(t).as("Mira", account.RoleAdministrator)
	w := b.repository("App", "https://github.com/Codertocat/Hello-World.git", "")
	session := b.opened(w, "manual", "changes")
	body := recordedHook(t, "github/pull_request.closed_unmerged.json")
	hook := func() {
		b.hook(forge.GitHub, w.ID.String(), "pull_request", hookSecret, body).expect(t, 200, `"sessions":1`)
	}
	hook()
	if got := b.reload(session.ID); got.Status != db.SessionCanceled {
		t.Fatalf("the session is %s; want it canceled by its pull request", got.Status)
	}
	// A person goes on with the session without that pull request.
	b.exec("DELETE FROM pull_requests WHERE session_id = ?", session.ID)
	b.exec("UPDATE sessions SET status = 'waiting', closed_at = NULL WHERE id = ?", session.ID)
	hook()
	if got := b.reload(session.ID); got.Status != db.SessionWaiting {
		t.Errorf("the session is %s after the same webhook came again; want it untouched", got.Status)
	}
}

func TestAForgesWebhookWithoutTheSecretIsRefused(t *testing.T) {
	b := open(t).as("Mira", account.RoleAdministrator)
	w := b.repository("App", "https://github.com/Codertocat/Hello-World.git", "")
	unset := b.repository("Unset", "https://github.com/Codertocat/Open.git", "").ID.String()
	b.exec("UPDATE workspaces SET forge_secret_sealed = NULL WHERE id = ?", unset)
	session := b.opened(w, "manual", "changes")
	body := recordedHook(t, "github/pull_request.closed_unmerged.json")
	id := w.ID.String()
	b.hook(forge.GitHub, id, "pull_request", "another-secret-entirely", body).expect(t, 401, "signature is wrong")
	b.hook(forge.GitHub, id, "pull_request", "", body).expect(t, 401, "signature is wrong")
	b.hook(forge.GitHub, unset, "pull_request", "", body).expect(t, 401, "no webhook secret is set")
	b.hook(forge.GitHub, uuid.NewString(), "pull_request", hookSecret, body).expect(t, 404, "no such workspace")
	b.hook(forge.GitHub, "nonsense", "pull_request", hookSecret, body).expect(t, 404, "no such workspace")
	b.hook("bitbucket", id, "pull_request", hookSecret, body).expect(t, 404, "github, gitlab, gitea or azure")
	got := b.get("/api/forges/github/" + id)
	got.expect(t, 405, "use POST")
	if got.Header.Get("Allow") != "POST" || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("the answer has %v", got.Header)
	}
	if got := b.reload(session.ID); got.Status != db.SessionWaiting {
		t.Errorf("the session is %s; want it untouched", got.Status)
	}
}

func TestAForgesWebhookIsAnsweredByWhatItIs(t *testing.T) {
	b := open(t).as("Mira", account.RoleAdministrator)
	w := b.repository("App", "https://github.com/Codertocat/Hello-World.git", "").ID.String()
	for _, tt := range []struct {
		name, event string
		body        []byte
		status      int
		want        string
	}{
		{"a ping", "ping", recordedHook(t, "github/ping.json"), 200, `"event":"ping"`},
		{"another event", "push", recordedHook(t, "github/push.json"), 200, `"event":"ignored"`},
		{"a pull request of nobody's", "pull_request", recordedHook(t, "github/pull_request.opened.json"), 200,
			`"sessions":0`},
		{"no JSON", "pull_request", []byte("{"), 400, "not JSON"},
		{"no pull request", "pull_request", []byte(`{"action":"closed"}`), 400, "no pull request"},
		{"too much", "pull_request", bytes.Repeat([]byte(" "), forge.MaxPayload+1), 413, "4 MiB"},
	} {
		got := b.hook(forge.GitHub, w, tt.event, hookSecret, tt.body)
		if got.StatusCode != tt.status || !strings.Contains(got.body, tt.want) {
			t.Errorf("%s: answered %d %s; want %d with %s", tt.name, got.StatusCode, got.body, tt.status, tt.want)
		}
	}
}

func TestGuessingAForgesSecretIsSlowedDownAndNeverKeepsTheForgeOut(t *testing.T) {
	site := open(t)
	site.bearers.Bad = middleware.NewRateLimiter(0, 20) // nothing comes back, however long the test takes
	b := site.as("Mira", account.RoleAdministrator)
	w := b.repository("App", "https://github.com/Codertocat/Hello-World.git", "").ID.String()
	for range 20 {
		b.hook(forge.GitHub, w, "ping", "a-wrong-secret-of-theirs", []byte("{}")).expect(t, 401, "signature")
	}
	for _, to := range []string{w, db.NewID().String(), "no workspace at all"} {
		got := b.hook(forge.GitHub, url.PathEscape(to), "ping", "a-wrong-secret-of-theirs", []byte("{}"))
		got.expect(t, 429, "wrong secret")
		if got.Header.Get("Retry-After") == "" {
			t.Error("it does not say when to come again")
		}
	}
	b.hook(forge.GitHub, w, "ping", hookSecret, recordedHook(t, "github/ping.json")).expect(t, 200, "ping")
}

func TestASessionsPageLinksAndCreatesPullRequests(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleAdministrator)
	session := b.opened(b.repository("App", "https://github.com/acme/app.git", ""), "manual", "carillon/x")
	page := "/sessions/" + session.ID.String()
	shown := b.get(page)
	shown.expect(t, 200, "Create pull request")
	shown.expect(t, 200, "Link a pull request")
	b.post(page+"/pull-request", "url", "https://github.com/acme/app/issues/7").
		expect(t, 422, "Write the address of a pull request")
	b.post(page+"/pull-requests").expect(t, 303, "")
	if b.reload(session.ID).PRRequestedBy != b.actor.ID {
		t.Error("nothing was requested")
	}
	if shown = b.get(page); !strings.Contains(shown.body, "is being created") ||
		strings.Contains(shown.body, ">Create pull request<") {
		t.Error("the page does not say that it is under way")
	}
	check(t, b.rules.PullRequests().EndRequest(t.Context(), b.reload(session.ID), "The forge said no."))
	b.get(page+"/head").expect(t, 200, "The forge said no.")
	b.post(page+"/pull-request", "url", "https://github.com/acme/app/pull/7").expect(t, 303, "")
	shown = b.get(page)
	shown.expect(t, 200, "https://github.com/acme/app/pull/7")
	b.get("/sessions").expect(t, 200, "#7")
	b.post(page+"/pull-requests").expect(t, 400, "open pull request already: #7")

	jonas := s.as("Jonas", account.RoleMember) // who is no member of the workspace
	jonas.post(page+"/pull-request", "url", "https://github.com/acme/app/pull/8").expect(t, 404, "")
	jonas.post(page+"/pull-requests").expect(t, 404, "")
	s.nobody().post(page+"/pull-requests").expect(t, 303, "")
}

func TestAWorkspacesPageShowsItsWebhookAddressToWhoManagesIt(t *testing.T) {
	s := open(t)
	b := s.as("Mira", account.RoleAdministrator)
	b.post("/workspaces", "name", "App", "url", "https://git.example.com/acme/app.git", "forge", "gitea",
		"forge_secret", "short").expect(t, 422, "at least 16 characters")
	got := b.post("/workspaces", "name", "App", "url", "https://git.example.com/acme/app.git", "forge", "gitea",
		"forge_secret", hookSecret)
	got.expect(t, 303, "")
	page := got.Header.Get("Location")
	want := s.http.URL + "/api/forges/gitea/" + strings.TrimPrefix(page, "/workspaces/")
	b.get(page).expect(t, 200, want)
	edit := b.get(page + "/edit")
	edit.expect(t, 200, "Stored. Leave empty to keep it")
	if strings.Contains(edit.body, hookSecret) {
		t.Error("the secret is shown again")
	}
	jonas := s.as("Jonas", account.RoleMember)
	b.post(page+"/members", "user", jonas.actor.ID.String()).expect(t, 303, "")
	if shown := jonas.get(page); shown.StatusCode != 200 || strings.Contains(shown.body, "/api/forges/") {
		t.Errorf("a member who manages no workspaces sees (%d) the webhook's address", shown.StatusCode)
	}
}
