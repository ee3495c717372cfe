package automation

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/app/form"
	"carillon/app/inbox"
	"carillon/app/secret"
	"carillon/app/ticket"
	"carillon/app/workflow"
	"carillon/db"
)

// SessionTokenPrefix begins the tokens of sessions, so that one is known for what it is wherever it turns up.
const SessionTokenPrefix = "carillon_session_"

// NewSessionToken makes a token that opens nothing yet.
func NewSessionToken() string { return SessionTokenPrefix + secret.Token() }

// IssueToken makes a token good for the turn that a worker has begun. It opens what the session's agent may ask for,
// and ends with the turn, or when the worker loses the session. Only the token's hash is stored.
func (s Agents) IssueToken(ctx context.Context, lease db.Lease, turn uuid.UUID, token string) error {
	hash := sha256.Sum256([]byte(token))
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := db.CheckLease(ctx, tx, lease); err != nil {
			return err
		}
		return db.ReplaceSessionToken(ctx, tx, &db.SessionToken{
			Hash: hash[:], SessionID: lease.Session, TurnID: turn, Fence: lease.Fence, CreatedAt: s.Now(),
		})
	})
	return fault.Wrap(err, "admit session %s", lease.Session)
}

// EndTokens ends the tokens that a worker has made for a session.
func (s Agents) EndTokens(ctx context.Context, lease db.Lease) error {
	return db.DeleteSessionTokens(ctx, s.DB, lease.Session, lease.Fence)
}

// Actor is as whom the session of a token asks: its owner, within its workspace, with the permissions of
// account.Actor.InSession, which everybody has who had a word in it. It returns fault.ErrNotFound for a token that
// opens nothing, or nothing any more: the turn is over, or its owner or the author of its message may not work in the
// workspace now.
func (s Agents) Actor(ctx context.Context, token string) (account.Actor, error) {
	hash := sha256.Sum256([]byte(token))
	session, err := account.Found(db.SessionByToken(ctx, s.DB, hash[:]))
	if err != nil {
		return account.Actor{}, err
	}
	return s.actorOf(ctx, session, true)
}

// ActsFor is as whom the agent of a session that a person may see asks, or would ask if it were at work now.
func (s Agents) ActsFor(ctx context.Context, actor account.Actor, id uuid.UUID) (account.Actor, error) {
	if _, err := s.Sessions().Find(ctx, actor, id); err != nil {
		return account.Actor{}, err
	}
	session, err := db.CallingSession(ctx, s.DB, id)
	if err != nil {
		return account.Actor{}, err
	}
	return s.actorOf(ctx, session, false)
}

// actorOf is as whom the agent of a session asks. What it may do is what everybody may do who had a word in it: the
// owner of its automation, who created that and who last changed it, the same of its bot and its workflow, who pressed
// Run now, and who wrote to it. Where asks, its owner and the author of the message at work must be able to work in the
// workspace now: else it returns fault.ErrNotFound. Others who cannot any more are account.Actor.Former.
func (s Agents) actorOf(ctx context.Context, session *db.Session, asks bool) (account.Actor, error) {
	authors, now, err := db.Authors(ctx, s.DB, session.ID)
	if err != nil {
		return account.Actor{}, err
	}
	a := session.Automation
	people := db.PeopleIDs{session.OwnerID}.With(session.People...).With(authors...)
	if len(session.People) == 0 && a != nil { // of before that was noted
		people = people.With(a.CreatorID).With(a.MadeBy...).With(a.ChangedBy...)
	}
	list, err := db.Principals(ctx, s.DB, session.WorkspaceID, people)
	if err != nil {
		return account.Actor{}, err
	}
	var self account.Actor
	var others []account.Actor
	for i := range list {
		p := &list[i]
		who := account.ActorOf(&p.User)
		if gone := !p.DeactivatedAt.IsZero() || !p.Member && !who.Can(account.Admin); gone {
			if asks && (p.ID == session.OwnerID || p.ID == now) {
				account.RecordRefusal(ctx, who, "may not work in the workspace of the session any more")
				return account.Actor{}, fault.ErrNotFound
			}
			who = who.Former()
		}
		if p.ID == session.OwnerID {
			self = who
		} else {
			others = append(others, who)
		}
	}
	owner := session.OwnerID
	if len(session.People) > 0 {
		owner = session.People[0]
	}
	// One whose automation is gone may have been started by any. What the run began with decides, and taking it back is
	// at once.
	automates := session.MayAutomate && a != nil && a.MayAutomate
	return self.InSession(session.ID, session.WorkspaceID, automates, others...).OnBehalfOf(owner), nil
}

// RecordRefusedCall keeps for the transcript of a session that a call of a tool was refused, and why.
func (s Agents) RecordRefusedCall(ctx context.Context, actor account.Actor, tool, why string) error {
	return db.AddRefusedCall(ctx, s.DB, &db.RefusedCall{
		SessionID: actor.Session, Tool: tool, Reason: db.Printable(why, 500), Times: 1, At: s.Now(),
	})
}

// RefusedCall is a call of a tool that a session was refused, and that its transcript is to tell of.
type RefusedCall struct {
	db.RefusedCall
}

// Text says what was refused, as a sentence.
func (c RefusedCall) Text() string {
	if c.Times > 1 {
		return fmt.Sprintf("%d calls of the tool %s were refused: %s.", c.Times, c.Tool, c.Reason)
	}
	return fmt.Sprintf("A call of the tool %s was refused: %s.", c.Tool, c.Reason)
}

// RefusedCalls lists the refused calls of a session that its transcript does not hold yet. They stay listed until
// DropRefusedCall, in the transaction that writes them there.
func (s Agents) RefusedCalls(ctx context.Context, session uuid.UUID) ([]RefusedCall, error) {
	rows, err := db.RefusedCalls(ctx, s.DB, session)
	list := make([]RefusedCall, len(rows))
	for i, row := range rows {
		list[i] = RefusedCall{row}
	}
	return list, err
}

// DropRefusedCall notes that the transcript holds a refused call, once the transaction commits.
func (s Agents) DropRefusedCall(ctx context.Context, tx bun.Tx, c RefusedCall) error {
	return db.DropRefusedCall(ctx, tx, &c.RefusedCall, s.Now())
}

// Session is the session as which the actor asks. It returns fault.ErrForbidden for a person.
func (s Agents) Session(ctx context.Context, actor account.Actor) (*db.Session, error) {
	if actor.Session == uuid.Nil {
		return nil, fault.ErrForbidden
	}
	return db.SessionByID(ctx, s.DB, actor.Session)
}

// Hidden stands where a session repeats one of its secrets.
const Hidden = "••••••"

// Masker is what replaces the secrets of a session in what its agent wants to have stored: those of its
// workspace, the secret values of its run, and its token. It returns fault.ErrForbidden for a person.
func (s Agents) Masker(ctx context.Context, actor account.Actor, token string) (func([]byte) []byte, error) {
	session, err := s.Session(ctx, actor)
	if err != nil {
		return nil, err
	}
	w, err := db.WorkspaceByID(ctx, s.DB, session.WorkspaceID)
	if err != nil {
		return nil, err
	}
	environment, err := s.Workspaces.Environment(ctx, w)
	if err != nil {
		return nil, err
	}
	secrets := append(environment.Secrets, token)
	e, err := db.ExecutionBySession(ctx, s.DB, session.ID)
	switch {
	case db.IsNotFound(err):
	case err != nil:
		return nil, err
	default:
		_, given, err := workflow.OpenValues(s.Keys, e)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, given...)
	}
	return secret.Masker(secrets, Hidden), nil
}

// Automation is the automation that started the session as which the actor asks, whoever created it: a session may
// read what it was started by. It returns fault.ErrNotFound when there is none, or none any more.
func (s Agents) Automation(ctx context.Context, actor account.Actor) (*db.Automation, error) {
	session, err := s.Session(ctx, actor)
	if err != nil {
		return nil, err
	}
	if session.AutomationID == uuid.Nil {
		return nil, fault.ErrNotFound
	}
	return db.AutomationByID(ctx, s.DB, session.AutomationID)
}

// isOwnAutomation reports whether an automation started the session as which the actor asks.
func (s Agents) isOwnAutomation(ctx context.Context, actor account.Actor, id uuid.UUID) (bool, error) {
	if actor.Session == uuid.Nil {
		return false, nil
	}
	a, err := s.Automation(ctx, actor)
	if errors.Is(err, fault.ErrNotFound) {
		return false, nil
	}
	return err == nil && a.ID == id, err
}

// PastRuns lists the newest executions of an automation that the actor sees, or that its session was started by. A zero
// before is the newest.
func (s Agents) PastRuns(ctx context.Context, actor account.Actor, automation, before uuid.UUID,
	limit int) ([]db.Execution, error) {
	access := actor.Access()
	own, err := s.isOwnAutomation(ctx, actor, automation)
	if err != nil {
		return nil, err
	}
	if own {
		access.All = true // it is of the session's own workspace
	} else if _, err := s.Definitions().Find(ctx, actor, automation); err != nil {
		return nil, err
	}
	return db.Executions(ctx, s.DB, db.ExecutionFilter{
		Access: access, Automation: automation, Before: before, Limit: limit,
	})
}

// ReportOutcomes are the outcomes that a session may report.
var ReportOutcomes = []db.ReportOutcome{db.ReportDone, db.ReportNothingToDo, db.ReportBlocked, db.ReportFailed}

// ReportInput is what a session reports of its work. Ticket is a number in its workspace; 0 is the one that it has
// claimed, if any.
type ReportInput struct {
	Outcome, Summary string
	Ticket           int64
}

// Bounds of what a session may tell people.
const (
	maxReports      = 50
	maxMessages     = 20
	maxSummary      = 16 << 10 // bytes
	maxMessageTitle = 200      // characters
)

// Report notes what a session says came of its work. It decides nothing: how the run ended is the execution's.
func (s Agents) Report(ctx context.Context, actor account.Actor, in ReportInput) (*db.SessionReport, error) {
	session, err := s.Session(ctx, actor)
	if err != nil {
		return nil, err
	}
	bad := fault.Invalid{}
	r := &db.SessionReport{
		ID: db.NewID(), SessionID: session.ID, Outcome: db.ReportOutcome(in.Outcome),
		Summary: longText(bad, "summary", in.Summary), CreatedAt: s.Now(),
	}
	if !slices.Contains(ReportOutcomes, r.Outcome) {
		bad["outcome"] = "Choose one of done, nothing_to_do, blocked and failed."
	}
	var t *db.Ticket
	if in.Ticket != 0 {
		if t, err = ticket.ByNumber(ctx, s.DB, actor, actor.Workspace, in.Ticket); errors.Is(err, fault.ErrNotFound) {
			bad["ticket"] = fmt.Sprintf("There is no ticket #%d in this workspace.", in.Ticket)
		} else if err != nil {
			return nil, err
		}
	} else if t, err = db.ClaimedTicket(ctx, s.DB, session.ID); err != nil {
		return nil, err
	}
	if len(bad) > 0 {
		return nil, bad
	}
	if t != nil {
		r.TicketID = t.ID
	}
	err = db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		n, err := db.CountReports(ctx, tx, session.ID, time.Time{})
		if err != nil {
			return err
		}
		if n >= maxReports {
			return fault.Invalid{"summary": fmt.Sprintf("This session has reported %d times. That is the limit.", n)}
		}
		if r.TicketID != uuid.Nil {
			if err := db.LinkTicket(ctx, tx, r.TicketID, session.ID, s.Now()); err != nil {
				return err
			}
		}
		if err := db.InsertReport(ctx, tx, r); err != nil {
			return err
		}
		return db.Notify(ctx, tx, "session", session.ID)
	})
	return r, fault.Wrap(err, "report of session %s", session.ID)
}

// MessageInput is what a session writes to people. To is the e-mail address of a member of its workspace; empty are the
// creator of its automation and its owner.
type MessageInput struct{ Title, Body, To string }

// Message puts a message of a session into inboxes, into each once. It returns how many people got it.
func (s Agents) Message(ctx context.Context, actor account.Actor, in MessageInput) (int, error) {
	session, err := s.Session(ctx, actor)
	if err != nil {
		return 0, err
	}
	bad := fault.Invalid{}
	title := form.Line(bad, "title", "Give the message a title.", in.Title, maxMessageTitle, true)
	body := longText(bad, "body", in.Body)
	if len(bad) > 0 {
		return 0, bad
	}
	var people []uuid.UUID
	err = db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		if _, err := db.LockSession(ctx, tx, session.ID); err != nil { // the count below holds
			return err
		}
		n, err := db.CountNotices(ctx, tx, session.ID, inbox.Message)
		if err != nil {
			return err
		}
		if n >= maxMessages {
			return fault.Invalid{"title": fmt.Sprintf("This session has sent %d messages. That is the limit.", n)}
		}
		if people, err = recipients(ctx, tx, session, in.To); err != nil {
			return err
		}
		a := session.Automation
		if a == nil {
			a = &db.Automation{}
		}
		message := inbox.Notice{
			Kind: inbox.Message, Title: title, Body: body, Session: session.ID, Key: "message " + db.NewID().String(),
		}
		if e, err := db.ExecutionBySession(ctx, tx, session.ID); err == nil {
			message.Execution = e.ID
		} else if !db.IsNotFound(err) {
			return err
		}
		return s.notify(ctx, tx, a, people, message)
	})
	return len(people), fault.Wrap(err, "message of session %s", session.ID)
}

// recipients are who gets a message of a session.
func recipients(ctx context.Context, tx bun.Tx, session *db.Session, to string) ([]uuid.UUID, error) {
	if to = strings.TrimSpace(to); to != "" {
		members, err := db.MembersOf(ctx, tx, session.WorkspaceID)
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			if strings.EqualFold(m.Email, to) && m.DeactivatedAt.IsZero() {
				return []uuid.UUID{m.ID}, nil
			}
		}
		return nil, fault.Invalid{"to": "No member of this workspace has this e-mail address."}
	}
	var people []uuid.UUID
	if session.Automation != nil {
		var err error
		if people, err = audience(ctx, tx, session.Automation); err != nil {
			return nil, err
		}
	}
	if !slices.Contains(people, session.OwnerID) {
		people = append(people, session.OwnerID) // Actor has seen that they may hear
	}
	return people, nil
}

// longText checks text of several lines that a session wrote.
func longText(bad fault.Invalid, field, value string) string {
	value = strings.TrimSpace(strings.ReplaceAll(value, "\r\n", "\n"))
	switch {
	case value == "":
		bad[field] = "Write what there is to say."
	case !utf8.ValidString(value) || strings.ContainsRune(value, 0):
		bad[field] = "This has bytes that are not text."
	case len(value) > maxSummary:
		bad[field] = fmt.Sprintf("This is %d KiB long. At most %d KiB fit.", (len(value)+1023)>>10, maxSummary>>10)
	}
	return value
}
