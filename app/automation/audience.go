package automation

import (
	"context"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/inbox"
	"carillon/db"
)

// notifyCreator puts a notice into the inbox of an automation's creator. When the creator has no active account any
// more, or is no member of the automation's workspace, those of its members get it who hold automations.manage_all, and
// administrators: a notice says what only who may see the automation may read.
func (s *Service) notifyCreator(ctx context.Context, tx bun.Tx, a *db.Automation, n inbox.Notice) error {
	return s.notifyCreators(ctx, tx, []*db.Automation{a}, func(*db.Automation) inbox.Notice { return n })
}

// notifyCreators is notifyCreator for several automations, each with a notice of its own. How many statements it takes
// does not depend on how many they are.
func (s *Service) notifyCreators(ctx context.Context, tx bun.Tx, list []*db.Automation,
	say func(a *db.Automation) inbox.Notice) error {
	creators := make([]db.Membership, len(list))
	for i, a := range list {
		creators[i] = creatorOf(a)
	}
	people, err := inbox.Audiences(ctx, tx, creators)
	if err != nil {
		return err
	}
	notices := make([]inbox.Notice, len(list))
	for i, a := range list {
		notices[i] = noticeAbout(a, people[creators[i]], say(a))
	}
	return inbox.Post(ctx, tx, s.Now(), notices...)
}

// audience is who is told of what happens to an automation: see notifyCreator.
func audience(ctx context.Context, tx bun.Tx, a *db.Automation) ([]uuid.UUID, error) {
	creator := creatorOf(a)
	people, err := inbox.Audiences(ctx, tx, []db.Membership{creator})
	return people[creator], err
}

// creatorOf is an automation's creator in its workspace.
func creatorOf(a *db.Automation) db.Membership {
	return db.Membership{WorkspaceID: a.WorkspaceID, UserID: a.CreatorID}
}

// notify puts a notice into the inboxes of people, into each once.
func (s *Service) notify(ctx context.Context, tx bun.Tx, a *db.Automation, people []uuid.UUID, n inbox.Notice) error {
	return inbox.Post(ctx, tx, s.Now(), noticeAbout(a, people, n))
}

// noticeAbout is a notice about an automation, for people.
func noticeAbout(a *db.Automation, people []uuid.UUID, n inbox.Notice) inbox.Notice {
	n.To, n.Workspace, n.Automation = people, a.WorkspaceID, a.ID
	return n
}
