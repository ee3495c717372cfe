package stage

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
	"sync/atomic"
	"testing"
	"time"
)

// What the workspace of a hub signs in and its webhooks are signed with.
const (
	HubToken  = "token-of-the-workspace"
	HubSecret = "secret-of-the-webhooks"
)

// Hub is a forge on this machine: a bare repository that Git reaches over http, and GitHub's API as far as Carillon
// asks it, whose answers are those that were recorded of the real one, with the names put in.
type Hub struct {
	URL  string // http://127.0.0.1:PORT
	Bare string // the repository's folder

	Away atomic.Bool // it answers nobody

	mu    sync.Mutex
	pulls []map[string]any
}

// ServeHub starts a hub with a repository acme/app.
func ServeHub(t testing.TB) *Hub {
	t.Helper()
	dir := Folder(t)
	h := &Hub{Bare: filepath.Join(dir, "acme", "app.git")}
	if err := os.MkdirAll(filepath.Dir(h.Bare), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"clone", "-q", "--bare", Repository(t), h.Bare},
		{"-C", h.Bare, "config", "http.receivepack", "true"}} {
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	programs, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	git := &cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(programs)), "git-http-backend"), Stderr: io.Discard,
		Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=ada",
			"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		switch {
		case h.Away.Load():
			http.Error(w, "It is being mended.", http.StatusServiceUnavailable)
		case strings.HasPrefix(r.URL.Path, "/api/v3/repos/acme/app/pulls"):
			h.api(w, r)
		case strings.HasPrefix(r.URL.Path, "/ended/"):
			h.ended(w, r)
		case password != HubToken:
			w.Header().Set("WWW-Authenticate", `Basic realm="hub"`)
			http.Error(w, "Who are you?", http.StatusUnauthorized)
		default:
			git.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	h.URL = server.URL
	return h
}

// api is GitHub's, about pull requests.
func (h *Hub) api(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer "+HubToken {
		http.Error(w, `{"message":"Bad credentials"}`, http.StatusUnauthorized)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	rest := strings.TrimPrefix(r.URL.Path, "/api/v3/repos/acme/app/pulls")
	switch {
	case r.Method == http.MethodPost:
		var in struct{ Title, Body, Head, Base string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			answer(http.StatusUnprocessableEntity, map[string]any{"message": "Validation Failed"})
			return
		}
		if exec.Command("git", "-C", h.Bare, "rev-parse", "--verify", "-q", "refs/heads/"+in.Head).Run() != nil {
			// as GitHub does
			answer(http.StatusUnprocessableEntity, map[string]any{
				"message": "Validation Failed", "errors": []any{map[string]any{
					"resource": "PullRequest", "field": "head", "code": "invalid",
				}},
			})
			return
		}
		for _, p := range h.pulls {
			if p["state"] == "open" && p["head"].(map[string]any)["ref"] == in.Head {
				answer(http.StatusUnprocessableEntity, map[string]any{"message": "Validation Failed",
					"errors": []any{map[string]any{
						"resource": "PullRequest", "code": "custom",
						"message": "A pull request already exists for acme:" + in.Head + "."}}})
				return
			}
		}
		p, err := h.recorded("opened")
		if err != nil {
			answer(http.StatusInternalServerError, map[string]any{"message": err.Error()})
			return
		}
		pull := p["pull_request"].(map[string]any)
		h.name(pull, len(h.pulls)+1, in.Title, in.Head, in.Base)
		pull["body"] = in.Body
		h.pulls = append(h.pulls, pull)
		answer(http.StatusCreated, pull)
	case rest == "":
		list := []any{}
		for _, p := range h.pulls {
			if head := p["head"].(map[string]any); "acme:"+head["ref"].(string) == r.FormValue("head") {
				list = append(list, p)
			}
		}
		answer(http.StatusOK, list)
	default:
		var n int
		if _, _ = fmt.Sscanf(rest, "/%d", &n); n < 1 || n > len(h.pulls) {
			answer(http.StatusNotFound, map[string]any{"message": "Not Found"})
			return
		}
		answer(http.StatusOK, h.pulls[n-1])
	}
}

// Opened counts the pull requests that were opened of a branch.
func (h *Hub) Opened(branch string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, p := range h.pulls {
		if p["head"].(map[string]any)["ref"] == branch {
			n++
		}
	}
	return n
}

// recorded is a webhook that was recorded of GitHub.
func (h *Hub) recorded(action string) (map[string]any, error) {
	text, err := os.ReadFile(filepath.Join(Root(), "app", "forge", "testdata", "github",
		"pull_request."+action+".json"))
	if err != nil {
		return nil, err
	}
	var p map[string]any
	return p, json.Unmarshal(text, &p)
}

// name makes a recorded pull request one of this hub's.
func (h *Hub) name(pull map[string]any, number int, title, head, base string) {
	now := time.Now().UTC().Format(time.RFC3339)
	pull["number"] = number
	pull["title"] = title
	pull["created_at"] = now
	pull["updated_at"] = now
	pull["html_url"] = fmt.Sprintf("%s/acme/app/pull/%d", h.URL, number)
	for end, ref := range map[string]string{"head": head, "base": base} {
		branch := pull[end].(map[string]any)
		branch["ref"], branch["label"] = ref, "acme:"+ref
		branch["repo"].(map[string]any)["full_name"] = "acme/app"
	}
}

// ended ends a pull request, as somebody does on its page, and sends the webhook of that: POST
// /ended/1?merged=yes&hook=URL.
func (h *Hub) ended(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var n int
	if _, _ = fmt.Sscanf(r.URL.Path, "/ended/%d", &n); n < 1 || n > len(h.pulls) {
		http.NotFound(w, r)
		return
	}
	pull := h.pulls[n-1]
	how := "closed_unmerged"
	pull["state"] = "closed"
	if r.FormValue("merged") != "" {
		how = "closed_merged"
		pull["merged"], pull["merged_at"] = true, time.Now().UTC().Format(time.RFC3339)
	}
	pull["updated_at"] = time.Now().Add(time.Second).UTC().Format(time.RFC3339)
	p, err := h.recorded(how)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	p["number"], p["pull_request"] = n, pull
	p["repository"].(map[string]any)["full_name"] = "acme/app"
	body, err := json.Marshal(p)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	mac := hmac.New(sha256.New, []byte(HubSecret))
	mac.Write(body)
	hook, err := http.NewRequestWithContext(r.Context(), http.MethodPost, r.FormValue("hook"), bytes.NewReader(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	hook.Header.Set("Content-Type", "application/json")
	hook.Header.Set("X-GitHub-Event", "pull_request")
	hook.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	res, err := http.DefaultClient.Do(hook)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer res.Body.Close()
	w.WriteHeader(res.StatusCode)
	_, _ = io.Copy(w, res.Body)
}
