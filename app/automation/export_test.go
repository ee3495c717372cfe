package automation

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"carillon/app/inbox"
	"carillon/db"
)

// What the tests in automation_test use of the inside of this package. They are a package of their own, since the kit
// that they share with other packages imports this one.

const (
	AnswerWithin   = answerWithin
	GatePause      = gatePause
	Grace          = grace
	MaxFailures    = maxFailures
	MaxNames       = maxNames
	MaxResumes     = maxResumes
	MaxScriptBytes = maxScriptBytes
	MaxWait        = maxWait
	OutageRetries  = outageRetries
)

var (
	FindBusy = busy
	ErrAgain = errAgain
	Later    = later
)

// Restart forgets when the scheduler looked, as a process that begins anew.
func (s *Service) Restart() {
	s.looks.mu.Lock()
	defer s.looks.mu.Unlock()
	s.looks.last, s.looks.failed, s.looks.gap = time.Time{}, false, gap{}
}

// LookedAt notes that the scheduler looked at an instant.
func (s *Service) LookedAt(at time.Time) { s.looks.end(at, at, true) }

// LookedInTime notes that the newest look took no time.
func (s *Service) LookedInTime() { s.looks.end(s.looks.last, s.looks.last, true) }

// WaitsSince is before which time due times lie that a Recurring catches up for once its run in flight has ended.
func (s *Service) WaitsSince() time.Time { return waitsSince(s.looks.gap, s.Now()) }

// SetLockPatience bounds how long StartDue waits for what another transaction holds.
func (s *Service) SetLockPatience(d time.Duration) { s.lockPatience = d }

// NotifyCreator puts a notice into the inbox of an automation's creator.
func (s *Service) NotifyCreator(ctx context.Context, tx bun.Tx, a *db.Automation, n inbox.Notice) error {
	return s.notifyCreator(ctx, tx, a, n)
}

// StartIn is Start within a transaction.
func (s Runs) StartIn(ctx context.Context, tx bun.Tx, id uuid.UUID, by Trigger) (*Run, error) {
	return s.start(ctx, tx, id, by)
}

// Prepare makes the rows of a run.
func (s Runs) Prepare(a *db.Startable, by Trigger, now time.Time) (*db.Run, error) {
	return s.prepare(a, by, now)
}

// StartList decides about due automations that were selected before.
func (s Schedules) StartList(ctx context.Context, tx bun.Tx, list []db.Startable) error {
	return s.startDue(ctx, tx, list, gap{}, s.Now())
}

// CloseGap answers the due times of an automation that nobody answered.
func (s Schedules) CloseGap(ctx context.Context, tx bun.Tx, id uuid.UUID) (bool, error) {
	return s.closeGap(ctx, tx, id)
}
