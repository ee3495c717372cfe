package web

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/google/uuid"

	"carillon/app/fault"
	"carillon/app/forge"
	"carillon/app/middleware"
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

// forgeHook takes the pull-request webhooks of a workspace's forge. Whoever cannot show the workspace's secret learns
// nothing but whether there is such a workspace, and its body is read only where there is.
func (s *Server) forgeHook(w http.ResponseWriter, r *http.Request) {
	kind := forge.Kind(r.PathValue("kind"))
	switch {
	case !kind.Valid():
		tellForge(w, http.StatusNotFound,
			hookAnswer{Error: "the address ends in github, gitlab, gitea or azure and the workspace"})
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		tellForge(w, http.StatusMethodNotAllowed, hookAnswer{Error: "use POST"})
		return
	}
	ws, key, err := s.hookOf(r)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		s.refuseHook(w, r, http.StatusNotFound, "there is no such workspace")
		return
	case err != nil:
		s.brokenHook(w, r, err)
		return
	case key == "":
		s.refuseHook(w, r, http.StatusUnauthorized, forge.ErrNoSecret.Error())
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
	if err := forge.Verify(kind, r.Header, body, []string{key}, s.Now()); err != nil {
		s.refuseHook(w, r, http.StatusUnauthorized, err.Error())
		return
	}
	s.takeHook(w, r, ws, kind, body, forge.Signed(kind, r.Header, body, key))
}

// refuseHook answers a webhook that cannot show the workspace's secret. Only such webhooks count towards the limit of
// their address, and only they are held to it: a forge that has the secret is never kept out by another sender of its
// address.
func (s *Server) refuseHook(w http.ResponseWriter, r *http.Request, status int, problem string) {
	if wait := s.badTokenLimiter.Take("forge " + s.Proxies.Address(r)); wait > 0 {
		w.Header().Set("Retry-After", middleware.RetryAfter(wait))
		tellForge(w, http.StatusTooManyRequests,
			hookAnswer{Error: "too many webhooks with a wrong secret from this address"})
		return
	}
	tellForge(w, status, hookAnswer{Error: problem})
}

// hookOf finds the workspace of a webhook, and the secret of its webhooks, which is empty where it has none. It reads
// nothing of the body: whoever names no workspace sends it for nothing.
func (s *Server) hookOf(r *http.Request) (*db.Workspace, string, error) {
	workspaceID, err := uuid.Parse(r.PathValue("workspace"))
	if err != nil {
		return nil, "", fault.ErrNotFound
	}
	return s.Rules.ForgeHook(r.Context(), workspaceID)
}

// takeHook reads a webhook that is believed. Signature is what forge.Signed says of it.
func (s *Server) takeHook(w http.ResponseWriter, r *http.Request, ws *db.Workspace, kind forge.Kind, body,
	signature []byte) {
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
		if answer.Sessions, err = s.Rules.ToldOnce(r.Context(), ws, e.PullRequest, signature); err != nil {
			s.brokenHook(w, r, err)
			return
		}
	}
	tellForge(w, http.StatusOK, answer)
}

func (s *Server) brokenHook(w http.ResponseWriter, r *http.Request, err error) {
	s.Log.Error("take a forge's webhook", "path", middleware.Path(r), "request", middleware.RequestID(r), "err", err)
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
