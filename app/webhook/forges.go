package webhook

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/google/uuid"

	"carillon/app/fault"
	"carillon/app/forge"
	"carillon/db"
)

// forgeAnswer is the answer to a forge's webhook. Forges show it to whoever set the webhook up.
type forgeAnswer struct {
	Success bool   `json:"success"`
	Error   string `json:"error,omitempty"`
	Event   string `json:"event,omitempty"` // as it was understood
	// Sessions is how many sessions it concerned.
	Sessions int `json:"sessions"`
}

// forge takes the pull-request webhooks of a workspace's forge.
func (s *Server) forge(w http.ResponseWriter, r *http.Request) {
	answer, err := s.event(w, r)
	if err != nil {
		status, text := s.refusal(w, r, err)
		writeForgeAnswer(w, status, forgeAnswer{Error: text})
		return
	}
	writeForgeAnswer(w, http.StatusOK, answer)
}

// event takes a webhook. Whoever cannot show the workspace's secret learns nothing but whether there is such a
// workspace, and its body is read only where there is.
func (s *Server) event(w http.ResponseWriter, r *http.Request) (forgeAnswer, error) {
	kind := forge.Kind(r.PathValue("kind"))
	switch {
	case !kind.Valid():
		return forgeAnswer{}, &refused{
			status: http.StatusNotFound, text: "the address ends in github, gitlab, gitea or azure and the workspace",
		}
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		return forgeAnswer{}, &refused{status: http.StatusMethodNotAllowed, text: "use POST"}
	}
	ws, secret, err := s.workspace(r)
	switch {
	case errors.Is(err, fault.ErrNotFound):
		return forgeAnswer{}, s.badSecret(r, http.StatusNotFound, "there is no such workspace")
	case err != nil:
		return forgeAnswer{}, err
	case secret == "":
		return forgeAnswer{}, s.badSecret(r, http.StatusUnauthorized, forge.ErrNoSecret.Error())
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, forge.MaxPayload))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return forgeAnswer{}, &refused{
			status: http.StatusRequestEntityTooLarge, text: "a webhook has at most 4 MiB",
		}
	case err != nil:
		return forgeAnswer{}, &refused{status: http.StatusBadRequest, text: "the body could not be read"}
	}
	if err := forge.Verify(kind, r.Header, body, []string{secret}, s.Now()); err != nil {
		return forgeAnswer{}, s.badSecret(r, http.StatusUnauthorized, err.Error())
	}
	return s.take(r, ws, kind, body, forge.Signed(kind, r.Header, body, secret))
}

// badSecret is the refusal of a webhook that cannot show the workspace's secret, or another where its address sent too
// many of them.
func (s *Server) badSecret(r *http.Request, status int, text string) error {
	if wait := s.Tokens.CountBad(r, "forge"); wait > 0 {
		return &refused{
			status: http.StatusTooManyRequests, text: "too many webhooks with a wrong secret from this address",
			wait: wait,
		}
	}
	return &refused{status: status, text: text}
}

// workspace finds the workspace of a webhook, and the secret of its webhooks, which is empty where it has none. It
// reads nothing of the body: whoever names no workspace sends it for nothing.
func (s *Server) workspace(r *http.Request) (*db.Workspace, string, error) {
	workspaceID, err := uuid.Parse(r.PathValue("workspace"))
	if err != nil {
		return nil, "", fault.ErrNotFound
	}
	return s.Workspaces.ForgeHook(r.Context(), workspaceID)
}

// take reads a webhook that is believed. Signature is what forge.Signed says of it.
func (s *Server) take(r *http.Request, ws *db.Workspace, kind forge.Kind, body, signature []byte) (forgeAnswer, error) {
	e, err := forge.Parse(kind, r.Header, body)
	if errors.Is(err, forge.ErrPayload) {
		return forgeAnswer{}, &refused{status: http.StatusBadRequest, text: err.Error()}
	}
	if err != nil {
		return forgeAnswer{}, err
	}
	answer := forgeAnswer{Success: true, Event: string(e.Kind)}
	if e.Kind != forge.Ping && e.Kind != forge.Ignored {
		answer.Sessions, err = s.Rules.PullRequests().TakeEventOnce(r.Context(), ws, e.PullRequest, signature)
		if err != nil {
			return forgeAnswer{}, err
		}
	}
	return answer, nil
}

func writeForgeAnswer(w http.ResponseWriter, status int, a forgeAnswer) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(a) // fails only when the caller has gone
}
