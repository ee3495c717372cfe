// Package pullrequest holds the rules of the pull requests of sessions: which are a session's own, what their ends make
// of it, and who is told. It knows rows and forges. It does not know how a session is changed or closed.
package pullrequest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/crash"
	"carillon/app/fault"
	"carillon/app/forge"
	"carillon/app/form"
	"carillon/app/inbox"
	"carillon/app/workspace"
	"carillon/db"
)

// Service carries out what people, agents and forges say of pull requests.
type Service struct {
	DB  bun.IDB
	Now func() time.Time // the instant of every rule

	// Change locks a session that a person may manage, and lets change decide. It returns fault.ErrNotFound for one
	// that the person does not see, and fault.ErrForbidden for one that they may not manage.
	Change func(ctx context.Context, actor account.Actor, id uuid.UUID,
		change func(ctx context.Context, tx bun.Tx, session *db.Session, now time.Time) error) error
	// Ended closes an open session, which is locked, since its pull requests have come to their end.
	Ended func(ctx context.Context, tx bun.Tx, session *db.Session, status db.SessionStatus, now time.Time) error
}

// mostFound is how many pull requests of one message's output are taken for the session's: an agent that lists more is
// reporting on others'.
const mostFound = 3

// TakeMentions notes the pull requests whose addresses an agent wrote, the last one first, as far as they are of
// the workspace's own repository. Agents write of others' too, so they count for nothing until the forge has told that
// they are of the session's branch, or of the one that its worktree was on, at.
func (s *Service) TakeMentions(ctx context.Context, w *db.Workspace, session uuid.UUID, at string,
	found []forge.PullRequest) error {
	f, ok := workspace.ForgeOf(w)
	if !ok {
		return nil
	}
	taken := 0
	for _, p := range found {
		p, ok := f.Has(p)
		if !ok || !f.Owns(p) {
			continue
		}
		if taken++; taken > mostFound {
			break
		}
		p.Branch = at // what it has to be of
		if err := s.Take(ctx, w, session, p, db.FoundInOutput); err != nil {
			return err
		}
	}
	return nil
}

// Take takes over what is known of a pull request of a session: it is noted if it is new, and its state
// moves the session. A session that is gone is no error.
func (s *Service) Take(ctx context.Context, w *db.Workspace, session uuid.UUID, p forge.PullRequest,
	by db.FoundBy) error {
	key := p.Key()
	if f, ok := workspace.ForgeOf(w); ok {
		key = f.Key(p)
	}
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		locked, err := db.LockSession(ctx, tx, session)
		if db.IsNotFound(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.take(ctx, tx, locked, p, key, by); err != nil {
			return err
		}
		crash.Here(crash.PullRequestTaken)
		return nil
	})
	return fault.Wrap(err, "take pull request %s over into session %s", key, session)
}

// take is Take under the session's lock.
func (s *Service) take(ctx context.Context, tx bun.Tx, session *db.Session, p forge.PullRequest, key string,
	by db.FoundBy) error {
	now := s.Now()
	row, err := db.SessionPullRequest(ctx, tx, session.ID, string(p.Forge), p.Repository, p.Number)
	if err == nil {
		switch {
		case by == db.FoundInOutput: // known already
			return nil
		case by == db.FoundByHand && !row.Confirmed():
			row.FoundBy = by // a person vouches for it
		}
		return s.update(ctx, tx, session, row, p, by != db.FoundByWebhook)
	}
	if !db.IsNotFound(err) {
		return err
	}
	row = &db.PullRequest{
		ID: db.NewID(), SessionID: session.ID, Forge: string(p.Forge), Repository: p.Repository, Number: p.Number,
		URL: p.URL, Key: key,
		Branch: p.Branch, State: db.PullRequestOpen, FoundBy: by, CreatedAt: now, UpdatedAt: now,
	}
	if _, err := db.InsertPullRequest(ctx, tx, row); err != nil {
		return err
	}
	if by == db.FoundInOutput {
		return refreshPages(ctx, tx, session, now)
	}
	return s.update(ctx, tx, session, row, p, by != db.FoundByWebhook)
}

// TakeAnswer takes over what the forge answered about a pull request that it was asked for.
func (s *Service) TakeAnswer(ctx context.Context, row *db.PullRequest, p forge.PullRequest) error {
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		session, err := db.LockSession(ctx, tx, row.SessionID)
		if err != nil {
			return err
		}
		current, err := db.SessionPullRequest(ctx, tx, row.SessionID, row.Forge, row.Repository, row.Number)
		if err != nil {
			return err
		}
		current.CheckedAt = s.Now()
		if err := s.update(ctx, tx, session, current, p, true); err != nil {
			return err
		}
		crash.Here(crash.PullRequestChecked)
		return nil
	})
	if db.IsNotFound(err) {
		return nil // the session, or its pull request, went meanwhile
	}
	return fault.Wrap(err, "take over the state of pull request %s", row.Key)
}

// TakeEvent takes over what a verified webhook of a workspace's forge tells of a pull request: for the sessions
// that have it, and for the one that has its branch. A session for which that fails keeps no other from it. It returns
// for how many it did.
func (s *Service) TakeEvent(ctx context.Context, w *db.Workspace, p forge.PullRequest) (int, error) {
	crash.Here(crash.EventVerified)
	branch := ""
	if f, ok := workspace.ForgeOf(w); ok && f.Owns(p) && !p.Fork {
		branch = p.Branch // in another repository, or a fork, the same name is another branch
	}
	sessions, err := db.SessionsOfPullRequest(ctx, s.DB, w.ID, string(p.Forge), p.Repository, p.Number, branch)
	if err != nil {
		return 0, err
	}
	taken := 0
	for _, id := range sessions {
		e := s.Take(ctx, w, id, p, db.FoundByWebhook)
		switch {
		case e == nil:
			taken++
		case ctx.Err() != nil || db.IsUnavailable(e):
			return taken, e
		}
		err = errors.Join(err, e)
	}
	return taken, err
}

// answerKept is how long the answer to a signed webhook is given again.
const answerKept = 24 * time.Hour

// TakeEventOnce is TakeEvent for a webhook with a signature, nil where it has none: what was signed and taken is
// answered again for as long as a delivery's key, and does nothing.
func (s *Service) TakeEventOnce(ctx context.Context, w *db.Workspace, p forge.PullRequest,
	signature []byte) (int, error) {
	if signature == nil {
		return s.TakeEvent(ctx, w, p)
	}
	b := &db.SignedBody{WorkspaceID: w.ID, Signature: signature, At: s.Now()}
	text, err := db.AnswerToSigned(ctx, s.DB, b, b.At.Add(-answerKept))
	if err != nil {
		return 0, err
	}
	taken := 0
	if text != nil {
		return taken, json.Unmarshal(text, &taken)
	}
	if taken, err = s.TakeEvent(ctx, w, p); err != nil {
		return taken, err
	}
	if b.Answer, err = json.Marshal(taken); err != nil {
		return taken, err
	}
	return taken, db.SaveSigned(ctx, s.DB, b)
}

// update takes over what a forge told of a pull request, and lets it move the locked session. What was asked for is as
// it is now; what was told may come late, and is then passed over.
func (s *Service) update(ctx context.Context, tx bun.Tx, session *db.Session, row *db.PullRequest, p forge.PullRequest,
	asked bool) error {
	now := s.Now()
	if !asked && !p.Updated.IsZero() && p.Updated.Before(row.RemoteAt) {
		return nil
	}
	if !row.Confirmed() {
		if !belongsTo(session, row, p) {
			if err := db.DeletePullRequest(ctx, tx, row.ID); err != nil {
				return err
			}
			return refreshPages(ctx, tx, session, now)
		}
		row.FoundBy = db.FoundByBranch
	}
	was := row.State
	if p.State != "" {
		row.State, row.Problem = db.PullRequestState(p.State), ""
	}
	if row.State != was {
		row.SettledAt = time.Time{}
	}
	if !p.Updated.IsZero() {
		row.RemoteAt = p.Updated
	}
	row.URL, row.Title, row.Branch, row.UpdatedAt = form.Or(p.URL, row.URL), form.Or(p.Title, row.Title),
		form.Or(p.Branch, row.Branch), now
	if err := db.SavePullRequest(ctx, tx, row); err != nil {
		return err
	}
	if err := refreshPages(ctx, tx, session, now); err != nil {
		return err
	}
	if row.State == db.PullRequestClosed && was != db.PullRequestClosed {
		if err := s.notifyOfClosing(ctx, tx, session, row); err != nil {
			return err
		}
	}
	if session.Status.Closed() {
		return db.SettlePullRequests(ctx, tx, session.ID, now)
	}
	if session.Status != db.SessionWaiting {
		return nil // its release looks again when its work ends
	}
	status, err := FinalStatus(ctx, tx, session, now)
	if err != nil || status == db.SessionWaiting {
		return err
	}
	return s.Ended(ctx, tx, session, status, now)
}

// belongsTo reports whether a pull request that an agent wrote of is what its session led to: it is of the session's
// branch, or of the one that the worktree was on when the agent wrote of it, and no older than the session.
func belongsTo(session *db.Session, row *db.PullRequest, p forge.PullRequest) bool {
	own := p.Branch != "" && (p.Branch == session.Branch || p.Branch == row.Branch)
	older := !p.Created.IsZero() && p.Created.Before(session.CreatedAt.Add(-time.Minute))
	return own && !p.Fork && !older
}

// refreshPages lets open pages of a session look again.
func refreshPages(ctx context.Context, tx bun.Tx, session *db.Session, now time.Time) error {
	if err := db.TouchPullRequests(ctx, tx, session.ID, now); err != nil {
		return err
	}
	return db.Notify(ctx, tx, "session", session.ID)
}

// FinalStatus is what the ends of its pull requests make of an open session: Done when one was merged, Canceled when
// they were closed, and still open while one is, or when their ends were applied before. Behaviour, "Loop, next run".
func FinalStatus(ctx context.Context, tx bun.Tx, session *db.Session,
	now time.Time) (db.SessionStatus, error) {
	list, err := db.PullRequestsOf(ctx, tx, []uuid.UUID{session.ID})
	if err != nil {
		return "", err
	}
	status := db.SessionWaiting
	for _, p := range list {
		switch {
		case !p.Confirmed():
		case p.State == db.PullRequestOpen:
			return db.SessionWaiting, nil
		case !p.SettledAt.IsZero():
		case p.State == db.PullRequestMerged:
			status = db.SessionDone
		case status == db.SessionWaiting:
			status = db.SessionCanceled
		}
	}
	if status == db.SessionWaiting {
		return status, nil
	}
	return status, db.SettlePullRequests(ctx, tx, session.ID, now)
}

// notifyOfClosing tells, of a loop, that a pull request was closed without merging: the creator of the automation, the
// owner of the session and who is assigned to the ticket that it worked on, each once per iteration. Specification,
// "Auto-disable & failure notifications".
func (s *Service) notifyOfClosing(ctx context.Context, tx bun.Tx, session *db.Session, p *db.PullRequest) error {
	e, err := db.ExecutionBySession(ctx, tx, session.ID)
	if db.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if e.Snapshot.Trigger != db.Loop {
		return nil
	}
	a, err := db.AutomationByID(ctx, tx, e.AutomationID)
	if err != nil {
		return err
	}
	creator := db.Membership{WorkspaceID: a.WorkspaceID, UserID: a.CreatorID}
	audiences, err := inbox.Audiences(ctx, tx, []db.Membership{creator})
	if err != nil {
		return err
	}
	people := audiences[creator]
	others, err := db.AssigneesOfSession(ctx, tx, session.ID)
	if err != nil {
		return err
	}
	about := []db.Membership{{WorkspaceID: session.WorkspaceID, UserID: session.OwnerID}}
	for _, person := range others {
		about = append(about, db.Membership{WorkspaceID: session.WorkspaceID, UserID: person})
	}
	may, err := inbox.MayHear(ctx, tx, about)
	if err != nil {
		return err
	}
	for _, m := range about {
		if may[m] && !slices.Contains(people, m.UserID) {
			people = append(people, m.UserID)
		}
	}
	name := fmt.Sprintf("Pull request #%d", p.Number)
	if p.Title != "" {
		name += " “" + p.Title + "”"
	}
	return inbox.Post(ctx, tx, s.Now(), inbox.Notice{
		To: people, Workspace: a.WorkspaceID, Automation: a.ID,
		Kind: inbox.PRClosed, Title: fmt.Sprintf("%s: pull request #%d was closed without merging", a.Name, p.Number),
		Body: name + " was closed without merging: " + p.URL, Link: p.URL, Execution: e.ID, Session: session.ID,
		Key: "pr_closed " + e.ID.String(),
	})
}

// Link notes a pull request of a session by its address, as typed. Errors: those of every change of a
// session, and fault.Invalid for "url".
func (s *Service) Link(ctx context.Context, actor account.Actor, id uuid.UUID, address string) error {
	address = strings.TrimSpace(address)
	found := forge.FindURLs(address)
	if len(found) != 1 || strings.ContainsAny(address, " \t\r\n") || !strings.HasPrefix(strings.ToLower(address),
		"http") {
		return fault.Invalid{"url": "Write the address of a pull request, such as " +
			"https://github.com/you/project/pull/7."}
	}
	err := s.Change(ctx, actor, id, func(ctx context.Context, tx bun.Tx, session *db.Session,
		_ time.Time) error {
		w, err := db.WorkspaceByID(ctx, tx, session.WorkspaceID)
		if err != nil {
			return err
		}
		p, key := found[0], found[0].Key()
		if f, ok := workspace.ForgeOf(w); ok {
			if p, ok = f.Has(p); !ok {
				return fault.Invalid{
					"url": "This is not on the forge of this workspace, " + f.Base +
						", so Carillon could not follow it.",
				}
			}
			key = f.Key(p)
		}
		if err := s.take(ctx, tx, session, p, key, db.FoundByHand); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "session.link_pull_request", session, map[string]any{"url": p.URL})
	})
	return fault.Wrap(err, "link pull request to session %s", id)
}

// Unlink takes a pull request off a session that it does not belong to: a mistyped address, or one that the
// agent only wrote about. Errors: those of every change of a session, and fault.ErrNotFound when the session has it
// not.
func (s *Service) Unlink(ctx context.Context, actor account.Actor, id, pull uuid.UUID) error {
	err := s.Change(ctx, actor, id, func(ctx context.Context, tx bun.Tx, session *db.Session,
		now time.Time) error {
		list, err := db.PullRequestsOf(ctx, tx, []uuid.UUID{id})
		if err != nil {
			return err
		}
		i := slices.IndexFunc(list, func(p db.PullRequest) bool { return p.ID == pull })
		if i < 0 {
			return fault.ErrNotFound
		}
		if err := db.DeletePullRequest(ctx, tx, pull); err != nil {
			return err
		}
		if err := refreshPages(ctx, tx, session, now); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "session.unlink_pull_request", session,
			map[string]any{"url": list[i].URL})
	})
	return fault.Wrap(err, "unlink pull request from session %s", id)
}

// Request asks the worker that has a session's worktree to open a pull request of it. Errors: those of every
// change of a session, and fault.Invalid with what is missing.
func (s *Service) Request(ctx context.Context, actor account.Actor, id uuid.UUID) error {
	err := s.Change(ctx, actor, id, func(ctx context.Context, tx bun.Tx, session *db.Session,
		now time.Time) error {
		w, err := db.WorkspaceByID(ctx, tx, session.WorkspaceID)
		if err != nil {
			return err
		}
		if problem := cannotOpen(w, session); problem != "" {
			return fault.Invalid{"pull_request": problem}
		}
		list, err := db.PullRequestsOf(ctx, tx, []uuid.UUID{id})
		if err != nil {
			return err
		}
		if len(list) > 0 && list[0].Confirmed() && list[0].State == db.PullRequestOpen {
			return fault.Invalid{"pull_request": fmt.Sprintf("The session has an open pull request already: #%d.",
				list[0].Number)}
		}
		if !session.PRRequestedAt.IsZero() {
			return nil // it is on its way
		}
		if err := Ask(ctx, tx, id, actor.ID, now); err != nil {
			return err
		}
		return s.audit(ctx, tx, actor, "session.create_pull_request", session, nil)
	})
	return fault.Wrap(err, "request pull request of session %s", id)
}

// Ask queues the request for a pull request of a session and wakes the workers.
func Ask(ctx context.Context, tx bun.Tx, session, by uuid.UUID, now time.Time) error {
	if err := db.RequestPullRequest(ctx, tx, session, by, now); err != nil {
		return err
	}
	return db.Notify(ctx, tx, "queue", uuid.Nil)
}

// cannotOpen says what keeps a session from getting a pull request, as a sentence, or nothing.
func cannotOpen(w *db.Workspace, session *db.Session) string {
	switch {
	case session.Status == db.SessionQueued || session.Status == db.SessionInProgress:
		return "The session is still at work. Wait until it has finished."
	case session.Branch == "" || session.FilesChanged == 0 && session.Commits == 0:
		return "There is nothing to open a pull request for: no file was changed."
	}
	return workspace.PullRequestProblem(w)
}

// CanOpen reports whether a session could get a pull request now.
func CanOpen(session *db.Session) bool {
	return session.Workspace != nil && session.PRRequestedAt.IsZero() && cannotOpen(session.Workspace, session) == ""
}

// EndRequest ends a request to open a pull request, with what went wrong as a sentence, or nothing.
func (s *Service) EndRequest(ctx context.Context, session *db.Session, problem string) error {
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		if err := db.EndPullRequestRequest(ctx, tx, session.ID, session.PRRequestedAt, problem, s.Now()); err != nil {
			return err
		}
		return db.Notify(ctx, tx, "session", session.ID)
	})
	return fault.Wrap(err, "end request of session %s", session.ID)
}

// requestPatience is how long a worker has to open a pull request.
const requestPatience = 15 * time.Minute

// ExpireRequests ends the requests for pull requests that no worker took up.
func (s *Service) ExpireRequests(ctx context.Context) error {
	now := s.Now()
	err := db.InTx(ctx, s.DB, func(ctx context.Context, tx bun.Tx) error {
		ids, err := db.ExpirePullRequestRequests(ctx, tx, now.Add(-requestPatience),
			"The worker that has this session’s files did not answer. Start it, and try again.", now)
		if err != nil {
			return err
		}
		return db.NotifyEach(ctx, tx, "session", ids)
	})
	return fault.Wrap(err, "expire requests for pull requests")
}

func (s *Service) audit(ctx context.Context, q bun.IDB, actor account.Actor, action string, session *db.Session,
	after map[string]any) error {
	return db.AddAudit(ctx, q, db.AuditEvent{
		ID: db.NewID(), At: s.Now(), ActorID: actor.ID, Action: action, SubjectKind: "session", SubjectID: session.ID,
		SubjectName: session.Title,
		WorkspaceID: session.WorkspaceID, After: after,
	})
}
