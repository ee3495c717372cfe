package webhook

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"carillon/app/automation"
	"carillon/app/fault"
	"carillon/app/payload"
	"carillon/db"
	"carillon/views"
)

// envelope is the one shape of every answer of the HTTP trigger. Specification, "Response".
type envelope struct {
	Success        bool     `json:"success"`
	Error          *string  `json:"error"`
	SessionID      *string  `json:"sessionId"`
	SessionURL     *string  `json:"sessionUrl"`
	ExecutionID    *string  `json:"executionId"`
	AutomationName *string  `json:"automationName"`
	Unresolved     []string `json:"unresolvedPlaceholders"` // null: a workflow, or nothing was started
}

// trigger answers both endpoints of the HTTP trigger, and the POST with the token in its path.
func (s *Server) trigger(w http.ResponseWriter, r *http.Request) {
	answer, err := s.call(w, r)
	if err != nil {
		status, text := s.refusal(w, r, err)
		answer = &automation.Answer{Status: status, Error: text}
	}
	s.writeEnvelope(w, answer)
}

// call takes a call of the trigger: authentication first, body after, so that a caller without a token learns nothing
// and costs little.
func (s *Server) call(w http.ResponseWriter, r *http.Request) (*automation.Answer, error) {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodPost:
		w.Header().Set("Allow", "GET, POST")
		return nil, &refused{status: http.StatusMethodNotAllowed, text: "use GET or POST"}
	case prefetch(r):
		return nil, &refused{status: http.StatusBadRequest, text: "this is a prefetch, which starts nothing"}
	}
	hash, ok := automation.HashToken(tokenOf(r))
	if !ok {
		return nil, s.badToken(r, &refused{
			status: http.StatusUnauthorized, text: "no token, or not one of this server's: send it in the header " +
				automation.TokenHeader,
		})
	}
	owner, err := s.Rules.Webhooks().TokenOwner(r.Context(), hash)
	if errors.Is(err, fault.ErrNotFound) {
		return nil, s.badToken(r, &refused{status: http.StatusNotFound, text: "no automation has this token"})
	}
	if err != nil {
		return nil, err
	}
	fingerprint := automation.Fingerprint(hash)
	if wait := s.Calls.Take(fingerprint); wait > 0 {
		return nil, &refused{status: http.StatusTooManyRequests, text: "too many calls with this token", wait: wait}
	}
	return s.receive(w, r, owner, fingerprint)
}

// tokenOf is the token of a call: the first in the headers that is not empty, else that in the path.
func tokenOf(r *http.Request) string {
	for _, value := range r.Header.Values(automation.TokenHeader) {
		if value = strings.TrimSpace(value); value != "" {
			return value
		}
	}
	return r.PathValue("token")
}

// badToken is the refusal of a call with a bad token, or another where its address sent too many of them.
func (s *Server) badToken(r *http.Request, e *refused) error {
	if wait := s.Tokens.CountBad(r, "trigger"); wait > 0 {
		return &refused{
			status: http.StatusTooManyRequests, text: "too many calls with a bad token from this address", wait: wait,
		}
	}
	return e
}

// answering is how long a call may be at work whose caller has hung up meanwhile.
const answering = time.Minute

// receive reads the body and hands the call over. From then on the call is answered and recorded whether or not its
// caller waits: forges give up after some seconds and do not call again.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, owner *db.TokenOwner,
	fingerprint string) (*automation.Answer, error) {
	call := payload.Call{
		Method: r.Method, Address: s.Tokens.Proxies.Address(r), Headers: recordable(r.Header, owner.SignatureHeader),
		Query:       r.URL.RawQuery,
		ContentType: r.Header.Get("Content-Type"), Key: deliveryKey(r.Header), Signed: r.Header,
	}
	var err error
	call.Sent, call.Body, err = readBody(w, r)
	ctx, done := context.WithTimeout(context.WithoutCancel(r.Context()), answering)
	defer done()
	var tooLarge *http.MaxBytesError
	var packed *packingError
	switch {
	case errors.As(err, &tooLarge):
		return s.Rules.Webhooks().TooLarge(ctx, owner, fingerprint, call)
	case errors.As(err, &packed):
		return s.Rules.Webhooks().Unreadable(ctx, owner, fingerprint, call, packed.Error())
	case err != nil:
		return s.Rules.Webhooks().Unreadable(ctx, owner, fingerprint, call, "the body could not be read")
	}
	return s.Rules.Webhooks().Receive(ctx, owner, fingerprint, call)
}

// packingError says that a body is packed in a way that is not unpacked here.
type packingError struct{ coding string }

func (e *packingError) Error() string {
	return "the body is packed as " + db.Printable(e.coding, 50) + ", which is not known here: use gzip"
}

// readBody reads at most MaxBody bytes, whatever Content-Length says, also of what gzip unpacks to. It returns the body
// as it came and unpacked: the two are the same where nothing was packed.
func readBody(w http.ResponseWriter, r *http.Request) (sent, body []byte, err error) {
	sent, err = io.ReadAll(http.MaxBytesReader(w, r.Body, payload.MaxBody))
	if err != nil {
		return sent, sent, err
	}
	coding := strings.ToLower(strings.TrimSpace(strings.Join(r.Header.Values("Content-Encoding"), ", ")))
	switch {
	case coding == "", coding == "identity", len(sent) == 0:
		return sent, sent, nil
	case coding != "gzip" && coding != "x-gzip": // two names of one coding (RFC 9110, 8.4.1.3)
		return sent, sent, &packingError{coding}
	}
	packed, err := gzip.NewReader(bytes.NewReader(sent))
	if err != nil {
		return sent, sent, err
	}
	body, err = io.ReadAll(io.LimitReader(packed, payload.MaxBody+1))
	if err == nil && len(body) > payload.MaxBody {
		return sent, body[:payload.MaxBody], &http.MaxBytesError{Limit: payload.MaxBody}
	}
	return sent, body, err
}

// prefetch reports whether a browser or a chat program only looks at the address ahead of a person.
func prefetch(r *http.Request) bool {
	for _, name := range []string{"Purpose", "Sec-Purpose", "X-Purpose", "X-Moz"} {
		value := strings.ToLower(r.Header.Get(name))
		if strings.Contains(value, "prefetch") || strings.Contains(value, "preview") {
			return true
		}
	}
	return false
}

// deliveryKey is what a sender calls a delivery; the first header that is there.
func deliveryKey(h http.Header) string {
	for _, name := range []string{"Idempotency-Key", "Webhook-Id", "X-Github-Delivery", "X-Gitlab-Event-Uuid",
		"X-Gitea-Delivery"} {
		if v := strings.TrimSpace(h.Get(name)); v != "" {
			return db.Printable(v, 250)
		}
	}
	return ""
}

// secretWords are in the names of headers that are left out of the record of a delivery.
var secretWords = []string{"auth", "cookie", "token", "signature", "secret", "password", "key"}

// secretHeader reports whether a header may carry a secret. Idempotency-Key is a name, and not one.
func secretHeader(name string) bool {
	name = strings.ToLower(name)
	return name != "idempotency-key" && slices.ContainsFunc(secretWords, func(word string) bool {
		return strings.Contains(name, word)
	})
}

// recordable are a call's headers without secrets. Signature is the name of the header with the sender's signature.
func recordable(h http.Header, signature string) map[string]string {
	kept := map[string]string{}
	for name, values := range h {
		if len(kept) == 50 {
			break
		}
		if secretHeader(name) || strings.EqualFold(name, signature) {
			kept[db.Printable(name, 100)] = "(not kept)"
			continue
		}
		kept[db.Printable(name, 100)] = db.Printable(strings.Join(values, ", "), 500)
	}
	return kept
}

// Envelope is the answer to a call as its caller reads it, for a page that shows the call.
func (s *Server) Envelope(a *automation.Answer) any { return s.envelope(a) }

func (s *Server) envelope(a *automation.Answer) envelope {
	e := envelope{Success: a.Status == http.StatusOK && a.Error == "", Unresolved: a.Unresolved}
	if a.Error != "" {
		e.Error = &a.Error
	}
	if a.Automation != "" {
		e.AutomationName = &a.Automation
	}
	e.ExecutionID = textOf(a.Execution)
	if e.SessionID = textOf(a.Session); e.SessionID != nil {
		link := s.PublicURL.JoinPath(views.SessionURL(*e.SessionID)).String()
		e.SessionURL = &link
	}
	return e
}

// writeEnvelope answers in the envelope.
func (s *Server) writeEnvelope(w http.ResponseWriter, a *automation.Answer) {
	body, err := json.Marshal(s.envelope(a))
	if err != nil { // strings and nothing else: cannot be
		body = []byte(`{"success":false,"error":"something went wrong on our side"}`)
		a.Status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(a.Status)
	_, _ = w.Write(append(body, '\n'))
}

func textOf(id uuid.UUID) *string {
	if id == uuid.Nil {
		return nil
	}
	t := id.String()
	return &t
}
