package workspace

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"carillon/app/account"
	"carillon/app/fault"
	"carillon/db"
)

// MostUnconfined is how far the workspaces without a sandbox are counted.
const MostUnconfined = 1000

// Isolation is what is known of where agents are not kept from the rest of a machine, beside what the workers found.
type Isolation struct {
	Servers    []db.Server    // processes that live and run no agents
	Unconfined []db.Workspace // without a sandbox: a page of those that the reader may see
	Count      int            // of all of them, up to MostUnconfined
}

// Isolation lists the processes that run no agents, and the workspaces without a sandbox: of all who are an
// administrator, else of those that the reader is a member of.
func (s *Service) Isolation(ctx context.Context, actor account.Actor, f db.UnconfinedFilter) (*Isolation, error) {
	if !actor.Can(account.ManageSettings) {
		return nil, fault.ErrForbidden
	}
	if f.Member = actor.ID; actor.Can(account.Admin) {
		f.Member = uuid.Nil
	}
	servers, err := db.Servers(ctx, s.DB, s.Now().Add(-db.WorkerSilence))
	list, listErr := db.Unconfined(ctx, s.DB, f)
	n, countErr := db.CountUnconfined(ctx, s.DB, MostUnconfined)
	return &Isolation{Servers: servers, Unconfined: list, Count: n}, errors.Join(err, listErr, countErr)
}
