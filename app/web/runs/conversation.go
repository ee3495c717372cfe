package runs

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/automation"
	"carillon/app/form"
	"carillon/app/web/page"
	"carillon/db"
	"carillon/views"
)

// addConversation adds to a session's page what concerns going on with it: messages that wait, interrupt, reset, and
// why a queued one does not start.
func (s sessionPages) addConversation(r *http.Request, actor account.Actor, p *views.SessionPage, session *db.Session,
	manage bool) error {
	z := page.Zone(actor)
	script := s.IsScript(session.Provider)
	p.CanBreak = manage && session.Status == db.SessionInProgress && session.CancelRequestedAt.IsZero() &&
		session.InterruptAt.IsZero()
	p.CanForget = manage && !script && !session.ResetContext && !session.Status.Closed()
	p.Forgets = session.ResetContext
	away, err := automation.AwayWorker(r.Context(), s.DB, session, s.Now())
	if err != nil {
		return err
	}
	if away != nil {
		p.Waits = fmt.Sprintf("Waiting for the worker %s, last seen %s, which has this session’s files.", away.Name,
			away.SeenAt.In(z).Format("2 January, 15:04"))
		p.CanGiveUp = actor.Can(account.Admin)
	} else if session.Status == db.SessionQueued {
		switch pause, err := s.ProviderRules.PauseOf(r.Context(), session.ID); {
		case err != nil:
			return err
		case pause != nil && pause.Until.After(s.Now()):
			p.Waits = fmt.Sprintf("Waiting for %s until %s: %s", s.ProviderName(session.Provider),
				pause.Until.In(z).Format("2 January, 15:04"), pause.Reason)
		case pause != nil:
			p.Waits = fmt.Sprintf("Waiting for %s, which was in trouble: another session tries it first. %s",
				s.ProviderName(session.Provider), pause.Reason)
		case session.QueuedAt.After(s.Now()):
			p.Waits = "The next attempt is at " + session.QueuedAt.In(z).Format("15:04:05") + "."
		case session.AtGate:
			p.Waits = "Waiting for its gate."
		default:
			full, err := s.full(r.Context())
			if err != nil {
				return err
			}
			if workers := full(session.Provider); workers != "" {
				p.Waits = fmt.Sprintf(
					"Waiting for a place on %s: the maximum number of sessions is running there.", workers)
			}
		}
	}
	turns, err := db.QueuedReplies(r.Context(), s.DB, session.ID)
	if err != nil {
		return err
	}
	for _, t := range turns {
		m := views.QueuedMessage{ID: t.ID.String(), Text: t.Prompt, CanWithdraw: manage, Who: "Somebody"}
		if t.Author != nil {
			m.Who = t.Author.Name
		}
		p.Queued = append(p.Queued, m)
	}
	return nil
}

func (s sessionPages) interrupt(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.change(w, r, "Interrupting.", func(id uuid.UUID) error {
		return s.Rules.Sessions().InterruptTurn(r.Context(), actor, id)
	})
}

func (s sessionPages) resetContext(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.change(w, r, "The next turn begins a new conversation.", func(id uuid.UUID) error {
		return s.Rules.Sessions().ResetContext(r.Context(), actor, id)
	})
}

func (s sessionPages) withdraw(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	return s.change(w, r, "Taken back, unless the agent has it already.", func(id uuid.UUID) error {
		return s.Rules.Sessions().Withdraw(r.Context(), actor, id, form.OptionalID(r.PathValue("message")))
	})
}

// rawEvent is a line of the download of a session's events.
type rawEvent struct {
	Seq  int64           `json:"seq"`
	At   time.Time       `json:"at"`
	Turn uuid.UUID       `json:"turn"`
	Kind string          `json:"kind"`
	Body json.RawMessage `json:"body"`
}

// eventsPatience is how long a reader of the download may take for a batch.
const eventsPatience = time.Minute

// events writes a session's events as they are stored, one JSON object a line, a batch at a time.
func (s sessionPages) events(w http.ResponseWriter, r *http.Request, actor account.Actor) error {
	session, err := s.seen(r, actor)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/x-ndjson; charset=utf-8")
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=\"session-%s.ndjson\"", session.ID))
	h.Set("Cache-Control", "no-store")
	out, lines := http.NewResponseController(w), json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	for after := int64(0); ; {
		events, err := db.EventsOf(r.Context(), s.DB, session.ID, after, streamBatch)
		if err != nil && after == 0 {
			h.Del("Content-Disposition")
			return err
		}
		if err != nil { // half of it is sent: a broken connection says so, an end would not
			panic(http.ErrAbortHandler)
		}
		_ = out.SetWriteDeadline(time.Now().Add(eventsPatience)) // the server's own holds where it cannot be moved
		for _, e := range events {
			if err := lines.Encode(rawEvent{
				Seq: e.Seq, At: e.At.UTC(), Turn: e.TurnID, Kind: e.Kind, Body: e.Body,
			}); err != nil {
				return nil // the reader has gone
			}
			after = e.Seq
		}
		if len(events) < streamBatch {
			return nil
		}
		_ = out.Flush()
	}
}
