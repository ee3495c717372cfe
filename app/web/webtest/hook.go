package webtest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/forge"
	"carillon/app/spec"
	"carillon/app/workspace"
	"carillon/db"
)

// Send posts a body with headers, given in pairs.
func (h *Hook) Send(body string, headers ...string) *Answer {
	h.T.Helper()
	req, err := http.NewRequest(http.MethodPost, h.HTTP.URL+Endpoint, strings.NewReader(body))
	Check(h.T, err)
	req.Header.Set("Api-Authentication", h.Token)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return h.Nobody().Do(req)
}

// Deliveries are the calls of the hook with a verdict; empty: all.
func (h *Hook) Deliveries(verdict string) []db.Delivery {
	h.T.Helper()
	list, err := h.Rules.Webhooks().Deliveries(h.T.Context(), h.Owner.Actor, h.A.ID,
		db.DeliveryFilter{Verdict: verdict, Limit: 100})
	Check(h.T, err)
	return list
}

// HookSecret is the secret of the webhooks of forges.
const HookSecret = "a-secret-of-some-length"

// Repository makes a workspace of a repository on a forge, with a webhook secret.
func (b *Browser) Repository(name, gitURL string, kind forge.Kind) *db.Workspace {
	b.T.Helper()
	w, err := b.Rules.Workspaces.Create(b.T.Context(), b.Actor, workspace.Input{
		Name: name, GitURL: gitURL, Forge: string(kind), ForgeSecret: HookSecret, Token: "a-token",
	})
	Check(b.T, err)
	return w
}

// Opened starts an automation of a workspace, lets its run succeed and leaves the session open, with a branch.
func (b *Browser) Opened(w *db.Workspace, trigger, branch string) *db.Session {
	b.T.Helper()
	ctx := b.T.Context()
	a, _, err := b.Rules.Definitions().Create(ctx, b.Actor, automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Mend " + w.Name,
		Workspace:      w.ID.String(),
		Trigger:        trigger,
		SessionType:    "develop",
		Prompt:         "Mend it.",
		Provider:       "agent",
		Retries:        2,
	}})
	Check(b.T, err)
	if trigger == "loop" {
		_, err = b.Rules.Schedules().StartDue(ctx)
	} else {
		_, err = b.Rules.Runs().RunNow(ctx, b.Actor, a.ID, nil)
	}
	Check(b.T, err)
	var list []db.Session
	Check(b.T, b.Server.DB.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) (err error) {
		list, err = db.ClaimSessions(ctx, tx, "test", 10, time.Now(), time.Now().Add(time.Minute))
		return err
	}))
	if len(list) != 1 {
		b.T.Fatalf("%d sessions were queued; want one", len(list))
	}
	l := db.Lease{Session: list[0].ID, Worker: "test", Fence: list[0].Fence}
	Check(b.T, b.Rules.Runs().Finish(ctx, l, automation.Outcome{Status: db.Succeeded, FilesChanged: true}))
	b.Exec("UPDATE sessions SET branch = ?, files_changed = 1 WHERE id = ?", branch, l.Session)
	return b.Reload(l.Session)
}

// Exec carries out a statement.
func (b *Browser) Exec(sql string, args ...any) {
	b.T.Helper()
	_, err := b.Server.DB.NewRaw(sql, args...).Exec(b.T.Context())
	Check(b.T, err)
}

// Reload reads a session anew.
func (b *Browser) Reload(session uuid.UUID) *db.Session {
	b.T.Helper()
	s, err := db.SessionByID(b.T.Context(), b.Server.DB, session)
	Check(b.T, err)
	return s
}

// Hook sends a forge's webhook, with its secret as that forge does.
func (s *Site) Hook(kind forge.Kind, workspace, event, secret string, body []byte) *Answer {
	s.T.Helper()
	req, err := http.NewRequest(http.MethodPost, s.HTTP.URL+"/api/forges/"+string(kind)+"/"+workspace,
		bytes.NewReader(body))
	Check(s.T, err)
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
	return s.Nobody().Do(req)
}

// RecordedHook is a recorded webhook.
func RecordedHook(t *testing.T, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("..", "forge", "testdata", filepath.FromSlash(name)))
	Check(t, err)
	return body
}

// Hook is an HTTP Trigger automation with its token.
type Hook struct {
	*Site
	Owner *Browser
	A     *db.Automation
	Token string
}

// NewHook makes an HTTP Trigger, changed as the test wants it, with its token.
func NewHook(t *testing.T, change func(*automation.Input)) *Hook {
	s := Open(t)
	owner := s.As("Jonas", account.RoleMember)
	in := automation.Input{Automation: spec.Automation{
		TimeoutMinutes: 360,
		Name:           "Triage",
		Workspace:      s.Workspace,
		Trigger:        "http",
		SessionType:    "develop",
		Prompt:         "Look at {{what}} of {{who}}.",
		Provider:       "agent",
		AutoComplete:   true,
		Retries:        2,
	}}
	if change != nil {
		change(&in)
	}
	a, token, err := s.Rules.Definitions().Create(t.Context(), owner.Actor, in)
	Check(t, err)
	return &Hook{s, owner, a, token}
}

// Endpoint is the address of the HTTP Trigger without a token.
const Endpoint = "/api/automations/http-trigger"

// Call calls the trigger; header is the token's, or empty for none.
func (h *Hook) Call(method, path, header, contentType string, body io.Reader) *Answer {
	h.T.Helper()
	req, err := http.NewRequest(method, h.HTTP.URL+path, body)
	Check(h.T, err)
	if header != "" {
		req.Header.Set("Api-Authentication", header)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return h.Nobody().Do(req)
}

// Free ends what is in flight.
func (h *Hook) Free() {
	h.T.Helper()
	_, err := h.Server.DB.NewRaw(
		"UPDATE executions SET status = 'succeeded', finished_at = now() WHERE status IN ('queued', 'running')").
		Exec(h.T.Context())
	Check(h.T, err)
}

// CallAnswer is the envelope as a caller reads it.
type CallAnswer struct {
	Success                            bool
	Error                              *string
	SessionID, SessionURL, ExecutionID string
	AutomationName                     string
	UnresolvedPlaceholders             []string
}

// Envelope reads an answer to a call.
func (a *Answer) Envelope(t *testing.T) CallAnswer {
	t.Helper()
	var e CallAnswer
	if err := json.Unmarshal([]byte(a.Text), &e); err != nil {
		t.Fatalf("%q is no envelope: %v", a.Text, err)
	}
	return e
}

// Marks finds the marks between which an agent is shown what a call brought.
var Marks = regexp.MustCompile(`untrusted-[a-z2-7]{16}`)
