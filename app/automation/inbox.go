package automation

import (
	"context"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/crash"
	"carillon/app/fault"
	"carillon/db"
)

// The kinds of notices.
const (
	NoticeDisabled     = "disabled"      // an automation was switched off by Carillon
	NoticeRunFailed    = "failed"        // a run of a Manual or HTTP Trigger automation failed
	NoticeSkipped      = "skipped"       // a due run was skipped, since another is in flight
	NoticeMissed       = "missed"        // a One-Time was missed
	NoticeLoopFinished = "loop_finished" // a loop reached its condition
	NoticePRClosed     = "pr_closed"     // a pull request of a loop was closed without merging
	NoticeReview       = "review"        // a Code Review has a blocking finding
	NoticeBudget       = "budget"        // a budget is used up, or will be soon
	NoticeMessage      = "message"       // an agent wrote to people
	NoticeTransferred  = "transferred"   // an automation has another owner
	NoticeRights       = "rights"        // sessions of an automation lost the right to manage automations

	NoticeProviderPaused = "provider" // the starts of a provider wait, since it refuses
	NoticeServer         = "server"   // Carillon itself is in trouble: something was set aside, or the scheduler stands still
)

// NoticeKinds lists the kinds with their names on screen.
var NoticeKinds = []struct{ Kind, Name string }{
	{NoticeDisabled, "Auto-disabled"}, {NoticeRunFailed, "Failed runs"}, {NoticeSkipped, "Skipped runs"},
	{NoticeMissed, "Missed runs"}, {NoticeLoopFinished, "Finished loops"}, {NoticePRClosed, "Closed pull requests"},
	{NoticeReview, "Blocking review findings"}, {NoticeBudget, "Budgets"},
	{NoticeMessage, "Messages of sessions"},
	{NoticeTransferred, "Automations that changed hands"},
	{NoticeRights, "Sessions that lost a right"},
	{NoticeProviderPaused, "Paused providers"},
	{NoticeServer, "Trouble of the server"},
	{account.NoticeKind, "Changes of your account"},
}

// notice is what one event tells its people.
type notice struct {
	kind, title, body, link, key string
	execution, session           uuid.UUID
}

// tell puts a notice into the inbox of an automation's creator. When the creator has no active account any more, or is no member of the
// automation's workspace, those of its members get it who hold automations.manage_all, and administrators: a notice says what only who
// may see the automation may read.
func (s *Service) tell(ctx context.Context, tx bun.Tx, a *db.Automation, n notice) error {
	people, err := s.audience(ctx, tx, a)
	if err != nil {
		return err
	}
	return s.notify(ctx, tx, a, people, n)
}

// audience is who is told of what happens to an automation: see tell.
func (s *Service) audience(ctx context.Context, tx bun.Tx, a *db.Automation) ([]uuid.UUID, error) {
	may, err := s.mayHear(ctx, tx, a.CreatorID, a.WorkspaceID)
	if err != nil {
		return nil, err
	}
	if may {
		return []uuid.UUID{a.CreatorID}, nil
	}
	return db.HoldersIn(ctx, tx, a.WorkspaceID, string(account.ManageAll), string(account.Admin))
}

// mayHear reports whether a person has an active account and is a member of a workspace, or an administrator.
func (s *Service) mayHear(ctx context.Context, tx bun.Tx, person, workspace uuid.UUID) (bool, error) {
	u, err := db.UserByID(ctx, tx, person)
	if err != nil || !u.DeactivatedAt.IsZero() {
		return false, err
	}
	member, err := db.IsMember(ctx, tx, workspace, person)
	return member || account.Grants(u.Permissions, account.Admin), err
}

// notify puts a notice into the inboxes of people, into each once.
func (s *Service) notify(ctx context.Context, tx bun.Tx, a *db.Automation, people []uuid.UUID, n notice) error {
	list := make([]db.Notification, 0, len(people))
	for _, person := range people {
		list = append(list, db.Notification{
			ID: db.NewID(), UserID: person, Kind: n.kind, Title: n.title, Body: n.body, Link: n.link,
			AutomationID: a.ID, ExecutionID: n.execution, SessionID: n.session, DedupKey: n.key, CreatedAt: s.Now(),
		})
	}
	_, err := db.Notify(ctx, tx, list)
	if err == nil && len(list) > 0 {
		crash.Here(crash.NoticeWritten)
	}
	return err
}

// Inbox lists a person's notices, newest first.
func (s *Service) Inbox(ctx context.Context, actor account.Actor, f db.NotificationFilter) ([]db.Notification, error) {
	f.User = actor.ID
	return db.Notifications(ctx, s.DB, f)
}

// Notice finds one of a person's notices.
func (s *Service) Notice(ctx context.Context, actor account.Actor, id uuid.UUID) (*db.Notification, error) {
	n, err := db.NotificationByID(ctx, s.DB, actor.ID, id)
	if db.IsNotFound(err) {
		return nil, fault.ErrNotFound
	}
	return n, err
}

// Read marks a notice as read, or as unread.
func (s *Service) Read(ctx context.Context, actor account.Actor, id uuid.UUID, read bool) error {
	return s.mark(ctx, actor, id, "read_at", read)
}

// Star marks a notice with a star, or takes it away.
func (s *Service) Star(ctx context.Context, actor account.Actor, id uuid.UUID, starred bool) error {
	return s.mark(ctx, actor, id, "starred_at", starred)
}

// Dismiss takes a notice out of the inbox.
func (s *Service) Dismiss(ctx context.Context, actor account.Actor, id uuid.UUID) error {
	return s.mark(ctx, actor, id, "dismissed_at", true)
}

func (s *Service) mark(ctx context.Context, actor account.Actor, id uuid.UUID, column string, on bool) error {
	var at time.Time
	if on {
		at = s.Now()
	}
	err := db.MarkNotification(ctx, s.DB, actor.ID, id, column, at)
	if db.IsNotFound(err) {
		return fault.ErrNotFound
	}
	return err
}

// ReadAll marks every notice of a person as read.
func (s *Service) ReadAll(ctx context.Context, actor account.Actor) error {
	return db.MarkAllRead(ctx, s.DB, actor.ID, s.Now())
}

// Unread counts a person's unread notices.
func (s *Service) Unread(ctx context.Context, actor account.Actor) (int64, error) {
	return db.CountUnread(ctx, s.DB, actor.ID)
}

// capitalize makes a sentence of a sentence's end.
func capitalize(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	if size == 0 {
		return text
	}
	return string(unicode.ToUpper(first)) + text[size:]
}
