package inbox_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/app/apptest"
	"carillon/app/fault"
	"carillon/app/inbox"
	"carillon/db"
	"carillon/db/dbtest"
)

func TestMain(m *testing.M) { dbtest.Main(m) }

// post posts notices in a transaction of their own.
func post(k *apptest.Kit, notices ...inbox.Notice) {
	k.T.Helper()
	apptest.Check(k.T, db.InTx(k.T.Context(), k.DB, func(ctx context.Context, tx bun.Tx) error {
		return inbox.Post(ctx, tx, k.Clock.Now(), notices...)
	}))
}

// newest is the newest notice of a person.
func newest(k *apptest.Kit, who account.Actor) db.Notification {
	k.T.Helper()
	list, err := k.Inbox.List(k.T.Context(), who, db.NotificationFilter{Limit: 1})
	apptest.Check(k.T, err)
	if len(list) != 1 {
		k.T.Fatalf("%s has no notice", who.Name)
	}
	return list[0]
}

func TestANoticeComesToEachPersonOnceHoweverOftenItIsPosted(t *testing.T) {
	k := apptest.New(t)
	n := inbox.Notice{
		To: []uuid.UUID{k.Mira.ID, k.Jonas.ID}, Kind: inbox.Server, Title: "It stands still", Key: "still 1",
		Workspace: k.Scratch.ID,
	}
	other := n
	other.To, other.Kind, other.Key = []uuid.UUID{k.Jonas.ID}, inbox.Budget, "budget 1"
	post(k)
	post(k, n, other)
	post(k, n)
	k.ExpectInbox(k.Mira, inbox.Server)
	k.ExpectInbox(k.Jonas, inbox.Server, inbox.Budget)
	if got := newest(k, k.Mira); got.Title != n.Title || got.WorkspaceID != k.Scratch.ID ||
		!got.CreatedAt.Equal(apptest.Begun) {
		t.Errorf("the notice is %+v", got)
	}
}

func TestPeopleMarkAndDismissTheirOwnNoticesAlone(t *testing.T) {
	k := apptest.New(t)
	ctx := t.Context()
	post(k, inbox.Notice{To: []uuid.UUID{k.Jonas.ID}, Kind: inbox.Message, Title: "Look", Key: "1"})
	id := newest(k, k.Jonas).ID
	for name, call := range map[string]func(who account.Actor) error{
		"find":    func(who account.Actor) error { _, err := k.Inbox.Find(ctx, who, id); return err },
		"read":    func(who account.Actor) error { return k.Inbox.Read(ctx, who, id, true) },
		"star":    func(who account.Actor) error { return k.Inbox.Star(ctx, who, id, true) },
		"dismiss": func(who account.Actor) error { return k.Inbox.Dismiss(ctx, who, id) },
	} {
		if err := call(k.Mira); !errors.Is(err, fault.ErrNotFound) {
			t.Errorf("%s: got %v; want fault.ErrNotFound", name, err)
		}
	}
	unread := func(want int64) {
		t.Helper()
		n, err := k.Inbox.Unread(ctx, k.Jonas)
		apptest.Check(t, err)
		if n != want {
			t.Errorf("%d are unread; want %d", n, want)
		}
	}
	unread(1)
	apptest.Check(t, k.Inbox.Star(ctx, k.Jonas, id, true))
	apptest.Check(t, k.Inbox.Read(ctx, k.Jonas, id, true))
	unread(0)
	apptest.Check(t, k.Inbox.Read(ctx, k.Jonas, id, false))
	unread(1)
	apptest.Check(t, k.Inbox.ReadAll(ctx, k.Jonas))
	unread(0)
	if n := newest(k, k.Jonas); n.StarredAt.IsZero() || n.ReadAt.IsZero() {
		t.Errorf("the notice is %+v; want it read, with a star", n)
	}
	apptest.Check(t, k.Inbox.Dismiss(ctx, k.Jonas, id))
	k.ExpectInbox(k.Jonas)
}

func TestOnlyWhoBelongsToAWorkspaceMayHearOfIt(t *testing.T) {
	k := apptest.New(t)
	elsewhere := k.Elsewhere(k.Jonas)
	gone := k.Person("Lena", account.RoleMember)
	k.Deactivate(gone)
	for _, tt := range []struct {
		name string
		of   db.Membership
		want bool
	}{
		{"a member", db.Membership{WorkspaceID: elsewhere, UserID: k.Jonas.ID}, true},
		{"an administrator", db.Membership{WorkspaceID: elsewhere, UserID: k.Mira.ID}, true},
		{"a member of another workspace", db.Membership{WorkspaceID: elsewhere, UserID: k.Person("Otto",
			account.RoleManager).ID}, false},
		{"a member without an active account", db.Membership{WorkspaceID: k.Scratch.ID, UserID: gone.ID}, false},
	} {
		may, err := inbox.MayHear(t.Context(), k.DB, []db.Membership{tt.of})
		apptest.Check(t, err)
		if may[tt.of] != tt.want {
			t.Errorf("%s may hear: %t; want %t", tt.name, may[tt.of], tt.want)
		}
	}
}
