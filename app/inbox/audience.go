package inbox

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/account"
	"carillon/db"
)

// Audiences finds who is told of what happens to things of a person in a workspace, for each of several: the person, if
// they may hear of it, and otherwise the members of the workspace who hold automations.manage_all, and administrators.
// A notice says what only those who may see the thing may read. The number of statements does not depend on how many
// things there are.
func Audiences(ctx context.Context, q bun.IDB, about []db.Membership) (map[db.Membership][]uuid.UUID, error) {
	may, err := MayHear(ctx, q, about)
	if err != nil {
		return nil, err
	}
	people, workspaces := map[db.Membership][]uuid.UUID{}, []uuid.UUID{}
	for _, m := range about {
		if may[m] {
			people[m] = []uuid.UUID{m.UserID}
		} else {
			workspaces = append(workspaces, m.WorkspaceID)
		}
	}
	holders, err := db.HoldersIn(ctx, q, distinct(workspaces), string(account.ManageAll), string(account.Admin))
	if err != nil {
		return nil, err
	}
	for _, m := range about {
		if !may[m] {
			people[m] = holders[m.WorkspaceID]
		}
	}
	return people, nil
}

// MayHear finds who of some people may be told of a workspace: who has an active account and is a member of it, or an
// administrator.
func MayHear(ctx context.Context, q bun.IDB, about []db.Membership) (map[db.Membership]bool, error) {
	var people, workspaces []uuid.UUID
	for _, m := range about {
		people, workspaces = append(people, m.UserID), append(workspaces, m.WorkspaceID)
	}
	people, workspaces = distinct(people), distinct(workspaces)
	users, err := db.UsersByID(ctx, q, people)
	if err != nil {
		return nil, err
	}
	members, err := db.MembershipsAmong(ctx, q, workspaces, people)
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

// Keepers are who is told of trouble of the server: who may change settings, and administrators. Of trouble in a
// workspace its members among them are told, since its names are in the notice. A zero workspace is none.
func Keepers(ctx context.Context, q bun.IDB, workspace uuid.UUID) ([]uuid.UUID, error) {
	if workspace == uuid.Nil {
		return db.HoldersOf(ctx, q, string(account.ManageSettings), string(account.Admin))
	}
	holders, err := db.HoldersIn(ctx, q, []uuid.UUID{workspace}, string(account.ManageSettings), string(account.Admin))
	return holders[workspace], err
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
