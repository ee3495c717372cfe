package runs

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"
)

// hub tells live pages of this process that something changed. What it was they look up themselves, so that a message
// that comes twice or is folded into another does no harm.
type hub struct {
	mu   sync.Mutex
	subs map[*subscription]bool
}

// subscription is a page's interest in some subjects. C holds at most one wake-up.
type subscription struct {
	C      chan struct{}
	topics map[string]bool
}

func newHub() *hub { return &hub{subs: map[*subscription]bool{}} }

// subscribe begins to wake on topics, "session <id>" and the like. It must be ended.
func (h *hub) subscribe(topics ...string) *subscription {
	s := &subscription{C: make(chan struct{}, 1), topics: map[string]bool{}}
	for _, t := range topics {
		s.topics[t] = true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.subs[s] = true
	return s
}

func (h *hub) end(s *subscription) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subs, s)
}

func (h *hub) wake(topic string, id uuid.UUID) {
	h.each(func(s *subscription) bool { return s.topics[topic+" "+id.String()] })
}

// wakeAll follows a lost connection: anything may have changed.
func (h *hub) wakeAll() { h.each(func(*subscription) bool { return true }) }

func (h *hub) each(wants func(*subscription) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subs {
		if wants(s) {
			select {
			case s.C <- struct{}{}:
			default:
			}
		}
	}
}

// Wake tells the live pages of this process that something of a subject changed.
func (s *Pages) Wake(topic string, id uuid.UUID) { s.hub.wake(topic, id) }

// stream is an answer of server-sent events.
type stream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// beat is how often a silent stream says something, so that no proxy takes it for dead.
const beat = 20 * time.Second

func newStream(w http.ResponseWriter) *stream {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	return &stream{w: w, rc: http.NewResponseController(w)}
}

// send writes an event. The id, if any, is where a lost connection goes on.
func (s *stream) send(event, id, data string) error {
	var b bytes.Buffer
	if id != "" {
		fmt.Fprintf(&b, "id: %s\n", id)
	}
	fmt.Fprintf(&b, "event: %s\n", event)
	// A carriage return ends a line too: one in an agent's text must not begin a field of its own.
	for line := range strings.SplitSeq(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(data), "\n") {
		fmt.Fprintf(&b, "data: %s\n", line)
	}
	b.WriteByte('\n')
	return s.write(b.Bytes())
}

func (s *stream) ping() error { return s.write([]byte(": still here\n\n")) }

// write gives each message its own time limit: a reader who has gone must not hold a connection for ever.
func (s *stream) write(b []byte) error {
	if err := s.rc.SetWriteDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	return s.rc.Flush()
}

// html renders components into one text.
func html(r *http.Request, list []templ.Component) (string, error) {
	var b bytes.Buffer
	for _, c := range list {
		if err := c.Render(r.Context(), &b); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}
