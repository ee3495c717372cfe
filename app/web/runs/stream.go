package runs

import (
	"cmp"
	"net/http"
	"strconv"
	"time"

	"github.com/a-h/templ"
	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/transcript"
	"carillon/db"
	"carillon/views"
)

// streamBatch is how many events one message of a stream holds at most.
const streamBatch = 500

// streamKnown is how many entries a stream knows at least, since they may go on.
const streamKnown = 1000

// stream tells a page what happens in a session, from after the event that it has.
func (s sessionPages) stream(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	session, err := s.seen(r, actor)
	if err != nil {
		return err
	}
	after, _ := strconv.ParseInt(cmp.Or(r.Header.Get("Last-Event-ID"), r.FormValue("after")), 10, 64)
	sub := s.hub.subscribe("session "+session.ID.String(), "inbox "+actor.ID.String())
	defer s.hub.end(sub)
	t, err := s.transcript(r, actor, session)
	if err != nil {
		return err
	}
	// What the page has already is read again, silently, so that a message or a tool call that goes on is known whole.
	known, err := db.EventsOf(r.Context(), s.DB, session.ID, max(0, after-pageEvents), pageEvents)
	if err != nil {
		return err
	}
	for i := range known {
		if known[i].Seq <= after {
			t.add(&known[i])
		}
	}
	t.output = -1
	t.seq = after

	out := newStream(w)
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	status, diff := session.Status, session.FilesChanged
	if err := out.ping(); err != nil {
		return nil
	}
	if state := r.FormValue("state"); state != "" && state != stateOf(session) {
		// it went on before the page could listen
		if err := out.send("refresh", "", "session changes inbox"); err != nil {
			return nil
		}
	}
	for {
		if err := s.sendAll(r, out, t, session.ID); err != nil {
			return nil // the reader has gone, or comes again
		}
		// Who signs out, or loses the right, must not go on reading.
		if actor, err = s.Actor(r); err != nil {
			return nil
		}
		current, err := s.Rules.Sessions().Find(r.Context(), actor, session.ID)
		if err != nil {
			return nil
		}
		if current.Status != db.SessionInProgress && t.open != uuid.Nil {
			if err := s.sendRest(r, out, t, session.ID); err != nil {
				return nil
			}
		}
		if current.Status != status || current.FilesChanged != diff || !current.EndedAt.Equal(session.EndedAt) ||
			!current.PRChangedAt.Equal(session.PRChangedAt) {
			status, diff, session = current.Status, current.FilesChanged, current
			if err := out.send("refresh", "", "session changes inbox"); err != nil {
				return nil
			}
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-s.stop:
			return nil
		case <-sub.C:
		case <-ticker.C:
			if err := out.ping(); err != nil {
				return nil
			}
		}
	}
}

// stateOf tells apart what the head of a session's page can show.
func stateOf(session *db.Session) string {
	return string(session.Status) + " " + strconv.FormatInt(session.EndedAt.UnixMilli(), 36)
}

// sendAll sends the events that there are.
func (s sessionPages) sendAll(r *http.Request, out *stream, t *transcriptView, session uuid.UUID) error {
	for {
		if more, err := s.sendEvents(r, out, t, session); err != nil || !more {
			return err
		}
	}
}

// sendRest sends the end of a turn of which no event tells it, of a session that nobody works on.
func (s sessionPages) sendRest(r *http.Request, out *stream, t *transcriptView, session uuid.UUID) error {
	if err := s.sendAll(r, out, t, session); err != nil { // the end may be among what came since
		return err
	}
	turns, err := db.TurnsOf(r.Context(), s.DB, session)
	if err != nil {
		return err
	}
	t.know(turns)
	return s.sendEntries(r, out, t, t.rest())
}

// sendEvents sends the next events, and reports whether there may be more.
func (s sessionPages) sendEvents(r *http.Request, out *stream, t *transcriptView, session uuid.UUID) (bool, error) {
	events, err := db.EventsOf(r.Context(), s.DB, session, t.seq, streamBatch)
	if err != nil || len(events) == 0 {
		return false, err
	}
	t.now = s.Now()
	var changed []views.Entry
	stepped, known := false, false
	for i := range events {
		if !known && (events[i].Kind == transcript.KindTurn || t.breaksOff(&events[i])) {
			// who wrote it, and how the former ended
			turns, err := db.TurnsOf(r.Context(), s.DB, session)
			if err != nil {
				return false, err
			}
			t.know(turns)
			known = true
		}
		if events[i].Kind != "output" {
			t.output = -1
		}
		stepped = stepped || events[i].Kind == transcript.KindTurn || events[i].Kind == transcript.KindTurnEnd
		changed = append(changed, t.add(&events[i])...)
	}
	t.output = -1 // what was sent is not sent again with more behind it
	if err := s.sendEntries(r, out, t, changed); err != nil {
		return false, err
	}
	t.forget(streamKnown)
	if stepped {
		if err := out.send("refresh", "", "steps"); err != nil {
			return false, err
		}
	}
	return len(events) == streamBatch, nil
}

// sendEntries sends entries that were made or changed, each once, as it is now.
func (s sessionPages) sendEntries(r *http.Request, out *stream, t *transcriptView, changed []views.Entry) error {
	if len(changed) == 0 {
		return nil
	}
	var order []string
	latest := map[string]views.Entry{}
	for _, e := range changed {
		if _, ok := latest[e.ID]; !ok {
			order = append(order, e.ID)
		}
		latest[e.ID] = e
	}
	list := make([]templ.Component, len(order))
	for i, entry := range order {
		list[i] = views.EntryItem(latest[entry])
	}
	text, err := html(r, list)
	if err != nil {
		return err
	}
	return out.send("append", strconv.FormatInt(t.seq, 10), text)
}
