// Package automation holds the rules of Carillon: who may see and change what, how a run starts, how it ends,
// when one is due, what counts as a failure and who is told. It knows rows and time; it knows nothing of HTTP,
// of agents as processes, or of Git.
package automation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/aside"
	"carillon/app/prompt"
	"carillon/app/provider"
	"carillon/app/pullrequest"
	"carillon/app/secret"
	"carillon/app/workspace"
	"carillon/db"
)

// Service carries out what people, the scheduler and webhooks ask for. Its fields are set once, in main.
type Service struct {
	DB         bun.IDB          // a *db.DB, or the transaction of In
	Now        func() time.Time // the instant of every rule; nothing here reads a clock of its own
	Keys       *secret.Keys     // seals tokens and secret variables
	Log        *slog.Logger
	Providers  *provider.Service
	Workspaces *workspace.Service

	looks   looks              // for due automations
	scripts prompt.ScriptNames // the parameters of scripts
	outer   *Service           // what In bound to a transaction; nil: this is bound to none
	// bounds how long StartDue waits for what another transaction holds; 0 is startLockPatience
	lockPatience time.Duration
}

// In is the service bound to a transaction: its operations read and write there, and the transaction of each is a
// savepoint. So operations can be put together to a larger one, of which all or nothing stays. What an operation tells
// other processes only after its commit, such as Start, it does not tell.
func (s *Service) In(tx bun.Tx) *Service {
	bound := &Service{
		DB: tx, Now: s.Now, Keys: s.Keys, Log: s.Log, Providers: s.Providers,
		lockPatience: s.lockPatience, outer: s.outermost(),
	}
	if s.Workspaces != nil {
		bound.Workspaces = s.Workspaces.In(tx)
	}
	return bound
}

// outermost is the service that is bound to no transaction, which remembers what outlasts one.
func (s *Service) outermost() *Service {
	if s.outer != nil {
		return s.outer
	}
	return s
}

// Round begins a round of a loop over rows of automations and their sessions.
func (s *Service) Round(task db.Task) *aside.Round {
	return &aside.Round{DB: s.DB, Now: s.Now, Log: s.Log, Task: task}
}

// The operations are divided by the word that they are about. Each of these types is the service, with operations of
// its own; the unexported methods of Service itself are what several of them need.
type (
	// Definitions are what automations are: who sees them, and how they are made, changed, switched and removed.
	Definitions struct{ *Service }
	// Transfers give automations to other owners.
	Transfers struct{ *Service }
	// Schedules start what is due, and see to it that each due time is answered once.
	Schedules struct{ *Service }
	// Webhooks are the calls of HTTP Triggers: their tokens, what was received, and what came of it.
	Webhooks struct{ *Service }
	// Runs are executions: how they start, pass their gates, are tried again and end.
	Runs struct{ *Service }
	// Budgets are the limits of what automations may use, and what was used.
	Budgets struct{ *Service }
	// Sessions are the work of agents, which people read, answer, stop and close.
	Sessions struct{ *Service }
	// Agents are sessions as their agents see them: what they may ask for while they are at work.
	Agents struct{ *Service }
)

// Definitions are the operations on what automations are.
func (s *Service) Definitions() Definitions { return Definitions{s} }

// Transfers are the operations on who owns automations.
func (s *Service) Transfers() Transfers { return Transfers{s} }

// Schedules are the operations of the scheduler.
func (s *Service) Schedules() Schedules { return Schedules{s} }

// Webhooks are the operations on the calls of HTTP Triggers.
func (s *Service) Webhooks() Webhooks { return Webhooks{s} }

// Runs are the operations on executions.
func (s *Service) Runs() Runs { return Runs{s} }

// Budgets are the operations on limits and usage.
func (s *Service) Budgets() Budgets { return Budgets{s} }

// Sessions are the operations on sessions.
func (s *Service) Sessions() Sessions { return Sessions{s} }

// Agents are the operations of the agents of sessions.
func (s *Service) Agents() Agents { return Agents{s} }

// PullRequests are the rules of the pull requests of sessions.
func (s *Service) PullRequests() *pullrequest.Service {
	return &pullrequest.Service{
		DB: s.DB, Now: s.Now, Change: s.Sessions().change,
		Ended: func(ctx context.Context, tx bun.Tx, session *db.Session, status db.SessionStatus, now time.Time) error {
			return s.Sessions().release(ctx, tx, session, status, uuid.Nil, now)
		},
	}
}

// Trigger says who or what fires an automation, and with which values.
type Trigger struct {
	Source      db.Source
	Mark        db.Mark
	UserID      uuid.UUID    // by hand: who
	People      db.PeopleIDs // by hand: on whose words; of a session everybody who had one in it
	Fingerprint string       // by webhook: of the token used
	// Parameters are the values given with the call. They go over the automation's stored ones.
	Parameters map[string]string
	// Kept says that Parameters are those of an earlier run, with secrets in their stored form. Nobody else may give
	// that form.
	Kept bool
	// Outside are the names of those of Parameters that a webhook call brought, of a trigger that is not one itself.
	Outside []string
	// Payload is what a webhook's body holds, for an automation that wants it whole.
	Payload string

	hidden []string // secrets that have been replaced in the other Parameters
}

// Run is a run that was started.
type Run struct {
	Execution  db.Execution
	Session    db.Session
	Automation string   // its name
	Unresolved []string // placeholders that nobody supplied; nil for a workflow
}

// Busy says that an automation was not started because a run of it is in flight.
type Busy struct {
	Automation string // its name
	Execution  uuid.UUID
	Session    uuid.UUID
	// AtWork and Most are how many runs are in flight, and how many may be, of one that allows parallel sessions up to
	// a limit; else 0.
	AtWork, Most int
}

func (b *Busy) Error() string {
	if b.Most > 0 {
		return fmt.Sprintf("%s has %d of %d at work", b.Automation, b.AtWork, b.Most)
	}
	return "a run of " + b.Automation + " is already in flight"
}

// Unable says that an automation cannot run as it is. The attempt is recorded as a failed execution, or, where
// its budget is used up, as a skipped one.
type Unable struct {
	Automation string // its name
	Reason     string // a sentence's end for a person
	Execution  uuid.UUID
	// Until is set where a budget is used up: that is no failure, and passes by then.
	Until time.Time
	// Ownerless says that the reason is that its owner is gone, or may no longer have it.
	Ownerless bool
}

func (u *Unable) Error() string { return u.Reason }

// ErrTooLarge says that a prompt is over prompt.MaxBytes once its placeholders are filled, or, as a *TooLong, that a
// value does not fit into a variable of a script.
var ErrTooLarge = errors.New("the prompt with its values filled in is over 256 KiB")

// TooLong is an ErrTooLarge for a value that a script uses.
type TooLong struct {
	Name  string
	Bytes int
}

func (t *TooLong) Error() string {
	return fmt.Sprintf(
		"the value of %s is too long for a variable of the script (%d bytes): the script can read it from the JSON "+
			"file $PARAMS_FILE", t.Name, t.Bytes)
}

// Is reports that a TooLong is an ErrTooLarge.
func (t *TooLong) Is(target error) bool { return target == ErrTooLarge }
