package web

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/google/uuid"

	"carillon/app/fault"
	"carillon/app/forge"
	"carillon/app/secret"
	"carillon/db"
)

// hookAnswer is the answer to a forge's webhook. Forges show it to whoever set the webhook up.
type hookAnswer struct {
	Success bool   `json:"success"`
	Error   string `json:"error,omitempty"`
	Event   string `json:"event,omitempty"` // as it was understood
	// Sessions is how many sessions it concerned.
	Sessions int `json:"sessions"`
}

// forgeHook takes the pull-request webhooks of a workspace's forge. Whoever cannot show the workspace's secret learns nothing,
// and an unknown workspace costs as much as a known one.
func (s *Server) forgeHook(w http.ResponseWriter, r *http.Request) {
	kind := forge.Kind(r.PathValue("kind"))
	switch {
	case !kind.Valid():
		tellForge(w, http.StatusNotFound, hookAnswer{Error: "the address ends in github, gitlab, gitea or azure and the workspace"})
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		tellForge(w, http.StatusMethodNotAllowed, hookAnswer{Error: "use POST"})
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, forge.MaxPayload))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		tellForge(w, http.StatusRequestEntityTooLarge, hookAnswer{Error: "a webhook has at most 4 MiB"})
		return
	case err != nil:
		tellForge(w, http.StatusBadRequest, hookAnswer{Error: "the body could not be read"})
		return
	}
	ws, err := s.verified(r, kind, body)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		s.refuseHook(w, r, http.StatusNotFound, "there is no such workspace")
	case errors.Is(err, forge.ErrNoSecret), errors.Is(err, forge.ErrNoSignature), errors.Is(err, forge.ErrSignature):
		s.refuseHook(w, r, http.StatusUnauthorized, err.Error())
	case err != nil:
		s.brokenHook(w, r, err)
	default:
		s.takeHook(w, r, ws, kind, body)
	}
}

// refuseHook answers a webhook that cannot show the workspace's secret. Only such webhooks count towards the limit of their
// address, and only they are held to it: a forge that has the secret is never kept out by another sender of its address.
func (s *Server) refuseHook(w http.ResponseWriter, r *http.Request, status int, problem string) {
	if wait := s.strangers.take("forge " + s.address(r)); wait > 0 {
		w.Header().Set("Retry-After", retryAfter(wait))
		tellForge(w, http.StatusTooManyRequests, hookAnswer{Error: "too many webhooks with a wrong secret from this address"})
		return
	}
	tellForge(w, status, hookAnswer{Error: problem})
}

// verified finds the workspace of a webhook that has its secret.
func (s *Server) verified(r *http.Request, kind forge.Kind, body []byte) (*db.Workspace, error) {
	workspaceID, _ := uuid.Parse(r.PathValue("workspace")) // nonsense is a workspace that nobody has
	ws, key, err := s.Rules.ForgeHook(r.Context(), workspaceID)
	if errors.Is(err, fault.ErrNotFound) {
		_ = forge.Verify(kind, r.Header, body, []string{secret.Token()}, s.Now()) // for its cost alone
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	return ws, forge.Verify(kind, r.Header, body, []string{key}, s.Now())
}

// takeHook reads a webhook that is believed.
func (s *Server) takeHook(w http.ResponseWriter, r *http.Request, ws *db.Workspace, kind forge.Kind, body []byte) {
	e, err := forge.Parse(kind, r.Header, body)
	if errors.Is(err, forge.ErrPayload) {
		tellForge(w, http.StatusBadRequest, hookAnswer{Error: err.Error()})
		return
	}
	if err != nil {
		s.brokenHook(w, r, err)
		return
	}
	answer := hookAnswer{Success: true, Event: string(e.Kind)}
	if e.Kind != forge.Ping && e.Kind != forge.Ignored {
		if answer.Sessions, err = s.Rules.ToldPullRequest(r.Context(), ws, e.PullRequest); err != nil {
			s.brokenHook(w, r, err)
			return
		}
	}
	tellForge(w, http.StatusOK, answer)
}

func (s *Server) brokenHook(w http.ResponseWriter, r *http.Request, err error) {
	s.Log.Error("take a forge's webhook", "path", r.URL.Path, "request", requestID(r), "err", err)
	status, text := ours(w, r, err)
	tellForge(w, status, hookAnswer{Error: text})
}

func tellForge(w http.ResponseWriter, status int, a hookAnswer) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(a) // fails only when the caller has gone
}

// forgeHookURL is where a forge sends the webhooks of a workspace.
func (s *Server) forgeHookURL(kind forge.Kind, workspace uuid.UUID) string {
	return s.PublicURL.JoinPath("api", "forges", string(kind), workspace.String()).String()
}
