package automation

import (
	"context"
	"slices"
	"time"

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
	// Carillon itself is in trouble: something was set aside, or the scheduler stands still
	NoticeServer = "server"
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

// tell puts a notice into the inbox of an automation's creator. When the creator has no active account any more, or is
// no member of the automation's workspace, those of its members get it who hold automations.manage_all, and
// administrators: a notice says what only who may see the automation may read.
func (s *Service) tell(ctx context.Context, tx bun.Tx, a *db.Automation, n notice) error {
	return s.tellEach(ctx, tx, []*db.Automation{a}, func(*db.Automation) notice { return n })
}

// tellEach is tell for several automations, each with a notice of its own. How many statements it takes does not depend
// on how many they are.
func (s *Service) tellEach(ctx context.Context, tx bun.Tx, list []*db.Automation,
	say func(a *db.Automation) notice) error {
	people, err := s.audiences(ctx, tx, list)
	if err != nil {
		return err
	}
	var notices []db.Notification
	for _, a := range list {
		notices = append(notices, s.noticesOf(a, people[a.ID], say(a))...)
	}
	return s.post(ctx, tx, notices)
}

// audience is who is told of what happens to an automation: see tell.
func (s *Service) audience(ctx context.Context, tx bun.Tx, a *db.Automation) ([]uuid.UUID, error) {
	people, err := s.audiences(ctx, tx, []*db.Automation{a})
	return people[a.ID], err
}

// audiences is audience for several automations, by their ids.
func (s *Service) audiences(ctx context.Context, tx bun.Tx, list []*db.Automation) (map[uuid.UUID][]uuid.UUID, error) {
	about := make([]db.Membership, len(list))
	for i, a := range list {
		about[i] = db.Membership{WorkspaceID: a.WorkspaceID, UserID: a.CreatorID}
	}
	may, err := s.mayHear(ctx, tx, about)
	if err != nil {
		return nil, err
	}
	people, workspaces := map[uuid.UUID][]uuid.UUID{}, []uuid.UUID{}
	for i, a := range list {
		if may[about[i]] {
			people[a.ID] = []uuid.UUID{a.CreatorID}
		} else {
			workspaces = append(workspaces, a.WorkspaceID)
		}
	}
	holders, err := db.HoldersIn(ctx, tx, distinct(workspaces), string(account.ManageAll), string(account.Admin))
	if err != nil {
		return nil, err
	}
	for i, a := range list {
		if !may[about[i]] {
			people[a.ID] = holders[a.WorkspaceID]
		}
	}
	return people, nil
}

// mayHear finds who of some people may be told of a workspace: who has an active account and is a member of it, or an
// administrator.
func (s *Service) mayHear(ctx context.Context, tx bun.Tx, about []db.Membership) (map[db.Membership]bool, error) {
	var people, workspaces []uuid.UUID
	for _, m := range about {
		people, workspaces = append(people, m.UserID), append(workspaces, m.WorkspaceID)
	}
	people, workspaces = distinct(people), distinct(workspaces)
	users, err := db.UsersByID(ctx, tx, people)
	if err != nil {
		return nil, err
	}
	members, err := db.MembershipsAmong(ctx, tx, workspaces, people)
	if err != nil {
		return nil, err
	}
	may := map[db.Membership]bool{}
	for _, m := range about {
		u := users[m.UserID]
		may[m] = u != nil && u.DeactivatedAt.IsZero() && (members[m] || account.Grants(u.Permissions, account.Admin))
	}
	return may, nil
}

// distinct is a list with each id once.
func distinct(ids []uuid.UUID) []uuid.UUID {
	seen := make(map[uuid.UUID]bool, len(ids))
	return slices.DeleteFunc(ids, func(id uuid.UUID) bool {
		again := seen[id]
		seen[id] = true
		return again
	})
}

// notify puts a notice into the inboxes of people, into each once.
func (s *Service) notify(ctx context.Context, tx bun.Tx, a *db.Automation, people []uuid.UUID, n notice) error {
	return s.post(ctx, tx, s.noticesOf(a, people, n))
}

// noticesOf is a notice about an automation for each of some people.
func (s *Service) noticesOf(a *db.Automation, people []uuid.UUID, n notice) []db.Notification {
	list := make([]db.Notification, 0, len(people))
	for _, person := range people {
		list = append(list, db.Notification{
			ID: db.NewID(), UserID: person, Kind: n.kind, Title: n.title, Body: n.body, Link: n.link,
			WorkspaceID: a.WorkspaceID, AutomationID: a.ID, ExecutionID: n.execution, SessionID: n.session,
			DedupKey: n.key, CreatedAt: s.Now(),
		})
	}
	return list
}

// post puts notices into inboxes.
func (s *Service) post(ctx context.Context, tx bun.Tx, list []db.Notification) error {
	_, err := db.InsertNotifications(ctx, tx, list)
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
	return account.Found(db.NotificationByID(ctx, s.DB, actor.ID, id))
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
